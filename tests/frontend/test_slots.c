/* SPDX-License-Identifier: MIT */
/*
 * The frontend's pure parts: frames to slots, slots to frames, the ring's indices, the
 * moves between xenbus states, the table of dialects.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend-compat/bus.h"
#include "frontend-compat/dialect.h"
#include "frontend-compat/multicast.h"
#include "frontend-compat/front_ring.h"
#include "frontend-compat/slots.h"

static const struct netif_offload plain;
static const struct netif_offload tso4 = {
	.csum_blank = true,
	.data_validated = true,
	.gso_type = XEN_NETIF_GSO_TYPE_TCPV4,
	.gso_size = 1448,
};

static const struct tx_layout whole_pages;

/* Of the largest frame: whole pages, and GSO extra info. */
#define LARGEST_SLOTS (DIV_ROUND_UP(XEN_NETIF_MAX_TX_SIZE, XEN_PAGE) + 1)

static uint32_t plan(uint32_t size, const struct netif_offload *offload,
		     union from_guest_slot out[TX_SLOTS_MAX])
{
	struct tx_piece piece[TX_PAGES_MAX];
	struct tx_page page[TX_PAGES_MAX];
	uint32_t n = tx_cut(&whole_pages, size, piece);
	struct tx_meta meta = { *offload, { .type = HASH_TYPE_NONE } };

	for (uint32_t i = 0; i < TX_PAGES_MAX; i++)
		page[i] = (struct tx_page){ .gref = 1000 + i, .id = (uint16_t)(200 - i) };
	memset(out, 0xee, TX_SLOTS_MAX * sizeof(*out));
	return tx_slots(piece, n, &meta, page, out);
}

/* Every size: the fragments sum up, each in its page, more_data on all but the last. */
static void tx_every_size(void **state)
{
	union from_guest_slot s[TX_SLOTS_MAX];

	(void)state;
	for (uint32_t size = 1; size <= XEN_NETIF_MAX_TX_SIZE; size++) {
		uint32_t n = plan(size, &plain, s), rest = size;

		assert_int_equal(n, DIV_ROUND_UP(size, XEN_PAGE));
		assert_int_equal(s[0].req.size, size);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(s[i].req.flags, i + 1 < n ? NETTXF_more_data : 0);
			assert_int_equal(s[i].req.gref, 1000 + i);
			assert_int_equal(s[i].req.id, 200 - i);
			assert_int_equal(s[i].req.offset, 0);
			if (i)
				rest -= s[i].req.size;
		}
		/* what is left is the first slot's, which says the total */
		assert_int_equal(rest, MIN(size, XEN_PAGE));
	}
}

/* Extra infos are a chain; the hash goes least significant byte first. */
static void tx_hash_extra(void **state)
{
	struct tx_meta meta = { tso4, { _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP, 0x51ccc178 } };
	const struct tx_piece piece = { 0, 60 };
	const struct tx_page page = { 1, 1 };
	union from_guest_slot s[TX_SLOTS_MAX];

	(void)state;
	assert_int_equal(tx_slots(&piece, 1, &meta, &page, s), 3);
	assert_int_equal(s[1].extra.type, XEN_NETIF_EXTRA_TYPE_GSO);
	assert_int_equal(s[1].extra.flags, XEN_NETIF_EXTRA_FLAG_MORE);
	assert_int_equal(s[2].extra.type, XEN_NETIF_EXTRA_TYPE_HASH);
	assert_int_equal(s[2].extra.flags, 0);
	assert_int_equal(s[2].extra.u.hash.type, _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP);
	assert_int_equal(s[2].extra.u.hash.algorithm, XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
	assert_memory_equal(s[2].extra.u.hash.value, "\x78\xc1\xcc\x51", 4);
	meta.offload = plain;
	assert_int_equal(tx_slots(&piece, 1, &meta, &page, s), 2);
	assert_int_equal(s[0].req.flags, NETTXF_extra_info);
	assert_int_equal(s[1].extra.type, XEN_NETIF_EXTRA_TYPE_HASH);
}

/* Whatever a dialect's layout: all of the frame, within pages, in as many as any backend takes. */
static void tx_layouts(void **state)
{
	struct tx_piece piece[TX_PAGES_MAX];

	(void)state;
	for (const struct frontend_dialect *d = frontend_dialects; d->name; d++) {
		assert_int_equal(d->layout.first_size % 2, 0);
		for (uint32_t size = 1; size <= XEN_NETIF_MAX_TX_SIZE; size++) {
			uint32_t n = tx_cut(&d->layout, size, piece), sum = 0;

			for (uint32_t i = 0; i < n; i++) {
				assert_true(piece[i].offset + piece[i].size <= XEN_PAGE);
				assert_true(piece[i].size);
				sum += piece[i].size;
			}
			assert_int_equal(sum, size);
			assert_true(n <= XEN_NETIF_NR_SLOTS_MIN);
		}
	}
	assert_int_equal(tx_cut(&dialect_find("freebsd")->layout, 3000, piece), 3);
	assert_int_equal(piece[0].offset, 104);
	assert_int_equal(piece[0].size, 152);
	assert_int_equal(piece[1].offset, 2048);
	assert_int_equal(piece[1].size, 2048);
	assert_int_equal(piece[2].offset, 0);
	assert_int_equal(piece[2].size, 800);
}

static void tx_gso_extra(void **state)
{
	union from_guest_slot s[TX_SLOTS_MAX];

	(void)state;
	assert_int_equal(plan(XEN_NETIF_MAX_TX_SIZE, &tso4, s), LARGEST_SLOTS);
	assert_int_equal(s[0].req.flags, NETTXF_csum_blank | NETTXF_data_validated |
					     NETTXF_more_data | NETTXF_extra_info);
	assert_int_equal(s[1].extra.type, XEN_NETIF_EXTRA_TYPE_GSO);
	assert_int_equal(s[1].extra.flags, 0);
	assert_int_equal(s[1].extra.u.gso.size, 1448);
	assert_int_equal(s[1].extra.u.gso.type, XEN_NETIF_GSO_TYPE_TCPV4);
	assert_int_equal(s[1].extra.u.gso.pad, 0);
	assert_int_equal(s[1].extra.u.gso.features, 0);
	assert_int_equal(s[2].req.gref, 1001);
	assert_int_equal(s[LARGEST_SLOTS - 1].req.flags, 0);

	assert_int_equal(plan(60, &tso4, s), 2);
	assert_int_equal(s[0].req.flags,
			 NETTXF_csum_blank | NETTXF_data_validated | NETTXF_extra_info);
}

static void tx_offloads(void **state)
{
	static const struct {
		struct virtio_net_hdr in;
		int err;
		struct netif_offload out;
	} c[] = {
		{ .in = { 0 } },
		{ .in.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  .out = { .csum_blank = true, .data_validated = true } },
		{ .in.flags = VIRTIO_NET_HDR_F_DATA_VALID, .out = { .data_validated = true } },
		{ .in = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			  .gso_type = VIRTIO_NET_HDR_GSO_TCPV6,
			  .gso_size = 1220 },
		  .out = { true, true, XEN_NETIF_GSO_TYPE_TCPV6, 1220 } },
		{ .in = { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 }, .err = -EPROTO },
		{ .in = { .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 9 }, .err = -EPROTO },
		{ .in = { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,
			  .gso_size = 9 },
		  .err = -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct netif_offload out;

		assert_int_equal(tx_offload(&c[i].in, &out), c[i].err);
		if (c[i].err)
			continue;
		assert_int_equal(out.csum_blank, c[i].out.csum_blank);
		assert_int_equal(out.data_validated, c[i].out.data_validated);
		assert_int_equal(out.gso_type, c[i].out.gso_type);
		assert_int_equal(out.gso_size, c[i].out.gso_size);
	}
}

/* Over pages of any number, the finished checksum makes the whole sum to ffff. */
static void tx_checksum_over_pages(void **state)
{
	static uint8_t frame[3 * XEN_PAGE];

	(void)state;
	for (size_t size = 100; size < sizeof(frame); size += 1031) {
		struct virtio_net_hdr vnet = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					       .csum_start = 54,
					       .csum_offset = 16 };
		struct iovec iov[3];
		int n = (int)DIV_ROUND_UP(size, XEN_PAGE);

		for (size_t i = 0; i < size; i++)
			frame[i] = (uint8_t)(i * 31 + size);
		for (int i = 0; i < n; i++)
			iov[i] = (struct iovec){ frame + i * (int)XEN_PAGE, XEN_PAGE };
		iov[n - 1].iov_len = size - (size_t)(n - 1) * XEN_PAGE;
		assert_int_equal(tx_finish_checksum(&vnet, iov, n), 0);
		assert_int_equal(vnet.flags, 0);
		/* the field held a seed, as the pseudo header's sum would be: count it in */
		assert_int_equal(checksum_add(checksum_add(0, frame + 54, size - 54),
					      (uint8_t[]){ (uint8_t)(70 * 31 + size),
							   (uint8_t)(71 * 31 + size) },
					      2),
				 0xffff);
	}
}

static void tx_checksum_refused(void **state)
{
	uint8_t frame[64] = { 0 };
	struct iovec iov = { frame, sizeof(frame) };
	struct virtio_net_hdr beyond = { .csum_start = 60, .csum_offset = 16 };
	struct virtio_net_hdr odd = { .csum_start = 35, .csum_offset = 6 };

	(void)state;
	assert_int_equal(tx_finish_checksum(&beyond, &iov, 1), -EPROTO);
	assert_int_equal(tx_finish_checksum(&odd, &iov, 1), -EPROTO);
}

/* ---- receiving ---- */

static union to_guest_slot rsp(uint16_t id, uint16_t flags, int16_t status)
{
	return (union to_guest_slot){ .rsp = { .id = id, .flags = flags, .status = status } };
}

static union to_guest_slot gso(uint8_t type, uint16_t size, uint8_t flags)
{
	return (union to_guest_slot){
		.extra = { .type = XEN_NETIF_EXTRA_TYPE_GSO,
			   .flags = flags,
			   .u.gso = { .size = size, .type = type } },
	};
}

static void rx_single(void **state)
{
	union to_guest_slot s[2] = { rsp(7, NETRXF_data_validated, 60), rsp(8, 0, 61) };
	struct rx_frame f;

	(void)state;
	s[0].rsp.offset = 256; /* XDP headroom: kernel netback may put one */
	rx_frame_read(s, 2, 256 + 7, &f);
	assert_int_equal(f.verdict, VIF_OK);
	assert_int_equal(f.n_slots, 1);
	assert_int_equal(f.n_fragments, 1);
	assert_int_equal(f.size, 60);
	assert_int_equal(f.fragment[0].page, 7);
	assert_int_equal(f.fragment[0].offset, 256);
	assert_true(f.offload.data_validated);
	assert_false(f.offload.csum_blank);
}

static void rx_gso_over_wrap(void **state)
{
	union to_guest_slot s[4] = {
		rsp(254, NETRXF_csum_blank | NETRXF_extra_info | NETRXF_more_data, 4096),
		gso(XEN_NETIF_GSO_TYPE_TCPV4, 1448, 0),
		rsp(0, NETRXF_more_data, 4096),
		rsp(1, 0, 9),
	};
	struct rx_frame f;

	(void)state;
	rx_frame_read(s, 4, UINT32_MAX - 1, &f);
	assert_int_equal(f.verdict, VIF_OK);
	assert_int_equal(f.n_slots, 4);
	assert_int_equal(f.n_fragments, 3);
	assert_int_equal(f.size, 4096 + 4096 + 9);
	assert_int_equal(f.fragment[1].page, 0);
	assert_int_equal(f.fragment[2].page, 1);
	assert_int_equal(f.offload.gso_type, XEN_NETIF_GSO_TYPE_TCPV4);
	assert_int_equal(f.offload.gso_size, 1448);
}

/* Linux: the extra info says where the first slot's data begins. */
static void rx_headroom(void **state)
{
	union to_guest_slot s[] = {
		rsp(0, NETRXF_extra_info | NETRXF_more_data, 3840),
		{ .extra = { .type = 5, .flags = XEN_NETIF_EXTRA_FLAG_MORE } },
		gso(XEN_NETIF_GSO_TYPE_TCPV4, 1448, 0),
		rsp(3, 0, 4096),
	};
	struct rx_frame f;

	(void)state;
	s[1].extra.u.gso.size = 256; /* the same two bytes */
	rx_frame_read(s, 4, 0, &f);
	assert_int_equal(f.verdict, VIF_OK);
	assert_int_equal(f.headroom, 256);
	assert_int_equal(f.fragment[0].offset, 256);
	assert_int_equal(f.fragment[1].offset, 0);
	assert_int_equal(f.size, 3840 + 4096);
	assert_int_equal(f.offload.gso_size, 1448);
	s[0].rsp.status = 3841; /* does not fit behind it */
	rx_frame_read(s, 4, 0, &f);
	assert_int_equal(f.verdict, VIF_DROP);
}

/* A GSO frame with a full checksum is given a blank one: the sum of its pseudo header. */
static void rx_gso_fixup(void **state)
{
	/* 10.0.0.1 to 10.0.0.2, TCP, nonsense in the checksum */
	uint8_t v4[54] = { [12] = 8, [14] = 0x45, [16] = 0, [17] = 40,	 [23] = 6,    [26] = 10,
			   [29] = 1, [30] = 10,	  [33] = 2, [46] = 0x50, [50] = 0xab, [51] = 0xcd };
	uint8_t v6[74] = { [12] = 0x86, [13] = 0xdd, [14] = 0x60, [19] = 20, [20] = 6,
			   [22] = 0xfd, [37] = 1,    [38] = 0xfd, [53] = 2,  [66] = 0x50 };
	struct rx_frame f = { .size = 34 + 3000, .offload = tso4 };

	(void)state;
	f.offload.csum_blank = false;
	assert_int_equal(rx_blank_checksum(&f, v4, sizeof(v4)), 50);
	assert_true(f.offload.csum_blank);
	/* 0a00 + 0001 + 0a00 + 0002 + 6 + 3000 */
	assert_int_equal(v4[50] << 8 | v4[51], 0x1400 + 3 + 6 + 3000);
	f.size = 54 + 65480;
	assert_int_equal(rx_blank_checksum(&f, v6, sizeof(v6)), 70);
	/* fd00 + 1 + fd00 + 2 + 6 + 65480, the carries added */
	assert_int_equal(v6[70] << 8 | v6[71], (0x1fa00 + 9 + 65480 - 0x20000 + 2));
	v4[23] = 1; /* ICMP */
	assert_int_equal(rx_blank_checksum(&f, v4, sizeof(v4)), -EPROTO);
	v4[23] = 6;
	assert_int_equal(rx_blank_checksum(&f, v4, 51), -EPROTO);
}

static void expect_change(struct multicast *m, uint8_t last, bool add)
{
	struct multicast_address a;
	bool is_add;

	assert_true(multicast_next(m, &a, &is_add));
	assert_int_equal(a.byte[5], last);
	assert_int_equal(is_add, add);
}

static void multicast_changes(void **state)
{
	const struct multicast_address one = { { 1, 0, 0x5e, 0, 0, 1 } };
	const struct multicast_address two = { { 1, 0, 0x5e, 0, 0, 2 } };
	const struct multicast_address both[] = { one, two };
	struct multicast m = { 0 };
	struct multicast_address a;
	bool add;

	(void)state;
	assert_false(multicast_next(&m, &a, &add));
	multicast_want(&m, both, 2);
	expect_change(&m, 1, true);
	expect_change(&m, 2, true);
	assert_false(multicast_next(&m, &a, &add));
	multicast_want(&m, &two, 1);
	expect_change(&m, 1, false);
	assert_false(multicast_next(&m, &a, &add));
	multicast_want(&m, &one, 1); /* room is made first */
	expect_change(&m, 2, false);
	expect_change(&m, 1, true);
	multicast_forget(&m); /* another backend */
	expect_change(&m, 1, true);
	assert_false(multicast_next(&m, &a, &add));
}

/* As many slots as Linux takes, one more, and the one a short first slot allows. */
static void rx_slot_limit(void **state)
{
	static const struct {
		uint32_t n;
		int16_t first;
		enum vif_verdict verdict;
	} c[] = { { 18, 1000, VIF_OK },
		  { 19, 1000, VIF_DROP },
		  { 19, 256, VIF_OK },
		  { 20, 256, VIF_DROP },
		  { 40, 100, VIF_DROP } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		union to_guest_slot s[40];
		struct rx_frame f;

		for (uint32_t k = 0; k < c[i].n; k++)
			s[k] = rsp((uint16_t)k, k + 1 < c[i].n ? NETRXF_more_data : 0,
				   k ? 100 : c[i].first);
		rx_frame_read(s, c[i].n, 0, &f);
		assert_int_equal(f.verdict, c[i].verdict);
		assert_int_equal(f.n_slots, c[i].n);
	}
}

static void rx_bad(void **state)
{
	static const union to_guest_slot last = { .rsp = { .id = 2, .status = 1 } };
	const struct {
		union to_guest_slot s[3];
		uint32_t n;
		enum vif_verdict verdict;
		uint32_t n_slots;
	} c[] = {
		{ { rsp(0, 0, -1) }, 1, VIF_DROP, 1 },
		{ { rsp(0, NETRXF_more_data, NETIF_RSP_ERROR), rsp(1, 0, 5) }, 2, VIF_DROP, 2 },
		{ { rsp(0, 0, 4097) }, 1, VIF_DROP, 1 },
		{ { rsp(0, NETRXF_more_data, 60) }, 1, VIF_DROP, 1 },
		{ { rsp(0, NETRXF_extra_info, 60) }, 1, VIF_DROP, 1 },
		{ { rsp(0, NETRXF_extra_info, 60), gso(1, 0, 0) }, 2, VIF_DROP, 2 },
		{ { rsp(0, NETRXF_extra_info, 60), gso(3, 9, 0) }, 2, VIF_DROP, 2 },
		{ { rsp(0, NETRXF_extra_info, 60), gso(1, 9, XEN_NETIF_EXTRA_FLAG_MORE) },
		  2,
		  VIF_DROP,
		  2 },
		{ { rsp(0, NETRXF_extra_info | NETRXF_more_data, 60),
		    { .extra = { .type = 6 } },
		    last },
		  3,
		  VIF_DROP,
		  3 },
		{ { rsp(1, 0, 60) }, 1, VIF_FATAL, 0 },
		{ { rsp(0, NETRXF_more_data, 60), rsp(2, 0, 60) }, 2, VIF_FATAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct rx_frame f;

		rx_frame_read(c[i].s, c[i].n, 0, &f);
		assert_int_equal(f.verdict, c[i].verdict);
		assert_non_null(f.why);
		if (f.verdict != VIF_FATAL)
			assert_int_equal(f.n_slots, c[i].n_slots);
	}
}

/* Any bytes at all: no frame is longer than what there is, and fragments stay in pages. */
static void rx_noise(void **state)
{
	uint32_t x = 1;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		union to_guest_slot s[24];
		uint32_t n = 1 + x % ARRAY_SIZE(s), sum = 0;
		struct rx_frame f;

		for (size_t i = 0; i < sizeof(s); i++) {
			x = x * 1664525 + 1013904223;
			((uint8_t *)s)[i] = (uint8_t)(x >> 24);
		}
		for (uint32_t i = 0; round % 2 && i < n; i++) { /* likelier ones */
			s[i].rsp.id = (uint16_t)i;
			s[i].rsp.offset %= 64;
			s[i].rsp.status = (int16_t)(s[i].rsp.status % 4096);
			s[i].rsp.flags &= NETRXF_more_data | NETRXF_csum_blank;
		}
		rx_frame_read(s, n, 0, &f);
		if (f.verdict == VIF_FATAL)
			continue;
		assert_in_range(f.n_slots, 1, n);
		if (f.verdict != VIF_OK)
			continue;
		assert_in_range(f.n_fragments, 1, RX_FRAGMENTS_MAX);
		for (uint32_t i = 0; i < f.n_fragments; i++) {
			assert_in_range(f.fragment[i].page, 0, RING_SLOTS - 1);
			assert_in_range(f.fragment[i].offset + f.fragment[i].size, 0, XEN_PAGE);
			sum += f.fragment[i].size;
		}
		assert_int_equal(sum, f.size);
	}
}

static void rx_vnet_header(void **state)
{
	/* Ethernet, IPv4, TCP */
	uint8_t frame[54] = { [12] = 8, [14] = 0x45, [16] = 0, [17] = 40, [23] = 6, [46] = 0x50 };
	struct netif_offload none = { 0 }, valid = { .data_validated = true };
	struct netif_offload blank = { .csum_blank = true }, no_blank = tso4, six = tso4,
			     gso = tso4;
	struct virtio_net_hdr v;

	(void)state;
	no_blank.csum_blank = false;
	six.gso_type = XEN_NETIF_GSO_TYPE_TCPV6;
	assert_int_equal(rx_vnet(&none, frame, sizeof(frame), &v), 0);
	assert_int_equal(v.flags, 0);
	assert_int_equal(rx_vnet(&valid, frame, sizeof(frame), &v), 0);
	assert_int_equal(v.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	assert_int_equal(rx_vnet(&blank, frame, sizeof(frame), &v), 0);
	assert_int_equal(v.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(v.csum_start, 34);
	assert_int_equal(v.csum_offset, 16);
	assert_int_equal(rx_vnet(&gso, frame, sizeof(frame), &v), 0);
	assert_int_equal(v.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(v.gso_size, 1448);
	assert_int_equal(v.hdr_len, 54);
	assert_int_equal(rx_vnet(&six, frame, sizeof(frame), &v), -EPROTO);
	assert_int_equal(rx_vnet(&no_blank, frame, sizeof(frame), &v), -EPROTO);
	frame[23] = 1; /* ICMP has no blank checksum */
	assert_int_equal(rx_vnet(&blank, frame, sizeof(frame), &v), -EPROTO);
	assert_int_equal(rx_vnet(&blank, frame, 20, &v), -EPROTO);
}

/* ---- the ring ---- */

static void ring_indices(void **state)
{
	netif_tx_sring_t *page = aligned_alloc(XEN_PAGE, XEN_PAGE);
	union from_guest_slot slot = { .req = { .id = 5 } };
	netif_tx_response_t got;
	struct front_ring r;

	(void)state;
	front_ring_init(&r, page, sizeof(slot), RING_SLOTS);
	assert_int_equal(front_ring_free(&r), RING_SLOTS);
	assert_int_equal(front_ring_pending(&r), 0);
	assert_false(front_ring_push(&r)); /* nothing written */
	front_ring_put(&r, &slot);
	assert_int_equal(page->req_prod, 0);
	assert_true(front_ring_push(&r)); /* a fresh ring asks for the first */
	assert_int_equal(page->req_prod, 1);
	assert_int_equal(page->ring[0].req.id, 5);
	front_ring_put(&r, &slot);
	assert_false(front_ring_push(&r)); /* and not again */
	page->req_event = 4;
	front_ring_put(&r, &slot);
	assert_false(front_ring_push(&r));
	front_ring_put(&r, &slot);
	front_ring_put(&r, &slot);
	assert_true(front_ring_push(&r)); /* 3 -> 5 crosses 4 */

	page->ring[0].rsp = (netif_tx_response_t){ .id = 9 };
	page->rsp_prod = 1;
	assert_int_equal(front_ring_pending(&r), 1);
	front_ring_peek(&r, 0, &got, sizeof(got));
	assert_int_equal(got.id, 9);
	front_ring_consume(&r, 1);
	assert_int_equal(front_ring_free(&r), RING_SLOTS - 4);
	assert_int_equal(front_ring_arm(&r, 1), 0);
	assert_int_equal(page->rsp_event, 2);
	page->rsp_prod = 3;
	assert_int_equal(front_ring_arm(&r, 2), 2);

	page->rsp_prod = 6; /* five were asked */
	assert_int_equal(front_ring_pending(&r), -EPROTO);
	page->rsp_prod = 0; /* going backwards */
	assert_int_equal(front_ring_pending(&r), -EPROTO);
	free(page);
}

/* ---- the states ---- */

#define GONE	XenbusStateUnknown
#define INIT	XenbusStateInitialising
#define WAIT	XenbusStateInitWait
#define CONN	XenbusStateConnected
#define CLOSING XenbusStateClosing
#define CLOSED	XenbusStateClosed

static void bus_moves(void **state)
{
	static const struct {
		const char *why;
		struct bus_situation s;
		enum bus_move move;
	} c[] = {
		{ "no device", { .device = false, .ours = INIT, .theirs = WAIT }, BUS_STAY },
		{ "device vanished",
		  { .ours = CONN, .theirs = CONN, .shared = true },
		  BUS_RELEASE },
		{ "no state key", { .device = true, .theirs = WAIT }, BUS_START },
		{ "backend not ready", { .device = true, .ours = INIT, .theirs = INIT }, BUS_STAY },
		{ "backend ready", { .device = true, .ours = INIT, .theirs = WAIT }, BUS_CONNECT },
		{ "backend not ready", { .device = true, .ours = INIT, .theirs = INIT }, BUS_STAY },
		{ "nor waited for",
		  { .device = true, .ours = INIT, .theirs = INIT, .impatient = true },
		  BUS_CONNECT },
		{ "another headroom",
		  { .device = true, .ours = CONN, .theirs = CONN, .reconfiguring = true },
		  BUS_RECONFIGURE },
		{ "the backend has not seen it",
		  { .device = true, .ours = XenbusStateReconfiguring, .theirs = CONN },
		  BUS_STAY },
		{ "it has",
		  { .device = true,
		    .ours = XenbusStateReconfiguring,
		    .theirs = XenbusStateReconfigured },
		  BUS_RESUME },
		{ "another one; Linux netback stays Reconfigured",
		  { .device = true,
		    .ours = CONN,
		    .theirs = XenbusStateReconfigured,
		    .reconfiguring = true },
		  BUS_RECONFIGURE },
		{ "leaving meanwhile",
		  { .device = true,
		    .ours = XenbusStateReconfiguring,
		    .theirs = CONN,
		    .leaving = true },
		  BUS_ENTER_CLOSING },
		{ "pages lent",
		  { .device = true, .ours = CONN, .theirs = CONN, .leaving = true, .lent = true },
		  BUS_WITHDRAW },
		{ "pages asked back",
		  { .device = true,
		    .ours = CONN,
		    .theirs = CONN,
		    .leaving = true,
		    .lent = true,
		    .withdrawing = true },
		  BUS_STAY },
		{ "pages lent to one that is gone",
		  { .device = true,
		    .ours = CONN,
		    .theirs = XenbusStateUnknown,
		    .leaving = true,
		    .lent = true },
		  BUS_ENTER_CLOSING },
		{ "backend still closed",
		  { .device = true, .ours = INIT, .theirs = CLOSED },
		  BUS_STAY },
		{ "new life",
		  { .device = true, .ours = INIT, .theirs = WAIT, .shared = true },
		  BUS_RELEASE },
		{ "running",
		  { .device = true, .ours = CONN, .theirs = CONN, .shared = true },
		  BUS_STAY },
		{ "backend directory gone",
		  { .device = true, .ours = CONN, .theirs = GONE, .shared = true },
		  BUS_STAY },
		{ "detach",
		  { .device = true, .ours = CONN, .theirs = CLOSING, .shared = true },
		  BUS_ENTER_CLOSED },
		{ "missed Closing",
		  { .device = true, .ours = CONN, .theirs = CLOSED, .shared = true },
		  BUS_ENTER_CLOSED },
		{ "still mapped",
		  { .device = true, .ours = CLOSED, .theirs = CLOSING, .shared = true },
		  BUS_STAY },
		{ "closed",
		  { .device = true, .ours = CLOSED, .theirs = CLOSED, .shared = true },
		  BUS_RELEASE },
		{ "stays closed", { .device = true, .ours = CLOSED, .theirs = CLOSED }, BUS_STAY },
		{ "backend opens again",
		  { .device = true, .ours = CLOSED, .theirs = WAIT },
		  BUS_START },
		{ "leave",
		  { .device = true, .ours = CONN, .theirs = CONN, .shared = true, .leaving = true },
		  BUS_ENTER_CLOSING },
		{ "leave: wait",
		  { .device = true,
		    .ours = CLOSING,
		    .theirs = CONN,
		    .shared = true,
		    .leaving = true },
		  BUS_STAY },
		{ "leave: follow",
		  { .device = true,
		    .ours = CLOSING,
		    .theirs = CLOSING,
		    .shared = true,
		    .leaving = true },
		  BUS_ENTER_CLOSED },
		{ "leave: backend dead",
		  { .device = true,
		    .ours = CLOSING,
		    .theirs = GONE,
		    .shared = true,
		    .leaving = true },
		  BUS_ENTER_CLOSED },
		{ "leave: backend reopens",
		  { .device = true, .ours = CLOSED, .theirs = WAIT, .leaving = true },
		  BUS_STAY },
		{ "leave: never connected",
		  { .device = true, .ours = INIT, .theirs = WAIT, .leaving = true },
		  BUS_ENTER_CLOSING },
		{ "leave: never seen",
		  { .device = true, .ours = CLOSING, .theirs = WAIT, .leaving = true },
		  BUS_ENTER_CLOSED },
		{ "restart",
		  { .device = true,
		    .ours = CONN,
		    .theirs = CONN,
		    .shared = true,
		    .restarting = true },
		  BUS_ENTER_CLOSING },
		{ "restart: start",
		  { .device = true, .ours = CLOSED, .theirs = CLOSED, .restarting = true },
		  BUS_START },
		{ "failed",
		  { .device = true, .ours = INIT, .theirs = WAIT, .failed = true },
		  BUS_ENTER_CLOSING },
		{ "failed: no retry",
		  { .device = true, .ours = CLOSED, .theirs = WAIT, .failed = true },
		  BUS_STAY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		enum bus_move move = bus_next_move(&c[i].s);

		if (move != c[i].move)
			fail_msg("%s: %s, not %s", c[i].why, bus_move_name(move),
				 bus_move_name(c[i].move));
	}
}

static void dialects(void **state)
{
	(void)state;
	assert_ptr_equal(dialect_find("linux"), &frontend_dialects[0]);
	assert_non_null(dialect_find("linux-single-event"));
	assert_non_null(dialect_find("linux-no-sg"));
	assert_null(dialect_find("minix"));
	/* GSO rides on scatter-gather (netif.h), and on blank checksums */
	for (const struct frontend_dialect *d = frontend_dialects; d->name; d++) {
		if (d->offloads & (VIF_GSO_TCPV4 | VIF_GSO_TCPV6))
			assert_true(d->offloads & VIF_SG);
		if (d->offloads & VIF_GSO_TCPV6)
			assert_true(d->offloads & VIF_CSUM_V6);
	}
}

/* What a frame used of our keys is told by its slots and offloads. */
static void rx_uses_features(void **state)
{
	struct rx_frame f = { .n_fragments = 1 };

	(void)state;
	assert_int_equal(rx_uses(&f), 0);
	f.offload.data_validated = true;
	assert_int_equal(rx_uses(&f), 0);
	f.n_fragments = 2;
	assert_int_equal(rx_uses(&f), VIF_SG);
	f.offload = (struct netif_offload){ .csum_blank = true, .ip_version = 4 };
	assert_int_equal(rx_uses(&f), VIF_SG | VIF_CSUM_V4);
	f.offload.ip_version = 6;
	f.offload.gso_type = XEN_NETIF_GSO_TYPE_TCPV6;
	assert_int_equal(rx_uses(&f), VIF_SG | VIF_CSUM_V6 | VIF_GSO_TCPV6);
}

static const char *written(const struct frontend_choice *c, const char *key)
{
	for (const struct dialect_key *k = c->dialect->keys; k->key; k++)
		if (!strcmp(k->key, key))
			return dialect_key_value(c, k);
	return NULL;
}

static void features_switched_off(void **state)
{
	struct frontend_choice c = { .dialect = dialect_find("linux"), .n_queues = 1 };
	char text[FEATURES_TEXT_SIZE];
	uint32_t f;

	(void)state;
	assert_int_equal(dialect_accepts(&c),
			 VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6);
	assert_string_equal(written(&c, "feature-sg"), "1");
	assert_null(written(&c, "feature-no-csum-offload"));
	assert_int_equal(choice_parse_without("", &f), 0);
	assert_int_equal(f, 0);
	assert_int_equal(choice_parse_without("sg,csum-v4", &c.without), 0);
	assert_int_equal(c.without, VIF_SG | VIF_CSUM_V4);
	assert_int_equal(dialect_accepts(&c), VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V6);
	assert_null(written(&c, "feature-sg"));
	assert_string_equal(written(&c, "feature-no-csum-offload"), "1");
	assert_string_equal(written(&c, "feature-gso-tcpv4"), "1");
	assert_int_equal(choice_parse_without("s", &f), -EINVAL);
	assert_int_equal(choice_parse_without("rx-notify", &f), -EINVAL);
	assert_int_equal(choice_parse_without("sgx", &f), -EINVAL);
	assert_int_equal(choice_parse_without(choice_format_without(FEATURES_SWITCHABLE, text), &f),
			 0);
	assert_int_equal(f, FEATURES_SWITCHABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tx_every_size),
		cmocka_unit_test(tx_hash_extra),
		cmocka_unit_test(tx_layouts),
		cmocka_unit_test(tx_gso_extra),
		cmocka_unit_test(tx_offloads),
		cmocka_unit_test(tx_checksum_over_pages),
		cmocka_unit_test(tx_checksum_refused),
		cmocka_unit_test(rx_single),
		cmocka_unit_test(rx_gso_over_wrap),
		cmocka_unit_test(rx_headroom),
		cmocka_unit_test(rx_gso_fixup),
		cmocka_unit_test(multicast_changes),
		cmocka_unit_test(rx_slot_limit),
		cmocka_unit_test(rx_bad),
		cmocka_unit_test(rx_noise),
		cmocka_unit_test(rx_vnet_header),
		cmocka_unit_test(rx_uses_features),
		cmocka_unit_test(features_switched_off),
		cmocka_unit_test(ring_indices),
		cmocka_unit_test(bus_moves),
		cmocka_unit_test(dialects),
	};

	return cmocka_run_group_tests_name("frontend: slots, ring, states", tests, NULL, NULL);
}
