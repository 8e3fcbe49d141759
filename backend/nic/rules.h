/* SPDX-License-Identifier: MIT */
/*
 * Rank 61: rules of a device's own: what a filter matches comes by one receive queue.
 *
 * Two kinds, as drivers have one or the other: ethtool's (ntuple) and tc's flower, carried
 * out by hardware only. Nothing about a rule is kept here: the device has it, and del() finds
 * it there, whichever process added it.
 *
 * Owner: control; each call may take a driver some milliseconds.
 */
#ifndef VIF_NIC_RULES_H
#define VIF_NIC_RULES_H

#include "backend/nic/nic.h"

struct rule {
	struct nic_filter filter;
	uint32_t queue;
};

struct rules;

struct rules_ops {
	const char *name; /* for people */

	/* Prepares the device for rules. 0; -EOPNOTSUPP: it has none of this kind; -errno; why
	 * says more. *n_free: how many more it has room for, if it says so, else UINT32_MAX. */
	int (*open)(int ifindex, struct rules **out, uint32_t *n_free, char *why, size_t why_size);

	/* The device's rules stay. NULL is accepted. */
	void (*close)(struct rules *r);

	/* 0 once the rule is there and was read back; -ENOSPC; -errno: it is not there. *where
	 * is for has(). */
	int (*add)(struct rules *r, const struct rule *rule, uint32_t *where);

	/* Whether it is there still, as it was added: reads one rule back. 0 or -errno: it is not
	 * known to be. */
	int (*has)(struct rules *r, const struct rule *rule, uint32_t where);

	/* Removes what is exactly this rule. 0, also if there is none; -errno. */
	int (*del)(struct rules *r, const struct rule *rule);
};

extern const struct rules_ops ntuple_rules, flower_rules;

#endif
