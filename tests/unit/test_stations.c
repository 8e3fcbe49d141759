/* SPDX-License-Identifier: MIT */
/* The table of stations heard of at a NIC's places: each is told of once when it is new, and
 * as often as it is heard of between two looks; more than fit cost the oldest. */
#include "backend/stations.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

#define T0    NS_PER_S
#define LATER (T0 + NS_PER_S)

struct told {
	uint32_t n;
	uint8_t mac[6];
	uint16_t vlan;
};

static struct stations *s;
static struct told told;
static uint32_t from;

static int setup(void **state)
{
	(void)state;
	s = malloc(sizeof(*s));
	if (!s)
		return -1;
	stations_init(s);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(s);
	return 0;
}

static void each(void *arg, const uint8_t mac[6], uint16_t vlan)
{
	struct told *t = arg;

	t->n++;
	memcpy(t->mac, mac, sizeof(t->mac));
	t->vlan = vlan;
}

static uint32_t look(uint64_t since_ns)
{
	told.n = 0;
	assert_false(stations_look(s, since_ns, &from, UINT32_MAX, each, &told));
	return told.n;
}

static bool note(uint32_t number, uint16_t vlan, uint64_t now_ns)
{
	const uint8_t mac[6] = { 2,
				 0,
				 (uint8_t)(number >> 24),
				 (uint8_t)(number >> 16),
				 (uint8_t)(number >> 8),
				 (uint8_t)number };

	return stations_note(s, mac, vlan, now_ns);
}

static void new_ones_are_told_of_once(void **state)
{
	static const uint8_t seven[6] = { 2, 0, 0, 0, 0, 7 };

	(void)state;
	assert_true(note(7, 5, T0));
	assert_false(note(8, 0, T0)); /* that there is news is known */
	assert_false(note(7, 5, LATER));
	assert_int_equal(look(UINT64_MAX), 2);
	assert_int_equal(look(UINT64_MAX), 0);
	assert_true(note(7, 6, LATER)); /* in another VLAN it is another station */
	assert_int_equal(look(UINT64_MAX), 1);
	assert_memory_equal(told.mac, seven, 6);
	assert_int_equal(told.vlan, 6);
}

/* Whoever floods the table keeps nobody from being told of. */
static void told_of_some_at_a_time(void **state)
{
	uint32_t n_told = 0;

	(void)state;
	from = 0;
	for (uint32_t i = 0; i < 100; i++)
		(void)!note(i + 1, 0, T0);
	for (uint32_t i = 0; i < 3; i++) {
		told.n = 0;
		assert_true(stations_look(s, UINT64_MAX, &from, 30, each, &told));
		assert_int_equal(told.n, 30);
		n_told += told.n;
		(void)!note(1000 + i, 0, LATER);
	}
	n_told += look(UINT64_MAX);
	assert_int_equal(n_told, 103);
}

static void those_heard_of_since(void **state)
{
	(void)state;
	assert_true(note(1, 0, T0));
	assert_false(note(2, 0, T0));
	assert_int_equal(look(T0), 2);
	assert_false(note(2, 0, LATER));
	assert_int_equal(look(T0 + 1), 1);
	assert_int_equal(told.mac[5], 2);
	assert_int_equal(look(LATER + 1), 0);
}

/* Groups, and an address that is none: no bridge learns them. */
static void addresses_that_are_no_stations(void **state)
{
	static const uint8_t none[6] = { 0 }, group[6] = { 1, 0, 0x5e, 0, 0, 1 };

	(void)state;
	assert_false(stations_note(s, none, 0, T0));
	assert_false(stations_note(s, group, 0, T0));
	assert_int_equal(look(UINT64_MAX), 0);
}

static void more_than_fit(void **state)
{
	uint32_t n, most = STATIONS_SETS * STATIONS_WAYS;

	(void)state;
	for (uint32_t i = 0; i < 4 * most; i++)
		(void)!note(i, 0, T0 + i);
	n = look(UINT64_MAX);
	assert_in_range(n, most * 9 / 10, most);
	assert_int_equal(look(0), n);
	/* Whoever keeps talking stays, however many come and go. */
	assert_true(note(1u << 31, 0, LATER));
	(void)look(UINT64_MAX);
	for (uint32_t i = 0; i < 4 * most; i++) {
		(void)!note(i, 0, LATER + i * STATIONS_GRAIN_NS);
		assert_false(note(1u << 31, 0, LATER + i * STATIONS_GRAIN_NS + 1));
	}
}

static void forgotten_ones_are_new(void **state)
{
	static const uint8_t one[6] = { 2, 0, 0, 0, 0, 1 };

	(void)state;
	assert_true(note(1, 0, T0));
	assert_int_equal(look(UINT64_MAX), 1);
	stations_forget(s, one, 1); /* in that VLAN it is another's */
	assert_false(note(1, 0, LATER));
	stations_forget(s, one, 0);
	assert_int_equal(look(0), 0);
	assert_true(note(1, 0, LATER));
	assert_int_equal(look(UINT64_MAX), 1);
}

static void who_is_behind(void **state)
{
	static const uint8_t one[6] = { 2, 0, 0, 0, 0, 1 }, none[6] = { 0 }, all[6] = { 255, 255 };
	struct stations_behind *b = aligned_alloc(64, sizeof(*b));

	(void)state;
	assert_non_null(b);
	stations_nobody_behind(b);
	stations_put(b, one, 0);
	stations_put(b, one, 0);
	stations_put(b, all, 0);
	assert_true(stations_is_behind(b, one, 0));
	assert_false(stations_is_behind(b, one, 1));
	assert_false(stations_is_behind(b, none, 0));
	assert_false(stations_is_behind(b, all, 0)); /* a group is everywhere */
	stations_take(b, one, 0);
	assert_false(stations_is_behind(b, one, 0));
	stations_put(b, one, 0);
	stations_nobody_behind(b);
	assert_false(stations_is_behind(b, one, 0));
	free(b);
}

/* Who finds no room is not there; nobody else is in his stead. */
static void more_are_behind_than_fit(void **state)
{
	uint32_t n = 0, most = STATIONS_SETS * STATIONS_LINE;
	struct stations_behind *b = aligned_alloc(64, sizeof(*b));

	(void)state;
	assert_non_null(b);
	stations_nobody_behind(b);
	for (uint32_t i = 0; i < 2 * most; i++) {
		const uint8_t mac[6] = { 2, 0, 1, 0, (uint8_t)(i >> 8), (uint8_t)i };

		stations_put(b, mac, 0);
	}
	for (uint32_t i = 0; i < 2 * most; i++) {
		const uint8_t mac[6] = { 2, 0, 1, 0, (uint8_t)(i >> 8), (uint8_t)i };

		n += stations_is_behind(b, mac, 0);
	}
	assert_in_range(n, most * 8 / 10, most);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(new_ones_are_told_of_once),
		T(told_of_some_at_a_time),
		T(those_heard_of_since),
		T(addresses_that_are_no_stations),
		T(more_than_fit),
		T(forgotten_ones_are_new),
		T(who_is_behind),
		T(more_are_behind_than_fit),
#undef T
	};

	return cmocka_run_group_tests_name("stations", tests, NULL, NULL);
}
