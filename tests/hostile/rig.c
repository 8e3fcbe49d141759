/* SPDX-License-Identifier: MIT */
/* See rig.h. */
#include "tests/hostile/rig.h"

#include "tests/sim/sim_nic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvif/hosted/hosted.h"
#include "tests/sim/sim_store.h"

static struct rig *the_rig; /* for the wrapped calls */

/* ---- what is between the system and its libraries ---- */

int __real_xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
				xengnttab_grant_copy_segment_t *segs);
int __wrap_xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
				xengnttab_grant_copy_segment_t *segs);
int __wrap_xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
				xengnttab_grant_copy_segment_t *segs)
{
	if (the_rig && the_rig->before_copy)
		the_rig->before_copy(the_rig, segs, count);
	return __real_xengnttab_grant_copy(xgt, count, segs);
}

int __real_xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port);
int __wrap_xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port);
int __wrap_xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	return the_rig && the_rig->lose_events ? 0 : __real_xenevtchn_notify(xce, port);
}

int __real_xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count);
int __wrap_xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count);
int __wrap_xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_false(sim_nic_may_write((uint8_t *)start + (size_t)i * XEN_PAGE));
	return __real_xengnttab_unmap(xgt, start, count);
}

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
	if (the_rig && fd == STDERR_FILENO) {
		the_rig->n_log_bytes += (uint32_t)size;
		the_rig->n_log_lines++;
	}
	return __real_write(fd, data, size);
}

/* ---- the good guest's stack ---- */

static ssize_t stack_take(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	struct good *g = stack;
	uint8_t buffer[PACKET_VNET_SIZE + SIM_FRAME_MAX] = { 0 };
	size_t size = PACKET_VNET_SIZE + sim_frame_size(g->n_taken), done = 0;

	if (queue || g->n_taken == g->goal)
		return -EAGAIN; /* one flow: by one queue */
	sim_frame_make(buffer + PACKET_VNET_SIZE, g->n_taken++);
	for (int i = 0; i < n && done < size; i++) {
		size_t part = MIN(iov[i].iov_len, size - done);

		memcpy(iov[i].iov_base, buffer + done, part);
		done += part;
	}
	return (ssize_t)done;
}

/* Frame 'number' of a flow has come. */
static void arrive(const struct good *g, uint32_t *next, uint32_t number)
{
	if (g->may_lose)
		assert_true(number >= *next);
	else
		assert_int_equal(number, *next);
	*next = number + 1;
}

/* The neighbours' frames have numbers from here on: flow, and number in it. */
#define NEIGHBOUR (1u << 31)

static uint32_t n_neighbours(const struct good *g)
{
	return MAX(g->n_neighbours, 1u);
}

static uint32_t neighbour_number(const struct good *g, uint32_t i)
{
	return NEIGHBOUR | i % n_neighbours(g) << 24 | i / n_neighbours(g);
}

/* Of neighbour k, when i of all have come. */
static uint32_t n_of_neighbour(const struct good *g, uint32_t i, uint32_t k)
{
	return i / n_neighbours(g) + (k < i % n_neighbours(g));
}

static bool all_neighbours_came(const struct good *g)
{
	for (uint32_t k = 0; k < n_neighbours(g); k++)
		if (g->next_neighbour[k] != n_of_neighbour(g, g->neighbour_goal, k))
			return false;
	return true;
}

static ssize_t stack_give(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	struct good *g = stack;
	uint8_t frame[PACKET_VNET_SIZE + SIM_FRAME_MAX];
	size_t size = 0;
	uint32_t number;

	(void)queue;
	for (int i = 0; i < n; i++) {
		assert_true(size + iov[i].iov_len <= sizeof(frame));
		memcpy(frame + size, iov[i].iov_base, iov[i].iov_len);
		size += iov[i].iov_len;
	}
	number = sim_frame_check(frame + PACKET_VNET_SIZE, size - PACKET_VNET_SIZE);
	if (number & NEIGHBOUR)
		arrive(g, &g->next_neighbour[SIM_FRAME_FLOW(number & ~NEIGHBOUR)], number & 0xffffff);
	else
		arrive(g, &g->next_given, number);
	return (ssize_t)size;
}

static const struct guest_stack_ops stack_ops = { stack_take, stack_give };

/* ---- the bridge ---- */

static void bridge_receives(void *arg, uint32_t domid, const uint8_t *frame, size_t size)
{
	struct rig *r = arg;

	if (domid == EVIL_DOMID) {
		assert_true(size >= 14 && size <= sizeof(r->evil.frame));
		memcpy(r->evil.frame, frame, size);
		r->evil.frame_size = size;
		r->evil.n_bridge++;
		if (r->evil_sent)
			r->evil_sent(r, frame, size);
		return;
	}
	arrive(&r->good, &r->good.next_bridge, sim_frame_check(frame, size));
}

static void bridge_sends(struct rig *r)
{
	struct good *g = &r->good;
	uint8_t frame[SIM_FRAME_MAX];

	for (; g->n_offered < g->goal; g->n_offered++) {
		sim_frame_make(frame, g->n_offered);
		if (!sim_nic_give(r->datapath, GOOD_DOMID, g->steered ? SIM_STEERED : g->bridge_queue,
				  frame, sim_frame_size(g->n_offered)))
			break;
	}
	for (; g->n_neighbour < g->neighbour_goal; g->n_neighbour++) {
		uint32_t number = neighbour_number(g, g->n_neighbour);
		size_t size = sim_frame_size(number);

		sim_frame_make(frame, number);
		if (g->steered ? sim_datapath_steer(r->datapath, GOOD_DOMID, frame, size) < 0 :
				 !sim_datapath_give(r->datapath, GOOD_DOMID, frame, size))
			break;
	}
}

/* ---- turns ---- */

static void act_as(uint32_t domid)
{
	hosted_set_domid(domid);
	sim_store_set_domid(domid);
}

static void step_queues(struct netfront *nf)
{
	for (uint32_t n = (uint32_t)random() % (2 * nf->n_queues); n; n--)
		(void)netfront_step_queue(nf, (uint32_t)random() % nf->n_queues);
}

void rig_turn(struct rig *r)
{
	r->n_turns++;
	r->now_ns += r->ns_per_turn;
	act_as(0);
	sim_nic_arrive(r->datapath, r->now_ns, 0);
	(void)control_step(&r->control, r->now_ns);
	sim_datapath_control(r->datapath, r->now_ns);
	sim_datapath_events(r->datapath, r->now_ns);
	sim_datapath_pass(r->datapath, r->now_ns);
	(void)sim_toolstack_hotplug(EVIL_DOMID, 0);
	(void)sim_toolstack_hotplug(GOOD_DOMID, 0);
	bridge_sends(r);
	if (r->slow_ways)
		sim_nic_arrive(r->datapath, r->now_ns, (uint32_t)random() % 16);
	if (r->lazy_nic)
		sim_nic_run(r->datapath, (uint32_t)random() % 64);
	if (r->good.n_sleeps) {
		r->good.n_sleeps--;
		return;
	}
	act_as(GOOD_DOMID);
	assert_int_equal(netfront_bus_step(&r->good.nf), 0);
	netfront_take_events(&r->good.nf);
	if (r->good.by_queues)
		step_queues(&r->good.nf);
	else
		(void)netfront_step(&r->good.nf);
}

uint64_t rig_good_carries(struct rig *r, uint32_t n)
{
	struct good *g = &r->good;

	g->goal += n;
	return rig_turns_until(r, 20 * n + 200,
			       g->next_bridge == g->goal && g->next_given == g->goal &&
				   all_neighbours_came(g));
}

void rig_good_forgets(struct rig *r)
{
	struct good *g = &r->good;

	g->next_bridge = g->n_taken = g->goal;
	g->next_given = g->n_offered = g->goal;
	g->n_neighbour = g->neighbour_goal;
	for (uint32_t k = 0; k < n_neighbours(g); k++)
		g->next_neighbour[k] = n_of_neighbour(g, g->neighbour_goal, k);
}

/* ---- the hostile guest, seen from control ---- */

struct vif *rig_vif(struct rig *r, uint32_t domid)
{
	return control_find(&r->control, (struct vif_id){ (uint16_t)domid, 0 });
}

struct vif *rig_evil_vif(struct rig *r)
{
	return rig_vif(r, EVIL_DOMID);
}

int rig_evil_state(void)
{
	const char *state = sim_backend_get(EVIL_DOMID, 0, "state");

	return state ? atoi(state) : -1;
}

struct queue_counters rig_counters(struct rig *r, uint32_t domid)
{
	const struct vif *v = rig_vif(r, domid);
	struct queue_counters n;

	assert_non_null(v);
	vif_counters(&r->control, v, &n);
	return n;
}

struct queue_counters rig_evil_counters(struct rig *r)
{
	return rig_counters(r, EVIL_DOMID);
}

void rig_expect_disabled(struct rig *r, const char *why)
{
	const char *error;

	rig_turns_until(r, 500, rig_evil_state() == XenbusStateClosed);
	error = sim_store_get("/local/domain/0/error/backend/vif/1/0/error");
	assert_non_null(error);
	if (!strstr(error, why))
		fail_msg("the error node says \"%s\", not \"%s\"", error, why);
	assert_false(vif_has_queues(rig_evil_vif(r)));
	rig_good_carries(r, 30);
	assert_true(netfront_is_connected(&r->good.nf));
}

void rig_expect_alive(struct rig *r)
{
	rig_good_carries(r, 30);
	assert_int_equal(rig_evil_state(), XenbusStateConnected);
	assert_true(netfront_is_connected(&r->good.nf));
}

/* ---- life ---- */

enum rig_nic { NO_NIC, WITHOUT_BUFFERS, WITH_BUFFERS, WITH_MEMORY };

struct rig_kind {
	bool split_events, with_ctrl; /* of the hostile guest */
	uint32_t n_queues, n_good_queues;
	enum rig_nic nic;
	enum nic_policy policy;
	uint32_t filters;
};

static const struct frontend_dialect *dialect(const char *name)
{
	const struct frontend_dialect *d = frontend_dialects;

	while (strcmp(d->name, name))
		d++;
	return d;
}

static void open_good(struct rig *r, const struct rig_kind *kind)
{
	const struct netfront_config config = {
		.vif = { .domid = GOOD_DOMID },
		.choice.dialect = dialect(kind->nic >= WITH_BUFFERS ? "static-grants" : "linux"),
		.choice.n_queues = kind->n_good_queues,
		.stack_ops = &stack_ops,
		.stack = &r->good,
	};

	act_as(GOOD_DOMID);
	assert_int_equal(netfront_open(&r->good.nf, &config), 0);
}

static void configure(struct config *config, const struct rig_kind *kind)
{
	config_defaults(config);
	config->n_workers = 1;
	config->max_queues = MAX(kind->n_good_queues, 2u);
	config->n_nics = kind->nic != NO_NIC;
	config->nic[0].provider =
	    kind->nic == WITH_BUFFERS ? NIC_PROVIDER_MODEL : NIC_PROVIDER_AFXDP;
	config->nic[0].policy = kind->policy;
	config->nic[0].filters = kind->filters;
	config->nic[0].transmit = true;
	strcpy(config->nic[0].name, SIM_NIC_NAME);
}

static struct rig *start(const struct rig_kind *kind)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct config config;
	struct control_env env = {
		.netdev_ops = &sim_netdev_ops,
		.nic_ops = { [NIC_PROVIDER_AFXDP] = &sim_nic_device_ops,
			     [NIC_PROVIDER_MODEL] = &sim_nic_device_ops },
		.process_ops = &sim_process_ops,
		.api_listener = -1,
		.hello = { .version = IPC_VERSION },
	};

	assert_non_null(r);
	r->ns_per_turn = 10 * NS_PER_MS;
	assert_int_equal(hosted_inproc_start(1), 0);
	sim_store_put("/local/domain/0/domid", "0");
	env.process_ctx = r->datapath = sim_datapath_new(bridge_receives, r);
	configure(&config, kind);
	sim_frames_keep_mtu(kind->nic >= WITH_BUFFERS);
	sim_nic_take_memory(kind->nic == WITH_MEMORY);
	act_as(0);
	assert_int_equal(control_init(&r->control, &config, &env), 0);
	for (uint32_t domid = EVIL_DOMID; domid <= GOOD_DOMID; domid++) {
		assert_int_equal(hosted_domain_create(domid), 0);
		sim_toolstack_attach(domid, 0);
	}
	open_good(r, kind);
	r->evil.split_events = kind->split_events;
	r->evil.with_ctrl = kind->with_ctrl;
	r->evil.n_queues = kind->n_queues;
	evil_open(&r->evil);
	the_rig = r;
	rig_turns_until(r, 200, rig_evil_state() == XenbusStateInitWait);
	evil_share(&r->evil);
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateConnected);
	rig_turns_until(
	    r, 200, rig_evil_state() == XenbusStateConnected && netfront_is_connected(&r->good.nf));
	return r;
}

struct rig *rig_start(bool split_events)
{
	return start(&(struct rig_kind){ .split_events = split_events, .with_ctrl = false, .n_queues = 1,
					 .n_good_queues = 1, .nic = NO_NIC });
}

struct rig *rig_start_ctrl(uint32_t n_queues)
{
	return start(&(struct rig_kind){ .split_events = true, .with_ctrl = true, .n_queues = n_queues,
					 .n_good_queues = 1, .nic = NO_NIC });
}

struct rig *rig_start_nic(void)
{
	return rig_start_nic_queues(1);
}

struct rig *rig_start_nic_queues(uint32_t n)
{
	return start(&(struct rig_kind){ .split_events = true, .with_ctrl = false, .n_queues = 1,
					 .n_good_queues = n, .nic = WITHOUT_BUFFERS });
}

struct rig *rig_start_policy(enum nic_policy policy, uint32_t filters)
{
	return start(&(struct rig_kind){ .split_events = true, .with_ctrl = true, .n_queues = 2,
					 .n_good_queues = 1, .nic = WITHOUT_BUFFERS,
					 .policy = policy, .filters = filters });
}

struct rig *rig_start_posting(uint32_t n_queues, uint32_t n_good_queues)
{
	return start(&(struct rig_kind){ .split_events = true, .with_ctrl = true, .n_queues = n_queues,
					 .n_good_queues = n_good_queues, .nic = WITH_BUFFERS });
}

struct rig *rig_start_lent(uint32_t n_queues, uint32_t n_good_queues)
{
	return start(&(struct rig_kind){ .split_events = true, .with_ctrl = true, .n_queues = n_queues,
					 .n_good_queues = n_good_queues, .nic = WITH_MEMORY });
}

static void detach(struct rig *r, uint32_t domid)
{
	struct vif_id id = { (uint16_t)domid, 0 };

	if (sim_backend_get(domid, 0, "state")) {
		sim_toolstack_detach(domid, 0);
		rig_turns_until(r, 1000,
				atoi(sim_backend_get(domid, 0, "state")) == XenbusStateClosed);
		sim_toolstack_remove(domid, 0);
	}
	rig_turns_until(r, 1000, !control_find(&r->control, id));
}

static void check_nothing_held(void)
{
	struct hosted_stats stats[8];
	int n = hosted_stats(stats, ARRAY_SIZE(stats));

	for (int i = 0; i < n; i++) {
		assert_int_equal(stats[i].ports, 0);
		assert_int_equal(stats[i].grants, 0);
		assert_int_equal(stats[i].maps_held, 0);
		assert_int_equal(stats[i].maps_suffered, 0);
		assert_int_equal(stats[i].pages, 0);
	}
}

void rig_end(struct rig *r)
{
	r->before_copy = NULL;
	r->lose_events = false;
	detach(r, EVIL_DOMID);
	detach(r, GOOD_DOMID);
	evil_close(&r->evil);
	netfront_close(&r->good.nf);
	control_stop(&r->control, r->now_ns);
	act_as(0);
	for (unsigned i = 0; !control_is_over(&r->control); i++) {
		assert_true(i < 1000);
		r->now_ns += NS_PER_MS;
		(void)control_step(&r->control, r->now_ns);
		sim_datapath_control(r->datapath, r->now_ns);
	}
	control_fini(&r->control);
	the_rig = NULL;
	check_nothing_held();
	sim_datapath_free(r->datapath);
	hosted_inproc_stop();
	sim_store_reset();
	free(r);
}

int rig_setup(void **state)
{
	*state = rig_start(true);
	return 0;
}

int rig_teardown(void **state)
{
	rig_end(*state);
	return 0;
}

void rig_turns(struct rig *r, unsigned n)
{
	while (n--)
		rig_turn(r);
}
