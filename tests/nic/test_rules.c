/* SPDX-License-Identifier: MIT */
/*
 * Rules of a device's own, at the level of messages: what is said to the kernel, byte for
 * byte, and what vifd makes of a driver's answers. The driver is the lab's (tests/lab/
 * nic_driver.c), in front of which this test refuses, forgets and lies.
 */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "backend/nic/ethtool.h"
#include "backend/nic/rules.h"
#include "tests/nic/ethtool_rig.h"

static struct ethtool_rxnfc inserted; /* as it came */
static uint32_t n_inserted;
static void (*lie)(struct ethtool_rx_flow_spec *fs); /* about a rule that is asked for */

static void asked(const void *command)
{
	const struct ethtool_rxnfc *c = command;

	/* A shorter one has another number. */
	if (c->cmd != ETHTOOL_SRXCLSRLINS || rig.refused == ETHTOOL_SRXCLSRLINS)
		return;
	inserted = *c;
	n_inserted++;
}

static void answered(void *command)
{
	struct ethtool_rxnfc *c = command;

	if (c->cmd == ETHTOOL_GRXCLSRULE && lie)
		lie(&c->fs);
}

/* ---- a test's beginning and end ---- */

static struct rules *rules;
static uint32_t where; /* of the rule added last */
static char why[96];

static int open_rules(uint32_t *n_free)
{
	return ntuple_rules.open(RIG_IFINDEX, &rules, n_free, why, sizeof(why));
}

static int start(void **state)
{
	uint32_t n_free;

	(void)state;
	ethtool_rig_init("eth7", ETH_FLAG_LRO);
	rig.asked = asked;
	rig.answered = answered;
	n_inserted = 0;
	lie = NULL;
	return open_rules(&n_free);
}

static int end(void **state)
{
	(void)state;
	ntuple_rules.close(rules);
	rules = NULL;
	return 0;
}

static const struct rule untagged = { { .mac = { 0x00, 0x16, 0x3e, 0, 0, 1 } }, 6 };
static const struct rule tagged = { { .mac = { 0x00, 0x16, 0x3e, 0, 0, 1 }, .vlan = 5 }, 7 };

/* ---- bytes ---- */

/* "ethtool -N eth7 flow-type ether dst 00:16:3e:00:00:01 action 6", and for the second with
 * "vlan 5 m 0xf000" and "action 7", as ethtool 6.1 says them; at 'at' is what is not 0. */
struct bytes {
	size_t at;
	const char *what;
	size_t n;
};

static void insert_is(const struct bytes *b, size_t n)
{
	uint8_t want[sizeof(struct ethtool_rxnfc)] = { 0 };

	assert_int_equal(sizeof(struct ethtool_rxnfc), 192);
	for (size_t i = 0; i < n; i++)
		memcpy(want + b[i].at, b[i].what, b[i].n);
	assert_memory_equal(&inserted, want, sizeof(want));
}

static void bytes_untagged(void **state)
{
	static const struct bytes bytes[] = {
		{ 0x00, "\x32", 1 }, /* ETHTOOL_SRXCLSRLINS */
		{ 0x10, "\x12", 1 }, /* ETHER_FLOW */
		{ 0x14, "\x00\x16\x3e\x00\x00\x01", 6 },
		{ 0x5c, "\xff\xff\xff\xff\xff\xff", 6 },
		{ 0xa8, "\x06", 1 }, /* the queue */
		{ 0xb0, "\x0f", 1 }, /* the last location of 16 */
	};

	(void)state;
	assert_int_equal(ntuple_rules.add(rules, &untagged, &where), 0);
	insert_is(bytes, ARRAY_SIZE(bytes));
}

static void bytes_tagged(void **state)
{
	static const struct bytes bytes[] = {
		{ 0x00, "\x32", 1 },
		{ 0x10, "\x12\x00\x00\x80", 4 }, /* | FLOW_EXT */
		{ 0x14, "\x00\x16\x3e\x00\x00\x01", 6 },
		{ 0x52, "\x00\x05", 2 }, /* in network order */
		{ 0x5c, "\xff\xff\xff\xff\xff\xff", 6 },
		{ 0x9a, "\x0f\xff", 2 },
		{ 0xa8, "\x07", 1 },
		{ 0xb0, "\xff\xff\xff\xff", 4 }, /* RX_CLS_LOC_ANY */
	};

	(void)state;
	rig.table.places_itself = 1;
	end(NULL);
	assert_int_equal(open_rules(&(uint32_t){ 0 }), 0);
	assert_int_equal(ntuple_rules.add(rules, &tagged, &where), 0);
	insert_is(bytes, ARRAY_SIZE(bytes));
	assert_true(rig.table.rule[0].used); /* where the driver put it */
	assert_int_equal(ntuple_rules.del(rules, &tagged), 0);
	assert_int_equal(ethtool_rig_rules(), 0);
}

/* ---- opening ---- */

static void the_flag(void **state)
{
	(void)state;
	assert_int_equal(rig.table.flags, ETH_FLAG_NTUPLE);
	assert_int_equal(rig.kernel_flags, ETH_FLAG_LRO); /* is not ours to change */
}

static void no_rules(void **state)
{
	uint32_t n_free;

	(void)state;
	end(NULL);
	rig.refused = ETHTOOL_GRXCLSRLCNT;
	rig.error = -EOPNOTSUPP;
	assert_int_equal(open_rules(&n_free), -EOPNOTSUPP);
	assert_string_equal(why, "no ntuple filters (ethtool -N): Operation not supported");
}

static void room_for_others(void **state)
{
	uint32_t n_free;

	(void)state;
	assert_int_equal(ntuple_rules.add(rules, &untagged, &where), 0);
	end(NULL);
	assert_int_equal(open_rules(&n_free), 0);
	assert_int_equal(n_free, 15);
}

/* ---- rules among others' ---- */

static void add_and_remove(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) { /* as after a crash: nothing is remembered */
		assert_int_equal(ntuple_rules.add(rules, &untagged, &where), 0);
		assert_int_equal(ntuple_rules.add(rules, &tagged, &where), 0);
		assert_int_equal(ethtool_rig_rules(), 2);
		end(NULL);
		assert_int_equal(open_rules(&(uint32_t){ 0 }), 0);
		assert_int_equal(ntuple_rules.del(rules, &untagged), 0);
		assert_int_equal(ethtool_rig_rules(), 1);
		assert_int_equal(ntuple_rules.del(rules, &untagged), 0); /* none: well */
		assert_int_equal(ntuple_rules.del(rules, &tagged), 0);
		assert_int_equal(ethtool_rig_rules(), 0);
	}
}

/* What an operator has is not taken for ours, and not replaced. */
static void others_stay(void **state)
{
	struct ethtool_rxnfc c = { .cmd = ETHTOOL_SRXCLSRLINS };
	struct ethtool_rx_flow_spec *fs = &c.fs;

	(void)state;
	fs->flow_type = ETHER_FLOW;
	memcpy(fs->h_u.ether_spec.h_dest, untagged.filter.mac, 6);
	memset(fs->m_u.ether_spec.h_dest, 0xff, 6);
	fs->ring_cookie = 1; /* another queue */
	fs->location = 15;
	assert_int_equal(nic_driver_command(&rig.table, &c), 0);
	fs->ring_cookie = untagged.queue;
	fs->m_u.ether_spec.h_proto = 0xffff; /* one type only */
	fs->location = 14;
	assert_int_equal(nic_driver_command(&rig.table, &c), 0);
	fs->m_u.ether_spec.h_proto = 0;
	fs->m_u.ether_spec.h_dest[5] = 0xf0; /* more than one address */
	fs->location = 3;
	assert_int_equal(nic_driver_command(&rig.table, &c), 0);

	assert_int_equal(ntuple_rules.add(rules, &untagged, &where), 0);
	assert_true(rig.table.rule[13].used);
	assert_int_equal(ntuple_rules.del(rules, &untagged), 0);
	assert_int_equal(ethtool_rig_rules(), 3);
	assert_false(rig.table.rule[13].used);
}

/* ---- drivers that do not ---- */

static void full(void **state)
{
	struct rule rule = untagged;

	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		rule.filter.mac[5] = (uint8_t)i;
		assert_int_equal(ntuple_rules.add(rules, &rule, &where), 0);
	}
	rule.filter.mac[5] = 16;
	assert_int_equal(ntuple_rules.add(rules, &rule, &where), -ENOSPC);
	assert_int_equal(n_inserted, 16);
	end(NULL);
	assert_int_equal(open_rules(&(uint32_t){ 0 }), 0);
}

static void refused(void **state)
{
	(void)state;
	rig.refused = ETHTOOL_SRXCLSRLINS;
	rig.error = -EINVAL;
	assert_int_equal(ntuple_rules.add(rules, &untagged, &where), -EINVAL);
	assert_int_equal(ethtool_rig_rules(), 0);
	rig.refused = 0;
	assert_int_equal(ntuple_rules.add(rules, &untagged, &where), 0);
	rig.refused = ETHTOOL_SRXCLSRLDEL;
	rig.error = -EIO;
	assert_int_equal(ntuple_rules.del(rules, &untagged), -EIO);
}

/* What ethtool(8) or a driver that begins anew makes of it, when asked after later. */
static void taken_away(void **state)
{
	uint32_t at[2];

	(void)state;
	assert_int_equal(ntuple_rules.add(rules, &untagged, &at[0]), 0);
	assert_int_equal(ntuple_rules.add(rules, &tagged, &at[1]), 0);
	assert_int_equal(ntuple_rules.has(rules, &untagged, at[0]), 0);
	assert_int_equal(ntuple_rules.has(rules, &tagged, at[1]), 0);
	rig.table.rule[at[0]].used = 0; /* ethtool -N eth7 delete */
	assert_int_equal(ntuple_rules.has(rules, &untagged, at[0]), -ENOENT);
	assert_int_equal(ntuple_rules.has(rules, &tagged, at[1]), 0);
	assert_int_equal(ntuple_rules.del(rules, &untagged), 0);
	assert_int_equal(ntuple_rules.add(rules, &untagged, &at[0]), 0);
	assert_int_equal(ntuple_rules.has(rules, &untagged, at[0]), 0);

	rig.table.rule[at[1]] = rig.table.rule[at[0]]; /* another one stands there */
	assert_int_equal(ntuple_rules.has(rules, &tagged, at[1]), -EIO);
	nic_driver_init(&rig.table, 8, 16); /* ethtool -L: the driver began anew */
	assert_int_equal(ntuple_rules.has(rules, &untagged, at[0]), -ENOENT);
	rig.refused = ETHTOOL_GRXCLSRULE; /* it has no such thing any more: ethtool -K */
	rig.error = -EOPNOTSUPP;
	assert_int_equal(ntuple_rules.has(rules, &untagged, at[0]), -EOPNOTSUPP);
}

static void another_queue(struct ethtool_rx_flow_spec *fs)
{
	fs->ring_cookie = 0;
}

static void any_vlan(struct ethtool_rx_flow_spec *fs)
{
	fs->m_ext.vlan_tci = 0;
}

static void any_address(struct ethtool_rx_flow_spec *fs)
{
	fs->m_u.ether_spec.h_dest[5] = 0;
}

/* Read back, it is something else: then it does not stay. */
static void not_what_was_asked(void **state)
{
	static void (*const lies[])(struct ethtool_rx_flow_spec * fs) = { another_queue, any_vlan,
									  any_address };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		lie = lies[i];
		assert_int_equal(ntuple_rules.add(rules, &tagged, &where), -EIO);
		assert_int_equal(ethtool_rig_rules(), 0);
	}
	lie = NULL;
	rig.refused = ETHTOOL_GRXCLSRULE;
	rig.error = -EINVAL;
	assert_int_equal(ntuple_rules.add(rules, &tagged, &where), -EINVAL);
	assert_int_equal(ethtool_rig_rules(), 0);
}

/* A rule goes to the device it was on, whatever its name is by then; of one that is gone there is
 * none. */
static void renamed(void **state)
{
	const struct rule rule = { .filter = { .mac = { 0, 0x16, 0x3e, 1, 2, 3 } }, .queue = 5 };

	(void)state;
	assert_int_equal(ntuple_rules.add(rules, &rule, &where), 0);
	rig.name = "other0";
	assert_int_equal(ntuple_rules.has(rules, &rule, where), 0);
	assert_int_equal(ntuple_rules.del(rules, &rule), 0);
	assert_int_equal(ethtool_rig_rules(), 0);
	rig.name = NULL;
	assert_int_equal(ntuple_rules.add(rules, &rule, &where), -ENODEV);
	assert_int_equal(ntuple_rules.del(rules, &rule), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
		T(bytes_untagged),  T(bytes_tagged),	   T(the_flag),	   T(no_rules),
		T(room_for_others), T(add_and_remove),	   T(others_stay), T(full),
		T(refused),	    T(not_what_was_asked), T(taken_away),  T(renamed),
#undef T
	};

	return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
