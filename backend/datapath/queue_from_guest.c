/* SPDX-License-Identifier: MIT */
/*
 * One pass from the guest: requests off the ring in a batch, one grant copy call,
 * each frame judged, answered and queued for the TAP in ring order.
 */
#include "queue_pass.h"

#include <string.h>

/* What one look at the transmit ring came to. */
struct tx_batch {
	uint32_t n_frames; /* planned; a fatal frame is the last one */
	uint32_t n_ops;	   /* their copies */
	uint32_t n_slots;  /* ring slots they use, a fatal frame's excluded */
	uint32_t n_segments;
	bool dry;	   /* no whole frame was left behind */
	uint64_t wait_ns;  /* the next frame's turn by the vif's rate; 0: it has no wait */
};

static bool batch_has_room(const struct queue *q, const struct tx_batch *b)
{
	return b->n_frames < QUEUE_BATCH && b->n_ops + FROM_GUEST_SLOTS_MAX <= QUEUE_OPS_MAX &&
	       b->n_segments < QUEUE_SEGMENTS_MAX && q->pool.n_free > 0;
}

static uint32_t segments_of(const struct from_guest_frame *f)
{
	return f->offload.gso_size ? f->size / f->offload.gso_size : 1;
}

/* Plans frames out of slots[0..n) until they, the packets or a bound runs out. */
static void plan_batch(struct queue *q, uint32_t n, struct tx_batch *b)
{
	struct queue_scratch *s = q->env->scratch;

	*b = (struct tx_batch){ 0 };
	while (batch_has_room(q, b)) {
		struct from_guest_frame *f = &s->from_guest[b->n_frames];

		if (!from_guest_plan(s->slots + b->n_slots, n - b->n_slots, f)) {
			b->dry = true;
			return;
		}
		if (f->verdict != VIF_FATAL &&
		    !credit_take(&q->shared_vif->credit, f->size, q->env->now_ns, &b->wait_ns))
			return;
		s->packets[b->n_frames++] = NULL;
		if (f->verdict == VIF_FATAL)
			return;
		b->n_slots += f->n_ring_slots;
		if (f->verdict == VIF_OK)
			from_guest_check_offer(f, q->offered);
		if (f->verdict == VIF_OK && !f->n_multicast) {
			struct packet *p = packet_get(&q->pool);

			s->packets[b->n_frames - 1] = p;
			b->n_segments += segments_of(f);
			b->n_ops += from_guest_ops(f, q->vif.domid, p, s->ops + b->n_ops);
		}
	}
}

static uint32_t ops_of(const struct from_guest_frame *f)
{
	uint32_t n = 0;

	if (f->verdict != VIF_OK)
		return 0;
	for (uint32_t i = 0; i < f->n_fragments; i++)
		n += f->fragment[i].size != 0;
	return n;
}

static void count_from_guest(struct queue *q, const struct from_guest_frame *f)
{
	struct queue_counters *c = q->counters;

	if (f->verdict == VIF_DROP) {
		counter_add(&c->from_guest_drops[f->fault], 1);
		return;
	}
	if (f->n_multicast) {
		counter_add(&c->from_guest_multicast_requests, 1);
		return;
	}
	if (f->offload.csum_blank)
		counter_add(&c->from_guest_csum_blank, 1);
	if (f->offload.gso_type)
		counter_add(&c->from_guest_gso_frames, 1);
}

static void judge(struct queue *q, struct from_guest_frame *f, struct packet *p,
		  const grant_op ops[], uint32_t n_ops)
{
	if (f->verdict != VIF_OK)
		return;
	if (f->n_multicast)
		from_guest_amend(f, &q->shared_vif->multicast);
	else
		from_guest_finish(f, p, ops, n_ops, q->offered);
}

/* The copies are done: judge, answer and queue each frame in ring order. Returns the
 * fault of the fatal frame, or FROM_GUEST_FINE. */
static enum from_guest_fault finish_batch(struct queue *q, uint32_t n_frames)
{
	struct queue_scratch *s = q->env->scratch;
	const grant_op *ops = s->ops;

	for (uint32_t i = 0; i < n_frames; i++) {
		struct from_guest_frame *f = &s->from_guest[i];
		struct packet *p = s->packets[i];
		uint32_t n_ops = ops_of(f);

		if (f->verdict == VIF_FATAL)
			return f->fault;
		judge(q, f, p, ops, n_ops);
		ops += n_ops;
		ring_consume(&q->tx, f->n_ring_slots);
		from_guest_answer(&q->tx, f);
		count_from_guest(q, f);
		if (f->verdict == VIF_OK && p)
			packet_fifo_push(&q->to_tap, p);
		else
			packet_put(&q->pool, p);
	}
	return FROM_GUEST_FINE;
}

/* Whether the ring is dry, an event having been asked for. A frame of which only a part
 * is there yet counts as dry: its rest will bring an event. */
static void rearm_tx(struct queue *q, uint32_t n_left)
{
	int pending = ring_arm(&q->tx, n_left + 1);

	q->tx_due = pending < 0 || (uint32_t)pending > n_left;
}

/* What the vif's rate does not let pass yet stays in the ring, and the guest's events are
 * of no interest until then. */
static void await_credit(struct queue *q, uint64_t until_ns)
{
	q->tx_wait_ns = until_ns;
	q->tx_due = false;
	counter_add(&q->counters->from_guest_credit_waits, 1);
}

enum vif_verdict queue_from_guest(struct queue *q, enum from_guest_fault *fault)
{
	struct queue_scratch *s = q->env->scratch;
	struct tx_batch batch;
	int pending;

	*fault = FROM_GUEST_FINE;
	if (q->broken)
		return VIF_OK;
	q->tx_wait_ns = transmit_holds_until(q);
	if (q->tx_wait_ns) {
		q->tx_due = false;
		return VIF_OK;
	}
	pending = ring_pending(&q->tx);
	if (pending < 0) {
		counter_add(&q->counters->from_guest_drops[FROM_GUEST_BAD_INDEX], 1);
		queue_break(q, "tx producer is more than a ring ahead");
		return VIF_FATAL;
	}
	from_guest_peek(&q->tx, (uint32_t)pending, s->slots);
	plan_batch(q, (uint32_t)pending, &batch);
	if (batch.n_ops) {
		uint32_t n_left = queue_copy(q, batch.n_ops);

		counter_add(&q->counters->from_guest_grant_ops, n_left);
		counter_add(&q->counters->from_guest_static_copies, batch.n_ops - n_left);
	}
	*fault = finish_batch(q, batch.n_frames);
	queue_publish(q, &q->tx, q->tx_port, &q->counters->from_guest_notifies);
	if (*fault != FROM_GUEST_FINE) {
		counter_add(&q->counters->from_guest_drops[*fault], 1);
		queue_break(q, from_guest_fault_name(*fault));
		return VIF_FATAL;
	}
	if (batch.wait_ns)
		await_credit(q, batch.wait_ns);
	/* Not dry: still due. When the packets ran out, they come back as the TAP takes them. */
	if (batch.dry)
		rearm_tx(q, (uint32_t)pending - batch.n_slots);
	return VIF_OK;
}

void queue_tap_written(struct queue *q, struct packet *p, int result)
{
	struct queue_counters *c = q->counters;

	if (result >= 0) {
		counter_add(&c->from_guest_frames, 1);
		counter_add(&c->from_guest_bytes, p->size);
	} else if (result == -EAGAIN || result == -ENOBUFS || result == -ENOMEM) {
		counter_add(&c->from_guest_tap_full, 1);
	} else {
		struct log_scope scope = queue_scope(q);

		counter_add(&c->from_guest_tap_error, 1);
		log_limited(&q->limit, q->env->now_ns,
			    result == -EIO ? LOG_LVL_DEBUG : LOG_LVL_WARNING /* EIO: it is down */, &scope,
			    "the TAP refused a frame of %u bytes: %s", p->size, strerror(-result));
	}
	packet_put(&q->pool, p);
}
