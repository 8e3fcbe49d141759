/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: rows of a report: one load on all paths of a lab, side by side (slices.h).
 *
 * In one lab a row has one run, all of its slices, and no ratio: that is of many labs (merge.h).
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
	const struct lab_part *part;
	struct path path[PATH_N];
	bool open[PATH_N];
	struct who who;
	int cpu; /* that everything runs on */
	struct sampler sampler;
	uint64_t quiet;	   /* the shortest calibration so far */
	uint64_t end;	   /* of the load that is being measured, tsc_now() */
	uint64_t patience; /* cycles that it may still wait for a quiet machine */
	uint64_t aside;	   /* cycles that the last load's samples and counts took */
	json_t *rows;	   /* the report's, appended to */
	json_t *missing;   /* what could not be had, a sentence each */
};

/* The share of a slice that may go to what is not of the lab: the kernel's own threads. */
#define STRANGERS_MAX 0.05

/* Whether a slice was disturbed: 'calibrated' is the longer of the calibrations around it,
 * 'strangers' the share of it in which the processor ran something that is not of the lab. */
bool rows_disturbed(struct rows *r, uint64_t calibrated, double strangers);

/* Finds how short a calibration is while nobody disturbs. */
void rows_calibrate(struct rows *r);

/* Measures l on each open path that can carry it, until 'end' (tsc_now()) or a little later, and
 * appends the rows. 0 or -errno: a socket failed. */
int rows_measure(struct rows *r, const struct load *l, uint64_t end) must_check;

/* Appends a row that has no path: n_runs values, which are sorted. Returns it, the report's. */
json_t *rows_add(struct rows *r, const char *name, const struct load *l, double values[],
		 bool disturbed);

/* Notes what is missing, once, for the report and on stderr. */
void rows_miss(struct rows *r, const char *what);

#endif
