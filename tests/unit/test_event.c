/* SPDX-License-Identifier: MIT */
/*
 * Event channels on the hosted Xen: binding, masking, rebinding. The guest's side uses
 * Xen's library directly.
 */
#include "tests/unit/unit.h"

#include "event.h"
#include "libvif/hosted/hosted.h"

#include <fcntl.h>
#include <poll.h>

#define GUEST 7u

struct fixture {
	struct events events;
	xenevtchn_handle *guest;
	evtchn_port_t remote; /* the guest's port, offered to us */
};

static int setup(void **state)
{
	static struct fixture f;
	int port;

	if (hosted_inproc_start(0) || hosted_domain_create(GUEST))
		return -1;
	hosted_set_domid(GUEST);
	f.guest = xenevtchn_open(NULL, 0);
	fcntl(xenevtchn_fd(f.guest), F_SETFL, O_NONBLOCK);
	port = xenevtchn_bind_unbound_port(f.guest, 0);
	hosted_set_domid(0);
	f.remote = (evtchn_port_t)port;
	*state = &f;
	return port > 0 ? events_open(&f.events) : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct hosted_stats stats[4];
	int n, ports = 0;

	events_close(&f->events);
	xenevtchn_close(f->guest);
	n = hosted_stats(stats, ARRAY_SIZE(stats));
	for (int i = 0; i < n; i++)
		ports += stats[i].ports != 0;
	hosted_inproc_stop();
	return ports ? -1 : 0;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Binding raises an event on our side, as on Xen: one may have been missed before. The
 * guest's side gets none: who takes over a ring must send one. */
static evtchn_port_t bind_and_drain(struct fixture *f)
{
	int port = event_bind(&f->events, GUEST, f->remote);

	assert_true(port > 0);
	while (event_next(&f->events) == port)
		assert_int_equal(event_unmask(&f->events, (evtchn_port_t)port), 0);
	assert_true(xenevtchn_pending(f->guest) < 0);
	return (evtchn_port_t)port;
}

static void waits_without_blocking(void **state)
{
	struct fixture *f = *state;

	assert_true(fcntl(f->events.fd, F_GETFL) & O_NONBLOCK);
	bind_and_drain(f);
	assert_false(readable(f->events.fd));
	assert_int_equal(event_next(&f->events), -EAGAIN);
}

static void events_go_both_ways(void **state)
{
	struct fixture *f = *state;
	evtchn_port_t port = bind_and_drain(f);

	xenevtchn_notify(f->guest, f->remote);
	assert_true(readable(f->events.fd));
	assert_int_equal(event_next(&f->events), port);
	assert_int_equal(event_next(&f->events), -EAGAIN);

	assert_int_equal(event_send(&f->events, port), 0);
	assert_int_equal(f->events.n_sent, 1);
	assert_int_equal(xenevtchn_pending(f->guest), f->remote);
}

/* XSA-332: a storm between two passes is one event, and none is lost behind it. */
static void a_storm_is_one_event(void **state)
{
	struct fixture *f = *state;
	evtchn_port_t port = bind_and_drain(f);

	for (unsigned i = 0; i < 1000; i++)
		xenevtchn_notify(f->guest, f->remote);
	assert_int_equal(event_next(&f->events), port);
	for (unsigned i = 0; i < 1000; i++)
		xenevtchn_notify(f->guest, f->remote);
	assert_int_equal(event_next(&f->events), -EAGAIN);
	assert_int_equal(event_unmask(&f->events, port), 0);
	assert_int_equal(event_next(&f->events), port);
	assert_int_equal(event_unmask(&f->events, port), 0);
	assert_int_equal(event_next(&f->events), -EAGAIN);
}

/* What lets a restarted datapath come back without the guest's noticing. */
static void a_closed_channel_can_be_bound_again(void **state)
{
	struct fixture *f = *state;
	evtchn_port_t port = bind_and_drain(f);

	event_unbind(&f->events, port);
	bind_and_drain(f);
	events_close(&f->events); /* a process that died */
	assert_int_equal(events_open(&f->events), 0);
	port = bind_and_drain(f);
	xenevtchn_notify(f->guest, f->remote);
	assert_int_equal(event_next(&f->events), port);
}

static void what_cannot_be_bound_says_so(void **state)
{
	struct fixture *f = *state;

	assert_true(event_bind(&f->events, GUEST, f->remote + 1) < 0);
	assert_true(event_bind(&f->events, GUEST + 1, f->remote) < 0);
	bind_and_drain(f);
	assert_true(event_bind(&f->events, GUEST, f->remote) < 0); /* taken */
}

static void closing_twice_is_harmless(void **state)
{
	struct fixture *f = *state;

	events_close(&f->events);
	events_close(&f->events);
}

#define EVENT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EVENT_TEST(waits_without_blocking),
		EVENT_TEST(events_go_both_ways),
		EVENT_TEST(a_storm_is_one_event),
		EVENT_TEST(a_closed_channel_can_be_bound_again),
		EVENT_TEST(what_cannot_be_bound_says_so),
		EVENT_TEST(closing_twice_is_harmless),
	};

	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
