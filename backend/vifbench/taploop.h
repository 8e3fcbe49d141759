/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: a software switch of two ports as everyone builds it: a process that reads one
 * TAP and writes another.
 */
#ifndef VIFBENCH_TAPLOOP_H
#define VIFBENCH_TAPLOOP_H

#include "base.h"

/* Makes a TAP here and one in another namespace, and starts the process between them, which
 * ends with us. Returns its pid, the caller's to kill and wait for, or -errno. */
int taploop_start(const char *near_name, const char *far_netns, const char *far_name) must_check;

#endif
