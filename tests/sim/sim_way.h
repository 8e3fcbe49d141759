/* SPDX-License-Identifier: MIT */
/*
 * Frames on their way from the NIC's filter to a place or a TAP, as they are in a kernel: each way
 * keeps its order, and how long it takes is anybody's guess. What was under way when the device
 * settled has arrived NIC_SETTLE_NS later at the latest (nic.h settle()), and not before.
 */
#ifndef VIF_SIM_WAY_H
#define VIF_SIM_WAY_H

#include <sys/types.h>

#include "base.h"

/* A frame, and where it was sorted to. */
struct sim_way_frame {
	struct sim_way_frame *next;
	uint32_t domid, queue;
	ino_t place; /* 0: the TAP, by 'queue' */
	bool tag_off;
	uint64_t due_ns; /* it has arrived by then; UINT64_MAX: the device did not settle since */
	size_t size;
	uint8_t bytes[];
};

/* A copy of the frame sets out. */
void sim_way_enter(uint32_t domid, uint32_t queue, ino_t place, bool tag_off, const uint8_t *frame,
		   size_t size);

/* Of a guest: how many are under way. */
uint32_t sim_way_n(uint32_t domid);

/* The device settled, and returned at that time. */
void sim_way_settled(uint64_t now_ns);

/* The next that arrives, for the caller to free(): one that is due, or else, if any may, one of
 * whichever way. NULL: none. */
struct sim_way_frame *sim_way_leave(uint64_t now_ns, bool any);

/* All that is under way is lost. */
void sim_way_clear(void);

#endif
