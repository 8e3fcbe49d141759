/* SPDX-License-Identifier: MIT */
/*
 * Whether the guest's buffers are to be posted now (queue_posted.c).
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

#include "rss.h"

#define SLOW_NS NS_PER_S

/* How long it is looked at what comes by which way, and what of the TAP does not matter. */
#define SHARE_NS  NS_PER_S
#define FEW_BYTES 65536

/* ---- a guest that is slow ---- */

void posted_note_waiting(struct queue *q)
{
	struct queue_posted *p = q->posted;
	uint32_t n;

	if (lent_is(q)) { /* what waits there waits for buffers */
		p->since_ns = posted_n(q) ? 0 : p->since_ns ? p->since_ns : q->env->now_ns;
		return;
	}
	if (p->since_ns && p->n_waiting)
		return;
	n = queue_place_look(q) + q->from_tap.n_packets;
	p->since_ns = n || !posted_n(q) ? q->env->now_ns : 0;
	p->n_waiting = MAX(n, 1u);
	p->any_since = false;
}

bool posted_is_slow(struct queue *q)
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
		posted_refuse(q);
	}
	return true;
}

uint64_t posted_deadline(const struct queue *q)
{
	const struct queue_posted *p = q->posted;

	return p && p->state == POSTED_ON && p->since_ns && !p->slow ? p->since_ns + SLOW_NS :
								       UINT64_MAX;
}

/* ---- what comes by which way ---- */

void posted_weigh(struct queue *q)
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

/* ---- all of it ---- */

static bool has_few_buffers(const struct queue *q)
{
	return q->rx_starved || q->wait.since_ns || wait_is_dropping(q);
}

enum ipc_buffers posted_unfit(const struct queue *q)
{
	const struct static_grants *grants = queue_static_grants(q);

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
	return IPC_BUFFERS_POSTED;
}

/* What is to become of the guest's buffers now. */
static enum ipc_buffers judge(const struct queue *q)
{
	enum ipc_buffers unfit = posted_unfit(q);

	if (q->place_state != QUEUE_PLACE_READING)
		return IPC_BUFFERS_NONE;
	if (q->posted->refused)
		return IPC_BUFFERS_REFUSED;
	if (unfit != IPC_BUFFERS_POSTED)
		return unfit;
	if (has_few_buffers(q))
		return IPC_BUFFERS_SLOW;
	return q->posted->mostly_blank ? IPC_BUFFERS_NEIGHBOURS : IPC_BUFFERS_POSTED;
}

bool posted_fits(struct queue *q)
{
	enum ipc_buffers now = judge(q);

	__atomic_store_n(q->buffers, now, __ATOMIC_RELAXED);
	return now == IPC_BUFFERS_POSTED;
}
