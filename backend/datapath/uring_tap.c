/* SPDX-License-Identifier: MIT */
/*
 * The loop's part for one queue: its TAP, and its place on a NIC if it has one.
 *
 * A TAP is watched by a one-shot poll while it is idle; once readable, and at first, it is
 * read by bursts of plain reads until one says EAGAIN, and only then polled again. Reads and
 * writes carry RWF_NOWAIT (O_NONBLOCK alone does not keep io_uring from waiting for a
 * TAP behind our back), so they complete while they are submitted, in order; the only
 * operations ever outstanding across a wait are polls.
 *
 * Before Linux 6.4 TAPs refuse RWF_NOWAIT. There frames are read by plain reads, one
 * system call each; writes still go through the ring, which tries an O_NONBLOCK file
 * while it submits, and a TAP's send buffer is never full.
 */
#include <unistd.h>

#include "uring_parts.h"

static void poll_tap(struct uring_loop *l, struct queue *q)
{
	struct io_uring_sqe *sqe = uring_sqe(l);

	io_uring_prep_poll_add(sqe, q->tap_fd, POLLIN);
	io_uring_sqe_set_data64(sqe, uring_cookie(COOKIE_TAP_POLL, q->slot, 0));
	l->tap[q->slot].polling = true;
}

static void submit_reads(struct uring_loop *l, struct queue *q, uint32_t n)
{
	struct tap_state *t = &l->tap[q->slot];

	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = packet_get(&q->pool);
		struct io_uring_sqe *sqe;

		if (!p)
			break;
		sqe = uring_sqe(l);
		io_uring_prep_read(sqe, q->tap_fd, packet_vnet(p),
				   PACKET_VNET_SIZE + PACKET_FRAME_MAX, 0);
		sqe->rw_flags = RWF_NOWAIT;
		io_uring_sqe_set_data64(
		    sqe, uring_cookie(COOKIE_TAP_READ, q->slot, packet_index(&q->pool, p)));
		t->n_reading++;
	}
}

static void on_tap_read(struct uring_loop *l, struct queue *q, uint32_t packet, int result)
{
	struct tap_state *t = &l->tap[q->slot];

	t->n_reading--;
	queue_tap_read(q, packet_at(&q->pool, packet), result);
	if (result == -EAGAIN && t->probing)
		queue_tap_dry(q);
	if (result < 0 && result != -EINTR) {
		/* EAGAIN, or EBADFD while the device is going: poll says when there is more. */
		t->readable = false;
		t->burst = MAX(t->burst / 2, 1);
	}
	if (t->n_reading == 0) {
		if (t->readable)
			t->burst = MIN(t->burst * 2, QUEUE_READ_MAX);
		worker_mark_ready(l->w, q);
	}
}

/* What submit_reads() and its completions do, at once: up to n frames, until none waits. */
static void read_now(struct uring_loop *l, struct queue *q, uint32_t n)
{
	struct tap_state *t = &l->tap[q->slot];

	for (uint32_t i = 0; i < n && t->readable; i++) {
		struct packet *p = packet_get(&q->pool);
		ssize_t size;

		if (!p)
			break;
		size = read(q->tap_fd, packet_vnet(p), PACKET_VNET_SIZE + PACKET_FRAME_MAX);
		t->n_reading++;
		on_tap_read(l, q, packet_index(&q->pool, p), size < 0 ? -errno : (int)size);
	}
}

static void write_tap(struct uring_loop *l, struct queue *q, struct packet *p)
{
	struct io_uring_sqe *sqe = uring_sqe(l);

	io_uring_prep_write(sqe, q->tap_fd, packet_vnet(p), PACKET_VNET_SIZE + p->size, 0);
	sqe->rw_flags = l->w->tap_nowait ? RWF_NOWAIT : 0;
	io_uring_sqe_set_data64(sqe,
				uring_cookie(COOKIE_TAP_WRITE, q->slot, packet_index(&q->pool, p)));
	l->tap[q->slot].n_writing++;
}

static int tap_attach(void *loop, struct queue *q)
{
	struct uring_loop *l = loop;

	/* Read before it is polled: until it is seen empty, the gate may believe it full. */
	l->tap[q->slot] = (struct tap_state){ .readable = true, .burst = 1 };
	return 0;
}

static bool tap_idle(const struct tap_state *t)
{
	return !t->polling && !t->place_polling && t->n_reading == 0 && t->n_writing == 0;
}

static void cancel_poll(struct uring_loop *l, enum cookie_kind kind, const struct queue *q)
{
	struct io_uring_sqe *sqe = uring_sqe(l);

	io_uring_prep_poll_remove(sqe, uring_cookie(kind, q->slot, 0));
	io_uring_sqe_set_data64(sqe, uring_cookie(COOKIE_CANCEL, q->slot, kind));
}

static void forget_place(void *loop, struct queue *q)
{
	struct uring_loop *l = loop;

	/* Its completion finds no place, or another one, and does no harm. */
	if (l->tap[q->slot].place_polling)
		cancel_poll(l, COOKIE_PLACE_POLL, q);
}

static void tap_detach(void *loop, struct queue *q)
{
	struct uring_loop *l = loop;
	struct tap_state *t = &l->tap[q->slot];

	if (t->closing)
		return;
	t->closing = true;
	if (t->polling)
		cancel_poll(l, COOKIE_TAP_POLL, q);
	if (t->place_polling)
		cancel_poll(l, COOKIE_PLACE_POLL, q);
	if (tap_idle(t))
		worker_release(l->w, q);
}

/* Reads the TAP, or waits for it. */
static void read_tap(struct uring_loop *l, struct queue *q)
{
	struct tap_state *t = &l->tap[q->slot];
	bool probe = queue_tap_wanted(q);
	uint32_t budget;

	if (t->n_reading || q->broken || queue_tap_held(q) || (t->polling && !probe))
		return;
	if (!t->readable && !probe) {
		poll_tap(l, q);
		return;
	}
	budget = queue_read_budget(q);
	t->probing = probe && budget;
	t->readable |= t->probing;
	if (l->w->tap_nowait)
		submit_reads(l, q, MIN(budget, t->burst));
	else
		read_now(l, q, budget);
}

/* Reads the queue's place, or waits for it. */
static void read_place(struct uring_loop *l, struct queue *q)
{
	struct tap_state *t = &l->tap[q->slot];
	struct io_uring_sqe *sqe;

	if (!q->place || q->broken)
		return;
	if (queue_place_receive(q))
		worker_mark_ready(l->w, q);
	if (!q->place && t->place_polling)
		cancel_poll(l, COOKIE_PLACE_POLL, q); /* it was given up */
	else if (!t->place_polling && queue_place_watched(q)) {
		sqe = uring_sqe(l);
		io_uring_prep_poll_add(sqe, q->nic->poll_fd(q->place), POLLIN);
		io_uring_sqe_set_data64(sqe, uring_cookie(COOKIE_PLACE_POLL, q->slot, 0));
		t->place_polling = true;
	}
}

static void tap_flush(void *loop, struct queue *q)
{
	struct uring_loop *l = loop;
	struct packet *p;

	if (l->tap[q->slot].closing)
		return;
	queue_transmit(q);
	while ((p = packet_fifo_pop(&q->to_tap)))
		write_tap(l, q, p);
	/* Both have their turn: reading one leaves the other no budget until the guest has
	 * taken what was read. */
	if (q->place && (l->tap[q->slot].place_first ^= true)) {
		read_place(l, q);
		read_tap(l, q);
	} else {
		read_tap(l, q);
		read_place(l, q);
	}
}

const struct tap_ops uring_tap_ops = {
	.attach = tap_attach,
	.detach = tap_detach,
	.forget_place = forget_place,
	.flush = tap_flush,
};

/* ---- completions ---- */

static void on_tap_poll(struct uring_loop *l, struct queue *q, int result)
{
	struct tap_state *t = &l->tap[q->slot];

	t->polling = false;
	/* POLLERR: the netdev is gone. Never poll it again, it would fire at once and for ever. */
	if (result > 0 && (result & POLLERR) && !(result & POLLIN)) {
		worker_tap_gone(l->w, q);
		return;
	}
	t->readable = result > 0;
	worker_mark_ready(l->w, q);
}

void uring_on_tap(struct uring_loop *l, enum cookie_kind kind, uint32_t slot, uint32_t packet,
		  int result)
{
	struct queue *q = l->w->by_slot[slot];
	struct tap_state *t = &l->tap[slot];

	if (kind == COOKIE_TAP_POLL) {
		on_tap_poll(l, q, result);
	} else if (kind == COOKIE_PLACE_POLL) {
		t->place_polling = false;
		worker_mark_ready(l->w, q);
	} else if (kind == COOKIE_TAP_READ) {
		on_tap_read(l, q, packet, result);
	} else {
		t->n_writing--;
		queue_tap_written(q, packet_at(&q->pool, packet), result);
	}
	if (t->closing && tap_idle(t))
		worker_release(l->w, q);
}

/* -EALREADY: the poll was just being looked at because somebody woke it. If nothing had come,
 * as when a device that goes wakes whoever waits for it, it is there still. */
void uring_on_cancel(struct uring_loop *l, uint32_t slot, enum cookie_kind kind, int result)
{
	const struct tap_state *t = &l->tap[slot];
	const struct queue *q = l->w->by_slot[slot];

	if (result == -EALREADY && q && (kind == COOKIE_TAP_POLL ? t->polling : t->place_polling))
		cancel_poll(l, kind, q);
}
