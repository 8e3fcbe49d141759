/* SPDX-License-Identifier: MIT */
/*
 * Rank 80: who is behind the NICs, as the host's bridges know and rtnetlink tells: first all of
 * them, then each change.
 *
 * Anybody who may send into a bridge can make it learn and forget as fast as frames come. The
 * kernel queues for us only what is of the NICs' ports (news.h), so what guests' ports learn is
 * no matter, and a station that goes to and fro is told of once a second. Where it could not
 * be told at once that one came back, it is found when all are told again, TOLD_AGAIN_NS later.
 *
 * For what is left there is a bound: who sends by the wire of a NIC's can have its bridge learn as
 * well. When there are too many news for a second, or the kernel had to drop some, listening stops
 * for the next: a storm costs a bounded share of control's time. All that was told is void
 * then, and told anew.
 *
 * Who is told of is asked for once more when whatever comes next is sure to be told, so what is
 * told is never older than the last news (neighbours.c, tell_of()).
 *
 * Nothing here waits. Owner: control.
 */
#ifndef VIF_CONTROL_NEIGHBOURS_H
#define VIF_CONTROL_NEIGHBOURS_H

#include "backend/control/news.h"
#include "base.h"

/* Most changes taken in a second. */
#define NEIGHBOURS_CHANGES_MAX 20000u

struct mnl_socket;
struct nlmsghdr;
struct rtnl;

struct neighbour {
	int bridge;
	int port; /* it is behind; 0: behind none, or not any more */
	uint8_t mac[6];
	uint16_t vlan; /* 0: the bridge knows of none */
};

typedef void neighbour_fn(void *arg, const struct neighbour *n);

struct neighbours {
	struct rtnl *rtnl;     /* for questions of ours */
	struct mnl_socket *nl; /* NULL: not listening */
	struct news news;
	bool refused; /* the kernel lets us have no filter of news: nobody is behind a NIC */
	uint64_t not_before_ns;
	struct {
		int ifindex; /* 0: none */
		bool due;    /* who is behind it is to be told */
	} port[NEWS_PORTS_MAX];
	bool reading;	    /* of one of them all are being told */
	uint64_t told_ns;   /* when last all were asked for */
	uint64_t again_ns;  /* to tell all again; UINT64_MAX: no need */
	uint64_t second_ns; /* when the second began in which there were n_changes */
	uint32_t n_changes;
};

/* Somebody may have come back to a NIC's port without being told of: how long until all are told
 * again. */
#define NEIGHBOURS_AGAIN_NS (10 * NS_PER_S)

void neighbours_init(struct neighbours *n, struct rtnl *rtnl);
void neighbours_close(struct neighbours *n);

/* From now on who is behind port 'ifindex' is told, from the beginning; or not any more. Of ports
 * there are NEWS_PORTS_MAX at most. */
void neighbours_of_port(struct neighbours *n, int ifindex, bool on);

/* Whether 'bridge' knows 'mac' to be behind 'port', in no VLAN. If so it is told when it is not any
 * more. */
bool neighbours_knows(struct neighbours *n, int bridge, int port, const uint8_t mac[6]);

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
