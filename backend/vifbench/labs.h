/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: the labs that 'vifbench lab' and 'vifbench peers' measure in: vif-lab, which
 * stands beside vifbench where both were built, runs vifbench again inside each.
 */
#ifndef VIFBENCH_LABS_H
#define VIFBENCH_LABS_H

#include <limits.h>

#include "backend/vifbench/bench.h"

/* Where vifbench itself stands. 0 or -errno. */
int labs_directory(char out[PATH_MAX]) must_check;

/* Measures in all labs that 'o' asks for, argv being vifbench's own. Returns the report, a
 * new object; NULL if the first failed, which said why. What is missing of the others is
 * told in the report. */
json_t *labs_measure(char **argv, const struct lab_options *o);

/* In one of those labs: measures what labs_measure(), of the vifbench outside, wants of it, and
 * says so in the environment. Returns as lab_measure() does. */
json_t *labs_measure_part(const struct lab_options *o, char *why, size_t why_size);

#endif
