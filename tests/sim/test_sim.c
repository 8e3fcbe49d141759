/* SPDX-License-Identifier: MIT */
/*
 * The whole system in one process, one step at a time: the real control, the real
 * worker and two real frontends, on the hosted Xen in-process, with a xenstore, TAPs
 * and a clock of the test's own. A seed decides who steps next; the same seed gives
 * the same trace, so whatever a seed finds can be found again.
 *
 * A seed also decides which frontends the guests are.
 *
 * Properties, for every seed: both vifs connect, with one to four queues; frames in each
 * direction arrive whole, on their queue, in its order, once (a killed datapath may lose some, but never doubles or
 * reorders them); after detach and destroy nobody holds a grant, a port or a page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/control/control.h"
#include "frontend-compat/netfront.h"
#include "libvif/hosted/hosted.h"
#include "sim_host.h"
#include "sim_store.h"

#define N_GUESTS 2u
#define N_FRAMES 400u

struct guest {
	uint32_t domid;
	struct netfront nf;
	struct sim *sim;
	uint32_t n_taken;   /* frames the guest's stack sent */
	uint32_t n_given;   /* frames it received */
	uint32_t n_offered; /* frames the bridge sent it */
	uint32_t n_bridge;  /* frames the bridge had from it */
	struct way {
		uint8_t queue[N_FRAMES];       /* of each frame */
		uint32_t sent[SIM_QUEUES_MAX]; /* the last one's number and one */
		uint32_t next[SIM_QUEUES_MAX]; /* lowest number that may come next */
	} from, to;
};

static void way_send(struct way *w, uint32_t number, uint32_t queue)
{
	w->queue[number] = (uint8_t)queue;
	w->sent[queue] = number + 1;
}

static void way_arrive(struct way *w, uint32_t number)
{
	uint32_t *next = &w->next[w->queue[number]];

	assert_true(number >= *next);
	*next = number + 1;
}

/* The last frame of each queue has come: none is under way. */
static bool way_is_empty(const struct way *w)
{
	for (uint32_t q = 0; q < SIM_QUEUES_MAX; q++)
		if (w->next[q] != w->sent[q])
			return false;
	return true;
}

struct sim {
	uint64_t random;
	uint64_t now_ns;
	uint64_t trace; /* hash of everything that happened, in order */
	struct control control;
	struct sim_datapath *datapath;
	struct guest guest[N_GUESTS];
	bool traffic;
	unsigned n_kills;
};

static uint32_t draw(struct sim *s, uint32_t n)
{
	assert(n);
	/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators" */
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return (uint32_t)((s->random * 2685821657736338717ull) >> 33) % n;
}

static void trace(struct sim *s, const char *fmt, ...) printf_like(2, 3);
static void trace(struct sim *s, const char *fmt, ...)
{
	char line[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (getenv("SIM_TRACE"))
		fprintf(stderr, "%llu %s\n", (unsigned long long)s->now_ns, line);
	for (const char *c = line; *c; c++) /* FNV-1a */
		s->trace = (s->trace ^ (uint8_t)*c) * 0x100000001b3ull;
}

/* ---- the guest's stack ---- */

static ssize_t scatter(const struct iovec iov[], int n, const uint8_t *from, size_t size)
{
	size_t done = 0;

	for (int i = 0; i < n && done < size; i++) {
		size_t part = MIN(iov[i].iov_len, size - done);

		memcpy(iov[i].iov_base, from + done, part);
		done += part;
	}
	return (ssize_t)done;
}

static ssize_t stack_take(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	struct guest *g = stack;
	uint8_t buffer[PACKET_VNET_SIZE + SIM_FRAME_MAX] = { 0 };

	if (!g->sim->traffic || g->n_taken == N_FRAMES || draw(g->sim, 4) == 0)
		return -EAGAIN;
	sim_frame_make(buffer + PACKET_VNET_SIZE, g->n_taken);
	trace(g->sim, "take %u.%u %u", g->domid, queue, g->n_taken);
	way_send(&g->from, g->n_taken, queue);
	return scatter(iov, n, buffer, PACKET_VNET_SIZE + sim_frame_size(g->n_taken++));
}

static ssize_t stack_give(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	struct guest *g = stack;
	uint8_t frame[PACKET_VNET_SIZE + SIM_FRAME_MAX];
	size_t size = 0;
	uint32_t number;

	for (int i = 0; i < n; i++) {
		assert_true(size + iov[i].iov_len <= sizeof(frame));
		memcpy(frame + size, iov[i].iov_base, iov[i].iov_len);
		size += iov[i].iov_len;
	}
	number = sim_frame_check(frame + PACKET_VNET_SIZE, size - PACKET_VNET_SIZE);
	trace(g->sim, "give %u.%u %u", g->domid, queue, number);
	assert_int_equal(queue, g->to.queue[number]);
	way_arrive(&g->to, number);
	g->n_given++;
	return (ssize_t)size;
}

static const struct guest_stack_ops stack_ops = { stack_take, stack_give };

/* ---- the bridge ---- */

static void bridge_receives(void *arg, uint32_t domid, const uint8_t *frame, size_t size)
{
	struct sim *s = arg;
	struct guest *g = &s->guest[domid - 1];
	uint32_t number = sim_frame_check(frame, size);

	trace(s, "bridge %u %u", domid, number);
	way_arrive(&g->from, number);
	g->n_bridge++;
}

static void bridge_sends(struct sim *s, struct guest *g)
{
	uint8_t frame[SIM_FRAME_MAX];
	int queue;

	if (!s->traffic || g->n_offered == N_FRAMES)
		return;
	sim_frame_make(frame, g->n_offered);
	queue = sim_datapath_steer(s->datapath, g->domid, frame, sim_frame_size(g->n_offered));
	if (queue >= 0)
		way_send(&g->to, g->n_offered++, (uint32_t)queue);
}

/* ---- stepping ---- */

static void toolstack_step(struct sim *s)
{
	for (uint32_t i = 0; i < N_GUESTS; i++)
		if (sim_toolstack_hotplug(s->guest[i].domid, 0))
			trace(s, "hotplug %u", s->guest[i].domid);
}

static void trace_states(struct sim *s)
{
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		const char *state = sim_backend_get(s->guest[i].domid, 0, "state");

		trace(s, "states %u %s %d", s->guest[i].domid, state ? state : "-",
		      (int)s->guest[i].nf.bus.ours);
	}
}

static void step_guest(struct guest *g)
{
	hosted_set_domid(g->domid);
	sim_store_set_domid(g->domid);
	if (netfront_take_events(&g->nf))
		assert_int_equal(netfront_bus_step(&g->nf), 0);
	(void)netfront_step(&g->nf);
}

static void step(struct sim *s)
{
	uint32_t who = draw(s, 12);
	struct guest *g = &s->guest[draw(s, N_GUESTS)];

	s->now_ns += 1 + draw(s, 1000) * 1000;
	hosted_set_domid(0);
	sim_store_set_domid(0);
	switch (who) {
	case 0:
		(void)control_step(&s->control, s->now_ns);
		trace_states(s);
		break;
	case 1:
		sim_datapath_control(s->datapath, s->now_ns);
		break;
	case 2:
	case 3:
		sim_datapath_events(s->datapath, s->now_ns);
		break;
	case 4:
	case 5:
		sim_datapath_pass(s->datapath, s->now_ns);
		break;
	case 6:
		toolstack_step(s);
		break;
	case 7:
		assert_int_equal(netfront_bus_step(&g->nf), 0);
		break;
	case 8:
	case 9:
		step_guest(g);
		break;
	default:
		bridge_sends(s, g);
		break;
	}
}

#define step_until(s, condition)                                                                   \
	do {                                                                                       \
		unsigned left_ = 200000;                                                           \
		while (!(condition)) {                                                             \
			assert_true(left_-- > 0);                                                  \
			step(s);                                                                   \
		}                                                                                  \
	} while (0)

static bool all_connected(const struct sim *s)
{
	for (uint32_t i = 0; i < N_GUESTS; i++)
		if (!netfront_is_connected(&s->guest[i].nf))
			return false;
	return true;
}

/* Everything offered was consumed and has come out, or was lost in a kill. */
static bool all_arrived(const struct sim *s)
{
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		const struct guest *g = &s->guest[i];

		if (g->n_taken < N_FRAMES || g->n_offered < N_FRAMES || !way_is_empty(&g->from) ||
		    !way_is_empty(&g->to))
			return false;
	}
	return true;
}

/* Any that takes our frames: those of more than a page, and multicast nobody joined. */
static struct frontend_choice draw_frontend(struct sim *s)
{
	struct frontend_choice c = { .n_queues = 1 + draw(s, SIM_QUEUES_MAX), .without = VIF_MULTICAST };
	uint32_t n = 0;

	while (frontend_dialects[n].name)
		n++;
	do
		c.dialect = &frontend_dialects[draw(s, n)];
	while (!(c.dialect->offloads & VIF_SG));
	return c;
}

static void sim_start(struct sim *s, uint64_t seed)
{
	struct config config;
	struct control_env env = {
		.netdev_ops = &sim_netdev_ops,
		.process_ops = &sim_process_ops,
		.api_listener = -1,
		.hello = { .version = IPC_VERSION },
	};

	memset(s, 0, sizeof(*s));
	s->random = seed * 2 + 1;
	assert_int_equal(hosted_inproc_start(seed), 0);
	sim_store_put("/local/domain/0/domid", "0");
	s->datapath = sim_datapath_new(bridge_receives, s);
	env.process_ctx = s->datapath;
	config_defaults(&config);
	config.n_workers = 1;
	config.max_queues = SIM_QUEUES_MAX;
	hosted_set_domid(0);
	sim_store_set_domid(0);
	assert_int_equal(control_init(&s->control, &config, &env), 0);
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		struct guest *g = &s->guest[i];
		struct netfront_config nf = {
			.vif = { .domid = (uint16_t)(i + 1) },
			.choice = draw_frontend(s),
			.stack_ops = &stack_ops,
			.stack = g,
		};

		g->domid = i + 1;
		g->sim = s;
		trace(s, "guest %u is %s with %u queues", g->domid, nf.choice.dialect->name,
		      nf.choice.n_queues);
		assert_int_equal(hosted_domain_create(g->domid), 0);
		sim_toolstack_attach(g->domid, 0);
		hosted_set_domid(g->domid);
		sim_store_set_domid(g->domid);
		assert_int_equal(netfront_open(&g->nf, &nf), 0);
	}
}

static void check_nothing_held(void)
{
	struct hosted_stats stats[8];
	int n = hosted_stats(stats, ARRAY_SIZE(stats));

	for (int i = 0; i < n; i++) {
		assert_int_equal(stats[i].ports, 0);
		assert_int_equal(stats[i].grants, 0);
		assert_int_equal(stats[i].maps_held, 0);
		assert_int_equal(stats[i].pages, 0);
	}
}

/* Some guests shut down themselves; the others are taken away by the toolstack. */
static void some_leave(struct sim *s)
{
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		struct netfront *nf = &s->guest[i].nf;

		if (draw(s, 2))
			continue;
		netfront_leave(nf);
		step_until(s, netfront_has_left(nf));
	}
}

static void sim_end(struct sim *s)
{
	some_leave(s);
	for (uint32_t i = 0; i < N_GUESTS; i++)
		sim_toolstack_detach(s->guest[i].domid, 0);
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		uint32_t domid = s->guest[i].domid;

		step_until(s, atoi(sim_backend_get(domid, 0, "state")) == XenbusStateClosed);
		sim_toolstack_remove(domid, 0);
		step_until(s, !control_find(&s->control, (struct vif_id){ (uint16_t)domid, 0 }));
	}
	for (uint32_t i = 0; i < N_GUESTS; i++)
		netfront_close(&s->guest[i].nf);
	control_stop(&s->control, s->now_ns);
	hosted_set_domid(0);
	for (unsigned i = 0; !control_is_over(&s->control); i++) {
		assert_true(i < 1000);
		s->now_ns += NS_PER_MS;
		(void)control_step(&s->control, s->now_ns);
		sim_datapath_control(s->datapath, s->now_ns);
	}
	control_fini(&s->control);
	check_nothing_held();
	sim_datapath_free(s->datapath);
	hosted_inproc_stop();
	sim_store_reset();
}

/* One life: connect, traffic, 'n_kills' datapath deaths under it, detach. Returns the
 * trace's hash. */
static uint64_t live(uint64_t seed, unsigned n_kills)
{
	struct sim *s = calloc(1, sizeof(*s));
	uint64_t hash;

	assert_non_null(s);
	sim_start(s, seed);
	step_until(s, all_connected(s));
	s->traffic = true;
	for (; s->n_kills < n_kills; s->n_kills++) {
		for (unsigned i = draw(s, 400); i > 0; i--)
			step(s);
		sim_datapath_kill(s->datapath);
		trace(s, "kill");
	}
	step_until(s, all_arrived(s));
	for (uint32_t i = 0; i < N_GUESTS && n_kills == 0; i++) {
		assert_int_equal(s->guest[i].n_bridge, N_FRAMES);
		assert_int_equal(s->guest[i].n_given, N_FRAMES);
	}
	sim_end(s);
	hash = s->trace;
	free(s);
	return hash;
}

static void any_seed_loses_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++)
		live(seed, 0);
}

static void any_seed_survives_kills(void **state)
{
	(void)state;
	for (uint64_t seed = 200; seed < 210; seed++)
		live(seed, 3);
}

static void same_seed_same_trace(void **state)
{
	(void)state;
	for (uint64_t seed = 100; seed < 103; seed++) {
		uint64_t first = live(seed, 1);

		assert_true(live(seed, 1) == first);
		assert_true(live(seed + 50, 1) != first);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_seed_loses_nothing),
		cmocka_unit_test(any_seed_survives_kills),
		cmocka_unit_test(same_seed_same_trace),
	};

	if (getenv("SIM_TRACE"))
		log_init("test-sim", LOG_LVL_DEBUG, false);
	return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
