/* SPDX-License-Identifier: MIT */
/*
 * The order of frames, on the stepped system, with all that can be late: a frame on its way from
 * the NIC's filter to its place or its TAP takes as long as settle() lets it (tests/sim/sim_way.h),
 * the guest comes to its queues one by one, in any order, and sleeps when it likes. Meanwhile its
 * place, lent to or an ordinary one, comes and goes at any moment, and a neighbour connects anew.
 * Frames may be lost, as places are small; none may overtake one of its flow: rig.c asserts.
 *
 *	ORDER_SEED=17 build/test-order		that seed only
 *	ORDER_SEEDS=5000 build/test-order	more of them
 */
#include "tests/hostile/rig.h"

#include <stdlib.h>

#include "tests/sim/sim_host.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_store.h"

#define N_SEEDS 36u
#define LIFE_NS (8 * NS_PER_S)

/* What a seed's life came to. */
struct life {
	uint64_t n_moves, n_lent; /* turns lent to */
	struct queue_counters n;
};

static struct placement *good(struct rig *r)
{
	return &rig_vif(r, GOOD_DOMID)->placement;
}

/* One in n. */
static bool draw(uint32_t n)
{
	return (uint32_t)random() % n == 0;
}

static void wish_headroom(struct rig *r, uint32_t bytes)
{
	__atomic_store_n(
	    &r->control.workers.shared->vif[rig_vif(r, GOOD_DOMID)->vif_slot].xdp_headroom, bytes,
	    __ATOMIC_RELAXED);
}

/* The neighbour connects anew, a step at a time, at any moment. */
static void evil_goes_on(struct rig *r, int *ours)
{
	const int theirs = rig_evil_state();
	int next = 0;

	if (*ours == XenbusStateConnected && theirs == XenbusStateConnected && draw(100))
		next = XenbusStateClosing;
	else if (*ours == XenbusStateClosing && theirs != XenbusStateConnected)
		next = XenbusStateClosed;
	else if (*ours == XenbusStateClosed && theirs == XenbusStateClosed)
		next = XenbusStateInitialising;
	else if (*ours == XenbusStateInitialising && theirs == XenbusStateInitWait)
		next = XenbusStateConnected;
	if (next == XenbusStateConnected)
		evil_share(&r->evil);
	if (!next)
		return;
	*ours = next;
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", (unsigned)next);
}

/* Whoever may wish something. */
static void wish(struct rig *r, int *evils_state)
{
	struct placement *p = good(r);

	if (draw(40))
		p->wish = p->wish == PLACEMENT_AUTO ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
	if (draw(50))
		wish_headroom(r, draw(3) ? 256 : 0);
	if (draw(50))
		sim_nic_link(!draw(40));
	p->lend_ns = p->lend_wait_ns = p->since_ns = 0;
	sim_nic_settles(&r->now_ns, (uint64_t)random() % (40 * NS_PER_MS));
	evil_goes_on(r, evils_state);
}

/* Mostly for a moment, at times for as long as a processor is another's. */
static void sleep_a_while(struct good *g)
{
	if (!g->n_sleeps && draw(4))
		g->n_sleeps = (uint32_t)random() % (draw(40) ? 60 : 6);
}

/* Guests with one to four queues, by each of the kinds of places. */
static struct rig *start(unsigned seed)
{
	const uint32_t n_queues = 1 + seed / 3 % SIM_QUEUES_MAX;

	switch (seed % 3) {
	case 0:
		return rig_start_nic_queues(n_queues);
	case 1:
		return rig_start_posting(1, n_queues);
	default:
		return rig_start_lent(1, n_queues);
	}
}

static struct life live(unsigned seed)
{
	struct rig *r = start(seed);
	int evils_state = XenbusStateConnected;
	struct life life = { .n_lent = 0 };

	srandom(seed);
	r->good.steered = r->good.by_queues = r->good.may_lose = r->slow_ways = true;
	r->good.n_neighbours = RIG_NEIGHBOURS;
	r->ns_per_turn = (2 + (uint64_t)random() % 7) * NS_PER_MS;
	sim_nic_take_time(true);
	while (r->now_ns < LIFE_NS) {
		r->good.goal += (uint32_t)random() % 6;
		r->good.neighbour_goal += (uint32_t)random() % 6;
		sleep_a_while(&r->good);
		wish(r, &evils_state);
		rig_turn(r);
		life.n_lent += good(r)->state == PLACED_NIC && good(r)->lent;
	}
	life.n_moves = good(r)->n_moves;
	life.n = rig_counters(r, GOOD_DOMID);
	r->good.by_queues = r->slow_ways = false;
	sim_nic_take_time(false);
	sim_nic_settles(NULL, 0);
	sim_nic_link(true);
	rig_end(r);
	return life;
}

static void none_overtakes(void **state)
{
	const char *one = getenv("ORDER_SEED"), *many = getenv("ORDER_SEEDS");
	const unsigned first = one ? (unsigned)atoi(one) : 0;
	const unsigned n = one ? 1 : many ? (unsigned)atoi(many) : N_SEEDS;
	struct life all = { .n_lent = 0 };

	(void)state;
	for (unsigned seed = first; seed - first < n; seed++) {
		struct life life;

		print_message("seed %u\n", seed);
		life = live(seed);
		all.n_moves += life.n_moves;
		all.n_lent += life.n_lent;
		all.n.to_guest_frames += life.n.to_guest_frames;
		all.n.to_guest_nic_frames += life.n.to_guest_nic_frames;
	}
	print_message("%lu moves, %lu turns lent to, %lu frames, %lu of them by the NIC\n",
		      all.n_moves, all.n_lent, all.n.to_guest_frames, all.n.to_guest_nic_frames);
	if (one)
		return;
	assert_true(all.n_moves > 10 * n && all.n_lent > 10 * n);
	assert_true(all.n.to_guest_nic_frames > 500 * n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(none_overtakes) };

	return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
