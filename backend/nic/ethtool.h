/* SPDX-License-Identifier: MIT */
/*
 * Rank 61: what ethtool's ioctl says about a network device and sets on it. The ioctl knows
 * devices by name, and a name may be another device's by now: so each command asks which name
 * the device has.
 *
 * Owner: control; each call is a system call that may take a driver some milliseconds.
 */
#ifndef VIF_NIC_ETHTOOL_H
#define VIF_NIC_ETHTOOL_H

#include "base.h"

#define ETHTOOL_SPREAD_MAX 4096u /* entries of a table that are looked at */

struct ethtool {
	int socket;
	int ifindex;
};

/* 0 or -errno; the device need not exist. */
int ethtool_open(struct ethtool *e, int ifindex) must_check;
void ethtool_close(struct ethtool *e);

/* One command of <linux/ethtool.h>, a struct that begins with its number. 0 or the
 * driver's -errno; -EOPNOTSUPP: it has none such; -ENODEV: the device is gone. */
int ethtool_call(const struct ethtool *e, void *command) must_check;

/* Receive queues: of combined channels and those of their own. At least 1. */
uint32_t ethtool_n_queues(const struct ethtool *e);

/* ETH_FLAG_*. */
int ethtool_flags(const struct ethtool *e, uint32_t *out) must_check;
int ethtool_set_flags(const struct ethtool *e, uint32_t flags) must_check;

/*
 * The table by which the device spreads frames over its queues (RSS): one queue an entry.
 * 0; -EOPNOTSUPP: it has none; -E2BIG: more than ETHTOOL_SPREAD_MAX; -errno.
 */
int ethtool_spread(const struct ethtool *e, uint32_t table[ETHTOOL_SPREAD_MAX],
		   uint32_t *n) must_check;

/* n == 0: the driver's own. */
int ethtool_set_spread(const struct ethtool *e, const uint32_t table[], uint32_t n) must_check;

#endif
