/* SPDX-License-Identifier: MIT */
#include "backend/control/bridge.h"

#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <string.h>

bool bridge_link(const struct links *links, int ifindex, struct netdev_link *out)
{
	const struct link_entry *e = links_find(links, ifindex);
	const struct link_entry *master = e && e->master ? links_find(links, e->master) : NULL;
	/* Open vSwitch's ports have a master that is always down. */
	const struct link_entry *bridge = master && master->is_bridge ? master : NULL;

	memset(out, 0, sizeof(*out));
	if (!e)
		return false;
	out->mtu = e->mtu;
	out->up = e->up;
	out->master = master ? master->ifindex : 0;
	out->enslaved = master != NULL;
	/* A port that has just got its carrier is still disabled. */
	out->port_off = bridge && e->port_state == BR_STATE_DISABLED && e->carrier && e->settled;
	out->bridge_down = bridge && !bridge->up;
	out->known_only = bridge && !e->floods;
	out->locked = bridge && e->locked;
	out->no_learning = bridge && (!e->learns || e->locked);
	out->uplinks_down = bridge && bridge->n_uplinks && !bridge->n_uplinks_alive;
	return true;
}

uint32_t bridge_forwards(const struct links *links, int ifindex)
{
	const struct link_entry *e = links_find(links, ifindex);
	const struct link_entry *master = e && e->master ? links_find(links, e->master) : NULL;

	if (!master || !master->is_bridge || !master->up || !e->up || !e->carrier ||
	    e->port_state != BR_STATE_FORWARDING)
		return 0;
	return e->mtu + ETH_HLEN;
}

uint64_t bridge_remembers_ns(const struct links *links, int ifindex)
{
	const struct link_entry *e = links_find(links, ifindex);
	const struct link_entry *master = e && e->master ? links_find(links, e->master) : NULL;

	/* What is learned by a locked port is let in. */
	return master && master->is_bridge && e->learns && !e->locked ? master->ageing_ns : 0;
}

/*
 * What Linux' bridge asks of both ports before a frame passes from one to the other, whatever
 * its VLAN: net/bridge/br_input.c br_handle_frame(), br_handle_frame_finish(), br_forward.c
 * should_deliver(). Learning, flooding and hairpin of the NIC's port decide nothing about frames
 * to a vif; nor do those for groups of either, as groups take the bridge.
 */
static const char *keeps_apart(const struct link_entry *bridge, const struct link_entry *e,
			       const struct link_entry *u)
{
	if (!bridge->up)
		return "its bridge is down";
	if (e->port_state != BR_STATE_FORWARDING)
		return "its bridge port does not forward";
	if (u->port_state != BR_STATE_FORWARDING)
		return "the NIC's bridge port does not forward";
	if (e->isolated && u->isolated)
		return "its bridge port and the NIC's are both isolated, so nothing passes between them";
	if (u->locked)
		return "the NIC's bridge port is locked: its bridge looks who sends";
	return NULL;
}

const char *bridge_wire_form(const struct links *links, int ifindex, int uplink,
			     struct vlan_form *out)
{
	const struct link_entry *e = links_find(links, ifindex), *u = links_find(links, uplink);
	const struct link_entry *bridge = e ? links_find(links, e->master) : NULL;
	const char *why_not;

	*out = (struct vlan_form){ .vlan = 0 };
	if (!bridge || !u || u->master != e->master)
		return "it is not in the NIC's bridge";
	why_not = keeps_apart(bridge, e, u);
	if (why_not || !bridge->filters_vlans)
		return why_not;
	if (!e->floods) /* known is who is in this VLAN, which is not looked for */
		return "its bridge port has no flooding, and its bridge filters VLANs";
	if (bridge->service_tags)
		return "the VLANs of its bridge are 802.1ad ones";
	if (bridge->spans_vlans)
		return "its bridge has several spanning trees";
	return vlans_form(&links->vlans, ifindex, uplink, out);
}
