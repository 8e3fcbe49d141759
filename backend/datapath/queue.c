/* SPDX-License-Identifier: MIT */
/*
 * The queue pass: batches of frames in both directions, one grant copy call a
 * batch. See queue.h.
 *
 * Invariants:
 *   - a frame is answered in the pass that consumed it: nothing of the guest's is
 *     held between passes but the ring pages;
 *   - a broken queue touches neither ring again (XSA-39, XSA-374);
 *   - a port is unmasked only when its ring was found dry (XSA-332).
 */
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct log_scope scope_of(const struct queue *q)
{
	return (struct log_scope){ &q->vif, (int)q->number };
}

static void queue_break(struct queue *q, const char *why)
{
	struct log_scope scope = scope_of(q);

	q->broken = true;
	q->tx_due = false;
	/* Control logs it, as often as it allows the vif; a queue's bucket is as new as the queue. */
	log_debug(&scope, "disabled: %s", why);
}

/* ---- life ---- */

static int map_rings(struct queue *q, const struct ipc_queue *cfg, struct shared_queue *shared,
		     const char **step)
{
	void *tx, *rx;
	int err;

	*step = "mapping tx-ring-ref";
	err = grant_map(q->env->grants, q->vif.domid, cfg->tx_gref, &tx);
	if (err)
		return err;
	q->tx.page = tx;
	*step = "mapping rx-ring-ref";
	err = grant_map(q->env->grants, q->vif.domid, cfg->rx_gref, &rx);
	if (err)
		return err;
	q->rx.page = rx;

	*step = "reading the tx ring's indices";
	err = from_guest_ring_attach(&q->tx, tx, &shared->from_guest, cfg->resume);
	if (err)
		return err;
	*step = "reading the rx ring's indices";
	return to_guest_ring_attach(&q->rx, rx, &shared->to_guest, cfg->resume);
}

static int bind_ports(struct queue *q, const struct ipc_queue *cfg, const char **step)
{
	*step = "binding the tx event channel";
	q->tx_port = event_bind(q->env->events, q->vif.domid, cfg->tx_port);
	if (q->tx_port < 0)
		return q->tx_port;
	q->rx_port = q->tx_port;
	if (cfg->rx_port == cfg->tx_port)
		return 0;
	*step = "binding the rx event channel";
	q->rx_port = event_bind(q->env->events, q->vif.domid, cfg->rx_port);
	return MIN(q->rx_port, 0);
}

/* Shows the answers the queue's last owner wrote down, and tells of them whatever the guest
 * asked for: it may have died between showing and telling. */
static void carry_on(struct queue *q)
{
	(void)!ring_publish(&q->tx);
	(void)!ring_publish(&q->rx);
	event_send(q->env->events, (evtchn_port_t)q->tx_port);
	if (q->rx_port != q->tx_port)
		event_send(q->env->events, (evtchn_port_t)q->rx_port);
}

int queue_open(struct queue_env *env, const struct ipc_msg *msg, struct shared_queue *shared,
	       int tap_fd, struct queue **out, char *why, size_t why_size)
{
	const struct ipc_queue *cfg = &msg->queue;
	const char *step = "allocating packets";
	struct queue *q = calloc(1, sizeof(*q));
	int err;

	if (!q) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	q->env = env;
	q->vif = cfg->vif;
	q->slot = msg->slot;
	q->number = cfg->queue;
	q->features = cfg->features;
	q->counters = &shared->counters;
	q->tap_fd = -1;
	q->tx_port = q->rx_port = -1;
	q->rx_slots_last = 1;

	err = packet_pool_init(&q->pool, QUEUE_PACKETS);
	if (!err)
		err = map_rings(q, cfg, shared, &step);
	if (!err)
		err = bind_ports(q, cfg, &step);
	if (err) {
		snprintf(why, why_size, "%s: %s", step,
			 err == -EPROTO ? "impossible ring indices" : strerror(-err));
		queue_close(q);
		return err;
	}
	q->tap_fd = tap_fd;
	/* A live ring may hold requests whose event was sent before we were bound. */
	q->tx_due = true;
	if (cfg->resume)
		carry_on(q);
	*out = q;
	return 0;
}

static void drop_queued(struct queue *q)
{
	struct packet *p;

	while ((p = packet_fifo_pop(&q->from_tap))) {
		counter_add(&q->counters->to_guest_drops[TO_GUEST_DETACHED], 1);
		packet_put(&q->pool, p);
	}
	while ((p = packet_fifo_pop(&q->to_tap))) {
		counter_add(&q->counters->from_guest_tap_error, 1);
		packet_put(&q->pool, p);
	}
}

void queue_close(struct queue *q)
{
	if (!q)
		return;
	drop_queued(q);
	if (q->rx_port >= 0 && q->rx_port != q->tx_port)
		event_unbind(q->env->events, (evtchn_port_t)q->rx_port);
	if (q->tx_port >= 0)
		event_unbind(q->env->events, (evtchn_port_t)q->tx_port);
	if (q->tx.page)
		grant_unmap(q->env->grants, q->tx.page);
	if (q->rx.page)
		grant_unmap(q->env->grants, q->rx.page);
	if (q->tap_fd >= 0)
		close(q->tap_fd);
	packet_pool_fini(&q->pool);
	free(q);
}

/* ---- events ---- */

void queue_on_event(struct queue *q, int port)
{
	if (port == q->tx_port) {
		counter_add(&q->counters->from_guest_events, 1);
		q->tx_masked = true;
		q->tx_due = !q->broken;
	}
	if (port == q->rx_port) {
		counter_add(&q->counters->to_guest_events, 1);
		q->rx_masked = true;
		q->rx_starved = false; /* queue_to_guest() looks again */
	}
}

void queue_settle(struct queue *q)
{
	bool shared_port = q->tx_port == q->rx_port;

	/* A broken queue's ports stay masked: its guest's storms reach nobody. */
	if (q->broken)
		return;
	if (q->tx_masked && q->tx_due && shared_port)
		q->rx_starved = false; /* masked: no event will say that buffers came */
	if (q->tx_masked && !q->tx_due) {
		q->tx_masked = false;
		if (shared_port)
			q->rx_masked = false;
		event_unmask(q->env->events, (evtchn_port_t)q->tx_port);
	}
	if (q->rx_masked && !shared_port) {
		q->rx_masked = false;
		event_unmask(q->env->events, (evtchn_port_t)q->rx_port);
	}
}

static void publish(struct queue *q, struct ring *r, int port, uint64_t *notifies)
{
	if (!ring_publish(r))
		return;
	counter_add(notifies, 1);
	event_send(q->env->events, (evtchn_port_t)port);
}

/* ---- from the guest ---- */

/* What one look at the transmit ring came to. */
struct tx_batch {
	uint32_t n_frames; /* planned; a fatal frame is the last one */
	uint32_t n_ops;	   /* their copies */
	uint32_t n_slots;  /* ring slots they use, a fatal frame's excluded */
	uint32_t n_segments;
	bool dry;	   /* no whole frame was left behind */
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
		s->packets[b->n_frames++] = NULL;
		if (f->verdict == VIF_FATAL)
			return;
		b->n_slots += f->n_ring_slots;
		if (f->verdict == VIF_OK) {
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
	if (f->offload.csum_blank)
		counter_add(&c->from_guest_csum_blank, 1);
	if (f->offload.gso_type)
		counter_add(&c->from_guest_gso_frames, 1);
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
		if (f->verdict == VIF_OK)
			from_guest_finish(f, p, ops, n_ops);
		ops += n_ops;
		ring_consume(&q->tx, f->n_ring_slots);
		from_guest_answer(&q->tx, f);
		count_from_guest(q, f);
		if (f->verdict == VIF_OK)
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

enum vif_verdict queue_from_guest(struct queue *q, enum from_guest_fault *fault)
{
	struct queue_scratch *s = q->env->scratch;
	struct tx_batch batch;
	int pending;

	*fault = FROM_GUEST_FINE;
	if (q->broken)
		return VIF_OK;
	pending = ring_pending(&q->tx);
	if (pending < 0) {
		queue_break(q, "tx producer is more than a ring ahead");
		return VIF_FATAL;
	}
	from_guest_peek(&q->tx, (uint32_t)pending, s->slots);
	plan_batch(q, (uint32_t)pending, &batch);
	if (batch.n_ops) {
		grant_copy(q->env->grants, s->ops, batch.n_ops);
		counter_add(&q->counters->from_guest_grant_ops, batch.n_ops);
	}
	*fault = finish_batch(q, batch.n_frames);
	publish(q, &q->tx, q->tx_port, &q->counters->from_guest_notifies);
	if (*fault != FROM_GUEST_FINE) {
		counter_add(&q->counters->from_guest_drops[*fault], 1);
		queue_break(q, from_guest_fault_name(*fault));
		return VIF_FATAL;
	}
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
		struct log_scope scope = scope_of(q);

		counter_add(&c->from_guest_tap_error, 1);
		log_limited(&q->limit, q->env->now_ns, LOG_LVL_DEBUG, &scope,
			    "the TAP refused a frame of %u bytes: %s", p->size, strerror(-result));
	}
	packet_put(&q->pool, p);
}

/* ---- to the guest ---- */

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

static void drop_to_guest(struct queue *q, const struct to_guest_frame *f, struct packet *p)
{
	counter_add(&q->counters->to_guest_drops[f->fault], 1);
	packet_put(&q->pool, p);
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

		to_guest_prepare(f, p, q->features);
		if (f->verdict == VIF_OK && f->n_ring_slots > n - at) {
			b->n_wanted = f->n_ring_slots;
			return;
		}
		packet_fifo_pop(&q->from_tap);
		if (f->verdict != VIF_OK) {
			drop_to_guest(q, f, p);
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
			drop_to_guest(q, f, s->packets[i]);
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
		publish(q, &q->rx, q->rx_port, &q->counters->to_guest_notifies);
	q->rx_due = q->from_tap.head && !q->rx_starved;
	if (!err)
		return VIF_OK;
	queue_break(q, "rx producer is more than a ring ahead");
	return VIF_FATAL;
}
