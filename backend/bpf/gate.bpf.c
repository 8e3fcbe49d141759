/* SPDX-License-Identifier: MIT */
/*
 * Whether a frame may enter the queue of its TAP (TUNSETFILTEREBPF): the kernel asks last of
 * all, when the queue is chosen and whatever tc, XDP or a qdisc had to say is said, and
 * drops the frame if the answer is 0; else the answer is how much of it to keep.
 *
 * All of the work is libvif/gate.h's; a vif has a program and a map of its own.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "libvif/gate.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct gate);
} gate SEC(".maps");

GATE_INLINE __u64 now_ns(void)
{
	return bpf_ktime_get_ns();
}

SEC("socket") int enter(struct __sk_buff *skb)
{
	const __u32 zero = 0;
	struct gate *g = bpf_map_lookup_elem(&gate, &zero);
	__u32 queue = skb->queue_mapping;
	/* a tag that is beside the frame yet is in it when it is read */
	__u32 size = skb->len + (skb->vlan_present ? 4 : 0);

	if (!g || queue >= GATE_QUEUES)
		return (int)skb->len;
	if (!gate_enter(&g->queue[queue], size, now_ns))
		return 0;
	/* The kernel notes whose frame it is when it comes in (__netif_receive_skb_core(): skb_iif),
	 * and a bridge leaves that as it is; 0: the host's own. */
	gate_came_by(&g->queue[queue], skb->ingress_ifindex);
	return (int)skb->len;
}

char gate_license[] SEC("license") = "Dual MIT/GPL";
