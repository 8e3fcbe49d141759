/* SPDX-License-Identifier: MIT */
/*
 * Rank 7: a worker: the queues control gave it, its Xen handles, and what is due.
 * One thread owns each worker and everything in it; workers share nothing but the
 * read-only process settings.
 *
 * A worker never waits and never touches a TAP: an outer loop (uring.c, or a
 * stepped test) tells it what happened and is told through struct tap_ops what to
 * do. That makes a whole datapath steppable with a virtual clock.
 */
#ifndef VIF_DATAPATH_WORKER_H
#define VIF_DATAPATH_WORKER_H

#include "queue.h"
#include "timers.h"

/* What the outer loop does for a worker. 'loop' is the loop's own. */
struct tap_ops {
	/* The queue exists from now on: start to watch its TAP. 0 or -errno. */
	int (*attach)(void *loop, struct queue *q);
	/* Let go of the queue, then call worker_release(), at once or later. */
	void (*detach)(void *loop, struct queue *q);
	/* Write to_tap out; read from the TAP as queue_read_budget() allows. */
	void (*flush)(void *loop, struct queue *q);
	/* q's place on a NIC goes: watch it no more. */
	void (*forget_place)(void *loop, struct queue *q);
};

struct worker {
	uint32_t id;
	int sock; /* to control; nonblocking receives */
	struct ipc_shared *shared;
	struct grants grants;
	struct events events;
	struct queue_env env;

	struct queue **by_slot; /* [IPC_QUEUES_MAX] */
	struct queue **by_port; /* [n_ports], grows at attach */
	uint32_t n_ports;
	struct queue *ready_head, *ready_tail; /* queues with something due, in turn */
	struct timers timers;		       /* those with something due later */
	bool stop;

	const struct nic_port_ops *const *nic_ops; /* [NIC_PROVIDERS], the loop's, as tap */
	struct worker_port {
		const struct nic_port_ops *ops;
		struct nic_port *port; /* NULL: not open */
	} nic[IPC_NICS_MAX];	       /* by control's number */

	const struct tap_ops *tap;
	void *loop;
	bool tap_nowait; /* for the loop: TAPs take RWF_NOWAIT */
};

/* Opens the Xen handles. 0 or -errno with the reason in why. On success the worker
 * owns sock. */
int worker_open(struct worker *w, uint32_t id, int sock, struct ipc_shared *shared, char *why,
		size_t why_size) must_check;

/* Closes every queue, publishing what was answered, then the handles. The outer loop must
 * have no transfer under way. Waits until NICs let go of what they were lent. */
void worker_close(struct worker *w);

/* Control's socket is readable: obeys all messages that wait. Sets stop when control says
 * so or is gone. */
void worker_on_control(struct worker *w);

/* The evtchn handle is readable. */
void worker_on_events(struct worker *w);

/* When worker_on_time() is to be called, by the clock of env.now_ns; UINT64_MAX: not at all,
 * an idle worker sleeps until something happens. */
uint64_t worker_deadline(const struct worker *w);

/* Puts the queues in line whose time has come. */
void worker_on_time(struct worker *w);

/* Puts the queue in line for the next pass. */
void worker_mark_ready(struct worker *w, struct queue *q);

/* Queues that have a turn in one pass: what they may have under way at once is bounded. */
#define WORKER_TURNS_MAX 32u

/* Gives each queue in line one turn, WORKER_TURNS_MAX of them. Returns whether any is in
 * line still or again. */
bool worker_pass(struct worker *w);

/* Somebody deleted the queue's netdev: stops the queue and tells control. */
void worker_tap_gone(struct worker *w, struct queue *q);

/* The outer loop holds nothing of the queue any more: closes it and tells control. */
void worker_release(struct worker *w, struct queue *q);

/* Tells control the handles and the loop are up, or why not. */
void worker_say_ready(struct worker *w, int status, const char *why);

#endif
