/* SPDX-License-Identifier: MIT */
/* Ratios of several labs in one report: none is told as quiet where native's cost differs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/vifbench/natives.h"

static json_t *row(const char *name, int burst, double median, bool disturbed)
{
	return json_pack("{s:s, s:i, s:s, s:i, s:i, s:{s:f}, s:b}", "name", name, "size", 1500,
			 "direction", "receive", "burst", burst, "guests", 1, "cycles_per_packet",
			 "median", median, "disturbed", disturbed);
}

/* A lab: native, and a path beside it, by bursts of 1 and of 64. */
static json_t *lab(const char *name, double native_1, double native_64, bool disturbed)
{
	json_t *report = json_pack("{s:[o, o, o, o]}", "rows", row("native", 1, native_1, false),
				   row("native", 64, native_64, disturbed),
				   row(name, 1, 5000, false), row(name, 64, 5000, false));

	assert_non_null(report);
	natives_note(report);
	return report;
}

/* The labs' rows in one report, natives of the first only. Which are disturbed, a letter each. */
static void compared(json_t *labs[], size_t n, const char *expected)
{
	json_t *all = json_pack("{s:o}", "rows", json_array()), *r;
	json_t *rows = json_object_get(all, "rows");
	size_t i;

	for (size_t k = 0; k < n; k++) {
		json_array_foreach(json_object_get(labs[k], "rows"), i, r)
			if (!k || i > 1)
				json_array_append(rows, r);
		json_decref(labs[k]);
	}
	natives_compare(all);
	json_array_foreach(rows, i, r)
		assert_int_equal(json_is_true(json_object_get(r, "disturbed")), expected[i] == 'd');
	assert_int_equal(json_array_size(rows), strlen(expected));
	json_decref(all);
}

static void labs_that_agree(void **state)
{
	(void)state;
	compared((json_t *[]){ lab("vifd-bridge", 700, 600, false),
			       lab("vifd-bridge-static", 680, 620, false) },
		 2, "......");
}

static void labs_that_differ(void **state)
{
	(void)state;
	compared((json_t *[]){ lab("vifd-bridge", 700, 600, false),
			       lab("vifd-bridge-static", 680, 640, false) },
		 2, ".d.d.d");
}

/* With a NIC native is another thing; only what is known is compared. */
static void labs_that_are_not_alike(void **state)
{
	(void)state;
	compared((json_t *[]){ lab("vifd-bridge", 700, 600, false),
			       lab("vifd-mq-afxdp", 900, 800, false),
			       lab("vifd-mq-model", 800, 900, true) },
		 3, "....d.d.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labs_that_agree),
		cmocka_unit_test(labs_that_differ),
		cmocka_unit_test(labs_that_are_not_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
