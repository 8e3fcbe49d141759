/* SPDX-License-Identifier: MIT */
/*
 * Frames that wait because their guest takes none: how many bytes, how long, and when the
 * guest counts as stalled. After Linux drivers/net/xen-netback (rx.c): its queue's bytes,
 * its drain and its stall timeout, and XSA-392 for what a stall is.
 *
 *	bytes	The kernel lets no more than GATE_BYTES into the TAP's queue that have not
 *		left it (libvif/gate.h): frames read ahead are still in it. HELD_BYTES while
 *		vifd itself takes none.
 *	age	What has waited for rx_drain_ns, or up to an eighth longer, is dropped. The
 *		kernel keeps no times of frames: a mark notes how much had entered by when.
 *	stall	A guest that for rx_stall_ns never had as many buffers as the frame at the
 *		head needs is stalled: nothing is let in, what waits is dropped, and control
 *		takes the carrier away, until there are that many. The clock starts when a
 *		frame first finds too few, and neither events nor too few buffers stop it.
 *
 * Each is bounded work: what is dropped is read first, as many frames a pass as ever.
 */
#include "queue_pass.h"

/* A guest without feature-rx-notify is looked at as often as this, less and less. */
#define LOOK_MIN_NS (1 * NS_PER_MS)
#define LOOK_MAX_NS (32 * NS_PER_MS)

/* Let into a TAP that is held while the vif's path changes: a gigabit a second for as long
 * as the kernel and the NIC may take. */
#define HELD_BYTES (16 * GATE_BYTES)

/* And this long after, unless it was all taken before: the guest has to catch up. */
#define ROOMY_NS NS_PER_S

/* ---- bytes ---- */

static uint64_t entered(const struct queue *q)
{
	return q->wait.gate ? GATE_LOAD(q->wait.gate->entered) : 0;
}

/* What has left the queue, as the kernel is to know it. */
static uint64_t taken(const struct queue *q)
{
	return q->wait.read - q->wait.held;
}

static void publish_taken(struct queue *q)
{
	if (q->wait.gate)
		__atomic_store_n(&q->wait.gate->taken, taken(q), __ATOMIC_RELAXED);
}

void wait_set_limit(struct queue *q)
{
	uint64_t bytes = GATE_BYTES;

	if (q->drain.held)
		q->wait.roomy_ns = UINT64_MAX;
	else if (q->wait.roomy_ns == UINT64_MAX)
		q->wait.roomy_ns = q->env->now_ns + ROOMY_NS;
	if (q->wait.roomy_ns)
		bytes = HELD_BYTES;
	if (q->wait.gate)
		__atomic_store_n(&q->wait.gate->limit, q->wait.stalled ? 0 : bytes,
				 __ATOMIC_RELAXED);
}

void wait_open(struct queue *q, struct gate_queue *gate)
{
	q->wait.gate = gate;
	/* What an earlier worker had read and not given is gone: found when the TAP is empty. */
	q->wait.read = gate ? GATE_LOAD(gate->taken) : 0;
	wait_set_limit(q);
}

void wait_note_reads(struct queue *q)
{
	q->wait.seen = entered(q);
}

void wait_note_read(struct queue *q, const struct packet *p)
{
	q->wait.read += gate_cost(p->size);
	q->wait.held += gate_cost(p->size);
}

struct packet *wait_pop(struct queue *q)
{
	struct packet *p = packet_fifo_pop(&q->from_tap);

	if (p && !queue_is_place_frame(q, p)) /* those never were in the TAP */
		q->wait.held -= gate_cost(p->size);
	return p;
}

static void end_roomy(struct queue *q)
{
	q->wait.roomy_ns = 0;
	wait_set_limit(q);
}

/* Every frame that had entered before the read was read or is lost; none was read that has
 * not entered. Whatever the counts say else, they have drifted. */
void wait_on_empty(struct queue *q)
{
	struct queue_wait *w = &q->wait;
	uint64_t now_entered = entered(q);

	if (w->roomy_ns && !q->drain.held)
		end_roomy(q);
	if (!w->gate) {
		w->expiring = false;
		return;
	}
	if ((int64_t)(w->seen - w->read) > 0)
		w->read = w->seen;
	else if ((int64_t)(w->read - now_entered) > 0)
		w->read = now_entered;
	publish_taken(q);
}

/* ---- age ---- */

static void add_mark(struct queue *q)
{
	struct queue_wait *w = &q->wait;

	if (!q->env->rx_drain_ns || w->n_marks == WAIT_MARKS || (w->gate && entered(q) == taken(q)))
		return;
	w->mark[w->n_marks++] = (struct wait_mark){ q->env->now_ns, entered(q) };
}

static void forget_marks(struct queue *q, uint32_t n)
{
	struct queue_wait *w = &q->wait;

	w->n_marks -= n;
	for (uint32_t i = 0; i < w->n_marks; i++)
		w->mark[i] = w->mark[i + n];
}

static uint64_t mark_spacing(const struct queue *q)
{
	return q->env->rx_drain_ns / (WAIT_MARKS - 1);
}

/* Drops marks that were passed, adds one if it is time, and says up to where frames are
 * too old. Without a gate nobody knows what entered when: then all that waits is. */
static void check_age(struct queue *q)
{
	struct queue_wait *w = &q->wait;
	uint32_t n = 0;

	while (w->gate && n < w->n_marks && (int64_t)(taken(q) - w->mark[n].entered) >= 0)
		n++;
	forget_marks(q, n);
	for (n = 0; n < w->n_marks && q->env->now_ns - w->mark[n].ns >= q->env->rx_drain_ns; n++) {
		w->drop_to = w->gate ? w->mark[n].entered : UINT64_MAX;
		w->expiring = true;
	}
	forget_marks(q, n);
	if (!w->n_marks ||
	    (w->gate && q->env->now_ns - w->mark[w->n_marks - 1].ns >= mark_spacing(q)))
		add_mark(q);
}

/* Only while frames are too old: 'taken' may lie before any drop_to of the past, and before 0,
 * when what waited in the TAP had entered before this gate was there to count it. */
static bool is_expiring(const struct queue *q)
{
	const struct queue_wait *w = &q->wait;

	return w->expiring && (w->drop_to == UINT64_MAX || (int64_t)(w->drop_to - taken(q)) > 0);
}

bool wait_is_dropping(const struct queue *q)
{
	return q->wait.stalled || is_expiring(q) || queue_place_is_over(q);
}

/* ---- stall ---- */

static void look_later(struct queue *q)
{
	struct queue_wait *w = &q->wait;

	if (q->features & VIF_RX_NOTIFY)
		return;
	w->look_step_ns = MIN(MAX(2 * w->look_step_ns, LOOK_MIN_NS), LOOK_MAX_NS);
	w->look_ns = q->env->now_ns + w->look_step_ns;
}

void wait_begin(struct queue *q, uint32_t n_wanted)
{
	struct queue_wait *w = &q->wait;

	q->rx_starved = true;
	w->n_wanted = n_wanted;
	if (!w->since_ns)
		w->since_ns = q->env->now_ns;
	if (!w->n_marks)
		add_mark(q);
	look_later(q);
}

void wait_end(struct queue *q)
{
	struct queue_wait *w = &q->wait;

	w->since_ns = 0;
	w->look_step_ns = 0;
	if (!w->gate)
		w->n_marks = 0; /* the oldest has gone, of the rest nothing is known */
}

/* Whether the guest has the buffers that were wanted last; else an event will come. */
static bool has_wanted(struct queue *q)
{
	int pending = ring_arm(&q->rx, q->wait.n_wanted);

	/* An impossible producer is queue_to_guest()'s to judge. */
	q->rx_due |= pending < 0;
	return pending < 0 || (uint32_t)pending >= q->wait.n_wanted;
}

static void check_stall(struct queue *q)
{
	struct queue_wait *w = &q->wait;

	if (!w->since_ns || !q->env->rx_stall_ns ||
	    q->env->now_ns - w->since_ns < q->env->rx_stall_ns)
		return;
	if (has_wanted(q)) {
		q->rx_starved = false; /* without a word */
		return;
	}
	w->stalled = true;
	counter_add(&q->counters->to_guest_stalls, 1);
	wait_set_limit(q);
}

static void check_recovery(struct queue *q)
{
	struct queue_wait *w = &q->wait;

	if (!has_wanted(q)) {
		look_later(q);
		return;
	}
	w->stalled = false;
	w->expiring = false;
	q->rx_starved = false;
	wait_end(q);
	wait_set_limit(q);
}

/* ---- all of it ---- */

/* What is to be dropped of what was read; a segment of the head may have gone already. */
static void drop_some(struct queue *q)
{
	enum to_guest_fault fault = q->wait.stalled ? TO_GUEST_STALLED : TO_GUEST_EXPIRED;

	while (q->from_tap.head && wait_is_dropping(q)) {
		q->cut_at = 0;
		counter_add(&q->counters->to_guest_drops[fault], 1);
		queue_put_frame(q, wait_pop(q));
	}
	q->wait.expiring = is_expiring(q);
}

void wait_check(struct queue *q)
{
	if (q->wait.stalled)
		check_recovery(q);
	else if (q->wait.since_ns || q->wait.n_marks) {
		check_age(q);
		check_stall(q);
	}
	drop_some(q);
	/* The next frame is to be read, to know what that needs. */
	q->rx_starved &= q->from_tap.head != NULL;
}

void wait_settle(struct queue *q)
{
	publish_taken(q);
	if (q->wait.roomy_ns && q->env->now_ns >= q->wait.roomy_ns)
		end_roomy(q);
}

uint64_t wait_deadline(const struct queue *q)
{
	const struct queue_wait *w = &q->wait;
	uint64_t next = UINT64_MAX;

	if ((q->rx_starved || w->stalled) && !(q->features & VIF_RX_NOTIFY))
		next = w->look_ns ? w->look_ns : UINT64_MAX;
	if (!q->rx_starved || w->stalled)
		return next;
	if (q->env->rx_stall_ns && w->since_ns)
		next = MIN(next, w->since_ns + q->env->rx_stall_ns);
	if (w->n_marks)
		next = MIN(next, w->mark[0].ns + q->env->rx_drain_ns);
	if (w->n_marks && w->n_marks < WAIT_MARKS && w->gate)
		next = MIN(next, w->mark[w->n_marks - 1].ns + mark_spacing(q));
	return next;
}

void wait_on_time(struct queue *q)
{
	/* look_ns is only ever set for a guest that will not tell by itself. */
	if (q->wait.look_ns && q->env->now_ns >= q->wait.look_ns) {
		q->wait.look_ns = 0;
		q->rx_starved = false;
	}
}
