/* SPDX-License-Identifier: MIT */
/*
 * Rank 2: the backend's side of the three shared rings.
 *
 * The trust boundary runs through this file. The ring page is the guest's: it
 * may change at any instant. Each slot is copied out exactly once per attempt
 * and nothing validated is read from the page again (XSA-155); no pointer into
 * the page leaves this module. Producer indices are bounded before use (XSA-39).
 * Our own indices are private and only ever written to the page.
 *
 * All are single producer, single consumer; owner: the queue's worker.
 *
 * Source: xen/io/ring.h, netif.h. The layout is ring.h's (DEFINE_RING_TYPES);
 * the macros are not used, because they hand out pointers into the page.
 */
#ifndef VIF_RING_H
#define VIF_RING_H

#include "base.h"

#include <xen/xen.h>
#include <xen/io/ring.h>
#include <xen/io/netif.h>

/* What a 4 KiB page holds: of guest-transmit and guest-receive slots, and of the control
 * ring's larger ones; static_assert'd in ring.c. */
#define RING_SLOTS	256u
#define CTRL_RING_SLOTS 128u

/* One request slot of the guest-transmit ring: a request, or extra info. */
union from_guest_slot {
	netif_tx_request_t req;
	netif_extra_info_t extra;
};

/* One response slot of the guest-receive ring. */
union to_guest_slot {
	netif_rx_response_t rsp;
	netif_extra_info_t extra;
};

static_assert(sizeof(netif_extra_info_t) <= sizeof(netif_rx_response_t), "netif.h: extra fits");

/*
 * Answers written and maybe not yet published, in memory that outlives this
 * process. A frame's responses are noted here, then rsp_prod moves past all of
 * them, then they overwrite their requests in the page; so whoever takes the ring
 * over after a crash knows exactly which slots may no longer hold requests: it
 * writes [shared rsp_prod, rsp_prod) again from here and carries on. Every other
 * consumed request still stands in its slot, since answers go in slot order, and
 * is simply consumed again. No pointers, fixed size: it lives in a memfd the
 * control process holds.
 */
struct ring_journal {
	RING_IDX rsp_prod;
	uint32_t valid; /* RING_JOURNAL_VALID once a ring was attached */
	/* Each slot's in turn: 8 bytes, or 16 where there are half as many (control). */
	uint8_t response[RING_SLOTS * 8];
};
#define RING_JOURNAL_VALID 0x4a524e31u

/* What all three keep. Indices run freely and wrap at 2^32. */
struct ring {
	void *page;	   /* netif_tx_sring_t or alike: the guest's memory */
	uint32_t n_slots;
	uint32_t slot_size;	/* 12 guest-transmit, 8 guest-receive, 16 control */
	uint32_t response_size; /* in the journal, at most a slot's */
	RING_IDX req_cons; /* requests consumed */
	RING_IDX rsp_prod; /* responses written, maybe not yet published */
	RING_IDX rsp_pub;  /* responses published in the page */
	RING_IDX rsp_joined; /* rsp_pub when the ring was joined */
	bool tells_taken;    /* the guest showed some time what it had taken: ring_is_taken() */
	uint32_t n_untold;   /* publications before that, RING_SLOTS at most */
	struct ring_journal *journal;
};

/*
 * Joins a ring, new or live, at the shared rsp_prod. A journal left by an earlier
 * process is replayed when 'resume' and valid, else begun anew. 'journal' must
 * outlive the ring.
 *
 * What was replayed becomes visible with the next ring_publish(). The earlier process
 * may have published and died before it sent the event, or consumed without answering:
 * after a resume send one event and look at the ring, whatever ring_publish() says.
 *
 * -EPROTO: impossible indices (req_prod - rsp_prod > n_slots, or a journal that
 * is not between the two).
 */
int from_guest_ring_attach(struct ring *r, void *page, struct ring_journal *journal, bool resume)
	must_check;
int to_guest_ring_attach(struct ring *r, void *page, struct ring_journal *journal, bool resume)
	must_check;
int ctrl_ring_attach(struct ring *r, void *page, struct ring_journal *journal, bool resume)
	must_check;

/*
 * Requests published and not consumed, 0..n_slots, or -EPROTO when the guest's
 * producer is more than a ring ahead of the responses it was shown, or went back
 * behind what was consumed (XSA-39): fatal to the vif.
 * Acquires: slots up to the returned count may be read after it.
 */
int ring_pending(const struct ring *r) must_check;

/* Copy out the n requests that follow req_cons, without consuming them.
 * Precondition: n <= ring_pending(). */
void from_guest_peek(const struct ring *r, uint32_t n, union from_guest_slot out[]);
void to_guest_peek(const struct ring *r, uint32_t n, netif_rx_request_t out[]);
void ctrl_peek(const struct ring *r, struct xen_netif_ctrl_request *out); /* the next one */

/* Consumes n requests. */
static inline void ring_consume(struct ring *r, uint32_t n)
{
	r->req_cons += n;
}

/* Gives back the n requests consumed last: they are pending again, and what was read of
 * them is not to be used. Precondition: they are not answered. */
static inline void ring_give_back(struct ring *r, uint32_t n)
{
	assert(n <= r->req_cons - r->rsp_prod);
	r->req_cons -= n;
}

/*
 * Answers the next n consumed requests, unused bytes of each slot zero (protocol.md 2).
 * Give all of a frame's answers in one call: whoever takes the ring over after a crash
 * finds either all n of them noted or none, never half a frame. Not visible to the guest
 * until ring_publish(). Precondition: n consumed requests are unanswered.
 */
void from_guest_respond(struct ring *r, const netif_tx_response_t rsp[], uint32_t n);
void to_guest_respond(struct ring *r, const union to_guest_slot rsp[], uint32_t n);
void ctrl_respond(struct ring *r, const struct xen_netif_ctrl_response *rsp); /* to one */

/* Publishes the responses written so far. Returns whether the peer's rsp_event was
 * crossed, i.e. an event must be sent. */
bool ring_publish(struct ring *r) must_check;

/*
 * Whether the guest has for certain taken every response before index 'end', all of which were
 * published. Either it asks to be told of the very next one, as who runs
 * RING_FINAL_CHECK_FOR_RESPONSES (ring.h) does with an empty ring; or it has filled the ring with
 * requests to beyond there: a slot is free for one when its response was taken. A frontend that
 * asks for its events otherwise, and keeps slots free, may never show it.
 */
bool ring_is_taken(const struct ring *r, RING_IDX end);

/* Whether the guest shows that, or may be too new to have had the occasion: false once it never
 * did in RING_SLOTS publications. */
bool ring_tells_taken(const struct ring *r);

/*
 * Before sleeping: asks for an event when 'n' more requests than consumed are
 * published (n >= 1), then looks once more. Returns ring_pending() as of after the
 * request; if that is >= n, no event may come and the caller must not sleep.
 */
int ring_arm(struct ring *r, uint32_t n) must_check;

#endif
