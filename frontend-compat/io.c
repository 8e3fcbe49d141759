/* SPDX-License-Identifier: MIT */
/*
 * The data path of the frontend: rings to frames to the guest's stack and back. Every
 * function returns; none waits, none allocates.
 *
 * The backend writes ring and rx pages at any time. Responses are copied out of the
 * ring before anything is concluded from them, and headers out of the rx page before
 * they are parsed; a frame's payload goes to the stack as it is, as a guest's would.
 */
#include <string.h>

#include "frontend-compat/netfront.h"

/* Requests written but not shown: enough to make a batch, few enough that the backend
 * works while we do. */
#define PUSH_SLOTS 32u

/* Enough for Ethernet, two VLAN tags, IPv4 with options or IPv6 with a few extensions,
 * and TCP; Linux pulls RX_COPY_THRESHOLD too. */
#define HEAD_MAX 256u

/* What there is to know about one pass over one queue. */
struct pass {
	struct netfront *nf;
	struct netfront_queue *q;
	uint32_t index; /* of the queue */
};

static struct log_scope scope(const struct pass *p)
{
	return (struct log_scope){ &p->nf->config.vif, (int)p->index };
}

/* The backend broke the protocol: "Disabled for further use" (xen-netfront.c). */
static void disable(struct pass *p, const char *why)
{
	struct log_scope s = scope(p);

	log_error(&s, "the backend broke the protocol: %s; disabled until it is connected anew",
		  why);
	p->nf->running = false;
	p->nf->counters.disabled++;
}

static void tx_push(struct pass *p)
{
	if (!front_ring_push(&p->q->tx))
		return;
	event_send(&p->nf->events, p->q->tx_port);
	p->nf->counters.from_guest_notifies++;
}

static void rx_push(struct pass *p)
{
	if (!front_ring_push(&p->q->rx) || p->nf->choice.dialect->rx_silent)
		return;
	event_send(&p->nf->events, p->q->rx_port);
	p->nf->counters.to_guest_notifies++;
}

/* Takes one answered page back. The checks are xennet_tx_buf_gc()'s. */
static bool tx_answered(struct pass *p, const netif_tx_response_t *rsp)
{
	uint16_t page = (uint16_t)(rsp->id - p->nf->choice.dialect->first_id);
	struct netfront_queue *q = p->q;

	if (rsp->status == NETIF_RSP_NULL) /* of an extra info: no page went with it */
		return true;
	if (page >= RING_SLOTS) {
		disable(p, "a transmit response has an impossible id");
		return false;
	}
	if (!q->tx_pending[page]) {
		disable(p, "a transmit response for no request");
		return false;
	}
	q->tx_pending[page] = false;
	q->tx_free[q->n_tx_free++] = page;
	if (rsp->status != NETIF_RSP_OKAY)
		p->nf->counters.from_guest_error_responses++;
	return true;
}

static void tx_reap(struct pass *p)
{
	struct front_ring *r = &p->q->tx;
	netif_tx_response_t rsp;
	int n = front_ring_pending(r);

	if (n < 0) {
		disable(p, "more transmit responses than requests");
		return;
	}
	for (int i = 0; i < n; i++) {
		front_ring_peek(r, (uint32_t)i, &rsp, sizeof(rsp));
		if (!tx_answered(p, &rsp))
			return;
	}
	front_ring_consume(r, (uint32_t)n);
}

/* netfront_tx_slot_available(): room for the largest frame. */
static bool tx_has_room(const struct netfront_queue *q)
{
	return front_ring_free(&q->tx) >= TX_SLOTS_MAX && q->n_tx_free >= TX_PAGES_MAX;
}

bool netfront_has_room(const struct netfront *nf, uint32_t queue)
{
	return nf->running && queue < nf->n_queues && tx_has_room(&nf->queue[queue]);
}

/* A frame on its way from the stack: its parts, the pages they are in, and both as an iovec. */
struct tx_frame {
	uint32_t size, n_pieces;
	struct tx_piece piece[TX_PAGES_MAX];
	struct tx_page page[TX_PAGES_MAX];
	struct virtio_net_hdr vnet;
	struct iovec iov[1 + TX_PAGES_MAX]; /* of vnet and the pieces */
};

/* Cuts a frame as the dialect does; one slot is all there is without scatter-gather. */
static void tx_lay_out(const struct netfront *nf, struct tx_frame *f, uint32_t size)
{
	static const struct tx_layout one_page;

	f->size = size;
	f->n_pieces =
	    tx_cut(nf->features & VIF_SG ? &nf->choice.dialect->layout : &one_page, size, f->piece);
	for (uint32_t i = 0; i < f->n_pieces; i++)
		f->iov[1 + i].iov_len = f->piece[i].size;
}

/* Makes room for the largest frame, the warmest pages first. */
static void tx_frame_init(const struct pass *p, struct tx_frame *f)
{
	const struct netfront_queue *q = p->q;

	tx_lay_out(p->nf, f, XEN_NETIF_MAX_TX_SIZE);
	f->iov[0] = (struct iovec){ &f->vnet, sizeof(f->vnet) };
	for (uint32_t i = 0; i < f->n_pieces; i++) {
		uint16_t id = q->tx_free[q->n_tx_free - 1 - i];

		f->page[i] = q->tx_page[id];
		f->iov[1 + i].iov_base = q->tx_memory + (size_t)id * XEN_PAGE + f->piece[i].offset;
	}
	/* a frame that is too large must show */
	f->iov[f->n_pieces].iov_len = XEN_PAGE - f->piece[f->n_pieces - 1].offset;
}

/* Whether the backend takes this frame's checksum blank. netif cannot say where it is: the
 * backend takes it for the outermost transport header's. */
static bool tx_may_blank(const struct netfront *nf, const struct tx_frame *f)
{
	struct frame_transport t;

	if (frame_parse(f->iov[1].iov_base, f->piece[0].size, &t) < 0 ||
	    f->vnet.csum_start != t.transport_offset || f->vnet.csum_offset != t.csum_offset)
		return false;
	return nf->features & (t.ip_version == 6 ? VIF_CSUM_V6 : VIF_CSUM_V4);
}

/* Brings a frame's offloads down to what the backend takes. */
static int tx_prepare(struct netfront *nf, struct tx_frame *f, struct netif_offload *out)
{
	int err = 0;

	if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !tx_may_blank(nf, f))
		err = f->vnet.gso_type ? -EPROTO
				       : tx_finish_checksum(&f->vnet, f->iov + 1, (int)f->n_pieces);
	if (err < 0)
		return err;
	err = tx_offload(&f->vnet, out);
	if (err < 0)
		return err;
	if (f->n_pieces > 1 && !(nf->features & VIF_SG))
		return -EPROTO;
	if ((out->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 && !(nf->features & VIF_GSO_TCPV4)) ||
	    (out->gso_type == XEN_NETIF_GSO_TYPE_TCPV6 && !(nf->features & VIF_GSO_TCPV6)))
		return -EPROTO;
	return 0;
}

static void tx_put(struct pass *p, const struct tx_frame *f, const struct tx_meta *meta)
{
	struct netfront_counters *c = &p->nf->counters;
	union from_guest_slot slots[TX_SLOTS_MAX];
	uint32_t n = tx_slots(f->piece, f->n_pieces, meta, f->page, slots);

	for (uint32_t i = 0; i < n; i++)
		front_ring_put(&p->q->tx, &slots[i]);
	for (uint32_t i = 0; i < f->n_pieces; i++)
		p->q->tx_pending[p->q->tx_free[--p->q->n_tx_free]] = true;
	c->from_guest_frames++;
	c->from_guest_bytes += f->size;
	c->from_guest_gso_frames += meta->offload.gso_type != 0;
	c->from_guest_csum_blank += meta->offload.csum_blank;
}

/* Backends that hash for us take the hash of what we send (netif.h). */
static struct frame_hash tx_hash(const struct netfront *nf, const struct tx_frame *f)
{
	if (!nf->choice.dialect->sends_hash)
		return (struct frame_hash){ .type = HASH_TYPE_NONE };
	return hash_frame(&nf->ctrl.hash, f->iov[1].iov_base, f->piece[0].size);
}

/* Moves one frame from the stack to the ring. Returns 0, or -errno: none came. */
static int tx_one(struct pass *p)
{
	const struct netfront_config *c = &p->nf->config;
	struct tx_meta meta;
	struct tx_frame f;
	ssize_t n;

	tx_frame_init(p, &f);
	n = c->stack_ops->take(c->stack, p->index, f.iov, (int)f.n_pieces + 1);
	if (n < 0)
		return (int)n;
	n -= (ssize_t)sizeof(f.vnet);
	if (n > 0 && n <= XEN_NETIF_MAX_TX_SIZE) {
		tx_lay_out(p->nf, &f, (uint32_t)n);
		if (tx_prepare(p->nf, &f, &meta.offload) == 0) {
			meta.hash = tx_hash(p->nf, &f);
			tx_put(p, &f, &meta);
			return 0;
		}
	}
	p->nf->counters.from_guest_drops++;
	return 0;
}

/* Tells the backend of multicast addresses in dummy requests (netif.h): two slots each, of
 * which the first has an id and no page. */
static void tx_multicast(struct pass *p)
{
	struct netfront_queue *q = p->q;
	struct multicast_address address;
	bool add;

	while (tx_has_room(q) && multicast_next(&p->nf->multicast, &address, &add)) {
		uint16_t id = q->tx_free[--q->n_tx_free];
		union from_guest_slot slots[2] = {
			{ .req = { .id = q->tx_page[id].id, .flags = NETTXF_extra_info } },
			{ .extra.type = add ? XEN_NETIF_EXTRA_TYPE_MCAST_ADD
					    : XEN_NETIF_EXTRA_TYPE_MCAST_DEL },
		};

		memcpy(slots[1].extra.u.mcast.addr, address.byte, sizeof(address.byte));
		front_ring_put(&q->tx, &slots[0]);
		front_ring_put(&q->tx, &slots[1]);
		q->tx_pending[id] = true;
		p->nf->counters.from_guest_multicast++;
	}
}

/* Returns whether the stack may have more frames and there is room for them. */
static bool tx_pass(struct pass *p)
{
	struct netfront *nf = p->nf;
	struct front_ring *r = &p->q->tx;
	uint32_t budget = NETFRONT_BATCH;
	int err = 0;

	if (!p->index && netfront_filters_multicast(nf))
		tx_multicast(p);
	while (budget-- && !err) {
		if (!tx_has_room(p->q)) {
			tx_push(p);
			tx_reap(p);
			if (!nf->running)
				return false;
			if (!tx_has_room(p->q)) {
				nf->counters.from_guest_waits++;
				return false;
			}
		}
		err = tx_one(p);
		if (r->req_prod - r->req_pub >= PUSH_SLOTS)
			tx_push(p);
	}
	tx_push(p);
	if (err && err != -EAGAIN)
		nf->stack_error = err;
	return !err;
}

static uint8_t *rx_data(const struct netfront_queue *q, const struct rx_frame *f, uint32_t i)
{
	return q->rx_memory + (size_t)f->fragment[i].page * XEN_PAGE + f->fragment[i].offset;
}

/* Compares hash and queue of a frame with what we asked for; netif.h lets the backend leave
 * the hash out. */
static void rx_check_hash(struct pass *p, const struct rx_frame *f, const uint8_t *head,
			  uint32_t size)
{
	const struct hash_setup *s = &p->nf->ctrl.hash;
	struct netfront_counters *n = &p->nf->counters;
	struct frame_hash h = hash_frame(s, head, size);

	n->to_guest_hash_extras += f->has_hash;
	if (h.type == HASH_TYPE_NONE)
		return;
	n->to_guest_hashed++;
	n->to_guest_wrong_hash +=
	    f->has_hash && (f->hash_algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ ||
			    f->hash.type != h.type || f->hash.value != h.value);
	n->to_guest_wrong_queue += hash_queue(s, h.value, p->nf->n_queues) != p->index;
}

/* Looks at the frame's headers, in a copy. Fills vnet; -EPROTO: they do not fit its offloads. */
static int rx_prepare(struct pass *p, struct rx_frame *f, struct virtio_net_hdr *vnet)
{
	uint32_t size = MIN(f->fragment[0].size, HEAD_MAX);
	bool hashed = p->nf->ctrl.hash.flags;
	uint8_t head[HEAD_MAX];
	int at;

	if (f->offload.csum_blank || f->offload.gso_type || hashed)
		memcpy(head, rx_data(p->q, f, 0), size);
	if (hashed)
		rx_check_hash(p, f, head, size);
	if (f->offload.gso_type && !f->offload.csum_blank) {
		at = rx_blank_checksum(f, head, size);
		if (at < 0)
			return at;
		memcpy(rx_data(p->q, f, 0) + at, head + at, 2);
		p->nf->counters.to_guest_gso_fixups++;
	}
	return rx_vnet(&f->offload, head, size, vnet);
}

/* Hands one frame to the stack. */
static void rx_give(struct pass *p, struct rx_frame *f)
{
	const struct netfront_config *c = &p->nf->config;
	struct netfront_counters *n = &p->nf->counters;
	struct virtio_net_hdr vnet;
	struct iovec iov[1 + RX_FRAGMENTS_MAX] = { { &vnet, sizeof(vnet) } };

	for (uint32_t i = 0; i < f->n_fragments; i++) {
		iov[1 + i].iov_base = rx_data(p->q, f, i);
		iov[1 + i].iov_len = f->fragment[i].size;
	}
	if (rx_prepare(p, f, &vnet) < 0) {
		n->to_guest_errors++;
		return;
	}
	n->to_guest_headroom += f->headroom != 0;
	n->to_guest_unasked +=
	    (f->headroom != p->nf->headroom && f->headroom != p->nf->headroom_before) ||
	    (rx_uses(f) & ~p->nf->accepts) != 0;
	if (c->stack_ops->give(c->stack, p->index, iov, (int)f->n_fragments + 1) < 0) {
		n->to_guest_stack_drops++;
		return;
	}
	n->to_guest_frames++;
	n->to_guest_bytes += f->size;
	n->to_guest_gso_frames += f->offload.gso_type != 0;
	n->to_guest_csum_blank += f->offload.csum_blank;
}

/* Whether the dialect has begun to post buffers. */
static bool rx_started(const struct netfront *nf)
{
	const struct bus_situation *s = &nf->bus;

	switch (nf->choice.dialect->rx_start) {
	case RX_WHEN_CONNECTED:
		return s->ours == XenbusStateConnected || bus_is_connected(s);
	case RX_WHEN_BOTH_ARE:
		return netfront_is_connected(nf);
	case RX_BEFORE_CONNECTED:
		break;
	}
	return true;
}

/* Posts every page that is not posted. Page i always stands in slot i. */
static void rx_refill(struct pass *p)
{
	struct front_ring *r = &p->q->rx;

	if (!rx_started(p->nf))
		return;
	while (front_ring_free(r)) {
		uint16_t id = (uint16_t)(r->req_prod % RING_SLOTS);
		netif_rx_request_t req = { .id = id, .gref = p->q->rx_gref[id] };

		front_ring_put(r, &req);
	}
	rx_push(p);
}

/* Returns whether responses were left for the next pass. */
static bool rx_pass(struct pass *p)
{
	struct netfront *nf = p->nf;
	struct front_ring *r = &p->q->rx;
	uint32_t at = 0, budget = NETFRONT_BATCH;
	RING_IDX cons = r->rsp_cons;
	int n = front_ring_pending(r);

	if (n < 0) {
		disable(p, "more receive responses than requests");
		return false;
	}
	for (int i = 0; i < n; i++)
		front_ring_peek(r, (uint32_t)i, &nf->scratch[i], sizeof(nf->scratch[i]));
	while (at < (uint32_t)n && budget--) {
		struct rx_frame f;

		rx_frame_read(&nf->scratch[at], (uint32_t)n - at, cons + at, &f);
		if (f.verdict == VIF_FATAL) {
			disable(p, f.why);
			return false;
		}
		if (f.verdict == VIF_DROP)
			nf->counters.to_guest_errors++;
		else
			rx_give(p, &f);
		at += f.n_slots;
		front_ring_consume(r, f.n_slots);
		if (front_ring_free(r) >= PUSH_SLOTS)
			rx_refill(p);
	}
	rx_refill(p);
	return at < (uint32_t)n;
}

/* Asks for the next events, then looks once more. Returns whether it must go on instead. */
static bool arm(struct pass *p)
{
	struct front_ring *tx = &p->q->tx;
	uint32_t outstanding = tx->req_pub - tx->rsp_cons, wake = 1;
	int n;

	if (p->nf->choice.dialect->tx_wakeup == TX_WAKE_HALFWAY)
		wake = outstanding / 2 + 1;
	n = front_ring_arm(tx, wake);
	if (n < 0 || (uint32_t)n >= wake)
		return true; /* the next pass finds what is wrong with a negative one */
	return front_ring_arm(&p->q->rx, 1) != 0;
}

/* The work is done: lets the ports fire again (XSA-332). */
static void unmask(struct pass *p)
{
	struct netfront_queue *q = p->q;

	if (q->tx_fired)
		event_unmask(&p->nf->events, q->tx_port);
	if (q->rx_fired && q->rx_port != q->tx_port)
		event_unmask(&p->nf->events, q->rx_port);
	q->tx_fired = q->rx_fired = false;
}

bool netfront_step(struct netfront *nf)
{
	bool again = false;

	for (uint32_t i = 0; i < nf->n_queues; i++) {
		struct pass p = { nf, &nf->queue[i], i };
		bool more = false;

		if (nf->running)
			more = rx_pass(&p);
		if (nf->running)
			tx_reap(&p);
		if (nf->running)
			more |= tx_pass(&p);
		if (nf->running && !more)
			more = arm(&p);
		if (nf->running && !more)
			unmask(&p);
		again |= more;
	}
	return again && nf->running;
}

bool netfront_take_events(struct netfront *nf)
{
	bool ctrl_fired = false, due = false;
	int port;

	while ((port = event_next(&nf->events)) >= 0) {
		ctrl_fired |= nf->ctrl.port && (evtchn_port_t)port == nf->ctrl.port;
		for (uint32_t i = 0; i < nf->n_queues; i++) {
			struct netfront_queue *q = &nf->queue[i];

			if ((evtchn_port_t)port == q->tx_port) {
				q->tx_fired = true;
				nf->counters.from_guest_events++;
			} else if ((evtchn_port_t)port == q->rx_port) {
				q->rx_fired = true;
				nf->counters.to_guest_events++;
			}
		}
	}
	if (ctrl_fired) {
		due = ctrl_step(nf);
		event_unmask(&nf->events, nf->ctrl.port);
	}
	return due;
}
