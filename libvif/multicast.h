/* SPDX-License-Identifier: MIT */
/*
 * Rank 1: the multicast addresses a guest wants to receive (netif.h
 * "feature-multicast-control"): a set of at most MULTICAST_MAX, without a lock.
 *
 * It lies in memory that all queues of a vif share: any of their threads may add and
 * remove, every one reads. A place is one word, so it is either free or holds a whole
 * address, at any instant; nothing is ever freed that another still reads (XSA-527).
 * Zeroed is empty.
 */
#ifndef VIF_MULTICAST_H
#define VIF_MULTICAST_H

#include "base.h"

/* What Linux' netback holds (XEN_NETBK_MCAST_MAX). */
#define MULTICAST_MAX 64u

struct multicast_set {
	uint64_t place[MULTICAST_MAX];
};

/* The group bit: multicast, and broadcast as well. */
static inline bool multicast_is_group(const uint8_t address[6])
{
	return address[0] & 1;
}

static inline bool multicast_is_broadcast(const uint8_t address[6])
{
	return (address[0] & address[1] & address[2] & address[3] & address[4] & address[5]) ==
	       0xff;
}

/* 0, also if it is in the set; -EINVAL: not a group address; -ENOSPC. */
int multicast_add(struct multicast_set *set, const uint8_t address[6]) must_check;

/* Afterwards it is not in the set, unless another thread adds it at the same time. */
void multicast_remove(struct multicast_set *set, const uint8_t address[6]);

bool multicast_has(const struct multicast_set *set, const uint8_t address[6]);
/* Whether 'place', 0..MULTICAST_MAX-1, holds an address; that goes into 'address'. */
bool multicast_at(const struct multicast_set *set, uint32_t place, uint8_t address[6]);
uint32_t multicast_count(const struct multicast_set *set);

#endif
