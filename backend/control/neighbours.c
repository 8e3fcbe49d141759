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

#include "backend/control/rtnl.h"
#include "log.h"

#define MESSAGE_SIZE   32768
#define NEWS_AT_ONCE   64 /* datagrams; each of the whole table's has a hundred or two */
#define RECEIVE_BUFFER (1 << 20)
#define PAUSE_NS       NS_PER_S

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

/* Of one port: the kernel goes through the bridge's table, and says no more. It does not where it
 * is not asked to be strict (Linux net/core/rtnetlink.c valid_fdb_dump_strict()). */
static bool ask_for_all(struct neighbours *n, int port)
{
	char buf[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct ndmsg))];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ndmsg *ndm;

	nlh->nlmsg_type = RTM_GETNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = 1;
	ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	ndm->ndm_family = AF_BRIDGE;
	ndm->ndm_ifindex = port;
	return mnl_socket_sendto(n->nl, nlh, nlh->nlmsg_len) >= 0;
}

void neighbours_init(struct neighbours *n, struct rtnl *rtnl)
{
	*n = (struct neighbours){ .rtnl = rtnl, .news = NEWS_NONE, .again_ns = UINT64_MAX };
}

/* The filter is there before the socket hears anything. */
static bool filter(struct neighbours *n)
{
	int rc = news_attach(&n->news, mnl_socket_get_fd(n->nl));

	for (uint32_t i = 0; !rc && i < NEWS_PORTS_MAX; i++) {
		n->port[i].due = n->port[i].ifindex;
		if (n->port[i].ifindex)
			rc = news_of_port(&n->news, n->port[i].ifindex, true);
	}
	n->refused = rc == -EPERM || rc == -EINVAL || rc == -ENOSYS;
	if (n->refused)
		log_warning(
		    LOG_NOBODY,
		    "the kernel takes no program for news of bridges: guests send by no NIC, and "
		    "have no place on one while their port has no flooding: %s",
		    strerror(-rc));
	return !rc;
}

static bool listen_to_all(struct neighbours *n)
{
	int size = RECEIVE_BUFFER, strict = 1;

	n->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!n->nl)
		return false;
	(void)setsockopt(mnl_socket_get_fd(n->nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return !mnl_socket_setsockopt(n->nl, NETLINK_GET_STRICT_CHK, &strict, sizeof(strict)) &&
	       filter(n) && mnl_socket_bind(n->nl, RTMGRP_NEIGH, MNL_SOCKET_AUTOPID) >= 0;
}

void neighbours_close(struct neighbours *n)
{
	if (n->nl)
		mnl_socket_close(n->nl);
	n->nl = NULL;
	news_detach(&n->news);
	n->reading = false;
	n->again_ns = UINT64_MAX;
}

static void give_up(struct neighbours *n, uint64_t now_ns)
{
	neighbours_close(n);
	n->not_before_ns = n->refused ? UINT64_MAX : now_ns + PAUSE_NS;
}

static bool is_port(const struct neighbours *n, int ifindex)
{
	for (uint32_t i = 0; i < NEWS_PORTS_MAX; i++)
		if (ifindex && n->port[i].ifindex == ifindex)
			return true;
	return false;
}

/* Whoever asks here tells what is so now: the news that come from now on are all told, and those
 * that are queued already are taken later. False: there is no room, and nothing is known. */
static bool ask(struct neighbours *n, struct neighbour *who, int home)
{
	struct news_station s = { .vlan = who->vlan, .bridge = (uint32_t)who->bridge };

	memcpy(s.mac, who->mac, sizeof(s.mac));
	if (news_of_station(&n->news, &s, home))
		return false;
	who->port = rtnl_behind(n->rtnl, who->bridge, who->mac, who->vlan);
	return who->port >= 0;
}

/* The answer of one who was asked for all may be older than the last news. */
static void tell_of(struct neighbours *n, struct neighbour *who, bool answer, uint64_t now_ns,
		    neighbour_fn *each, void *arg)
{
	if (answer && (!is_port(n, who->port) || !ask(n, who, 0)))
		return;
	if (!answer && who->port && !is_port(n, who->port) && n->again_ns == UINT64_MAX)
		n->again_ns = MAX(now_ns, n->told_ns) + NEIGHBOURS_AGAIN_NS;
	each(arg, who);
}

/* Returns false where the reading of the whole table went wrong. */
static bool take_datagram(struct neighbours *n, const void *buf, size_t size, uint64_t now_ns,
			  neighbour_fn *each, void *arg)
{
	const struct nlmsghdr *nlh = buf;
	struct neighbour news;
	int left = (int)size;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		n->n_changes += nlh->nlmsg_seq == 0; /* what is read as a whole has ours */
		if (neighbours_parse(nlh, &news))
			tell_of(n, &news, nlh->nlmsg_seq != 0, now_ns, each, arg);
		else if (nlh->nlmsg_type == NLMSG_DONE)
			n->reading = false;
		else if (nlh->nlmsg_type == NLMSG_ERROR)
			return false;
	}
	return true;
}

/* Asks for all behind the next port that is due. */
static bool read_next(struct neighbours *n, uint64_t now_ns)
{
	bool again = now_ns >= n->again_ns;

	if (again)
		n->again_ns = UINT64_MAX;
	for (uint32_t i = 0; i < NEWS_PORTS_MAX; i++)
		n->port[i].due |= again && n->port[i].ifindex;
	for (uint32_t i = 0; !n->reading && i < NEWS_PORTS_MAX; i++) {
		if (!n->port[i].due)
			continue;
		n->port[i].due = false;
		n->reading = true;
		n->told_ns = now_ns;
		return ask_for_all(n, n->port[i].ifindex);
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
		well = size > 0 && take_datagram(n, buf, (size_t)size, now_ns, each, arg) &&
		       n->n_changes <= NEIGHBOURS_CHANGES_MAX;
		if (i == NEWS_AT_ONCE - 1)
			*next_ns = now_ns;
	}
	well = well && read_next(n, now_ns);
	if (!well) {
		give_up(n, now_ns);
		*next_ns = n->not_before_ns;
	}
	*next_ns = MIN(*next_ns, n->again_ns);
	return well;
}

void neighbours_of_port(struct neighbours *n, int ifindex, bool on)
{
	uint32_t i = 0;

	while (n->port[i].ifindex != (on ? 0 : ifindex) && n->port[i].ifindex != ifindex)
		if (++i == NEWS_PORTS_MAX)
			return;
	n->port[i].ifindex = on ? ifindex : 0;
	n->port[i].due = on;
	if (n->nl && news_of_port(&n->news, ifindex, on) && on)
		neighbours_close(n); /* begins anew, with this one */
}

bool neighbours_knows(struct neighbours *n, int bridge, int port, const uint8_t mac[6])
{
	struct neighbour who = { .bridge = bridge };

	memcpy(who.mac, mac, sizeof(who.mac));
	/* There are no news to come of who is not known. */
	return n->nl && rtnl_behind(n->rtnl, bridge, mac, 0) == port && ask(n, &who, port) &&
	       who.port == port;
}

int neighbours_fd(const struct neighbours *n)
{
	return n->nl ? mnl_socket_get_fd(n->nl) : -1;
}
