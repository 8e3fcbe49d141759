/* SPDX-License-Identifier: MIT */
/*
 * Each row of protocol.md 3 that a guest's rings and states can play: vifd lives, only
 * the vif that must is disabled, the other guest loses nothing, and the counters and the
 * error node tell.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvif/hosted/hosted.h"
#include "tests/hostile/rig.h"
#include "tests/sim/sim_store.h"
#include "tests/unit/frames.h"

static int start_single(void **state)
{
	*state = rig_start(false);
	return 0;
}

static void send_ok(struct rig *r)
{
	uint32_t before = r->evil.n_bridge;

	evil_tx(&r->evil, 0, 0, 60, 0);
	evil_publish(&r->evil);
	rig_turns_until(r, 50, r->evil.n_bridge == before + 1);
}

/* Sends what was put into the ring and expects it back as errors, counted once. */
static void expect_drop(struct rig *r, enum from_guest_fault fault)
{
	struct evil *e = &r->evil;
	RING_IDX first = e->tx->rsp_prod;
	uint64_t before = rig_evil_counters(r).from_guest_drops[fault];
	uint32_t bridged = e->n_bridge;

	evil_publish(e);
	rig_turns_until(r, 50, e->tx->rsp_prod == e->tx_prod);
	for (RING_IDX i = first; i != e->tx_prod; i++)
		assert_true(evil_tx_response(e, i).status == NETIF_RSP_ERROR ||
			    evil_tx_response(e, i).status == NETIF_RSP_NULL);
	assert_int_equal(rig_evil_counters(r).from_guest_drops[fault], before + 1);
	assert_int_equal(e->n_bridge, bridged);
	rig_expect_alive(r);
}

static void expect_fatal(struct rig *r, enum from_guest_fault fault)
{
	uint64_t before = rig_evil_counters(r).from_guest_drops[fault];

	evil_publish(&r->evil);
	rig_expect_disabled(r, from_guest_fault_name(fault));
	assert_int_equal(rig_evil_counters(r).from_guest_drops[fault], before + 1);
	evil_reconnect(r);
	send_ok(r);
}

/* ---- XSA-39: indices ---- */

static void tx_producer_overruns(void **state)
{
	static const RING_IDX beyond[] = { RING_SLOTS + 1, RING_SLOTS * 2, 1u << 31, ~0u };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
		send_ok(r);
		r->evil.tx->req_prod = r->evil.tx->rsp_prod + beyond[i];
		evil_notify(&r->evil);
		rig_expect_disabled(r, "impossible ring indices");
		evil_reconnect(r);
	}
	assert_int_equal(rig_evil_counters(r).from_guest_drops[FROM_GUEST_BAD_INDEX],
			 ARRAY_SIZE(beyond));
	send_ok(r);
}

static void tx_producer_goes_back(void **state)
{
	struct rig *r = *state;

	send_ok(r);
	r->evil.tx->req_prod--;
	evil_notify(&r->evil);
	rig_expect_disabled(r, "impossible ring indices");
}

static void give_evil(struct rig *r, uint32_t n)
{
	uint8_t frame[SIM_FRAME_MAX];

	sim_frame_make(frame, 0);
	for (uint32_t i = 0; i < n; i++)
		assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, frame, sim_frame_size(0)));
}

/* With frames that already wait for buffers, and with the first one yet to be read. */
static void rx_producer_overruns(void **state)
{
	struct rig *r = *state;

	for (int waiting = 0; waiting < 2; waiting++) {
		if (waiting) {
			give_evil(r, 3);
			rig_turns(r, 3);
		}
		r->evil.rx->req_prod = r->evil.rx->rsp_prod + RING_SLOTS + 1;
		if (!waiting)
			give_evil(r, 1);
		evil_notify(&r->evil);
		rig_expect_disabled(r, "impossible ring indices");
		evil_reconnect(r);
	}
	assert_int_equal(rig_evil_counters(r).to_guest_drops[TO_GUEST_BAD_INDEX], 2);
}

/* Our response indices and the event thresholds are in the guest's page as well. */
static void responses_overwritten(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	for (uint32_t i = 0; i < 200; i++) {
		e->tx->rsp_event = i * 0x01234567u;
		e->tx->req_event = i * 0x89abcdefu;
		e->tx->rsp_prod = i * 0x10203040u;
		e->rx->rsp_event = i * 0x76543210u;
		e->rx->rsp_prod = i * 0x11111111u;
		evil_tx(e, 0, 0, 60, 0);
		evil_rx(e, i % 2);
		evil_publish(e);
		if (i % 4 == 0)
			give_evil(r, 1);
		rig_turn(r);
		assert_true(evil_events(e) <= 2);
	}
	rig_turns_until(r, 50, e->n_bridge == 200);
	rig_expect_alive(r);
}

/* ---- XSA-155 ---- */

static void rewrite_ring(struct rig *r, xengnttab_grant_copy_segment_t *ops, uint32_t n)
{
	struct evil *e = &r->evil;
	bool tx = ops[0].flags & GNTCOPY_source_gref;

	if ((tx ? ops[0].source.foreign.domid : ops[0].dest.foreign.domid) != EVIL_DOMID)
		return;
	for (uint32_t i = 0; i < n; i++)
		assert_true(ops[i].len <= XEN_PAGE);
	if (tx)
		memset(e->tx->ring, 0xff, sizeof(e->tx->ring[0]) * RING_SLOTS);
	else
		memset(e->rx->ring, 0xff, sizeof(e->rx->ring[0]) * RING_SLOTS);
}

/* After it was read and before it is answered, every slot becomes rubbish. */
static void slots_rewritten(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	struct frame f;

	frame_build(
	    &f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 9000 });
	r->before_copy = rewrite_ring;
	evil_rx(e, 8);
	give_evil(r, 2);
	for (unsigned i = 0; i < 50; i++) {
		RING_IDX first = e->tx_prod;

		evil_tx_frame(e, f.bytes, f.size, 100, NETTXF_csum_blank, XEN_NETIF_GSO_TYPE_TCPV4,
			      1448);
		evil_publish(e);
		rig_turns_until(r, 10, e->n_bridge == i + 1);
		assert_int_equal(e->frame_size, f.size);
		assert_true(frame_checksum_ok(&f, f.bytes) ||
			    !memcmp(e->frame + f.header_size, f.bytes + f.header_size, 9000));
		for (RING_IDX at = first; at != e->tx_prod; at++) {
			bool extra = at == first + 1;

			assert_int_equal(evil_tx_response(e, at).status,
					 extra ? NETIF_RSP_NULL : NETIF_RSP_OKAY);
			if (!extra)
				assert_int_equal(evil_tx_response(e, at).id, (uint16_t)at);
		}
	}
	assert_int_equal(e->rx->rsp_prod, 2);
	for (RING_IDX at = 0; at < 2; at++) {
		assert_int_equal(evil_rx_response(e, at).id, at);
		assert_int_equal(evil_rx_response(e, at).status, sim_frame_size(0));
	}
	rig_expect_alive(r);
}

struct scribbler {
	struct evil *e;
	bool indices; /* as well */
	bool stop;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	uint32_t *tx = (void *)s->e->tx, *rx = (void *)s->e->rx;
	uint32_t random = 1;

	for (unsigned i = 0; i < 50000000 && !__atomic_load_n(&s->stop, __ATOMIC_RELAXED); i++) {
		uint32_t at;

		random = random * 1664525 + 1013904223;
		at = (random >> 8) % 1024;
		if (at < 16 && !s->indices)
			continue;
		__atomic_store_n(&tx[at], random & 1 ? random : random >> 20, __ATOMIC_RELAXED);
		__atomic_store_n(&rx[at], random, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Another CPU of the guest's writes anything anywhere in both pages, all the time. */
static void pages_scribbled_over(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 12; i++) {
		struct scribbler s = { .e = &r->evil, .indices = i % 2 };
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
		for (unsigned n = 0; n < 20; n++) {
			r->evil.tx_prod += n % 5;
			r->evil.rx_prod += n % 3;
			if (!s.indices)
				evil_publish(&r->evil);
			evil_notify(&r->evil);
			rig_good_carries(r, 10);
		}
		__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		evil_reconnect(r);
		send_ok(r);
	}
}

/* ---- slots ---- */

static void partial_frames(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	/* One slot at a time, an event each; then the rest, with the next frame's beginning. */
	evil_tx(e, 0, 0, 600, NETTXF_more_data);
	for (unsigned i = 0; i < 8; i++) {
		evil_publish(e);
		rig_turns(r, 3);
		assert_int_equal(e->n_bridge, 0);
		evil_tx(e, 1, 0, 60, NETTXF_more_data);
	}
	evil_tx(e, 2, 0, 60, 0);
	evil_tx(e, 3, 0, 100, NETTXF_more_data);
	evil_publish(e);
	rig_turns_until(r, 20, e->n_bridge == 1);
	assert_int_equal(e->frame_size, 600);
	assert_int_equal(e->tx->rsp_prod, 10);
	rig_expect_alive(r);
	/* Never completed: goes with the vif. */
}

static void put_fragments(struct evil *e, uint32_t n)
{
	evil_tx(e, 0, 0, (uint16_t)(n * 100), n > 1 ? NETTXF_more_data : 0);
	for (uint32_t i = 1; i < n; i++)
		evil_tx(e, i % EVIL_PAGES, 0, 100, i + 1 < n ? NETTXF_more_data : 0);
}

static void many_slots(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	put_fragments(e, 18);
	evil_publish(e);
	rig_turns_until(r, 20, e->n_bridge == 1);
	assert_int_equal(e->frame_size, 1800);
	put_fragments(e, 19);
	expect_drop(r, FROM_GUEST_TOO_MANY_SLOTS);
	put_fragments(e, 20);
	expect_fatal(r, FROM_GUEST_ABSURD_SLOTS);
	put_fragments(e, 255);
	expect_fatal(r, FROM_GUEST_ABSURD_SLOTS);
	for (unsigned i = 0; i < RING_SLOTS; i++) /* without an end */
		evil_tx(e, 0, 0, 0, NETTXF_more_data);
	expect_fatal(r, FROM_GUEST_ABSURD_SLOTS);
}

static void zero_length_fragments(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	evil_tx(e, 0, 0, 200, NETTXF_more_data);
	for (unsigned i = 0; i < 5; i++)
		evil_tx(e, 1, XEN_PAGE, 0, NETTXF_more_data);
	evil_tx(e, 2, 0, 200, 0); /* all of it: nothing is left to the first slot */
	evil_publish(e);
	rig_turns_until(r, 20, e->n_bridge == 1);
	assert_int_equal(e->frame_size, 200);
	assert_int_equal(evil_tx_response(e, 6).status, NETIF_RSP_OKAY);
	for (unsigned i = 0; i < 18; i++)
		evil_tx(e, 0, 0, 0, i < 17 ? NETTXF_more_data : 0);
	expect_drop(r, FROM_GUEST_RUNT);
	evil_tx(e, 0, 0, 13, 0);
	expect_drop(r, FROM_GUEST_RUNT);
}

static void sizes_that_lie(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	evil_tx(e, 0, 0, 100, NETTXF_more_data);
	evil_tx(e, 1, 0, 101, 0);
	expect_fatal(r, FROM_GUEST_SIZE_MISMATCH);
	evil_tx(e, 0, 0, 65535, 0);
	expect_fatal(r, FROM_GUEST_CROSSES_PAGE);
	evil_tx(e, 0, 4000, 97, 0);
	expect_fatal(r, FROM_GUEST_CROSSES_PAGE);
	evil_tx(e, 0, 65535, 1, 0);
	expect_fatal(r, FROM_GUEST_CROSSES_PAGE);
	evil_tx(e, 0, 0, 65535, NETTXF_more_data);
	evil_tx(e, 1, 65535, 65535, 0);
	expect_fatal(r, FROM_GUEST_CROSSES_PAGE);
	evil_tx(e, 0, 0, 65535, NETTXF_more_data); /* XSA-432, turned round */
	evil_tx(e, 1, 0, 1, 0);
	expect_fatal(r, FROM_GUEST_CROSSES_PAGE);
}

static void extras_that_lie(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	for (uint8_t type = 0; type < 8; type += 7) {
		const union from_guest_slot slot = { .extra = { .type = type } };

		evil_tx(e, 0, 0, 60, NETTXF_extra_info);
		evil_tx_raw(e, &slot.req);
		expect_fatal(r, FROM_GUEST_BAD_EXTRA);
	}
	evil_tx(e, 0, 0, 60, NETTXF_extra_info);
	for (unsigned i = 0; i < 3; i++)
		evil_tx_gso(e, XEN_NETIF_GSO_TYPE_TCPV4, 1448, XEN_NETIF_EXTRA_FLAG_MORE);
	expect_fatal(r, FROM_GUEST_BAD_EXTRA);
	evil_tx(e, 0, 0, 60, NETTXF_extra_info);
	evil_tx_gso(e, XEN_NETIF_GSO_TYPE_TCPV4, 0, 0);
	expect_fatal(r, FROM_GUEST_BAD_GSO);
	evil_tx(e, 0, 0, 60, NETTXF_extra_info);
	evil_tx_gso(e, 77, 1448, 0);
	expect_fatal(r, FROM_GUEST_BAD_GSO);
}

/* ---- grants ---- */

static void tx_gref(struct evil *e, grant_ref_t gref)
{
	const netif_tx_request_t req = { .gref = gref, .size = 60, .id = (uint16_t)e->tx_prod };

	evil_tx_raw(e, &req);
}

static void grefs_that_are_not(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	struct netfront_queue *good = &r->good.nf.queue[0];
	grant_ref_t for_other;
	void *page = xengntshr_share_pages(e->gntshr, GOOD_DOMID, 1, &for_other, 1);

	assert_non_null(page);
	tx_gref(e, 0);
	expect_drop(r, FROM_GUEST_GRANT_FAILED);
	tx_gref(e, ~0u);
	expect_drop(r, FROM_GUEST_GRANT_FAILED);
	tx_gref(e, 20000);
	expect_drop(r, FROM_GUEST_GRANT_FAILED);
	tx_gref(e, for_other); /* granted, to another than the backend */
	expect_drop(r, FROM_GUEST_GRANT_FAILED);
	/* Another guest's number means this guest's own table. */
	if (good->tx_page[0].gref > e->rx_gref[EVIL_PAGES - 1]) {
		tx_gref(e, good->tx_page[0].gref);
		expect_drop(r, FROM_GUEST_GRANT_FAILED);
	}
	/* One bad among good ones: the frame goes, whole. */
	evil_tx(e, 0, 0, 200, NETTXF_more_data);
	e->tx->ring[e->tx_prod % RING_SLOTS].req =
	    (netif_tx_request_t){ .gref = 20000, .size = 60, .flags = NETTXF_more_data };
	e->tx_prod++;
	evil_tx(e, 1, 0, 60, 0);
	expect_drop(r, FROM_GUEST_GRANT_FAILED);
	xengntshr_unshare(e->gntshr, page, 1);
	send_ok(r);
}

static void revoke_now(struct rig *r, xengnttab_grant_copy_segment_t *ops, uint32_t n)
{
	(void)n;
	if (ops[0].source.foreign.domid != EVIL_DOMID || !r->evil.tx_memory)
		return;
	xengntshr_unshare(r->evil.gntshr, r->evil.tx_memory, EVIL_PAGES);
	r->evil.tx_memory = NULL;
}

static void grants_revoked_on_the_way(void **state)
{
	struct rig *r = *state;

	r->before_copy = revoke_now;
	evil_tx(&r->evil, 0, 0, 60, 0);
	expect_drop(r, FROM_GUEST_GRANT_FAILED);
	r->before_copy = NULL;
	evil_reconnect(r);
	send_ok(r);
}

static void rx_buffers_not_writable(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	for (uint32_t i = 0; i < 40; i++) {
		netif_rx_request_t req = { .id = (uint16_t)i,
					   .gref = i % 2 ? e->tx_gref[i] : 25000 + i };

		e->rx->ring[e->rx_prod++ % RING_SLOTS].req = req;
	}
	evil_publish(e);
	give_evil(r, 40);
	rig_turns_until(r, 100, e->rx->rsp_prod == 40);
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(evil_rx_response(e, i).status, NETIF_RSP_ERROR);
		assert_int_equal(evil_rx_response(e, i).id, i);
	}
	assert_int_equal(rig_evil_counters(r).to_guest_drops[TO_GUEST_GRANT_FAILED], 40);
	for (size_t i = 0; i < (size_t)EVIL_PAGES * XEN_PAGE; i++)
		assert_int_equal(e->tx_memory[i], 0);
	rig_expect_alive(r);
}

/* ---- offloads ---- */

static void build(struct frame *f, int ip_version, uint8_t protocol, uint32_t payload)
{
	frame_build(f, &(struct frame_spec){
			   .ip_version = ip_version, .protocol = protocol, .payload = payload });
}

static void offloads_that_lie(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	struct frame f;

	build(&f, 4, IPPROTO_UDP, 3000);
	evil_tx_frame(e, f.bytes, f.size, 64, NETTXF_csum_blank, XEN_NETIF_GSO_TYPE_TCPV4, 1448);
	expect_drop(r, FROM_GUEST_BAD_OFFLOAD);
	build(&f, 6, IPPROTO_TCP, 3000);
	evil_tx_frame(e, f.bytes, f.size, 64, NETTXF_csum_blank, XEN_NETIF_GSO_TYPE_TCPV4, 1448);
	expect_drop(r, FROM_GUEST_BAD_OFFLOAD);
	build(&f, 0, 0, 46); /* no IP at all */
	evil_tx_frame(e, f.bytes, f.size, f.size, NETTXF_csum_blank, 0, 0);
	expect_drop(r, FROM_GUEST_BAD_OFFLOAD);
	frame_build(
	    &f, &(struct frame_spec){
		    .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 100, .fragment = 0x2000 });
	evil_tx_frame(e, f.bytes, f.size, f.size, NETTXF_csum_blank, 0, 0);
	expect_drop(r, FROM_GUEST_BAD_OFFLOAD);
	build(&f, 4, IPPROTO_TCP, 100);
	evil_tx_frame(e, f.bytes, 14, 14, NETTXF_csum_blank, 0, 0); /* cut after Ethernet */
	expect_drop(r, FROM_GUEST_BAD_OFFLOAD);
	evil_tx_frame(e, f.bytes, f.transport_offset + 17, f.transport_offset + 17,
		      NETTXF_csum_blank, 0, 0); /* cut within the checksum */
	expect_drop(r, FROM_GUEST_BAD_OFFLOAD);
}

/* Cutting frames up is the kernel's work while we hand them over: none may take long, and
 * none of another guest's may wait for more than a few. */
static void segments_of_one_byte(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	struct frame f;
	uint32_t before;

	build(&f, 4, IPPROTO_TCP, 60000);
	evil_tx_frame(e, f.bytes, f.size, f.header_size, NETTXF_csum_blank,
		      XEN_NETIF_GSO_TYPE_TCPV4, 1);
	expect_drop(r, FROM_GUEST_BAD_OFFLOAD);
	for (unsigned i = 0; i < 14; i++)
		evil_tx_frame(e, f.bytes, f.size, f.header_size, NETTXF_csum_blank,
			      XEN_NETIF_GSO_TYPE_TCPV4, 60);
	before = e->n_bridge;
	evil_publish(e);
	rig_turns_until(r, 10, e->n_bridge > before);
	assert_true(e->n_bridge - before <= 3);
	rig_turns_until(r, 10, e->n_bridge == before + 14);
	for (unsigned i = 0; i < 14; i++) /* an honest size goes in one batch */
		evil_tx_frame(e, f.bytes, f.size, f.header_size, NETTXF_csum_blank,
			      XEN_NETIF_GSO_TYPE_TCPV4, 1448);
	before = e->n_bridge;
	evil_publish(e);
	rig_turns_until(r, 10, e->n_bridge > before);
	assert_int_equal(e->n_bridge, before + 14);
	rig_expect_alive(r);
}

/* The frame in three slots, the second of 'middle' bytes. */
static void send_in_three(struct evil *e, const struct frame *f, uint32_t first, uint32_t middle)
{
	evil_tx(e, 0, 100, (uint16_t)f->size,
		NETTXF_csum_blank | NETTXF_extra_info | NETTXF_more_data);
	evil_tx_gso(e, f->spec.ip_version == 4 ? XEN_NETIF_GSO_TYPE_TCPV4 : XEN_NETIF_GSO_TYPE_TCPV6,
		    500, 0);
	evil_tx(e, 1, 7, (uint16_t)middle, NETTXF_more_data);
	evil_tx(e, 2, 0, (uint16_t)(f->size - first - middle), 0);
	memcpy(e->tx_memory + 100, f->bytes, first);
	memcpy(e->tx_memory + XEN_PAGE + 7, f->bytes + first, middle);
	memcpy(e->tx_memory + 2 * XEN_PAGE, f->bytes + first + middle, f->size - first - middle);
}

/* XSA-423: whatever the slots, what goes on is linear and the same bytes. */
static void headers_split_over_slots(void **state)
{
	static const uint8_t chain[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
					 IPPROTO_FRAGMENT, IPPROTO_NONE };
	static const struct frame_spec specs[] = {
		{ .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 2000 },
		{ .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 2000, .chain = chain },
		{ .ip_version = 4,
		  .protocol = IPPROTO_TCP,
		  .payload = 2000,
		  .n_vlan_tags = 2,
		  .ip_options = 40,
		  .tcp_options = 40 },
	};
	static const uint32_t middles[] = { 1, 2, 5, 40 };
	struct rig *r = *state;
	struct evil *e = &r->evil;
	struct frame f;

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		frame_build(&f, &specs[i]);
		for (uint32_t first = 1; first <= f.header_size; first++) {
			uint32_t before = e->n_bridge;

			send_in_three(e, &f, first, middles[first % ARRAY_SIZE(middles)]);
			evil_publish(e);
			rig_turns_until(r, 10, e->n_bridge == before + 1);
			put_be16(f.bytes + f.csum_at, frame_pseudo_sum(&f));
			assert_int_equal(e->frame_size, f.size);
			assert_memory_equal(e->frame, f.bytes, f.size);
		}
	}
	rig_expect_alive(r);
}

/* Connects the guest anew, without these offered to it. */
static void withhold(struct rig *r, uint32_t features)
{
	r->control.config.withheld = features;
	evil_reconnect(r);
}

static void what_was_not_offered(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	struct frame f;
	uint32_t before;

	withhold(r, VIF_SG);
	build(&f, 4, IPPROTO_TCP, 3000);
	evil_tx_frame(e, f.bytes, f.size, f.size, NETTXF_csum_blank, XEN_NETIF_GSO_TYPE_TCPV4, 1448);
	expect_drop(r, FROM_GUEST_NOT_OFFERED);
	evil_tx_frame(e, f.bytes, f.size, 100, 0, 0, 0);
	expect_drop(r, FROM_GUEST_NOT_OFFERED);
	send_ok(r);
	withhold(r, VIF_GSO_TCPV4);
	evil_tx_frame(e, f.bytes, f.size, 100, NETTXF_csum_blank, XEN_NETIF_GSO_TYPE_TCPV4, 1448);
	expect_drop(r, FROM_GUEST_NOT_OFFERED);
	withhold(r, VIF_CSUM_V6);
	build(&f, 6, IPPROTO_TCP, 3000);
	evil_tx_frame(e, f.bytes, f.size, 100, NETTXF_csum_blank, XEN_NETIF_GSO_TYPE_TCPV6, 1448);
	expect_drop(r, FROM_GUEST_NOT_OFFERED);
	before = e->n_bridge;
	evil_tx_frame(e, f.bytes, f.size, f.size, NETTXF_csum_blank, 0, 0);
	evil_publish(e);
	rig_turns_until(r, 50, e->n_bridge == before + 1);
	assert_true(frame_checksum_ok(&f, e->frame));
	rig_expect_alive(r);
}

/* ---- who waits for whom ---- */

/* XSA-332: what a storm costs is one event a turn, and the other guest nothing. */
static void event_storm(void **state)
{
	struct rig *r = *state;
	uint64_t quiet = rig_good_carries(r, 500), stormy, begun;
	struct queue_counters before = rig_evil_counters(r), after;
	struct good *g = &r->good;

	g->goal += 500;
	begun = r->n_turns;
	stormy = rig_turns_until(r, 2 * quiet + 10, ({
					 for (int i = 0; i < 100; i++)
						 evil_notify(&r->evil);
					 g->next_bridge == g->goal && g->next_given == g->goal;
				 }));
	after = rig_evil_counters(r);
	assert_true(stormy <= quiet + 2);
	assert_true(after.from_guest_events - before.from_guest_events <= r->n_turns - begun + 1);
	assert_true(after.to_guest_events - before.to_guest_events <= r->n_turns - begun + 1);
	rig_expect_alive(r);
}

/* Full rings all the time: the other guest has its turn after each batch. */
static void tx_flood(void **state)
{
	struct rig *r = *state;
	uint64_t quiet = rig_good_carries(r, 500), busy;
	struct evil *e = &r->evil;
	struct good *g = &r->good;

	g->goal += 500;
	busy = rig_turns_until(r, 2 * quiet + 10, ({
				       while (e->tx_prod - e->tx->rsp_prod < RING_SLOTS)
					       evil_tx(e, 0, 0, 60, 0);
				       evil_publish(e);
				       g->next_bridge == g->goal && g->next_given == g->goal;
			       }));
	assert_true(busy <= quiet + 2);
	assert_true(e->n_bridge >= (busy - 2) * 64);
	rig_expect_alive(r);
}

/* XSA-392: never a buffer, one slot too few, one at a time; the rest waits in the netdev. */
static void rx_stalls(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	uint64_t quiet = rig_good_carries(r, 300);
	uint8_t frame[SIM_FRAME_MAX];
	uint32_t n = 0;

	sim_frame_make(frame, 5); /* 8994 bytes: three slots */
	while (sim_datapath_give(r->datapath, EVIL_DOMID, frame, sim_frame_size(5)))
		n++;
	assert_int_equal(n, GATE_BYTES / sim_frame_size(5));
	evil_publish(e);
	assert_true(rig_good_carries(r, 300) <= quiet + 2);
	assert_int_equal(e->rx->rsp_prod, 0);
	assert_false(sim_datapath_give(r->datapath, EVIL_DOMID, frame, sim_frame_size(5)));

	evil_rx(e, 2); /* one too few */
	evil_publish(e);
	assert_true(rig_good_carries(r, 300) <= quiet + 2);
	assert_int_equal(e->rx->rsp_prod, 0);
	assert_true(rig_evil_counters(r).to_guest_waits > 0);
	assert_true(rig_evil_counters(r).to_guest_waits < 10);

	for (uint32_t i = 3; i <= 30; i++) {
		evil_rx(e, 1);
		evil_publish(e);
		rig_turns(r, 2);
		assert_int_equal(e->rx->rsp_prod, i / 3 * 3);
	}
	evil_rx(e, 100);
	evil_publish(e);
	rig_turns(r, 10);
	rig_expect_alive(r);
}

/* One event channel both ways: a guest that never stops sending still receives. */
static void single_channel_busy_sender_receives(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	give_evil(r, 4);
	rig_turns(r, 4); /* they wait for buffers */
	for (unsigned i = 0; i < 12; i++) {
		while (e->tx_prod - e->tx->rsp_prod < RING_SLOTS)
			evil_tx(e, 0, 0, 60, 0);
		if (i == 4)
			evil_rx(e, 4);
		evil_publish(e);
		rig_turn(r);
	}
	assert_int_equal(e->rx->rsp_prod, 4);
	rig_expect_alive(r);
}

/* ---- lives and deaths ---- */

static void state_storm(void **state)
{
	struct rig *r = *state;
	uint64_t quiet = rig_good_carries(r, 300), stormy;
	struct good *g = &r->good;
	unsigned i = 0;

	r->ns_per_turn = NS_PER_MS;
	g->goal += 300;
	stormy = rig_turns_until(r, 2 * quiet + 10, ({
					 for (unsigned n = 0; n < 20; n++)
						 sim_frontend_put(EVIL_DOMID, 0, "state", "%u",
								  i++ % 12);
					 g->next_bridge == g->goal && g->next_given == g->goal;
				 }));
	assert_true(stormy <= quiet + 2);
	r->ns_per_turn = 100 * NS_PER_MS;
	sim_frontend_put(EVIL_DOMID, 0, "state", "no number");
	rig_expect_disabled(r, "");
	evil_reconnect(r);
	send_ok(r);
}

/* Up and down again and again: a bounded number of lines. */
static void reconnects_are_not_loud(void **state)
{
	struct rig *r = *state;
	uint32_t lines = r->n_log_lines;
	uint64_t begun_ns = r->now_ns;

	r->ns_per_turn = NS_PER_MS;
	for (unsigned i = 0; i < 60; i++) {
		evil_reconnect(r);
		if (i % 2)
			continue;
		r->evil.tx->req_prod = 1000;
		evil_notify(&r->evil);
		rig_turns_until(r, 2000, rig_evil_state() == XenbusStateClosed);
	}
	/* The bucket's burst, and what it gained in the time that went by. */
	assert_true(r->n_log_lines - lines <=
		    LOG_LIMIT_BURST + (r->now_ns - begun_ns) / LOG_LIMIT_EVERY_NS + 1);
	rig_expect_alive(r);
}

static void keys_that_are_nonsense(void **state)
{
	static const struct {
		const char *key, *value;
	} bad[] = {
		{ "tx-ring-ref", "-1" },
		{ "tx-ring-ref", "4294967296" },
		{ "rx-ring-ref", "" },
		{ "event-channel-tx", "0x10" },
		{ "event-channel-rx", "131072" },
		{ "event-channel-tx", "99999" },
		{ "tx-ring-ref", "12" },
		{ "rx-ring-ref", "4000000000" },
		{ "multi-queue-num-queues", "0" },
		{ "multi-queue-num-queues", "4294967295" },
		{ "feature-sg", "\x1b[2J" },
		{ "request-rx-copy", "0" },
		{ "multi-queue-num-queues", "17" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosed);
		rig_turns_until(r, 500, rig_evil_state() == XenbusStateClosed);
		sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateInitialising);
		rig_turns_until(r, 500, rig_evil_state() == XenbusStateInitWait);
		evil_share(&r->evil);
		sim_frontend_put(EVIL_DOMID, 0, bad[i].key, "%s", bad[i].value);
		sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateConnected);
		rig_expect_disabled(r, "");
		sim_frontend_put(EVIL_DOMID, 0, "multi-queue-num-queues", "1");
	}
	evil_reconnect(r);
	send_ok(r);
}

/* A second vif that names the first one's event channel, or its rings. */
static void channel_of_another_vif(void **state)
{
	struct rig *r = *state;
	static const char *const same[] = { "tx-ring-ref", "rx-ring-ref", "event-channel-tx",
					    "event-channel-rx" };
	const char *error;
	char path[64];

	sim_toolstack_attach(EVIL_DOMID, 1);
	sim_frontend_put(EVIL_DOMID, 1, "request-rx-copy", "1");
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		snprintf(path, sizeof(path), "/local/domain/1/device/vif/0/%s", same[i]);
		sim_frontend_put(EVIL_DOMID, 1, same[i], "%s", sim_store_get(path));
	}
	rig_turns_until(r, 100, sim_toolstack_hotplug(EVIL_DOMID, 1));
	sim_frontend_put(EVIL_DOMID, 1, "state", "%u", XenbusStateConnected);
	rig_turns_until(r, 500, atoi(sim_backend_get(EVIL_DOMID, 1, "state")) == XenbusStateClosed);
	error = sim_store_get("/local/domain/0/error/backend/vif/1/1/error");
	assert_non_null(error);
	assert_non_null(strstr(error, "event channel"));
	rig_expect_alive(r);
	send_ok(r);
	sim_toolstack_remove(EVIL_DOMID, 1);
	rig_turns_until(r, 500, !control_find(&r->control, (struct vif_id){ EVIL_DOMID, 1 }));
}

/* XSA-374: broken first, and the toolstack's detach crossing it at every distance. */
static void broken_then_detached(void **state)
{
	struct rig *r = *state;

	for (unsigned distance = 0; distance < 6; distance++) {
		r->evil.tx->req_prod = r->evil.tx->rsp_prod + 300;
		evil_notify(&r->evil);
		rig_turns(r, distance);
		sim_toolstack_detach(EVIL_DOMID, 0);
		rig_turns_until(r, 500, rig_evil_state() == XenbusStateClosed);
		sim_toolstack_remove(EVIL_DOMID, 0);
		rig_turns_until(r, 500, !rig_evil_vif(r));
		rig_good_carries(r, 30);
		sim_toolstack_attach(EVIL_DOMID, 0);
		rig_turns_until(r, 500, rig_evil_state() == XenbusStateInitWait);
		evil_share(&r->evil);
		sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateConnected);
		rig_turns_until(r, 500, rig_evil_state() == XenbusStateConnected);
		send_ok(r);
	}
}

/* And the other way round: closing already when it breaks. */
static void detached_then_broken(void **state)
{
	struct rig *r = *state;

	for (unsigned distance = 0; distance < 4; distance++) {
		put_fragments(&r->evil, 17);
		evil_publish(&r->evil);
		give_evil(r, 2);
		sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosing);
		rig_turns(r, distance);
		r->evil.tx->req_prod = 12345;
		r->evil.rx->req_prod = 54321;
		evil_notify(&r->evil);
		evil_reconnect(r);
		send_ok(r);
		rig_expect_alive(r);
	}
}

static void domain_destroyed_under_traffic(void **state)
{
	struct rig *r = *state;
	struct hosted_stats stats[8];
	int n;

	put_fragments(&r->evil, 18);
	evil_rx(&r->evil, 10);
	evil_publish(&r->evil);
	give_evil(r, 20);
	assert_int_equal(hosted_domain_destroy(EVIL_DOMID), 0);
	rig_good_carries(r, 100);
	sim_toolstack_remove(EVIL_DOMID, 0);
	rig_turns_until(r, 500, !rig_evil_vif(r));
	n = hosted_stats(stats, ARRAY_SIZE(stats));
	for (int i = 0; i < n; i++)
		if (stats[i].domid == EVIL_DOMID)
			assert_int_equal(stats[i].maps_suffered, 0);
	rig_good_carries(r, 100);
}

/* The datapath dies again and again under a guest that breaks the rules in between. */
static void datapath_dies(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	r->ns_per_turn = 5 * NS_PER_S; /* deaths so far apart that they are not too many */
	for (unsigned i = 0; i < 16; i++) {
		put_fragments(e, 3);
		evil_rx(e, 2);
		evil_publish(e);
		give_evil(r, 2);
		rig_turns(r, i % 4);
		sim_datapath_kill(r->datapath);
		switch (i / 4) {
		case 1: /* requests taken back */
			e->tx->req_prod = e->tx->rsp_prod - 1;
			break;
		case 2: /* a response index we never wrote */
			e->rx->rsp_prod += 1000;
			break;
		case 3:
			memset(e->tx, 0xa5, XEN_PAGE);
			break;
		}
		rig_turns(r, 8);
		rig_good_carries(r, 20);
		if (i / 4 == 0) {
			assert_int_equal(rig_evil_state(), XenbusStateConnected);
			assert_int_equal(e->tx->rsp_prod, e->tx_prod);
		} else {
			rig_expect_disabled(r, "indices");
			evil_reconnect(r);
		}
	}
	send_ok(r);
}

/* It published its answers and died before it could say so: its successor must. */
static void datapath_dies_before_the_event(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	r->ns_per_turn = 10 * NS_PER_S;
	evil_rx(e, 1);
	e->tx->rsp_event = 1;
	e->rx->rsp_event = 1;
	evil_tx(e, 0, 0, 60, 0);
	evil_publish(e);
	give_evil(r, 1);
	evil_events(e);
	r->lose_events = true;
	rig_turns_until(r, 20, e->tx->rsp_prod == 1 && e->rx->rsp_prod == 1);
	assert_int_equal(evil_events(e), 0);
	sim_datapath_kill(r->datapath);
	r->lose_events = false;
	rig_turns(r, 6);
	assert_int_equal(evil_events(e), e->split_events ? 2 : 1);
	rig_expect_alive(r);
}

/* It noted an answer, copied and all, and died before the guest could see it. */
static void datapath_dies_before_publishing(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	const netif_rx_response_t noted = { .id = 0, .status = 60 };
	struct ring_journal *journal;

	r->ns_per_turn = 10 * NS_PER_S;
	e->rx->rsp_event = 1;
	evil_rx(e, 3);
	evil_publish(e);
	rig_turns(r, 3);
	evil_events(e);
	sim_datapath_kill(r->datapath);
	journal = &r->control.workers.shared->queue[rig_evil_vif(r)->queue[0].slot].to_guest;
	memcpy(journal->response, &noted, sizeof(noted));
	journal->rsp_prod++;
	rig_turns(r, 6);
	assert_int_equal(e->rx->rsp_prod, 1);
	assert_int_equal(evil_rx_response(e, 0).status, 60);
	assert_true(evil_events(e) >= 1);
	give_evil(r, 1);
	rig_turns(r, 3);
	assert_int_equal(e->rx->rsp_prod, 2);
	assert_int_equal(evil_rx_response(e, 1).id, 1);
	rig_expect_alive(r);
}

#define CASE(name)	  cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
#define CASE_SINGLE(name) cmocka_unit_test_setup_teardown(name, start_single, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(tx_producer_overruns),
		CASE(tx_producer_goes_back),
		CASE(rx_producer_overruns),
		CASE(responses_overwritten),
		CASE(slots_rewritten),
		CASE(pages_scribbled_over),
		CASE(partial_frames),
		CASE(many_slots),
		CASE(zero_length_fragments),
		CASE(sizes_that_lie),
		CASE(extras_that_lie),
		CASE(grefs_that_are_not),
		CASE(grants_revoked_on_the_way),
		CASE(rx_buffers_not_writable),
		CASE(offloads_that_lie),
		CASE(segments_of_one_byte),
		CASE(headers_split_over_slots),
		CASE(what_was_not_offered),
		CASE(event_storm),
		CASE_SINGLE(event_storm),
		CASE(tx_flood),
		CASE(rx_stalls),
		CASE_SINGLE(single_channel_busy_sender_receives),
		CASE(state_storm),
		CASE(reconnects_are_not_loud),
		CASE(keys_that_are_nonsense),
		CASE(channel_of_another_vif),
		CASE(broken_then_detached),
		CASE(detached_then_broken),
		CASE(domain_destroyed_under_traffic),
		CASE(datapath_dies),
		CASE(datapath_dies_before_the_event),
		CASE_SINGLE(datapath_dies_before_the_event),
		CASE(datapath_dies_before_publishing),
	};

	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
