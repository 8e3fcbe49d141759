/* SPDX-License-Identifier: MIT */
/*
 * One pass to the guest: frames read from the TAP into the buffers the guest posted,
 * a batch at a time with one grant copy call; those that find no buffers wait, and so
 * does the TAP.
 */
#include "queue_pass.h"

uint32_t queue_read_budget(struct queue *q)
{
	int pending;
	uint32_t n;

	if (q->broken || q->from_tap.n_packets > 0 || q->rx_starved)
		return 0;
	pending = ring_pending(&q->rx);
	if (pending <= 0) {
		/* Nothing posted: ask for an event, then look once more. A producer that is
		 * impossible is queue_to_guest()'s to judge. */
		pending = ring_arm(&q->rx, 1);
		if (pending <= 0) {
			q->rx_starved = pending == 0;
			q->rx_due = pending < 0;
			return 0;
		}
	}
	n = (uint32_t)pending / q->rx_slots_last;
	return MIN(MAX(n, 1u), QUEUE_READ_MAX);
}

void queue_tap_read(struct queue *q, struct packet *p, int result)
{
	if (result <= (int)PACKET_VNET_SIZE) {
		packet_put(&q->pool, p);
		return;
	}
	p->size = (uint32_t)result - (uint32_t)PACKET_VNET_SIZE;
	packet_fifo_push(&q->from_tap, p);
}

static void drop_to_guest(struct queue *q, enum to_guest_fault fault, struct packet *p)
{
	counter_add(&q->counters->to_guest_drops[fault], 1);
	packet_put(&q->pool, p);
}

/* netif.h "request-multicast-control"; broadcast always passes, as with Linux' netback. */
static bool is_filtered(const struct queue *q, const struct packet *p)
{
	const struct shared_vif *vif = q->shared_vif;

	return multicast_is_group(p->frame) &&
	       __atomic_load_n(&vif->multicast_filter, __ATOMIC_RELAXED) &&
	       !multicast_is_broadcast(p->frame) && !multicast_has(&vif->multicast, p->frame);
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
	struct queue_scratch *s = q->env->scratch;
	uint32_t at = 0;

	*b = (struct rx_batch){ 0 };
	while (q->from_tap.head && b->n_frames < QUEUE_BATCH &&
	       b->n_ops + TO_GUEST_RING_SLOTS_MAX <= QUEUE_OPS_MAX) {
		struct to_guest_frame *f = &s->to_guest[b->n_frames];
		struct packet *p = q->from_tap.head;

		if (is_filtered(q, p)) {
			drop_to_guest(q, TO_GUEST_FILTERED, packet_fifo_pop(&q->from_tap));
			continue;
		}
		to_guest_prepare(f, p, q->features);
		if (f->verdict == VIF_OK && f->n_ring_slots > n - at) {
			b->n_wanted = f->n_ring_slots;
			return;
		}
		packet_fifo_pop(&q->from_tap);
		if (f->verdict != VIF_OK) {
			drop_to_guest(q, f->fault, p);
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
			drop_to_guest(q, f->fault, s->packets[i]);
			continue;
		}
		counter_add(&c->to_guest_frames, 1);
		counter_add(&c->to_guest_bytes, size);
		if (f->offload.csum_blank)
			counter_add(&c->to_guest_csum_blank, 1);
		if (f->offload.gso_type)
			counter_add(&c->to_guest_gso_frames, 1);
		packet_put(&q->pool, s->packets[i]);
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
	if (batch->n_ops) {
		grant_copy(q->env->grants, s->ops, batch->n_ops);
		counter_add(&q->counters->to_guest_grant_ops, batch->n_ops);
	}
	answer_batch(q, batch->n_frames);
	return 0;
}

/* The next frame needs n buffers that are not there: ask for an event when they are. */
static int await_buffers(struct queue *q, uint32_t n)
{
	int pending = ring_arm(&q->rx, n);

	if (pending >= 0 && (uint32_t)pending < n) {
		q->rx_starved = true;
		counter_add(&q->counters->to_guest_waits, 1);
	}
	return MIN(pending, 0);
}

enum vif_verdict queue_to_guest(struct queue *q)
{
	struct rx_batch batch;
	bool any = false;
	int err;

	if (q->broken)
		return VIF_OK;
	err = q->rx_due ? MIN(ring_pending(&q->rx), 0) : 0;
	/* A producer that goes to and fro must not keep us here. */
	for (int i = 0; i < RX_BATCHES_MAX && !err && q->from_tap.head && !q->rx_starved; i++) {
		err = to_guest_batch(q, &batch);
		if (err)
			break;
		any |= batch.n_frames > 0;
		if (batch.n_wanted)
			err = await_buffers(q, batch.n_wanted);
	}
	if (any)
		queue_publish(q, &q->rx, q->rx_port, &q->counters->to_guest_notifies);
	q->rx_due = q->from_tap.head && !q->rx_starved;
	if (!err)
		return VIF_OK;
	queue_break(q, "rx producer is more than a ring ahead");
	return VIF_FATAL;
}
