/* SPDX-License-Identifier: MIT */
/* See natives.h. */
#include "backend/vifbench/natives.h"

#include <math.h>
#include <string.h>

#include "backend/vifbench/report.h"

/* What native's cost may differ by between labs, for ratios to it to be told. */
#define NATIVES_WITHIN 0.05

static struct report_load load_of(const json_t *row)
{
	return (struct report_load){ json_string_value(json_object_get(row, "direction")),
				     (int)report_number(row, NULL, "size"),
				     (int)report_number(row, NULL, "burst"),
				     (int)report_number(row, NULL, "guests") };
}

static bool same_load(const json_t *a, const json_t *b)
{
	const struct report_load x = load_of(a), y = load_of(b);

	return x.size == y.size && x.burst == y.burst && x.guests == y.guests &&
	       !strcmp(x.direction, y.direction);
}

/* In a lab with a NIC the generator's frames have their checksums, in the others they have not. */
static bool same_lab(const json_t *a, const json_t *b)
{
	const char *x = json_string_value(json_object_get(a, "name"));
	const char *y = json_string_value(json_object_get(b, "name"));

	return !strncmp(x, "vifd-mq-", 8) == !strncmp(y, "vifd-mq-", 8);
}

void natives_note(json_t *report)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(report, "rows"), i, row) {
		const struct report_load l = load_of(row);
		const json_t *native = report_row(report, "native", &l);

		if (native && !json_is_true(json_object_get(native, "disturbed")))
			json_object_set_new(
			    row, "native",
			    json_real(report_number(native, "cycles_per_packet", "median")));
	}
}

/* Of labs that are alike: by how much native's cost differs, as a part of the least. */
static double spread_of_native(const json_t *rows, const json_t *like)
{
	double least = INFINITY, most = 0;
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		double native = report_number(row, NULL, "native");

		if (native <= 0 || !same_lab(row, like) || !same_load(row, like))
			continue;
		least = fmin(least, native);
		most = fmax(most, native);
	}
	return most > 0 ? most / least - 1 : 0;
}

void natives_compare(json_t *report)
{
	json_t *rows = json_object_get(report, "rows"), *row;
	size_t i;

	json_array_foreach(rows, i, row)
		if (report_number(row, NULL, "native") > 0 &&
		    spread_of_native(rows, row) > NATIVES_WITHIN)
			json_object_set_new(row, "disturbed", json_true());
}
