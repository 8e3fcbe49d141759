/* SPDX-License-Identifier: MIT */
/*
 * What every unit test includes: cmocka with the headers it wants before it, and a
 * generator whose numbers are the same in every run.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base.h"

/* xorshift64*; Vigna, "An experimental exploration of Marsaglia's xorshift generators". */
struct random {
	uint64_t state; /* not 0 */
};

static inline uint32_t random_next(struct random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return (uint32_t)((r->state * 0x2545f4914f6cdd1dull) >> 32);
}

/* 0 <= result < n */
static inline uint32_t random_below(struct random *r, uint32_t n)
{
	return (uint32_t)(((uint64_t)random_next(r) * n) >> 32);
}

#endif
