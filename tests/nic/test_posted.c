/* SPDX-License-Identifier: MIT */
/*
 * Guests' buffers posted to a NIC, on the stepped system: the device (tests/sim/sim_nic.c)
 * writes into them whenever it likes, but only to pages it may write to; a write to any other
 * is a fault, and no page is unmapped that it may write to (rig.c asserts that).
 */
#include "tests/hostile/rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libvif/hosted/hosted.h"
#include "tests/sim/sim_host.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_store.h"

static int start(void **state)
{
	*state = rig_start_posting(1, 1);
	srandom(1);
	return 0;
}

static int end(void **state)
{
	struct rig *r = *state;

	assert_int_equal(sim_nic_n_faults(), 0);
	r->lazy_nic = false;
	sim_nic_be_lazy(false);
	sim_nic_take_tags(false);
	rig_end(r);
	return 0;
}

static struct placement *good(struct rig *r)
{
	return &rig_vif(r, GOOD_DOMID)->placement;
}

/* ---- the guest that keeps the rules ---- */

/* Frames come before anything is posted: a guest without buffers has none to post. */
static void start_posting(struct rig *r)
{
	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	rig_good_carries(r, 1);
	rig_turns_until(r, 100, sim_nic_n_posted() > 0);
}

static void no_byte_is_copied(void **state)
{
	struct rig *r = *state;
	struct queue_counters before, after;

	start_posting(r);
	before = rig_counters(r, GOOD_DOMID);
	rig_good_carries(r, 1000);
	after = rig_counters(r, GOOD_DOMID);
	assert_int_equal(after.to_guest_frames - before.to_guest_frames, 1000);
	assert_int_equal(after.to_guest_nic_frames - before.to_guest_nic_frames, 1000);
	assert_int_equal(after.to_guest_nic_written - before.to_guest_nic_written, 1000);
	assert_int_equal(after.to_guest_copied_bytes, before.to_guest_copied_bytes);
	assert_int_equal(after.to_guest_summed_bytes, before.to_guest_summed_bytes);
	assert_int_equal(after.to_guest_grant_ops, before.to_guest_grant_ops);
	assert_int_equal(after.to_guest_static_copies, before.to_guest_static_copies);
	assert_int_equal(after.to_guest_nic_injected, 0);
}

/* A device that takes tags off writes what the guest is to see. */
static void no_byte_is_copied_in_a_vlan(void **state)
{
	struct rig *r = *state;

	sim_nic_take_tags(true);
	sim_netdev_form(GOOD_DOMID, 0)->form = (struct vlan_form){ 10, 10, .tag_off = true };
	rig_turns_until(r, 100, good(r)->form.vlan == 10);
	no_byte_is_copied(state);
	assert_true(good(r)->filter.tag_off);
}

/* One that does not is given no buffers of a guest's that is not to see the tag. */
static void tags_are_taken_off_a_copy(void **state)
{
	struct rig *r = *state;
	struct queue_counters before, after;

	sim_netdev_form(GOOD_DOMID, 0)->form = (struct vlan_form){ 10, 10, .tag_off = true };
	rig_turns_until(r, 100, good(r)->form.vlan == 10 && good(r)->state == PLACED_NIC);
	before = rig_counters(r, GOOD_DOMID);
	rig_good_carries(r, 500);
	after = rig_counters(r, GOOD_DOMID);
	assert_int_equal(after.to_guest_nic_frames - before.to_guest_nic_frames, 500);
	assert_int_equal(after.to_guest_nic_written, before.to_guest_nic_written);
}

static void neighbours_get_through(void **state)
{
	struct rig *r = *state;
	struct queue_counters before, after;

	start_posting(r);
	before = rig_counters(r, GOOD_DOMID);
	r->good.neighbour_goal += 500;
	rig_good_carries(r, 500);
	after = rig_counters(r, GOOD_DOMID);
	assert_int_equal(after.to_guest_nic_written - before.to_guest_nic_written, 1000);
	assert_int_equal(after.to_guest_nic_injected - before.to_guest_nic_injected, 500);
	assert_int_equal(after.to_guest_static_copies, before.to_guest_static_copies);
}

/* There and back at any moment of any step, whatever the device has done by then. */
static void there_and_back(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	r->ns_per_turn = 3 * NS_PER_MS;
	r->lazy_nic = true;
	sim_nic_be_lazy(true);
	for (unsigned i = 0; i < 1500; i++) {
		good(r)->wish = i % 6 >= 4 ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
		r->good.neighbour_goal += (uint32_t)random() % 60;
		if (random() % 2)
			rig_good_carries(r, (uint32_t)random() % 60 + 1);
		else
			r->good.goal += (uint32_t)random() % 90 + 1;
		rig_turns(r, (unsigned)random() % 12);
	}
	rig_good_carries(r, 1);
	n = rig_counters(r, GOOD_DOMID);
	assert_true(good(r)->n_moves > 300);
	assert_true(n.to_guest_nic_written > 9000);
	assert_true(n.to_guest_nic_injected > 3000);
	assert_true(n.to_guest_static_copies > 3000);
}

/* One of three queues has the place; flow and neighbour are another's while on the bridge. */
static int start_queues(void **state)
{
	*state = rig_start_posting(1, 3);
	srandom(2);
	return 0;
}

static void there_and_back_by_another_queue(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	r->good.bridge_queue = 2;
	for (unsigned i = 0; i < 4; i++) {
		rig_turns_until(r, 100, good(r)->state == (i < 2 ? PLACED_NIC : PLACED_BRIDGE));
		rig_good_carries(r, 1);
		good(r)->wish = i ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
	}
	r->ns_per_turn = 4 * NS_PER_MS;
	r->lazy_nic = true;
	sim_nic_be_lazy(true);
	for (unsigned i = 0; i < 6000; i++) {
		r->good.goal += (uint32_t)random() % (i % 8 ? 8 : 200);
		r->good.neighbour_goal += (uint32_t)random() % 8;
		if (random() % 60 == 0)
			good(r)->wish =
			    good(r)->wish == PLACEMENT_AUTO ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
		rig_turn(r);
	}
	rig_good_carries(r, 100);
	n = rig_counters(r, GOOD_DOMID);
	assert_true(good(r)->n_moves > 40);
	assert_true(n.to_guest_nic_written > 5000);
	assert_true(n.to_guest_nic_injected > 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
		T(no_byte_is_copied),
		T(no_byte_is_copied_in_a_vlan),
		T(tags_are_taken_off_a_copy),
		T(neighbours_get_through),
		T(there_and_back),
		cmocka_unit_test_setup_teardown(there_and_back_by_another_queue, start_queues, end),
#undef T
	};

	return cmocka_run_group_tests_name("posted", tests, NULL, NULL);
}
