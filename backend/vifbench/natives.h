/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: what native costs, from lab to lab. A ratio is known no better than that, and it is
 * another one in each lab, by more than the runs in one lab tell: the small difference of two
 * large costs, of a kernel that lays out its memory anew.
 */
#ifndef VIFBENCH_NATIVES_H
#define VIFBENCH_NATIVES_H

#include <jansson.h>

/* Of a lab's report: with each row ("native") what its ratio stands on, unless that is disturbed. */
void natives_note(json_t *report);

/* Of all labs' rows in one report: calls those disturbed whose native's cost differs by more than
 * 5 % between labs that are alike. */
void natives_compare(json_t *report);

#endif
