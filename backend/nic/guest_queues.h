/* SPDX-License-Identifier: MIT */
/*
 * Rank 61: the receive queues of a device that are guests' alone, and what is changed on the
 * device for that.
 *
 * Where the device has rules of its own (rules.h), its last queues become guests': one
 * each, to which a rule directs the frames of one filter, and which the device's spreading
 * (RSS) leaves out; before these perhaps one that is vifd's own, to send by. Where it has no
 * rules, no queue is anybody's.
 *
 * What the device was before is in a struct guest_queues_record. It is kept by a map of the
 * XDP program's, as are the filters: whoever finds the program, after a crash, puts all of
 * it back.
 *
 * Owner: control.
 */
#ifndef VIF_NIC_GUEST_QUEUES_H
#define VIF_NIC_GUEST_QUEUES_H

#include "backend/nic/nic.h"

struct rules;
struct rules_ops;

struct guest_queues_record {
	uint32_t kind;	       /* of rules: 0: none, else guest_queues_kinds[kind - 1] */
	uint32_t first, n;     /* of the queues, vifd's own included */
	uint32_t flags;	       /* ETH_FLAG_* that were set */
	uint32_t n_spread;     /* the table that was; 0: the driver's own */
	uint32_t spread[4096]; /* ETHTOOL_SPREAD_MAX */
};

struct guest_queues {
	int ifindex;
	const struct rules_ops *ops; /* NULL: an XDP program picks the place */
	struct rules *rules;
	struct guest_queues_record was;
	/* as it was taken, for guest_queues_check(): */
	uint32_t n_queues, flags;
};

/*
 * Looks what the device has. Its rules may be switched on by it, nothing else changes. With
 * 'by_device', 0 only where the device has rules, queues to spare, and a spreading that can
 * be limited; -EOPNOTSUPP and others, and why. Without, it is about all its queues.
 * 'n_filters': so many guests' queues at most; 0: half of them. '*own': whether the first one is
 * to be vifd's own; it becomes false where that would leave no guest any.
 */
int guest_queues_open(struct guest_queues *q, int ifindex, bool by_device, uint32_t n_filters,
		      bool *own, char *why, size_t why_size) must_check;

/* Takes the guests' queues out of the device's spreading, and leaves VLAN tags in frames:
 * an XDP program sees no other. Call it once q->was is kept. 0 or -errno with why. */
int guest_queues_take(struct guest_queues *q, char *why, size_t why_size) must_check;

/* Whether all that still is as it was taken; the rules are not looked at. 0; -ESTALE and why:
 * somebody changed it, close it and open it anew; -errno. */
int guest_queues_check(const struct guest_queues *q, char *why, size_t why_size) must_check;

/*
 * Puts back what 'was', as far as it can be: removes the rules of the filters in the map
 * 'filters' (struct nic_filter_key, the queue from was->first on), then the rest. Logs what fails; of a device that is
 * gone there is nothing to put back.
 */
void guest_queues_put_back(int ifindex, const struct guest_queues_record *was, int filters);

/* The device stays as it is. */
void guest_queues_close(struct guest_queues *q);

#endif
