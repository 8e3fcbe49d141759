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

static ssize_t stack_give(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	struct good *g = stack;
	uint8_t frame[PACKET_VNET_SIZE + SIM_FRAME_MAX];
	size_t size = 0;

	(void)queue;
	for (int i = 0; i < n; i++) {
		assert_true(size + iov[i].iov_len <= sizeof(frame));
		memcpy(frame + size, iov[i].iov_base, iov[i].iov_len);
		size += iov[i].iov_len;
	}
	assert_int_equal(sim_frame_check(frame + PACKET_VNET_SIZE, size - PACKET_VNET_SIZE),
			 g->next_given);
	g->next_given++;
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
		return;
	}
	assert_int_equal(sim_frame_check(frame, size), r->good.next_bridge);
	r->good.next_bridge++;
}

static void bridge_sends(struct rig *r)
{
	struct good *g = &r->good;
	uint8_t frame[SIM_FRAME_MAX];

	for (; g->n_offered < g->goal; g->n_offered++) {
		sim_frame_make(frame, g->n_offered);
		if (!sim_nic_give(r->datapath, GOOD_DOMID, g->bridge_queue, frame,
				  sim_frame_size(g->n_offered)))
			break;
	}
}

/* ---- turns ---- */

static void act_as(uint32_t domid)
{
	hosted_set_domid(domid);
	sim_store_set_domid(domid);
}

void rig_turn(struct rig *r)
{
	r->n_turns++;
	r->now_ns += r->ns_per_turn;
	act_as(0);
	(void)control_step(&r->control, r->now_ns);
	sim_datapath_control(r->datapath, r->now_ns);
	sim_datapath_events(r->datapath, r->now_ns);
	sim_datapath_pass(r->datapath, r->now_ns);
	(void)sim_toolstack_hotplug(EVIL_DOMID, 0);
	(void)sim_toolstack_hotplug(GOOD_DOMID, 0);
	bridge_sends(r);
	if (r->good.n_sleeps) {
		r->good.n_sleeps--;
		return;
	}
	act_as(GOOD_DOMID);
	assert_int_equal(netfront_bus_step(&r->good.nf), 0);
	netfront_take_events(&r->good.nf);
	(void)netfront_step(&r->good.nf);
}

uint64_t rig_good_carries(struct rig *r, uint32_t n)
{
	struct good *g = &r->good;

	g->goal += n;
	return rig_turns_until(r, 20 * n + 200,
			       g->next_bridge == g->goal && g->next_given == g->goal);
}

/* ---- the hostile guest, seen from control ---- */

struct vif *rig_evil_vif(struct rig *r)
{
	return control_find(&r->control, (struct vif_id){ EVIL_DOMID, 0 });
}

int rig_evil_state(void)
{
	const char *state = sim_backend_get(EVIL_DOMID, 0, "state");

	return state ? atoi(state) : -1;
}

struct queue_counters rig_evil_counters(struct rig *r)
{
	struct queue_counters n;

	assert_non_null(rig_evil_vif(r));
	vif_counters(&r->control, rig_evil_vif(r), &n);
	return n;
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

static void open_good(struct rig *r, uint32_t n_queues)
{
	const struct netfront_config config = {
		.vif = { .domid = GOOD_DOMID },
		.choice.dialect = &frontend_dialects[0],
		.choice.n_queues = n_queues,
		.stack_ops = &stack_ops,
		.stack = &r->good,
	};

	act_as(GOOD_DOMID);
	assert_int_equal(netfront_open(&r->good.nf, &config), 0);
}

static struct rig *start(bool split_events, bool with_ctrl, uint32_t n_queues,
			 uint32_t n_good_queues, bool with_nic)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct config config;
	struct control_env env = {
		.netdev_ops = &sim_netdev_ops,
		.nic_ops = { [NIC_PROVIDER_AFXDP] = &sim_nic_device_ops },
		.process_ops = &sim_process_ops,
		.api_listener = -1,
		.hello = { .version = IPC_VERSION },
	};

	assert_non_null(r);
	r->ns_per_turn = 10 * NS_PER_MS;
	assert_int_equal(hosted_inproc_start(1), 0);
	sim_store_put("/local/domain/0/domid", "0");
	env.process_ctx = r->datapath = sim_datapath_new(bridge_receives, r);
	config_defaults(&config);
	config.n_workers = 1;
	config.max_queues = MAX(n_good_queues, 2u);
	config.n_nics = with_nic;
	strcpy(config.nic[0].name, SIM_NIC_NAME);
	act_as(0);
	assert_int_equal(control_init(&r->control, &config, &env), 0);
	for (uint32_t domid = EVIL_DOMID; domid <= GOOD_DOMID; domid++) {
		assert_int_equal(hosted_domain_create(domid), 0);
		sim_toolstack_attach(domid, 0);
	}
	open_good(r, n_good_queues);
	r->evil.split_events = split_events;
	r->evil.with_ctrl = with_ctrl;
	r->evil.n_queues = n_queues;
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
	return start(split_events, false, 1, 1, false);
}

struct rig *rig_start_ctrl(uint32_t n_queues)
{
	return start(true, true, n_queues, 1, false);
}

struct rig *rig_start_nic(void)
{
	return start(true, false, 1, 1, true);
}

struct rig *rig_start_nic_queues(uint32_t n)
{
	return start(true, false, 1, n, true);
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
