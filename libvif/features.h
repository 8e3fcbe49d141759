/* SPDX-License-Identifier: MIT */
/*
 * Rank 3: the optional parts of the netif protocol, as a table of xenstore keys.
 * One bit means one ability, whichever side's key spells it.
 */
#ifndef VIF_FEATURES_H
#define VIF_FEATURES_H

#include "base.h"

enum vif_feature {
	VIF_SG = BIT(0),	   /* packets of more than one slot */
	VIF_GSO_TCPV4 = BIT(1),	   /* netif.h "feature-gso-tcpv4" */
	VIF_GSO_TCPV6 = BIT(2),	   /* netif.h "feature-gso-tcpv6" */
	VIF_CSUM_V4 = BIT(3),	   /* takes blank IPv4 TCP/UDP checksums */
	VIF_CSUM_V6 = BIT(4),	   /* takes blank IPv6 TCP/UDP checksums */
	VIF_RX_COPY = BIT(5),	   /* guest-receive by copy: the only mode left */
	VIF_RX_NOTIFY = BIT(6),	   /* frontend notifies when it posts buffers */
	VIF_SPLIT_EVENTS = BIT(7), /* an event channel each way; no key of the frontend's says
				    * so, its event-channel-tx and -rx do */
	VIF_MULTICAST = BIT(8),	   /* netif.h "feature-multicast-control", the dynamic one too */
	VIF_CTRL_RING = BIT(9),	   /* netif.h "Control ring"; the frontend's ctrl-ring-ref says so */
	VIF_XDP_HEADROOM = BIT(10), /* Linux' netif.h "feature-xdp-headroom" */
};

/* The feature that one for a checksum or a segmentation of an IP version is. */
static inline uint32_t feature_csum(uint8_t ip_version)
{
	return ip_version == 4 ? VIF_CSUM_V4 : VIF_CSUM_V6;
}

static inline uint32_t feature_gso(uint8_t ip_version)
{
	return ip_version == 4 ? VIF_GSO_TCPV4 : VIF_GSO_TCPV6;
}

struct feature_key {
	const char *key;
	uint32_t bit;
	bool inverted;	/* the key says what is *not* there: feature-no-csum-offload */
	bool if_absent; /* the bit's value when the key is missing */
};

/* What a frontend may say in its directory. NULL-terminated by key. */
extern const struct feature_key frontend_features[];

/* What the backend writes into its directory before InitWait: "1" or "0" each. */
struct offered_key {
	const char *key;
	uint32_t bit;
	bool inverted;	/* the key says what is *not* there */
	bool if_absent; /* the bit's value when the key is missing */
};

/* NULL-terminated by key. */
extern const struct offered_key backend_features[];

/* The names people use for features, to show and to withhold them. */
struct feature_name {
	const char *name;
	uint32_t bit;
	bool optional; /* the backend can do without offering it */
};

/* NULL-terminated by name. */
extern const struct feature_name feature_names[];

/* Everything the backend can offer. */
uint32_t features_offerable(void);

/*
 * What of a side's features counts: segmentation without scatter-gather or without blank
 * checksums is none (Linux net/core/dev.c netdev_fix_features() says the same).
 */
uint32_t features_usable(uint32_t features);

/* Reads optional names, separated by spaces or commas; an empty list is no feature.
 * 0 or -EINVAL. */
int features_parse_names(const char *list, uint32_t *out) must_check;

#endif
