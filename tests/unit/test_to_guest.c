/* SPDX-License-Identifier: MIT */
/*
 * What a guest receives: how frames of each size and offload travel to guests of each
 * ability, and what the guest then finds in its ring.
 */
#include "tests/unit/unit.h"

#include "tests/unit/frames.h"
#include "to_guest.h"

#include <netinet/in.h>
#include <string.h>

#define EVERYTHING                                                                                 \
	(VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6 | VIF_RX_COPY)

/* A guest with buffers to receive into, their grefs 2000 + slot. */
static struct guest {
	netif_rx_sring_t *sring;
	uint8_t pages[RING_SLOTS][XEN_PAGE];
	uint32_t revoked; /* the gref that is refused; 0: none */
	struct ring ring;
	struct ring_journal journal;
	const struct steering *steering; /* what it set about hashes; NULL: nothing */
	struct packet_pool pool;
	RING_IDX start;
} guest;

static uint8_t ring_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
static struct frame sent;

static uint16_t id_of(RING_IDX idx)
{
	return (uint16_t)(idx * 3 + 1);
}

static void guest_connects(RING_IDX start, uint32_t n_buffers)
{
	memset(guest.pages, 0xcc, sizeof(guest.pages));
	memset(ring_page, 0, sizeof(ring_page));
	guest.sring = (void *)ring_page;
	guest.start = start;
	guest.revoked = 0;
	guest.steering = NULL;
	guest.sring->req_prod = guest.sring->rsp_prod = start;
	guest.sring->req_event = guest.sring->rsp_event = start + 1;
	for (uint32_t i = 0; i < n_buffers; i++) {
		RING_IDX idx = guest.sring->req_prod++;

		guest.sring->ring[idx % RING_SLOTS].req =
		    (netif_rx_request_t){ .id = id_of(idx), .gref = 2000 + idx % RING_SLOTS };
	}
	assert_int_equal(to_guest_ring_attach(&guest.ring, ring_page, &guest.journal, false), 0);
}

static int setup(void **state)
{
	(void)state;
	return packet_pool_init(&guest.pool, 1);
}

/* A test that failed keeps its packet: that is no reason to abort the others. */
static int teardown(void **state)
{
	(void)state;
	if (guest.pool.n_free == guest.pool.n_packets)
		packet_pool_fini(&guest.pool);
	return 0;
}

static struct packet *packet_of(const struct frame *f)
{
	struct packet *p = packet_get(&guest.pool);

	memcpy(p->frame, f->bytes, f->size);
	p->size = f->size;
	return p;
}

/* As the kernel leaves a frame of its own: only the pseudo header is in the field. */
static struct packet *packet_with_blank_checksum(const struct frame *f, uint16_t gso_size)
{
	struct packet *p = packet_of(f);
	struct virtio_net_hdr *vnet = packet_vnet(p);

	put_be16(p->frame + f->csum_at, frame_pseudo_sum(f));
	vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	vnet->csum_start = (uint16_t)f->transport_offset;
	vnet->csum_offset = (uint16_t)(f->csum_at - f->transport_offset);
	if (gso_size) {
		vnet->gso_type =
		    f->spec.ip_version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		vnet->gso_size = gso_size;
	}
	return p;
}

static void xen_copies(grant_op ops[], uint32_t n_ops)
{
	for (uint32_t i = 0; i < n_ops; i++) {
		uint32_t gref = ops[i].dest.foreign.ref;

		assert_int_equal(ops[i].flags, GNTCOPY_dest_gref);
		assert_int_equal(ops[i].dest.foreign.domid, 3);
		assert_true(ops[i].dest.foreign.offset + ops[i].len <= XEN_PAGE);
		ops[i].status = gref == guest.revoked ? GNTST_bad_gntref : GNTST_okay;
		if (ops[i].status == GNTST_okay)
			memcpy(guest.pages[gref - 2000] + ops[i].dest.foreign.offset,
			       ops[i].source.virt, ops[i].len);
	}
}

/* One pass: p into the guest's next buffers, answered and published. */
static struct to_guest_frame pass_behind(struct packet *p, uint32_t features, uint32_t headroom)
{
	netif_rx_request_t req[TO_GUEST_RING_SLOTS_MAX];
	grant_op ops[TO_GUEST_RING_SLOTS_MAX];
	struct to_guest_frame f;
	uint32_t n_ops;

	memset(&f, 0xa5, sizeof(f));
	to_guest_prepare(&f, p, features, headroom);
	assert_int_equal(f.verdict, VIF_OK);
	if (guest.steering)
		to_guest_hash(&f, p, guest.steering);
	assert_true(f.n_ring_slots <= TO_GUEST_RING_SLOTS_MAX);
	to_guest_peek(&guest.ring, f.n_ring_slots, req);
	n_ops = to_guest_ops(&f, p, 3, req, ops);
	assert_int_equal(n_ops, f.n_data_slots);
	xen_copies(ops, n_ops);
	ring_consume(&guest.ring, f.n_ring_slots);
	to_guest_answer(&guest.ring, &f, ops, n_ops);
	(void)!ring_publish(&guest.ring);
	return f;
}

static struct to_guest_frame pass(struct packet *p, uint32_t features)
{
	return pass_behind(p, features, 0);
}

static const netif_rx_response_t *response(uint32_t i)
{
	return &guest.sring->ring[(guest.start + i) % RING_SLOTS].rsp;
}

static const uint8_t *buffer(uint32_t i)
{
	return guest.pages[(guest.start + i) % RING_SLOTS];
}

/* Reads the frame out of the ring from slot 0 on, as netfront does. Returns its size. */
static uint32_t guest_reads(uint8_t bytes[], uint32_t n_ring_slots, uint32_t n_extras)
{
	uint32_t size = 0, last = n_ring_slots == 1 + n_extras ? 0 : n_ring_slots - 1;

	assert_int_equal(guest.sring->rsp_prod - guest.start, n_ring_slots);
	for (uint32_t i = 0; i < n_ring_slots; i++) {
		if (i > 0 && i <= n_extras)
			continue;
		assert_int_equal(response(i)->id, id_of(guest.start + i));
		assert_int_equal(response(i)->offset, 0);
		assert_true(response(i)->status > 0);
		assert_int_equal(!(response(i)->flags & NETRXF_more_data), i == last);
		assert_int_equal(!(response(i)->flags & NETRXF_extra_info), i > 0 || !n_extras);
		if (i > 0)
			assert_int_equal(response(i)->flags & ~NETRXF_more_data, 0);
		memcpy(bytes + size, buffer(i), (size_t)response(i)->status);
		size += (uint32_t)response(i)->status;
	}
	return size;
}

/* ---- the ring, slot by slot ---- */

static void frames_of_every_size_arrive(void **state)
{
	static const struct {
		uint32_t size, n_slots;
	} cases[] = {
		{ 14, 1 },     { 60, 1 },     { 1514, 1 },   { 4095, 1 },
		{ 4096, 1 },   { 4097, 2 },   { 8192, 2 },   { 8193, 3 },
		{ 65535, 16 }, { 65536, 16 }, { 65537, 17 }, { PACKET_FRAME_MAX, 17 },
	};
	static const RING_IDX starts[] = { 0, 250, 0xfffffff8 };
	static uint8_t got[PACKET_FRAME_MAX];

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			struct packet *p;

			guest_connects(starts[s], 64);
			frame_build(&sent, &(struct frame_spec){ .payload = cases[i].size - 14 });
			p = packet_of(&sent);
			assert_int_equal(pass(p, EVERYTHING).n_ring_slots, cases[i].n_slots);
			assert_int_equal(guest_reads(got, cases[i].n_slots, false), cases[i].size);
			assert_memory_equal(got, sent.bytes, sent.size);
			assert_int_equal(response(0)->flags & ~NETRXF_more_data, 0);
			packet_put(&guest.pool, p);
		}
	}
}

static void nothing_is_written_beyond_the_frame(void **state)
{
	static const uint8_t untouched[XEN_PAGE - 60] = { [0 ... XEN_PAGE - 61] = 0xcc };
	struct packet *p;

	(void)state;
	guest_connects(0, 4);
	frame_build(&sent, &(struct frame_spec){ .payload = 46 });
	p = packet_of(&sent);
	pass(p, 0);
	assert_memory_equal(buffer(0) + 60, untouched, sizeof(untouched));
	assert_memory_equal(buffer(1), untouched, sizeof(untouched));
	packet_put(&guest.pool, p);
}

static void gso_takes_the_second_slot(void **state)
{
	static const struct {
		int ip_version;
		uint8_t type;
	} cases[] = { { 4, XEN_NETIF_GSO_TYPE_TCPV4 }, { 6, XEN_NETIF_GSO_TYPE_TCPV6 } };
	static const uint32_t payloads[] = { 2000, 4096 - 74, 4097, 30000, 65535 - 60 };
	static uint8_t got[PACKET_FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(payloads); i++) {
		size_t c = i % ARRAY_SIZE(cases);
		const netif_extra_info_t *extra;
		struct packet *p;
		uint32_t n_slots;

		guest_connects(0xffffffff, 64);
		frame_build(&sent,
			    &(struct frame_spec){ .ip_version = cases[c].ip_version,
						  .protocol = IPPROTO_TCP,
						  .payload = payloads[i / ARRAY_SIZE(cases)] });
		p = packet_with_blank_checksum(&sent, 1448);
		n_slots = DIV_ROUND_UP(sent.size, XEN_PAGE) + 1;
		assert_int_equal(pass(p, EVERYTHING).n_ring_slots, n_slots);
		assert_int_equal(guest_reads(got, n_slots, true), sent.size);
		assert_memory_equal(got, p->frame, sent.size);
		assert_int_equal(response(0)->flags & ~NETRXF_more_data,
				 NETRXF_csum_blank | NETRXF_data_validated | NETRXF_extra_info);
		extra = (const void *)response(1);
		assert_int_equal(extra->type, XEN_NETIF_EXTRA_TYPE_GSO);
		assert_int_equal(extra->flags, 0);
		assert_int_equal(extra->u.gso.size, 1448);
		assert_int_equal(extra->u.gso.type, cases[c].type);
		assert_int_equal(extra->u.gso.pad, 0);
		assert_int_equal(extra->u.gso.features, 0);
		packet_put(&guest.pool, p);
	}
}

/* As netfront reads it: the XDP extra and each slot's offset say where data begins. */
static uint32_t guest_reads_behind(uint8_t bytes[], const struct to_guest_frame *f,
				   uint32_t headroom)
{
	static const uint8_t untouched[XEN_PAGE] = { [0 ... XEN_PAGE - 1] = 0xcc };
	const netif_extra_info_t *extra = (const void *)response(f->n_extras);
	uint32_t size = 0;
	uint16_t said;

	assert_int_equal(guest.sring->rsp_prod - guest.start, f->n_ring_slots);
	assert_int_equal(extra->type, TO_GUEST_EXTRA_TYPE_XDP);
	assert_int_equal(extra->flags, 0);
	memcpy(&said, &extra->u, sizeof(said));
	assert_int_equal(said, headroom);
	for (uint32_t i = 0; i < f->n_ring_slots; i++) {
		const netif_rx_response_t *rsp = response(i);

		if (i >= 1 && i <= f->n_extras)
			continue;
		assert_int_equal(rsp->offset, headroom);
		assert_true(rsp->status > 0 && rsp->offset + rsp->status <= (int)XEN_PAGE);
		assert_memory_equal(buffer(i), untouched, headroom);
		memcpy(bytes + size, buffer(i) + rsp->offset, (size_t)rsp->status);
		size += (uint32_t)rsp->status;
		assert_int_equal(!!(rsp->flags & NETRXF_more_data), size < sent.size);
	}
	return size;
}

static void frames_arrive_behind_a_headroom(void **state)
{
	static const struct {
		uint32_t asked, given;
	} headrooms[] = { { 1, 1 },
			  { 256, 256 },
			  { TO_GUEST_HEADROOM_MAX, TO_GUEST_HEADROOM_MAX },
			  { TO_GUEST_HEADROOM_MAX + 1, TO_GUEST_HEADROOM_MAX },
			  { XEN_PAGE, TO_GUEST_HEADROOM_MAX },
			  { 0x7fff, TO_GUEST_HEADROOM_MAX },
			  { UINT32_MAX, TO_GUEST_HEADROOM_MAX } };
	static const uint32_t sizes[] = { 14, 60, 1514, 3840, 3841, 4096, 9000, 65535, PACKET_FRAME_MAX };
	static uint8_t got[PACKET_FRAME_MAX];

	(void)state;
	for (size_t h = 0; h < ARRAY_SIZE(headrooms); h++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			uint32_t room = XEN_PAGE - headrooms[h].given;
			struct to_guest_frame f;
			struct packet *p;

			guest_connects(0xfffffff8, 64);
			frame_build(&sent, &(struct frame_spec){ .payload = sizes[i] - 14 });
			p = packet_of(&sent);
			f = pass_behind(p, EVERYTHING, headrooms[h].asked);
			assert_int_equal(f.n_data_slots, DIV_ROUND_UP(sizes[i], room));
			assert_true(f.n_data_slots <= XEN_NETIF_NR_SLOTS_MIN);
			assert_int_equal(f.n_ring_slots, f.n_data_slots + 1);
			assert_int_equal(guest_reads_behind(got, &f, headrooms[h].given), sizes[i]);
			assert_memory_equal(got, sent.bytes, sizes[i]);
			packet_put(&guest.pool, p);
		}
	}
}

/* GSO first, and it says that more follows. */
static void gso_and_a_headroom(void **state)
{
	static uint8_t got[PACKET_FRAME_MAX];
	const netif_extra_info_t *extra;
	struct to_guest_frame f;
	struct packet *p;

	(void)state;
	guest_connects(250, 64);
	frame_build(&sent, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP,
						 .payload = 30000 });
	p = packet_with_blank_checksum(&sent, 1448);
	f = pass_behind(p, EVERYTHING, 256);
	assert_int_equal(f.n_extras, 2);
	extra = (const void *)response(1);
	assert_int_equal(extra->type, XEN_NETIF_EXTRA_TYPE_GSO);
	assert_int_equal(extra->flags, XEN_NETIF_EXTRA_FLAG_MORE);
	assert_int_equal(extra->u.gso.size, 1448);
	assert_true(response(0)->flags & NETRXF_extra_info);
	assert_int_equal(guest_reads_behind(got, &f, 256), sent.size);
	assert_memory_equal(got, p->frame, sent.size);
	packet_put(&guest.pool, p);
}

/* Without scatter-gather a headroom leaves less for the frame. */
static void a_headroom_is_taken_off_the_only_slot(void **state)
{
	struct to_guest_frame f;
	struct packet *p;

	(void)state;
	for (uint32_t size = 3840; size <= 3841; size++) {
		frame_build(&sent, &(struct frame_spec){ .payload = size - 14 });
		p = packet_of(&sent);
		to_guest_prepare(&f, p, EVERYTHING & ~VIF_SG, 256);
		assert_int_equal(f.fault, size == 3840 ? TO_GUEST_FINE : TO_GUEST_TOO_BIG);
		packet_put(&guest.pool, p);
	}
}

static struct steering steering;

/* Hashes frames of IPv4 and of TCP over it, no others. */
static void guest_wants_hashes(uint32_t algorithm)
{
	static const uint8_t own[STEER_KEY_SIZE] = { 1 };
	struct rss rss = { .algorithm = algorithm,
			   .flags = XEN_NETIF_CTRL_HASH_TYPE_IPV4 |
				    XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP };

	for (uint32_t i = 0; i < STEER_KEY_SIZE; i++)
		rss.key[i] = (uint8_t)(i * 7 + 3);
	rss_init(&steering, 2, own);
	rss_commit(&steering, &rss);
	guest.steering = &steering;
}

static void expect_hash(uint32_t slot, uint8_t type, const struct packet *p)
{
	const netif_extra_info_t *extra = (const void *)response(slot);
	uint32_t hash = 0;

	assert_int_equal(rss_hash(&steering, p->frame, p->size, &hash), BIT(type));
	assert_int_equal(extra->type, XEN_NETIF_EXTRA_TYPE_HASH);
	assert_int_equal(extra->flags, 0);
	assert_int_equal(extra->u.hash.type, type);
	assert_int_equal(extra->u.hash.algorithm, XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
	assert_int_equal(extra->u.hash.value[0], hash & 255);
	assert_int_equal(extra->u.hash.value[3], hash >> 24);
	assert_true(hash != 0);
}

/* netif.h XEN_NETIF_EXTRA_TYPE_HASH: behind the first slot, and behind what says GSO. */
static void hashes_go_along(void **state)
{
	static const struct {
		struct frame_spec spec;
		int type; /* -1: none that was asked for */
	} cases[] = {
		{ { .ip_version = 4, .protocol = IPPROTO_TCP },
		  _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP },
		{ { .ip_version = 4, .protocol = IPPROTO_UDP }, _XEN_NETIF_CTRL_HASH_TYPE_IPV4 },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP }, -1 },
	};
	static const uint32_t payloads[] = { 10, 4096 - 54, 9000, 40000 };
	static uint8_t got[PACKET_FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(payloads) * 2; i++) {
		struct frame_spec spec = cases[i % ARRAY_SIZE(cases)].spec;
		int type = cases[i % ARRAY_SIZE(cases)].type;
		bool gso = i % 2 && spec.protocol == IPPROTO_TCP;
		uint32_t n_extras = gso + (type >= 0), n_slots;
		struct packet *p;

		spec.payload = payloads[i / 2 % ARRAY_SIZE(payloads)];
		frame_build(&sent, &spec);
		guest_connects(0xfffffffe, 64);
		guest_wants_hashes(XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
		p = packet_with_blank_checksum(&sent, gso ? 1000 : 0);
		n_slots = DIV_ROUND_UP(sent.size, XEN_PAGE) + n_extras;
		assert_int_equal(pass(p, EVERYTHING).n_ring_slots, n_slots);
		assert_int_equal(guest_reads(got, n_slots, n_extras), sent.size);
		assert_memory_equal(got, p->frame, sent.size);
		if (type >= 0)
			expect_hash(n_extras, (uint8_t)type, p);
		if (gso)
			assert_int_equal(((const netif_extra_info_t *)response(1))->type,
					 XEN_NETIF_EXTRA_TYPE_GSO);
		if (gso)
			assert_int_equal(((const netif_extra_info_t *)response(1))->flags,
					 type >= 0 ? XEN_NETIF_EXTRA_FLAG_MORE : 0);
		packet_put(&guest.pool, p);
	}
}

static void without_an_algorithm_no_hash_does(void **state)
{
	struct packet *p;

	(void)state;
	frame_build(&sent, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP });
	guest_connects(5, 64);
	guest_wants_hashes(XEN_NETIF_CTRL_HASH_ALGORITHM_NONE);
	p = packet_of(&sent);
	assert_int_equal(pass(p, EVERYTHING).n_ring_slots, 1);
	assert_false(response(0)->flags & NETRXF_extra_info);
	packet_put(&guest.pool, p);
}

/* IPv4's largest packet behind two VLAN tags: the largest frame there is, with GSO,
 * then with its hash and a headroom as well. */
static void the_largest_gso_frame_fits(void **state)
{
	struct to_guest_frame f;
	struct packet *p;

	(void)state;
	guest_connects(0, TO_GUEST_RING_SLOTS_MAX);
	frame_build(&sent, &(struct frame_spec){
			       .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 65535 - 40 });
	assert_int_equal(sent.size, 65535 + 14);
	p = packet_with_blank_checksum(&sent, 1448);
	f = pass(p, EVERYTHING);
	assert_int_equal(f.n_ring_slots, 18);
	assert_int_equal(f.n_data_slots, 17);
	guest_connects(0, TO_GUEST_RING_SLOTS_MAX);
	guest_wants_hashes(XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
	f = pass_behind(p, EVERYTHING, TO_GUEST_HEADROOM_MAX);
	assert_int_equal(f.n_ring_slots, TO_GUEST_RING_SLOTS_MAX);
	for (uint32_t i = 0; i < TO_GUEST_EXTRAS_MAX; i++) { /* in the order of their types */
		static const uint8_t types[] = { XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_EXTRA_TYPE_HASH,
						 TO_GUEST_EXTRA_TYPE_XDP };
		const netif_extra_info_t *extra = (const void *)response(1 + i);

		assert_int_equal(extra->type, types[i]);
		assert_int_equal(extra->flags, i < 2 ? XEN_NETIF_EXTRA_FLAG_MORE : 0);
	}
	packet_put(&guest.pool, p);
}

static void frames_follow_each_other(void **state)
{
	(void)state;
	guest_connects(0xfffffffd, RING_SLOTS);
	for (uint32_t i = 0; i < RING_SLOTS; i++) {
		struct packet *p;

		frame_build(&sent, &(struct frame_spec){ .payload = 46 + i });
		p = packet_of(&sent);
		pass(p, 0);
		assert_int_equal(guest.sring->rsp_prod, guest.start + i + 1);
		assert_int_equal(response(i)->id, id_of(guest.start + i));
		assert_int_equal(response(i)->status, 60 + i);
		packet_put(&guest.pool, p);
	}
	assert_int_equal(ring_pending(&guest.ring), 0);
}

static void a_refused_grant_is_an_error_in_its_slot(void **state)
{
	(void)state;
	for (uint32_t bad = 0; bad < 4; bad++) {
		struct to_guest_frame f;
		struct packet *p;

		if (bad == 1)
			continue; /* the extra's: nothing is copied there */
		guest_connects(0, 8);
		guest.revoked = 2000 + bad;
		frame_build(&sent, &(struct frame_spec){
				       .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 9000 });
		p = packet_with_blank_checksum(&sent, 1448);
		f = pass(p, EVERYTHING);
		assert_int_equal(f.verdict, VIF_DROP);
		assert_int_equal(f.fault, TO_GUEST_GRANT_FAILED);
		assert_int_equal(guest.sring->rsp_prod, 4);
		for (uint32_t i = 0; i < 4; i++) {
			if (i == 1)
				continue;
			assert_int_equal(response(i)->id, id_of(i));
			assert_int_equal(response(i)->status < 0, i == bad);
			assert_int_equal(!(response(i)->flags & NETRXF_more_data), i == 3);
		}
		packet_put(&guest.pool, p);
	}
}

/* ---- what each guest can take ---- */

static struct to_guest_frame prepare(struct packet *p, uint32_t features)
{
	struct to_guest_frame f;

	memset(&f, 0xa5, sizeof(f));
	to_guest_prepare(&f, p, features, 0);
	assert_int_equal(f.verdict == VIF_OK, f.fault == TO_GUEST_FINE);
	return f;
}

static void a_guest_without_sg_gets_one_slot(void **state)
{
	static const struct {
		uint32_t size;
		enum to_guest_fault fault;
	} cases[] = { { 4096, TO_GUEST_FINE },
		      { 4097, TO_GUEST_TOO_BIG },
		      { 60000, TO_GUEST_TOO_BIG } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct packet *p;

		frame_build(&sent, &(struct frame_spec){ .payload = cases[i].size - 14 });
		p = packet_of(&sent);
		assert_int_equal(prepare(p, EVERYTHING & ~VIF_SG).fault, cases[i].fault);
		assert_int_equal(prepare(p, EVERYTHING).fault, TO_GUEST_FINE);
		packet_put(&guest.pool, p);
	}
}

static void gso_for_a_guest_without_it_must_be_cut(void **state)
{
	static const struct {
		int ip_version;
		uint32_t features;
		bool cut;
		unsigned n_vlan_tags;
	} cases[] = {
		{ 4, EVERYTHING & ~VIF_GSO_TCPV4, true, 0 },
		{ 4, EVERYTHING & ~VIF_GSO_TCPV6, false, 0 },
		{ 4, EVERYTHING & ~VIF_CSUM_V4, true, 0 },
		{ 4, EVERYTHING & ~VIF_CSUM_V6, false, 0 },
		{ 6, EVERYTHING & ~VIF_GSO_TCPV6, true, 0 },
		{ 6, EVERYTHING & ~VIF_GSO_TCPV4, false, 0 },
		{ 6, EVERYTHING & ~VIF_CSUM_V6, true, 0 },
		{ 6, EVERYTHING & ~VIF_CSUM_V4, false, 0 },
		/* Linux netfront drops what is tagged and blank */
		{ 4, EVERYTHING, true, 1 },
		{ 6, EVERYTHING, true, 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct packet *p;

		frame_build(&sent, &(struct frame_spec){ .ip_version = cases[i].ip_version,
							 .protocol = IPPROTO_TCP,
							 .payload = 3000,
							 .n_vlan_tags = cases[i].n_vlan_tags });
		p = packet_with_blank_checksum(&sent, 1448);
		assert_int_equal(to_guest_must_cut(p, features_usable(cases[i].features)),
				 cases[i].cut);
		assert_int_equal(prepare(p, features_usable(cases[i].features)).fault,
				 cases[i].cut ? TO_GUEST_NOT_EXPRESSIBLE : TO_GUEST_FINE);
		packet_put(&guest.pool, p);
	}
}

static void a_guest_without_checksum_offload_gets_checksums(void **state)
{
	static const struct {
		struct frame_spec spec;
		uint32_t features;
		bool blank;
	} cases[] = {
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 1000 },
		  VIF_CSUM_V4,
		  true },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 1000 },
		  VIF_CSUM_V6,
		  false },
		{ { .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 1001 }, 0, false },
		{ { .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 0 }, 0, false },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 1000 },
		  VIF_CSUM_V6,
		  true },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 1000 },
		  VIF_CSUM_V4,
		  false },
		{ { .ip_version = 6, .protocol = IPPROTO_UDP, .payload = 7, .n_vlan_tags = 1 },
		  0,
		  false },
		/* tagged: nothing is left blank, whatever the guest takes */
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 7, .n_vlan_tags = 1 },
		  EVERYTHING,
		  false },
		{ { .ip_version = 6, .protocol = IPPROTO_UDP, .payload = 7, .n_vlan_tags = 2 },
		  EVERYTHING,
		  false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct packet *p;

		guest_connects(0, 4);
		frame_build(&sent, &cases[i].spec);
		p = packet_with_blank_checksum(&sent, 0);
		pass(p, cases[i].features);
		assert_int_equal(response(0)->flags,
				 cases[i].blank ? NETRXF_csum_blank | NETRXF_data_validated : 0);
		if (!cases[i].blank)
			assert_true(frame_checksum_ok(&sent, buffer(0)));
		packet_put(&guest.pool, p);
	}
}

static void a_zero_udp_checksum_arrives_as_ffff(void **state)
{
	struct packet *p;
	uint16_t word;

	(void)state;
	guest_connects(0, 4);
	frame_build(
	    &sent, &(struct frame_spec){ .ip_version = 6, .protocol = IPPROTO_UDP, .payload = 20 });
	word = get_be16(sent.bytes + sent.header_size);
	put_be16(sent.bytes + sent.header_size,
		 slow_sum(frame_checksum(&sent), (uint8_t[]){ word >> 8, word & 0xff }, 2));
	p = packet_with_blank_checksum(&sent, 0);
	pass(p, 0);
	assert_int_equal(get_be16(buffer(0) + sent.csum_at), 0xffff);
	packet_put(&guest.pool, p);
}

static void validated_data_is_said_to_be(void **state)
{
	struct packet *p;

	(void)state;
	guest_connects(0, 4);
	frame_build(&sent, &(struct frame_spec){
			       .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 100 });
	p = packet_of(&sent);
	packet_vnet(p)->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	pass(p, 0);
	assert_int_equal(response(0)->flags, NETRXF_data_validated);
	packet_put(&guest.pool, p);
}

static void what_netif_cannot_say_is_dropped(void **state)
{
	struct packet *p;

	(void)state;
	frame_build(&sent, &(struct frame_spec){
			       .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 3000 });
	p = packet_with_blank_checksum(&sent, 0);
	packet_vnet(p)->gso_type = VIRTIO_NET_HDR_GSO_UDP;
	packet_vnet(p)->gso_size = 1448;
	assert_int_equal(prepare(p, EVERYTHING).fault, TO_GUEST_NOT_EXPRESSIBLE);
	packet_put(&guest.pool, p);
}

/* A frame that waits for buffers is prepared again: it must come to the same. */
static void preparing_twice_changes_nothing(void **state)
{
	static const uint32_t features[] = { 0, VIF_SG, EVERYTHING };
	struct to_guest_frame first, second;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		struct packet *p;

		frame_build(&sent, &(struct frame_spec){
				       .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 2000 });
		p = packet_with_blank_checksum(&sent, 0);
		first = prepare(p, features[i]);
		second = prepare(p, features[i]);
		assert_int_equal(first.n_ring_slots, second.n_ring_slots);
		assert_int_equal(first.offload.csum_blank, second.offload.csum_blank);
		assert_int_equal(first.verdict, VIF_OK);
		assert_int_equal(second.verdict, VIF_OK);
		if (!second.offload.csum_blank)
			assert_true(frame_checksum_ok(&sent, p->frame));
		packet_put(&guest.pool, p);
	}
}

static void each_fault_has_its_name(void **state)
{
	(void)state;
	for (unsigned a = 0; a < TO_GUEST_N_FAULTS; a++) {
		assert_non_null(to_guest_fault_name(a));
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(to_guest_fault_name(a), to_guest_fault_name(b));
	}
}

#define GUEST_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GUEST_TEST(frames_of_every_size_arrive),
		GUEST_TEST(nothing_is_written_beyond_the_frame),
		GUEST_TEST(gso_takes_the_second_slot),
		GUEST_TEST(frames_arrive_behind_a_headroom),
		GUEST_TEST(gso_and_a_headroom),
		GUEST_TEST(a_headroom_is_taken_off_the_only_slot),
		GUEST_TEST(hashes_go_along),
		GUEST_TEST(without_an_algorithm_no_hash_does),
		GUEST_TEST(the_largest_gso_frame_fits),
		GUEST_TEST(frames_follow_each_other),
		GUEST_TEST(a_refused_grant_is_an_error_in_its_slot),
		GUEST_TEST(a_guest_without_sg_gets_one_slot),
		GUEST_TEST(gso_for_a_guest_without_it_must_be_cut),
		GUEST_TEST(a_guest_without_checksum_offload_gets_checksums),
		GUEST_TEST(a_zero_udp_checksum_arrives_as_ffff),
		GUEST_TEST(validated_data_is_said_to_be),
		GUEST_TEST(what_netif_cannot_say_is_dropped),
		GUEST_TEST(preparing_twice_changes_nothing),
		GUEST_TEST(each_fault_has_its_name),
	};

	return cmocka_run_group_tests_name("to_guest", tests, NULL, NULL);
}
