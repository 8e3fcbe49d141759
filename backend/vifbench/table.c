/* SPDX-License-Identifier: MIT */
/* A report as a table for people (bench.h). */
#include <string.h>

#include "backend/vifbench/bench.h"

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

/* "-" for what could not be had. */
static void print_maybe(FILE *out, const json_t *value, int width, int decimals)
{
	if (json_is_number(value))
		fprintf(out, " %*.*f", width, decimals, json_number_value(value));
	else
		fprintf(out, " %*s", width, "-");
}

static void print_row(const json_t *row, FILE *out)
{
	const json_t *cycles = json_object_get(row, "cycles_per_packet");
	const json_t *split = json_object_get(row, "split"), *counts = json_object_get(row, "counts");
	json_int_t size = json_integer_value(json_object_get(row, "size"));
	char size_text[16];

	snprintf(size_text, sizeof(size_text), size ? "%d" : "stream", (int)size);
	fprintf(out, "%-13s %6s %-8s %5d %6d %9.0f %9.0f %9.0f", string(row, "name"), size_text,
		string(row, "direction"), (int)number(row, "burst"), (int)number(row, "guests"),
		number(cycles, "median"), number(cycles, "min"), number(cycles, "max"));
	print_maybe(out, json_object_get(row, "ratio_native"), 7, 2);
	print_maybe(out, json_object_get(split, "vifd"), 8, 0);
	print_maybe(out, json_object_get(split, "guest"), 8, 0);
	print_maybe(out, json_object_get(counts, "grant_ops"), 6, 2);
	print_maybe(out, json_object_get(counts, "syscalls"), 6, 2);
	print_maybe(out, json_object_get(counts, "notifies"), 6, 2);
	if (number(row, "lost") > 0)
		fprintf(out, " lost %.0f", number(row, "lost"));
	fprintf(out, "%s\n", json_is_true(json_object_get(row, "disturbed")) ? " disturbed" : "");
}

static void print_latency(const json_t *latency, FILE *out)
{
	const json_t *row;
	size_t i;

	if (json_array_size(latency))
		fprintf(out, "\n%-13s %8s %8s %8s   us there and back, one small datagram\n", "", "p50",
			"p99", "p99.9");
	json_array_foreach(latency, i, row) {
		const json_t *us = json_object_get(row, "us");

		fprintf(out, "%-13s %8.1f %8.1f %8.1f\n", string(row, "name"), number(us, "p50"),
			number(us, "p99"), number(us, "p99.9"));
	}
}

void table_print(const json_t *report, FILE *out)
{
	const json_t *machine = json_object_get(report, "machine"), *row;
	size_t i;

	fprintf(out, "%s, Linux %s, %.2f GHz; cycles per packet, the generator's taken off\n\n",
		string(machine, "cpu"), string(machine, "kernel"), number(machine, "hz") / 1e9);
	fprintf(out, "%-13s %6s %-8s %5s %6s %9s %9s %9s %7s %8s %8s %6s %6s %6s\n", "path", "size",
		"way", "burst", "guests", "median", "min", "max", "xnative", "of vifd", "of guest",
		"grants", "sysc", "notif");
	json_array_foreach(json_object_get(report, "rows"), i, row)
		print_row(row, out);
	print_latency(json_object_get(report, "latency"), out);
}
