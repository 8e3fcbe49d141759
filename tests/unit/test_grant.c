/* SPDX-License-Identifier: MIT */
/*
 * Grants on the hosted Xen: what is mapped and copied, what is refused, and that every
 * operation has a status whatever happens to the call.
 */
#include "tests/unit/unit.h"

#include "grant.h"
#include "libvif/hosted/hosted.h"

#include <string.h>
#include <sys/mman.h>

#define GUEST	7u
#define N_PAGES 40u

/* Makes the next call fail as an ioctl can. 0: it goes through. */
static int call_errno;

int __real_xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
				xengnttab_grant_copy_segment_t *segs);
int __wrap_xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
				xengnttab_grant_copy_segment_t *segs);

int __wrap_xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
				xengnttab_grant_copy_segment_t *segs)
{
	if (!call_errno)
		return __real_xengnttab_grant_copy(xgt, count, segs);
	errno = call_errno;
	return -1;
}

struct fixture {
	struct grants grants;
	xengntshr_handle *guest;
	uint8_t *pages;
	uint32_t gref[N_PAGES];
	uint8_t *read_only;
	uint32_t read_only_gref;
};

static int setup(void **state)
{
	static struct fixture f;

	if (hosted_inproc_start(0) || hosted_domain_create(GUEST))
		return -1;
	hosted_set_domid(GUEST);
	f.guest = xengntshr_open(NULL, 0);
	f.pages = xengntshr_share_pages(f.guest, 0, N_PAGES, f.gref, 1);
	f.read_only = xengntshr_share_pages(f.guest, 0, 1, &f.read_only_gref, 0);
	hosted_set_domid(0);
	*state = &f;
	return f.pages && f.read_only ? grants_open(&f.grants) : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct hosted_stats stats[4];
	int n, held = 0;

	call_errno = 0;
	grants_close(&f->grants);
	n = hosted_stats(stats, ARRAY_SIZE(stats));
	for (int i = 0; i < n; i++)
		held += stats[i].maps_held != 0;
	xengntshr_unshare(f->guest, f->pages, N_PAGES);
	xengntshr_unshare(f->guest, f->read_only, 1);
	xengntshr_close(f->guest);
	hosted_inproc_stop();
	return held ? -1 : 0;
}

static void a_mapped_page_is_the_guests(void **state)
{
	struct fixture *f = *state;
	void *page;

	strcpy((char *)f->pages, "from the guest");
	assert_int_equal(grant_map(&f->grants, GUEST, f->gref[0], &page), 0);
	assert_string_equal(page, "from the guest");
	strcpy(page, "from us");
	assert_string_equal(f->pages, "from us");
	grant_unmap(&f->grants, page);
}

static void what_cannot_be_mapped_says_so(void **state)
{
	struct fixture *f = *state;
	void *page = f;

	assert_true(grant_map(&f->grants, GUEST, f->read_only_gref, &page) < 0);
	assert_null(page);
	assert_true(grant_map(&f->grants, GUEST, 100000, &page) < 0);
	assert_true(grant_map(&f->grants, GUEST + 1, f->gref[0], &page) < 0);
}

/* Pages in whatever order, one of them mapped otherwise too: one piece of memory, every page the
 * guest's, and writable. */
static void many_pages_are_mapped_as_one_piece(void **state)
{
	struct fixture *f = *state;
	uint32_t budget = f->grants.static_budget, refs[N_PAGES];
	uint8_t *piece;
	void *alone, *all;

	for (uint32_t i = 0; i < N_PAGES; i++) {
		refs[i] = f->gref[i * 7 % N_PAGES];
		memset(f->pages + i * XEN_PAGE, (int)i + 1, XEN_PAGE);
	}
	assert_int_equal(grant_map_static(&f->grants, GUEST, refs[3], false, &alone), 0);
	assert_int_equal(grant_map_many(&f->grants, GUEST, refs, N_PAGES, 0, &all), 0);
	assert_int_equal(f->grants.static_budget, budget - 1 - N_PAGES);
	piece = all;
	for (uint32_t i = 0; i < N_PAGES; i++) {
		uint8_t *theirs = f->pages + (i * 7 % N_PAGES) * XEN_PAGE;

		assert_memory_equal(piece + i * XEN_PAGE, theirs, XEN_PAGE);
		memset(piece + i * XEN_PAGE, (int)(100 + i), XEN_PAGE);
		assert_int_equal(theirs[0], 100 + i);
		assert_int_equal(theirs[XEN_PAGE - 1], 100 + i);
	}
	assert_int_equal(*(uint8_t *)alone, 103);
	grant_unmap_static(&f->grants, alone);
	assert_int_equal(piece[3 * XEN_PAGE], 103);
	grant_unmap_many(&f->grants, all, N_PAGES);
	assert_int_equal(f->grants.static_budget, budget);
}

static void of_many_pages_all_are_mapped_or_none(void **state)
{
	struct fixture *f = *state;
	uint32_t refs[3] = { f->gref[0], f->read_only_gref, f->gref[1] };
	void *piece = f;

	assert_true(grant_map_many(&f->grants, GUEST, refs, 3, 0, &piece) < 0);
	assert_null(piece);
	assert_int_equal(f->grants.static_budget, GRANTS_STATIC_BUDGET);
	refs[1] = f->gref[2];
	f->grants.static_budget = 2;
	assert_int_equal(grant_map_many(&f->grants, GUEST, refs, 3, 0, &piece), -ENOSPC);
	f->grants.static_budget = 3;
	assert_int_equal(grant_map_many(&f->grants, GUEST, refs, 3, 0, &piece), 0);
	assert_int_equal(f->grants.static_budget, 0);
	grant_unmap_many(&f->grants, piece, 3);
	assert_int_equal(f->grants.static_budget, 3);
}

/* Among other mappings there are gaps that many pages would fit, and the room would not; they stay
 * free. Some are just larger than the pages, and some much. */
static void many_pages_have_room_below(void **state)
{
	enum { SMALL = 60, LARGE = 8, ROOM = 16 << 20 };
	const size_t small = N_PAGES * XEN_PAGE, large = ROOM, all_gaps = SMALL * small + LARGE * large;
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	struct fixture *f = *state;
	uint8_t *around = mmap(NULL, all_gaps + (SMALL + LARGE + 1) * XEN_PAGE, PROT_NONE, flags, -1, 0);
	uint8_t *gap[SMALL + LARGE], *at = around, *below;
	void *all;

	assert_true(around != MAP_FAILED);
	for (uint32_t i = 0; i < SMALL + LARGE; i++) {
		size_t size = i < SMALL ? small : large;

		gap[i] = at + XEN_PAGE;
		at = gap[i] + size;
		munmap(gap[i], size);
	}
	assert_int_equal(grant_map_many(&f->grants, GUEST, f->gref, N_PAGES, ROOM, &all), 0);
	below = mmap((uint8_t *)all - ROOM, ROOM, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(below, (uint8_t *)all - ROOM);
	munmap(below, ROOM);
	grant_unmap_many(&f->grants, all, N_PAGES);
	for (uint32_t i = 0; i < SMALL + LARGE; i++)
		assert_true(mmap(gap[i], i < SMALL ? small : large, PROT_NONE,
				 flags | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
	munmap(around, all_gaps + (SMALL + LARGE + 1) * XEN_PAGE);
}

static void copies_both_ways_in_one_call(void **state)
{
	struct fixture *f = *state;
	uint8_t in[N_PAGES][100], out[100];
	grant_op ops[N_PAGES + 1];

	memset(out, 0x77, sizeof(out));
	for (uint32_t i = 0; i < N_PAGES; i++) {
		memset(f->pages + i * XEN_PAGE + 10 * i, (int)i + 1, sizeof(in[i]));
		grant_op_from_guest(&ops[i], GUEST, f->gref[i], (uint16_t)(10 * i), in[i],
				    sizeof(in[i]));
	}
	grant_op_to_guest(&ops[N_PAGES], GUEST, f->gref[3], 3996, out, sizeof(out));
	assert_int_equal(grant_copy(&f->grants, ops, N_PAGES + 1), 0);
	for (uint32_t i = 0; i <= N_PAGES; i++)
		assert_int_equal(ops[i].status, GNTST_okay);
	for (uint32_t i = 0; i < N_PAGES; i++)
		assert_memory_equal(in[i], f->pages + i * XEN_PAGE + 10 * i, sizeof(in[i]));
	assert_memory_equal(f->pages + 3 * XEN_PAGE + 3996, out, sizeof(out));
	assert_int_equal(f->grants.n_copy_calls, 1);
	assert_int_equal(f->grants.n_copy_ops, N_PAGES + 1);
}

/* XSA-361 and its like: one bad operation is that operation's affair. */
static void each_operation_has_its_own_status(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[5][60];
	grant_op ops[5];

	for (uint32_t i = 0; i < 5; i++)
		grant_op_from_guest(&ops[i], GUEST, f->gref[i], 0, bytes[i], 60);
	ops[1].source.foreign.ref = 100000;
	ops[2].source.foreign.domid = GUEST + 1;
	grant_op_to_guest(&ops[3], GUEST, f->read_only_gref, 0, bytes[3], 60);
	assert_int_equal(grant_copy(&f->grants, ops, 5), 0);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(ops[i].status == GNTST_okay, i == 0 || i == 4);

	/* What is granted for reading can be read. */
	grant_op_from_guest(&ops[0], GUEST, f->read_only_gref, 0, bytes[0], 60);
	assert_int_equal(grant_copy(&f->grants, ops, 1), 0);
	assert_int_equal(ops[0].status, GNTST_okay);
}

static void a_call_that_fails_leaves_no_status_open(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[60];
	grant_op ops[3];

	for (uint32_t i = 0; i < 3; i++) {
		grant_op_from_guest(&ops[i], GUEST, f->gref[i], 0, bytes, sizeof(bytes));
		ops[i].status = GNTST_okay; /* of an earlier use */
	}
	call_errno = EFAULT;
	assert_int_equal(grant_copy(&f->grants, ops, 3), -EFAULT);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(ops[i].status, GNTST_general_error);
}

static void closing_twice_is_harmless(void **state)
{
	struct fixture *f = *state;

	grants_close(&f->grants);
	grants_close(&f->grants);
}

#define GRANT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GRANT_TEST(a_mapped_page_is_the_guests),
		GRANT_TEST(what_cannot_be_mapped_says_so),
		GRANT_TEST(many_pages_are_mapped_as_one_piece),
		GRANT_TEST(many_pages_have_room_below),
		GRANT_TEST(of_many_pages_all_are_mapped_or_none),
		GRANT_TEST(copies_both_ways_in_one_call),
		GRANT_TEST(each_operation_has_its_own_status),
		GRANT_TEST(a_call_that_fails_leaves_no_status_open),
		GRANT_TEST(closing_twice_is_harmless),
	};

	return cmocka_run_group_tests_name("grant", tests, NULL, NULL);
}
