/* SPDX-License-Identifier: MIT */
/*
 * Rank 4: the control ring's requests: what a guest may set about hashing, and its static
 * grants. netif.h "Control messages"; Linux xen-netback netback.c:process_ctrl_request()
 * and hash.c where netif.h leaves a choice.
 *
 * Pure: a request is checked and says what is to be copied or mapped before it can be
 * answered; the datapath does that and comes back. One request is under way at a time:
 *
 *	ctrl_begin() -> CTRL_FETCH -> ctrl_fetched() -> CTRL_STORE -> ctrl_stored()
 *	  -> CTRL_APPLY -> ctrl_applied() -> CTRL_ANSWER
 *
 * and any of these steps may lead to CTRL_ANSWER at once.
 *
 * Trust: all of a request is the guest's word, and so is the page it names: that is copied
 * first and checked in the copy. Sizes and offsets are 32-bit numbers of the guest's, and
 * bounded before any sum of them is formed (XSA-270). A request that fails changes nothing.
 *
 * What a guest set lives in struct ctrl_memory, which survives the process: each change is
 * written beside what counts and made to count by one store, so a kill leaves all of it or
 * nothing, and the successor, who finds the request unanswered, carries it out again.
 */
#ifndef VIF_CTRL_H
#define VIF_CTRL_H

#include "base.h"
#include "ring.h"
#include "rss.h"
#include "static_grants.h"

#define CTRL_QUEUES_MAX 16u /* of a vif */

/* Of one vif. Written by whoever serves its control ring; but which of a queue's two lists
 * of grants is active, the queue's owner writes. Zeroed is a vif before its first request. */
struct ctrl_memory {
	struct ring_journal journal;
	uint32_t rss_active; /* index into rss[] */
	struct rss rss[2];
	struct static_lists grants[CTRL_QUEUES_MAX];
};

static inline const struct rss *ctrl_rss(const struct ctrl_memory *m)
{
	return &m->rss[__atomic_load_n(&m->rss_active, __ATOMIC_ACQUIRE)];
}

enum ctrl_need {
	CTRL_ANSWER, /* rsp is complete */
	CTRL_FETCH,  /* copy n_bytes from the start of gref's page to page, then ctrl_fetched() */
	CTRL_STORE,  /* copy n_bytes of page to the start of gref's, then ctrl_stored() */
	CTRL_APPLY,  /* the next list of 'queue' is to be applied, then ctrl_applied() */
};

struct ctrl_server {
	struct ctrl_memory *memory;
	uint32_t n_queues;
	bool can_hash; /* the guest's wishes about hashes can be followed */
	bool resumed;  /* the next request may have been carried out by an earlier process */

	/* the request under way */
	uint32_t index; /* on the ring */
	struct xen_netif_ctrl_request req;
	struct xen_netif_ctrl_response rsp;
	bool rss_changed; /* ctrl_rss() is another since ctrl_begin() */
	uint32_t gref;
	uint32_t n_bytes;
	uint32_t queue;
	union {
		uint8_t bytes[XEN_PAGE];
		uint32_t mapping[XEN_PAGE / sizeof(uint32_t)];
		struct xen_netif_gref grants[STATIC_GRANTS_MAX];
	} page;
};

void ctrl_init(struct ctrl_server *c, struct ctrl_memory *memory, uint32_t n_queues, bool can_hash,
	       bool resume);

/* Begins the request of that index on the ring. */
enum ctrl_need ctrl_begin(struct ctrl_server *c, uint32_t index,
			  const struct xen_netif_ctrl_request *req) must_check;

/* What was needed was done, or could not be. */
enum ctrl_need ctrl_fetched(struct ctrl_server *c, bool done) must_check;
enum ctrl_need ctrl_stored(struct ctrl_server *c, bool done) must_check;
enum ctrl_need ctrl_applied(struct ctrl_server *c, bool done) must_check;

#endif
