/* SPDX-License-Identifier: MIT */
/*
 * Network namespaces by name, as ip-netns(8) keeps them (a bind mount in
 * /run/netns), and the lab's private view of the file system.
 */
#ifndef VIF_LAB_NETNS_H
#define VIF_LAB_NETNS_H

#include "lab.h"

void netns_remove(const char *name);
bool netns_exists(const char *name);

/* Makes the namespaces of the lab's dom0, wire and guests, named in the host's
 * /run/netns; the caller stays in its own. Said why on failure. */
int netns_create_lab(const struct lab *lab) must_check;

/*
 * Moves the caller into the lab's dom0: its network namespace, a mount namespace of
 * its own with a fresh /proc, /sys, /run and /var/log/xen, and the lab's names in
 * /run/netns. Precondition: PID 1 of a PID namespace. Said why on failure.
 */
int netns_enter_lab(const struct lab *lab) must_check;

/* The bridge, the wire and their addresses, from inside dom0. Said why on failure. */
int netns_configure(const struct lab *lab) must_check;

#endif
