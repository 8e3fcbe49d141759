/* SPDX-License-Identifier: MIT */
/*
 * Rank 6: what the XDP program of a NIC (nic.bpf.c) and who fills its maps agree upon.
 * For both compilers.
 */
#ifndef VIF_BPF_NIC_FILTER_H
#define VIF_BPF_NIC_FILTER_H

#include <linux/types.h>

#define NIC_FILTERS_MAX	      16
#define NIC_DEVICE_QUEUES_MAX 16

struct nic_filter_key {
	__u8 mac[6];
	__u16 vlan; /* 0: not tagged */
};

/* The program's constants: it serves up to NIC_DEVICE_QUEUES_MAX queues. */
struct nic_device_queues {
	__u32 first;
};

#endif
