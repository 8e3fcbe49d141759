/* SPDX-License-Identifier: MIT */
/*
 * The keys of netif.h that say who can do what. A key is listed only once vifd does
 * what it says.
 */
#include "features.h"

#include <string.h>

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
	{ .key = "feature-sg", .bit = VIF_SG },
	{ .key = "feature-gso-tcpv4", .bit = VIF_GSO_TCPV4 },
	{ .key = "feature-gso-tcpv6", .bit = VIF_GSO_TCPV6 },
	{ .key = "feature-no-csum-offload", .bit = VIF_CSUM_V4, .inverted = true, .if_absent = true },
	{ .key = "feature-ipv6-csum-offload", .bit = VIF_CSUM_V6 },
	{ .key = "feature-rx-copy", .bit = VIF_RX_COPY },
	{ .key = "feature-rx-flip", .bit = VIF_RX_COPY, .inverted = true },
	{ .key = "feature-split-event-channels", .bit = VIF_SPLIT_EVENTS },
	{ .key = "feature-multicast-control", .bit = VIF_MULTICAST },
	{ .key = "feature-dynamic-multicast-control", .bit = VIF_MULTICAST },
	{ .key = "feature-ctrl-ring", .bit = VIF_CTRL_RING },
	{ .key = "feature-xdp-headroom", .bit = VIF_XDP_HEADROOM },
	{ .key = NULL },
};

const struct feature_name feature_names[] = {
	{ "sg", VIF_SG, true },
	{ "gso-tcpv4", VIF_GSO_TCPV4, true },
	{ "gso-tcpv6", VIF_GSO_TCPV6, true },
	{ "csum-v4", VIF_CSUM_V4, true },
	{ "csum-v6", VIF_CSUM_V6, true },
	{ "split-event-channels", VIF_SPLIT_EVENTS, true },
	{ "multicast-control", VIF_MULTICAST, true },
	{ "ctrl-ring", VIF_CTRL_RING, true },
	{ "xdp-headroom", VIF_XDP_HEADROOM, true },
	{ "rx-notify", VIF_RX_NOTIFY, false },
	{ NULL, 0, false },
};

uint32_t features_offerable(void)
{
	uint32_t all = 0;

	for (const struct offered_key *k = backend_features; k->key; k++)
		all |= k->bit;
	return all;
}

uint32_t features_usable(uint32_t features)
{
	static const struct {
		uint32_t bit, needs;
	} rules[] = {
		{ VIF_GSO_TCPV4, VIF_SG | VIF_CSUM_V4 },
		{ VIF_GSO_TCPV6, VIF_SG | VIF_CSUM_V6 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if ((features & rules[i].needs) != rules[i].needs)
			features &= ~rules[i].bit;
	return features;
}

int features_parse_names(const char *list, uint32_t *out)
{
	static const char separators[] = ", \t";

	*out = 0;
	for (list += strspn(list, separators); *list; list += strspn(list, separators)) {
		const struct feature_name *f = feature_names;
		size_t size = strcspn(list, separators);

		while (f->name && (strlen(f->name) != size || strncmp(f->name, list, size)))
			f++;
		if (!f->name || !f->optional)
			return -EINVAL;
		*out |= f->bit;
		list += size;
	}
	return 0;
}
