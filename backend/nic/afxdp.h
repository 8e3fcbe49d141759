/* SPDX-License-Identifier: MIT */
/*
 * Rank 60: what the two halves of AF_XDP agree upon.
 *
 * The UMEM is a memfd that control makes and registers: that pins it, which takes
 * CAP_IPC_LOCK where the limit of locked memory is low; the datapath only maps it. For
 * each of the device's queues it has what all places may hold there, and a fill ring's
 * worth: 68 MiB.
 */
#ifndef VIF_NIC_AFXDP_H
#define VIF_NIC_AFXDP_H

#include "backend/nic/nic.h"

#define AFXDP_CHUNK	  4096u
#define AFXDP_RX_FRAMES	  1024u	/* that wait in a place, of each of the device's queues */
#define AFXDP_FILL_FRAMES 1024u /* the kernel has ready */

static inline uint32_t afxdp_n_chunks(int n_queues)
{
	return (uint32_t)n_queues * (NIC_PLACES_MAX * AFXDP_RX_FRAMES + AFXDP_FILL_FRAMES);
}

static inline size_t afxdp_umem_size(int n_queues)
{
	return (size_t)afxdp_n_chunks(n_queues) * AFXDP_CHUNK;
}

#endif
