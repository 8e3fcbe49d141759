/* SPDX-License-Identifier: MIT */
/* Medians, the histogram's error and the floors' monotony (backend/vifbench). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "backend/vifbench/floor.h"
#include "backend/vifbench/measure.h"

static void medians(void **state)
{
	double odd[] = { 5, 1, 9 }, even[] = { 4, 1, 3, 2 }, one[] = { 7 };
	struct summary s = summary_of(odd, 3);

	(void)state;
	assert_true(s.min == 1 && s.median == 5 && s.max == 9 && s.n == 3);
	s = summary_of(even, 4);
	assert_true(s.min == 1 && s.median == 2.5 && s.max == 4);
	s = summary_of(one, 1);
	assert_true(s.min == 7 && s.median == 7 && s.max == 7);
}

/* Of 1..n the middle is known; the range's ends are those of the tables of signed ranks, or the
 * next pair's mean outwards. */
static void middles(void **state)
{
	double value[MEASURE_RUNS_MAX], far[] = { 5, 4, 1e9, 6, 5, 4, 6 };
	struct middle m;

	(void)state;
	for (uint32_t n = 1; n <= MEASURE_RUNS_MAX; n++) {
		value[n - 1] = n;
		m = middle_of(value, n);
		assert_true(m.is == (n + 1) / 2.);
		assert_true(m.low >= 1 && m.low <= m.is && m.high >= m.is && m.high <= n);
		assert_true(m.sure == (n >= MIDDLE_RUNS_MIN));
	}
	m = middle_of(value, MIDDLE_RUNS_MIN);
	assert_true(m.low == 1 && m.high == MIDDLE_RUNS_MIN);
	m = middle_of(value, 7); /* the table: the third mean, 2 */
	assert_true(m.low == 1.5 && m.high == 6.5);
	m = middle_of(value, 12); /* the table: the 14th mean */
	assert_true(m.low == 4 && m.high == 9);
	m = middle_of(far, ARRAY_SIZE(far));
	assert_true(m.is >= 4.5 && m.is <= 5.5);
}

/* What is dearer than half of the slices does not count, however dear it is. */
static void centres(void **state)
{
	double one[] = { 7 }, odd[] = { 9, 1, 3 }, noisy[] = { 1e9, 4, 1e6, 2 };

	(void)state;
	assert_true(centre_of(one, 1) == 7);
	assert_true(centre_of(odd, 3) == 2);
	assert_true(centre_of(noisy, 4) == 3);
}

/* Whatever is put in comes out within 1/HISTOGRAM_STEPS below it. */
static void histogram_error(void **state)
{
	struct histogram *h = calloc(1, sizeof(*h));

	(void)state;
	for (unsigned shift = 0; shift < 64; shift++)
		for (int off = -1; off <= 1; off++) {
			uint64_t value = (1ull << shift) + (uint64_t)off, got;

			*h = (struct histogram){ .n = 0 };
			histogram_add(h, value);
			got = histogram_at(h, .5);
			assert_true(got <= value);
			assert_true(value - got <= value / HISTOGRAM_STEPS);
		}
	free(h);
}

static void histogram_percentiles(void **state)
{
	struct histogram *h = calloc(1, sizeof(*h));

	(void)state;
	assert_int_equal(histogram_at(h, .5), 0);
	for (uint64_t i = 1; i <= 50; i++)
		histogram_add(h, i);
	assert_int_equal(histogram_at(h, .5), 25);
	assert_int_equal(histogram_at(h, .98), 49);
	assert_int_equal(histogram_at(h, 1), 50);
	assert_int_equal(histogram_at(h, 0), 1);
	free(h);
}

/* More bytes cost more, and a ring costs more than the copy it makes. Minima of several:
 * what else runs here can only add. */
static uint64_t ring_of(uint32_t size)
{
	return floor_ring(size, 64, 640);
}

static uint64_t receive_of(uint32_t size)
{
	return floor_ring_receive(size, 64, 640);
}

static uint64_t memcpy_of(uint32_t size)
{
	return floor_memcpy(size, 640);
}

/*
 * Whether a takes less of the processor than b. What else runs there adds to either, so it is
 * the least of several rounds that counts, taken in turn; of more of them while it is not so.
 */
static bool cheaper(uint64_t (*a)(uint32_t), uint32_t size_a, uint64_t (*b)(uint32_t),
		    uint32_t size_b)
{
	uint64_t least_a = UINT64_MAX, least_b = UINT64_MAX;

	for (int i = 0; i < 400 && (i < 20 || least_a >= least_b); i++) {
		least_a = MIN(least_a, a(size_a));
		least_b = MIN(least_b, b(size_b));
	}
	return least_a > 0 && least_a < least_b;
}

static void floors_are_floors(void **state)
{
	(void)state;
	assert_true(cheaper(ring_of, 60, ring_of, 4000));
	assert_true(cheaper(receive_of, 60, receive_of, 4000));
	assert_true(cheaper(memcpy_of, 60, memcpy_of, 4000));
	assert_true(cheaper(memcpy_of, 60, ring_of, 60));
	assert_true(cheaper(memcpy_of, 60, receive_of, 60));
}

static void calibration_is_steady(void **state)
{
	uint64_t least = UINT64_MAX, again = UINT64_MAX;

	(void)state;
	for (int i = 0; i < 100; i++) {
		least = MIN(least, calibration());
		again = MIN(again, calibration());
	}
	assert_true((double)MAX(least, again) < (double)MIN(least, again) * 1.5);
	assert_true(tsc_hz() > 1e8 && tsc_hz() < 1e11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(medians),
		cmocka_unit_test(middles),
		cmocka_unit_test(centres),
		cmocka_unit_test(histogram_error),
		cmocka_unit_test(histogram_percentiles),
		cmocka_unit_test(floors_are_floors),
		cmocka_unit_test(calibration_is_steady),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
