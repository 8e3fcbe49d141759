/* SPDX-License-Identifier: MIT */
/* See ethtool_rig.h. */
#include "tests/unit/unit.h"

#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/nic/ethtool_rig.h"

struct ethtool_rig rig;

void ethtool_rig_init(const char *name, uint32_t kernel_flags)
{
	memset(&rig, 0, sizeof(rig));
	rig.name = name;
	rig.kernel_flags = kernel_flags;
	nic_driver_init(&rig.table, 8, 16);
}

uint32_t ethtool_rig_rules(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < NIC_TABLE_RULES; i++)
		n += rig.table.rule[i].used;
	return n;
}

static int flags(struct ethtool_value *v)
{
	if (v->cmd == ETHTOOL_SFLAGS) {
		rig.table.flags = v->data & ETH_FLAG_NTUPLE;
		rig.kernel_flags = v->data & ~(uint32_t)ETH_FLAG_NTUPLE;
	}
	v->data = rig.kernel_flags | rig.table.flags;
	return 0;
}

static int answer(uint32_t cmd, void *command)
{
	int rc;

	if (cmd == rig.refused)
		return rig.error;
	if (cmd == ETHTOOL_GFLAGS || cmd == ETHTOOL_SFLAGS)
		return flags(command);
	if (cmd == ETHTOOL_GCHANNELS) {
		((struct ethtool_channels *)command)->combined_count = rig.table.n_queues;
		return 0;
	}
	rc = nic_driver_command(&rig.table, command);
	return rc > 0 ? -EOPNOTSUPP : rc;
}

int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct ifreq *req;
	uint32_t cmd;
	va_list args;
	int rc;

	va_start(args, request);
	req = va_arg(args, struct ifreq *);
	va_end(args);
	assert_true(fd >= 0);
	if (request == SIOCGIFNAME && rig.name) {
		snprintf(req->ifr_name, sizeof(req->ifr_name), "%s", rig.name);
		return 0;
	}
	if (request == SIOCGIFNAME) {
		errno = ENODEV;
		return -1;
	}
	assert_int_equal(request, SIOCETHTOOL);
	assert_string_equal(req->ifr_name, rig.name);
	memcpy(&cmd, req->ifr_data, sizeof(cmd));
	if (rig.asked)
		rig.asked(req->ifr_data);
	rc = answer(cmd, req->ifr_data);
	if (!rc && rig.answered)
		rig.answered(req->ifr_data);
	errno = -rc;
	return rc ? -1 : 0;
}
