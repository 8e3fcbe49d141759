/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: network namespaces and what is put into them. The plumbing is iproute2's: it
 * is not what is measured, and Xen's hotplug scripts need it as well.
 */
#ifndef VIFBENCH_PLUMB_H
#define VIFBENCH_PLUMB_H

#include "base.h"

/* Writes the words and what 'err' means into why. Returns err. */
int plumb_say(char *why, size_t size, int err, const char *fmt, ...) printf_like(4, 5);

/* Runs "ip" with the words of fmt. 0 or -EIO; ip itself says why. */
int plumb_ip(const char *fmt, ...) printf_like(1, 2);

/* A new namespace with its loopback up. 0 or -EIO. */
int plumb_make_netns(const char *netns) must_check;

/* Moves this process into a namespace. 0 or -errno. */
int plumb_enter(const char *netns) must_check;

/* A socket that belongs to the namespace, wherever its user is; or -errno. */
int plumb_socket(const char *netns, int type) must_check;

#endif
