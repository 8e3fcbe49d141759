/* SPDX-License-Identifier: MIT */
/*
 * Which of a TAP's queues gets a frame: the kernel asks this program for each frame it
 * sends into a TAP with several queues (TUNSETSTEERINGEBPF), in place of its own table,
 * which learns a flow's queue from where the guest last sent from, and so moves flows.
 *
 * All of the work is libvif/steering.h's; a vif has a program and a map of its own. The
 * kernel takes the answer modulo the number of queues.
 */
#include <stddef.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "libvif/steering.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct steering);
} steering SEC(".maps");

STEER_INLINE int load_skb(const void *skb, __u32 offset, void *to, __u32 size)
{
	return (int)bpf_skb_load_bytes(skb, offset, to, size);
}

SEC("socket") int steer(struct __sk_buff *skb)
{
	const __u32 zero = 0;
	const struct steering *s = bpf_map_lookup_elem(&steering, &zero);
	const struct steering_table *t = s ? steer_table(s) : NULL;
	__u32 type;

	return t ? (int)steer_queue(s, t, steer_hash(t, skb, load_skb, &type)) : 0;
}

char steer_license[] SEC("license") = "Dual MIT/GPL";
