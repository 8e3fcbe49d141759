/* SPDX-License-Identifier: MIT */
/*
 * "rate": what a guest may send, through the whole of vifd, to the byte and to the
 * turn (a turn is a millisecond here). Nothing is dropped for it: what waits, waits in the
 * ring and comes out in order.
 */
#include <stdio.h>
#include <string.h>

#include "backend/control/keys.h"
#include "tests/hostile/rig.h"

#define FRAME 1000u

static int start(void **state)
{
	struct rig *r = rig_start(true);

	r->ns_per_turn = NS_PER_MS;
	*state = r;
	return 0;
}

static int start_single(void **state)
{
	struct rig *r = rig_start(false);

	r->ns_per_turn = NS_PER_MS;
	*state = r;
	return 0;
}

static int end(void **state)
{
	rig_end(*state);
	return 0;
}

/* Frames that come out in so many turns while the ring is kept full. */
static uint32_t sent_in(struct rig *r, unsigned turns)
{
	struct evil *e = &r->evil;
	uint32_t before = e->n_bridge;

	while (turns--) {
		while (e->tx_prod - e->tx->rsp_prod < RING_SLOTS)
			evil_tx(e, 0, 0, FRAME, 0);
		evil_publish(e);
		rig_turn(r);
	}
	return e->n_bridge - before;
}

static void set_rate(struct rig *r, const char *text)
{
	sim_backend_put(EVIL_DOMID, 0, "rate", "%s", text);
	/* control looks at once, or when the vif's ration of looks allows */
	rig_turns_until(r, 200, !strcmp(rig_evil_vif(r)->rate_text, text));
}

static void keeps_to_the_rate(void **state)
{
	struct rig *r = *state;
	struct queue_counters before = rig_evil_counters(r), after;
	uint32_t n;

	assert_true(sent_in(r, 50) >= 50 * 64); /* no limit yet */
	set_rate(r, "200000,50000");
	sent_in(r, 200); /* what gathered */
	n = sent_in(r, 1000);
	assert_in_range(n, 20 * 200, 21 * 200);
	/* in the end each window brings exactly its bytes */
	for (int i = 0; i < 5; i++)
		assert_int_equal(sent_in(r, 50), 200);
	after = rig_evil_counters(r);
	assert_in_range(after.from_guest_credit_waits - before.from_guest_credit_waits, 20, 30);
	for (int i = 0; i < FROM_GUEST_N_FAULTS; i++)
		assert_int_equal(after.from_guest_drops[i], 0);
	rig_expect_alive(r);
}

static void changes_while_it_waits(void **state)
{
	struct rig *r = *state;

	set_rate(r, "1000,60000000"); /* a frame a minute */
	sent_in(r, 100);
	assert_int_equal(sent_in(r, 1000), 0);
	set_rate(r, "500000,10000");
	sent_in(r, 100); /* looked again by now */
	assert_int_equal(sent_in(r, 1000), 100 * 500);
	set_rate(r, "10000,10000");
	sent_in(r, 20);
	assert_int_equal(sent_in(r, 1000), 1000);
	set_rate(r, "nonsense");
	assert_true(sent_in(r, 150) >= 40 * 64);
	assert_int_equal(rig_evil_vif(r)->rate.usec, 0);
	rig_expect_alive(r);
}

/* A guest that waits for its rate still receives, whatever channel it has. */
static void receives_while_it_waits(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	uint8_t frame[SIM_FRAME_MAX];

	set_rate(r, "1000,60000000");
	sent_in(r, 300);
	sim_frame_make(frame, 0);
	for (uint32_t i = 1; i <= 5; i++) {
		assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, frame, sim_frame_size(0)));
		rig_turn(r);
		rig_turn(r);
		evil_rx(e, 1);
		evil_publish(e);
		rig_turns_until(r, 5, e->rx->rsp_prod == i);
	}
	assert_int_equal(sent_in(r, 100), 0);
}

/* A vif that has waited can be taken away, given back, and starts with a full credit. */
static void waiting_vif_detaches(void **state)
{
	struct rig *r = *state;

	set_rate(r, "5000,60000000");
	sent_in(r, 300);
	r->ns_per_turn = 20 * NS_PER_MS;
	evil_reconnect(r);
	assert_int_equal(sent_in(r, 10), 5);
	sim_datapath_kill(r->datapath); /* the credit outlives the datapath */
	assert_int_equal(sent_in(r, 300), 0);
	rig_expect_alive(r);
}

static void strings(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t bytes;
		uint32_t usec;
	} t[] = {
		{ "1250000,50000", 0, 1250000, 50000 },
		{ "0,1000", 0, 0, 1000 },
		{ "1000,0", 0, 0, 0 }, /* in no time: no limit */
		{ "18446744073709551615,4294967295", 0, UINT64_MAX, UINT32_MAX },
		{ "18446744073709551616,1", -EINVAL, 0, 0 },
		{ "1,4294967296", -EINVAL, 0, 0 },
		{ "", -EINVAL, 0, 0 },
		{ ",", -EINVAL, 0, 0 },
		{ "1000", -EINVAL, 0, 0 },
		{ "1000,", -EINVAL, 0, 0 },
		{ ",1000", -EINVAL, 0, 0 },
		{ "1000,50000 ", -EINVAL, 0, 0 },
		{ " 1000,50000", -EINVAL, 0, 0 },
		{ "1000 ,50000", -EINVAL, 0, 0 },
		{ "-1000,50000", -EINVAL, 0, 0 },
		{ "10Mb/s", -EINVAL, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct rate rate;

		assert_int_equal(keys_parse_rate(t[i].text, &rate), t[i].rc);
		assert_int_equal(rate.bytes, t[i].bytes);
		assert_int_equal(rate.usec, t[i].usec);
	}
}

#define CASE(name)	  cmocka_unit_test_setup_teardown(name, start, end)
#define CASE_SINGLE(name) cmocka_unit_test_setup_teardown(name, start_single, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(keeps_to_the_rate),
		CASE_SINGLE(keeps_to_the_rate),
		CASE(changes_while_it_waits),
		CASE(receives_while_it_waits),
		CASE_SINGLE(receives_while_it_waits),
		CASE(waiting_vif_detaches),
		cmocka_unit_test(strings),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
