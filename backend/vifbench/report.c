/* SPDX-License-Identifier: MIT */
/*
 * 'vifbench report': Markdown, and plots (plots.c), from the JSON of 'vifbench lab',
 * 'vifbench peers' and 'vifbench xen'.
 */
#include "backend/vifbench/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backend/vifbench/bench.h"

/* What the same command may differ by the second time, unless it says so. */
#define AGREES_WITHIN 0.05

const char *const report_names[REPORT_NAMES] = {
	"native",	 "tap-loop",	  "vifd-bridge",	  "vifd-bridge-static",
	"vifd-mq-afxdp", "vifd-mq-afxdp-static", "vifd-mq-model", "vifd-mq-model-static",
	"vifd-guest-guest",
};

/* ---- rows ---- */

static bool is(const json_t *row, const char *key, const char *value)
{
	const char *s = json_string_value(json_object_get(row, key));

	return s && !strcmp(s, value);
}

const json_t *report_row(const json_t *report, const char *name, const struct report_load *l)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(report, "rows"), i,
			   row) if (is(row, "name", name) && is(row, "direction", l->direction) &&
				    report_number(row, NULL, "size") == l->size &&
				    report_number(row, NULL, "burst") == l->burst &&
				    report_number(row, NULL, "guests") == l->guests) return row;
	return NULL;
}

double report_number(const json_t *row, const char *object, const char *key)
{
	return json_number_value(json_object_get(object ? json_object_get(row, object) : row, key));
}

static bool disturbed(const json_t *row)
{
	return json_is_true(json_object_get(row, "disturbed"));
}

/* ---- a lab's page ---- */

static void write_ratio(const struct report *r, const json_t *row)
{
	const json_t *range = json_object_get(row, "ratio_range");
	double again = report_number(row, NULL, "ratio_again");

	fprintf(r->out, "%.1fx", report_number(row, NULL, "ratio_native"));
	if (json_array_size(range) == 2)
		fprintf(r->out, " (%.1f to %.1f)", json_number_value(json_array_get(range, 0)),
			json_number_value(json_array_get(range, 1)));
	if (again > 0)
		fprintf(r->out, "; again %.1fx", again);
	fprintf(r->out, "%s |\n", disturbed(row) ? ", disturbed" : "");
}

static void write_verdict(const struct report *r, const char *what, const char *article,
			  const char *const rows[], size_t n)
{
	const struct report_load l = { "receive", CHART_SIZE, CHART_BURST, 1 };

	for (size_t i = 0; i < n; i++) {
		const json_t *row = report_row(r->json, rows[i], &l);

		fprintf(r->out, "| %s | %s | `%s` | ", what, article, rows[i]);
		if (!row)
			fprintf(r->out, "not in this report |\n");
		else if (report_number(row, NULL, "ratio_native") <= 0)
			fprintf(r->out, "not to be told: disturbed |\n");
		else
			write_ratio(r, row);
	}
}

/* What the page is worth. */
static void write_disturbed(const struct report *r)
{
	size_t n = 0, i;
	const json_t *row;

	json_array_foreach(json_object_get(r->json, "rows"), i, row)
		n += disturbed(row);
	if (n > i / 4)
		fprintf(r->out,
			"**%zu of %zu rows were disturbed by other work on this machine: their cycles\n"
			"are not known well, their counts are right. Measure again when it is quiet.**\n\n",
			n, i);
}

static void write_head(const struct report *r)
{
	static const char *const software[] = { "tap-loop", "vifd-bridge", "vifd-bridge-static" };
	static const char *const multi_queue[] = { "vifd-mq-model-static", "vifd-mq-model",
						   "vifd-mq-afxdp-static", "vifd-mq-afxdp" };
	const json_t *m = json_object_get(r->json, "machine");

	fprintf(r->out,
		"Measured on %s, Linux %s, vifd %s.\n\n"
		"All cycles everybody spent on the host to bring a packet from the wire to a\n"
		"program's socket in the guest, or back: kernel, backend, guest and interrupts;\n"
		"less the generator's own. Everything runs on one processor in a closed loop;\n"
		"paths are measured in turns, slice by slice of a millisecond. A slice in which\n"
		"somebody else had the processor, or the core's other thread, does not count; of the\n"
		"quiet ones a lab's figure is the mean of the cheaper half, and a row's is the median\n"
		"of several labs made one after the other. Behind a ratio, the middle of all labs,\n"
		"stands the range in which that is with 95 %% confidence. Xen's own work is not in it:\n"
		"off Xen nobody does it. `make bench-xen` counts that.\n\n"
		"| model | the article | row here | 1500 B received, bursts of 64 |\n"
		"|---|---|---|---|\n",
		json_string_value(json_object_get(m, "cpu")),
		json_string_value(json_object_get(m, "kernel")),
		json_string_value(json_object_get(m, "vifd")));
	write_verdict(r, "software bridge", "more than 5x native", software, ARRAY_SIZE(software));
	write_verdict(r, "multi-queue NIC", "about 2x native", multi_queue,
		      ARRAY_SIZE(multi_queue));
	fprintf(
	    r->out,
	    "\nThe article's guests sat behind a hypervisor's copies and interrupts, and its NIC\n"
	    "was hardware. Here a guest is a process (`vif-guest`) that hands each frame to its\n"
	    "kernel by one more system call on one more TAP; the table of who spends it tells how\n"
	    "much of a ratio that is. `vifd-mq-model`'s hardware is a thread whose cycles are "
	    "told\n"
	    "and left out; what its cable costs the kernel is in.\n\n");
}

/* A part's cycles, and the kernel's of those. */
static void write_part(FILE *out, const json_t *row, const char *part)
{
	double all = report_number(row, "split", part);
	const json_t *share = json_object_get(json_object_get(row, "in_kernel"), part);

	if (all < 1)
		fprintf(out, " – |");
	else if (json_is_number(share))
		fprintf(out, " %.0f / %.0f |", all * json_number_value(share),
			all * (1 - json_number_value(share)));
	else
		fprintf(out, " %.0f |", all);
}

static void write_split(const struct report *r, const char *direction)
{
	static const char *const parts[] = { "program", "pump", "vifd", "guest", "nic" };
	const struct report_load l = { direction, CHART_SIZE, CHART_BURST, 1 };

	fprintf(r->out,
		"\n| %s | cost | generator, application | TAP loop | vifd | guest | the NIC |\n"
		"|---|---|---|---|---|---|---|\n",
		direction);
	for (size_t i = 0; i < REPORT_NAMES; i++) {
		const json_t *row = report_row(r->json, report_names[i], &l);

		if (!row)
			continue;
		fprintf(r->out, "| `%s` | %.0f |", report_names[i],
			report_number(row, "cycles_per_packet", "median"));
		for (size_t k = 0; k < ARRAY_SIZE(parts); k++)
			write_part(r->out, row, parts[k]);
		fprintf(r->out, "\n");
	}
}

static void write_splits(const struct report *r)
{
	fprintf(
	    r->out,
	    "## Who spends it\n\n"
	    "Cycles a packet of 1500 B in bursts of 64, kernel / user. The program's own hold\n"
	    "the generator, which the cost leaves out, and all that the kernel does in its\n"
	    "system calls: the bridge, the wire, the socket. The NIC's are no part of the cost; of\n"
		"what is sent they hold the wire's far end as well, which is in native's cost: there\n"
		"the model NIC's is between what stands here and that with the NIC's added.\n");
	write_split(r, "receive");
	write_split(r, "send");
	fputc('\n', r->out);
}

/* One line of counts, of an object that holds them. */
static void write_counts_of(const struct report *r, const char *name, const char *way,
			    const json_t *counts)
{
	static const char *const keys[] = { "copies",	"grant_ops", "nic_written",
					    "syscalls", "events",    "notifies" };

	fprintf(r->out, "| `%s` | %s |", name, way);
	for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
		const json_t *value = json_object_get(counts, keys[k]);

		if (json_is_number(value))
			fprintf(r->out, " %.3f |", json_number_value(value));
		else
			fprintf(r->out, " – |");
	}
	fprintf(r->out, "\n");
}

static void write_counts(const struct report *r)
{
	static const char *const directions[] = { "receive", "send", "both" };

	fprintf(
	    r->out,
	    "## Counts at saturation\n\n"
	    "Each a packet of 1500 B in bursts of 64; they repeat on any machine. *copies* are of\n"
	    "a packet's bytes between vifd and the guest's memory, *grant operations* those of\n"
	    "them that Xen makes, *by the NIC* what it wrote into the guest's own pages, *system\n"
	    "calls* the datapath's, *events* the guest's to vifd,\n"
	    "*notifies* vifd's to the guest. Xen is asked for copies and events by system calls\n"
	    "too, which the hosted Xen serves without one: `make bench-xen` counts hypercalls.\n\n"
	    "| path | direction | copies | grant operations | by the NIC | system calls | events | "
	    "notifies |\n"
	    "|---|---|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < REPORT_NAMES; i++)
		for (size_t d = 0; d < ARRAY_SIZE(directions); d++) {
			const struct report_load l = { directions[d], CHART_SIZE, CHART_BURST, 1 };
			const json_t *row = report_row(r->json, report_names[i], &l);
			const json_t *counts = json_object_get(row, "counts");

			if (!json_is_object(counts))
				continue;
			write_counts_of(r, report_names[i], directions[d], counts);
			if (d < 2)
				continue;
			write_counts_of(r, report_names[i], "of those, from the guest",
					json_object_get(counts, "from_guest"));
			write_counts_of(r, report_names[i], "of those, to the guest",
					json_object_get(counts, "to_guest"));
		}
	fputc('\n', r->out);
}

static void write_rows(const struct report *r)
{
	fprintf(r->out, "## Every row\n\n```\n");
	table_print(r->json, r->out);
	fprintf(
	    r->out,
	    "```\n\n"
	    "`xnative` compares with native Linux under the same load. `of vifd` and `of guest`\n"
	    "are the cycles spent in vifd's and vif-guest's processes, their system calls\n"
	    "included; `kern` is the kernel's share of those. `grants`, `sysc`, `notif`: grant\n"
	    "operations, the datapath's system calls and notifications of the guest, each a\n"
	    "packet. A row marked `disturbed` is of fewer than 6 labs that were quiet, or its ratio\n"
	    "(native's: its cost) is not known well enough to be found again within 5 %%. Who spent\n"
	    "the cycles is of all quiet slices, and so is `mean`, the cost with the dearer half in\n"
	    "it.\n\n");
}

/* ---- the same twice ---- */

/* The second measurement's of that row, or NULL: it has none, or not what can be compared. */
static const json_t *measured_again(const json_t *a, const json_t *again)
{
	const struct report_load l = { json_string_value(json_object_get(a, "direction")),
				       (int)report_number(a, NULL, "size"),
				       (int)report_number(a, NULL, "burst"),
				       (int)report_number(a, NULL, "guests") };
	const json_t *b = report_row(again, json_string_value(json_object_get(a, "name")), &l);

	if (!b || is(a, "name", "native") || report_number(a, NULL, "ratio_native") <= 0 ||
	    report_number(b, NULL, "ratio_native") <= 0)
		return NULL;
	return b;
}

static double difference(const json_t *a, const json_t *b)
{
	double x = report_number(a, NULL, "ratio_native"),
	       y = report_number(b, NULL, "ratio_native");

	return fabs(x / y - 1);
}

/* What came to something else the second time is disturbed, whatever it said of itself. */
static void compare(json_t *report, const json_t *again, struct report_again *out)
{
	json_t *a;
	size_t i;

	json_array_foreach(json_object_get(report, "rows"), i, a) {
		const json_t *b = measured_again(a, again);

		if (!b)
			continue;
		out->n_both++;
		json_object_set_new(a, "ratio_again",
				    json_real(report_number(b, NULL, "ratio_native")));
		if (disturbed(a) || disturbed(b))
			continue;
		out->n_quiet++;
		out->worst = fmax(out->worst, difference(a, b));
		if (difference(a, b) <= AGREES_WITHIN)
			continue;
		out->n_apart++;
		json_object_set_new(a, "disturbed", json_true());
	}
}

static void write_again(const struct report *r)
{
	const struct report_again *g = &r->again;

	fprintf(
	    r->out,
	    "## The same twice\n\n"
	    "Measured once more right afterwards: of %u ratios to native that both have, %u were\n"
	    "disturbed in one or the other and said so; of the other %u, %u differ by more than\n"
	    "%.0f %%, the worst by %.1f %%, and are called disturbed on this page.\n\n",
	    g->n_both, g->n_both - g->n_quiet, g->n_quiet, g->n_apart, AGREES_WITHIN * 100,
	    g->worst * 100);
}

static void write_lab(const struct report *r)
{
	write_disturbed(r);
	write_head(r);
	plots_lab(r);
	write_splits(r);
	write_counts(r);
	if (r->again.n_both)
		write_again(r);
	write_rows(r);
}

/* ---- the others' pages ---- */

static void write_peers(const struct report *r)
{
	fprintf(
	    r->out,
	    "## DPDK's rings\n\n"
	    "`ring-floor`, `vhost-ring` and `memif-ring` are rings and nothing else, on one\n"
	    "processor, in turns: 256 slots, one copy of each byte, as many buffers in use,\n"
	    "nobody looks at what is in them. testpmd polls without rest: its figures are all\n"
	    "cycles its pinned thread ran divided by packets; `working` is its own count, of the\n"
	    "passes that moved something. `xring` compares with the same turn's `ring-floor`,\n"
	    "which holds vifd's checks of each frame as well.\n\n"
	    "`vhost-user` and `memif` stand between the two TAPs where vifd and vif-guest stand,\n"
	    "and copy as often. testpmd has the time nobody else wants there, so that polling\n"
	    "costs nothing.\n\n");
	plots_peers(r);
	fprintf(r->out, "```\n");
	table_print(r->json, r->out);
	fprintf(r->out, "```\n\n");
}

static void write_xen(const struct report *r)
{
	fprintf(r->out, "## On real Xen, emulated\n\n```\n");
	table_print(r->json, r->out);
	fprintf(
	    r->out,
	    "```\n\n"
	    "Instructions, as cycles mean nothing under emulation: of Xen, dom0's kernel, vifd "
	    "and\n"
	    "the guest. `xnetback` compares with the kernel's netback in the same image. A burst "
	    "of\n"
	    "1 is a packet each 200 us, so that everybody sleeps in between; `any` is as fast as\n"
	    "the socket takes them. `hyperc`, `sysc`, `events`: hypercalls, dom0's system calls "
	    "and\n"
	    "event upcalls, each a packet. tests/xen/bench/README.md says what is in and what "
	    "not.\n\n");
}

/* ---- the page ---- */

static bool have_gnuplot(void)
{
	int status = system("command -v gnuplot >/dev/null 2>&1");

	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A second report of the lab is the first one's repetition. */
static void write_reports(struct report *r, json_t *const reports[], size_t n)
{
	json_t *lab = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!is(reports[i], "bench", "lab"))
			continue;
		if (!lab)
			lab = reports[i];
		else
			compare(lab, reports[i], &r->again);
	}
	for (size_t i = 0; i < n; i++) {
		r->json = reports[i];
		if (is(r->json, "bench", "xen"))
			write_xen(r);
		else if (is(r->json, "bench", "peers"))
			write_peers(r);
		else if (r->json == lab)
			write_lab(r);
	}
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
	write_reports(&r, reports, n);
	fprintf(
	    r.out,
	    "## Again\n\n"
	    "    make performance        # as root: all of this page; half an hour or more\n\n"
	    "or its parts:\n\n"
	    "    make bench              # build/bench.json: the first part; bench-quick: less\n"
	    "    make bench-peers        # build/peers.json: DPDK's rings\n"
	    "    make bench-xen          # build/bench-xen/result.json: on emulated Xen\n"
	    "    build/vifbench xen build/bench-xen/result.json --output build/xen.json\n"
	    "    build/vifbench report build/bench.json build/peers.json build/xen.json \\\n"
	    "        --directory DIR\n");
	err = ferror(r.out) ? -EIO : 0;
	if (fclose(r.out))
		err = -errno;
	return err;
}
