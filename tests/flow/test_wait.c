/* SPDX-License-Identifier: MIT */
/*
 * Guests that take their frames late, few at a time, or never: what waits is bounded in
 * bytes and in time, every frame lost is counted, a guest that stalls loses its carrier and
 * recovers, and the other guest notices nothing (XSA-392; queue_wait.c, gate.h).
 */
#include <stdio.h>
#include <string.h>

#include "tests/hostile/rig.h"

#define S     NS_PER_S
#define SMALL 60u
#define BURST (GATE_BYTES / SMALL) /* what the kernel's netback takes of such frames */

/* ---- the bridge's frames for the hostile guest ---- */

static uint64_t sent_ns[1 << 20]; /* when frame i was offered and taken */
static uint32_t n_sent;		  /* taken by the TAP */

static bool offer(struct rig *r, uint32_t size)
{
	uint8_t frame[PACKET_FRAME_MAX] = { [12] = 0x88, [13] = 0xb5 };

	memcpy(frame + 14, &n_sent, sizeof(n_sent));
	if (!sim_datapath_give(r->datapath, EVIL_DOMID, frame, size))
		return false;
	assert_true(n_sent < ARRAY_SIZE(sent_ns));
	sent_ns[n_sent++] = r->now_ns;
	return true;
}

/* ---- the hostile guest's receive ring ---- */

struct taker {
	RING_IDX seen;	    /* responses looked at */
	uint32_t n_taken;   /* frames */
	uint32_t next;	    /* the least number the next frame may have */
	uint64_t oldest_ns; /* the greatest age of a frame so far */
};

static struct taker taker;

static void post(struct rig *r, uint32_t n)
{
	evil_rx(&r->evil, n);
	__atomic_store_n(&r->evil.rx->req_prod, r->evil.rx_prod, __ATOMIC_RELEASE);
	if (!r->evil.never_notifies)
		evil_notify(&r->evil);
}

static uint32_t n_posted(const struct rig *r)
{
	return r->evil.rx_prod - r->evil.rx->rsp_prod;
}

static void take(struct rig *r)
{
	struct evil *e = &r->evil;
	bool more = false;

	for (; taker.seen != e->rx->rsp_prod; taker.seen++) {
		netif_rx_response_t rsp = evil_rx_response(e, taker.seen);
		uint32_t number;

		assert_true(rsp.status > 0);
		if (!more) {
			memcpy(&number,
			       e->rx_memory + (size_t)(rsp.id % EVIL_PAGES) * XEN_PAGE + 14,
			       sizeof(number));
			assert_true(number >= taker.next && number < n_sent);
			taker.next = number + 1;
			taker.n_taken++;
			taker.oldest_ns = MAX(taker.oldest_ns, r->now_ns - sent_ns[number]);
		}
		more = rsp.flags & NETRXF_more_data;
	}
}

/* ---- the rest ---- */

static uint64_t n_lost(const struct queue_counters *n)
{
	uint64_t sum = 0;

	for (int i = TO_GUEST_FINE + 1; i < TO_GUEST_N_FAULTS; i++)
		sum += n->to_guest_drops[i];
	return sum;
}

static uint64_t waiting(void)
{
	int64_t n = gate_waiting(&sim_gate(EVIL_DOMID)->queue[0]);

	assert_true(n >= 0 && n <= GATE_BYTES);
	return (uint64_t)n;
}

/* Turns until so much time has passed. */
static void pass(struct rig *r, uint64_t ns)
{
	for (uint64_t until = r->now_ns + ns; r->now_ns < until;)
		rig_turn(r);
}

/* Frames of 'size' come, a few each second, until the guest counts as stalled. */
static void stall(struct rig *r, uint32_t size)
{
	uint64_t begun = r->now_ns;

	for (uint32_t turn = 0; sim_carrier(EVIL_DOMID); turn++) {
		if (turn % 4 == 0)
			assert_true(offer(r, size));
		rig_turn(r);
		assert_true(r->now_ns - begun < 62 * S);
	}
	assert_true(r->now_ns - begun >= 60 * S);
}

static struct rig *begin(bool split_events)
{
	n_sent = 0;
	taker = (struct taker){ 0 };
	return rig_start(split_events);
}

static int start(void **state)
{
	*state = begin(true);
	return 0;
}

static int start_single(void **state)
{
	*state = begin(false);
	return 0;
}

static int start_ungated(void **state)
{
	sim_refuse_gates(true);
	*state = begin(true);
	return 0;
}

static int end(void **state)
{
	rig_end(*state);
	sim_refuse_gates(false);
	return 0;
}

/* ---- bytes ---- */

/* As many small frames at once as the kernel's netback takes, and not one lost. */
static void bursts_pass(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	for (uint32_t burst = 1; burst <= 3; burst++) {
		for (uint32_t i = 0; i < BURST; i++)
			assert_true(offer(r, SMALL));
		assert_true(waiting() > GATE_BYTES - SMALL);
		for (uint32_t i = 1; i <= 5; i++)
			assert_false(offer(r, SMALL));
		while (taker.n_taken < burst * BURST) {
			post(r, 64 - n_posted(r));
			rig_turn(r);
			take(r);
		}
		assert_int_equal(waiting(), 0);
		n = rig_evil_counters(r);
		assert_int_equal(n.to_guest_drops[TO_GUEST_QUEUE_FULL], 5 * burst);
		assert_int_equal(n_lost(&n), 5 * burst);
		assert_int_equal(n.to_guest_frames, burst * BURST);
	}
	assert_int_equal(n.to_guest_stalls, 0);
}

/* Frames of 64 KiB: bytes count, read ahead or not. */
static void large_frames_are_few(void **state)
{
	struct rig *r = *state;
	uint32_t n = 0;

	for (uint32_t i = 0; i < 100; i++) {
		n += offer(r, PACKET_FRAME_MAX);
		rig_turn(r);
		(void)waiting();
	}
	assert_int_equal(n, GATE_BYTES / PACKET_FRAME_MAX);
	post(r, 17 * 3); /* for three; the gate knows that they have left */
	pass(r, S / 10);
	assert_int_equal(waiting(), (n - 3) * PACKET_FRAME_MAX);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(offer(r, PACKET_FRAME_MAX));
	assert_false(offer(r, PACKET_FRAME_MAX));
}

/* ---- age ---- */

/* It stops, and comes back before it is stalled: what is young enough it gets. */
static void old_frames_go(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;
	uint64_t begun = r->now_ns;

	for (uint32_t i = 0; i < 300; i++) { /* one each 100 ms, 30 s */
		assert_true(offer(r, SMALL));
		pass(r, S / 10);
		n = rig_evil_counters(r);
		if (r->now_ns - begun < 10 * S)
			assert_int_equal(n_lost(&n), 0);
		assert_true(waiting() <= SMALL * 116);
	}
	n = rig_evil_counters(r);
	assert_in_range(n.to_guest_drops[TO_GUEST_EXPIRED], 300 - 116, 300 - 100);
	for (int i = 0; i < 4; i++) {
		post(r, 50);
		pass(r, S / 10);
		take(r);
	}
	n = rig_evil_counters(r);
	assert_int_equal(taker.n_taken + n_lost(&n), 300);
	assert_true(taker.oldest_ns > 9 * S && taker.oldest_ns < 115 * S / 10);
	assert_int_equal(n.to_guest_stalls, 0);
	rig_expect_alive(r);
}

/* A buffer a second: it is slow, not stalled, and gets nothing old. The other guest, which
 * is fast, is as fast as ever. */
static void a_slow_guest_beside_a_fast_one(void **state)
{
	struct rig *r = *state;
	uint64_t quiet = rig_good_carries(r, 300);
	struct queue_counters n;

	for (uint32_t i = 0; i < 120; i++) {
		for (uint32_t j = 0; j < 200; j++)
			(void)offer(r, 1000);
		post(r, 1);
		assert_true(rig_good_carries(r, 300) <= quiet + 2);
		pass(r, S);
		take(r);
		(void)waiting();
		assert_true(sim_carrier(EVIL_DOMID));
	}
	n = rig_evil_counters(r);
	assert_int_equal(taker.n_taken, 120);
	assert_true(taker.oldest_ns < 125 * S / 10);
	assert_int_equal(n.to_guest_stalls, 0);
	assert_true(n.to_guest_drops[TO_GUEST_EXPIRED] > 0);
	assert_true(n.to_guest_drops[TO_GUEST_QUEUE_FULL] > 0);
	assert_int_equal(n_sent + n.to_guest_drops[TO_GUEST_QUEUE_FULL], 120 * 200);
	assert_int_equal(n_sent,
			 taker.n_taken + n.to_guest_drops[TO_GUEST_EXPIRED] + waiting() / 1000);
}

/* ---- stalls ---- */

/* XSA-392: one buffer is free, the frames need two, for ever. */
static void a_slot_too_few(void **state)
{
	struct rig *r = *state;
	uint64_t begun;

	post(r, 1);
	pass(r, S);
	assert_true(offer(r, 5000));
	begun = r->now_ns;
	while (sim_carrier(EVIL_DOMID)) {
		(void)offer(r, 5000);
		evil_notify(&r->evil); /* which changes nothing */
		pass(r, S / 2);
		assert_true(r->now_ns - begun < 61 * S);
	}
	assert_true(r->now_ns - begun >= 60 * S);
	assert_int_equal(rig_evil_counters(r).to_guest_stalls, 1);
	pass(r, S / 10);
	assert_int_equal(waiting(), 0);
	assert_false(offer(r, SMALL)); /* nothing is let in */
	pass(r, 100 * S);
	assert_false(offer(r, SMALL));
	assert_false(sim_carrier(EVIL_DOMID));

	post(r, 1); /* that makes two */
	pass(r, S / 10);
	assert_true(sim_carrier(EVIL_DOMID));
	assert_true(offer(r, 5000));
	pass(r, S / 10);
	take(r);
	assert_int_equal(taker.n_taken, 1);
	assert_int_equal(rig_evil_counters(r).to_guest_stalls, 1);
	rig_expect_alive(r);
}

static void stalls_and_recovers(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	r->ns_per_turn = 100 * NS_PER_MS;
	for (uint32_t i = 1; i <= 100; i++) {
		stall(r, 9000);
		rig_turn(r);
		assert_int_equal(waiting(), 0);
		assert_int_equal(rig_evil_counters(r).to_guest_stalls, i);
		post(r, 3); /* of which the first frame is given */
		rig_turns_until(r, 20, sim_carrier(EVIL_DOMID));
		assert_true(offer(r, 9000));
		rig_turns_until(r, 20, taker.seen + 3 == r->evil.rx->rsp_prod);
		take(r);
	}
	assert_int_equal(taker.n_taken, 100);
	n = rig_evil_counters(r);
	assert_int_equal(n_sent, 100 + n_lost(&n));
	assert_int_equal(n.to_guest_drops[TO_GUEST_QUEUE_FULL], 0);
	rig_expect_alive(r);
}

/* No traffic, no buffers: nobody is waiting, nobody stalls, nobody wakes up. */
static void idle_without_buffers(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	pass(r, 300 * S);
	n = rig_evil_counters(r);
	assert_int_equal(n.to_guest_stalls, 0);
	assert_true(sim_carrier(EVIL_DOMID));
	assert_int_equal(sim_datapath_deadline(r->datapath), UINT64_MAX);
}

/* A stalled vif that is detached, or whose datapath dies, starts anew. */
static void stalled_and_gone(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 2; i++) {
		r->ns_per_turn = 100 * NS_PER_MS;
		stall(r, SMALL);
		if (i == 0)
			sim_datapath_kill(r->datapath);
		else
			evil_reconnect(r);
		rig_turns_until(r, 20, sim_carrier(EVIL_DOMID));
		taker = (struct taker){ .seen = r->evil.rx->rsp_prod };
		post(r, 10);
		assert_true(offer(r, SMALL));
		pass(r, S);
		take(r);
		assert_int_equal(taker.n_taken, 1);
		while (n_posted(r)) {
			assert_true(offer(r, SMALL));
			pass(r, S);
		}
		take(r);
	}
	rig_expect_alive(r);
}

/* ---- a guest that never tells of its buffers ---- */

static void without_rx_notify(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	r->evil.never_notifies = true;
	evil_reconnect(r);
	taker = (struct taker){ 0 };
	r->ns_per_turn = NS_PER_MS;
	for (uint32_t i = 0; i < 100; i++) {
		assert_true(offer(r, SMALL));
		pass(r, S / 5);
		post(r, 1);
		pass(r, 34 * NS_PER_MS);
		take(r);
		assert_int_equal(taker.n_taken, i + 1);
	}
	n = rig_evil_counters(r);
	assert_int_equal(n_lost(&n), 0);
	/* five looks on the way to each 32 ms, then one each */
	assert_in_range(n.to_guest_waits, 100 * 6, 100 * 14);

	/* It can stall, and is found to have recovered. */
	r->ns_per_turn = 100 * NS_PER_MS;
	stall(r, SMALL);
	post(r, 1);
	rig_turns_until(r, 20, sim_carrier(EVIL_DOMID));
}

/* ---- counts that drift ---- */

/* Frames that entered and never came out: the kernel's doing, or a dead worker's. */
static void lost_frames_are_forgotten(void **state)
{
	struct rig *r = *state;
	struct gate_queue *g = &sim_gate(EVIL_DOMID)->queue[0];

	for (uint32_t i = 0; i < 20; i++) {
		assert_true(offer(r, 9000));
		rig_turn(r);
	}
	sim_datapath_kill(r->datapath);
	rig_turns_until(r, 200, sim_datapath_waiting(r->datapath, EVIL_DOMID) < 19);
	post(r, 60);
	pass(r, S);
	take(r);
	assert_int_equal(taker.n_taken, 19); /* the one it had read died with the worker */
	assert_int_equal(waiting(), 0);

	/* They fill the gate, and nobody is awake to notice. */
	__sync_fetch_and_add(&g->entered, 2 * GATE_BYTES);
	for (int i = 0; i < 19; i++) {
		assert_false(offer(r, SMALL));
		pass(r, S);
	}
	pass(r, 2 * S);
	assert_true(offer(r, SMALL)); /* to see who is there */
	post(r, 10);
	rig_turn(r);
	rig_turn(r);
	assert_int_equal(waiting(), 0);
	assert_true(offer(r, SMALL));

	/* Frames that came in past the gate. */
	rig_turn(r);
	__sync_fetch_and_sub(&g->entered, GATE_BYTES);
	assert_true(offer(r, SMALL));
	rig_turn(r);
	rig_turn(r);
	assert_int_equal(waiting(), 0);
	rig_expect_alive(r);
}

/* vifd was stopped and started: the TAP keeps what came meanwhile, its gate is a new one that
 * knows nothing of that. */
static void waited_for_vifd(void **state)
{
	struct rig *r = *state;
	struct gate_queue *g = &sim_gate(EVIL_DOMID)->queue[0];

	for (uint32_t i = 0; i < 4; i++)
		assert_true(offer(r, 100));
	sim_datapath_kill(r->datapath);
	g->entered = g->taken = 0;
	post(r, 20);
	pass(r, S);
	take(r);
	assert_int_equal(taker.n_taken, 4);
	assert_int_equal(waiting(), 0);
	rig_expect_alive(r);
}

/* A kernel without BPF: age and stalls are as ever, by what is known. */
static void without_a_gate(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;
	uint64_t begun = r->now_ns;

	assert_null(sim_gate(EVIL_DOMID));
	for (uint32_t i = 0; i < 200; i++)
		assert_true(offer(r, 9000));
	rig_turns_until(r, 1200, rig_evil_counters(r).to_guest_drops[TO_GUEST_EXPIRED] > 190);
	assert_true(r->now_ns - begun >= 10 * S);
	while (sim_carrier(EVIL_DOMID)) {
		assert_true(offer(r, 9000));
		pass(r, S);
		assert_true(r->now_ns - begun < 62 * S);
	}
	pass(r, S);
	n = rig_evil_counters(r);
	assert_int_equal(n_lost(&n), n_sent);
	post(r, 10);
	rig_turns_until(r, 20, sim_carrier(EVIL_DOMID));
	assert_true(offer(r, 9000));
	pass(r, S);
	take(r);
	assert_int_equal(taker.n_taken, 1);
	rig_expect_alive(r);
}

#define CASE(name)	   cmocka_unit_test_setup_teardown(name, start, end)
#define CASE_SINGLE(name)  cmocka_unit_test_setup_teardown(name, start_single, end)
#define CASE_UNGATED(name) cmocka_unit_test_setup_teardown(name, start_ungated, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(bursts_pass),
		CASE_SINGLE(bursts_pass),
		CASE(large_frames_are_few),
		CASE(old_frames_go),
		CASE(a_slow_guest_beside_a_fast_one),
		CASE_SINGLE(a_slow_guest_beside_a_fast_one),
		CASE(a_slot_too_few),
		CASE_SINGLE(a_slot_too_few),
		CASE(stalls_and_recovers),
		CASE(idle_without_buffers),
		CASE(stalled_and_gone),
		CASE(without_rx_notify),
		CASE_SINGLE(without_rx_notify),
		CASE(lost_frames_are_forgotten),
		CASE(waited_for_vifd),
		CASE_UNGATED(without_a_gate),
	};

	return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
