/* SPDX-License-Identifier: MIT */
/*
 * The control ring on the stepped system: hashes and static grants as netif.h has them, the
 * datapath's death at any step of a request, and guests that get everything wrong. The
 * other guest never notices.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvif/hosted/hosted.h"
#include "tests/hostile/rig.h"
#include "tests/sim/sim_store.h"

#define OK	      XEN_NETIF_CTRL_STATUS_SUCCESS
#define NOT_SUPPORTED XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED
#define INVALID	      XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER

static int start(void **state)
{
	*state = rig_start_ctrl(1);
	return 0;
}

static int start_two_queues(void **state)
{
	*state = rig_start_ctrl(2);
	return 0;
}

/* ---- asking ---- */

static const struct ctrl_memory *memory(struct rig *r)
{
	return &r->control.workers.shared->vif[rig_evil_vif(r)->vif_slot].ctrl;
}

static void add_all(struct rig *r)
{
	assert_int_equal(evil_add(r, r->evil.tx_gref, EVIL_PAGES, XEN_NETIF_CTRLF_GREF_readonly).status,
			 OK);
	assert_int_equal(evil_add(r, r->evil.rx_gref, EVIL_PAGES, 0).status, OK);
}

/* Pages of the hostile guest's that the backend maps, its rings included. */
static uint32_t mapped(void)
{
	struct hosted_stats stats[8];
	int n = hosted_stats(stats, ARRAY_SIZE(stats));

	for (int i = 0; i < n; i++)
		if (stats[i].domid == EVIL_DOMID)
			return stats[i].maps_suffered;
	return 0;
}

#define RINGS 3u /* that are mapped besides */

/* One frame each way, byte for byte. */
static void exchange(struct rig *r)
{
	struct evil *e = &r->evil;
	uint8_t frame[SIM_FRAME_MAX];
	RING_IDX rx = e->rx->rsp_prod;
	uint32_t bridged = e->n_bridge;

	sim_frame_make(frame, 1);
	memcpy(e->tx_memory + (size_t)5 * XEN_PAGE + 64, frame, sim_frame_size(1));
	evil_tx(e, 5, 64, (uint16_t)sim_frame_size(1), 0);
	evil_rx(e, 1);
	evil_publish(e);
	assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, frame, sim_frame_size(1)));
	rig_turns_until(r, 50, e->n_bridge == bridged + 1 && e->rx->rsp_prod == rx + 1);
	assert_int_equal(e->frame_size, sim_frame_size(1));
	assert_memory_equal(e->frame, frame, sim_frame_size(1));
	assert_int_equal(evil_rx_response(e, rx).status, sim_frame_size(1));
	assert_memory_equal(e->rx_memory + (rx % EVIL_PAGES) * XEN_PAGE, frame, sim_frame_size(1));
}

/* ---- who has one ---- */

static void is_offered_and_served(void **state)
{
	struct rig *r = *state;

	assert_string_equal(sim_backend_get(EVIL_DOMID, 0, "feature-ctrl-ring"), "1");
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 0, 0, 0).data, 512);
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 1, 0, 0).status,
			 INVALID);
	assert_int_equal(evil_ask(r, 11, 0, 0, 0).status, NOT_SUPPORTED);
	assert_int_equal(rig_evil_counters(r).ctrl_requests, 3);
	assert_int_equal(rig_evil_counters(r).ctrl_refused, 2);
	rig_expect_alive(r);
}

static void half_a_ring_is_refused(void **state)
{
	static const char *const key[] = { "ctrl-ring-ref", "event-channel-ctrl" };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(key); i++) {
		sim_toolstack_remove(EVIL_DOMID, 0);
		rig_turns_until(r, 200, !rig_evil_vif(r));
		sim_toolstack_attach(EVIL_DOMID, 0);
		rig_turns_until(r, 200, rig_evil_state() == XenbusStateInitWait);
		evil_share(&r->evil);
		sim_frontend_put(EVIL_DOMID, 0, key[i], "%u", 9);
		sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateConnected);
		rig_expect_disabled(r, key[!i]);
	}
}

static void a_ring_that_is_not_there_is_refused(void **state)
{
	static const char *const key[] = { "ctrl-ring-ref", "event-channel-ctrl" };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(key); i++) {
		sim_toolstack_remove(EVIL_DOMID, 0);
		rig_turns_until(r, 200, !rig_evil_vif(r));
		sim_toolstack_attach(EVIL_DOMID, 0);
		rig_turns_until(r, 200, rig_evil_state() == XenbusStateInitWait);
		evil_share(&r->evil);
		sim_frontend_put(EVIL_DOMID, 0, key[i], "%u", 4000);
		sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateConnected);
		rig_expect_disabled(r, key[i]);
	}
}

/* ---- hashes ---- */

static void hashes_are_set_and_survive(void **state)
{
	struct rig *r = *state;
	uint32_t *words = (void *)r->evil.ctrl_memory;
	const struct rss *rss;

	for (uint32_t i = 0; i < 10; i++)
		words[i] = 0x01010101u * (i + 1);
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, 1, 0, 0).status, OK);
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, 0, 0, 0).data, 15);
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 9, 0, 0).status, OK);
	assert_int_equal(
	    evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, r->evil.ctrl_gref[0], 40, 0).status, OK);
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, 64, 0, 0).status, OK);
	/* entries that are queues it has not */
	assert_int_equal(
	    evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, r->evil.ctrl_gref[0], 64, 0).status,
	    INVALID);
	memset(words, 0, 256);
	assert_int_equal(
	    evil_ask(r, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, r->evil.ctrl_gref[0], 64, 0).status, OK);

	sim_datapath_kill(r->datapath);
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, 0, 0, 0).status, OK);
	rss = ctrl_rss(memory(r));
	assert_int_equal(rss->algorithm, 1);
	assert_int_equal(rss->flags, 9);
	assert_int_equal(rss->key[39], 10);
	assert_int_equal(rss->mapping_size, 64);

	/* a new life begins without */
	evil_reconnect(r);
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, 0, 0, 0).status, NOT_SUPPORTED);
}

/* ---- static grants ---- */

static void static_grants_take_no_grant_operation(void **state)
{
	struct rig *r = *state;
	struct queue_counters before, after;

	add_all(r);
	assert_int_equal(mapped(), 2 * EVIL_PAGES + RINGS);
	before = rig_evil_counters(r);
	for (unsigned i = 0; i < 2 * EVIL_PAGES; i++)
		exchange(r);
	after = rig_evil_counters(r);
	assert_int_equal(after.from_guest_frames - before.from_guest_frames, 2 * EVIL_PAGES);
	assert_int_equal(after.to_guest_frames - before.to_guest_frames, 2 * EVIL_PAGES);
	assert_int_equal(after.from_guest_grant_ops, before.from_guest_grant_ops);
	assert_int_equal(after.to_guest_grant_ops, before.to_guest_grant_ops);
	assert_int_equal(after.from_guest_static_copies - before.from_guest_static_copies,
			 2 * EVIL_PAGES);
	assert_int_equal(after.to_guest_static_copies - before.to_guest_static_copies,
			 2 * EVIL_PAGES);

	/* and as before without them */
	assert_int_equal(evil_del(r, r->evil.tx_gref, EVIL_PAGES).data, EVIL_PAGES);
	assert_int_equal(evil_del(r, r->evil.rx_gref, EVIL_PAGES).data, EVIL_PAGES);
	assert_int_equal(mapped(), RINGS);
	exchange(r);
	assert_int_equal(rig_evil_counters(r).from_guest_grant_ops, after.from_guest_grant_ops + 1);
	assert_int_equal(rig_evil_counters(r).to_guest_grant_ops, after.to_guest_grant_ops + 1);
}

static void some_of_a_frame_may_be_static(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	struct queue_counters before, after;
	uint8_t frame[SIM_FRAME_MAX];
	uint32_t bridged = e->n_bridge;

	assert_int_equal(evil_add(r, e->tx_gref + 1, 1, XEN_NETIF_CTRLF_GREF_readonly).status, OK);
	before = rig_evil_counters(r);
	sim_frame_make(frame, 5);
	evil_tx_frame(e, frame, (uint32_t)sim_frame_size(5), 100, 0, 0, 0);
	evil_publish(e);
	rig_turns_until(r, 50, e->n_bridge == bridged + 1);
	assert_int_equal(e->frame_size, sim_frame_size(5));
	assert_memory_equal(e->frame, frame, sim_frame_size(5));
	after = rig_evil_counters(r);
	assert_int_equal(after.from_guest_static_copies - before.from_guest_static_copies, 1);
	assert_int_equal(after.from_guest_grant_ops - before.from_guest_grant_ops, 3);
}

static void readonly_is_for_sending_only(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	uint8_t frame[SIM_FRAME_MAX];
	RING_IDX rx = e->rx->rsp_prod;

	assert_int_equal(evil_add(r, e->rx_gref, 1, XEN_NETIF_CTRLF_GREF_readonly).status, OK);
	sim_frame_make(frame, 0);
	memset(e->rx_memory, 0x77, XEN_PAGE);
	evil_rx(e, 1);
	evil_publish(e);
	assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, frame, sim_frame_size(0)));
	rig_turns_until(r, 50, e->rx->rsp_prod == rx + 1);
	assert_int_equal(evil_rx_response(e, rx).status, NETIF_RSP_ERROR);
	for (unsigned i = 0; i < XEN_PAGE; i++)
		assert_int_equal(e->rx_memory[i], 0x77);
	/* what the guest lets us only read cannot be mapped for more */
	assert_int_equal(evil_add(r, e->tx_gref, 1, 0).status, INVALID);
	rig_expect_alive(r);
}

static void lists_that_fail_add_none(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	grant_ref_t grefs[EVIL_PAGES + 1];
	void *others;
	struct xen_netif_ctrl_response rsp;

	memcpy(grefs, e->tx_gref, sizeof(e->tx_gref));
	grefs[EVIL_PAGES] = 0x7ffffff0; /* nobody granted that */
	assert_int_equal(evil_add(r, grefs, EVIL_PAGES + 1, 1).status, INVALID);
	hosted_set_domid(EVIL_DOMID);
	others = xengntshr_share_pages(e->gntshr, GOOD_DOMID, 1, &grefs[EVIL_PAGES], 1);
	assert_non_null(others); /* for another domain than ours */
	assert_int_equal(evil_add(r, grefs, EVIL_PAGES + 1, 1).status, INVALID);
	xengntshr_unshare(e->gntshr, others, 1);
	assert_int_equal(mapped(), RINGS);
	grefs[EVIL_PAGES] = grefs[3]; /* twice */
	assert_int_equal(evil_add(r, grefs, EVIL_PAGES + 1, 1).status, INVALID);
	assert_int_equal(mapped(), RINGS);
	/* a list at a page that is not ours to read, or not to write */
	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 0x7ffffff0, 1).status,
			 INVALID);
	assert_int_equal(evil_add(r, e->tx_gref, 2, 1).status, OK);
	memcpy(e->tx_memory, evil_list_page(r), 16);
	rsp = evil_ask(r, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 0, e->tx_gref[0], 2);
	assert_int_equal(rsp.status, INVALID);
	assert_int_equal(mapped(), RINGS + 2);
	for (uint32_t n = 513; n; n *= 2)
		assert_int_equal(
		    evil_ask(r, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, e->ctrl_gref[0], n).status,
		    INVALID);
	rsp = evil_del(r, grefs, 3); /* the third was never added */
	assert_int_equal(rsp.data, 2);
	assert_int_equal(evil_list_page(r)[1].status, OK);
	assert_int_equal(evil_list_page(r)[2].status, INVALID);
	assert_int_equal(mapped(), RINGS);
	rig_expect_alive(r);
}

/* Requests that use the pages stand in the ring when they are taken away, over and over. */
static void deleted_under_traffic(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	for (unsigned round = 0; round < 20; round++) {
		uint32_t bridged = e->n_bridge;
		RING_IDX answered = e->rx->rsp_prod;
		uint8_t frame[SIM_FRAME_MAX];

		add_all(r);
		sim_frame_make(frame, 0);
		for (unsigned i = 0; i < 200; i++)
			evil_tx(e, i % EVIL_PAGES, 0, 60, 0);
		evil_rx(e, 100);
		for (unsigned i = 0; i < 100; i++)
			(void)sim_datapath_give(r->datapath, EVIL_DOMID, frame, 60);
		evil_publish(e);
		rig_turns(r, round % 4);
		assert_int_equal(evil_del(r, e->tx_gref, EVIL_PAGES).data, EVIL_PAGES);
		assert_int_equal(evil_del(r, e->rx_gref, EVIL_PAGES).data, EVIL_PAGES);
		rig_turns_until(r, 200,
				e->n_bridge == bridged + 200 && e->rx->rsp_prod == answered + 100);
		assert_int_equal(mapped(), RINGS);
	}
	assert_int_equal(rig_evil_counters(r).from_guest_drops[FROM_GUEST_GRANT_FAILED], 0);
	rig_expect_alive(r);
}

/* The guest ends the access while we map it: what is mapped stays so until it is given
 * back, and is then nobody's. */
static void revoked_while_mapped(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	add_all(r);
	hosted_set_domid(EVIL_DOMID);
	xengntshr_unshare(e->gntshr, e->tx_memory, EVIL_PAGES);
	e->tx_memory = NULL;
	for (unsigned i = 0; i < 100; i++)
		evil_tx(e, i % EVIL_PAGES, 0, 60, 0);
	evil_publish(e);
	rig_turns_until(r, 50, e->tx->rsp_prod == e->tx_prod);
	assert_int_equal(evil_del(r, e->tx_gref, EVIL_PAGES).data, EVIL_PAGES);
	assert_int_equal(mapped(), RINGS + EVIL_PAGES);
	evil_tx(e, 0, 0, 60, 0);
	evil_publish(e);
	rig_turns_until(r, 50, e->tx->rsp_prod == e->tx_prod);
	assert_int_equal(evil_tx_response(e, e->tx_prod - 1).status, NETIF_RSP_ERROR);
	rig_expect_alive(r);
}

static void closing_releases_them(void **state)
{
	struct rig *r = *state;

	add_all(r);
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosing);
	rig_turns_until(r, 200, rig_evil_state() != XenbusStateConnected);
	rig_turns_until(r, 200, mapped() == 0);
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosed);
	evil_reconnect(r);
	assert_int_equal(mapped(), RINGS);
	add_all(r);
	rig_expect_alive(r);
}

/* A held mapping would keep the dead domain. */
static void death_releases_them(void **state)
{
	struct rig *r = *state;
	struct hosted_stats stats[8];
	bool gone = false;

	add_all(r);
	assert_int_equal(hosted_domain_destroy(EVIL_DOMID), 0);
	assert_true(mapped() > RINGS);
	sim_toolstack_remove(EVIL_DOMID, 0);
	rig_turns_until(r, 200, !rig_evil_vif(r));
	for (unsigned i = 0; i < 20 && !gone; i++) {
		int n = hosted_stats(stats, ARRAY_SIZE(stats));

		gone = true;
		for (int k = 0; k < n; k++)
			gone &= stats[k].domid != EVIL_DOMID || stats[k].maps_suffered == 0;
		rig_turn(r);
	}
	assert_true(gone);
	rig_good_carries(r, 30);
}

/* ---- the datapath dies ---- */

/* Part k of a turn. */
static void step(struct rig *r, unsigned k)
{
	hosted_set_domid(0);
	sim_store_set_domid(0);
	switch (k % 4) {
	case 0:
		sim_datapath_events(r->datapath, r->now_ns);
		break;
	case 1:
		sim_datapath_pass(r->datapath, r->now_ns);
		break;
	case 2:
		(void)control_step(&r->control, r->now_ns);
		break;
	default:
		sim_datapath_control(r->datapath, r->now_ns);
		break;
	}
}

static struct xen_netif_ctrl_response ask_and_kill(struct rig *r, uint16_t type, uint32_t n,
						   unsigned steps)
{
	struct evil *e = &r->evil;

	rig_good_carries(r, 1);
	evil_ctrl_put(e, type, 0, e->ctrl_gref[0], n);
	evil_ctrl_publish(e);
	for (unsigned k = 0; k < steps; k++)
		step(r, k);
	r->now_ns += 40 * NS_PER_S; /* else too many deaths too soon */
	sim_datapath_kill(r->datapath);
	rig_turns_until(r, 300, e->ctrl->rsp_prod == e->ctrl_prod);
	return evil_ctrl_response(e, e->ctrl_prod - 1);
}

/* After each part of each turn of a request, until it is over: done once, answered once. */
static void killed_at_any_step(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	struct xen_netif_ctrl_response rsp;

	for (unsigned steps = 0; steps < 48; steps++) {
		evil_set_list(r, e->tx_gref, EVIL_PAGES, XEN_NETIF_CTRLF_GREF_readonly);
		rsp = ask_and_kill(r, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, EVIL_PAGES, steps);
		assert_int_equal(rsp.status, OK);
		assert_int_equal(rsp.id, (uint16_t)(e->ctrl_prod - 1));
		rig_turns_until(r, 50, mapped() == RINGS + EVIL_PAGES);
		exchange(r);
		evil_set_list(r, e->tx_gref, EVIL_PAGES, 0);
		rsp = ask_and_kill(r, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, EVIL_PAGES, steps);
		assert_int_equal(rsp.status, OK);
		assert_int_equal(rsp.data, EVIL_PAGES);
		rig_turns_until(r, 50, mapped() == RINGS);
		for (unsigned i = 0; i < EVIL_PAGES; i++)
			assert_int_equal(evil_list_page(r)[i].status, OK);
	}
	assert_int_equal(static_lists_active(&memory(r)->grants[0])->n, 0);
	rig_expect_alive(r);
}

static void mapped_again_after_a_kill(void **state)
{
	struct rig *r = *state;
	struct queue_counters before;

	add_all(r);
	sim_datapath_kill(r->datapath);
	rig_turns_until(r, 100, mapped() == RINGS + 2 * EVIL_PAGES);
	before = rig_evil_counters(r);
	exchange(r);
	assert_int_equal(rig_evil_counters(r).from_guest_grant_ops, before.from_guest_grant_ops);
	assert_int_equal(rig_evil_counters(r).to_guest_grant_ops, before.to_guest_grant_ops);
}

/* ---- another queue's ---- */

static struct xen_netif_ctrl_response ask_of_1(struct rig *r, uint16_t type, uint32_t n)
{
	evil_set_list(r, r->evil.tx_gref, n, XEN_NETIF_CTRLF_GREF_readonly);
	return evil_ask(r, type, 1, r->evil.ctrl_gref[0], n);
}

static void send_on_1(struct rig *r)
{
	struct evil *e = &r->evil;
	uint32_t bridged = e->n_bridge;

	e->tx1->ring[e->tx1->req_prod % RING_SLOTS].req =
	    (netif_tx_request_t){ .gref = e->tx_gref[3], .size = 60 };
	e->tx1->req_prod++;
	(void)event_send(&e->events, e->port1);
	rig_turns_until(r, 50, e->n_bridge == bridged + 1);
}

/* Each queue has its own; the word goes by way of control, and arrives whatever dies. */
static void grants_belong_to_a_queue(void **state)
{
	struct rig *r = *state;
	struct queue_counters before;

	assert_int_equal(evil_ask(r, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 1, 0, 0).data, 512);
	assert_int_equal(ask_of_1(r, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, EVIL_PAGES).status, OK);
	assert_int_equal(mapped(), RINGS + 2 + EVIL_PAGES);
	before = rig_evil_counters(r);
	send_on_1(r);
	assert_int_equal(rig_evil_counters(r).from_guest_grant_ops, before.from_guest_grant_ops);
	exchange(r); /* on queue 0 */
	assert_int_equal(rig_evil_counters(r).from_guest_grant_ops,
			 before.from_guest_grant_ops + 1);
	assert_int_equal(evil_add(r, r->evil.tx_gref, 10, 1).status, OK); /* the same, for queue 0 */
	assert_int_equal(mapped(), RINGS + 2 + EVIL_PAGES + 10);

	sim_datapath_kill(r->datapath);
	rig_turns_until(r, 100, mapped() == RINGS + 2 + EVIL_PAGES + 10);
	send_on_1(r);
	assert_int_equal(ask_of_1(r, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 20).data, 20);
	assert_int_equal(mapped(), RINGS + 2 + EVIL_PAGES - 10);
	rig_expect_alive(r);
}

/* They take control's time, which is everybody's: one a millisecond. */
static void another_queues_are_rationed(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	uint64_t begun;

	evil_set_list(r, e->tx_gref, 1, XEN_NETIF_CTRLF_GREF_readonly);
	for (unsigned i = 0; i < 60; i++)
		evil_ctrl_put(e, (uint16_t)(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING + i % 2), 1,
			      e->ctrl_gref[0], 1);
	r->ns_per_turn = NS_PER_MS / 10;
	begun = r->now_ns;
	evil_ctrl_publish(e);
	rig_turns_until(r, 1000, e->ctrl->rsp_prod == e->ctrl_prod);
	assert_true(r->now_ns - begun >= 58 * NS_PER_MS);
	assert_true(r->now_ns - begun <= 75 * NS_PER_MS);
	assert_int_equal(rig_evil_counters(r).ctrl_refused, 0);
}

/* A request for queue 1 is under way when the guest goes, or breaks that queue's ring. */
static void queues_go_under_a_request(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	for (unsigned steps = 0; steps < 24; steps++) {
		evil_set_list(r, e->tx_gref, EVIL_PAGES, XEN_NETIF_CTRLF_GREF_readonly);
		evil_ctrl_put(e, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 1, e->ctrl_gref[0],
			      EVIL_PAGES);
		evil_ctrl_publish(e);
		for (unsigned k = 0; k < steps; k++)
			step(r, k);
		if (steps % 2) {
			sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosing);
		} else {
			e->tx1->req_prod = 5000;
			(void)event_send(&e->events, e->port1);
		}
		rig_turns_until(r, 200, rig_evil_state() != XenbusStateConnected);
		rig_turns_until(r, 200, mapped() == 0);
		r->now_ns += NS_PER_S;
		evil_reconnect(r);
	}
	assert_int_equal(ask_of_1(r, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 5).status, OK);
	rig_expect_alive(r);
}

/* ---- a ring gone wild ---- */

static void impossible_indices_disable_it(void **state)
{
	static const RING_IDX beyond[] = { CTRL_RING_SLOTS + 1, RING_SLOTS, 1u << 31, ~0u };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
		(void)evil_ask(r, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 0, 0, 0);
		r->evil.ctrl->req_prod = r->evil.ctrl->rsp_prod + beyond[i];
		(void)event_send(&r->evil.events, r->evil.ctrl_port);
		rig_expect_disabled(r, "impossible ring indices");
		assert_int_equal(mapped(), 0);
		evil_reconnect(r);
	}
	(void)evil_ask(r, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 0, 0, 0);
}

/* Everything again and again, faster than it can be served: a few a pass, the others' turn
 * comes all the same, and all of it is answered. */
static void floods_are_served_in_turn(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	uint64_t calm = 0, flooded = 0;

	add_all(r);
	for (unsigned round = 0; round < 50; round++)
		calm += rig_good_carries(r, 4);
	for (unsigned round = 0; round < 50; round++) {
		RING_IDX room = CTRL_RING_SLOTS - (e->ctrl_prod - e->ctrl->rsp_prod);
		uint64_t before = rig_evil_counters(r).ctrl_requests;

		evil_set_list(r, e->tx_gref, EVIL_PAGES, round % 2);
		for (; room; room--)
			evil_ctrl_put(e, (uint16_t)(room % 12), 0, e->ctrl_gref[0], room % 65);
		for (unsigned i = 0; i < 30; i++)
			evil_ctrl_publish(e);
		rig_turn(r);
		assert_true(rig_evil_counters(r).ctrl_requests - before <= 5);
		flooded += rig_good_carries(r, 4);
	}
	assert_true(flooded <= calm + calm / 4);
	rig_turns_until(r, 2000, e->ctrl->rsp_prod == e->ctrl_prod);
	rig_expect_alive(r);
}

static void storms_cost_an_event_a_pass(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 100; i++) {
		for (unsigned k = 0; k < 50; k++)
			(void)event_send(&r->evil.events, r->evil.ctrl_port);
		rig_turn(r);
	}
	assert_true(rig_evil_counters(r).ctrl_events <= 102);
	rig_expect_alive(r);
}

/* The page is rewritten while requests are under way, indices and all. */
static void a_ring_page_rewritten(void **state)
{
	struct rig *r = *state;
	uint64_t random = 99;

	for (unsigned round = 0; round < 300; round++) {
		uint32_t *page = (void *)r->evil.ctrl;

		for (unsigned i = 0; i < 50; i++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			page[16 + (random >> 33) % 1008] = (uint32_t)(random >> 13) % 2
							       ? (uint32_t)(random >> 20) % 600
							       : r->evil.ctrl_gref[0];
		}
		r->evil.ctrl_prod = r->evil.ctrl->rsp_prod + 1 + (uint32_t)(random >> 40) % 8;
		evil_ctrl_publish(&r->evil);
		rig_turn(r);
		if (rig_evil_state() == XenbusStateConnected)
			continue;
		rig_turns_until(r, 200, rig_evil_state() == XenbusStateClosed);
		r->now_ns += NS_PER_S;
		evil_reconnect(r);
	}
	rig_good_carries(r, 100);
}

#define CASE(f)	   cmocka_unit_test_setup_teardown(f, start, rig_teardown)
#define TWO(f)	   cmocka_unit_test_setup_teardown(f, start_two_queues, rig_teardown)
#define WITHOUT(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(is_offered_and_served),
		WITHOUT(half_a_ring_is_refused),
		CASE(a_ring_that_is_not_there_is_refused),
		CASE(hashes_are_set_and_survive),
		CASE(static_grants_take_no_grant_operation),
		CASE(some_of_a_frame_may_be_static),
		CASE(readonly_is_for_sending_only),
		CASE(lists_that_fail_add_none),
		CASE(deleted_under_traffic),
		CASE(revoked_while_mapped),
		CASE(closing_releases_them),
		CASE(death_releases_them),
		CASE(killed_at_any_step),
		CASE(mapped_again_after_a_kill),
		CASE(impossible_indices_disable_it),
		CASE(floods_are_served_in_turn),
		CASE(storms_cost_an_event_a_pass),
		CASE(a_ring_page_rewritten),
		TWO(grants_belong_to_a_queue),
		TWO(another_queues_are_rationed),
		TWO(queues_go_under_a_request),
	};

	return cmocka_run_group_tests_name("ctrl-ring", tests, NULL, NULL);
}
