/* SPDX-License-Identifier: MIT */
/*
 * Guests whose buffers are posted to a NIC, and who do what they like with them. The device
 * (tests/sim/sim_nic.c) writes to a page only while it may, and says when it was told to write
 * to another: no guest brings that about. rig.c asserts that no page it may write to is
 * unmapped.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "libvif/hosted/hosted.h"
#include "libvif/offload.h"
#include "tests/hostile/rig.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_store.h"
#include "tests/unit/frames.h"

#define OK	 XEN_NETIF_CTRL_STATUS_SUCCESS
#define HEADROOM 256

/* What the wire sends the guest, and how much of that it has got. */
struct flow {
	uint32_t n_given, next;
	RING_IDX seen;	   /* responses looked at */
	uint32_t n_errors; /* of them */
	uint32_t n_headroom;
	bool may_lose;
};

static struct flow flow;

static int start_with(void **state, uint32_t n_queues)
{
	*state = rig_start_posting(n_queues, 1);
	flow = (struct flow){ .may_lose = false };
	srandom(3);
	return 0;
}

static int start(void **state)
{
	return start_with(state, 1);
}

static int start_two_queues(void **state)
{
	return start_with(state, 2);
}

static int end(void **state)
{
	struct rig *r = *state;

	assert_int_equal(sim_nic_n_faults(), 0);
	r->lazy_nic = false;
	sim_nic_be_lazy(false);
	sim_nic_limit_pages(NIC_PAGES);
	rig_end(r);
	return 0;
}

static bool is_placed(struct rig *r)
{
	return rig_evil_vif(r)->placement.state == PLACED_NIC;
}

/* ---- its side of the ring ---- */

static uint8_t *page_of(struct rig *r, RING_IDX i)
{
	return r->evil.rx_memory + (size_t)(i % EVIL_PAGES) * XEN_PAGE;
}

/* Posts n more, of which no two are the same page. */
static void offer(struct rig *r, uint32_t n)
{
	evil_rx(&r->evil, MIN(n, EVIL_PAGES - (r->evil.rx_prod - flow.seen)));
	evil_publish(&r->evil);
}

/* Looks at the responses: each in its slot, each frame whole, once, in order. */
static void look(struct rig *r)
{
	RING_IDX end = __atomic_load_n(&r->evil.rx->rsp_prod, __ATOMIC_ACQUIRE);

	assert_true(end - flow.seen <= r->evil.rx_prod - flow.seen);
	while (flow.seen != end) {
		RING_IDX i = flow.seen++;
		netif_rx_response_t rsp = evil_rx_response(&r->evil, i);
		uint32_t number;

		assert_int_equal(rsp.id, (uint16_t)i);
		flow.n_errors += rsp.status < 0;
		if (rsp.flags & NETRXF_extra_info) /* only headroom has one here */
			flow.seen++;
		assert_int_equal(rsp.offset, rsp.flags & NETRXF_extra_info ? HEADROOM : 0);
		flow.n_headroom += rsp.offset > 0;
		if (rsp.status < 0)
			continue;
		number = sim_frame_check(page_of(r, i) + rsp.offset, (size_t)rsp.status);
		assert_true(flow.may_lose ? number >= flow.next : number == flow.next);
		flow.next = number + 1;
	}
}

static bool give(struct rig *r)
{
	uint8_t frame[SIM_FRAME_MAX];

	sim_frame_make(frame, flow.n_given);
	if (!sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, sim_frame_size(flow.n_given)))
		return false;
	flow.n_given++;
	return true;
}

/* All that was given arrives. */
static void arrive(struct rig *r)
{
	for (unsigned i = 0; flow.next != flow.n_given; i++) {
		assert_true(i < 500);
		offer(r, EVIL_PAGES);
		rig_turn(r);
		look(r);
	}
}

/* All its buffers are static grants, and the device's. */
static void start_posting(struct rig *r)
{
	rig_turns_until(r, 100, is_placed(r));
	assert_int_equal(evil_add(r, r->evil.rx_gref, EVIL_PAGES, 0).status, OK);
	offer(r, 32);
	assert_true(give(r));
	arrive(r);
	rig_turns_until(r, 10, sim_nic_n_posted() >= 32);
}

static uint64_t n_written(struct rig *r)
{
	return rig_evil_counters(r).to_guest_nic_written;
}

/* As it was: what comes is written by the device. */
static void expect_posting(struct rig *r)
{
	uint64_t before = n_written(r);

	for (unsigned i = 0; n_written(r) < before + 20; i++) {
		assert_true(i < 200);
		(void)!give(r);
		offer(r, 8);
		rig_turn(r);
		look(r);
	}
	arrive(r);
}

static void expect_not_posting(struct rig *r)
{
	uint64_t before;

	rig_turns(r, 5);
	before = n_written(r);
	for (unsigned i = 0; i < 20; i++) {
		assert_true(give(r));
		offer(r, 8);
		rig_turn(r);
		look(r);
	}
	arrive(r);
	assert_int_equal(n_written(r), before);
}

/* ---- references ---- */

static void put_request(struct rig *r, grant_ref_t gref)
{
	const netif_rx_request_t req = { .id = (uint16_t)r->evil.rx_prod, .gref = gref };

	r->evil.rx->ring[r->evil.rx_prod++ % RING_SLOTS].req = req;
}

static bool is_untouched(const uint8_t *page)
{
	for (uint32_t i = 0; i < XEN_PAGE; i++)
		if (page[i] != 0x77)
			return false;
	return true;
}

/* Nobody's, a page it lets us only read, one it says is only to be read. */
static void references_it_has_no_right_to(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	const grant_ref_t grefs[] = { 0x7ffffff0, UINT32_MAX, e->tx_gref[3], e->tx_gref[4] };

	assert_int_equal(evil_add(r, e->tx_gref + 4, 1, XEN_NETIF_CTRLF_GREF_readonly).status, OK);
	start_posting(r);
	memset(e->tx_memory, 0x77, EVIL_PAGES * XEN_PAGE);
	for (uint32_t round = 0; round < 50; round++) {
		while (flow.seen != e->rx_prod) {
			assert_true(give(r));
			rig_turn(r);
			look(r);
		}
		for (uint32_t i = 0; i < ARRAY_SIZE(grefs); i++)
			put_request(r, grefs[i]);
		evil_publish(e);
		for (uint32_t i = 0; i < ARRAY_SIZE(grefs); i++)
			assert_true(give(r));
		rig_turns_until(r, 10, e->rx->rsp_prod == e->rx_prod);
		look(r);
		assert_int_equal(flow.n_errors, (round + 1) * ARRAY_SIZE(grefs));
		flow.next = flow.n_given;
		offer(r, 1 + round % 20);
		rig_good_carries(r, 10);
	}
	assert_true(is_untouched(e->tx_memory + 3 * XEN_PAGE));
	assert_true(is_untouched(e->tx_memory + 4 * XEN_PAGE));
	expect_posting(r);
	rig_expect_alive(r);
}

/* What it writes to a slot after it was read changes nothing. */
static void slots_changed_after_they_were_read(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	start_posting(r);
	for (unsigned round = 0; round < 100; round++) {
		offer(r, 20);
		rig_turns(r, 1);
		for (RING_IDX i = flow.seen; i != e->rx_prod; i++)
			e->rx->ring[i % RING_SLOTS].req = (netif_rx_request_t){
				.id = 0xbeef,
				.gref = round % 2 ? 0x7ffffff0 : e->rx_gref[random() % EVIL_PAGES]
			};
		for (unsigned i = 0; i < 10; i++)
			(void)!give(r);
		rig_turns(r, 2);
		look(r); /* ids and pages are those it posted */
	}
	rig_expect_alive(r);
}

/* ---- static grants come and go ---- */

/* An ADD or DEL of some of them, whatever is posted; one at a time. */
static void change_grants(struct rig *r)
{
	struct evil *e = &r->evil;
	static bool mapped[4] = { true, true, true, true };
	static RING_IDX asked;
	unsigned part = (unsigned)random() % 4;

	if (flow.n_given == 1)
		asked = 0;
	if (e->ctrl->rsp_prod != e->ctrl_prod)
		return;
	if (asked == e->ctrl_prod) {
		assert_int_equal(evil_ctrl_response(e, asked - 1).status, OK);
	} else {
		memset(mapped, true, sizeof(mapped));
	}
	evil_set_list(r, e->rx_gref + part * EVIL_PAGES / 4, EVIL_PAGES / 4, 0);
	evil_ctrl_put(e,
		      mapped[part] ? XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING
				   : XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING,
		      0, e->ctrl_gref[0], EVIL_PAGES / 4);
	evil_ctrl_publish(e);
	mapped[part] = !mapped[part];
	asked = e->ctrl_prod;
}

static void step_flow(struct rig *r)
{
	for (unsigned n = (unsigned)random() % 24; n; n--)
		(void)!give(r);
	if (random() % 3)
		offer(r, (uint32_t)random() % 40);
	rig_turn(r);
	look(r);
}

static void grants_go_while_they_are_posted(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	start_posting(r);
	r->lazy_nic = true;
	sim_nic_be_lazy(true);
	for (unsigned i = 0; i < 3000; i++) {
		step_flow(r);
		if (random() % 20 == 0)
			change_grants(r);
	}
	arrive(r);
	assert_int_equal(flow.n_errors, 0);
	n = rig_evil_counters(r);
	assert_true(n.to_guest_nic_written > 1000);
	assert_true(n.to_guest_grant_ops > 500); /* of slots whose page was not mapped */
	assert_true(n.ctrl_requests > 60);
	rig_expect_alive(r);
}

/* Of the other queue: nothing to do with what is posted. */
static void grants_of_another_queue(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	start_posting(r);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t before = n_written(r);

		evil_set_list(r, e->tx_gref, EVIL_PAGES, XEN_NETIF_CTRLF_GREF_readonly);
		assert_int_equal(evil_ask(r,
					  i % 2 ? XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING
						: XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING,
					  1, e->ctrl_gref[0], EVIL_PAGES)
				     .status,
				 OK);
		offer(r, 40);
		for (unsigned k = 0; k < 10; k++)
			assert_true(give(r));
		arrive(r);
		assert_int_equal(n_written(r), before + 10);
	}
	rig_expect_alive(r);
}

static void taken_back_while_mapped(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	RING_IDX before;

	start_posting(r);
	offer(r, EVIL_PAGES);
	rig_turns(r, 2);
	before = e->rx->rsp_prod;
	hosted_set_domid(EVIL_DOMID);
	xengntshr_unshare(e->gntshr, e->rx_memory, EVIL_PAGES);
	for (unsigned i = 0; i < 40; i++)
		(void)!give(r);
	rig_turns_until(r, 50, e->rx->rsp_prod - before >= 40);
	e->rx_memory = xengntshr_share_pages(e->gntshr, 0, EVIL_PAGES, e->rx_gref, true);
	assert_non_null(e->rx_memory);
	rig_expect_alive(r);
}

/* ---- ends ---- */

static uint32_t n_mapped(void)
{
	struct hosted_stats stats[8];
	int n = hosted_stats(stats, ARRAY_SIZE(stats));

	for (int i = 0; i < n; i++)
		if (stats[i].domid == EVIL_DOMID)
			return stats[i].maps_suffered;
	return 0;
}

/* Frames wait at the device, buffers are with it, and it is slow. */
static void make_busy(struct rig *r)
{
	sim_nic_be_lazy(true);
	offer(r, 40);
	rig_turns(r, 2);
	for (unsigned i = 0; i < 30; i++)
		assert_true(give(r));
	sim_nic_run(r->datapath, 7);
}

static void closed_while_posted(void **state)
{
	struct rig *r = *state;

	for (unsigned round = 0; round < 10; round++) {
		if (round)
			evil_reconnect(r);
		flow = (struct flow){ .may_lose = true, .n_given = flow.n_given };
		flow.next = flow.n_given;
		start_posting(r);
		make_busy(r);
		rig_turns(r, round % 3);
		sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosing);
		rig_turns_until(r, 200, rig_evil_state() != XenbusStateConnected);
		rig_turns_until(r, 200, n_mapped() == 0);
		sim_nic_run(r->datapath, 100);
		sim_nic_be_lazy(false);
		rig_good_carries(r, 10);
	}
}

static void dead_while_posted(void **state)
{
	struct rig *r = *state;

	start_posting(r);
	make_busy(r);
	assert_int_equal(hosted_domain_destroy(EVIL_DOMID), 0);
	sim_nic_run(r->datapath, 5);
	sim_toolstack_remove(EVIL_DOMID, 0);
	rig_turns_until(r, 200, !rig_evil_vif(r));
	sim_nic_run(r->datapath, 100);
	rig_turns(r, 20);
	assert_int_equal(n_mapped(), 0);
	sim_nic_be_lazy(false);
	rig_good_carries(r, 30);
}

/* By the other ring, while the device has filled some: the queue is stopped at once, nothing is
 * written any more, to ring or page. */
static void impossible_indices_while_posted(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	uint8_t ring[XEN_PAGE];

	start_posting(r);
	make_busy(r);
	memcpy(ring, e->rx, sizeof(ring));
	__atomic_store_n(&e->tx->req_prod, e->tx_prod + RING_SLOTS + 1, __ATOMIC_RELEASE);
	evil_notify(e);
	rig_turn(r);
	memset(e->rx_memory, 0x77, EVIL_PAGES * XEN_PAGE);
	sim_nic_run(r->datapath, 100);
	rig_turns(r, 3);
	for (uint32_t i = 0; i < EVIL_PAGES; i++)
		assert_true(is_untouched(page_of(r, i)));
	assert_memory_equal(ring, e->rx, sizeof(ring));
	sim_nic_be_lazy(false);
	rig_expect_disabled(r, "impossible");
}

/* Its own producer behind what was posted: that was consumed. */
static void a_producer_that_goes_back(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	start_posting(r);
	__atomic_store_n(&e->rx->req_prod, e->rx->rsp_prod, __ATOMIC_RELEASE);
	evil_notify(e);
	rig_expect_disabled(r, "impossible");
}

static void killed_while_posted(void **state)
{
	struct rig *r = *state;

	r->lazy_nic = true;
	flow.may_lose = true;
	start_posting(r);
	for (unsigned round = 0; round < 25; round++) {
		uint64_t before = n_written(r);

		sim_nic_be_lazy(true);
		for (unsigned i = 0; i < 20 && n_written(r) < before + 10 * round; i++)
			step_flow(r);
		r->now_ns += 40 * NS_PER_S; /* else too many deaths too soon */
		sim_datapath_kill(r->datapath);
		look(r);
		rig_turns_until(r, 3000, is_placed(r));
		flow.next = flow.n_given; /* what was under way may be lost */
		sim_nic_be_lazy(false);
		r->good.may_lose = true;
		rig_good_forgets(r);
		for (unsigned i = 0; n_written(r) < before + 20; i++) {
			assert_true(i < 300);
			step_flow(r);
		}
		rig_turns(r, 10);
		look(r);
	}
	r->good.may_lose = false;
	rig_good_carries(r, 30);
}

/* ---- guests that are slow ---- */

static void few_buffers_are_enough(void **state)
{
	struct rig *r = *state;

	start_posting(r);
	r->ns_per_turn = NS_PER_MS;
	for (unsigned i = 0; i < 300; i++) {
		(void)!give(r);
		rig_turn(r);
		look(r);
		offer(r, 1);
	}
	arrive(r);
	assert_true(n_written(r) > 250);
	assert_int_equal(flow.n_errors, 0);
	rig_expect_alive(r);
}

/* It gives a buffer now and then: what waits at the device is taken back to grow old. */
static void a_trickle_of_buffers(void **state)
{
	struct rig *r = *state;

	start_posting(r);
	while (give(r))
		;
	for (unsigned i = 0; i < 400; i++) {
		(void)!give(r);
		rig_turn(r);
		look(r);
		if (i % 20 == 0)
			offer(r, 1);
	}
	assert_true(rig_evil_counters(r).to_guest_waits > 0);
	arrive(r);
	expect_posting(r);
	assert_int_equal(flow.n_errors, 0);
	rig_expect_alive(r);
}

/* Its frames are dropped and its carrier goes, as on the bridge; and back. */
static void no_buffer_for_a_minute(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	start_posting(r);
	r->ns_per_turn = 100 * NS_PER_MS;
	while (sim_nic_n_posted())
		if (!give(r))
			rig_turn(r);
	while (give(r))
		;
	rig_turns_until(r, 800, rig_evil_counters(r).to_guest_stalls == 1);
	rig_turns_until(r, 100, !sim_carrier(EVIL_DOMID));
	look(r);
	flow.may_lose = true;
	offer(r, EVIL_PAGES);
	rig_turns_until(r, 100, sim_carrier(EVIL_DOMID));
	rig_turns_until(r, 100, is_placed(r));
	look(r);
	flow.next = flow.n_given;
	expect_posting(r);
	n = rig_evil_counters(r);
	assert_true(n.to_guest_drops[TO_GUEST_STALLED] > 10);
	rig_expect_alive(r);
}

/* ---- a device that is not at its best ---- */

/* It fills nothing any more: after a while it is not asked to. */
static void a_device_that_is_stuck(void **state)
{
	struct rig *r = *state;

	start_posting(r);
	sim_nic_be_lazy(true);
	offer(r, 20);
	while (give(r))
		;
	r->ns_per_turn = 100 * NS_PER_MS;
	arrive(r);
	sim_nic_be_lazy(false);
	expect_not_posting(r);
	assert_int_equal(flow.n_errors, 0);
	rig_expect_alive(r);
}

/* No room for all pages: some are ours, or nothing is posted. */
static void a_device_with_few_pages(void **state)
{
	struct rig *r = *state;

	sim_nic_limit_pages(40);
	start_posting(r);
	expect_posting(r);
	assert_int_equal(flow.n_errors, 0);
	rig_expect_alive(r);
}

static void a_device_without_pages(void **state)
{
	struct rig *r = *state;

	sim_nic_limit_pages(0);
	rig_turns_until(r, 100, is_placed(r));
	assert_int_equal(evil_add(r, r->evil.rx_gref, EVIL_PAGES, 0).status, OK);
	offer(r, 32);
	expect_not_posting(r);
	rig_expect_alive(r);
}

/* ---- guests that want more than a page's worth ---- */

static void more_than_a_page(void **state)
{
	struct rig *r = *state;
	static uint8_t frame[SIM_FRAME_MAX];
	uint64_t before;

	start_posting(r);
	offer(r, 30);
	rig_turns(r, 2);
	before = rig_evil_counters(r).to_guest_drops[TO_GUEST_TOO_BIG];
	/* No port of the bridge would have sent it on. */
	assert_true(sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, 5000));
	rig_turns(r, 5);
	look(r);
	assert_int_equal(flow.n_errors, 1);
	assert_int_equal(rig_evil_counters(r).to_guest_drops[TO_GUEST_TOO_BIG], before + 1);
	expect_posting(r);

	/* Until the vif's MTU says so. */
	sim_netdev_link(EVIL_DOMID, 0)->mtu = 9000;
	sim_links_changed();
	rig_turns_until(r, 100, !is_placed(r));
	rig_turns_until(r, 100, is_placed(r));
	expect_not_posting(r);
	sim_frames_keep_mtu(false);
	for (unsigned i = 0; i < 10; i++) {
		RING_IDX rsp = r->evil.rx->rsp_prod;

		evil_rx(&r->evil, 3);
		evil_publish(&r->evil);
		assert_true(sim_nic_give(r->datapath, EVIL_DOMID, 0, frame, 9000));
		rig_turns_until(r, 10, r->evil.rx->rsp_prod == rsp + 3);
	}
	flow.seen = r->evil.rx->rsp_prod;
	sim_frames_keep_mtu(true);
	assert_int_equal(rig_evil_counters(r).to_guest_drops[TO_GUEST_TOO_BIG], before + 1);
	sim_netdev_link(EVIL_DOMID, 0)->mtu = 1500;
	sim_links_changed();
	rig_turns_until(r, 100, !is_placed(r));
	rig_turns_until(r, 100, is_placed(r));
	expect_posting(r);
}

/* Over the bridge, while its MTU was said to be less: to the device it is too much. */
static void more_than_a_page_by_the_bridge(void **state)
{
	struct rig *r = *state;
	static uint8_t frame[5000];
	RING_IDX before;

	start_posting(r);
	offer(r, 30);
	rig_turns(r, 2);
	before = r->evil.rx->rsp_prod;
	for (uint32_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)i;
	assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, frame, sizeof(frame)));
	rig_turns_until(r, 20, r->evil.rx->rsp_prod - before == 2);
	assert_int_equal(evil_rx_response(&r->evil, before).status, XEN_PAGE);
	assert_int_equal(evil_rx_response(&r->evil, before + 1).status, 5000 - XEN_PAGE);
	assert_memory_equal(page_of(r, before), frame, XEN_PAGE);
	assert_memory_equal(page_of(r, before + 1), frame + XEN_PAGE, 5000 - XEN_PAGE);
	flow.seen = r->evil.rx->rsp_prod;
	expect_not_posting(r);
	rig_expect_alive(r);
}

static void wish(const char *key, const char *value)
{
	sim_frontend_put(EVIL_DOMID, 0, key, "%s", value);
}

/* It asks for headroom while it has frames under way, and thinks better of it. */
static void headroom_at_any_time(void **state)
{
	struct rig *r = *state;
	uint64_t written;

	start_posting(r);
	r->lazy_nic = true;
	sim_nic_be_lazy(true);
	for (unsigned i = 0; i < 2000; i++) {
		if (i % 50 == 0)
			wish("xdp-headroom", i % 100 ? "256" : "0");
		step_flow(r);
	}
	arrive(r);
	expect_not_posting(r);
	written = n_written(r);
	assert_true(written > 500);
	assert_true(flow.n_headroom > 500);
	wish("xdp-headroom", "0");
	sim_nic_be_lazy(false);
	expect_posting(r);
	assert_int_equal(flow.n_errors, 0);
	rig_expect_alive(r);
}

static void hashes_at_any_time(void **state)
{
	struct rig *r = *state;

	start_posting(r);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(
		    evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, 1, 0, 0).status, OK);
		assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 9, 0, 0).status,
				 OK);
		rig_turns(r, 2);
		expect_not_posting(r);
		assert_int_equal(
		    evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, 0, 0, 0).status, OK);
		expect_posting(r);
	}
	rig_expect_alive(r);
}

/* ---- what comes over the bridge ---- */

static void groups_it_did_not_ask_for(void **state)
{
	struct rig *r = *state;
	static const uint8_t to[2][6] = { { 0x01, 0x00, 0x5e, 0x01, 0x02, 0x03 },
					  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	uint8_t frame[60] = { 0 };
	struct queue_counters before, after;

	wish("request-multicast-control", "1");
	start_posting(r);
	offer(r, EVIL_PAGES);
	rig_turns(r, 2);
	before = rig_evil_counters(r);
	for (unsigned i = 0; i < 10; i++) {
		memcpy(frame, to[i % 2], 6);
		assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, frame, sizeof(frame)));
	}
	rig_turns(r, 5);
	after = rig_evil_counters(r);
	assert_int_equal(after.to_guest_nic_injected - before.to_guest_nic_injected, 5);
	assert_int_equal(
	    after.to_guest_drops[TO_GUEST_FILTERED] - before.to_guest_drops[TO_GUEST_FILTERED], 5);
	flow.seen = r->evil.rx->rsp_prod;
	expect_posting(r);
}

/* The frames a receiver would have made of one, in order. */
struct segments {
	struct rig *rig;
	uint32_t n;
};

static void expect_segment(void *arg, const uint8_t *frame, uint32_t size)
{
	struct segments *s = arg;
	RING_IDX i = flow.seen + s->n++;
	netif_rx_response_t rsp = evil_rx_response(&s->rig->evil, i);

	assert_int_equal(rsp.status, size);
	assert_int_equal(rsp.flags, 0);
	assert_memory_equal(page_of(s->rig, i), frame, size);
}

static void inject_and_compare(struct rig *r, const struct frame *f,
			       const struct virtio_net_hdr *vnet)
{
	struct segments segments = { .rig = r };
	RING_IDX before;

	offer(r, EVIL_PAGES);
	rig_turns(r, 2);
	before = r->evil.rx->rsp_prod;
	assert_int_equal(before, flow.seen);
	assert_true(sim_datapath_give_offloaded(r->datapath, EVIL_DOMID, vnet, f->bytes, f->size));
	rig_turns(r, 10);
	assert_int_equal(frame_complete(f->bytes, f->size, vnet, expect_segment, &segments),
			 r->evil.rx->rsp_prod - before);
	flow.seen = r->evil.rx->rsp_prod;
}

/* Nothing is left for the guest to do, and all of it is counted. */
static void offloads_are_finished(void **state)
{
	const struct frame_spec udp = { .ip_version = 6, .protocol = IPPROTO_UDP, .payload = 700 };
	const struct frame_spec tcp = { .ip_version = 4,
					.protocol = IPPROTO_TCP,
					.payload = 40000 };
	struct virtio_net_hdr vnet = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };
	struct rig *r = *state;
	struct queue_counters before, after;
	static struct frame f;

	start_posting(r);
	before = rig_evil_counters(r);
	frame_build(&f, &udp);
	put_be16(f.bytes + f.csum_at, frame_pseudo_sum(&f));
	vnet.csum_start = (uint16_t)f.transport_offset;
	vnet.csum_offset = (uint16_t)(f.csum_at - f.transport_offset);
	inject_and_compare(r, &f, &vnet);
	after = rig_evil_counters(r);
	assert_int_equal(after.to_guest_summed_bytes - before.to_guest_summed_bytes, 708);

	before = after;
	frame_build(&f, &tcp);
	put_be16(f.bytes + f.csum_at, frame_pseudo_sum(&f));
	vnet = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					.gso_size = 1448,
					.hdr_len = (uint16_t)f.header_size,
					.csum_start = (uint16_t)f.transport_offset,
					.csum_offset = (uint16_t)(f.csum_at - f.transport_offset) };
	inject_and_compare(r, &f, &vnet);
	after = rig_evil_counters(r);
	assert_int_equal(after.to_guest_summed_bytes - before.to_guest_summed_bytes,
			 40000 + 28 * 20);
	assert_int_equal(after.to_guest_gso_cut - before.to_guest_gso_cut, 1);
	assert_int_equal(after.to_guest_nic_injected - before.to_guest_nic_injected, 28);
	assert_int_equal(after.to_guest_copied_bytes - before.to_guest_copied_bytes,
			 40000 + 28 * f.header_size);
	rig_expect_alive(r);
}

/* More by the bridge, cut and summed for it, than off the wire: it goes back to the cheaper way,
 * and comes when that has changed. */
static void a_neighbour_that_sends_most(void **state)
{
	const struct frame_spec tcp = { .ip_version = 4,
					.protocol = IPPROTO_TCP,
					.payload = 14480 };
	struct rig *r = *state;
	struct virtio_net_hdr vnet;
	static struct frame f;
	uint64_t before;

	start_posting(r);
	frame_build(&f, &tcp);
	put_be16(f.bytes + f.csum_at, frame_pseudo_sum(&f));
	vnet = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					.gso_size = 1448,
					.hdr_len = (uint16_t)f.header_size,
					.csum_start = (uint16_t)f.transport_offset,
					.csum_offset = (uint16_t)(f.csum_at - f.transport_offset) };
	for (unsigned i = 0; i < 150; i++) {
		(void)!sim_datapath_give_offloaded(r->datapath, EVIL_DOMID, &vnet, f.bytes, f.size);
		rig_turn(r);
		flow.seen = r->evil.rx->rsp_prod;
		offer(r, EVIL_PAGES);
	}
	rig_turns(r, 10);
	flow.seen = r->evil.rx->rsp_prod;
	offer(r, EVIL_PAGES);
	before = rig_evil_counters(r).to_guest_summed_bytes;
	assert_true(before > 500000);
	expect_not_posting(r);
	assert_true(sim_datapath_give_offloaded(r->datapath, EVIL_DOMID, &vnet, f.bytes, f.size));
	rig_turns(r, 5);
	flow.seen = r->evil.rx->rsp_prod;
	assert_int_equal(rig_evil_counters(r).to_guest_summed_bytes, before);
	rig_turns(r, 150);
	expect_posting(r);
	rig_expect_alive(r);
}

/* What came since 'first' is one sequence, without a gap or a repetition; flow.seen moves. */
static void check_sequence(struct rig *r, const struct frame *f, RING_IDX first)
{
	const uint8_t *sent = f->bytes + f->transport_offset + 4;

	for (; flow.seen != r->evil.rx->rsp_prod; flow.seen++) {
		netif_rx_response_t rsp = evil_rx_response(&r->evil, flow.seen);
		const uint8_t *got = page_of(r, flow.seen) + f->transport_offset + 4;
		uint32_t from = (uint32_t)get_be16(sent) << 16 | get_be16(sent + 2);
		uint32_t at = (uint32_t)get_be16(got) << 16 | get_be16(got + 2);

		assert_true(rsp.status > 0);
		assert_int_equal(rsp.flags & NETRXF_extra_info, 0);
		assert_int_equal(at - from, (flow.seen - first) * 500);
	}
}

/* A frame that is cut is half through when its guest has no buffers, and all is recalled. */
static void recalled_in_the_middle_of_a_frame(void **state)
{
	const struct frame_spec tcp = { .ip_version = 4,
					.protocol = IPPROTO_TCP,
					.payload = 60000 };
	struct rig *r = *state;
	struct virtio_net_hdr vnet;
	static struct frame f;
	uint64_t written;
	RING_IDX first;

	start_posting(r);
	frame_build(&f, &tcp);
	put_be16(f.bytes + f.csum_at, frame_pseudo_sum(&f));
	vnet = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					.gso_size = 500, /* 120 of them: more than a place holds */
					.hdr_len = (uint16_t)f.header_size,
					.csum_start = (uint16_t)f.transport_offset,
					.csum_offset = (uint16_t)(f.csum_at - f.transport_offset) };
	while (flow.seen != r->evil.rx_prod) {
		assert_true(give(r));
		rig_turn(r);
		look(r);
	}
	first = flow.seen;
	written = n_written(r);
	assert_true(sim_datapath_give_offloaded(r->datapath, EVIL_DOMID, &vnet, f.bytes, f.size));
	rig_turns(r, 110); /* a second and more without a buffer: it is slow */
	while (r->evil.rx->rsp_prod - first < 120) {
		evil_rx(&r->evil, 3);
		evil_publish(&r->evil);
		rig_turns(r, 3);
		check_sequence(r, &f, first);
	}
	assert_int_equal(rig_evil_counters(r).to_guest_nic_injected, SIM_PLACE_SIZE);
	assert_int_equal(n_written(r), written);
	rig_expect_alive(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name, start) cmocka_unit_test_setup_teardown(name, start, end)
		T(references_it_has_no_right_to, start),
		T(slots_changed_after_they_were_read, start),
		T(grants_go_while_they_are_posted, start),
		T(grants_of_another_queue, start_two_queues),
		T(taken_back_while_mapped, start),
		T(closed_while_posted, start),
		T(dead_while_posted, start),
		T(impossible_indices_while_posted, start),
		T(a_producer_that_goes_back, start),
		T(killed_while_posted, start),
		T(few_buffers_are_enough, start),
		T(a_trickle_of_buffers, start),
		T(no_buffer_for_a_minute, start),
		T(a_device_that_is_stuck, start),
		T(a_device_with_few_pages, start),
		T(a_device_without_pages, start),
		T(more_than_a_page, start),
		T(more_than_a_page_by_the_bridge, start),
		T(headroom_at_any_time, start),
		T(hashes_at_any_time, start),
		T(groups_it_did_not_ask_for, start),
		T(offloads_are_finished, start),
		T(a_neighbour_that_sends_most, start),
		T(recalled_in_the_middle_of_a_frame, start),
#undef T
	};

	return cmocka_run_group_tests_name("hostile-posted", tests, NULL, NULL);
}
