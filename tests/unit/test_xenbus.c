/* SPDX-License-Identifier: MIT */
/*
 * A vif's life: the stories told in protocol.md, step by step, and then every
 * situation there is, each played to its end with every outcome its steps can have.
 */
#include "tests/unit/unit.h"

#include "xenbus.h"

#include <string.h>

#define UNKNOWN	     XenbusStateUnknown
#define INITIALISING XenbusStateInitialising
#define INIT_WAIT    XenbusStateInitWait
#define CONNECTED    XenbusStateConnected
#define CLOSING	     XenbusStateClosing
#define CLOSED	     XenbusStateClosed
#define RECONFIGURED XenbusStateReconfigured

/* What control does for a step when all goes well. */
static void act(struct vif_situation *s, enum vif_step step)
{
	enum xenbus_state to;

	switch (step) {
	case VIF_PREPARE:
		s->netdev_ready = true;
		to = INIT_WAIT;
		break;
	case VIF_REOPEN:
		to = INIT_WAIT;
		break;
	case VIF_ANNOUNCE:
		to = CONNECTED;
		break;
	case VIF_RECONFIGURE:
		to = RECONFIGURED;
		break;
	case VIF_ENTER_CLOSING:
		to = CLOSING;
		break;
	case VIF_ENTER_CLOSED:
		to = CLOSED;
		s->asked_to_close = false;
		break;
	case VIF_ATTACH:
	case VIF_DETACH:
		s->queues_busy = true;
		return;
	default:
		return;
	}
	assert_true(xenbus_backend_may_move(s->backend, to));
	s->backend = to;
}

/* The datapath's answer. */
static void settle(struct vif_situation *s)
{
	s->queues_busy = false;
	s->queues_attached = !s->queues_attached;
}

/* ---- stories ---- */

/* A vif as libxl leaves it. */
static struct vif_situation fresh(void)
{
	return (struct vif_situation){ .backend = INITIALISING,
				       .frontend = INITIALISING,
				       .backend_exists = true,
				       .online = true };
}

static void expect(struct vif_situation *s, enum vif_step step)
{
	enum vif_step next = vif_next_step(s);

	assert_string_equal(vif_step_name(next), vif_step_name(step));
	act(s, next);
	if (s->queues_busy) {
		assert_int_equal(vif_next_step(s), VIF_STAY);
		settle(s);
	}
}

static struct vif_situation connected(void)
{
	struct vif_situation s = fresh();

	expect(&s, VIF_PREPARE);
	s.hotplug_done = true;
	s.frontend = CONNECTED;
	expect(&s, VIF_ATTACH);
	expect(&s, VIF_ANNOUNCE);
	return s;
}

static void connects(void **state)
{
	struct vif_situation s = fresh();

	(void)state;
	expect(&s, VIF_PREPARE); /* InitWait, before the hotplug script runs */
	assert_int_equal(s.backend, INIT_WAIT);
	expect(&s, VIF_STAY);
	s.hotplug_done = true;
	expect(&s, VIF_STAY);
	s.frontend = XenbusStateInitialised;
	expect(&s, VIF_STAY);
	s.frontend = CONNECTED;
	expect(&s, VIF_ATTACH);
	expect(&s, VIF_ANNOUNCE);
	assert_int_equal(s.backend, CONNECTED);
	expect(&s, VIF_STAY);
}

static void waits_for_the_hotplug_script(void **state)
{
	struct vif_situation s = fresh();

	(void)state;
	expect(&s, VIF_PREPARE);
	s.frontend = CONNECTED; /* a guest quicker than the script: its frames wait */
	expect(&s, VIF_STAY);
	s.hotplug_done = true;
	expect(&s, VIF_ATTACH);
	expect(&s, VIF_ANNOUNCE);
}

/* It may have done its work all the same. */
static void serves_behind_a_silent_hotplug_script(void **state)
{
	struct vif_situation s = fresh();

	(void)state;
	expect(&s, VIF_PREPARE);
	s.frontend = CONNECTED;
	s.hotplug_late = true;
	expect(&s, VIF_ATTACH);
	expect(&s, VIF_STAY);
	s.hotplug_late = false;
	s.hotplug_done = true;
	expect(&s, VIF_ANNOUNCE);
}

/* A toolstack that writes key by key: ours first, the state last. */
static void waits_for_a_vif_to_be_written(void **state)
{
	struct vif_situation s = fresh();

	(void)state;
	s.backend = UNKNOWN;
	s.frontend = UNKNOWN;
	expect(&s, VIF_STAY);
	s.backend = INITIALISING;
	expect(&s, VIF_STAY);
	s.frontend = INITIALISING;
	expect(&s, VIF_PREPARE);
}

/* libxl: online=0, 5 into our state, waits for 6, runs the script, removes both. */
static void is_detached(void **state)
{
	struct vif_situation s = connected();

	(void)state;
	s.online = false;
	expect(&s, VIF_STAY);
	s.asked_to_close = true;
	expect(&s, VIF_DETACH);
	expect(&s, VIF_ENTER_CLOSING);
	expect(&s, VIF_ENTER_CLOSED); /* whether or not the guest reacts */
	expect(&s, VIF_STAY);
	s.frontend = CLOSED;
	expect(&s, VIF_STAY);
	s.frontend = UNKNOWN;
	expect(&s, VIF_FORGET);
}

/* The same where control takes the 5 it finds for its own state. */
static void is_detached_state_as_found(void **state)
{
	struct vif_situation s = connected();

	(void)state;
	s.online = false;
	s.backend = CLOSING;
	s.asked_to_close = true;
	expect(&s, VIF_DETACH);
	expect(&s, VIF_ENTER_CLOSED);
	expect(&s, VIF_STAY);
	s.backend_exists = false;
	expect(&s, VIF_FORGET);
}

static void is_detached_before_it_connected(void **state)
{
	struct vif_situation s = fresh();

	(void)state;
	s.asked_to_close = true;
	s.online = false;
	expect(&s, VIF_ENTER_CLOSING);
	expect(&s, VIF_ENTER_CLOSED);
	expect(&s, VIF_STAY);
}

static void is_destroyed(void **state)
{
	struct vif_situation s = connected();

	(void)state;
	s.backend_exists = false;
	s.frontend = UNKNOWN;
	expect(&s, VIF_DETACH);
	expect(&s, VIF_FORGET);
}

/* kexec and kdump: each of our states is waited for by value. */
static void a_new_kernel_takes_over(void **state)
{
	struct vif_situation s = connected();

	(void)state;
	s.frontend = CLOSING;
	expect(&s, VIF_DETACH);
	expect(&s, VIF_ENTER_CLOSING);
	expect(&s, VIF_STAY);
	s.frontend = CLOSED;
	expect(&s, VIF_ENTER_CLOSED);
	expect(&s, VIF_STAY);
	s.frontend = INITIALISING;
	expect(&s, VIF_REOPEN);
	assert_int_equal(s.backend, INIT_WAIT);
	expect(&s, VIF_STAY);
	s.frontend = CONNECTED;
	expect(&s, VIF_ATTACH);
	expect(&s, VIF_ANNOUNCE);
}

/* A guest that crashed and starts over without a word. */
static void a_guest_starts_over_unannounced(void **state)
{
	struct vif_situation s = connected();

	(void)state;
	s.frontend = INITIALISING;
	expect(&s, VIF_DETACH);
	expect(&s, VIF_ENTER_CLOSING);
	expect(&s, VIF_ENTER_CLOSED);
	expect(&s, VIF_REOPEN);
	expect(&s, VIF_STAY);
	s.frontend = CONNECTED;
	expect(&s, VIF_ATTACH);
	s.frontend = INITIALISING; /* and again, in the middle of the handshake */
	expect(&s, VIF_DETACH);
	expect(&s, VIF_STAY);
	assert_int_equal(s.backend, INIT_WAIT);
}

static void a_frontend_vanishes_in_the_handshake(void **state)
{
	struct vif_situation s = fresh();

	(void)state;
	expect(&s, VIF_PREPARE);
	s.frontend = CONNECTED;
	s.hotplug_late = true;
	expect(&s, VIF_ATTACH);
	s.frontend = UNKNOWN;
	expect(&s, VIF_DETACH);
	expect(&s, VIF_ENTER_CLOSING);
	expect(&s, VIF_ENTER_CLOSED);
	expect(&s, VIF_FORGET);
}

static void the_hotplug_script_fails(void **state)
{
	struct vif_situation s = fresh();

	(void)state;
	expect(&s, VIF_PREPARE);
	s.hotplug_failed = true;
	expect(&s, VIF_ENTER_CLOSING);
	expect(&s, VIF_ENTER_CLOSED);
	expect(&s, VIF_STAY); /* not reopened while the reason stands */
	s.hotplug_failed = false;
	expect(&s, VIF_REOPEN);
}

/* An error of the script after the vif connected does not take the guest's net away. */
static void a_late_hotplug_error_is_left_alone(void **state)
{
	struct vif_situation s = connected();

	(void)state;
	s.hotplug_failed = true;
	s.hotplug_done = false;
	expect(&s, VIF_STAY);
}

static void a_vif_is_given_up_and_starts_over(void **state)
{
	struct vif_situation s = connected();

	(void)state;
	s.failed = true; /* its guest broke the protocol */
	expect(&s, VIF_DETACH);
	expect(&s, VIF_ENTER_CLOSING);
	expect(&s, VIF_ENTER_CLOSED);
	expect(&s, VIF_STAY);
	s.frontend = CLOSED;
	expect(&s, VIF_STAY);
	s.frontend = INITIALISING;
	expect(&s, VIF_STAY);
	s.failed = false; /* control saw it become Initialising */
	expect(&s, VIF_REOPEN);
}

/* Nonsense keys: closed with the error to be seen, until somebody removes it. */
static void a_vif_that_never_worked_stays_to_be_seen(void **state)
{
	struct vif_situation s = fresh();

	(void)state;
	s.frontend = UNKNOWN; /* not even the frontend key */
	s.failed = true;
	expect(&s, VIF_ENTER_CLOSING);
	expect(&s, VIF_ENTER_CLOSED);
	expect(&s, VIF_STAY);
	s.backend_exists = false;
	expect(&s, VIF_FORGET);
}

/* The datapath died, or we did: the states stand, the queues come back. */
static void queues_come_back_under_a_live_vif(void **state)
{
	struct vif_situation s = connected();

	(void)state;
	s.queues_attached = false;
	expect(&s, VIF_ATTACH);
	expect(&s, VIF_STAY);
	assert_int_equal(s.backend, CONNECTED);
}

/* An XDP program comes to Linux netfront (xennet_xdp_set()), twice. */
static void a_frontend_reconfigures(void **state)
{
	struct vif_situation s = connected();

	(void)state;
	for (int i = 0; i < 2; i++) {
		s.frontend = XenbusStateReconfiguring;
		expect(&s, VIF_RECONFIGURE);
		expect(&s, VIF_STAY);
		s.frontend = CONNECTED;
		expect(&s, VIF_ANNOUNCE);
		expect(&s, VIF_STAY);
	}
	s.frontend = XenbusStateReconfiguring;
	expect(&s, VIF_RECONFIGURE);
	settle(&s); /* a vifd that begins here finds no queues */
	expect(&s, VIF_STAY);
	s.frontend = CONNECTED;
	expect(&s, VIF_ATTACH);
	expect(&s, VIF_ANNOUNCE);
	s.frontend = XenbusStateReconfiguring;
	expect(&s, VIF_RECONFIGURE);
	s.frontend = CLOSING;
	expect(&s, VIF_DETACH);
	expect(&s, VIF_ENTER_CLOSING);
}

static void a_vif_whose_netdev_is_gone_closes(void **state)
{
	struct vif_situation s = connected();

	(void)state;
	s.netdev_ready = false;
	expect(&s, VIF_DETACH);
	expect(&s, VIF_ENTER_CLOSING);
	expect(&s, VIF_ENTER_CLOSED);
	s.frontend = CLOSED;
	expect(&s, VIF_STAY);
	s.frontend = INITIALISING;
	expect(&s, VIF_PREPARE);
}

static void a_closed_vif_is_found_and_made_anew(void **state)
{
	struct vif_situation s = fresh();

	(void)state;
	s.backend = CLOSED;
	expect(&s, VIF_PREPARE);
	assert_int_equal(s.backend, INIT_WAIT);
	s.backend = CLOSED;
	s.online = false;
	expect(&s, VIF_STAY);
}

/* ---- every situation ---- */

#define N_FRONTENDS (XENBUS_N_STATES + 1) /* and a number that is no state */
#define N_FLAGS	    10u

static struct vif_situation situation(unsigned backend, unsigned frontend, unsigned flags)
{
	return (struct vif_situation){
		.backend = backend,
		.frontend = frontend == XENBUS_N_STATES ? 99 : frontend,
		.backend_exists = flags & BIT(0),
		.online = flags & BIT(1),
		.asked_to_close = flags & BIT(2),
		.hotplug_done = flags & BIT(3),
		.hotplug_failed = flags & BIT(4),
		.netdev_ready = flags & BIT(5),
		.queues_attached = flags & BIT(6),
		.queues_busy = flags & BIT(7),
		.failed = flags & BIT(8),
		.hotplug_late = flags & BIT(9),
	};
}

/* What must hold of a step, whatever led to it. */
static void check_step(const struct vif_situation *s, enum vif_step step)
{
	bool up = s->frontend == CONNECTED && s->backend_exists && !s->failed &&
		  !s->asked_to_close && s->netdev_ready;

	if (s->queues_busy)
		assert_int_equal(step, VIF_STAY);
	if (!s->backend_exists)
		assert_true(s->queues_busy || step == VIF_DETACH || step == VIF_FORGET);
	switch (step) {
	case VIF_ATTACH:
		assert_true(up && !s->queues_attached);
		assert_true(s->backend == CONNECTED || s->backend == RECONFIGURED ||
			    (s->backend == INIT_WAIT && (s->hotplug_done || s->hotplug_late)));
		break;
	case VIF_ANNOUNCE:
		assert_true(up && s->queues_attached);
		assert_true(s->backend == RECONFIGURED ||
			    (s->backend == INIT_WAIT && s->hotplug_done));
		break;
	case VIF_RECONFIGURE:
		assert_true(s->backend == CONNECTED && s->frontend == XenbusStateReconfiguring);
		break;
	case VIF_DETACH:
		assert_true(s->queues_attached);
		break;
	case VIF_ENTER_CLOSING:
	case VIF_ENTER_CLOSED:
	case VIF_FORGET:
		assert_false(s->queues_attached);
		break;
	case VIF_REOPEN:
		assert_true(s->backend == CLOSED && s->online && s->netdev_ready && !s->failed);
		break;
	case VIF_PREPARE:
		assert_false(s->failed || s->frontend == UNKNOWN);
		break;
	case VIF_STAY:
		break;
	}
}

/* What must hold where a vif comes to rest, the datapath having answered. */
static void check_rest(const struct vif_situation *s)
{
	bool closed = s->backend == CLOSED;

	assert_true(s->backend_exists);
	if (s->asked_to_close || s->failed)
		assert_true(closed);
	if (s->queues_attached) {
		assert_true(s->backend == CONNECTED || s->backend == INIT_WAIT ||
			    s->backend == RECONFIGURED);
		assert_true(s->frontend == CONNECTED || s->frontend == XenbusStateInitialised ||
			    s->frontend == XenbusStateReconfiguring);
	}
	if (s->backend == CONNECTED)
		assert_true(s->netdev_ready);
	if (s->backend == CONNECTED && s->frontend == CONNECTED)
		assert_true(s->queues_attached);
	if (s->backend == CLOSING)
		assert_int_equal(s->frontend, CLOSING);
	if (s->backend == INIT_WAIT)
		assert_true(s->frontend != UNKNOWN && s->frontend != CLOSING &&
			    s->frontend != CLOSED);
	if (closed && s->frontend == INITIALISING && s->online)
		assert_true(s->failed || s->hotplug_failed);
	if (closed && s->frontend == UNKNOWN)
		assert_true(s->failed);
	if (s->backend == RECONFIGURED)
		assert_true(s->frontend != CONNECTED);
	assert_true(s->backend != XenbusStateInitialised &&
		    (s->backend <= CLOSED || s->backend == RECONFIGURED));
}

static unsigned longest;

/* Plays the situation to its end; where a step can fail, both ways. */
static void play(struct vif_situation s, unsigned depth)
{
	enum vif_step step = vif_next_step(&s);

	assert_true(depth < 16);
	longest = MAX(longest, depth);
	check_step(&s, step);
	if (step == VIF_FORGET)
		return;
	if (step == VIF_STAY && !s.queues_busy) {
		check_rest(&s);
		return;
	}
	if (step == VIF_PREPARE || step == VIF_ATTACH) {
		struct vif_situation failed = s;

		failed.failed = true;
		play(failed, depth + 1);
	}
	if (s.queues_busy)
		settle(&s);
	else
		act(&s, step);
	play(s, depth + 1);
}

static void every_situation_comes_to_rest(void **state)
{
	(void)state;
	longest = 0;
	for (unsigned backend = 0; backend < XENBUS_N_STATES; backend++) {
		for (unsigned frontend = 0; frontend < N_FRONTENDS; frontend++) {
			for (unsigned flags = 0; flags < BIT(N_FLAGS); flags++)
				play(situation(backend, frontend, flags), 0);
		}
	}
	assert_true(longest < 16);
}

/* A frontend that changes its mind at every step, for ever: no illegal move, and no
 * queue under a vif that says it is closed. */
static void no_frontend_leads_astray(void **state)
{
	struct random random = { 0xfee1 };
	struct vif_situation s = fresh();

	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		enum vif_step step = vif_next_step(&s);

		check_step(&s, step);
		act(&s, step);
		if (step == VIF_FORGET) {
			assert_int_equal(s.frontend, UNKNOWN);
			s = fresh();
		}
		if (s.backend == CLOSED || s.backend == CLOSING)
			assert_false(s.queues_attached);
		if (s.queues_busy && random_below(&random, 2))
			settle(&s);
		if (random_below(&random, 2) == 0)
			s.frontend = random_below(&random, XENBUS_N_STATES + 2);
		if (random_below(&random, 10) == 0)
			s.hotplug_done = !s.hotplug_done;
	}
}

static void knows_the_legal_moves(void **state)
{
	static const struct {
		enum xenbus_state from, to;
	} legal[] = {
		{ UNKNOWN, CLOSING },
		{ INITIALISING, INIT_WAIT },
		{ INITIALISING, CLOSING },
		{ INIT_WAIT, INIT_WAIT },
		{ INIT_WAIT, CONNECTED },
		{ INIT_WAIT, CLOSING },
		{ XenbusStateInitialised, CLOSING },
		{ CONNECTED, RECONFIGURED },
		{ CONNECTED, CLOSING },
		{ CLOSING, CLOSED },
		{ CLOSED, INIT_WAIT },
		{ XenbusStateReconfiguring, CLOSING },
		{ RECONFIGURED, CONNECTED },
		{ RECONFIGURED, CLOSING },
	};

	(void)state;
	for (unsigned from = 0; from < XENBUS_N_STATES + 3; from++) {
		for (unsigned to = 0; to < XENBUS_N_STATES + 3; to++) {
			bool expected = false;

			for (size_t i = 0; i < ARRAY_SIZE(legal); i++)
				expected |= legal[i].from == from && legal[i].to == to;
			assert_int_equal(xenbus_backend_may_move(from, to), expected);
		}
	}
}

static void names_states_and_steps(void **state)
{
	(void)state;
	assert_string_equal(xenbus_state_name(INIT_WAIT), "InitWait");
	assert_string_equal(xenbus_state_name(XenbusStateReconfigured), "Reconfigured");
	assert_string_equal(xenbus_state_name(99), "nonsense");
	assert_string_equal(xenbus_state_name((enum xenbus_state) - 1), "nonsense");
	for (enum vif_step step = VIF_STAY; step <= VIF_FORGET; step++)
		assert_non_null(vif_step_name(step));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connects),
		cmocka_unit_test(waits_for_the_hotplug_script),
		cmocka_unit_test(serves_behind_a_silent_hotplug_script),
		cmocka_unit_test(waits_for_a_vif_to_be_written),
		cmocka_unit_test(is_detached),
		cmocka_unit_test(is_detached_state_as_found),
		cmocka_unit_test(is_detached_before_it_connected),
		cmocka_unit_test(is_destroyed),
		cmocka_unit_test(a_new_kernel_takes_over),
		cmocka_unit_test(a_guest_starts_over_unannounced),
		cmocka_unit_test(a_frontend_vanishes_in_the_handshake),
		cmocka_unit_test(the_hotplug_script_fails),
		cmocka_unit_test(a_late_hotplug_error_is_left_alone),
		cmocka_unit_test(a_vif_is_given_up_and_starts_over),
		cmocka_unit_test(a_vif_that_never_worked_stays_to_be_seen),
		cmocka_unit_test(queues_come_back_under_a_live_vif),
		cmocka_unit_test(a_frontend_reconfigures),
		cmocka_unit_test(a_vif_whose_netdev_is_gone_closes),
		cmocka_unit_test(a_closed_vif_is_found_and_made_anew),
		cmocka_unit_test(every_situation_comes_to_rest),
		cmocka_unit_test(no_frontend_leads_astray),
		cmocka_unit_test(knows_the_legal_moves),
		cmocka_unit_test(names_states_and_steps),
	};

	return cmocka_run_group_tests_name("xenbus", tests, NULL, NULL);
}
