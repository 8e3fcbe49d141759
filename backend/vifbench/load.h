/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: the load: bursts of datagrams, or chunks of a TCP stream, sent and received
 * by one thread in a closed loop.
 *
 * The sender sends a burst and then reads it at the other end, blocking, so everybody who
 * carries it runs meanwhile, on the same processor: the counter's advance from the first
 * send to the last receive is the sum of what everybody spent, kernel and interrupts
 * included, with no idle time in between. What it waits for is the last datagram, which
 * has a socket of its own: nobody is woken for each of those before it.
 */
#ifndef VIFBENCH_LOAD_H
#define VIFBENCH_LOAD_H

#include "backend/vifbench/measure.h"
#include "backend/vifbench/path.h"

enum direction { RECEIVE, SEND, BOTH }; /* seen from the guest */

const char *direction_name(enum direction d);

/* A size of 0 stands for the TCP stream: LOAD_CHUNK bytes a send(), which the guest's
 * kernel and ours pass on whole. A packet is then LOAD_SEGMENT bytes of it, so that its
 * figures compare with those of full frames. */
#define LOAD_STREAM  0u
#define LOAD_CHUNK   (64u << 10)
#define LOAD_SEGMENT 1448u
/* IPv4 and UDP headers: sizes are of the IP packet. */
#define LOAD_HEADERS 28u

struct load {
	uint32_t size;	/* of the IP packet, LOAD_HEADERS..1500; or LOAD_STREAM */
	uint32_t burst; /* packets a guest in each round */
	uint32_t n_guests;
	enum direction direction;
};

struct load_result {
	uint64_t cycles;
	uint64_t n_packets; /* delivered; of a sink: sent */
	uint64_t n_lost;
};

/* Whether the path can carry this load at all. */
bool load_possible(const struct path *p, const struct load *l);

/* Runs n rounds, or fewer if they took limit_us: then the last one ends later.
 * 0, or -errno when a socket failed. Loss is a result, not an error; it costs half a second
 * each time. */
int load_run(const struct path *p, const struct load *l, uint32_t n_rounds, uint32_t limit_us,
	     struct load_result *out) must_check;

/* How long one small datagram takes to the guest and back, n times over, in cycles; fewer
 * times if that took limit_ms. */
int load_round_trips(const struct path *p, uint32_t n, uint32_t limit_ms, struct histogram *out)
	must_check;

#endif
