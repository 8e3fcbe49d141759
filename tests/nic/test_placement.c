/* SPDX-License-Identifier: MIT */
/*
 * Places on a NIC, on the stepped system: control, worker, a guest that counts its frames
 * and one that is played by hand. The NIC is in memory (tests/sim/sim_nic.c): between any
 * two steps a frame may come, by whichever way the filter says then.
 */
#include "tests/hostile/rig.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_host.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_store.h"
#include "backend/datapath/queue.h"

static int start(void **state)
{
	*state = rig_start_nic();
	return 0;
}

static struct placement *good(struct rig *r)
{
	return &rig_vif(r, GOOD_DOMID)->placement;
}

static struct placement *evil(struct rig *r)
{
	return &rig_vif(r, EVIL_DOMID)->placement;
}

static uint64_t by_nic(struct rig *r)
{
	return rig_counters(r, GOOD_DOMID).to_guest_nic_frames;
}

/* rig_good_carries() asserts that the frames come in order, each once. */
static void both_get_a_place(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
	assert_int_equal(sim_nic_n_filters(), 2);
	rig_good_carries(r, 500);
	assert_true(by_nic(r) >= 400);
	assert_int_equal(sim_datapath_waiting(r->datapath, GOOD_DOMID), 0);
}

/* There and back at any moment of any step, under load. */
static void there_and_back(void **state)
{
	struct rig *r = *state;
	uint64_t moves;

	r->ns_per_turn = 3 * NS_PER_MS;
	srandom(7);
	for (unsigned i = 0; i < 400; i++) {
		good(r)->wish = i % 2 ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
		rig_good_carries(r, (uint32_t)random() % 90 + 1);
		rig_turns(r, (unsigned)random() % (i % 4 < 2 ? 6 : 30));
	}
	moves = good(r)->n_moves;
	assert_true(moves > 150);
	assert_true(by_nic(r) > 1000);
}

/*
 * A guest with three queues, one of which has the place, and a flow that is another's on the
 * bridge. The guest looks at its first queue first, so what it was shown in two rings at once
 * it takes in the wrong order.
 */
static int start_queues(void **state)
{
	*state = rig_start_nic_queues(3);
	return 0;
}

static void there_and_back_by_another_queue(void **state)
{
	struct rig *r = *state;

	r->good.bridge_queue = 2;
	/* In quiet times it shows in both rings that it takes all. */
	for (unsigned i = 0; i < 4; i++) {
		rig_turns_until(r, 100, good(r)->state == (i < 2 ? PLACED_NIC : PLACED_BRIDGE));
		rig_good_carries(r, 1);
		good(r)->wish = i ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
	}
	r->ns_per_turn = 4 * NS_PER_MS;
	srandom(11);
	for (unsigned i = 0; i < 6000; i++) {
		r->good.goal += (uint32_t)random() % (i % 8 ? 8 : 400);
		if (random() % 25 == 0)
			good(r)->wish = good(r)->wish == PLACEMENT_AUTO ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
		if (!r->good.n_sleeps && random() % 4 == 0)
			r->good.n_sleeps = (uint32_t)random() % 3;
		rig_turn(r);
	}
	rig_good_carries(r, 100);
	assert_int_equal(rig_vif(r, GOOD_DOMID)->n_queues, 3);
	assert_true(good(r)->n_moves > 60);
	assert_true(by_nic(r) > 1000);
}

/* What frames to others do meanwhile does not matter: a neighbour floods the queue. */
static void a_neighbour_floods(void **state)
{
	struct rig *r = *state;
	uint8_t frame[60] = { 0 };

	rig_turns_until(r, 100, evil(r)->state == PLACED_NIC);
	evil(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 100, evil(r)->state == PLACED_BRIDGE);
	evil(r)->wish = PLACEMENT_AUTO;
	for (unsigned i = 0; evil(r)->state != PLACED_NIC; i++) {
		assert_true(i < 3000);
		for (unsigned k = 0; k < 300; k++)
			(void)sim_datapath_give_queue(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame));
		evil_rx(&r->evil, RING_SLOTS - (r->evil.rx_prod - r->evil.rx->rsp_prod));
		evil_publish(&r->evil);
		rig_turn(r);
	}
}

/* Wanted no more before its filter was added: there never is one. */
static void called_back_at_once(void **state)
{
	struct rig *r = *state;
	uint64_t moves;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	good(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
	moves = good(r)->n_moves;
	for (unsigned i = 0; i < 3; i++) {
		good(r)->wish = PLACEMENT_AUTO;
		rig_turns_until(r, 100, good(r)->state == PLACED_JOINING);
		good(r)->wish = PLACEMENT_BRIDGE;
		for (unsigned k = 0; good(r)->state != PLACED_BRIDGE; k++, rig_turn(r)) {
			assert_true(k < 5);
			assert_int_equal(sim_nic_n_filters(), 1); /* the other guest's */
		}
		rig_good_carries(r, 20);
	}
	assert_int_equal(good(r)->n_moves, moves);
}

/* On its way to a place, as the guest sleeps: it is wanted back, and comes back without having
 * been there, as soon as what was older is read. Then frames wait in the place, behind which come
 * those that take the bridge again. */
static void called_back_while_it_drains(void **state)
{
	struct rig *r = *state;
	uint64_t moves;
	uint32_t n_placed = 0;

	r->ns_per_turn = NS_PER_MS;
	srandom(5);
	for (unsigned i = 0; i < 40; i++) {
		good(r)->wish = PLACEMENT_BRIDGE;
		rig_turns_until(r, 300, good(r)->state == PLACED_BRIDGE);
		rig_good_carries(r, 1);
		moves = good(r)->n_moves;
		r->good.n_sleeps = 60;
		r->good.goal += 350; /* more than is read for a guest without buffers */
		rig_turns(r, 10);
		good(r)->wish = PLACEMENT_AUTO;
		rig_turns_until(r, 100, good(r)->state == PLACED_DRAINING);
		r->good.goal += 20; /* by the place */
		rig_turns(r, (unsigned)random() % 8);
		if (good(r)->state != PLACED_DRAINING)
			continue;
		good(r)->wish = PLACEMENT_BRIDGE;
		for (unsigned k = 0; good(r)->state != PLACED_BRIDGE; k++, rig_turn(r)) {
			assert_true(k < 300);
			assert_int_not_equal(good(r)->state, PLACED_NIC);
			r->good.goal += random() % 4 == 0;
		}
		assert_int_equal(good(r)->n_moves, moves);
		n_placed++;
	}
	assert_true(n_placed > 30);
	rig_good_carries(r, 100);
}

/* A guest with one queue that takes no frames at all: what was read is enough, for there and
 * back. */
static void a_guest_that_takes_nothing_is_moved(void **state)
{
	struct rig *r = *state;
	uint8_t frame[60] = { 0 };
	uint64_t begun;

	r->ns_per_turn = NS_PER_MS;
	evil(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 200, evil(r)->state == PLACED_BRIDGE);
	for (unsigned i = 0; i < 20; i++)
		assert_true(sim_datapath_give_queue(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame)));
	for (unsigned i = 0; i < 4; i++) {
		begun = r->now_ns;
		evil(r)->wish = i % 2 ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
		rig_turns_until(r, 200, evil(r)->state == (i % 2 ? PLACED_BRIDGE : PLACED_NIC));
		assert_true(r->now_ns - begun < 100 * NS_PER_MS);
	}
}

static void back_on_the_bridge(void **state)
{
	struct rig *r = *state;
	uint64_t before;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	good(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
	assert_string_equal(good(r)->why_not, "the operator wants it on the bridge");
	assert_int_equal(sim_nic_n_filters(), 1);
	before = by_nic(r);
	rig_good_carries(r, 200);
	assert_int_equal(by_nic(r), before);
}

static void filters_run_out(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	good(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
	sim_nic_refuse(1);
	good(r)->wish = PLACEMENT_AUTO;
	rig_turns_until(r, 100, good(r)->failure[0]);
	assert_non_null(strstr(good(r)->failure, "adding its filter"));
	rig_good_carries(r, 200);
	/* It is tried again, later. */
	rig_turns_until(r, 1100, good(r)->state == PLACED_NIC);
	rig_good_carries(r, 200);
}

/* A guest that takes nothing fills its place, and nobody else's. */
static void a_guest_that_takes_nothing(void **state)
{
	struct rig *r = *state;
	uint8_t frame[60] = { 0 };
	uint64_t lost = sim_nic_n_lost();

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	for (unsigned i = 0; i < 1000; i++)
		(void)!sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame));
	assert_true(sim_nic_n_lost() - lost >= 900);
	rig_good_carries(r, 1000);
}

/* Its vif goes while it is in the middle of a step that needs it. */
static void closed_on_the_way(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	sim_toolstack_detach(EVIL_DOMID, 0);
	rig_turns_until(r, 1000, !strcmp(sim_backend_get(EVIL_DOMID, 0, "state"), "6"));
	assert_int_equal(sim_nic_n_filters(), 1);
	rig_good_carries(r, 100);
}

/* Frames of the place that wait for buffers when the vif closes are given back: the NIC's
 * end asserts it. */
static void closed_with_frames(void **state)
{
	struct rig *r = *state;
	uint8_t frame[60] = { 0 };

	evil_rx(&r->evil, 2);
	evil_publish(&r->evil);
	evil_notify(&r->evil);
	rig_turns_until(r, 100, evil(r)->state == PLACED_NIC);
	for (unsigned i = 0; i < 40; i++)
		assert_true(sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame)));
	rig_turns(r, 10);
	rig_good_carries(r, 100);
}

/* However a place ends, it is control that waits until the kernel has let go of it, and no
 * worker with other guests; and not for long. */
static void control_closes_last(void **state)
{
	struct rig *r = *state;
	uint32_t before = sim_nic_n_last_left();

	for (unsigned i = 0; i < 3; i++) {
		rig_turns_until(r, 100, good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
		assert_int_equal(sim_nic_n_open(), 2);
		good(r)->wish = PLACEMENT_BRIDGE;
		rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
		good(r)->wish = PLACEMENT_AUTO;
	}
	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	sim_toolstack_detach(EVIL_DOMID, 0);
	rig_turns_until(r, 1000, !strcmp(sim_backend_get(EVIL_DOMID, 0, "state"), "6"));
	rig_turns_until(r, 100, sim_nic_n_open() == 1);
	sim_nic_plug(false);
	rig_turns_until(r, 20, good(r)->state == PLACED_BRIDGE);
	sim_nic_plug(true);
	rig_turns_until(r, 100, sim_nic_n_open() == 0);
	assert_int_equal(sim_nic_n_last_left(), before);
}

/* Taken away, then another one of its name: by then nobody waits for the old one. */
static void the_nic_goes_and_comes(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 3; i++) {
		rig_turns_until(r, 200, good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
		rig_good_carries(r, 200);
		sim_nic_plug(false);
		rig_turns_until(r, 20, good(r)->state == PLACED_BRIDGE && evil(r)->state == PLACED_BRIDGE);
		assert_string_equal(good(r)->why_not, "no open NIC of vifd.conf is in its bridge: see vifctl nic");
		assert_int_equal(sim_nic_n_filters(), 0);
		rig_turns(r, i * 100);
		sim_nic_plug(true);
		rig_good_carries(r, 200);
	}
}

/* At any moment of any step, and the other one is there before anybody looked. */
static void the_nic_is_replaced(void **state)
{
	struct rig *r = *state;

	r->ns_per_turn = 3 * NS_PER_MS;
	for (unsigned i = 0; i < 40; i++) {
		rig_turns_until(r, 500, good(r)->state == PLACED_NIC);
		good(r)->wish = PLACEMENT_BRIDGE;
		rig_turns(r, i % 8);
		sim_nic_plug(false);
		rig_turns(r, i % 3);
		sim_nic_plug(true);
		good(r)->wish = PLACEMENT_AUTO;
		rig_good_carries(r, 20);
	}
}

/* vifd.conf means a name: who lost it is left in order, and whoever has it next is served. */
static void the_nic_is_renamed(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 200, good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
	rig_good_carries(r, 100);
	sim_nic_rename("other0");
	for (unsigned i = 0; i < 10; i++)
		rig_good_carries(r, 20);
	assert_int_equal(good(r)->state, PLACED_BRIDGE);
	assert_int_equal(evil(r)->state, PLACED_BRIDGE);
	assert_int_equal(sim_nic_n_filters(), 0);
	assert_string_equal(r->control.nics.nic[0].why, "it was renamed to other0");
	rig_turns(r, 300); /* it is looked for again and again, and the reason stays */
	assert_string_equal(r->control.nics.nic[0].why, "it was renamed to other0");
	sim_nic_rename(SIM_NIC_NAME);
	rig_turns_until(r, 300, good(r)->state == PLACED_NIC);
	rig_good_carries(r, 100);
}

/* To the name of another NIC of vifd.conf, and back: that one opens it once it is left. */
static void the_nic_is_anothers(void **state)
{
	struct rig *r = *state;
	struct nics *nics = &r->control.nics;
	struct nic *other = &nics->nic[1];

	rig_turns_until(r, 200, good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
	*other = (struct nic){ .config = nics->nic[0].config, .ops = nics->nic[0].ops, .number = 1 };
	strcpy(other->config.name, "other0");
	nics->n = 2;
	rig_turns(r, 10);
	assert_null(other->device);
	for (unsigned i = 0; i < 4; i++) {
		sim_nic_rename(i % 2 ? SIM_NIC_NAME : "other0");
		rig_good_carries(r, 20);
		rig_turns_until(r, 1200, good(r)->nic == &nics->nic[(i + 1) % 2] &&
						 good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
		assert_int_equal(sim_nic_n_filters(), 2);
		assert_null(nics->nic[i % 2].device);
		rig_good_carries(r, 100);
	}
}

/* To another network namespace: what is on it is out of reach, until it is back. */
static void the_nic_is_moved(void **state)
{
	static const char *const names[] = { "other0", SIM_NIC_NAME };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		rig_turns_until(r, 300, good(r)->state == PLACED_NIC);
		sim_nic_move();
		rig_turns_until(r, 20, good(r)->state == PLACED_BRIDGE);
		assert_non_null(strstr(r->control.nics.nic[0].why, "another network namespace"));
		rig_turns(r, 300);
		assert_non_null(strstr(r->control.nics.nic[0].why, "another network namespace"));
		assert_true(sim_nic_has_left());
		sim_nic_rename(names[i]);
		sim_nic_plug(true);
		rig_turns_until(r, 5, !sim_nic_has_left());
		sim_nic_rename(SIM_NIC_NAME);
	}
	rig_turns_until(r, 300, good(r)->state == PLACED_NIC);
	rig_good_carries(r, 100);
}

static void the_link_drops(void **state)
{
	struct rig *r = *state;
	uint64_t begun;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	sim_nic_link(false);
	rig_good_carries(r, 100);
	rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
	assert_string_equal(good(r)->why_not, "the NIC's link is down");
	assert_int_equal(sim_nic_n_filters(), 0);
	/* It comes and goes: nobody moves before it stays. */
	for (unsigned i = 0; i < 10; i++) {
		sim_nic_link(i % 2);
		rig_turns(r, 50);
		assert_int_equal(good(r)->state, PLACED_BRIDGE);
	}
	begun = r->now_ns;
	rig_turns_until(r, 200, good(r)->state == PLACED_NIC);
	assert_true(r->now_ns - begun >= 400 * NS_PER_MS);
	rig_good_carries(r, 100);
}

/* All that was sent has arrived: what is sent next may take another way. */
static void drained(struct rig *r)
{
	rig_good_carries(r, 50);
	rig_turns_until(r, 100, !sim_datapath_waiting(r->datapath, GOOD_DOMID));
}

/* By an operator's hand: what is left of the way is its filter, which is asked after now and
 * then. Frames go by the bridge meanwhile, and none is lost on either way. */
static void the_filter_is_taken_away(void **state)
{
	struct rig *r = *state;
	uint64_t begun, moves;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
	moves = evil(r)->n_moves;
	for (unsigned i = 0; i < 3; i++) {
		drained(r);
		sim_nic_lose_filter(good(r)->filter.mac);
		assert_int_equal(sim_nic_n_filters(), 1);
		begun = r->now_ns;
		rig_good_carries(r, 100);
		rig_turns_until(r, 1200, good(r)->state == PLACED_BRIDGE);
		assert_true(r->now_ns - begun <= PLACEMENT_CHECK_NS + NS_PER_S);
		assert_string_equal(good(r)->failure,
				    "its filter was taken away: No such file or directory");
		/* Not at once: whoever did it may do it again. */
		rig_turns(r, 50);
		assert_int_equal(good(r)->state, PLACED_BRIDGE);
		rig_turns_until(r, 1200, good(r)->state == PLACED_NIC);
		assert_int_equal(sim_nic_n_filters(), 2);
		rig_good_carries(r, 100);
	}
	assert_int_equal(evil(r)->n_moves, moves);
}

/* Something that concerns them all: they leave in order, and the NIC is opened anew. */
static void the_nic_is_changed(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 3; i++) {
		rig_turns_until(r, 1300, good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
		sim_nic_amiss();
		rig_turns_until(r, 1200, r->control.nics.nic[0].state == NIC_CLOSED);
		assert_string_equal(r->control.nics.nic[0].why, "somebody was here");
		assert_int_equal(sim_nic_n_filters(), 0);
		rig_good_carries(r, 100);
		rig_turns_until(r, 300, good(r)->state == PLACED_NIC);
		rig_good_carries(r, 100);
	}
}

/* The device keeps a filter: none of its is relied upon any more, nor is the note of it lost. */
static void a_filter_stays(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
	sim_nic_keep(1);
	good(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 600, r->control.nics.nic[0].state == NIC_CLOSED);
	assert_string_equal(r->control.nics.nic[0].why, "a filter of it cannot be removed");
	rig_turns_until(r, 600, evil(r)->state == PLACED_NIC);
	assert_int_equal(sim_nic_n_filters(), 1);
	good(r)->wish = PLACEMENT_AUTO;
	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	rig_good_carries(r, 100);
	/* So too if its vif goes. */
	sim_nic_keep(1);
	sim_toolstack_detach(EVIL_DOMID, 0);
	rig_turns_until(r, 1000, r->control.nics.nic[0].state == NIC_CLOSED);
	rig_turns_until(r, 600, good(r)->state == PLACED_NIC);
	assert_int_equal(sim_nic_n_filters(), 1);
	rig_good_carries(r, 100);
}

/* One that takes no frames keeps the others from it for some seconds only. */
static void the_nic_is_changed_and_one_is_slow(void **state)
{
	struct rig *r = *state;
	uint8_t frame[60] = { 0 };

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC && evil(r)->state == PLACED_NIC);
	for (unsigned i = 0; i < 40; i++)
		assert_true(sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame)));
	sim_nic_amiss();
	rig_turns_until(r, 1200, good(r)->state == PLACED_BRIDGE);
	assert_int_equal(r->control.nics.nic[0].state, NIC_OPEN);
	rig_turns_until(r, 600, r->control.nics.nic[0].state == NIC_CLOSED);
	rig_turns_until(r, 300, good(r)->state == PLACED_NIC);
	rig_good_carries(r, 100);
}

/* From the filter on frames come to the place, more than fit there until it is read. */
static void many_come_on_the_way(void **state)
{
	struct rig *r = *state;
	uint8_t frame[60] = { 0 };
	uint64_t lost = sim_nic_n_lost(), n = 0;

	r->ns_per_turn = NS_PER_MS;
	evil(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 200, evil(r)->state == PLACED_BRIDGE);
	evil(r)->wish = PLACEMENT_AUTO;
	rig_turns_until(r, 200, evil(r)->state == PLACED_SETTLING_IN);
	for (; evil(r)->state != PLACED_NIC; rig_turn(r))
		for (unsigned i = 0; i < QUEUE_READ_MAX; i++, n++)
			assert_true(sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame)));
	assert_true(n > 2 * SIM_PLACE_SIZE);
	assert_int_equal(sim_nic_n_lost(), lost);
}

/* The time to wait begins when the device says that it has settled, which takes it some. */
static void settles(void **state)
{
	struct rig *r = *state;
	uint64_t begun;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	r->ns_per_turn = NS_PER_MS;
	sim_nic_settles(&r->now_ns, 30 * NS_PER_MS);
	good(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 100, good(r)->state == PLACED_SETTLING_OUT);
	begun = r->now_ns;
	rig_turns_until(r, 100, good(r)->state != PLACED_SETTLING_OUT);
	assert_true(r->now_ns - begun >= NIC_SETTLE_NS);
	good(r)->wish = PLACEMENT_AUTO;
	rig_turns_until(r, 100, good(r)->state == PLACED_SETTLING_IN);
	begun = r->now_ns;
	rig_turns_until(r, 100, good(r)->state != PLACED_SETTLING_IN);
	assert_true(r->now_ns - begun >= NIC_SETTLE_NS);
	sim_nic_settles(NULL, 0);
}

static void the_datapath_dies(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	sim_datapath_kill(r->datapath);
	rig_turns_until(r, 20, good(r)->state == PLACED_BRIDGE);
	assert_int_equal(sim_nic_n_filters(), 0);
	rig_turns_until(r, 2000, good(r)->state == PLACED_NIC);
}

/* A station's frames pass by the bridge: it is told of the first, and again before it would
 * have forgotten, as long as there are frames. */
static void the_bridge_learns_who_sends(void **state)
{
	struct rig *r = *state;
	uint8_t frame[60] = { 0 };
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };
	uint64_t told;

	r->ns_per_turn = 10 * NS_PER_MS;
	rig_turns_until(r, 100, evil(r)->state == PLACED_NIC);
	memcpy(frame + 6, mac, sizeof(mac));
	assert_true(sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame)));
	rig_turns_until(r, 10, sim_learned(mac, 0) == 1);
	for (uint64_t end = r->now_ns + 2 * SIM_AGEING_NS; r->now_ns < end; rig_turn(r)) {
		evil_rx(&r->evil, 1);
		evil_publish(&r->evil);
		evil_notify(&r->evil);
		(void)!sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame));
	}
	assert_in_range(sim_learned(mac, 0), 1 + 2 * 2, 1 + 2 * 5);
	rig_turns(r, (unsigned)(SIM_AGEING_NS / r->ns_per_turn));
	told = sim_learned(mac, 0);
	rig_turns(r, (unsigned)(SIM_AGEING_NS / r->ns_per_turn));
	assert_int_equal(sim_learned(mac, 0), told);
}

/* ---- bridges that filter VLANs ---- */

static struct sim_form *form_of_good(void)
{
	return sim_netdev_form(GOOD_DOMID, 0);
}

/* rig_good_carries() asserts that no frame has a tag. */
static void tagged_on_the_wire(void **state)
{
	struct rig *r = *state;
	uint64_t before;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	assert_int_equal(good(r)->filter.vlan, 0);
	form_of_good()->form = (struct vlan_form){ 10, 10, .tag_off = true };
	rig_turns_until(r, 100, good(r)->state == PLACED_NIC && good(r)->n_moves >= 3);
	assert_int_equal(good(r)->filter.vlan, 10);
	assert_int_equal(evil(r)->filter.vlan, 0);
	before = by_nic(r);
	rig_good_carries(r, 500);
	assert_true(by_nic(r) - before >= 500);
}

/* There and back at any moment, under load, with the tag to be taken off on one way only. */
static void there_and_back_tagged(void **state)
{
	struct rig *r = *state;

	form_of_good()->form = (struct vlan_form){ 4094, 4094, .tag_off = true };
	there_and_back(state);
	assert_int_equal(good(r)->filter.vlan, 4094);
}

/* The bridge knows its stations by VLAN, whatever the tag on the wire. */
static void the_bridge_learns_of_its_vlans(void **state)
{
	struct rig *r = *state;
	uint8_t frame[60] = { 0 };
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 10 };

	sim_netdev_form(EVIL_DOMID, 0)->form = (struct vlan_form){ .vlan = 30 };
	rig_turns_until(r, 100, evil(r)->state == PLACED_NIC && evil(r)->form.vlan == 30);
	memcpy(frame + 6, mac, sizeof(mac));
	assert_true(sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sizeof(frame)));
	rig_turns_until(r, 10, sim_learned(mac, 30) == 1);
	assert_int_equal(sim_learned(mac, 0), 0);
}

static void moves_to_another_vlan(void **state)
{
	static const struct vlan_form forms[] = {
		{ 10, 10, .tag_off = true }, { 20, 20, .tag_off = true }, { .vlan = 20 },
		{ .vlan = 0 },		     { 20, 20, .tag_off = true },
	};
	struct rig *r = *state;
	uint64_t moves;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	for (size_t i = 0; i < 40; i++) {
		const struct vlan_form *f = &forms[i % ARRAY_SIZE(forms)];

		drained(r);
		moves = good(r)->n_moves;
		form_of_good()->form = *f;
		rig_good_carries(r, 100); /* by the bridge until its filter is another */
		rig_turns_until(r, 100, good(r)->state == PLACED_NIC && good(r)->n_moves > moves);
		assert_int_equal(good(r)->filter.vlan, f->on_wire);
		assert_int_equal(sim_nic_n_filters(), 2);
	}
}

/* What the bridge does cannot be done by a filter: it does it itself, and says why. */
static void bridged_by_its_vlans(void **state)
{
	struct rig *r = *state;

	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	form_of_good()->why_not = "this cannot be said";
	rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
	rig_turns(r, 20);
	assert_int_equal(good(r)->state, PLACED_BRIDGE);
	assert_string_equal(good(r)->why_not, "this cannot be said");
	assert_int_equal(sim_nic_n_filters(), 1);
	rig_good_carries(r, 200);
	form_of_good()->why_not = NULL;
	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	rig_good_carries(r, 200);
}

/* A port without flooding gets what the bridge knows to be there, as the bridge itself would
 * have it. */
static void a_port_without_flooding(void **state)
{
	struct rig *r = *state;
	uint8_t mac[6];
	int port = rig_vif(r, GOOD_DOMID)->netdev.ifindex;

	memcpy(mac, rig_vif(r, GOOD_DOMID)->keys.mac, sizeof(mac));
	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
	sim_netdev_link(GOOD_DOMID, 0)->known_only = true;
	sim_links_changed();
	rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
	assert_non_null(strstr(good(r)->why_not, "its bridge does not know its address there"));
	rig_good_carries(r, 50);
	for (unsigned i = 0; i < 6; i++) {
		sim_bridge_knows(mac, port);
		rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
		rig_good_carries(r, 50);
		if (i % 3 == 0)
			sim_bridge_knows(mac, SIM_NIC_IFINDEX); /* it moved */
		else if (i % 3 == 1)
			sim_bridge_knows(mac, 0); /* forgotten */
		else
			sim_bridge_news_lost();
		rig_turns_until(r, 100, good(r)->state == PLACED_BRIDGE);
		rig_good_carries(r, 50);
	}
	assert_int_equal(evil(r)->state, PLACED_NIC);
	sim_netdev_link(GOOD_DOMID, 0)->known_only = false;
	sim_links_changed();
	rig_turns_until(r, 100, good(r)->state == PLACED_NIC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, rig_teardown)
		T(both_get_a_place),
		T(there_and_back),
		T(back_on_the_bridge),
		T(filters_run_out),
		T(called_back_at_once),
		T(called_back_while_it_drains),
		T(a_guest_that_takes_nothing_is_moved),
		T(a_guest_that_takes_nothing),
		T(closed_on_the_way),
		T(closed_with_frames),
		T(control_closes_last),
		T(the_datapath_dies),
		T(the_bridge_learns_who_sends),
		T(tagged_on_the_wire),
		T(there_and_back_tagged),
		T(the_bridge_learns_of_its_vlans),
		T(a_port_without_flooding),
		T(moves_to_another_vlan),
		T(bridged_by_its_vlans),
		cmocka_unit_test_setup_teardown(there_and_back_by_another_queue, start_queues,
						rig_teardown),
		T(a_neighbour_floods),
		T(the_nic_goes_and_comes),
		T(the_nic_is_replaced),
		T(the_nic_is_renamed),
		T(the_nic_is_moved), T(the_nic_is_anothers),
		T(the_link_drops),
		T(the_filter_is_taken_away),
		T(the_nic_is_changed),
		T(a_filter_stays),
		T(the_nic_is_changed_and_one_is_slow),
		T(settles),
		T(many_come_on_the_way),
#undef T
	};

	return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
