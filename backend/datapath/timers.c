/* SPDX-License-Identifier: MIT */
/* A binary heap; each queue knows its place (timer_place, 0: not in it). */
#include "timers.h"

#include <stdlib.h>

int timers_init(struct timers *t, uint32_t n_max)
{
	*t = (struct timers){ .heap = calloc(n_max + 1, sizeof(struct queue *)) };
	return t->heap ? 0 : -ENOMEM;
}

void timers_fini(struct timers *t)
{
	free(t->heap);
	t->heap = NULL;
}

static void put_at(struct timers *t, uint32_t i, struct queue *q)
{
	t->heap[i] = q;
	q->timer_place = i;
}

/* Puts q at i or where it belongs above or below. */
static void settle(struct timers *t, uint32_t i, struct queue *q)
{
	for (; i > 1 && q->wake_ns < t->heap[i / 2]->wake_ns; i /= 2)
		put_at(t, i, t->heap[i / 2]);
	for (uint32_t child; (child = 2 * i) <= t->n; i = child) {
		if (child < t->n && t->heap[child + 1]->wake_ns < t->heap[child]->wake_ns)
			child++;
		if (q->wake_ns <= t->heap[child]->wake_ns)
			break;
		put_at(t, i, t->heap[child]);
	}
	put_at(t, i, q);
}

static void take_out(struct timers *t, struct queue *q)
{
	uint32_t i = q->timer_place;
	struct queue *last = t->heap[t->n--];

	q->timer_place = 0;
	if (last != q)
		settle(t, i, last);
}

void timers_set(struct timers *t, struct queue *q, uint64_t wake_ns)
{
	if (wake_ns == UINT64_MAX) {
		if (q->timer_place)
			take_out(t, q);
		return;
	}
	if (q->timer_place && q->wake_ns == wake_ns)
		return;
	q->wake_ns = wake_ns;
	settle(t, q->timer_place ? q->timer_place : ++t->n, q);
}

uint64_t timers_next(const struct timers *t)
{
	return t->n ? t->heap[1]->wake_ns : UINT64_MAX;
}

struct queue *timers_take(struct timers *t, uint64_t now_ns)
{
	struct queue *q;

	if (timers_next(t) > now_ns)
		return NULL;
	q = t->heap[1];
	take_out(t, q);
	return q;
}
