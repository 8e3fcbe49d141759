/* SPDX-License-Identifier: MIT */
/*
 * Rank 61: an AF_XDP socket's rings, of a size that was set and mapped by hand: libxdp's own
 * functions make sockets, which control does, and load programs.
 */
#ifndef VIF_NIC_AFXDP_RINGS_H
#define VIF_NIC_AFXDP_RINGS_H

#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#include "base.h"

static inline int afxdp_set_size(int fd, int option, uint32_t size)
{
	return setsockopt(fd, SOL_XDP, option, &size, sizeof(size));
}

static inline int afxdp_offsets(int fd, struct xdp_mmap_offsets *out)
{
	socklen_t size = sizeof(*out);

	return getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, out, &size) ? -1 : 0;
}

/* Maps a ring of n entries of entry_size. NULL with errno; *size is for munmap(). */
static inline void *afxdp_map(int fd, uint64_t page_offset, const struct xdp_ring_offset *off,
			      uint32_t n, size_t entry_size, size_t *size)
{
	void *map;

	*size = off->desc + n * entry_size;
	map = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
		   (off_t)page_offset);
	return map == MAP_FAILED ? NULL : map;
}

static inline void afxdp_set_up_producer(struct xsk_ring_prod *r, void *map,
					 const struct xdp_ring_offset *off, uint32_t n)
{
	uint8_t *at = map;

	*r = (struct xsk_ring_prod){ .cached_cons = n,
				     .mask = n - 1,
				     .size = n,
				     .producer = (void *)(at + off->producer),
				     .consumer = (void *)(at + off->consumer),
				     .flags = (void *)(at + off->flags),
				     .ring = at + off->desc };
}

static inline void afxdp_set_up_consumer(struct xsk_ring_cons *r, void *map,
					 const struct xdp_ring_offset *off, uint32_t n)
{
	uint8_t *at = map;

	*r = (struct xsk_ring_cons){ .mask = n - 1,
				     .size = n,
				     .producer = (void *)(at + off->producer),
				     .consumer = (void *)(at + off->consumer),
				     .flags = (void *)(at + off->flags),
				     .ring = at + off->desc };
}

#endif
