/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: the BPF program that bounds what waits in a TAP's queues (libvif/gate.h), one a
 * vif, and its map, which each queue's worker writes and control reads.
 */
#ifndef VIF_CONTROL_GATING_H
#define VIF_CONTROL_GATING_H

#include "base.h"
#include "gate.h"

struct gating {
	int map_fd;	   /* -errno: why there is none */
	struct gate *gate; /* the map; NULL: there is none */
};

/* Has the TAP ask a new program, all queues empty and open, in place of an earlier one. */
void gating_open(struct gating *g, int tap_fd);

/* The program stays as long as the TAP does. */
void gating_close(struct gating *g);

#endif
