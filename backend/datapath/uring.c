/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation.
 *
 * A TAP is watched by a one-shot poll while it is idle; once readable, and at first, it is
 * read by bursts of plain reads until one says EAGAIN, and only then polled again. Reads and
 * writes carry RWF_NOWAIT (O_NONBLOCK alone does not keep io_uring from waiting for a
 * TAP behind our back), so they complete while they are submitted, in order; the only
 * operations ever outstanding across a wait are polls. An idle worker
 * therefore has one poll a TAP and two for its event channels and control, and makes
 * no system call at all.
 *
 * Before Linux 6.4 TAPs refuse RWF_NOWAIT. There frames are read by plain reads, one
 * system call each; writes still go through the ring, which tries an O_NONBLOCK file
 * while it submits, and a TAP's send buffer is never full.
 *
 * One turn: submit what the last pass queued and, if nothing is due, wait, for no longer than
 * until a queue's time has come (a timeout of the wait itself: no operation, no timer fd);
 * take the completions; let each due queue have its pass, which queues new operations.
 *
 * A completion names its queue by slot and its packet by index in the queue's pool.
 * A queue that control wants back is released when nothing of it is outstanding, so
 * a cookie never outlives what it names.
 */
#include "uring.h"

#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SQ_ENTRIES 512
#define CQ_ENTRIES 8192
static_assert(WORKER_TURNS_MAX * QUEUE_PACKETS + IPC_QUEUES_MAX < CQ_ENTRIES,
	      "room for all transfers of a pass and each queue's poll");

enum cookie_kind {
	COOKIE_CONTROL = 1,
	COOKIE_EVENTS,
	COOKIE_TAP_POLL,
	COOKIE_TAP_READ,
	COOKIE_TAP_WRITE,
	COOKIE_PLACE_POLL,
	COOKIE_CANCEL, /* its packet is the kind that is to end */
};

/* What the loop has under way for one queue's TAP. */
struct tap_state {
	bool polling;  /* a poll is outstanding */
	bool readable; /* frames may wait: read before polling again */
	bool closing;  /* release when idle */
	bool probing;  /* reads were submitted to see whether the TAP is dry */
	bool place_polling; /* of the queue's place on a NIC */
	bool place_first;   /* whose turn it is */
	uint16_t n_reading, n_writing;
	uint16_t burst; /* reads to submit at once: follows what arrives */
};

struct uring_loop {
	struct worker *w;
	struct io_uring ring;
	struct tap_state tap[IPC_QUEUES_MAX];
};

static uint64_t cookie(enum cookie_kind kind, uint32_t slot, uint32_t packet)
{
	static_assert(IPC_QUEUES_MAX <= 1u << 16, "a slot fits 16 bits");
	return (uint64_t)kind << 56 | (uint64_t)slot << 32 | packet;
}

static struct io_uring_sqe *get_sqe(struct uring_loop *l)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&l->ring);

	if (sqe)
		return sqe;
	/* The queue is full: hand it in. Completions wait in the larger CQ. */
	io_uring_submit(&l->ring);
	sqe = io_uring_get_sqe(&l->ring);
	if (!sqe) {
		log_error(LOG_NOBODY, "worker %u: io_uring takes no more submissions", l->w->id);
		abort();
	}
	return sqe;
}

/* ---- the TAP side ---- */

static void poll_tap(struct uring_loop *l, struct queue *q)
{
	struct io_uring_sqe *sqe = get_sqe(l);

	io_uring_prep_poll_add(sqe, q->tap_fd, POLLIN);
	io_uring_sqe_set_data64(sqe, cookie(COOKIE_TAP_POLL, q->slot, 0));
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
		sqe = get_sqe(l);
		io_uring_prep_read(sqe, q->tap_fd, packet_vnet(p),
				   PACKET_VNET_SIZE + PACKET_FRAME_MAX, 0);
		sqe->rw_flags = RWF_NOWAIT;
		io_uring_sqe_set_data64(sqe, cookie(COOKIE_TAP_READ, q->slot,
						    packet_index(&q->pool, p)));
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
	struct io_uring_sqe *sqe = get_sqe(l);

	io_uring_prep_write(sqe, q->tap_fd, packet_vnet(p), PACKET_VNET_SIZE + p->size, 0);
	sqe->rw_flags = l->w->tap_nowait ? RWF_NOWAIT : 0;
	io_uring_sqe_set_data64(sqe,
				cookie(COOKIE_TAP_WRITE, q->slot, packet_index(&q->pool, p)));
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
	struct io_uring_sqe *sqe = get_sqe(l);

	io_uring_prep_poll_remove(sqe, cookie(kind, q->slot, 0));
	io_uring_sqe_set_data64(sqe, cookie(COOKIE_CANCEL, q->slot, kind));
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
		sqe = get_sqe(l);
		io_uring_prep_poll_add(sqe, q->nic->poll_fd(q->place), POLLIN);
		io_uring_sqe_set_data64(sqe, cookie(COOKIE_PLACE_POLL, q->slot, 0));
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

static const struct tap_ops uring_tap = {
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

static void on_tap(struct uring_loop *l, enum cookie_kind kind, uint32_t slot, uint32_t packet,
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
static void on_cancel(struct uring_loop *l, uint32_t slot, enum cookie_kind kind, int result)
{
	const struct tap_state *t = &l->tap[slot];
	const struct queue *q = l->w->by_slot[slot];

	if (result == -EALREADY && q && (kind == COOKIE_TAP_POLL ? t->polling : t->place_polling))
		cancel_poll(l, kind, q);
}

/* Polls of what lives as long as the worker: multishot, so normally armed once. */
static void watch(struct uring_loop *l, enum cookie_kind kind)
{
	struct io_uring_sqe *sqe = get_sqe(l);
	int fd = kind == COOKIE_CONTROL ? l->w->sock : l->w->events.fd;

	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	io_uring_sqe_set_data64(sqe, cookie(kind, 0, 0));
}

static void complete(struct uring_loop *l, const struct io_uring_cqe *cqe)
{
	enum cookie_kind kind = cqe->user_data >> 56;

	switch (kind) {
	case COOKIE_CONTROL:
		worker_on_control(l->w);
		if (!(cqe->flags & IORING_CQE_F_MORE) && !l->w->stop)
			watch(l, kind);
		break;
	case COOKIE_EVENTS:
		worker_on_events(l->w);
		if (!(cqe->flags & IORING_CQE_F_MORE))
			watch(l, kind);
		break;
	case COOKIE_TAP_POLL:
	case COOKIE_PLACE_POLL:
	case COOKIE_TAP_READ:
	case COOKIE_TAP_WRITE:
		on_tap(l, kind, (uint32_t)(cqe->user_data >> 32) & 0xffff,
		       (uint32_t)cqe->user_data, cqe->res);
		break;
	case COOKIE_CANCEL:
		on_cancel(l, (uint32_t)(cqe->user_data >> 32) & 0xffff, (uint32_t)cqe->user_data,
			  cqe->res);
		break;
	}
}

/* ---- the ring ---- */

static int restrict_ring(struct io_uring *ring)
{
	static const uint8_t used[] = { IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE, IORING_OP_READ,
					IORING_OP_WRITE };
	struct io_uring_restriction res[ARRAY_SIZE(used)];

	memset(res, 0, sizeof(res));
	for (size_t i = 0; i < ARRAY_SIZE(used); i++) {
		res[i].opcode = IORING_RESTRICTION_SQE_OP;
		res[i].sqe_op = used[i];
	}
	return io_uring_register_restrictions(ring, res, ARRAY_SIZE(res));
}

/* DEFER_TASKRUN (Linux 6.1) keeps completions on our own thread; without it the
 * ring works all the same. */
static int init_ring(struct io_uring *ring)
{
	static const uint32_t wished[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		0,
	};
	int err = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(wished) && err == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE |
				 IORING_SETUP_CLAMP | wished[i],
			.cq_entries = CQ_ENTRIES,
		};

		err = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
	}
	return err;
}

static const struct nic_port_ops *const nic_providers[NIC_PROVIDERS] = {
	[NIC_PROVIDER_AFXDP] = &afxdp_port_ops,
	[NIC_PROVIDER_MODEL] = &model_port_ops,
};

int uring_open(struct worker *w, struct uring_loop **out, char *why, size_t why_size)
{
	struct uring_loop *l = calloc(1, sizeof(*l));
	const char *step = "io_uring_setup";
	int err;

	if (!l)
		return -ENOMEM;
	l->w = w;
	err = init_ring(&l->ring);
	if (err)
		goto free_loop;
	step = "restricting the io_uring";
	err = restrict_ring(&l->ring);
	if (err)
		goto exit_ring;
	step = "enabling the io_uring";
	err = io_uring_enable_rings(&l->ring);
	if (err)
		goto exit_ring;
	w->nic_ops = nic_providers;
	w->tap = &uring_tap;
	w->loop = l;
	watch(l, COOKIE_CONTROL);
	watch(l, COOKIE_EVENTS);
	*out = l;
	return 0;

exit_ring:
	io_uring_queue_exit(&l->ring);
free_loop:
	free(l);
	snprintf(why, why_size, "%s: %s%s", step, strerror(-err),
		 err == -EPERM ? " (sysctl kernel.io_uring_disabled must be 0)" : "");
	return err;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Hands in what the last pass queued; unless something is due, sleeps until anything
 * happens or it is time for a queue. */
static int submit(struct uring_loop *l, bool due)
{
	uint64_t deadline = worker_deadline(l->w), now;
	struct __kernel_timespec left;
	struct io_uring_cqe *first;

	if (!due && deadline == UINT64_MAX)
		return io_uring_submit_and_wait(&l->ring, 1);
	now = due ? 0 : now_ns();
	if (due || deadline <= now)
		return io_uring_submit_and_get_events(&l->ring);
	left.tv_sec = (int64_t)((deadline - now) / NS_PER_S);
	left.tv_nsec = (long long)((deadline - now) % NS_PER_S);
	return io_uring_submit_and_wait_timeout(&l->ring, &first, 1, &left, NULL);
}

int uring_run(struct uring_loop *l)
{
	struct worker *w = l->w;
	bool due = false;

	while (!w->stop) {
		struct io_uring_cqe *cqe;
		unsigned head, n = 0;
		int err = submit(l, due);

		if (err < 0 && err != -EINTR && err != -EAGAIN && err != -EBUSY && err != -ETIME)
			return err;
		w->env.now_ns = now_ns();
		io_uring_for_each_cqe(&l->ring, head, cqe) {
			complete(l, cqe);
			n++;
		}
		io_uring_cq_advance(&l->ring, n);
		worker_on_time(w);
		due = worker_pass(w);
	}
	return 0;
}

/* Transfers complete while they are submitted: handing in what the last pass queued ends
 * them all. */
static void end_transfers(struct uring_loop *l)
{
	struct io_uring_cqe *cqe;

	if (io_uring_submit_and_get_events(&l->ring) < 0)
		return;
	while (!io_uring_peek_cqe(&l->ring, &cqe)) {
		complete(l, cqe);
		io_uring_cqe_seen(&l->ring, cqe);
	}
}

void uring_close(struct uring_loop *l)
{
	if (!l)
		return;
	end_transfers(l);
	io_uring_queue_exit(&l->ring);
	free(l);
}
