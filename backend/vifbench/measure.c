/* SPDX-License-Identifier: MIT */
/* See measure.h. */
#include "backend/vifbench/measure.h"

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
	qsort(value, n, sizeof(*value), compare);
	return (struct summary){ .min = value[0],
				 .median = n % 2 ? value[n / 2]
						 : (value[n / 2 - 1] + value[n / 2]) / 2,
				 .max = value[n - 1],
				 .n = n };
}

uint64_t calibration(void)
{
	uint64_t x = 1, at = tsc_now();

	for (int i = 0; i < 1 << 18; i++)
		__asm__ volatile("imul $3, %0, %0" : "+r"(x));
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
