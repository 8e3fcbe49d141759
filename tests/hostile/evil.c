/* SPDX-License-Identifier: MIT */
/*
 * A guest without a driver: raw rings, raw keys. See rig.h.
 */
#include <stdio.h>
#include <string.h>

#include "libvif/hosted/hosted.h"
#include "tests/hostile/rig.h"
#include "tests/sim/sim_store.h"

void evil_open(struct evil *e)
{
	hosted_set_domid(EVIL_DOMID);
	e->gntshr = xengntshr_open(NULL, 0);
	assert_non_null(e->gntshr);
	assert_int_equal(events_open(&e->events), 0);
}

static void *share(struct evil *e, uint32_t n, grant_ref_t grefs[], bool writable)
{
	void *p = xengntshr_share_pages(e->gntshr, 0, (int)n, grefs, writable);

	assert_non_null(p);
	return p;
}

/* Of any kind: their headers are alike. */
static void *share_ring(struct evil *e, grant_ref_t *gref)
{
	netif_tx_sring_t *ring = share(e, 1, gref, true);

	memset(ring, 0, XEN_PAGE);
	ring->req_event = ring->rsp_event = 1;
	return ring;
}

static evtchn_port_t new_port(struct evil *e)
{
	int port = xenevtchn_bind_unbound_port(e->events.handle, 0);

	assert_true(port > 0);
	return (evtchn_port_t)port;
}

static void unshare(struct evil *e)
{
	if (!e->tx)
		return;
	xengntshr_unshare(e->gntshr, e->tx, 1);
	xengntshr_unshare(e->gntshr, e->rx, 1);
	if (e->tx_memory)
		xengntshr_unshare(e->gntshr, e->tx_memory, EVIL_PAGES);
	xengntshr_unshare(e->gntshr, e->rx_memory, EVIL_PAGES);
	event_unbind(&e->events, e->tx_port);
	if (e->rx_port != e->tx_port)
		event_unbind(&e->events, e->rx_port);
	if (e->tx1) {
		xengntshr_unshare(e->gntshr, e->tx1, 1);
		xengntshr_unshare(e->gntshr, e->rx1, 1);
		event_unbind(&e->events, e->port1);
	}
	e->tx1 = NULL;
	if (e->ctrl) {
		xengntshr_unshare(e->gntshr, e->ctrl, 1);
		xengntshr_unshare(e->gntshr, e->ctrl_memory, EVIL_CTRL_PAGES);
		event_unbind(&e->events, e->ctrl_port);
	}
	e->ctrl = NULL;
	e->tx = NULL;
}

void evil_close(struct evil *e)
{
	unshare(e);
	xengntshr_close(e->gntshr);
	events_close(&e->events);
}

static void put_key(const char *dir, const char *name, uint32_t value)
{
	char key[64];

	snprintf(key, sizeof(key), "%s%s", dir, name);
	sim_frontend_put(EVIL_DOMID, 0, key, "%u", value);
}

static void write_keys(const struct evil *e)
{
	const char *dir = e->n_queues == 2 ? "queue-0/" : "";
	static const char *const features[] = { "request-rx-copy",   "feature-rx-notify",
						"feature-sg",	     "feature-gso-tcpv4",
						"feature-gso-tcpv6", "feature-ipv6-csum-offload" };

	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		sim_frontend_put(
		    EVIL_DOMID, 0, features[i],
		    e->never_notifies && !strcmp(features[i], "feature-rx-notify") ? "0" : "1");
	if (e->n_queues == 2) {
		put_key("", "multi-queue-num-queues", 2);
		put_key("queue-1/", "tx-ring-ref", e->tx1_ring_gref);
		put_key("queue-1/", "rx-ring-ref", e->rx1_ring_gref);
		put_key("queue-1/", "event-channel", e->port1);
	}
	put_key(dir, "tx-ring-ref", e->tx_ring_gref);
	put_key(dir, "rx-ring-ref", e->rx_ring_gref);
	if (e->split_events) {
		put_key(dir, "event-channel-tx", e->tx_port);
		put_key(dir, "event-channel-rx", e->rx_port);
	} else {
		put_key(dir, "event-channel", e->tx_port);
	}
	if (e->with_ctrl) {
		put_key("", "ctrl-ring-ref", e->ctrl_ring_gref);
		put_key("", "event-channel-ctrl", e->ctrl_port);
	}
}

void evil_share(struct evil *e)
{
	unshare(e);
	e->tx = share_ring(e, &e->tx_ring_gref);
	e->rx = share_ring(e, &e->rx_ring_gref);
	e->tx_prod = e->rx_prod = 0;
	e->tx_memory = share(e, EVIL_PAGES, e->tx_gref, false);
	e->rx_memory = share(e, EVIL_PAGES, e->rx_gref, true);
	if (e->n_queues == 2) {
		e->tx1 = share_ring(e, &e->tx1_ring_gref);
		e->rx1 = share_ring(e, &e->rx1_ring_gref);
		e->port1 = new_port(e);
	}
	if (e->with_ctrl) {
		e->ctrl = share_ring(e, &e->ctrl_ring_gref);
		e->ctrl_prod = 0;
		e->ctrl_memory = share(e, EVIL_CTRL_PAGES, e->ctrl_gref, true);
		e->ctrl_port = new_port(e);
	}
	e->tx_port = e->rx_port = new_port(e);
	if (e->split_events)
		e->rx_port = new_port(e);
	write_keys(e);
}

void evil_reconnect(struct rig *r)
{
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosing);
	rig_turns_until(r, 2000, rig_evil_state() != XenbusStateConnected);
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosed);
	rig_turns_until(r, 2000, rig_evil_state() == XenbusStateClosed);
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateInitialising);
	rig_turns_until(r, 2000, rig_evil_state() == XenbusStateInitWait);
	evil_share(&r->evil);
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateConnected);
	rig_turns_until(r, 2000, rig_evil_state() == XenbusStateConnected);
}

/* ---- the rings ---- */

void evil_tx_raw(struct evil *e, const netif_tx_request_t *req)
{
	memcpy(&e->tx->ring[e->tx_prod++ % RING_SLOTS].req, req, sizeof(*req));
}

void evil_tx(struct evil *e, uint32_t page, uint16_t offset, uint16_t size, uint16_t flags)
{
	const netif_tx_request_t req = { .gref = e->tx_gref[page],
					 .offset = offset,
					 .size = size,
					 .flags = flags,
					 .id = (uint16_t)e->tx_prod };

	evil_tx_raw(e, &req);
}

void evil_tx_gso(struct evil *e, uint8_t type, uint16_t size, uint8_t flags)
{
	union from_guest_slot slot = { .extra = { .type = XEN_NETIF_EXTRA_TYPE_GSO,
						  .flags = flags } };

	slot.extra.u.gso.type = type;
	slot.extra.u.gso.size = size;
	evil_tx_raw(e, &slot.req);
}

void evil_tx_frame(struct evil *e, const uint8_t *frame, uint32_t size, uint32_t first_size,
		   uint16_t flags, uint8_t gso_type, uint16_t gso_size)
{
	uint32_t done = first_size, page = 0;

	flags |= gso_type ? NETTXF_extra_info : 0;
	memcpy(e->tx_memory, frame, first_size);
	/* the first request's size is the frame's */
	evil_tx(e, 0, 0, (uint16_t)size, flags | (done < size ? NETTXF_more_data : 0));
	if (gso_type)
		evil_tx_gso(e, gso_type, gso_size, 0);
	for (; done < size; done += XEN_PAGE) {
		uint32_t n = MIN(size - done, XEN_PAGE);

		page++;
		memcpy(e->tx_memory + (size_t)page * XEN_PAGE, frame + done, n);
		evil_tx(e, page, 0, (uint16_t)n, done + n < size ? NETTXF_more_data : 0);
	}
}

void evil_rx(struct evil *e, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const netif_rx_request_t req = { .id = (uint16_t)e->rx_prod,
						 .gref = e->rx_gref[e->rx_prod % EVIL_PAGES] };

		e->rx->ring[e->rx_prod++ % RING_SLOTS].req = req;
	}
}

void evil_notify(struct evil *e)
{
	(void)event_send(&e->events, e->tx_port);
	if (e->rx_port != e->tx_port)
		(void)event_send(&e->events, e->rx_port);
	if (e->ctrl)
		(void)event_send(&e->events, e->ctrl_port);
}

void evil_publish(struct evil *e)
{
	__atomic_store_n(&e->tx->req_prod, e->tx_prod, __ATOMIC_RELEASE);
	__atomic_store_n(&e->rx->req_prod, e->rx_prod, __ATOMIC_RELEASE);
	evil_notify(e);
}

uint32_t evil_events(struct evil *e)
{
	uint32_t n = 0;
	int port;

	while ((port = event_next(&e->events)) >= 0) {
		event_unmask(&e->events, (evtchn_port_t)port);
		n++;
	}
	return n;
}

void evil_ctrl_put(struct evil *e, uint16_t type, uint32_t a, uint32_t b, uint32_t c)
{
	const struct xen_netif_ctrl_request req = { .id = (uint16_t)e->ctrl_prod,
						    .type = type,
						    .data = { a, b, c } };

	e->ctrl->ring[e->ctrl_prod++ % CTRL_RING_SLOTS].req = req;
}

void evil_ctrl_publish(struct evil *e)
{
	__atomic_store_n(&e->ctrl->req_prod, e->ctrl_prod, __ATOMIC_RELEASE);
	(void)event_send(&e->events, e->ctrl_port);
}

struct xen_netif_ctrl_response evil_ctrl_response(const struct evil *e, RING_IDX i)
{
	return e->ctrl->ring[i % CTRL_RING_SLOTS].rsp;
}

netif_tx_response_t evil_tx_response(const struct evil *e, RING_IDX i)
{
	return e->tx->ring[i % RING_SLOTS].rsp;
}

netif_rx_response_t evil_rx_response(const struct evil *e, RING_IDX i)
{
	return e->rx->ring[i % RING_SLOTS].rsp;
}

/* ---- the control ring ---- */

struct xen_netif_ctrl_response evil_ask(struct rig *r, uint16_t type, uint32_t a, uint32_t b,
					uint32_t c)
{
	struct evil *e = &r->evil;
	struct xen_netif_ctrl_response rsp;

	evil_ctrl_put(e, type, a, b, c);
	evil_ctrl_publish(e);
	rig_turns_until(r, 200, e->ctrl->rsp_prod == e->ctrl_prod);
	rsp = evil_ctrl_response(e, e->ctrl_prod - 1);
	assert_int_equal(rsp.id, (uint16_t)(e->ctrl_prod - 1));
	assert_int_equal(rsp.type, type);
	return rsp;
}

struct xen_netif_gref *evil_list_page(struct rig *r)
{
	return (void *)r->evil.ctrl_memory;
}

void evil_set_list(struct rig *r, const grant_ref_t grefs[], uint32_t n, uint16_t flags)
{
	for (uint32_t i = 0; i < n; i++)
		evil_list_page(r)[i] = (struct xen_netif_gref){ .ref = grefs[i], .flags = flags };
}

struct xen_netif_ctrl_response evil_add(struct rig *r, const grant_ref_t grefs[], uint32_t n,
					uint16_t flags)
{
	evil_set_list(r, grefs, n, flags);
	return evil_ask(r, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, r->evil.ctrl_gref[0], n);
}

struct xen_netif_ctrl_response evil_del(struct rig *r, const grant_ref_t grefs[], uint32_t n)
{
	evil_set_list(r, grefs, n, 0);
	return evil_ask(r, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 0, r->evil.ctrl_gref[0], n);
}
