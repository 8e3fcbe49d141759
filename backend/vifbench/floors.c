/* SPDX-License-Identifier: MIT */
/* See floors.h. */
#include "backend/vifbench/floors.h"

#include <time.h>

#define SLICES		8
#define FRAMES		(64u * 64) /* a slice's */
#define TRIES		8
#define ETHERNET_HEADER 14

/* Between tries: for a neighbour to be done. */
#define PAUSE_NS 2000000

static uint64_t ns_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* One slice: cycles a packet, and whether it was quiet. */
static bool take_slice(struct rows *r, floor_fn *floor, const struct load *l, double *cycles)
{
	uint64_t before = calibration(), after, at = ns_of(CLOCK_MONOTONIC);
	uint64_t ran = ns_of(CLOCK_THREAD_CPUTIME_ID);

	*cycles = (double)floor(l->size + ETHERNET_HEADER, l->burst, FRAMES) / FRAMES;
	ran = ns_of(CLOCK_THREAD_CPUTIME_ID) - ran;
	at = ns_of(CLOCK_MONOTONIC) - at;
	after = calibration();
	return !rows_disturbed(r, MAX(before, after), 1 - (double)ran / (double)at);
}

bool floors_run(struct rows *r, floor_fn *floor, const struct load *l, double *cycles)
{
	double quiet[SLICES], all[SLICES];
	uint32_t n_quiet = 0;

	for (uint32_t i = 0; i < SLICES; i++) {
		bool is_quiet = false;

		for (int try = 0; try < TRIES && !is_quiet; try++) {
			if (try)
				nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
			is_quiet = take_slice(r, floor, l, &all[i]);
		}
		if (is_quiet)
			quiet[n_quiet++] = all[i];
	}
	*cycles = n_quiet ? centre_of(quiet, n_quiet) : centre_of(all, SLICES);
	return n_quiet * 2 >= SLICES;
}

static uint64_t only_copy(uint32_t size, uint32_t burst, uint32_t n)
{
	(void)burst;
	return floor_memcpy(size, n);
}

static void measure(struct rows *r, const char *name, floor_fn *floor, const struct load *l)
{
	double cycles[MEASURE_RUNS_MAX];
	uint32_t n_quiet = 0;

	for (uint32_t run = 0; run < r->o->n_runs; run++)
		n_quiet += floors_run(r, floor, l, &cycles[run]);
	rows_add(r, name, l, cycles, n_quiet * 2 <= r->o->n_runs);
}

void floors_measure(struct rows *r)
{
	static const uint32_t sizes[] = { 64, 576, 1500 };

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		const struct load receive = { sizes[s], 64, 1, RECEIVE };
		const struct load send = { sizes[s], 64, 1, SEND };

		measure(r, "ring-floor", floor_ring_receive, &receive);
		measure(r, "ring-floor", floor_ring, &send);
		measure(r, "memcpy-floor", only_copy, &send);
	}
}
