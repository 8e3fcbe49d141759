/* SPDX-License-Identifier: MIT */
/*
 * Rank 60: what the two halves of AF_XDP agree upon.
 *
 * A UMEM is a memfd that control makes and registers: that pins it, which takes CAP_IPC_LOCK
 * where the limit of locked memory is low; the datapath only maps it.
 *
 * Where an XDP program picks the place all of a port's queues share one: for each it has what 16
 * places may hold there, and a fill ring's worth: 68 MiB a queue; and 16 MiB for what a queue
 * takes in before its place is read. Where the device picks the
 * queue each place has one of its own, 16 MiB, and the port's is for sending only. Behind the
 * port's, in the same file, stands what the datapath is to do with it.
 *
 * The UMEM of a place lent to has a guest's pages too, which only the datapath maps: it registers
 * that itself (afxdp_lent.c).
 */
#ifndef VIF_NIC_AFXDP_H
#define VIF_NIC_AFXDP_H

#include "backend/nic/nic.h"

#define AFXDP_CHUNK	     4096u
#define AFXDP_RX_FRAMES	     1024u /* that wait in a place, of each of its queues */
#define AFXDP_LENT_RX_FRAMES 2048u /* alike, of one that is lent to */
#define AFXDP_FILL_FRAMES    1024u /* the kernel has ready */
#define AFXDP_TX_FRAMES	     1024u /* on their way out */
#define AFXDP_IN_HANDS	     1024u /* of all places that share, taken to be given to guests now */

/* Where places share a queue's fill ring, it has room for what each of them may take out of it
 * while nobody looks. */
#define AFXDP_SHARED_FILL_FRAMES 32768u
static_assert(AFXDP_SHARED_FILL_FRAMES >= AFXDP_FILL_FRAMES + NIC_PLACES_MAX * AFXDP_RX_FRAMES,
	      "so it has");

/* Of a place's own UMEM: what a queue takes in before its place is read (queue_place.c) can all
 * wait there. In one that places share there are as many for it, of whichever place. */
#define AFXDP_PLACE_CHUNKS 4096u

/* The fds of a place with a UMEM of its own; of any other, a socket for each queue. */
enum {
	AFXDP_PLACE_MEMORY,	    /* the UMEM's */
	AFXDP_PLACE_LAST_SOCKET = 0, /* of one lent to: to be bound in its turn, only to see that
				      * this can be; it is complete */
	AFXDP_PLACE_SOCKET = 1,
	AFXDP_PLACE_FDS,
};

/* Of a port. */
struct afxdp_terms {
	uint32_t first_queue, n_queues; /* of the device, that are served */
	uint32_t by_device; /* a place is on a queue of its own only; else on all */
	uint32_t transmit;  /* the memory has AFXDP_TX_FRAMES chunks more, to send from */
	uint32_t copy;	    /* the driver does not run the XDP program: no zero-copy */
};

/* Of the queues, those the port has itself: all of them, or the first one, to send by. Then
 * place N's is the N-th of the others. */
static inline uint32_t afxdp_n_port_queues(const struct afxdp_terms *t)
{
	return t->by_device ? t->transmit : t->n_queues;
}

static inline uint32_t afxdp_n_chunks(const struct afxdp_terms *t)
{
	if (t->by_device)
		return afxdp_n_port_queues(t) * AFXDP_FILL_FRAMES;
	return t->n_queues * (NIC_PLACES_MAX * AFXDP_RX_FRAMES + AFXDP_FILL_FRAMES) +
	       AFXDP_PLACE_CHUNKS;
}

static inline size_t afxdp_umem_size(const struct afxdp_terms *t)
{
	return (size_t)(afxdp_n_chunks(t) + (t->transmit ? AFXDP_TX_FRAMES : 0)) * AFXDP_CHUNK;
}

#endif
