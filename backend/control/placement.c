/* SPDX-License-Identifier: MIT */
/* See placement.h. */
#include "backend/control/placement.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/control/control.h"

#define SCOPE(v) (&(const struct log_scope){ &(v)->id, -1 })

/* A device that cannot be opened, and a place that cannot be had, are tried again. */
#define RETRY_NS (10 * NS_PER_S)

const char *placement_state_name(enum placement_state s)
{
	static const char *const name[] = {
		[PLACED_BRIDGE] = "bridge",	      [PLACED_JOINING] = "joining",
		[PLACED_SETTLING_IN] = "settling-in", [PLACED_STARTING] = "starting",
		[PLACED_NIC] = "mq",		      [PLACED_HOLDING] = "holding",
		[PLACED_SETTLING_OUT] = "settling-out", [PLACED_LEAVING] = "leaving",
	};

	return name[s];
}

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

/* ---- NICs ---- */

static void close_fds(int fds[], int n)
{
	while (n > 0)
		close(fds[--n]);
}

static void nic_fail(struct nic *n, uint64_t now_ns, const char *why)
{
	if (strcmp(n->why, why))
		log_warning(LOG_NOBODY, "NIC %s: %s: its guests are on the bridge", n->config.name, why);
	snprintf(n->why, sizeof(n->why), "%s", why);
	n->state = NIC_CLOSED;
	n->retry_ns = now_ns + RETRY_NS;
}

/* Opens both halves, as far as that goes now. */
static void step_nic(struct control *c, struct nic *n, uint64_t now_ns)
{
	struct ipc_msg msg = { .type = IPC_NIC_OPEN, .slot = n->number };
	int fds[NIC_FDS_MAX], n_fds, rc;
	char why[sizeof(n->why)] = "";

	if (n->state != NIC_CLOSED || now_ns < n->retry_ns || !workers_ready(&c->workers))
		return;
	if (!n->device && n->ops->open(&n->config, &n->device, why, sizeof(why))) {
		nic_fail(n, now_ns, why);
		return;
	}
	n_fds = n->ops->port_fds(n->device, fds);
	rc = MIN(n_fds, 0);
	msg.nic.ifindex = n->ops->ifindex(n->device);
	msg.nic.provider = n->config.provider;
	stations_init(&c->workers.shared->nic[n->number].heard);
	if (!rc)
		rc = workers_say(&c->workers, n->worker, &msg, fds, (uint32_t)n_fds);
	close_fds(fds, n_fds);
	if (rc)
		nic_fail(n, now_ns, strerror(-rc));
	else
		n->state = NIC_OPENING;
}

static void on_nic_opened(struct nic *n, const struct worker_event *e, uint64_t now_ns)
{
	if (n->state != NIC_OPENING)
		return;
	if (e->status) {
		nic_fail(n, now_ns, e->why[0] ? e->why : strerror(-e->status));
		return;
	}
	n->state = NIC_OPEN;
	n->why[0] = '\0';
	log_info(LOG_NOBODY, "NIC %s: %u places for guests, by worker %u", n->config.name,
		 n->ops->caps(n->device).n_places, n->worker);
}

/* ---- leaving at once ---- */

static void give_place(struct placement *p)
{
	p->nic->place[p->place] = NULL;
	p->nic->n_places--;
	close_fds(p->fds, p->n_fds);
	p->n_fds = 0;
	p->nic = NULL;
	p->state = PLACED_BRIDGE;
}

static void remove_filter(struct placement *p)
{
	struct nic *n = p->nic;
	int rc;

	if (!p->filtered)
		return;
	rc = n->ops->filter_del(n->device, &p->filter);
	if (rc)
		log_error(LOG_NOBODY, "NIC %s: removing a filter: %s", n->config.name, strerror(-rc));
	n->ops->settle(n->device);
	p->filtered = false;
}

void placement_drop(struct control *c, struct vif *v)
{
	struct placement *p = &v->placement;

	(void)c;
	p->failure[0] = '\0';
	if (p->state == PLACED_BRIDGE)
		return;
	remove_filter(p);
	give_place(p);
}

/* Every place was with the datapath that is gone. */
static void start_over(struct control *c)
{
	c->nics.n_datapaths_lost = c->workers.n_lost;
	for (uint32_t i = 0; i < c->n_vifs; i++)
		placement_drop(c, c->vif[i]);
	for (uint32_t i = 0; i < c->nics.n; i++)
		c->nics.nic[i].state = NIC_CLOSED;
}

/* ---- who gets a place ---- */

/* The queue of v's that the NIC's worker has. */
static bool find_queue(const struct control *c, const struct vif *v, const struct nic *n,
		       uint32_t *slot)
{
	for (uint32_t i = 0; i < v->n_queues; i++) {
		if (v->queue[i].state != VIF_QUEUE_ATTACHED ||
		    c->workers.slot[v->queue[i].slot].worker != n->worker)
			continue;
		*slot = v->queue[i].slot;
		return true;
	}
	return false;
}

static bool has_carrier(const struct vif *v)
{
	return v->link_known && v->link.enslaved && !v->no_carrier;
}

/* The NIC that serves v's bridge; NULL with *why_not: none does. */
static struct nic *nic_of(struct control *c, const struct vif *v, const char **why_not)
{
	*why_not = "no NIC of vifd.conf is in its bridge";
	for (uint32_t i = 0; i < c->nics.n; i++) {
		struct nic *n = &c->nics.nic[i];

		if (n->state != NIC_OPEN || !v->link.master)
			continue;
		if (c->env.netdev_ops->master(c->env.netdev_ctx, n->ops->ifindex(n->device)) ==
		    v->link.master)
			return n;
	}
	return NULL;
}

/* Whether v may have a place at all, whatever NIC. */
static const char *unfit(const struct vif *v)
{
	if (v->placement.wish == PLACEMENT_BRIDGE)
		return "the operator wants it on the bridge";
	if (v->state != XenbusStateConnected || v->failed || v->asked_to_close)
		return "it is not connected";
	if (!has_carrier(v))
		return "it is in no bridge, or that is down";
	return NULL;
}

/* Which frames of the wire's are v's, and what is to be done with them. NULL, or why not. */
static const char *look_for_form(struct control *c, const struct vif *v, const struct nic *n,
				 struct vlan_form *out)
{
	const char *why_not = c->env.netdev_ops->wire_form(c->env.netdev_ctx, &v->netdev,
							   n->ops->ifindex(n->device), out);

	if (!why_not && out->on_wire && !n->ops->caps(n->device).vlan_filters)
		why_not = "the NIC's filters know nothing of VLANs";
	return why_not;
}

/* Whether v's place on n is what it would get now. */
static bool is_as_wished(struct control *c, const struct vif *v, const struct nic *n)
{
	const struct placement *p = &v->placement;
	struct vlan_form form;

	return n == p->nic && !look_for_form(c, v, n, &form) && form.vlan == p->form.vlan &&
	       form.on_wire == p->form.on_wire && form.tag_off == p->form.tag_off;
}

static bool take_place(struct nic *n, struct vif *v)
{
	for (uint32_t i = 0; i < n->ops->caps(n->device).n_places; i++) {
		if (n->place[i])
			continue;
		n->place[i] = v;
		n->n_places++;
		v->placement.nic = n;
		v->placement.place = i;
		return true;
	}
	return false;
}

static void try_join(struct control *c, struct vif *v, struct nic *n, uint64_t now_ns)
{
	struct ipc_msg msg = { .type = IPC_PLACE_JOIN, .nic.nic = n->number };
	struct placement *p = &v->placement;
	struct vlan_form form;
	int rc;

	p->why_not = look_for_form(c, v, n, &form);
	if (p->why_not)
		return;
	if (!find_queue(c, v, n, &p->slot)) {
		p->why_not = "no queue of it is with the NIC's worker";
		return;
	}
	if (!take_place(n, v)) {
		p->why_not = "every filter of the NIC is taken";
		return;
	}
	msg.slot = p->slot;
	msg.nic.place = p->place;
	msg.nic.vlan = form.vlan;
	msg.nic.tag_off = form.tag_off;
	p->n_fds = n->ops->place_fds(n->device, p->place, p->fds);
	rc = MIN(p->n_fds, 0);
	if (!rc)
		rc = workers_say(&c->workers, n->worker, &msg, p->fds, (uint32_t)p->n_fds);
	if (rc) {
		snprintf(p->failure, sizeof(p->failure), "asking for a place: %s", strerror(-rc));
		give_place(p);
		p->until_ns = now_ns + RETRY_NS;
		return;
	}
	p->filter = (struct nic_filter){ .vlan = form.on_wire };
	p->form = form;
	memcpy(p->filter.mac, v->keys.mac, sizeof(p->filter.mac));
	p->state = PLACED_JOINING;
	p->why_not = NULL;
}

/* ---- steps ---- */

/* Says 'type' to the worker of v's place. On success v is in 'next'. */
static void tell(struct control *c, struct vif *v, enum ipc_type type, enum placement_state next)
{
	struct placement *p = &v->placement;
	struct ipc_msg msg = { .type = type, .slot = p->slot };

	if (!workers_say(&c->workers, p->nic->worker, &msg, NULL, 0))
		p->state = next;
}

static void on_joined(struct control *c, struct vif *v, const struct worker_event *e,
		      uint64_t now_ns)
{
	struct placement *p = &v->placement;
	const struct nic_device_ops *ops = p->nic->ops;
	int rc = e->status;

	if (rc) {
		snprintf(p->failure, sizeof(p->failure), "%s", e->why[0] ? e->why : strerror(-rc));
		give_place(p);
		p->until_ns = now_ns + RETRY_NS;
		return;
	}
	rc = ops->filter_add(p->nic->device, p->place, p->fds, p->n_fds, &p->filter);
	close_fds(p->fds, p->n_fds);
	p->n_fds = 0;
	if (rc) {
		snprintf(p->failure, sizeof(p->failure), "adding its filter: %s", strerror(-rc));
		log_warning(SCOPE(v), "NIC %s: %s", p->nic->config.name, p->failure);
		p->until_ns = now_ns + RETRY_NS;
		tell(c, v, IPC_PLACE_LEAVE, PLACED_LEAVING);
		return;
	}
	p->filtered = true;
	p->failure[0] = '\0';
	ops->settle(p->nic->device);
	p->until_ns = now_ns + NIC_SETTLE_NS;
	p->state = PLACED_SETTLING_IN;
}

static void on_place(struct control *c, struct vif *v, const struct worker_event *e, uint64_t now_ns)
{
	struct placement *p = &v->placement;

	if (e->place == IPC_PLACE_JOINED && p->state == PLACED_JOINING) {
		on_joined(c, v, e, now_ns);
	} else if (e->place == IPC_PLACE_READING && p->state == PLACED_STARTING) {
		p->state = PLACED_NIC;
		p->n_moves++;
		log_limited(&v->log_limit, now_ns, LOG_LVL_INFO, SCOPE(v), "served by NIC %s",
			    p->nic->config.name);
	} else if (e->place == IPC_PLACE_HELD && p->state == PLACED_HOLDING) {
		remove_filter(p);
		p->until_ns = now_ns + NIC_SETTLE_NS;
		p->state = PLACED_SETTLING_OUT;
	} else if (e->place == IPC_PLACE_LEFT && p->state == PLACED_LEAVING) {
		log_limited(&v->log_limit, now_ns, LOG_LVL_INFO, SCOPE(v), "served by its bridge");
		p->n_moves++;
		give_place(p);
	}
}

void placement_on_worker(struct control *c, const struct worker_event *e, uint64_t now_ns)
{
	if (e->type == WORKER_NIC_OPENED) {
		if (e->slot < c->nics.n)
			on_nic_opened(&c->nics.nic[e->slot], e, now_ns);
	} else if (c->slot_owner[e->slot]) {
		on_place(c, c->slot_owner[e->slot], e, now_ns);
	}
}

/* Returns when v wants its next step. */
static uint64_t step_vif(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct placement *p = &v->placement;
	const char *why_not = unfit(v);
	struct nic *n;

	switch (p->state) {
	case PLACED_BRIDGE:
		p->why_not = why_not;
		if (why_not || !(n = nic_of(c, v, &p->why_not)))
			return UINT64_MAX;
		if (now_ns < p->until_ns)
			return p->until_ns;
		try_join(c, v, n, now_ns);
		return UINT64_MAX;
	case PLACED_SETTLING_IN:
		if (now_ns >= p->until_ns)
			tell(c, v, IPC_PLACE_READ, PLACED_STARTING);
		return p->state == PLACED_SETTLING_IN ? MAX(p->until_ns, now_ns + NS_PER_MS)
						      : UINT64_MAX;
	case PLACED_NIC:
		if (why_not || !is_as_wished(c, v, nic_of(c, v, &why_not)))
			tell(c, v, IPC_PLACE_HOLD, PLACED_HOLDING);
		return UINT64_MAX;
	case PLACED_SETTLING_OUT:
		if (now_ns >= p->until_ns)
			tell(c, v, IPC_PLACE_LEAVE, PLACED_LEAVING);
		return p->state == PLACED_SETTLING_OUT ? MAX(p->until_ns, now_ns + NS_PER_MS)
						       : UINT64_MAX;
	default:
		return UINT64_MAX; /* an answer is due */
	}
}

uint64_t placement_step(struct control *c, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;

	if (!c->nics.n || c->stopping)
		return next;
	if (c->nics.n_datapaths_lost != c->workers.n_lost)
		start_over(c);
	for (uint32_t i = 0; i < c->nics.n; i++) {
		step_nic(c, &c->nics.nic[i], now_ns);
		if (c->nics.nic[i].state == NIC_CLOSED)
			next = MIN(next, MAX(c->nics.nic[i].retry_ns, now_ns + NS_PER_MS));
	}
	for (uint32_t i = 0; i < c->n_vifs; i++)
		next = MIN(next, step_vif(c, c->vif[i], now_ns));
	return next;
}

void placement_init(struct control *c)
{
	c->nics.n = c->config.n_nics;
	for (uint32_t i = 0; i < c->nics.n; i++) {
		struct nic *n = &c->nics.nic[i];

		n->config = c->config.nic[i];
		n->ops = c->env.nic_ops[n->config.provider];
		n->number = i;
		n->worker = i % c->config.n_workers;
	}
}

void placement_fini(struct control *c)
{
	for (uint32_t i = 0; i < c->nics.n; i++)
		if (c->nics.nic[i].device)
			c->nics.nic[i].ops->close(c->nics.nic[i].device);
}
