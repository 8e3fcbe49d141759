/* SPDX-License-Identifier: MIT */
/*
 * The filter of a NIC that has none for us: picks the place of a frame by destination
 * address and VLAN, and lets pass to the host's stack what has no place.
 *
 * A place has a socket for each of the device's queues or, where the device picks the queue,
 * for one. On another, and where there is none any more (its process died), the frame passes
 * as well: the kernel takes closed sockets out of the map.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "backend/bpf/nic_filter.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NIC_FILTERS_MAX);
	__type(key, struct nic_filter_key);
	__type(value, __u32); /* place */
} filters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, NIC_FILTERS_MAX * NIC_DEVICE_QUEUES_MAX);
	__type(key, __u32); /* place * NIC_DEVICE_QUEUES_MAX + queue - queues.first */
	__type(value, __u32);
} sockets SEC(".maps");

const volatile struct nic_device_queues queues = { .first = 0 };

struct ethernet {
	__u8 to[6], from[6];
	__be16 type;
};

struct tag {
	__be16 vlan;
	__be16 type;
};

#define ETHERTYPE_VLAN 0x8100
#define VLAN_MASK      0x0fff

SEC("xdp")
int vifd_nic(struct xdp_md *ctx)
{
	const void *data = (const void *)(long)ctx->data, *end = (const void *)(long)ctx->data_end;
	const struct ethernet *eth = data;
	const struct tag *tag = (const void *)(eth + 1);
	struct nic_filter_key key = { .vlan = 0 };
	const __u32 queue = ctx->rx_queue_index - queues.first;
	const __u32 *place;

	if ((const void *)(eth + 1) > end || queue >= NIC_DEVICE_QUEUES_MAX)
		return XDP_PASS;
	__builtin_memcpy(key.mac, eth->to, sizeof(key.mac));
	if (eth->type == bpf_htons(ETHERTYPE_VLAN)) {
		if ((const void *)(tag + 1) > end)
			return XDP_PASS;
		key.vlan = bpf_ntohs(tag->vlan) & VLAN_MASK;
		if (!key.vlan) /* a priority only: the stack knows what to do */
			return XDP_PASS;
	}
	place = bpf_map_lookup_elem(&filters, &key);
	if (!place)
		return XDP_PASS;
	return bpf_redirect_map(&sockets, *place * NIC_DEVICE_QUEUES_MAX + queue, XDP_PASS);
}

char nic_license[] SEC("license") = "Dual MIT/GPL";
