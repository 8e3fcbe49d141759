/* SPDX-License-Identifier: MIT */
/* See rows.h. */
#include "backend/vifbench/rows.h"

#include <string.h>

#include "backend/vifbench/counts.h"

/* The share of a run that may go to what is not of the lab: the kernel's own threads. */
#define STRANGERS_MAX 0.05

/* How far apart a row's ratios may lie, the outermost on each side left out: what a second
 * measurement may differ by. */
#define SPREAD_MAX 0.05

struct row {
	double cycles[MEASURE_RUNS_MAX]; /* a packet, generator included */
	uint32_t n_disturbed;		 /* of the turns that were kept */
	uint64_t n_packets, n_lost;
	double hidden; /* cycles nobody of the lab spent */
	struct who_spent spent;
	struct sampler_split sampled;
};

/* One load on all paths: what each was given and came to. */
struct table {
	struct load load[PATH_N]; /* the sink's differs */
	bool wanted[PATH_N];
	uint32_t n_rounds[PATH_N];
	struct row row[PATH_N];
};

/* What one run came to. */
struct run {
	struct load_result result;
	struct who_spent spent;
	double hidden; /* cycles nobody of the lab spent */
	bool disturbed;
};

/* ---- one run ---- */

/* A run may last so long: on a busy machine fewer rounds must do. */
static uint32_t limit_ms(const struct rows *r)
{
	return r->o->run_ms * 4 + 100;
}

static int load_it(const struct rows *r, struct path *p, const struct load *l, uint32_t n_rounds,
		   struct load_result *out)
{
	int err = path_begin(p), end;

	if (!err)
		err = load_run(p, l, n_rounds, limit_ms(r), out);
	end = path_end(p);
	return err ? err : end;
}

static uint32_t rounds_for(const struct rows *r, struct path *p, const struct load *l)
{
	double wanted = tsc_hz() * r->o->run_ms / 1e3;
	struct load_result got = { 0 };
	uint32_t n = 4;

	/* The first rounds warm up as well. */
	for (int i = 0; i < 12; i++, n *= 2) {
		if (load_it(r, p, l, n, &got) || got.n_lost || (double)got.cycles > wanted / 8)
			break;
	}
	n = (uint32_t)(wanted * n / (double)(got.cycles ? got.cycles : 1));
	return MAX(MIN(n, 1000000u), 4u);
}

bool rows_disturbed(struct rows *r, uint64_t before, uint64_t after, double strangers)
{
	r->quiet = MIN(r->quiet, MIN(before, after));
	return (double)MAX(before, after) > (double)r->quiet * CALIBRATION_SLACK ||
	       strangers > STRANGERS_MAX;
}

static double cycles_of(const struct who_spent *s)
{
	double ns = 0;

	for (enum part i = 0; i < PART_N; i++)
		ns += (double)s->ns[i];
	return ns * tsc_hz() / 1e9;
}

static int run_once(struct rows *r, struct path *p, const struct load *l, uint32_t n_rounds,
		    struct run *run)
{
	uint64_t quiet_before = calibration(), quiet_after;
	struct who_spent before, after;
	int err = path_begin(p), end;
	double all, nic;

	who_read(&r->who, &before);
	if (!err)
		err = load_run(p, l, n_rounds, limit_ms(r), &run->result);
	who_read(&r->who, &after);
	end = path_end(p);
	quiet_after = calibration();
	if (err || end)
		return err ? err : end;
	for (enum part i = 0; i < PART_N; i++)
		run->spent.ns[i] = after.ns[i] - before.ns[i];
	all = (double)MAX(run->result.cycles, 1);
	run->hidden = MAX(all - cycles_of(&run->spent), 0);
	run->disturbed = rows_disturbed(r, quiet_before, quiet_after, run->hidden / all);
	/* What hardware would do is told, and costs nobody. */
	nic = (double)run->spent.ns[PART_NIC] * tsc_hz() / 1e9;
	run->result.cycles -= (uint64_t)MIN(nic, all);
	return 0;
}

static void keep_run(struct row *row, uint32_t at, const struct run *run)
{
	const struct load_result *got = &run->result;

	row->cycles[at] = (double)got->cycles / (double)MAX(got->n_packets, 1);
	row->n_disturbed += run->disturbed;
	row->n_packets += got->n_packets;
	row->n_lost += got->n_lost;
	row->hidden += run->hidden;
	for (enum part i = 0; i < PART_N; i++)
		row->spent.ns[i] += run->spent.ns[i];
}

/* ---- turns ---- */

/* Every path once. *quiet: nobody else had the processor. */
static int take_turn(struct rows *r, const struct table *t, struct run run[PATH_N], bool *quiet)
{
	int err = 0;

	*quiet = true;
	for (int k = 0; !err && k < PATH_N; k++) {
		if (!t->wanted[k])
			continue;
		run[k] = (struct run){ .disturbed = false };
		err = run_once(r, &r->path[k], &t->load[k], t->n_rounds[k], &run[k]);
		*quiet &= !run[k].disturbed;
	}
	return err;
}

static int take_turns(struct rows *r, struct table *t)
{
	uint32_t spare = (r->o->n_runs + 1) / 2, at = 0;

	while (at < r->o->n_runs) {
		struct run run[PATH_N];
		bool quiet;
		int err = take_turn(r, t, run, &quiet);

		if (err)
			return err;
		if (!quiet && spare) {
			spare--;
			continue;
		}
		for (int k = 0; k < PATH_N; k++)
			if (t->wanted[k])
				keep_run(&t->row[k], at, &run[k]);
		at++;
	}
	return 0;
}

/* Who is in the kernel and who is not: a run of its own, as sampling costs. */
static int sample(struct rows *r, struct table *t)
{
	int err = 0, end;

	for (int k = PATH_NATIVE; !err && k < PATH_N; k++) {
		if (!t->wanted[k])
			continue;
		err = path_begin(&r->path[k]);
		sampler_begin(&r->sampler);
		if (!err)
			err = load_run(&r->path[k], &t->load[k], t->n_rounds[k], limit_ms(r),
				       &(struct load_result){ 0 });
		sampler_end(&r->sampler, &r->who, &t->row[k].sampled);
		end = path_end(&r->path[k]);
		err = err ? err : end;
	}
	return err;
}

/* ---- rows ---- */

static json_t *json_load(const char *name, const struct load *l)
{
	return json_pack("{s:s, s:i, s:s, s:i, s:i}", "name", name, "size", (int)l->size,
			 "direction", direction_name(l->direction), "burst", (int)l->burst,
			 "guests", (int)l->n_guests);
}

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
			json_object_set_new(
			    split, part_name(i),
			    json_real((double)row->spent.ns[i] * tsc_hz() / 1e9 / n));
	json_object_set_new(split, "not of the lab", json_real(row->hidden / n));
	return split;
}

/* The kernel's share of what each part spent. */
static json_t *json_in_kernel(const struct sampler_split *s)
{
	json_t *out = json_object();
	bool any = false;

	for (enum part i = 0; i < PART_N; i++) {
		uint32_t all = s->kernel[i] + s->user[i];

		if (all)
			json_object_set_new(out, part_name(i),
					    json_real((double)s->kernel[i] / all));
		any |= all > 0;
	}
	if (any)
		return out;
	json_decref(out);
	return json_null();
}

static double median_of(const struct rows *r, const double values[])
{
	double copy[MEASURE_RUNS_MAX];

	memcpy(copy, values, r->o->n_runs * sizeof(*copy));
	return summary_of(copy, r->o->n_runs).median;
}

/* Ratios of the same turn; returns whether they lie too far apart to be told again. Where
 * native seems to cost nothing there is none: something else ran. */
static bool add_ratio(const struct rows *r, json_t *j, const double cycles[], const double native[],
		      double generator)
{
	uint32_t n = r->o->n_runs, out = n / 5;
	double ratio[MEASURE_RUNS_MAX];
	struct summary s;

	json_object_set_new(j, "ratio_native", json_null());
	if (median_of(r, native) <= generator)
		return true;
	for (uint32_t i = 0; i < n; i++)
		ratio[i] = (cycles[i] - generator) / MAX(native[i] - generator, 1);
	s = summary_of(ratio, n);
	json_object_set_new(j, "ratio_native", json_real(s.median));
	json_object_set_new(j, "ratio_range", json_pack("[f, f]", ratio[out], ratio[n - 1 - out]));
	return ratio[n - 1 - out] - ratio[out] > SPREAD_MAX * s.median;
}

static bool is_vifd(enum path_kind kind)
{
	return kind != PATH_NATIVE && kind != PATH_TAP_LOOP && !path_is_peer(kind);
}

/* Medians bear a disturbed run, not as many as quiet ones. */
static bool was_disturbed(const struct rows *r, const struct table *t, enum path_kind kind)
{
	return t->wanted[kind] && t->row[kind].n_disturbed * 2 >= r->o->n_runs;
}

static void add_row(struct rows *r, struct table *t, enum path_kind kind)
{
	struct row *row = &t->row[kind];
	double generator = t->wanted[PATH_SINK] ? median_of(r, t->row[PATH_SINK].cycles) : 0;
	/* Its cost stands on the generator's, its ratio on native's. */
	bool disturbed = was_disturbed(r, t, kind) || was_disturbed(r, t, PATH_SINK) ||
			 was_disturbed(r, t, PATH_NATIVE);
	json_t *j = json_load(path_name(kind), &t->load[kind]);
	double cycles[MEASURE_RUNS_MAX];
	struct summary s;

	if (t->wanted[PATH_NATIVE])
		disturbed |= add_ratio(r, j, row->cycles, t->row[PATH_NATIVE].cycles, generator);
	else
		json_object_set_new(j, "ratio_native", json_null());
	memcpy(cycles, row->cycles, sizeof(cycles));
	s = summary_of(cycles, r->o->n_runs);
	json_object_set_new(j, "cycles_per_packet", json_summary(&s, generator));
	json_object_set_new(j, "generator", json_real(generator));
	json_object_set_new(j, "disturbed", json_boolean(disturbed));
	json_object_set_new(j, "lost", json_integer((json_int_t)row->n_lost));
	json_object_set_new(j, "split", json_split(row));
	json_object_set_new(j, "in_kernel", json_in_kernel(&row->sampled));
	if (is_vifd(kind))
		json_object_set_new(j, "counts", counts_of(&r->path[kind], &t->load[kind]));
	json_array_append_new(r->rows, j);
}

json_t *rows_add(struct rows *r, const char *name, const struct load *l, double values[],
		 bool disturbed)
{
	struct summary s = summary_of(values, r->o->n_runs);
	json_t *j = json_load(name, l);

	json_object_set_new(j, "cycles_per_packet", json_summary(&s, 0));
	json_object_set_new(j, "ratio_native", json_null());
	json_object_set_new(j, "disturbed", json_boolean(disturbed));
	json_array_append_new(r->rows, j);
	return j;
}

void rows_miss(struct rows *r, const char *what)
{
	json_t *known;
	size_t i;

	json_array_foreach(r->missing, i,
			   known) if (!strcmp(json_string_value(known), what)) return;
	fprintf(stderr, "vifbench: %s\n", what);
	json_array_append_new(r->missing, json_string(what));
}

int rows_measure(struct rows *r, const struct load *l)
{
	struct table t = { 0 };
	int err;

	for (int k = 0; k < PATH_N; k++) {
		t.load[k] = *l;
		if (k == PATH_SINK)
			t.load[k] = (struct load){ l->size, l->burst, 1, RECEIVE };
		t.wanted[k] = r->open[k] && load_possible(&r->path[k], &t.load[k]);
	}
	fprintf(stderr, "vifbench: %s, %u B, bursts of %u, %u guest%s\n",
		direction_name(l->direction), l->size, l->burst, l->n_guests,
		l->n_guests == 1 ? "" : "s");
	for (int k = 0; k < PATH_N; k++)
		if (t.wanted[k])
			t.n_rounds[k] = rounds_for(r, &r->path[k], &t.load[k]);
	err = take_turns(r, &t);
	if (!err)
		err = sample(r, &t);
	for (int k = PATH_NATIVE; !err && k < PATH_N; k++)
		if (t.wanted[k])
			add_row(r, &t, (enum path_kind)k);
	return err;
}
