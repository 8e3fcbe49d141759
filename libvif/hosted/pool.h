/* SPDX-License-Identifier: MIT */
/*
 * Small numbers to hand out (pages, grant references, ports): the lowest free
 * one first, counting from 'base' and round, so that a seed can move them all.
 */
#ifndef VIF_HOSTED_POOL_H
#define VIF_HOSTED_POOL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct hx_pool {
	uint64_t *used;
	uint32_t size, base;
	uint32_t hint; /* everything before it, counted from base, is used */
	uint32_t n_used;
};

static inline int hx_pool_init(struct hx_pool *pool, uint32_t size, uint32_t base)
{
	*pool = (struct hx_pool){ .used = calloc((size + 63) / 64, 8), .size = size, .base = base };
	return pool->used ? 0 : -ENOMEM;
}

static inline void hx_pool_fini(struct hx_pool *pool)
{
	free(pool->used);
	pool->used = NULL;
}

static inline bool hx_pool_has(const struct hx_pool *pool, uint32_t i)
{
	return i < pool->size && (pool->used[i / 64] >> i % 64 & 1);
}

static inline void hx_pool_take(struct hx_pool *pool, uint32_t i)
{
	pool->used[i / 64] |= (uint64_t)1 << i % 64;
	pool->n_used++;
}

static inline void hx_pool_put(struct hx_pool *pool, uint32_t i)
{
	uint32_t rank = (i + pool->size - pool->base) % pool->size;

	pool->used[i / 64] &= ~((uint64_t)1 << i % 64);
	pool->n_used--;
	if (rank < pool->hint)
		pool->hint = rank;
}

/* The next number, or -1 when all are used. */
static inline int64_t hx_pool_get(struct hx_pool *pool)
{
	for (; pool->hint < pool->size; pool->hint++) {
		uint32_t i = (pool->base + pool->hint) % pool->size;

		if (!hx_pool_has(pool, i)) {
			hx_pool_take(pool, i);
			pool->hint++;
			return i;
		}
	}
	return -1;
}

#endif
