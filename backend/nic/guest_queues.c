/* SPDX-License-Identifier: MIT */
/* See guest_queues.h. */
#include "backend/nic/guest_queues.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/bpf/nic_filter.h"
#include "backend/nic/ethtool.h"
#include "backend/nic/rules.h"
#include "log.h"

static_assert(ARRAY_SIZE(((struct guest_queues_record *)0)->spread) == ETHTOOL_SPREAD_MAX, "all");

/* What is changed of a device's flags. */
#define FLAGS (ETH_FLAG_NTUPLE | ETH_FLAG_RXVLAN)

/* Tried in this order. */
static const struct rules_ops *const kinds[] = { &ntuple_rules, &flower_rules };

/* ---- what the device has ---- */

static int find_rules(struct guest_queues *q, uint32_t *n_free, char *why, size_t why_size)
{
	char none[80];
	size_t used = 0;
	int err = -EOPNOTSUPP;

	for (uint32_t i = 0; err && i < ARRAY_SIZE(kinds); i++) {
		none[0] = '\0';
		err = kinds[i]->open(q->ifindex, &q->rules, n_free, none, sizeof(none));
		if (!err) {
			q->ops = kinds[i];
			q->was.kind = i + 1;
		} else if (used < why_size) {
			used += (size_t)snprintf(why + used, why_size - used, "%s%s",
						 used ? "; " : "", none);
		}
	}
	return err;
}

/* Whether the table is what the driver makes by itself. */
static bool is_even(const uint32_t table[], uint32_t n, uint32_t n_queues)
{
	for (uint32_t i = 0; i < n; i++)
		if (table[i] != i % n_queues)
			return false;
	return true;
}

static int look_at_spread(const struct ethtool *e, struct guest_queues_record *was,
			  uint32_t n_queues, char *why, size_t why_size)
{
	int err = ethtool_spread(e, was->spread, &was->n_spread);

	if (err)
		snprintf(why, why_size, "its spreading over queues (ethtool -x): %s",
			 strerror(-err));
	else if (is_even(was->spread, was->n_spread, n_queues))
		was->n_spread = 0;
	return err;
}

/* The last of the queues, leaving one at least for all others. */
static int choose_queues(struct guest_queues_record *was, uint32_t n_queues, uint32_t n_filters,
			 uint32_t n_free, bool *own, char *why, size_t why_size)
{
	if (n_queues < 2) {
		snprintf(why, why_size, "it has one receive queue only");
		return -EOPNOTSUPP;
	}
	was->n = n_filters ? n_filters : n_queues / 2;
	was->n = MIN(was->n, n_free);
	if (!was->n) {
		snprintf(why, why_size, "its table of rules is full");
		return -ENOSPC;
	}
	was->n = MIN(MIN(was->n + *own, n_queues - 1), NIC_QUEUES_MAX);
	*own = *own && was->n > 1;
	was->first = n_queues - was->n;
	return 0;
}

static int open_all_queues(struct guest_queues *q, uint32_t n_queues, char *why, size_t why_size)
{
	q->was.n = n_queues;
	if (n_queues <= NIC_QUEUES_MAX)
		return 0;
	snprintf(why, why_size,
		 "it has %u receive queues, at most %u are served: ethtool -L DEVICE combined %u",
		 n_queues, NIC_QUEUES_MAX, NIC_QUEUES_MAX);
	return -EOPNOTSUPP;
}

static int open_own_queues(struct guest_queues *q, const struct ethtool *e, uint32_t n_filters,
			   bool *own, char *why, size_t why_size)
{
	uint32_t n_free;
	int err = find_rules(q, &n_free, why, why_size);

	if (!err)
		err = choose_queues(&q->was, q->n_queues, n_filters, n_free, own, why, why_size);
	if (!err)
		err = look_at_spread(e, &q->was, q->n_queues, why, why_size);
	return err;
}

static void say(const char *device, const char *what, int err)
{
	if (err)
		log_warning(LOG_NOBODY, "%s: putting back %s: %s", device, what, strerror(-err));
}

static void put_back_flags(const struct ethtool *e, uint32_t was)
{
	char device[IF_NAMESIZE] = "?";
	uint32_t flags, wanted;
	int err = ethtool_flags(e, &flags);

	if (err)
		return; /* a driver without: nothing was changed */
	wanted = (flags & ~(uint32_t)FLAGS) | (was & FLAGS);
	if (wanted != flags)
		err = ethtool_set_flags(e, wanted);
	if (err) {
		if_indextoname((unsigned int)e->ifindex, device);
		say(device, "its flags", err);
	}
}

int guest_queues_open(struct guest_queues *q, int ifindex, bool by_device, uint32_t n_filters,
		      bool *own, char *why, size_t why_size)
{
	struct ethtool e;
	int err;

	memset(q, 0, sizeof(*q));
	q->ifindex = ifindex;
	err = ethtool_open(&e, ifindex);
	if (err) {
		snprintf(why, why_size, "a socket for ethtool: %s", strerror(-err));
		return err;
	}
	if (ethtool_flags(&e, &q->was.flags))
		q->was.flags = 0;
	q->n_queues = ethtool_n_queues(&e);
	err = by_device ? open_own_queues(q, &e, n_filters, own, why, why_size)
			: open_all_queues(q, q->n_queues, why, why_size);
	if (err) {
		guest_queues_close(q);
		put_back_flags(&e, q->was.flags);
	}
	ethtool_close(&e);
	return err;
}

void guest_queues_close(struct guest_queues *q)
{
	if (q->ops)
		q->ops->close(q->rules);
	q->ops = NULL;
	q->rules = NULL;
}

/* ---- what is changed ---- */

/* Evenly over the rest, as the driver would; of a table that an operator made, only what leads
 * to a guest's queue leads to another. */
static void limit(const struct guest_queues_record *was, uint32_t table[], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		table[i] = was->n_spread ? was->spread[i] : was->first;
		if (table[i] >= was->first)
			table[i] = i % was->first;
	}
}

/* Limits the spreading; or, if it is as limited, makes it what it was: if it is not, an operator
 * has changed it since. */
static int set_spread(const struct guest_queues_record *was, const struct ethtool *e, bool limited)
{
	uint32_t *table = calloc(2 * ETHTOOL_SPREAD_MAX, sizeof(*table)), n;
	uint32_t *ours = table ? table + ETHTOOL_SPREAD_MAX : NULL;
	int err = table ? ethtool_spread(e, table, &n) : -ENOMEM;

	if (!err && was->n_spread && n != was->n_spread)
		err = -ESTALE; /* another table */
	if (!err)
		limit(was, ours, n);
	if (!err && limited)
		err = ethtool_set_spread(e, ours, n);
	else if (!err && !memcmp(table, ours, n * sizeof(*table)))
		err = ethtool_set_spread(e, was->spread, was->n_spread);
	free(table);
	return err;
}

int guest_queues_take(struct guest_queues *q, char *why, size_t why_size)
{
	struct ethtool e;
	uint32_t flags;
	int err = ethtool_open(&e, q->ifindex);

	if (err)
		return err;
	if (!ethtool_flags(&e, &flags) && (flags & ETH_FLAG_RXVLAN)) {
		err = ethtool_set_flags(&e, flags & ~ETH_FLAG_RXVLAN);
		if (err)
			snprintf(why, why_size,
				 "keeping tags in frames (ethtool -K rxvlan off): %s",
				 strerror(-err));
	}
	if (!err && q->ops) {
		err = set_spread(&q->was, &e, true);
		if (err)
			snprintf(why, why_size,
				 "keeping frames off guests' queues (ethtool -X): %s",
				 strerror(-err));
	}
	if (!err && ethtool_flags(&e, &q->flags))
		q->flags = 0;
	ethtool_close(&e);
	return err;
}

/* ---- whether it stays ---- */

/* Some queue of the guests' is spread to, or it cannot be said. */
static bool is_spread_to(const struct guest_queues_record *was, const struct ethtool *e)
{
	uint32_t *table = calloc(ETHTOOL_SPREAD_MAX, sizeof(*table)), n = 0;
	bool found = !table || ethtool_spread(e, table, &n);

	for (uint32_t i = 0; !found && i < n; i++)
		found = table[i] >= was->first;
	free(table);
	return found;
}

static const char *changed(const struct guest_queues *q, const struct ethtool *e)
{
	uint32_t flags, now = ethtool_n_queues(e);

	if (now != q->n_queues)
		return "the number of its receive queues was changed (ethtool -L)";
	if (ethtool_flags(e, &flags))
		flags = 0;
	if (flags & ~q->flags & ETH_FLAG_RXVLAN)
		return "it takes VLAN tags off frames again (ethtool -K rxvlan)";
	if (q->ops && q->flags & ~flags & ETH_FLAG_NTUPLE)
		return "its filters were switched off (ethtool -K ntuple)";
	if (q->ops && is_spread_to(&q->was, e))
		return "others' frames are spread over guests' queues again (ethtool -X)";
	return NULL;
}

int guest_queues_check(const struct guest_queues *q, char *why, size_t why_size)
{
	const char *what;
	struct ethtool e;
	int err = ethtool_open(&e, q->ifindex);

	if (err) {
		snprintf(why, why_size, "a socket for ethtool: %s", strerror(-err));
		return err;
	}
	what = changed(q, &e);
	ethtool_close(&e);
	if (!what)
		return 0;
	snprintf(why, why_size, "%s", what);
	return -ESTALE;
}

/* ---- and put back ---- */

static void remove_rules(int ifindex, const char *device, const struct guest_queues_record *was,
			 int filters)
{
	const struct rules_ops *ops = kinds[was->kind - 1];
	struct nic_filter_key key;
	char why[96] = "";
	struct rules *rules;
	uint32_t n_free;
	int err = ops->open(ifindex, &rules, &n_free, why, sizeof(why));

	if (err) {
		log_warning(LOG_NOBODY, "%s: removing guests' rules: %s", device, why);
		return;
	}
	for (void *last = NULL; !bpf_map_get_next_key(filters, last, &key); last = &key) {
		struct rule rule = { .filter.vlan = key.vlan };
		uint32_t number;

		memcpy(rule.filter.mac, key.mac, sizeof(key.mac));
		if (bpf_map_lookup_elem(filters, &key, &number))
			continue;
		rule.queue = was->first + number;
		say(device, "a rule", ops->del(rules, &rule));
	}
	ops->close(rules);
}

void guest_queues_put_back(int ifindex, const struct guest_queues_record *was, int filters)
{
	char device[IF_NAMESIZE];
	struct ethtool e;
	int err;

	if (!if_indextoname((unsigned int)ifindex, device))
		return;
	if (was->kind && was->kind <= ARRAY_SIZE(kinds))
		remove_rules(ifindex, device, was, filters);
	err = ethtool_open(&e, ifindex);
	if (err) {
		say(device, "its settings", err);
		return;
	}
	if (was->kind)
		say(device, "its spreading", set_spread(was, &e, false));
	put_back_flags(&e, was->flags);
	ethtool_close(&e);
}
