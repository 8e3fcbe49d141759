/* SPDX-License-Identifier: MIT */
/*
 * The lab's NIC with filters of its own. Its hardware is a switch between wire and uplink:
 *
 *	NAME-wire               NAME-switch                          dom0
 *	  eth0 ------------ wire0 [bridge] nic0 =================== NAMEw0
 *	                                   ^ BPF: which of the veth's queues
 *	                                   | (nic_switch.bpf.c)
 *	                                registers, a map <--- driver (nic_preload.c) <-- ethtool
 *
 * What vifd sees is what it sees of a real one: ethtool's commands, and frames on the queue
 * that its rules say.
 */
#ifndef VIF_LAB_NIC_SWITCH_H
#define VIF_LAB_NIC_SWITCH_H

#include "lab.h"

#define NIC_SWITCH_TABLE   LAB_DIR "/bpf/nic_table"
#define NIC_SWITCH_PROGRAM LAB_DIR "/bpf/nic_switch" /* for a test that makes nic0 anew */

/* Of the veth, at both ends. */
uint32_t nic_switch_n_queues(const struct lab *lab);

/* Puts the program on the egress of nic0, in the caller's network namespace, and its registers
 * at NIC_SWITCH_TABLE. 0 or -errno, and said why. */
int nic_switch_start(const struct lab *lab) must_check;

/* Before a program is started that configures the NIC, and after. */
void nic_switch_preload(const struct lab *lab, bool on);

#endif
