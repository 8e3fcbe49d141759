/* SPDX-License-Identifier: MIT */
/*
 * Who gets a place on a NIC, and which of its queues has it.
 *
 * Of those that wait for a place that is free: whom the operator wants there first, then,
 * by the NIC's policy, who is busiest, then who waits longest. When none is free, one that
 * waits displaces another only
 *
 *	- if the operator wants it there ("mq") and the other one is there of itself; or
 *	- by policy busiest, if LOOKS looks in a row, LOOK_NS apart, found that more than twice
 *	  as many frames came off the wire for it, and FEW more, a second, as for the one that had
 *	  least; and
 *	  not within EXCHANGE_NS of the last exchange on that NIC, nor of the other's coming.
 *
 * A place is read by the worker that has the NIC, so a vif needs a queue there. Which worker a
 * queue is with is settled when the guest connects: placement_worker().
 *
 * What is compared is the mean of the last look's frames a second and of the mean before. So
 * two vifs that take turns in being busy change places six times a minute at most, and those
 * that are about as busy never. One whose last try failed displaces nobody, unless the operator
 * asks again.
 */
#include "backend/control/placement_parts.h"

#include <net/if.h>

#include "backend/control/control.h"

#define LOOK_NS	    (5 * NS_PER_S)
#define LOOKS	    3
#define FEW	    100
#define EXCHANGE_NS (10 * NS_PER_S)

/* The queue of v's that the NIC's worker has. */
static bool find_queue(const struct control *c, const struct vif *v, const struct nic *n,
		       uint32_t *queue)
{
	for (uint32_t i = 0; i < v->n_queues; i++) {
		if (c->workers.slot[v->queue[i].slot].worker != n->worker)
			continue;
		*queue = i;
		return true;
	}
	return false;
}

static bool has_carrier(const struct vif *v)
{
	return v->link_known && v->link.enslaved && !v->no_carrier;
}

static bool all_attached(const struct vif *v)
{
	for (uint32_t i = 0; i < v->n_queues; i++)
		if (v->queue[i].state != VIF_QUEUE_ATTACHED)
			return false;
	return v->n_queues > 0;
}

/* Set by the guest on its control ring: which queue a flow goes to is its own choice. */
static bool maps_flows(const struct control *c, const struct vif *v)
{
	return v->n_queues > 1 && v->vif_slot >= 0 &&
	       ctrl_rss(&c->workers.shared->vif[v->vif_slot].ctrl)->algorithm !=
		       XEN_NETIF_CTRL_HASH_ALGORITHM_NONE;
}

/* Whether v may have a place at all, whatever NIC. */
static const char *unfit(const struct control *c, const struct vif *v)
{
	if (v->placement.wish == PLACEMENT_BRIDGE)
		return "the operator wants it on the bridge";
	if (v->state != XenbusStateConnected || v->failed || v->asked_to_close || !all_attached(v))
		return "it is not connected";
	if (!has_carrier(v))
		return "it is in no bridge, or that is down";
	if (v->link.known_only && v->placement.known_in != v->link.master)
		return "its bridge port has no flooding, and its bridge does not know its address there";
	if (maps_flows(c, v))
		return "its guest spreads flows over its queues itself";
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

/* Whether v may have a place on n, which is in its bridge. NULL and *form, or why not. */
static const char *unfit_for(struct control *c, const struct vif *v, const struct nic *n,
			     uint64_t now_ns, struct vlan_form *form)
{
	uint32_t queue;

	if (n->config.policy == NIC_POLICY_NAMED && v->placement.wish != PLACEMENT_MQ)
		return "the NIC is for vifs the operator names: vifctl model";
	if (n->amiss_ns)
		return "the NIC is not as it was set up: it is opened anew";
	if (n->link_ns == UINT64_MAX)
		return "the NIC's link is down";
	if (now_ns < n->link_ns)
		return "the NIC's link has just come up";
	if (!find_queue(c, v, n, &queue))
		return v->placement.wish == PLACEMENT_MQ ?
			       "no queue of it is with the NIC's worker: one will be when vifd is "
			       "restarted, or its guest connects anew" :
			       "no queue of it is with the NIC's worker: to have one there, vifctl "
			       "model mq, then restart vifd or have its guest connect anew";
	return look_for_form(c, v, n, form);
}

struct nic *placement_choose(struct control *c, const struct vif *v, struct vlan_form *form,
			     uint64_t now_ns, const char **why_not)
{
	*why_not = unfit(c, v);
	if (*why_not)
		return NULL;
	*why_not = c->nics.n ? "no open NIC of vifd.conf is in its bridge: see vifctl nic" :
			       "vifd.conf names no NIC";
	for (uint32_t i = 0; i < c->nics.n; i++) {
		struct nic *n = &c->nics.nic[i];

		if (n->state != NIC_OPEN || !n->heard || n->host.master != v->link.master)
			continue;
		*why_not = unfit_for(c, v, n, now_ns, form);
		return *why_not ? NULL : n;
	}
	return NULL;
}

/* ---- whose queues are beside a NIC ---- */

/* The first NIC of vifd.conf in v's bridge, open or not. */
static const struct nic *nic_of(struct control *c, const struct vif *v)
{
	const struct netdev_ops *ops = c->env.netdev_ops;
	struct netdev_link link;
	struct netdev_host host;

	if (!ops->link(c->env.netdev_ctx, &v->netdev, &link) || !link.master)
		return NULL;
	for (uint32_t i = 0; i < c->nics.n; i++) {
		const struct nic *n = &c->nics.nic[i];
		int ifindex = n->device ? n->ops->ifindex(n->device) :
					  ops->index_of(c->env.netdev_ctx, n->config.name);

		if (ifindex && ops->host(c->env.netdev_ctx, ifindex, &host) &&
		    host.master == link.master)
			return n;
	}
	return NULL;
}

/* Places there will be at most, as far as that is known. */
static uint32_t n_places_expected(const struct nic *n)
{
	if (n->device)
		return n->ops->caps(n->device).n_places;
	return n->config.filters ? n->config.filters : NIC_PLACES_MAX;
}

static uint32_t n_beside(const struct control *c, const struct nic *n)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < c->n_vifs; i++)
		count += c->vif[i]->placement.beside == n &&
			 c->vif[i]->placement.wish != PLACEMENT_BRIDGE;
	return count;
}

uint32_t placement_worker(struct control *c, struct vif *v, uint32_t n_queues)
{
	const enum placement_wish wish = v->placement.wish;
	const struct nic *n;

	if (!c->nics.n || n_queues >= c->config.n_workers || wish == PLACEMENT_BRIDGE)
		return WORKERS_ANY; /* with as many queues as workers there is one everywhere */
	n = nic_of(c, v);
	if (!n)
		return WORKERS_ANY;
	if (wish != PLACEMENT_MQ && (n->config.policy == NIC_POLICY_NAMED ||
				     n_beside(c, n) >= n_places_expected(n)))
		return WORKERS_ANY;
	v->placement.beside = n;
	return n->worker;
}

/* ---- who is next ---- */

/* Whether a is rather to have a place on n than b. */
static bool outranks(const struct nic *n, const struct vif *a, const struct vif *b)
{
	const struct placement *p = &a->placement, *q = &b->placement;

	if ((p->wish == PLACEMENT_MQ) != (q->wish == PLACEMENT_MQ))
		return p->wish == PLACEMENT_MQ;
	if (n->config.policy == NIC_POLICY_BUSIEST && p->rate != q->rate)
		return p->rate > q->rate;
	return p->since_ns < q->since_ns;
}

/* With 'to_displace' of those that may make another leave: whose last try failed may not, and is
 * not in the way of who comes next. */
static struct vif *first_waiting(struct control *c, const struct nic *n, bool to_displace)
{
	struct vif *best = NULL;

	for (uint32_t i = 0; i < c->n_vifs; i++) {
		const struct placement *p = &c->vif[i]->placement;

		if (p->waits_for != n || (to_displace && p->failure[0]))
			continue;
		if (!best || outranks(n, c->vif[i], best))
			best = c->vif[i];
	}
	return best;
}

static uint32_t n_places(const struct nic *n)
{
	return n->ops->caps(n->device).n_places;
}

struct vif *placement_next(struct control *c, const struct nic *n)
{
	return n->state == NIC_OPEN && n->n_places < n_places(n) ? first_waiting(c, n, false) : NULL;
}

void placement_take(struct control *c, struct vif *v, struct nic *n)
{
	struct placement *p = &v->placement;
	uint32_t i = 0;

	while (n->place[i])
		i++;
	n->place[i] = v;
	n->n_places++;
	p->nic = n;
	p->place = i;
	p->waits_for = NULL;
	(void)find_queue(c, v, n, &p->queue); /* it was found when v began to wait */
}

/* ---- who displaces whom ---- */

static struct vif *last_placed(const struct nic *n)
{
	struct vif *last = NULL;

	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		if (n->place[i] && n->place[i]->placement.state == PLACED_NIC &&
		    (!last || outranks(n, last, n->place[i])))
			last = n->place[i];
	return last;
}

static bool is_busier(const struct vif *v, const struct vif *than)
{
	return v->placement.rate > 2 * than->placement.rate + FEW;
}

/* Whether a place is being given up, so that another need not be. */
static bool is_leaving(const struct nic *n)
{
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		if (n->place[i] && n->place[i]->placement.state > PLACED_NIC)
			return true;
	return false;
}

struct vif *placement_to_go(struct control *c, struct nic *n, uint64_t now_ns)
{
	struct vif *first, *last;

	if (n->state != NIC_OPEN || n->n_places < n_places(n) || is_leaving(n))
		return NULL;
	first = first_waiting(c, n, true);
	last = last_placed(n);
	if (!first || !last || last->placement.wish == PLACEMENT_MQ)
		return NULL;
	if (first->placement.wish == PLACEMENT_MQ)
		return last;
	if (n->config.policy != NIC_POLICY_BUSIEST || first->placement.n_busier < LOOKS ||
	    now_ns < n->exchange_ns || now_ns - last->placement.since_ns < EXCHANGE_NS)
		return NULL;
	n->exchange_ns = now_ns + EXCHANGE_NS;
	return last;
}

/* The NIC whose policy it is to know what comes off its wire for v. */
static const struct nic *nic_to_watch(const struct control *c, const struct vif *v)
{
	for (uint32_t i = 0; i < c->nics.n; i++) {
		const struct nic *n = &c->nics.nic[i];

		if (n->config.policy == NIC_POLICY_BUSIEST && n->device && n->heard &&
		    n->host.master && v->link_known && v->link.master == n->host.master)
			return n;
	}
	return NULL;
}

/* Frames for v that came off n's wire and by the bridge, from when that was first asked: the
 * program in front of v's TAP tells them from other guests' and the host's. Where the kernel takes
 * no such program, none. */
static uint64_t n_by_bridge(const struct vif *v, const struct nic *n)
{
	struct gate *gate = v->netdev.gating.gate;
	uint64_t total = 0;

	for (uint32_t i = 0; gate && i < GATE_QUEUES; i++) {
		*(volatile __u64 *)&gate->queue[i].uplink = (uint64_t)n->ops->ifindex(n->device);
		total += GATE_LOAD(gate->queue[i].from_uplink);
	}
	return total;
}

/* What guests send each other is no reason to have a place, which would not carry it. */
static void look_at_vif(struct control *c, struct vif *v, uint64_t ns)
{
	const struct nic *nic = nic_to_watch(c, v);
	struct placement *p = &v->placement;
	struct queue_counters counters;
	uint64_t n = 0;

	vif_counters(c, v, &counters);
	if (nic)
		n = counters.to_guest_nic_frames - counters.to_guest_nic_injected +
		    n_by_bridge(v, nic);
	/* fewer than before: its TAP is a new one */
	p->rate = (p->rate + (n > p->n_frames ? n - p->n_frames : 0) * NS_PER_S / ns) / 2;
	p->n_frames = n;
}

uint64_t placement_look(struct control *c, uint64_t now_ns)
{
	uint64_t ns = now_ns - c->nics.looked_ns;
	bool wanted = false;

	for (uint32_t i = 0; i < c->nics.n; i++)
		wanted |= c->nics.nic[i].config.policy == NIC_POLICY_BUSIEST;
	if (!wanted)
		return UINT64_MAX;
	if (ns < LOOK_NS)
		return c->nics.looked_ns + LOOK_NS;
	c->nics.looked_ns = now_ns;
	for (uint32_t i = 0; i < c->n_vifs; i++)
		look_at_vif(c, c->vif[i], ns);
	for (uint32_t i = 0; i < c->n_vifs; i++) {
		struct placement *p = &c->vif[i]->placement;
		const struct vif *last = p->waits_for ? last_placed(p->waits_for) : NULL;

		p->n_busier = last && is_busier(c->vif[i], last) ? p->n_busier + 1 : 0;
	}
	return now_ns + LOOK_NS;
}
