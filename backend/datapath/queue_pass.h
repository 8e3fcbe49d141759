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

/*
 * grant_copy() of the scratch's first n operations, which are this queue's own, through
 * its static grants where it can. Returns how many were left for Xen.
 */
uint32_t queue_copy(struct queue *q, uint32_t n);

/* If the vif has a control ring: makes room for the queue's grants, and for queue 0 maps
 * the ring and binds its port. 0, or -errno with *step set. */
int queue_ctrl_open(struct queue *q, const struct ipc_queue *cfg, const char **step) must_check;
/* Gives back what queue_ctrl_open() took, static grants first, however far it got. */
void queue_ctrl_close(struct queue *q);

/* After a resume: shows the earlier process's answers and tells of them. */
void queue_ctrl_carry_on(struct queue *q);
/* Its port fired. */
void queue_ctrl_on_event(struct queue *q);
/* Unmasks the port if its ring is dry. */
void queue_ctrl_settle(struct queue *q);

#endif
