/* SPDX-License-Identifier: MIT */
/* See nic_driver.h. Facts: <linux/ethtool.h>, net/ethtool/ioctl.c ethtool_get_rxnfc(),
 * ethtool_set_rxfh_indir(), ethtool_get_rxfh(). */
#include "tests/lab/nic_driver.h"

#include <errno.h>
#include <string.h>

#include "base.h"

/* ---- rules ---- */

static __u32 n_used(const struct nic_table *t)
{
	__u32 n = 0;

	for (__u32 i = 0; i < t->n_rules; i++)
		n += t->rule[i].used;
	return n;
}

static int count(struct nic_table *t, void *command)
{
	struct ethtool_rxnfc *c = command;

	c->rule_cnt = n_used(t);
	c->data = t->n_rules | (t->places_itself ? RX_CLS_LOC_SPECIAL : 0);
	return 0;
}

static int list(struct nic_table *t, void *command)
{
	struct ethtool_rxnfc *c = command;
	__u32 n = 0;

	for (__u32 i = 0; i < t->n_rules; i++) {
		if (!t->rule[i].used)
			continue;
		if (n == c->rule_cnt)
			return -EMSGSIZE;
		c->rule_locs[n++] = i;
	}
	c->rule_cnt = n;
	c->data = t->n_rules;
	return 0;
}

static int get(struct nic_table *t, void *command)
{
	struct ethtool_rxnfc *c = command;
	__u32 at = c->fs.location;

	if (at >= t->n_rules || !t->rule[at].used)
		return -ENOENT;
	c->fs = t->rule[at].spec;
	return 0;
}

static int check(const struct nic_table *t, const struct ethtool_rx_flow_spec *fs)
{
	if ((fs->flow_type & ~FLOW_EXT) != ETHER_FLOW || fs->ring_cookie >= t->n_queues)
		return -EINVAL;
	if (fs->location == RX_CLS_LOC_ANY && !t->places_itself)
		return -EINVAL;
	return fs->location != RX_CLS_LOC_ANY && fs->location >= t->n_rules ? -EINVAL : 0;
}

static int insert(struct nic_table *t, void *command)
{
	struct ethtool_rxnfc *c = command;
	__u32 at = c->fs.location;
	int err = check(t, &c->fs);

	if (err)
		return err;
	if (at == RX_CLS_LOC_ANY)
		for (at = 0; at < t->n_rules && t->rule[at].used;)
			at++;
	if (at >= t->n_rules)
		return -ENOSPC;
	__atomic_store_n(&t->rule[at].used, 0, __ATOMIC_RELEASE); /* one in its place is replaced */
	c->fs.location = at;
	t->rule[at].spec = c->fs;
	__atomic_store_n(&t->rule[at].used, 1, __ATOMIC_RELEASE);
	return 0;
}

static int del(struct nic_table *t, void *command)
{
	const struct ethtool_rxnfc *c = command;
	__u32 at = c->fs.location;

	if (at >= t->n_rules || !t->rule[at].used)
		return -ENOENT;
	__atomic_store_n(&t->rule[at].used, 0, __ATOMIC_RELEASE);
	return 0;
}

static int rings(struct nic_table *t, void *command)
{
	struct ethtool_rxnfc *c = command;

	c->data = t->n_queues;
	return 0;
}

/* ---- the spreading ---- */

static int get_spread(struct nic_table *t, void *command)
{
	struct ethtool_rxfh_indir *c = command;
	__u32 n = c->size;

	c->size = NIC_TABLE_SPREAD;
	if (!n)
		return 0;
	if (n != NIC_TABLE_SPREAD)
		return -EINVAL;
	memcpy(c->ring_index, t->spread, sizeof(t->spread));
	return 0;
}

/* n == 0: the driver's own. */
static int spread_by(struct nic_table *t, const __u32 table[], __u32 n)
{
	if (n && n != NIC_TABLE_SPREAD)
		return -EINVAL;
	for (__u32 i = 0; i < n; i++)
		if (table[i] >= t->n_queues)
			return -EINVAL;
	for (__u32 i = 0; i < NIC_TABLE_SPREAD; i++)
		t->spread[i] = n ? table[i] : i % t->n_queues;
	return 0;
}

static int set_spread(struct nic_table *t, void *command)
{
	const struct ethtool_rxfh_indir *c = command;

	return spread_by(t, c->ring_index, c->size);
}

/* For ethtool -X. */
static int set_rss(struct nic_table *t, void *command)
{
	const struct ethtool_rxfh *c = command;

	if (c->key_size || c->hfunc || c->rss_context)
		return -EOPNOTSUPP;
	return spread_by(t, c->rss_config, c->indir_size);
}

/* For ethtool -x: no key, no choice of a function. */
static int get_rss(struct nic_table *t, void *command)
{
	struct ethtool_rxfh *c = command;
	__u32 n = c->indir_size;

	c->indir_size = NIC_TABLE_SPREAD;
	c->key_size = 0;
	c->hfunc = 0;
	if (!n)
		return 0;
	if (n != NIC_TABLE_SPREAD)
		return -EINVAL;
	memcpy(c->rss_config, t->spread, sizeof(t->spread));
	return 0;
}

/* ---- all of them ---- */

void nic_driver_init(struct nic_table *t, __u32 n_queues, __u32 n_rules)
{
	memset(t, 0, sizeof(*t));
	t->n_queues = n_queues;
	t->n_rules = MIN(n_rules, (__u32)NIC_TABLE_RULES);
	for (__u32 i = 0; i < NIC_TABLE_SPREAD; i++)
		t->spread[i] = i % n_queues;
}

int nic_driver_command(struct nic_table *t, void *command)
{
	static const struct {
		__u32 cmd;
		bool needs_flag;
		int (*act)(struct nic_table *t, void *command);
	} commands[] = {
		{ ETHTOOL_GRXRINGS, false, rings },
		{ ETHTOOL_GRXCLSRLCNT, false, count },
		{ ETHTOOL_GRXCLSRLALL, false, list },
		{ ETHTOOL_GRXCLSRULE, false, get },
		{ ETHTOOL_SRXCLSRLINS, true, insert },
		{ ETHTOOL_SRXCLSRLDEL, false, del },
		{ ETHTOOL_GRXFHINDIR, false, get_spread },
		{ ETHTOOL_SRXFHINDIR, false, set_spread },
		{ ETHTOOL_GRSSH, false, get_rss },
		{ ETHTOOL_SRSSH, false, set_rss },
	};
	__u32 cmd;

	memcpy(&cmd, command, sizeof(cmd));
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].cmd != cmd)
			continue;
		if (commands[i].needs_flag && !(t->flags & ETH_FLAG_NTUPLE))
			return -EOPNOTSUPP;
		return commands[i].act(t, command);
	}
	return 1;
}
