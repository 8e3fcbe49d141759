/* SPDX-License-Identifier: MIT */
/*
 * Posted buffers, as they go to the device and come back. See queue_posted.c.
 *
 * The trust boundary: describe() turns a request, the guest's word, into a descriptor, of which
 * everything is ours or was proved. A completion is the device's word; where the frame is in
 * its page is bounded once more, since a copy rests on it, and a guest's belief in a response.
 */
#include "queue_posted.h"

#include <errno.h>
#include <string.h>

/* With fewer than this the device is about to run out: the guest is to tell of new ones. */
#define N_LOW (RING_SLOTS / 4)

/* What an injected frame may have: nothing is left to the guest to finish. */
#define PLAIN VIF_SG

static bool authorise(struct queue *q, struct posted_page *page, void *memory)
{
	if (!page->authorised)
		page->authorised = !q->nic->authorise(q->place, memory, &page->name);
	return page->authorised;
}

/* ---- posting ---- */

/* In a place lent to: proved to be that guest's, and not the device's already, or not posted. */
static bool describe_lent(struct queue *q, RING_IDX i, const netif_rx_request_t *req,
			  struct nic_buffer *out)
{
	nic_page page;

	if (!lent_take_page(q, req->gref, &page))
		return false;
	*posted_slot_at(q, i) = (struct posted_slot){ req->id, req->gref, .page = page };
	*out = (struct nic_buffer){ .page = page, .size = XEN_PAGE };
	return true;
}

/* The buffer of request i, proved to be that guest's page, granted and writable, or ours.
 * False: the device takes no more pages. */
static bool describe(struct queue *q, RING_IDX i, const netif_rx_request_t *req,
		     struct nic_buffer *out)
{
	const struct static_grants *grants = queue_static_grants(q);
	struct queue_posted *p = q->posted;
	struct posted_page *page = NULL;
	int entry;

	if (lent_is(q))
		return describe_lent(q, i, req, out);
	entry = static_grants_writable(grants, req->gref);
	if (entry >= 0 && authorise(q, &p->granted[entry], grants->page[entry]))
		page = &p->granted[entry];
	*posted_slot_at(q, i) = (struct posted_slot){ req->id, req->gref, .bounced = !page };
	if (!page)
		page = &p->bounce[i % RING_SLOTS];
	if (!authorise(q, page, posted_bounce_at(q, i)))
		return false;
	*out = (struct nic_buffer){ .page = page->name, .size = XEN_PAGE };
	return true;
}

/* Posts the next n requests, as far as the device takes them. Returns how many. */
static uint32_t post(struct queue *q, uint32_t n)
{
	netif_rx_request_t *req = q->env->scratch->requests;
	struct nic_buffer buffer[RING_SLOTS];
	uint32_t n_described = 0, n_taken;

	to_guest_peek(&q->rx, n, req);
	while (n_described < n &&
	       describe(q, q->rx.req_cons + n_described, &req[n_described], &buffer[n_described]))
		n_described++;
	n_taken = n_described ? q->nic->post(q->place, buffer, n_described) : 0;
	while (lent_is(q) && n_described > n_taken)
		lent_give_page(q, posted_slot_at(q, q->rx.req_cons + --n_described)->page);
	ring_consume(&q->rx, n_taken);
	q->posted->any_since |= n_taken > 0;
	if (!posted_n(q))
		posted_refuse(q); /* it takes none at all */
	return n_taken;
}

int posted_post_all(struct queue *q)
{
	int pending = ring_pending(&q->rx);

	while (pending >= 0) {
		if (pending > 0 && post(q, (uint32_t)pending) < (uint32_t)pending)
			return 0; /* the rest when the device has done with some */
		if (posted_n(q) >= N_LOW)
			return 0;
		pending = ring_arm(&q->rx, 1);
		if (!pending)
			return 0;
	}
	return pending;
}

/* ---- what the device has filled ---- */

static bool is_whole(const struct nic_completion *c)
{
	return c->status == 0 && c->size > 0 && c->offset + (uint64_t)c->size <= XEN_PAGE;
}

/* Copies what is in pages of ours to where the guest wants it. Returns the first operation. */
static const grant_op *copy_bounced(struct queue *q, const struct nic_completion done[], uint32_t n)
{
	grant_op *ops = q->env->scratch->ops;
	uint32_t n_ops = 0;

	for (uint32_t k = 0; k < n; k++) {
		RING_IDX i = q->rx.rsp_prod + k;

		if (is_whole(&done[k]) && posted_slot_at(q, i)->bounced)
			grant_op_to_guest(&ops[n_ops++], q->vif.domid, posted_slot_at(q, i)->gref,
					  done[k].offset, posted_bounce_at(q, i) + done[k].offset,
					  (uint16_t)done[k].size);
	}
	if (n_ops)
		queue_copy_to_guest(q, n_ops);
	return ops;
}

/* A response for a completion, and what it counts; *op is the next copy there was. */
static netif_rx_response_t respond(struct queue *q, const struct posted_slot *slot,
				   const struct nic_completion *done, const grant_op **op)
{
	netif_rx_response_t rsp = { .id = slot->id, .status = NETIF_RSP_ERROR };
	struct queue_counters *c = q->counters;

	if (!is_whole(done)) {
		counter_add(done->status == -EMSGSIZE ? &c->to_guest_drops[TO_GUEST_TOO_BIG]
						      : &c->to_guest_nic_faults,
			    1);
		return rsp;
	}
	if (slot->bounced && (*op)++->status != GNTST_okay) {
		counter_add(&c->to_guest_drops[TO_GUEST_GRANT_FAILED], 1);
		return rsp;
	}
	counter_add(&c->to_guest_frames, 1);
	counter_add(&c->to_guest_bytes, done->size);
	q->posted->wire_bytes += done->size;
	if (slot->bounced || done->copied)
		counter_add(&c->to_guest_copied_bytes, done->size);
	else
		counter_add(&c->to_guest_nic_written, 1);
	rsp.offset = done->offset;
	rsp.status = (int16_t)done->size;
	return rsp;
}

/* The source of a frame in the guest's memory is what the guest made of it by now: it may keep
 * a station known where the bridge knows it, and may not move one. */
static void hear(struct queue *q, const uint8_t source[6])
{
	static const uint8_t nobody[6];

	if (!memcmp(source, nobody, sizeof(nobody)))
		return;
	if (!lent_is(q) || stations_is_behind(&q->shared_nic->behind, source, q->place_vlan))
		queue_place_hear(q, source);
}

/* The page is the guest's again. A device that lent memory and cannot say what it did with it
 * is not to have any. */
static void take_back(struct queue *q, const struct posted_slot *slot,
		      const struct nic_completion *done)
{
	lent_give_page(q, slot->page);
	if (!is_whole(done) && done->status != -EMSGSIZE)
		posted_refuse(q);
}

uint32_t posted_reap(struct queue *q)
{
	struct nic_completion done[QUEUE_BATCH];
	union to_guest_slot slots[QUEUE_BATCH];
	struct queue_posted *p = q->posted;
	uint32_t n = q->nic->reap(q->place, done, QUEUE_BATCH);
	const grant_op *op;

	if (!n || q->broken)
		return n;
	op = copy_bounced(q, done, n);
	for (uint32_t k = 0; k < n; k++) {
		const struct posted_slot *slot = posted_slot_at(q, q->rx.rsp_prod + k);

		hear(q, done[k].source);
		if (lent_is(q))
			take_back(q, slot, &done[k]);
		slots[k].rsp = respond(q, slot, &done[k], &op);
	}
	to_guest_respond(&q->rx, slots, n);
	counter_add(&q->counters->to_guest_nic_frames, n);
	p->n_waiting -= MIN(p->n_waiting, n);
	p->any_since = true;
	return n;
}

/* ---- frames of the TAP ---- */

uint32_t posted_inject(struct queue *q)
{
	uint32_t n = 0;

	for (; q->from_tap.head && n < QUEUE_BATCH; n++) {
		struct to_guest_frame f;
		struct packet *p;
		int next_cut, err = 0;

		if (queue_drop_filtered(q))
			continue;
		p = queue_next_frame(q, PLAIN, &next_cut);
		queue_prepare(q, &f, p, PLAIN, 0);
		if (f.verdict == VIF_OK)
			err = q->nic->inject(q->place, p);
		if (err) {
			q->posted->refused |= err == -EMSGSIZE;
			if (p != q->from_tap.head)
				queue_put_frame(q, p);
			break;
		}
		queue_take_frame(q, p, next_cut);
		if (f.verdict != VIF_OK) {
			queue_drop_frame(q, f.fault, p);
			continue;
		}
		counter_add(&q->counters->to_guest_nic_injected, 1);
		counter_add(&q->counters->to_guest_copied_bytes, p->size);
		q->posted->wire_bytes -= p->size; /* which it will count as its own */
		queue_put_frame(q, p);
	}
	return n;
}
