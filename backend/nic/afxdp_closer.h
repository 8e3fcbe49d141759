/* SPDX-License-Identifier: MIT */
/*
 * Rank 61: a thread of the datapath's that closes sockets of AF_XDP's for its workers.
 *
 * Whoever closes the last copy of a socket that was bound waits until the kernel has nothing to do
 * with it any more (net/xdp/xsk.c xsk_unbind_dev(): synchronize_net()): some 10 ms, far longer on
 * a busy machine. Of a place lent to somebody here has to, since only then its guest's pages are
 * the guest's again. That is nobody who serves guests.
 *
 * There is one for all workers, and one socket is closed after the other: what takes long makes a
 * place's end later, and no frame. It touches the struct it is given, and no memory of a guest's
 * or of a port's.
 */
#ifndef VIF_NIC_AFXDP_CLOSER_H
#define VIF_NIC_AFXDP_CLOSER_H

#include <linux/if_xdp.h>

#include "base.h"

/* A socket's end. Its worker's; the thread's from afxdp_closer_take() until it is over. */
struct afxdp_closing {
	int socket; /* bound; the last copy of it, and nothing of it is mapped */
	/* Where the driver itself has the socket's memory it lets go of that some time after close(),
	 * by deferred work (net/xdp/xsk_buff_pool.c xp_release_deferred()). That is over when another
	 * one can be bound there: this one, to 'where'. */
	bool by_driver;
	int next; /* closed in any case */
	struct sockaddr_xdp where;
	bool over; /* atomic */
};

/* Before the first worker. 0 or -errno. */
int afxdp_closer_start(void) must_check;
/* After the last one; what it was given is over by then. */
void afxdp_closer_stop(void);

/* Takes both sockets. Never waits. */
void afxdp_closer_take(struct afxdp_closing *c);

/* Whether the kernel has nothing of the socket's any more: from then on *c is the worker's. */
bool afxdp_closing_is_over(const struct afxdp_closing *c);
/* Waits for it: for a process that serves nobody any more. */
void afxdp_closing_await(const struct afxdp_closing *c);

#endif
