/* SPDX-License-Identifier: MIT */
/*
 * Static grants on the hosted Xen: lists that are applied or leave all as it was, copies
 * through what is mapped, and what a successor maps again.
 */
#include "tests/unit/unit.h"

#include "static_grants.h"
#include "libvif/hosted/hosted.h"

#include <stdio.h>
#include <string.h>

#define GUEST	7u
#define N_PAGES 600u

struct fixture {
	struct grants grants;
	struct static_lists lists;
	struct static_grants s;
	xengntshr_handle *guest;
	uint8_t *pages;
	uint32_t gref[N_PAGES];
	uint8_t *read_only; /* the guest lets us read it only */
	uint32_t read_only_gref;
	uint32_t n_unmapped;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	if (hosted_inproc_start(3) || hosted_domain_create(GUEST))
		return -1;
	hosted_set_domid(GUEST);
	f.guest = xengntshr_open(NULL, 0);
	f.pages = xengntshr_share_pages(f.guest, 0, N_PAGES, f.gref, 1);
	f.read_only = xengntshr_share_pages(f.guest, 0, 1, &f.read_only_gref, 0);
	hosted_set_domid(0);
	*state = &f;
	if (!f.pages || !f.read_only || grants_open(&f.grants))
		return -1;
	static_grants_init(&f.s, &f.grants, GUEST, &f.lists, false);
	return 0;
}

static uint32_t maps_held(void)
{
	struct hosted_stats stats[4];
	int n = hosted_stats(stats, ARRAY_SIZE(stats));

	assert_true(n > 0 && stats[0].domid == 0);
	return stats[0].maps_held;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	static_grants_fini(&f->s);
	if (maps_held() || f->grants.static_budget != GRANTS_STATIC_BUDGET)
		return -1;
	grants_close(&f->grants);
	xengntshr_unshare(f->guest, f->pages, N_PAGES);
	xengntshr_unshare(f->guest, f->read_only, 1);
	xengntshr_close(f->guest);
	hosted_inproc_stop();
	return 0;
}

/* The list to write, as libvif/ctrl.c makes it: the one that counts, to be changed. */
static struct static_list *next(struct fixture *f)
{
	struct static_list *l = static_lists_next(&f->lists);

	*l = *static_lists_active(&f->lists);
	return l;
}

static void put(struct static_list *l, uint32_t i, uint32_t gref, uint64_t flags)
{
	l->n += !l->entry[i];
	l->entry[i] = STATIC_GRANT_USED | flags | gref;
}

static void take(struct static_list *l, uint32_t i)
{
	l->n -= l->entry[i] != 0;
	l->entry[i] = 0;
}

/* Its status; *n_steps: how many steps that took. */
static int apply(struct fixture *f, unsigned *n_steps)
{
	int status = 1;

	static_grants_apply(&f->s);
	for (*n_steps = 1; !static_grants_step(&f->s, &status); ++*n_steps)
		assert_true(static_grants_busy(&f->s) && *n_steps < 200);
	assert_false(static_grants_busy(&f->s));
	return status;
}

static void add_pages(struct fixture *f, uint32_t first, uint32_t n)
{
	struct static_list *l = next(f);
	unsigned steps;

	for (uint32_t i = first; i < first + n; i++)
		put(l, i, f->gref[i], 0);
	assert_int_equal(apply(f, &steps), 0);
}

static int16_t copy_in(struct fixture *f, uint32_t gref, uint16_t offset, void *to, uint16_t size)
{
	uint16_t rest[1];
	grant_op op;

	grant_op_from_guest(&op, GUEST, gref, offset, to, size);
	op.status = 99;
	return static_grants_copy(&f->s, &op, 1, rest) ? 99 : op.status;
}

static int16_t copy_out(struct fixture *f, uint32_t gref, uint16_t offset, const void *from,
			uint16_t size)
{
	uint16_t rest[1];
	grant_op op;

	grant_op_to_guest(&op, GUEST, gref, offset, from, size);
	op.status = 99;
	return static_grants_copy(&f->s, &op, 1, rest) ? 99 : op.status;
}

static void mapped_pages_are_copied_without_xen(void **state)
{
	struct fixture *f = *state;
	char text[32];

	add_pages(f, 0, 512);
	assert_int_equal(maps_held(), 512);
	for (uint32_t i = 0; i < 512; i++) {
		snprintf((char *)f->pages + (size_t)i * XEN_PAGE + 100, 32, "page %u", i);
		assert_int_equal(copy_in(f, f->gref[i], 100, text, sizeof(text)), GNTST_okay);
		assert_memory_equal(text, f->pages + (size_t)i * XEN_PAGE + 100, sizeof(text));
	}
	assert_int_equal(copy_out(f, f->gref[9], 4064, "to the guest, at a page's end..", 32),
			 GNTST_okay);
	assert_string_equal(f->pages + 9 * XEN_PAGE + 4064, "to the guest, at a page's end..");
	assert_int_equal(copy_in(f, f->gref[512], 0, text, 8), 99); /* never added */
	assert_int_equal(f->grants.n_copy_ops, 0);
}

static void copies_stay_within_their_page(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[2 * XEN_PAGE];

	add_pages(f, 0, 3);
	memset(f->pages, 0x11, (size_t)3 * XEN_PAGE);
	memset(bytes, 0x22, sizeof(bytes));
	assert_int_equal(copy_in(f, f->gref[1], 0, bytes, XEN_PAGE), GNTST_okay);
	assert_int_equal(copy_in(f, f->gref[1], 1, bytes, XEN_PAGE), GNTST_bad_copy_arg);
	assert_int_equal(copy_in(f, f->gref[1], 4095, bytes, 2), GNTST_bad_copy_arg);
	assert_int_equal(copy_in(f, f->gref[1], 65535, bytes, 65535), GNTST_bad_copy_arg);
	assert_int_equal(copy_out(f, f->gref[1], 4096, bytes, 1), GNTST_bad_copy_arg);
	assert_int_equal(copy_out(f, f->gref[1], 1, bytes, XEN_PAGE), GNTST_bad_copy_arg);
	for (size_t i = 0; i < (size_t)3 * XEN_PAGE; i++)
		assert_int_equal(f->pages[i], 0x11);
}

static void readonly_pages_are_read_only(void **state)
{
	struct fixture *f = *state;
	struct static_list *l = next(f);
	char text[16];
	unsigned steps;

	put(l, 0, f->gref[0], STATIC_GRANT_READONLY);
	put(l, 5, f->read_only_gref, STATIC_GRANT_READONLY);
	assert_int_equal(apply(f, &steps), 0);
	strcpy((char *)f->pages, "page");
	assert_int_equal(copy_in(f, f->gref[0], 0, text, 5), GNTST_okay);
	assert_int_equal(copy_out(f, f->gref[0], 0, "no", 3), GNTST_permission_denied);
	assert_string_equal(f->pages, "page");

	/* without the flag it would be mapped writable, which the guest does not allow */
	l = next(f);
	take(l, 5);
	assert_int_equal(apply(f, &steps), 0);
	l = next(f);
	put(l, 5, f->read_only_gref, 0);
	assert_true(apply(f, &steps) < 0);
	assert_int_equal(maps_held(), 1);
}

/* Called while the page is still mapped and found: it may be written to until then. */
static void note_unmap(void *arg, uint32_t i)
{
	struct fixture *f = arg;

	assert_ptr_not_equal(f->s.page[i], NULL);
	f->s.page[i][0] = 0x55;
	f->n_unmapped++;
}

static void others_let_go_before_it_is_unmapped(void **state)
{
	struct fixture *f = *state;
	struct static_list *l;
	unsigned steps;

	f->s.on_unmap = note_unmap;
	f->s.on_unmap_arg = f;
	add_pages(f, 0, 40);
	l = next(f);
	put(l, 40, f->read_only_gref, STATIC_GRANT_READONLY);
	assert_int_equal(apply(f, &steps), 0);
	assert_int_equal(f->s.n_mapped, 41);
	assert_int_equal(f->s.n_writable, 40);
	assert_int_equal(static_grants_writable(&f->s, f->gref[7]), 7);
	assert_int_equal(static_grants_writable(&f->s, f->read_only_gref), -1);
	assert_int_equal(static_grants_writable(&f->s, f->gref[50]), -1);
	assert_int_equal(f->n_unmapped, 0);

	l = next(f);
	for (uint32_t i = 0; i < 10; i++)
		take(l, i);
	assert_int_equal(apply(f, &steps), 0);
	assert_int_equal(f->n_unmapped, 10);
	assert_int_equal(f->s.n_writable, 30);
	assert_int_equal(static_grants_writable(&f->s, f->gref[7]), -1);
	assert_int_equal(f->pages[7 * XEN_PAGE], 0x55);
	f->s.on_unmap = NULL; /* the other page is not to be written to */
	static_grants_fini(&f->s);
	assert_int_equal(f->s.n_writable, 0);
}

static void a_list_applies_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	struct static_list before, *l;
	unsigned steps;

	add_pages(f, 0, 100);
	before = *static_lists_active(&f->lists);
	for (uint32_t bad = 100; bad < 300; bad += 37) {
		l = next(f);
		for (uint32_t i = 100; i < 300; i++)
			put(l, i, i == bad ? 0x7fffffffu : f->gref[i], 0);
		assert_true(apply(f, &steps) < 0);
		assert_int_equal(maps_held(), 100);
		assert_memory_equal(static_lists_active(&f->lists), &before, sizeof(before));
	}
	add_pages(f, 100, 200);
	assert_int_equal(maps_held(), 300);
}

static void work_comes_in_parts(void **state)
{
	struct fixture *f = *state;
	struct static_list *l = next(f);
	unsigned steps;

	for (uint32_t i = 0; i < 512; i++)
		put(l, i, f->gref[i], 0);
	assert_int_equal(apply(f, &steps), 0);
	assert_in_range(steps, 512 / STATIC_GRANTS_STEP, 512 / STATIC_GRANTS_STEP + 2);
	l = next(f);
	for (uint32_t i = 0; i < 512; i += 2)
		take(l, i);
	assert_int_equal(apply(f, &steps), 0);
	assert_in_range(steps, 256 / STATIC_GRANTS_STEP, 256 / STATIC_GRANTS_STEP + 2);
	assert_int_equal(maps_held(), 256);
	for (uint32_t i = 0; i < 512; i++)
		assert_int_equal(static_index_find(&f->s.index, f->s.entry, f->gref[i]),
				 i % 2 ? (int)i : -1);
	for (steps = 0; static_grants_release(&f->s); steps++)
		assert_int_equal(maps_held(), 256 - (steps + 1) * STATIC_GRANTS_STEP);
	assert_int_equal(steps, 256 / STATIC_GRANTS_STEP - 1);
	assert_int_equal(maps_held(), 0);
}

static void the_budget_is_everybodys(void **state)
{
	struct fixture *f = *state;
	struct static_list *l;
	unsigned steps;

	f->grants.static_budget = 100;
	l = next(f);
	for (uint32_t i = 0; i < 101; i++)
		put(l, i, f->gref[i], 0);
	assert_int_equal(apply(f, &steps), -ENOSPC);
	assert_int_equal(f->grants.static_budget, 100);
	add_pages(f, 0, 100);
	assert_int_equal(f->grants.static_budget, 0);
	f->grants.static_budget = GRANTS_STATIC_BUDGET - 100;
}

/* The next process: all of the active list, little by little, but for what the guest took
 * away meanwhile; nothing of a list that was not finished. */
static void a_successor_maps_them_again(void **state)
{
	struct fixture *f = *state;
	struct static_list *l;
	unsigned n = 0;
	int status;
	char text[8];

	add_pages(f, 0, 300);
	l = next(f);
	put(l, 400, f->gref[400], 0);
	static_grants_apply(&f->s);
	static_grants_fini(&f->s);
	assert_int_equal(maps_held(), 0);
	take(&f->lists.list[f->lists.active], 7);
	put(&f->lists.list[f->lists.active], 7, 0x7ffffffe, 0);

	static_grants_init(&f->s, &f->grants, GUEST, &f->lists, true);
	assert_int_equal(copy_in(f, f->gref[1], 0, text, 8), 99); /* for Xen to copy, as yet */
	while (static_grants_busy(&f->s)) {
		assert_false(static_grants_step(&f->s, &status));
		assert_true(n++ < 40);
	}
	assert_true(n > 300 / STATIC_GRANTS_STEP);
	assert_int_equal(maps_held(), 299);
	assert_int_equal(copy_in(f, f->gref[299], 0, text, 8), GNTST_okay);
	assert_int_equal(copy_in(f, f->gref[7], 0, text, 8), 99);
	/* what could not be mapped can be taken off the list all the same */
	l = next(f);
	take(l, 7);
	assert_int_equal(apply(f, &n), 0);
	assert_int_equal(static_lists_active(&f->lists)->n, 299);
}

/* A list that came while the successor still maps waits for its turn. */
static void a_list_waits_for_the_one_before(void **state)
{
	struct fixture *f = *state;
	struct static_list *l;
	unsigned steps;

	add_pages(f, 0, 300);
	static_grants_fini(&f->s);
	static_grants_init(&f->s, &f->grants, GUEST, &f->lists, true);
	l = next(f);
	put(l, 500, f->gref[500], 0);
	take(l, 0);
	assert_int_equal(apply(f, &steps), 0);
	assert_int_equal(maps_held(), 300);
}

static void the_index_keeps_up(void **state)
{
	struct random r = { .state = 5 };
	static struct static_index ix;
	static uint64_t entry[STATIC_GRANTS_MAX];

	(void)state;
	static_index_init(&ix);
	for (unsigned k = 0; k < 20000; k++) {
		uint32_t i = random_below(&r, STATIC_GRANTS_MAX);
		uint32_t gref = random_below(&r, 700) * 512; /* many of a bucket */
		int found = static_index_find(&ix, entry, gref);
		int expected = -1;

		for (uint32_t e = 0; e < STATIC_GRANTS_MAX; e++)
			if (entry[e] == (STATIC_GRANT_USED | gref))
				expected = (int)e;
		assert_int_equal(found, expected);
		if (entry[i]) {
			static_index_remove(&ix, entry, i);
			entry[i] = 0;
		} else if (found < 0) {
			entry[i] = STATIC_GRANT_USED | gref;
			static_index_insert(&ix, entry, i);
		}
	}
}

/* ---- in words ---- */

static void lists_are_read_as_they_are_written(void **state)
{
	static const uint32_t corner[] = { 0, 1, 255, 256, 0xfffffffe, 0xffffffff };
	struct random r = { .state = 9 };
	char text[STATIC_TEXT_SIZE];

	(void)state;
	for (unsigned round = 0; round < 500; round++) {
		struct static_list l = { .made = 9, .request = ~round, .data = round };
		struct static_list got = { .n = 0 };
		struct static_index ix;
		uint32_t gref = 0;

		static_index_init(&ix);
		for (uint32_t i = 0; i < STATIC_GRANTS_MAX; i++) {
			gref = random_below(&r, 30)  ? gref + 1
			       : random_below(&r, 4) ? random_below(&r, 100000)
						     : corner[random_below(&r, ARRAY_SIZE(corner))];
			if (random_below(&r, 50) == 0 || static_index_find(&ix, l.entry, gref) >= 0)
				continue;
			put(&l, i, gref, random_below(&r, 40) ? 0 : STATIC_GRANT_READONLY);
			static_index_insert(&ix, l.entry, i);
		}
		assert_true(static_list_print(&l, text));
		assert_true(static_list_parse(&got, text));
		assert_int_equal(got.n, l.n);
		assert_int_equal(got.made, l.made);
		assert_int_equal(got.request, l.request);
		assert_int_equal(got.data, l.data);
		for (uint32_t i = 0, k = 0; i < STATIC_GRANTS_MAX; i++)
			if (l.entry[i])
				assert_true(got.entry[k++] == l.entry[i]);
	}
}

static void lists_too_long_to_write_are_not(void **state)
{
	struct static_list l = { .n = 0 };
	char text[STATIC_TEXT_SIZE];

	(void)state;
	for (uint32_t i = 0; i < STATIC_GRANTS_MAX; i++)
		put(&l, i, 0xf0000000 + i * 2, STATIC_GRANT_READONLY);
	assert_false(static_list_print(&l, text));
}

static void words_that_are_no_list_are_refused(void **state)
{
	static const char *const bad[] = {
		"1",
		" ",
		"1-",
		"-1 ",
		"1 2",
		"1  2 ",
		"x ",
		"rr1 ",
		"r ",
		"2-1 ",
		"1-3 2 ",
		"5 r5 ",
		"0-512 ",
		"0-511 512 ",
		"4294967296 ",
		"1-4294967296 ",
		"+1 ",
		"0x10 ",
		"0-4294967295 ",
		"99999999999999999999999 ",
		"1-2-3 ",
		"1,2 ",
		"1 -2 ",
		"1\n",
	};
	static const char *const bad_heads[] = { "",	    "@",	 "@1",
						 "@1,2",    "@1,2,3",	 "@1,2 ",
						 "@,2,3 ",  "@1,2,3,4 ", "@4294967296,0,0 ",
						 "@1,2,-3 " };
	static const struct static_list none;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct static_list l = { .n = 0 };
		char text[64];

		snprintf(text, sizeof(text), "@0,0,0 %s", bad[i]);
		assert_false(static_list_parse(&l, text));
		assert_memory_equal(&l, &none, sizeof(l));
		assert_false(static_list_parse(&l, bad[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_heads); i++) {
		struct static_list l = { .n = 0 };

		assert_false(static_list_parse(&l, bad_heads[i]));
		assert_memory_equal(&l, &none, sizeof(l));
	}
}

#define STATIC_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STATIC_TEST(mapped_pages_are_copied_without_xen),
		STATIC_TEST(copies_stay_within_their_page),
		STATIC_TEST(readonly_pages_are_read_only),
		STATIC_TEST(others_let_go_before_it_is_unmapped),
		STATIC_TEST(a_list_applies_whole_or_not_at_all),
		STATIC_TEST(work_comes_in_parts),
		STATIC_TEST(the_budget_is_everybodys),
		STATIC_TEST(a_successor_maps_them_again),
		STATIC_TEST(a_list_waits_for_the_one_before),
		cmocka_unit_test(the_index_keeps_up),
		cmocka_unit_test(lists_are_read_as_they_are_written),
		cmocka_unit_test(lists_too_long_to_write_are_not),
		cmocka_unit_test(words_that_are_no_list_are_refused),
	};

	return cmocka_run_group_tests_name("static_grants", tests, NULL, NULL);
}
