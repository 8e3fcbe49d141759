/* SPDX-License-Identifier: MIT */
/*
 * What a guest sends, past the bridge, on the stepped system: which frames leave by the NIC,
 * in which order they reach the wire, and that none does with a source that is not the vif's,
 * whatever the guest does while it is sent.
 */
#include "tests/nic/transmit_rig.h"

#include <stdlib.h>
#include <string.h>

#include "backend/datapath/queue.h"
#include "tests/sim/sim_datapath.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/sim_transmit.h"

/* ---- which way ---- */

static void to_a_station_behind_it(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_nic, 1);
	assert_int_equal(wire.n_by_bridge, 0);
	assert_int_equal(wire.size, built.size);
	assert_memory_equal(wire.frame, station, 6);
	n = rig_evil_counters(r);
	assert_int_equal(n.from_guest_frames, 1);
	assert_int_equal(n.from_guest_nic_frames, 1);
	assert_int_equal(n.from_guest_bytes, built.size);
}

static void a_blank_checksum_is_finished(void **state)
{
	struct rig *r = *state;

	send_one(r, BLANK, station, own, 1);
	assert_int_equal(wire.n_by_nic, 1);
	put_be16(built.bytes + built.csum_at, frame_checksum(&built));
	assert_memory_equal(wire.frame, built.bytes, built.size);
}

static void all_else_takes_the_bridge(void **state)
{
	static const uint8_t nobody[6] = { 2, 0, 0, 0, 0, 8 }, group[6] = { 1, 0, 0x5e, 0, 0, 1 };
	struct rig *r = *state;

	send_one(r, PLAIN, nobody, own, 1);
	send_one(r, PLAIN, other, own, 2);
	send_one(r, PLAIN, group, own, 3);
	send_one(r, GSO, station, own, 4);
	assert_int_equal(wire.n_by_nic, 0);
	assert_int_equal(wire.n_by_bridge, 4);
	assert_int_equal(rig_evil_counters(r).from_guest_nic_foreign, 0);
}

static void a_foreign_source_takes_the_bridge(void **state)
{
	struct rig *r = *state;

	send_one(r, PLAIN, station, other, 1);
	assert_int_equal(wire.n_by_nic, 0);
	assert_int_equal(wire.n_by_bridge, 1);
	assert_int_equal(rig_evil_counters(r).from_guest_nic_foreign, 1);
}

/* Known behind the NIC is who is there now, as far as the bridge has said. */
static void a_station_that_moves(void **state)
{
	struct rig *r = *state;

	sim_bridge_knows(station, 7);
	turn(r);
	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_bridge, 1);
	sim_bridge_knows(station, SIM_NIC_IFINDEX);
	rig_turns(r, 3);
	send_one(r, PLAIN, station, own, 2);
	assert_int_equal(wire.n_by_nic, 1);
	sim_bridge_news_lost();
	turn(r);
	send_one(r, PLAIN, station, own, 3);
	assert_int_equal(wire.n_by_bridge, 2);
	sim_bridge_knows(station, SIM_NIC_IFINDEX);
	rig_turns(r, 3);
	send_one(r, PLAIN, station, own, 4);
	assert_int_equal(wire.n_by_nic, 2);
	sim_bridge_knows(station, 0);
	turn(r);
	send_one(r, PLAIN, station, own, 5);
	assert_int_equal(wire.n_by_bridge, 3);
	assert_int_equal(wire.n_late, 0);
}

static void not_without_a_place(void **state)
{
	struct rig *r = *state;

	placed(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 100, placed(r)->state == PLACED_BRIDGE);
	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_bridge, 1);
	placed(r)->wish = PLACEMENT_AUTO;
	rig_turns_until(r, 100, placed(r)->state == PLACED_NIC);
	rig_turns(r, 3);
	send_one(r, PLAIN, station, own, 2);
	assert_int_equal(wire.n_by_nic, 1);
}

/* A locked port is the bridge's to watch, and nobody is made known there but by who locked it. */
static void not_of_a_locked_port(void **state)
{
	struct rig *r = *state;
	uint64_t told;

	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_nic, 1);
	sim_netdev_link(EVIL_DOMID, 0)->locked = true;
	sim_netdev_link(EVIL_DOMID, 0)->no_learning = true;
	sim_links_changed();
	told = sim_learned(own, 0);
	rig_turns_until(r, 100, placed(r)->state != PLACED_NIC);
	rig_turns_until(r, 100, placed(r)->state == PLACED_NIC);
	rig_turns(r, 3);
	send_one(r, PLAIN, station, own, 2);
	assert_int_equal(wire.n_by_nic, 1);
	assert_int_equal(wire.n_by_bridge, 1);
	r->ns_per_turn = SIM_AGEING_NS / 100;
	rig_turns(r, 200);
	assert_int_equal(sim_learned(own, 0), told);
}

/* To the bridge the guest is silent otherwise, and forgotten. */
static void the_bridge_remembers_the_guest(void **state)
{
	struct rig *r = *state;
	uint64_t told = sim_learned(own, 0);

	rig_turns(r, (unsigned)(2 * SIM_AGEING_NS / r->ns_per_turn));
	assert_int_equal(sim_learned(own, 0), told);
	for (uint32_t i = 1; i <= 2 * SIM_AGEING_NS / (4 * r->ns_per_turn); i++) {
		send_one(r, PLAIN, station, own, i);
		rig_turns(r, 2);
	}
	assert_in_range(sim_learned(own, 0) - told, 2 * 2, 2 * 5);
}

/* ---- order ---- */

/* Its way is closed while frames wait in the device: they are waited for, and not for ever. */
static void the_bridge_waits_for_the_nic(void **state)
{
	struct rig *r = *state;

	r->ns_per_turn = NS_PER_MS;
	sim_transmit_be_busy(true);
	send_one(r, PLAIN, station, own, 1);
	send_one(r, GSO, station, own, 2);
	send_one(r, PLAIN, station, own, 3);
	assert_int_equal(sim_transmit_waiting(), 1);
	assert_int_equal(wire.n_by_bridge, 0);
	sim_transmit_run(1);
	rig_turns(r, 2);
	bridge_runs(r);
	assert_int_equal(wire.n_by_bridge, 2);
	assert_int_equal(wire.n_late, 0);
	/* A device that never gets on holds a guest up for no longer than that. */
	rig_turns(r, 20);
	send_one(r, PLAIN, station, own, 4);
	send_one(r, GSO, station, own, 5);
	assert_int_equal(wire.n_by_bridge, 2);
	rig_turns(r, (unsigned)(QUEUE_PATIENCE_NS / r->ns_per_turn) + 1);
	assert_int_equal(wire.n_by_bridge, 3);
	/* And gets no more of its frames until it does. */
	rig_turns(r, 2 * (unsigned)(QUEUE_PATIENCE_NS / r->ns_per_turn));
	send_one(r, PLAIN, station, own, 6);
	assert_int_equal(wire.n_by_bridge, 4);
	assert_int_equal(sim_transmit_waiting(), 1);
	sim_transmit_run(1);
	rig_turns(r, 20);
	send_one(r, PLAIN, station, own, 7);
	assert_int_equal(sim_transmit_waiting(), 1);
}

/* The place ends: what went there is waited for, whoever sends what afterwards. */
static void the_end_waits_for_the_nic(void **state)
{
	struct rig *r = *state;

	r->ns_per_turn = NS_PER_MS;
	sim_transmit_be_busy(true);
	send_one(r, PLAIN, station, own, 1);
	placed(r)->wish = PLACEMENT_BRIDGE;
	rig_turns(r, (unsigned)(QUEUE_PATIENCE_NS / r->ns_per_turn) / 2);
	assert_int_not_equal(placed(r)->state, PLACED_BRIDGE);
	send_one(r, PLAIN, station, own, 2);
	assert_int_equal(wire.n_by_bridge, 0);
	sim_transmit_run(1);
	rig_turns_until(r, 30, placed(r)->state == PLACED_BRIDGE);
	bridge_runs(r);
	assert_int_equal(wire.n_by_bridge, 1);
	assert_int_equal(wire.n_late, 0);
	/* Not for ever. */
	placed(r)->wish = PLACEMENT_AUTO;
	rig_turns_until(r, 100, placed(r)->state == PLACED_NIC);
	rig_turns(r, 20);
	send_one(r, PLAIN, station, own, 3);
	assert_int_equal(sim_transmit_waiting(), 1);
	placed(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 200, placed(r)->state == PLACED_BRIDGE);
	send_one(r, PLAIN, station, own, 4);
	assert_int_equal(wire.n_by_bridge, 2);
}

/* While one waits no more are taken: they would use up the packets the TAP is read into, and
 * nobody would say when there are some again. */
static void what_waits_leaves_room_for_the_tap(void **state)
{
	struct rig *r = *state;
	uint32_t number = 1, n_taken;

	r->ns_per_turn = NS_PER_MS / 4;
	sim_transmit_be_busy(true);
	evil_rx(&r->evil, EVIL_PAGES);
	send_one(r, PLAIN, station, own, number++);
	put(r, GSO, station, own, number++);
	show(r);
	rig_turns(r, 2);
	n_taken = r->evil.tx->rsp_prod;
	assert_int_equal(n_taken, 3); /* a GSO frame has two slots */
	while (number < QUEUE_PACKETS + 16)
		put(r, PLAIN, station, own, number++);
	show(r);
	rig_turns(r, 10);
	assert_int_equal(r->evil.tx->rsp_prod, n_taken);
	assert_int_equal(wire.n_by_bridge, 0);
	for (uint32_t i = 0; i < QUEUE_READ_MAX; i++)
		assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, built.bytes, built.size));
	rig_turns(r, 2);
	assert_int_equal(r->evil.rx->rsp_prod, QUEUE_READ_MAX);
	sim_transmit_run(1);
	rig_turns(r, 10);
	assert_int_equal(wire.n_by_bridge, number - 2);
	assert_int_equal(wire.n_late, 0);
}

/* A flow that never rests and needs the bridge no more gets back to the NIC. */
static void a_flow_without_a_rest(void **state)
{
	static const uint8_t late[6] = { 2, 0, 0, 0, 0, 9 };
	struct rig *r = *state;
	uint32_t number = 1;

	r->ns_per_turn = NS_PER_MS;
	bridge_delay_ns = NIC_SETTLE_NS - 1;
	for (; number < 100; number++)
		send_one(r, PLAIN, late, own, number);
	assert_int_equal(wire.n_by_nic, 0);
	sim_bridge_knows(late, SIM_NIC_IFINDEX);
	for (; number < 1100; number++)
		send_one(r, PLAIN, late, own, number);
	assert_int_equal(wire.n_late, 0);
	assert_true(wire.n_by_nic > 300);
}

/* Everything at any moment: kinds of frames, a busy device, a slow bridge, swaps. */
static void any_order(struct rig *r, unsigned every, unsigned turns)
{
	uint32_t number = 1;

	srandom(11);
	r->ns_per_turn = NS_PER_MS;
	bridge_delay_ns = NIC_SETTLE_NS - 1;
	sim_transmit_be_busy(true);
	for (unsigned i = 0; i < turns; i++) {
		uint32_t n = (uint32_t)random() % 4, done = r->evil.tx->rsp_prod;

		/* No page is rewritten before it is answered. */
		if (r->evil.tx_prod - done < EVIL_PAGES / 2 && i % 97 < 80)
			for (; n; n--)
				put(r, (uint32_t)random() % 50 ? (uint32_t)random() % 2 : GSO, station,
				    own, number++);
		show(r);
		if (i % 500 == 250)
			placed(r)->wish = i % 1000 == 250 ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
		turn(r);
		if (i % every == 0)
			sim_transmit_run(SIM_TRANSMIT_SIZE);
	}
	for (unsigned i = 0; i < 4; i++) {
		sim_transmit_run(SIM_TRANSMIT_SIZE);
		rig_turns(r, 20);
		bridge_runs(r);
	}
	assert_int_equal(wire.n_by_nic + wire.n_by_bridge, number - 1);
	assert_int_equal(wire.n_late, 0);
	assert_true(wire.n_by_nic > 1000);
	assert_true(wire.n_by_bridge > 1000);
}

static void any_order_of_events(void **state)
{
	struct rig *r = *state;

	any_order(r, 7, 6000);
	assert_int_equal(rig_evil_counters(r).from_guest_nic_full, 0);
}

/* One whose turn comes just in time, as on a machine with too much to do. */
static void a_slow_device(void **state)
{
	any_order(*state, (unsigned)(QUEUE_PATIENCE_NS / NS_PER_MS) - 2, 30000);
}

/* More than the device takes waits, and is counted. If it does not get on it takes the bridge. */
static void more_than_fits(void **state)
{
	struct rig *r = *state;

	r->ns_per_turn = NS_PER_MS;
	sim_transmit_be_busy(true);
	for (uint32_t i = 1; i <= SIM_TRANSMIT_SIZE + 6; i++) {
		put(r, PLAIN, station, own, i);
		show(r);
		turn(r);
	}
	turn(r);
	assert_int_equal(sim_transmit_waiting(), SIM_TRANSMIT_SIZE);
	assert_in_range(rig_evil_counters(r).from_guest_nic_full, 6, 20);
	sim_transmit_run(3);
	rig_turns(r, (unsigned)(QUEUE_PATIENCE_NS / r->ns_per_turn) - 2);
	assert_int_equal(sim_transmit_waiting(), SIM_TRANSMIT_SIZE);
	sim_transmit_run(SIM_TRANSMIT_SIZE);
	rig_turns(r, 2);
	assert_int_equal(sim_transmit_waiting(), 3);
	for (uint32_t i = SIM_TRANSMIT_SIZE + 7; i <= 2 * SIM_TRANSMIT_SIZE + 10; i++) {
		put(r, PLAIN, station, own, i);
		show(r);
		turn(r);
	}
	assert_int_equal(wire.n_by_bridge, 0);
	rig_turns(r, (unsigned)(QUEUE_PATIENCE_NS / r->ns_per_turn) + 2);
	assert_int_equal(wire.n_by_bridge, 7);
	sim_transmit_run(SIM_TRANSMIT_SIZE);
	assert_int_equal(wire.n_by_nic + wire.n_by_bridge, 2 * SIM_TRANSMIT_SIZE + 10);
	rig_expect_alive(r);
}

/* ---- trust ---- */

static uint32_t n_rewritten;

/* Between the moment the requests were read and the copy, and whenever else the guest is
 * awake, its page says something else. */
static void rewrite(struct rig *r, xengnttab_grant_copy_segment_t *ops, uint32_t n)
{
	(void)ops;
	(void)n;
	for (uint32_t i = 0; i < 2 * EVIL_PAGES; i++) {
		uint8_t *at = place_of(&r->evil, i);

		memcpy(at + 6, random() % 2 ? own : other, 6);
	}
	n_rewritten++;
}

static void the_source_is_rewritten(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	srandom(13);
	r->before_copy = rewrite;
	for (uint32_t i = 1; i <= 2000; i++) {
		put(r, PLAIN, station, random() % 2 ? own : other, i);
		show(r);
		rewrite(r, NULL, 0);
		turn(r);
		rewrite(r, NULL, 0);
		turn(r);
	}
	n = rig_evil_counters(r);
	assert_true(n_rewritten > 4000);
	assert_int_equal(wire.n_foreign_by_nic, 0);
	assert_int_equal(wire.n_by_nic, n.from_guest_nic_frames);
	assert_int_equal(wire.n_by_nic + wire.n_by_bridge, 2000);
	assert_true(n.from_guest_nic_foreign > 500);
	assert_true(n.from_guest_nic_frames > 100);
}

/* Frames that wait for the device when the vif goes, or the datapath dies. */
static void the_end_comes_first(void **state)
{
	struct rig *r = *state;

	sim_transmit_be_busy(true);
	put(r, PLAIN, station, own, 1);
	put(r, GSO, station, own, 2);
	put(r, PLAIN, station, own, 3);
	show(r);
	turn(r);
	sim_datapath_kill(r->datapath);
	rig_turns_until(r, 2000, placed(r)->state == PLACED_NIC);
	rig_good_carries(r, 100);
	sim_transmit_be_busy(true);
	rig_turns(r, 5);
	put(r, PLAIN, station, own, 4);
	put(r, GSO, station, own, 5);
	show(r);
	turn(r);
	sim_toolstack_detach(EVIL_DOMID, 0);
	rig_turns_until(r, 1000, !strcmp(sim_backend_get(EVIL_DOMID, 0, "state"), "6"));
	rig_good_carries(r, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, transmit_start, transmit_end)
		T(to_a_station_behind_it),	 T(a_blank_checksum_is_finished),
		T(all_else_takes_the_bridge),	 T(a_foreign_source_takes_the_bridge),
		T(a_station_that_moves),	 T(not_without_a_place),
		T(not_of_a_locked_port),
		T(the_bridge_remembers_the_guest), T(the_bridge_waits_for_the_nic),
		T(what_waits_leaves_room_for_the_tap), T(a_flow_without_a_rest),
		T(any_order_of_events),		 T(a_slow_device),
		T(the_end_waits_for_the_nic),	 T(more_than_fits),
		T(the_source_is_rewritten),	 T(the_end_comes_first),
#undef T
	};

	return cmocka_run_group_tests_name("transmit", tests, NULL, NULL);
}
