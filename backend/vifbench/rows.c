/* SPDX-License-Identifier: MIT */
/* See rows.h. */
#include "backend/vifbench/rows.h"

#include <string.h>

#include "backend/vifbench/counts.h"
#include "backend/vifbench/slices.h"

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

static bool is_vifd(enum path_kind kind)
{
	return kind != PATH_NATIVE && kind != PATH_TAP_LOOP && !path_is_peer(kind);
}

/* What costs time and is no cost: once is enough for all labs. */
static int add_details(struct rows *r, struct slices *s, enum path_kind kind, json_t *j)
{
	struct sampler_split sampled = { 0 };
	int err = slices_sample(s, r, kind, &sampled);

	json_object_set_new(j, "in_kernel", json_in_kernel(&sampled));
	if (is_vifd(kind))
		json_object_set_new(j, "counts", counts_of(&r->path[kind], &s->load[kind]));
	return err;
}

static json_t *json_row(struct slices *s, enum path_kind kind)
{
	bool quiet = true, native_quiet = true, sink_quiet = true, sink = s->wanted[PATH_SINK];
	double generator = sink ? slices_cost(s, PATH_SINK, &sink_quiet) : 0;
	double cost = slices_cost(s, kind, &quiet) - generator;
	double native = slices_cost(s, PATH_NATIVE, &native_quiet);
	json_t *j = json_load(path_name(kind), &s->load[kind]);

	json_object_set_new(j, "cycles_per_packet",
			    json_summary(&(struct summary){ cost, cost, cost, 1 }));
	json_object_set_new(j, "mean_of_all_slices",
			    json_real(mean_of(s, kind) - (sink ? mean_of(s, PATH_SINK) : 0)));
	json_object_set_new(j, "of_native", json_real(cost / MAX(native, 1)));
	json_object_set_new(j, "generator", json_real(generator));
	json_object_set_new(j, "disturbed",
			    json_boolean(!quiet || !native_quiet || !sink_quiet));
	json_object_set_new(j, "lost", json_integer((json_int_t)s->path[kind].n_lost));
	json_object_set_new(j, "split", json_split(sums_of(s, kind)));
	return j;
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

int rows_measure(struct rows *r, const struct load *l, uint64_t end)
{
	struct slices s;
	uint64_t at;
	int err;

	if (!slices_begin(&s, r, l))
		return 0;
	r->end = end - MIN(r->aside, end);
	at = tsc_now();
	r->patience = (r->end - MIN(at, r->end)) / 2;
	err = slices_take(&s, r);
	at = tsc_now();
	for (int k = PATH_NATIVE; !err && k < PATH_N; k++) {
		json_t *row;

		if (!s.wanted[k])
			continue;
		row = json_row(&s, (enum path_kind)k);
		json_array_append_new(r->rows, row);
		if (!r->part->again)
			err = add_details(r, &s, (enum path_kind)k, row);
	}
	r->aside = tsc_now() - at;
	return err;
}
