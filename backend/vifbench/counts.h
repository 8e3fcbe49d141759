/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: what vifd does for a packet at saturation, as it counts itself: no timing,
 * so it repeats. System calls are counted by strace, where there is one.
 */
#ifndef VIFBENCH_COUNTS_H
#define VIFBENCH_COUNTS_H

#include <jansson.h>

#include "backend/vifbench/load.h"
#include "backend/vifbench/path.h"

/*
 * {"copies", "grant_ops", "nic_written", "events", "notifies", "syscalls"}, each a packet, and of all
 * but the last "from_guest" and "to_guest" alike, each a packet that went that way.
 *
 * copies: of a packet's bytes between vifd and the guest's memory, by grant operations
 * and through static grants; nic_written: frames that a NIC put into the guest's memory
 * itself; events: times the guest woke vifd; notifies: times vifd woke
 * the guest. A new object; null for what could not be had.
 */
json_t *counts_of(const struct path *p, const struct load *l);

#endif
