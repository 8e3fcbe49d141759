/* SPDX-License-Identifier: MIT */
/*
 * A place lent to, on the stepped system: the device (tests/sim/sim_lent.c, which asserts what it
 * is promised) writes into a guest's own memory, whose queue is the NIC's alone. The guest has a
 * flow off the wire and eight of its neighbours, each numbered: none loses a frame or has two
 * change places, however often the place is made anew and at whatever moment.
 */
#include "tests/hostile/rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rss.h"
#include "tests/sim/sim_host.h"
#include "tests/sim/sim_lent.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_store.h"

#define N_QUEUES 3u

static int start(void **state)
{
	struct rig *r = rig_start_lent(1, N_QUEUES);

	r->good.steered = true;
	r->good.n_neighbours = RIG_NEIGHBOURS;
	srandom(5);
	*state = r;
	return 0;
}

static int end(void **state)
{
	struct rig *r = *state;

	r->lazy_nic = false;
	sim_lent_take_looks(SIM_LENT_LOOKS);
	sim_nic_take_tries(SIM_NIC_TRIES);
	sim_nic_be_lazy(false);
	sim_nic_settles(NULL, 0);
	rig_end(r);
	return 0;
}

static struct vif *vif_of(struct rig *r)
{
	return control_find(&r->control, (struct vif_id){ GOOD_DOMID, 0 });
}

static struct placement *good(struct rig *r)
{
	return &vif_of(r)->placement;
}

static struct queue_counters count(struct rig *r)
{
	struct queue_counters n;

	vif_counters(&r->control, vif_of(r), &n);
	return n;
}

static struct queue_counters count_queue(struct rig *r, uint32_t queue)
{
	struct queue_counters n;

	vif_queue_counters(&r->control, vif_of(r), queue, &n);
	return n;
}

static bool is_lent(struct rig *r)
{
	return good(r)->state == PLACED_NIC && good(r)->lent;
}

static uint32_t buffers(struct rig *r)
{
	return r->control.workers.shared->queue[vif_of(r)->queue[good(r)->queue].slot].buffers;
}

/* What the guest may wish at any moment, and what no place lent to can give. */
static void wish_headroom(struct rig *r, uint32_t bytes)
{
	__atomic_store_n(&r->control.workers.shared->vif[vif_of(r)->vif_slot].xdp_headroom, bytes,
			 __ATOMIC_RELAXED);
}

/* The queue that our own table keeps off, as the kernel would see it. */
static uint32_t aside(struct rig *r)
{
	const struct steering *s = mmap(NULL, sizeof(*s), PROT_READ, MAP_SHARED,
					vif_of(r)->netdev.steering_fd, 0);
	uint32_t aside;

	assert_true(s != MAP_FAILED);
	aside = s->aside;
	munmap((void *)(uintptr_t)s, sizeof(*s));
	return aside;
}

/* Of itself, once its static grants are there. */
static void start_lending(struct rig *r)
{
	rig_turns_until(r, 500, is_lent(r));
	rig_good_carries(r, 1);
	rig_turns_until(r, 100, sim_nic_n_posted() > 0);
	rig_good_carries(r, 20); /* past what the port copies */
}

/* ---- what it is for ---- */

static void no_byte_is_copied(void **state)
{
	struct rig *r = *state;
	struct queue_counters before, after;

	start_lending(r);
	assert_int_equal(buffers(r), IPC_BUFFERS_LENT);
	assert_int_equal(aside(r), good(r)->queue + 1);
	before = count(r);
	for (unsigned i = 0; i < 200; i++)
		rig_good_carries(r, 5); /* as many as it has buffers for */
	after = count(r);
	assert_int_equal(after.to_guest_frames - before.to_guest_frames, 1000);
	assert_int_equal(after.to_guest_nic_frames - before.to_guest_nic_frames, 1000);
	assert_int_equal(after.to_guest_nic_written - before.to_guest_nic_written, 1000);
	assert_int_equal(after.to_guest_copied_bytes, before.to_guest_copied_bytes);
	assert_int_equal(after.to_guest_grant_ops, before.to_guest_grant_ops);
	assert_int_equal(after.to_guest_static_copies, before.to_guest_static_copies);
}

/* By the other queues: the one that has the place is the NIC's. */
static void neighbours_get_through(void **state)
{
	struct rig *r = *state;
	struct queue_counters before, after;

	start_lending(r);
	before = count_queue(r, good(r)->queue);
	r->good.neighbour_goal += 800;
	for (unsigned i = 0; i < 100; i++)
		rig_good_carries(r, 5);
	after = count_queue(r, good(r)->queue);
	assert_int_equal(after.to_guest_frames - before.to_guest_frames, 500);
	assert_int_equal(after.to_guest_nic_written - before.to_guest_nic_written, 500);
	assert_true(is_lent(r));
}

/* ---- there and back ---- */

static void load(struct rig *r, uint32_t most)
{
	r->good.goal += (uint32_t)random() % most;
	r->good.neighbour_goal += (uint32_t)random() % most;
}

/* In quiet times the guest shows in each ring that it takes all (queue_drain.c): then it is
 * waited for while it sleeps. */
static void be_quiet(struct rig *r)
{
	start_lending(r);
	for (unsigned i = 0; i < 4; i++) {
		r->good.neighbour_goal += RIG_NEIGHBOURS;
		rig_good_carries(r, 1);
		rig_turns(r, 5);
		good(r)->wish = i ? PLACEMENT_AUTO : PLACEMENT_BRIDGE;
		rig_turns(r, 20);
	}
}

static uint64_t go_there_and_back(struct rig *r, unsigned n)
{
	uint64_t n_lent = 0;
	bool was_lent = false;

	be_quiet(r);
	r->ns_per_turn = 4 * NS_PER_MS;
	for (unsigned i = 0; i < n; i++) {
		load(r, i % 16 ? 8 : 200);
		sim_lent_take_looks((uint32_t)random() % 16);
		sim_nic_take_tries((uint32_t)random() % 16);
		if (!r->good.n_sleeps && random() % 4 == 0)
			r->good.n_sleeps = (uint32_t)random() % 8;
		if (random() % 50 == 0)
			wish_headroom(r, random() % 2 ? 0 : 256);
		if (random() % 200 == 0)
			good(r)->wish =
			    good(r)->wish == PLACEMENT_AUTO ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
		good(r)->lend_ns = good(r)->lend_wait_ns = good(r)->since_ns = 0;
		rig_turn(r);
		n_lent += is_lent(r) && !was_lent;
		was_lent = is_lent(r);
	}
	wish_headroom(r, 0);
	good(r)->wish = PLACEMENT_AUTO;
	rig_good_carries(r, 100);
	return n_lent;
}

static void at_any_moment(void **state)
{
	struct rig *r = *state;

	assert_in_range(go_there_and_back(r, 30000), 40, 10000);
	assert_true(count(r).to_guest_nic_written > 10000);
	assert_true(count(r).to_guest_static_copies > 10000);
}

/* ... whenever the device says what it has done. */
static void at_any_moment_of_the_devices(void **state)
{
	struct rig *r = *state;

	r->lazy_nic = true;
	sim_nic_be_lazy(true);
	assert_in_range(go_there_and_back(r, 20000), 25, 10000);
}

/* ... and while the device is taken away and put back, after which none is lost any more. */
static void at_any_moment_of_the_operators(void **state)
{
	struct rig *r = *state;

	r->ns_per_turn = 4 * NS_PER_MS;
	for (unsigned i = 0; i < 60; i++) {
		good(r)->lend_ns = good(r)->lend_wait_ns = 0;
		rig_turns_until(r, 2000, is_lent(r));
		wish_headroom(r, i % 2 ? 256 : 0);
		sim_lent_take_looks((uint32_t)random() % 100); /* from no turn to 100 */
		sim_nic_take_tries((uint32_t)random() % 100);
		r->good.may_lose = true;
		for (unsigned k = (unsigned)random() % 30; k; k--) {
			load(r, 8);
			rig_turn(r);
		}
		sim_nic_plug(false);
		rig_turns(r, 1 + i % 4);
		sim_nic_plug(true);
		rig_turns_until(r, 2000, good(r)->state == PLACED_NIC);
		wish_headroom(r, 0);
		rig_turns(r, 20);
		rig_good_forgets(r);
		r->good.may_lose = false;
		rig_good_carries(r, 20);
	}
	assert_int_equal(sim_nic_n_filters(), 2);
}

/* The link goes and comes: that is in order. */
static void the_link_drops(void **state)
{
	struct rig *r = *state;

	start_lending(r);
	sim_nic_link(false);
	r->good.neighbour_goal += 100;
	rig_good_carries(r, 100);
	rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
	assert_int_equal(aside(r), 0);
	sim_nic_link(true);
	r->good.neighbour_goal += 100;
	rig_good_carries(r, 100);
	start_lending(r);
}

/* Its queue is as any other then, and the next process has to be asked anew. */
static void the_datapath_dies(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 3; i++) {
		start_lending(r);
		r->good.may_lose = true;
		sim_lent_take_looks(10 * i);
		sim_datapath_kill(r->datapath);
		rig_turns_until(r, 20, good(r)->state == PLACED_BRIDGE);
		assert_int_equal(aside(r), 0);
		rig_turns_until(r, 3000, good(r)->state == PLACED_NIC);
		rig_turns(r, 20);
		rig_good_forgets(r);
		r->good.may_lose = false;
		rig_good_carries(r, 100);
	}
	start_lending(r);
}

/* ---- what speaks against it ---- */

static void a_filter_is_refused(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 300, good(r)->state == PLACED_JOINING && good(r)->lent);
	sim_nic_refuse(1);
	r->good.neighbour_goal += 100;
	rig_good_carries(r, 100);
	rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
	assert_non_null(strstr(good(r)->failure, "adding its filter"));
	assert_int_equal(aside(r), 0);
	rig_turns_until(r, 1500, good(r)->state == PLACED_NIC);
	rig_good_carries(r, 100);
}

/* What it could not be lent it copies, at once; and is asked again, later and later. */
static void memory_is_refused(void **state)
{
	struct rig *r = *state;
	uint64_t begun;

	sim_nic_refuse_memory(3);
	rig_turns_until(r, 1000, sim_nic_memory_to_refuse() == 2);
	begun = r->now_ns;
	rig_turns_until(r, 20, good(r)->state == PLACED_NIC && !good(r)->lent);
	assert_int_equal(good(r)->failure[0], 0);
	rig_good_carries(r, 100);
	rig_turns_until(r, 1000, sim_nic_memory_to_refuse() == 0);
	assert_true(r->now_ns - begun >= 3 * NS_PER_S);
	start_lending(r);
}

/* Places are not made anew as often as a guest changes its mind. */
static void a_guest_of_two_minds(void **state)
{
	struct rig *r = *state;
	uint64_t moves;

	start_lending(r);
	moves = good(r)->n_moves;
	for (unsigned i = 0; i < 6000; i++) { /* a minute */
		wish_headroom(r, i / 20 % 2 ? 256 : 0);
		load(r, 3);
		rig_turn(r);
	}
	wish_headroom(r, 0);
	rig_good_carries(r, 1);
	assert_true(good(r)->n_moves - moves >= 4);
	assert_true(good(r)->n_moves - moves < 60);
	/* Once it is of one it is not held against it for ever. */
	rig_turns_until(r, 7000, is_lent(r));
}

/* Past the program: another's XDP may redirect a frame to whatever queue. */
static void a_frame_comes_by_its_tap(void **state)
{
	struct rig *r = *state;
	uint8_t frame[SIM_FRAME_MAX];
	const uint32_t number = 1u << 31;

	start_lending(r);
	sim_frame_make(frame, number);
	r->good.n_neighbour++;
	r->good.neighbour_goal++;
	assert_true(sim_datapath_give_queue(r->datapath, GOOD_DOMID, good(r)->queue, frame,
					    sim_frame_size(number)));
	rig_turns_until(r, 50, buffers(r) == IPC_BUFFERS_BRIDGED);
	rig_good_carries(r, 100);
	start_lending(r);
}

/* Only who the bridge knows to be behind the NIC already: the guest could have written there
 * what it likes. */
static void only_known_stations_are_heard(void **state)
{
	struct rig *r = *state;
	uint8_t frame[SIM_FRAME_MAX], station[6];
	uint64_t told;

	start_lending(r);
	sim_frame_make(frame, 0);
	memcpy(station, frame + 6, sizeof(station));
	station[0] &= 0xfe;
	for (unsigned known = 0; known < 2; known++) {
		if (known)
			sim_bridge_knows(station, SIM_NIC_IFINDEX);
		rig_turns(r, 20);
		told = sim_learned(station, 0);
		for (uint64_t end = r->now_ns + 3 * SIM_AGEING_NS; r->now_ns < end;)
			rig_good_carries(r, 1);
		assert_int_equal(sim_learned(station, 0) > told, known);
	}
	assert_true(is_lent(r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
		T(no_byte_is_copied),
		T(neighbours_get_through),
		T(at_any_moment),
		T(at_any_moment_of_the_devices),
		T(at_any_moment_of_the_operators),
		T(the_link_drops),
		T(the_datapath_dies),
		T(a_filter_is_refused),
		T(memory_is_refused),
		T(a_guest_of_two_minds),
		T(a_frame_comes_by_its_tap),
		T(only_known_stations_are_heard),
#undef T
	};

	return cmocka_run_group_tests_name("lending", tests, NULL, NULL);
}
