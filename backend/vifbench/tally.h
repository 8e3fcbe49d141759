/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: what vifd's own counters come to, a packet.
 */
#ifndef VIFBENCH_TALLY_H
#define VIFBENCH_TALLY_H

#include <jansson.h>

#include "base.h"

/*
 * Between two answers of vifd's to "stats", all vifs together, divided by n_packets:
 *
 *	{"copies", "grant_ops", "nic_written", "events", "notifies",
 *	 "from_guest": {the same}, "to_guest": {the same}}
 *
 * copies: of a packet's bytes between vifd and the guest's memory, by grant operations and
 * through static grants; nic_written: frames that a NIC put into the guest's memory itself;
 * events: times the guest woke vifd; notifies: times vifd woke the guest. A way's are
 * divided by n_way packets, and left out if hardly anything went that way: the
 * acknowledgements of a stream, a neighbour found anew. n_way of 0: the frames that vifd
 * counted there. A new object; null if n_packets is 0. Pure.
 */
json_t *tally_between(const json_t *before, const json_t *after, double n_packets, double n_way);

#endif
