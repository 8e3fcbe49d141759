/* SPDX-License-Identifier: MIT */
/*
 * 'vifbench xen': what the emulated Xen host of tests/xen counted, in the rows of
 * 'vifbench lab': instructions instead of cycles, and sizes of the IP packet there too.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/vifbench/bench.h"
#include "backend/vifbench/load.h"

#define MIB		(1 << 20)
#define ETHERNET_HEADER 14

static const struct {
	const char *system, *name;
} names[] = {
	{ "native", "native" },
	{ "netback", "xen-netback" },
	{ "vifd", "vifd-bridge" },
};

/* What goes where; a part may be the sum of several counts. */
static const struct {
	const char *object, *key, *counts[2];
} sums[] = {
	{ "split", "xen", { "xen" } },
	{ "split", "backend kernel", { "dom0_kernel" } },
	{ "split", "vifd", { "dom0_user" } },
	{ "split", "guest", { "guest_kernel", "guest_user" } },
	{ "counts", "syscalls", { "dom0_syscalls" } },
	{ "counts", "hypercalls", { "dom0_hypercalls", "guest_hypercalls" } },
	{ "counts", "events", { "dom0_events", "guest_events" } },
	{ "counts", "string_steps", { "string_steps" } },
};

static double value(const json_t *row, const char *count, const char *which)
{
	const json_t *per_unit = json_object_get(row, "per_unit");

	return json_number_value(json_object_get(json_object_get(per_unit, count), which));
}

static const char *name_of(const json_t *row)
{
	const char *system = json_string_value(json_object_get(row, "system"));

	for (size_t i = 0; system && i < ARRAY_SIZE(names); i++)
		if (!strcmp(system, names[i].system))
			return names[i].name;
	return NULL;
}

/* Packets in a unit of the row: a MiB of a stream is many. */
static double packets_in(const json_t *row)
{
	const char *unit = json_string_value(json_object_get(row, "unit"));

	return unit && !strcmp(unit, "MiB") ? (double)MIB / LOAD_SEGMENT : 1;
}

static json_t *convert(const json_t *row, const char *name)
{
	const char *direction = json_string_value(json_object_get(row, "direction"));
	double n = packets_in(row);
	bool to_guest = direction && strstr(direction, "to_guest"), paced;
	json_int_t bytes = json_integer_value(json_object_get(row, "bytes"));
	json_t *out, *split = json_object(), *counts = json_object();
	const json_t *vifd = json_object_get(row, "vifd");

	paced = json_number_value(json_object_get(row, "gap_us")) > 0;
	for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
		double sum = value(row, sums[i].counts[0], "median");

		if (sums[i].counts[1])
			sum += value(row, sums[i].counts[1], "median");
		json_object_set_new(strcmp(sums[i].object, "split") ? counts : split, sums[i].key,
				    json_real(sum / n));
	}
	if (json_is_object(vifd)) {
		json_object_set(counts, "copies", json_object_get(vifd, "grant_ops"));
		json_object_set(counts, "grant_ops", json_object_get(vifd, "grant_ops"));
		json_object_set(counts, "notifies", json_object_get(vifd, "notifies"));
	}
	out = json_pack(
	    "{s:s, s:i, s:s, s:i, s:i, s:{s:f, s:f, s:f}, s:O?, s:O?, s:O?, s:b, s:o, s:o}", "name",
	    name, "size", (int)(n > 1 ? LOAD_STREAM : (uint32_t)(bytes - ETHERNET_HEADER)),
	    "direction", direction_name(to_guest ? RECEIVE : SEND), "burst", paced ? 1 : 0, "guests",
	    1, "instructions_per_packet", "median", value(row, "total", "median") / n, "min",
	    value(row, "total", "min") / n, "max", value(row, "total", "max") / n, "ratio_native",
	    json_object_get(json_object_get(row, "ratio"), "native"), "ratio_netback",
	    json_object_get(json_object_get(row, "ratio"), "netback"), "lost_percent",
	    json_object_get(row, "lost_percent"), "disturbed", false, "split", split, "counts",
	    counts);
	return out;
}

json_t *xen_report(const char *file, char *why, size_t why_size)
{
	json_error_t error;
	json_t *in = json_load_file(file, 0, &error), *rows = json_array();
	const json_t *row;
	size_t i;

	if (!json_is_array(json_object_get(in, "rows"))) {
		snprintf(why, why_size, "%s: %s", file, in ? "not what make bench-xen writes" : error.text);
		json_decref(in);
		json_decref(rows);
		return NULL;
	}
	json_array_foreach(json_object_get(in, "rows"), i, row) {
		const char *name = name_of(row);

		if (name)
			json_array_append_new(rows, convert(row, name));
	}
	json_decref(in);
	return json_pack("{s:s, s:{s:s, s:s, s:n}, s:o}", "bench", "xen", "machine", "cpu",
			 "an emulated Xen host", "vifd", VIFD_VERSION, "kernel", "rows", rows);
}
