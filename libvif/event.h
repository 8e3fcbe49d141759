/* SPDX-License-Identifier: MIT */
/*
 * Rank 2: event channels. One struct events is one evtchn handle; owner: one
 * thread. A port that fired stays masked until event_unmask(), which is called
 * after the work is done (XSA-332): a storming guest costs one event a pass.
 */
#ifndef VIF_EVENT_H
#define VIF_EVENT_H

#include <xenevtchn.h>

#include "base.h"

struct events {
	xenevtchn_handle *handle;
	int fd; /* nonblocking; readable when a port fired */
	uint64_t n_sent;
};

int events_open(struct events *e) must_check;
void events_close(struct events *e);

/* Binds to the guest's unbound port; -errno, or our local port. */
int event_bind(struct events *e, uint16_t domid, evtchn_port_t remote) must_check;
void event_unbind(struct events *e, evtchn_port_t port);

/* The next port that fired, now masked; -EAGAIN if none; -errno. Never blocks. */
int event_next(struct events *e) must_check;
int event_unmask(struct events *e, evtchn_port_t port);
int event_send(struct events *e, evtchn_port_t port);

#endif
