/* SPDX-License-Identifier: MIT */
/*
 * The guest's buffers, posted to the NIC of the queue's place: what arrives is written by the
 * device to where the guest wants it, and no byte of it passes through vifd.
 *
 *	OFF	the place is read as any other: receive(), and a copy
 *	BEGUN	the device waits for buffers; what it had taken before is older: it is read
 *		until there is no more, and given to the guest, as in OFF
 *	ON	every request of the receive ring is the device's, in slot order, since responses
 *		go in slot order. Frames of the TAP cannot get past it: they are injected
 *	ENDING	recalled. The slots that were not filled are the guest's requests as before.
 *		Injected frames may still wait on the device, older than all in the TAP and in
 *		'held': the place is read until there is no more, then it is OFF
 *	RECALLED of a place lent to (queue_lent.c), which has no ENDING and nothing injected: what
 *		is posted is still the device's, and nothing gets past it
 *	OVER	it has let go, and the place is to be left
 *
 * A slot whose reference is one of the queue's static grants, mapped and writable, is posted
 * as the guest's own page: Xen proved, when it was mapped, that this guest granted it to us to
 * write to. Any other slot is a page of ours, and one grant copy when it is filled. A request
 * is read once each time it is posted; id and reference are ours from then on. What the guest
 * does to the slot afterwards changes nothing.
 *
 * The device may write to a page from authorise() to revoke(). That begins after the page is
 * mapped and ends before it is unmapped, whoever unmaps it (on_unmap); while a list of static
 * grants changes nothing is posted at all, so no frame is lost to a page that goes.
 *
 * Slots posted are consumed and not answered: a crash forgets them, and the next process
 * posts or fills them anew (ring.h). What the device wrote by then is lost.
 *
 * Not for every guest, nor at any time: queue_posted_judge.c.
 */
#include "queue_posted.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A frame with two tags in one page. */
#define MTU_MAX (XEN_PAGE - 14 - 8)

static_assert(STATIC_GRANTS_MAX + RING_SLOTS <= NIC_PAGES, "nic.h: all of them at a time");

/* ---- life ---- */

int posted_open(struct queue *q, uint32_t mtu)
{
	struct queue_posted *p;

	if (mtu > MTU_MAX) {
		__atomic_store_n(q->buffers, IPC_BUFFERS_SMALL, __ATOMIC_RELAXED);
		return 0;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->memory = mmap(NULL, RING_SLOTS * XEN_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->memory == MAP_FAILED) {
		free(p);
		return -ENOMEM;
	}
	q->posted = p;
	return 0;
}

static void revoke(struct queue *q, struct posted_page *page)
{
	if (page->authorised)
		q->nic->revoke(q->place, page->name);
	page->authorised = false;
}

void posted_on_unmap(void *arg, uint32_t entry)
{
	struct queue *q = arg;

	if (q->posted)
		revoke(q, &q->posted->granted[entry]);
}

/* What was held is next. */
static void end_ending(struct queue *q)
{
	struct queue_posted *p = q->posted;
	struct packet *packet;

	while ((packet = packet_fifo_pop(&p->held)))
		packet_fifo_push(&q->from_tap, packet);
	q->cut_at = p->held_cut_at;
	q->rx_due = q->from_tap.head != NULL;
	p->state = POSTED_OFF;
}

void posted_close(struct queue *q)
{
	struct queue_posted *p = q->posted;

	__atomic_store_n(q->buffers, IPC_BUFFERS_NONE, __ATOMIC_RELAXED);
	if (!p)
		return;
	posted_end(q);
	assert(p->state != POSTED_RECALLED); /* its owner waited */
	if (p->state == POSTED_ENDING)
		end_ending(q);
	for (uint32_t i = 0; i < STATIC_GRANTS_MAX; i++)
		revoke(q, &p->granted[i]);
	for (uint32_t i = 0; i < RING_SLOTS; i++)
		revoke(q, &p->bounce[i]);
	if (p->memory)
		munmap(p->memory, RING_SLOTS * XEN_PAGE);
	free(p);
	q->posted = NULL;
}

/* ---- the states ---- */

void posted_refuse(struct queue *q)
{
	if (lent_is(q))
		q->lend_refused = true;
	else
		q->posted->refused = true;
}

/* Of ON: the guest has what the device filled, and its other requests. */
static void end_slots(struct queue *q)
{
	while (posted_reap(q))
		;
	ring_give_back(&q->rx, posted_n(q));
	if (!q->broken)
		queue_publish(q, &q->rx, q->rx_port, &q->counters->to_guest_notifies);
}

/* Of RECALLED: the device has let go. */
static void end_recalled(struct queue *q)
{
	struct queue_posted *p = q->posted;
	struct packet *packet;

	end_slots(q);
	while ((packet = packet_fifo_pop(&p->held)))
		packet_fifo_push(&q->from_tap, packet);
	q->rx_due = q->from_tap.head != NULL;
	p->state = POSTED_OVER;
}

static void end_lent(struct queue *q)
{
	struct queue_posted *p = q->posted;

	if (p->state == POSTED_OVER || !q->place)
		return;
	if (p->state != POSTED_RECALLED) {
		while (p->state == POSTED_ON && posted_reap(q))
			; /* what is there now the guest has now */
		q->nic->recall(q->place);
		p->since_ns = 0;
		p->state = POSTED_RECALLED;
	}
	if (lent_has_come_back(q))
		end_recalled(q);
}

void posted_end(struct queue *q)
{
	struct queue_posted *p = q->posted;

	if (p && lent_is(q)) {
		end_lent(q);
		return;
	}
	if (!p || (p->state != POSTED_BEGUN && p->state != POSTED_ON))
		return;
	q->nic->recall(q->place);
	p->since_ns = 0;
	p->dry = false;
	if (p->state == POSTED_BEGUN) {
		p->state = POSTED_OFF;
		return;
	}
	end_slots(q);
	p->held = q->from_tap;
	p->held_cut_at = q->cut_at;
	p->n_older = NIC_PLACE_FRAMES;
	p->state = POSTED_ENDING;
	q->from_tap = (struct packet_fifo){ 0 };
	q->cut_at = 0;
}

void posted_check(struct queue *q)
{
	struct queue_posted *p = q->posted;

	if (!p)
		return;
	if (lent_is(q)) {
		p->slow |= p->state == POSTED_ON && posted_is_slow(q);
		lent_check(q);
		return;
	}
	posted_weigh(q);
	if ((p->state == POSTED_BEGUN || p->state == POSTED_ON) && (!posted_fits(q) || posted_is_slow(q)))
		posted_end(q);
}

bool posted_is_on(const struct queue *q)
{
	return q->posted && q->posted->state == POSTED_ON;
}

bool posted_is_begun(const struct queue *q)
{
	return q->posted && q->posted->state == POSTED_BEGUN;
}

bool posted_is_recalled(const struct queue *q)
{
	return q->posted && q->posted->state == POSTED_RECALLED;
}

int posted_pass(struct queue *q)
{
	uint32_t n_reaped = posted_reap(q), n_injected = 0;
	int err;

	if (lent_was_ended(q)) { /* by the device, before its time */
		posted_refuse(q);
		posted_end(q);
		queue_publish(q, &q->rx, q->rx_port, &q->counters->to_guest_notifies);
		return 0;
	}
	err = posted_post_all(q);
	if (err)
		return err;
	if (!lent_is(q))
		n_injected = posted_inject(q);
	posted_note_waiting(q);
	if (lent_is(q) && q->env->now_ns - q->place_looked_ns >= NS_PER_S)
		queue_place_look(q);
	queue_publish(q, &q->rx, q->rx_port, &q->counters->to_guest_notifies);
	q->rx_due = n_reaped == QUEUE_BATCH || n_injected == QUEUE_BATCH || q->posted->refused;
	return 0;
}

int posted_go_on(struct queue *q)
{
	struct queue_posted *p = q->posted;
	int err;

	if (!p || q->from_tap.head)
		return 0;
	switch (p->state) {
	case POSTED_OFF:
		if (!(lent_is(q) ? lent_may_begin(q) : posted_fits(q)) || ring_pending(&q->rx) <= 0)
			return 0;
		q->nic->begin(q->place);
		p->dry = false;
		p->state = POSTED_BEGUN;
		return 0;
	case POSTED_BEGUN:
		if (!p->dry)
			return 0;
		p->state = POSTED_ON;
		err = posted_pass(q);
		q->rx_due |= q->place_state == QUEUE_PLACE_LAST; /* lent_check() */
		return err;
	case POSTED_ENDING:
		if (p->dry)
			end_ending(q);
		return 0;
	case POSTED_ON:
	case POSTED_RECALLED:
	case POSTED_OVER:
		break;
	}
	return 0;
}

/* ---- for who reads the two ways ---- */

bool posted_reads_place(const struct queue *q)
{
	const struct queue_posted *p = q->posted;

	return !p || p->state == POSTED_OFF || p->state == POSTED_OVER ||
	       (p->state != POSTED_ON && p->state != POSTED_RECALLED && !p->dry);
}

bool posted_note_read(struct queue *q, struct packet *const packets[], uint32_t n, bool dry)
{
	struct queue_posted *p = q->posted;

	for (uint32_t i = 0; p && i < n; i++)
		p->wire_bytes += packets[i]->size;
	if (!p || p->state == POSTED_OFF || p->state == POSTED_OVER)
		return false;
	if (p->state == POSTED_ENDING) {
		p->n_older -= MIN(p->n_older, n);
		dry |= !p->n_older;
	}
	p->dry = dry;
	return dry;
}

bool posted_watches_place(const struct queue *q)
{
	if (q->posted && q->posted->state >= POSTED_RECALLED)
		return false;
	return posted_is_on(q) ? posted_n(q) > 0 : !q->from_tap.head && !q->rx_starved;
}

struct packet_fifo *posted_tap_fifo(struct queue *q)
{
	struct queue_posted *p = q->posted;

	return p && (p->state == POSTED_ENDING || p->state == POSTED_RECALLED ||
		     (p->state == POSTED_ON && lent_is(q))) ?
		       &p->held :
		       &q->from_tap;
}

bool posted_holds_tap(const struct queue *q)
{
	const struct queue_posted *p = q->posted;

	return p && (p->state == POSTED_ENDING ||
		     ((p->state == POSTED_ON || p->state == POSTED_RECALLED) && p->held.head));
}
