/* SPDX-License-Identifier: MIT */
/*
 * Rank 1: a frame in memory of ours, and the fixed pool frames come from.
 *
 * A packet is one contiguous buffer: virtio_net_hdr, then the Ethernet frame,
 * exactly what a TAP opened with IFF_VNET_HDR reads and writes. Headers are
 * therefore always linear before the kernel or a NIC sees them (XSA-423), and
 * what was checked is what is sent: no guest can write here.
 */
#ifndef VIF_PACKET_H
#define VIF_PACKET_H

#include <linux/virtio_net.h>

#include "base.h"

/*
 * The largest frame: IPv4/IPv6 total length 65535 behind an Ethernet header with
 * two VLAN tags. netif's own 16-bit sizes allow less from a guest (65535).
 */
#define PACKET_FRAME_MAX (65535u + 14u + 8u)

/* Of a VLAN tag (IEEE 802.1Q): its ethertype, then priority and VLAN. */
#define PACKET_TAG_SIZE 4u

/* In front of the frame: the 10-byte header a TAP uses by default (TUNSETVNETHDRSZ). */
#define PACKET_VNET_SIZE sizeof(struct virtio_net_hdr)

struct packet {
	struct packet *next; /* owner's list */
	uint32_t size;	     /* bytes of frame, without the virtio_net_hdr */
	uint8_t *frame;	     /* page aligned, so that a slot's worth is one grant operation;
			      * the virtio_net_hdr ends right before it */
};

static inline struct virtio_net_hdr *packet_vnet(const struct packet *p)
{
	return (struct virtio_net_hdr *)(void *)(p->frame - PACKET_VNET_SIZE);
}

/* LIFO, so that the buffer used last, still in cache, is used next. */
struct packet_pool {
	struct packet *free;
	struct packet *all;
	uint8_t *memory;
	uint32_t n_packets;
	uint32_t n_free;
};

/* Allocates n packets of PACKET_FRAME_MAX; memory is touched only as used.
 * Returns 0 or -ENOMEM. Single-threaded: the pool and its packets have one owner. */
int packet_pool_init(struct packet_pool *pool, uint32_t n_packets) must_check;

/* All packets must have been put back. */
void packet_pool_fini(struct packet_pool *pool);

/* Returns a packet with a zeroed virtio_net_hdr and size 0, or NULL if none is left. */
struct packet *packet_get(struct packet_pool *pool);

/* Takes p; NULL is accepted. */
void packet_put(struct packet_pool *pool, struct packet *p);

/* Whether p came from this pool. */
static inline bool packet_is_of(const struct packet_pool *pool, const struct packet *p)
{
	return p >= pool->all && p < pool->all + pool->n_packets;
}

/* Whether the frame begins with an 802.1Q tag of this VLAN, of whatever priority, and is all
 * there up to the ethertype behind it. */
bool packet_has_tag(const struct packet *p, uint16_t vlan);

/*
 * Copies p's frame, an Ethernet header or more, to 'to', where PACKET_TAG_SIZE bytes more are
 * room; behind its addresses with a tag of this VLAN, priority 0 (0: without). p stays as it is.
 * Returns the copy's size.
 */
uint32_t packet_copy_tagged(uint8_t *to, const struct packet *p, uint16_t vlan);

/* A packet's name in completions: 0..n_packets-1, for as long as the pool lives. */
static inline uint32_t packet_index(const struct packet_pool *pool, const struct packet *p)
{
	return (uint32_t)(p - pool->all);
}

static inline struct packet *packet_at(const struct packet_pool *pool, uint32_t index)
{
	assert(index < pool->n_packets);
	return &pool->all[index];
}

/* A FIFO of packets, linked through next. Zeroed is empty. */
struct packet_fifo {
	struct packet *head, *tail;
	uint32_t n_packets;
	uint32_t n_bytes;
};

void packet_fifo_push(struct packet_fifo *fifo, struct packet *p);
struct packet *packet_fifo_pop(struct packet_fifo *fifo);

#endif
