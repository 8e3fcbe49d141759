/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: the floors (floor.h) as rows: in slices, of which those are taken again in which
 * somebody else had the processor.
 */
#ifndef VIFBENCH_FLOORS_H
#define VIFBENCH_FLOORS_H

#include "backend/vifbench/floor.h"
#include "backend/vifbench/rows.h"

/* A run: cycles a packet of 'floor', with l's IP packets as frames. Returns whether it was quiet.
 */
bool floors_run(struct rows *r, floor_fn *floor, const struct load *l, double *cycles) must_check;

/* Appends the rows of all floors. */
void floors_measure(struct rows *r);

#endif
