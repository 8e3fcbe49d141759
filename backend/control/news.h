/* SPDX-License-Identifier: MIT */
/*
 * Rank 79: has the kernel pass over what control need not hear of bridges' stations, before it is
 * queued (backend/bpf/news.bpf.c): all but who is behind the ports that are named here, and who
 * was told to be.
 *
 * Owner: control.
 */
#ifndef VIF_CONTROL_NEWS_H
#define VIF_CONTROL_NEWS_H

#include "backend/bpf/news_filter.h"
#include "base.h"

struct news {
	int ports_fd, stations_fd; /* the program's maps; -1: there is none */
};

#define NEWS_NONE                                                                                  \
	(struct news)                                                                              \
	{                                                                                          \
		.ports_fd = -1, .stations_fd = -1                                                  \
	}

/* Has the socket 'fd' hear of answers only, until ports are named. 0 or -errno: -EPERM: not
 * allowed to us here. Some milliseconds of the kernel's work. */
int news_attach(struct news *n, int fd) must_check;
void news_detach(struct news *n);

/* Of who comes to 'port', or is in 'stations' and leaves it, is told from now on; or not. 0 or
 * -errno. */
int news_of_port(const struct news *n, int port, bool on) must_check;

/* Whatever comes next of that station is told, and with 'home' not 0 when it is at that port. 0 or
 * -errno: -E2BIG: there are too many. */
int news_of_station(const struct news *n, const struct news_station *s, int home) must_check;

#endif
