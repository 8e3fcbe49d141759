/* SPDX-License-Identifier: MIT */
/*
 * Rank 7: when queues want to be looked at although nothing happens: a worker's queues
 * ordered by time, the earliest first. A queue is in it once or not at all; it says when
 * (queue_deadline()), and is told (queue_on_time()). Owner: the worker.
 */
#ifndef VIF_DATAPATH_TIMERS_H
#define VIF_DATAPATH_TIMERS_H

#include "queue.h"

struct timers {
	struct queue **heap; /* [1..n]: each earlier than its children, 2i and 2i + 1 */
	uint32_t n;
};

/* Room for n_max queues. 0 or -ENOMEM. */
int timers_init(struct timers *t, uint32_t n_max) must_check;
void timers_fini(struct timers *t);

/* From now on q is due at wake_ns, at UINT64_MAX never. */
void timers_set(struct timers *t, struct queue *q, uint64_t wake_ns);

/* When the next queue is due; UINT64_MAX: none. */
uint64_t timers_next(const struct timers *t);

/* Takes out a queue that is due; NULL: none. */
struct queue *timers_take(struct timers *t, uint64_t now_ns);

#endif
