/* SPDX-License-Identifier: MIT */
/*
 * A place lent to (nic.h): its queue is the NIC's alone, which writes what arrives into the
 * guest's own pages. The states are queue_posted.c's; this is what such a place has besides:
 *
 *	join	all writable static grants of the queue are mapped once more, in one piece, as
 *		the device knows one piece of memory from the beginning to the end
 *	ON	a request is posted as the page its reference names, each page once at a time
 *	end	recalled. A device lets go in its own time, some 10 ms and more: meanwhile what is
 *		posted is its, the static grants stay, and the queue waits, to be left or closed. Its
 *		worker does not
 *	leave	the device has let go: the piece is unmapped
 *
 * What was posted cannot be taken back, nor can a frame of ours be put between: all that speaks
 * against posting, and a frame that comes by the TAP all the same, ends it by way of control,
 * which makes the place an ordinary one, without a frame lost. Posting goes on until then. So
 * `buffers` in shared memory says, of a place of either kind, whether it is to be lent to;
 * control hears when that changes, TELL_NS apart at least.
 *
 * A guest that posts a page twice, or one it has not granted, breaks no rule of netif.h's. But
 * the first is not the device's to sort out, and the second not the guest's to be proved: the
 * request stays where it is, posting stops, and the guest has an ordinary place for as long as
 * it is connected.
 *
 * The static grants do not change meanwhile. Who asks for another list waits until the place
 * was left; if control does not come to that in GRANTS_MAX_NS, the queue leaves by itself: what
 * the filter still sends there is lost then.
 *
 * A list of 512 pages costs the worker some milliseconds on Xen, to map and to unmap: control
 * sees to it that this is seldom.
 */
#include "queue_posted.h"

#include <errno.h>
#include <stdlib.h>

/* A device may leave so much of a page free in front of a frame: XDP_PACKET_HEADROOM. With two
 * tags. */
#define HEADROOM 256
#define MTU_MAX	 (XEN_PAGE - HEADROOM - 14 - 8)

#define TELL_NS	      (100 * NS_PER_MS)
#define SLOW_NS	      NS_PER_S
#define GRANTS_MAX_NS (2 * NS_PER_S)

struct queue_lent {
	uint32_t mtu;
	bool told;	    /* as control knows it: it is, or is to be, lent to */
	uint64_t told_ns;   /* since then */
	uint64_t tell_ns;   /* it is to be told otherwise then; 0: it is not */
	uint64_t slow_ns;   /* a guest that was slow: when to look whether it is; 0: it was not */
	uint64_t grants_ns; /* another list of static grants waits since; 0: none does */
	uint64_t look_ns;   /* recalled: when to look again whether the device has let go */

	/* of a place lent to */
	void *memory; /* NULL: it is an ordinary one */
	uint32_t n_pages;
	uint16_t page[STATIC_GRANTS_MAX]; /* of static grant i: 1 + its number; 0: has none */
	bool posted[STATIC_GRANTS_MAX];	  /* page of that number */
};

bool lent_is(const struct queue *q)
{
	return q->lent && q->lent->memory;
}

/* ---- life ---- */

static int map_pages(struct queue *q)
{
	const struct static_grants *grants = queue_static_grants(q);
	struct queue_lent *l = q->lent;
	uint32_t grefs[STATIC_GRANTS_MAX];

	for (uint32_t i = 0; i < STATIC_GRANTS_MAX; i++) {
		if (!grants->entry[i] || grants->entry[i] & STATIC_GRANT_READONLY)
			continue;
		grefs[l->n_pages++] = (uint32_t)grants->entry[i];
		l->page[i] = (uint16_t)l->n_pages;
	}
	return grant_map_many(q->env->grants, q->vif.domid, grefs, l->n_pages, NIC_ROOM,
			      &l->memory);
}

int lent_open(struct queue *q, const struct ipc_nic *how, struct nic_memory *out)
{
	struct queue_lent *l;
	int err;

	*out = (struct nic_memory){ .start = NULL };
	if (how->lend == IPC_LEND_NEVER)
		return 0;
	l = calloc(1, sizeof(*l));
	q->lent = l;
	if (!l)
		return -ENOMEM;
	l->mtu = how->mtu;
	l->told = how->lend == IPC_LEND_NOW;
	if (!l->told)
		return 0;
	if (q->lend_refused || posted_unfit(q) != IPC_BUFFERS_POSTED)
		return -EAGAIN;
	q->posted = calloc(1, sizeof(*q->posted));
	if (!q->posted)
		return -ENOMEM;
	err = map_pages(q);
	*out = (struct nic_memory){ l->memory, l->n_pages };
	__atomic_store_n(q->buffers, IPC_BUFFERS_LENT, __ATOMIC_RELAXED); /* until it is looked at */
	return err;
}

void lent_close(struct queue *q)
{
	struct queue_lent *l = q->lent;

	if (!l)
		return;
	__atomic_store_n(q->buffers, IPC_BUFFERS_NONE, __ATOMIC_RELAXED);
	if (l->memory)
		grant_unmap_many(q->env->grants, l->memory, l->n_pages);
	if (l->grants_ns)
		q->grants_due = true;
	free(l);
	q->lent = NULL;
}

/* ---- whether it is one, or is to be ---- */

static bool is_slow(const struct queue *q)
{
	if (lent_is(q))
		return q->posted->slow;
	/* What waited may have grown too old and be gone, and nothing have come since. */
	return wait_is_dropping(q) ||
	       (q->from_tap.head && q->wait.since_ns && q->env->now_ns - q->wait.since_ns >= SLOW_NS);
}

static enum ipc_buffers judge(const struct queue *q)
{
	enum ipc_buffers unfit = posted_unfit(q);

	if (q->lend_refused)
		return IPC_BUFFERS_REFUSED;
	if (q->lent->mtu > MTU_MAX)
		return IPC_BUFFERS_SMALL;
	if (unfit != IPC_BUFFERS_POSTED)
		return unfit;
	if (is_slow(q))
		return IPC_BUFFERS_SLOW;
	if (!lent_is(q))
		return IPC_BUFFERS_LENDABLE;
	return q->posted->held.head ? IPC_BUFFERS_BRIDGED : IPC_BUFFERS_LENT;
}

bool lent_may_begin(const struct queue *q)
{
	return q->place_state == QUEUE_PLACE_READING && judge(q) == IPC_BUFFERS_LENT;
}

bool queue_lending_changed(struct queue *q)
{
	struct queue_lent *l = q->lent;
	enum ipc_buffers now;
	bool lends;

	if (!l || q->broken || q->place_state != QUEUE_PLACE_READING)
		return false;
	now = judge(q);
	lends = now == IPC_BUFFERS_LENDABLE || now == IPC_BUFFERS_LENT;
	__atomic_store_n(q->buffers, now, __ATOMIC_RELAXED);
	/* Nothing else may come that would have it looked at. */
	l->slow_ns = now == IPC_BUFFERS_SLOW && !lent_is(q) ? q->env->now_ns + SLOW_NS : 0;
	l->tell_ns = lends != l->told ? l->told_ns + TELL_NS : 0;
	if (!l->tell_ns || q->env->now_ns < l->tell_ns)
		return false;
	l->told = lends;
	l->told_ns = q->env->now_ns;
	l->tell_ns = 0;
	return true;
}

/* ---- its end ---- */

bool lent_holds_grants(struct queue *q)
{
	if (!lent_is(q))
		return false;
	if (!q->lent->grants_ns)
		q->lent->grants_ns = q->env->now_ns;
	return true;
}

static bool is_overdue(const struct queue *q)
{
	const struct queue_lent *l = q->lent;

	return l->grants_ns && q->env->now_ns - l->grants_ns >= GRANTS_MAX_NS &&
	       q->place_state != QUEUE_PLACE_LAST;
}

void lent_check(struct queue *q)
{
	if (is_overdue(q)) {
		q->place_state = QUEUE_PLACE_LAST;
		q->place_unasked = true;
	}
	/* No filter directs anything here any more. What was begun is brought to where it can be
	 * ended without loss first. */
	if (posted_is_recalled(q) || (q->place_state == QUEUE_PLACE_LAST && !posted_is_begun(q)))
		posted_end(q);
}

bool lent_has_come_back(struct queue *q)
{
	q->lent->look_ns = q->env->now_ns + LENT_LOOK_NS;
	return q->nic->hold(q->place) == NIC_LET_GO;
}

bool lent_was_ended(const struct queue *q)
{
	return lent_is(q) && q->nic->hold(q->place) != NIC_HOLDS;
}

uint64_t lent_deadline(const struct queue *q)
{
	const struct queue_lent *l = q->lent;
	uint64_t next = UINT64_MAX;

	if (l && l->tell_ns && q->place_state == QUEUE_PLACE_READING)
		next = l->tell_ns;
	if (l && l->slow_ns && q->place_state == QUEUE_PLACE_READING)
		next = MIN(next, l->slow_ns);
	if (l && l->grants_ns && q->place_state != QUEUE_PLACE_LAST)
		next = MIN(next, l->grants_ns + GRANTS_MAX_NS);
	if (l && posted_is_recalled(q))
		next = MIN(next, l->look_ns);
	return next;
}

/* ---- its pages ---- */

bool lent_take_page(struct queue *q, uint32_t gref, nic_page *out)
{
	struct queue_lent *l = q->lent;
	int entry = static_grants_writable(queue_static_grants(q), gref);
	uint32_t page = entry >= 0 ? l->page[entry] : 0;

	if (q->lend_refused || !page || l->posted[page - 1]) {
		posted_refuse(q);
		return false;
	}
	l->posted[page - 1] = true;
	*out = page - 1;
	return true;
}

void lent_give_page(struct queue *q, nic_page page)
{
	q->lent->posted[page] = false;
}
