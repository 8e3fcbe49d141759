/* SPDX-License-Identifier: MIT */
/*
 * Rank 60: what the two halves of AF_XDP agree upon.
 *
 * The UMEM is a memfd that control makes and registers: that pins it, which takes
 * CAP_IPC_LOCK where the limit of locked memory is low; the datapath only maps it. All of a
 * port's queues share it: for each it has what the places may hold there, 16 of them or,
 * where the device picks the queue, one, and a fill ring's worth: 68 MiB a queue, or 8.
 * Behind it, in the same file, stands what the datapath is to do with it.
 */
#ifndef VIF_NIC_AFXDP_H
#define VIF_NIC_AFXDP_H

#include "backend/nic/nic.h"

#define AFXDP_CHUNK	  4096u
#define AFXDP_RX_FRAMES	  1024u	/* that wait in a place, of each of its queues */
#define AFXDP_FILL_FRAMES 1024u /* the kernel has ready */
#define AFXDP_TX_FRAMES	  1024u /* on their way out */

/* Of a port. */
struct afxdp_terms {
	uint32_t first_queue, n_queues; /* of the device, that are served */
	uint32_t by_device; /* place N is on queue first_queue + N only; else on all */
	uint32_t transmit;  /* the memory has AFXDP_TX_FRAMES chunks more, to send from */
	uint32_t copy;	    /* the driver does not run the XDP program: no zero-copy */
};

static inline uint32_t afxdp_n_chunks(const struct afxdp_terms *t)
{
	return t->n_queues *
	       ((t->by_device ? 1 : NIC_PLACES_MAX) * AFXDP_RX_FRAMES + AFXDP_FILL_FRAMES);
}

static inline size_t afxdp_umem_size(const struct afxdp_terms *t)
{
	return (size_t)(afxdp_n_chunks(t) + (t->transmit ? AFXDP_TX_FRAMES : 0)) * AFXDP_CHUNK;
}

#endif
