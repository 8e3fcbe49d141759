/* SPDX-License-Identifier: MIT */
/* One report of many labs (backend/vifbench/merge.h): what is told, and what is told as known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "backend/vifbench/merge.h"
#include "backend/vifbench/report.h"

#define LABS 8u
#define GENERATOR 1000.

static const struct report_load full = { "receive", 1500, 64, 1 }, stream = { "receive", 0, 1, 1 };

/* A row as a lab tells it, of a path that costs 'cost' where native costs 'native'. */
static json_t *row(const char *name, const struct report_load *l, double cost, double native)
{
	double generator = l->size ? GENERATOR : 0;

	return json_pack("{s:s, s:i, s:s, s:i, s:i, s:{s:f, s:f, s:f}, s:f, s:f, s:f, s:i, s:b, "
			 "s:{s:f}}",
			 "name", name, "size", l->size, "direction", l->direction, "burst",
			 l->burst, "guests", l->guests, "cycles_per_packet", "median", cost, "min",
			 cost, "max", cost, "mean_of_all_slices", cost, "of_native",
			 cost / (native + generator), "generator", generator, "lost", 1,
			 "disturbed", 0, "split", "vifd", cost / 2);
}

/* A lab's report: native and one path, as datagrams and as a stream. */
static json_t *lab(const char *path, double cost, double native)
{
	json_t *report = json_pack("{s:s, s:[o, o, o, o], s:[{s:s}], s:[s]}", "bench", "lab",
				   "rows", row("native", &full, native, native),
				   row(path, &full, cost, native),
				   row("native", &stream, native, native),
				   row(path, &stream, cost, native), "latency", "name", path,
				   "missing", "a moon");

	assert_non_null(report);
	return report;
}

/* Two kinds of labs, without a NIC and with one, that all come to the same: 5 times native. */
struct labs {
	json_t *kind[2];
};

static struct labs labs_made(uint32_t n)
{
	struct labs labs = { { json_array(), json_array() } };

	for (uint32_t i = 0; i < n; i++) {
		json_array_append_new(labs.kind[0], lab("vifd-bridge", 5000, 1000));
		json_array_append_new(labs.kind[1], lab("vifd-mq-model", 2000, 1000));
	}
	return labs;
}

/* Instead of one that labs_made() made. */
static void replace(struct labs *labs, size_t kind, size_t i, json_t *lab)
{
	assert_int_equal(json_array_set_new(labs->kind[kind], i, lab), 0);
}

static json_t *merged(struct labs *labs)
{
	json_t *report = merge_labs(labs->kind, ARRAY_SIZE(labs->kind));

	json_decref(labs->kind[0]);
	json_decref(labs->kind[1]);
	return report;
}

static void disturb(json_t *lab)
{
	json_t *r;
	size_t i;

	json_array_foreach(json_object_get(lab, "rows"), i, r)
		json_object_set_new(r, "disturbed", json_true());
}

static double ratio(const json_t *report, const char *name, const struct report_load *l)
{
	return report_number(report_row(report, name, l), NULL, "ratio_native");
}

static bool disturbed(const json_t *report, const char *name, const struct report_load *l)
{
	return json_is_true(json_object_get(report_row(report, name, l), "disturbed"));
}

static void assert_near(double a, double b)
{
	assert_true(fabs(a / b - 1) < 1e-6);
}

static void labs_that_agree(void **state)
{
	struct labs labs = labs_made(LABS);
	json_t *report = merged(&labs);
	const json_t *bridge = report_row(report, "vifd-bridge", &full);

	(void)state;
	assert_int_equal(json_array_size(json_object_get(report, "rows")), 6);
	assert_int_equal(json_array_size(json_object_get(report, "latency")), 2);
	assert_int_equal(json_array_size(json_object_get(report, "missing")), 1);
	assert_near(ratio(report, "vifd-bridge", &full), 5);
	assert_near(ratio(report, "vifd-mq-model", &full), 2);
	assert_near(ratio(report, "vifd-bridge", &stream), 5);
	assert_near(ratio(report, "native", &full), 1);
	assert_near(report_number(bridge, "cycles_per_packet", "median"), 5000);
	assert_near(report_number(bridge, "split", "vifd"), 2500);
	assert_near(report_number(bridge, NULL, "runs"), LABS);
	assert_near(report_number(bridge, NULL, "lost"), LABS);
	for (size_t i = 0; i < 6; i++)
		assert_false(json_is_true(json_object_get(
			json_array_get(json_object_get(report, "rows"), i), "disturbed")));
	json_decref(report);
}

/* A whole lab may be slower: what is told is how many times slower a path is. */
static void machine_that_slows_down(void **state)
{
	struct labs labs = labs_made(LABS);
	json_t *report, *r;
	size_t i, k;

	(void)state;
	for (i = 0; i < LABS; i += 2)
		json_array_foreach(json_object_get(json_array_get(labs.kind[0], i), "rows"), k, r)
		{
			double cost = report_number(r, "cycles_per_packet", "median");

			json_object_set_new(json_object_get(r, "cycles_per_packet"), "median",
					    json_real(cost * 1.2));
		}
	report = merged(&labs);
	assert_near(ratio(report, "vifd-bridge", &full), 5);
	assert_false(disturbed(report, "vifd-bridge", &full));
	assert_true(disturbed(report, "native", &full)); /* its cost is not known */
	json_decref(report);
}

static void one_lab_off(void **state)
{
	struct labs labs = labs_made(LABS);
	json_t *report;

	(void)state;
	replace(&labs, 0, 3, lab("vifd-bridge", 9000, 1000));
	report = merged(&labs);
	assert_near(ratio(report, "vifd-bridge", &full), 5);
	assert_near(report_number(report_row(report, "vifd-bridge", &full), "cycles_per_packet",
				  "max"),
		    9000);
	json_decref(report);
}

/* A path that is another one in each lab: its own ratio is not known, others' are. */
static void labs_that_differ(void **state)
{
	struct labs labs = labs_made(LABS);
	json_t *report;

	(void)state;
	for (size_t i = 0; i < LABS; i++)
		replace(&labs, 0, i, lab("vifd-bridge", 5000 + 150 * (double)i, 1000));
	report = merged(&labs);
	assert_true(ratio(report, "vifd-bridge", &full) > 5);
	assert_true(disturbed(report, "vifd-bridge", &full));
	assert_true(disturbed(report, "vifd-bridge", &stream));
	assert_false(disturbed(report, "vifd-mq-model", &full));
	assert_false(disturbed(report, "native", &full));
	json_decref(report);
}

/*
 * Native's part of its cost with the generator is all that is not known: no ratio to it is, of
 * labs with such a wire. A stream has no generator, and its native is known.
 */
static void native_that_varies(void **state)
{
	struct labs labs = labs_made(LABS);
	json_t *report;

	(void)state;
	for (size_t i = 0; i < LABS; i++) {
		double native = 1000 + 100 * (double)i;

		replace(&labs, 0, i, lab("vifd-bridge", 5 * (native + GENERATOR) / 2, native));
	}
	report = merged(&labs);
	assert_true(disturbed(report, "vifd-bridge", &full));
	assert_true(disturbed(report, "native", &full));
	assert_false(disturbed(report, "vifd-mq-model", &full));
	json_decref(report);
}

/* Labs whose wires are alike tell together what native costs. */
static void natives_of_all_labs(void **state)
{
	struct labs labs = labs_made(LABS);
	json_t *report;

	(void)state;
	json_decref(labs.kind[1]);
	labs.kind[1] = json_array();
	for (size_t i = 0; i < LABS; i++) {
		replace(&labs, 0, i, lab("vifd-bridge", 5000, i % 2 ? 1000 : 1001));
		json_array_append_new(labs.kind[1], lab("vifd-bridge-static", 5000, 1100));
	}
	report = merged(&labs);
	assert_true(ratio(report, "vifd-bridge", &full) > 4.7);
	assert_true(ratio(report, "vifd-bridge", &full) < 4.9);
	json_decref(report);
}

static void too_few_labs(void **state)
{
	struct labs labs = labs_made(5);
	json_t *report = merged(&labs);

	(void)state;
	assert_near(ratio(report, "vifd-bridge", &full), 5);
	assert_true(disturbed(report, "vifd-bridge", &full));
	assert_true(disturbed(report, "native", &full));
	json_decref(report);
}

/* Those count that were quiet; where too few were, all. */
static void disturbed_labs(void **state)
{
	struct labs labs = labs_made(LABS);
	json_t *report;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		json_t *loud = lab("vifd-bridge", 9000, 1000);

		disturb(loud);
		replace(&labs, 0, i, loud);
		if (i < 2)
			disturb(json_array_get(labs.kind[1], i));
	}
	report = merged(&labs);
	assert_true(disturbed(report, "vifd-bridge", &full));
	assert_near(report_number(report_row(report, "vifd-bridge", &full), NULL, "runs"), LABS);
	assert_false(disturbed(report, "vifd-mq-model", &full));
	assert_near(report_number(report_row(report, "vifd-mq-model", &full), NULL, "runs"),
		    LABS - 2);
	json_decref(report);
}

/* A kind whose labs all failed has no rows, and takes none from the others. */
static void labs_that_failed(void **state)
{
	struct labs labs = labs_made(LABS);
	json_t *report;

	(void)state;
	json_array_clear(labs.kind[1]);
	report = merged(&labs);
	assert_int_equal(json_array_size(json_object_get(report, "rows")), 4);
	assert_near(ratio(report, "vifd-bridge", &full), 5);
	assert_false(disturbed(report, "vifd-bridge", &full));
	json_decref(report);
}

/* Where native seems to cost nothing there is no ratio. */
static void native_for_nothing(void **state)
{
	struct labs labs = labs_made(0);
	json_t *report;

	(void)state;
	for (size_t i = 0; i < LABS; i++)
		json_array_append_new(labs.kind[0], lab("vifd-bridge", 5000, -10));
	report = merged(&labs);
	assert_true(json_is_null(
		json_object_get(report_row(report, "vifd-bridge", &full), "ratio_native")));
	assert_true(disturbed(report, "vifd-bridge", &full));
	json_decref(report);
}

/* What was measured once only stays as it is. */
static void floors(void **state)
{
	struct labs labs = labs_made(LABS);
	json_t *rows = json_object_get(json_array_get(labs.kind[0], 0), "rows");
	json_t *floor = row("memcpy-floor", &full, 70, 1000), *report;

	(void)state;
	json_object_del(floor, "of_native");
	json_array_append_new(rows, json_deep_copy(floor));
	report = merged(&labs);
	assert_true(json_equal(report_row(report, "memcpy-floor", &full), floor));
	json_decref(floor);
	json_decref(report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labs_that_agree),
		cmocka_unit_test(machine_that_slows_down),
		cmocka_unit_test(one_lab_off),
		cmocka_unit_test(labs_that_differ),
		cmocka_unit_test(native_that_varies),
		cmocka_unit_test(natives_of_all_labs),
		cmocka_unit_test(too_few_labs),
		cmocka_unit_test(disturbed_labs),
		cmocka_unit_test(labs_that_failed),
		cmocka_unit_test(native_for_nothing),
		cmocka_unit_test(floors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
