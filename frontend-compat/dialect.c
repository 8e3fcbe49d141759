/* SPDX-License-Identifier: MIT */
/*
 * The table of frontends (dialect.h). Facts about Linux are from
 * drivers/net/xen-netfront.c of the versions named.
 */
#include <string.h>

#include "frontend-compat/dialect.h"
#include "frontend-compat/netfront.h"

/* talk_to_netback() since 3.15, and talk_to_netback_xdp() since 5.9. */
static const struct dialect_key linux_keys[] = {
	{ "xdp-headroom", "0", "feature-xdp-headroom" },
	{ "request-rx-copy", "1", NULL },
	{ "feature-rx-notify", "1", NULL },
	{ "feature-sg", "1", NULL },
	{ "feature-gso-tcpv4", "1", NULL },
	{ "feature-gso-tcpv6", "1", NULL },
	{ "feature-ipv6-csum-offload", "1", NULL },
	{ NULL, NULL, NULL },
};

/* talk_to_netback() up to 3.10: no IPv6 offloads yet. */
static const struct dialect_key linux_3_10_keys[] = {
	{ "request-rx-copy", "1", NULL },
	{ "feature-rx-notify", "1", NULL },
	{ "feature-sg", "1", NULL },
	{ "feature-gso-tcpv4", "1", NULL },
	{ NULL, NULL, NULL },
};

static const struct dialect_key no_sg_keys[] = {
	{ "request-rx-copy", "1", NULL },
	{ "feature-rx-notify", "1", NULL },
	{ NULL, NULL, NULL },
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
