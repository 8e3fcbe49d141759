/* SPDX-License-Identifier: MIT */
/*
 * Offload truth: two guests and a wire, each combination of scatter-gather, segmentation
 * and blank checksums, on or off with the backend and with the guests: 32 x 32. Whatever
 * one side leaves undone, the frames that come out at the other end are, once a receiver
 * did its part by the book (frame_complete()), byte for byte those that went in.
 *
 * Real control, worker and frontends (tests/sim); the kernel's part is played here: it
 * segments and checksums what the device says it does not take.
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
#include "tests/unit/samples.h"

#define N_GUESTS     2u
#define N_COMBOS     32u
#define ALL_FEATURES (N_COMBOS - 1)
#define TURNS_MAX    2000u
#define LIST_MAX     400u

static_assert((VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6) == ALL_FEATURES,
	      "a combination is its own feature mask");

static struct sample samples[SAMPLES];

/* ---- lists of whole frames: what is still to come out somewhere ---- */

struct list {
	struct {
		uint8_t *bytes;
		uint32_t size;
	} frame[LIST_MAX];
	uint32_t first, n;
};

static void list_add(void *arg, const uint8_t *frame, uint32_t size)
{
	struct list *l = arg;
	uint32_t at = l->first + l->n++;

	assert_true(at < LIST_MAX);
	l->frame[at].bytes = memcpy(malloc(size), frame, size);
	l->frame[at].size = size;
}

/* The next one is this. */
static void list_take(void *arg, const uint8_t *frame, uint32_t size)
{
	struct list *l = arg;

	assert_true(l->n > 0);
	assert_int_equal(size, l->frame[l->first].size);
	assert_memory_equal(frame, l->frame[l->first].bytes, size);
	free(l->frame[l->first].bytes);
	l->n--;
	l->first = l->n ? l->first + 1 : 0;
}

/* ---- the system ---- */

struct guest {
	uint32_t domid;
	struct system *sys;
	struct netfront nf;
	uint32_t tap_features; /* what the kernel was told the guest takes */
	uint32_t n_taken;      /* samples its stack sent; the segments of one count as one */
	struct list segments;  /* of the sample it is sending */
	uint32_t n_offered;    /* samples the wire sent it */
	struct list to_wire;   /* expected from it */
	struct list to_guest;  /* expected by it */
};

struct system {
	uint64_t now_ns;
	bool traffic;
	struct control control;
	struct netdev_ops netdev_ops;
	struct sim_datapath *datapath;
	struct guest guest[N_GUESTS];
};

static struct system *the_system; /* for the netdev, which has no context of its own */

static void act_as(uint32_t domid)
{
	hosted_set_domid(domid);
	sim_store_set_domid(domid);
}

/* Frames of this size do not pass a guest's MTU: it is limited to a page without SG. */
static bool passes_mtu(const struct guest *g, const struct sample *s)
{
	return sample_wire_size(s) <= XEN_PAGE || (g->nf.accepts & g->nf.features & VIF_SG);
}

/* ---- a guest's stack ---- */

static ssize_t scatter(const struct iovec iov[], int n, const struct virtio_net_hdr *vnet,
		       const uint8_t *frame, size_t size)
{
	size_t done = 0;

	assert_int_equal(iov[0].iov_len, sizeof(*vnet));
	memcpy(iov[0].iov_base, vnet, sizeof(*vnet));
	for (int i = 1; i < n && done < size; i++) {
		size_t part = MIN(iov[i].iov_len, size - done);

		memcpy(iov[i].iov_base, frame + done, part);
		done += part;
	}
	assert_int_equal(done, size);
	return (ssize_t)(sizeof(*vnet) + size);
}

static ssize_t take_segment(struct guest *g, const struct iovec iov[], int n)
{
	static const struct virtio_net_hdr whole = { 0 };
	uint32_t at = g->segments.first;
	ssize_t size =
	    scatter(iov, n, &whole, g->segments.frame[at].bytes, g->segments.frame[at].size);

	list_take(&g->segments, g->segments.frame[at].bytes, g->segments.frame[at].size);
	return size;
}

/* The guest's kernel segments what its driver does not; checksums the driver finishes. */
static ssize_t stack_take(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	struct guest *g = stack;
	const struct sample *s;
	uint32_t feature;

	(void)queue;
	if (g->segments.n)
		return take_segment(g, iov, n);
	do {
		if (!g->sys->traffic || g->n_taken == SAMPLES)
			return -EAGAIN;
		s = &samples[g->n_taken++];
	} while (!passes_mtu(g, s) || s->tunnel);
	frame_complete(s->frame.bytes, s->frame.size, &s->vnet, list_add, &g->to_wire);
	feature = s->vnet.gso_type == VIRTIO_NET_HDR_GSO_TCPV4 ? VIF_GSO_TCPV4 : VIF_GSO_TCPV6;
	if (!sample_is_gso(s) || (g->nf.features & feature))
		return scatter(iov, n, &s->vnet, s->frame.bytes, s->frame.size);
	frame_complete(s->frame.bytes, s->frame.size, &s->vnet, list_add, &g->segments);
	return take_segment(g, iov, n);
}

static ssize_t stack_give(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	static uint8_t frame[PACKET_FRAME_MAX];
	const struct virtio_net_hdr *vnet = iov[0].iov_base;
	struct guest *g = stack;
	uint32_t size = 0;

	(void)queue;
	for (int i = 1; i < n; i++) {
		memcpy(frame + size, iov[i].iov_base, iov[i].iov_len);
		size += (uint32_t)iov[i].iov_len;
	}
	frame_complete(frame, size, vnet, list_take, &g->to_guest);
	return (ssize_t)(sizeof(*vnet) + size);
}

static const struct guest_stack_ops stack_ops = { stack_take, stack_give };

/* ---- the kernel's TAPs and its bridge ---- */

static int set_offload(void *ctx, struct netdev *nd, uint32_t features)
{
	(void)ctx;
	for (uint32_t i = 0; i < the_system->control.n_vifs; i++)
		if (&the_system->control.vif[i]->netdev == nd)
			the_system->guest[the_system->control.vif[i]->id.domid - 1].tap_features =
			    features;
	return 0;
}

struct tap {
	struct sim_datapath *datapath;
	uint32_t domid;
};

static void tap_queue(void *arg, const uint8_t *frame, uint32_t size)
{
	const struct tap *t = arg;

	assert_true(sim_datapath_give(t->datapath, t->domid, frame, size));
}

/* A TAP promises segmentation and checksums as TUNSETOFFLOAD said: the latter for both IP
 * versions or for none. With 'slips' it is one that was queued before it was told so. */
static void tap_sends(struct guest *g, const uint8_t *frame, uint32_t size,
		      const struct virtio_net_hdr *vnet, bool slips)
{
	struct tap tap = { g->sys->datapath, g->domid };
	uint32_t needs = 0;

	if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		needs = g->tap_features & VIF_CSUM_V4 ? VIF_CSUM_V4 : VIF_CSUM_V6;
	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_TCPV4)
		needs |= VIF_GSO_TCPV4;
	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_TCPV6)
		needs |= VIF_GSO_TCPV6;
	frame_complete(frame, size, vnet, list_add, &g->to_guest);
	if (slips || !(needs & ~g->tap_features))
		assert_true(
		    sim_datapath_give_offloaded(g->sys->datapath, g->domid, vnet, frame, size));
	else
		frame_complete(frame, size, vnet, tap_queue, &tap);
}

/* What the backend did not offer never leaves it, whatever a guest did. */
static void is_finished_as_offered(const struct system *sys, const uint8_t *frame,
				   const struct virtio_net_hdr *vnet)
{
	uint32_t uses = 0, at = 12;
	bool v4;

	while (get_be16(frame + at) == 0x8100 || get_be16(frame + at) == 0x88a8)
		at += 4;
	v4 = get_be16(frame + at) == 0x0800;
	if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		uses |= v4 ? VIF_CSUM_V4 : VIF_CSUM_V6;
	if (vnet->gso_type)
		uses |= v4 ? VIF_GSO_TCPV4 : VIF_GSO_TCPV6;
	assert_false(uses & sys->control.config.withheld);
}

/* From a guest: onto the wire, and to the other guest. */
static void bridge_receives(void *arg, uint32_t domid, const uint8_t *frame, size_t size)
{
	const struct virtio_net_hdr *vnet = (const void *)(frame - PACKET_VNET_SIZE);
	struct system *sys = arg;
	struct guest *other = &sys->guest[2 - domid];
	struct sample as_sample = { .vnet = *vnet };

	is_finished_as_offered(sys, frame, vnet);
	frame_complete(frame, (uint32_t)size, vnet, list_take, &sys->guest[domid - 1].to_wire);
	as_sample.frame.size = (uint32_t)size;
	as_sample.frame.header_size = vnet->hdr_len;
	if (passes_mtu(other, &as_sample))
		tap_sends(other, frame, (uint32_t)size, vnet, false);
}

/* Two samples at a time, so that no ring overflows. */
static void wire_sends(struct system *sys, struct guest *g)
{
	for (int i = 0; i < 2 && g->n_offered < SAMPLES; i++) {
		const struct sample *s = &samples[g->n_offered++];

		if (passes_mtu(g, s))
			tap_sends(g, s->frame.bytes, s->frame.size, &s->vnet,
				  sys->now_ns / NS_PER_MS % 3 == 0);
	}
}

/* ---- turns ---- */

static void turn(struct system *sys)
{
	sys->now_ns += 10 * NS_PER_MS;
	act_as(0);
	(void)control_step(&sys->control, sys->now_ns);
	sim_datapath_control(sys->datapath, sys->now_ns);
	sim_datapath_events(sys->datapath, sys->now_ns);
	sim_datapath_pass(sys->datapath, sys->now_ns);
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		struct guest *g = &sys->guest[i];

		(void)sim_toolstack_hotplug(g->domid, 0);
		act_as(g->domid);
		assert_int_equal(netfront_bus_step(&g->nf), 0);
		netfront_take_events(&g->nf);
		(void)netfront_step(&g->nf);
		if (sys->traffic)
			wire_sends(sys, g);
	}
}

#define turn_until(sys, condition)                                                                 \
	do {                                                                                       \
		for (unsigned turns_ = 0; !(condition); turns_++) {                                \
			assert_true(turns_ < TURNS_MAX);                                           \
			turn(sys);                                                                 \
		}                                                                                  \
	} while (0)

static struct system *system_start(uint32_t withheld)
{
	struct system *sys = calloc(1, sizeof(*sys));
	struct control_env env = { .process_ops = &sim_process_ops,
				   .api_listener = -1,
				   .hello = { .version = IPC_VERSION } };
	struct config config;

	assert_non_null(sys);
	the_system = sys;
	assert_int_equal(hosted_inproc_start(1), 0);
	sim_store_put("/local/domain/0/domid", "0");
	sys->netdev_ops = sim_netdev_ops;
	sys->netdev_ops.set_offload = set_offload;
	env.netdev_ops = &sys->netdev_ops;
	env.process_ctx = sys->datapath = sim_datapath_new(bridge_receives, sys);
	config_defaults(&config);
	config.n_workers = 1;
	config.withheld = withheld;
	act_as(0);
	assert_int_equal(control_init(&sys->control, &config, &env), 0);
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		struct guest *g = &sys->guest[i];
		const struct netfront_config nf = {
			.vif = { .domid = (uint16_t)(i + 1) },
			.choice = { .dialect = &frontend_dialects[0], .n_queues = 1 },
			.stack_ops = &stack_ops,
			.stack = g,
		};

		g->domid = i + 1;
		g->sys = sys;
		assert_int_equal(hosted_domain_create(g->domid), 0);
		sim_toolstack_attach(g->domid, 0);
		act_as(g->domid);
		assert_int_equal(netfront_open(&g->nf, &nf), 0);
	}
	return sys;
}

static void system_end(struct system *sys)
{
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		struct guest *g = &sys->guest[i];

		sim_toolstack_detach(g->domid, 0);
		turn_until(sys, atoi(sim_backend_get(g->domid, 0, "state")) == XenbusStateClosed);
		sim_toolstack_remove(g->domid, 0);
		turn_until(sys,
			   !control_find(&sys->control, (struct vif_id){ (uint16_t)g->domid, 0 }));
	}
	for (uint32_t i = 0; i < N_GUESTS; i++)
		netfront_close(&sys->guest[i].nf);
	control_stop(&sys->control, sys->now_ns);
	act_as(0);
	for (unsigned i = 0; !control_is_over(&sys->control); i++) {
		assert_true(i < TURNS_MAX);
		sys->now_ns += NS_PER_MS;
		(void)control_step(&sys->control, sys->now_ns);
		sim_datapath_control(sys->datapath, sys->now_ns);
	}
	control_fini(&sys->control);
	sim_datapath_free(sys->datapath);
	hosted_inproc_stop();
	sim_store_reset();
	free(sys);
}

/* Both guests connect anew, without these features. */
static void reconnect(struct system *sys, const uint32_t without[N_GUESTS])
{
	uint64_t before[N_GUESTS];

	for (uint32_t i = 0; i < N_GUESTS; i++) {
		struct guest *g = &sys->guest[i];
		const struct frontend_choice choice = { .dialect = &frontend_dialects[0],
							.n_queues = 1,
							.without = without[i] };

		before[i] = g->nf.counters.connects;
		act_as(g->domid);
		netfront_choose(&g->nf, &choice);
		netfront_restart(&g->nf);
	}
	for (uint32_t i = 0; i < N_GUESTS; i++)
		turn_until(sys, sys->guest[i].nf.counters.connects > before[i] &&
				    netfront_is_connected(&sys->guest[i].nf));
}

static bool all_sent_and_arrived(const struct system *sys)
{
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		const struct guest *g = &sys->guest[i];

		if (g->n_taken < SAMPLES || g->n_offered < SAMPLES ||
		    g->segments.n || g->to_wire.n || g->to_guest.n)
			return false;
	}
	return true;
}

static void nothing_was_lost(struct system *sys, const struct guest *g)
{
	const struct netfront_counters *n = &g->nf.counters;
	const struct vif *v = control_find(&sys->control, (struct vif_id){ (uint16_t)g->domid, 0 });
	struct queue_counters c;

	assert_int_equal(n->from_guest_drops, 0);
	assert_int_equal(n->from_guest_error_responses, 0);
	assert_int_equal(n->to_guest_errors, 0);
	assert_int_equal(n->to_guest_unasked, 0);
	assert_int_equal(n->disabled, 0);
	vif_counters(&sys->control, v, &c);
	for (unsigned i = 0; i < FROM_GUEST_N_FAULTS; i++)
		assert_int_equal(c.from_guest_drops[i], 0);
	for (unsigned i = 0; i < TO_GUEST_N_FAULTS; i++)
		assert_int_equal(c.to_guest_drops[i], 0);
}

static void all_samples_pass(struct system *sys)
{
	for (uint32_t i = 0; i < N_GUESTS; i++)
		sys->guest[i].n_taken = sys->guest[i].n_offered = 0;
	sys->traffic = true;
	turn_until(sys, all_sent_and_arrived(sys));
	sys->traffic = false;
	for (uint32_t i = 0; i < N_GUESTS; i++)
		nothing_was_lost(sys, &sys->guest[i]);
}

/* ---- the cases ---- */

static void every_combination(void **state)
{
	(void)state;
	for (uint32_t offered = 0; offered < N_COMBOS; offered++) {
		struct system *sys = system_start(ALL_FEATURES & ~offered);

		for (uint32_t accepted = 0; accepted < N_COMBOS; accepted++) {
			/* the other guest is another one each time, and each one in turn */
			const uint32_t without[N_GUESTS] = { ALL_FEATURES & ~accepted,
							     (accepted * 11 + offered) % N_COMBOS };

			reconnect(sys, without);
			all_samples_pass(sys);
		}
		system_end(sys);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_combination),
	};

	for (uint32_t i = 0; i < SAMPLES; i++)
		sample_make(&samples[i], i);
	log_init("test-sim-offload", LOG_LVL_ERROR, false);
	return cmocka_run_group_tests_name("offload", tests, NULL, NULL);
}
