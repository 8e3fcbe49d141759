/* SPDX-License-Identifier: MIT */
/*
 * Rank 7: what the parts of the outer loop share; only backend/datapath/uring*.c include
 * this.
 *
 *	uring.c	    the ring, and the worker's sleep
 *	uring_tap.c operations for a queue's TAP and place, and what becomes of them
 */
#ifndef VIF_DATAPATH_URING_PARTS_H
#define VIF_DATAPATH_URING_PARTS_H

#include <liburing.h>
#include <poll.h>

#include "worker.h"

enum cookie_kind {
	COOKIE_CONTROL = 1,
	COOKIE_EVENTS,
	COOKIE_TAP_POLL,
	COOKIE_TAP_READ,
	COOKIE_TAP_WRITE,
	COOKIE_PLACE_POLL,
	COOKIE_CANCEL, /* its packet is the kind that is to end */
};

/* What the loop has under way for one queue's TAP. */
struct tap_state {
	bool polling;  /* a poll is outstanding */
	bool readable; /* frames may wait: read before polling again */
	bool closing;  /* release when idle */
	bool probing;  /* reads were submitted to see whether the TAP is dry */
	bool place_polling; /* of the queue's place on a NIC */
	bool place_first;   /* whose turn it is */
	uint16_t n_reading, n_writing;
	uint16_t burst; /* reads to submit at once: follows what arrives */
};

struct uring_loop {
	struct worker *w;
	struct io_uring ring;
	struct tap_state tap[IPC_QUEUES_MAX];
};

static inline uint64_t uring_cookie(enum cookie_kind kind, uint32_t slot, uint32_t packet)
{
	static_assert(IPC_QUEUES_MAX <= 1u << 16, "a slot fits 16 bits");
	return (uint64_t)kind << 56 | (uint64_t)slot << 32 | packet;
}

/* ---- uring.c ---- */

/* A submission to fill in; never NULL. May hand in those before it. */
struct io_uring_sqe *uring_sqe(struct uring_loop *l);

/* ---- uring_tap.c ---- */

extern const struct tap_ops uring_tap_ops;

/* A COOKIE_TAP_* or COOKIE_PLACE_POLL of the queue in 'slot' has completed. */
void uring_on_tap(struct uring_loop *l, enum cookie_kind kind, uint32_t slot, uint32_t packet,
		  int result);

/* So has the cancelling of a poll, which was of this kind. */
void uring_on_cancel(struct uring_loop *l, uint32_t slot, enum cookie_kind kind, int result);

#endif
