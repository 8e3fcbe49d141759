/* SPDX-License-Identifier: MIT */
/*
 * The frontend's counters as one line of JSON.
 */
#ifndef FRONTEND_STATS_H
#define FRONTEND_STATS_H

#include "frontend-compat/netfront.h"

/* Writes them to 'fd'. 0 or -errno. */
int stats_write(const struct netfront *nf, int fd) must_check;

/* Replaces 'path' by them: a reader sees the old file or the new one, never a part. */
int stats_replace(const struct netfront *nf, const char *path) must_check;

#endif
