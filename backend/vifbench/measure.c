/* SPDX-License-Identifier: MIT */
/* See measure.h. */
#include "backend/vifbench/measure.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

double tsc_hz(void)
{
	static double hz;
	uint64_t ns, tsc;

	if (hz > 0)
		return hz;
	ns = clock_ns();
	tsc = tsc_now();
	while (clock_ns() - ns < 50 * NS_PER_MS)
		;
	ns = clock_ns() - ns;
	hz = (double)(tsc_now() - tsc) * 1e9 / (double)ns;
	return hz;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct summary summary_of(double value[], uint32_t n)
{
	assert(n >= 1);
	/* cppcheck-suppress uninitvar ; middle_of() has at least one */
	qsort(value, n, sizeof(*value), compare);
	return (struct summary){ .min = value[0],
				 .median =
				     n % 2 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2,
				 .max = value[n - 1],
				 .n = n };
}

struct middle middle_of(const double value[], uint32_t n)
{
	double mean[MEASURE_RUNS_MAX * (MEASURE_RUNS_MAX + 1) / 2], ranks = n * (n + 1) / 2.;
	/* The rank sum's mean, less 1.96 of its standard deviations and what rounding may add. */
	double k = ranks / 2 - 1.96 * sqrt(ranks * (2 * n + 1) / 12) - .5;
	uint32_t n_means = 0, out = k > 0 ? (uint32_t)k : 0;

	assert(n >= 1 && n <= MEASURE_RUNS_MAX);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = i; j < n; j++)
			mean[n_means++] = (value[i] + value[j]) / 2;
	return (struct middle){ .is = summary_of(mean, n_means).median,
				.low = mean[out],
				.high = mean[n_means - 1 - out],
				.sure = n >= MIDDLE_RUNS_MIN };
}

double centre_of(double cycles[], uint32_t n)
{
	uint32_t half = (n + 1) / 2;
	double sum = 0;

	qsort(cycles, n, sizeof(*cycles), compare);
	for (uint32_t i = 0; i < half; i++)
		sum += cycles[i];
	return sum / half;
}

uint64_t calibration(void)
{
	uint64_t a = 1, b = 1, c = 1, d = 1, at = tsc_now();

	for (int i = 0; i < 1 << 13; i++)
		__asm__ volatile("add $3, %0\n\tadd $3, %1\n\tadd $3, %2\n\tadd $3, %3\n\t"
				 "xor $5, %0\n\txor $5, %1\n\txor $5, %2\n\txor $5, %3"
				 : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
	return tsc_now() - at;
}

static uint32_t bucket_of(uint64_t value)
{
	uint32_t shift = 0;

	while (value >> shift >= 2 * HISTOGRAM_STEPS)
		shift++;
	/* Below 2 * STEPS each value has its own bucket; above, STEPS for each doubling. */
	return shift * HISTOGRAM_STEPS + (uint32_t)(value >> shift);
}

static uint64_t value_of(uint32_t bucket)
{
	uint32_t shift = bucket < 2 * HISTOGRAM_STEPS ? 0 : bucket / HISTOGRAM_STEPS - 1;

	return (uint64_t)(bucket - shift * HISTOGRAM_STEPS) << shift;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	uint32_t bucket = bucket_of(value);

	static_assert(ARRAY_SIZE(h->count) >= (64 - 6) * HISTOGRAM_STEPS + 2 * HISTOGRAM_STEPS,
		      "every 64-bit value has a bucket");
	h->count[bucket]++;
	h->n++;
}

uint64_t histogram_at(const struct histogram *h, double fraction)
{
	uint64_t wanted = (uint64_t)((double)h->n * fraction), seen = 0;

	for (uint32_t i = 0; i < ARRAY_SIZE(h->count); i++) {
		seen += h->count[i];
		if (h->count[i] && seen > (wanted ? wanted - 1 : 0))
			return value_of(i);
	}
	return 0;
}
