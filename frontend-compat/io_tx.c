/* SPDX-License-Identifier: MIT */
/*
 * From the guest's stack to the backend: frames laid out in our pages as the dialect does,
 * in the offloads the backend takes.
 */
#include <string.h>

#include "frontend-compat/io.h"

static void tx_push(struct pass *p)
{
	if (!front_ring_push(&p->q->tx))
		return;
	event_send(&p->nf->events, p->q->tx_port);
	p->nf->counters.from_guest_notifies++;
}

/* Takes one answered page back. The checks are xennet_tx_buf_gc()'s. */
static bool tx_answered(struct pass *p, const netif_tx_response_t *rsp)
{
	uint16_t page = (uint16_t)(rsp->id - p->nf->choice.dialect->first_id);
	struct netfront_queue *q = p->q;

	if (rsp->status == NETIF_RSP_NULL) /* of an extra info: no page went with it */
		return true;
	if (page >= RING_SLOTS) {
		io_disable(p, "a transmit response has an impossible id");
		return false;
	}
	if (!q->tx_pending[page]) {
		io_disable(p, "a transmit response for no request");
		return false;
	}
	q->tx_pending[page] = false;
	q->tx_free[q->n_tx_free++] = page;
	if (rsp->status != NETIF_RSP_OKAY)
		p->nf->counters.from_guest_error_responses++;
	return true;
}

void tx_reap(struct pass *p)
{
	struct front_ring *r = &p->q->tx;
	netif_tx_response_t rsp;
	int n = front_ring_pending(r);

	if (n < 0) {
		io_disable(p, "more transmit responses than requests");
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

bool tx_pass(struct pass *p)
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
