/* SPDX-License-Identifier: MIT */
/* See neighbours.h. A bridge tells of its forwarding table by RTM_NEWNEIGH and RTM_DELNEIGH of
 * AF_BRIDGE (Linux net/bridge/br_fdb.c fdb_notify()); a station that moves is one NEWNEIGH. */
#include "backend/control/neighbours.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define MESSAGE_SIZE	  32768
#define NEWS_AT_ONCE	  64 /* datagrams; each of the whole table's has a hundred or two */
#define RECEIVE_BUFFER	  (1 << 20)
#define PAUSE_NS	  NS_PER_S

bool neighbours_parse(const struct nlmsghdr *nlh, struct neighbour *out)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	bool has_mac = false;
	const struct nlattr *a;

	*out = (struct neighbour){ .port = 0 };
	if ((nlh->nlmsg_type != RTM_NEWNEIGH && nlh->nlmsg_type != RTM_DELNEIGH) ||
	    nlh->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*ndm) || ndm->ndm_family != AF_BRIDGE)
		return false;
	mnl_attr_for_each(a, nlh, sizeof(*ndm))
	{
		uint16_t type = mnl_attr_get_type(a), size = mnl_attr_get_payload_len(a);

		if (type == NDA_LLADDR && size == sizeof(out->mac)) {
			memcpy(out->mac, mnl_attr_get_payload(a), size);
			has_mac = true;
		} else if (type == NDA_VLAN && size == sizeof(uint16_t)) {
			out->vlan = mnl_attr_get_u16(a);
		} else if (type == NDA_MASTER && size == sizeof(uint32_t)) {
			out->bridge = (int)mnl_attr_get_u32(a);
		}
	}
	/* NUD_PERMANENT is an address of the host's own; the port is the bridge: for itself. */
	if (nlh->nlmsg_type == RTM_NEWNEIGH && !(ndm->ndm_state & NUD_PERMANENT) &&
	    ndm->ndm_ifindex != out->bridge)
		out->port = ndm->ndm_ifindex;
	return has_mac && out->bridge; /* else a device tells of its own filters */
}

static bool ask_for_all(struct neighbours *n)
{
	char buf[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct ndmsg))];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ndmsg *ndm;

	nlh->nlmsg_type = RTM_GETNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = 1;
	ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	ndm->ndm_family = AF_BRIDGE;
	return mnl_socket_sendto(n->nl, nlh, nlh->nlmsg_len) >= 0;
}

void neighbours_init(struct neighbours *n)
{
	*n = (struct neighbours){ .all_due = true };
}

static bool listen_to_all(struct neighbours *n)
{
	int size = RECEIVE_BUFFER;

	n->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!n->nl)
		return false;
	(void)setsockopt(mnl_socket_get_fd(n->nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return mnl_socket_bind(n->nl, RTMGRP_NEIGH, MNL_SOCKET_AUTOPID) >= 0;
}

void neighbours_close(struct neighbours *n)
{
	if (n->nl)
		mnl_socket_close(n->nl);
	n->nl = NULL;
	n->reading = false;
}

static void give_up(struct neighbours *n, uint64_t now_ns)
{
	neighbours_close(n);
	n->all_due = true;
	n->not_before_ns = now_ns + PAUSE_NS;
}

/* Returns false where the reading of the whole table went wrong. */
static bool take_datagram(struct neighbours *n, const void *buf, size_t size, neighbour_fn *each,
			  void *arg)
{
	const struct nlmsghdr *nlh = buf;
	struct neighbour news;
	int left = (int)size;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		n->n_changes += nlh->nlmsg_seq == 0; /* what is read as a whole has ours */
		if (neighbours_parse(nlh, &news))
			each(arg, &news);
		else if (nlh->nlmsg_type == NLMSG_DONE)
			n->reading = false;
		else if (nlh->nlmsg_type == NLMSG_ERROR)
			return false;
	}
	return true;
}

bool neighbours_news(struct neighbours *n, uint64_t now_ns, neighbour_fn *each, void *arg,
		     uint64_t *next_ns)
{
	char buf[MESSAGE_SIZE];
	bool well = true;

	*next_ns = UINT64_MAX;
	if (!n->nl && now_ns < n->not_before_ns) {
		*next_ns = n->not_before_ns;
		return true;
	}
	if (now_ns - n->second_ns >= NS_PER_S) {
		n->second_ns = now_ns;
		n->n_changes = 0;
	}
	well = n->nl || listen_to_all(n);
	for (int i = 0; well && i < NEWS_AT_ONCE; i++) {
		ssize_t size = recv(mnl_socket_get_fd(n->nl), buf, sizeof(buf), MSG_DONTWAIT);

		if (size < 0 && errno == EAGAIN)
			break;
		well = size > 0 && take_datagram(n, buf, (size_t)size, each, arg) &&
		       n->n_changes <= NEIGHBOURS_CHANGES_MAX;
		if (i == NEWS_AT_ONCE - 1)
			*next_ns = now_ns;
	}
	if (well && n->all_due && !n->reading) {
		n->all_due = false;
		n->reading = true;
		well = ask_for_all(n);
	}
	if (!well) {
		give_up(n, now_ns);
		*next_ns = n->not_before_ns;
	}
	return well;
}

void neighbours_again(struct neighbours *n)
{
	n->all_due = true;
}

int neighbours_fd(const struct neighbours *n)
{
	return n->nl ? mnl_socket_get_fd(n->nl) : -1;
}
