/* SPDX-License-Identifier: MIT */
/* Rank 7: what worker.c and worker_nic.c share. */
#ifndef VIF_DATAPATH_WORKER_NIC_H
#define VIF_DATAPATH_WORKER_NIC_H

#include "worker.h"

/* Tells control. */
void worker_say(struct worker *w, const struct ipc_msg *msg);

/* Takes a message about NICs and places, fds and all. False: it is about something else. */
bool worker_on_nic(struct worker *w, const struct ipc_msg *msg, const int fds[], uint32_t n_fds);

/* Tells control of the step that q's place has come to, if any. */
void worker_say_place(struct worker *w, struct queue *q);

/* Tells control if the place is to be lent to, or not any more. */
void worker_say_lending(struct worker *w, struct queue *q);

/* Tells control if q's place heard of new stations. */
void worker_say_stations(struct worker *w, struct queue *q);

#endif
