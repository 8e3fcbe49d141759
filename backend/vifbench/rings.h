/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: rings and nothing else: vifd's (floor.h) beside vhost-user's and memif's
 * (peer.h), in turns. One processor, one copy of each byte, nobody looks at it.
 */
#ifndef VIFBENCH_RINGS_H
#define VIFBENCH_RINGS_H

#include "backend/vifbench/rows.h"

/* Appends rows "ring-floor", "vhost-ring", "memif-ring" to the report, with "ratio_ring":
 * the same turn's ring-floor is 1. A peer that is not installed is noted as missing. 0, or
 * -errno and why. */
int rings_measure(struct rows *r, char *why, size_t why_size) must_check;

#endif
