/* SPDX-License-Identifier: MIT */
/*
 * The table of frontends (dialect.h). Facts about Linux are from
 * drivers/net/xen-netfront.c of the versions named.
 */
#include <stdio.h>
#include <string.h>

#include "frontend-compat/dialect.h"

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

const struct frontend_dialect frontend_dialects[] = {
	{
	    /* 6.x: xennet_tx_buf_gc() ends in RING_FINAL_CHECK_FOR_RESPONSES() */
	    .name = "linux",
	    .about = "Linux 5.16 and later",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6,
	    .n_queues_max = NETFRONT_QUEUES_MAX,
	    .split_events = true,
	    .tx_wakeup = TX_WAKE_FIRST,
	    .keys = linux_keys,
	},
	{
	    /* split event channels came with 3.11, several queues with 3.16; up to 5.15
	     * rsp_event is put halfway into what is outstanding */
	    .name = "linux-single-event",
	    .about = "Linux up to 3.10: one event channel, no IPv6 offloads",
	    .offloads = VIF_SG | VIF_GSO_TCPV4 | VIF_CSUM_V4,
	    .n_queues_max = 1,
	    .split_events = false,
	    .tx_wakeup = TX_WAKE_HALFWAY,
	    .keys = linux_3_10_keys,
	},
	{
	    /* netif.h "feature-sg": a frontend without it is "limited to one slot";
	     * Mini-OS's netfront.c is of this shape. xennet_change_mtu(): without SG
	     * no MTU beyond 1500 */
	    .name = "linux-no-sg",
	    .about = "one slot a frame, no scatter-gather, no GSO",
	    .offloads = VIF_CSUM_V4,
	    .n_queues_max = 1,
	    .split_events = false,
	    .tx_wakeup = TX_WAKE_HALFWAY,
	    .keys = no_sg_keys,
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

static const struct {
	const char *name;
	uint32_t feature;
} switchable[] = {
	{ "sg", VIF_SG },	    { "gso-tcpv4", VIF_GSO_TCPV4 }, { "gso-tcpv6", VIF_GSO_TCPV6 },
	{ "csum-v4", VIF_CSUM_V4 }, { "csum-v6", VIF_CSUM_V6 },
};

int features_parse(const char *list, uint32_t *out)
{
	*out = 0;
	while (*list) {
		size_t size = strcspn(list, ","), i = 0;

		while (i < ARRAY_SIZE(switchable) &&
		       (strncmp(switchable[i].name, list, size) || switchable[i].name[size]))
			i++;
		if (i == ARRAY_SIZE(switchable))
			return -EINVAL;
		*out |= switchable[i].feature;
		list += size;
		list += *list == ',';
	}
	return 0;
}

const char *features_format(uint32_t features, char out[FEATURES_TEXT_SIZE])
{
	char *at = out;

	*at = 0;
	for (size_t i = 0; i < ARRAY_SIZE(switchable); i++)
		if (features & switchable[i].feature)
			at += sprintf(at, "%s%s", at == out ? "" : ",", switchable[i].name);
	return out;
}
