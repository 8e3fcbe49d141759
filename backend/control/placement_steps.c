/* SPDX-License-Identifier: MIT */
/*
 * A vif's steps to a NIC and back: what each state waits for, and what is done before the next.
 * placement.h has the way they take, and why no frame of a flow overtakes another on it. Who takes
 * which step when is placement.c's.
 */
#include "backend/control/placement_parts.h"

#include <stdio.h>
#include <string.h>

#include "backend/control/control.h"

#define SCOPE(v) (&(const struct log_scope){ &(v)->id, -1 })

/* Who is told. */
enum {
	TO_PLACED = BIT(0), /* the queue that has the place */
	TO_OTHERS = BIT(1),
	TO_ALL = TO_PLACED | TO_OTHERS,
};

/*
 * What a state waits for: that everybody was told 'word' and, unless it is 0, gave 'answer';
 * and, if it settles, the end of the time in until_ns. Then comes 'next', or 'lent' if the
 * place is lent to and that is not 0. A state that has none is left for other reasons.
 */
static const struct step {
	const char *name;
	enum ipc_type word;
	uint32_t to;
	enum ipc_type answer;
	enum placement_state next, lent;
	bool settles;
} steps[] = {
	[PLACED_BRIDGE] = { .name = "bridge" },
	[PLACED_JOINING] = { .name = "joining" },
	[PLACED_KEEPING_OFF] = { "keeping-off", IPC_PLACE_HOLD, TO_OTHERS, IPC_PLACE_HELD,
				 .next = PLACED_SETTLING_IN },
	[PLACED_SETTLING_IN] = { .name = "settling-in", .next = PLACED_DRAINING,
				 .lent = PLACED_EMPTYING, .settles = true },
	[PLACED_EMPTYING] = { "emptying", IPC_PLACE_DRAIN, TO_PLACED, IPC_PLACE_DRAINED,
			      .next = PLACED_PARTING },
	[PLACED_PARTING] = { "parting", IPC_PLACE_RELEASE, TO_OTHERS, IPC_PLACE_RELEASED,
			     .next = PLACED_DRAINING },
	[PLACED_DRAINING] = { "draining", IPC_PLACE_DRAIN, TO_ALL, IPC_PLACE_DRAINED,
			      .next = PLACED_STARTING },
	[PLACED_STARTING] = { "starting", IPC_PLACE_READ, TO_PLACED, 0, .next = PLACED_NIC },
	[PLACED_NIC] = { .name = "mq" },
	[PLACED_HOLDING] = { "holding", IPC_PLACE_HOLD, TO_ALL, IPC_PLACE_HELD,
			     .next = PLACED_SETTLING_OUT },
	[PLACED_SETTLING_OUT] = { .name = "settling-out", .next = PLACED_LEAVING, .settles = true },
	[PLACED_LEAVING] = { "leaving", IPC_PLACE_LEAVE, TO_PLACED, IPC_PLACE_LEFT,
			     .next = PLACED_RELEASING, .lent = PLACED_REJOINING },
	[PLACED_REJOINING] = { .name = "rejoining", .next = PLACED_OTHERS_FIRST, .settles = true },
	[PLACED_OTHERS_FIRST] = { "others-first", IPC_PLACE_RELEASE, TO_OTHERS, IPC_PLACE_RELEASED,
				  .next = PLACED_CATCHING_UP },
	[PLACED_CATCHING_UP] = { "catching-up", IPC_PLACE_DRAIN, TO_OTHERS, IPC_PLACE_DRAINED,
				 .next = PLACED_RELEASING },
	[PLACED_RELEASING] = { "releasing", IPC_PLACE_RELEASE, TO_ALL, IPC_PLACE_RELEASED,
			       .next = PLACED_BRIDGE },
};

const char *placement_state_name(enum placement_state s)
{
	return steps[s].name;
}

/* ---- leaving at once ---- */

static void give_place(struct placement *p)
{
	p->nic->place[p->place] = NULL;
	p->nic->n_places--;
	placement_close_lent(p);
	placement_part_fds(p);
	p->nic = NULL;
	p->to_tell = p->to_hear = 0;
	p->lent = false;
	p->state = PLACED_BRIDGE;
}

/* The device may be gone by now: then it is only waited. */
static void settle(struct placement *p, uint64_t now_ns)
{
	if (p->nic->device)
		p->nic->ops->settle(p->nic->device);
	p->settled_ns = now_ns;
}

/* A device that keeps one is not to be trusted with another: it is opened anew. */
static void remove_filter(struct placement *p, uint64_t now_ns)
{
	struct nic *n = p->nic;
	int rc;

	if (!p->filtered)
		return;
	assert(n); /* who has a filter has it there */
	rc = n->ops->filter_del(n->device, &p->filter);
	if (rc)
		log_error(LOG_NOBODY, "NIC %s: removing a filter: %s", n->config.name, strerror(-rc));
	if (rc && !n->amiss_ns) {
		snprintf(n->amiss, sizeof(n->amiss), "a filter of it cannot be removed");
		n->amiss_ns = now_ns;
	}
	n->ops->settle(n->device);
	p->filtered = false;
}

void placement_drop(struct control *c, struct vif *v)
{
	struct placement *p = &v->placement;

	p->failure[0] = '\0';
	p->rejoins = p->lend = false;
	if (p->state == PLACED_BRIDGE)
		return;
	remove_filter(p, c->nics.stepped_ns);
	(void)!placement_set_aside(c, v, false); /* its queues go: there is no order to keep */
	give_place(p);
}

/* ---- steps ---- */

static uint32_t queues_of(const struct vif *v, uint32_t to)
{
	uint32_t all = BIT(v->n_queues) - 1, placed = BIT(v->placement.queue);

	return (to & TO_PLACED ? placed : 0) | (to & TO_OTHERS ? all & ~placed : 0);
}

static void enter(struct vif *v, enum placement_state state)
{
	struct placement *p = &v->placement;

	p->state = state;
	p->to_tell = queues_of(v, steps[state].to);
	p->to_hear = steps[state].answer ? p->to_tell : 0;
	p->until_ns = 0;
}

/* Where a vif goes on whose place is no more. What is under way with its worker ends with the
 * answers to PLACE_RELEASE; unless its flows are still to come back to the queue in order. */
static enum placement_state way_out(const struct placement *p)
{
	if (!p->aside)
		return PLACED_RELEASING;
	return p->state < PLACED_LEAVING ? PLACED_HOLDING : PLACED_LEAVING;
}

void placement_nic_gone(struct control *c, struct nic *n)
{
	for (uint32_t i = 0; i < c->n_vifs; i++) {
		struct placement *p = &c->vif[i]->placement;

		if (p->nic != n || p->state > PLACED_LEAVING)
			continue;
		p->filtered = false;
		p->n_moves += p->state == PLACED_NIC;
		enter(c->vif[i], way_out(p));
	}
}

static void fail_to_join(struct vif *v, uint64_t now_ns, const char *what, const char *why)
{
	struct placement *p = &v->placement;

	snprintf(p->failure, sizeof(p->failure), "%s%s", what, why);
	p->retry_ns = now_ns + PLACEMENT_RETRY_NS;
}

void placement_start_to_leave(struct vif *v)
{
	v->placement.n_moves++;
	enter(v, PLACED_HOLDING);
}

void placement_check_filters(struct nic *n, uint64_t now_ns)
{
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++) {
		struct vif *v = n->place[i];
		int rc;

		if (!v || v->placement.state != PLACED_NIC)
			continue;
		rc = n->ops->filter_check(n->device, &v->placement.filter);
		if (!rc)
			continue;
		fail_to_join(v, now_ns, "its filter was taken away: ", strerror(-rc));
		log_limited(&v->log_limit, now_ns, LOG_LVL_WARNING, SCOPE(v), "NIC %s: %s",
			    n->config.name, v->placement.failure);
		placement_start_to_leave(v);
	}
}

/* Of what comes by a locked port the bridge looks who sends it. */
static bool may_transmit(const struct vif *v, const struct nic *n, const struct vlan_form *form)
{
	return nic_transmits(n) && !form->one_way && !v->link.locked;
}

void placement_join(struct control *c, struct vif *v, struct nic *n, uint64_t now_ns)
{
	struct ipc_msg msg = { .type = IPC_PLACE_JOIN,
			       .nic = { .nic = n->number, .mtu = v->link.mtu } };
	struct placement *p = &v->placement;
	const struct vlan_form *form = &p->form;
	bool device_untags = form->tag_off && n->ops->caps(n->device).tag_off;
	int rc;

	placement_take(c, v, n);
	p->why_not = NULL;
	msg.slot = v->queue[p->queue].slot;
	msg.nic.place = p->place;
	msg.nic.vlan = form->vlan;
	p->transmit = may_transmit(v, n, form);
	msg.nic.transmit = p->transmit;
	memcpy(msg.nic.mac, v->keys.mac, sizeof(msg.nic.mac));
	msg.nic.own_tag = form->on_wire && !form->tag_off;
	msg.nic.tag_on = form->tag_off;
	msg.nic.tag_off = form->tag_off && !device_untags;
	msg.nic.lend = placement_lend(n, v);
	p->lent = msg.nic.lend == IPC_LEND_NOW;
	placement_close_parted(n, p->place);
	p->n_fds = n->ops->place_fds(n->device, p->place, p->lent, p->fds);
	rc = MIN(p->n_fds, 0);
	if (!rc)
		rc = workers_say(&c->workers, n->worker, &msg, p->fds, (uint32_t)p->n_fds);
	if (rc) {
		give_place(p);
		fail_to_join(v, now_ns, "asking for a place: ", strerror(-rc));
		return;
	}
	p->filter = (struct nic_filter){ .vlan = form->on_wire, .tag_off = device_untags };
	p->mtu = v->link.mtu;
	memcpy(p->filter.mac, v->keys.mac, sizeof(p->filter.mac));
	p->state = PLACED_JOINING;
}

/* It has an ordinary place instead. */
static void fail_to_lend(struct vif *v, uint64_t now_ns, const char *why)
{
	struct placement *p = &v->placement;

	log_limited(&v->log_limit, now_ns, LOG_LVL_INFO, SCOPE(v),
		    "NIC %s: not lending it the guest's memory: %s", p->nic->config.name, why);
	give_place(p);
	placement_lend_later(p, now_ns);
	p->rejoins = true;
}

/* Directs what is to come by the place there. */
static void direct(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct placement *p = &v->placement;
	int rc = -ENODEV; /* lent to, and given up: its NIC is about to be closed, by placement_nic.c */

	assert(p->nic); /* who has joined a place has one */
	if (p->n_fds || !p->lent) /* a model's have none */
		rc = p->nic->ops->filter_add(p->nic->device, p->place, p->fds, p->n_fds, &p->filter);
	placement_close_lent(p);
	if (rc) {
		fail_to_join(v, now_ns, "adding its filter: ", strerror(-rc));
		log_warning(SCOPE(v), "NIC %s: %s", p->nic->config.name, p->failure);
		enter(v, PLACED_LEAVING);
		return;
	}
	p->filtered = true;
	p->failure[0] = '\0';
	rc = p->lent ? placement_set_aside(c, v, true) : 0;
	if (rc) {
		fail_to_join(v, now_ns, "setting its queue aside: ", strerror(-rc));
		enter(v, PLACED_HOLDING);
		return;
	}
	settle(p, now_ns);
	enter(v, PLACED_SETTLING_IN);
}

static bool same_form(const struct vlan_form *a, const struct vlan_form *b)
{
	return a->vlan == b->vlan && a->on_wire == b->on_wire && a->tag_off == b->tag_off;
}

bool placement_is_to_leave(struct control *c, const struct vif *v, uint64_t now_ns)
{
	const struct placement *p = &v->placement;
	struct vlan_form form;
	const char *why_not;

	assert(p->nic); /* who is on a NIC, or on the way there, has one */
	return placement_choose(c, v, &form, now_ns, &why_not) != p->nic ||
	       !same_form(&form, &p->form) || v->link.mtu != p->mtu ||
	       may_transmit(v, p->nic, &form) != p->transmit;
}

static void on_joined(struct control *c, struct vif *v, const struct worker_event *e, uint64_t now_ns)
{
	struct placement *p = &v->placement;
	const char *why = e->why[0] ? e->why : strerror(-e->status);

	if (!e->status && placement_is_to_leave(c, v, now_ns)) {
		placement_close_lent(p);
		enter(v, PLACED_LEAVING); /* nothing was ever directed to it */
	} else if (!e->status && p->lent) {
		enter(v, PLACED_KEEPING_OFF);
	} else if (!e->status) {
		direct(c, v, now_ns);
	} else if (p->lent) {
		fail_to_lend(v, now_ns, why);
	} else {
		give_place(p);
		fail_to_join(v, now_ns, "", why);
	}
}

/* All that v's state waited for is there. */
static void step_done(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct placement *p = &v->placement;

	switch (p->state) {
	case PLACED_KEEPING_OFF:
		direct(c, v, now_ns);
		return;
	case PLACED_DRAINING:
		/* Not earlier: what is in its place has to come behind what was drained. */
		if (placement_is_to_leave(c, v, now_ns)) {
			p->lend = false;
			enter(v, PLACED_HOLDING);
			return;
		}
		break;
	case PLACED_STARTING:
		p->n_moves++;
		p->since_ns = now_ns;
		log_limited(&v->log_limit, now_ns, LOG_LVL_INFO, SCOPE(v), "served by NIC %s%s",
			    p->nic->config.name, p->lent ? ", in the guest's own memory" : "");
		break;
	case PLACED_HOLDING:
		remove_filter(p, now_ns);
		p->settled_ns = now_ns;
		break;
	case PLACED_LEAVING:
		(void)!placement_set_aside(c, v, false);
		if (p->lent)
			settle(p, now_ns);
		break;
	case PLACED_RELEASING:
		log_limited(&v->log_limit, now_ns, LOG_LVL_INFO, SCOPE(v), "served by its bridge");
		give_place(p);
		return;
	default:
		break;
	}
	enter(v, p->lent && steps[p->state].lent ? steps[p->state].lent : steps[p->state].next);
}

/* Tells whoever was not told yet; what a full socket does not take is told later. */
static void tell(struct control *c, struct vif *v)
{
	struct placement *p = &v->placement;

	for (uint32_t i = 0; p->to_tell && i < v->n_queues; i++) {
		uint32_t slot = v->queue[i].slot;
		const struct ipc_msg msg = { .type = steps[p->state].word, .slot = slot };

		if (p->to_tell & BIT(i) &&
		    !workers_say(&c->workers, c->workers.slot[slot].worker, &msg, NULL, 0))
			p->to_tell &= ~BIT(i);
	}
}

/* settle() takes its time, and now_ns is from before it: its return is seen by the next step. */
static bool has_settled(struct vif *v, uint64_t now_ns)
{
	struct placement *p = &v->placement;

	if (!steps[p->state].settles)
		return true;
	if (!p->until_ns && now_ns > p->settled_ns)
		p->until_ns = now_ns + NIC_SETTLE_NS;
	return p->until_ns && now_ns >= p->until_ns;
}

uint64_t placement_advance(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct placement *p = &v->placement;

	while (steps[p->state].next || p->state == PLACED_RELEASING) {
		tell(c, v);
		if (p->to_tell)
			return now_ns + NS_PER_MS;
		if (p->to_hear)
			return UINT64_MAX;
		if (!has_settled(v, now_ns))
			return MAX(p->until_ns, now_ns);
		step_done(c, v, now_ns);
	}
	return UINT64_MAX;
}

void placement_on_place(struct control *c, struct vif *v, const struct worker_event *e,
			uint64_t now_ns)
{
	struct placement *p = &v->placement;

	if (e->place == IPC_PLACE_JOINED && p->state == PLACED_JOINING)
		on_joined(c, v, e, now_ns);
	else if (e->place == steps[p->state].answer)
		p->to_hear &= ~BIT(e->queue.queue);
}
