/* SPDX-License-Identifier: MIT */
/*
 * Rank 7: what the files of posted buffers share: queue_posted.c, queue_posted_judge.c, when they
 * are posted, queue_posted_io.c, how, and queue_lent.c, of places lent to.
 */
#ifndef VIF_DATAPATH_QUEUE_POSTED_H
#define VIF_DATAPATH_QUEUE_POSTED_H

#include "queue_pass.h"

enum posted_state {
	POSTED_OFF,
	POSTED_BEGUN,
	POSTED_ON,
	POSTED_ENDING,
	POSTED_RECALLED, /* of a place lent to, as OVER */
	POSTED_OVER,
};

struct posted_slot {
	uint16_t id;
	uint32_t gref;
	bool bounced;  /* posted as a page of ours */
	nic_page page; /* of a place lent to: which */
};

/* A page as the device knows it. */
struct posted_page {
	bool authorised;
	nic_page name;
};

struct queue_posted {
	enum posted_state state;
	bool dry;	  /* of BEGUN, ENDING: the place has been read until there was no more */
	bool refused;	  /* not in this place any more */
	uint32_t n_older; /* of ENDING: frames that may yet be older than those held */
	/* Of ENDING, and ON and RECALLED in a place lent to: what was read from the TAP. */
	struct packet_fifo held;
	uint32_t held_cut_at;

	/* of ON: frames wait for the guest since then, of which so many are still to come */
	uint64_t since_ns;
	uint32_t n_waiting;
	bool any_since; /* ... and a buffer was filled, or posted */
	bool slow;	/* of a place lent to: it was found so */

	/* Since share_ns, in bytes: what came by the TAP with a checksum to be written, whoever
	 * does it; what came off the wire. */
	uint64_t share_ns;
	int64_t blank_bytes, wire_bytes;
	bool mostly_blank;

	struct posted_slot slot[RING_SLOTS]; /* those posted are [rx.rsp_prod, rx.req_cons) */
	struct posted_page granted[STATIC_GRANTS_MAX];
	struct posted_page bounce[RING_SLOTS];
	uint8_t *memory; /* of bounce[] */
};

static inline uint32_t posted_n(const struct queue *q)
{
	return q->rx.req_cons - q->rx.rsp_prod;
}

static inline struct posted_slot *posted_slot_at(const struct queue *q, RING_IDX i)
{
	return &q->posted->slot[i % RING_SLOTS];
}

static inline uint8_t *posted_bounce_at(const struct queue *q, RING_IDX i)
{
	return q->posted->memory + (size_t)(i % RING_SLOTS) * XEN_PAGE;
}

/* ---- queue_posted_judge.c ---- */

/* At the end of a pass: notes what waits, unless what waited before still does. */
void posted_note_waiting(struct queue *q);

/* Whether what waited too long ago still does, or there still is no buffer. If there are buffers
 * all the time and nothing ever came of them, it is the device's fault. */
bool posted_is_slow(struct queue *q);

/* At the beginning of a pass: what came by which way, as time goes on. */
void posted_weigh(struct queue *q);

/* Whether the guest's buffers are to be posted; shows it, and why not. */
bool posted_fits(struct queue *q);

/* ---- queue_posted.c ---- */

/* The device cannot use the guest's buffers. */
void posted_refuse(struct queue *q);

/* ---- queue_posted_io.c ---- */

/* Posts every request there is. Returns ring_pending()'s error or 0. */
int posted_post_all(struct queue *q) must_check;

/* Answers what the device is done with, QUEUE_BATCH at most; of a queue that is broken, throws
 * it away. Returns how many. */
uint32_t posted_reap(struct queue *q);

/* Injects from_tap's frames, whole and with their checksums, QUEUE_BATCH at most. Returns how
 * many were done with. */
uint32_t posted_inject(struct queue *q);

#endif
