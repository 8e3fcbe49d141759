/* SPDX-License-Identifier: MIT */
/*
 * 'vifbench report': Markdown and SVG plots from the JSON of 'vifbench lab'
 * and 'vifbench xen'.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backend/vifbench/bench.h"

/* The load the article's chart is about: full frames, received, at saturation. */
#define CHART_SIZE  1500
#define CHART_BURST 64

static const char *const names[] = { "native", "tap-loop", "vifd-bridge", "vifd-bridge-static",
				     "vifd-mq-afxdp", "vifd-mq-model", "vifd-mq-model-static" };

struct report {
	const json_t *json;
	const char *dir;
	FILE *out; /* the page */
	bool plots; /* gnuplot is there */
};

/* ---- finding rows ---- */

static const json_t *row_of(const struct report *r, const char *name, const char *direction,
			    int size, int burst, int guests)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(r->json, "rows"), i, row) {
		const char *n = json_string_value(json_object_get(row, "name"));
		const char *d = json_string_value(json_object_get(row, "direction"));

		if (n && d && !strcmp(n, name) && !strcmp(d, direction) &&
		    json_integer_value(json_object_get(row, "size")) == size &&
		    json_integer_value(json_object_get(row, "burst")) == burst &&
		    json_integer_value(json_object_get(row, "guests")) == guests)
			return row;
	}
	return NULL;
}

static double median(const json_t *row)
{
	return json_number_value(
	    json_object_get(json_object_get(row, "cycles_per_packet"), "median"));
}

static double ratio(const json_t *row)
{
	return json_number_value(json_object_get(row, "ratio_native"));
}

/* ---- plots ---- */

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

static void plot_chart(const struct report *r)
{
	const char *title = "Cost of a received 1500-byte packet, native Linux = 1";
	FILE *p = plot_open(r, "ratio", title, "times native");

	if (!p)
		return;
	fprintf(p, "set style fill solid 0.7\nset boxwidth 0.6\nunset key\n$data << EOD\n");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const json_t *row = row_of(r, names[i], "receive", CHART_SIZE, CHART_BURST, 1);

		if (row)
			fprintf(p, "%s %f\n", names[i], ratio(row));
	}
	fprintf(p, "EOD\nplot $data using 0:2:xtic(1) with boxes, '' using 0:2:"
		   "(sprintf('%%.1f', $2)) with labels offset 0,0.7\n");
	plot_close(r, p, "ratio", title);
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
	fprintf(p, "set xlabel '%s'\n", a->label);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		fprintf(p, "$d%zu << EOD\n", i);
		for (size_t k = 0; k < a->n; k++) {
			const json_t *row = row_of(r, names[i], "receive",
						   a->guests ? CHART_SIZE : a->at[k], CHART_BURST,
						   a->guests ? a->at[k] : 1);

			if (row)
				fprintf(p, "%d %f\n", a->at[k], median(row));
		}
		fprintf(p, "EOD\n");
	}
	fprintf(p, "plot ");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!row_of(r, names[i], "receive", CHART_SIZE, CHART_BURST, 1))
			continue;
		fprintf(p, "%s$d%zu using 1:2 with linespoints pt 7 title '%s'", comma, i, names[i]);
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
		   "set style fill solid 0.7\n$data << EOD\npath p50 p99 p99.9\n");
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

/* ---- the page ---- */

static void write_verdict(const struct report *r, const char *what, const char *article,
			  const char *const rows[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const json_t *row = row_of(r, rows[i], "receive", CHART_SIZE, CHART_BURST, 1);

		fprintf(r->out, "| %s | %s | `%s` | ", what, article, rows[i]);
		if (!row)
			fprintf(r->out, "not in this report |\n");
		else if (ratio(row) > 0)
			fprintf(r->out, "%.1fx |\n", ratio(row));
		else
			fprintf(r->out, "not to be told: native was disturbed |\n");
	}
}

static void write_head(const struct report *r)
{
	static const char *const software[] = { "tap-loop", "vifd-bridge" };
	static const char *const multi_queue[] = { "vifd-mq-model-static", "vifd-mq-model",
						       "vifd-mq-afxdp" };
	const json_t *m = json_object_get(r->json, "machine");

	fprintf(r->out,
		"Measured on %s, Linux %s, vifd %s.\n\n"
		"All cycles everybody spent on the host to bring a packet from the wire to a\n"
		"program's socket in the guest, or back: kernel, backend, guest and interrupts;\n"
		"less the generator's own. Everything runs on one processor in a closed loop;\n"
		"paths are interleaved; each figure is the median of its runs. Xen's own work is\n"
		"not in it: off Xen nobody does it. `make bench-xen` counts that.\n\n"
		"| model | the article | row here | 1500 B received, bursts of 64 |\n"
		"|---|---|---|---|\n",
		json_string_value(json_object_get(m, "cpu")),
		json_string_value(json_object_get(m, "kernel")),
		json_string_value(json_object_get(m, "vifd")));
	write_verdict(r, "software bridge", "more than 5x native", software, ARRAY_SIZE(software));
	write_verdict(r, "multi-queue NIC", "about 2x native", multi_queue, ARRAY_SIZE(multi_queue));
	fputc('\n', r->out);
}

static void write_rows(const struct report *r)
{
	fprintf(r->out, "## Every row\n\n```\n");
	table_print(r->json, r->out);
	fprintf(r->out,
		"```\n\n"
		"`xnative` compares with native Linux under the same load. `of vifd` and `of guest`\n"
		"are the cycles spent in vifd's and vif-guest's processes, their system calls\n"
		"included. `grants`, `sysc`, `notif`: grant operations, the datapath's system calls\n"
		"and notifications of the guest, each a packet. A row marked `disturbed` was measured\n"
		"while something else used the processor in half of its runs or more.\n\n");
}

static void write_xen(const struct report *r)
{
	fprintf(r->out, "## On real Xen, emulated\n\n```\n");
	table_print(r->json, r->out);
	fprintf(r->out,
		"```\n\n"
		"Instructions, as cycles mean nothing under emulation: of Xen, dom0's kernel, vifd and\n"
		"the guest. `xnetback` compares with the kernel's netback in the same image. A burst of\n"
		"1 is a packet each 200 us, so that everybody sleeps in between; `any` is as fast as\n"
		"the socket takes them. `hyperc`, `sysc`, `events`: hypercalls, dom0's system calls and\n"
		"event upcalls, each a packet. tests/xen/bench/README.md says what is in and what not.\n\n");
}

static void write_lab(const struct report *r)
{
	static const int sizes[] = { 64, 576, 1500 }, guests[] = { 1, 8 };

	write_head(r);
	plot_chart(r);
	plot_lines(r, &(struct axis){ "size", "Cost against size", "bytes of IP packet", sizes,
				      ARRAY_SIZE(sizes), false });
	plot_lines(r, &(struct axis){ "guests", "Cost against guests", "guests", guests,
				      ARRAY_SIZE(guests), true });
	plot_latency(r);
	write_rows(r);
}

static bool is_xen(const json_t *report)
{
	const char *bench = json_string_value(json_object_get(report, "bench"));

	return bench && !strcmp(bench, "xen");
}

static bool have_gnuplot(void)
{
	int status = system("command -v gnuplot >/dev/null 2>&1");

	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int report_write(json_t *const reports[], size_t n, const char *dir)
{
	struct report r = { .dir = dir, .plots = have_gnuplot() };
	char page[4096];
	int err;

	if (mkdir(dir, 0777) && errno != EEXIST)
		return -errno;
	snprintf(page, sizeof(page), "%s/performance.md", dir);
	r.out = fopen(page, "we");
	if (!r.out)
		return -errno;
	if (!r.plots)
		fprintf(stderr, "vifbench: no gnuplot here: the page will have no plots\n");
	fprintf(r.out, "# Cycles per packet\n\nWritten by `vifbench report`; do not edit.\n\n");
	for (size_t i = 0; i < n; i++) {
		r.json = reports[i];
		if (is_xen(r.json))
			write_xen(&r);
		else
			write_lab(&r);
	}
	fprintf(r.out, "## Again\n\n"
		       "    make bench bench-xen    # as root; bench-quick: fewer sizes and bursts\n"
		       "    vifbench xen build/bench-xen/result.json --output build/xen.json\n"
		       "    vifbench report build/bench.json build/xen.json --directory DIR\n");
	err = ferror(r.out) ? -EIO : 0;
	if (fclose(r.out))
		err = -errno;
	return err;
}
