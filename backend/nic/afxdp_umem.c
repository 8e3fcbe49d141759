/* SPDX-License-Identifier: MIT */
/* See afxdp_umem.h. */
#include "backend/nic/afxdp_umem.h"

#include <string.h>

#define CHUNK AFXDP_CHUNK

/* ---- chunks ---- */

void afxdp_umem_init(struct afxdp_umem *u, uint8_t *memory, size_t size, struct packet *all,
		     uint32_t n_chunks)
{
	*u =
	    (struct afxdp_umem){ .memory = memory, .size = size, .all = all, .n_chunks = n_chunks };
	for (uint32_t i = n_chunks; i-- > 0;)
		afxdp_umem_put(u, &all[i]);
}

void afxdp_umem_put(struct afxdp_umem *u, struct packet *p)
{
	p->next = u->free;
	u->free = p;
	u->n_free++;
}

struct packet *afxdp_umem_packet(struct afxdp_umem *u, const struct xdp_desc *d)
{
	uint64_t chunk = d->addr / CHUNK - u->first, offset = d->addr % CHUNK;
	struct packet *p;

	if (chunk >= u->n_chunks || offset < PACKET_VNET_SIZE || d->len > CHUNK - offset)
		return NULL;
	p = &u->all[chunk];
	p->frame = u->memory + chunk * CHUNK + offset;
	p->size = d->len;
	p->next = NULL;
	memset(packet_vnet(p), 0, PACKET_VNET_SIZE);
	return p;
}

/* ---- rings ---- */

int afxdp_fill_open(struct afxdp_fill *f, int fd, uint32_t n)
{
	struct xdp_mmap_offsets off;

	f->fd = fd;
	if (afxdp_set_size(fd, XDP_UMEM_FILL_RING, n) || afxdp_offsets(fd, &off))
		return -1;
	f->map = afxdp_map(fd, XDP_UMEM_PGOFF_FILL_RING, &off.fr, n, sizeof(uint64_t), &f->size);
	if (!f->map)
		return -1;
	afxdp_set_up_producer(&f->ring, f->map, &off.fr, n);
	return 0;
}

void afxdp_fill_close(struct afxdp_fill *f)
{
	if (f->map)
		munmap(f->map, f->size);
	f->map = NULL;
}

void afxdp_fill_submit(struct afxdp_fill *f, uint32_t n)
{
	xsk_ring_prod__submit(&f->ring, n);
	if (xsk_ring_prod__needs_wakeup(&f->ring))
		recvfrom(f->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

void afxdp_fill(struct afxdp_fill *f, struct afxdp_umem *u, uint32_t level)
{
	uint32_t n_in = f->ring.size - xsk_prod_nb_free(&f->ring, f->ring.size), n, at;

	n = MIN(level - MIN(n_in, level), u->n_free);
	if (n < MIN(level, AFXDP_FILL_FRAMES) / 8 || !xsk_ring_prod__reserve(&f->ring, n, &at))
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = u->free;

		u->free = p->next;
		*xsk_ring_prod__fill_addr(&f->ring, at + i) =
		    (uint64_t)(u->first + (p - u->all)) * CHUNK;
	}
	u->n_free -= n;
	afxdp_fill_submit(f, n);
}

int afxdp_rx_open(struct afxdp_rx *rx, int fd, uint32_t n_frames)
{
	struct xdp_mmap_offsets off;

	rx->fd = fd;
	if (afxdp_set_size(fd, XDP_RX_RING, n_frames) || afxdp_offsets(fd, &off))
		return -1;
	rx->map =
	    afxdp_map(fd, XDP_PGOFF_RX_RING, &off.rx, n_frames, sizeof(struct xdp_desc), &rx->size);
	if (!rx->map)
		return -1;
	afxdp_set_up_consumer(&rx->ring, rx->map, &off.rx, n_frames);
	return 0;
}

void afxdp_rx_close(struct afxdp_rx *rx)
{
	if (rx->map)
		munmap(rx->map, rx->size);
	rx->map = NULL;
}
