/* SPDX-License-Identifier: MIT */
/*
 * Checksums on published vectors, the frame parser on every shape and every
 * truncation, and the three dialects of offload translated into each other.
 */
#include "tests/unit/unit.h"

#include "offload.h"
#include "tests/unit/frames.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/io/ring.h>
#include <xen/io/netif.h>

static struct packet_pool pool;

static int setup(void **state)
{
	(void)state;
	return packet_pool_init(&pool, 2);
}

/* A test that failed keeps its packet: that is no reason to abort the others. */
static int teardown(void **state)
{
	(void)state;
	if (pool.n_free == pool.n_packets)
		packet_pool_fini(&pool);
	return 0;
}

static struct packet *packet_of(const struct frame *f)
{
	struct packet *p = packet_get(&pool);

	memcpy(p->frame, f->bytes, f->size);
	p->size = f->size;
	return p;
}

/* One of each shape that has a checksum. */
static const uint8_t long_chain[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT,
				      IPPROTO_AH,      IPPROTO_DSTOPTS, IPPROTO_NONE };

static const struct frame_spec shapes[] = {
	{ .ip_version = 4, .protocol = IPPROTO_TCP },
	{ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 1460 },
	{ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 1447, .tcp_options = 12 },
	{ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 1, .ip_options = 40 },
	{ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 0 },
	{ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 1471 },
	{ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 99, .n_vlan_tags = 1 },
	{ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 99, .n_vlan_tags = 2 },
	{ .ip_version = 4, .protocol = IPPROTO_TCP, .padding = 6 },
	{ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 1, .padding = 17 },
	{ .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 1440 },
	{ .ip_version = 6, .protocol = IPPROTO_UDP, .payload = 1000, .n_vlan_tags = 2 },
	{ .ip_version = 6, .protocol = IPPROTO_UDP, .payload = 5, .chain = long_chain },
	{ .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 6, .chain = long_chain },
	{ .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 3, .padding = 3 },
};

/* ---- the sum ---- */

static void sums_the_example_of_rfc1071(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	(void)state;
	assert_int_equal(checksum_add(0, bytes, sizeof(bytes)), 0xddf2);
	assert_int_equal(checksum_add(checksum_add(0, bytes, 4), bytes + 4, 4), 0xddf2);
}

/* The IPv4 header of Wikipedia's "Internet checksum": checksum 0xb861. */
static void sums_a_known_ipv4_header(void **state)
{
	static const uint8_t header[] = { 0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40,
					  0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8,
					  0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7 };

	(void)state;
	assert_int_equal(checksum_add(0, header, sizeof(header)), 0xffff);
	assert_int_equal((uint16_t)~checksum_add(checksum_add(0, header, 10), header + 12, 8),
			 0xb861);
}

static void sums_any_size_at_any_address(void **state)
{
	struct random random = { 1071 };
	uint8_t bytes[700];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = round == 0 ? 0xff : (uint8_t)random_next(&random);
		for (size_t at = 0; at < 8; at++) {
			for (size_t n = 0; n + at <= sizeof(bytes); n++) {
				uint16_t begin = (uint16_t)random_next(&random);

				assert_int_equal(checksum_add(begin, bytes + at, n),
						 slow_sum(begin, bytes + at, n));
			}
		}
	}
}

/* Words that make carries ripple: every combination of four. */
static void sums_every_carry(void **state)
{
	static const uint16_t words[] = { 0x0000, 0x0001, 0x0100, 0xfffe, 0xfeff, 0xffff };
	uint8_t bytes[8];

	(void)state;
	for (unsigned i = 0; i < 6 * 6 * 6 * 6; i++) {
		put_be16(bytes, words[i % 6]);
		put_be16(bytes + 2, words[i / 6 % 6]);
		put_be16(bytes + 4, words[i / 36 % 6]);
		put_be16(bytes + 6, words[i / 216]);
		for (size_t j = 0; j < ARRAY_SIZE(words); j++)
			assert_int_equal(checksum_add(words[j], bytes, 8),
					 slow_sum(words[j], bytes, 8));
	}
}

static void sums_the_largest_frame(void **state)
{
	uint8_t *bytes = malloc(PACKET_FRAME_MAX);

	(void)state;
	memset(bytes, 0xff, PACKET_FRAME_MAX);
	assert_int_equal(checksum_add(0, bytes, PACKET_FRAME_MAX),
			 slow_sum(0, bytes, PACKET_FRAME_MAX));
	free(bytes);
}

/* ---- the parser ---- */

static void finds_the_transport_header(void **state)
{
	static struct frame f;
	struct frame_transport t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		frame_build(&f, &shapes[i]);
		assert_int_equal(frame_parse(f.bytes, f.size, &t), 0);
		assert_int_equal(t.ip_version, shapes[i].ip_version);
		assert_int_equal(t.ethertype, shapes[i].ip_version == 4 ? 0x0800 : 0x86dd);
		assert_int_equal(t.protocol, shapes[i].protocol);
		assert_int_equal(t.network_offset, f.network_offset);
		assert_int_equal(t.transport_offset, f.transport_offset);
		assert_int_equal(t.transport_offset + t.csum_offset, f.csum_at);
		assert_int_equal(t.header_size, f.header_size);
		assert_false(t.fragment);
	}
}

static void knows_frames_without_a_checksum(void **state)
{
	static const uint8_t nothing_behind[] = { IPPROTO_DSTOPTS, IPPROTO_NONE };
	static const struct frame_spec specs[] = {
		{ .ip_version = 0, .payload = 28 },
		{ .ip_version = 0, .payload = 28, .n_vlan_tags = 2 },
		{ .ip_version = 0, .payload = 0 },
		{ .ip_version = 0, .payload = 0, .n_vlan_tags = 1 },
		{ .ip_version = 4, .protocol = IPPROTO_ICMP, .payload = 0 },
		{ .ip_version = 4, .protocol = IPPROTO_ICMP, .payload = 0, .ip_options = 40 },
		{ .ip_version = 4, .protocol = IPPROTO_ICMP, .payload = 56 },
		{ .ip_version = 4, .protocol = IPPROTO_SCTP, .payload = 56 },
		{ .ip_version = 6, .protocol = IPPROTO_ICMPV6, .payload = 0 },
		{ .ip_version = 6, .protocol = IPPROTO_NONE, .chain = nothing_behind },
		{ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 9, .fragment = 0x2000 },
		{ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 9, .fragment = 0x0001 },
		{ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 9, .fragment = 0x3fff },
		{ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 65000, .fragment = 0x2000 },
	};
	static struct frame f;
	struct frame_transport t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		frame_build(&f, &specs[i]);
		assert_int_equal(frame_parse(f.bytes, f.size, &t), 0);
		assert_int_equal(t.csum_offset, 0);
		assert_int_equal(t.ip_version, specs[i].ip_version);
		assert_int_equal(t.fragment, specs[i].fragment != 0);
		assert_int_equal(t.header_size,
				 specs[i].ip_version ? f.transport_offset : f.network_offset);
	}
}

static void dont_fragment_is_no_fragment(void **state)
{
	static const struct frame_spec spec = { .ip_version = 4,
						.protocol = IPPROTO_TCP,
						.fragment = 0x4000 };
	static struct frame f;
	struct frame_transport t;

	(void)state;
	frame_build(&f, &spec);
	assert_int_equal(frame_parse(f.bytes, f.size, &t), 0);
	assert_false(t.fragment);
	assert_int_equal(t.csum_offset, 16);
}

static void an_ipv6_fragment_ends_the_search(void **state)
{
	static const uint8_t chain[] = { IPPROTO_FRAGMENT, IPPROTO_NONE };
	static const struct frame_spec spec = { .ip_version = 6,
						.protocol = IPPROTO_UDP,
						.chain = chain };
	static const uint16_t fields[] = { 0x0001, 0x0008, 0xfff8, 0xfff9 };
	static struct frame f;
	struct frame_transport t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		frame_build(&f, &spec);
		put_be16(f.bytes + f.network_offset + 42, fields[i]);
		assert_int_equal(frame_parse(f.bytes, f.size, &t), 0);
		assert_true(t.fragment);
		assert_int_equal(t.csum_offset, 0);
	}
	put_be16(f.bytes + f.network_offset + 42, 0x0006); /* reserved bits: atomic */
	assert_int_equal(frame_parse(f.bytes, f.size, &t), 0);
	assert_false(t.fragment);
}

static void counts_extension_headers(void **state)
{
	uint8_t chain[10];
	static struct frame f;
	struct frame_transport t;

	(void)state;
	for (unsigned n = 0; n <= 9; n++) {
		memset(chain, IPPROTO_DSTOPTS, sizeof(chain));
		chain[n] = IPPROTO_NONE;
		frame_build(&f, &(struct frame_spec){
				    .ip_version = 6, .protocol = IPPROTO_TCP, .chain = chain });
		assert_int_equal(frame_parse(f.bytes, f.size, &t), n <= 8 ? 0 : -EPROTO);
	}
}

static void refuses_nonsense_headers(void **state)
{
	static const struct {
		struct frame_spec spec;
		unsigned at; /* from the network header */
		uint8_t value;
	} cases[] = {
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, 0, 0x65 }, /* not version 4 */
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, 0, 0x44 }, /* header too short */
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, 0, 0x4f }, /* longer than all */
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, 20 + 12, 0x40 }, /* TCP too short */
		{ { .ip_version = 4, .protocol = IPPROTO_TCP },
		  20 + 12,
		  0xf0 }, /* longer than all */
		{ { .ip_version = 4, .protocol = IPPROTO_UDP }, 0, 0x44 },
		{ { .ip_version = 4, .protocol = IPPROTO_UDP }, 0, 0x4f },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP }, 0, 0x40 }, /* not version 6 */
		{ { .ip_version = 6, .protocol = IPPROTO_TCP }, 40 + 12, 0x10 },
		{ { .ip_version = 6, .protocol = IPPROTO_UDP }, 6, IPPROTO_HOPOPTS },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP, .chain = long_chain }, 41, 0xff },
	};
	static struct frame f;
	struct frame_transport t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		frame_build(&f, &cases[i].spec);
		f.bytes[f.network_offset + cases[i].at] = cases[i].value;
		assert_int_equal(frame_parse(f.bytes, f.size, &t), -EPROTO);
	}
}

/* Whatever the bytes, the answer stays within the frame; the copy is as large as the
 * frame, so that a sanitizer sees a read beyond it. */
static void parse_stays_within(const uint8_t *bytes, uint32_t size)
{
	uint8_t *exact = malloc(size ? size : 1);
	struct frame_transport t;
	int err;

	memcpy(exact, bytes, size);
	err = frame_parse(exact, size, &t);
	assert_true(err == 0 || err == -EPROTO);
	if (!err) {
		assert_true(t.header_size <= size);
		assert_true(t.transport_offset <= t.header_size);
		if (t.csum_offset)
			assert_true(t.transport_offset + t.csum_offset + 2 <= t.header_size);
	}
	free(exact);
}

static void survives_truncation_at_each_byte(void **state)
{
	static struct frame f;
	struct frame_transport t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		frame_build(&f, &shapes[i]);
		for (uint32_t size = 0; size <= f.header_size; size++) {
			parse_stays_within(f.bytes, size);
			assert_int_equal(frame_parse(f.bytes, size, &t),
					 size < f.header_size ? -EPROTO : 0);
		}
	}
}

static void survives_any_bytes(void **state)
{
	static struct frame f;
	struct random random = { 0xf00d };

	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		frame_build(&f,
			    &(struct frame_spec){
				.n_vlan_tags = random_below(&random, 4),
				.ip_version = random_below(&random, 2) ? 4 : 6,
				.protocol = random_below(&random, 2) ? IPPROTO_TCP : IPPROTO_UDP,
				.chain = random_below(&random, 2) ? long_chain : NULL,
				.payload = random_below(&random, 40) });
		for (unsigned n = random_below(&random, 6); n > 0; n--)
			f.bytes[12 + random_below(&random, f.size - 12)] =
			    (uint8_t)random_next(&random);
		parse_stays_within(f.bytes, random_below(&random, f.size + 1));
	}
}

/* ---- netif -> virtio_net_hdr ---- */

/* A blank checksum is seeded with the pseudo header, whatever the guest left there, and
 * finishing it gives the right checksum. */
static void seeds_and_finishes_each_shape(void **state)
{
	struct netif_offload blank = { .csum_blank = true };
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct packet *p;

		frame_build(&f, &shapes[i]);
		p = packet_of(&f);
		assert_int_equal(offload_from_netif(p, &blank), VIF_OK);
		assert_int_equal(packet_vnet(p)->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(packet_vnet(p)->csum_start, f.transport_offset);
		assert_int_equal(packet_vnet(p)->csum_start + packet_vnet(p)->csum_offset,
				 f.csum_at);
		assert_int_equal(packet_vnet(p)->gso_type, VIRTIO_NET_HDR_GSO_NONE);
		assert_int_equal(get_be16(p->frame + f.csum_at), frame_pseudo_sum(&f));

		assert_int_equal(offload_finish_checksum(p), 0);
		assert_int_equal(packet_vnet(p)->flags, 0);
		assert_true(frame_checksum_ok(&f, p->frame));
		packet_put(&pool, p);
	}
}

static void a_zero_udp_checksum_is_sent_as_ffff(void **state)
{
	static const struct frame_spec specs[] = {
		{ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 8 },
		{ .ip_version = 6, .protocol = IPPROTO_UDP, .payload = 8 },
	};
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct packet *p;
		uint16_t word;

		/* One payload word takes the checksum and brings it to 0. */
		frame_build(&f, &specs[i]);
		word = get_be16(f.bytes + f.header_size);
		put_be16(f.bytes + f.header_size,
			 slow_sum(frame_checksum(&f), (uint8_t[]){ word >> 8, word & 0xff }, 2));
		assert_int_equal(frame_checksum(&f), 0);
		p = packet_of(&f);
		assert_int_equal(offload_from_netif(p, &(struct netif_offload){ .csum_blank = 1 }),
				 VIF_OK);
		assert_int_equal(offload_finish_checksum(p), 0);
		assert_int_equal(get_be16(p->frame + f.csum_at), 0xffff);
		packet_put(&pool, p);
	}
}

/* Linux sums all there is behind csum_start (skb_checksum_help()): what a guest leaves in
 * the padding must not count. */
static void padding_does_not_spoil_a_checksum(void **state)
{
	static const struct frame_spec specs[] = {
		{ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 1, .padding = 5 },
		{ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 3, .padding = 15 },
		{ .ip_version = 6, .protocol = IPPROTO_UDP, .payload = 0, .padding = 1 },
	};
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct packet *p;

		frame_build(&f, &specs[i]);
		memset(f.bytes + f.size - f.spec.padding, 0xa5, f.spec.padding);
		p = packet_of(&f);
		assert_int_equal(offload_from_netif(p, &(struct netif_offload){ .csum_blank = 1 }),
				 VIF_OK);
		assert_int_equal(p->size, f.size);
		for (uint32_t at = f.size - f.spec.padding; at < f.size; at++)
			assert_int_equal(p->frame[at], 0);
		assert_int_equal(offload_finish_checksum(p), 0);
		assert_true(frame_checksum_ok(&f, p->frame));
		packet_put(&pool, p);
	}
}

/* An IP length that the frame does not hold is the receiver's to judge; the sum then
 * covers what there is. */
static void a_wrong_ip_length_does_no_harm(void **state)
{
	static const struct frame_spec spec = { .ip_version = 4,
						.protocol = IPPROTO_UDP,
						.payload = 100 };
	static const uint16_t lengths[] = { 0, 1, 19, 20, 129, 1000, 65535 };
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct packet *p;

		frame_build(&f, &spec);
		put_be16(f.bytes + f.network_offset + 2, lengths[i]);
		p = packet_of(&f);
		assert_int_equal(offload_from_netif(p, &(struct netif_offload){ .csum_blank = 1 }),
				 VIF_OK);
		assert_int_equal(get_be16(p->frame + f.csum_at), frame_pseudo_sum(&f));
		packet_put(&pool, p);
	}
}

/* Only the guest knows where a source-routed packet ends: its seed stays. */
static void leaves_a_source_routed_seed_alone(void **state)
{
	static const uint8_t chain[] = { IPPROTO_ROUTING, IPPROTO_NONE };
	static const struct frame_spec spec = { .ip_version = 6,
						.protocol = IPPROTO_TCP,
						.chain = chain };
	static struct frame f;
	struct packet *p;

	(void)state;
	frame_build(&f, &spec);
	f.bytes[f.network_offset + 40 + 3] = 1; /* segments left */
	p = packet_of(&f);
	assert_int_equal(offload_from_netif(p, &(struct netif_offload){ .csum_blank = 1 }), VIF_OK);
	assert_int_equal(packet_vnet(p)->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_memory_equal(p->frame, f.bytes, f.size);
	packet_put(&pool, p);
}

static void a_plain_frame_is_not_even_looked_at(void **state)
{
	struct packet *p = packet_get(&pool);

	(void)state;
	memset(p->frame, 0xff, 60); /* no protocol known to anyone */
	p->size = 60;
	packet_vnet(p)->gso_size = 7;
	assert_int_equal(offload_from_netif(p, &(struct netif_offload){ .csum_blank = 0 }), VIF_OK);
	assert_int_equal(packet_vnet(p)->flags, 0);
	assert_int_equal(packet_vnet(p)->gso_size, 0);
	assert_int_equal(offload_from_netif(p, &(struct netif_offload){ .data_validated = true }),
			 VIF_OK);
	assert_int_equal(packet_vnet(p)->flags, VIRTIO_NET_HDR_F_DATA_VALID);
	packet_put(&pool, p);
}

static void drops_offload_a_frame_cannot_have(void **state)
{
	enum { V4 = XEN_NETIF_GSO_TYPE_TCPV4, V6 = XEN_NETIF_GSO_TYPE_TCPV6 };
	static const struct {
		struct frame_spec spec;
		struct netif_offload offload;
		uint32_t size; /* cut to; 0: whole */
	} cases[] = {
		{ { .ip_version = 0, .payload = 28 }, { .csum_blank = 1 }, 0 },
		{ { .ip_version = 4, .protocol = IPPROTO_ICMP, .payload = 64 },
		  { .csum_blank = 1 },
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_SCTP, .payload = 64 },
		  { .csum_blank = 1 },
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .fragment = 0x2000 },
		  { .csum_blank = 1 },
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_UDP, .fragment = 0x0007 },
		  { .csum_blank = 1 },
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .n_vlan_tags = 3 },
		  { .csum_blank = 1 },
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, { .csum_blank = 1 }, 14 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, { .csum_blank = 1 }, 53 },
		{ { .ip_version = 4, .protocol = IPPROTO_UDP }, { .csum_blank = 1 }, 41 },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP }, { .csum_blank = 1 }, 73 },
		/* GSO of another protocol, or of none */
		{ { .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 4000 },
		  { .csum_blank = 1, .gso_type = V4, .gso_size = 1448 },
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 4000 },
		  { .csum_blank = 1, .gso_type = V6, .gso_size = 1448 },
		  0 },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 4000 },
		  { .csum_blank = 1, .gso_type = V4, .gso_size = 1448 },
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 4000, .fragment = 0x2000 },
		  { .csum_blank = 1, .gso_type = V4, .gso_size = 1448 },
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 4000 },
		  { .csum_blank = 1, .gso_type = V4, .gso_size = 0 },
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 4000 },
		  { .csum_blank = 1, .gso_type = 3, .gso_size = 1448 },
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 4000 },
		  { .csum_blank = 1, .gso_type = V4, .gso_size = 1448 },
		  40 },
		{ { .ip_version = 0, .payload = 4000 }, { .gso_type = V4, .gso_size = 1448 }, 0 },
	};
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct netif_offload offload = cases[i].offload;
		struct packet *p;

		frame_build(&f, &cases[i].spec);
		p = packet_of(&f);
		if (cases[i].size)
			p->size = cases[i].size;
		assert_int_equal(offload_from_netif(p, &offload), VIF_DROP);
		packet_put(&pool, p);
	}
}

static void translates_gso(void **state)
{
	static const struct {
		struct frame_spec spec;
		bool csum_blank; /* some peers forget it beside GSO */
		uint8_t from, to;
	} cases[] = {
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 65535 - 54 },
		  true,
		  XEN_NETIF_GSO_TYPE_TCPV4,
		  VIRTIO_NET_HDR_GSO_TCPV4 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 1449, .tcp_options = 12 },
		  false,
		  XEN_NETIF_GSO_TYPE_TCPV4,
		  VIRTIO_NET_HDR_GSO_TCPV4 },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 60000, .n_vlan_tags = 1 },
		  true,
		  XEN_NETIF_GSO_TYPE_TCPV6,
		  VIRTIO_NET_HDR_GSO_TCPV6 },
		{ { .ip_version = 6,
		    .protocol = IPPROTO_TCP,
		    .payload = 9000,
		    .chain = long_chain },
		  false,
		  XEN_NETIF_GSO_TYPE_TCPV6,
		  VIRTIO_NET_HDR_GSO_TCPV6 },
	};
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct netif_offload offload = { .csum_blank = cases[i].csum_blank,
						 .gso_type = cases[i].from,
						 .gso_size = 1448 };
		const struct virtio_net_hdr *vnet;
		struct netif_offload back;
		struct packet *p;

		frame_build(&f, &cases[i].spec);
		p = packet_of(&f);
		vnet = packet_vnet(p);
		assert_int_equal(offload_from_netif(p, &offload), VIF_OK);
		assert_int_equal(vnet->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(vnet->gso_type, cases[i].to);
		assert_int_equal(vnet->gso_size, 1448);
		assert_int_equal(vnet->hdr_len, f.header_size);
		assert_int_equal(get_be16(p->frame + f.csum_at), frame_pseudo_sum(&f));

		/* back again, but not if it is tagged */
		if (cases[i].spec.n_vlan_tags) {
			assert_int_equal(offload_to_netif(p, &back), -EPROTO);
			packet_put(&pool, p);
			continue;
		}
		assert_int_equal(offload_to_netif(p, &back), 0);
		assert_true(back.csum_blank);
		assert_int_equal(back.gso_type, cases[i].from);
		assert_int_equal(back.gso_size, 1448);
		assert_int_equal(back.ip_version, cases[i].spec.ip_version);
		packet_put(&pool, p);
	}
}

static void one_segment_needs_no_gso(void **state)
{
	static const uint32_t payloads[] = { 0, 1, 1447, 1448, 1449 };
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(payloads); i++) {
		struct netif_offload offload = { .csum_blank = true,
						 .gso_type = XEN_NETIF_GSO_TYPE_TCPV4,
						 .gso_size = 1448 };
		bool gso = payloads[i] > 1448;
		struct packet *p;

		frame_build(&f, &(struct frame_spec){ .ip_version = 4,
						      .protocol = IPPROTO_TCP,
						      .payload = payloads[i] });
		p = packet_of(&f);
		assert_int_equal(offload_from_netif(p, &offload), VIF_OK);
		assert_int_equal(packet_vnet(p)->gso_type,
				 gso ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_NONE);
		assert_int_equal(packet_vnet(p)->gso_size, gso ? 1448 : 0);
		assert_int_equal(packet_vnet(p)->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		packet_put(&pool, p);
	}
}

/* ---- segmentation ---- */

/* Compares each frame with what offload_cut() made of the same one. */
struct cutting {
	struct packet *whole, *segment;
	uint32_t at, n;
	bool done;
};

static void cut_is_this(void *arg, const uint8_t *expected, uint32_t size)
{
	struct cutting *c = arg;
	int next;

	assert_false(c->done);
	memset(c->segment->frame, 0xa5, PACKET_FRAME_MAX);
	next = offload_cut(c->whole, c->at, c->segment);
	assert_true(next >= 0);
	assert_int_equal(c->segment->size, size);
	assert_memory_equal(c->segment->frame, expected, size);
	assert_int_equal(packet_vnet(c->segment)->flags, 0);
	assert_int_equal(packet_vnet(c->segment)->gso_type, 0);
	c->at = (uint32_t)next;
	c->done = next == 0;
	c->n++;
}

static void cuts_what_the_book_says(void **state)
{
	static const struct frame_spec specs[] = {
		{ .ip_version = 4, .payload = 64000 },
		{ .ip_version = 4, .payload = 2897, .tcp_options = 12, .n_vlan_tags = 1 },
		{ .ip_version = 4, .payload = 9001, .ip_options = 40, .tcp_options = 40 },
		{ .ip_version = 6, .payload = 65000, .tcp_options = 12 },
		{ .ip_version = 6, .payload = 3000, .chain = long_chain, .n_vlan_tags = 2 },
		{ .ip_version = 6, .payload = 1 },
	};
	static const uint16_t sizes[] = { 88, 536, 1447, 1448, 8948, 65000 };
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs) * ARRAY_SIZE(sizes); i++) {
		struct frame_spec spec = specs[i / ARRAY_SIZE(sizes)];
		struct cutting c = { .segment = packet_get(&pool) };
		uint32_t n;

		spec.protocol = IPPROTO_TCP;
		frame_build(&f, &spec);
		put_be16(f.bytes + f.transport_offset + 4, 0xffff); /* seq: wraps */
		put_be16(f.bytes + f.transport_offset + 6, 0xfe00);
		f.bytes[f.transport_offset + 13] = 0xd9; /* CWR, ECE, ACK, PSH, FIN */
		if (spec.ip_version == 4)
			put_be16(f.bytes + f.network_offset + 4, 0xfffe); /* id: wraps */
		put_be16(f.bytes + f.csum_at, frame_pseudo_sum(&f));
		c.whole = packet_of(&f);
		*packet_vnet(c.whole) = (struct virtio_net_hdr){
			.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = (spec.ip_version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
							  : VIRTIO_NET_HDR_GSO_TCPV6) |
				    (i % 2 ? VIRTIO_NET_HDR_GSO_ECN : 0),
			.gso_size = sizes[i % ARRAY_SIZE(sizes)],
			.csum_start = (uint16_t)f.transport_offset,
			.csum_offset = 16,
		};
		n = frame_complete(f.bytes, f.size, packet_vnet(c.whole), cut_is_this, &c);
		assert_int_equal(n, c.n);
		assert_true(c.done);
		packet_put(&pool, c.segment);
		packet_put(&pool, c.whole);
	}
}

static void what_is_no_tcp_gso_is_not_cut(void **state)
{
	static const struct virtio_net_hdr good = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
						    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
						    .gso_size = 500,
						    .csum_start = 34,
						    .csum_offset = 16 };
	struct virtio_net_hdr bad[6];
	static struct frame f;
	struct packet *p, *out = packet_get(&pool);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].gso_type = VIRTIO_NET_HDR_GSO_NONE;
	bad[1].gso_type = VIRTIO_NET_HDR_GSO_UDP;
	bad[2].gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	bad[3].gso_size = 0;
	bad[4].flags = 0;
	bad[5].csum_start = 84; /* a tunnel's */
	frame_build(
	    &f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 1000 });
	p = packet_of(&f);
	*packet_vnet(p) = good;
	assert_int_equal(offload_cut(p, 0, out), 500);
	assert_int_equal(offload_cut(p, 500, out), 0);
	assert_int_equal(offload_cut(p, 1001, out), -EPROTO);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		*packet_vnet(p) = bad[i];
		assert_int_equal(offload_cut(p, 0, out), -EPROTO);
	}
	packet_put(&pool, p);
	packet_put(&pool, out);
}

/* ---- virtio_net_hdr -> netif ---- */

static void says_what_the_kernel_said(void **state)
{
	enum { NEEDS = VIRTIO_NET_HDR_F_NEEDS_CSUM, VALID = VIRTIO_NET_HDR_F_DATA_VALID };
	static const struct {
		struct virtio_net_hdr vnet;
		int err;
		struct netif_offload expected;
	} cases[] = {
		{ { .flags = 0 }, 0, { .csum_blank = false } },
		{ { .flags = VALID }, 0, { .data_validated = true } },
		{ { .flags = NEEDS, .csum_start = 34, .csum_offset = 16 },
		  0,
		  { .csum_blank = true, .data_validated = true, .ip_version = 4 } },
		{ { .flags = NEEDS,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		    .gso_size = 500 },
		  0,
		  { .csum_blank = true,
		    .data_validated = true,
		    .ip_version = 4,
		    .gso_type = XEN_NETIF_GSO_TYPE_TCPV4,
		    .gso_size = 500 } },
		{ { .flags = NEEDS,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,
		    .gso_size = 500 },
		  0,
		  { .csum_blank = true,
		    .data_validated = true,
		    .ip_version = 4,
		    .gso_type = XEN_NETIF_GSO_TYPE_TCPV4,
		    .gso_size = 500 } },
		/* no word for it */
		{ { .flags = NEEDS,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_type = VIRTIO_NET_HDR_GSO_UDP,
		    .gso_size = 500 },
		  -EPROTO,
		  { .csum_blank = 0 } },
		{ { .flags = NEEDS,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_type = 5 /* UDP_L4 */,
		    .gso_size = 500 },
		  -EPROTO,
		  { .csum_blank = 0 } },
		{ { .flags = NEEDS,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV6,
		    .gso_size = 500 },
		  -EPROTO,
		  { .csum_blank = 0 } },
		{ { .flags = NEEDS,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		    .gso_size = 0 },
		  -EPROTO,
		  { .csum_blank = 0 } },
		{ { .flags = VALID, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 500 },
		  -EPROTO,
		  { .csum_blank = 0 } },
		{ { .flags = NEEDS,
		    .csum_start = 60,
		    .csum_offset = 16,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		    .gso_size = 500 },
		  -EPROTO,
		  { .csum_blank = 0 } },
		{ { .flags = NEEDS, .csum_start = 1050, .csum_offset = 16 },
		  -EPROTO,
		  { .csum_blank = 0 } },
		{ { .flags = NEEDS, .csum_start = 65535, .csum_offset = 65535 },
		  -EPROTO,
		  { .csum_blank = 0 } },
	};
	static struct frame f;

	(void)state;
	frame_build(
	    &f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP, .payload = 1000 });
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct packet *p = packet_of(&f);
		struct netif_offload got;
		int err;

		memset(&got, 0xa5, sizeof(got));
		*packet_vnet(p) = cases[i].vnet;
		err = offload_to_netif(p, &got);
		assert_int_equal(err, cases[i].err);
		if (!err) {
			assert_int_equal(got.csum_blank, cases[i].expected.csum_blank);
			assert_int_equal(got.data_validated, cases[i].expected.data_validated);
			assert_int_equal(got.gso_type, cases[i].expected.gso_type);
			assert_int_equal(got.gso_size, cases[i].expected.gso_size);
			assert_int_equal(got.ip_version, cases[i].expected.ip_version);
			assert_memory_equal(p->frame, f.bytes, f.size);
		}
		packet_put(&pool, p);
	}
}

/* A tunnel's inner checksum, which the kernel leaves to whoever takes frames from a TAP:
 * netif cannot say where it is, so it is finished here. */
static void finishes_a_tunnels_inner_checksum(void **state)
{
	static struct frame inner, outer;
	struct netif_offload got;
	struct packet *p;
	uint32_t at;

	(void)state;
	frame_build(&inner, &(struct frame_spec){
				.ip_version = 6, .protocol = IPPROTO_TCP, .payload = 333 });
	frame_build(&outer, &(struct frame_spec){ .ip_version = 4,
						  .protocol = IPPROTO_UDP,
						  .payload = 8 + inner.size });
	at = outer.header_size + 8; /* behind a VXLAN header */
	memcpy(outer.bytes + at, inner.bytes, inner.size);
	put_be16(outer.bytes + at + inner.csum_at, frame_pseudo_sum(&inner));
	p = packet_of(&outer);
	packet_vnet(p)->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	packet_vnet(p)->csum_start = (uint16_t)(at + inner.transport_offset);
	packet_vnet(p)->csum_offset = 16;
	assert_int_equal(offload_to_netif(p, &got), 0);
	assert_false(got.csum_blank);
	assert_true(frame_checksum_ok(&inner, p->frame + at));
	assert_memory_equal(p->frame, outer.bytes, at + inner.csum_at);
	packet_put(&pool, p);
}

/* A checksum at the very start of a header netif knows no field in. */
static void finishes_an_unknown_protocols_checksum(void **state)
{
	static struct frame f;
	struct netif_offload got;
	struct packet *p;

	(void)state;
	frame_build(&f, &(struct frame_spec){ .ip_version = 4, .protocol = 99, .payload = 64 });
	p = packet_of(&f);
	packet_vnet(p)->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	packet_vnet(p)->csum_start = (uint16_t)f.transport_offset;
	assert_int_equal(offload_to_netif(p, &got), 0);
	assert_false(got.csum_blank);
	assert_memory_not_equal(p->frame, f.bytes, f.size);
	packet_put(&pool, p);
}

static void finish_stays_within_the_frame(void **state)
{
	static struct frame f;

	(void)state;
	frame_build(
	    &f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 22 });
	assert_int_equal(f.size, 64);
	for (unsigned start = 0; start < 80; start++) {
		for (unsigned offset = 0; offset < 80; offset++) {
			struct packet *p = packet_of(&f);

			memset(p->frame + f.size, 0x77, 200);
			packet_vnet(p)->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
			packet_vnet(p)->csum_start = (uint16_t)start;
			packet_vnet(p)->csum_offset = (uint16_t)offset;
			assert_int_equal(offload_finish_checksum(p),
					 start + offset + 2 <= 64 ? 0 : -EPROTO);
			for (unsigned i = 64; i < 264; i++)
				assert_int_equal(p->frame[i], 0x77);
			packet_put(&pool, p);
		}
	}
}

static void finish_refuses_gso(void **state)
{
	struct packet *p = packet_get(&pool);

	(void)state;
	p->size = 1000;
	packet_vnet(p)->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	packet_vnet(p)->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	assert_int_equal(offload_finish_checksum(p), -EPROTO);
	packet_put(&pool, p);
}

#define PACKET_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_the_example_of_rfc1071),
		cmocka_unit_test(sums_a_known_ipv4_header),
		cmocka_unit_test(sums_any_size_at_any_address),
		cmocka_unit_test(sums_every_carry),
		cmocka_unit_test(sums_the_largest_frame),
		cmocka_unit_test(finds_the_transport_header),
		cmocka_unit_test(knows_frames_without_a_checksum),
		cmocka_unit_test(dont_fragment_is_no_fragment),
		cmocka_unit_test(an_ipv6_fragment_ends_the_search),
		cmocka_unit_test(counts_extension_headers),
		cmocka_unit_test(refuses_nonsense_headers),
		cmocka_unit_test(survives_truncation_at_each_byte),
		cmocka_unit_test(survives_any_bytes),
		PACKET_TEST(seeds_and_finishes_each_shape),
		PACKET_TEST(a_zero_udp_checksum_is_sent_as_ffff),
		PACKET_TEST(cuts_what_the_book_says),
		PACKET_TEST(what_is_no_tcp_gso_is_not_cut),
		PACKET_TEST(padding_does_not_spoil_a_checksum),
		PACKET_TEST(a_wrong_ip_length_does_no_harm),
		PACKET_TEST(leaves_a_source_routed_seed_alone),
		PACKET_TEST(a_plain_frame_is_not_even_looked_at),
		PACKET_TEST(drops_offload_a_frame_cannot_have),
		PACKET_TEST(translates_gso),
		PACKET_TEST(one_segment_needs_no_gso),
		PACKET_TEST(says_what_the_kernel_said),
		PACKET_TEST(finishes_a_tunnels_inner_checksum),
		PACKET_TEST(finishes_an_unknown_protocols_checksum),
		PACKET_TEST(finish_stays_within_the_frame),
		PACKET_TEST(finish_refuses_gso),
	};

	return cmocka_run_group_tests_name("offload", tests, NULL, NULL);
}
