/* SPDX-License-Identifier: MIT */
/*
 * Guests whose memory is lent to a NIC, and who do what they like with it. The device asserts
 * what it is promised (tests/sim/sim_lent.c): no page twice, none after it was recalled; rig.c
 * that none is unmapped while it may write there. What the guest is told of its buffers is the
 * truth in any case.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/hostile/rig.h"
#include "tests/sim/sim_lent.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_store.h"

#define OK XEN_NETIF_CTRL_STATUS_SUCCESS

/* What the wire sends the guest, and how much of that it has got. */
static struct flow {
	uint32_t n_given, next;
	RING_IDX seen;	   /* responses looked at */
	uint32_t n_errors; /* of them */
} flow;

static int start(void **state)
{
	*state = rig_start_lent(2, 1);
	flow = (struct flow){ .seen = 0 };
	return 0;
}

static int end(void **state)
{
	sim_nic_settles(NULL, 0);
	sim_lent_get_stuck(false);
	sim_nic_take_tries(SIM_NIC_TRIES);
	rig_end(*state);
	return 0;
}

static struct placement *placed(struct rig *r)
{
	return &rig_evil_vif(r)->placement;
}

static bool is_lent(struct rig *r)
{
	return placed(r)->state == PLACED_NIC && placed(r)->lent;
}

static bool is_ordinary(struct rig *r)
{
	return placed(r)->state == PLACED_NIC && !placed(r)->lent;
}

static uint32_t buffers(struct rig *r)
{
	return r->control.workers.shared->queue[rig_evil_vif(r)->queue[0].slot].buffers;
}

static uint64_t n_written(struct rig *r)
{
	return rig_evil_counters(r).to_guest_nic_written;
}

/* ---- its side of the ring ---- */

static void put_request(struct rig *r, grant_ref_t gref)
{
	const netif_rx_request_t req = { .id = (uint16_t)r->evil.rx_prod, .gref = gref };

	r->evil.rx->ring[r->evil.rx_prod++ % RING_SLOTS].req = req;
}

/* Posts n more, of which no two are the same page. */
static void offer(struct rig *r, uint32_t n)
{
	evil_rx(&r->evil, MIN(n, EVIL_PAGES - (r->evil.rx_prod - flow.seen)));
	evil_publish(&r->evil);
}

/* The next response, which is there: in its slot; its frame, if it is no error, is the next. */
static void look_at(struct rig *r, const uint8_t *page)
{
	RING_IDX i = flow.seen++;
	netif_rx_response_t rsp = evil_rx_response(&r->evil, i);

	assert_int_equal(rsp.id, (uint16_t)i);
	flow.n_errors += rsp.status < 0;
	if (rsp.status < 0)
		return;
	assert_true(rsp.offset == 0 || rsp.offset == SIM_LENT_OFFSET);
	assert_int_equal(sim_frame_check(page + rsp.offset, (size_t)rsp.status), flow.next);
	flow.next++;
}

static bool has_response(struct rig *r)
{
	return flow.seen != __atomic_load_n(&r->evil.rx->rsp_prod, __ATOMIC_ACQUIRE);
}

/* All that there is, and it shows that: nobody has to wait for it when its path changes. */
static void look(struct rig *r)
{
	while (has_response(r))
		look_at(r, r->evil.rx_memory + (size_t)(flow.seen % EVIL_PAGES) * XEN_PAGE);
	__atomic_store_n(&r->evil.rx->rsp_event, flow.seen + 1, __ATOMIC_SEQ_CST);
}

static bool give(struct rig *r)
{
	uint8_t frame[SIM_FRAME_MAX];

	sim_frame_make(frame, flow.n_given);
	if (!sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sim_frame_size(flow.n_given)))
		return false;
	flow.n_given++;
	return true;
}

/* n more frames are given, and arrive. */
static void carry(struct rig *r, uint32_t n)
{
	uint32_t goal = flow.n_given + n;

	for (unsigned i = 0; flow.n_given < goal || flow.next + flow.n_errors < goal; i++) {
		assert_true(i < 1000);
		offer(r, 16);
		for (unsigned k = 0; k < 8 && flow.n_given < goal; k++)
			(void)!give(r);
		rig_turn(r);
		look(r);
	}
}

/* All its buffers are static grants, and the device's. */
static void start_lending(struct rig *r)
{
	rig_turns_until(r, 100, placed(r)->state == PLACED_NIC);
	assert_int_equal(evil_add(r, r->evil.rx_gref, EVIL_PAGES, 0).status, OK);
	rig_turns_until(r, 500, is_lent(r));
	carry(r, 30);
	offer(r, 32);
	rig_turns_until(r, 10, sim_nic_n_posted() >= 32);
}

/* The place is an ordinary one, and stays so. */
static void expect_refused(struct rig *r)
{
	uint64_t before;

	rig_turns_until(r, 200, is_ordinary(r) && buffers(r) == IPC_BUFFERS_REFUSED);
	before = n_written(r);
	carry(r, 100);
	rig_turns(r, 1000);
	assert_true(is_ordinary(r));
	assert_int_equal(n_written(r), before);
	rig_expect_alive(r);
}

/* ---- requests ---- */

/* Not against netif.h: each is answered, with a frame that was there by then. */
static void a_page_posted_twice(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	RING_IDX first;

	start_lending(r);
	carry(r, 40);
	while (flow.seen != e->rx_prod) {
		(void)!give(r);
		rig_turn(r);
		look(r);
	}
	first = e->rx_prod;
	put_request(r, e->rx_gref[7]);
	put_request(r, e->rx_gref[7]);
	put_request(r, e->rx_gref[9]);
	evil_publish(e);
	rig_turns(r, 2);
	for (unsigned n = 0; flow.seen != first + 3; n++) { /* one at a time: the page is one */
		if (flow.n_given == flow.next + flow.n_errors)
			(void)!give(r);
		rig_turn(r);
		if (has_response(r))
			look_at(r, e->rx_memory + (size_t)(flow.seen - first < 2 ? 7 : 9) * XEN_PAGE);
		assert_true(n < 300);
	}
	assert_int_equal(flow.n_errors, 0);
	expect_refused(r);
}

/* Granted, but not asked to be kept mapped; not granted at all. */
static void pages_that_were_not_lent(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	start_lending(r);
	put_request(r, e->ctrl_gref[1]);
	put_request(r, 0x7ffffff0);
	evil_publish(e);
	for (unsigned n = 0; flow.seen != e->rx_prod; n++) {
		bool of_ctrl;

		if (flow.n_given == flow.next + flow.n_errors)
			(void)!give(r);
		rig_turn(r);
		of_ctrl = flow.seen == e->rx_prod - 2;
		if (has_response(r))
			look_at(r, of_ctrl ? e->ctrl_memory + XEN_PAGE :
					     e->rx_memory + (size_t)(flow.seen % EVIL_PAGES) * XEN_PAGE);
		assert_true(n < 500);
	}
	assert_int_equal(flow.n_errors, 1);
	flow.next++; /* the frame that went where nothing is */
	flow.n_errors = 0;
	expect_refused(r);
}

/* What it writes to a slot after it was read changes nothing. */
static void slots_changed_after_they_were_read(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	start_lending(r);
	for (unsigned round = 0; round < 100; round++) {
		offer(r, 20);
		rig_turns(r, 1);
		for (RING_IDX i = flow.seen; i != e->rx_prod; i++)
			e->rx->ring[i % RING_SLOTS].req =
			    (netif_rx_request_t){ .id = 0xbeef, .gref = 0x7ffffff0 };
		for (unsigned i = 0; i < 10; i++)
			(void)!give(r);
		rig_turns(r, 2);
		look(r);
	}
	assert_true(is_lent(r));
	rig_expect_alive(r);
}

static void a_producer_out_of_bounds(void **state)
{
	struct rig *r = *state;

	start_lending(r);
	r->evil.rx_prod += 2 * RING_SLOTS;
	evil_publish(&r->evil);
	evil_notify(&r->evil);
	(void)!give(r);
	rig_expect_disabled(r, "impossible ring indices");
}

/* Without buffers a few frames wait, and the others are lost: for a second, not for ever. */
static void no_buffers(void **state)
{
	struct rig *r = *state;

	start_lending(r);
	while (flow.seen != r->evil.rx_prod) {
		(void)!give(r);
		rig_turn(r);
		look(r);
	}
	for (unsigned i = 0; i < SIM_LENT_OWN; i++)
		assert_true(give(r));
	assert_false(give(r));
	rig_turns_until(r, 200, placed(r)->state == PLACED_LEAVING);
	for (unsigned i = 0; i < 20; i++)
		assert_true(give(r)); /* waits, in the TAP */
	carry(r, 1);
	rig_turns_until(r, 500, is_lent(r));
	carry(r, 100);
}

/* ---- static grants ---- */

/* Of a page that is posted: the place is left first, and made anew without it. */
static void a_grant_is_taken_back(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	start_lending(r);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t moves = placed(r)->n_moves;

		assert_int_equal(evil_del(r, e->rx_gref + 60, 4).status, OK);
		assert_true(placed(r)->n_moves > moves);
		assert_false(is_lent(r));
		assert_int_equal(evil_add(r, e->rx_gref + 60, 4, 0).status, OK);
		carry(r, 200);
		rig_turns_until(r, 1000, is_lent(r));
		carry(r, 200);
	}
	assert_int_equal(flow.n_errors, 0);
	rig_expect_alive(r);
}

/* The other queue's have nothing to do with it. */
static void a_grant_of_the_other_queue(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	start_lending(r);
	evil_set_list(r, e->tx_gref, EVIL_PAGES, XEN_NETIF_CTRLF_GREF_readonly);
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 1, e->ctrl_gref[0], EVIL_PAGES)
			     .status, OK);
	carry(r, 100);
	assert_true(is_lent(r));
}

/* Control is held up by a device that takes its time: the guest's request is not. */
static void control_does_not_come(void **state)
{
	struct rig *r = *state;
	uint64_t begun;

	start_lending(r);
	placed(r)->state = PLACED_STARTING; /* of which it hears nothing, and does nothing */
	placed(r)->to_tell = 0;
	placed(r)->to_hear = 1;
	r->ns_per_turn = 20 * NS_PER_MS;
	begun = r->now_ns;
	assert_int_equal(evil_del(r, r->evil.rx_gref, 8).status, OK);
	assert_in_range(r->now_ns - begun, 2 * NS_PER_S, 3 * NS_PER_S);
	placed(r)->to_hear = 0;
	rig_turns_until(r, 300, is_ordinary(r));
	carry(r, 100);
	rig_expect_alive(r);
}

/* ---- the device ---- */

static void a_device_that_skips_a_buffer(void **state)
{
	struct rig *r = *state;

	start_lending(r);
	sim_lent_fail(SIM_LENT_SKIPS);
	(void)!give(r);
	rig_turns_until(r, 10, has_response(r));
	look(r);
	assert_int_equal(flow.n_errors, 1);
	flow.next = flow.n_given;
	flow.n_errors = 0;
	expect_refused(r);
	assert_true(rig_evil_counters(r).to_guest_nic_faults > 0);
}

/* What it says is not believed: the guest would read another page's bytes. */
static void a_device_that_lies(void **state)
{
	struct rig *r = *state;

	start_lending(r);
	sim_lent_fail(SIM_LENT_LIES);
	(void)!give(r);
	rig_turns_until(r, 10, has_response(r));
	look(r);
	assert_int_equal(flow.n_errors, 1);
	flow.next = flow.n_given;
	flow.n_errors = 0;
	expect_refused(r);
}

/* ---- its end ---- */

/* rig_end() asserts that nothing is held. */
static void closed_while_lent(void **state)
{
	struct rig *r = *state;

	start_lending(r);
	(void)!give(r);
	sim_toolstack_detach(EVIL_DOMID, 0);
	rig_turns_until(r, 1000, !strcmp(sim_backend_get(EVIL_DOMID, 0, "state"), "6"));
	assert_int_equal(sim_nic_n_posted(), 0);
	rig_good_carries(r, 100);
}

/* The device takes a second to let go. Until then its guest's pages are the device's: nobody is
 * told otherwise, and nobody else waits. */
static void a_second_passes(struct rig *r)
{
	for (uint64_t end = r->now_ns + NS_PER_S; r->now_ns < end;) {
		rig_good_carries(r, 1);
		rig_turn(r);
	}
}

static bool is_closed(void)
{
	return !strcmp(sim_backend_get(EVIL_DOMID, 0, "state"), "6");
}

static void closed_while_the_device_is_stuck(void **state)
{
	struct rig *r = *state;

	start_lending(r);
	sim_lent_get_stuck(true);
	(void)!give(r);
	sim_toolstack_detach(EVIL_DOMID, 0);
	a_second_passes(r);
	assert_false(is_closed());
	sim_lent_get_stuck(false);
	rig_turns_until(r, 50, is_closed());
	rig_good_carries(r, 100);
}

/* It asks for another list: by then the page is its own. */
static void a_grant_is_taken_back_meanwhile(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	RING_IDX before;

	start_lending(r);
	sim_lent_get_stuck(true);
	before = e->ctrl->rsp_prod;
	evil_set_list(r, e->rx_gref + 60, 4, 0);
	evil_ctrl_put(e, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 0, e->ctrl_gref[0], 4);
	evil_ctrl_publish(e);
	for (unsigned i = 0; i < 3; i++)
		a_second_passes(r); /* its queue leaves by itself meanwhile */
	assert_int_equal(e->ctrl->rsp_prod, before);
	sim_lent_get_stuck(false);
	rig_turns_until(r, 50, e->ctrl->rsp_prod == before + 1);
	rig_turns_until(r, 1000, is_ordinary(r));
	carry(r, 200);
	rig_expect_alive(r);
}

/* Out of bounds, meanwhile: it is disabled, and closed when that can be. */
static void broken_while_the_device_is_stuck(void **state)
{
	struct rig *r = *state;

	start_lending(r);
	sim_lent_get_stuck(true);
	placed(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 50, placed(r)->state == PLACED_LEAVING);
	a_second_passes(r);
	assert_int_equal(placed(r)->state, PLACED_LEAVING);
	r->evil.tx_prod += 2 * RING_SLOTS;
	evil_publish(&r->evil);
	evil_notify(&r->evil);
	a_second_passes(r);
	sim_lent_get_stuck(false);
	rig_expect_disabled(r, "impossible ring indices");
}

/* A place that it joins, of either kind, is not to be had yet: it goes before, or the device. */
static void closed_before_it_has_joined(void **state)
{
	struct rig *r = *state;

	placed(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 100, placed(r)->state == PLACED_BRIDGE);
	sim_nic_take_tries(UINT32_MAX);
	placed(r)->wish = PLACEMENT_AUTO;
	rig_turns_until(r, 100, placed(r)->state == PLACED_JOINING);
	a_second_passes(r);
	assert_int_equal(placed(r)->state, PLACED_JOINING);
	sim_toolstack_detach(EVIL_DOMID, 0);
	rig_turns_until(r, 50, is_closed());
	rig_good_carries(r, 100);
}

static void unplugged_before_it_has_joined(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, placed(r)->state == PLACED_NIC);
	assert_int_equal(evil_add(r, r->evil.rx_gref, EVIL_PAGES, 0).status, OK);
	sim_nic_take_tries(UINT32_MAX);
	rig_turns_until(r, 500, placed(r)->state == PLACED_JOINING && placed(r)->lent);
	a_second_passes(r);
	assert_int_equal(placed(r)->state, PLACED_JOINING);
	sim_nic_plug(false);
	rig_turns(r, 100);
	sim_nic_take_tries(SIM_NIC_TRIES);
	sim_nic_plug(true);
	rig_turns_until(r, 5000, is_lent(r));
	rig_good_forgets(r);
	carry(r, 30);
	rig_expect_alive(r);
}

/* It has broken its order. */
static void skipped_and_stuck(void **state)
{
	struct rig *r = *state;

	start_lending(r);
	sim_lent_get_stuck(true);
	sim_lent_fail(SIM_LENT_SKIPS);
	(void)!give(r);
	a_second_passes(r);
	assert_false(has_response(r));
	sim_lent_get_stuck(false);
	rig_turns_until(r, 10, has_response(r));
	look(r);
	assert_int_equal(flow.n_errors, 1);
	flow.next = flow.n_given;
	flow.n_errors = 0;
	expect_refused(r);
}

/* The device is taken away, and another one put there. */
static void unplugged_while_the_device_is_stuck(void **state)
{
	struct rig *r = *state;

	start_lending(r);
	sim_lent_get_stuck(true);
	sim_nic_plug(false);
	rig_turns(r, 100);
	sim_nic_plug(true);
	rig_turns(r, 200);
	rig_good_forgets(r);
	sim_lent_get_stuck(false);
	rig_turns_until(r, 5000, is_lent(r));
	rig_expect_alive(r);
}

/* It spreads its flows itself from now on: no queue can be kept off. */
static void it_sets_its_own_hash(void **state)
{
	struct rig *r = *state;
	uint32_t *mapping = (uint32_t *)(void *)r->evil.ctrl_memory;

	start_lending(r);
	mapping[0] = 0;
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, 1, 0, 0).status, OK);
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, 1, 0, 0).status, OK);
	assert_int_equal(
	    evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, r->evil.ctrl_gref[0], 1, 0).status, OK);
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 1, 0, 0).status, OK);
	rig_turns_until(r, 300, placed(r)->state == PLACED_BRIDGE);
	carry(r, 100);
	rig_expect_alive(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
		T(a_page_posted_twice),
		T(pages_that_were_not_lent),
		T(slots_changed_after_they_were_read),
		T(a_producer_out_of_bounds),
		T(no_buffers),
		T(a_grant_is_taken_back),
		T(a_grant_of_the_other_queue),
		T(control_does_not_come),
		T(a_device_that_skips_a_buffer),
		T(a_device_that_lies),
		T(closed_while_lent),
		T(closed_while_the_device_is_stuck),
		T(a_grant_is_taken_back_meanwhile),
		T(broken_while_the_device_is_stuck),
		T(closed_before_it_has_joined),
		T(unplugged_before_it_has_joined),
		T(skipped_and_stuck),
		T(unplugged_while_the_device_is_stuck),
		T(it_sets_its_own_hash),
#undef T
	};

	return cmocka_run_group_tests_name("hostile-lent", tests, NULL, NULL);
}
