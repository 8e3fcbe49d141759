/* SPDX-License-Identifier: MIT */
/*
 * See afxdp_transmit.h. Chunks are used in turn, so that a frame's number says where it is;
 * the kernel may be done with them in any order, and sent.done counts up to the first that it
 * is not done with.
 *
 * In copy mode the kernel makes an skb of each frame while it is kicked, a few at a time, and
 * hands it to the driver, past every qdisc (net/xdp/xsk.c __xsk_generic_xmit()); it is done
 * with a frame when the driver has freed that. In zero-copy mode the driver reads our memory.
 */
#include "backend/nic/afxdp_transmit.h"

#include <net/ethernet.h>
#include <string.h>

#include "backend/nic/afxdp_rings.h"

#define FRAMES AFXDP_TX_FRAMES
static_assert((FRAMES & (FRAMES - 1)) == 0, "the size of a ring");
static_assert(NIC_TRANSMIT_MAX + PACKET_TAG_SIZE <= AFXDP_CHUNK, "a frame fits its chunk");

int afxdp_transmit_open(struct afxdp_transmit *t, int fd, uint8_t *memory, uint64_t address)
{
	struct xdp_mmap_offsets off;

	if (afxdp_set_size(fd, XDP_TX_RING, FRAMES) || afxdp_offsets(fd, &off))
		return -1;
	t->ring_map = afxdp_map(fd, XDP_PGOFF_TX_RING, &off.tx, FRAMES, sizeof(struct xdp_desc),
				&t->ring_size);
	if (!t->ring_map)
		return -1;
	t->completed_map = afxdp_map(fd, XDP_UMEM_PGOFF_COMPLETION_RING, &off.cr, FRAMES,
				     sizeof(uint64_t), &t->completed_size);
	if (!t->completed_map)
		return -1;
	afxdp_set_up_producer(&t->ring, t->ring_map, &off.tx, FRAMES);
	afxdp_set_up_consumer(&t->completed, t->completed_map, &off.cr, FRAMES);
	t->fd = fd;
	t->memory = memory;
	t->address = address;
	return 0;
}

void afxdp_transmit_close(struct afxdp_transmit *t)
{
	if (t->ring_map)
		munmap(t->ring_map, t->ring_size);
	if (t->completed_map)
		munmap(t->completed_map, t->completed_size);
	*t = (struct afxdp_transmit){ .fd = -1 };
}

static void reap(struct afxdp_transmit *t)
{
	struct nic_sent *s = &t->sent;
	uint32_t at, n = xsk_ring_cons__peek(&t->completed, FRAMES, &at);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t chunk = (*xsk_ring_cons__comp_addr(&t->completed, at + i) - t->address) /
				 AFXDP_CHUNK;

		if (chunk < FRAMES) /* else it is none of ours */
			t->is_done[chunk] = true;
	}
	if (n)
		xsk_ring_cons__release(&t->completed, n);
	for (; s->done < s->taken && t->is_done[s->done % FRAMES]; s->done++)
		t->is_done[s->done % FRAMES] = false;
}

/* Short frames are padded: not every driver does. Returns its size. */
static uint32_t copy(struct afxdp_transmit *t, uint32_t chunk, const struct packet *p, uint16_t vlan)
{
	uint8_t *to = t->memory + (size_t)chunk * AFXDP_CHUNK;
	uint32_t size = packet_copy_tagged(to, p, vlan);

	if (size >= ETH_ZLEN)
		return size;
	memset(to + size, 0, ETH_ZLEN - size);
	return ETH_ZLEN;
}

uint32_t afxdp_transmit(struct afxdp_transmit *t, struct packet *const p[], uint32_t n,
			uint16_t vlan)
{
	uint32_t at;

	if (t->sent.taken - t->sent.done + n > FRAMES)
		reap(t);
	n = MIN(n, FRAMES - (uint32_t)(t->sent.taken - t->sent.done));
	n = MIN(n, xsk_prod_nb_free(&t->ring, n));
	if (!n || !xsk_ring_prod__reserve(&t->ring, n, &at))
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t chunk = (uint32_t)(t->sent.taken++ % FRAMES);
		struct xdp_desc *d = xsk_ring_prod__tx_desc(&t->ring, at + i);

		*d = (struct xdp_desc){ .addr = t->address + (uint64_t)chunk * AFXDP_CHUNK,
					.len = copy(t, chunk, p[i], vlan) };
	}
	xsk_ring_prod__submit(&t->ring, n);
	return n;
}

/* Of those in the ring, what the kernel has not looked at. */
static uint32_t unread(const struct afxdp_transmit *t)
{
	return t->ring.cached_prod - __atomic_load_n(t->ring.consumer, __ATOMIC_ACQUIRE);
}

bool afxdp_transmit_kick(struct afxdp_transmit *t)
{
	uint32_t n = unread(t), before = n + 1;

	while (n && n < before && xsk_ring_prod__needs_wakeup(&t->ring)) {
		if (sendto(t->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
		    errno != EBUSY && errno != ENOBUFS)
			return false; /* it is down, or gone: so is what waits */
		before = n;
		n = unread(t);
	}
	return n && xsk_ring_prod__needs_wakeup(&t->ring);
}

void afxdp_transmit_sent(struct afxdp_transmit *t, struct nic_sent *out)
{
	reap(t);
	*out = t->sent;
}
