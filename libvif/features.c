/* SPDX-License-Identifier: MIT */
/*
 * The keys of netif.h that say who can do what. A key is listed only once vifd does
 * what it says: multicast control, the control ring and XDP headroom are not offered.
 */
#include "features.h"

const struct feature_key frontend_features[] = {
	{ .key = "feature-sg", .bit = VIF_SG },
	{ .key = "feature-gso-tcpv4", .bit = VIF_GSO_TCPV4 },
	{ .key = "feature-gso-tcpv6", .bit = VIF_GSO_TCPV6 },
	{ .key = "feature-no-csum-offload",
	  .bit = VIF_CSUM_V4,
	  .inverted = true,
	  .if_absent = true },
	{ .key = "feature-ipv6-csum-offload", .bit = VIF_CSUM_V6 },
	{ .key = "request-rx-copy", .bit = VIF_RX_COPY },
	{ .key = "feature-rx-notify", .bit = VIF_RX_NOTIFY },
	{ .key = NULL },
};

const struct offered_key backend_features[] = {
	{ "feature-sg", "1" },
	{ "feature-gso-tcpv4", "1" },
	{ "feature-gso-tcpv6", "1" },
	{ "feature-ipv6-csum-offload", "1" },
	{ "feature-rx-copy", "1" },
	{ "feature-rx-flip", "0" },
	{ "feature-split-event-channels", "1" },
	{ NULL, NULL },
};
