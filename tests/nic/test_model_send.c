/* SPDX-License-Identifier: MIT */
/*
 * The model NIC with frames of ours: to a place (transmit switching) and to the wire.
 */
#include "tests/nic/model_pages.h"

#include <string.h>
#include <unistd.h>

#include "backend/nic/model_hw.h"
#include "packet.h"

/* ---- to a place ---- */

static int inject(struct nic_place *place, uint32_t number, uint32_t size)
{
	struct frame f = rig_frame_to(0, number);
	struct packet p = { .frame = (uint8_t *)&f, .size = size };

	return ops->inject(place, &p);
}

static void injected(void **state)
{
	struct nic_place *place = open_posting(MODEL_INJECTED);

	(void)state;
	for (uint32_t i = 0; i < MODEL_INJECTED; i++)
		assert_int_equal(inject(place, i, RIG_SIZE), 0);
	assert_int_equal(inject(place, 0, RIG_SIZE), -EAGAIN);
	assert_int_equal(inject(place, 0, MODEL_FRAME_MAX + 1), -EMSGSIZE);
	for (uint32_t i = 0; i < MODEL_INJECTED; i++)
		post_page(place, i);
	for (uint32_t i = 0; i < MODEL_INJECTED; i++)
		reap_landed(place, i, i);
	/* Its memory comes back, however often. */
	for (uint32_t i = 0; i < 5000; i++) {
		AWAIT(!inject(place, i, RIG_SIZE));
		post_page(place, 0);
		assert_int_equal(reap_one(place).status, 0);
	}
	/* What is not delivered is not lost. */
	assert_int_equal(inject(place, 1, RIG_SIZE), 0);
	assert_int_equal(inject(place, 2, RIG_SIZE), 0);
	ops->recall(place);
	assert_int_equal(rig_receive_one(place), 1);
	assert_int_equal(rig_receive_one(place), 2);
	assert_int_equal(inject(place, 3, RIG_SIZE), -EAGAIN);
	end_posting(place, MODEL_INJECTED);
}

/* Beside what comes by the wire: each in its own order, neither starves. */
static void injected_beside(void **state)
{
	struct nic_place *place = open_posting(N_PAGES);
	uint32_t next_wire = 0, next_own = 1u << 16;

	(void)state;
	for (uint32_t i = 0; i < 64; i++) {
		rig_send_to(0, i);
		assert_int_equal(inject(place, (1u << 16) + i, RIG_SIZE), 0);
	}
	AWAIT(rig_status().to_places == 64);
	for (uint32_t i = 0; i < 128; i++)
		post_page(place, i);
	for (uint32_t i = 0; i < 128; i++) {
		uint32_t number;

		assert_int_equal(reap_one(place).status, 0);
		number = ((struct frame *)(void *)(page_of[i] + OFFSET))->number;
		assert_int_equal(number, number < 1u << 16 ? next_wire : next_own);
		number < 1u << 16 ? next_wire++ : next_own++;
		if (i == 64)
			assert_in_range(next_wire, 20, 44);
	}
	end_posting(place, N_PAGES);
}

/* ---- to the wire ---- */

static uint32_t transmit_in(uint16_t vlan, uint32_t place, uint32_t number, uint32_t size)
{
	struct frame f = rig_frame_to(place, number);
	struct packet p = { .frame = (uint8_t *)&f, .size = size }, *list[] = { &p };

	return ops->transmit(port, list, 1, vlan);
}

static uint32_t transmit(uint32_t place, uint32_t number, uint32_t size)
{
	return transmit_in(0, place, number, size);
}

static uint64_t n_done(void)
{
	struct nic_sent s;

	ops->sent(port, &s);
	assert_true(s.done <= s.taken);
	return s.done;
}

static void to_the_wire(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2000; i++) {
		AWAIT(transmit(7, i, RIG_SIZE));
		if (i % 32 == 31)
			assert_false(ops->kick(port));
		if (i % 256 == 255)
			for (uint32_t k = i - 255; k <= i; k++)
				assert_int_equal(rig_next_number(far_end), k);
	}
	ops->kick(port);
	AWAIT(n_done() == 2000);
	assert_int_equal(transmit(7, 1, NIC_TRANSMIT_MAX), 1);
}

/* More than the ring holds: the rest is the caller's still. */
static void no_room(void **state)
{
	struct frame f = rig_frame_to(7, 1);
	struct packet p = { .frame = (uint8_t *)&f, .size = RIG_SIZE }, *list[MODEL_OUTGOING + 9];

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(list); i++)
		list[i] = &p;
	assert_int_equal(ops->transmit(port, list, ARRAY_SIZE(list), 0), MODEL_OUTGOING);
	ops->kick(port);
	AWAIT(n_done() == MODEL_OUTGOING);
	assert_int_equal(ops->transmit(port, list, 9, 0), 9);
}

/* What is for a place does not leave. */
static void to_a_place(void **state)
{
	struct nic_place *place = rig_open_place(0);

	(void)state;
	assert_int_equal(transmit(0, 1, RIG_SIZE), 1);
	assert_int_equal(transmit(1, 2, RIG_SIZE), 1);
	ops->kick(port);
	assert_int_equal(rig_receive_one(place), 1);
	assert_int_equal(rig_next_number(far_end), 2);
	rig_close_place(place, 0);
}

/* Nor does it get to a place in another VLAN, whoever's address it has: a tag is part of what a
 * filter matches. The wire has it instead, tag and all. */
static void to_its_vlan_only(void **state)
{
	static const struct {
		uint16_t vlan;
		uint32_t place;
	} elsewhere[] = { { 8, 0 }, { 0, 0 }, { 7, 1 }, { 8, 1 } };
	struct nic_place *place = rig_join_place(0), *same = rig_join_place(1);
	struct packet *p;

	(void)state;
	assert_int_equal(rig_add_filter(0, 7), 0);
	assert_int_equal(rig_add_filter(1, 0), 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
		assert_int_equal(transmit_in(elsewhere[i].vlan, elsewhere[i].place, i, RIG_SIZE),
				 1);
		ops->kick(port);
		assert_int_equal(rig_next_number(far_end), i);
	}
	assert_int_equal(transmit_in(7, 0, 4, RIG_SIZE), 1);
	assert_int_equal(transmit_in(0, 1, 5, RIG_SIZE), 1);
	ops->kick(port);
	rig_await_place(place);
	assert_int_equal(ops->receive(place, &p, 1), 1);
	assert_int_equal(p->size, RIG_SIZE + PACKET_TAG_SIZE);
	assert_true(packet_has_tag(p, 7));
	assert_int_equal(((struct frame *)(void *)(p->frame + PACKET_TAG_SIZE))->number, 4);
	ops->give_back(port, p);
	assert_int_equal(rig_receive_one(same), 5);
	assert_true(rig_is_dry(place));
	assert_true(rig_is_dry(same));
	rig_del_filter(0, 7);
	rig_del_filter(1, 0);
	ops->leave(place);
	ops->leave(same);
	assert_int_equal(transmit_in(8, 7, 6, NIC_TRANSMIT_MAX), 1); /* with a tag: it fits */
}

/* Lost, but over. */
static void without_a_wire(void **state)
{
	(void)state;
	assert_int_equal(dev->fault(device, "pulled", 1), 0);
	AWAIT(!rig_status().link);
	assert_int_equal(transmit(7, 1, RIG_SIZE), 1);
	ops->kick(port);
	AWAIT(n_done() == 1);
	assert_int_equal(dev->fault(device, "pulled", 0), 0);
	AWAIT(rig_status().link);
	assert_int_equal(transmit(7, 2, RIG_SIZE), 1);
	ops->kick(port);
	assert_int_equal(rig_next_number(far_end), 2);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		CASE(injected),	  CASE(injected_beside), CASE(to_the_wire),
		CASE(no_room),	  CASE(to_a_place),	 CASE(without_a_wire),
		CASE(to_its_vlan_only),
	};

	if (geteuid())
		return 77; /* skipped */
	return cmocka_run_group_tests(tests, rig_make_network, NULL);
}
