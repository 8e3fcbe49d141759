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
	static const struct offered_key expected[] = {
		{ "feature-sg", "1" },
		{ "feature-gso-tcpv4", "1" },
		{ "feature-gso-tcpv6", "1" },
		{ "feature-ipv6-csum-offload", "1" },
		{ "feature-rx-copy", "1" },
		{ "feature-rx-flip", "0" },
		{ "feature-split-event-channels", "1" },
	};
	size_t n = 0;

	(void)state;
	for (const struct offered_key *f = backend_features; f->key; f++, n++) {
		assert_true(n < ARRAY_SIZE(expected));
		assert_string_equal(f->key, expected[n].key);
		assert_string_equal(f->value, expected[n].value);
	}
	assert_int_equal(n, ARRAY_SIZE(expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_silent_frontend_only_checksums_ipv4),
		cmocka_unit_test(each_key_moves_its_bit_alone),
		cmocka_unit_test(bits_and_keys_are_unique),
		cmocka_unit_test(offers_what_it_does_and_nothing_else),
	};

	return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
