/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: how much of each part's time is the kernel's: the processor is interrupted by
 * its timer at a fixed rate and noted where it was (perf_event_open(2), the software
 * event cpu-clock: it needs no counters of the processor's, so a virtual machine has it).
 */
#ifndef VIFBENCH_SAMPLER_H
#define VIFBENCH_SAMPLER_H

#include "backend/vifbench/who.h"

struct sampler {
	int fd; /* -1: not to be had; the others then do nothing */
	void *ring;
};

/* How many samples were taken where. */
struct sampler_split {
	uint32_t kernel[PART_N], user[PART_N];
};

/* Samples 'cpu', stopped at first. 0 or -errno: then s is one that does nothing. */
int sampler_open(struct sampler *s, int cpu) must_check;
void sampler_close(struct sampler *s);

/* What is sampled between the two is added to *out; threads that are not in w are left out. */
void sampler_begin(struct sampler *s);
void sampler_end(struct sampler *s, const struct who *w, struct sampler_split *out);

#endif
