/* SPDX-License-Identifier: MIT */
/*
 * See vlans.h. What a bridge does with tags is Linux' net/bridge/br_vlan.c: a frame that comes
 * in by a port is of the VLAN of its tag, or of the port's PVID if it has none; it goes out
 * by the ports that are in this VLAN, without its tag where the port says so.
 */
#include "backend/control/vlans.h"

#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#define VLAN_LAST 4094u

/* ---- the table ---- */

static uint32_t position(const struct vlans *v, int ifindex)
{
	uint32_t low = 0, high = v->n_ports;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (v->port[middle]->ifindex < ifindex)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct vlan_port *find(const struct vlans *v, int ifindex)
{
	uint32_t i = position(v, ifindex);

	return i < v->n_ports && v->port[i]->ifindex == ifindex ? v->port[i] : NULL;
}

static struct vlan_port *insert(struct vlans *v, int ifindex)
{
	uint32_t i = position(v, ifindex);
	struct vlan_port *p;

	if (v->n_ports == v->size) {
		uint32_t size = MAX(2 * v->size, 16u);
		struct vlan_port **grown = realloc(v->port, size * sizeof(struct vlan_port *));

		if (!grown)
			return NULL;
		v->port = grown;
		v->size = size;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->ifindex = ifindex;
	memmove(&v->port[i + 1], &v->port[i], (v->n_ports - i) * sizeof(struct vlan_port *));
	v->n_ports++;
	v->port[i] = p;
	return p;
}

static void take_out(struct vlans *v, uint32_t i)
{
	free(v->port[i]);
	v->n_ports--;
	memmove(&v->port[i], &v->port[i + 1], (v->n_ports - i) * sizeof(struct vlan_port *));
}

void vlans_reading_begins(struct vlans *v)
{
	v->reading++;
	v->under_way = true;
}

void vlans_reading_ends(struct vlans *v)
{
	v->under_way = false;
	for (uint32_t i = v->n_ports; i-- > 0;)
		if (v->port[i]->seen != v->reading)
			take_out(v, i);
}

void vlans_fini(struct vlans *v)
{
	while (v->n_ports)
		take_out(v, v->n_ports - 1);
	free(v->port);
	*v = (struct vlans){ .port = NULL };
}

/* ---- bit maps ---- */

static bool has(const uint64_t map[VLAN_WORDS], uint32_t vlan)
{
	return map[vlan / 64] >> (vlan % 64) & 1;
}

static void set(uint64_t map[VLAN_WORDS], uint32_t vlan, bool on)
{
	uint64_t bit = UINT64_C(1) << (vlan % 64);

	map[vlan / 64] = on ? map[vlan / 64] | bit : map[vlan / 64] & ~bit;
}

static uint32_t count(const uint64_t map[VLAN_WORDS])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < VLAN_WORDS; i++)
		n += (uint32_t)__builtin_popcountll(map[i]);
	return n;
}

/* Of a map that is not empty. */
static uint16_t lowest(const uint64_t map[VLAN_WORDS])
{
	uint32_t i = 0;

	while (!map[i])
		i++;
	return (uint16_t)(64 * i + (uint32_t)__builtin_ctzll(map[i]));
}

/* ---- what the kernel says ---- */

/* A range of VLANs that are alike. */
struct entry {
	uint32_t first, last;
	uint16_t flags; /* BRIDGE_VLAN_INFO_* */
	uint8_t state;	/* BR_STATE_* */
};

static struct entry parse_entry(const struct nlattr *nest)
{
	struct entry e = { .state = BR_STATE_FORWARDING };
	struct bridge_vlan_info info;
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest)
	{
		uint16_t size = mnl_attr_get_payload_len(a);

		switch (mnl_attr_get_type(a)) {
		case BRIDGE_VLANDB_ENTRY_INFO:
			if (size < sizeof(info))
				break;
			memcpy(&info, mnl_attr_get_payload(a), sizeof(info));
			e.first = info.vid;
			e.flags = info.flags;
			break;
		case BRIDGE_VLANDB_ENTRY_RANGE:
			e.last = size < sizeof(uint16_t) ? 0 : mnl_attr_get_u16(a);
			break;
		case BRIDGE_VLANDB_ENTRY_STATE:
			e.state = size ? mnl_attr_get_u8(a) : e.state;
			break;
		}
	}
	e.last = MIN(MAX(e.last, e.first), VLAN_LAST);
	return e;
}

static void apply(struct vlan_port *p, const struct entry *e, bool there)
{
	if (!e->first || e->first > e->last)
		return; /* not what a kernel says */
	/* Nobody tells of the PVID that another one took the place of: it is the last we heard
	 * of, unless that VLAN is said not to be it any more. */
	if (p->pvid >= e->first && p->pvid <= e->last)
		p->pvid = 0;
	if (there && e->flags & BRIDGE_VLAN_INFO_PVID)
		p->pvid = (uint16_t)e->first;
	for (uint32_t vlan = e->first; vlan <= e->last; vlan++) {
		set(p->member, vlan, there);
		set(p->untagged, vlan, there && e->flags & BRIDGE_VLAN_INFO_UNTAGGED);
		set(p->blocked, vlan, there && e->state != BR_STATE_FORWARDING);
	}
}

static struct vlan_port *port_of(struct vlans *v, int ifindex, bool make)
{
	struct vlan_port *p = find(v, ifindex);

	if (p || !make)
		return p;
	p = insert(v, ifindex);
	if (p)
		p->seen = v->reading;
	return p;
}

bool vlans_take(struct vlans *v, const struct nlmsghdr *nlh, bool of_reading)
{
	const struct br_vlan_msg *msg = mnl_nlmsg_get_payload(nlh);
	bool there = nlh->nlmsg_type == RTM_NEWVLAN;
	const struct nlattr *a;
	struct vlan_port *p;

	if ((!there && nlh->nlmsg_type != RTM_DELVLAN) ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*msg))
		return true;
	p = port_of(v, (int)msg->ifindex, there);
	if (!p)
		return !there;
	if (of_reading && p->seen != v->reading) /* the first of a port that may take several */
		*p = (struct vlan_port){ .ifindex = p->ifindex, .seen = v->reading };
	mnl_attr_for_each(a, nlh, sizeof(*msg))
	{
		struct entry e;

		if (mnl_attr_get_type(a) != BRIDGE_VLANDB_ENTRY)
			continue;
		e = parse_entry(a);
		apply(p, &e, there);
	}
	/* What the reading says of this port may come, or has been missed. */
	return !v->under_way || p->seen == v->reading;
}

/* ---- what it means ---- */

const char *vlans_form(const struct vlans *v, int port, int uplink, struct vlan_form *out)
{
	const struct vlan_port *p = find(v, port), *u = find(v, uplink);
	bool tagged, native;
	uint16_t vlan;

	if (!p || !count(p->member))
		return "its bridge port is in no VLAN";
	if (p->pvid && has(p->untagged, p->pvid))
		vlan = p->pvid;
	else if (!p->pvid && count(p->member) == 1)
		vlan = lowest(p->member);
	else if (p->pvid)
		return "on its bridge port the PVID is tagged one way and untagged the other";
	else
		return "its bridge port is in several VLANs, none of them its PVID";
	tagged = !has(p->untagged, vlan);
	if (!u || !has(u->member, vlan))
		return "the NIC's bridge port is not in its VLAN";
	if (has(p->blocked, vlan) || has(u->blocked, vlan))
		return "a spanning tree blocks its VLAN";
	native = u->pvid == vlan;
	if (native != has(u->untagged, vlan))
		return "on the NIC's bridge port its VLAN is tagged one way and untagged the other";
	if (native && tagged)
		return "its VLAN is tagged for the guest and untagged on the wire";
	*out = (struct vlan_form){ .vlan = vlan,
				   .on_wire = native ? 0 : vlan,
				   .tag_off = !native && !tagged,
				   .one_way = !p->pvid && !tagged };
	return NULL;
}
