/* SPDX-License-Identifier: MIT */
/* See rows.h. */
#include "backend/vifbench/rows.h"

#include <string.h>

#include "backend/vifbench/counts.h"
#include "backend/vifbench/slices.h"

/* How wide the range in which a ratio lies may be, as a part of it: two measurements differ by no
 * more than its half times the square root of 2, so by 5 %. */
#define RANGE_MAX 0.07
/* What runs are taken for, while there is time. */
#define RANGE_WANTED 0.05

/* Among so many some are quiet, on the busiest machine. */
#define CALIBRATIONS 2000

bool rows_disturbed(struct rows *r, uint64_t calibrated, double strangers)
{
	r->quiet = MIN(r->quiet, calibrated);
	return (double)calibrated > (double)r->quiet * CALIBRATION_SLACK ||
	       strangers > STRANGERS_MAX;
}

void rows_calibrate(struct rows *r)
{
	r->quiet = UINT64_MAX;
	for (int i = 0; i < CALIBRATIONS; i++)
		r->quiet = MIN(r->quiet, calibration());
}

/* ---- what runs came to ---- */

static bool quiet_enough(const struct slices *s)
{
	return slices_quiet_runs(s) >= MIDDLE_RUNS_MIN;
}

/* Runs that were not quiet, if there are enough without them. */
static bool left_out(const struct slices *s, uint32_t run)
{
	return quiet_enough(s) && !s->quiet[run];
}

/* A run's, without the generator's. */
static double cost_in(const struct slices *s, enum path_kind kind, uint32_t run)
{
	return s->path[kind].cycles[run] -
	       (s->wanted[PATH_SINK] ? s->path[PATH_SINK].cycles[run] : 0);
}

static uint32_t costs_of(const struct slices *s, enum path_kind kind, double out[])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_runs; i++)
		if (!left_out(s, i))
			out[n++] = cost_in(s, kind, i);
	return n;
}

/* Multiples of native's, in the same run. */
static struct middle ratio_of(const struct slices *s, enum path_kind kind)
{
	double ratio[MEASURE_RUNS_MAX], native[MEASURE_RUNS_MAX];
	uint32_t n = costs_of(s, kind, ratio);

	costs_of(s, PATH_NATIVE, native);
	for (uint32_t i = 0; i < n; i++)
		ratio[i] /= MAX(native[i], 1);
	return middle_of(ratio, n);
}

/* Whether a row can be told again: its ratio; native's own cost, whose ratio is 1. */
static bool known_within(const struct slices *s, enum path_kind kind, double share)
{
	double cost[MEASURE_RUNS_MAX];
	struct middle m;

	if (kind != PATH_NATIVE && s->wanted[PATH_NATIVE])
		m = ratio_of(s, kind);
	else
		m = middle_of(cost, costs_of(s, kind, cost));
	return m.sure && m.high - m.low <= share * m.is;
}

static bool all_known_within(const struct slices *s, double share)
{
	for (int k = PATH_NATIVE; k < PATH_N; k++)
		if (s->wanted[k] && !known_within(s, (enum path_kind)k, share))
			return false;
	return true;
}

/* ---- rows ---- */

static json_t *json_load(const char *name, const struct load *l)
{
	return json_pack("{s:s, s:i, s:s, s:i, s:i}", "name", name, "size", (int)l->size,
			 "direction", direction_name(l->direction), "burst", (int)l->burst,
			 "guests", (int)l->n_guests);
}

static json_t *json_summary(const struct summary *s)
{
	return json_pack("{s:f, s:f, s:f}", "median", s->median, "min", s->min, "max", s->max);
}

/* What all slices came to, the quiet ones if there are any. */
static const struct sums *sums_of(const struct slices *s, enum path_kind kind)
{
	const struct measured *m = &s->path[kind];

	return m->quiet.n_packets ? &m->quiet : &m->loud;
}

static double mean_of(const struct slices *s, enum path_kind kind)
{
	const struct sums *sums = sums_of(s, kind);

	return (double)sums->cycles / (double)MAX(sums->n_packets, 1);
}

static json_t *json_split(const struct sums *sums)
{
	double n = (double)MAX(sums->n_packets, 1);
	json_t *split = json_object();

	for (enum part i = 0; i < PART_N; i++)
		if (sums->spent.ns[i])
			json_object_set_new(
			    split, part_name(i),
			    json_real((double)sums->spent.ns[i] * tsc_hz() / 1e9 / n));
	json_object_set_new(split, "not of the lab", json_real(sums->hidden / n));
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

/* Where native seems to cost nothing there is none: something else ran. */
static void add_ratio(json_t *j, const struct slices *s, enum path_kind kind)
{
	double native[MEASURE_RUNS_MAX];
	struct middle ratio;

	json_object_set_new(j, "ratio_native", json_null());
	if (!s->wanted[PATH_NATIVE] ||
	    summary_of(native, costs_of(s, PATH_NATIVE, native)).median <= 0)
		return;
	ratio = ratio_of(s, kind);
	json_object_set_new(j, "ratio_native", json_real(ratio.is));
	json_object_set_new(j, "ratio_range", json_pack("[f, f]", ratio.low, ratio.high));
}

static double generator_of(const struct slices *s)
{
	double cycles[MEASURE_RUNS_MAX];

	if (!s->wanted[PATH_SINK])
		return 0;
	memcpy(cycles, s->path[PATH_SINK].cycles, sizeof(cycles));
	return summary_of(cycles, s->n_runs).median;
}

static bool is_vifd(enum path_kind kind)
{
	return kind != PATH_NATIVE && kind != PATH_TAP_LOOP && !path_is_peer(kind);
}

static int add_row(struct rows *r, struct slices *s, enum path_kind kind)
{
	struct sampler_split sampled = { 0 };
	json_t *j = json_load(path_name(kind), &s->load[kind]);
	double costs[MEASURE_RUNS_MAX];
	struct summary cost = summary_of(costs, costs_of(s, kind, costs));
	double generator_mean = s->wanted[PATH_SINK] ? mean_of(s, PATH_SINK) : 0;
	bool disturbed = !quiet_enough(s) || !known_within(s, kind, RANGE_MAX);
	int err = slices_sample(s, r, kind, &sampled);

	add_ratio(j, s, kind);
	json_object_set_new(j, "cycles_per_packet", json_summary(&cost));
	json_object_set_new(j, "mean_of_all_slices", json_real(mean_of(s, kind) - generator_mean));
	json_object_set_new(j, "runs", json_integer(cost.n));
	json_object_set_new(j, "generator", json_real(generator_of(s)));
	json_object_set_new(j, "disturbed", json_boolean(disturbed));
	json_object_set_new(j, "lost", json_integer((json_int_t)s->path[kind].n_lost));
	json_object_set_new(j, "split", json_split(sums_of(s, kind)));
	json_object_set_new(j, "in_kernel", json_in_kernel(&sampled));
	if (is_vifd(kind))
		json_object_set_new(j, "counts", counts_of(&r->path[kind], &s->load[kind]));
	json_array_append_new(r->rows, j);
	return err;
}

json_t *rows_add(struct rows *r, const char *name, const struct load *l, double values[],
		 bool disturbed)
{
	struct summary s = summary_of(values, r->o->n_runs);
	json_t *j = json_load(name, l);

	json_object_set_new(j, "cycles_per_packet", json_summary(&s));
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

/* Runs as many as are wanted, and more while a ratio is not known well and there is time. */
static int take_runs(struct rows *r, struct slices *s)
{
	int err = 0;

	while (!err && s->n_runs < MEASURE_RUNS_MAX && (!s->n_runs || tsc_now() < r->end) &&
	       (slices_quiet_runs(s) < r->o->n_runs || !all_known_within(s, RANGE_WANTED)))
		err = slices_run(s, r);
	return err;
}

int rows_measure(struct rows *r, const struct load *l, uint64_t end)
{
	struct slices s;
	uint64_t at;
	int err;

	if (!slices_begin(&s, r, l))
		return 0;
	fprintf(stderr, "vifbench: %s, %u B, bursts of %u, %u guest%s\n",
		direction_name(l->direction), l->size, l->burst, l->n_guests,
		l->n_guests == 1 ? "" : "s");
	r->end = end - MIN(r->aside, end);
	at = tsc_now();
	r->patience = (r->end - MIN(at, r->end)) / 2;
	err = take_runs(r, &s);
	at = tsc_now();
	for (int k = PATH_NATIVE; !err && k < PATH_N; k++)
		if (s.wanted[k])
			err = add_row(r, &s, (enum path_kind)k);
	r->aside = tsc_now() - at;
	return err;
}
