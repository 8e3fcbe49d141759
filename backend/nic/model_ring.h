/* SPDX-License-Identifier: MIT */
/*
 * Rank 61: the indexes of a ring with one producer and one consumer, in different threads. The
 * entries are an array beside it, of a power of two.
 */
#ifndef VIF_NIC_MODEL_RING_H
#define VIF_NIC_MODEL_RING_H

#include "base.h"

struct model_ring {
	uint32_t head __attribute__((aligned(64))); /* the producer's */
	uint32_t tail __attribute__((aligned(64))); /* the consumer's */
};

/* Producer: how many entries there is room for, from index head on. */
static inline uint32_t model_ring_room(const struct model_ring *r, uint32_t size)
{
	return size - (r->head - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE));
}

/* Producer: n entries are written. */
static inline void model_ring_push(struct model_ring *r, uint32_t n)
{
	__atomic_store_n(&r->head, r->head + n, __ATOMIC_RELEASE);
}

/* Consumer: how many entries are there, from index tail on. */
static inline uint32_t model_ring_ready(const struct model_ring *r)
{
	return __atomic_load_n(&r->head, __ATOMIC_ACQUIRE) - r->tail;
}

/* Anybody: how many there are, by and large. */
static inline uint32_t model_ring_used(const struct model_ring *r)
{
	uint32_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);

	return __atomic_load_n(&r->head, __ATOMIC_ACQUIRE) - tail;
}

/* Consumer: n entries are read. */
static inline void model_ring_pop(struct model_ring *r, uint32_t n)
{
	__atomic_store_n(&r->tail, r->tail + n, __ATOMIC_RELEASE);
}

#endif
