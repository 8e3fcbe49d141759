/* SPDX-License-Identifier: MIT */
/*
 * See links.h. Two families of messages tell of a device: AF_UNSPEC ones are whole, those of
 * AF_BRIDGE tell of a bridge's port and are sent when only its state changes.
 */
#include "backend/control/links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MESSAGE_SIZE   32768
#define NEWS_AT_ONCE   ((int)LINKS_MOVED)
#define RECEIVE_BUFFER (1 << 20)

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000 /* linux/if.h, which cannot stand beside net/if.h */
#endif
#define OPER_UP 6 /* linux/if.h IF_OPER_UP */
#define USER_HZ 100u /* asm-generic/param.h: of times the kernel tells in clock_t */

/* ---- the table ---- */

static uint32_t position(const struct links *l, int ifindex)
{
	uint32_t low = 0, high = l->n_entries;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (l->entry[middle].ifindex < ifindex)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct link_entry *find(const struct links *l, int ifindex)
{
	uint32_t i = position(l, ifindex);

	return i < l->n_entries && l->entry[i].ifindex == ifindex ? &l->entry[i] : NULL;
}

const struct link_entry *links_find(const struct links *l, int ifindex)
{
	return find(l, ifindex);
}

const struct link_entry *links_with_program(const struct links *l, uint32_t id)
{
	for (uint32_t i = 0; i < l->n_entries; i++)
		if (l->entry[i].xdp == id)
			return &l->entry[i];
	return NULL;
}

bool links_moved(const struct links *l, uint32_t born)
{
	for (uint32_t i = 0; i < MIN(l->n_moved, LINKS_MOVED); i++)
		if (l->moved[i] == born)
			return true;
	return false;
}

static struct link_entry *insert(struct links *l, int ifindex)
{
	uint32_t i = position(l, ifindex);

	if (l->n_entries == l->size) {
		uint32_t size = MAX(2 * l->size, 64u);
		struct link_entry *grown = realloc(l->entry, size * sizeof(*grown));

		if (!grown)
			return NULL;
		l->entry = grown;
		l->size = size;
	}
	memmove(&l->entry[i + 1], &l->entry[i], (l->n_entries - i) * sizeof(*l->entry));
	l->n_entries++;
	l->entry[i] = (struct link_entry){ .ifindex = ifindex, .born = ++l->n_born };
	return &l->entry[i];
}

static void take_out(struct links *l, uint32_t i)
{
	l->n_entries--;
	memmove(&l->entry[i], &l->entry[i + 1], (l->n_entries - i) * sizeof(*l->entry));
	l->changed = true;
}

void links_count(struct links *l)
{
	for (uint32_t i = 0; i < l->n_entries; i++)
		l->entry[i].n_uplinks = l->entry[i].n_uplinks_alive = 0;
	for (uint32_t i = 0; i < l->n_entries; i++) {
		const struct link_entry *member = &l->entry[i];
		struct link_entry *master = member->master ? find(l, member->master) : NULL;

		if (!master || member->is_tap)
			continue;
		master->n_uplinks++;
		master->n_uplinks_alive += member->carrier;
	}
}

/* ---- what the kernel says ---- */

/* A bridge's port; what is not told stays as it was. */
static void parse_port_data(struct link_entry *e, const struct nlattr *nest)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest)
	{
		if (!mnl_attr_get_payload_len(a))
			continue;
		switch (mnl_attr_get_type(a)) {
		case IFLA_BRPORT_STATE:
			e->port_state = mnl_attr_get_u8(a);
			break;
		case IFLA_BRPORT_LEARNING:
			e->learns = mnl_attr_get_u8(a);
			break;
		case IFLA_BRPORT_UNICAST_FLOOD:
			e->floods = mnl_attr_get_u8(a);
			break;
		case IFLA_BRPORT_ISOLATED:
			e->isolated = mnl_attr_get_u8(a);
			break;
		case IFLA_BRPORT_LOCKED:
			e->locked = mnl_attr_get_u8(a);
			break;
		}
	}
}

static void parse_bridge_data(struct link_entry *e, const struct nlattr *nest)
{
	struct br_boolopt_multi options;
	const struct nlattr *a;

	e->filters_vlans = e->service_tags = e->spans_vlans = false;
	mnl_attr_for_each_nested(a, nest)
	{
		uint16_t size = mnl_attr_get_payload_len(a);

		switch (mnl_attr_get_type(a)) {
		case IFLA_BR_AGEING_TIME:
			if (size >= sizeof(uint32_t))
				e->ageing_ns = mnl_attr_get_u32(a) * (NS_PER_S / USER_HZ);
			break;
		case IFLA_BR_VLAN_FILTERING:
			e->filters_vlans = size && mnl_attr_get_u8(a);
			break;
		case IFLA_BR_VLAN_PROTOCOL:
			e->service_tags = size >= 2 && mnl_attr_get_u16(a) != htons(ETH_P_8021Q);
			break;
		case IFLA_BR_MULTI_BOOLOPT:
			if (size < sizeof(options))
				break;
			memcpy(&options, mnl_attr_get_payload(a), sizeof(options));
			e->spans_vlans = options.optval & BIT(BR_BOOLOPT_MST_ENABLE);
			break;
		}
	}
}

static void parse_info(struct link_entry *e, const struct nlattr *info)
{
	bool in_bridge = false;
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_INFO_KIND:
			e->is_tap = !strcmp(mnl_attr_get_str(a), "tun");
			e->is_bridge = !strcmp(mnl_attr_get_str(a), "bridge");
			break;
		case IFLA_INFO_DATA:
			if (e->is_bridge)
				parse_bridge_data(e, a);
			break;
		case IFLA_INFO_SLAVE_KIND:
			in_bridge = !strcmp(mnl_attr_get_str(a), "bridge");
			break;
		case IFLA_INFO_SLAVE_DATA:
			if (in_bridge)
				parse_port_data(e, a);
			break;
		}
	}
}

static void parse_xdp(struct link_entry *e, const struct nlattr *nest)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest)
	{
		if (mnl_attr_get_type(a) == IFLA_XDP_PROG_ID)
			e->xdp = mnl_attr_get_u32(a);
	}
}

static void parse_device(struct link_entry *e, const struct nlmsghdr *nlh,
			 const struct ifinfomsg *ifi)
{
	const struct nlattr *a;

	e->up = ifi->ifi_flags & IFF_UP;
	e->carrier = ifi->ifi_flags & IFF_LOWER_UP;
	e->master = 0;
	e->port_state = BR_STATE_FORWARDING;
	e->learns = e->floods = true;
	e->isolated = e->locked = false;
	e->xdp = 0;
	mnl_attr_for_each(a, nlh, sizeof(*ifi))
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			memset(e->name, 0, sizeof(e->name)); /* it is compared, padding and all */
			strncpy(e->name, mnl_attr_get_str(a), sizeof(e->name) - 1);
			break;
		case IFLA_XDP:
			parse_xdp(e, a);
			break;
		case IFLA_MASTER:
			e->master = (int)mnl_attr_get_u32(a);
			break;
		case IFLA_MTU:
			e->mtu = mnl_attr_get_u32(a);
			break;
		case IFLA_OPERSTATE:
			e->settled = mnl_attr_get_u8(a) == OPER_UP;
			break;
		case IFLA_LINKINFO:
			parse_info(e, a);
			break;
		}
	}
}

static void parse_port(struct link_entry *e, const struct nlmsghdr *nlh,
		       const struct ifinfomsg *ifi)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(*ifi)) if (mnl_attr_get_type(a) == IFLA_PROTINFO)
	    parse_port_data(e, a);
}

/* Linux 4.15 says so: net/core/dev.c __dev_change_net_namespace(). */
static bool left_for_another(const struct nlmsghdr *nlh, const struct ifinfomsg *ifi)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_NEW_NETNSID)
			return true;
	}
	return false;
}

bool links_take(struct links *l, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	bool of_port = ifi->ifi_family == AF_BRIDGE;
	struct link_entry *e = find(l, ifi->ifi_index), before;

	if (nlh->nlmsg_type == RTM_DELLINK) {
		if (!e || of_port) /* a port's end is told in the device's own message */
			return true;
		if (left_for_another(nlh, ifi))
			l->moved[l->n_moved++ % LINKS_MOVED] = e->born;
		take_out(l, (uint32_t)(e - l->entry));
		return true;
	}
	if (nlh->nlmsg_type != RTM_NEWLINK || (of_port && !e))
		return true;
	if (!e) {
		e = insert(l, ifi->ifi_index);
		if (!e)
			return false;
	}
	before = *e;
	if (of_port)
		parse_port(e, nlh, ifi);
	else
		parse_device(e, nlh, ifi);
	/* Zeroed when they were made, padding and all. */
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
	l->changed |= memcmp(&before, e, sizeof(before)) != 0;
	/* The kernel may not have told what became of the default PVID, which may change only
	 * while a bridge does not filter (Linux' br_vlan_set_default_pvid()). */
	l->reading_due |= e->filters_vlans && !before.filters_vlans && !l->under_way;
	e->seen = l->reading;
	return true;
}

/* ---- asking ---- */

static int ask(struct links *l, uint16_t type, uint8_t family, size_t size)
{
	char buf[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct ifinfomsg))];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtgenmsg *payload;

	static_assert(sizeof(struct br_vlan_msg) <= sizeof(struct ifinfomsg), "either fits");
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = ++l->seq;
	payload = mnl_nlmsg_put_extra_header(nlh, size);
	payload->rtgen_family = family;
	return mnl_socket_sendto(l->nl, nlh, nlh->nlmsg_len) < 0 ? -errno : 0;
}

/* The devices, then the bridges' VLANs: the kernel answers one question at a time. */
static int ask_for_all(struct links *l)
{
	int rc = ask(l, RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg));

	if (rc)
		return rc;
	l->reading = l->seq;
	l->under_way = LINKS_READS_DEVICES;
	l->reading_due = false;
	return 0;
}

/* What the whole table did not have is gone. */
static void drop_unseen(struct links *l)
{
	for (uint32_t i = l->n_entries; i-- > 0;)
		if (l->entry[i].seen != l->reading)
			take_out(l, i);
}

static void part_ends(struct links *l)
{
	if (l->under_way == LINKS_READS_VLANS) {
		vlans_reading_ends(&l->vlans); /* none, of a kernel without */
		l->under_way = LINKS_AT_REST;
		return;
	}
	drop_unseen(l);
	vlans_reading_begins(&l->vlans);
	l->reading_due |= ask(l, RTM_GETVLAN, AF_BRIDGE, sizeof(struct br_vlan_msg)) != 0;
	l->under_way = l->reading_due ? LINKS_AT_REST : LINKS_READS_VLANS;
}

static void take_datagram(struct links *l, const void *buf, size_t size)
{
	const struct nlmsghdr *nlh = buf;
	int left = (int)size;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		bool of_reading = nlh->nlmsg_seq == l->seq && l->under_way;

		/* The kernel says so when the table changed under its reading. */
		if (of_reading && nlh->nlmsg_flags & NLM_F_DUMP_INTR)
			l->reading_due = true;
		if (nlh->nlmsg_type >= NLMSG_MIN_TYPE)
			l->reading_due |= !links_take(l, nlh) ||
					  !vlans_take(&l->vlans, nlh, of_reading);
		else if (of_reading &&
			 (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR))
			part_ends(l);
	}
}

bool links_news(struct links *l, bool *more)
{
	char buf[MESSAGE_SIZE];
	bool changed;
	int n = 0;

	for (; n < NEWS_AT_ONCE; n++) {
		ssize_t size = recv(mnl_socket_get_fd(l->nl), buf, sizeof(buf), MSG_DONTWAIT);

		if (size > 0) {
			take_datagram(l, buf, (size_t)size);
		} else if (size < 0 && errno == ENOBUFS) {
			l->reading_due = true; /* some were lost */
		} else {
			break;
		}
	}
	*more = n == NEWS_AT_ONCE;
	/* Not before the socket is empty: until then the kernel keeps all news off it, and says no
	 * more that some were lost (Linux netlink_overrun(), netlink_rcv_wake()). */
	if (l->reading_due && !l->under_way && !*more)
		l->reading_due = ask_for_all(l) != 0;
	changed = l->changed && !l->under_way;
	if (changed) {
		l->changed = false;
		links_count(l);
	}
	return changed;
}

int links_open(struct links *l)
{
	int rc, size = RECEIVE_BUFFER, group = RTNLGRP_BRVLAN;

	*l = (struct links){ .nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC) };
	if (!l->nl)
		return -errno;
	(void)setsockopt(mnl_socket_get_fd(l->nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	/* Linux before 5.6 has no such news, and then no such table either. */
	(void)mnl_socket_setsockopt(l->nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
	rc = mnl_socket_bind(l->nl, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (!rc)
		rc = ask_for_all(l);
	if (rc)
		links_close(l);
	return rc;
}

void links_close(struct links *l)
{
	mnl_socket_close(l->nl);
	vlans_fini(&l->vlans);
	free(l->entry);
}

int links_fd(const struct links *l)
{
	return mnl_socket_get_fd(l->nl);
}
