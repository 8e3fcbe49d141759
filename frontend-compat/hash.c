/* SPDX-License-Identifier: MIT */
/*
 * Hashes of frames (hash.h), by netif.h's own Toeplitz code.
 */
#define XEN_NETIF_DEFINE_TOEPLITZ
#include "ring.h"

#include "frontend-compat/hash.h"

#define ETH_SIZE  14u
#define IPV4_SIZE 20u
#define IPV6_SIZE 40u
#define PORTS	  4u
#define TCP	  6

/* Where the input of a hash lies in a frame; it is contiguous without options. */
struct input {
	uint8_t ip, tcp; /* _XEN_NETIF_CTRL_HASH_TYPE_* */
	uint32_t addresses, n_addresses, transport;
	bool is_tcp;
};

static bool find_input(const uint8_t *f, uint32_t size, struct input *in)
{
	if (size < ETH_SIZE + IPV4_SIZE)
		return false;
	if (f[12] == 0x08 && f[13] == 0x00) {
		bool fragment = (f[20] & 0x3f) || f[21];

		*in = (struct input){ _XEN_NETIF_CTRL_HASH_TYPE_IPV4,
				      _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP,
				      ETH_SIZE + 12,
				      8,
				      ETH_SIZE + IPV4_SIZE,
				      f[23] == TCP };
		return f[14] == 0x45 && !(fragment && in->is_tcp);
	}
	if (f[12] == 0x86 && f[13] == 0xdd && size >= ETH_SIZE + IPV6_SIZE) {
		*in = (struct input){ _XEN_NETIF_CTRL_HASH_TYPE_IPV6,
				      _XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP,
				      ETH_SIZE + 8,
				      32,
				      ETH_SIZE + IPV6_SIZE,
				      f[20] == TCP };
		/* UDP and ICMPv6 are what comes without extension headers */
		return in->is_tcp || f[20] == 17 || f[20] == 58;
	}
	return false;
}

struct frame_hash hash_frame(const struct hash_setup *s, const uint8_t *head, uint32_t size)
{
	struct frame_hash h = { .type = HASH_TYPE_NONE };
	struct input in;
	uint32_t n;

	if (!s->flags || !find_input(head, size, &in))
		return h;
	n = in.n_addresses;
	if (in.is_tcp && s->flags & BIT(in.tcp) && size >= in.transport + PORTS) {
		h.type = in.tcp;
		n += PORTS;
	} else if (s->flags & BIT(in.ip)) {
		h.type = in.ip;
	} else {
		return h;
	}
	h.value = xen_netif_toeplitz_hash(s->key, sizeof(s->key), head + in.addresses, n);
	return h;
}

uint32_t hash_queue(const struct hash_setup *s, uint32_t value, uint32_t n_queues)
{
	return s->mapping_size ? s->mapping[value % s->mapping_size] : value % n_queues;
}
