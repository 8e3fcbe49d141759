/* SPDX-License-Identifier: MIT */
/*
 * The frontend's side of a shared ring: requests out, responses in.
 *
 * The page is written by the backend too. Our indices are private; a response is
 * copied out once; a response index that answers what was never asked is refused.
 *
 * Source: xen/io/ring.h FRONT_RING_*, RING_PUSH_REQUESTS_AND_CHECK_NOTIFY,
 * RING_FINAL_CHECK_FOR_RESPONSES, RING_RESPONSE_PROD_OVERFLOW.
 */
#ifndef FRONTEND_FRONT_RING_H
#define FRONTEND_FRONT_RING_H

#include "ring.h"

/* Indices run freely and wrap at 2^32. */
struct front_ring {
	void *page;
	size_t slot_size;  /* 12 guest-transmit, 8 guest-receive, 16 control */
	uint32_t n_slots;  /* a power of two */
	RING_IDX req_prod; /* requests written */
	RING_IDX req_pub;  /* requests the backend was shown */
	RING_IDX rsp_cons; /* responses consumed */
};

/* Makes an empty ring in a fresh page. */
void front_ring_init(struct front_ring *r, void *page, size_t slot_size, uint32_t n_slots);

/* Slots a request may be written to. */
static inline uint32_t front_ring_free(const struct front_ring *r)
{
	return r->n_slots - (r->req_prod - r->rsp_cons);
}

/* Writes the next request, of slot_size bytes, not shown yet. Precondition: a free slot. */
void front_ring_put(struct front_ring *r, const void *request);

/* Shows the requests written. Returns whether the backend wants an event for it. */
bool front_ring_push(struct front_ring *r) must_check;

/* Responses not consumed, or -EPROTO: more than there are requests to answer. */
int front_ring_pending(const struct front_ring *r) must_check;

/* Copies 'size' bytes of the i-th response not consumed. Precondition: i < pending. */
void front_ring_peek(const struct front_ring *r, uint32_t i, void *out, size_t size);

static inline void front_ring_consume(struct front_ring *r, uint32_t n)
{
	r->rsp_cons += n;
}

/* Before sleeping: asks for an event once 'n' >= 1 responses are there. Returns
 * front_ring_pending() as of after that: if it is >= n, no event may come. */
int front_ring_arm(struct front_ring *r, uint32_t n) must_check;

#endif
