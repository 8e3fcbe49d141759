/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: the arithmetic of measuring: cycle counter, summaries, the histogram of
 * latencies, and the calibration that tells a disturbed run from a quiet one.
 */
#ifndef VIFBENCH_MEASURE_H
#define VIFBENCH_MEASURE_H

#include "base.h"

#define MEASURE_RUNS_MAX 64u

/* The time stamp counter: constant rate on every processor of the last decade. */
static inline uint64_t tsc_now(void)
{
#if defined(__x86_64__)
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
#else
#error "vifbench counts with the x86 time stamp counter"
#endif
}

/* Cycles of the counter in a second, measured once against CLOCK_MONOTONIC. */
double tsc_hz(void);

struct summary {
	double min, median, max;
	uint32_t n;
};

/* Sorts value[0..n), n >= 1. */
struct summary summary_of(double value[], uint32_t n);

/*
 * The middle of what value[0..n), 1 <= n <= MEASURE_RUNS_MAX, was drawn from, and the range in
 * which it is with 95 % confidence: the median of the means of all pairs (Hodges and Lehmann), a
 * pair of the same included, between two of these means equally far from the ends (Wilcoxon's
 * signed ranks). It bears a few values that are far off, and needs fewer than the median does.
 * Not sure: fewer than MIDDLE_RUNS_MIN cannot tell.
 */
#define MIDDLE_RUNS_MIN 6u
struct middle {
	double is, low, high;
	bool sure;
};

struct middle middle_of(const double value[], uint32_t n);

/* What slices cost, n >= 1 of them: the mean of the cheaper half. Neighbours in caches, in memory
 * and on the core's other thread only ever add, and not the same twice; what they add is in the
 * other half. Sorts cycles[]. */
double centre_of(double cycles[], uint32_t n);

/*
 * How long a fixed piece of arithmetic takes now, in cycles: some microseconds. It touches no
 * memory, and uses all that the processor can do at once: what makes it longer than the shortest
 * ever seen is somebody else on this processor, on the core's other thread, or a clock that
 * changed. (A chain of multiplications waits most of the time, and does not notice a neighbour
 * who makes everything else a third slower.)
 */
uint64_t calibration(void);

/* By how much two calibrations around a slice may exceed the shortest before it is called
 * disturbed. */
#define CALIBRATION_SLACK 1.05

/*
 * Log-linear: 32 linear steps in each power of two, so no value is off by more than 3 %.
 * Zeroed is empty.
 */
#define HISTOGRAM_STEPS 32u
struct histogram {
	uint64_t count[64 * HISTOGRAM_STEPS];
	uint64_t n;
};

void histogram_add(struct histogram *h, uint64_t value);

/* The value that 'fraction' of all do not exceed; 0 of an empty histogram. */
uint64_t histogram_at(const struct histogram *h, double fraction);

#endif
