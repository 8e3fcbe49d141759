/* SPDX-License-Identifier: MIT */
/*
 * Rank 7: the outer loop of a worker: the one place in the datapath that waits.
 * One io_uring a worker, its operations restricted to the four it uses, because a
 * ring would otherwise let openat, socket and connect past a seccomp filter.
 */
#ifndef VIF_DATAPATH_URING_H
#define VIF_DATAPATH_URING_H

#include "worker.h"

struct uring_loop;

/* Makes the ring. Call on the thread that will run it: the ring takes no other.
 * 0 or -errno with the reason in why (kernel.io_uring_disabled, too old a kernel). */
int uring_open(struct worker *w, struct uring_loop **out, char *why, size_t why_size) must_check;

/* Serves until w->stop. 0, or -errno if the ring itself failed: then nothing can be closed
 * any more, the process must end. */
int uring_run(struct uring_loop *l) must_check;

/* Ends what is under way; afterwards the worker may be closed. */
void uring_close(struct uring_loop *l);

#endif
