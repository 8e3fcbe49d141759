/* SPDX-License-Identifier: MIT */
/*
 * Rank 80: what the host's bridges know of the stations behind their ports, as rtnetlink
 * tells: first all of it, then each change.
 *
 * Anybody who may send into a bridge can make it learn and forget as fast as frames come. So
 * when there are too many news for a second, or the kernel had to drop some, listening stops
 * for the next: a storm costs a bounded share of control's time. All that was told is void
 * then, and told anew.
 *
 * Nothing here waits. Owner: control.
 */
#ifndef VIF_CONTROL_NEIGHBOURS_H
#define VIF_CONTROL_NEIGHBOURS_H

#include "base.h"

/* Most changes taken in a second. */
#define NEIGHBOURS_CHANGES_MAX 20000u

struct mnl_socket;
struct nlmsghdr;

struct neighbour {
	int bridge;
	int port; /* it is behind; 0: behind none, or not any more */
	uint8_t mac[6];
	uint16_t vlan; /* 0: the bridge knows of none */
};

typedef void neighbour_fn(void *arg, const struct neighbour *n);

struct neighbours {
	struct mnl_socket *nl; /* NULL: not listening */
	uint64_t not_before_ns;
	bool all_due; /* all of it is to be told */
	bool reading; /* and is being told */
	uint64_t second_ns; /* when the second began in which there were n_changes */
	uint32_t n_changes;
};

void neighbours_init(struct neighbours *n);
void neighbours_close(struct neighbours *n);

/* Tell all that is known once more. */
void neighbours_again(struct neighbours *n);

/* Readable when there are news; -1: not listening. */
int neighbours_fd(const struct neighbours *n);

/*
 * Takes news, a bounded number, each to each(). *next_ns: when to come again even if there
 * are none. Returns false if news were lost: what was told so far holds no more.
 */
bool neighbours_news(struct neighbours *n, uint64_t now_ns, neighbour_fn *each, void *arg,
		     uint64_t *next_ns) must_check;

/* One message of the kernel's, for neighbours_news() and tests. False: it is no news of a
 * bridge's. */
bool neighbours_parse(const struct nlmsghdr *nlh, struct neighbour *out) must_check;

#endif
