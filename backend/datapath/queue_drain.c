/* SPDX-License-Identifier: MIT */
/*
 * A queue's part in a change of its vif's path (queue_place.c says why).
 *
 *	drain	answered once every frame that was in the TAP has been taken by the guest
 *	hold	the TAP is left alone
 *	release	the TAP is read again, and no drain is awaited any more
 *
 * A flow's frames may come by another queue after the change than before it, and what the
 * guest was shown in two rings it takes in whatever order it likes. So what came by the old
 * way has to be *taken*, not only shown, before the new one is read (ring_is_taken()). A guest
 * may not come to it for as long as its processor is another's: it is waited for, though not for
 * ever, as the new way's frames wait as well, and not long if it is known never to show it.
 * Where the vif has one queue its ring orders all: what was read of the old way is enough, since
 * what is read of the new one comes behind it, however slow the guest is.
 */
#include "queue_pass.h"

#define TAKE_NS	     (10 * NS_PER_MS) /* of one that never shows it */
#define TAKE_MAX_NS  NS_PER_S
#define TAKE_LOOK_NS (1 * NS_PER_MS)

/* All that can be in a TAP's queue, and what was being read when the drain began. A neighbour
 * that sends more and more does not keep a drain from its end. */
#define OLDER_MAX (GATE_FRAMES + QUEUE_READ_MAX)

bool queue_tap_held(const struct queue *q)
{
	return q->drain.held || posted_holds_tap(q);
}

bool queue_tap_wanted(const struct queue *q)
{
	return q->drain.n_older > 0;
}

void queue_tap_dry(struct queue *q)
{
	q->drain.n_older = 0;
}

void drain_note_read(struct queue *q)
{
	q->drain.n_older -= q->drain.n_older > 0;
}

static void hold(struct queue *q, bool held)
{
	q->drain.held = held;
	wait_set_limit(q);
}

void drain_expect(struct queue *q, enum ipc_type answer)
{
	q->drain.answer = answer;
	q->drain.until_ns = q->drain.look_ns = 0;
}

void queue_drain(struct queue *q)
{
	q->drain.n_older = OLDER_MAX;
	drain_expect(q, IPC_PLACE_DRAINED);
}

void queue_hold(struct queue *q)
{
	hold(q, true);
	queue_place_hold(q);
	q->place_answer = IPC_PLACE_HELD;
}

void queue_release(struct queue *q)
{
	q->drain = (struct queue_drain){ .held = false };
	wait_set_limit(q);
	q->place_answer = IPC_PLACE_RELEASED;
}

void drain_place_gone(struct queue *q, bool stays_held)
{
	drain_expect(q, IPC_PLACE_LEFT);
	if (!stays_held)
		hold(q, false);
}

/* What was read; while the vif has one queue its ring is the order. */
static bool is_taken(struct queue *q)
{
	struct queue_drain *d = &q->drain;

	if (q->n_queues == 1)
		return true;
	if (!d->until_ns && q->from_tap.head)
		return false;
	if (!d->until_ns) {
		d->end = q->rx.rsp_pub;
		d->until_ns = q->env->now_ns + (ring_tells_taken(&q->rx) ? TAKE_MAX_NS : TAKE_NS);
	}
	if (ring_is_taken(&q->rx, d->end))
		return true;
	d->look_ns = MIN(q->env->now_ns + TAKE_LOOK_NS, d->until_ns);
	return q->env->now_ns >= d->until_ns;
}

void drain_check(struct queue *q)
{
	struct queue_drain *d = &q->drain;

	d->look_ns = 0;
	if (!d->answer || d->n_older || !is_taken(q))
		return;
	q->place_answer = d->answer;
	d->answer = 0;
	d->until_ns = d->look_ns = 0;
}

uint64_t drain_deadline(const struct queue *q)
{
	return q->drain.look_ns ? q->drain.look_ns : UINT64_MAX;
}
