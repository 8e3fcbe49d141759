/* SPDX-License-Identifier: MIT */
/*
 * What a guest sends, past the bridge, on the stepped system: which frames leave by the NIC,
 * in which order they reach the wire, and that none does with a source that is not the vif's,
 * whatever the guest does while it is sent.
 */
#include "tests/hostile/rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/netif.h>

#include "backend/datapath/queue.h"
#include "tests/sim/sim_datapath.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/sim_transmit.h"
#include "tests/unit/frames.h"

static const uint8_t station[6] = { 2, 0, 0, 0, 0, 7 };
static const uint8_t own[6] = { 0x00, 0x16, 0x3e, 0x77, 0, EVIL_DOMID };
static const uint8_t other[6] = { 0x00, 0x16, 0x3e, 0x77, 0, GOOD_DOMID };

/* What has reached the wire, by both ways. */
static struct wire {
	uint32_t n_by_nic, n_by_bridge;
	uint32_t n_foreign_by_nic;
	uint32_t last, n_late; /* number of the last frame; of those that came after a later one */
	uint8_t frame[NIC_TRANSMIT_MAX];
	size_t size;
} wire;

/* The bridge's queue: frames the guest sent that way and when they leave the host. */
static struct {
	uint32_t number;
	uint64_t leaves_ns;
} bridge[4096];
static uint32_t bridge_head, bridge_tail;
static uint64_t bridge_delay_ns; /* most that a frame takes on its way */

#define NUMBER_AT 40u /* in the frame: TCP's sequence number and what follows is rubbish */

static void reaches_wire(uint32_t number)
{
	wire.n_late += number < wire.last;
	wire.last = number;
}

static void by_nic(void *arg, const uint8_t *frame, size_t size)
{
	uint32_t number;

	(void)arg;
	wire.n_by_nic++;
	wire.n_foreign_by_nic += memcmp(frame + 6, own, 6) != 0;
	memcpy(wire.frame, frame, size);
	wire.size = size;
	memcpy(&number, frame + NUMBER_AT, sizeof(number));
	reaches_wire(number);
}

static void by_bridge(struct rig *r, const uint8_t *frame, size_t size)
{
	wire.n_by_bridge++;
	assert_true(size > NUMBER_AT + 4);
	memcpy(&bridge[bridge_head % ARRAY_SIZE(bridge)].number, frame + NUMBER_AT, 4);
	bridge[bridge_head++ % ARRAY_SIZE(bridge)].leaves_ns =
	    r->now_ns + (bridge_delay_ns ? (uint64_t)random() % bridge_delay_ns : 0);
	assert_true(bridge_head - bridge_tail < ARRAY_SIZE(bridge));
}

/* A queue: none passes another. */
static void bridge_runs(struct rig *r)
{
	while (bridge_tail != bridge_head &&
	       bridge[bridge_tail % ARRAY_SIZE(bridge)].leaves_ns <= r->now_ns)
		reaches_wire(bridge[bridge_tail++ % ARRAY_SIZE(bridge)].number);
}

static void turn(struct rig *r)
{
	rig_turn(r);
	bridge_runs(r);
}

static struct placement *placed(struct rig *r)
{
	return &rig_evil_vif(r)->placement;
}

static int start(void **state)
{
	struct rig *r = rig_start_nic();

	wire = (struct wire){ .last = 0 };
	bridge_head = bridge_tail = 0;
	bridge_delay_ns = 0;
	r->evil_sent = by_bridge;
	sim_transmit_to(by_nic, NULL);
	sim_bridge_knows(station, SIM_NIC_IFINDEX);
	rig_turns_until(r, 100, placed(r)->state == PLACED_NIC);
	rig_turns(r, 3); /* the queue rests first */
	*state = r;
	return 0;
}

static int end(void **state)
{
	sim_transmit_to(NULL, NULL);
	return rig_teardown(state);
}

/* ---- frames ---- */

enum kind { PLAIN, BLANK, GSO };

static struct frame built;

/* In the guest's memory: two in each page. */
static uint8_t *place_of(const struct evil *e, uint32_t number)
{
	return e->tx_memory + (size_t)(number % EVIL_PAGES) * XEN_PAGE +
	       number / EVIL_PAGES % 2 * 1024;
}

/* Of a flow, numbered. */
static void put(struct rig *r, enum kind kind, const uint8_t *to, const uint8_t *from,
		uint32_t number)
{
	struct evil *e = &r->evil;
	uint8_t *at = place_of(e, number);

	frame_build(&built, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP,
						  .payload = kind == GSO ? 3000 : 100 });
	put_be16(built.bytes + built.csum_at, frame_checksum(&built));
	memcpy(at, built.bytes, built.size);
	memcpy(at, to, 6);
	memcpy(at + 6, from, 6);
	memcpy(at + NUMBER_AT, &number, sizeof(number));
	evil_tx(e, number % EVIL_PAGES, (uint16_t)((at - e->tx_memory) % XEN_PAGE),
		(uint16_t)built.size,
		kind == GSO   ? NETTXF_extra_info | NETTXF_csum_blank | NETTXF_data_validated :
		kind == BLANK ? NETTXF_csum_blank | NETTXF_data_validated :
				0);
	if (kind == GSO)
		evil_tx_gso(e, XEN_NETIF_GSO_TYPE_TCPV4, 1000, 0);
}

static void show(struct rig *r)
{
	evil_publish(&r->evil);
	evil_notify(&r->evil);
}

static void send_one(struct rig *r, enum kind kind, const uint8_t *to, const uint8_t *from,
		     uint32_t number)
{
	put(r, kind, to, from, number);
	show(r);
	turn(r);
	turn(r);
}

/* ---- which way ---- */

static void to_a_station_behind_it(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_nic, 1);
	assert_int_equal(wire.n_by_bridge, 0);
	assert_int_equal(wire.size, built.size);
	assert_memory_equal(wire.frame, station, 6);
	n = rig_evil_counters(r);
	assert_int_equal(n.from_guest_frames, 1);
	assert_int_equal(n.from_guest_nic_frames, 1);
	assert_int_equal(n.from_guest_bytes, built.size);
}

static void a_blank_checksum_is_finished(void **state)
{
	struct rig *r = *state;
	uint32_t number = 1;

	send_one(r, BLANK, station, own, number);
	assert_int_equal(wire.n_by_nic, 1);
	memcpy(built.bytes, station, 6);
	memcpy(built.bytes + 6, own, 6);
	memcpy(built.bytes + NUMBER_AT, &number, sizeof(number));
	put_be16(built.bytes + built.csum_at, frame_checksum(&built));
	assert_memory_equal(wire.frame, built.bytes, built.size);
}

static void all_else_takes_the_bridge(void **state)
{
	static const uint8_t nobody[6] = { 2, 0, 0, 0, 0, 8 }, group[6] = { 1, 0, 0x5e, 0, 0, 1 };
	struct rig *r = *state;

	send_one(r, PLAIN, nobody, own, 1);
	send_one(r, PLAIN, other, own, 2);
	send_one(r, PLAIN, group, own, 3);
	send_one(r, GSO, station, own, 4);
	assert_int_equal(wire.n_by_nic, 0);
	assert_int_equal(wire.n_by_bridge, 4);
	assert_int_equal(rig_evil_counters(r).from_guest_nic_foreign, 0);
}

static void a_foreign_source_takes_the_bridge(void **state)
{
	struct rig *r = *state;

	send_one(r, PLAIN, station, other, 1);
	assert_int_equal(wire.n_by_nic, 0);
	assert_int_equal(wire.n_by_bridge, 1);
	assert_int_equal(rig_evil_counters(r).from_guest_nic_foreign, 1);
}

/* Known behind the NIC is who is there now, as far as the bridge has said. */
static void a_station_that_moves(void **state)
{
	struct rig *r = *state;

	sim_bridge_knows(station, 7);
	turn(r);
	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_bridge, 1);
	sim_bridge_knows(station, SIM_NIC_IFINDEX);
	rig_turns(r, 3);
	send_one(r, PLAIN, station, own, 2);
	assert_int_equal(wire.n_by_nic, 1);
	sim_bridge_news_lost();
	turn(r);
	send_one(r, PLAIN, station, own, 3);
	assert_int_equal(wire.n_by_bridge, 2);
	sim_bridge_knows(station, SIM_NIC_IFINDEX);
	rig_turns(r, 3);
	send_one(r, PLAIN, station, own, 4);
	assert_int_equal(wire.n_by_nic, 2);
	sim_bridge_knows(station, 0);
	turn(r);
	send_one(r, PLAIN, station, own, 5);
	assert_int_equal(wire.n_by_bridge, 3);
	assert_int_equal(wire.n_late, 0);
}

static void not_without_a_place(void **state)
{
	struct rig *r = *state;

	placed(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 100, placed(r)->state == PLACED_BRIDGE);
	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_bridge, 1);
	placed(r)->wish = PLACEMENT_AUTO;
	rig_turns_until(r, 100, placed(r)->state == PLACED_NIC);
	rig_turns(r, 3);
	send_one(r, PLAIN, station, own, 2);
	assert_int_equal(wire.n_by_nic, 1);
}

/* A locked port is the bridge's to watch, and nobody is made known there but by who locked it. */
static void not_of_a_locked_port(void **state)
{
	struct rig *r = *state;
	uint64_t told;

	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_nic, 1);
	sim_netdev_link(EVIL_DOMID, 0)->locked = true;
	sim_netdev_link(EVIL_DOMID, 0)->no_learning = true;
	sim_links_changed();
	told = sim_learned(own, 0);
	rig_turns_until(r, 100, placed(r)->state != PLACED_NIC);
	rig_turns_until(r, 100, placed(r)->state == PLACED_NIC);
	rig_turns(r, 3);
	send_one(r, PLAIN, station, own, 2);
	assert_int_equal(wire.n_by_nic, 1);
	assert_int_equal(wire.n_by_bridge, 1);
	r->ns_per_turn = SIM_AGEING_NS / 100;
	rig_turns(r, 200);
	assert_int_equal(sim_learned(own, 0), told);
}

/* To the bridge the guest is silent otherwise, and forgotten. */
static void the_bridge_remembers_the_guest(void **state)
{
	struct rig *r = *state;
	uint64_t told = sim_learned(own, 0);

	rig_turns(r, (unsigned)(2 * SIM_AGEING_NS / r->ns_per_turn));
	assert_int_equal(sim_learned(own, 0), told);
	for (uint32_t i = 1; i <= 2 * SIM_AGEING_NS / (4 * r->ns_per_turn); i++) {
		send_one(r, PLAIN, station, own, i);
		rig_turns(r, 2);
	}
	assert_in_range(sim_learned(own, 0) - told, 2 * 2, 2 * 5);
}

/* ---- order ---- */

/* Its way is closed while frames wait in the device: they are waited for, and not for ever. */
static void the_bridge_waits_for_the_nic(void **state)
{
	struct rig *r = *state;

	r->ns_per_turn = NS_PER_MS;
	sim_transmit_be_busy(true);
	send_one(r, PLAIN, station, own, 1);
	send_one(r, GSO, station, own, 2);
	send_one(r, PLAIN, station, own, 3);
	assert_int_equal(sim_transmit_waiting(), 1);
	assert_int_equal(wire.n_by_bridge, 0);
	sim_transmit_run(1);
	rig_turns(r, 2);
	bridge_runs(r);
	assert_int_equal(wire.n_by_bridge, 2);
	assert_int_equal(wire.n_late, 0);
	/* A device that never gets on holds a guest up for no longer than that. */
	rig_turns(r, 20);
	send_one(r, PLAIN, station, own, 4);
	send_one(r, GSO, station, own, 5);
	assert_int_equal(wire.n_by_bridge, 2);
	rig_turns(r, (unsigned)(QUEUE_PATIENCE_NS / r->ns_per_turn) + 1);
	assert_int_equal(wire.n_by_bridge, 3);
	/* And gets no more of its frames until it does. */
	rig_turns(r, 2 * (unsigned)(QUEUE_PATIENCE_NS / r->ns_per_turn));
	send_one(r, PLAIN, station, own, 6);
	assert_int_equal(wire.n_by_bridge, 4);
	assert_int_equal(sim_transmit_waiting(), 1);
	sim_transmit_run(1);
	rig_turns(r, 20);
	send_one(r, PLAIN, station, own, 7);
	assert_int_equal(sim_transmit_waiting(), 1);
}

/* The place ends: what went there is waited for, whoever sends what afterwards. */
static void the_end_waits_for_the_nic(void **state)
{
	struct rig *r = *state;

	r->ns_per_turn = NS_PER_MS;
	sim_transmit_be_busy(true);
	send_one(r, PLAIN, station, own, 1);
	placed(r)->wish = PLACEMENT_BRIDGE;
	rig_turns(r, (unsigned)(QUEUE_PATIENCE_NS / r->ns_per_turn) / 2);
	assert_int_not_equal(placed(r)->state, PLACED_BRIDGE);
	send_one(r, PLAIN, station, own, 2);
	assert_int_equal(wire.n_by_bridge, 0);
	sim_transmit_run(1);
	rig_turns_until(r, 30, placed(r)->state == PLACED_BRIDGE);
	bridge_runs(r);
	assert_int_equal(wire.n_by_bridge, 1);
	assert_int_equal(wire.n_late, 0);
	/* Not for ever. */
	placed(r)->wish = PLACEMENT_AUTO;
	rig_turns_until(r, 100, placed(r)->state == PLACED_NIC);
	rig_turns(r, 20);
	send_one(r, PLAIN, station, own, 3);
	assert_int_equal(sim_transmit_waiting(), 1);
	placed(r)->wish = PLACEMENT_BRIDGE;
	rig_turns_until(r, 200, placed(r)->state == PLACED_BRIDGE);
	send_one(r, PLAIN, station, own, 4);
	assert_int_equal(wire.n_by_bridge, 2);
}

/* While one waits no more are taken: they would use up the packets the TAP is read into, and
 * nobody would say when there are some again. */
static void what_waits_leaves_room_for_the_tap(void **state)
{
	struct rig *r = *state;
	uint32_t number = 1, n_taken;

	r->ns_per_turn = NS_PER_MS / 4;
	sim_transmit_be_busy(true);
	evil_rx(&r->evil, EVIL_PAGES);
	send_one(r, PLAIN, station, own, number++);
	put(r, GSO, station, own, number++);
	show(r);
	rig_turns(r, 2);
	n_taken = r->evil.tx->rsp_prod;
	assert_int_equal(n_taken, 3); /* a GSO frame has two slots */
	while (number < QUEUE_PACKETS + 16)
		put(r, PLAIN, station, own, number++);
	show(r);
	rig_turns(r, 10);
	assert_int_equal(r->evil.tx->rsp_prod, n_taken);
	assert_int_equal(wire.n_by_bridge, 0);
	for (uint32_t i = 0; i < QUEUE_READ_MAX; i++)
		assert_true(sim_datapath_give(r->datapath, EVIL_DOMID, built.bytes, built.size));
	rig_turns(r, 2);
	assert_int_equal(r->evil.rx->rsp_prod, QUEUE_READ_MAX);
	sim_transmit_run(1);
	rig_turns(r, 10);
	assert_int_equal(wire.n_by_bridge, number - 2);
	assert_int_equal(wire.n_late, 0);
}

/* A flow that never rests and needs the bridge no more gets back to the NIC. */
static void a_flow_without_a_rest(void **state)
{
	static const uint8_t late[6] = { 2, 0, 0, 0, 0, 9 };
	struct rig *r = *state;
	uint32_t number = 1;

	r->ns_per_turn = NS_PER_MS;
	bridge_delay_ns = NIC_SETTLE_NS - 1;
	for (; number < 100; number++)
		send_one(r, PLAIN, late, own, number);
	assert_int_equal(wire.n_by_nic, 0);
	sim_bridge_knows(late, SIM_NIC_IFINDEX);
	for (; number < 1100; number++)
		send_one(r, PLAIN, late, own, number);
	assert_int_equal(wire.n_late, 0);
	assert_true(wire.n_by_nic > 300);
}

/* Everything at any moment: kinds of frames, a busy device, a slow bridge, swaps. */
static void any_order(struct rig *r, unsigned every, unsigned turns)
{
	uint32_t number = 1;

	srandom(11);
	r->ns_per_turn = NS_PER_MS;
	bridge_delay_ns = NIC_SETTLE_NS - 1;
	sim_transmit_be_busy(true);
	for (unsigned i = 0; i < turns; i++) {
		uint32_t n = (uint32_t)random() % 4, done = r->evil.tx->rsp_prod;

		/* No page is rewritten before it is answered. */
		if (r->evil.tx_prod - done < EVIL_PAGES / 2 && i % 97 < 80)
			for (; n; n--)
				put(r, (uint32_t)random() % 50 ? (uint32_t)random() % 2 : GSO, station,
				    own, number++);
		show(r);
		if (i % 500 == 250)
			placed(r)->wish = i % 1000 == 250 ? PLACEMENT_BRIDGE : PLACEMENT_AUTO;
		turn(r);
		if (i % every == 0)
			sim_transmit_run(SIM_TRANSMIT_SIZE);
	}
	for (unsigned i = 0; i < 4; i++) {
		sim_transmit_run(SIM_TRANSMIT_SIZE);
		rig_turns(r, 20);
		bridge_runs(r);
	}
	assert_int_equal(wire.n_by_nic + wire.n_by_bridge, number - 1);
	assert_int_equal(wire.n_late, 0);
	assert_true(wire.n_by_nic > 1000);
	assert_true(wire.n_by_bridge > 1000);
}

static void any_order_of_events(void **state)
{
	struct rig *r = *state;

	any_order(r, 7, 6000);
	assert_int_equal(rig_evil_counters(r).from_guest_nic_full, 0);
}

/* One whose turn comes just in time, as on a machine with too much to do. */
static void a_slow_device(void **state)
{
	any_order(*state, (unsigned)(QUEUE_PATIENCE_NS / NS_PER_MS) - 2, 30000);
}

/* More than the device takes waits, and is counted. If it does not get on it takes the bridge. */
static void more_than_fits(void **state)
{
	struct rig *r = *state;

	r->ns_per_turn = NS_PER_MS;
	sim_transmit_be_busy(true);
	for (uint32_t i = 1; i <= SIM_TRANSMIT_SIZE + 6; i++) {
		put(r, PLAIN, station, own, i);
		show(r);
		turn(r);
	}
	turn(r);
	assert_int_equal(sim_transmit_waiting(), SIM_TRANSMIT_SIZE);
	assert_in_range(rig_evil_counters(r).from_guest_nic_full, 6, 20);
	sim_transmit_run(3);
	rig_turns(r, (unsigned)(QUEUE_PATIENCE_NS / r->ns_per_turn) - 2);
	assert_int_equal(sim_transmit_waiting(), SIM_TRANSMIT_SIZE);
	sim_transmit_run(SIM_TRANSMIT_SIZE);
	rig_turns(r, 2);
	assert_int_equal(sim_transmit_waiting(), 3);
	for (uint32_t i = SIM_TRANSMIT_SIZE + 7; i <= 2 * SIM_TRANSMIT_SIZE + 10; i++) {
		put(r, PLAIN, station, own, i);
		show(r);
		turn(r);
	}
	assert_int_equal(wire.n_by_bridge, 0);
	rig_turns(r, (unsigned)(QUEUE_PATIENCE_NS / r->ns_per_turn) + 2);
	assert_int_equal(wire.n_by_bridge, 7);
	sim_transmit_run(SIM_TRANSMIT_SIZE);
	assert_int_equal(wire.n_by_nic + wire.n_by_bridge, 2 * SIM_TRANSMIT_SIZE + 10);
	rig_expect_alive(r);
}

/* ---- trust ---- */

static uint32_t n_rewritten;

/* Between the moment the requests were read and the copy, and whenever else the guest is
 * awake, its page says something else. */
static void rewrite(struct rig *r, xengnttab_grant_copy_segment_t *ops, uint32_t n)
{
	(void)ops;
	(void)n;
	for (uint32_t i = 0; i < 2 * EVIL_PAGES; i++) {
		uint8_t *at = place_of(&r->evil, i);

		memcpy(at + 6, random() % 2 ? own : other, 6);
	}
	n_rewritten++;
}

static void the_source_is_rewritten(void **state)
{
	struct rig *r = *state;
	struct queue_counters n;

	srandom(13);
	r->before_copy = rewrite;
	for (uint32_t i = 1; i <= 2000; i++) {
		put(r, PLAIN, station, random() % 2 ? own : other, i);
		show(r);
		rewrite(r, NULL, 0);
		turn(r);
		rewrite(r, NULL, 0);
		turn(r);
	}
	n = rig_evil_counters(r);
	assert_true(n_rewritten > 4000);
	assert_int_equal(wire.n_foreign_by_nic, 0);
	assert_int_equal(wire.n_by_nic, n.from_guest_nic_frames);
	assert_int_equal(wire.n_by_nic + wire.n_by_bridge, 2000);
	assert_true(n.from_guest_nic_foreign > 500);
	assert_true(n.from_guest_nic_frames > 100);
}

/* Frames that wait for the device when the vif goes, or the datapath dies. */
static void the_end_comes_first(void **state)
{
	struct rig *r = *state;

	sim_transmit_be_busy(true);
	put(r, PLAIN, station, own, 1);
	put(r, GSO, station, own, 2);
	put(r, PLAIN, station, own, 3);
	show(r);
	turn(r);
	sim_datapath_kill(r->datapath);
	rig_turns_until(r, 2000, placed(r)->state == PLACED_NIC);
	rig_good_carries(r, 100);
	sim_transmit_be_busy(true);
	rig_turns(r, 5);
	put(r, PLAIN, station, own, 4);
	put(r, GSO, station, own, 5);
	show(r);
	turn(r);
	sim_toolstack_detach(EVIL_DOMID, 0);
	rig_turns_until(r, 1000, !strcmp(sim_backend_get(EVIL_DOMID, 0, "state"), "6"));
	rig_good_carries(r, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
		T(to_a_station_behind_it),	 T(a_blank_checksum_is_finished),
		T(all_else_takes_the_bridge),	 T(a_foreign_source_takes_the_bridge),
		T(a_station_that_moves),	 T(not_without_a_place),
		T(not_of_a_locked_port),
		T(the_bridge_remembers_the_guest), T(the_bridge_waits_for_the_nic),
		T(what_waits_leaves_room_for_the_tap), T(a_flow_without_a_rest),
		T(any_order_of_events),		 T(a_slow_device),
		T(the_end_waits_for_the_nic),	 T(more_than_fits),
		T(the_source_is_rewritten),	 T(the_end_comes_first),
#undef T
	};

	return cmocka_run_group_tests_name("transmit", tests, NULL, NULL);
}
