/* SPDX-License-Identifier: MIT */
/*
 * Rank 5: how much a vif's guest may send: so many bytes in a window of time, xenstore's
 * "rate". The meaning is that of the kernel's netback (Linux drivers/net/xen-netback,
 * netback.c tx_add_credit() and tx_credit_exceeded(), xenbus.c xen_net_rate_changed()):
 *
 *   - a frame takes its size from the credit; one that finds too little waits for the
 *     window to end, when a window's bytes are added;
 *   - credit never exceeds a window's bytes, or 128 KiB if those are fewer: any frame
 *     passes in the end;
 *   - a window begins when credit is added, so an idle vif saves up no windows.
 *
 * There a queue has a credit of its own; here the vif has one and its queues share it,
 * whichever workers they are with: no lock, every field is one atomic word. It lies in the
 * memory control holds, and outlives the datapath.
 */
#ifndef VIF_CREDIT_H
#define VIF_CREDIT_H

#include "base.h"

#define CREDIT_BURST_BYTES 131072ull

struct credit {
	/* control writes these */
	uint64_t bytes;	    /* added a window */
	uint64_t window_ns; /* 0: no limit */
	/* the vif's workers share these */
	uint64_t remaining; /* bytes */
	uint64_t window;    /* when the window began, or will: see credit.c */
};

/* A window shorter than this is counted as several: nobody is woken more often. */
#define CREDIT_WINDOW_MIN_NS NS_PER_MS

/* Control sets the limit, at any time: 'bytes' a window of 'usec' microseconds; usec 0: no
 * limit. A wait under way ends as if its window had; credit beyond the new limit is lost. */
void credit_set(struct credit *c, uint64_t bytes, uint32_t usec, uint64_t now_ns);

/*
 * Takes 'size' bytes. False: too few remain, nothing was taken, and *until_ns is when to
 * ask again. Never waits; several threads may ask at once.
 */
bool credit_take(struct credit *c, uint32_t size, uint64_t now_ns, uint64_t *until_ns) must_check;

#endif
