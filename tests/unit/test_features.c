/* SPDX-License-Identifier: MIT */
/*
 * The feature tables against netif.h's words.
 */
#include "tests/unit/unit.h"

#include "features.h"

#include <string.h>

/* What a frontend with these keys gets, as control applies the table. */
static uint32_t apply(const char *key, bool value)
{
	uint32_t features = 0;

	for (const struct feature_key *f = frontend_features; f->key; f++) {
		bool has = f->if_absent;

		if (strcmp(f->key, key) == 0)
			has = value != f->inverted;
		if (has)
			features |= f->bit;
	}
	return features;
}

static void a_silent_frontend_only_checksums_ipv4(void **state)
{
	(void)state;
	assert_int_equal(apply("", false), VIF_CSUM_V4);
}

static void each_key_moves_its_bit_alone(void **state)
{
	static const struct {
		const char *key;
		bool value;
		uint32_t expected;
	} cases[] = {
		{ "feature-sg", 1, VIF_CSUM_V4 | VIF_SG },
		{ "feature-sg", 0, VIF_CSUM_V4 },
		{ "feature-gso-tcpv4", 1, VIF_CSUM_V4 | VIF_GSO_TCPV4 },
		{ "feature-gso-tcpv6", 1, VIF_CSUM_V4 | VIF_GSO_TCPV6 },
		{ "feature-no-csum-offload", 1, 0 },
		{ "feature-no-csum-offload", 0, VIF_CSUM_V4 },
		{ "feature-ipv6-csum-offload", 1, VIF_CSUM_V4 | VIF_CSUM_V6 },
		{ "request-rx-copy", 1, VIF_CSUM_V4 | VIF_RX_COPY },
		{ "feature-rx-notify", 1, VIF_CSUM_V4 | VIF_RX_NOTIFY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(apply(cases[i].key, cases[i].value), cases[i].expected);
}

static void bits_and_keys_are_unique(void **state)
{
	uint32_t seen = 0;

	(void)state;
	for (const struct feature_key *f = frontend_features; f->key; f++) {
		assert_int_equal(f->bit & (f->bit - 1), 0);
		assert_false(seen & f->bit);
		seen |= f->bit;
	}
	for (const struct offered_key *a = backend_features; a->key; a++) {
		for (const struct offered_key *b = a + 1; b->key; b++)
			assert_string_not_equal(a->key, b->key);
	}
}

static void offers_what_it_does_and_nothing_else(void **state)
{
	static const struct {
		const char *key;
		bool value;
	} expected[] = {
		{ "feature-sg", 1 },
		{ "feature-gso-tcpv4", 1 },
		{ "feature-gso-tcpv6", 1 },
		{ "feature-no-csum-offload", 0 },
		{ "feature-ipv6-csum-offload", 1 },
		{ "feature-rx-copy", 1 },
		{ "feature-rx-flip", 0 },
		{ "feature-split-event-channels", 1 },
		{ "feature-multicast-control", 1 },
		{ "feature-dynamic-multicast-control", 1 },
		{ "feature-ctrl-ring", 1 },
		{ "feature-xdp-headroom", 1 },
	};
	uint32_t offered = features_usable(features_offerable());
	size_t n = 0;

	(void)state;
	for (const struct offered_key *k = backend_features; k->key; k++, n++) {
		assert_true(n < ARRAY_SIZE(expected));
		assert_string_equal(k->key, expected[n].key);
		assert_int_equal(!(offered & k->bit) == k->inverted, expected[n].value);
	}
	assert_int_equal(n, ARRAY_SIZE(expected));
}

static void segmentation_needs_what_netif_says(void **state)
{
	static const uint32_t all = VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6;

	(void)state;
	for (uint32_t some = 0; some <= all; some++) {
		uint32_t left = features_usable(some);

		assert_false(left & ~some);
		assert_int_equal(left & ~(VIF_GSO_TCPV4 | VIF_GSO_TCPV6),
				 some & ~(VIF_GSO_TCPV4 | VIF_GSO_TCPV6));
		assert_int_equal(!!(left & VIF_GSO_TCPV4),
				 (some & VIF_GSO_TCPV4) && (some & VIF_SG) && (some & VIF_CSUM_V4));
		assert_int_equal(!!(left & VIF_GSO_TCPV6),
				 (some & VIF_GSO_TCPV6) && (some & VIF_SG) && (some & VIF_CSUM_V6));
	}
}

static void each_optional_feature_has_a_name_that_is_read(void **state)
{
	uint32_t bits;

	(void)state;
	for (const struct feature_name *f = feature_names; f->name; f++) {
		assert_int_equal(features_parse_names(f->name, &bits), f->optional ? 0 : -EINVAL);
		if (!f->optional)
			continue;
		assert_int_equal(bits, f->bit);
		assert_true(features_offerable() & f->bit);
	}
}

static void names_come_in_lists(void **state)
{
	static const char *const bad[] = { "gso", "sg gso-tcpv5", "s", "sgx", "sg;csum-v4", "none" };
	uint32_t bits;

	(void)state;
	assert_int_equal(features_parse_names("", &bits), 0);
	assert_int_equal(bits, 0);
	assert_int_equal(features_parse_names(" sg, csum-v4,csum-v6\tgso-tcpv6 ", &bits), 0);
	assert_int_equal(bits, VIF_SG | VIF_CSUM_V4 | VIF_CSUM_V6 | VIF_GSO_TCPV6);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(features_parse_names(bad[i], &bits), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_silent_frontend_only_checksums_ipv4),
		cmocka_unit_test(each_key_moves_its_bit_alone),
		cmocka_unit_test(bits_and_keys_are_unique),
		cmocka_unit_test(offers_what_it_does_and_nothing_else),
		cmocka_unit_test(segmentation_needs_what_netif_says),
		cmocka_unit_test(each_optional_feature_has_a_name_that_is_read),
		cmocka_unit_test(names_come_in_lists),
	};

	return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
