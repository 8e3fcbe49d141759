/* SPDX-License-Identifier: MIT */
/* See placement.h. Here is who begins to join or to leave when, and what the operator wishes. */
#include "backend/control/placement_parts.h"

#include <string.h>

#include "backend/control/control.h"

static const char *const wishes[] = {
	[PLACEMENT_AUTO] = "auto",
	[PLACEMENT_BRIDGE] = "bridge",
	[PLACEMENT_MQ] = "mq",
};

bool placement_parse_wish(const char *text, enum placement_wish *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		if (strcmp(text, wishes[i]))
			continue;
		*out = (enum placement_wish)i;
		return true;
	}
	return false;
}

const char *placement_wish_name(enum placement_wish w)
{
	return wishes[w];
}

/* Every place was with the datapath that is gone. */
static void start_over(struct control *c)
{
	c->nics.n_datapaths_lost = c->workers.n_lost;
	for (uint32_t i = 0; i < c->n_vifs; i++)
		placement_drop(c, c->vif[i]);
	for (uint32_t i = 0; i < c->nics.n; i++)
		placement_nic_lost(&c->nics.nic[i]);
}

/* Whether a bridge knows a guest's address by now is asked so often. */
#define ASK_NS (1 * NS_PER_S)

/* ---- steps ---- */

void placement_on_worker(struct control *c, const struct worker_event *e, uint64_t now_ns)
{
	if (e->type == WORKER_NIC_OPENED) {
		if (e->slot < c->nics.n)
			placement_nic_opened(&c->nics.nic[e->slot], e, now_ns);
	} else if (c->slot_owner[e->slot]) {
		placement_on_place(c, c->slot_owner[e->slot], e, now_ns);
	}
}

/* Where a vif's port gets no frames but to whom the bridge knows there: of who is known news come,
 * of who is not it is asked now and then. Returns when to ask again. */
static uint64_t look_for_address(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct placement *p = &v->placement;

	if (!v->link.known_only || !v->link.master || p->known_in == v->link.master ||
	    v->state != XenbusStateConnected)
		return UINT64_MAX;
	if (now_ns < p->ask_ns)
		return p->ask_ns;
	p->ask_ns = now_ns + ASK_NS;
	if (!c->env.netdev_ops->neighbours_knows(c->env.netdev_ctx, v->link.master,
						 v->netdev.ifindex, v->keys.mac))
		return p->ask_ns;
	p->known_in = v->link.master;
	return UINT64_MAX;
}

/* v is on the bridge: does it wait for a place? Returns when to ask again. */
static uint64_t wait_for_place(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct placement *p = &v->placement;
	struct nic *before = p->waits_for;
	uint64_t next;

	p->waits_for = NULL;
	if (now_ns < p->retry_ns)
		return p->retry_ns;
	next = look_for_address(c, v, now_ns);
	p->waits_for = placement_choose(c, v, &p->form, now_ns, &p->why_not);
	if (p->waits_for)
		p->why_not = "every filter of the NIC is taken";
	if (!before)
		p->since_ns = now_ns;
	return next;
}

/* A guest with several queues may begin or cease to spread its flows over them itself, which
 * nobody tells. Returns when to look whether it did. */
static uint64_t look_again(const struct vif *v, uint64_t now_ns)
{
	return v->n_queues > 1 && v->features & VIF_CTRL_RING ? now_ns + NS_PER_S : UINT64_MAX;
}

/* Returns when v wants its next step. */
static uint64_t step_vif(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct placement *p = &v->placement;
	uint64_t next = placement_advance(c, v, now_ns);

	if (p->state == PLACED_NIC && placement_is_to_leave(c, v, now_ns)) {
		p->lend = false;
		placement_start_to_leave(v);
		next = placement_advance(c, v, now_ns);
	} else if (p->state == PLACED_NIC && placement_remakes(c, v, now_ns, &next)) {
		p->rejoins = true;
		placement_start_to_leave(v);
		next = placement_advance(c, v, now_ns);
	}
	if (p->state == PLACED_BRIDGE) {
		next = wait_for_place(c, v, now_ns);
		if (p->rejoins && p->waits_for) /* nobody else was asked between */
			placement_join(c, v, p->waits_for, now_ns);
		p->rejoins = false;
	}
	return MIN(next, look_again(v, now_ns));
}

/* Gives what is free to those that wait, or has one leave for another. */
static void give_places(struct control *c, struct nic *n, uint64_t now_ns)
{
	struct vif *v;

	while ((v = placement_next(c, n)))
		placement_join(c, v, n, now_ns);
	v = placement_to_go(c, n, now_ns);
	if (!v)
		return;
	placement_start_to_leave(v);
	(void)placement_advance(c, v, now_ns); /* it is told, or will be when all are asked again */
}

const char *placement_want(struct control *c, struct vif *v, enum placement_wish wish)
{
	struct placement *p = &v->placement;
	const char *why_not = NULL;
	struct vlan_form form;

	p->wish = wish;
	p->retry_ns = 0; /* what failed lately is tried at once, and may displace another */
	p->failure[0] = '\0';
	if (wish == PLACEMENT_MQ && p->state == PLACED_BRIDGE)
		(void)placement_choose(c, v, &form, c->nics.stepped_ns, &why_not);
	return why_not;
}

uint64_t placement_step(struct control *c, uint64_t now_ns)
{
	uint64_t next;

	c->nics.stepped_ns = now_ns;

	if (!c->nics.n || c->stopping)
		return UINT64_MAX;
	if (c->nics.n_datapaths_lost != c->workers.n_lost)
		start_over(c);
	next = placement_step_nics(c, now_ns);
	for (uint32_t i = 0; i < c->n_vifs; i++)
		next = MIN(next, step_vif(c, c->vif[i], now_ns));
	next = MIN(next, placement_look(c, now_ns));
	for (uint32_t i = 0; i < c->nics.n; i++) {
		give_places(c, &c->nics.nic[i], now_ns);
		next = MIN(next, placement_keep_right(c, &c->nics.nic[i], now_ns));
	}
	return next;
}
