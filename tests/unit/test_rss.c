/* SPDX-License-Identifier: MIT */
/*
 * Hashes on the published vectors and against netif.h's own example; which headers count;
 * how a hash becomes a queue; and that settings change all at once.
 */
#include "tests/unit/unit.h"

#include "rss.h"
#include "tests/unit/frames.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/io/ring.h>
#define XEN_NETIF_DEFINE_TOEPLITZ
#include <xen/io/netif.h>

#define TOEPLITZ XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ

/* Microsoft, "Verifying the RSS Hash Calculation". */
static const uint8_t microsoft_key[STEER_KEY_SIZE] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static const struct vector {
	int family;
	const char *destination;
	uint16_t destination_port;
	const char *source;
	uint16_t source_port;
	uint32_t ip, tcp;
} vectors[] = {
	{ AF_INET, "161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178 },
	{ AF_INET, "65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea },
	{ AF_INET, "12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a },
	{ AF_INET, "209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f },
	{ AF_INET, "202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2 },
	{ AF_INET6, "3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5,
	  0x40207d3d },
	{ AF_INET6, "ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c,
	  0xdde51bbf },
	{ AF_INET6, "fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251,
	  0x4b61e985, 0x02d1feef },
};

static struct steering steering;
static uint8_t own_key[STEER_KEY_SIZE];

static int setup(void **state)
{
	struct random r = { 42 };

	(void)state;
	for (size_t i = 0; i < sizeof(own_key); i++)
		own_key[i] = (uint8_t)random_next(&r);
	memset(&steering, 0, sizeof(steering));
	rss_init(&steering, 4, own_key);
	return 0;
}

static void set(uint32_t flags)
{
	struct rss rss = { .algorithm = TOEPLITZ, .flags = flags };

	memcpy(rss.key, microsoft_key, sizeof(rss.key));
	rss_commit(&steering, &rss);
}

static void vector_build(struct frame *f, const struct vector *v, struct frame_spec spec)
{
	uint32_t addresses, size = v->family == AF_INET ? 4 : 16;

	spec.ip_version = v->family == AF_INET ? 4 : 6;
	frame_build(f, &spec);
	addresses = f->network_offset + (v->family == AF_INET ? 12 : 8);
	assert_int_equal(inet_pton(v->family, v->source, f->bytes + addresses), 1);
	assert_int_equal(inet_pton(v->family, v->destination, f->bytes + addresses + size), 1);
	put_be16(f->bytes + f->transport_offset, v->source_port);
	put_be16(f->bytes + f->transport_offset + 2, v->destination_port);
}

static void check(const struct frame *f, uint32_t type, uint32_t hash)
{
	uint32_t found;

	assert_int_equal(rss_hash(&steering, f->bytes, f->size, &found), type);
	assert_int_equal(found, hash);
}

/* ---- the hash ---- */

static void hashes_microsofts_vectors(void **state)
{
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		bool four = v->family == AF_INET;

		vector_build(&f, v, (struct frame_spec){ .protocol = IPPROTO_TCP, .payload = 7 });
		set(RSS_FLAGS);
		check(&f, four ? STEER_IPV4_TCP : STEER_IPV6_TCP, v->tcp);
		set(STEER_IPV4 | STEER_IPV6);
		check(&f, four ? STEER_IPV4 : STEER_IPV6, v->ip);
		vector_build(&f, v, (struct frame_spec){ .protocol = IPPROTO_UDP, .payload = 7 });
		set(RSS_FLAGS);
		check(&f, four ? STEER_IPV4 : STEER_IPV6, v->ip);
	}
}

static void hashes_as_the_example_in_netif_h(void **state)
{
	struct random r = { 7 };
	static struct frame f;

	(void)state;
	for (unsigned n = 0; n < 500; n++) {
		struct rss rss = { .algorithm = TOEPLITZ, .flags = RSS_FLAGS };
		uint32_t key_size = random_below(&r, STEER_KEY_SIZE + 1);
		bool four = n % 2;
		uint8_t *input;

		for (uint32_t i = 0; i < key_size; i++)
			rss.key[i] = (uint8_t)random_next(&r);
		rss_commit(&steering, &rss);
		frame_build(&f, &(struct frame_spec){ .ip_version = four ? 4 : 6,
						      .protocol = IPPROTO_TCP });
		/* Without options the input is one piece of the packet. */
		input = f.bytes + f.network_offset + (four ? 12 : 8);
		for (uint32_t i = 0; i < (four ? 12u : 36u); i++)
			input[i] = (uint8_t)random_next(&r);
		check(&f, four ? STEER_IPV4_TCP : STEER_IPV6_TCP,
		      xen_netif_toeplitz_hash(rss.key, key_size, input, four ? 12 : 36));
	}
}

/* ---- which headers count ---- */

static const uint8_t chain[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS, IPPROTO_NONE };
static const uint8_t chain_ah[] = { IPPROTO_HOPOPTS, IPPROTO_AH, IPPROTO_NONE };
static const uint8_t chain_fragment[] = { IPPROTO_FRAGMENT, IPPROTO_NONE };

static void the_most_specific_type_allowed_wins(void **state)
{
	static const struct {
		struct frame_spec spec;
		uint32_t flags, type;
	} cases[] = {
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, RSS_FLAGS, STEER_IPV4_TCP },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, STEER_IPV4_TCP, STEER_IPV4_TCP },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, STEER_IPV4, STEER_IPV4 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, STEER_IPV6 | STEER_IPV6_TCP, 0 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP }, 0, 0 },
		{ { .ip_version = 4, .protocol = IPPROTO_UDP }, RSS_FLAGS, STEER_IPV4 },
		{ { .ip_version = 4, .protocol = IPPROTO_UDP }, STEER_IPV4_TCP, 0 },
		{ { .ip_version = 4, .protocol = IPPROTO_ICMP }, RSS_FLAGS, STEER_IPV4 },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP }, RSS_FLAGS, STEER_IPV6_TCP },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP }, STEER_IPV6, STEER_IPV6 },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP }, STEER_IPV4 | STEER_IPV4_TCP, 0 },
		{ { .ip_version = 6, .protocol = IPPROTO_UDP }, STEER_IPV6_TCP, 0 },
		/* A fragment has no ports: neither the first, nor the others, nor the last. */
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .fragment = 0x2000 },
		  RSS_FLAGS,
		  STEER_IPV4 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .fragment = 0x2010 },
		  RSS_FLAGS,
		  STEER_IPV4 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .fragment = 0x0100 },
		  RSS_FLAGS,
		  STEER_IPV4 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .fragment = 0x2000 },
		  STEER_IPV4_TCP,
		  0 },
		{ { .ip_version = 4, .protocol = IPPROTO_TCP, .fragment = 0x4000 },
		  RSS_FLAGS,
		  STEER_IPV4_TCP }, /* "don't fragment" is no fragment */
		{ { .ip_version = 6, .protocol = IPPROTO_TCP, .chain = chain_fragment },
		  RSS_FLAGS,
		  STEER_IPV6 },
		{ { .ip_version = 6, .protocol = IPPROTO_TCP, .chain = chain_ah },
		  RSS_FLAGS,
		  STEER_IPV6 },
		{ { .ip_version = 0 }, RSS_FLAGS, 0 },
	};
	static struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t hash;

		frame_build(&f, &cases[i].spec);
		set(cases[i].flags);
		assert_int_equal(rss_hash(&steering, f.bytes, f.size, &hash), cases[i].type);
		assert_int_equal(hash != 0, cases[i].type != 0);
	}
}

static void looks_behind_tags_options_and_extensions(void **state)
{
	static const struct frame_spec specs[] = {
		{ .n_vlan_tags = 1 },
		{ .n_vlan_tags = 2 },
		{ .ip_options = 4 },
		{ .ip_options = 40 },
		{ .chain = chain },
		{ .chain = chain, .n_vlan_tags = 2 },
		{ .tcp_options = 12, .ip_options = 8, .n_vlan_tags = 1 },
	};
	static struct frame f;

	(void)state;
	set(RSS_FLAGS);
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(vectors); j++) {
			const struct vector *v = &vectors[j];
			struct frame_spec spec = specs[i];
			bool four = v->family == AF_INET;

			spec.protocol = IPPROTO_TCP;
			vector_build(&f, v, spec);
			check(&f, four ? STEER_IPV4_TCP : STEER_IPV6_TCP, v->tcp);
		}
	}
}

/* A header that says it is shorter than any, and extensions without end. */
static void nonsense_headers_have_what_is_left(void **state)
{
	static struct frame f;
	uint8_t *ip;
	uint32_t hash;

	(void)state;
	set(RSS_FLAGS);
	frame_build(&f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP });
	f.bytes[f.network_offset] = 0x44;
	check(&f, 0, 0);

	frame_build(
	    &f, &(struct frame_spec){ .ip_version = 6, .protocol = IPPROTO_TCP, .payload = 200 });
	ip = f.bytes + f.network_offset;
	memset(ip + 40, 0, 200); /* hop-by-hop after hop-by-hop */
	ip[6] = IPPROTO_HOPOPTS;
	assert_int_equal(rss_hash(&steering, f.bytes, f.size, &hash), STEER_IPV6);
}

/* Each prefix in memory of just its size, so that the sanitizer sees a byte too many. */
static void a_cut_frame_has_what_is_whole(void **state)
{
	static struct frame f;

	(void)state;
	set(RSS_FLAGS);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		bool four = vectors[i].family == AF_INET;
		uint32_t network_end, hash, type;

		vector_build(&f, &vectors[i],
			     (struct frame_spec){
				 .protocol = IPPROTO_TCP, .n_vlan_tags = i % 3, .chain = chain });
		network_end = f.network_offset + (four ? 20 : 40);
		for (uint32_t size = 0; size <= f.size; size++) {
			uint8_t *cut = malloc(size ? size : 1);

			memcpy(cut, f.bytes, size);
			type = rss_hash(&steering, cut, size, &hash);
			free(cut);
			if (size < network_end)
				assert_int_equal(type, 0);
			else if (size < f.transport_offset + 4)
				assert_int_equal(type, four ? STEER_IPV4 : STEER_IPV6);
			else
				assert_int_equal(type, four ? STEER_IPV4_TCP : STEER_IPV6_TCP);
		}
	}
}

/* ---- from hash to queue ---- */

/* netif.h SET_HASH_FLAGS: 0 "disables hashing and the backend is free to choose". */
static void without_a_type_the_choice_is_ours(void **state)
{
	struct rss rss = { .algorithm = TOEPLITZ, .mapping_size = 1 };
	static struct frame f;
	uint32_t hash, seen = 0;

	(void)state;
	rss_commit(&steering, &rss);
	for (size_t i = 0; i < 5; i++) {
		vector_build(&f, &vectors[i], (struct frame_spec){ .protocol = IPPROTO_TCP });
		assert_int_equal(rss_hash(&steering, f.bytes, f.size, &hash), 0);
		seen |= BIT(rss_queue(&steering, f.bytes, f.size));
	}
	assert_true(seen & (seen - 1)); /* not all on one queue */
}

static void the_mapping_decides(void **state)
{
	struct rss rss = { .algorithm = TOEPLITZ, .flags = STEER_IPV4_TCP, .mapping_size = 7 };
	static struct frame f, arp;

	(void)state;
	memcpy(rss.key, microsoft_key, sizeof(rss.key));
	for (uint32_t i = 0; i < 7; i++)
		rss.mapping[i] = (i * 3 + 1) % 4;
	rss_commit(&steering, &rss);
	frame_build(&arp, &(struct frame_spec){ .ip_version = 0, .payload = 46 });
	/* No hash is a hash of 0: netback's xenvif_select_queue() */
	assert_int_equal(rss_queue(&steering, arp.bytes, arp.size), rss.mapping[0]);
	for (size_t i = 0; i < 5; i++) {
		vector_build(&f, &vectors[i], (struct frame_spec){ .protocol = IPPROTO_TCP });
		assert_int_equal(rss_queue(&steering, f.bytes, f.size),
				 rss.mapping[vectors[i].tcp % 7]);
	}

	rss.mapping_size = 0;
	rss_commit(&steering, &rss);
	for (size_t i = 0; i < 5; i++) {
		vector_build(&f, &vectors[i], (struct frame_spec){ .protocol = IPPROTO_TCP });
		assert_int_equal(rss_queue(&steering, f.bytes, f.size), vectors[i].tcp % 4);
	}
}

static void our_own_hash_spreads_flows_and_keeps_each(void **state)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	static struct frame f;

	(void)state;
	for (uint32_t n_queues = 1; n_queues <= 16; n_queues++) {
		for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
			uint32_t flows[16] = { 0 }, hash;

			rss_init(&steering, n_queues, own_key);
			frame_build(&f, &(struct frame_spec){ .ip_version = 4 + 2 * (n_queues % 2),
							      .protocol = protocols[i],
							      .payload = 100 });
			for (uint32_t port = 0; port < 1024; port++) {
				uint32_t queue;

				put_be16(f.bytes + f.transport_offset, 32768 + port);
				queue = rss_queue(&steering, f.bytes, f.size);
				f.bytes[f.transport_offset +
					50]++; /* payload: nothing to do with it */
				assert_int_equal(rss_queue(&steering, f.bytes, f.size), queue);
				assert_true(queue < n_queues);
				flows[queue]++;
			}
			for (uint32_t q = 0; q < n_queues; q++)
				assert_in_range(flows[q], 1024 / n_queues / 2, 1024 / n_queues * 2);
			assert_int_equal(rss_hash(&steering, f.bytes, f.size, &hash), 0);
		}
	}
}

/* As random a choice would: 4 * (3/4)^16 of the keys leave a queue without. */
static void sixteen_ports_in_a_row_find_four_queues(void **state)
{
	struct random r = { 9 };
	static struct frame f;
	unsigned n_missed = 0;

	(void)state;
	frame_build(&f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP });
	for (unsigned n = 0; n < 1000; n++) {
		uint8_t key[STEER_KEY_SIZE];
		uint32_t seen = 0;

		for (size_t i = 0; i < sizeof(key); i++)
			key[i] = (uint8_t)random_next(&r);
		rss_init(&steering, 4, key);
		for (uint32_t port = 0; port < 16; port++) {
			put_be16(f.bytes + f.transport_offset, 40000 + 2 * port);
			seen |= BIT(rss_queue(&steering, f.bytes, f.size));
		}
		n_missed += seen != 0xf;
	}
	assert_in_range(n_missed, 10, 80);
}

static void what_is_not_ip_goes_by_its_addresses(void **state)
{
	uint32_t frames[4] = { 0 };
	static struct frame f;

	(void)state;
	frame_build(&f, &(struct frame_spec){ .ip_version = 0, .payload = 46 });
	for (uint32_t i = 0; i < 256; i++) {
		f.bytes[11] = (uint8_t)i;
		frames[rss_queue(&steering, f.bytes, f.size)]++;
	}
	for (uint32_t q = 0; q < 4; q++)
		assert_in_range(frames[q], 32, 128);
}

/* What the queue set aside had is spread over the others, and nothing else moves. */
static void only_the_flows_of_a_queue_set_aside_move(void **state)
{
	static struct frame f;

	(void)state;
	frame_build(&f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_UDP });
	for (uint32_t n_queues = 2; n_queues <= 16; n_queues++) {
		uint32_t aside = n_queues * 5 / 7;
		uint32_t moved[16] = { 0 }, n_moved = 0;

		rss_init(&steering, n_queues, own_key);
		for (uint32_t port = 0; port < 4096; port++) {
			uint32_t before, now;

			put_be16(f.bytes + f.transport_offset, port);
			rss_set_aside(&steering, 0);
			before = rss_queue(&steering, f.bytes, f.size);
			rss_set_aside(&steering, aside + 1);
			now = rss_queue(&steering, f.bytes, f.size);
			assert_true(now < n_queues && now != aside);
			if (before != aside)
				assert_int_equal(now, before);
			moved[now] += before == aside;
			n_moved += before == aside;
		}
		for (uint32_t q = 0; q < n_queues; q++)
			if (q != aside)
				assert_in_range(moved[q], n_moved / (n_queues - 1) / 3,
						n_moved / (n_queues - 1) * 3);
	}
}

/* A guest's own mapping is its own; the only queue cannot be set aside; nor one there is not. */
static void setting_a_queue_aside_changes_nothing_else(void **state)
{
	static struct frame f;
	struct rss rss = { .algorithm = TOEPLITZ, .flags = RSS_FLAGS, .mapping_size = 1 };

	(void)state;
	frame_build(&f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP });
	rss.mapping[0] = 2;
	rss_commit(&steering, &rss);
	rss_set_aside(&steering, 3);
	assert_int_equal(rss_queue(&steering, f.bytes, f.size), 2);
	rss_init(&steering, 1, own_key);
	rss_set_aside(&steering, 1);
	assert_int_equal(rss_queue(&steering, f.bytes, f.size), 0);
	rss_init(&steering, 4, own_key);
	assert_int_equal(steering.aside, 0);
	rss_set_aside(&steering, UINT32_MAX);
	assert_true(rss_queue(&steering, f.bytes, f.size) < 4);
}

/* ---- settings ---- */

static void a_commit_leaves_the_table_in_use_alone(void **state)
{
	static struct steering_table before;
	struct rss rss = { .algorithm = TOEPLITZ, .flags = RSS_FLAGS, .mapping_size = 128 };

	(void)state;
	for (uint32_t n = 0; n < 6; n++) {
		uint32_t in_use = steering.active;

		before = steering.table[in_use];
		memset(rss.key, (int)n + 1, sizeof(rss.key));
		memset(rss.mapping, 0, sizeof(rss.mapping));
		rss.mapping[n] = 1;
		rss_commit(&steering, &rss);
		assert_int_not_equal(steering.active, in_use);
		assert_memory_equal(&before, &steering.table[in_use], sizeof(before));
		assert_int_equal(steering.table[steering.active].rss.mapping[n], 1);
	}
}

static void without_an_algorithm_our_own_hash_counts_again(void **state)
{
	const struct rss none = { .algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_NONE,
				  .flags = RSS_FLAGS };
	static struct frame f;
	uint32_t queue[16], hash;

	(void)state;
	frame_build(&f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_UDP });
	for (uint32_t i = 0; i < ARRAY_SIZE(queue); i++) {
		put_be16(f.bytes + f.transport_offset, i);
		queue[i] = rss_queue(&steering, f.bytes, f.size);
	}
	set(RSS_FLAGS);
	assert_int_equal(rss_hash(&steering, f.bytes, f.size, &hash), STEER_IPV4);
	rss_commit(&steering, &none);
	for (uint32_t i = 0; i < ARRAY_SIZE(queue); i++) {
		put_be16(f.bytes + f.transport_offset, i);
		assert_int_equal(rss_queue(&steering, f.bytes, f.size), queue[i]);
	}
	check(&f, 0, 0);
}

/* Also what does not count yet: a guest may set the algorithm last. */
static void the_last_word_is_found_again(void **state)
{
	struct rss rss = { .flags = STEER_IPV4, .mapping_size = 3 }, found;

	(void)state;
	assert_true(rss_read(&steering, 4, &found));
	assert_int_equal(found.flags | found.mapping_size, 0);
	for (uint32_t n = 0; n < 8; n++) {
		rss.algorithm = n & 2 ? TOEPLITZ : XEN_NETIF_CTRL_HASH_ALGORITHM_NONE;
		rss.key[n] = (uint8_t)(n + 1);
		rss.mapping[1] = n % 4;
		rss_commit(&steering, &rss);
		assert_true(rss_read(&steering, 4, &found));
		assert_memory_equal(&found, &rss, sizeof(rss));
		assert_int_equal(steering.active == STEER_OWN, !rss.algorithm);
	}
	rss_init(&steering, 4, own_key);
	assert_true(rss_read(&steering, 4, &found));
	assert_int_equal(found.algorithm | found.flags | found.mapping_size, 0);
}

/* The map is the datapath's to write: what control reads there it believes nothing of. */
static void nonsense_is_not_found_again(void **state)
{
	const struct rss good = { .algorithm = TOEPLITZ, .flags = RSS_FLAGS, .mapping_size = 128 };
	static struct steering bad;
	struct rss found;
	uint32_t *const spoilt[] = { &bad.layout, &bad.n_queues, &bad.last, &bad.table[1].rss.algorithm,
				     &bad.table[1].rss.flags, &bad.table[1].rss.mapping_size,
				     &bad.table[1].rss.mapping[127] };

	(void)state;
	rss_commit(&steering, &good);
	assert_int_equal(steering.last, 1);
	for (size_t i = 0; i < ARRAY_SIZE(spoilt); i++) {
		bad = steering;
		assert_true(rss_read(&bad, 4, &found));
		*spoilt[i] = 0x1004;
		assert_false(rss_read(&bad, 4, &found));
		assert_int_equal(found.algorithm | found.flags | found.mapping_size, 0);
	}
	bad = steering;
	assert_false(rss_read(&bad, 3, &found));
}

/* The map is the datapath's to write: whatever it holds, a reader stays within it. */
static void a_map_of_nonsense_harms_nobody(void **state)
{
	static struct frame f;
	uint32_t hash;

	(void)state;
	frame_build(&f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP });
	memset(&steering, 0xff, sizeof(steering));
	assert_int_equal(rss_queue(&steering, f.bytes, f.size), 0);
	assert_int_equal(rss_hash(&steering, f.bytes, f.size, &hash), 0);
	steering.active = 2; /* with mappings and a size of all ones */
	assert_int_equal(rss_queue(&steering, f.bytes, f.size), 0);
	steering.n_queues = 0;
	assert_int_equal(rss_queue(&steering, f.bytes, f.size), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(hashes_microsofts_vectors, setup),
		cmocka_unit_test_setup(hashes_as_the_example_in_netif_h, setup),
		cmocka_unit_test_setup(the_most_specific_type_allowed_wins, setup),
		cmocka_unit_test_setup(looks_behind_tags_options_and_extensions, setup),
		cmocka_unit_test_setup(nonsense_headers_have_what_is_left, setup),
		cmocka_unit_test_setup(a_cut_frame_has_what_is_whole, setup),
		cmocka_unit_test_setup(without_a_type_the_choice_is_ours, setup),
		cmocka_unit_test_setup(the_mapping_decides, setup),
		cmocka_unit_test_setup(our_own_hash_spreads_flows_and_keeps_each, setup),
		cmocka_unit_test_setup(sixteen_ports_in_a_row_find_four_queues, setup),
		cmocka_unit_test_setup(what_is_not_ip_goes_by_its_addresses, setup),
		cmocka_unit_test_setup(only_the_flows_of_a_queue_set_aside_move, setup),
		cmocka_unit_test_setup(setting_a_queue_aside_changes_nothing_else, setup),
		cmocka_unit_test_setup(a_commit_leaves_the_table_in_use_alone, setup),
		cmocka_unit_test_setup(without_an_algorithm_our_own_hash_counts_again, setup),
		cmocka_unit_test_setup(the_last_word_is_found_again, setup),
		cmocka_unit_test_setup(nonsense_is_not_found_again, setup),
		cmocka_unit_test_setup(a_map_of_nonsense_harms_nobody, setup),
	};

	return cmocka_run_group_tests_name("rss", tests, NULL, NULL);
}
