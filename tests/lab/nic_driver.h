/* SPDX-License-Identifier: MIT */
/*
 * What a driver makes of ethtool's commands about receive queues, on the registers of the
 * lab's NIC: rules (ntuple), the spreading (RSS), the flag. As strict as drivers are: only
 * Ethernet rules, a queue that exists, a location that is free.
 */
#ifndef VIF_LAB_NIC_DRIVER_H
#define VIF_LAB_NIC_DRIVER_H

#include "tests/lab/nic_table.h"

/* All queues are spread over, there is no rule. */
void nic_driver_init(struct nic_table *t, __u32 n_queues, __u32 n_rules);

/* 0 or -errno as SIOCETHTOOL would end; 1: not one of these commands. */
int nic_driver_command(struct nic_table *t, void *command);

#endif
