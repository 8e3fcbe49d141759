/* SPDX-License-Identifier: MIT */
/*
 * What a guest transmits: the plan over every shape of packet a guest can describe,
 * right and wrong, and the whole way from a ring to a packet and back.
 */
#include "tests/unit/unit.h"

#include "from_guest.h"
#include "tests/unit/frames.h"

#include <netinet/in.h>
#include <string.h>

#define MORE  NETTXF_more_data
#define EXTRA NETTXF_extra_info
#define BLANK NETTXF_csum_blank
#define VALID NETTXF_data_validated

/* A slot list in the making. */
struct slots {
	union from_guest_slot slot[64];
	uint32_t n;
};

static struct slots *add(struct slots *s, uint16_t flags, uint16_t offset, uint16_t size)
{
	s->slot[s->n].req = (netif_tx_request_t){ .gref = 1000 + s->n,
						  .offset = offset,
						  .flags = flags,
						  .id = (uint16_t)(500 + s->n),
						  .size = size };
	s->n++;
	return s;
}

static struct slots *add_extra(struct slots *s, uint8_t type, bool more)
{
	memset(&s->slot[s->n], 0xff, sizeof(s->slot[0]));
	s->slot[s->n].extra =
	    (netif_extra_info_t){ .type = type, .flags = more ? XEN_NETIF_EXTRA_FLAG_MORE : 0 };
	s->n++;
	return s;
}

static struct slots *add_gso(struct slots *s, uint8_t type, uint16_t size, bool more)
{
	add_extra(s, XEN_NETIF_EXTRA_TYPE_GSO, more);
	s->slot[s->n - 1].extra.u.gso.type = type;
	s->slot[s->n - 1].extra.u.gso.size = size;
	return s;
}

/* A packet of n requests, 'each' bytes in all but the first, which has 'first'. */
static struct slots *add_packet(struct slots *s, uint32_t n, uint16_t first, uint16_t each)
{
	add(s, n > 1 ? MORE : 0, 0, (uint16_t)(first + (n - 1) * each));
	for (uint32_t i = 1; i < n; i++)
		add(s, i + 1 < n ? MORE : 0, 0, each);
	return s;
}

static struct from_guest_frame plan(const struct slots *s)
{
	struct from_guest_frame f;

	memset(&f, 0xa5, sizeof(f));
	assert_true(from_guest_plan(s->slot, s->n, &f));
	return f;
}

static void expect_fault(const struct slots *s, enum vif_verdict verdict,
			 enum from_guest_fault fault)
{
	struct from_guest_frame f = plan(s);

	assert_string_equal(from_guest_fault_name(f.fault), from_guest_fault_name(fault));
	assert_int_equal(f.verdict, verdict);
}

/* ---- the plan: sound packets ---- */

static void no_request_is_no_packet(void **state)
{
	struct slots s = { .n = 0 };
	struct from_guest_frame f;

	(void)state;
	assert_false(from_guest_plan(s.slot, 0, &f));
}

static void one_request(void **state)
{
	struct slots s = { .n = 0 };
	struct from_guest_frame f;

	(void)state;
	add(&s, BLANK | VALID, 100, 1514);
	f = plan(&s);
	assert_int_equal(f.verdict, VIF_OK);
	assert_int_equal(f.fault, FROM_GUEST_FINE);
	assert_int_equal(f.n_ring_slots, 1);
	assert_int_equal(f.n_fragments, 1);
	assert_int_equal(f.size, 1514);
	assert_int_equal(f.fragment[0].gref, 1000);
	assert_int_equal(f.fragment[0].offset, 100);
	assert_int_equal(f.fragment[0].size, 1514);
	assert_int_equal(f.id[0], 500);
	assert_int_equal(f.extra_mask, 0);
	assert_true(f.offload.csum_blank);
	assert_true(f.offload.data_validated);
	assert_int_equal(f.offload.gso_type, 0);
}

static void two_three_and_eighteen_requests(void **state)
{
	static const uint32_t counts[] = { 2, 3, 17, 18 };

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
		struct slots s = { .n = 0 };
		struct from_guest_frame f;

		add_packet(&s, counts[c], 66, 3000);
		f = plan(&s);
		assert_int_equal(f.verdict, VIF_OK);
		assert_int_equal(f.n_ring_slots, counts[c]);
		assert_int_equal(f.n_fragments, counts[c]);
		assert_int_equal(f.size, 66 + 3000 * (counts[c] - 1));
		for (uint32_t i = 0; i < counts[c]; i++) {
			assert_int_equal(f.fragment[i].gref, 1000 + i);
			assert_int_equal(f.fragment[i].size, i ? 3000 : 66);
			assert_int_equal(f.id[i], 500 + i);
		}
	}
}

static void nineteen_requests_are_dropped_and_answered(void **state)
{
	struct slots s = { .n = 0 };
	struct from_guest_frame f;

	(void)state;
	add_packet(&s, 19, 66, 100);
	f = plan(&s);
	assert_int_equal(f.verdict, VIF_DROP);
	assert_int_equal(f.fault, FROM_GUEST_TOO_MANY_SLOTS);
	assert_int_equal(f.n_ring_slots, 19);
	for (uint32_t i = 0; i < 19; i++)
		assert_int_equal(f.id[i], 500 + i);
}

static void twenty_requests_are_fatal(void **state)
{
	(void)state;
	for (uint32_t n = 20; n <= 60; n++) {
		struct slots s = { .n = 0 };

		expect_fault(add_packet(&s, n, 66, 100), VIF_FATAL, FROM_GUEST_ABSURD_SLOTS);
		/* The nineteenth says that there is more: no need to wait for it. */
		s.n = 19;
		expect_fault(&s, VIF_FATAL, FROM_GUEST_ABSURD_SLOTS);
	}
}

/* The slots a plan may be given are never too few to decide. */
static void the_longest_packet_is_decidable(void **state)
{
	struct slots s = { .n = 0 };
	struct from_guest_frame f;

	(void)state;
	add(&s, MORE | EXTRA, 0, 1900);
	for (uint8_t type = 1; type < XEN_NETIF_EXTRA_TYPE_MAX; type++) {
		if (type == XEN_NETIF_EXTRA_TYPE_GSO)
			add_gso(&s, XEN_NETIF_GSO_TYPE_TCPV4, 1448, true);
		else
			add_extra(&s, type, type + 1 < XEN_NETIF_EXTRA_TYPE_MAX);
	}
	while (s.n < FROM_GUEST_RING_SLOTS_MAX)
		add(&s, MORE, 0, 100);
	expect_fault(&s, VIF_FATAL, FROM_GUEST_ABSURD_SLOTS);
	s.slot[s.n - 1].req.flags = 0;
	f = plan(&s);
	assert_int_equal(f.verdict, VIF_DROP);
	assert_int_equal(f.n_ring_slots, FROM_GUEST_RING_SLOTS_MAX);
	assert_int_equal(f.extra_mask, 0x1e);
}

static void a_partial_packet_waits(void **state)
{
	struct from_guest_frame f;

	(void)state;
	for (uint32_t total = 2; total <= 18; total++) {
		struct slots s = { .n = 0 };

		add_packet(&s, total, 66, 100);
		for (uint32_t n = 0; n < total; n++)
			assert_false(from_guest_plan(s.slot, n, &f));
		assert_true(from_guest_plan(s.slot, total, &f));
	}
}

static void only_the_first_packet_is_read(void **state)
{
	struct slots s = { .n = 0 };
	struct from_guest_frame f;

	(void)state;
	add_packet(add_packet(&s, 2, 66, 100), 3, 77, 200);
	f = plan(&s);
	assert_int_equal(f.n_ring_slots, 2);
	assert_int_equal(f.size, 166);
	assert_true(from_guest_plan(s.slot + 2, s.n - 2, &f));
	assert_int_equal(f.n_ring_slots, 3);
	assert_int_equal(f.size, 477);
	assert_int_equal(f.id[0], 502);
}

/* XSA-448: refusing these was a way to kill a vif by accident. */
static void zero_length_slots_are_fine(void **state)
{
	struct slots s = { .n = 0 };
	struct from_guest_frame f;
	struct packet_pool pool;
	grant_op ops[FROM_GUEST_SLOTS_MAX];
	struct packet *p;

	(void)state;
	add(&s, MORE, 0, 1000);
	add(&s, MORE, 4096, 0);
	add(&s, MORE, 50, 900);
	add(&s, 0, 7, 0);
	f = plan(&s);
	assert_int_equal(f.verdict, VIF_OK);
	assert_int_equal(f.n_fragments, 4);
	assert_int_equal(f.fragment[0].size, 100);

	assert_int_equal(packet_pool_init(&pool, 1), 0);
	p = packet_get(&pool);
	assert_int_equal(from_guest_ops(&f, 3, p, ops), 2);
	assert_int_equal(p->size, 1000);
	assert_int_equal(ops[1].source.foreign.ref, 1002);
	assert_ptr_equal(ops[1].dest.virt, p->frame + 100);
	packet_put(&pool, p);
	packet_pool_fini(&pool);

	/* Also a first slot that leaves all to the others. */
	s.n = 0;
	add(&s, MORE, 4096, 900);
	add(&s, 0, 50, 900);
	f = plan(&s);
	assert_int_equal(f.verdict, VIF_OK);
	assert_int_equal(f.fragment[0].size, 0);
}

static void the_largest_total_is_65535(void **state)
{
	struct slots s = { .n = 0 };
	struct from_guest_frame f;

	(void)state;
	add(&s, MORE, 1, 65535);
	for (unsigned i = 0; i < 15; i++)
		add(&s, i < 14 ? MORE : 0, 0, 4096);
	f = plan(&s);
	assert_int_equal(f.verdict, VIF_OK);
	assert_int_equal(f.size, 65535);
	assert_int_equal(f.fragment[0].size, 4095);
}

/* ---- the plan: extras ---- */

static void gso_extra(void **state)
{
	static const uint8_t types[] = { XEN_NETIF_GSO_TYPE_TCPV4, XEN_NETIF_GSO_TYPE_TCPV6 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct slots s = { .n = 0 };
		struct from_guest_frame f;

		add(&s, MORE | EXTRA | BLANK, 0, 9000);
		add_gso(&s, types[i], 1448, false);
		add(&s, MORE, 0, 4096);
		add(&s, 0, 0, 4096);
		f = plan(&s);
		assert_int_equal(f.verdict, VIF_OK);
		assert_int_equal(f.n_ring_slots, 4);
		assert_int_equal(f.n_fragments, 3);
		assert_int_equal(f.extra_mask, 0x2);
		assert_int_equal(f.offload.gso_type, types[i]);
		assert_int_equal(f.offload.gso_size, 1448);
		assert_int_equal(f.id[0], 500);
		assert_int_equal(f.id[2], 502);
		assert_int_equal(f.id[3], 503);
	}
}

static void the_smallest_gso_size_is_one(void **state)
{
	struct slots s = { .n = 0 };

	(void)state;
	add(&s, EXTRA, 0, 900);
	expect_fault(add_gso(&s, XEN_NETIF_GSO_TYPE_TCPV4, 1, false), VIF_OK, FROM_GUEST_FINE);
}

static void two_extras(void **state)
{
	struct slots s = { .n = 0 };
	struct from_guest_frame f;

	(void)state;
	add(&s, EXTRA, 0, 900);
	add_extra(&s, XEN_NETIF_EXTRA_TYPE_HASH, true);
	add_gso(&s, XEN_NETIF_GSO_TYPE_TCPV4, 500, false);
	add(&s, 0, 0, 60); /* the next packet's */
	f = plan(&s);
	assert_int_equal(f.verdict, VIF_OK);
	assert_int_equal(f.n_ring_slots, 3);
	assert_int_equal(f.extra_mask, 0x6);
	assert_int_equal(f.offload.gso_size, 500);
	assert_int_equal(f.fragment[0].size, 900);
}

static void a_missing_extra_waits(void **state)
{
	struct slots s = { .n = 0 };
	struct from_guest_frame f;

	(void)state;
	add(&s, EXTRA, 0, 900);
	assert_false(from_guest_plan(s.slot, s.n, &f));
	s.slot[0].req.flags |= MORE;
	assert_false(from_guest_plan(s.slot, s.n, &f));
	add_extra(&s, XEN_NETIF_EXTRA_TYPE_HASH, true);
	assert_false(from_guest_plan(s.slot, s.n, &f));
	add_gso(&s, XEN_NETIF_GSO_TYPE_TCPV6, 500, false);
	assert_false(from_guest_plan(s.slot, s.n, &f));
	add(&s, 0, 0, 100);
	assert_true(from_guest_plan(s.slot, s.n, &f));
	assert_int_equal(f.n_ring_slots, 4);
}

static void an_unknown_extra_is_fatal(void **state)
{
	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		struct slots s = { .n = 0 };

		if (type > 0 && type < XEN_NETIF_EXTRA_TYPE_MAX)
			continue;
		add(&s, EXTRA, 0, 900);
		expect_fault(add_extra(&s, (uint8_t)type, false), VIF_FATAL, FROM_GUEST_BAD_EXTRA);
	}
}

static void a_repeated_extra_is_fatal(void **state)
{
	struct slots s = { .n = 0 };

	(void)state;
	add(&s, EXTRA, 0, 900);
	add_gso(&s, XEN_NETIF_GSO_TYPE_TCPV4, 500, true);
	expect_fault(add_gso(&s, XEN_NETIF_GSO_TYPE_TCPV4, 500, false), VIF_FATAL,
		     FROM_GUEST_BAD_EXTRA);
	/* and so is a chain without end, as soon as it shows */
	s.n = 1;
	while (s.n < 64)
		add_extra(&s, XEN_NETIF_EXTRA_TYPE_HASH, true);
	expect_fault(&s, VIF_FATAL, FROM_GUEST_BAD_EXTRA);
	s.n = 3;
	expect_fault(&s, VIF_FATAL, FROM_GUEST_BAD_EXTRA);
}

static void nonsense_gso_is_fatal(void **state)
{
	static const struct {
		uint8_t type;
		uint16_t size;
	} cases[] = { { XEN_NETIF_GSO_TYPE_TCPV4, 0 },
		      { XEN_NETIF_GSO_TYPE_TCPV6, 0 },
		      { XEN_NETIF_GSO_TYPE_NONE, 1448 },
		      { 3, 1448 },
		      { 255, 1448 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct slots s = { .n = 0 };

		add(&s, EXTRA | MORE, 0, 900);
		expect_fault(add_gso(&s, cases[i].type, cases[i].size, false), VIF_FATAL,
			     FROM_GUEST_BAD_GSO);
	}
}

/* ---- dummy requests: multicast control ---- */

static struct slots *add_multicast(struct slots *s, uint8_t type, uint8_t first, uint8_t last,
				   bool more)
{
	const uint8_t address[6] = { first, 0, 0x5e, 1, 2, last };

	add_extra(s, type, more);
	memcpy(s->slot[s->n - 1].extra.u.mcast.addr, address, sizeof(address));
	return s;
}

static bool set_has(const struct multicast_set *set, uint8_t last)
{
	const uint8_t address[6] = { 1, 0, 0x5e, 1, 2, last };

	return multicast_has(set, address);
}

/* Neither its gref nor its size means anything: nothing is copied. */
static void a_dummy_request_adds_and_removes(void **state)
{
	struct multicast_set set = { .place = { 0 } };
	struct slots s = { .n = 0 };
	struct from_guest_frame f;
	struct packet p = { .size = 7 };
	grant_op ops[FROM_GUEST_SLOTS_MAX];

	(void)state;
	add(&s, EXTRA, 4000, 9999);
	add_multicast(&s, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, 1, 1, false);
	f = plan(&s);
	assert_int_equal(f.verdict, VIF_OK);
	assert_int_equal(f.n_ring_slots, 2);
	assert_int_equal(f.extra_mask, 2);
	assert_int_equal(from_guest_ops(&f, 3, &p, ops), 0);
	from_guest_amend(&f, &set);
	from_guest_amend(&f, &set); /* after a crash */
	assert_int_equal(f.verdict, VIF_OK);
	assert_true(set_has(&set, 1));
	assert_int_equal(multicast_count(&set), 1);

	s.n = 0;
	add(&s, EXTRA, 0, 0);
	add_multicast(&s, XEN_NETIF_EXTRA_TYPE_MCAST_DEL, 1, 1, true);
	add_multicast(&s, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, 1, 2, false);
	f = plan(&s);
	assert_int_equal(f.n_ring_slots, 3);
	from_guest_amend(&f, &set);
	assert_int_equal(f.verdict, VIF_OK);
	assert_false(set_has(&set, 1));
	assert_true(set_has(&set, 2));
}

static void a_dummy_request_can_be_refused(void **state)
{
	struct multicast_set set = { .place = { 0 } };
	struct slots s = { .n = 0 };
	struct from_guest_frame f;

	(void)state;
	for (uint32_t i = 0; i <= MULTICAST_MAX; i++) {
		s.n = 0;
		add(&s, EXTRA, 0, 0);
		add_multicast(&s, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, 1, (uint8_t)i, false);
		f = plan(&s);
		from_guest_amend(&f, &set);
		assert_int_equal(f.verdict, i < MULTICAST_MAX ? VIF_OK : VIF_DROP);
	}
	assert_int_equal(f.fault, FROM_GUEST_BAD_MULTICAST);

	s.n = 0; /* unicast */
	add(&s, EXTRA, 0, 0);
	add_multicast(&s, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, 0, 9, false);
	f = plan(&s);
	from_guest_amend(&f, &set);
	assert_int_equal(f.fault, FROM_GUEST_BAD_MULTICAST);
	assert_int_equal(multicast_count(&set), MULTICAST_MAX);
}

static void a_dummy_request_with_data_is_refused(void **state)
{
	struct slots s = { .n = 0 };
	struct from_guest_frame f;

	(void)state;
	add(&s, EXTRA | MORE, 0, 200);
	add_multicast(&s, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, 1, 1, false);
	add(&s, 0, 0, 100);
	f = plan(&s);
	assert_int_equal(f.verdict, VIF_DROP);
	assert_int_equal(f.fault, FROM_GUEST_BAD_MULTICAST);
	assert_int_equal(f.n_ring_slots, 3);

	s.n = 0; /* twice the same type */
	add(&s, EXTRA, 0, 0);
	add_multicast(&s, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, 1, 1, true);
	add_multicast(&s, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, 1, 2, false);
	expect_fault(&s, VIF_FATAL, FROM_GUEST_BAD_EXTRA);
}

/* ---- the plan: malformed packets ---- */

static void runts_are_dropped(void **state)
{
	(void)state;
	for (uint16_t size = 0; size <= 14; size++) {
		struct slots s = { .n = 0 };

		add(&s, 0, 0, size);
		if (size < 14)
			expect_fault(&s, VIF_DROP, FROM_GUEST_RUNT);
		else
			expect_fault(&s, VIF_OK, FROM_GUEST_FINE);
	}
}

static void fragments_beyond_the_total_are_fatal(void **state)
{
	struct slots s = { .n = 0 };

	(void)state;
	add(&s, MORE, 0, 1000);
	expect_fault(add(&s, 0, 0, 1001), VIF_FATAL, FROM_GUEST_SIZE_MISMATCH);
	s.n = 1;
	add(&s, MORE, 0, 600);
	expect_fault(add(&s, 0, 0, 401), VIF_FATAL, FROM_GUEST_SIZE_MISMATCH);
	s.n = 2;
	expect_fault(add(&s, 0, 0, 400), VIF_OK, FROM_GUEST_FINE);
	/* XSA-432's shape: many slots, a tiny total */
	s.n = 0;
	add(&s, MORE, 0, 1);
	while (s.n < 18)
		add(&s, s.n < 17 ? MORE : 0, 0, 4096);
	expect_fault(&s, VIF_FATAL, FROM_GUEST_SIZE_MISMATCH);
}

static void crossing_a_page_is_fatal(void **state)
{
	static const struct {
		uint16_t offset, size;
		bool fatal;
	} cases[] = {
		{ 0, 4096, false }, { 4095, 1, false },	    { 4096, 0, false }, { 4096, 1, true },
		{ 1, 4096, true },  { 4000, 97, true },	    { 0, 4097, true },	{ 65535, 1, true },
		{ 65535, 0, true }, { 65535, 65535, true }, { 1, 65535, true }, { 4000, 96, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct slots s = { .n = 0 };

		/* As the first of two slots, whose size is what the other leaves ... */
		if (cases[i].size <= 65535 - 100) {
			add(&s, MORE, cases[i].offset, (uint16_t)(cases[i].size + 100));
			add(&s, 0, 0, 100);
			expect_fault(&s, cases[i].fatal ? VIF_FATAL : VIF_OK,
				     cases[i].fatal ? FROM_GUEST_CROSSES_PAGE : FROM_GUEST_FINE);
		}
		/* ... and as the second. */
		s.n = 0;
		add(&s, MORE, 0, (uint16_t)MIN(cases[i].size + 100, 65535));
		add(&s, 0, cases[i].offset, cases[i].size);
		expect_fault(&s, cases[i].fatal ? VIF_FATAL : VIF_OK,
			     cases[i].fatal ? FROM_GUEST_CROSSES_PAGE : FROM_GUEST_FINE);
	}
}

static void fatal_comes_before_drop(void **state)
{
	struct slots s = { .n = 0 };

	(void)state;
	add_packet(&s, 19, 66, 100);
	s.slot[18].req.offset = 4096;
	expect_fault(&s, VIF_FATAL, FROM_GUEST_CROSSES_PAGE);
	s.slot[18].req.offset = 0;
	s.slot[0].req.offset = 4095;
	expect_fault(&s, VIF_FATAL, FROM_GUEST_CROSSES_PAGE);
}

static void each_fault_has_its_name(void **state)
{
	(void)state;
	for (unsigned a = 0; a < FROM_GUEST_N_FAULTS; a++) {
		assert_non_null(from_guest_fault_name(a));
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(from_guest_fault_name(a), from_guest_fault_name(b));
	}
}

/* ---- properties ---- */

/* Mostly near the truth, where the interesting mistakes are. */
static union from_guest_slot any_slot(struct random *r, bool last)
{
	union from_guest_slot slot;
	uint32_t *words = (uint32_t *)(void *)&slot;

	for (unsigned i = 0; i < 3; i++)
		words[i] = random_next(r);
	if (random_below(r, 100)) {
		slot.req.flags = last ? 0 : MORE;
		slot.req.offset = (uint16_t)random_below(r, 256);
		slot.req.size = (uint16_t)random_below(r, random_below(r, 10) ? 300 : 4200);
	}
	return slot;
}

static uint32_t any_slots(struct random *r, union from_guest_slot slots[], uint32_t max)
{
	uint32_t n = random_below(r, max + 1), n_packet = 1 + random_below(r, 24);

	for (uint32_t i = 0; i < n; i++)
		slots[i] = any_slot(r, i + 1 == n_packet);
	if (n && random_below(r, 10)) /* a total that may just do */
		slots[0].req.size = (uint16_t)(random_below(r, 3000) * 20);
	if (n > 1 && !random_below(r, 5)) {
		slots[0].req.flags |= EXTRA;
		slots[1].extra.type = (uint8_t)random_below(r, 6);
		slots[1].extra.flags = !random_below(r, 5);
	}
	return n;
}

static void check_frame(const struct from_guest_frame *f, uint32_t n, struct packet *p)
{
	grant_op ops[FROM_GUEST_SLOTS_MAX];
	uint32_t n_ops, sum = 0;
	bool dummy;

	assert_true(f->verdict <= VIF_FATAL && f->fault < FROM_GUEST_N_FAULTS);
	assert_int_equal(f->verdict == VIF_OK, f->fault == FROM_GUEST_FINE);
	if (f->verdict == VIF_FATAL)
		return;
	assert_true(f->n_ring_slots >= 1 && f->n_ring_slots <= n);
	assert_true(f->n_ring_slots <= FROM_GUEST_RING_SLOTS_MAX);
	dummy = f->verdict == VIF_OK && f->n_multicast;
	assert_int_equal(f->n_ring_slots,
			 f->n_fragments + dummy + (uint32_t)__builtin_popcount(f->extra_mask));
	assert_int_equal(f->extra_mask >> f->n_ring_slots, 0);
	assert_false(f->extra_mask & 1);
	if (f->verdict == VIF_DROP)
		return;
	if (dummy) {
		assert_int_equal(f->size + f->n_fragments + from_guest_ops(f, 3, p, ops), 0);
		assert_true(f->n_multicast <= ARRAY_SIZE(f->multicast));
		return;
	}

	assert_true(f->n_fragments <= FROM_GUEST_SLOTS_MAX);
	assert_true(f->size >= 14 && f->size <= 65535);
	n_ops = from_guest_ops(f, 3, p, ops);
	assert_true(n_ops >= 1 && n_ops <= FROM_GUEST_SLOTS_MAX);
	for (uint32_t i = 0; i < n_ops; i++) {
		assert_ptr_equal(ops[i].dest.virt, p->frame + sum);
		assert_true(ops[i].len > 0);
		assert_true(ops[i].source.foreign.offset + ops[i].len <= XEN_PAGE);
		assert_int_equal(ops[i].source.foreign.domid, 3);
		assert_int_equal(ops[i].flags, GNTCOPY_source_gref);
		sum += ops[i].len;
	}
	assert_int_equal(sum, f->size);
	assert_int_equal(p->size, f->size);
}

static void any_slots_at_all(void **state)
{
	struct random random = { 0xbadc0de };
	unsigned n_seen[FROM_GUEST_N_FAULTS] = { 0 };
	struct packet_pool pool;
	struct packet *p;

	(void)state;
	assert_int_equal(packet_pool_init(&pool, 1), 0);
	p = packet_get(&pool);
	for (unsigned round = 0; round < 500000; round++) {
		union from_guest_slot slots[FROM_GUEST_RING_SLOTS_MAX];
		uint32_t n = any_slots(&random, slots, ARRAY_SIZE(slots));
		struct from_guest_frame f;

		if (from_guest_plan(slots, n, &f)) {
			n_seen[f.fault]++;
			check_frame(&f, n, p);
		} else {
			assert_true(n < FROM_GUEST_RING_SLOTS_MAX);
		}
	}
	for (unsigned fault = 0; fault < FROM_GUEST_N_FAULTS; fault++) {
		bool planned = fault != FROM_GUEST_GRANT_FAILED &&
			       fault != FROM_GUEST_BAD_OFFLOAD &&
			       fault != FROM_GUEST_NOT_OFFERED && fault != FROM_GUEST_BAD_INDEX;

		assert_int_equal(n_seen[fault] > 0, planned);
	}
	packet_put(&pool, p);
	packet_pool_fini(&pool);
}

/* ---- the whole way ---- */

/* A guest with pages to grant and a ring to send on. */
struct guest {
	netif_tx_sring_t *sring;
	uint8_t pages[64][XEN_PAGE];
	uint32_t revoked; /* the gref that is refused; 0: none */
	uint32_t offered; /* what it may use */
	struct ring ring;
	struct ring_journal journal;
	struct packet_pool pool;
};

static struct guest guest;
static uint8_t ring_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));

static int guest_setup(void **state)
{
	(void)state;
	memset(&guest, 0, sizeof(guest));
	guest.sring = (void *)ring_page;
	return packet_pool_init(&guest.pool, 2);
}

/* A test that failed keeps its packet: that is no reason to abort the others. */
static int guest_teardown(void **state)
{
	(void)state;
	if (guest.pool.n_free == guest.pool.n_packets)
		packet_pool_fini(&guest.pool);
	return 0;
}

static void guest_connects(RING_IDX start)
{
	memset(ring_page, 0, sizeof(ring_page));
	guest.offered = features_offerable();
	guest.sring->req_prod = guest.sring->rsp_prod = start;
	guest.sring->req_event = guest.sring->rsp_event = start + 1;
	assert_int_equal(from_guest_ring_attach(&guest.ring, ring_page, &guest.journal, false), 0);
}

static void guest_sends(const struct slots *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		memcpy(&guest.sring->ring[guest.sring->req_prod++ % RING_SLOTS].req, &s->slot[i],
		       sizeof(s->slot[i]));
}

/* What Xen does with the copies: gref 1000 + i is page i. */
static void xen_copies(grant_op ops[], uint32_t n_ops)
{
	for (uint32_t i = 0; i < n_ops; i++) {
		uint32_t page = ops[i].source.foreign.ref - 1000;

		ops[i].status = GNTST_bad_gntref;
		if (page >= ARRAY_SIZE(guest.pages) || ops[i].source.foreign.ref == guest.revoked)
			continue;
		memcpy(ops[i].dest.virt, guest.pages[page] + ops[i].source.foreign.offset,
		       ops[i].len);
		ops[i].status = GNTST_okay;
	}
}

/* One pass: the next frame off the ring into p, answered. */
static struct from_guest_frame pass(struct packet *p)
{
	union from_guest_slot slots[RING_SLOTS];
	grant_op ops[FROM_GUEST_SLOTS_MAX];
	struct from_guest_frame f;
	int pending = ring_pending(&guest.ring);
	uint32_t n_ops;

	assert_true(pending > 0);
	from_guest_peek(&guest.ring, (uint32_t)pending, slots);
	assert_true(from_guest_plan(slots, (uint32_t)pending, &f));
	if (f.verdict == VIF_OK) {
		n_ops = from_guest_ops(&f, 3, p, ops);
		xen_copies(ops, n_ops);
		from_guest_finish(&f, p, ops, n_ops, guest.offered);
	}
	ring_consume(&guest.ring, f.n_ring_slots);
	from_guest_answer(&guest.ring, &f);
	(void)!ring_publish(&guest.ring);
	return f;
}

static void expect_responses(RING_IDX from, const struct slots *s, int16_t status, uint32_t nulls)
{
	assert_int_equal(guest.sring->rsp_prod, from + s->n);
	for (uint32_t i = 0; i < s->n; i++) {
		const netif_tx_response_t *rsp = &guest.sring->ring[(from + i) % RING_SLOTS].rsp;
		bool null = nulls & BIT(i);

		assert_int_equal(rsp->status, null ? NETIF_RSP_NULL : status);
		assert_int_equal(rsp->id, null ? 0 : s->slot[i].req.id);
	}
}

/* Lays the frame over the guest's pages in n pieces, the first with offset. */
static void guest_lays_out(struct slots *s, const struct frame *f, uint32_t n, uint16_t flags)
{
	uint32_t each = f->size / n, at = f->size - each * (n - 1);

	s->n = 0;
	add(s, (uint16_t)(flags | (n > 1 ? MORE : 0)), 64, (uint16_t)f->size);
	memcpy(guest.pages[0] + 64, f->bytes, at);
	for (uint32_t i = 1; i < n; i++) {
		add(s, i + 1 < n ? MORE : 0, (uint16_t)(i * 3), (uint16_t)each);
		memcpy(guest.pages[i] + i * 3, f->bytes + at, each);
		at += each;
	}
}

static void frames_arrive_across_every_wrap(void **state)
{
	static const RING_IDX starts[] = { 0, 250, 0xfffffff0, 0xffffffff };
	static struct frame sent;
	struct slots s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		RING_IDX at = starts[i];

		guest_connects(starts[i]);
		for (uint32_t n = 1; n <= 18; n++) {
			struct packet *p = packet_get(&guest.pool);
			struct from_guest_frame f;

			frame_build(&sent, &(struct frame_spec){ .ip_version = 4,
								 .protocol = IPPROTO_TCP,
								 .payload = 200 * n });
			guest_lays_out(&s, &sent, n, 0);
			guest_sends(&s);
			f = pass(p);
			assert_int_equal(f.verdict, VIF_OK);
			assert_int_equal(p->size, sent.size);
			assert_memory_equal(p->frame, sent.bytes, sent.size);
			assert_int_equal(packet_vnet(p)->flags, 0);
			expect_responses(at, &s, NETIF_RSP_OKAY, 0);
			at += s.n;
			packet_put(&guest.pool, p);
		}
	}
}

/* XSA-423: headers split over slots are linear and checked before anyone sees them. */
static void a_gso_frame_with_headers_in_pieces(void **state)
{
	static struct frame sent;
	struct packet *p = packet_get(&guest.pool);
	struct from_guest_frame f;
	struct slots s = { .n = 0 };

	(void)state;
	guest_connects(0xfffffffe);
	frame_build(&sent, &(struct frame_spec){
			       .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 3000 });
	add(&s, BLANK | EXTRA | MORE, 0, (uint16_t)sent.size);
	add_gso(&s, XEN_NETIF_GSO_TYPE_TCPV4, 1448, false);
	for (uint32_t i = 2; i < 8; i++) { /* 9 bytes each, then the rest */
		memcpy(guest.pages[i], sent.bytes + 9 * (i - 1), 9);
		add(&s, MORE, 0, 9);
	}
	memcpy(guest.pages[0], sent.bytes, 9);
	memcpy(guest.pages[8], sent.bytes + 63, sent.size - 63);
	add(&s, 0, 0, (uint16_t)(sent.size - 63));
	guest_sends(&s);
	f = pass(p);
	assert_int_equal(f.verdict, VIF_OK);
	assert_int_equal(packet_vnet(p)->gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(packet_vnet(p)->gso_size, 1448);
	assert_int_equal(packet_vnet(p)->hdr_len, 54);
	assert_int_equal(packet_vnet(p)->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	put_be16(sent.bytes + sent.csum_at, frame_pseudo_sum(&sent));
	assert_memory_equal(p->frame, sent.bytes, sent.size);
	expect_responses(0xfffffffe, &s, NETIF_RSP_OKAY, 0x2);
	packet_put(&guest.pool, p);
}

/* What was not offered, each alone: more slots than one, segmentation. */
static void what_was_not_offered_is_dropped(void **state)
{
	static const struct {
		uint32_t n_slots;
		uint8_t gso_type;
		uint32_t needs;
	} cases[] = {
		{ 1, XEN_NETIF_GSO_TYPE_NONE, 0 },
		{ 2, XEN_NETIF_GSO_TYPE_NONE, VIF_SG },
		{ 18, XEN_NETIF_GSO_TYPE_NONE, VIF_SG },
		{ 1, XEN_NETIF_GSO_TYPE_TCPV4, VIF_GSO_TCPV4 },
		{ 1, XEN_NETIF_GSO_TYPE_TCPV6, VIF_GSO_TCPV6 },
		{ 3, XEN_NETIF_GSO_TYPE_TCPV6, VIF_GSO_TCPV6 | VIF_SG },
	};
	const uint32_t all = features_offerable();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (uint32_t bit = 0; bit <= VIF_CSUM_V6; bit = bit ? bit << 1 : 1) {
			struct slots s = { .n = 0 };
			struct from_guest_frame f;
			bool dropped = cases[i].needs & bit;

			add(&s, (cases[i].gso_type ? EXTRA : 0) | (cases[i].n_slots > 1 ? MORE : 0), 0,
			    2000);
			if (cases[i].gso_type)
				add_gso(&s, cases[i].gso_type, 1448, false);
			for (uint32_t n = 1; n < cases[i].n_slots; n++)
				add(&s, n + 1 < cases[i].n_slots ? MORE : 0, 0, 10);
			assert_true(from_guest_plan(s.slot, s.n, &f));
			assert_int_equal(f.verdict, VIF_OK);
			from_guest_check_offer(&f, all & ~bit);
			assert_int_equal(f.verdict, dropped ? VIF_DROP : VIF_OK);
			assert_int_equal(f.fault, dropped ? FROM_GUEST_NOT_OFFERED : FROM_GUEST_FINE);
		}
	}
}

/* Linux netfront leaves IPv4 checksums blank, whatever the backend says. */
static void a_blank_checksum_that_was_not_offered_is_finished(void **state)
{
	static const struct frame_spec specs[] = {
		{ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 700 },
		{ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 2, .padding = 16 },
		{ .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 700, .n_vlan_tags = 1 },
		{ .ip_version = 6, .protocol = IPPROTO_UDP, .payload = 31 },
	};
	static struct frame sent;
	struct slots s;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(specs) * 2; i++) {
		uint32_t without = i % 2 ? VIF_CSUM_V4 : VIF_CSUM_V6;
		struct packet *p = packet_get(&guest.pool);
		struct from_guest_frame f;
		bool finished;

		guest_connects(0);
		guest.offered = features_offerable() & ~without;
		frame_build(&sent, &specs[i / 2]);
		memset(sent.bytes + sent.size - sent.spec.padding, 0x5a, sent.spec.padding);
		guest_lays_out(&s, &sent, 1, BLANK);
		guest_sends(&s);
		f = pass(p);
		finished = without == feature_csum((uint8_t)sent.spec.ip_version);
		assert_int_equal(f.verdict, VIF_OK);
		assert_int_equal(packet_vnet(p)->flags, finished ? 0 : VIRTIO_NET_HDR_F_NEEDS_CSUM);
		if (finished)
			assert_true(frame_checksum_ok(&sent, p->frame));
		packet_put(&guest.pool, p);
	}
}

static void a_refused_grant_drops_the_frame_and_says_so(void **state)
{
	static struct frame sent;
	struct slots s;

	(void)state;
	frame_build(&sent, &(struct frame_spec){
			       .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 1000 });
	for (uint32_t bad = 0; bad < 5; bad++) {
		struct packet *p = packet_get(&guest.pool);
		struct from_guest_frame f;

		guest_connects(0);
		guest_lays_out(&s, &sent, 5, 0);
		guest.revoked = 1000 + bad;
		guest_sends(&s);
		f = pass(p);
		assert_int_equal(f.verdict, VIF_DROP);
		assert_int_equal(f.fault, FROM_GUEST_GRANT_FAILED);
		expect_responses(0, &s, NETIF_RSP_ERROR, 0);
		packet_put(&guest.pool, p);
	}
	guest.revoked = 0;
}

static void a_wrong_offload_drops_the_frame_and_says_so(void **state)
{
	static struct frame sent;
	struct packet *p = packet_get(&guest.pool);
	struct from_guest_frame f;
	struct slots s;

	(void)state;
	guest_connects(0);
	frame_build(&sent, &(struct frame_spec){
			       .ip_version = 4, .protocol = IPPROTO_ICMP, .payload = 1000 });
	guest_lays_out(&s, &sent, 2, BLANK);
	guest_sends(&s);
	f = pass(p);
	assert_int_equal(f.verdict, VIF_DROP);
	assert_int_equal(f.fault, FROM_GUEST_BAD_OFFLOAD);
	expect_responses(0, &s, NETIF_RSP_ERROR, 0);
	packet_put(&guest.pool, p);
}

static void dropped_frames_answer_every_slot(void **state)
{
	struct from_guest_frame f;
	struct slots s = { .n = 0 };

	(void)state;
	guest_connects(0xfffffff8);
	add(&s, MORE | EXTRA, 0, 1800);
	add_gso(&s, XEN_NETIF_GSO_TYPE_TCPV4, 500, true);
	add_extra(&s, XEN_NETIF_EXTRA_TYPE_HASH, false);
	while (s.n < 21)
		add(&s, s.n < 20 ? MORE : 0, 0, 100);
	guest_sends(&s);
	f = pass(NULL);
	assert_int_equal(f.verdict, VIF_DROP);
	assert_int_equal(f.fault, FROM_GUEST_TOO_MANY_SLOTS);
	expect_responses(0xfffffff8, &s, NETIF_RSP_ERROR, 0x6);
}

#define GUEST_TEST(f) cmocka_unit_test_setup_teardown(f, guest_setup, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_request_is_no_packet),
		cmocka_unit_test(one_request),
		cmocka_unit_test(two_three_and_eighteen_requests),
		cmocka_unit_test(nineteen_requests_are_dropped_and_answered),
		cmocka_unit_test(twenty_requests_are_fatal),
		cmocka_unit_test(the_longest_packet_is_decidable),
		cmocka_unit_test(a_partial_packet_waits),
		cmocka_unit_test(only_the_first_packet_is_read),
		cmocka_unit_test(zero_length_slots_are_fine),
		cmocka_unit_test(the_largest_total_is_65535),
		cmocka_unit_test(gso_extra),
		cmocka_unit_test(the_smallest_gso_size_is_one),
		cmocka_unit_test(two_extras),
		cmocka_unit_test(a_missing_extra_waits),
		cmocka_unit_test(an_unknown_extra_is_fatal),
		cmocka_unit_test(a_repeated_extra_is_fatal),
		cmocka_unit_test(nonsense_gso_is_fatal),
		cmocka_unit_test(a_dummy_request_adds_and_removes),
		cmocka_unit_test(a_dummy_request_can_be_refused),
		cmocka_unit_test(a_dummy_request_with_data_is_refused),
		cmocka_unit_test(runts_are_dropped),
		cmocka_unit_test(fragments_beyond_the_total_are_fatal),
		cmocka_unit_test(crossing_a_page_is_fatal),
		cmocka_unit_test(fatal_comes_before_drop),
		cmocka_unit_test(each_fault_has_its_name),
		cmocka_unit_test(any_slots_at_all),
		GUEST_TEST(frames_arrive_across_every_wrap),
		GUEST_TEST(a_gso_frame_with_headers_in_pieces),
		cmocka_unit_test(what_was_not_offered_is_dropped),
		GUEST_TEST(a_blank_checksum_that_was_not_offered_is_finished),
		GUEST_TEST(a_refused_grant_drops_the_frame_and_says_so),
		GUEST_TEST(a_wrong_offload_drops_the_frame_and_says_so),
		GUEST_TEST(dropped_frames_answer_every_slot),
	};

	return cmocka_run_group_tests_name("from_guest", tests, NULL, NULL);
}
