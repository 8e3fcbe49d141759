/* SPDX-License-Identifier: MIT */
/* A report as a table for people (bench.h). */
#include <string.h>

#include "backend/vifbench/bench.h"

/* A column of numbers: row[object][key], or row[key]. */
struct column {
	const char *title, *object, *key;
	int width, decimals;
};

static const struct column lab_columns[] = {
	{ "median", "cycles_per_packet", "median", 9, 0 },
	{ "min", "cycles_per_packet", "min", 9, 0 },
	{ "max", "cycles_per_packet", "max", 9, 0 },
	{ "mean", NULL, "mean_of_all_slices", 9, 0 },
	{ "xnative", NULL, "ratio_native", 8, 2 },
	{ "of vifd", "split", "vifd", 8, 0 },
	{ "kern", "in_kernel", "vifd", 5, 2 },
	{ "of guest", "split", "guest", 8, 0 },
	{ "kern", "in_kernel", "guest", 5, 2 },
	{ "copies", "counts", "copies", 6, 2 },
	{ "grants", "counts", "grant_ops", 6, 2 },
	{ "sysc", "counts", "syscalls", 6, 2 },
	{ "events", "counts", "events", 6, 2 },
	{ "notif", "counts", "notifies", 6, 2 },
	{ NULL, NULL, NULL, 0, 0 },
};

static const struct column peers_columns[] = {
	{ "median", "cycles_per_packet", "median", 9, 0 },
	{ "min", "cycles_per_packet", "min", 9, 0 },
	{ "max", "cycles_per_packet", "max", 9, 0 },
	{ "xnative", NULL, "ratio_native", 8, 2 },
	{ "xring", NULL, "ratio_ring", 6, 2 },
	{ "working", NULL, "working", 8, 0 },
	{ "of vifd", "split", "vifd", 8, 0 },
	{ "of guest", "split", "guest", 8, 0 },
	{ "of peer", "split", "peer", 8, 0 },
	{ "kern", "in_kernel", "peer", 5, 2 },
	{ NULL, NULL, NULL, 0, 0 },
};

static const struct column xen_columns[] = {
	{ "median", "instructions_per_packet", "median", 9, 0 },
	{ "min", "instructions_per_packet", "min", 9, 0 },
	{ "max", "instructions_per_packet", "max", 9, 0 },
	{ "xnative", NULL, "ratio_native", 8, 2 },
	{ "xnetback", NULL, "ratio_netback", 8, 2 },
	{ "Xen", "split", "xen", 7, 0 },
	{ "kernel", "split", "backend kernel", 7, 0 },
	{ "vifd", "split", "vifd", 7, 0 },
	{ "guest", "split", "guest", 7, 0 },
	{ "hyperc", "counts", "hypercalls", 6, 2 },
	{ "sysc", "counts", "syscalls", 6, 2 },
	{ "events", "counts", "events", 6, 2 },
	{ "lost%", NULL, "lost_percent", 6, 1 },
	{ NULL, NULL, NULL, 0, 0 },
};

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
static void print_cell(FILE *out, const json_t *row, const struct column *c)
{
	const json_t *from = c->object ? json_object_get(row, c->object) : row;
	const json_t *value = json_object_get(from, c->key);

	if (json_is_number(value))
		fprintf(out, " %*.*f", c->width, c->decimals, json_number_value(value));
	else
		fprintf(out, " %*s", c->width, "-");
}

/* 0 stands for what is not one number: the stream's size, sending without a pause. */
static void print_count(FILE *out, const json_t *row, const char *key, const char *instead, int width)
{
	int n = (int)number(row, key);

	if (n)
		fprintf(out, " %*d", width, n);
	else
		fprintf(out, " %*s", width, instead);
}

static void print_row(const json_t *row, const struct column *columns, FILE *out)
{
	fprintf(out, "%-16s", string(row, "name"));
	print_count(out, row, "size", "stream", 6);
	fprintf(out, " %-8s", string(row, "direction"));
	print_count(out, row, "burst", "any", 5);
	print_count(out, row, "guests", "-", 6);
	for (const struct column *c = columns; c->title; c++)
		print_cell(out, row, c);
	if (number(row, "lost") > 0)
		fprintf(out, " lost %.0f", number(row, "lost"));
	fprintf(out, "%s\n", json_is_true(json_object_get(row, "disturbed")) ? " disturbed" : "");
}

static void print_latency(const json_t *latency, FILE *out)
{
	const json_t *row;
	size_t i;

	if (json_array_size(latency))
		fprintf(out, "\n%-16s %8s %8s %8s   us there and back, one small datagram\n", "", "p50",
			"p99", "p99.9");
	json_array_foreach(latency, i, row) {
		const json_t *us = json_object_get(row, "us");

		fprintf(out, "%-16s %8.1f %8.1f %8.1f\n", string(row, "name"), number(us, "p50"),
			number(us, "p99"), number(us, "p99.9"));
	}
}

void table_print(const json_t *report, FILE *out)
{
	const json_t *machine = json_object_get(report, "machine"), *row;
	bool xen = !strcmp(string(report, "bench"), "xen");
	bool peers = !strcmp(string(report, "bench"), "peers");
	const struct column *columns = xen ? xen_columns : peers ? peers_columns : lab_columns;
	const json_t *sentence;
	size_t i;

	if (xen)
		fprintf(out, "%s; instructions per packet\n\n", string(machine, "cpu"));
	else
		fprintf(out, "%s, Linux %s, %.2f GHz; cycles per packet, the generator's taken off\n\n",
			string(machine, "cpu"), string(machine, "kernel"), number(machine, "hz") / 1e9);
	fprintf(out, "%-16s %6s %-8s %5s %6s", "path", "size", "way", "burst", "guests");
	for (const struct column *c = columns; c->title; c++)
		fprintf(out, " %*s", c->width, c->title);
	fputc('\n', out);
	json_array_foreach(json_object_get(report, "rows"), i, row)
		print_row(row, columns, out);
	print_latency(json_object_get(report, "latency"), out);
	json_array_foreach(json_object_get(report, "missing"), i, sentence)
		fprintf(out, "\nmissing: %s\n", json_string_value(sentence));
}
