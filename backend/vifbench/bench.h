/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: what vifbench's commands share: a report is a JSON object, printed as it is or
 * as a table.
 *
 *	{"bench": "lab", "machine": {...},
 *	 "rows": [{"name", "size", "direction", "burst", "guests",
 *		   "cycles_per_packet": {"median", "min", "max"}, "mean_of_all_slices",
 *		   "runs", "quiet_runs", "ratio_native", "ratio_range": [low, high], "of_native",
 *		   "generator", "disturbed", "lost",
 *		   "split": {PART: cycles},
 *		   "in_kernel": {PART: share}, "counts": {...}}],
 *	 "latency": [{"name", "round_trips", "us": {"p50", "p99", "p99.9"}}],
 *	 "missing": [what could not be had, a sentence each]}
 *
 * A size of 0 is the TCP stream; a burst of 0, as fast as the socket takes them. Numbers
 * that could not be had are null.
 */
#ifndef VIFBENCH_BENCH_H
#define VIFBENCH_BENCH_H

#include <jansson.h>
#include <stdio.h>

#include "base.h"

/* Native's of all kinds of labs whose wires are alike, at most four, come to MEASURE_RUNS_MAX. */
#define LAB_RUNS_MAX 16u

struct lab_options {
	uint32_t n_runs;  /* of each row, each in a lab of its own: 1..LAB_RUNS_MAX */
	uint32_t limit_s; /* what all labs together may take */
	bool quick;	 /* fewer sizes and bursts */
	bool peers;	 /* DPDK's rings beside vifd's, instead of all of vifd's paths */
	int cpu;	 /* -1: the last one allowed */
};

/* What one of many labs is for. */
struct lab_part {
	uint32_t limit_ms; /* what its rows may take */
	bool again; /* one of this kind told the rest: floors, counts, samples, round trips */
};

/* 'vifbench lab' inside a lab: measures and returns the report, a new object. NULL: why says what is wrong. */
json_t *lab_measure(const struct lab_options *o, const struct lab_part *part, char *why,
		    size_t why_size);

/* The report of what 'make bench-xen' wrote into 'file' (instructions_per_packet instead of
 * cycles_per_packet; ratio_netback, lost_percent besides), a new object. NULL: why says what
 * is wrong. */
json_t *xen_report(const char *file, char *why, size_t why_size);

/* The report as a table for people. */
void table_print(const json_t *report, FILE *out);

/* Writes performance.md, a part for each of reports[0..n), and its plots into 'dir', which is
 * made if need be. 0 or -errno. */
int report_write(json_t *const reports[], size_t n, const char *dir) must_check;

/* {"cpu", "kernel", "hz", "cpus", "vifd"} of this machine, a new object. */
json_t *machine_describe(void);

#endif
