/* SPDX-License-Identifier: MIT */
/*
 * What a guest sends by the NIC where its bridge filters VLANs, on the stepped system: with the
 * tag the bridge would have put on it, to stations known in its VLAN, and never into another one,
 * whatever tags the guest puts into its frames and whenever.
 */
#include "tests/nic/transmit_rig.h"

#include <stdlib.h>
#include <string.h>

#include "backend/datapath/queue.h"
#include "tests/sim/sim_datapath.h"
#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_transmit.h"

/* The guest's frames have no tag, those on the wire that of VLAN 10; neither has one; both do. */
static const struct vlan_form access_port = { 10, 10, .tag_off = true }, native = { .vlan = 10 },
			      trunk = { .vlan = 10, .on_wire = 10 };

#define Q(word)	 (0x81000000u | (word))
#define AD(word) (0x88a80000u | (word))
#define PRIORITY 0xa000u

/* The vif is in a place by that form; stations are known as they are said to be. */
static void join_in(struct rig *r, struct vlan_form form)
{
	uint64_t moves = placed(r)->n_moves;

	sim_netdev_form(EVIL_DOMID, 0)->form = form;
	rig_turns_until(r, 200, placed(r)->state == PLACED_NIC && placed(r)->n_moves >= moves + 2);
	rig_turns(r, 3);
}

/* No frame of its has taken the bridge lately. */
static void rest(struct rig *r)
{
	rig_turns(r, (unsigned)(NIC_SETTLE_NS / r->ns_per_turn) + 2);
}

/* The last frame by the NIC is the last one built, with that tag put in; 0: as it is. */
static void has_got(uint32_t tag)
{
	uint8_t expected[4];

	put_be16(expected, tag >> 16);
	put_be16(expected + 2, tag & 0xffff);
	assert_memory_equal(wire.frame, built.bytes, 12);
	if (tag)
		assert_memory_equal(wire.frame + 12, expected, 4);
	assert_int_equal(wire.size, built.size + (tag ? 4 : 0));
	assert_memory_equal(wire.frame + (tag ? 16 : 12), built.bytes + 12, built.size - 12);
}

/* ---- what is sent ---- */

static void the_tag_is_put_on(void **state)
{
	struct rig *r = *state;
	uint64_t n_bytes;

	join_in(r, access_port);
	sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
	turn(r);
	n_bytes = rig_evil_counters(r).from_guest_bytes;
	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_nic, 1);
	has_got(Q(10));
	/* Into a copy: not into the guest's memory, nor does its size count. */
	assert_memory_equal(place_of(&r->evil, 1), built.bytes, built.size);
	assert_int_equal(rig_evil_counters(r).from_guest_bytes - n_bytes, built.size);
	send_one(r, BLANK, station, own, 2);
	assert_int_equal(wire.n_by_nic, 2);
	put_be16(built.bytes + built.csum_at, frame_checksum(&built)); /* finished */
	has_got(Q(10));
	assert_int_equal(wire.n_by_bridge, 0);
}

static void without_one_as_it_is(void **state)
{
	struct rig *r = *state;

	join_in(r, native);
	sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
	turn(r);
	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_nic, 1);
	has_got(0);
}

/* The bridge takes the guest's frames in another form than it gives them: it has all of them. */
static void not_one_way(void **state)
{
	const struct vlan_form forms[] = { { 10, 10, .tag_off = true, .one_way = true },
					   { .vlan = 10, .one_way = true } };
	struct rig *r = *state;

	for (uint32_t i = 0; i < ARRAY_SIZE(forms); i++) {
		join_in(r, forms[i]);
		sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
		rest(r);
		send_one(r, PLAIN, station, own, i + 1);
	}
	/* Nothing else of the place may change when that ends. */
	join_in(r, native);
	rest(r);
	assert_int_equal(wire.n_by_bridge, 2);
	send_one(r, PLAIN, station, own, 3);
	assert_int_equal(wire.n_by_nic, 1);
}

/* The same station may be elsewhere in another VLAN, or unknown there. */
static void known_in_its_vlan(void **state)
{
	struct rig *r = *state;

	join_in(r, access_port); /* it is known of a bridge without VLANs */
	send_one(r, PLAIN, station, own, 1);
	sim_bridge_knows_in(station, 11, SIM_NIC_IFINDEX);
	turn(r);
	send_one(r, PLAIN, station, own, 2);
	assert_int_equal(wire.n_by_bridge, 2);
	sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
	rest(r);
	send_one(r, PLAIN, station, own, 3);
	assert_int_equal(wire.n_by_nic, 1);
	sim_bridge_knows_in(station, 11, 0);
	turn(r);
	send_one(r, PLAIN, station, own, 4);
	assert_int_equal(wire.n_by_nic, 2);
	sim_bridge_knows_in(station, 10, 7); /* it moves behind another port */
	turn(r);
	send_one(r, PLAIN, station, own, 5);
	assert_int_equal(wire.n_by_bridge, 3);
	assert_int_equal(wire.n_late, 0);
}

/* To the bridge the guest is silent otherwise, and forgotten: in its VLAN. */
static void the_bridge_remembers_the_guest(void **state)
{
	struct rig *r = *state;
	uint64_t told = sim_learned(own, 10), elsewhere = sim_learned(own, 0);

	join_in(r, access_port);
	sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
	turn(r);
	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_nic, 1);
	rig_turns(r, (unsigned)(SIM_AGEING_NS / r->ns_per_turn));
	assert_int_equal(sim_learned(own, 10), told + 1);
	assert_int_equal(sim_learned(own, 0), elsewhere);
}

/* ---- the guest's own tags ---- */

struct tagged {
	struct tags tags;
	bool by_nic;
};

static void goes_as_said(struct rig *r, struct vlan_form form, const struct tagged all[], size_t n)
{
	join_in(r, form);
	sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
	sim_bridge_knows_in(station, 11, SIM_NIC_IFINDEX);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t before = wire.n_by_nic;

		rest(r);
		tags = all[i].tags;
		send_one(r, PLAIN, station, own, i + 1);
		if (wire.n_by_nic - before != all[i].by_nic)
			fail_msg("frame %u, tag %08x: by the %s", i, tags.tag[0],
				 all[i].by_nic ? "bridge" : "NIC");
		if (all[i].by_nic)
			has_got(form.tag_off ? Q(10) : 0);
	}
	assert_int_equal(wire.n_by_nic + wire.n_by_bridge, n);
	assert_int_equal(wire.n_late, 0);
}

/* Its own VLAN's as well: the bridge takes those if the port is in it, or drops them. */
static const struct tagged of_an_untagged[] = {
	{ { 0, { 0 } }, true },
	{ { 1, { Q(10) } }, false },
	{ { 1, { Q(11) } }, false },
	{ { 1, { Q(0) } }, false },
	{ { 1, { Q(PRIORITY) } }, false },
	{ { 1, { Q(PRIORITY | 10) } }, false },
	{ { 1, { Q(0xfff) } }, false },
	{ { 1, { AD(10) } }, false },
	{ { 1, { AD(0) } }, false },
	{ { 2, { Q(10), Q(11) } }, false },
	{ { 2, { AD(10), Q(10) } }, false },
	{ { 0, { 0 } }, true },
};

static void tags_of_an_access_port(void **state)
{
	goes_as_said(*state, access_port, of_an_untagged, ARRAY_SIZE(of_an_untagged));
}

static void tags_of_a_native_port(void **state)
{
	goes_as_said(*state, native, of_an_untagged, ARRAY_SIZE(of_an_untagged));
}

static void tags_of_a_trunk(void **state)
{
	static const struct tagged frames[] = {
		{ { 1, { Q(10) } }, true },
		{ { 1, { Q(PRIORITY | 10) } }, true },
		{ { 0, { 0 } }, false },
		{ { 1, { Q(11) } }, false },
		{ { 1, { Q(0) } }, false },
		{ { 1, { Q(PRIORITY) } }, false },
		{ { 1, { Q(0x10a) } }, false },
		{ { 1, { AD(10) } }, false },
		{ { 2, { Q(10), Q(11) } }, false },
		{ { 2, { Q(10), Q(10) } }, false },
		{ { 2, { Q(10), AD(11) } }, false },
		{ { 2, { AD(10), Q(10) } }, false },
		{ { 1, { Q(10) } }, true },
	};

	goes_as_said(*state, trunk, frames, ARRAY_SIZE(frames));
}

/* A tag that is not all there. */
static void half_a_tag(void **state)
{
	const struct vlan_form forms[] = { access_port, trunk };
	struct rig *r = *state;

	r->evil_sent = NULL;
	for (uint32_t i = 0; i < ARRAY_SIZE(forms); i++) {
		join_in(r, forms[i]);
		sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
		tags = (struct tags){ 1, { Q(10) } };
		for (uint16_t size = 14; size < 18; size++) {
			uint32_t before = r->evil.n_bridge;

			put(r, PLAIN, station, own, size);
			r->evil.tx->ring[(r->evil.tx_prod - 1) % RING_SLOTS].req.size = size;
			show(r);
			rig_turns(r, 2);
			assert_int_equal(r->evil.n_bridge, before + 1);
		}
	}
	assert_int_equal(wire.n_by_nic, 0);
}

/* What the bridge takes off or puts on does not count for its MTU; the guest's own tag neither. */
static void as_long_as_by_the_bridge(void **state)
{
	struct rig *r = *state;

	join_in(r, access_port);
	sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
	turn(r);
	payload = 1500 - 40;
	send_one(r, PLAIN, station, own, 1);
	assert_int_equal(wire.n_by_nic, 1);
	assert_int_equal(wire.size, 1518);
	payload++;
	send_one(r, PLAIN, station, own, 2);
	assert_int_equal(wire.n_by_bridge, 1);
	join_in(r, trunk);
	sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
	turn(r);
	payload--;
	tags = (struct tags){ 1, { Q(10) } };
	send_one(r, PLAIN, station, own, 3);
	assert_int_equal(wire.n_by_nic, 2);
	assert_int_equal(wire.size, 1518);
	payload++;
	send_one(r, PLAIN, station, own, 4);
	assert_int_equal(wire.n_by_bridge, 2);
}

/* ---- at any moment ---- */

static uint32_t ethertype_at(const uint8_t *frame, uint32_t at)
{
	return get_be16(frame + at);
}

static bool is_tag(uint32_t ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8;
}

static uint32_t n_tagged;

/* Exactly one tag, of its VLAN. */
static void is_in_vlan_10(const uint8_t *frame, size_t size)
{
	assert_true(size > 18);
	assert_int_equal(ethertype_at(frame, 12), 0x8100);
	assert_int_equal(get_be16(frame + 14) & 0xfff, 10);
	assert_false(is_tag(ethertype_at(frame, 16)));
	n_tagged++;
}

static void has_no_tag(const uint8_t *frame, size_t size)
{
	assert_true(size > 14);
	assert_false(is_tag(ethertype_at(frame, 12)));
}

/* What the device has no room for waits, as the guest sent it: it gets its tag once. */
static void what_waits_is_tagged_once(void **state)
{
	struct rig *r = *state;
	const uint32_t n = 3 * SIM_TRANSMIT_SIZE;

	join_in(r, access_port);
	sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
	turn(r);
	n_tagged = 0;
	wire.each = is_in_vlan_10;
	r->ns_per_turn = NS_PER_MS;
	sim_transmit_be_busy(true);
	for (uint32_t i = 1; i <= n; i++) {
		put(r, PLAIN, station, own, i);
		show(r);
		turn(r);
		if (i % 2)
			sim_transmit_run(1);
	}
	assert_true(rig_evil_counters(r).from_guest_nic_full > 0);
	for (uint32_t i = 0; i < n; i++) {
		sim_transmit_run(1);
		turn(r);
	}
	assert_int_equal(n_tagged, n);
	assert_int_equal(wire.n_late, 0);
}

static const uint8_t headers[][10] = {
	{ 0x08, 0x00, 0x45, 0x00 },
	{ 0x81, 0x00, 0x00, 0x0a, 0x08, 0x00 },
	{ 0x81, 0x00, 0x00, 0x0b, 0x08, 0x00 },
	{ 0x81, 0x00, 0x00, 0x00, 0x08, 0x00 },
	{ 0x88, 0xa8, 0x00, 0x0b, 0x08, 0x00 },
	{ 0x81, 0x00, 0x00, 0x0a, 0x81, 0x00, 0x00, 0x0b, 0x08, 0x00 },
	{ 0x88, 0xa8, 0x00, 0x0a, 0x81, 0x00, 0x00, 0x0b, 0x08, 0x00 },
};
static uint32_t n_rewritten;

/* Between the moment the requests were read and the copy, and whenever else the guest is awake,
 * its frames have other tags, and other sources. */
static void rewrite(struct rig *r, xengnttab_grant_copy_segment_t *ops, uint32_t n)
{
	(void)ops;
	(void)n;
	for (uint32_t i = 0; i < 2 * EVIL_PAGES; i++) {
		uint8_t *at = place_of(&r->evil, i);

		memcpy(at + 6, random() % 4 ? own : other, 6);
		memcpy(at + 12, headers[(size_t)random() % ARRAY_SIZE(headers)],
		       sizeof(headers[0]));
	}
	n_rewritten++;
}

static void rewritten(struct rig *r, struct vlan_form form)
{
	const uint32_t n_frames = 2000;

	join_in(r, form);
	sim_bridge_knows_in(station, 10, SIM_NIC_IFINDEX);
	sim_bridge_knows_in(station, 11, SIM_NIC_IFINDEX);
	turn(r);
	srandom(17);
	r->before_copy = rewrite;
	r->ns_per_turn = NIC_SETTLE_NS;
	wire.each = form.on_wire ? is_in_vlan_10 : has_no_tag;
	for (uint32_t i = 1; i <= n_frames; i++) {
		put(r, PLAIN, station, own, i);
		show(r);
		rewrite(r, NULL, 0);
		turn(r);
		rewrite(r, NULL, 0);
		turn(r);
	}
	assert_true(n_rewritten > 2 * n_frames);
	assert_int_equal(wire.n_foreign_by_nic, 0);
	assert_int_equal(wire.n_by_nic, rig_evil_counters(r).from_guest_nic_frames);
	assert_int_equal(wire.n_by_nic + wire.n_by_bridge, n_frames);
	assert_true(wire.n_by_nic > 100);
	assert_true(wire.n_by_bridge > n_frames / 2);
}

static void rewritten_on_an_access_port(void **state)
{
	rewritten(*state, access_port);
}

static void rewritten_on_a_native_port(void **state)
{
	rewritten(*state, native);
}

static void rewritten_on_a_trunk(void **state)
{
	rewritten(*state, trunk);
}

static struct rig *the_rig;

/* The tag is that of the VLAN the place is in. */
static void is_where_it_belongs(const uint8_t *frame, size_t size)
{
	const struct vlan_form *f = &placed(the_rig)->form;

	assert_true(placed(the_rig)->nic && size > 18);
	if (f->on_wire) {
		assert_int_equal(ethertype_at(frame, 12), 0x8100);
		assert_int_equal(get_be16(frame + 14) & 0xfff, f->on_wire);
		assert_false(is_tag(ethertype_at(frame, 16)));
		n_tagged++;
	} else if (f->vlan) {
		assert_false(is_tag(ethertype_at(frame, 12)));
	}
}

static enum kind any_kind(void)
{
	return random() % 50 ? (random() % 2 ? PLAIN : BLANK) : GSO;
}

/* All at once: VLANs change while a flow has frames of all kinds, some with a priority, which
 * take the bridge; the device is busy, the bridge slow. */
static void moved_under_way(void **state)
{
	static const struct vlan_form forms[] = { { 10, 10, .tag_off = true },
						  { 20, 20, .tag_off = true },
						  { .vlan = 30 },
						  { .vlan = 0 } };
	struct rig *r = *state;
	uint32_t number = 1;

	srandom(19);
	the_rig = r;
	n_tagged = 0;
	wire.each = is_where_it_belongs;
	for (uint16_t vlan = 10; vlan <= 30; vlan = (uint16_t)(vlan + 10))
		sim_bridge_knows_in(station, vlan, SIM_NIC_IFINDEX);
	r->ns_per_turn = NS_PER_MS;
	bridge_delay_ns = NIC_SETTLE_NS - 1;
	sim_transmit_be_busy(true);
	for (unsigned i = 0; i < 8000; i++) {
		uint32_t n = (uint32_t)random() % 4, done = r->evil.tx->rsp_prod;

		tags = (struct tags){ random() % 50 == 0, { Q(PRIORITY) } };
		/* No page is rewritten before it is answered. */
		if (r->evil.tx_prod - done < EVIL_PAGES / 2 && i % 97 < 80)
			for (; n; n--)
				put(r, any_kind(), station, own, number++);
		show(r);
		if (i % 400 == 0)
			sim_netdev_form(EVIL_DOMID, 0)->form = forms[i / 400 % ARRAY_SIZE(forms)];
		turn(r);
		if (i % 7 == 0)
			sim_transmit_run(SIM_TRANSMIT_SIZE);
	}
	for (unsigned i = 0; i < 4; i++) {
		sim_transmit_run(SIM_TRANSMIT_SIZE);
		rig_turns(r, 20);
		bridge_runs(r);
	}
	assert_int_equal(wire.n_by_nic + wire.n_by_bridge, number - 1);
	assert_int_equal(wire.n_late, 0);
	assert_true(n_tagged > 500);
	assert_true(wire.n_by_nic > n_tagged + 500);
	assert_true(wire.n_by_bridge > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, transmit_start, transmit_end)
		T(the_tag_is_put_on),
		T(without_one_as_it_is),
		T(not_one_way),
		T(known_in_its_vlan),
		T(the_bridge_remembers_the_guest),
		T(tags_of_an_access_port),
		T(tags_of_a_native_port),
		T(tags_of_a_trunk),
		T(half_a_tag),
		T(as_long_as_by_the_bridge),
		T(what_waits_is_tagged_once),
		T(rewritten_on_an_access_port),
		T(rewritten_on_a_native_port),
		T(rewritten_on_a_trunk),
		T(moved_under_way),
#undef T
	};

	return cmocka_run_group_tests_name("transmit, by VLAN", tests, NULL, NULL);
}
