/* SPDX-License-Identifier: MIT */
/*
 * Which of a device's queues become guests', and what of the device is changed for that and
 * put back: by ethtool's commands, on the driver of the lab's NIC (tests/lab/nic_driver.c). The
 * device is "lo" as far as the kernel is asked.
 */
#include "tests/unit/unit.h"

#include <net/if.h>
#include <string.h>

#include "backend/nic/ethtool.h"
#include "backend/nic/guest_queues.h"
#include "tests/nic/ethtool_rig.h"

static uint32_t n_spread; /* not 0: how large the table is said to be */

static void answered(void *command)
{
	struct ethtool_rxfh_indir *spread = command;

	if (spread->cmd == ETHTOOL_GRXFHINDIR && n_spread)
		spread->size = n_spread;
}

static struct guest_queues q;
static char why[160];

static bool own; /* whether one is wanted; whether there is one */

static int open_queues(bool by_device, uint32_t n_filters)
{
	why[0] = '\0';
	return guest_queues_open(&q, (int)if_nametoindex("lo"), by_device, n_filters, &own, why,
				 sizeof(why));
}

static void put_back(void)
{
	guest_queues_put_back((int)if_nametoindex("lo"), &q.was, -1);
}

static int start(void **state)
{
	(void)state;
	ethtool_rig_init("lo", ETH_FLAG_RXVLAN | ETH_FLAG_LRO);
	rig.answered = answered;
	rig.error = -EOPNOTSUPP;
	n_spread = 0;
	own = false;
	return 0;
}

static int end(void **state)
{
	(void)state;
	guest_queues_close(&q);
	return 0;
}

/* How many of the table's entries lead to a queue. */
static uint32_t n_to(uint32_t queue)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < NIC_TABLE_SPREAD; i++)
		n += rig.table.spread[i] == queue;
	return n;
}

static void chosen(void **state)
{
	static const struct {
		uint32_t n_queues, n_rules, n_filters, first, n;
	} cases[] = {
		{ 8, 16, 0, 4, 4 },  /* half of them */
		{ 8, 16, 3, 5, 3 },  /* as many as the operator says */
		{ 8, 16, 16, 1, 7 }, /* but one is left */
		{ 8, 2, 0, 6, 2 },   /* there are no more rules */
		{ 2, 16, 0, 1, 1 },    { 3, 16, 0, 2, 1 },
		{ 64, 32, 0, 48, 16 }, /* no more than places */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		nic_driver_init(&rig.table, cases[i].n_queues, cases[i].n_rules);
		assert_int_equal(open_queues(true, cases[i].n_filters), 0);
		assert_int_equal(q.was.first, cases[i].first);
		assert_int_equal(q.was.n, cases[i].n);
		guest_queues_close(&q);
	}
}

/* One more, before guests', if there is one to be had. */
static void chosen_with_one_of_its_own(void **state)
{
	static const struct {
		uint32_t n_queues, n_rules, n_filters, first, n;
		bool own;
	} cases[] = {
		{ 8, 16, 0, 3, 5, true },   { 8, 16, 3, 4, 4, true },
		{ 8, 16, 16, 1, 7, true },  /* there are no more: one guest less */
		{ 8, 2, 0, 5, 3, true },    /* it takes no rule */
		{ 3, 16, 0, 1, 2, true },   { 2, 16, 0, 1, 1, false },
		{ 64, 32, 0, 48, 16, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		nic_driver_init(&rig.table, cases[i].n_queues, cases[i].n_rules);
		own = true;
		assert_int_equal(open_queues(true, cases[i].n_filters), 0);
		assert_int_equal(q.was.first, cases[i].first);
		assert_int_equal(q.was.n, cases[i].n);
		assert_int_equal(own, cases[i].own);
		guest_queues_close(&q);
	}
}

static void not_possible(void **state)
{
	(void)state;
	nic_driver_init(&rig.table, 1, 16);
	assert_int_equal(open_queues(true, 0), -EOPNOTSUPP);
	assert_string_equal(why, "it has one receive queue only");

	nic_driver_init(&rig.table, 8, 0);
	rig.table.places_itself = 1;
	assert_int_equal(open_queues(true, 0), 0); /* it does not say how many it has room for */
	guest_queues_close(&q);

	nic_driver_init(&rig.table, 8, 16);
	rig.refused = ETHTOOL_GRXFHINDIR;
	assert_int_equal(open_queues(true, 0), -EOPNOTSUPP);
	assert_non_null(strstr(why, "its spreading over queues"));
	assert_int_equal(rig.table.flags, 0); /* it was switched on to look */
	rig.refused = 0;
	n_spread = ETHTOOL_SPREAD_MAX + 1;
	assert_int_equal(open_queues(true, 0), -E2BIG);
}

static void all_queues(void **state)
{
	(void)state;
	assert_int_equal(open_queues(false, 3), 0);
	assert_int_equal(q.was.first, 0);
	assert_int_equal(q.was.n, 8);
	assert_int_equal(guest_queues_take(&q, why, sizeof(why)), 0);
	assert_int_equal(rig.kernel_flags, ETH_FLAG_LRO); /* tags stay in frames */
	assert_int_equal(rig.table.flags, 0);
	assert_int_equal(n_to(7), NIC_TABLE_SPREAD / 8);
	put_back();
	assert_int_equal(rig.kernel_flags, ETH_FLAG_RXVLAN | ETH_FLAG_LRO);

	nic_driver_init(&rig.table, 17, 16);
	assert_int_equal(open_queues(false, 3), -EOPNOTSUPP);
	assert_non_null(strstr(why, "at most 16 are served"));
}

static void taken_and_put_back(void **state)
{
	struct nic_table before = rig.table;

	(void)state;
	assert_int_equal(open_queues(true, 3), 0);
	assert_int_equal(rig.table.flags, ETH_FLAG_NTUPLE);
	assert_memory_equal(rig.table.spread, before.spread, sizeof(before.spread)); /* not yet */
	assert_int_equal(guest_queues_take(&q, why, sizeof(why)), 0);
	for (uint32_t i = 0; i < 5; i++)
		assert_in_range(n_to(i), NIC_TABLE_SPREAD / 5, NIC_TABLE_SPREAD / 5 + 1);
	assert_int_equal(n_to(5) + n_to(6) + n_to(7), 0);
	put_back();
	assert_memory_equal(&rig.table, &before, sizeof(before));
	assert_int_equal(rig.kernel_flags, ETH_FLAG_RXVLAN | ETH_FLAG_LRO);
}

/* An operator's: 0 has more than others, 1 none. */
static void an_operators_spread(void **state)
{
	uint32_t before[NIC_TABLE_SPREAD];

	(void)state;
	for (uint32_t i = 0; i < NIC_TABLE_SPREAD; i++)
		rig.table.spread[i] = i < 100 ? 0 : i % 2 ? 7 : 2;
	memcpy(before, rig.table.spread, sizeof(before));
	assert_int_equal(open_queues(true, 1), 0);
	assert_int_equal(guest_queues_take(&q, why, sizeof(why)), 0);
	for (uint32_t i = 0; i < NIC_TABLE_SPREAD; i++)
		if (before[i] != 7)
			assert_int_equal(rig.table.spread[i], before[i]);
	assert_int_equal(n_to(7), 0);
	put_back();
	assert_memory_equal(rig.table.spread, before, sizeof(before));
}

/* What an operator sets meanwhile is not undone. */
static void changed_meanwhile(void **state)
{
	uint32_t after[NIC_TABLE_SPREAD];

	(void)state;
	assert_int_equal(open_queues(true, 3), 0);
	assert_int_equal(guest_queues_take(&q, why, sizeof(why)), 0);
	rig.kernel_flags &= ~(uint32_t)ETH_FLAG_LRO;
	rig.table.spread[9] = 0;
	memcpy(after, rig.table.spread, sizeof(after));
	put_back();
	assert_int_equal(rig.kernel_flags, ETH_FLAG_RXVLAN);
	assert_memory_equal(rig.table.spread, after, sizeof(after));
}

static void check_says(const char *what)
{
	assert_int_equal(guest_queues_check(&q, why, sizeof(why)), what ? -ESTALE : 0);
	if (what && !strstr(why, what))
		fail_msg("%s", why);
}

/* By somebody who knows nothing of guests. Opened anew, all of it is as it has to be. */
static void changed_by_others(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(open_queues(true, 3), 0);
		assert_int_equal(guest_queues_take(&q, why, sizeof(why)), 0);
		check_says(NULL);
		switch (i) {
		case 0:
			rig.table.spread[9] = q.was.first + 1; /* ethtool -X */
			check_says("ethtool -X");
			break;
		case 1:
			rig.table.n_queues = 6; /* ethtool -L */
			check_says("ethtool -L");
			break;
		case 2:
			rig.kernel_flags |= ETH_FLAG_RXVLAN;
			check_says("ethtool -K rxvlan");
			break;
		case 3:
			rig.table.flags = 0;
			check_says("ethtool -K ntuple");
			break;
		case 4:
			rig.kernel_flags ^= ETH_FLAG_LRO; /* what is not ours to care for */
			rig.table.spread[9] = 0;
			check_says(NULL);
			break;
		case 5:
			rig.refused = ETHTOOL_GRXFHINDIR;
			check_says("ethtool -X");
			rig.refused = 0;
			break;
		}
		put_back();
		guest_queues_close(&q);
	}
}

/* Where a program picks the place, spreading and filters are not its concern. */
static void changed_by_others_with_a_program(void **state)
{
	(void)state;
	assert_int_equal(open_queues(false, 3), 0);
	assert_int_equal(guest_queues_take(&q, why, sizeof(why)), 0);
	rig.table.spread[9] = 3;
	rig.table.flags ^= ETH_FLAG_NTUPLE;
	check_says(NULL);
	rig.table.n_queues = 9; /* the program serves 8 of them */
	check_says("ethtool -L");
	rig.table.n_queues = 8;
	rig.kernel_flags |= ETH_FLAG_RXVLAN;
	check_says("ethtool -K rxvlan");
}

/* Then it is not served: what it strips would reach a guest of another VLAN. */
static void tags_are_taken_off(void **state)
{
	(void)state;
	assert_int_equal(open_queues(true, 1), 0);
	rig.refused = ETHTOOL_SFLAGS;
	assert_int_equal(guest_queues_take(&q, why, sizeof(why)), -EOPNOTSUPP);
	assert_non_null(strstr(why, "keeping tags in frames"));
	rig.refused = ETHTOOL_SRXFHINDIR;
	assert_int_equal(guest_queues_take(&q, why, sizeof(why)), -EOPNOTSUPP);
	assert_non_null(strstr(why, "keeping frames off guests' queues"));
}

/* Of one that is gone nothing is put back, least of all on another. */
static void gone(void **state)
{
	(void)state;
	assert_int_equal(open_queues(true, 1), 0);
	assert_int_equal(guest_queues_take(&q, why, sizeof(why)), 0);
	guest_queues_put_back(0x7ffffff0, &q.was, -1);
	assert_int_equal(n_to(7), 0);
}

/* Commands go to the device, whatever its name is by then. */
static void renamed(void **state)
{
	struct nic_table before = rig.table;

	(void)state;
	assert_int_equal(open_queues(true, 3), 0);
	assert_int_equal(guest_queues_take(&q, why, sizeof(why)), 0);
	rig.name = "other0";
	assert_int_equal(guest_queues_check(&q, why, sizeof(why)), 0);
	put_back();
	assert_memory_equal(&rig.table, &before, sizeof(before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
		T(chosen),
		T(chosen_with_one_of_its_own),
		T(not_possible),
		T(all_queues),
		T(taken_and_put_back),
		T(an_operators_spread),
		T(tags_are_taken_off),
		T(changed_meanwhile),
		T(changed_by_others),
		T(changed_by_others_with_a_program),
		T(gone),
		T(renamed),
#undef T
	};

	return cmocka_run_group_tests_name("guest queues", tests, NULL, NULL);
}
