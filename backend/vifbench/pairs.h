/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: the two ends of a path: sockets of the same program in two namespaces.
 */
#ifndef VIFBENCH_PAIRS_H
#define VIFBENCH_PAIRS_H

#include "base.h"

/* One guest's two ends. -1: not open. */
struct pair {
	int wire, guest;
};

/* Where one guest's pair runs between. */
struct ends {
	char wire_ns[48], guest_ns[48];
	const char *wire, *guest; /* addresses */
	uint16_t port;
	bool sink;
};

/* Each fills *out; what it opened before it failed is the caller's to close. 0 or -errno. */
int pair_open_udp(const struct ends *e, struct pair *out) must_check;
int pair_open_tcp(const struct ends *e, struct pair *out) must_check;
void pair_close(struct pair *pair);

#endif
