/* SPDX-License-Identifier: MIT */
/*
 * The shared rings, seen from the backend: see ring.h for where trust ends.
 *
 * Two orders matter here, and they are not the same:
 *  - towards the guest, another CPU: what either side writes before it publishes an
 *    index is seen by who reads the index; and between our publishing an index and our
 *    looking at the other's lies a full barrier (sequentially consistent accesses), or
 *    both of us could go to sleep believing the other will act;
 *  - towards our own successor, which runs only once this process is dead: a
 *    SIGKILL lands between two instructions, so program order is what counts and
 *    a compiler barrier (journal_order) suffices.
 */
#include "ring.h"

#include <string.h>

#define RING_OFFSET offsetof(netif_tx_sring_t, ring)

static_assert(offsetof(netif_rx_sring_t, ring) == RING_OFFSET &&
		  offsetof(xen_netif_ctrl_sring_t, ring) == RING_OFFSET,
	      "ring.h: one header for all");
static_assert(offsetof(netif_tx_sring_t, req_prod) == offsetof(netif_rx_sring_t, req_prod) &&
		  offsetof(netif_tx_sring_t, req_event) == offsetof(netif_rx_sring_t, req_event) &&
		  offsetof(netif_tx_sring_t, rsp_prod) == offsetof(netif_rx_sring_t, rsp_prod) &&
		  offsetof(netif_tx_sring_t, rsp_event) == offsetof(netif_rx_sring_t, rsp_event),
	      "ring.h: one header for all");
static_assert(__CONST_RING_SIZE(netif_tx, XEN_PAGE) == RING_SLOTS, "slots in a page");
static_assert(__CONST_RING_SIZE(netif_rx, XEN_PAGE) == RING_SLOTS, "slots in a page");
static_assert(__CONST_RING_SIZE(xen_netif_ctrl, XEN_PAGE) == CTRL_RING_SLOTS, "slots in a page");

#define FROM_GUEST_SLOT_SIZE sizeof(union netif_tx_sring_entry)
#define TO_GUEST_SLOT_SIZE   sizeof(union netif_rx_sring_entry)
#define CTRL_SLOT_SIZE	     sizeof(union xen_netif_ctrl_sring_entry)

/* Of guest-transmit and guest-receive; a control response is noted with its whole slot. */
#define RESPONSE_SIZE 8u

static_assert(FROM_GUEST_SLOT_SIZE == sizeof(union from_guest_slot) && FROM_GUEST_SLOT_SIZE == 12,
	      "netif.h: guest-transmit slots");
static_assert(TO_GUEST_SLOT_SIZE == sizeof(netif_rx_request_t) && TO_GUEST_SLOT_SIZE == 8,
	      "netif.h: guest-receive slots");
static_assert(CTRL_SLOT_SIZE == sizeof(struct xen_netif_ctrl_request) && CTRL_SLOT_SIZE == 16,
	      "netif.h: control slots");
static_assert(sizeof(netif_tx_response_t) <= RESPONSE_SIZE &&
		  sizeof(union to_guest_slot) == RESPONSE_SIZE &&
		  sizeof(struct xen_netif_ctrl_response) <= CTRL_SLOT_SIZE,
	      "what is noted holds a response");
static_assert(RING_SLOTS * RESPONSE_SIZE == CTRL_RING_SLOTS * CTRL_SLOT_SIZE &&
		  RING_SLOTS * RESPONSE_SIZE == sizeof(((struct ring_journal *)NULL)->response),
	      "the journal holds any ring's responses");

/* The header both kinds of ring begin with. */
static netif_tx_sring_t *ring_header(const struct ring *r)
{
	return r->page;
}

static uint32_t *ring_slot(const struct ring *r, RING_IDX idx, size_t slot_size)
{
	return (void *)((uint8_t *)r->page + RING_OFFSET + (idx & (r->n_slots - 1)) * slot_size);
}

/* Every access to a slot is whole words, each moved exactly once (XSA-155). */
static inline void slot_fetch(const struct ring *r, RING_IDX idx, void *out, size_t slot_size)
{
	const uint32_t *slot = ring_slot(r, idx, slot_size);
	uint32_t word;

	for (size_t at = 0; at < slot_size; at += sizeof(word)) {
		word = __atomic_load_n(slot++, __ATOMIC_RELAXED);
		memcpy((uint8_t *)out + at, &word, sizeof(word));
	}
}

/* Where the journal has the response of index idx. */
static uint8_t *noted_response(const struct ring *r, RING_IDX idx)
{
	return r->journal->response + (size_t)(idx & (r->n_slots - 1)) * r->response_size;
}

static void slot_store(const struct ring *r, RING_IDX idx)
{
	const uint8_t *response = noted_response(r, idx);
	uint32_t *slot = ring_slot(r, idx, r->slot_size);
	uint32_t word;

	for (size_t at = 0; at < r->slot_size; at += sizeof(word)) {
		word = 0;
		if (at < r->response_size)
			memcpy(&word, response + at, sizeof(word));
		__atomic_store_n(slot++, word, __ATOMIC_RELAXED);
	}
}

static void journal_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void journal_begin(struct ring_journal *journal, RING_IDX rsp_prod)
{
	journal->rsp_prod = rsp_prod;
	journal_order();
	journal->valid = RING_JOURNAL_VALID;
}

/* Moves past the n responses noted in the journal, then puts them into the page. */
static void journal_commit(struct ring *r, uint32_t n)
{
	RING_IDX end = r->rsp_prod + n;

	journal_order();
	r->journal->rsp_prod = end;
	journal_order();
	for (; r->rsp_prod != end; r->rsp_prod++)
		slot_store(r, r->rsp_prod);
}

/* Joins the ring that *r describes. */
static int ring_attach(struct ring *r, bool resume)
{
	struct ring_journal *journal = r->journal;
	RING_IDX req_prod, noted;

	r->rsp_pub = __atomic_load_n(&ring_header(r)->rsp_prod, __ATOMIC_RELAXED);
	r->rsp_prod = r->rsp_joined = r->rsp_pub;
	req_prod = __atomic_load_n(&ring_header(r)->req_prod, __ATOMIC_ACQUIRE);
	if (req_prod - r->rsp_pub > r->n_slots)
		return -EPROTO;

	if (resume && journal->valid == RING_JOURNAL_VALID) {
		noted = journal->rsp_prod - r->rsp_pub;
		if (noted > req_prod - r->rsp_pub)
			return -EPROTO;
		journal_commit(r, noted);
	} else {
		journal_begin(journal, r->rsp_prod);
	}
	r->req_cons = r->rsp_prod;
	return 0;
}

int from_guest_ring_attach(struct ring *r, void *page, struct ring_journal *journal, bool resume)
{
	*r = (struct ring){ .page = page,
			    .n_slots = RING_SLOTS,
			    .slot_size = FROM_GUEST_SLOT_SIZE,
			    .response_size = RESPONSE_SIZE,
			    .journal = journal };
	return ring_attach(r, resume);
}

int to_guest_ring_attach(struct ring *r, void *page, struct ring_journal *journal, bool resume)
{
	*r = (struct ring){ .page = page,
			    .n_slots = RING_SLOTS,
			    .slot_size = TO_GUEST_SLOT_SIZE,
			    .response_size = RESPONSE_SIZE,
			    .journal = journal };
	return ring_attach(r, resume);
}

int ctrl_ring_attach(struct ring *r, void *page, struct ring_journal *journal, bool resume)
{
	*r = (struct ring){ .page = page,
			    .n_slots = CTRL_RING_SLOTS,
			    .slot_size = CTRL_SLOT_SIZE,
			    .response_size = CTRL_SLOT_SIZE,
			    .journal = journal };
	return ring_attach(r, resume);
}

int ring_pending(const struct ring *r)
{
	RING_IDX req_prod = __atomic_load_n(&ring_header(r)->req_prod, __ATOMIC_SEQ_CST);
	RING_IDX published = req_prod - r->rsp_pub;
	RING_IDX consumed = r->req_cons - r->rsp_pub;

	if (published > r->n_slots || published < consumed)
		return -EPROTO;
	return (int)(published - consumed);
}

void from_guest_peek(const struct ring *r, uint32_t n, union from_guest_slot out[])
{
	for (uint32_t i = 0; i < n; i++)
		slot_fetch(r, r->req_cons + i, &out[i], FROM_GUEST_SLOT_SIZE);
}

void to_guest_peek(const struct ring *r, uint32_t n, netif_rx_request_t out[])
{
	for (uint32_t i = 0; i < n; i++)
		slot_fetch(r, r->req_cons + i, &out[i], TO_GUEST_SLOT_SIZE);
}

void ctrl_peek(const struct ring *r, struct xen_netif_ctrl_request *out)
{
	slot_fetch(r, r->req_cons, out, CTRL_SLOT_SIZE);
}

void from_guest_respond(struct ring *r, const netif_tx_response_t rsp[], uint32_t n)
{
	assert(n <= r->req_cons - r->rsp_prod);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *noted = noted_response(r, r->rsp_prod + i);

		memcpy(noted, &rsp[i], sizeof(rsp[i]));
		memset(noted + sizeof(rsp[i]), 0, RESPONSE_SIZE - sizeof(rsp[i]));
	}
	journal_commit(r, n);
}

void to_guest_respond(struct ring *r, const union to_guest_slot rsp[], uint32_t n)
{
	assert(n <= r->req_cons - r->rsp_prod);
	for (uint32_t i = 0; i < n; i++)
		memcpy(noted_response(r, r->rsp_prod + i), &rsp[i], sizeof(rsp[i]));
	journal_commit(r, n);
}

void ctrl_respond(struct ring *r, const struct xen_netif_ctrl_response *rsp)
{
	uint8_t *noted = noted_response(r, r->rsp_prod);

	assert(r->req_cons - r->rsp_prod >= 1);
	memcpy(noted, rsp, sizeof(*rsp));
	memset(noted + sizeof(*rsp), 0, CTRL_SLOT_SIZE - sizeof(*rsp));
	journal_commit(r, 1);
}

/* The guest posts requests in the slots of responses before 'end'. */
static bool has_filled(const struct ring *r, RING_IDX end)
{
	RING_IDX req_prod = __atomic_load_n(&ring_header(r)->req_prod, __ATOMIC_SEQ_CST);

	return (int32_t)(req_prod - r->n_slots - end) >= 0;
}

/* At a publication, of what had been published before. A new ring begins with an rsp_event as of
 * one whose responses were all taken. */
static void note_taken(struct ring *r, RING_IDX before, RING_IDX rsp_event)
{
	if (r->tells_taken || before == r->rsp_joined)
		return;
	r->tells_taken = rsp_event == before + 1 || has_filled(r, before);
	r->n_untold += !r->tells_taken && r->n_untold < RING_SLOTS;
}

bool ring_publish(struct ring *r)
{
	RING_IDX before = r->rsp_pub;
	RING_IDX rsp_event;

	if (r->rsp_prod == before)
		return false;
	__atomic_store_n(&ring_header(r)->rsp_prod, r->rsp_prod, __ATOMIC_SEQ_CST);
	r->rsp_pub = r->rsp_prod;
	rsp_event = __atomic_load_n(&ring_header(r)->rsp_event, __ATOMIC_SEQ_CST);
	note_taken(r, before, rsp_event);
	return r->rsp_pub - rsp_event < r->rsp_pub - before;
}

bool ring_is_taken(const struct ring *r, RING_IDX end)
{
	RING_IDX rsp_event = __atomic_load_n(&ring_header(r)->rsp_event, __ATOMIC_SEQ_CST);

	return rsp_event == r->rsp_pub + 1 || has_filled(r, end);
}

bool ring_tells_taken(const struct ring *r)
{
	return r->tells_taken || r->n_untold < RING_SLOTS;
}

int ring_arm(struct ring *r, uint32_t n)
{
	__atomic_store_n(&ring_header(r)->req_event, r->req_cons + n, __ATOMIC_SEQ_CST);
	return ring_pending(r);
}
