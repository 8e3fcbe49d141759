/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: what vifd does for a packet at saturation, as it counts itself (tally.h): no
 * timing, so it repeats. System calls are counted by strace, where there is one.
 */
#ifndef VIFBENCH_COUNTS_H
#define VIFBENCH_COUNTS_H

#include <jansson.h>

#include "backend/vifbench/load.h"
#include "backend/vifbench/path.h"

/* tally_between(), and "syscalls" of vifd's workers, each a packet; a new object. Null for
 * what could not be had. */
json_t *counts_of(const struct path *p, const struct load *l);

#endif
