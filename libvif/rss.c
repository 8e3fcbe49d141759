/* SPDX-License-Identifier: MIT */
/* See rss.h. */
#include "rss.h"

#include <string.h>
#include <xen/xen.h>
#include <xen/io/ring.h>
#include <xen/io/netif.h>

static_assert(STEER_IPV4 == XEN_NETIF_CTRL_HASH_TYPE_IPV4 &&
		  STEER_IPV4_TCP == XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP &&
		  STEER_IPV6 == XEN_NETIF_CTRL_HASH_TYPE_IPV6 &&
		  STEER_IPV6_TCP == XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP,
	      "the low bits are netif.h's");
static_assert(STEER_INPUT_MAX + 4 <= STEER_KEY_SIZE, "every bit of input meets 32 bits of key");

/* The 32 bits of the key from this bit on. */
static uint32_t key_window(const uint8_t *key, uint32_t bit)
{
	uint64_t five = 0;

	for (uint32_t i = 0; i < 5; i++)
		five = five << 8 | key[bit / 8 + i];
	return (uint32_t)(five >> (8 - bit % 8));
}

static void build_bytes(struct steering_table *t, const uint8_t key[STEER_KEY_SIZE])
{
	for (uint32_t i = 0; i < STEER_INPUT_MAX; i++) {
		t->bytes[i][0] = 0;
		/* A byte's value is that of its lowest bit and of the rest, found before. */
		for (uint32_t byte = 1; byte < 256; byte++) {
			uint32_t low = (uint32_t)__builtin_ctz(byte);

			t->bytes[i][byte] =
			    t->bytes[i][byte & (byte - 1)] ^ key_window(key, i * 8 + 7 - low);
		}
	}
}

void rss_init(struct steering *s, uint32_t n_queues, const uint8_t key[STEER_KEY_SIZE])
{
	struct steering_table *own = &s->table[STEER_OWN];

	own->flags = RSS_FLAGS | STEER_UDP | STEER_ETHERNET | STEER_MIX;
	own->rss.mapping_size = 0;
	build_bytes(own, key);
	s->layout = STEER_LAYOUT;
	s->n_queues = n_queues;
	s->last = 0;
	rss_set_aside(s, 0);
	__atomic_store_n(&s->active, STEER_OWN, __ATOMIC_RELEASE);
}

void rss_set_aside(struct steering *s, uint32_t aside)
{
	__atomic_store_n(&s->aside, aside, __ATOMIC_RELAXED);
}

/* A table of the guest's that neither is in use nor, unless it must be, holds its last word. */
static uint32_t spare_table(const struct steering *s)
{
	if (s->active != STEER_OWN)
		return s->active == 1 ? 2 : 1;
	return s->last == 1 ? 2 : 1;
}

void rss_commit(struct steering *s, const struct rss *rss)
{
	bool own = rss->algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_NONE ||
		   !(rss->flags & RSS_FLAGS);
	uint32_t next = spare_table(s);
	struct steering_table *t = &s->table[next];

	assert(rss->mapping_size <= STEER_MAPPING_MAX);
	t->flags = rss->flags & RSS_FLAGS;
	t->rss = *rss;
	if (!own)
		build_bytes(t, rss->key);
	__atomic_store_n(&s->active, own ? STEER_OWN : next, __ATOMIC_RELEASE);
	__atomic_store_n(&s->last, next, __ATOMIC_RELEASE);
}

static bool rss_valid(const struct rss *rss, uint32_t n_queues)
{
	if (rss->algorithm > XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ || rss->flags & ~RSS_FLAGS ||
	    rss->mapping_size > STEER_MAPPING_MAX)
		return false;
	for (uint32_t i = 0; i < rss->mapping_size; i++)
		if (rss->mapping[i] >= n_queues)
			return false;
	return true;
}

bool rss_read(const struct steering *s, uint32_t n_queues, struct rss *out)
{
	uint32_t last = __atomic_load_n(&s->last, __ATOMIC_ACQUIRE);

	*out = (struct rss){ 0 };
	if (s->layout != STEER_LAYOUT || s->n_queues != n_queues || last >= STEER_TABLES)
		return false;
	if (last == STEER_OWN)
		return true;
	*out = s->table[last].rss;
	if (rss_valid(out, n_queues))
		return true;
	*out = (struct rss){ 0 };
	return false;
}

struct span {
	const uint8_t *bytes;
	uint32_t size;
};

static int load_span(const void *frame, uint32_t offset, void *to, uint32_t size)
{
	const struct span *span = frame;

	if (offset > span->size || size > span->size - offset)
		return -1;
	memcpy(to, span->bytes + offset, size);
	return 0;
}

uint32_t rss_hash(const struct steering *s, const uint8_t *frame, uint32_t size, uint32_t *hash)
{
	const struct steering_table *t = steer_table(s);
	const struct span span = { frame, size };
	uint32_t type;

	*hash = 0;
	if (!t || t == &s->table[STEER_OWN])
		return 0;
	*hash = steer_hash(t, &span, load_span, &type);
	return type;
}

uint32_t rss_queue(const struct steering *s, const uint8_t *frame, uint32_t size)
{
	const struct steering_table *t = steer_table(s);
	const struct span span = { frame, size };
	uint32_t type;

	return t ? steer_queue(s, t, steer_hash(t, &span, load_span, &type)) : 0;
}
