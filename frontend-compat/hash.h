/* SPDX-License-Identifier: MIT */
/*
 * What a frontend that set up hashing may expect of a frame: its hash, and the queue it
 * belongs on. Pure. Written from netif.h "Hash types", and on purpose not from libvif's
 * rss: the two ends are each other's test.
 */
#ifndef FRONTEND_HASH_H
#define FRONTEND_HASH_H

#include "base.h"

#define HASH_KEY_SIZE	 40u
#define HASH_MAPPING_MAX 128u

#define HASH_TYPE_NONE 0xffu

/* As the backend confirmed it. */
struct hash_setup {
	uint32_t flags;	       /* XEN_NETIF_CTRL_HASH_TYPE_*; 0: no hashing */
	uint32_t mapping_size; /* 0: modular arithmetic */
	uint32_t mapping[HASH_MAPPING_MAX];
	uint8_t key[HASH_KEY_SIZE];
};

struct frame_hash {
	uint8_t type; /* _XEN_NETIF_CTRL_HASH_TYPE_*, or HASH_TYPE_NONE */
	uint32_t value;
};

/*
 * The hash of an Ethernet frame whose first 'size' bytes are head[]: of the maximal type the
 * setup allows. Frames netif.h says nothing about (VLAN tags, IP options, IPv6 extension
 * headers, fragments of TCP) have none here.
 */
struct frame_hash hash_frame(const struct hash_setup *s, const uint8_t *head, uint32_t size);

/* The queue of a frame with that hash. */
uint32_t hash_queue(const struct hash_setup *s, uint32_t value, uint32_t n_queues);

#endif
