/* SPDX-License-Identifier: MIT */
/*
 * Rank 61: a multi-queue NIC in software: its registers.
 *
 *	wire ---+--> filter --> queue of a place --> DMA --> buffers      (datapath)
 *	        +--> default queue: a TAP, a port of the bridge           (kernel)
 *	wire <--+--- what the bridge sends
 *
 * The device is a thread of the datapath's process (model_hw.c), since that is where guests'
 * pages are mapped; it stands where a PCI device would, and does what that does, by the same
 * means: registers, rings of descriptors, doorbells, interrupts, an IOMMU. It is not a part of
 * the worker, which shares no more with it than a driver with its device.
 *
 * The registers are a memfd, as a BAR is a window: control writes filters there, the device its
 * counts. Each word has one writer, and is written and read whole. Control believes nothing
 * there but its own filters, which it reads back as it would from a device.
 */
#ifndef VIF_NIC_MODEL_H
#define VIF_NIC_MODEL_H

#include <string.h>

#include "backend/nic/nic.h"

/* Frames are at most so long, tag and all: what one slot of the wire's ring, one chunk of the
 * device's memory, and one page of a guest's hold. */
#define MODEL_FRAME_MAX 3840u

/* Frames the host has sent wait in the TAP, so many: while the device has no processor, or there
 * is none. */
#define MODEL_HOST_QUEUE 4096

/* A filter in one word, so that it comes and goes in one piece. 0: none; no frame is for
 * address 0. */
#define MODEL_FILTER_QUEUE_SHIFT 60
#define MODEL_FILTER_MATCH	 ((1ull << MODEL_FILTER_QUEUE_SHIFT) - 1)
static_assert(NIC_PLACES_MAX <= 16, "a queue's number has four bits");

static inline uint64_t model_match(const uint8_t mac[6], uint16_t vlan)
{
	uint64_t word = vlan & 0xfffu;

	for (int i = 0; i < 6; i++)
		word = word << 8 | mac[i];
	return word;
}

/* Of a queue, since a place has it; the device's. */
struct model_queue_regs {
	uint64_t lost;	 /* found no room in the queue's part of the device's memory */
	uint64_t faults; /* descriptors the IOMMU refused */
} __attribute__((aligned(64)));

struct model_regs {
	/* control */
	char name[NIC_NAME_SIZE], wire[NIC_NAME_SIZE];
	uint64_t filter[NIC_PLACES_MAX];
	uint32_t tag_off[NIC_PLACES_MAX]; /* what the filter matches loses its tag; set before it */
	uint32_t pulled;		  /* faults on demand: the cable is */
	uint32_t stuck;			  /* queues that fill no buffer, by number */
	uint32_t strays; /* how often altogether it names a page that was revoked */
	/* the port */
	uint32_t queue_of[NIC_PLACES_MAX]; /* of a place: its queue's number + 1; 0: none */
	/* the device */
	uint32_t batch __attribute__((aligned(64))); /* odd while it sorts frames by the filters */
	uint32_t wire_next; /* slot of the wire's ring that is next: its successor goes on there */
	uint32_t link;
	uint64_t from_wire, to_wire;
	uint64_t to_wire_lost;		  /* the wire took them not */
	uint64_t to_places, lost, faults; /* the queues' together */
	uint64_t to_host;		  /* by the default queue */
	uint64_t to_host_lost;		  /* the TAP took them not: it is down */
	uint64_t unfit;			  /* longer than MODEL_FRAME_MAX, or without a checksum */
	struct model_queue_regs queue[NIC_PLACES_MAX];
};

/* What control hands the port, in this order. */
enum model_fd {
	MODEL_FD_REGS,
	MODEL_FD_WIRE,
	MODEL_FD_LINKS, /* readable when the wire's link may have changed */
	MODEL_FD_TAP,
	MODEL_FD_DOORBELL,
	MODEL_FDS,
};

/* A count, of its one writer. */
static inline void model_count(uint64_t *at, uint64_t n)
{
	__atomic_store_n(at, *at + n, __ATOMIC_RELAXED);
}

#endif
