/* SPDX-License-Identifier: MIT */
/*
 * What a guest sends, past the bridge: by the NIC of the queue's place, to the stations that
 * the bridge knows to be behind it. Everything else, and whatever the NIC cannot finish as
 * cheaply (a GSO frame, which the kernel cuts late or never), goes to the TAP as ever.
 *
 * Trust: a frame leaves by the NIC with the vif's own source address only. What is looked at
 * is our copy, which no guest can write to, and that copy is what is sent. In a bridge that
 * filters VLANs it leaves in the vif's own one only: the tag is put on in the device's copy, by
 * what control says, or the guest's own is that tag and the only one. What a guest tagged in any
 * other way, a priority without a VLAN included, is the bridge's to judge.
 *
 * Two ways could reorder a flow. A flow here is what has the same two IP addresses, so that an
 * IP fragment belongs to it as well, whatever tags it has; other frames, one destination. It goes
 * one way at a time:
 *
 *	NIC -> bridge	as soon as the device is done with its last frame: that has left the
 *			host. Until then the frame waits, and with it all behind it, for no
 *			longer than QUEUE_PATIENCE_NS; nothing more is taken from the guest.
 *			A device that is not done by then gets no more until it is.
 *	bridge -> NIC	when none of its frames took the bridge for NIC_SETTLE_NS: what was
 *			written to the TAP has left the host by then (nic.h settle()), but for
 *			what a queueing discipline of the NIC's holds longer: nothing tells of it.
 *
 * Frames for which the NIC has no room wait alike, and the guest with them.
 *
 * A flow that never rests that long, but has not needed the bridge for a second, is given
 * rest: the queue takes nothing from the guest for NIC_SETTLE_NS, at most once a second. The
 * same when the NIC's way opens: from then on nothing that is under way matters.
 */
#include "queue_pass.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>

#define FLOWS	  256u
#define KEPT_NS	  NS_PER_S
#define RETRY_NS  (NS_PER_MS / 4)

enum way { BY_NIC, BY_BRIDGE, NOT_YET };

struct flow {
	uint64_t by_nic;       /* its last frame's number among those the port took */
	uint64_t by_bridge_ns; /* when its last one did */
	uint64_t unfit_ns;     /* when one had to */
};

struct queue_transmit {
	const struct shared_nic *nic;
	uint8_t mac[ETH_ALEN]; /* the vif's */
	uint16_t vlan;	       /* of the bridge's: it sends in that one; 0: the bridge has none */
	bool own_tag, tag_on;  /* its frames have that VLAN's tag; or get it, by the NIC */
	uint64_t rest_until_ns, rested_ns;
	uint64_t wait_until_ns; /* it waits, if nothing leaves before; 0: nothing waits */
	uint64_t last;		/* of all flows' by_nic */
	uint64_t given_up;	/* frames the port took up to this one are not waited for */
	uint64_t given_up_ns;	/* when it was found stuck; 0: it is not */
	uint64_t end_ns;	/* the place ends by then, whatever is under way; 0: it does not */
	bool kick_due;		/* the device was too busy for what it has */
	struct packet_fifo waiting;
	uint32_t n_batch;
	struct packet *batch[QUEUE_BATCH];
	struct flow flow[FLOWS];
};

/* ---- life ---- */

int transmit_open(struct queue *q, const struct shared_nic *nic, const struct ipc_nic *how)
{
	struct queue_transmit *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->nic = nic;
	memcpy(t->mac, how->mac, ETH_ALEN);
	t->vlan = (uint16_t)how->vlan;
	t->own_tag = how->own_tag;
	t->tag_on = how->tag_on;
	q->transmit = t;
	return 0;
}

static void append(struct packet_fifo *to, struct packet_fifo *from)
{
	struct packet *p;

	while ((p = packet_fifo_pop(from)))
		packet_fifo_push(to, p);
}

void transmit_close(struct queue *q)
{
	if (!q->transmit)
		return;
	append(&q->transmit->waiting, &q->to_tap);
	q->to_tap = q->transmit->waiting;
	free(q->transmit);
	q->transmit = NULL;
}

static void rest(struct queue *q)
{
	q->transmit->rested_ns = q->env->now_ns;
	q->transmit->rest_until_ns = q->env->now_ns + NIC_SETTLE_NS;
}

void transmit_begin(struct queue *q)
{
	if (q->transmit)
		rest(q);
}

/* More than waits already would wait behind it, in packets that the TAP is read into. */
uint64_t transmit_holds_until(const struct queue *q)
{
	const struct queue_transmit *t = q->transmit;

	if (t && t->waiting.head)
		return q->env->now_ns + RETRY_NS;
	return t && q->env->now_ns < t->rest_until_ns ? t->rest_until_ns : 0;
}

uint64_t transmit_deadline(const struct queue *q)
{
	const struct queue_transmit *t = q->transmit;

	return t && (t->wait_until_ns || t->end_ns || t->kick_due) ? q->env->now_ns + RETRY_NS :
								     UINT64_MAX;
}

/* ---- which way ---- */

static uint32_t hash_of(const uint8_t *bytes, uint32_t n)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (uint32_t i = 0; i < n; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash ^ hash >> 16;
}

/* Behind up to two tags, which need not be all frames' of a flow: the bytes of the header that a
 * frame without them would have had, and those before it in *skip. */
static uint32_t untagged_size(const struct packet *p, uint32_t *skip)
{
	*skip = 0;
	while (*skip < 2 * PACKET_TAG_SIZE && frame_is_tagged(p->frame + *skip, p->size - *skip))
		*skip += PACKET_TAG_SIZE;
	return p->size - *skip;
}

static struct flow *flow_of(struct queue_transmit *t, const struct packet *p)
{
	uint32_t skip, size = untagged_size(p, &skip), hash;
	const uint8_t *ip = p->frame + skip + ETH_HLEN;
	uint16_t ethertype = 0;

	if (size >= ETH_HLEN)
		memcpy(&ethertype, ip - sizeof(ethertype), sizeof(ethertype));
	if (ethertype == htons(ETH_P_IP) && size >= ETH_HLEN + 20)
		hash = hash_of(ip + 12, 2 * 4);
	else if (ethertype == htons(ETH_P_IPV6) && size >= ETH_HLEN + 40)
		hash = hash_of(ip + 8, 2 * 16);
	else
		hash = hash_of(p->frame, ETH_ALEN);
	return &t->flow[hash % FLOWS];
}

static struct nic_sent sent(const struct queue *q)
{
	struct nic_sent s;

	q->nic->sent(q->port, &s);
	return s;
}

/* The frame of this number may not have left yet. One beyond those taken, and the batch that is
 * still to be, found no room. */
static bool is_under_way(const struct queue *q, uint64_t number)
{
	const struct queue_transmit *t = q->transmit;
	struct nic_sent s = sent(q);

	return MIN(number, s.taken + t->n_batch) > MAX(s.done, t->given_up);
}

static bool is_stuck(struct queue *q)
{
	struct queue_transmit *t = q->transmit;

	if (t->given_up_ns && q->env->now_ns - t->given_up_ns >= QUEUE_PATIENCE_NS &&
	    sent(q).done >= t->given_up)
		t->given_up_ns = 0;
	return t->given_up_ns;
}

static void give_up(struct queue *q)
{
	q->transmit->given_up = sent(q).taken;
	q->transmit->given_up_ns = q->env->now_ns;
}

static bool may_wait(const struct queue *q)
{
	uint64_t until_ns = q->transmit->wait_until_ns;

	return !until_ns || q->env->now_ns < until_ns;
}

/* Whether its bridge would take it to be of t->vlan. With the guest's own tag: not if there is
 * another behind it, whatever the bridge would say. */
static bool is_of_its_vlan(const struct queue_transmit *t, const struct packet *p)
{
	if (!t->vlan)
		return true;
	if (!t->own_tag)
		return !frame_is_tagged(p->frame, p->size);
	return packet_has_tag(p, t->vlan) &&
	       !frame_is_tagged(p->frame + PACKET_TAG_SIZE, p->size - PACKET_TAG_SIZE);
}

/* Whether it is not too long: a tag, of the guest's or to come, does not count (Linux'
 * is_skb_forwardable()). */
static bool has_room(const struct queue_transmit *t, const struct packet *p)
{
	uint32_t most = __atomic_load_n(&t->nic->frame_max, __ATOMIC_RELAXED);

	return p->size <= NIC_TRANSMIT_MAX && p->size - (t->own_tag ? PACKET_TAG_SIZE : 0) <= most;
}

/* Whether the NIC may have it and can do with it as it is, but for checksum and tag. */
static bool is_fit(struct queue *q, const struct packet *p)
{
	const struct queue_transmit *t = q->transmit;

	return q->place_state == QUEUE_PLACE_READING && is_of_its_vlan(t, p) && has_room(t, p) &&
	       packet_vnet(p)->gso_type == VIRTIO_NET_HDR_GSO_NONE &&
	       !memcmp(p->frame + ETH_ALEN, t->mac, ETH_ALEN) &&
	       stations_is_behind(&t->nic->behind, p->frame, t->vlan) && !is_stuck(q);
}

static enum way bridge_for(struct queue *q, struct flow *f)
{
	struct queue_transmit *t = q->transmit;

	if (is_under_way(q, f->by_nic)) {
		if (t->n_batch || may_wait(q))
			return NOT_YET;
		give_up(q);
	}
	f->by_bridge_ns = q->env->now_ns;
	return BY_BRIDGE;
}

/* The NIC sends it as it is. 0 or -EPROTO. */
static int finish(struct queue *q, struct packet *p)
{
	const struct virtio_net_hdr *vnet = packet_vnet(p);

	if (!(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return 0;
	counter_add(&q->counters->from_guest_summed_bytes, p->size - MIN(p->size, vnet->csum_start));
	return offload_finish_checksum(p);
}

static enum way choose(struct queue *q, struct packet *p)
{
	struct queue_transmit *t = q->transmit;
	uint64_t now_ns = q->env->now_ns;
	struct flow *f;

	if (p->size < ETH_HLEN || p->frame[0] & 1)
		return BY_BRIDGE; /* to a group, or nonsense: no flow's */
	f = flow_of(t, p);
	if (!is_fit(q, p)) {
		f->unfit_ns = now_ns;
		return bridge_for(q, f);
	}
	if (now_ns - f->by_bridge_ns < NIC_SETTLE_NS) {
		if (now_ns - f->unfit_ns >= KEPT_NS && now_ns - t->rested_ns >= KEPT_NS)
			rest(q);
		return bridge_for(q, f);
	}
	if (finish(q, p))
		return bridge_for(q, f);
	f->by_nic = t->last = sent(q).taken + t->n_batch + 1;
	return BY_NIC;
}

bool transmit_has_ended(struct queue *q)
{
	struct queue_transmit *t = q->transmit;

	if (!t || (!t->waiting.head && !is_under_way(q, t->last)))
		return true;
	if (!t->end_ns)
		t->end_ns = q->env->now_ns + QUEUE_PATIENCE_NS;
	return q->env->now_ns >= t->end_ns;
}

/* ---- the pass ---- */

/* Whether the port took all. What it did not is the batch still. */
static bool send_batch(struct queue *q)
{
	struct queue_transmit *t = q->transmit;
	struct queue_counters *c = q->counters;
	uint32_t n = q->nic->transmit(q->port, t->batch, t->n_batch, t->tag_on ? t->vlan : 0);

	t->kick_due = q->nic->kick(q->port);
	counter_add(&c->from_guest_frames, n);
	counter_add(&c->from_guest_nic_frames, n);
	for (uint32_t i = 0; i < n; i++) {
		counter_add(&c->from_guest_bytes, t->batch[i]->size);
		packet_put(&q->pool, t->batch[i]);
	}
	t->n_batch -= n;
	memmove(t->batch, t->batch + n, t->n_batch * sizeof(*t->batch));
	if (n)
		t->wait_until_ns = 0;
	return !t->n_batch;
}

static void count_foreign(struct queue *q, const struct packet *p)
{
	if (p->size >= ETH_HLEN && memcmp(p->frame + ETH_ALEN, q->transmit->mac, ETH_ALEN))
		counter_add(&q->counters->from_guest_nic_foreign, 1);
}

/* Sends frames of 'all', oldest first, up to one that has to wait: that, or NULL. */
static struct packet *send_frames(struct queue *q, struct packet_fifo *all)
{
	struct queue_transmit *t = q->transmit;
	struct packet *p;

	while ((p = packet_fifo_pop(all))) {
		enum way way = choose(q, p);

		if (way == NOT_YET && t->n_batch && send_batch(q))
			way = choose(q, p);
		if (way == NOT_YET)
			return p;
		if (way == BY_BRIDGE) {
			t->wait_until_ns = 0;
			count_foreign(q, p);
			packet_fifo_push(&q->to_tap, p);
			continue;
		}
		t->batch[t->n_batch++] = p;
		if (t->n_batch == ARRAY_SIZE(t->batch) && !send_batch(q))
			return NULL;
	}
	return NULL;
}

void queue_transmit(struct queue *q)
{
	struct queue_transmit *t = q->transmit;
	struct packet_fifo all = { 0 };
	struct packet *p;

	if (!t)
		return;
	if (t->kick_due)
		t->kick_due = q->nic->kick(q->port);
	append(&all, &t->waiting);
	append(&all, &q->to_tap);
	p = send_frames(q, &all);
	if (t->n_batch && !send_batch(q)) {
		counter_add(&q->counters->from_guest_nic_full, 1);
		if (!may_wait(q))
			give_up(q);
	}
	for (uint32_t i = 0; i < t->n_batch; i++)
		packet_fifo_push(&t->waiting, t->batch[i]);
	t->n_batch = 0;
	if (p)
		packet_fifo_push(&t->waiting, p);
	append(&t->waiting, &all);
	if (t->waiting.head && !t->wait_until_ns)
		t->wait_until_ns = q->env->now_ns + QUEUE_PATIENCE_NS;
}
