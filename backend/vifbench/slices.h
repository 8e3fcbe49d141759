/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: one load on all paths of a lab, in slices of about a millisecond.
 *
 * A machine is disturbed in pieces: a hypervisor takes the processor away for a while, a
 * neighbour uses the other hyperthread for some milliseconds, somebody's thread is due. What is
 * measured in one piece of 40 ms holds one of these nearly always; of slices of 1 ms most are
 * quiet, and those that are not are thrown away.
 *
 * Slices of all paths are interleaved, so that whatever drifts drifts for all. The generator and
 * native Linux, whose small difference all ratios stand on, stand before each of the others and
 * behind the last: they are measured often. A path's cost is that of the cheaper half of its quiet
 * slices: neighbours in caches, in memory and on the core's other thread only ever add, and not
 * the same twice; what they add is in the other half.
 *
 * Costs vary with a neighbour's noise, and with how the scheduler happens to mix who carries the
 * packets. The first is not ours to tell; the mean of all quiet slices is told besides, for the
 * second.
 */
#ifndef VIFBENCH_SLICES_H
#define VIFBENCH_SLICES_H

#include "backend/vifbench/rows.h"

/* What is kept of a path. */
#define SLICES_MAX 256u

/* What must have been quiet for a cost to be told as quiet: so many, and one of so many. */
#define SLICES_QUIET_MIN 2u
#define SLICES_QUIET_OF	 3u

struct pile {
	struct pile_slice {
		double cycles, packets;
	} slice[SLICES_MAX];
	uint32_t n;
};

/* What slices came to together. */
struct sums {
	uint64_t n_packets, cycles;
	double hidden; /* cycles nobody of the lab spent */
	struct who_spent spent;
};

struct measured {
	struct pile pile[2]; /* [quiet] */
	struct sums quiet, loud;
	uint64_t n_lost;
};

/* One load on all paths: what each was given and came to. */
struct slices {
	struct load load[PATH_N]; /* the sink's differs */
	bool wanted[PATH_N];
	struct measured path[PATH_N];
};

/* Prepares for 'l' on each open path that can carry it. False: there is none but the generator
 * and native. */
bool slices_begin(struct slices *s, struct rows *r, const struct load *l);

/* Takes slices of all paths in turns until r->end, or there are enough; one turn at least.
 * 0 or -errno: a socket failed. */
int slices_take(struct slices *s, struct rows *r) must_check;

/* What a packet of a path that is wanted cost, generator included. *quiet: whether that is of
 * quiet slices; a path that has too few of them tells what it has. */
double slices_cost(struct slices *s, enum path_kind kind, bool *quiet);

/* Who is in the kernel and who is not: slices of their own, as sampling costs. 0 or -errno. */
int slices_sample(struct slices *s, struct rows *r, enum path_kind kind,
		  struct sampler_split *out) must_check;

#endif
