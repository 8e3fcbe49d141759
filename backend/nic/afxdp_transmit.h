/* SPDX-License-Identifier: MIT */
/*
 * Rank 62: sending by AF_XDP. The frames are copied into chunks of the UMEM that are for this
 * alone, behind those that receive, and handed to the kernel by the transmit ring of the
 * socket that has the port's first queue.
 *
 * Owner: the port's worker.
 */
#ifndef VIF_NIC_AFXDP_TRANSMIT_H
#define VIF_NIC_AFXDP_TRANSMIT_H

#include <xdp/xsk.h>

#include "backend/nic/afxdp.h"

struct afxdp_transmit {
	int fd; /* the port's */
	uint8_t *memory; /* of the chunks; NULL: nothing is sent */
	uint64_t address; /* of the first one, in the UMEM */
	struct xsk_ring_prod ring;
	struct xsk_ring_cons completed;
	void *ring_map, *completed_map;
	size_t ring_size, completed_size;
	struct nic_sent sent;		/* frame number n is in chunk n % AFXDP_TX_FRAMES */
	bool is_done[AFXDP_TX_FRAMES];	/* of those after sent.done */
};

/* Makes the rings of the socket, which is bound afterwards. 'memory' is that of the chunks, at
 * this address of the UMEM. 0, or -1 with errno. */
int afxdp_transmit_open(struct afxdp_transmit *t, int fd, uint8_t *memory, uint64_t address)
	must_check;
/* Zeroed, it is accepted. */
void afxdp_transmit_close(struct afxdp_transmit *t);

/* As in nic_port_ops. */
uint32_t afxdp_transmit(struct afxdp_transmit *t, struct packet *const p[], uint32_t n,
			uint16_t vlan);
bool afxdp_transmit_kick(struct afxdp_transmit *t);
void afxdp_transmit_sent(struct afxdp_transmit *t, struct nic_sent *out);

#endif
