/* SPDX-License-Identifier: MIT */
/*
 * What the frontend lends its backend: ring pages, frame pages, event channels. Lent
 * as a whole when a vif connects, taken back as a whole when it has closed.
 */
#include <string.h>

#include "frontend-compat/netfront.h"

static void *share_pages(struct netfront *nf, uint32_t n, grant_ref_t grefs[], bool writable)
{
	return xengntshr_share_pages(nf->gntshr, nf->backend_domid, (int)n, grefs, writable);
}

static int bind_ports(struct netfront *nf, struct netfront_queue *q, bool split)
{
	int port = xenevtchn_bind_unbound_port(nf->events.handle, nf->backend_domid);

	if (port < 0)
		return -errno;
	q->tx_port = q->rx_port = (evtchn_port_t)port;
	if (!split)
		return 0;
	port = xenevtchn_bind_unbound_port(nf->events.handle, nf->backend_domid);
	if (port < 0)
		return -errno;
	q->rx_port = (evtchn_port_t)port;
	return 0;
}

static int share_rings(struct netfront *nf, struct netfront_queue *q)
{
	void *tx = share_pages(nf, 1, &q->tx_ring_gref, true), *rx;

	if (!tx)
		return -errno;
	front_ring_init(&q->tx, tx, sizeof(union netif_tx_sring_entry), RING_SLOTS);
	rx = share_pages(nf, 1, &q->rx_ring_gref, true);
	if (!rx)
		return -errno;
	front_ring_init(&q->rx, rx, sizeof(union netif_rx_sring_entry), RING_SLOTS);
	return 0;
}

static int share_frames(struct netfront *nf, struct netfront_queue *q)
{
	uint16_t first_id = nf->choice.dialect->first_id;
	grant_ref_t tx_gref[RING_SLOTS];

	q->tx_memory = share_pages(nf, RING_SLOTS, tx_gref, false);
	if (!q->tx_memory)
		return -errno;
	q->rx_memory = share_pages(nf, RING_SLOTS, q->rx_gref, true);
	if (!q->rx_memory)
		return -errno;
	for (uint16_t i = 0; i < RING_SLOTS; i++) {
		q->tx_page[i] = (struct tx_page){ .gref = tx_gref[i], .id = first_id + i };
		q->tx_free[i] = i;
	}
	q->n_tx_free = RING_SLOTS;
	return 0;
}

static int share_ctrl(struct netfront *nf)
{
	struct ctrl *c = &nf->ctrl;
	void *ring = share_pages(nf, 1, &c->ring.ring_gref, true);
	int port;

	if (!ring)
		return -errno;
	ctrl_ring_init(&c->ring, ring);
	c->ring.table = share_pages(nf, 1, &c->ring.table_gref, true);
	if (!c->ring.table)
		return -errno;
	port = xenevtchn_bind_unbound_port(nf->events.handle, nf->backend_domid);
	if (port < 0)
		return -errno;
	c->port = (evtchn_port_t)port;
	c->phase = CTRL_WAITING;
	return 0;
}

int netfront_share(struct netfront *nf, bool split_events, bool ctrl_ring)
{
	nf->bus.shared = true; /* in part, should it fail: netfront_release() copes */
	for (uint32_t i = 0; i < nf->n_queues; i++) {
		struct netfront_queue *q = &nf->queue[i];
		int err;

		*q = (struct netfront_queue){ 0 };
		err = share_rings(nf, q);
		if (!err)
			err = share_frames(nf, q);
		if (!err)
			err = bind_ports(nf, q, split_events);
		if (err < 0) {
			nf->n_queues = i + 1;
			return err;
		}
	}
	return ctrl_ring ? share_ctrl(nf) : 0;
}

static void unshare(struct netfront *nf, void *memory, uint32_t n)
{
	if (memory && xengntshr_unshare(nf->gntshr, memory, n) < 0)
		log_warning(&nf->log, "taking back %u granted pages: %s", n, strerror(errno));
}

void netfront_release(struct netfront *nf)
{
	nf->running = false;
	if (!nf->bus.shared)
		return;
	for (uint32_t i = 0; i < nf->n_queues; i++) {
		struct netfront_queue *q = &nf->queue[i];

		if (q->tx_port)
			event_unbind(&nf->events, q->tx_port);
		if (q->rx_port != q->tx_port)
			event_unbind(&nf->events, q->rx_port);
		unshare(nf, q->tx.page, 1);
		unshare(nf, q->rx.page, 1);
		unshare(nf, q->tx_memory, RING_SLOTS);
		unshare(nf, q->rx_memory, RING_SLOTS);
		*q = (struct netfront_queue){ 0 };
	}
	if (nf->ctrl.port)
		event_unbind(&nf->events, nf->ctrl.port);
	unshare(nf, nf->ctrl.ring.ring.page, 1);
	unshare(nf, nf->ctrl.ring.table, 1);
	nf->ctrl = (struct ctrl){ 0 };
	multicast_forget(&nf->multicast);
	nf->wants_all = false;
	nf->counters.static_pages = 0;
	nf->n_queues = 0;
	nf->bus.shared = nf->bus.withdrawing = false;
}
