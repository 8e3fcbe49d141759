/* SPDX-License-Identifier: MIT */
/* See rtnl.h. */
#include "backend/control/rtnl.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define REPLY_SIZE 32768

static void copy_string(char *out, size_t size, const struct nlattr *attr)
{
	size_t n = MIN(mnl_attr_get_payload_len(attr), size - 1);

	memcpy(out, mnl_attr_get_payload(attr), n);
	out[n] = '\0';
}

static void parse_tun(struct rtnl_link *link, const struct nlattr *data)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, data) {
		bool set = mnl_attr_get_payload_len(a) && mnl_attr_get_u8(a);

		switch (mnl_attr_get_type(a)) {
		case IFLA_TUN_TYPE:
			link->tun_type = mnl_attr_get_u8(a);
			break;
		case IFLA_TUN_PERSIST:
			link->persist = set;
			break;
		case IFLA_TUN_VNET_HDR:
			link->vnet_hdr = set;
			break;
		case IFLA_TUN_MULTI_QUEUE:
			link->multi_queue = set;
			break;
		}
	}
}

static void parse_linkinfo(struct rtnl_link *link, const struct nlattr *info)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info) {
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			copy_string(link->kind, sizeof(link->kind), a);
		else if (mnl_attr_get_type(a) == IFLA_INFO_DATA && !strcmp(link->kind, "tun"))
			parse_tun(link, a);
	}
}

static int parse_link(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct rtnl_link *link = data;
	const struct nlattr *a;

	link->ifindex = ifi->ifi_index;
	link->up = ifi->ifi_flags & IFF_UP;
	mnl_attr_for_each(a, nlh, sizeof(*ifi)) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			copy_string(link->name, sizeof(link->name), a);
			break;
		case IFLA_IFALIAS:
			copy_string(link->alias, sizeof(link->alias), a);
			break;
		case IFLA_QDISC:
			copy_string(link->qdisc, sizeof(link->qdisc), a);
			break;
		case IFLA_CARRIER:
			link->carrier = mnl_attr_get_u8(a);
			break;
		case IFLA_LINKINFO:
			parse_linkinfo(link, a);
			break;
		case IFLA_STATS64:
			memcpy(&link->stats, mnl_attr_get_payload(a),
			       MIN(sizeof(link->stats), mnl_attr_get_payload_len(a)));
			break;
		}
	}
	return MNL_CB_OK;
}

/* One request, its answers (each to cb, if that is not NULL) and its acknowledgement. 0 or
 * -errno, the kernel's too. */
static int transact(struct rtnl *r, struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
	uint32_t portid = mnl_socket_get_portid(r->nl);
	char buf[REPLY_SIZE];
	ssize_t n;
	int rc;

	nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = ++r->seq;
	if (mnl_socket_sendto(r->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(r->nl, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		rc = mnl_cb_run(buf, (size_t)n, r->seq, portid, cb, data);
	} while (rc > MNL_CB_STOP);
	return rc < 0 ? -errno : 0;
}

static struct nlmsghdr *link_request(char *buf, uint16_t type, int ifindex)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = type;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = ifindex;
	return nlh;
}

int rtnl_link_get(struct rtnl *r, int ifindex, const char *name, struct rtnl_link *out)
{
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_GETLINK, ifindex);

	*out = (struct rtnl_link){ .carrier = false };
	if (name)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	return transact(r, nlh, parse_link, out);
}

int rtnl_link_set_identity(struct rtnl *r, int ifindex, const char *alias, const uint8_t mac[6])
{
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_SETLINK, ifindex);

	mnl_attr_put_strz(nlh, IFLA_IFALIAS, alias);
	mnl_attr_put(nlh, IFLA_ADDRESS, 6, mac);
	return transact(r, nlh, NULL, NULL);
}

int rtnl_link_set_frames(struct rtnl *r, int ifindex, uint32_t frames)
{
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_SETLINK, ifindex);

	mnl_attr_put_u32(nlh, IFLA_TXQLEN, frames);
	return transact(r, nlh, NULL, NULL);
}

int rtnl_link_set_mtu(struct rtnl *r, int ifindex, uint32_t mtu)
{
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_NEWLINK, ifindex);

	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	return transact(r, nlh, NULL, NULL);
}

int rtnl_link_set_up(struct rtnl *r, int ifindex, bool up)
{
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_SETLINK, ifindex);
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	ifi->ifi_change = IFF_UP;
	ifi->ifi_flags = up ? IFF_UP : 0;
	return transact(r, nlh, NULL, NULL);
}

int rtnl_open(struct rtnl *r)
{
	int rc;

	*r = (struct rtnl){ .nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC) };
	if (!r->nl)
		return -errno;
	if (mnl_socket_bind(r->nl, 0, MNL_SOCKET_AUTOPID) >= 0)
		return 0;
	rc = -errno;
	rtnl_close(r);
	return rc;
}

void rtnl_close(struct rtnl *r)
{
	if (r->nl)
		mnl_socket_close(r->nl);
	r->nl = NULL;
}

/* NTF_USE is br_fdb_update(), what the bridge does for each frame (Linux br_fdb.c,
 * __br_fdb_add()): the entry ages as any that was learned. */
int rtnl_learn(struct rtnl *r, int ifindex, const uint8_t mac[6], uint16_t vlan)
{
	char buf[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ndmsg *ndm;

	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	ndm->ndm_family = AF_BRIDGE;
	ndm->ndm_ifindex = ifindex;
	ndm->ndm_state = NUD_REACHABLE;
	ndm->ndm_flags = NTF_MASTER | NTF_USE;
	mnl_attr_put(nlh, NDA_LLADDR, 6, mac);
	if (vlan)
		mnl_attr_put_u16(nlh, NDA_VLAN, vlan);
	return transact(r, nlh, NULL, NULL);
}

static int parse_neighbour(const struct nlmsghdr *nlh, void *data)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);

	if (nlh->nlmsg_len >= MNL_NLMSG_HDRLEN + sizeof(*ndm) && !(ndm->ndm_state & NUD_PERMANENT))
		*(int *)data = ndm->ndm_ifindex;
	return MNL_CB_OK;
}

int rtnl_behind(struct rtnl *r, int bridge, const uint8_t mac[6], uint16_t vlan)
{
	char buf[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ndmsg *ndm;
	int port = 0, rc;

	nlh->nlmsg_type = RTM_GETNEIGH;
	ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	ndm->ndm_family = AF_BRIDGE;
	mnl_attr_put(nlh, NDA_LLADDR, 6, mac);
	mnl_attr_put_u32(nlh, NDA_MASTER, (uint32_t)bridge);
	if (vlan)
		mnl_attr_put_u16(nlh, NDA_VLAN, vlan);
	rc = transact(r, nlh, parse_neighbour, &port);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	return port == bridge ? 0 : port;
}
