/* SPDX-License-Identifier: MIT */
/*
 * From the backend to the guest's stack: responses copied out of the ring, headers copied
 * out of the page and checked, the rest handed on from the page it lies in.
 */
#include <string.h>

#include "frontend-compat/io.h"

/* Enough for Ethernet, two VLAN tags, IPv4 with options or IPv6 with a few extensions,
 * and TCP; Linux pulls RX_COPY_THRESHOLD too. */
#define HEAD_MAX 256u

static void rx_push(struct pass *p)
{
	if (!front_ring_push(&p->q->rx) || p->nf->choice.dialect->rx_silent)
		return;
	event_send(&p->nf->events, p->q->rx_port);
	p->nf->counters.to_guest_notifies++;
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

bool rx_pass(struct pass *p)
{
	struct netfront *nf = p->nf;
	struct front_ring *r = &p->q->rx;
	uint32_t at = 0, budget = NETFRONT_BATCH;
	RING_IDX cons = r->rsp_cons;
	int n = front_ring_pending(r);

	if (n < 0) {
		io_disable(p, "more receive responses than requests");
		return false;
	}
	for (int i = 0; i < n; i++)
		front_ring_peek(r, (uint32_t)i, &nf->scratch[i], sizeof(nf->scratch[i]));
	while (at < (uint32_t)n && budget--) {
		struct rx_frame f;

		rx_frame_read(&nf->scratch[at], (uint32_t)n - at, cons + at, &f);
		if (f.verdict == VIF_FATAL) {
			io_disable(p, f.why);
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
