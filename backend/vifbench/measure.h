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
 * How long a fixed piece of arithmetic takes now, in cycles. It touches no memory: what
 * makes it longer than the shortest ever seen is somebody else on this processor (or its
 * sibling, or a clock that changed).
 */
uint64_t calibration(void);

/* By how much two calibrations around a run may exceed the shortest before the run is
 * called disturbed. */
#define CALIBRATION_SLACK 1.03

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
