/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: what the parts of 'vifbench report' share: the page, its rows, its plots.
 */
#ifndef VIFBENCH_REPORT_H
#define VIFBENCH_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "base.h"

/* The load the article's chart is about: full frames, received, at saturation. */
#define CHART_SIZE  1500
#define CHART_BURST 64

/* The same measured once more: ratios that both have, undisturbed ones among them, and of these
 * what differs. */
struct report_again {
	uint32_t n_both, n_quiet, n_apart;
	double worst; /* a part of the ratio */
};

struct report {
	const json_t *json;
	struct report_again again; /* n_both 0: it was not */
	const char *dir;
	FILE *out;  /* the page */
	bool plots; /* gnuplot is there */
};

/* Rows that are shown side by side, in this order. */
#define REPORT_NAMES 9
extern const char *const report_names[REPORT_NAMES];

struct report_load {
	const char *direction;
	int size, burst, guests;
};

/* NULL: there is none. */
const json_t *report_row(const json_t *report, const char *name, const struct report_load *l);

/* row[object][key], or row[key]; 0 for what there is not. */
double report_number(const json_t *row, const char *object, const char *key);

/* Pictures of a lab's or the peers' report, each put on the page. Without gnuplot: nothing. */
void plots_lab(const struct report *r);
void plots_peers(const struct report *r);

#endif
