/* SPDX-License-Identifier: MIT */
/*
 * See ethtool.h. By ioctl, which every driver answers, whatever the kernel's age; the key
 * and the function of the spreading are not touched.
 */
#include "backend/nic/ethtool.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int ethtool_open(struct ethtool *e, int ifindex)
{
	e->ifindex = ifindex;
	e->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return e->socket < 0 ? -errno : 0;
}

void ethtool_close(struct ethtool *e)
{
	close(e->socket);
}

int ethtool_call(const struct ethtool *e, void *command)
{
	struct ifreq req = { .ifr_ifindex = e->ifindex };

	if (ioctl(e->socket, SIOCGIFNAME, &req))
		return -errno;
	req.ifr_data = command;
	return ioctl(e->socket, SIOCETHTOOL, &req) ? -errno : 0;
}

uint32_t ethtool_n_queues(const struct ethtool *e)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };

	if (ethtool_call(e, &channels))
		return 1;
	return MAX(channels.combined_count + channels.rx_count, 1u);
}

int ethtool_flags(const struct ethtool *e, uint32_t *out)
{
	struct ethtool_value flags = { .cmd = ETHTOOL_GFLAGS };
	int err = ethtool_call(e, &flags);

	*out = flags.data;
	return err;
}

int ethtool_set_flags(const struct ethtool *e, uint32_t flags)
{
	struct ethtool_value command = { .cmd = ETHTOOL_SFLAGS, .data = flags };

	return ethtool_call(e, &command);
}

static struct ethtool_rxfh_indir *spread_command(uint32_t cmd, uint32_t n)
{
	struct ethtool_rxfh_indir *command =
	    calloc(1, sizeof(*command) + n * sizeof(command->ring_index[0]));

	if (command) {
		command->cmd = cmd;
		command->size = n;
	}
	return command;
}

int ethtool_spread(const struct ethtool *e, uint32_t table[ETHTOOL_SPREAD_MAX], uint32_t *n)
{
	struct ethtool_rxfh_indir size = { .cmd = ETHTOOL_GRXFHINDIR }, *command;
	int err = ethtool_call(e, &size);

	*n = size.size;
	if (err || !*n)
		return err ? err : -EOPNOTSUPP;
	if (*n > ETHTOOL_SPREAD_MAX)
		return -E2BIG;
	command = spread_command(ETHTOOL_GRXFHINDIR, *n);
	if (!command)
		return -ENOMEM;
	err = ethtool_call(e, command);
	memcpy(table, command->ring_index, *n * sizeof(*table));
	free(command);
	return err;
}

int ethtool_set_spread(const struct ethtool *e, const uint32_t table[], uint32_t n)
{
	struct ethtool_rxfh_indir *command = spread_command(ETHTOOL_SRXFHINDIR, n);
	int err;

	if (!command)
		return -ENOMEM;
	if (n)
		memcpy(command->ring_index, table, n * sizeof(*table));
	err = ethtool_call(e, command);
	free(command);
	return err;
}
