/* SPDX-License-Identifier: MIT */
/*
 * The frontend's side of a shared ring (front_ring.h). All rings begin with the same
 * four indices, and their slots at the same place.
 */
#include <string.h>

#include "frontend-compat/front_ring.h"

#define SLOTS_OFFSET offsetof(netif_tx_sring_t, ring)

static_assert(offsetof(netif_rx_sring_t, ring) == SLOTS_OFFSET &&
		  offsetof(netif_rx_sring_t, req_prod) == offsetof(netif_tx_sring_t, req_prod) &&
		  offsetof(netif_rx_sring_t, rsp_event) == offsetof(netif_tx_sring_t, rsp_event),
	      "one header");
static_assert(offsetof(xen_netif_ctrl_sring_t, ring) == SLOTS_OFFSET &&
		  offsetof(xen_netif_ctrl_sring_t, rsp_event) ==
		      offsetof(netif_tx_sring_t, rsp_event),
	      "the control ring's too");
static_assert(SLOTS_OFFSET + RING_SLOTS * sizeof(union netif_tx_sring_entry) <= XEN_PAGE,
	      "a ring is a page");

static netif_tx_sring_t *header(const struct front_ring *r)
{
	return r->page;
}

static uint8_t *slot(const struct front_ring *r, RING_IDX i)
{
	return (uint8_t *)r->page + SLOTS_OFFSET + (i % r->n_slots) * r->slot_size;
}

void front_ring_init(struct front_ring *r, void *page, size_t slot_size, uint32_t n_slots)
{
	*r = (struct front_ring){ .page = page, .slot_size = slot_size, .n_slots = n_slots };
	memset(page, 0, XEN_PAGE);
	header(r)->req_event = header(r)->rsp_event = 1;
}

void front_ring_put(struct front_ring *r, const void *request)
{
	memcpy(slot(r, r->req_prod++), request, r->slot_size);
}

bool front_ring_push(struct front_ring *r)
{
	RING_IDX old = r->req_pub, event;

	if (r->req_prod == old)
		return false;
	/* Sequentially consistent: the backend sees the requests before we see whether it sleeps. */
	__atomic_store_n(&header(r)->req_prod, r->req_prod, __ATOMIC_SEQ_CST);
	r->req_pub = r->req_prod;
	event = __atomic_load_n(&header(r)->req_event, __ATOMIC_SEQ_CST);
	return r->req_pub - event < r->req_pub - old;
}

int front_ring_pending(const struct front_ring *r)
{
	uint32_t n = __atomic_load_n(&header(r)->rsp_prod, __ATOMIC_ACQUIRE) - r->rsp_cons;

	return n <= r->req_pub - r->rsp_cons ? (int)n : -EPROTO;
}

void front_ring_peek(const struct front_ring *r, uint32_t i, void *out, size_t size)
{
	memcpy(out, slot(r, r->rsp_cons + i), size);
	/* what the caller checks is what it copied */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

int front_ring_arm(struct front_ring *r, uint32_t n)
{
	__atomic_store_n(&header(r)->rsp_event, r->rsp_cons + n, __ATOMIC_SEQ_CST);
	return front_ring_pending(r);
}
