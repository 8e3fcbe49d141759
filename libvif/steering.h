/* SPDX-License-Identifier: MIT */
/*
 * Rank 1: which queue of a vif a frame belongs to. One text, compiled twice: into the
 * program the kernel runs for a TAP (backend/bpf/steer.bpf.c), and into rss.c for whoever
 * wants a frame's hash. So what a guest is told of a frame is what steered it.
 *
 * struct steering is the content of a map both sides see. Table STEER_OWN is ours and
 * written once: a keyed hash that keeps every flow on one queue. The other two take turns
 * in holding what the guest asked for on its control ring: its writer (rss_commit()) fills
 * the one not in use, then points 'active' at it, so no frame meets a half-written table.
 *
 * Our own table can be told to keep off one of the queues ('aside'): what would go there is
 * spread over the others, by what is left of its hash, and every other flow stays where it is.
 *
 * The kernel keeps the map as long as the TAP: a vifd that takes a TAP over finds there what
 * the guest of its live rings has set, and flows stay where they were.
 *
 * The hash is Toeplitz (netif.h "Hash algorithms"; Microsoft, "RSS Hashing Functions"),
 * with a table of its 256 values for each byte of input: one load and one xor a byte.
 *
 * What is hashed follows netif.h "Hash types", and Linux's xen-netback
 * (hash.c:xenvif_set_skb_hash) where that is silent: of the types allowed the most specific
 * the frame has; ports behind IPv4 options and IPv6 extension headers count; a fragment, the
 * first one too, has no ports. Unlike there, tunnels are not looked into, VLAN tags are
 * looked through, and a frame too short for its headers counts as what is whole of it.
 *
 * Trust: the frame is anybody's bytes, read through a checked load each time. The map is
 * written by the datapath: whatever it holds, the kernel's verifier bounds what this does.
 */
#ifndef VIF_STEERING_H
#define VIF_STEERING_H

#include <linux/types.h>

#define STEER_KEY_SIZE	  40  /* bytes: what Linux takes (XEN_NETBK_MAX_HASH_KEY_SIZE) */
#define STEER_INPUT_MAX	  36  /* bytes: two IPv6 addresses, two ports */
#define STEER_MAPPING_MAX 128 /* entries: Linux's XEN_NETBK_MAX_HASH_MAPPING_SIZE */
#define STEER_TABLES	  3
#define STEER_LAYOUT	  2 /* another one after every change here that an older map misses */
#define STEER_OWN	  0 /* index of our own table */

/* Bits of 'flags' and a hash's type: netif.h's XEN_NETIF_CTRL_HASH_TYPE_*, then ours. */
#define STEER_IPV4     (1u << 0)
#define STEER_IPV4_TCP (1u << 1)
#define STEER_IPV6     (1u << 2)
#define STEER_IPV6_TCP (1u << 3)
#define STEER_UDP      (1u << 16) /* ports of UDP and SCTP as of TCP, where that is allowed */
#define STEER_ETHERNET (1u << 17) /* a frame without another type: its two addresses */
#define STEER_MIX      (1u << 18) /* no type: our own table, whose hash is mixed first */

/*
 * What a guest has set, as netif.h's control requests name it. Zeroed is a vif before its
 * first request. The values are checked by whoever takes the requests: flags of netif.h's
 * only, mapping_size <= STEER_MAPPING_MAX, each mapping[] below the number of queues.
 */
struct rss {
	__u32 algorithm;	  /* XEN_NETIF_CTRL_HASH_ALGORITHM_* */
	__u32 flags;		  /* XEN_NETIF_CTRL_HASH_TYPE_* */
	__u32 mapping_size;	  /* 0: the queue is hash % n_queues */
	__u8 key[STEER_KEY_SIZE]; /* a shorter one is padded with 0 */
	__u32 mapping[STEER_MAPPING_MAX];
};

struct steering_table {
	__u32 flags; /* hash types allowed */
	struct rss rss;
	__u32 bytes[STEER_INPUT_MAX][256]; /* [position][byte]: its part of the hash */
};

struct steering {
	/* control's: set before the first frame */
	__u32 layout;
	__u32 ifindex; /* the TAP's, in the network namespace of this inode */
	__u64 netns;
	__u32 n_queues;
	/* control's, at any time: 1 + the queue our own table keeps frames off; 0: none */
	__u32 aside;
	/* rss_commit()'s */
	__u32 active; /* index of the table in use */
	__u32 last;   /* index of the table with the guest's last word, in use or not; 0: none */
	struct steering_table table[STEER_TABLES];
};

#define STEER_INLINE static inline __attribute__((always_inline))

/* Copies frame[offset..offset+size) to 'to'. 0, or another value: the frame is shorter. */
typedef int (*steer_load)(const void *frame, __u32 offset, void *to, __u32 size);

#ifdef __clang__
#define STEER_UNROLL _Pragma("unroll")
#else
#define STEER_UNROLL _Pragma("GCC unroll 36")
#endif

/* The part that n bytes at 'position' of the input have in the hash. n is a constant. */
STEER_INLINE __u32 steer_toeplitz(const struct steering_table *t, __u32 position, const __u8 *in,
				  __u32 n)
{
	__u32 hash = 0;

	STEER_UNROLL
	for (__u32 i = 0; i < n; i++)
		hash ^= t->bytes[position + i][in[i]];
	return hash;
}

/* Whether the ports of this protocol may be hashed. TCP, UDP and SCTP begin with them. */
STEER_INLINE int steer_takes_ports(__u32 flags, __u32 tcp_type, __u8 protocol)
{
	return flags & tcp_type &&
	       (protocol == 6 || (flags & STEER_UDP && (protocol == 17 || protocol == 132)));
}

STEER_INLINE __u32 steer_ipv4(const struct steering_table *t, const void *frame, steer_load load,
			      __u32 at, __u32 *type)
{
	__u8 ip[20], ports[4];
	__u32 hash;

	if (!(t->flags & (STEER_IPV4 | STEER_IPV4_TCP)) || load(frame, at, ip, sizeof(ip)) ||
	    (ip[0] & 0xf) < 5)
		return 0;
	hash = steer_toeplitz(t, 0, ip + 12, 8);
	/* No fragment: neither more of them nor an offset. */
	if (steer_takes_ports(t->flags, STEER_IPV4_TCP, ip[9]) && !(ip[6] & 0x3f) && !ip[7] &&
	    !load(frame, at + (ip[0] & 0xf) * 4u, ports, sizeof(ports))) {
		*type = STEER_IPV4_TCP;
		return hash ^ steer_toeplitz(t, 8, ports, sizeof(ports));
	}
	if (!(t->flags & STEER_IPV4))
		return 0;
	*type = STEER_IPV4;
	return hash;
}

#define STEER_EXTENSIONS_MAX 8

/* Skips hop-by-hop (0), routing (43) and destination options (60), as Linux's dissector. */
STEER_INLINE __u32 steer_skip_extensions(const void *frame, steer_load load, __u32 at,
					 __u8 *protocol)
{
	__u8 extension[2];

	for (__u32 i = 0; i < STEER_EXTENSIONS_MAX; i++) {
		if (*protocol != 0 && *protocol != 43 && *protocol != 60)
			break;
		if (load(frame, at, extension, sizeof(extension)))
			break;
		*protocol = extension[0];
		at += (extension[1] + 1u) * 8;
	}
	return at;
}

STEER_INLINE __u32 steer_ipv6(const struct steering_table *t, const void *frame, steer_load load,
			      __u32 at, __u32 *type)
{
	__u8 ip[40], ports[4], protocol;
	__u32 hash;

	if (!(t->flags & (STEER_IPV6 | STEER_IPV6_TCP)) || load(frame, at, ip, sizeof(ip)))
		return 0;
	hash = steer_toeplitz(t, 0, ip + 8, 32);
	protocol = ip[6];
	at = steer_skip_extensions(frame, load, at + sizeof(ip), &protocol);
	if (steer_takes_ports(t->flags, STEER_IPV6_TCP, protocol) &&
	    !load(frame, at, ports, sizeof(ports))) {
		*type = STEER_IPV6_TCP;
		return hash ^ steer_toeplitz(t, 32, ports, sizeof(ports));
	}
	if (!(t->flags & STEER_IPV6))
		return 0;
	*type = STEER_IPV6;
	return hash;
}

/* The frame's hash, and of which type it is: 0 and a hash of 0, if it has none. */
STEER_INLINE __u32 steer_hash(const struct steering_table *t, const void *frame, steer_load load,
			      __u32 *type)
{
	__u8 ethernet[14];
	__u32 ethertype, hash = 0, at = sizeof(ethernet);

	*type = 0;
	if (load(frame, 0, ethernet, sizeof(ethernet)))
		return 0;
	ethertype = (__u32)ethernet[12] << 8 | ethernet[13];
	for (__u32 i = 0; i < 2 && (ethertype == 0x8100 || ethertype == 0x88a8); i++) {
		__u8 tag[4];

		if (load(frame, at, tag, sizeof(tag)))
			break;
		ethertype = (__u32)tag[2] << 8 | tag[3];
		at += sizeof(tag);
	}
	if (ethertype == 0x0800)
		hash = steer_ipv4(t, frame, load, at, type);
	else if (ethertype == 0x86dd)
		hash = steer_ipv6(t, frame, load, at, type);
	if (*type || !(t->flags & STEER_ETHERNET))
		return hash;
	*type = STEER_ETHERNET;
	return steer_toeplitz(t, 0, ethernet, 12);
}

/* The table in use; NULL: the map holds nonsense. BPF has no load-acquire, and needs none:
 * what is read next is found through what was read here. */
STEER_INLINE const struct steering_table *steer_table(const struct steering *s)
{
#ifdef __bpf__
	__u32 active = *(const volatile __u32 *)&s->active;
#else
	__u32 active = __atomic_load_n(&s->active, __ATOMIC_ACQUIRE);
#endif

	return active < STEER_TABLES ? &s->table[active] : (const struct steering_table *)0;
}

/*
 * Toeplitz is linear: flows that differ in four bits of a port, as those of one program do,
 * miss half of four queues with one key in eight. So our own hash is mixed before it is cut
 * down (MurmurHash3's finalizer); a guest's mapping wants it as it is.
 */
STEER_INLINE __u32 steer_mix(__u32 hash)
{
	hash = (hash ^ hash >> 16) * 0x85ebca6bu;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
	return hash ^ hash >> 16;
}

/* The queue our own table gives a mixed hash: not the one that is kept off, if there is another. */
STEER_INLINE __u32 steer_own_queue(const struct steering *s, __u32 hash)
{
	__u32 aside = *(const volatile __u32 *)&s->aside, n = s->n_queues, queue, other;

	queue = n ? hash % n : 0;
	if (queue + 1 != aside || n < 2)
		return queue;
	other = hash / n % (n - 1);
	return other + (other >= queue);
}

/* The queue of a frame with this hash (0: it has none; so netback). */
STEER_INLINE __u32 steer_queue(const struct steering *s, const struct steering_table *t, __u32 hash)
{
	__u32 size = t->rss.mapping_size;

	if (t->flags & STEER_MIX)
		return steer_own_queue(s, steer_mix(hash));
	/* The mask is for the kernel's verifier, which does not follow the remainder. */
	if (size > 0)
		hash = t->rss.mapping[hash % size & (STEER_MAPPING_MAX - 1)];
	return s->n_queues ? hash % s->n_queues : 0;
}

#endif
