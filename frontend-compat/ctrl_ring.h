/* SPDX-License-Identifier: MIT */
/*
 * The frontend's side of the control ring: one request at a time, its answer, and the
 * page a request may name. What is asked for is ctrl.c's business.
 *
 * Source: netif.h "Control ring"; win-xenvif src/xenvif/controller.c, the one client of
 * it that ships.
 */
#ifndef FRONTEND_CTRL_RING_H
#define FRONTEND_CTRL_RING_H

#include "frontend-compat/front_ring.h"

/* __CONST_RING_SIZE(xen_netif_ctrl, XEN_PAGE) */
#define CTRL_RING_SLOTS 128u

struct ctrl_ring {
	struct front_ring ring;
	void *table; /* the page a request may name: the backend reads and writes it */
	grant_ref_t ring_gref, table_gref;
	bool busy; /* a request is not answered yet */
	struct xen_netif_ctrl_request req;
};

/* Begins an empty ring in a fresh page. */
void ctrl_ring_init(struct ctrl_ring *r, void *page);

/* Asks; the table must hold still until the answer. Returns whether the backend wants an
 * event. Precondition: not busy. */
bool ctrl_ring_ask(struct ctrl_ring *r, uint16_t type, const uint32_t data[3]) must_check;

/* Fetches the answer, and asks for an event if there is none yet. 0; -EAGAIN; -EPROTO: the
 * backend answers what was not asked. */
int ctrl_ring_answer(struct ctrl_ring *r, struct xen_netif_ctrl_response *out) must_check;

#endif
