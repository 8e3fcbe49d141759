/* SPDX-License-Identifier: MIT */
/*
 * 'vifbench lab': the lab's paths side by side, on one processor.
 *
 * For each load (size, direction, burst, guests) all paths are measured one after the
 * other, n_runs times over, so that whatever drifts, drifts for all. A run's cycles are
 * everybody's (load.h), less the generator's, which the path into a sink tells; a run is
 * disturbed if a fixed calculation right before or after it took longer than ever, or if
 * the processor ran something for long that is not of the lab.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "backend/vifbench/bench.h"
#include "backend/vifbench/counts.h"
#include "backend/vifbench/floor.h"
#include "backend/vifbench/load.h"
#include "backend/vifbench/path.h"
#include "backend/vifbench/who.h"

#define ROUND_TRIPS	20000u
#define ROUND_TRIPS_FEW 4000u

/* The share of a run that may go to what is not of the lab: the kernel's own threads. */
#define STRANGERS_MAX 0.05

struct lab {
	const struct lab_options *o;
	struct path path[PATH_N];
	bool open[PATH_N];
	struct who who;
	uint64_t quiet; /* the shortest calibration so far */
	json_t *rows;
	char *why;
	size_t why_size;
};

struct row {
	double cycles[MEASURE_RUNS_MAX]; /* a packet, generator included */
	uint32_t n_disturbed;
	uint64_t n_packets, n_lost;
	double hidden; /* cycles nobody of the lab spent */
	struct who_spent spent;
};

/* ---- one run ---- */

static uint32_t rounds_for(const struct lab *lab, const struct path *p, const struct load *l)
{
	double wanted = tsc_hz() * lab->o->run_ms / 1e3;
	struct load_result r;
	uint32_t n = 4;

	/* The first rounds warm up as well. */
	for (int i = 0; i < 12; i++, n *= 2) {
		if (load_run(p, l, n, &r) || r.n_lost || (double)r.cycles > wanted / 8)
			break;
	}
	n = (uint32_t)(wanted * n / (double)(r.cycles ? r.cycles : 1));
	return MAX(MIN(n, 1000000u), 4u);
}

static bool disturbed(struct lab *lab, uint64_t before, uint64_t after, double strangers)
{
	lab->quiet = MIN(lab->quiet, MIN(before, after));
	return (double)MAX(before, after) > (double)lab->quiet * CALIBRATION_SLACK ||
	       strangers > STRANGERS_MAX;
}

static int run_once(struct lab *lab, const struct path *p, const struct load *l, uint32_t n_rounds,
		    uint32_t run, struct row *row)
{
	struct who_spent before, after;
	struct load_result r;
	uint64_t quiet_before = calibration(), quiet_after;
	double known = 0, cycles_per_ns = tsc_hz() / 1e9;
	int err;

	who_read(&lab->who, &before);
	err = load_run(p, l, n_rounds, &r);
	who_read(&lab->who, &after);
	quiet_after = calibration();
	if (err)
		return err;
	for (enum part i = 0; i < PART_N; i++) {
		row->spent.ns[i] += after.ns[i] - before.ns[i];
		known += (double)(after.ns[i] - before.ns[i]) * cycles_per_ns;
	}
	row->hidden += MAX((double)r.cycles - known, 0);
	row->n_packets += r.n_packets;
	row->n_lost += r.n_lost;
	row->cycles[run] = (double)r.cycles / (double)MAX(r.n_packets, 1);
	row->n_disturbed += disturbed(lab, quiet_before, quiet_after,
				      ((double)r.cycles - known) / (double)r.cycles);
	return 0;
}

/* ---- one load over all paths ---- */

static json_t *json_summary(const struct summary *s, double less)
{
	return json_pack("{s:f, s:f, s:f}", "median", s->median - less, "min", s->min - less, "max",
			 s->max - less);
}

static json_t *json_split(const struct row *row)
{
	json_t *split = json_object();
	double n = (double)MAX(row->n_packets, 1);

	for (enum part i = 0; i < PART_N; i++)
		if (row->spent.ns[i])
			json_object_set_new(split, part_name(i),
					    json_real((double)row->spent.ns[i] * tsc_hz() / 1e9 / n));
	json_object_set_new(split, "not of the lab", json_real(row->hidden / n));
	return split;
}

static json_t *json_load(const char *name, const struct load *l)
{
	return json_pack("{s:s, s:i, s:s, s:i, s:i}", "name", name, "size", (int)l->size,
			 "direction", direction_name(l->direction), "burst", (int)l->burst,
			 "guests", (int)l->n_guests);
}

static void add_row(struct lab *lab, const struct load *l, enum path_kind kind, struct row *row,
		    double generator, double native)
{
	struct summary s = summary_of(row->cycles, lab->o->n_runs);
	json_t *j = json_load(path_name(kind), l);

	json_object_set_new(j, "cycles_per_packet", json_summary(&s, generator));
	json_object_set_new(j, "generator", json_real(generator));
	json_object_set_new(j, "ratio_native",
			    native > 0 ? json_real((s.median - generator) / native) : json_null());
	/* Medians bear a disturbed run, not as many as quiet ones. */
	json_object_set_new(j, "disturbed", json_boolean(row->n_disturbed * 2 >= lab->o->n_runs));
	json_object_set_new(j, "lost", json_integer((json_int_t)row->n_lost));
	json_object_set_new(j, "split", json_split(row));
	if (kind == PATH_VIFD_BRIDGE || kind == PATH_VIFD_MQ_AFXDP)
		json_object_set_new(j, "counts", counts_of(&lab->path[kind], l));
	json_array_append_new(lab->rows, j);
}

static int measure_all(struct lab *lab, const struct load loads[PATH_N], struct row row[PATH_N],
		       const bool wanted[PATH_N])
{
	uint32_t n_rounds[PATH_N] = { 0 };
	int err = 0;

	for (int k = 0; k < PATH_N; k++)
		if (wanted[k])
			n_rounds[k] = rounds_for(lab, &lab->path[k], &loads[k]);
	for (uint32_t run = 0; !err && run < lab->o->n_runs; run++)
		for (int k = 0; !err && k < PATH_N; k++)
			if (wanted[k])
				err = run_once(lab, &lab->path[k], &loads[k], n_rounds[k], run,
					       &row[k]);
	return err;
}

static double median_of(const struct lab *lab, const struct row *row)
{
	double copy[MEASURE_RUNS_MAX];

	memcpy(copy, row->cycles, sizeof(copy));
	return summary_of(copy, lab->o->n_runs).median;
}

static int measure_load(struct lab *lab, const struct load *l)
{
	struct load loads[PATH_N];
	struct row row[PATH_N];
	bool wanted[PATH_N];
	double generator = 0, native = 0;
	int err;

	memset(row, 0, sizeof(row));
	for (int k = 0; k < PATH_N; k++) {
		loads[k] = *l;
		if (k == PATH_SINK)
			loads[k] = (struct load){ l->size, l->burst, 1, RECEIVE };
		wanted[k] = lab->open[k] && load_possible(&lab->path[k], &loads[k]);
	}
	fprintf(stderr, "vifbench: %s, %u B, bursts of %u, %u guest%s\n",
		direction_name(l->direction), l->size, l->burst, l->n_guests,
		l->n_guests == 1 ? "" : "s");
	err = measure_all(lab, loads, row, wanted);
	if (err) {
		snprintf(lab->why, lab->why_size, "a socket failed: %s", strerror(-err));
		return err;
	}
	if (wanted[PATH_SINK])
		generator = median_of(lab, &row[PATH_SINK]);
	if (wanted[PATH_NATIVE])
		native = median_of(lab, &row[PATH_NATIVE]) - generator;
	for (int k = PATH_NATIVE; k < PATH_N; k++)
		if (wanted[k])
			add_row(lab, l, (enum path_kind)k, &row[k], generator, native);
	return 0;
}

static int measure_loads(struct lab *lab)
{
	static const uint32_t sizes[] = { 64, 576, 1500 }, bursts[] = { 1, 8, 64 };
	bool quick = lab->o->quick;
	int err = 0;

	for (uint32_t guests = 1; !err && guests <= (quick ? 1 : PATH_GUESTS_MAX);
	     guests += PATH_GUESTS_MAX - 1) {
		for (size_t s = 0; s < ARRAY_SIZE(sizes); s += quick ? 2 : 1)
			for (size_t b = 0; b < ARRAY_SIZE(bursts); b += quick ? 2 : 1)
				for (int d = RECEIVE; !err && d <= (quick ? SEND : BOTH); d++)
					err = measure_load(lab,
							   &(struct load){ sizes[s], bursts[b], guests,
									   (enum direction)d });
		for (int d = RECEIVE; !err && guests == 1 && d <= SEND; d++)
			err = measure_load(lab, &(struct load){ LOAD_STREAM, 1, 1,
								(enum direction)d });
	}
	return err;
}

/* ---- floors and latency ---- */

static void add_floor(struct lab *lab, const char *name, uint32_t size, double values[])
{
	struct summary s = summary_of(values, lab->o->n_runs);
	json_t *j = json_load(name, &(struct load){ size, 64, 1, SEND });

	json_object_set_new(j, "cycles_per_packet", json_summary(&s, 0));
	json_object_set_new(j, "ratio_native", json_null());
	json_object_set_new(j, "disturbed", json_false());
	json_array_append_new(lab->rows, j);
}

static void measure_floors(struct lab *lab)
{
	static const uint32_t sizes[] = { 64, 576, 1500 };
	const uint32_t n = 64 * 1000;

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		double ring[MEASURE_RUNS_MAX], copy[MEASURE_RUNS_MAX];
		uint32_t frame = sizes[s] + 14;

		for (uint32_t run = 0; run < lab->o->n_runs; run++) {
			ring[run] = (double)floor_ring(frame, 64, n) / n;
			copy[run] = (double)floor_memcpy(frame, n) / n;
		}
		add_floor(lab, "ring-floor", sizes[s], ring);
		add_floor(lab, "memcpy-floor", sizes[s], copy);
	}
}

static int measure_latency(struct lab *lab, json_t *out)
{
	uint32_t n = lab->o->quick ? ROUND_TRIPS_FEW : ROUND_TRIPS;
	double us = tsc_hz() / 1e6;
	struct histogram *h = calloc(1, sizeof(*h));
	int err = h ? 0 : -ENOMEM;

	for (int k = PATH_NATIVE; !err && k < PATH_N; k++) {
		if (!lab->open[k])
			continue;
		memset(h, 0, sizeof(*h));
		err = load_round_trips(&lab->path[k], n, h);
		json_array_append_new(
		    out, json_pack("{s:s, s:i, s:{s:f, s:f, s:f}}", "name",
				   path_name((enum path_kind)k), "round_trips", (int)n, "us", "p50",
				   (double)histogram_at(h, .5) / us, "p99",
				   (double)histogram_at(h, .99) / us, "p99.9",
				   (double)histogram_at(h, .999) / us));
	}
	free(h);
	return err;
}

/* ---- the whole ---- */

static int choose_cpu(int wanted)
{
	cpu_set_t set;
	int last = -1;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -errno;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			last = i;
	if (wanted < 0)
		return last;
	return wanted < CPU_SETSIZE && CPU_ISSET(wanted, &set) ? wanted : -EINVAL;
}

static int open_all(struct lab *lab)
{
	uint32_t n = lab->o->quick ? 1 : PATH_GUESTS_MAX;
	int cpu = choose_cpu(lab->o->cpu), err = 0;

	if (cpu < 0) {
		snprintf(lab->why, lab->why_size, "processor %d is not ours to use", lab->o->cpu);
		return cpu;
	}
	for (int k = 0; !err && k < PATH_N; k++) {
		if (!path_here((enum path_kind)k))
			continue;
		err = path_open(&lab->path[k], (enum path_kind)k, n, lab->why, lab->why_size);
		lab->open[k] = !err;
	}
	if (!err && (err = who_open(&lab->who, cpu)))
		snprintf(lab->why, lab->why_size, "tying the lab to processor %d: %s", cpu,
			 strerror(-err));
	return err;
}

json_t *machine_describe(void)
{
	char model[128] = "unknown", line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");
	struct utsname u;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "model name : %127[^\n]", model) == 1)
			break;
	if (f)
		fclose(f);
	uname(&u);
	return json_pack("{s:s, s:s, s:f, s:i, s:s}", "cpu", model, "kernel", u.release, "hz",
			 tsc_hz(), "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN), "vifd", VIFD_VERSION);
}

json_t *lab_measure(const struct lab_options *o, char *why, size_t why_size)
{
	struct lab lab = { .o = o, .quiet = UINT64_MAX, .why = why, .why_size = why_size };
	json_t *latency = json_array(), *report = NULL;
	int err;

	lab.rows = json_array();
	err = open_all(&lab);
	if (!err)
		err = measure_loads(&lab);
	if (!err && (err = measure_latency(&lab, latency)))
		snprintf(why, why_size, "round trips: %s", strerror(-err));
	if (!err) {
		measure_floors(&lab);
		report = json_pack("{s:s, s:o, s:O, s:O}", "bench", "lab", "machine",
				   machine_describe(), "rows", lab.rows, "latency", latency);
	}
	who_close(&lab.who);
	for (int k = 0; k < PATH_N; k++)
		if (lab.open[k])
			path_close(&lab.path[k]);
	json_decref(lab.rows);
	json_decref(latency);
	return report;
}
