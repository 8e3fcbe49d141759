/* SPDX-License-Identifier: MIT */
/*
 * What a running vif-guest is told over its socket (remote.h): to be another frontend, to
 * want another headroom, to say its counters. A command that takes time is answered when
 * it is done, and no other is taken before.
 */
#ifndef FRONTEND_COMMANDS_H
#define FRONTEND_COMMANDS_H

#include "frontend-compat/netfront.h"
#include "frontend-compat/remote.h"

enum command_wait { COMMAND_NONE, COMMAND_CONNECT, COMMAND_HEADROOM };

struct commands {
	struct remote remote;
	struct netfront *nf;
	uint32_t n_queues_max; /* the interface has no more */
	enum command_wait wait;
};

/* Listens at 'path', borrowed; NULL: to nobody. 0 or -errno, logged. */
int commands_open(struct commands *c, const char *path, struct netfront *nf,
		  uint32_t n_queues_max) must_check;
void commands_close(struct commands *c);

/* What to poll for POLLIN; -1: nothing. */
int commands_fd(const struct commands *c);

/* Takes what has come. Returns whether netfront_bus_step() is due. */
bool commands_take(struct commands *c);

/* Answers the command under way, if it is done: after each step of the netfront, once the
 * interface has followed. */
void commands_follow(struct commands *c);

#endif
