/* SPDX-License-Identifier: MIT */
/*
 * The control ring and its requests: each type with every value it may and may not have,
 * what a failed one leaves behind, and what a successor finds after a kill. The guest's side
 * of the ring is Xen's own macros.
 */
#include "tests/unit/unit.h"

#include "ctrl.h"

#include <string.h>

/* What xen/io/ring.h leaves to its user. Not fences: the thread sanitizer knows none. */
static int barrier_word;

#define xen_mb()  ((void)__atomic_fetch_add(&barrier_word, 0, __ATOMIC_SEQ_CST))
#define xen_wmb() xen_mb()

#define OK	      XEN_NETIF_CTRL_STATUS_SUCCESS
#define NOT_SUPPORTED XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED
#define INVALID	      XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER
#define OVERFLOW      XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW

#define N_QUEUES 3u

/* ---- the ring ---- */

static const RING_IDX starts[] = { 0, 77, 125, 0x7ffffffe, 0xfffffffa, 0xffffff80 };

struct ends {
	uint8_t page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
	struct ring_journal journal;
	xen_netif_ctrl_front_ring_t front;
	struct ring ring;
};

static xen_netif_ctrl_sring_t *sring(struct ends *e)
{
	return (void *)e->page;
}

static void front_init(struct ends *e, RING_IDX start)
{
	xen_netif_ctrl_sring_t *s = sring(e);

	memset(e, 0xee, sizeof(*e));
	SHARED_RING_INIT(s);
	s->req_prod = s->rsp_prod = start;
	s->req_event = s->rsp_event = start + 1;
	FRONT_RING_ATTACH(&e->front, s, start, XEN_PAGE);
}

static struct xen_netif_ctrl_request ring_request(RING_IDX idx)
{
	return (struct xen_netif_ctrl_request){ .id = (uint16_t)(idx * 7),
						.type = (uint16_t)(idx % 12),
						.data = { idx, idx * 3, ~idx } };
}

static struct xen_netif_ctrl_response ring_answer(RING_IDX idx)
{
	return (struct xen_netif_ctrl_response){ .id = ring_request(idx).id,
						 .type = ring_request(idx).type,
						 .status = idx % 4,
						 .data = idx * 5 };
}

static void guest_asks(struct ends *e, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		RING_IDX idx = e->front.req_prod_pvt++;

		*RING_GET_REQUEST(&e->front, idx) = ring_request(idx);
	}
	RING_PUSH_REQUESTS(&e->front);
}

static void take_and_answer(struct ends *e)
{
	RING_IDX idx = e->ring.req_cons;
	struct xen_netif_ctrl_request req, expected = ring_request(idx);
	struct xen_netif_ctrl_response rsp = ring_answer(idx);

	ctrl_peek(&e->ring, &req);
	assert_memory_equal(&req, &expected, sizeof(req));
	ring_consume(&e->ring, 1);
	ctrl_respond(&e->ring, &rsp);
}

static void expect_answers(struct ends *e, RING_IDX from, RING_IDX to)
{
	static const uint8_t zero[4];

	for (RING_IDX idx = from; idx != to; idx++) {
		struct xen_netif_ctrl_response expected = ring_answer(idx);
		const uint8_t *slot = (const void *)RING_GET_RESPONSE(&e->front, idx);

		assert_memory_equal(slot, &expected, sizeof(expected));
		assert_memory_equal(slot + sizeof(expected), zero, sizeof(zero));
	}
}

static void ring_goes_round(void **state)
{
	static struct ends e;

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		front_init(&e, starts[s]);
		assert_int_equal(ctrl_ring_attach(&e.ring, e.page, &e.journal, false), 0);
		for (RING_IDX at = starts[s]; at != starts[s] + 3 * CTRL_RING_SLOTS;
		     at += CTRL_RING_SLOTS) {
			guest_asks(&e, CTRL_RING_SLOTS);
			for (uint32_t left = CTRL_RING_SLOTS; left; left--) {
				assert_int_equal(ring_pending(&e.ring), left);
				take_and_answer(&e);
			}
			(void)!ring_publish(&e.ring);
			assert_int_equal(ring_arm(&e.ring, 1), 0);
			assert_int_equal(RING_HAS_UNCONSUMED_RESPONSES(&e.front), CTRL_RING_SLOTS);
			expect_answers(&e, at, at + CTRL_RING_SLOTS);
			e.front.rsp_cons = at + CTRL_RING_SLOTS;
		}
	}
}

/* XSA-39, for a ring of half as many slots. */
static void a_wild_producer_is_noticed(void **state)
{
	static struct ends e;

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		front_init(&e, starts[s]);
		assert_int_equal(ctrl_ring_attach(&e.ring, e.page, &e.journal, false), 0);
		guest_asks(&e, 10);
		take_and_answer(&e);
		for (RING_IDX offset = 0; offset < 512; offset++) {
			bool sane = offset >= 1 && offset <= CTRL_RING_SLOTS;

			sring(&e)->req_prod = starts[s] + offset;
			assert_int_equal(ring_pending(&e.ring), sane ? (int)offset - 1 : -EPROTO);
			sring(&e)->req_prod = starts[s] - offset - 1;
			assert_int_equal(ring_pending(&e.ring), -EPROTO);
		}
		sring(&e)->req_prod = starts[s] + CTRL_RING_SLOTS + 1;
		assert_int_equal(ctrl_ring_attach(&e.ring, e.page, &e.journal, false), -EPROTO);
	}
}

/* A kill after the answer was noted, and while and after it was written to its slot: a
 * successor neither loses it nor takes it for a request. */
static void a_kill_leaves_no_answer_as_request(void **state)
{
	static struct ends e, before;

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		for (size_t written = 0; written <= 16; written += 4) {
			uint8_t *slot;

			front_init(&e, starts[s]);
			assert_int_equal(ctrl_ring_attach(&e.ring, e.page, &e.journal, false), 0);
			guest_asks(&e, 3);
			take_and_answer(&e);
			(void)!ring_publish(&e.ring);
			before = e;
			slot = (void *)RING_GET_REQUEST(&e.front, starts[s] + 1);
			take_and_answer(&e); /* noted, written, not published */
			memcpy(slot + written, before.page + (slot - e.page) + written,
			       16 - written);

			assert_int_equal(ctrl_ring_attach(&e.ring, e.page, &e.journal, true), 0);
			assert_int_equal(ring_pending(&e.ring), 1);
			take_and_answer(&e);
			(void)!ring_publish(&e.ring);
			assert_int_equal(RING_HAS_UNCONSUMED_RESPONSES(&e.front), 3);
			expect_answers(&e, starts[s], starts[s] + 3);
		}
	}
}

/* ---- requests ---- */

struct fixture {
	struct ctrl_memory memory;
	struct ctrl_server ctrl;
	uint32_t index;
	/* the guest's page, and what becomes of copies and mappings */
	uint8_t page[XEN_PAGE];
	bool cannot_fetch, cannot_store, cannot_apply;
	unsigned n_fetched, n_stored, n_applied;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	ctrl_init(&f.ctrl, &f.memory, N_QUEUES, true, false);
	f.index = 0xfffffffd;
	*state = &f;
	return 0;
}

static bool fetch(struct fixture *f)
{
	assert_in_range(f->ctrl.n_bytes, 1, XEN_PAGE);
	f->n_fetched++;
	if (!f->cannot_fetch)
		memcpy(f->ctrl.page.bytes, f->page, f->ctrl.n_bytes);
	return !f->cannot_fetch;
}

static bool store(struct fixture *f)
{
	assert_in_range(f->ctrl.n_bytes, 1, XEN_PAGE);
	f->n_stored++;
	if (!f->cannot_store)
		memcpy(f->page, f->ctrl.page.bytes, f->ctrl.n_bytes);
	return !f->cannot_store;
}

static bool apply(struct fixture *f)
{
	assert_true(f->ctrl.queue < N_QUEUES);
	f->n_applied++;
	if (!f->cannot_apply)
		f->memory.grants[f->ctrl.queue].active ^= 1;
	return !f->cannot_apply;
}

/* As the datapath does it. */
static struct xen_netif_ctrl_response ask_again(struct fixture *f, uint16_t type, uint32_t a,
						uint32_t b, uint32_t c)
{
	const struct xen_netif_ctrl_request req = { .id = (uint16_t)f->index,
						    .type = type,
						    .data = { a, b, c } };
	enum ctrl_need need = ctrl_begin(&f->ctrl, f->index, &req);

	while (need != CTRL_ANSWER) {
		if (need == CTRL_FETCH)
			need = ctrl_fetched(&f->ctrl, fetch(f));
		else if (need == CTRL_STORE)
			need = ctrl_stored(&f->ctrl, store(f));
		else
			need = ctrl_applied(&f->ctrl, apply(f));
	}
	assert_int_equal(f->ctrl.rsp.id, req.id);
	assert_int_equal(f->ctrl.rsp.type, type);
	return f->ctrl.rsp;
}

static struct xen_netif_ctrl_response ask(struct fixture *f, uint16_t type, uint32_t a, uint32_t b,
					  uint32_t c)
{
	f->index++;
	return ask_again(f, type, a, b, c);
}

/* A request that must be refused so, and change nothing. */
static void expect_refused(struct fixture *f, uint32_t status, uint16_t type, uint32_t a,
			   uint32_t b, uint32_t c)
{
	struct rss before = *ctrl_rss(&f->memory);
	struct static_list lists[N_QUEUES];
	struct xen_netif_ctrl_response rsp;

	for (uint32_t q = 0; q < N_QUEUES; q++)
		lists[q] = *static_lists_active(&f->memory.grants[q]);
	rsp = ask(f, type, a, b, c);
	assert_int_equal(rsp.status, status);
	assert_int_equal(rsp.data, 0);
	assert_false(f->ctrl.rss_changed);
	assert_memory_equal(ctrl_rss(&f->memory), &before, sizeof(before));
	for (uint32_t q = 0; q < N_QUEUES; q++)
		assert_memory_equal(static_lists_active(&f->memory.grants[q]), &lists[q],
				    sizeof(lists[q]));
}

static void unknown_types_are_not_supported(void **state)
{
	struct fixture *f = *state;

	expect_refused(f, NOT_SUPPORTED, XEN_NETIF_CTRL_TYPE_INVALID, 0, 0, 0);
	for (uint32_t type = XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING + 1; type <= UINT16_MAX; type++)
		expect_refused(f, NOT_SUPPORTED, (uint16_t)type, 0, 0, 0);
	assert_int_equal(f->n_fetched, 0);
}

static void without_hashing_only_grants_are(void **state)
{
	struct fixture *f = *state;

	f->ctrl.can_hash = false;
	for (uint16_t type = XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS;
	     type <= XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM; type++)
		expect_refused(f, NOT_SUPPORTED, type, 0, 0, 0);
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 0, 0, 0).data,
			 STATIC_GRANTS_MAX);
}

static void algorithms(void **state)
{
	static const uint32_t bad[] = { 2, 3, 255, 1u << 31, ~0u };
	struct fixture *f = *state;

	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, 1, 0, 0).status, OK);
	assert_true(f->ctrl.rss_changed);
	assert_int_equal(ctrl_rss(&f->memory)->algorithm, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, bad[i], 0, 0);
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, 0, 0, 0).status, OK);
	assert_int_equal(ctrl_rss(&f->memory)->algorithm, 0);
}

static void flags_need_an_algorithm(void **state)
{
	struct fixture *f = *state;
	struct xen_netif_ctrl_response rsp;

	expect_refused(f, NOT_SUPPORTED, XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, 0, 0, 0);
	expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 1, 0, 0);
	(void)ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, 1, 0, 0);
	rsp = ask(f, XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, 0, 0, 0);
	assert_int_equal(rsp.status, OK);
	assert_int_equal(rsp.data, 15);
	for (uint32_t flags = 0; flags <= 15; flags++) {
		assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, flags, 0, 0).status,
				 OK);
		assert_int_equal(ctrl_rss(&f->memory)->flags, flags);
		for (uint32_t bit = 4; bit < 32; bit++)
			expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS,
				       flags | BIT(bit), 0, 0);
	}
}

static void keys_of_every_size(void **state)
{
	static const uint32_t bad[] = { 41, 64, 4096, 4097, 65536 + 8, 1u << 31, ~0u };
	struct fixture *f = *state;

	for (uint32_t size = 0; size <= STEER_KEY_SIZE; size++) {
		uint8_t expected[STEER_KEY_SIZE] = { 0 };

		memset(f->page, (int)size + 1, sizeof(f->page));
		memset(expected, (int)size + 1, size);
		f->n_fetched = 0;
		assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 99, size, 0).status, OK);
		assert_int_equal(f->n_fetched, size > 0); /* no size, no page */
		assert_memory_equal(ctrl_rss(&f->memory)->key, expected, sizeof(expected));
		if (size) {
			assert_int_equal(f->ctrl.gref, 99);
			assert_int_equal(f->ctrl.n_bytes, size);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refused(f, OVERFLOW, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 99, bad[i], 0);
	f->cannot_fetch = true;
	expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 99, 40, 0);
}

static void mapping_sizes(void **state)
{
	static const uint32_t bad[] = { 129, 256, 1024, 1u << 30, 1u << 31, ~0u };
	struct fixture *f = *state;
	static const uint32_t zero[STEER_MAPPING_MAX];

	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, 0, 0, 0).data, 128);
	for (uint32_t size = 0; size <= STEER_MAPPING_MAX; size++) {
		assert_int_equal(
		    ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, size, 0, 0).status, OK);
		assert_int_equal(ctrl_rss(&f->memory)->mapping_size, size);
		assert_memory_equal(ctrl_rss(&f->memory)->mapping, zero, sizeof(zero));
		((uint32_t *)(void *)f->page)[0] = 2;
		if (size)
			assert_int_equal(
			    ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 1, 1, size - 1).status,
			    OK);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, bad[i], 0, 0);
}

static void set_page_mapping(struct fixture *f, uint32_t from)
{
	for (uint32_t i = 0; i < XEN_PAGE / sizeof(uint32_t); i++)
		((uint32_t *)(void *)f->page)[i] = (i + from) % N_QUEUES;
}

static void mappings_in_parts(void **state)
{
	struct fixture *f = *state;
	const uint32_t *mapping;

	(void)ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, 100, 0, 0);
	set_page_mapping(f, 0);
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 5, 100, 0).status, OK);
	assert_int_equal(f->ctrl.gref, 5);
	assert_int_equal(f->ctrl.n_bytes, 400);
	set_page_mapping(f, 1);
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 5, 10, 90).status, OK);
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 5, 0, 100).status, OK);
	mapping = ctrl_rss(&f->memory)->mapping;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(mapping[i], i < 90 ? i % N_QUEUES : (i - 90 + 1) % N_QUEUES);
	for (uint32_t i = 100; i < STEER_MAPPING_MAX; i++)
		assert_int_equal(mapping[i], 0);
}

/* XSA-270: sizes and offsets whose sums wrap; and what the table names. */
static void mappings_out_of_bounds(void **state)
{
	static const struct {
		uint32_t n, offset, status;
	} bad[] = {
		{ 101, 0, INVALID },
		{ 1, 100, INVALID },
		{ 0, 101, INVALID },
		{ 10, 91, INVALID },
		{ 28, 100, INVALID },
		{ 129, 0, OVERFLOW },
		{ 1, 128, OVERFLOW },
		{ 29, 100, OVERFLOW },
		{ 0, 129, OVERFLOW },
		{ 1, ~0u, OVERFLOW },
		{ ~0u, 1, OVERFLOW },
		{ ~0u, 0, OVERFLOW },
		{ 1u << 31, 1u << 31, OVERFLOW },
		{ 100, ~0u - 99, OVERFLOW },
		{ 1u << 30, 0, OVERFLOW },
		{ (1u << 30) + 1, 0, OVERFLOW },
		{ 0, ~0u, OVERFLOW },
		{ 64, ~0u - 63, OVERFLOW },
	};
	struct fixture *f = *state;

	(void)ask(f, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, 100, 0, 0);
	set_page_mapping(f, 0);
	f->n_fetched = 0;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refused(f, bad[i].status, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 5, bad[i].n,
			       bad[i].offset);
	assert_int_equal(f->n_fetched, 0);

	for (uint32_t i = 0; i < 100; i++) {
		set_page_mapping(f, 1);
		((uint32_t *)(void *)f->page)[i] = i % 2 ? N_QUEUES : ~0u;
		expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 5, 100, 0);
	}
	f->cannot_fetch = true;
	expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 5, 100, 0);
}

/* ---- static grants ---- */

static struct xen_netif_gref *list_page(struct fixture *f)
{
	return (void *)f->page;
}

/* n entries of grants from 'first' on. */
static void set_list(struct fixture *f, uint32_t first, uint32_t n, uint16_t flags)
{
	for (uint32_t i = 0; i < n; i++)
		list_page(f)[i] =
		    (struct xen_netif_gref){ .ref = first + i, .flags = flags, .status = 0xbeef };
}

static struct xen_netif_ctrl_response add(struct fixture *f, uint32_t queue, uint32_t first,
					  uint32_t n)
{
	set_list(f, first, n, 0);
	return ask(f, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, queue, 7, n);
}

static bool has(const struct fixture *f, uint32_t queue, uint32_t gref)
{
	const struct static_list *l = static_lists_active(&f->memory.grants[queue]);
	uint32_t n = 0;
	bool found = false;

	for (uint32_t i = 0; i < STATIC_GRANTS_MAX; i++) {
		n += l->entry[i] != 0;
		found |= (l->entry[i] & ~STATIC_GRANT_READONLY) == (STATIC_GRANT_USED | gref);
	}
	assert_int_equal(n, l->n);
	return found;
}

static void grants_size_is_asked_by_queue(void **state)
{
	static const uint32_t bad[] = { N_QUEUES, 16, 1u << 31, ~0u };
	struct fixture *f = *state;

	for (uint32_t q = 0; q < N_QUEUES; q++)
		assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, q, 0, 0).data,
				 512);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, bad[i], 0, 0);
		expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, bad[i], 7, 1);
		expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, bad[i], 7, 1);
	}
	assert_int_equal(f->n_fetched, 0);
}

static void grants_are_added_and_deleted(void **state)
{
	struct fixture *f = *state;
	struct xen_netif_ctrl_response rsp;

	assert_int_equal(add(f, 1, 100, 512).status, OK);
	assert_int_equal(f->ctrl.gref, 7);
	assert_int_equal(f->ctrl.n_bytes, 4096);
	assert_true(has(f, 1, 100) && has(f, 1, 611) && !has(f, 0, 100) && !has(f, 2, 100));
	assert_int_equal(add(f, 0, 100, 1).status, OK); /* another queue's are its own */
	set_list(f, 611, 2, 0);				/* 612 was never added */
	rsp = ask(f, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 1, 7, 2);
	assert_int_equal(rsp.status, OK);
	assert_int_equal(rsp.data, 1);
	assert_int_equal(list_page(f)[0].status, OK);
	assert_int_equal(list_page(f)[1].status, INVALID);
	assert_false(has(f, 1, 611));
	assert_true(has(f, 0, 100));
	assert_int_equal(add(f, 1, 5000, 1).status, OK); /* there is room for one */
	expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 1, 7, 1);
	set_list(f, 100, 512, 0);
	rsp = ask(f, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 1, 7, 512);
	assert_int_equal(rsp.data, 511);
	assert_true(has(f, 1, 5000) && !has(f, 1, 100));
}

static void readonly_is_noted(void **state)
{
	struct fixture *f = *state;

	set_list(f, 3, 2, XEN_NETIF_CTRLF_GREF_readonly);
	list_page(f)[1].flags = 0;
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 7, 2).status, OK);
	assert_true(f->memory.grants[0].list[f->memory.grants[0].active].entry[0] ==
		    (STATIC_GRANT_USED | STATIC_GRANT_READONLY | 3));
	assert_true(f->memory.grants[0].list[f->memory.grants[0].active].entry[1] ==
		    (STATIC_GRANT_USED | 4));
	for (uint32_t bit = 1; bit < 16; bit++) {
		set_list(f, 50, 3, 0);
		list_page(f)[2].flags = (uint16_t)BIT(bit);
		expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 7, 3);
	}
}

static void a_list_that_fails_adds_none(void **state)
{
	static const uint32_t bad[] = { 513, 4096, 1u << 29, (1u << 29) + 1, 1u << 31, ~0u };
	struct fixture *f = *state;

	assert_int_equal(add(f, 0, 100, 10).status, OK);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 7, bad[i]);
		expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 0, 7, bad[i]);
	}
	set_list(f, 200, 503, 0); /* one more than there is room for */
	expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 7, 503);
	set_list(f, 200, 20, 0);
	list_page(f)[19].ref = 100; /* added before */
	expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 7, 20);
	set_list(f, 200, 20, 0);
	list_page(f)[19].ref = 200; /* twice in the list */
	expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 7, 20);
	assert_int_equal(f->n_applied, 1);
	set_list(f, 200, 20, 0);
	f->cannot_apply = true;
	expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 7, 20);
	f->cannot_apply = false;
	f->cannot_fetch = true;
	expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 7, 20);
	f->cannot_fetch = false;
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 7, 20).status, OK);
}

static void a_page_that_cannot_be_written_deletes_none(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, 2, 100, 10).status, OK);
	f->cannot_store = true;
	expect_refused(f, INVALID, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 2, 7, 10);
	assert_int_equal(f->n_applied, 1);
	assert_true(has(f, 2, 109));
}

static void empty_lists_are_fine(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, 7, 0).status, OK);
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 0, 7, 0).status, OK);
	assert_int_equal(f->n_fetched + f->n_stored + f->n_applied, 0);
}

static void one_grant_named_twice_is_deleted_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, 0, 100, 10).status, OK);
	set_list(f, 105, 3, 0);
	list_page(f)[2].ref = 105;
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 0, 7, 3).data, 2);
	assert_int_equal(list_page(f)[0].status, OK);
	assert_int_equal(list_page(f)[2].status, INVALID);
}

/* Killed after the list counts and before the answer: the successor answers, as before, and
 * does not do it twice. Only then, and only this request. */
static void a_successor_answers_what_was_done(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, 1, 100, 10).status, OK);
	ctrl_init(&f->ctrl, &f->memory, N_QUEUES, true, true);
	assert_int_equal(ask_again(f, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 1, 7, 10).status, OK);
	assert_int_equal(f->n_applied, 1);
	/* not resumed any more: the same again is a mistake */
	assert_int_equal(ask_again(f, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 1, 7, 10).status,
			 INVALID);

	set_list(f, 100, 4, 0);
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 1, 7, 4).data, 4);
	ctrl_init(&f->ctrl, &f->memory, N_QUEUES, true, true);
	assert_int_equal(ask_again(f, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 1, 7, 4).data, 4);
	assert_true(has(f, 1, 104) && !has(f, 1, 103));

	/* the next one is another, whatever it asks */
	ctrl_init(&f->ctrl, &f->memory, N_QUEUES, true, true);
	set_list(f, 100, 4, 0);
	assert_int_equal(ask(f, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 1, 7, 4).data, 0);
}

/* Any words at all: no request reads or writes beyond its bounds, whatever was before. */
static void requests_at_random(void **state)
{
	static const uint32_t corner[] = { 0,	1,   2,	  3,   8,   40,	      41,	100, 127,
					   128, 129, 511, 512, 513, 1u << 29, 1u << 31, ~0u };
	struct random r = { .state = 77 };
	struct fixture *f = *state;

	for (unsigned i = 0; i < 50000; i++) {
		uint32_t data[3];

		for (unsigned k = 0; k < 3; k++)
			data[k] = random_below(&r, 8) ? corner[random_below(&r, ARRAY_SIZE(corner))]
						      : random_next(&r);
		for (unsigned k = 0; k < 30; k++)
			f->page[random_below(&r, XEN_PAGE)] = (uint8_t)random_below(&r, 4);
		f->cannot_fetch = random_below(&r, 10) == 0;
		f->cannot_store = random_below(&r, 10) == 0;
		f->cannot_apply = random_below(&r, 10) == 0;
		(void)ask(f, (uint16_t)random_below(&r, 12), data[0], data[1], data[2]);
		assert_true(ctrl_rss(&f->memory)->mapping_size <= STEER_MAPPING_MAX);
		assert_int_equal(ctrl_rss(&f->memory)->flags & ~RSS_FLAGS, 0);
		for (uint32_t k = 0; k < STEER_MAPPING_MAX; k++)
			assert_true(ctrl_rss(&f->memory)->mapping[k] < N_QUEUES);
		(void)has(f, random_below(&r, N_QUEUES), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_goes_round),
		cmocka_unit_test(a_wild_producer_is_noticed),
		cmocka_unit_test(a_kill_leaves_no_answer_as_request),
		cmocka_unit_test_setup(unknown_types_are_not_supported, setup),
		cmocka_unit_test_setup(without_hashing_only_grants_are, setup),
		cmocka_unit_test_setup(algorithms, setup),
		cmocka_unit_test_setup(flags_need_an_algorithm, setup),
		cmocka_unit_test_setup(keys_of_every_size, setup),
		cmocka_unit_test_setup(mapping_sizes, setup),
		cmocka_unit_test_setup(mappings_in_parts, setup),
		cmocka_unit_test_setup(mappings_out_of_bounds, setup),
		cmocka_unit_test_setup(grants_size_is_asked_by_queue, setup),
		cmocka_unit_test_setup(grants_are_added_and_deleted, setup),
		cmocka_unit_test_setup(readonly_is_noted, setup),
		cmocka_unit_test_setup(a_list_that_fails_adds_none, setup),
		cmocka_unit_test_setup(a_page_that_cannot_be_written_deletes_none, setup),
		cmocka_unit_test_setup(empty_lists_are_fine, setup),
		cmocka_unit_test_setup(one_grant_named_twice_is_deleted_once, setup),
		cmocka_unit_test_setup(a_successor_answers_what_was_done, setup),
		cmocka_unit_test_setup(requests_at_random, setup),
	};

	return cmocka_run_group_tests_name("ctrl", tests, NULL, NULL);
}
