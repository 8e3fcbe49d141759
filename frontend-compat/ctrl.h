/* SPDX-License-Identifier: MIT */
/*
 * What a frontend asks for on its control ring: how frames are hashed and mapped to
 * queues, and pages that stay granted (static grants). A row of steps, each one request;
 * the next is sent when the one before is answered.
 *
 *	WAITING -> hash... -> gref size, add for each queue -> READY -> del for each queue -> DONE
 */
#ifndef FRONTEND_CTRL_H
#define FRONTEND_CTRL_H

#include "frontend-compat/ctrl_ring.h"
#include "frontend-compat/hash.h"

struct netfront;

enum ctrl_phase {
	CTRL_ABSENT, /* no control ring: not wanted or not offered */
	CTRL_WAITING,
	CTRL_HASH_ALGORITHM,
	CTRL_HASH_TYPES,
	CTRL_HASH_MAPPING_MAX,
	CTRL_HASH_MAPPING_SIZE,
	CTRL_HASH_MAPPING,
	CTRL_HASH_KEY,
	CTRL_HASH_FLAGS,
	CTRL_GREF_SIZE,
	CTRL_GREF_ADD,
	CTRL_READY,
	CTRL_GREF_DEL,
	CTRL_DONE,
};

/* owner: its netfront; valid from share to release */
struct ctrl {
	struct ctrl_ring ring;
	evtchn_port_t port;
	enum ctrl_phase phase;
	uint32_t queue;	       /* of the GREF_* phases */
	uint32_t gref_size;    /* what that queue's table takes */
	uint32_t n_static[16]; /* pages of each queue the backend maps */
	bool released; /* the connection is to be closed: all static grants are asked back */
	struct hash_setup wanted, hash; /* hash: confirmed, all of it */
};

/* Sends the first request. */
void ctrl_start(struct netfront *nf);

/* Asks for the static grants back, once; afterwards ctrl_is_lending() says whether that is
 * still going on. */
void ctrl_withdraw(struct netfront *nf);

/* Takes answers, sends what is next. Returns whether it came to READY or DONE. */
bool ctrl_step(struct netfront *nf);

/* Setting up: the link is not up yet. */
static inline bool ctrl_is_starting(const struct ctrl *c)
{
	return c->phase > CTRL_ABSENT && c->phase < CTRL_READY;
}

/* The backend holds static grants it must give back before we close. */
bool ctrl_is_lending(const struct ctrl *c);

#endif
