/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: the bridge and the stations behind a NIC: each way what one does not see itself.
 *
 * Frames that come by a place pass by the bridge, which so would forget who sent them, and
 * flood what the guests answer to every port. The NIC's worker notes the stations
 * (backend/stations.h); here the bridge is told of a new one at once, and again of those
 * still heard of before it would forget them: what the frames themselves would have done, no
 * more.
 *
 * Whom the bridge knows to be behind the NIC, the worker is told, for what guests send.
 *
 * Trust: the worker's word on who sent what. It reads every frame, so this gives it nothing,
 * and it costs control a bounded time.
 *
 * Owner: control.
 */
#ifndef VIF_CONTROL_FDB_H
#define VIF_CONTROL_FDB_H

#include "base.h"

struct control;
struct nic;

/* Of a NIC. */
struct fdb {
	int bridge;	    /* of which the worker was told who is behind the NIC; 0: of none */
	int port;	    /* as which the NIC stands there */
	bool news;	    /* the worker says that there are new stations, or not all were told */
	uint32_t from;	    /* of them, where the next look begins */
	uint64_t looked_ns; /* for new ones; for all */
	uint64_t told_ns;
};

/* The NIC's worker is about to open it. */
void fdb_nic_opens(struct control *c, struct nic *n);

/* Hears what bridges know, tells them what is due. Returns when it wants to be called next. */
uint64_t fdb_step(struct control *c, uint64_t now_ns);

/* The worker of NIC number 'nic' says that it noted a new station. */
void fdb_on_worker(struct control *c, uint32_t nic);

#endif
