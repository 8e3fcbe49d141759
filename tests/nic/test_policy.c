/* SPDX-License-Identifier: MIT */
/*
 * Who gets a place on a NIC that has fewer than there are guests, on the stepped system; and
 * who gets none whatever there is.
 */
#include "tests/hostile/rig.h"

#include <stdlib.h>
#include <string.h>

#include "backend/control/placement_parts.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_store.h"

#define TAKEN "every filter of the NIC is taken"

static struct placement *of(struct rig *r, uint32_t domid)
{
	return &rig_vif(r, domid)->placement;
}

static struct placement *good(struct rig *r)
{
	return of(r, GOOD_DOMID);
}

static struct placement *evil(struct rig *r)
{
	return of(r, EVIL_DOMID);
}

static int start_one(void **state)
{
	*state = rig_start_policy(NIC_POLICY_ALL, 1);
	return 0;
}

static int start_two(void **state)
{
	*state = rig_start_policy(NIC_POLICY_ALL, 2);
	return 0;
}

static int start_named(void **state)
{
	*state = rig_start_policy(NIC_POLICY_NAMED, 1);
	return 0;
}

static int start_busiest(void **state)
{
	*state = rig_start_policy(NIC_POLICY_BUSIEST, 1);
	return 0;
}

/* The place is the first's, the other waits; the places are the other way round. */
#define is_placed(first, other)                                                                    \
	((first)->state == PLACED_NIC && (other)->state == PLACED_BRIDGE && (other)->why_not &&    \
	 !strcmp((other)->why_not, TAKEN))

/* ---- filters ---- */

/* The device takes no filter at all: it is asked now and then, and the bridge serves both. */
static void no_filter(void **state)
{
	struct rig *r = *state;
	uint64_t until = r->now_ns + 60 * NS_PER_S;

	good(r)->wish = evil(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE && evil(r)->state == PLACED_BRIDGE);
	sim_nic_refuse(1000);
	good(r)->wish = evil(r)->wish = PLACEMENT_AUTO;
	while (r->now_ns < until) {
		rig_good_carries(r, 20);
		rig_turns(r, 20);
	}
	assert_int_equal(sim_nic_n_filters(), 0);
	assert_non_null(strstr(good(r)->failure, "adding its filter"));
	assert_in_range(1000 - sim_nic_to_refuse(), 2, 16);
	sim_nic_refuse(0);
}

static void one_more_than_filters(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, is_placed(good(r), evil(r)) || is_placed(evil(r), good(r)));
	for (unsigned i = 0; i < 50; i++) {
		bool had = good(r)->state == PLACED_NIC;

		/* Under load: frames are on either way at each step. */
		(had ? good(r) : evil(r))->wish = PLACEMENT_BRIDGE;
		(had ? evil(r) : good(r))->wish = PLACEMENT_AUTO;
		rig_good_carries(r, 150);
		rig_turns_until(r, 100, (had ? evil(r) : good(r))->state == PLACED_NIC);
		assert_int_equal(sim_nic_n_filters(), 1);
	}
}

static void as_many_as_filters(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
	assert_int_equal(sim_nic_n_filters(), 2);
	rig_good_carries(r, 100);
}

/* Whoever came first stays; whom the operator wants there displaces who is there of itself. */
static void the_operator_displaces(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, is_placed(good(r), evil(r)) || is_placed(evil(r), good(r)));
	for (unsigned i = 0; i < 6; i++) {
		struct placement *first = good(r)->state == PLACED_NIC ? good(r) : evil(r);
		struct placement *other = first == good(r) ? evil(r) : good(r);

		rig_turns(r, 300);
		assert_true(is_placed(first, other));
		other->wish = PLACEMENT_MQ;
		rig_good_carries(r, 100);
		rig_turns_until(r, 100, is_placed(other, first));
		first->wish = PLACEMENT_MQ; /* too late: the operator has to choose */
		rig_turns(r, 300);
		assert_true(is_placed(other, first));
		first->wish = other->wish = PLACEMENT_AUTO;
	}
}

/* One that is refused its filter does not make another leave again and again. */
static void who_fails_displaces_nobody(void **state)
{
	struct rig *r = *state;
	struct placement *first, *other;
	uint64_t moves;

	rig_turns_until(r, 100, is_placed(good(r), evil(r)) || is_placed(evil(r), good(r)));
	first = good(r)->state == PLACED_NIC ? good(r) : evil(r);
	other = first == good(r) ? evil(r) : good(r);
	sim_nic_refuse(1);
	other->wish = PLACEMENT_MQ;
	rig_turns_until(r, 200, other->failure[0]);
	rig_turns_until(r, 200, first->state == PLACED_NIC);
	moves = first->n_moves;
	rig_turns(r, 6000); /* a minute */
	assert_int_equal(first->n_moves, moves);
	rig_good_carries(r, 50);
}

/* One that has its place taken away and takes no frame any more, but one now and then so that it
 * does not stall: what came for it does not keep the place from others. */
static void who_takes_nothing_leaves_all_the_same(void **state)
{
	struct rig *r = *state;
	uint8_t frame[60] = { 0 };
	uint64_t begun;

	good(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 200, good(r)->state == PLACED_BRIDGE && evil(r)->state == PLACED_NIC);
	for (unsigned i = 0; i < 40; i++)
		assert_true(sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame)));
	good(r)->wish = PLACEMENT_MQ;
	begun = r->now_ns;
	for (unsigned i = 0; !is_placed(good(r), evil(r)); i++) {
		assert_true(r->now_ns - begun < 20 * NS_PER_S);
		if (i % 500 == 0) {
			evil_rx(&r->evil, 1);
			evil_publish(&r->evil);
		}
		rig_turn(r);
	}
	assert_true(rig_evil_counters(r).to_guest_drops[TO_GUEST_EXPIRED] > 0);
	rig_good_carries(r, 100);
}

/* One whose last try failed displaces nobody; it does not keep those behind it from that, and
 * what the operator asks for is tried. */
static void who_failed_is_in_nobodys_way(void **state)
{
	static struct vif third; /* a later one, that the operator wants there as well */
	static struct control three;
	struct rig *r = *state;
	struct vif *vifs[] = { rig_vif(r, GOOD_DOMID), rig_vif(r, EVIL_DOMID), &third };
	struct nic *n = &r->control.nics.nic[0];

	rig_turns_until(r, 100, is_placed(good(r), evil(r)) || is_placed(evil(r), good(r)));
	if (good(r)->state != PLACED_NIC) {
		evil(r)->wish = PLACEMENT_BRIDGE;
		rig_turns_until(r, 200, good(r)->state == PLACED_NIC);
		evil(r)->wish = PLACEMENT_AUTO;
	}
	sim_nic_refuse(1);
	evil(r)->wish = PLACEMENT_MQ;
	rig_turns_until(r, 200, evil(r)->failure[0]);
	rig_turns_until(r, 1500, is_placed(good(r), evil(r)) && evil(r)->waits_for == n);
	three.vif = vifs;
	three.n_vifs = ARRAY_SIZE(vifs);
	third.placement.waits_for = n;
	third.placement.wish = PLACEMENT_MQ;
	third.placement.since_ns = r->now_ns;
	assert_ptr_equal(placement_to_go(&three, n, r->now_ns), vifs[0]);
	third.placement.waits_for = NULL;
	assert_null(placement_to_go(&three, n, r->now_ns));
	assert_null(placement_want(&r->control, rig_vif(r, EVIL_DOMID), PLACEMENT_MQ));
	rig_turns_until(r, 200, is_placed(evil(r), good(r)));
}

/* ---- policies ---- */

static void named(void **state)
{
	struct rig *r = *state;

	rig_turns(r, 200);
	assert_int_equal(good(r)->state, PLACED_BRIDGE);
	assert_string_equal(good(r)->why_not, "the NIC is for vifs the operator names: vifctl model");
	assert_int_equal(sim_nic_n_filters(), 0);
	good(r)->wish = PLACEMENT_MQ;
	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	rig_good_carries(r, 100);
	good(r)->wish = PLACEMENT_AUTO;
	rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
	rig_good_carries(r, 100);
}

/* Goes on for so long, while the guests receive so many frames a second each. */
static void receive(struct rig *r, uint32_t ns, uint32_t n_good, uint32_t n_evil)
{
	uint8_t frame[60] = { 0 };
	uint64_t until = r->now_ns + (uint64_t)ns * NS_PER_S;
	uint32_t part = (uint32_t)(NS_PER_S / r->ns_per_turn);

	while (r->now_ns < until) {
		r->good.goal += n_good / part;
		for (uint32_t i = 0; i < n_evil / part; i++)
			(void)!sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame));
		evil_rx(&r->evil, RING_SLOTS - (r->evil.rx_prod - r->evil.rx->rsp_prod));
		evil_publish(&r->evil);
		rig_turn(r);
	}
}

static void the_busiest(void **state)
{
	struct rig *r = *state;
	uint64_t moves;

	receive(r, 40, 0, 500);
	assert_true(is_placed(evil(r), good(r)));
	receive(r, 40, 2000, 500);
	assert_true(is_placed(good(r), evil(r)));
	/* Half as busy again is no reason, nor is a little where there is nothing. */
	moves = good(r)->n_moves;
	receive(r, 40, 1000, 1500);
	receive(r, 30, 0, 100);
	assert_int_equal(good(r)->n_moves, moves);
	assert_true(is_placed(good(r), evil(r)));
	receive(r, 40, 0, 1000);
	assert_true(is_placed(evil(r), good(r)));
	rig_good_carries(r, 10);
}

/* What one is sent by its neighbours on the bridge is no reason to have a place. */
static void neighbours_are_not_the_wire(void **state)
{
	struct rig *r = *state;
	uint8_t frame[60] = { 0 };

	receive(r, 40, 500, 0);
	assert_true(is_placed(good(r), evil(r)));
	for (unsigned i = 0; i < 60; i++) {
		uint64_t before = rig_evil_counters(r).to_guest_frames;

		for (unsigned k = 0; k < 40; k++) {
			for (unsigned j = 0; j < 100; j++)
				(void)!sim_datapath_give(r->datapath, EVIL_DOMID, frame,
							 sizeof(frame));
			evil_rx(&r->evil, RING_SLOTS - (r->evil.rx_prod - r->evil.rx->rsp_prod));
			evil_publish(&r->evil);
			rig_turns(r, 1);
		}
		receive(r, 1, 500, 0);
		assert_true(rig_evil_counters(r).to_guest_frames - before > 2000);
		assert_true(is_placed(good(r), evil(r)));
	}
	assert_int_equal(evil(r)->rate, 0);
	receive(r, 40, 500, 2000); /* the wire is */
	assert_true(is_placed(evil(r), good(r)));
}

/* However they take turns: there are six exchanges a minute, and one may be under way. */
static void taking_turns(void **state)
{
	struct rig *r = *state;

	for (uint32_t period = 4; period <= 17; period += 13) {
		uint64_t before = good(r)->n_moves;
		uint64_t begun = r->now_ns;

		while (r->now_ns - begun < 60 * NS_PER_S) {
			receive(r, period, 2000, 0);
			receive(r, period, 0, 2000);
		}
		assert_in_range(good(r)->n_moves - before, 0, 9); /* it went on for 68 s at most */
	}
}

/* ---- guests that get no place ---- */

static void set_algorithm(struct rig *r, uint32_t algorithm)
{
	evil_ctrl_put(&r->evil, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, algorithm, 0, 0);
	evil_ctrl_publish(&r->evil);
}

/* It has two queues, and says itself which flow goes where. */
static void who_maps_its_flows(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, evil(r)->state == PLACED_NIC);
	set_algorithm(r, XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
	rig_turns_until(r, 300, evil(r)->state == PLACED_BRIDGE);
	assert_string_equal(evil(r)->why_not, "its guest spreads flows over its queues itself");
	set_algorithm(r, XEN_NETIF_CTRL_HASH_ALGORITHM_NONE);
	rig_turns_until(r, 300, evil(r)->state == PLACED_NIC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name, start) cmocka_unit_test_setup_teardown(name, start, rig_teardown)
		T(no_filter, start_two),
		T(one_more_than_filters, start_one),
		T(as_many_as_filters, start_two),
		T(the_operator_displaces, start_one),
		T(who_fails_displaces_nobody, start_one),
		T(who_takes_nothing_leaves_all_the_same, start_one),
		T(who_failed_is_in_nobodys_way, start_one),
		T(named, start_named),
		T(the_busiest, start_busiest),
		T(neighbours_are_not_the_wire, start_busiest),
		T(taking_turns, start_busiest),
		T(who_maps_its_flows, start_two),
#undef T
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
