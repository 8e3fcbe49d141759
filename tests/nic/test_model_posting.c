/* SPDX-License-Identifier: MIT */
/*
 * The model NIC with buffers of guests: what it writes where, and never where; what waits, in
 * which order; the change from one way to the other and back.
 */
#include "tests/nic/model_pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/nic/model_hw.h"
#include "packet.h"

/* ---- what lands, and where ---- */

static void lands_in_order(void **state)
{
	struct nic_place *place = open_posting(N_PAGES);

	(void)state;
	for (uint32_t i = 0; i < N_PAGES; i++)
		post_page(place, i);
	for (uint32_t i = 0; i < N_PAGES; i++)
		rig_send_to(0, i);
	for (uint32_t i = 0; i < N_PAGES; i++)
		reap_landed(place, i, i);
	AWAIT(none_done(place) && !rig_is_readable(place)); /* see rig_is_quiet() */
	assert_true(rig_is_dry(place));
	assert_int_equal(rig_faults(place), 0);
	end_posting(place, N_PAGES);
}

static void expect_fault(struct nic_place *place, struct nic_buffer b, int status)
{
	static uint32_t number;

	assert_int_equal(ops->post(place, &b, 1), 1);
	rig_send_to(0, number++);
	assert_int_equal(reap_one(place).status, status);
	for (uint32_t i = 0; i < 2; i++)
		assert_true(is_poison(page_of[i], XEN_PAGE));
}

/* Nothing but pages of the table, and within them; each other descriptor is a fault told. */
static void lands_nowhere_else(void **state)
{
	struct nic_place *place = open_posting(2);
	struct nic_buffer b;
	nic_page again;

	(void)state;
	expect_fault(place, (struct nic_buffer){ name_of[1] + 1, 0, XEN_PAGE }, -EFAULT);
	expect_fault(place, (struct nic_buffer){ UINT32_MAX, 0, XEN_PAGE }, -EFAULT);
	expect_fault(place, (struct nic_buffer){ 0, 0, XEN_PAGE }, -EFAULT);
	expect_fault(place, (struct nic_buffer){ name_of[0], 1, XEN_PAGE }, -EFAULT);
	expect_fault(place, (struct nic_buffer){ name_of[0], UINT16_MAX, UINT16_MAX }, -EFAULT);
	expect_fault(place, (struct nic_buffer){ name_of[0], XEN_PAGE, 1 }, -EFAULT);
	assert_int_equal(rig_faults(place), 6);
	expect_fault(place, (struct nic_buffer){ name_of[0], 0, RIG_SIZE - 1 }, -EMSGSIZE);
	expect_fault(place, (struct nic_buffer){ name_of[0], XEN_PAGE, 0 }, -EMSGSIZE);
	assert_int_equal(rig_faults(place), 6);
	assert_int_equal(rig_lost(place), 2);
	/* The number of a page that is gone may be used anew; its name is another. */
	b = buffer(0);
	ops->revoke(place, name_of[0]);
	expect_fault(place, b, -EFAULT);
	assert_int_equal(ops->authorise(place, page_of[0], &again), 0);
	assert_true(again != name_of[0]);
	expect_fault(place, b, -EFAULT);
	assert_int_equal(rig_status().faults, 8);
	name_of[0] = again;
	post_page(place, 0);
	rig_send_to(0, 77);
	reap_landed(place, 0, 77);
	end_posting(place, 2);
}

/* The same page, another place's table. */
static void not_of_another_place(void **state)
{
	struct nic_place *place = open_posting(2), *other = rig_open_place(1);
	struct nic_buffer b = buffer(0);
	struct nic_completion c;

	(void)state;
	ops->begin(other);
	assert_int_equal(ops->post(other, &b, 1), 1);
	rig_send_to(1, 1);
	assert_int_equal(reap_one(other).status, -EFAULT);
	assert_true(is_poison(page_of[0], XEN_PAGE));
	assert_int_equal(rig_faults(other), 1);
	assert_int_equal(rig_faults(place), 0);
	ops->recall(other);
	assert_int_equal(ops->reap(other, &c, 1), 0);
	rig_close_place(other, 1);
	end_posting(place, 2);
}

/* The device itself goes astray: the table holds it. */
static void astray(void **state)
{
	struct nic_place *place = open_posting(2);

	(void)state;
	assert_int_equal(dev->fault(device, "stray", 1), 0);
	expect_fault(place, buffer(0), -EFAULT);
	post_page(place, 0);
	rig_send_to(0, 3);
	reap_landed(place, 0, 3);
	assert_int_equal(rig_faults(place), 1);
	end_posting(place, 2);
}

static void pages_run_out(void **state)
{
	struct nic_place *place = rig_open_place(0);
	nic_page name[MODEL_PAGES], more;
	uint8_t *page = new_page();

	(void)state;
	for (uint32_t i = 0; i < MODEL_PAGES; i++)
		assert_int_equal(ops->authorise(place, page, &name[i]), 0);
	assert_int_equal(ops->authorise(place, page, &more), -ENOSPC);
	ops->revoke(place, name[5]);
	assert_int_equal(ops->authorise(place, page, &more), 0);
	assert_int_equal(ops->authorise(place, page + 1, &more), -EINVAL);
	munmap(page, XEN_PAGE);
	rig_close_place(place, 0);
}

/* Takes what is done, until it is so many together. */
static void reap_until(struct nic_place *place, uint32_t *n_done, uint32_t target)
{
	struct nic_completion c[64];

	for (;;) {
		uint32_t n = ops->reap(place, c, ARRAY_SIZE(c));

		*n_done += n;
		if (!n && *n_done >= target)
			return;
		if (!n)
			rig_await_place(place);
	}
}

/* A page is unmapped the moment it is revoked, while the device writes as fast as it can: a
 * write that comes later would be the end of the test's process. */
static void revoked_while_written(void **state)
{
	struct nic_place *place = open_posting(16);
	struct random r = { 12345 };
	uint32_t n_done = 0, n_posted = 0;

	(void)state;
	while (n_posted < 40000) {
		uint32_t page = random_below(&r, 16);

		for (uint32_t i = 0; i < 8; i++, n_posted++) {
			post_page(place, (page + i) % 16);
			rig_send_to(0, n_posted);
		}
		ops->revoke(place, name_of[page]);
		assert_int_equal(munmap(page_of[page], XEN_PAGE), 0);
		page_of[page] = new_page();
		assert_int_equal(ops->authorise(place, page_of[page], &name_of[page]), 0);
		reap_until(place, &n_done, n_posted < 400 ? 0 : n_posted - 400);
	}
	reap_until(place, &n_done, n_posted);
	assert_int_equal(n_done, n_posted);
	assert_true(rig_faults(place) > 0);
	assert_int_equal(rig_lost(place), 0);
	end_posting(place, 16);
}

/* ---- what waits ---- */

/* Frames come and buffers are posted at random: each frame fills the next buffer. */
static void waits_for_buffers(void **state)
{
	struct nic_place *place = open_posting(N_PAGES);
	uint32_t n_sent = 0, n_posted = 0, n_done = 0;
	struct random r = { 99 };

	(void)state;
	while (n_done < N_PAGES) {
		struct nic_completion c;

		for (uint32_t n = random_below(&r, 20); n && n_sent < N_PAGES; n--)
			rig_send_to(0, n_sent++);
		for (uint32_t n = random_below(&r, 20); n && n_posted < N_PAGES; n--)
			post_page(place, n_posted++);
		if (n_done < MIN(n_sent, n_posted) && !rig_is_readable(place))
			rig_await_place(place);
		for (; ops->reap(place, &c, 1); n_done++)
			assert_landed(n_done, n_done);
	}
	assert_int_equal(rig_lost(place), 0);
	end_posting(place, N_PAGES);
}

static void too_much_waits(void **state)
{
	struct nic_place *place = open_posting(1);

	(void)state;
	for (uint32_t i = 0; i < MODEL_FIFO_FRAMES + 512; i++) {
		rig_send_to(0, i);
		if (i % 256 == 255)
			AWAIT(rig_status().to_places == i + 1);
	}
	AWAIT(rig_lost(place) == 512);
	post_page(place, 0);
	reap_landed(place, 0, 0);
	ops->recall(place);
	for (uint32_t i = 1; i < MODEL_FIFO_FRAMES; i++)
		assert_int_equal(rig_receive_one(place), i);
	assert_true(rig_is_dry(place));
	end_posting(place, 1);
}

/* However often it changes, and nothing is received: the device's memory is everybody's. */
static void too_much_waits_of_before(void **state)
{
	struct nic_place *place = open_posting(1);

	(void)state;
	ops->recall(place);
	for (uint32_t i = 0; i < 3 * MODEL_FIFO_FRAMES; i++) {
		rig_send_to(0, i);
		if (i % 256 != 255)
			continue;
		AWAIT(rig_status().to_places == i + 1);
		ops->begin(place);
		ops->recall(place);
	}
	AWAIT(rig_lost(place) == 2 * MODEL_FIFO_FRAMES);
	for (uint32_t i = 0; i < MODEL_FIFO_FRAMES; i++)
		assert_int_equal(rig_receive_one(place), i);
	assert_true(rig_is_dry(place));
	rig_send_to(0, 77);
	assert_int_equal(rig_receive_one(place), 77);
	end_posting(place, 1);
}

static void descriptors_run_out(void **state)
{
	struct nic_place *place = open_posting(1);
	struct nic_buffer b[MODEL_DESCRIPTORS + 1];

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(b); i++)
		b[i] = buffer(0);
	assert_int_equal(ops->post(place, b, ARRAY_SIZE(b)), MODEL_DESCRIPTORS);
	assert_int_equal(ops->post(place, b, 1), 0);
	rig_send_to(0, 1);
	assert_int_equal(reap_one(place).status, 0);
	assert_int_equal(ops->post(place, b, 2), 1);
	end_posting(place, 1);
}

static void stuck(void **state)
{
	struct nic_place *place = open_posting(2), *other = rig_open_place(1);

	(void)state;
	assert_int_equal(dev->fault(device, "stuck", BIT(0)), 0);
	post_page(place, 0);
	rig_send_to(0, 1);
	rig_send_to(1, 2);
	assert_int_equal(rig_receive_one(other), 2);
	AWAIT(rig_status().to_places == 2);
	assert_true(none_done(place));
	/* It comes to itself by and by. */
	assert_int_equal(dev->fault(device, "stuck", 0), 0);
	reap_landed(place, 0, 1);
	/* Or it is given up. */
	assert_int_equal(dev->fault(device, "stuck", BIT(0)), 0);
	post_page(place, 1);
	rig_send_to(0, 3);
	AWAIT(rig_status().to_places == 3);
	ops->recall(place);
	assert_int_equal(rig_receive_one(place), 3);
	assert_true(is_poison(page_of[1], XEN_PAGE));
	rig_close_place(other, 1);
	end_posting(place, 2);
}

/* ---- from one way to the other ---- */

static void there_and_back(void **state)
{
	struct nic_place *place = rig_open_place(0);
	struct nic_completion c;
	struct packet *p;

	(void)state;
	make_pages(place, 4);
	rig_send_to(0, 1);
	rig_await_place(place);
	ops->begin(place);
	post_page(place, 0);
	post_page(place, 1);
	rig_send_to(0, 2);
	reap_landed(place, 0, 2);
	assert_true(rig_is_readable(place)); /* for what came before */
	assert_int_equal(rig_receive_one(place), 1);
	assert_true(none_done(place));
	ops->recall(place);
	assert_int_equal(ops->reap(place, &c, 1), 0);
	rig_send_to(0, 3);
	assert_int_equal(rig_receive_one(place), 3);
	assert_true(is_poison(page_of[1], XEN_PAGE));
	assert_int_equal(ops->receive(place, &p, 1), 0);
	ops->begin(place);
	post_page(place, 3);
	rig_send_to(0, 4);
	reap_landed(place, 3, 4);
	end_posting(place, 4);
}

/* At any moment, under load: what was done with, then what receive() has, in order and whole. */
static void changed_under_load(void **state)
{
	struct nic_place *place = rig_open_place(0);
	uint32_t n_sent = 0, n_got = 0, page = 0;
	struct random r = { 4711 };

	(void)state;
	make_pages(place, N_PAGES);
	for (uint32_t round = 0; round < 2000; round++) {
		struct nic_completion c;

		/* No more than the wire's ring holds, whenever the device runs. */
		AWAIT(n_sent < rig_status().to_places + MODEL_WIRE_SLOTS - 32);
		for (uint32_t n = random_below(&r, 12); n; n--)
			rig_send_to(0, n_sent++);
		while (rig_took(place, n_got))
			n_got++;
		ops->begin(place);
		while (rig_took(place, n_got))
			n_got++;
		for (uint32_t n = page = 0; n < random_below(&r, 12); n++)
			post_page(place, n);
		for (uint32_t n = random_below(&r, 12); n; n--)
			rig_send_to(0, n_sent++);
		if (random_below(&r, 2))
			rig_nap();
		if (random_below(&r, 2))
			ops->recall(place);
		for (; ops->reap(place, &c, 1); n_got++, page++)
			assert_int_equal(((struct frame *)(void *)(page_of[page] + OFFSET))->number,
					 n_got);
		ops->recall(place);
		for (; ops->reap(place, &c, 1); n_got++, page++)
			assert_int_equal(((struct frame *)(void *)(page_of[page] + OFFSET))->number,
					 n_got);
	}
	while (n_got < n_sent)
		assert_int_equal(rig_receive_one(place), n_got++);
	assert_int_equal(rig_lost(place), 0);
	drop_pages(place, N_PAGES);
	rig_close_place(place, 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		CASE(lands_in_order),
		CASE(lands_nowhere_else),
		CASE(not_of_another_place),
		CASE(astray),
		CASE(pages_run_out),
		CASE(revoked_while_written),
		CASE(waits_for_buffers),
		CASE(too_much_waits),
		CASE(too_much_waits_of_before),
		CASE(descriptors_run_out),
		CASE(stuck),
		CASE(there_and_back),
		CASE(changed_under_load),
	};

	if (geteuid())
		return 77; /* skipped */
	return cmocka_run_group_tests(tests, rig_make_network, NULL);
}
