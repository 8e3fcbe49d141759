/* SPDX-License-Identifier: MIT */
/*
 * What may change while a guest is connected. What it asks for and takes back, by guests that
 * do it well, badly and all the time: netif.h's multicast control, Linux' XDP headroom. What
 * it is told: carrier and MTU.
 * do it well, badly and all the time: netif.h's multicast control. What it is told: carrier
 * and MTU. And another backend that takes its vif.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/control/view.h"
#include "tests/hostile/rig.h"
#include "tests/sim/sim_store.h"

#define ADD XEN_NETIF_EXTRA_TYPE_MCAST_ADD
#define DEL XEN_NETIF_EXTRA_TYPE_MCAST_DEL

static void wish(const char *key, const char *value)
{
	sim_frontend_put(EVIL_DOMID, 0, key, "%s", value);
}

static struct shared_vif *shared(struct rig *r)
{
	return &r->control.workers.shared->vif[rig_evil_vif(r)->vif_slot];
}

static void put_extra(struct evil *e, uint8_t type, uint8_t first, uint16_t n, uint8_t flags)
{
	union from_guest_slot slot = { .extra = { .type = type, .flags = flags } };
	const uint8_t address[6] = { first, 0, 0x5e, 0, (uint8_t)(n >> 8), (uint8_t)n };

	memcpy(slot.extra.u.mcast.addr, address, sizeof(address));
	evil_tx_raw(e, &slot.req);
}

/* One dummy request. Returns what it was answered with. */
static int16_t amend(struct rig *r, uint8_t type, uint8_t first, uint16_t n)
{
	struct evil *e = &r->evil;
	RING_IDX at = e->tx_prod;

	evil_tx(e, 0, 0, 0, NETTXF_extra_info);
	put_extra(e, type, first, n, 0);
	evil_publish(e);
	rig_turns_until(r, 50, e->tx->rsp_prod == e->tx_prod);
	assert_int_equal(evil_tx_response(e, at).id, (uint16_t)at);
	assert_int_equal(evil_tx_response(e, at + 1).status, NETIF_RSP_NULL);
	return evil_tx_response(e, at).status;
}

/* The bridge sends it a frame to 'first':00:5e:00:<n>. Returns whether it arrived. */
static bool receives(struct rig *r, uint8_t first, uint16_t n)
{
	struct evil *e = &r->evil;
	uint8_t frame[SIM_FRAME_MAX];
	const uint8_t address[6] = { first, 0, 0x5e, 0, (uint8_t)(n >> 8), (uint8_t)n };
	struct queue_counters before = rig_evil_counters(r), after;

	evil_rx(e, 1);
	evil_publish(e);
	sim_frame_make(frame, 0);
	memcpy(frame, address, sizeof(address));
	if (first == 0xff)
		memset(frame, 0xff, sizeof(address));
	assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, frame, sim_frame_size(0)));
	rig_turns(r, 4);
	after = rig_evil_counters(r);
	assert_int_equal(after.to_guest_frames + after.to_guest_drops[TO_GUEST_FILTERED],
			 before.to_guest_frames + before.to_guest_drops[TO_GUEST_FILTERED] + 1);
	return after.to_guest_frames > before.to_guest_frames;
}

static void the_filter_is_applied_if_asked_for(void **state)
{
	struct rig *r = *state;

	assert_string_equal(sim_backend_get(EVIL_DOMID, 0, "feature-multicast-control"), "1");
	assert_string_equal(sim_backend_get(EVIL_DOMID, 0, "feature-dynamic-multicast-control"),
			    "1");
	assert_int_equal(amend(r, ADD, 1, 7), NETIF_RSP_OKAY);
	assert_true(receives(r, 1, 7));
	assert_true(receives(r, 1, 8)); /* not asked for yet */

	wish("request-multicast-control", "1");
	rig_turns(r, 10);
	assert_true(receives(r, 1, 7));
	assert_false(receives(r, 1, 8));
	assert_true(receives(r, 0, 8));	   /* unicast */
	assert_true(receives(r, 0xff, 0)); /* broadcast */
	assert_int_equal(amend(r, ADD, 1, 8), NETIF_RSP_OKAY);
	assert_int_equal(amend(r, DEL, 1, 7), NETIF_RSP_OKAY);
	assert_true(receives(r, 1, 8));
	assert_false(receives(r, 1, 7));

	wish("request-multicast-control", "0");
	rig_turns(r, 10);
	assert_true(receives(r, 1, 7));
	assert_int_equal(r->evil.n_bridge, 0); /* no dummy went anywhere */
	rig_expect_alive(r);
}

/* Asked for before it connects; what an earlier connection added is forgotten. */
static void the_filter_is_sampled_at_connect(void **state)
{
	struct rig *r = *state;

	assert_int_equal(amend(r, ADD, 1, 7), NETIF_RSP_OKAY);
	wish("request-multicast-control", "1");
	evil_reconnect(r);
	assert_false(receives(r, 1, 7));
	assert_int_equal(multicast_count(&shared(r)->multicast), 0);
	assert_int_equal(amend(r, ADD, 1, 7), NETIF_RSP_OKAY);
	assert_true(receives(r, 1, 7));
	rig_expect_alive(r);
}

static void nonsense_is_no_wish(void **state)
{
	static const char *const nonsense[] = { "", "yes", "-1", "1 ", "4294967296", "\x1b[2J" };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++) {
		wish("request-multicast-control", nonsense[i]);
		rig_turns(r, 10);
		assert_true(receives(r, 1, 8));
	}
	rig_expect_alive(r);
}

/* The 65th is refused, and what is no group address. */
static void sixty_four_addresses(void **state)
{
	struct rig *r = *state;

	for (uint16_t n = 0; n < MULTICAST_MAX; n++)
		assert_int_equal(amend(r, ADD, 1, n), NETIF_RSP_OKAY);
	assert_int_equal(amend(r, ADD, 1, 64), NETIF_RSP_ERROR);
	assert_int_equal(amend(r, ADD, 1, 63), NETIF_RSP_OKAY); /* there already */
	assert_int_equal(amend(r, DEL, 1, 1000), NETIF_RSP_OKAY);
	assert_int_equal(amend(r, DEL, 1, 0), NETIF_RSP_OKAY);
	assert_int_equal(amend(r, ADD, 1, 64), NETIF_RSP_OKAY);
	assert_int_equal(amend(r, DEL, 1, 1), NETIF_RSP_OKAY);
	assert_int_equal(amend(r, ADD, 0, 1), NETIF_RSP_ERROR); /* unicast */
	assert_int_equal(amend(r, DEL, 0, 0), NETIF_RSP_OKAY);
	assert_int_equal(multicast_count(&shared(r)->multicast), MULTICAST_MAX - 1);
	assert_int_equal(rig_evil_counters(r).from_guest_drops[FROM_GUEST_BAD_MULTICAST], 2);
	rig_expect_alive(r);
}

/* The ring full of dummy requests, again and again: bounded, and nobody else waits. */
static void a_hundred_thousand_requests(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	for (uint32_t i = 0; i < 100000; i += RING_SLOTS / 2) {
		for (uint32_t k = 0; k < RING_SLOTS / 2; k++) {
			evil_tx(e, 0, 0, 0, NETTXF_extra_info);
			put_extra(e, k % 3 ? ADD : DEL, 1, (uint16_t)((i + k) % 1000), 0);
		}
		evil_publish(e);
		rig_turns_until(r, 50, e->tx->rsp_prod == e->tx_prod);
	}
	assert_true(multicast_count(&shared(r)->multicast) <= MULTICAST_MAX);
	assert_int_equal(e->n_bridge, 0);
	rig_expect_alive(r);
}

/* XSA-527: the list is changed while frames are held against it. */
static void changed_while_in_use(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	uint8_t frame[SIM_FRAME_MAX];

	wish("request-multicast-control", "1");
	rig_turns(r, 5);
	sim_frame_make(frame, 0);
	memcpy(frame, (const uint8_t[6]){ 1, 0, 0x5e, 0, 0, 3 }, 6);
	for (uint32_t i = 0; i < 2000; i++) {
		evil_tx(e, 0, 0, 0, NETTXF_extra_info);
		put_extra(e, i % 2 ? DEL : ADD, 1, 3, 0);
		evil_rx(e, 1);
		evil_publish(e);
		(void)sim_datapath_give(r->datapath, EVIL_DOMID, frame, sim_frame_size(0));
		if (i % 500 == 250)
			wish("request-multicast-control", i % 1000 == 250 ? "0" : "1");
		rig_turns_until(r, 50, e->tx->rsp_prod == e->tx_prod);
		e->rx_prod = e->rx->req_prod = e->rx->rsp_prod; /* takes back what is left */
	}
	rig_expect_alive(r);
}

/* In the middle of other chains, with data, with offloads. */
static void dummies_that_lie(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;
	RING_IDX at = e->tx_prod;

	evil_tx(e, 0, 0, 200, NETTXF_extra_info | NETTXF_more_data);
	put_extra(e, ADD, 1, 7, 0);
	evil_tx(e, 1, 0, 100, 0);
	evil_publish(e);
	rig_turns_until(r, 50, e->tx->rsp_prod == e->tx_prod);
	assert_int_equal(evil_tx_response(e, at).status, NETIF_RSP_ERROR);
	assert_int_equal(evil_tx_response(e, at + 1).status, NETIF_RSP_NULL);
	assert_int_equal(evil_tx_response(e, at + 2).status, NETIF_RSP_ERROR);
	assert_int_equal(multicast_count(&shared(r)->multicast), 0);

	evil_tx(e, 0, 4095, 0xffff, NETTXF_extra_info | NETTXF_csum_blank);
	evil_tx_gso(e, XEN_NETIF_GSO_TYPE_TCPV4, 1448, XEN_NETIF_EXTRA_FLAG_MORE);
	put_extra(e, ADD, 1, 7, XEN_NETIF_EXTRA_FLAG_MORE);
	put_extra(e, DEL, 1, 8, 0);
	evil_publish(e);
	rig_turns_until(r, 50, e->tx->rsp_prod == e->tx_prod);
	assert_int_equal(multicast_count(&shared(r)->multicast), 1);
	assert_int_equal(e->n_bridge, 0);
	rig_expect_alive(r);

	evil_tx(e, 0, 0, 0, NETTXF_extra_info);
	put_extra(e, ADD, 1, 7, XEN_NETIF_EXTRA_FLAG_MORE);
	put_extra(e, ADD, 1, 8, 0);
	evil_publish(e);
	rig_expect_disabled(r, from_guest_fault_name(FROM_GUEST_BAD_EXTRA));
}

/* Its successor knows the addresses; a dummy that was not answered is done again. */
static void the_datapath_dies(void **state)
{
	struct rig *r = *state;
	struct evil *e = &r->evil;

	r->ns_per_turn = 5 * NS_PER_S;
	wish("request-multicast-control", "1");
	assert_int_equal(amend(r, ADD, 1, 7), NETIF_RSP_OKAY);
	evil_tx(e, 0, 0, 0, NETTXF_extra_info);
	put_extra(e, ADD, 1, 8, 0);
	evil_publish(e);
	sim_datapath_kill(r->datapath);
	rig_turns_until(r, 50, e->tx->rsp_prod == e->tx_prod);
	assert_int_equal(multicast_count(&shared(r)->multicast), 2);
	assert_true(receives(r, 1, 7));
	assert_true(receives(r, 1, 8));
	assert_false(receives(r, 1, 9));
	rig_expect_alive(r);
}

/* XSA-349: what it rewrites all the time costs passes that are rationed, and no memory. */
static void wishes_that_change_all_the_time(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 3000; i++) {
		wish("request-multicast-control", i % 2 ? "1" : "0");
		wish("some-key-of-its-own", "x");
		if (i % 10 == 0)
			rig_turn(r);
	}
	assert_true(rig_evil_vif(r)->n_passes <= VIF_PASS_BURST);
	wish("request-multicast-control", "1");
	rig_turns(r, 50);
	assert_false(receives(r, 1, 8));
	rig_expect_alive(r);
}

/* ---- XDP headroom ---- */

static void evil_state(unsigned state)
{
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", state);
}

/* Gives it frame 'number' and reads it out of the ring as netif.h says. Returns the headroom
 * it came with; the extra info and each slot's offset must agree. */
static uint32_t received_behind(struct rig *r, uint32_t number)
{
	struct evil *e = &r->evil;
	RING_IDX at = e->rx->rsp_prod;
	uint8_t frame[SIM_FRAME_MAX];
	uint32_t headroom = 0, size = 0;
	bool extra;

	e->rx_prod = at;
	evil_rx(e, 8);
	evil_publish(e);
	sim_frame_make(frame, number);
	assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, frame, sim_frame_size(number)));
	rig_turns_until(r, 20, e->rx->rsp_prod != at);
	extra = evil_rx_response(e, at).flags & NETRXF_extra_info;
	if (extra) {
		const netif_rx_response_t slot = evil_rx_response(e, at + 1);
		const netif_extra_info_t *xdp = (const void *)&slot;

		assert_int_equal(xdp->type, TO_GUEST_EXTRA_TYPE_XDP);
		memcpy(&headroom, &xdp->u, 2);
	}
	for (RING_IDX i = at; i != e->rx->rsp_prod; i++) {
		const netif_rx_response_t rsp = evil_rx_response(e, i);
		const uint8_t *page = e->rx_memory + i % EVIL_PAGES * XEN_PAGE;

		if (extra && i == at + 1)
			continue;
		assert_true(rsp.status > 0 && size + (uint32_t)rsp.status <= sizeof(frame));
		assert_int_equal(rsp.offset, headroom);
		memcpy(frame + size, page + rsp.offset, (size_t)rsp.status);
		size += (uint32_t)rsp.status;
	}
	assert_int_equal(sim_frame_check(frame, size), number);
	return headroom;
}

/* Linux' xennet_xdp_set(): the state first, and the key only then. */
static void reconfigure(struct rig *r, const char *headroom)
{
	evil_state(XenbusStateReconfiguring);
	rig_turns_until(r, 50, rig_evil_state() == XenbusStateReconfigured);
	wish("xdp-headroom", headroom);
	evil_state(XenbusStateConnected);
	rig_turns_until(r, 50, rig_evil_state() == XenbusStateConnected);
}

static void a_program_comes_and_goes(void **state)
{
	struct rig *r = *state;

	assert_string_equal(sim_backend_get(EVIL_DOMID, 0, "feature-xdp-headroom"), "1");
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t number = 0; number < 6; number++)
			assert_int_equal(received_behind(r, number), 0);
		reconfigure(r, "256");
		for (uint32_t number = 0; number < 6; number++)
			assert_int_equal(received_behind(r, number), 256);
		reconfigure(r, "0");
	}
	wish("xdp-headroom", "128"); /* without a word: watched all the same */
	rig_turns(r, 10);
	assert_int_equal(received_behind(r, 3), 128);
	evil_reconnect(r);
	assert_int_equal(received_behind(r, 3), 128);
	rig_expect_alive(r);
}

static void headrooms_that_are_none(void **state)
{
	static const struct {
		const char *asked;
		uint32_t given;
	} cases[] = { { "454", TO_GUEST_HEADROOM_MAX }, { "4096", TO_GUEST_HEADROOM_MAX },
		      { "32767", TO_GUEST_HEADROOM_MAX }, { "65536", TO_GUEST_HEADROOM_MAX },
		      { "4294967295", TO_GUEST_HEADROOM_MAX }, { "4294967296", 0 }, { "-1", 0 },
		      { "", 0 }, { "0x100", 0 }, { "256 ", 0 } };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		wish("xdp-headroom", cases[i].asked);
		rig_turns(r, 10);
		for (uint32_t number = 0; number < 6; number++)
			assert_int_equal(received_behind(r, number), cases[i].given);
	}
	rig_expect_alive(r);
}

/* Changed under traffic: each frame is whole, whichever headroom it got. */
static void a_headroom_that_changes_under_traffic(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < 300; i++) {
		uint32_t headroom;

		wish("xdp-headroom", i % 2 ? "256" : "0");
		headroom = received_behind(r, i);
		assert_true(headroom == 0 || headroom == 256);
	}
	rig_expect_alive(r);
}

static void reconfiguring_for_ever(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 1000; i++) {
		evil_state(i % 2 ? XenbusStateConnected : XenbusStateReconfiguring);
		rig_turn(r);
	}
	evil_state(XenbusStateConnected);
	rig_turns(r, 50);
	assert_int_equal(rig_evil_state(), XenbusStateConnected);
	assert_int_equal(received_behind(r, 1), 0);

	evil_state(XenbusStateReconfiguring); /* and stays there */
	rig_turns(r, 50);
	assert_int_equal(rig_evil_state(), XenbusStateReconfigured);
	assert_int_equal(received_behind(r, 1), 0);
	r->ns_per_turn = 5 * NS_PER_S;
	sim_datapath_kill(r->datapath);
	assert_int_equal(received_behind(r, 1), 0);
	rig_good_carries(r, 30);
	sim_toolstack_detach(EVIL_DOMID, 0);
	rig_turns_until(r, 500, rig_evil_state() == XenbusStateClosed);
}

/* ---- what it is told ---- */

static const char *carrier(void)
{
	return sim_backend_get(EVIL_DOMID, 0, "carrier");
}

static void changed(struct rig *r)
{
	sim_links_changed();
	rig_turns(r, 5);
}

static void the_carrier_follows_the_netdev(void **state)
{
	struct rig *r = *state;
	struct netdev_link *link = sim_netdev_link(EVIL_DOMID, 0);
	bool *const bad[] = { &link->port_off, &link->bridge_down };
	bool *const good[] = { &link->up, &link->enslaved };

	assert_string_equal(carrier(), "1");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		*bad[i] = true;
		changed(r);
		assert_string_equal(carrier(), "0");
		*bad[i] = false;
		changed(r);
		assert_string_equal(carrier(), "1");
		*good[i] = false;
		changed(r);
		assert_string_equal(carrier(), "0");
		assert_non_null(vif_link_reason(rig_evil_vif(r)));
		*good[i] = true;
		changed(r);
		assert_string_equal(carrier(), "1");
	}
	assert_string_equal(sim_backend_get(GOOD_DOMID, 0, "carrier"), "1");

	link->uplinks_down = true; /* of no matter: carrier = bridge */
	changed(r);
	assert_string_equal(carrier(), "1");
	r->control.config.carrier = CARRIER_UPLINK;
	link->up = false;
	changed(r);
	link->up = true;
	changed(r);
	assert_string_equal(carrier(), "0");
	rig_expect_alive(r);
}

/* A netdev that was never in a bridge, as vif-route has it. */
static void a_routed_vif_has_a_carrier(void **state)
{
	struct rig *r = *state;
	struct vif *v = rig_evil_vif(r);

	v->was_enslaved = false;
	sim_netdev_link(EVIL_DOMID, 0)->enslaved = false;
	changed(r);
	assert_string_equal(carrier(), "1");
}

/* A reconnecting guest must not find what an earlier one was told. */
static void a_new_connection_begins_with_a_carrier(void **state)
{
	struct rig *r = *state;

	sim_netdev_link(EVIL_DOMID, 0)->up = false;
	changed(r);
	assert_string_equal(carrier(), "0");
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosed);
	rig_turns_until(r, 500, rig_evil_state() == XenbusStateClosed);
	sim_netdev_link(EVIL_DOMID, 0)->up = true;
	changed(r);
	evil_reconnect(r);
	assert_string_equal(carrier(), "1");
}

static void links_that_change_all_the_time(void **state)
{
	struct rig *r = *state;
	struct netdev_link *link = sim_netdev_link(EVIL_DOMID, 0);
	uint32_t n_lines = r->n_log_lines, n_written = 0;
	bool was = true;

	r->ns_per_turn = NS_PER_MS;
	for (unsigned i = 0; i < 10000; i++) {
		link->up = i % 2;
		sim_links_changed();
		rig_turn(r);
		n_written += was != (*carrier() == '1');
		was = *carrier() == '1';
	}
	assert_true(n_written <= 10000 / 20 + 1); /* LINKS_EVERY_NS */
	assert_true(r->n_log_lines - n_lines < 100);
	rig_turns(r, 50);
	assert_string_equal(carrier(), "1");
	rig_expect_alive(r);
}

static const char *told_mtu(void)
{
	return sim_store_get("/local/domain/1/device/vif/0/mtu");
}

/* What the hotplug script set, it told; what is changed later, vifd tells. */
static void the_guest_is_told_of_a_new_mtu(void **state)
{
	struct rig *r = *state;
	struct netdev_link *link = sim_netdev_link(EVIL_DOMID, 0);

	assert_string_equal(told_mtu(), "9000"); /* the toolstack's */
	link->mtu = 4000;
	changed(r);
	assert_string_equal(told_mtu(), "4000");
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosed);
	rig_turns_until(r, 500, rig_evil_state() == XenbusStateClosed);
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateInitialising);
	rig_turns_until(r, 500, rig_evil_state() == XenbusStateInitWait);
	evil_share(&r->evil);
	wish("feature-sg", "0");
	sim_frontend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateConnected);
	rig_turns_until(r, 500, rig_evil_state() == XenbusStateConnected);
	rig_turns(r, 5);
	assert_int_equal(link->mtu, 1500);
	link->mtu = 9000; /* the kernel's netback would have refused it */
	changed(r);
	assert_int_equal(link->mtu, 1500);
	assert_string_equal(told_mtu(), "4000");
	evil_reconnect(r);
	rig_turns(r, 5);
	assert_int_equal(link->mtu, 9000);
	rig_expect_alive(r);
}

/* ---- what it did not cause ---- */

static void frames_the_tap_loses_are_counted(void **state)
{
	static const int results[] = { -EINVAL, -EFAULT, 1, (int)PACKET_VNET_SIZE, -EAGAIN, -EBADFD };
	struct rig *r = *state;
	struct evil *e = &r->evil;
	uint8_t frame[SIM_FRAME_MAX];

	sim_frame_make(frame, 0);
	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		evil_rx(e, 1);
		evil_publish(e);
		sim_datapath_spoil_read(r->datapath, EVIL_DOMID, results[i]);
		assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, frame, sim_frame_size(0)));
		rig_turns(r, 4);
		assert_int_equal(rig_evil_counters(r).to_guest_drops[TO_GUEST_TAP_ERROR],
				 MIN(i + 1, 4));
	}
	assert_int_equal(rig_evil_counters(r).to_guest_frames, 0);
	assert_int_equal(received_behind(r, 1), 0);
	rig_expect_alive(r);
}

/* Nothing the toolstack may write for others to read keeps a vif from coming up. */
static void odd_keys_of_the_toolstack(void **state)
{
	static const char *const keys[] = { "bridge", "gatewaydev", "script", "ip",	"type",
					    "model",  "mtu",	    "vlan",   "trusted", "vifname",
					    "rate",   "forwarddev", "uuid",   "colo" };
	static const char *const values[] = { "", "-1", "99999999999999999999", "\x01\x7f",
					      "a-name-that-no-device-can-have", "\xff\xfe", "0" };
	struct rig *r = *state;
	json_t *request, *answer;

	for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
		sim_toolstack_attach(EVIL_DOMID, 1);
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			sim_backend_put(EVIL_DOMID, 1, keys[k], "%s", values[v]);
		sim_frontend_put(EVIL_DOMID, 1, "trusted", "%s", values[v]);
		rig_turns_until(r, 100, sim_toolstack_hotplug(EVIL_DOMID, 1));
		rig_turns(r, 5);
		assert_string_equal(sim_backend_get(EVIL_DOMID, 1, "state"), "2");
		request = json_pack("{s:s, s:s}", "command", "show", "vif", "vif1.1");
		answer = view_answer(&r->control, request);
		assert_true(json_is_true(json_object_get(answer, "ok")));
		assert_true(json_is_object(json_object_get(json_object_get(answer, "vif"), "settings")));
		json_decref(answer);
		json_decref(request);
		sim_toolstack_remove(EVIL_DOMID, 1);
		rig_turns_until(r, 100, !control_find(&r->control, (struct vif_id){ EVIL_DOMID, 1 }));
	}
	rig_expect_alive(r);
}

/* XSA-526: statistics are read while a guest connects with keys that make no sense. */
static void read_while_it_fails_to_connect(void **state)
{
	static const char *const commands[] = { "stats", "list", "show" };
	static const struct {
		const char *key, *value;
	} bad[] = { { "multi-queue-num-queues", "0" }, { "multi-queue-num-queues", "4" },
		    { "tx-ring-ref", "99999" },	       { "rx-ring-ref", "nonsense" },
		    { "event-channel-tx", "1" },       { "request-rx-copy", "" } };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		evil_state(XenbusStateClosed);
		rig_turns_until(r, 500, rig_evil_state() == XenbusStateClosed);
		evil_state(XenbusStateInitialising);
		rig_turns_until(r, 500, rig_evil_state() == XenbusStateInitWait);
		evil_share(&r->evil);
		wish(bad[i].key, bad[i].value);
		evil_state(XenbusStateConnected);
		for (unsigned n = 0; n < 60; n++) {
			json_t *request = json_pack("{s:s, s:s}", "command", commands[n % 3], "vif",
						    "vif1.0");
			json_t *answer = view_answer(&r->control, request);

			assert_true(json_is_true(json_object_get(answer, "ok")));
			json_decref(answer);
			json_decref(request);
			rig_turn(r);
		}
		rig_expect_disabled(r, "");
		wish("multi-queue-num-queues", "1");
	}
	evil_reconnect(r);
	rig_expect_alive(r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

/* ---- the kernel's netback, loaded while vifd serves ---- */

#define NEW_DOMID 3u

static bool netback_loaded;

static bool is_netback_loaded(void)
{
	return netback_loaded;
}

/* What its probe writes, seen on the Xen rig: InitWait, and Closing when it cannot make
 * the netdev. libxl writes online=0 along with a Closing of its own. */
static void netback_takes_a_vif(void **state)
{
	const struct vif_id new = { NEW_DOMID, 0 };
	struct rig *r = *state;

	netback_loaded = true;
	r->control.env.netback_loaded = is_netback_loaded;
	sim_backend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateInitWait);
	sim_backend_put(EVIL_DOMID, 0, "state", "%u", XenbusStateClosing);
	rig_turns_until(r, 200, rig_evil_state() == XenbusStateClosed);
	assert_non_null(strstr(rig_evil_vif(r)->error, "rmmod xen-netback"));
	assert_true(netfront_is_connected(&r->good.nf));

	sim_toolstack_attach(NEW_DOMID, 0);
	rig_turns(r, 20);
	assert_null(control_find(&r->control, new));
	assert_string_equal(sim_backend_get(NEW_DOMID, 0, "state"), "1");
	netback_loaded = false;
	sim_backend_put(NEW_DOMID, 0, "online", "1");
	rig_turns_until(r, 200, control_find(&r->control, new));
	sim_toolstack_remove(NEW_DOMID, 0);
	rig_turns_until(r, 200, !control_find(&r->control, new));
}

static void a_detach_is_no_netbacks(void **state)
{
	struct rig *r = *state;

	netback_loaded = true;
	r->control.env.netback_loaded = is_netback_loaded;
	sim_toolstack_detach(EVIL_DOMID, 0);
	rig_turns_until(r, 200, rig_evil_state() == XenbusStateClosed);
	assert_string_equal(rig_evil_vif(r)->error, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_filter_is_applied_if_asked_for),
		CASE(the_filter_is_sampled_at_connect),
		CASE(nonsense_is_no_wish),
		CASE(sixty_four_addresses),
		CASE(a_hundred_thousand_requests),
		CASE(changed_while_in_use),
		CASE(dummies_that_lie),
		CASE(the_datapath_dies),
		CASE(wishes_that_change_all_the_time),
		CASE(a_program_comes_and_goes),
		CASE(headrooms_that_are_none),
		CASE(a_headroom_that_changes_under_traffic),
		CASE(reconfiguring_for_ever),
		CASE(the_carrier_follows_the_netdev),
		CASE(a_routed_vif_has_a_carrier),
		CASE(a_new_connection_begins_with_a_carrier),
		CASE(links_that_change_all_the_time),
		CASE(the_guest_is_told_of_a_new_mtu),
		CASE(frames_the_tap_loses_are_counted),
		CASE(odd_keys_of_the_toolstack),
		CASE(read_while_it_fails_to_connect),
		CASE(netback_takes_a_vif),
		CASE(a_detach_is_no_netbacks),
	};

	return cmocka_run_group_tests_name("wishes", tests, NULL, NULL);
}
