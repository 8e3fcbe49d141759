/* SPDX-License-Identifier: MIT */
/* See floor.h. */
#include "backend/vifbench/floor.h"

#include <stdlib.h>
#include <string.h>

#include "backend/vifbench/measure.h"
#include "from_guest.h"
#include "to_guest.h"

#define BURST_MAX 64u

static uint8_t guest_memory[RING_SLOTS][XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
static uint8_t own_memory[BURST_MAX][XEN_PAGE] __attribute__((aligned(XEN_PAGE)));

/* Touched once, so that the first round does not pay for the kernel's pages. */
static void warm(void)
{
	memset(guest_memory, 0x5a, sizeof(guest_memory));
	memset(own_memory, 0, sizeof(own_memory));
}

uint64_t floor_memcpy(uint32_t size, uint32_t n)
{
	uint64_t at;

	warm();
	at = tsc_now();
	for (uint32_t i = 0; i < n; i++) {
		memcpy(own_memory[i % BURST_MAX], guest_memory[i % RING_SLOTS], size);
		__asm__ volatile("" ::: "memory");
	}
	return tsc_now() - at;
}

/* The frontend's side of the ring, as plain as ring.h allows. */
static void front_put(netif_tx_sring_t *page, uint32_t size, uint32_t burst)
{
	RING_IDX prod = page->req_prod;

	for (uint32_t i = 0; i < burst; i++) {
		uint16_t slot = (uint16_t)((prod + i) % RING_SLOTS);

		page->ring[slot].req =
		    (netif_tx_request_t){ .gref = slot, .id = slot, .size = (uint16_t)size };
	}
	__atomic_store_n(&page->req_prod, prod + burst, __ATOMIC_RELEASE);
}

static void copy(grant_op ops[], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (ops[i].flags & GNTCOPY_dest_gref)
			memcpy(guest_memory[ops[i].dest.foreign.ref] + ops[i].dest.foreign.offset,
			       ops[i].source.virt, ops[i].len);
		else
			memcpy(ops[i].dest.virt,
			       guest_memory[ops[i].source.foreign.ref] +
				   ops[i].source.foreign.offset,
			       ops[i].len);
		ops[i].status = GNTST_okay;
	}
}

/* One burst through the backend's side. Returns the frames taken. */
static uint32_t back_take(struct ring *ring, struct packet_pool *pool)
{
	static union from_guest_slot slots[RING_SLOTS];
	struct packet_fifo taken = { 0 };
	uint32_t at = 0, n_frames = 0;
	struct packet *p;
	int n = ring_pending(ring);

	if (n <= 0)
		return 0;
	from_guest_peek(ring, (uint32_t)n, slots);
	while (at < (uint32_t)n) {
		grant_op ops[FROM_GUEST_SLOTS_MAX];
		struct from_guest_frame f;
		uint32_t n_ops;

		p = packet_get(pool);
		if (!p || !from_guest_plan(slots + at, (uint32_t)n - at, &f) || f.verdict != VIF_OK)
			abort();
		n_ops = from_guest_ops(&f, 1, p, ops);
		copy(ops, n_ops);
		from_guest_finish(&f, p, ops, n_ops, VIF_CSUM_V4 | VIF_CSUM_V6);
		ring_consume(ring, f.n_ring_slots);
		from_guest_answer(ring, &f);
		at += f.n_ring_slots;
		n_frames++;
		packet_fifo_push(&taken, p);
	}
	while ((p = packet_fifo_pop(&taken)))
		packet_put(pool, p);
	(void)!ring_publish(ring);
	return n_frames;
}

uint64_t floor_ring(uint32_t size, uint32_t burst, uint32_t n)
{
	/* The type declares one slot of as many as its page has room for. */
	static union {
		netif_tx_sring_t sring;
		uint8_t bytes[XEN_PAGE];
	} page __attribute__((aligned(XEN_PAGE)));
	static struct ring_journal journal;
	struct packet_pool pool;
	struct ring ring;
	uint64_t at;

	assert(size >= 1 && size <= XEN_PAGE && burst >= 1 && burst <= BURST_MAX);
	memset(&page, 0, sizeof(page));
	page.sring.req_event = page.sring.rsp_event = 1;
	if (packet_pool_init(&pool, BURST_MAX) ||
	    from_guest_ring_attach(&ring, &page.sring, &journal, false))
		return 0;
	warm();
	at = tsc_now();
	for (uint32_t done = 0; done < n; done += burst) {
		front_put(&page.sring, size, burst);
		if (back_take(&ring, &pool) != burst)
			abort();
	}
	at = tsc_now() - at;
	packet_pool_fini(&pool);
	return at;
}

/* The frontend posts buffers, and finds the answers of the last ones. */
static void front_post(netif_rx_sring_t *page, uint32_t burst)
{
	RING_IDX prod = page->req_prod;

	for (uint32_t i = 0; i < burst; i++) {
		uint16_t slot = (uint16_t)((prod + i) % RING_SLOTS);

		page->ring[slot].req = (netif_rx_request_t){ .gref = slot, .id = slot };
	}
	__atomic_store_n(&page->req_prod, prod + burst, __ATOMIC_RELEASE);
}

/* One burst of p's frame into the buffers posted. Returns the frames given. */
static uint32_t back_give(struct ring *ring, struct packet *p)
{
	static netif_rx_request_t requests[RING_SLOTS];
	int n = ring_pending(ring);

	if (n <= 0)
		return 0;
	to_guest_peek(ring, (uint32_t)n, requests);
	for (int i = 0; i < n; i++) {
		grant_op ops[TO_GUEST_RING_SLOTS_MAX];
		struct to_guest_frame f;
		uint32_t n_ops;

		to_guest_prepare(&f, p, 0, 0);
		if (f.verdict != VIF_OK || f.n_ring_slots != 1)
			abort();
		n_ops = to_guest_ops(&f, p, 1, requests + i, ops);
		copy(ops, n_ops);
		ring_consume(ring, 1);
		to_guest_answer(ring, &f, ops, n_ops);
	}
	(void)!ring_publish(ring);
	return (uint32_t)n;
}

uint64_t floor_ring_receive(uint32_t size, uint32_t burst, uint32_t n)
{
	/* The type declares one slot of as many as its page has room for. */
	static union {
		netif_rx_sring_t sring;
		uint8_t bytes[XEN_PAGE];
	} page __attribute__((aligned(XEN_PAGE)));
	static struct ring_journal journal;
	struct packet_pool pool;
	struct packet *p;
	struct ring ring;
	uint64_t at;

	assert(size >= 14 && size <= XEN_PAGE && burst >= 1 && burst <= BURST_MAX);
	memset(&page, 0, sizeof(page));
	page.sring.req_event = page.sring.rsp_event = 1;
	if (packet_pool_init(&pool, 1) || to_guest_ring_attach(&ring, &page.sring, &journal, false))
		return 0;
	p = packet_get(&pool);
	memset(p->frame - PACKET_VNET_SIZE, 0, PACKET_VNET_SIZE + size);
	p->size = size;
	warm();
	at = tsc_now();
	for (uint32_t done = 0; done < n; done += burst) {
		front_post(&page.sring, burst);
		if (back_give(&ring, p) != burst)
			abort();
	}
	at = tsc_now() - at;
	packet_put(&pool, p);
	packet_pool_fini(&pool);
	return at;
}
