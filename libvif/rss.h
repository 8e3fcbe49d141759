/* SPDX-License-Identifier: MIT */
/*
 * Rank 1: receive-side scaling: hashes of frames, and what a guest may set about them on
 * its control ring. How frames are hashed and mapped is in steering.h.
 */
#ifndef VIF_RSS_H
#define VIF_RSS_H

#include "base.h"
#include "steering.h"

/* All that a guest may set, for GET_HASH_FLAGS and for checking SET_HASH_FLAGS. */
#define RSS_FLAGS (STEER_IPV4 | STEER_IPV4_TCP | STEER_IPV6 | STEER_IPV6_TCP)

/*
 * A vif without a guest's wishes: flows stay on a queue by a hash of ours. 'key' is random,
 * so that nobody outside can choose what lands on which queue. Before any reader.
 */
void rss_init(struct steering *s, uint32_t n_queues, const uint8_t key[STEER_KEY_SIZE]);

/* From now on our own hash takes no frame to queue number aside - 1; 0: to each again. While
 * the guest's settings count it changes nothing. */
void rss_set_aside(struct steering *s, uint32_t aside);

/*
 * Makes the guest's settings count, all at once; with algorithm NONE, or no hash type set,
 * our own hash again (netif.h: "the backend is free to choose").
 * One writer; readers may run meanwhile. About 10,000 words are written. Only a reader that
 * slept through two commits may mix them: one frame with a hash of neither.
 */
void rss_commit(struct steering *s, const struct rss *rss);

/* Whether the guest's settings count, and not our own hash. */
static inline bool rss_is_set(const struct steering *s)
{
	return __atomic_load_n(&s->active, __ATOMIC_RELAXED) != STEER_OWN;
}

/*
 * The settings of the last commit, for who finds the map; zeroed before the first. Returns
 * false, and those, if the map is not one rss_init() made for n_queues or holds nonsense:
 * it is the datapath's to write.
 */
bool rss_read(const struct steering *s, uint32_t n_queues, struct rss *out);

/*
 * The hash by the guest's settings of an Ethernet frame, which needs to hold still for the
 * call only. Returns its type, one XEN_NETIF_CTRL_HASH_TYPE_* bit, or 0: the frame has none,
 * or the guest has set no algorithm.
 */
uint32_t rss_hash(const struct steering *s, const uint8_t *frame, uint32_t size,
		  uint32_t *hash) must_check;

/* The queue the frame is steered to, by the guest's wishes or our own. */
uint32_t rss_queue(const struct steering *s, const uint8_t *frame, uint32_t size);

#endif
