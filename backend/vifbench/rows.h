/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: rows of a report: one load on all paths of a lab, side by side.
 *
 * Paths are measured one after the other, in turns, so that whatever drifts, drifts for
 * all. A turn in which somebody else had the processor is thrown away and taken again, half
 * as many times as there are turns; what is then left of such turns marks its row.
 */
#ifndef VIFBENCH_ROWS_H
#define VIFBENCH_ROWS_H

#include "backend/vifbench/bench.h"
#include "backend/vifbench/load.h"
#include "backend/vifbench/path.h"
#include "backend/vifbench/sampler.h"
#include "backend/vifbench/who.h"

struct rows {
	const struct lab_options *o;
	struct path path[PATH_N];
	bool open[PATH_N];
	struct who who;
	int cpu; /* that everything runs on */
	struct sampler sampler;
	uint64_t quiet;	 /* the shortest calibration so far */
	json_t *rows;	 /* the report's, appended to */
	json_t *missing; /* what could not be had, a sentence each */
};

/* Whether a run between two calibrations was disturbed; 'strangers' is the share of it in
 * which the processor ran something that is not of the lab. */
bool rows_disturbed(struct rows *r, uint64_t before, uint64_t after, double strangers);

/* Measures l on each open path that can carry it, and appends the rows. 0 or -errno: a
 * socket failed. */
int rows_measure(struct rows *r, const struct load *l) must_check;

/* Appends a row that has no path: n_runs values, which are sorted. Returns it, the report's. */
json_t *rows_add(struct rows *r, const char *name, const struct load *l, double values[],
		 bool disturbed);

/* Notes what is missing, once, for the report and on stderr. */
void rows_miss(struct rows *r, const char *what);

#endif
