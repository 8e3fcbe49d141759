/* SPDX-License-Identifier: MIT */
/*
 * Which news of bridges' stations control gets to hear: a filter of its netlink socket, asked
 * before a message is queued there. Whoever may send into a bridge makes news as fast as frames
 * come, and control needs few of them: who is behind a port of interest (a NIC's) now, and who was
 * told to be and is not any more. What a guest's port learns and forgets costs it nothing, however
 * much that is.
 *
 * Each station told of is in 'stations', put there before the message is queued. So nobody leaves
 * unheard: who finds no room there is not told of at all. One that goes to and fro is told of once
 * in NEWS_REST_NS.
 *
 * The kernel writes the messages, but for the addresses in them.
 */
#include <linux/bpf.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <bpf/bpf_helpers.h>

#include "backend/bpf/news_filter.h"

#define AF_BRIDGE      7  /* linux/socket.h, which is the kernel's alone */
#define ATTRIBUTES_MAX 16 /* fdb_fill_info() has seven */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NEWS_PORTS_MAX);
	__type(key, __u32); /* ifindex */
	__type(value, __u32);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NEWS_STATIONS_MAX);
	__type(key, struct news_station);
	__type(value, struct news_state);
} stations SEC(".maps");

/* Whose news it is: what neighbours_parse() reads. */
static __always_inline int read_station(struct __sk_buff *skb, struct news_station *s)
{
	__u32 at = NLMSG_HDRLEN + sizeof(struct ndmsg);
	int has_mac = 0;

	for (int i = 0; i < ATTRIBUTES_MAX; i++) {
		struct nlattr a;

		if (bpf_skb_load_bytes(skb, at, &a, sizeof(a)) || a.nla_len < sizeof(a))
			break;
		if (a.nla_type == NDA_LLADDR && a.nla_len == NLA_HDRLEN + sizeof(s->mac))
			has_mac = !bpf_skb_load_bytes(skb, at + NLA_HDRLEN, s->mac, sizeof(s->mac));
		else if (a.nla_type == NDA_VLAN && a.nla_len == NLA_HDRLEN + sizeof(s->vlan))
			bpf_skb_load_bytes(skb, at + NLA_HDRLEN, &s->vlan, sizeof(s->vlan));
		else if (a.nla_type == NDA_MASTER && a.nla_len == NLA_HDRLEN + sizeof(s->bridge))
			bpf_skb_load_bytes(skb, at + NLA_HDRLEN, &s->bridge, sizeof(s->bridge));
		at += NLA_ALIGN(a.nla_len);
	}
	return has_mac && s->bridge;
}

/* It is behind 'port' now, which is of interest. */
static __always_inline int comes(const struct news_station *s, struct news_state *known, __u32 port)
{
	struct news_state state = { .port = port };

	if (!known)
		return !bpf_map_update_elem(&stations, s, &state, BPF_ANY);
	if (known->port == port ||
	    (!known->port && bpf_ktime_get_ns() - known->left_ns < NEWS_REST_NS))
		return 0;
	known->port = port;
	return 1;
}

/* It is behind none of interest. */
static __always_inline int goes(const struct news_station *s, struct news_state *known, int gone)
{
	int told;

	if (!known)
		return 0;
	told = known->port != 0;
	known->port = 0;
	if (told)
		known->left_ns = bpf_ktime_get_ns();
	if (gone)
		bpf_map_delete_elem(&stations, s);
	return told;
}

static __always_inline int is_heard(struct __sk_buff *skb)
{
	struct news_station s = { .bridge = 0 };
	struct news_state *known;
	struct nlmsghdr h;
	struct ndmsg ndm;
	__u32 port;
	int gone;

	/* An answer, maybe of many messages, has the number of what was asked. */
	if (bpf_skb_load_bytes(skb, 0, &h, sizeof(h)) || h.nlmsg_seq)
		return 1;
	if ((h.nlmsg_type != RTM_NEWNEIGH && h.nlmsg_type != RTM_DELNEIGH) ||
	    bpf_skb_load_bytes(skb, NLMSG_HDRLEN, &ndm, sizeof(ndm)) ||
	    ndm.ndm_family != AF_BRIDGE || !read_station(skb, &s))
		return 0;
	port = (__u32)ndm.ndm_ifindex;
	gone = h.nlmsg_type == RTM_DELNEIGH;
	known = bpf_map_lookup_elem(&stations, &s);
	if (!gone && !(ndm.ndm_state & NUD_PERMANENT) &&
	    (bpf_map_lookup_elem(&ports, &port) || (known && known->home == port)))
		return comes(&s, known, port);
	return goes(&s, known, gone);
}

SEC("socket") int hear(struct __sk_buff *skb)
{
	return is_heard(skb) ? (int)skb->len : 0;
}

char news_license[] SEC("license") = "Dual MIT/GPL";
