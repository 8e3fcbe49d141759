/* SPDX-License-Identifier: MIT */
/*
 * Rules by ethtool's ioctl ("ntuple", ethtool -N DEVICE flow-type ether dst ... action N):
 * struct ethtool_rx_flow_spec of <linux/ethtool.h>.
 *
 * Only what every driver that knows such rules takes: the whole destination, and of a tag
 * the VLAN's 12 bits. Where the driver does not place a rule itself (RX_CLS_LOC_SPECIAL) it
 * goes to the last free location, as ethtool(8) does it, so an operator's own rules, of
 * whichever location, stay.
 */
#include "backend/nic/rules.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/nic/ethtool.h"

#define LOCATIONS_MAX 65536u /* of a table that is searched for a free one */
#define VLAN_BITS     0x0fff

struct rules {
	struct ethtool e;
	bool places_itself; /* the driver finds a location */
};

/* ---- what is there ---- */

/* The locations of all rules, for the caller to free; .data is the table's size, or 0. */
static int list(const struct ethtool *e, struct ethtool_rxnfc **out)
{
	struct ethtool_rxnfc count = { .cmd = ETHTOOL_GRXCLSRLCNT }, *all;
	int err = ethtool_call(e, &count);

	if (err)
		return err;
	all = calloc(1, sizeof(*all) + count.rule_cnt * sizeof(all->rule_locs[0]));
	if (!all)
		return -ENOMEM;
	all->cmd = ETHTOOL_GRXCLSRLALL;
	all->rule_cnt = count.rule_cnt;
	err = ethtool_call(e, all);
	if (!err && all->rule_cnt > count.rule_cnt)
		err = -EMSGSIZE; /* the driver wrote beyond, or lies */
	if (err)
		free(all);
	else
		*out = all;
	return err;
}

static int get(const struct ethtool *e, uint32_t location, struct ethtool_rx_flow_spec *out)
{
	struct ethtool_rxnfc command = { .cmd = ETHTOOL_GRXCLSRULE, .fs.location = location };
	int err = ethtool_call(e, &command);

	*out = command.fs;
	return err;
}

static int del_at(const struct ethtool *e, uint32_t location)
{
	struct ethtool_rxnfc command = { .cmd = ETHTOOL_SRXCLSRLDEL, .fs.location = location };

	return ethtool_call(e, &command);
}

/* ---- a rule ---- */

static void describe(const struct rule *rule, struct ethtool_rx_flow_spec *fs)
{
	memset(fs, 0, sizeof(*fs));
	fs->flow_type = ETHER_FLOW;
	memcpy(fs->h_u.ether_spec.h_dest, rule->filter.mac, 6);
	memset(fs->m_u.ether_spec.h_dest, 0xff, 6);
	if (rule->filter.vlan) {
		fs->flow_type |= FLOW_EXT;
		fs->h_ext.vlan_tci = htobe16(rule->filter.vlan);
		fs->m_ext.vlan_tci = htobe16(VLAN_BITS);
	}
	fs->ring_cookie = rule->queue;
}

/* Whether 'fs', as a driver tells it, is 'rule' and matches nothing else. A driver may set
 * FLOW_EXT and leave the masks empty. */
static bool is_rule(const struct ethtool_rx_flow_spec *fs, const struct rule *rule)
{
	static const union ethtool_flow_union any;
	struct ethtool_rx_flow_spec want;
	union ethtool_flow_union mask = fs->m_u;

	describe(rule, &want);
	if ((fs->flow_type & ~FLOW_EXT) != ETHER_FLOW || fs->ring_cookie != rule->queue ||
	    memcmp(fs->h_u.ether_spec.h_dest, want.h_u.ether_spec.h_dest, 6) ||
	    memcmp(fs->m_u.ether_spec.h_dest, want.m_u.ether_spec.h_dest, 6))
		return false;
	memset(mask.ether_spec.h_dest, 0, 6);
	if (memcmp(&mask.ether_spec, &any.ether_spec, sizeof(mask.ether_spec)))
		return false;
	if (!(fs->flow_type & FLOW_EXT))
		return !rule->filter.vlan;
	return fs->m_ext.vlan_tci == want.m_ext.vlan_tci && !fs->m_ext.vlan_etype &&
	       !fs->m_ext.data[0] && !fs->m_ext.data[1] &&
	       (fs->h_ext.vlan_tci & fs->m_ext.vlan_tci) == want.h_ext.vlan_tci;
}

/* ---- where one goes ---- */

static int last_free(const struct ethtool_rxnfc *all, uint32_t *out)
{
	uint32_t size = MIN((uint32_t)all->data, LOCATIONS_MAX);
	bool *taken = calloc(MAX(size, 1u), 1);

	if (!taken)
		return -ENOMEM;
	for (uint32_t i = 0; i < all->rule_cnt; i++)
		if (all->rule_locs[i] < size)
			taken[all->rule_locs[i]] = true;
	while (size && taken[size - 1])
		size--;
	free(taken);
	*out = size - 1;
	return size ? 0 : -ENOSPC;
}

static int location_for(const struct rules *r, uint32_t *out)
{
	struct ethtool_rxnfc *all;
	int err;

	*out = RX_CLS_LOC_ANY;
	if (r->places_itself)
		return 0;
	err = list(&r->e, &all);
	if (err)
		return err;
	err = last_free(all, out);
	free(all);
	return err;
}

/* ---- for the provider ---- */

static int ntuple_has(struct rules *r, const struct rule *rule, uint32_t where)
{
	struct ethtool_rx_flow_spec found;
	int err = get(&r->e, where, &found);

	return err || is_rule(&found, rule) ? err : -EIO;
}

static int ntuple_add(struct rules *r, const struct rule *rule, uint32_t *where)
{
	struct ethtool_rxnfc command = { .cmd = ETHTOOL_SRXCLSRLINS };
	int err;

	describe(rule, &command.fs);
	err = location_for(r, &command.fs.location);
	if (!err)
		err = ethtool_call(&r->e, &command); /* and says which location, if it chose */
	if (err)
		return err;
	*where = command.fs.location;
	err = ntuple_has(r, rule, *where);
	if (err)
		(void)!del_at(&r->e, *where);
	return err;
}

static int ntuple_del(struct rules *r, const struct rule *rule)
{
	struct ethtool_rxnfc *all;
	int err = list(&r->e, &all);

	if (err)
		return err;
	for (uint32_t i = 0; i < all->rule_cnt; i++) {
		struct ethtool_rx_flow_spec found;
		int rc = get(&r->e, all->rule_locs[i], &found);

		if (!rc && is_rule(&found, rule))
			rc = del_at(&r->e, all->rule_locs[i]);
		if (rc && rc != -ENOENT)
			err = rc;
	}
	free(all);
	return err;
}

static void ntuple_close(struct rules *r)
{
	if (!r)
		return;
	ethtool_close(&r->e);
	free(r);
}

/* How many rules the device has room for: some drivers tell their table's size. */
static int look_at_table(struct rules *r, uint32_t *n_free)
{
	struct ethtool_rxnfc count = { .cmd = ETHTOOL_GRXCLSRLCNT }, *all;
	int err = ethtool_call(&r->e, &count);

	if (!err)
		err = list(&r->e, &all);
	if (err)
		return err;
	r->places_itself = count.data & RX_CLS_LOC_SPECIAL;
	*n_free = UINT32_MAX;
	if (all->data)
		*n_free = all->data > all->rule_cnt ? (uint32_t)all->data - all->rule_cnt : 0;
	if (!all->data && !r->places_itself)
		err = -EOPNOTSUPP; /* no location to name */
	free(all);
	return err;
}

static int ntuple_open(int ifindex, struct rules **out, uint32_t *n_free, char *why,
		       size_t why_size)
{
	struct rules *r = calloc(1, sizeof(*r));
	uint32_t flags;
	int err = r ? ethtool_open(&r->e, ifindex) : -ENOMEM;

	if (err) {
		free(r);
		return err;
	}
	/* ethtool -K DEVICE ntuple on; a driver without the flag may have rules all the same. */
	if (!ethtool_flags(&r->e, &flags) && !(flags & ETH_FLAG_NTUPLE))
		(void)!ethtool_set_flags(&r->e, flags | ETH_FLAG_NTUPLE);
	err = look_at_table(r, n_free);
	if (err) {
		snprintf(why, why_size, "no ntuple filters (ethtool -N): %s", strerror(-err));
		ntuple_close(r);
		return err;
	}
	*out = r;
	return 0;
}

const struct rules_ops ntuple_rules = {
	.name = "ntuple",
	.open = ntuple_open,
	.close = ntuple_close,
	.add = ntuple_add,
	.has = ntuple_has,
	.del = ntuple_del,
};
