/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation.
 *
 * One turn: submit what the last pass queued and, if nothing is due, wait, for no longer than
 * until a queue's time has come (a timeout of the wait itself: no operation, no timer fd);
 * take the completions; let each due queue have its pass, which queues new operations
 * (uring_tap.c). An idle worker has one poll a TAP and two for its event channels and
 * control, and makes no system call at all.
 *
 * A completion names its queue by slot and its packet by index in the queue's pool.
 * A queue that control wants back is released when nothing of it is outstanding, so
 * a cookie never outlives what it names.
 */
#include "uring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "uring_parts.h"

#define SQ_ENTRIES 512
#define CQ_ENTRIES 8192
static_assert(WORKER_TURNS_MAX * QUEUE_PACKETS + IPC_QUEUES_MAX + IPC_NICS_MAX * NIC_PLACES_MAX <
	      CQ_ENTRIES, "room for all transfers of a pass, each queue's poll and each place's");

struct io_uring_sqe *uring_sqe(struct uring_loop *l)
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

/* Polls of what lives as long as the worker: multishot, so normally armed once. */
static void watch(struct uring_loop *l, enum cookie_kind kind)
{
	struct io_uring_sqe *sqe = uring_sqe(l);
	int fd = kind == COOKIE_CONTROL ? l->w->sock : l->w->events.fd;

	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	io_uring_sqe_set_data64(sqe, uring_cookie(kind, 0, 0));
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
		uring_on_tap(l, kind, (uint32_t)(cqe->user_data >> 32) & 0xffff,
			     (uint32_t)cqe->user_data, cqe->res);
		break;
	case COOKIE_CANCEL:
		uring_on_cancel(l, (uint32_t)(cqe->user_data >> 32) & 0xffff,
				(uint32_t)cqe->user_data, cqe->res);
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
	w->tap = &uring_tap_ops;
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
		io_uring_for_each_cqe(&l->ring, head, cqe)
		{
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
