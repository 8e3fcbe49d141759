/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: the ways a packet can take from the wire's namespace to a program that
 * reads it from a socket, and back. Each is a set of connected pairs of sockets, one a
 * guest; what lies between them is what is measured.
 *
 *	sink		wire --veth--> XDP_DROP			   the generator alone
 *	native		wire --veth--> socket			   Linux as it is
 *	tap-loop	wire --bridge--> TAP, read, write, TAP --> socket
 *	vifd-bridge	wire --bridge--> TAP, vifd, rings, vif-guest, TAP --> socket
 *	vifd-mq-afxdp	wire --AF_XDP--> vifd, rings, vif-guest, TAP --> socket; what guests
 *			send takes the bridge
 *
 * All run inside a lab (vif-lab), which brings the wire, the bridge and the guests; what
 * else is needed is made here and goes with the lab's network namespaces, or on close.
 */
#ifndef VIFBENCH_PATH_H
#define VIFBENCH_PATH_H

#include "base.h"

#define PATH_GUESTS_MAX 8u

/* One guest's two ends. -1: not open. */
struct pair {
	int wire, guest;
};

enum path_kind {
	PATH_SINK,
	PATH_NATIVE,
	PATH_TAP_LOOP,
	PATH_VIFD_BRIDGE,
	PATH_VIFD_MQ_AFXDP,
	PATH_N
};

/* Whether this lab has the path: one whose vifd serves the wire as a NIC has the last, the
 * others the two before it. */
bool path_here(enum path_kind kind);

struct path {
	enum path_kind kind;
	uint32_t n_pairs;
	struct pair udp[PATH_GUESTS_MAX];
	struct pair tcp; /* to the first guest; a sink has none */
	int pump;	 /* pid of tap-loop's; 0: none */
};

/* As it is called in reports. */
const char *path_name(enum path_kind kind);

/* Builds the path with n_guests pairs, 1..PATH_GUESTS_MAX. 0 or -errno, the reason in
 * why. */
int path_open(struct path *p, enum path_kind kind, uint32_t n_guests, char *why, size_t why_size)
	must_check;
void path_close(struct path *p);

#endif
