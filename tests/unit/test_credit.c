/* SPDX-License-Identifier: MIT */
/* backend/credit: windows, bursts, changes, and threads that share a credit. */
#include "backend/credit.h"

#include <pthread.h>

#include "unit.h"

#define MS NS_PER_MS

static uint64_t until;

/* Frames of 'size' that pass at one instant. */
static uint32_t passes(struct credit *c, uint32_t size, uint64_t now_ns)
{
	uint32_t n = 0;

	while (credit_take(c, size, now_ns, &until))
		n++;
	return n;
}

static void no_limit(void **state)
{
	struct credit c = { 0 };

	(void)state;
	assert_true(credit_take(&c, UINT32_MAX, 1, &until));
	credit_set(&c, 5, 0, 1);
	assert_true(credit_take(&c, UINT32_MAX, 1, &until));
}

static void a_window_at_a_time(void **state)
{
	struct credit c = { 0 };

	(void)state;
	credit_set(&c, 200000, 50000, 100 * MS);
	assert_int_equal(passes(&c, 1000, 100 * MS), 200);
	assert_int_equal(until, 150 * MS);
	assert_int_equal(passes(&c, 1000, 150 * MS - 2), 0);
	assert_int_equal(until, 150 * MS);
	for (uint64_t t = 150; t < 1000; t += 50) {
		assert_int_equal(passes(&c, 1000, t * MS), 200);
		assert_int_equal(until, (t + 50) * MS);
	}
}

/* Idle time brings one window, when somebody needs it, and no more. */
static void idle_saves_nothing_up(void **state)
{
	struct credit c = { 0 };

	(void)state;
	credit_set(&c, 200000, 50000, 0);
	assert_int_equal(passes(&c, 1000, 10000 * MS), 400); /* the first and the present one */
	assert_int_equal(until, 10050 * MS);
}

/* A late waker gets the window it waited for and, that being over too, the present one. */
static void waking_late(void **state)
{
	struct credit c = { 0 };

	(void)state;
	credit_set(&c, 200000, 50000, 0);
	assert_int_equal(passes(&c, 1000, 0), 200);
	assert_int_equal(passes(&c, 1000, 90 * MS), 200);
	assert_int_equal(until, 100 * MS);
	assert_int_equal(passes(&c, 1000, 1000 * MS), 400);
	assert_int_equal(until, 1050 * MS);
}

/* Any frame passes in the end: 128 KiB may gather. */
static void small_windows_gather(void **state)
{
	struct credit c = { 0 };
	uint64_t now = 0;

	(void)state;
	credit_set(&c, 1000, 50000, 0);
	while (!credit_take(&c, 65535, now, &until)) {
		assert_true(until == now + 50 * MS);
		now = until;
	}
	assert_int_equal(now, 65 * 50 * MS); /* 66 windows, the first there at once */
	assert_int_equal(passes(&c, 1, now), 66 * 1000 - 65535);
	for (now += 1; now < 300 * 50 * MS; now += 50 * MS)
		assert_false(credit_take(&c, UINT32_MAX, now, &until));
	assert_int_equal(passes(&c, 1024, now), 128);
}

static void nothing_may_pass(void **state)
{
	struct credit c = { 0 };

	(void)state;
	credit_set(&c, 0, 50000, 0);
	for (uint64_t now = 0; now < 1000 * MS; now = until)
		assert_false(credit_take(&c, 1, now, &until));
}

/* Windows below a millisecond keep their rate, and nobody is woken more often. */
static void short_windows(void **state)
{
	struct credit c = { 0 };
	uint64_t n = 0, wakes = 0;

	(void)state;
	credit_set(&c, 300, 3, 0); /* 100 MB/s */
	for (uint64_t now = 0; now < 1000 * MS; now = until, wakes++)
		n += passes(&c, 1000, now);
	assert_in_range(n, 99900, 100110);
	assert_true(wakes <= 1000);
}

static void a_change_counts_at_once(void **state)
{
	struct credit c = { 0 };

	(void)state;
	/* an hour: whoever waits looks again all the same */
	credit_set(&c, 1000, 3600 * 1000000u, 0);
	assert_int_equal(passes(&c, 1000, 0), 1);
	assert_int_equal(until, 100 * MS);
	credit_set(&c, 500000, 50000, 20 * MS);
	assert_int_equal(passes(&c, 1000, 100 * MS),
			 1000); /* the window waited for, and this one */
	/* what was saved beyond the new limit is lost */
	credit_set(&c, 1000000, 1000, 200 * MS);
	assert_int_equal(passes(&c, 1000, 300 * MS), 2000);
	credit_set(&c, 2000000, 1000, 300 * MS);
	assert_true(credit_take(&c, 1000, 310 * MS, &until));
	credit_set(&c, 10000, 1000000, 310 * MS);
	assert_int_equal(passes(&c, 1000, 310 * MS), 10);
	credit_set(&c, 0, 0, 320 * MS);
	assert_true(credit_take(&c, UINT32_MAX, 320 * MS, &until));
	credit_set(&c, 3000, 50000, 330 * MS);
	assert_int_equal(passes(&c, 1000, 330 * MS), 3);
}

struct taker {
	struct credit *c;
	const uint64_t *now_ns;
	uint64_t taken;
};

#define N_TAKERS 4
#define WINDOWS	 200

static void *take_all(void *arg)
{
	struct taker *t = arg;
	uint64_t now, mine;

	while ((now = __atomic_load_n(t->now_ns, __ATOMIC_RELAXED)) < WINDOWS * MS)
		while (credit_take(t->c, 100, now, &mine))
			t->taken += 100;
	return NULL;
}

/* Threads that share a credit never take more than there is; none of it is lost. */
static void shared_by_threads(void **state)
{
	struct credit c = { 0 };
	struct taker taker[N_TAKERS];
	pthread_t thread[N_TAKERS];
	uint64_t now_ns = 0, taken = 0;

	(void)state;
	credit_set(&c, 200000, 1000, 0);
	for (int i = 0; i < N_TAKERS; i++) {
		taker[i] = (struct taker){ &c, &now_ns, 0 };
		assert_int_equal(pthread_create(&thread[i], NULL, take_all, &taker[i]), 0);
	}
	for (int i = 0; i <= 10 * WINDOWS; i++) {
		__atomic_store_n(&now_ns, i * (MS / 10), __ATOMIC_RELAXED);
		for (int spin = 0; spin < 2000; spin++)
			__asm__ volatile("" ::: "memory");
	}
	for (int i = 0; i < N_TAKERS; i++) {
		pthread_join(thread[i], NULL);
		taken += taker[i].taken;
	}
	assert_true(taken <= 200000ull * WINDOWS);
	assert_true(taken + c.remaining <= 200000ull * WINDOWS);
	assert_int_equal((taken + c.remaining) % 200000, 0); /* whole windows */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limit),
		cmocka_unit_test(a_window_at_a_time),
		cmocka_unit_test(idle_saves_nothing_up),
		cmocka_unit_test(waking_late),
		cmocka_unit_test(small_windows_gather),
		cmocka_unit_test(nothing_may_pass),
		cmocka_unit_test(short_windows),
		cmocka_unit_test(a_change_counts_at_once),
		cmocka_unit_test(shared_by_threads),
	};

	return cmocka_run_group_tests_name("credit", tests, NULL, NULL);
}
