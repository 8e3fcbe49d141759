/* SPDX-License-Identifier: MIT */
/* See model_pages.h. */
#include "tests/nic/model_pages.h"

#include <string.h>
#include <sys/mman.h>

uint8_t *page_of[N_PAGES];
nic_page name_of[N_PAGES];

uint8_t *new_page(void)
{
	uint8_t *page =
	    mmap(NULL, XEN_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(page != MAP_FAILED);
	return page;
}

void make_pages(struct nic_place *place, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		page_of[i] = new_page();
		memset(page_of[i], POISON, XEN_PAGE);
		assert_int_equal(ops->authorise(place, page_of[i], &name_of[i]), 0);
	}
}

void drop_pages(struct nic_place *place, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		ops->revoke(place, name_of[i]);
		munmap(page_of[i], XEN_PAGE);
	}
}

struct nic_buffer buffer(uint32_t page)
{
	return (struct nic_buffer){ name_of[page], OFFSET, XEN_PAGE - OFFSET };
}

void post_page(struct nic_place *place, uint32_t page)
{
	struct nic_buffer b = buffer(page);

	assert_int_equal(ops->post(place, &b, 1), 1);
}

struct nic_completion reap_one(struct nic_place *place)
{
	struct nic_completion c;

	while (!ops->reap(place, &c, 1))
		rig_await_place(place);
	return c;
}

bool none_done(struct nic_place *place)
{
	struct nic_completion c;

	return !ops->reap(place, &c, 1);
}

bool is_poison(const uint8_t *at, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (at[i] != POISON)
			return false;
	return true;
}

void assert_landed(uint32_t page, uint32_t number)
{
	struct frame f = rig_frame_to(0, number);

	assert_memory_equal(page_of[page] + OFFSET, &f, RIG_SIZE);
	assert_true(is_poison(page_of[page], OFFSET));
	assert_true(is_poison(page_of[page] + OFFSET + RIG_SIZE, XEN_PAGE - OFFSET - RIG_SIZE));
}

void reap_landed(struct nic_place *place, uint32_t page, uint32_t number)
{
	struct nic_completion c = reap_one(place);

	assert_int_equal(c.status, 0);
	assert_int_equal(c.size, RIG_SIZE);
	assert_landed(page, number);
}

struct nic_place *open_posting(uint32_t n_pages)
{
	struct nic_place *place = rig_open_place(0);

	make_pages(place, n_pages);
	ops->begin(place);
	return place;
}

void end_posting(struct nic_place *place, uint32_t n_pages)
{
	struct nic_completion c;

	ops->recall(place);
	while (ops->reap(place, &c, 1))
		;
	drop_pages(place, n_pages);
	rig_close_place(place, 0);
}
