/* SPDX-License-Identifier: MIT */
/*
 * Rank 1: how much waits for a guest that takes nothing: at most GATE_BYTES a queue
 * (XSA-392; Linux drivers/net/xen-netback, common.h XENVIF_RX_QUEUE_BYTES). One text,
 * compiled twice: into the program the kernel runs for each frame that is about to enter a
 * TAP's queue (backend/bpf/gate.bpf.c), and into tests that play the kernel.
 *
 * struct gate is the content of a map both sides see, a part for each queue of the TAP.
 * The program counts what it lets in, the queue's worker what has left the queue: to the
 * guest, or dropped. What is between waits, in the kernel or read ahead. What the program
 * refuses the kernel drops before it costs anything, and it is counted here.
 *
 * The counts may drift apart: a frame let in that the kernel loses all the same, one that
 * came past the program (XDP), a worker that died. Whenever the worker finds the TAP empty
 * it knows better and corrects 'taken' (queue_gate.c). And should nobody find it empty
 * because nothing is let in: when nothing was taken for GATE_PROBE_NS, one frame enters
 * whatever the counts say, and wakes the worker.
 */
#ifndef VIF_GATE_H
#define VIF_GATE_H

#include <linux/types.h>

#define GATE_QUEUES 16u
#define GATE_BYTES  (512u * 1024u)

/* The least a frame counts for, so that frames are bounded as well. */
#define GATE_COST_MIN 60u
/* Frames the TAP's own queue must hold, for the bytes to be what bounds it. */
#define GATE_FRAMES (GATE_BYTES / GATE_COST_MIN + 64u)

#define GATE_PROBE_NS 20000000000ull

struct gate_queue {
	/* the program's, on any CPU: added to atomically */
	__u64 entered; /* cost of what was let in */
	__u64 refused_frames;
	__u64 refused_bytes;
	__u64 probe_ns; /* since when nothing was taken, as far as refused frames know */
	__u64 probe_taken;
	__u64 from_uplink; /* frames of what was let in that came by 'uplink' */
	/* control's */
	__u64 uplink; /* ifindex of a port of the TAP's bridge; 0: none is of interest */
	__u64 fill;
	/* the worker's */
	__u64 taken; /* cost of what has left the queue */
	__u64 limit; /* of entered - taken; 0: nothing enters. At first control's. */
	__u64 fill2[6];
};

struct gate {
	struct gate_queue queue[GATE_QUEUES];
};

#define GATE_INLINE  static inline __attribute__((always_inline, unused))
#define GATE_LOAD(x) (*(const volatile __u64 *)&(x))

/* What a frame of 'size' bytes counts for. */
GATE_INLINE __u64 gate_cost(__u32 size)
{
	return size < GATE_COST_MIN ? GATE_COST_MIN : size;
}

/* Bytes that wait; negative while the counts have drifted. */
GATE_INLINE __s64 gate_waiting(const struct gate_queue *g)
{
	return (__s64)(GATE_LOAD(g->entered) - GATE_LOAD(g->taken));
}

/* For a frame that is too much: whether it is let in to see if anybody is there. */
GATE_INLINE int gate_probes(struct gate_queue *g, __u64 now_ns)
{
	__u64 taken = GATE_LOAD(g->taken), since = GATE_LOAD(g->probe_ns);

	if (since && GATE_LOAD(g->probe_taken) == taken && now_ns - since < GATE_PROBE_NS)
		return 0;
	*(volatile __u64 *)&g->probe_ns = now_ns;
	if (since && GATE_LOAD(g->probe_taken) == taken)
		return 1;
	*(volatile __u64 *)&g->probe_taken = taken;
	return 0;
}

/* Whether a frame of 'size' bytes enters the queue; counted either way. now_ns() is asked
 * only about frames that are too much. */
GATE_INLINE int gate_enter(struct gate_queue *g, __u32 size, __u64 (*now_ns)(void))
{
	__u64 limit = GATE_LOAD(g->limit), cost = gate_cost(size);

	if (gate_waiting(g) + (__s64)cost > (__s64)limit && (!limit || !gate_probes(g, now_ns()))) {
		__sync_fetch_and_add(&g->refused_frames, 1);
		__sync_fetch_and_add(&g->refused_bytes, size);
		return 0;
	}
	__sync_fetch_and_add(&g->entered, cost);
	return 1;
}

/* For a frame that was let in, and that a port of the bridge received. */
GATE_INLINE void gate_came_by(struct gate_queue *g, __u32 port)
{
	if (port && GATE_LOAD(g->uplink) == port)
		__sync_fetch_and_add(&g->from_uplink, 1);
}

#endif
