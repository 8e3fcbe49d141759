/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: DPDK's testpmd, driven at its prompt: vhost-user with virtio-user, and memif
 * with memif, the other ways in which two programs of userspace share rings.
 *
 * Both ends stand in one testpmd with one forwarding thread, on the processor that
 * everything else runs on. That thread polls without rest: whatever time it has, it uses.
 *
 * Bare: what was put into a ring is taken out and put in again, a burst at a time, so
 * each packet costs one way through the ring, and nothing waits. Each byte is copied
 * once (vhost; memif's client gives its own memory, zero-copy=yes) and looked at by
 * nobody, as in floor_ring().
 *
 * Between two TAPs: TAP, ring, TAP, as vifd and vif-guest stand between theirs. Once it is
 * ready it has what time nobody else wants (SCHED_IDLE), so that polling keeps nobody waiting: what
 * it costs is what it does for packets.
 */
#ifndef VIFBENCH_PEER_H
#define VIFBENCH_PEER_H

#include <sys/types.h>

#include "base.h"

enum peer_kind { PEER_VHOST, PEER_MEMIF, PEER_N };

struct peer {
	enum peer_kind kind;
	pid_t pid;
	int in, out; /* its prompt's */
	char socket[64];
};

/* The TAPs of a peer that is not bare, made in this network namespace. */
struct peer_taps {
	const char *backend, *guest;
};

/* Pages of 2 MiB that one takes, if they are free; else it has pages of 4 KiB. */
#define PEER_HUGE_PAGES 48u
bool peer_has_huge_pages(void);

/* Starts one that runs on 'cpu' alone, without taps a bare one. 0, or -errno and the reason, such as the
 * package that is missing, in why. */
int peer_open(struct peer *p, enum peer_kind kind, const struct peer_taps *taps, int cpu, char *why,
	      size_t why_size) must_check;
void peer_close(struct peer *p);

/* Says one line and waits for the next prompt; what was said in between goes, cut to its
 * end, into 'answer' (NULL, 0: nowhere). 0, or -ETIMEDOUT, -EPIPE. */
int peer_say(struct peer *p, const char *line, char *answer, size_t size) must_check;

struct peer_load {
	uint32_t size;	/* of the frame */
	uint32_t burst; /* 1..512 */
	bool to_guest, from_guest;
};

/* Fills a bare peer's rings for the load. 0 or -errno. */
int peer_fill(struct peer *p, const struct peer_load *l) must_check;

/* What a bare peer did in one run. */
struct peer_run {
	double packets;
	double cycles;	       /* all it ran, empty polls included */
	double working_cycles; /* of its passes that moved packets: testpmd's own count */
	double strangers;   /* the share of the run it did not have the processor */
};

/* Lets it go round for run_ms. 0 or -errno; no packets: -ENODATA. */
int peer_run(struct peer *p, uint32_t run_ms, struct peer_run *out) must_check;

#endif
