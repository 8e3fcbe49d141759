/* SPDX-License-Identifier: MIT */
/*
 * One pass to the guest: frames read from the TAP into the buffers the guest posted,
 * a batch at a time with one grant copy call; those that find no buffers wait, and so
 * does the TAP.
 */
#include "queue_pass.h"

#include <string.h>

/* To know that a way is dry takes reading it: where one ring orders all, a guest that has no
 * buffers need not keep a change of the path from that. */
static bool reads_ahead(const struct queue *q)
{
	return q->n_queues == 1 && (q->drain.n_older || q->place_state == QUEUE_PLACE_LAST);
}

uint32_t queue_budget(struct queue *q)
{
	int pending;

	if (q->broken)
		return 0;
	if (q->from_tap.n_packets > 0)
		return reads_ahead(q) ? QUEUE_READ_MAX - MIN(q->from_tap.n_packets, QUEUE_READ_MAX) : 0;
	if (wait_is_dropping(q) || posted_is_on(q))
		return QUEUE_READ_MAX;
	if (q->rx_starved)
		return 0;
	pending = ring_pending(&q->rx);
	/* An impossible producer is queue_to_guest()'s to judge. */
	q->rx_due |= pending < 0;
	if (pending < 0)
		return 0;
	/* One is read in any case: only the frame itself says what it needs. */
	return MIN(MAX((uint32_t)pending / q->rx_slots_last, 1u), QUEUE_READ_MAX);
}

uint32_t queue_read_budget(struct queue *q)
{
	if (!q->broken && !q->from_tap.n_packets)
		wait_note_reads(q);
	return queue_budget(q);
}

/* Whether a failing read took a frame with it: one in a form the TAP cannot tell (EINVAL), or
 * less than a header. The others found none, or no device. */
static bool read_lost_frame(int result)
{
	return result == -EINVAL || result == -EFAULT || result > 0;
}

void queue_tap_read(struct queue *q, struct packet *p, int result)
{
	struct log_scope scope = queue_scope(q);

	if (result > 0 || read_lost_frame(result))
		drain_note_read(q);
	if (result > (int)PACKET_VNET_SIZE) {
		p->size = (uint32_t)result - (uint32_t)PACKET_VNET_SIZE;
		wait_note_read(q, p);
		posted_note_tap(q, p);
		packet_fifo_push(posted_tap_fifo(q), p);
		return;
	}
	if (result == -EAGAIN)
		wait_on_empty(q);
	if (read_lost_frame(result)) {
		counter_add(&q->counters->to_guest_drops[TO_GUEST_TAP_ERROR], 1);
		log_limited(&q->limit, q->env->now_ns, LOG_LVL_WARNING, &scope,
			    "the TAP lost a frame: %s", result < 0 ? strerror(-result) : "no more than a header");
	}
	packet_put(&q->pool, p);
}

void queue_put_frame(struct queue *q, struct packet *p)
{
	if (queue_is_place_frame(q, p)) {
		q->nic->give_back(q->port, p);
		return;
	}
	packet_put(packet_is_of(&q->pool, p) ? &q->pool : &q->env->scratch->segments, p);
}

void queue_drop_frame(struct queue *q, enum to_guest_fault fault, struct packet *p)
{
	counter_add(&q->counters->to_guest_drops[fault], 1);
	queue_put_frame(q, p);
}

/* What the checksum of p is over, if somebody is still to write it; of the frame that p is
 * a segment of, with all its checksums, what was summed. */
static uint32_t blank_bytes(const struct packet *p, const struct packet *frame)
{
	const struct virtio_net_hdr *h = packet_vnet(frame);

	return h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && h->csum_start < p->size ?
		       p->size - h->csum_start :
		       0;
}

/* A batch has a packet for each segment. What cannot be cut is to_guest_prepare()'s to drop. */
struct packet *queue_next_frame(struct queue *q, uint32_t features, int *next_cut)
{
	struct packet *head = q->from_tap.head, *segment;

	*next_cut = 0;
	if (!q->cut_at && !to_guest_must_cut(head, features))
		return head; /* begun, by whatever features, it goes on as it began */
	segment = packet_get(&q->env->scratch->segments);
	*next_cut = offload_cut(head, q->cut_at, segment);
	if (*next_cut >= 0) {
		counter_add(&q->counters->to_guest_summed_bytes, blank_bytes(segment, head));
		return segment;
	}
	queue_put_frame(q, segment);
	return head;
}

void queue_take_frame(struct queue *q, const struct packet *p, int next_cut)
{
	if (p == q->from_tap.head) {
		(void)wait_pop(q);
		return;
	}
	q->cut_at = (uint32_t)next_cut;
	if (next_cut)
		return;
	counter_add(&q->counters->to_guest_gso_cut, 1);
	queue_put_frame(q, wait_pop(q));
}

void queue_prepare(struct queue *q, struct to_guest_frame *f, struct packet *p, uint32_t features,
		   uint32_t headroom)
{
	uint32_t blank = blank_bytes(p, p);

	to_guest_prepare(f, p, features, headroom);
	counter_add(&q->counters->to_guest_summed_bytes, blank - blank_bytes(p, p));
}

/* netif.h "request-multicast-control"; broadcast always passes, as with Linux' netback. */
static bool is_filtered(const struct queue *q, const struct packet *p)
{
	const struct shared_vif *vif = q->shared_vif;

	return multicast_is_group(p->frame) &&
	       __atomic_load_n(&vif->multicast_filter, __ATOMIC_RELAXED) &&
	       !multicast_is_broadcast(p->frame) && !multicast_has(&vif->multicast, p->frame);
}

bool queue_drop_filtered(struct queue *q)
{
	if (q->cut_at || !is_filtered(q, q->from_tap.head))
		return false;
	queue_drop_frame(q, TO_GUEST_FILTERED, wait_pop(q));
	return true;
}

/* Looks at the receive ring in one pass: two empty a full from_tap, and one may be lost to
 * buffers that came while we looked. */
#define RX_BATCHES_MAX 4

/* What one look at the receive ring came to. */
struct rx_batch {
	uint32_t n_frames;
	uint32_t n_ops;
	uint32_t n_wanted; /* buffers the next frame needs and did not find; 0: none waits */
};

/* Takes frames off from_tap that fit the buffers in requests[0..n). */
static void fill_batch(struct queue *q, uint32_t n, struct rx_batch *b)
{
	uint32_t headroom = __atomic_load_n(&q->shared_vif->xdp_headroom, __ATOMIC_RELAXED);
	struct queue_scratch *s = q->env->scratch;
	uint32_t at = 0;

	*b = (struct rx_batch){ 0 };
	while (q->from_tap.head && b->n_frames < QUEUE_BATCH &&
	       b->n_ops + TO_GUEST_RING_SLOTS_MAX <= QUEUE_OPS_MAX) {
		struct to_guest_frame *f = &s->to_guest[b->n_frames];
		struct packet *p;
		int next_cut;

		if (queue_drop_filtered(q))
			continue;
		p = queue_next_frame(q, q->features, &next_cut);
		queue_prepare(q, f, p, q->features, headroom);
		if (f->verdict == VIF_OK && q->steering)
			to_guest_hash(f, p, q->steering);
		if (f->verdict == VIF_OK && f->n_ring_slots > n - at) {
			b->n_wanted = f->n_ring_slots;
			if (p != q->from_tap.head)
				queue_put_frame(q, p);
			return;
		}
		queue_take_frame(q, p, next_cut);
		if (f->verdict != VIF_OK) {
			queue_drop_frame(q, f->fault, p);
			continue;
		}
		q->rx_slots_last = f->n_ring_slots;
		b->n_ops += to_guest_ops(f, p, q->vif.domid, s->requests + at, s->ops + b->n_ops);
		s->packets[b->n_frames++] = p;
		at += f->n_ring_slots;
	}
}

static void answer_batch(struct queue *q, uint32_t n_frames)
{
	struct queue_scratch *s = q->env->scratch;
	struct queue_counters *c = q->counters;
	const grant_op *ops = s->ops;

	for (uint32_t i = 0; i < n_frames; i++) {
		struct to_guest_frame *f = &s->to_guest[i];
		uint32_t size = s->packets[i]->size;

		ring_consume(&q->rx, f->n_ring_slots);
		to_guest_answer(&q->rx, f, ops, f->n_data_slots);
		ops += f->n_data_slots;
		if (f->verdict != VIF_OK) {
			queue_drop_frame(q, f->fault, s->packets[i]);
			continue;
		}
		counter_add(&c->to_guest_frames, 1);
		counter_add(&c->to_guest_bytes, size);
		counter_add(&c->to_guest_copied_bytes, size);
		if (f->offload.csum_blank)
			counter_add(&c->to_guest_csum_blank, 1);
		if (f->offload.gso_type)
			counter_add(&c->to_guest_gso_frames, 1);
		queue_put_frame(q, s->packets[i]);
	}
}

/* Moves one batch. Returns ring_pending()'s error or 0. */
static int to_guest_batch(struct queue *q, struct rx_batch *batch)
{
	struct queue_scratch *s = q->env->scratch;
	int pending = ring_pending(&q->rx);

	if (pending < 0)
		return pending;
	to_guest_peek(&q->rx, (uint32_t)pending, s->requests);
	fill_batch(q, (uint32_t)pending, batch);
	if (batch->n_ops)
		queue_copy_to_guest(q, batch->n_ops);
	answer_batch(q, batch->n_frames);
	return 0;
}

/* The next frame needs n buffers that are not there: ask for an event when they are. */
static int await_buffers(struct queue *q, uint32_t n)
{
	int pending = ring_arm(&q->rx, n);

	if (pending >= 0 && (uint32_t)pending < n) {
		wait_begin(q, n);
		counter_add(&q->counters->to_guest_waits, 1);
	}
	return MIN(pending, 0);
}

/* Moves what waits in from_tap, as far as there are buffers. Returns the same. */
static int give_frames(struct queue *q)
{
	int err = q->rx_due ? MIN(ring_pending(&q->rx), 0) : 0;
	struct rx_batch batch;
	bool any = false;

	/* A producer that goes to and fro must not keep us here. */
	for (int i = 0; i < RX_BATCHES_MAX && !err && q->from_tap.head && !q->rx_starved; i++) {
		err = to_guest_batch(q, &batch);
		if (err)
			break;
		if (batch.n_frames)
			wait_end(q);
		any |= batch.n_frames > 0;
		if (batch.n_wanted)
			err = await_buffers(q, batch.n_wanted);
	}
	if (any)
		queue_publish(q, &q->rx, q->rx_port, &q->counters->to_guest_notifies);
	q->rx_due = q->from_tap.head && !q->rx_starved;
	return err;
}

enum vif_verdict queue_to_guest(struct queue *q)
{
	int err;

	if (q->broken)
		return VIF_OK;
	wait_check(q);
	posted_check(q);
	err = posted_is_on(q) ? posted_pass(q) : give_frames(q);
	if (!err && !posted_is_on(q))
		err = posted_go_on(q);
	wait_settle(q);
	drain_check(q);
	if (!err)
		return VIF_OK;
	counter_add(&q->counters->to_guest_drops[TO_GUEST_BAD_INDEX], 1);
	queue_break(q, "rx producer is more than a ring ahead");
	return VIF_FATAL;
}
