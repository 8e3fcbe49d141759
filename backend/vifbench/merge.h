/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: one report of many labs.
 *
 * What a path costs differs from one lab to the next by more than slices in one lab tell: a
 * kernel lays out its memory anew. So a lab counts as one run, and a row's figures are of all
 * labs of its kind.
 *
 * A ratio is not taken lab by lab: native's cost is the small difference of two large ones, that
 * with the generator and the generator's alone, and the ratio's error would nearly all be its.
 * But two things are known well. A path's cost as a part of native's with the generator
 * ("of_native"), in its own lab, which does not depend on how fast the machine just is; and that
 * of native itself, over all labs whose wires are alike, of which there are many. The ratio is
 * the one over the other.
 */
#ifndef VIFBENCH_MERGE_H
#define VIFBENCH_MERGE_H

#include <jansson.h>
#include <stddef.h>

/* labs[0..n): of each kind an array of its labs' reports (bench.h), the first of which holds
 * what is told once only; or an empty one. Returns a new report. */
json_t *merge_labs(json_t *const labs[], size_t n);

#endif
