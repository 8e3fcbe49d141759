/* SPDX-License-Identifier: MIT */
/* The pictures of 'vifbench report', by gnuplot (report.h). */
#include <stdlib.h>
#include <string.h>

#include "backend/vifbench/report.h"

static const struct report_load chart = { "receive", CHART_SIZE, CHART_BURST, 1 };

/* A gnuplot that will write dir/name.svg, set up. NULL: it is not to be had. */
static FILE *plot_open(const struct report *r, const char *name, const char *title,
		       const char *ylabel)
{
	FILE *p = r->plots ? popen("gnuplot", "we") : NULL;

	if (!p)
		return NULL;
	fprintf(p,
		"set terminal svg size 760,420 background 'white' font 'sans,13'\n"
		"set output '%s/%s.svg'\nset title '%s'\nset ylabel '%s'\n"
		"set grid ytics\nset yrange [0:*]\nset key top left\n",
		r->dir, name, title, ylabel);
	return p;
}

/* Closes it and puts the picture on the page. */
static void plot_close(const struct report *r, FILE *p, const char *name, const char *title)
{
	if (p && pclose(p) == 0)
		fprintf(r->out, "![%s](%s.svg)\n\n", title, name);
}

/* Bars of row[key], one a name. */
static void plot_bars(const struct report *r, const char *file, const char *title,
		      const char *const names[], size_t n, const char *key)
{
	FILE *p = plot_open(r, file, title, "times");

	if (!p)
		return;
	fprintf(p,
		"set style fill solid 0.7\nset boxwidth 0.6\nunset key\nset xtics rotate by 20 right\n"
		"$data << EOD\n");
	for (size_t i = 0; i < n; i++) {
		const json_t *row = report_row(r->json, names[i], &chart);

		if (report_number(row, NULL, key) > 0)
			fprintf(p, "%s %f\n", names[i], report_number(row, NULL, key));
	}
	fprintf(p, "EOD\nplot $data using 0:2:xtic(1) with boxes, '' using 0:2:"
		   "(sprintf('%%.1f', $2)) with labels offset 0,0.7\n");
	plot_close(r, p, file, title);
}

/* Who spent what, stacked; the generator's part, which all have, at the bottom. */
static void plot_split(const struct report *r)
{
	static const char *const parts[] = { "program", "pump",	 "vifd",
					     "guest",	"other", "not of the lab" };
	const char *title = "Who spends it: a received 1500-byte packet, generator included";
	FILE *p = plot_open(r, "split", title, "cycles");

	if (!p)
		return;
	fprintf(p, "set style data histograms\nset style histogram rowstacked\n"
		   "set style fill solid 0.7\nset boxwidth 0.6\nset xtics rotate by 20 right\n$data << "
		   "EOD\npath");
	for (size_t k = 0; k < ARRAY_SIZE(parts); k++)
		fprintf(p, " \"%s\"", parts[k]);
	for (size_t i = 0; i < REPORT_NAMES; i++) {
		const json_t *row = report_row(r->json, report_names[i], &chart);

		if (!row)
			continue;
		fprintf(p, "\n%s", report_names[i]);
		for (size_t k = 0; k < ARRAY_SIZE(parts); k++)
			fprintf(p, " %f", report_number(row, "split", parts[k]));
	}
	fprintf(p, "\nEOD\nplot for [i=2:%zu] $data using i:xtic(1) title columnheader(i)\n",
		ARRAY_SIZE(parts) + 1);
	plot_close(r, p, "split", title);
}

/* Lines, one a path, over sizes or over numbers of guests. */
struct axis {
	const char *file, *title, *label;
	const int *at;
	size_t n;
	bool guests;
};

static void plot_lines(const struct report *r, const struct axis *a)
{
	FILE *p = plot_open(r, a->file, a->title, "cycles per packet");
	const char *comma = "";

	if (!p)
		return;
	fprintf(p, "set xlabel '%s'\nset xrange [0:*]\n", a->label);
	for (size_t i = 0; i < REPORT_NAMES; i++) {
		fprintf(p, "$d%zu << EOD\n", i);
		for (size_t k = 0; k < a->n; k++) {
			struct report_load l = { "receive", a->guests ? CHART_SIZE : a->at[k],
						 CHART_BURST, a->guests ? a->at[k] : 1 };
			const json_t *row = report_row(r->json, report_names[i], &l);

			if (row)
				fprintf(p, "%d %f\n", a->at[k],
					report_number(row, "cycles_per_packet", "median"));
		}
		fprintf(p, "EOD\n");
	}
	fprintf(p, "plot ");
	for (size_t i = 0; i < REPORT_NAMES; i++) {
		if (!report_row(r->json, report_names[i], &chart))
			continue;
		fprintf(p, "%s$d%zu using 1:2 with linespoints pt 7 title '%s'", comma, i,
			report_names[i]);
		comma = ", ";
	}
	fprintf(p, "\n");
	plot_close(r, p, a->file, a->title);
}

static void plot_latency(const struct report *r)
{
	static const char *const part[] = { "p50", "p99", "p99.9" };
	const char *title = "There and back: one small datagram";
	FILE *p = plot_open(r, "latency", title, "microseconds");
	const json_t *row;
	size_t i;

	if (!p)
		return;
	fprintf(p, "set logscale y\nset yrange [1:*]\nset style data histograms\n"
		   "set style fill solid 0.7\nset xtics rotate by 20 right\n$data << EOD\npath p50 p99 "
		   "p99.9\n");
	json_array_foreach(json_object_get(r->json, "latency"), i, row) {
		fprintf(p, "%s", json_string_value(json_object_get(row, "name")));
		for (size_t k = 0; k < ARRAY_SIZE(part); k++)
			fprintf(p, " %f",
				json_number_value(
				    json_object_get(json_object_get(row, "us"), part[k])));
		fprintf(p, "\n");
	}
	fprintf(p, "EOD\nplot for [i=2:4] $data using i:xtic(1) title columnheader(i)\n");
	plot_close(r, p, "latency", title);
}

void plots_lab(const struct report *r)
{
	static const int sizes[] = { 64, 576, 1500 }, guests[] = { 1, 8 };

	plot_bars(r, "ratio", "Cost of a received 1500-byte packet, native Linux = 1", report_names,
		  REPORT_NAMES, "ratio_native");
	plot_split(r);
	plot_lines(r, &(struct axis){ "size", "Cost against size", "bytes of IP packet", sizes,
				      ARRAY_SIZE(sizes), false });
	plot_lines(r, &(struct axis){ "guests", "Cost against guests", "guests", guests,
				      ARRAY_SIZE(guests), true });
	plot_latency(r);
}

void plots_peers(const struct report *r)
{
	static const char *const rings[] = { "ring-floor", "vhost-ring", "memif-ring" };
	static const char *const paths[] = { "native", "tap-loop", "vifd-bridge", "vhost-user",
					     "memif" };

	plot_bars(r, "rings", "A 1500-byte packet through a ring, that of vifd = 1", rings,
		  ARRAY_SIZE(rings), "ratio_ring");
	plot_bars(r, "peers", "A received 1500-byte packet, native Linux = 1", paths,
		  ARRAY_SIZE(paths), "ratio_native");
}
