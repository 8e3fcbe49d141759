/* SPDX-License-Identifier: MIT */
/*
 * A queue's place on a NIC: which of the two ways frames come is read when.
 *
 *	join	the place exists, as soon as the device has let go of who was there before; no
 *		frame goes there, none is read
 *		... control adds the filter and waits until the kernel has delivered what it
 *		    sorted before: all that is in the vif's TAPs is older than all in the place
 *	drain	by each queue of the vif: the TAP is read until all of that is the guest's
 *	read	both are read
 *	hold	by each queue: the TAP is left alone
 *		... control takes the filter away and waits: all that is in the place is older
 *		    than what the filter's end sends to the TAPs
 *	leave	the place is read until it is dry and given up
 *	release	by each queue, once the guest has what was in the place: the TAP is read again
 *
 * Drain, hold and release, and what it takes to know that the guest has a frame, are in
 * queue_drain.c. Any of them may be left out, or the rest given up: the queue that has the
 * place reads its TAP again by itself, as one ring keeps its order.
 *
 * A place lent to (queue_lent.c) has the queue's ring for itself: what came by the queue's TAP
 * comes by the others' from when control sets the queue aside, together with the filter. So of
 * a flow of the TAP's, what took the one queue is the guest's before what takes another:
 *
 *	join	... the others hold; filter and setting aside, control waits; the one is drained,
 *		    and only then the others are released. Then drain and read as above
 *	leave	... the one is not released by itself. Queue and TAP are as before, control waits;
 *		    the others are released and drained, and only then the one is released
 *
 * While both are read nothing orders them, and nothing has to: what the filter matches comes
 * by the place alone, all else (from other guests, from the host, to groups) by the TAP.
 *
 * A guest without buffers stops the reading of either, so a step may take a while: control waits
 * for the answer, and other guests wait for nothing but the place itself. So that a guest cannot
 * keep it from them, what is not taken within LAST_NS of leave is dropped: by then all of it is as
 * old as that, since the filter is gone and the TAP left alone. What waits in a TAP while it is
 * drained grows old there (queue_wait.c).
 */
#include "queue_pass.h"

#include <linux/if_ether.h>
#include <stdio.h>
#include <string.h>

/* Frames taken in before the place is read: from the filter on until the TAPs are drained, as
 * a port may have little room in a place, and no more than may be kept. */
#define EARLY_MAX 4096u

/* As long as a frame may wait in a TAP, where nothing else is configured. */
#define LAST_NS (10 * NS_PER_S)

#define TRY_NS NS_PER_MS

static void drop_place_frames(struct queue *q)
{
	struct packet_fifo others = { 0 };
	struct packet *p;

	/* Not by wait_pop(): the others stay. */
	while ((p = packet_fifo_pop(&q->from_tap))) {
		if (!queue_is_place_frame(q, p)) {
			packet_fifo_push(&others, p);
			continue;
		}
		counter_add(&q->counters->to_guest_drops[TO_GUEST_DETACHED], 1);
		queue_put_frame(q, p);
	}
	while ((p = packet_fifo_pop(&q->place_early)))
		queue_put_frame(q, p);
	q->from_tap = others; /* its head is the same if it was begun: only TAPs give what is cut */
}

int queue_place_join(struct queue *q, const struct nic_port_ops *ops, struct nic_port *port,
		     const struct ipc_nic *how, const int fds[], int n_fds, char *why, size_t why_size)
{
	struct nic_memory lent;
	int err;

	if (q->place_state != QUEUE_PLACE_NONE) {
		snprintf(why, why_size, "the queue has a place already");
		return -EBUSY;
	}
	/* A guest that takes none was not waited for (is_taken()): what it has of one NIC is not to be
	 * given back to another. */
	if (q->port != port)
		drop_place_frames(q);
	/* Of a place of before the datapath died. */
	__atomic_store_n(q->buffers, IPC_BUFFERS_NONE, __ATOMIC_RELAXED);
	err = ops->authorise ? posted_open(q, how->mtu) : 0;
	if (!err && how->transmit)
		err = transmit_open(q, q->shared_nic, how);
	if (!err)
		err = lent_open(q, how, &lent);
	if (err)
		snprintf(why, why_size, "%s", strerror(-err));
	else
		err = ops->join(port, how->place, fds, n_fds, lent.start ? &lent : NULL, &q->place,
				why, why_size);
	if (err) {
		posted_close(q);
		transmit_close(q);
		lent_close(q);
		return err;
	}
	q->nic = ops;
	q->port = port;
	q->place_vlan = (uint16_t)how->vlan;
	q->place_tag_off = how->tag_off;
	q->place_lost = 0;
	q->place_unasked = q->place_forgotten = false;
	q->place_end_ns = q->place_try_ns = 0;
	q->place_state = QUEUE_PLACE_JOINING;
	return 0;
}

int queue_place_joined(struct queue *q, char *why, size_t why_size)
{
	int err = -EAGAIN;

	if (q->env->now_ns < q->place_try_ns)
		return err;
	err = q->nic->joined(q->place, why, why_size);
	if (!err)
		q->place_state = QUEUE_PLACE_JOINED;
	else if (err == -EAGAIN)
		q->place_try_ns = q->env->now_ns + TRY_NS;
	else
		queue_place_forget(q);
	return err;
}

void queue_place_read(struct queue *q)
{
	if (q->place_state != QUEUE_PLACE_JOINED)
		return;
	q->place_state = QUEUE_PLACE_READING;
	transmit_begin(q);
}

void queue_place_hold(struct queue *q)
{
	if (q->place_state == QUEUE_PLACE_READING)
		q->place_state = QUEUE_PLACE_HOLDING;
}

void queue_place_leave(struct queue *q)
{
	/* Nothing was ever directed to a place that was only joined, nor was the TAP held. */
	q->place_end_ns = q->place_state == QUEUE_PLACE_JOINED ? 0 : q->env->now_ns + LAST_NS;
	if (q->place_state == QUEUE_PLACE_HOLDING || q->place_state == QUEUE_PLACE_JOINED)
		q->place_state = QUEUE_PLACE_LAST;
	else if (q->place_state == QUEUE_PLACE_LAST)
		q->place_unasked = false;
	else if (q->place_state == QUEUE_PLACE_NONE)
		drain_expect(q, IPC_PLACE_LEFT); /* it was left unasked, or forgotten */
}

/* Until the place is dry, and the guest was shown what came by it. */
static bool has_end(const struct queue *q)
{
	bool is_shown = q->drain.answer != IPC_PLACE_LEFT || q->drain.until_ns;

	return q->place_end_ns && (q->place_state == QUEUE_PLACE_LAST || !is_shown);
}

bool queue_place_is_over(const struct queue *q)
{
	return has_end(q) && q->env->now_ns >= q->place_end_ns;
}

uint64_t queue_place_deadline(const struct queue *q)
{
	if (q->place_state == QUEUE_PLACE_JOINING)
		return q->place_try_ns;
	return has_end(q) && q->env->now_ns < q->place_end_ns ? q->place_end_ns : UINT64_MAX;
}

enum ipc_type queue_place_answer(struct queue *q)
{
	enum ipc_type answer = q->place_answer;

	q->place_answer = 0;
	return answer;
}

static bool is_read(const struct queue *q)
{
	return q->place_state >= QUEUE_PLACE_READING && posted_reads_place(q);
}

/* Not for each frame: it may be a system call. */
uint32_t queue_place_look(struct queue *q)
{
	struct nic_place_stats stats = { 0 };

	q->nic->stats(q->place, &stats);
	counter_add(&q->counters->to_guest_nic_lost, stats.lost - q->place_lost);
	q->place_lost = stats.lost;
	q->place_looked_ns = q->env->now_ns;
	return stats.waiting;
}

void queue_place_quit(struct queue *q)
{
	transmit_close(q);
	posted_close(q);
	if (q->place)
		q->nic->leave(q->place);
	q->place = NULL;
	q->place_state = QUEUE_PLACE_NONE;
	lent_close(q);
}

/* The last of its frames may still wait for buffers: the port keeps their memory. */
static void give_up(struct queue *q)
{
	bool stays_held = lent_is(q);

	queue_place_look(q);
	queue_place_quit(q);
	if (!q->place_unasked)
		drain_place_gone(q, stays_held);
}

/* Returns whether the place is left now. */
static bool end_forgotten(struct queue *q)
{
	posted_end(q);
	if (posted_is_recalled(q))
		return false;
	posted_close(q);
	drop_place_frames(q);
	queue_place_quit(q);
	q->port = NULL;
	return true;
}

void queue_place_forget(struct queue *q)
{
	q->place_answer = 0;
	if (end_forgotten(q))
		return;
	drop_place_frames(q);
	transmit_close(q);
	q->place_state = QUEUE_PLACE_LAST;
	q->place_unasked = q->place_forgotten = true;
}

void queue_place_hear(struct queue *q, const uint8_t source[6])
{
	q->heard_new |= stations_note(&q->shared_nic->heard, source, q->place_vlan, q->env->now_ns);
}

/* For the bridge, which does not see the frame; unless it may be one of the bridge's own, that
 * was injected. */
static void note_sender(struct queue *q, const struct packet *p)
{
	if (p->size >= ETH_HLEN && !posted_holds_tap(q))
		queue_place_hear(q, p->frame + ETH_ALEN);
}

/* As the bridge does for a port that has its VLAN untagged, priority and all (Linux'
 * br_handle_vlan()). The header moves, the rest stays. */
static void take_tag_off(const struct queue *q, struct packet *p)
{
	if (!packet_has_tag(p, q->place_vlan))
		return; /* not what the filter is said to match */
	memmove(p->frame + PACKET_TAG_SIZE, p->frame, 2 * ETH_ALEN);
	p->frame += PACKET_TAG_SIZE;
	p->size -= PACKET_TAG_SIZE;
	memset(packet_vnet(p), 0, PACKET_VNET_SIZE);
}

static bool reads_early(const struct queue *q)
{
	return q->place_state == QUEUE_PLACE_JOINED && !q->broken &&
	       q->place_early.n_packets < EARLY_MAX && q->nic->may_keep(q->place);
}

static bool receive_early(struct queue *q)
{
	struct packet *p[QUEUE_READ_MAX];
	uint32_t n = q->nic->receive(q->place, p, QUEUE_READ_MAX);

	for (uint32_t i = 0; i < n; i++)
		packet_fifo_push(&q->place_early, p[i]);
	return n > 0;
}

/* The next frames, oldest first. Fewer than n: there are no more. */
static uint32_t receive(struct queue *q, struct packet *p[], uint32_t n)
{
	uint32_t n_early = 0;

	while (n_early < n && q->place_early.head)
		p[n_early++] = packet_fifo_pop(&q->place_early);
	return n_early + (n_early < n ? q->nic->receive(q->place, p + n_early, n - n_early) : 0);
}

bool queue_place_receive(struct queue *q)
{
	struct packet *p[QUEUE_READ_MAX];
	uint32_t budget, n;

	if (q->place_forgotten && q->place && end_forgotten(q)) {
		if (!q->place_unasked)
			drain_place_gone(q, true);
		return true;
	}
	if (reads_early(q))
		return receive_early(q);
	budget = is_read(q) ? queue_budget(q) : 0;
	if (!budget) { /* an event, or the pass over from_tap, comes first */
		q->nic->not_read(q->place);
		return false;
	}
	n = receive(q, p, budget);
	for (uint32_t i = 0; i < n; i++) {
		note_sender(q, p[i]);
		if (q->place_tag_off)
			take_tag_off(q, p[i]);
		packet_fifo_push(&q->from_tap, p[i]);
	}
	counter_add(&q->counters->to_guest_nic_frames, n);
	if (n < budget && q->env->now_ns - q->place_looked_ns >= NS_PER_S)
		queue_place_look(q);
	if (posted_note_read(q, p, n, n < budget))
		return true;
	if (n < budget && q->place_state == QUEUE_PLACE_LAST && transmit_has_ended(q)) {
		give_up(q);
		return true;
	}
	return n > 0;
}

bool queue_place_watched(const struct queue *q)
{
	if (q->place && q->place_state <= QUEUE_PLACE_JOINED)
		return reads_early(q);
	return q->place && posted_watches_place(q);
}
