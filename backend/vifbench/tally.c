/* SPDX-License-Identifier: MIT */
/* See tally.h. */
#include "backend/vifbench/tally.h"

enum way { FROM_GUEST, TO_GUEST, WAY_N };

static const char *const ways[WAY_N] = { "from_guest", "to_guest" };

/* Each the sum of counters of vifd's. */
static const struct {
	const char *name, *counters[2];
} counts[] = {
	{ "copies", { "grant_ops", "static_copies" } },
	{ "grant_ops", { "grant_ops" } },
	{ "nic_written", { "nic_written" } },
	{ "events", { "events" } },
	{ "notifies", { "notifies" } },
};

/* All vifs'. */
static double sum(const json_t *stats, enum way w, const char *counter)
{
	const json_t *vif;
	double all = 0;
	size_t i;

	if (!counter)
		return 0;
	json_array_foreach(json_object_get(stats, "vifs"), i, vif) {
		const json_t *way = json_object_get(vif, ways[w]);

		all += (double)json_integer_value(json_object_get(way, counter));
	}
	return all;
}

/* A vifd that was restarted began anew. */
static double moved(const json_t *before, const json_t *after, enum way w, const char *counter)
{
	return MAX(sum(after, w, counter) - sum(before, w, counter), 0.0);
}

static double count(const json_t *before, const json_t *after, enum way w, size_t c)
{
	return moved(before, after, w, counts[c].counters[0]) +
	       moved(before, after, w, counts[c].counters[1]);
}

json_t *tally_between(const json_t *before, const json_t *after, double n_packets, double n_way)
{
	json_t *out;

	if (n_packets <= 0)
		return json_null();
	out = json_object();
	for (size_t c = 0; c < ARRAY_SIZE(counts); c++)
		json_object_set_new(out, counts[c].name,
				    json_real((count(before, after, FROM_GUEST, c) +
					       count(before, after, TO_GUEST, c)) /
					      n_packets));
	for (enum way w = 0; w < WAY_N; w++) {
		double frames = moved(before, after, w, "frames"), n = n_way > 0 ? n_way : frames;
		json_t *way;

		if (n <= 0 || frames < n / 4)
			continue;
		way = json_object();
		for (size_t c = 0; c < ARRAY_SIZE(counts); c++)
			json_object_set_new(way, counts[c].name,
					    json_real(count(before, after, w, c) / n));
		json_object_set_new(out, ways[w], way);
	}
	return out;
}
