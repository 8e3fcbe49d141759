/* SPDX-License-Identifier: MIT */
/* Who gets a place on a NIC, and which of its queues has it. */
#include "backend/control/placement_parts.h"

#include "backend/control/control.h"

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

struct nic *placement_choose(struct control *c, const struct vif *v, struct vlan_form *form,
			     uint64_t now_ns, const char **why_not)
{
	*why_not = unfit(c, v);
	if (*why_not)
		return NULL;
	*why_not = "no NIC of vifd.conf is in its bridge";
	for (uint32_t i = 0; i < c->nics.n; i++) {
		struct nic *n = &c->nics.nic[i];

		if (n->state != NIC_OPEN || !n->heard || n->host.master != v->link.master)
			continue;
		if (n->link_ns == UINT64_MAX)
			*why_not = "the NIC's link is down";
		else if (now_ns < n->link_ns)
			*why_not = "the NIC's link has just come up";
		else
			*why_not = look_for_form(c, v, n, form);
		return *why_not ? NULL : n;
	}
	return NULL;
}

bool placement_take(struct control *c, struct vif *v, struct nic *n, const char **why_not)
{
	struct placement *p = &v->placement;

	*why_not = "no queue of it is with the NIC's worker";
	if (!find_queue(c, v, n, &p->queue))
		return false;
	*why_not = "every filter of the NIC is taken";
	for (uint32_t i = 0; i < n->ops->caps(n->device).n_places; i++) {
		if (n->place[i])
			continue;
		n->place[i] = v;
		n->n_places++;
		p->nic = n;
		p->place = i;
		return true;
	}
	return false;
}
