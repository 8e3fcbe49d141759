/* SPDX-License-Identifier: MIT */
/*
 * Rank 62: a UMEM of AF_XDP's in the datapath, or the part of one that is ours, and the rings by
 * which the kernel is given chunks of it and gives them back.
 *
 * A chunk of ours is a packet: the kernel writes a received frame 256 bytes into its page, and
 * the virtio_net_hdr has room before it. Each is at any time in exactly one of: the free list, a
 * fill ring, a receive ring, a user's hands.
 *
 * Trust: the kernel's; addresses it hands out are checked all the same, as one beyond the UMEM
 * would be memory of another guest's frames.
 *
 * Owner: the port's worker.
 */
#ifndef VIF_NIC_AFXDP_UMEM_H
#define VIF_NIC_AFXDP_UMEM_H

#include "backend/nic/afxdp.h"
#include "backend/nic/afxdp_rings.h"

struct afxdp_umem {
	uint8_t *memory; /* NULL: there is none */
	size_t size;
	uint32_t first; /* chunk of the UMEM's that is the first here */
	struct packet *all; /* [n_chunks], the packet of each chunk; the port's */
	uint32_t n_chunks;
	struct packet *free;
	uint32_t n_free;
	uint32_t n_out; /* in users' hands */
	bool orphan;	/* the place it was for is gone: it ends with the last of n_out */
};

/* Whose memory and packets these are; all chunks are free. */
void afxdp_umem_init(struct afxdp_umem *u, uint8_t *memory, size_t size, struct packet *all,
		     uint32_t n_chunks);

void afxdp_umem_put(struct afxdp_umem *u, struct packet *p);

/* The packet that a descriptor names, as received; or NULL: no frame of these chunks. */
struct packet *afxdp_umem_packet(struct afxdp_umem *u, const struct xdp_desc *d);

/* The fill ring of a queue. */
struct afxdp_fill {
	int fd; /* of the socket that has it; whose it is is another's affair */
	struct xsk_ring_prod ring;
	void *map;
	size_t size;
};

/* Of n entries, a power of two. 0, or -1 with errno. Before the socket is bound. */
int afxdp_fill_open(struct afxdp_fill *f, int fd, uint32_t n) must_check;
/* Zeroed, it is accepted. */
void afxdp_fill_close(struct afxdp_fill *f);

/* Hands free chunks to the kernel, until it has 'level' or, rather than for a few, not at all. */
void afxdp_fill(struct afxdp_fill *f, struct afxdp_umem *u, uint32_t level);

/* What was put into the ring is to be seen: wakes the driver if it wants that. */
void afxdp_fill_submit(struct afxdp_fill *f, uint32_t n);

/* The receive ring of a socket. */
struct afxdp_rx {
	int fd; /* alike */
	struct xsk_ring_cons ring;
	void *map;
	size_t size;
};

/* n_frames long, a power of two. 0, or -1 with errno. Before the socket is bound. */
int afxdp_rx_open(struct afxdp_rx *rx, int fd, uint32_t n_frames) must_check;
void afxdp_rx_close(struct afxdp_rx *rx);

#endif
