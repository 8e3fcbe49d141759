/* SPDX-License-Identifier: MIT */
/*
 * The registers of the lab's NIC: a table of rules as drivers have it, and the table that
 * spreads what no rule matches. Written by what plays its driver (nic_driver.h), read by
 * what plays its hardware (nic_switch.bpf.c). For both compilers.
 */
#ifndef VIF_LAB_NIC_TABLE_H
#define VIF_LAB_NIC_TABLE_H

#include <linux/ethtool.h>

#define NIC_TABLE_RULES	 32
#define NIC_TABLE_SPREAD 128

struct nic_table_rule {
	__u32 used; /* written last, by one store */
	struct ethtool_rx_flow_spec spec;
};

struct nic_table {
	__u32 n_queues;
	__u32 n_rules;	     /* of rule[] it has */
	__u32 flags;	     /* ETH_FLAG_NTUPLE */
	__u32 places_itself; /* RX_CLS_LOC_SPECIAL */
	__u32 spread[NIC_TABLE_SPREAD];
	struct nic_table_rule rule[NIC_TABLE_RULES];
};

#endif
