/* SPDX-License-Identifier: MIT */
/*
 * Rank 7: what the queue's own files share; nobody else includes this.
 */
#ifndef VIF_DATAPATH_QUEUE_PASS_H
#define VIF_DATAPATH_QUEUE_PASS_H

#include "queue.h"

static inline struct log_scope queue_scope(const struct queue *q)
{
	return (struct log_scope){ &q->vif, (int)q->number };
}

/* The guest broke the protocol: the queue moves nothing any more. */
void queue_break(struct queue *q, const char *why);

/* Publishes the ring's answers; signals 'port' and counts it in *notifies if the guest
 * asked for an event. */
void queue_publish(struct queue *q, struct ring *r, int port, uint64_t *notifies);

#endif
