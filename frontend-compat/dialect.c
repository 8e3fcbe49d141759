/* SPDX-License-Identifier: MIT */
/*
 * The table of frontends (dialect.h). Facts about Linux are from
 * drivers/net/xen-netfront.c of the versions named.
 */
#include <stdio.h>
#include <string.h>

#include "frontend-compat/dialect.h"

/* Linux include/uapi/linux/bpf.h XDP_PACKET_HEADROOM */
#define XDP_HEADROOM	  256
#define XDP_HEADROOM_TEXT "256"

/* netif.h: blank IPv4 checksums are taken unless the frontend says otherwise. */
#define TAKES_BLANK_CSUM                                                                           \
	{                                                                                          \
		.key = "feature-no-csum-offload", .feature = VIF_CSUM_V4, .without = "1"           \
	}

/* talk_to_netback() since 3.15, and talk_to_netback_xdp() since 5.9. */
static const struct dialect_key linux_keys[] = {
	{ .key = "xdp-headroom", .value = "0", .if_offered = "feature-xdp-headroom" },
	{ .key = "request-rx-copy", .value = "1" },
	{ .key = "feature-rx-notify", .value = "1" },
	{ .key = "feature-sg", .value = "1", .feature = VIF_SG },
	{ .key = "feature-gso-tcpv4", .value = "1", .feature = VIF_GSO_TCPV4 },
	{ .key = "feature-gso-tcpv6", .value = "1", .feature = VIF_GSO_TCPV6 },
	{ .key = "feature-ipv6-csum-offload", .value = "1", .feature = VIF_CSUM_V6 },
	TAKES_BLANK_CSUM,
	{ .key = NULL },
};

/* The same with an XDP program: talk_to_netback_xdp(), XDP_PACKET_HEADROOM. */
static const struct dialect_key linux_xdp_keys[] = {
	{ .key = "xdp-headroom", .value = XDP_HEADROOM_TEXT, .if_offered = "feature-xdp-headroom" },
	{ .key = "request-rx-copy", .value = "1" },
	{ .key = "feature-rx-notify", .value = "1" },
	{ .key = "feature-sg", .value = "1", .feature = VIF_SG },
	{ .key = "feature-gso-tcpv4", .value = "1", .feature = VIF_GSO_TCPV4 },
	{ .key = "feature-gso-tcpv6", .value = "1", .feature = VIF_GSO_TCPV6 },
	{ .key = "feature-ipv6-csum-offload", .value = "1", .feature = VIF_CSUM_V6 },
	TAKES_BLANK_CSUM,
	{ .key = NULL },
};

/* netif.h "request-multicast-control", for backends that sample it once. */
static const struct dialect_key multicast_keys[] = {
	{ .key = "request-multicast-control",
	  .value = "1",
	  .if_offered = "feature-multicast-control",
	  .feature = VIF_MULTICAST },
	{ .key = "request-rx-copy", .value = "1" },
	{ .key = "feature-rx-notify", .value = "1" },
	{ .key = "feature-sg", .value = "1", .feature = VIF_SG },
	{ .key = "feature-gso-tcpv4", .value = "1", .feature = VIF_GSO_TCPV4 },
	{ .key = "feature-gso-tcpv6", .value = "1", .feature = VIF_GSO_TCPV6 },
	{ .key = "feature-ipv6-csum-offload", .value = "1", .feature = VIF_CSUM_V6 },
	TAKES_BLANK_CSUM,
	{ .key = NULL },
};

/* talk_to_netback() up to 3.10: no IPv6 offloads yet. */
static const struct dialect_key linux_3_10_keys[] = {
	{ .key = "request-rx-copy", .value = "1" },
	{ .key = "feature-rx-notify", .value = "1" },
	{ .key = "feature-sg", .value = "1", .feature = VIF_SG },
	{ .key = "feature-gso-tcpv4", .value = "1", .feature = VIF_GSO_TCPV4 },
	TAKES_BLANK_CSUM,
	{ .key = NULL },
};

static const struct dialect_key no_sg_keys[] = {
	{ .key = "request-rx-copy", .value = "1" },
	{ .key = "feature-rx-notify", .value = "1" },
	TAKES_BLANK_CSUM,
	{ .key = NULL },
};

/* netif.h: "If the client sends notification for rx requests then it should specify
 * feature 'feature-rx-notify'". */
static const struct dialect_key no_rx_notify_keys[] = {
	{ .key = "request-rx-copy", .value = "1" },
	{ .key = "feature-sg", .value = "1", .feature = VIF_SG },
	{ .key = "feature-gso-tcpv4", .value = "1", .feature = VIF_GSO_TCPV4 },
	TAKES_BLANK_CSUM,
	{ .key = NULL },
};

/* sys/dev/xen/netfront/netfront.c talk_to_backend() */
static const struct dialect_key freebsd_keys[] = {
	{ .key = "request-rx-copy", .value = "1" },
	{ .key = "feature-rx-notify", .value = "1" },
	{ .key = "feature-sg", .value = "1", .feature = VIF_SG },
	{ .key = "feature-gso-tcpv4", .value = "1", .feature = VIF_GSO_TCPV4 },
	TAKES_BLANK_CSUM,
	{ .key = NULL },
};

/* win-xenvif src/xenvif/receiver.c ReceiverStoreWrite(): flags that are off are written
 * as 0; transmitter.c TransmitterStoreWrite() */
static const struct dialect_key windows_keys[] = {
	{ .key = "request-multicast-control",
	  .value = "1",
	  .if_offered = "feature-dynamic-multicast-control",
	  .feature = VIF_MULTICAST },
	{ .key = "request-rx-copy", .value = "1" },
	{ .key = "feature-sg", .value = "1", .feature = VIF_SG, .without = "0" },
	{ .key = "feature-rx-notify", .value = "1" },
	{ .key = "feature-gso-tcpv4", .value = "1", .feature = VIF_GSO_TCPV4, .without = "0" },
	{ .key = "feature-gso-tcpv6", .value = "1", .feature = VIF_GSO_TCPV6, .without = "0" },
	{ .key = "feature-no-csum-offload", .value = "0", .feature = VIF_CSUM_V4, .without = "1" },
	{ .key = "feature-ipv6-csum-offload",
	  .value = "1",
	  .feature = VIF_CSUM_V6,
	  .without = "0" },
	{ .key = NULL },
};

/* extras/mini-os/netfront.c init_netfront() */
static const struct dialect_key mini_os_keys[] = {
	{ .key = "request-rx-copy", .value = "1" },
	TAKES_BLANK_CSUM,
	{ .key = NULL },
};

const struct frontend_dialect frontend_dialects[] = {
	{
	    /* 6.x: xennet_tx_buf_gc() ends in RING_FINAL_CHECK_FOR_RESPONSES() */
	    .name = "linux",
	    .about = "Linux 5.16 and later",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6,
	    .n_queues_max = NETFRONT_QUEUES_MAX,
	    .queues_key = QUEUES_IF_OFFERED,
	    .split_events = true,
	    .keys = linux_keys,
	},
	{
	    /* split event channels came with 3.11, several queues with 3.16; up to 5.15
	     * rsp_event is put halfway into what is outstanding */
	    .name = "linux-single-event",
	    .about = "Linux up to 3.10: one event channel, no IPv6 offloads",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_CSUM_V4,
	    .n_queues_max = 1,
	    .tx_wakeup = TX_WAKE_HALFWAY,
	    .keys = linux_3_10_keys,
	},
	{
	    /* Linux netback's xenbus.c read_xenbus_vif_flags() still has rules for it */
	    .name = "linux-no-rx-notify",
	    .about = "posts receive buffers without an event",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_CSUM_V4,
	    .n_queues_max = 1,
	    .tx_wakeup = TX_WAKE_HALFWAY,
	    .rx_silent = true,
	    .keys = no_rx_notify_keys,
	},
	{
	    /* netif.h "feature-sg": a frontend without it is "limited to one slot".
	     * xennet_change_mtu(): without SG no MTU beyond 1500 */
	    .name = "linux-no-sg",
	    .about = "one slot a frame, no scatter-gather, no GSO",
	    .offloads = VIF_CSUM_V4,
	    .n_queues_max = 1,
	    .tx_wakeup = TX_WAKE_HALFWAY,
	    .keys = no_sg_keys,
	},
	{
	    /* sys/dev/xen/netfront/netfront.c. xn_num_queues, talk_to_backend(),
	     * xn_txeof(), xn_assemble_tx_request() (a slot an mbuf, the headers in one of
	     * 256 bytes), add_id_to_freelist() (id 0 is the list's head),
	     * netfront_backend_changed() (the rings are kicked once we are Connected),
	     * xen_net_read_mac() */
	    .name = "freebsd",
	    .about = "FreeBSD 11 and later: several queues with one event channel each",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_CSUM_V4,
	    .n_queues_max = 4,
	    .queues_key = QUEUES_IF_SEVERAL,
	    .tx_wakeup = TX_WAKE_HALFWAY,
	    .layout = { .first_offset = 104, .first_size = 152, .then_offset = 2048 },
	    .first_id = 1,
	    .rx_start = RX_WHEN_CONNECTED,
	    .mac_of_backend = true,
	    .mtu_ignored = true,
	    .keys = freebsd_keys,
	},
	{
	    /* win-xenvif. frontend.c FrontendConnect() (buffers are posted by
	     * ReceiverEnable() once both are Connected), transmitter.c
	     * TransmitterRingPostRequests() (headers copied into a buffer of their own,
	     * payload where it lies, the hash as extra info; ids up to 1023),
	     * __FrontendUpdateHash() with RSS on */
	    .name = "windows",
	    .about = "Windows PV driver (xenvif) 9",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6,
	    .n_queues_max = NETFRONT_QUEUES_MAX,
	    .queues_key = QUEUES_ALWAYS,
	    .split_events = true,
	    .layout = { .first_size = 128, .then_offset = 178 },
	    .first_id = 768,
	    .rx_start = RX_WHEN_BOTH_ARE,
	    .hashing = true,
	    .sends_hash = true,
	    .keys = windows_keys,
	},
	{
	    /* extras/mini-os/netfront.c: writes its keys and Connected at once, posts
	     * buffers when the backend is Connected, knows no offload and no mtu */
	    .name = "mini-os",
	    .about = "Mini-OS: one slot a frame, nothing offloaded, does not wait",
	    .offloads = 0,
	    .n_queues_max = 1,
	    .tx_wakeup = TX_WAKE_HALFWAY,
	    .rx_start = RX_WHEN_BOTH_ARE,
	    .impatient = true,
	    .mtu_ignored = true,
	    .keys = mini_os_keys,
	},
	{
	    /* netif.h "Static Grants": no guest that ships has them; ADD_GREF_MAPPING
	     * "prior its usage in the command ring" */
	    .name = "static-grants",
	    .about = "Linux with static grants: all its pages stay mapped",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6,
	    .n_queues_max = NETFRONT_QUEUES_MAX,
	    .queues_key = QUEUES_IF_OFFERED,
	    .split_events = true,
	    .static_grants = true,
	    .ctrl_early = true,
	    .keys = linux_keys,
	},
	{
	    /* netif.h "Hash types"; the requests are those of win-xenvif */
	    .name = "hashing",
	    .about = "Linux that maps hashes to its queues and checks them",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6,
	    .n_queues_max = NETFRONT_QUEUES_MAX,
	    .queues_key = QUEUES_IF_OFFERED,
	    .split_events = true,
	    .hashing = true,
	    .keys = linux_keys,
	},
	{
	    /* netif.h "feature-multicast-control"; of frontends that ship only Windows'
	     * asks, and only a backend that lets it change its mind */
	    .name = "multicast",
	    .about = "Linux that has its multicast addresses filtered by the backend",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6,
	    .n_queues_max = NETFRONT_QUEUES_MAX,
	    .queues_key = QUEUES_IF_OFFERED,
	    .split_events = true,
	    .keys = multicast_keys,
	},
	{
	    /* a guest that connects with an XDP program already there
	     * (netfront_xdp_enabled); xennet_xdp_set(): no MTU its page cannot hold */
	    .name = "linux-xdp",
	    .about = "Linux with an XDP program: 256 bytes of headroom",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6,
	    .n_queues_max = NETFRONT_QUEUES_MAX,
	    .queues_key = QUEUES_IF_OFFERED,
	    .split_events = true,
	    .headroom = XDP_HEADROOM,
	    .keys = linux_xdp_keys,
	},
	{ .name = NULL },
};

const struct frontend_dialect *dialect_find(const char *name)
{
	for (const struct frontend_dialect *d = frontend_dialects; d->name; d++)
		if (!strcmp(d->name, name))
			return d;
	return NULL;
}

uint32_t dialect_accepts(const struct frontend_choice *choice)
{
	uint32_t f = 0;

	for (const struct dialect_key *k = choice->dialect->keys; k->key; k++)
		f |= k->feature;
	return f & ~choice->without;
}

const char *dialect_key_value(const struct frontend_choice *choice, const struct dialect_key *key)
{
	return key->feature & choice->without ? key->without : key->value;
}

int choice_parse_without(const char *list, uint32_t *out)
{
	int err = features_parse_names(list, out);

	return err < 0 || *out & ~FEATURES_SWITCHABLE ? -EINVAL : 0;
}

const char *choice_format_without(uint32_t features, char out[FEATURES_TEXT_SIZE])
{
	char *at = out;

	*at = 0;
	for (const struct feature_name *f = feature_names; f->name; f++)
		if (features & f->bit)
			at += sprintf(at, "%s%s", at == out ? "" : ",", f->name);
	return out;
}
