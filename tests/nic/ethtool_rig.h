/* SPDX-License-Identifier: MIT */
/*
 * A device that ethtool's commands reach without a kernel (--wrap=ioctl): the driver of the
 * lab's NIC (tests/lab/nic_driver.h), with the kernel's part of the flags, and a test in front
 * of it that refuses, listens and lies.
 */
#ifndef TESTS_NIC_ETHTOOL_RIG_H
#define TESTS_NIC_ETHTOOL_RIG_H

#include "tests/lab/nic_driver.h"

#define RIG_IFINDEX 7

struct ethtool_rig {
	const char *name; /* the device's, as every command has to have it; NULL: it is gone */
	struct nic_table table;
	uint32_t kernel_flags; /* of the device; ETH_FLAG_NTUPLE is table.flags */
	uint32_t refused;      /* this command ... */
	int error;	       /* ... ends with this, -errno */
	void (*asked)(const void *command); /* as it came; NULL: nobody listens */
	void (*answered)(void *command);    /* with success, to be changed; NULL: as it is */
};

extern struct ethtool_rig rig;

/* A new device of 8 queues and room for 16 rules, nothing refused. */
void ethtool_rig_init(const char *name, uint32_t kernel_flags);

/* How many rules it has. */
uint32_t ethtool_rig_rules(void);

#endif
