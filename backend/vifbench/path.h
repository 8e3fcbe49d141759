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
 *	vifd-guest-guest  a guest's socket --> TAP, vif-guest, rings, vifd, TAP --bridge-->
 *			TAP, vifd, rings, vif-guest, TAP --> another guest's
 *	vifd-bridge-static  as vifd-bridge, the guest's pages as static grants
 *	vifd-mq-afxdp	wire --AF_XDP--> vifd, rings, vif-guest, TAP --> socket; what guests
 *			send takes the bridge
 *	vifd-mq-afxdp-static	wire, a switch that stands for the device's filters, AF_XDP on a
 *			queue of the guest's own, into its pages, which are static grants; vifd,
 *			rings, vif-guest, TAP --> socket; one guest, as a limit of locked
 *			memory often has room for no more
 *	vifd-mq-model	wire --model NIC--> vifd, rings, vif-guest, TAP --> socket
 *	vifd-mq-model-static  the same, the guest's pages as static grants
 *	vhost-user	wire --bridge--> TAP, testpmd, rings, TAP --> socket (peer.h)
 *	memif		the same with memif's rings
 *
 * All run inside a lab (vif-lab), which brings the wire, the bridge and the guests; what
 * else is needed is made here and goes with the lab's network namespaces, or on close.
 */
#ifndef VIFBENCH_PATH_H
#define VIFBENCH_PATH_H

#include "backend/vifbench/pairs.h"
#include "backend/vifbench/peer.h"

#define PATH_GUESTS_MAX 8u

enum path_kind {
	PATH_SINK,
	PATH_NATIVE,
	PATH_TAP_LOOP,
	PATH_VIFD_BRIDGE,
	PATH_GUEST_GUEST,
	PATH_VIFD_BRIDGE_STATIC,
	PATH_VIFD_MQ_AFXDP,
	PATH_VIFD_MQ_AFXDP_STATIC,
	PATH_VIFD_MQ_MODEL,
	PATH_VIFD_MQ_MODEL_STATIC,
	PATH_VHOST,
	PATH_MEMIF,
	PATH_N
};

/* What stands beside each other in one lab. */
enum path_set {
	PATHS_BRIDGE,
	PATHS_BRIDGE_STATIC, /* guests with static grants */
	PATHS_AFXDP,	     /* vifd serves the wire as a NIC */
	PATHS_AFXDP_STATIC,  /* whose device has filters; guests with static grants */
	PATHS_MODEL,	     /* the wire is a model NIC's */
	PATHS_MODEL_STATIC,
	PATHS_PEERS, /* of DPDK, beside vifd's bridge */
};

/* Of the lab we are in. */
enum path_set path_set_here(void);

bool path_in_set(enum path_kind kind, enum path_set set);

static inline bool path_is_afxdp(enum path_kind kind)
{
	return kind == PATH_VIFD_MQ_AFXDP || kind == PATH_VIFD_MQ_AFXDP_STATIC;
}

static inline bool path_is_model(enum path_kind kind)
{
	return kind == PATH_VIFD_MQ_MODEL || kind == PATH_VIFD_MQ_MODEL_STATIC;
}

/* Whether it needs what may not be installed. */
static inline bool path_is_peer(enum path_kind kind)
{
	return kind == PATH_VHOST || kind == PATH_MEMIF;
}

struct path {
	enum path_kind kind;
	uint32_t n_pairs;
	struct pair udp[PATH_GUESTS_MAX];
	struct pair last[PATH_GUESTS_MAX]; /* for the last datagram of a burst */
	struct pair tcp[PATH_GUESTS_MAX]; /* a sink has none */
	int pump;	 /* pid of tap-loop's; 0: none */
	struct peer peer;
};

/* As it is called in reports. */
const char *path_name(enum path_kind kind);

struct path_wish {
	enum path_kind kind;
	uint32_t n_guests; /* 1..PATH_GUESTS_MAX; some paths have one at most */
	int cpu;	   /* for what is to stay on one from the beginning */
};

/* Builds the path. 0 or -errno, the reason in why. */
int path_open(struct path *p, const struct path_wish *wish, char *why, size_t why_size) must_check;
void path_close(struct path *p);

/* Around its use: what polls without rest does so in between only. 0 or -errno. */
int path_begin(struct path *p) must_check;
int path_end(struct path *p) must_check;

#endif
