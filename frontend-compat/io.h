/* SPDX-License-Identifier: MIT */
/*
 * The parts of the data path (io.c, io_tx.c, io_rx.c), among themselves.
 */
#ifndef FRONTEND_IO_H
#define FRONTEND_IO_H

#include "frontend-compat/netfront.h"

/* Requests written but not shown: enough to make a batch, few enough that the backend
 * works while we do. */
#define PUSH_SLOTS 32u

/* What there is to know about one pass over one queue. */
struct pass {
	struct netfront *nf;
	struct netfront_queue *q;
	uint32_t index; /* of the queue */
};

/* The backend broke the protocol: "Disabled for further use" (xen-netfront.c). */
void io_disable(struct pass *p, const char *why);

/* Takes back what the backend answered. */
void tx_reap(struct pass *p);

/* Moves frames from the stack to the ring. Returns whether the stack may have more and there is
 * room for them. */
bool tx_pass(struct pass *p);

/* Moves frames from the ring to the stack and posts buffers. Returns whether responses were left
 * for the next pass. */
bool rx_pass(struct pass *p);

#endif
