/* SPDX-License-Identifier: MIT */
/* See merge.h. */
#include "backend/vifbench/merge.h"

#include <math.h>
#include <string.h>

#include "backend/vifbench/measure.h"
#include "backend/vifbench/report.h"

/* How wide the range in which a ratio lies may be, as a part of it. Of two measurements as wide as
 * that, 95 in 100 differ by no more than its half times the square root of 2, 4.2 %, and 98 by no
 * more than 5 %. */
#define RANGE_MAX 0.06

/* ---- a row's runs ---- */

/* One row, of each lab. */
struct runs {
	const json_t *row[MEASURE_RUNS_MAX];
	uint32_t n;
};

static struct report_load load_of(const json_t *row)
{
	return (struct report_load){ json_string_value(json_object_get(row, "direction")),
				     (int)report_number(row, NULL, "size"),
				     (int)report_number(row, NULL, "burst"),
				     (int)report_number(row, NULL, "guests") };
}

static const char *name_of(const json_t *row)
{
	return json_string_value(json_object_get(row, "name"));
}

static bool is_quiet(const json_t *row)
{
	return !json_is_true(json_object_get(row, "disturbed"));
}

static void gather(struct runs *runs, const json_t *labs, const char *name,
		   const struct report_load *l)
{
	const json_t *report;
	size_t i;

	json_array_foreach(labs, i, report) {
		const json_t *row = report_row(report, name, l);

		if (row && runs->n < ARRAY_SIZE(runs->row))
			runs->row[runs->n++] = row;
	}
}

static struct runs quiet_of(const struct runs *runs)
{
	struct runs quiet = { .n = 0 };

	for (uint32_t i = 0; i < runs->n; i++)
		if (is_quiet(runs->row[i]))
			quiet.row[quiet.n++] = runs->row[i];
	return quiet;
}

/* Leaves out those that were disturbed, if there are enough without them. False: there are not. */
static bool choose(struct runs *runs)
{
	struct runs quiet = quiet_of(runs);

	if (quiet.n < MIDDLE_RUNS_MIN)
		return false;
	*runs = quiet;
	return true;
}

static uint32_t values_of(const struct runs *runs, const char *object, const char *key,
			  double out[])
{
	for (uint32_t i = 0; i < runs->n; i++)
		out[i] = report_number(runs->row[i], object, key);
	return runs->n;
}

static double mean_of(const struct runs *runs, const char *object, const char *key)
{
	double sum = 0;

	for (uint32_t i = 0; i < runs->n; i++)
		sum += report_number(runs->row[i], object, key);
	return sum / runs->n;
}

static struct middle middle_in(const struct runs *runs, const char *object, const char *key)
{
	double value[MEASURE_RUNS_MAX];

	return middle_of(value, values_of(runs, object, key, value));
}

static bool known(const struct middle *m)
{
	return m->sure && m->high - m->low <= RANGE_MAX * fabs(m->is);
}

/* ---- ratios ---- */

/* With a NIC the frames of the wire have their checksums, without one they have not. */
static bool has_nic(const json_t *labs)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(json_array_get(labs, 0), "rows"), i, row)
		if (!strncmp(name_of(row), "vifd-mq-", 8))
			return true;
	return false;
}

/* Native's in all labs whose wires are like those of labs[which]. */
static struct runs natives_of(json_t *const labs[], size_t n, size_t which,
			      const struct report_load *l)
{
	struct runs runs = { .n = 0 };

	for (size_t i = 0; i < n; i++)
		if (has_nic(labs[i]) == has_nic(labs[which]))
			gather(&runs, labs[i], "native", l);
	return runs;
}

/* a over b, neither of which depends on the other. */
static struct middle quotient(const struct middle *a, const struct middle *b)
{
	double is = a->is / b->is;

	return (struct middle){
		.is = is,
		.low = is * (1 - hypot(1 - a->low / a->is, b->high / b->is - 1)),
		.high = is * (1 + hypot(a->high / a->is - 1, 1 - b->low / b->is)),
		.sure = a->sure && b->sure,
	};
}

/* Of a row whose runs are 'runs': the ratio, and whether it is known well. Where native seems to
 * cost nothing there is none: something else ran. */
static bool set_ratio(json_t *row, const struct runs *runs, struct runs *natives)
{
	struct middle native, part, ratio;
	bool quiet;

	json_object_set_new(row, "ratio_native", json_null());
	if (!natives->n)
		return false;
	quiet = choose(natives);
	native = middle_in(natives, NULL, "of_native");
	part = middle_in(runs, NULL, "of_native");
	if (native.is <= 0 || part.is <= 0)
		return false;
	ratio = quotient(&part, &native);
	json_object_set_new(row, "ratio_native", json_real(ratio.is));
	json_object_set_new(row, "ratio_range", json_pack("[f, f]", ratio.low, ratio.high));
	return quiet && known(&ratio);
}

/* Native's own ratio is 1: what is known of it, or not, is its cost. */
static bool set_native(json_t *row, const struct runs *runs)
{
	struct middle cost = middle_in(runs, "cycles_per_packet", "median");

	json_object_set_new(row, "ratio_native", json_real(1));
	json_object_set_new(row, "ratio_range", json_pack("[f, f]", 1., 1.));
	return known(&cost);
}

/* ---- rows ---- */

static json_t *json_costs(const struct runs *runs)
{
	double value[MEASURE_RUNS_MAX];
	struct summary s =
		summary_of(value, values_of(runs, "cycles_per_packet", "median", value));

	return json_pack("{s:f, s:f, s:f}", "median", s.median, "min", s.min, "max", s.max);
}

/* The means of what each part spent; a part that spent nothing in one lab may have in another. */
static json_t *json_split(const struct runs *runs)
{
	json_t *split = json_object(), *value;
	const char *part;

	for (uint32_t i = 0; i < runs->n; i++)
		json_object_foreach(json_object_get(runs->row[i], "split"), part, value)
			if (!json_object_get(split, part))
				json_object_set_new(split, part,
						    json_real(mean_of(runs, "split", part)));
	return split;
}

static json_int_t lost_of(const struct runs *runs)
{
	double lost = 0;

	for (uint32_t i = 0; i < runs->n; i++)
		lost += report_number(runs->row[i], NULL, "lost");
	return (json_int_t)lost;
}

/* 'row', of the first lab of labs[which], becomes what all came to. */
static void merge_row(json_t *row, json_t *const labs[], size_t n, size_t which)
{
	const struct report_load l = load_of(row);
	struct runs runs = { .n = 0 }, natives = natives_of(labs, n, which, &l);
	json_int_t lost;
	bool quiet;

	gather(&runs, labs[which], name_of(row), &l);
	lost = lost_of(&runs);
	json_object_set_new(row, "quiet_runs", json_integer(quiet_of(&runs).n));
	quiet = choose(&runs);
	quiet &= strcmp(name_of(row), "native") ? set_ratio(row, &runs, &natives) :
						  set_native(row, &runs);
	json_object_set_new(row, "disturbed", json_boolean(!quiet));
	json_object_set_new(row, "cycles_per_packet", json_costs(&runs));
	json_object_set_new(row, "mean_of_all_slices",
			    json_real(mean_of(&runs, NULL, "mean_of_all_slices")));
	json_object_set_new(row, "of_native",
			    json_real(middle_in(&runs, NULL, "of_native").is));
	json_object_set_new(row, "generator", json_real(mean_of(&runs, NULL, "generator")));
	json_object_set_new(row, "runs", json_integer(runs.n));
	json_object_set_new(row, "lost", json_integer(lost));
	json_object_set_new(row, "split", json_split(&runs));
}

/* ---- reports ---- */

static bool array_has(const json_t *array, const json_t *value)
{
	const json_t *item;
	size_t i;

	json_array_foreach(array, i, item)
		if (json_equal(item, value))
			return true;
	return false;
}

static void append_missing(json_t *to, const json_t *from)
{
	json_t *item;
	size_t i;

	json_array_foreach(from, i, item)
		if (!array_has(to, item))
			json_array_append(to, item);
}

/* Of vifd's paths only: native, to which each lab compares its own, and the TAP loop are the
 * first kind's. */
static void append_vifds(json_t *to, const json_t *from)
{
	json_t *item;
	size_t i;

	json_array_foreach(from, i, item)
		if (!strncmp(name_of(item), "vifd-", 5))
			json_array_append(to, item);
}

static void append(json_t *to, const json_t *from)
{
	append_vifds(json_object_get(to, "rows"), json_object_get(from, "rows"));
	append_vifds(json_object_get(to, "latency"), json_object_get(from, "latency"));
	append_missing(json_object_get(to, "missing"), json_object_get(from, "missing"));
}

/* A floor's row has no path: it is measured once. */
static json_t *merge_kind(json_t *const labs[], size_t n, size_t which)
{
	json_t *report = json_deep_copy(json_array_get(labs[which], 0)), *row;
	size_t i;

	json_array_foreach(json_object_get(report, "rows"), i, row)
		if (json_object_get(row, "of_native"))
			merge_row(row, labs, n, which);
	return report;
}

json_t *merge_labs(json_t *const labs[], size_t n)
{
	json_t *report = merge_kind(labs, n, 0);

	for (size_t i = 1; i < n; i++) {
		json_t *more = merge_kind(labs, n, i);

		if (more)
			append(report, more);
		json_decref(more);
	}
	return report;
}
