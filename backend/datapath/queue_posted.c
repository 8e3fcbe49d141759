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
 * Not for guests that want something along with a frame (a hash, headroom), or whose frames
 * do not fit a page, or need a tag taken off: judge(). They may change their mind at any time.
 *
 * What other guests send costs more when it is injected: the kernel leaves it whole and unsummed,
 * and a descriptor can say neither. So a guest that in a second got more of that than it got
 * off the wire is OFF, until in another it got twice as much off the wire (mostly_blank).
 *
 * A guest that is slow is OFF, where its frames grow old and it may be found stalled
 * (queue_wait.c): SLOW_NS is how long it may leave the device without a buffer, or a frame
 * waiting there.
 */
#include "queue_posted.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "rss.h"

#define SLOW_NS NS_PER_S

/* How long it is looked at what comes by which way, and what of the TAP does not matter. */
#define SHARE_NS  NS_PER_S
#define FEW_BYTES 65536

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
	if (p->state == POSTED_ENDING)
		end_ending(q);
	for (uint32_t i = 0; i < STATIC_GRANTS_MAX; i++)
		revoke(q, &p->granted[i]);
	for (uint32_t i = 0; i < RING_SLOTS; i++)
		revoke(q, &p->bounce[i]);
	munmap(p->memory, RING_SLOTS * XEN_PAGE);
	free(p);
	q->posted = NULL;
}

/* ---- a guest that is slow ---- */

/* At the end of a pass: notes what waits, unless what waited before still does. */
static void note_waiting(struct queue *q)
{
	struct queue_posted *p = q->posted;
	uint32_t n;

	if (p->since_ns && p->n_waiting)
		return;
	n = queue_place_look(q) + q->from_tap.n_packets;
	p->since_ns = n || !posted_n(q) ? q->env->now_ns : 0;
	p->n_waiting = MAX(n, 1u);
	p->any_since = false;
}

/* Whether what waited SLOW_NS ago still does, or there still is no buffer. If there are
 * buffers all the time and nothing ever came of them, it is the device's fault. */
static bool is_slow(struct queue *q)
{
	struct queue_posted *p = q->posted;
	struct log_scope scope = queue_scope(q);

	if (!p->since_ns || q->env->now_ns - p->since_ns < SLOW_NS)
		return false;
	if (posted_n(q) && !queue_place_look(q) && !q->from_tap.head) {
		p->since_ns = 0;
		return false;
	}
	if (posted_n(q) && !p->any_since) {
		log_limited(
		    &q->limit, q->env->now_ns, LOG_LVL_WARNING, &scope,
		    "the NIC fills none of the guest's buffers: they are not posted any more");
		p->refused = true;
	}
	return true;
}

uint64_t posted_deadline(const struct queue *q)
{
	const struct queue_posted *p = q->posted;

	return p && p->state == POSTED_ON && p->since_ns ? p->since_ns + SLOW_NS : UINT64_MAX;
}

/* ---- what comes by which way ---- */

static void weigh(struct queue *q)
{
	struct queue_posted *p = q->posted;

	if (q->env->now_ns - p->share_ns < SHARE_NS)
		return;
	if (p->blank_bytes < FEW_BYTES || p->wire_bytes / 2 > p->blank_bytes)
		p->mostly_blank = false;
	else if (p->blank_bytes > p->wire_bytes)
		p->mostly_blank = true;
	p->blank_bytes = p->wire_bytes = 0;
	p->share_ns = q->env->now_ns;
}

void posted_note_tap(struct queue *q, const struct packet *packet)
{
	if (q->posted && packet_vnet(packet)->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		q->posted->blank_bytes += packet->size;
}

/* ---- the states ---- */

static bool has_few_buffers(const struct queue *q)
{
	return q->rx_starved || q->wait.since_ns || wait_is_dropping(q);
}

/* What is to become of the guest's buffers now. */
static enum ipc_buffers judge(const struct queue *q)
{
	const struct static_grants *grants = queue_static_grants(q);

	if (q->place_state != QUEUE_PLACE_READING)
		return IPC_BUFFERS_NONE;
	if (q->posted->refused)
		return IPC_BUFFERS_REFUSED;
	if (!(q->features & VIF_RX_NOTIFY))
		return IPC_BUFFERS_NO_NOTIFY;
	if (q->place_tag_off)
		return IPC_BUFFERS_TAG;
	if (grants && static_grants_busy(grants))
		return IPC_BUFFERS_GRANTS_CHANGE;
	if (!grants || !grants->n_writable)
		return IPC_BUFFERS_NOT_GRANTED;
	if (__atomic_load_n(&q->shared_vif->xdp_headroom, __ATOMIC_RELAXED))
		return IPC_BUFFERS_HEADROOM;
	if (q->steering && rss_is_set(q->steering))
		return IPC_BUFFERS_HASHES;
	if (has_few_buffers(q))
		return IPC_BUFFERS_SLOW;
	return q->posted->mostly_blank ? IPC_BUFFERS_NEIGHBOURS : IPC_BUFFERS_POSTED;
}

static bool fits(struct queue *q)
{
	enum ipc_buffers now = judge(q);

	__atomic_store_n(q->buffers, now, __ATOMIC_RELAXED);
	return now == IPC_BUFFERS_POSTED;
}

void posted_end(struct queue *q)
{
	struct queue_posted *p = q->posted;

	if (!p || (p->state != POSTED_BEGUN && p->state != POSTED_ON))
		return;
	q->nic->recall(q->place);
	p->since_ns = 0;
	p->dry = false;
	if (p->state == POSTED_BEGUN) {
		p->state = POSTED_OFF;
		return;
	}
	while (posted_reap(q))
		;
	ring_give_back(&q->rx, posted_n(q));
	if (!q->broken)
		queue_publish(q, &q->rx, q->rx_port, &q->counters->to_guest_notifies);
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
	weigh(q);
	if ((p->state == POSTED_BEGUN || p->state == POSTED_ON) && (!fits(q) || is_slow(q)))
		posted_end(q);
}

bool posted_is_on(const struct queue *q)
{
	return q->posted && q->posted->state == POSTED_ON;
}

int posted_pass(struct queue *q)
{
	uint32_t n_reaped = posted_reap(q), n_injected;
	int err = posted_post_all(q);

	if (err)
		return err;
	n_injected = posted_inject(q);
	note_waiting(q);
	queue_publish(q, &q->rx, q->rx_port, &q->counters->to_guest_notifies);
	q->rx_due = n_reaped == QUEUE_BATCH || n_injected == QUEUE_BATCH || q->posted->refused;
	return 0;
}

int posted_go_on(struct queue *q)
{
	struct queue_posted *p = q->posted;

	if (!p || q->from_tap.head)
		return 0;
	switch (p->state) {
	case POSTED_OFF:
		if (!fits(q) || ring_pending(&q->rx) <= 0)
			return 0;
		q->nic->begin(q->place);
		p->dry = false;
		p->state = POSTED_BEGUN;
		return 0;
	case POSTED_BEGUN:
		if (!p->dry)
			return 0;
		p->state = POSTED_ON;
		return posted_pass(q);
	case POSTED_ENDING:
		if (p->dry)
			end_ending(q);
		return 0;
	case POSTED_ON:
		break;
	}
	return 0;
}

/* ---- for who reads the two ways ---- */

bool posted_reads_place(const struct queue *q)
{
	const struct queue_posted *p = q->posted;

	return !p || p->state == POSTED_OFF || (p->state != POSTED_ON && !p->dry);
}

bool posted_note_read(struct queue *q, struct packet *const packets[], uint32_t n, bool dry)
{
	struct queue_posted *p = q->posted;

	for (uint32_t i = 0; p && i < n; i++)
		p->wire_bytes += packets[i]->size;
	if (!p || p->state == POSTED_OFF)
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
	return posted_is_on(q) ? posted_n(q) > 0 : !q->from_tap.head && !q->rx_starved;
}

struct packet_fifo *posted_tap_fifo(struct queue *q)
{
	struct queue_posted *p = q->posted;

	return p && p->state == POSTED_ENDING ? &p->held : &q->from_tap;
}

bool posted_holds_tap(const struct queue *q)
{
	return q->posted && q->posted->state == POSTED_ENDING;
}
