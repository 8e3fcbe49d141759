/* SPDX-License-Identifier: MIT */
/*
 * The hardware of the lab's NIC: picks the receive queue of each frame, by the first rule of
 * its registers that matches, else by the spreading. On the egress of the switch's port to
 * the NIC: the frame comes out of the veth's queue of the same number.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tests/lab/nic_table.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct nic_table);
} nic_table SEC(".maps");

struct frame {
	__u8 to[6], from[6];
	__be16 type, tag, inner;
} __attribute__((packed));

static __always_inline int matches(const struct nic_table_rule *r, const struct frame *f)
{
	const struct ethhdr *value = &r->spec.h_u.ether_spec, *mask = &r->spec.m_u.ether_spec;
	int tagged = f->type == bpf_htons(0x8100);
	__be16 type = tagged ? f->inner : f->type;

	if (!r->used)
		return 0;
	for (int i = 0; i < 6; i++)
		if ((f->to[i] ^ value->h_dest[i]) & mask->h_dest[i] ||
		    (f->from[i] ^ value->h_source[i]) & mask->h_source[i])
			return 0;
	if ((type ^ value->h_proto) & mask->h_proto)
		return 0;
	if (!(r->spec.flow_type & FLOW_EXT) || !r->spec.m_ext.vlan_tci)
		return 1;
	return tagged && !((f->tag ^ r->spec.h_ext.vlan_tci) & r->spec.m_ext.vlan_tci);
}

/* 1 more than the queue's number is how a forwarded frame asks for it (skb_rx_queue_recorded(),
 * netdev_pick_tx()). */
SEC("tc")
int nic_switch(struct __sk_buff *skb)
{
	const __u32 zero = 0;
	const struct nic_table *t = bpf_map_lookup_elem(&nic_table, &zero);
	struct frame f = { .type = 0 };

	if (!t || bpf_skb_load_bytes(skb, 0, &f, sizeof(f)))
		return TC_ACT_UNSPEC;
	for (int i = 0; i < NIC_TABLE_RULES; i++) {
		if (!matches(&t->rule[i], &f))
			continue;
		skb->queue_mapping = (__u32)t->rule[i].spec.ring_cookie + 1;
		return TC_ACT_UNSPEC;
	}
	skb->queue_mapping = t->spread[bpf_get_hash_recalc(skb) % NIC_TABLE_SPREAD] + 1;
	return TC_ACT_UNSPEC;
}

char nic_switch_license[] SEC("license") = "Dual MIT/GPL";
