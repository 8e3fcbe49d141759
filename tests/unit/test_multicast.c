/* SPDX-License-Identifier: MIT */
/*
 * The set of multicast addresses, alone and under several threads.
 */
#include "tests/unit/unit.h"

#include "multicast.h"

#include <pthread.h>
#include <string.h>

#define N_THREADS 3u

static void address_of(uint32_t n, uint8_t address[6])
{
	const uint8_t a[6] = {
		0x33, 0x33, 0xff, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n
	};

	memcpy(address, a, sizeof(a));
}

static int add(struct multicast_set *set, uint32_t n)
{
	uint8_t address[6];

	address_of(n, address);
	return multicast_add(set, address);
}

static void take_out(struct multicast_set *set, uint32_t n)
{
	uint8_t address[6];

	address_of(n, address);
	multicast_remove(set, address);
}

static bool has(const struct multicast_set *set, uint32_t n)
{
	uint8_t address[6];

	address_of(n, address);
	return multicast_has(set, address);
}

static void sixty_four_and_no_more(void **state)
{
	struct multicast_set set = { .place = { 0 } };

	(void)state;
	for (uint32_t i = 0; i < MULTICAST_MAX; i++) {
		assert_false(has(&set, i));
		assert_int_equal(add(&set, i), 0);
		assert_int_equal(multicast_count(&set), i + 1);
	}
	assert_int_equal(add(&set, 64), -ENOSPC);
	assert_false(has(&set, 64));
	assert_int_equal(add(&set, 7), 0); /* is in it */
	take_out(&set, 31);
	assert_false(has(&set, 31));
	assert_int_equal(add(&set, 64), 0);
	for (uint32_t i = 0; i <= MULTICAST_MAX; i++)
		assert_int_equal(has(&set, i), i != 31);
	for (uint32_t i = 0; i < MULTICAST_MAX; i++) {
		uint8_t expected[6], found[6];

		address_of(i == 31 ? 64 : i, expected);
		assert_true(multicast_at(&set, i, found));
		assert_memory_equal(found, expected, sizeof(found));
	}
	for (uint32_t i = 0; i <= MULTICAST_MAX; i++)
		if (i != 31)
			take_out(&set, i);
	assert_int_equal(multicast_count(&set), 0);
	assert_false(multicast_at(&set, 0, (uint8_t[6]){ 0 }));
}

static void an_address_is_in_it_once(void **state)
{
	struct multicast_set set = { .place = { 0 } };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(add(&set, 5), 0);
	assert_int_equal(multicast_count(&set), 1);
	take_out(&set, 5);
	assert_int_equal(multicast_count(&set), 0);
	take_out(&set, 5);
}

static void only_group_addresses(void **state)
{
	static const uint8_t unicast[6] = { 0x00, 0x16, 0x3e, 1, 2, 3 }, zero[6];
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t nearly[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe };
	struct multicast_set set = { .place = { 0 } };

	(void)state;
	assert_int_equal(multicast_add(&set, unicast), -EINVAL);
	assert_int_equal(multicast_add(&set, zero), -EINVAL);
	assert_false(multicast_has(&set, zero));
	multicast_remove(&set, zero);
	assert_int_equal(multicast_count(&set), 0);
	assert_true(multicast_is_group(broadcast) && multicast_is_broadcast(broadcast));
	assert_true(multicast_is_group(nearly) && !multicast_is_broadcast(nearly));
	assert_false(multicast_is_group(unicast));
}

struct party {
	struct multicast_set *set;
	uint32_t first; /* of the addresses that only this thread changes */
	unsigned n_wrong;
};

/* Its own addresses do what it says, whatever the others do. */
static void *come_and_go(void *arg)
{
	struct party *p = arg;

	for (unsigned round = 0; round < 20000; round++) {
		uint32_t n = p->first + round % 16;

		p->n_wrong += add(p->set, n) || !has(p->set, n) || !has(p->set, 0xffff);
		p->n_wrong += add(p->set, 0xaaaa) != 0; /* everybody's */
		take_out(p->set, n);
		take_out(p->set, 0xaaaa);
		p->n_wrong += has(p->set, n);
	}
	return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
	struct multicast_set set = { .place = { 0 } };
	struct party party[N_THREADS];
	pthread_t thread[N_THREADS];

	(void)state;
	assert_int_equal(add(&set, 0xffff), 0);
	for (uint32_t i = 0; i < N_THREADS; i++) {
		party[i] = (struct party){ .set = &set, .first = 16 * i };
		assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, &party[i]), 0);
	}
	for (uint32_t i = 0; i < N_THREADS; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(party[i].n_wrong, 0);
	}
	assert_true(has(&set, 0xffff));
	take_out(&set, 0xaaaa);
	assert_int_equal(multicast_count(&set), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sixty_four_and_no_more),
		cmocka_unit_test(an_address_is_in_it_once),
		cmocka_unit_test(only_group_addresses),
		cmocka_unit_test(threads_do_not_disturb_each_other),
	};

	return cmocka_run_group_tests_name("multicast", tests, NULL, NULL);
}
