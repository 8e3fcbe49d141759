/* SPDX-License-Identifier: MIT */
/* 'vifbench host': what two samples of a host come to (backend/vifbench/host.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "backend/vifbench/host.h"

#define HZ 2e9

/* Two processors and a second: one idle, one busy for 0.8 s, of which dom0 had 0.5 s,
 * domain 3 0.2 s and nobody 0.1 s. */
static struct host_sample before, after;

static json_t *stats(int from_guest, int to_guest)
{
	return json_pack("{s:[{s:s, s:{s:i, s:i}, s:{s:i, s:i, s:i}}]}", "vifs", "vif", "vif3.0",
			 "from_guest", "frames", from_guest, "grant_ops", from_guest * 2,
			 "to_guest", "frames", to_guest, "static_copies", to_guest, "events", 7);
}

static int begin(void **state)
{
	(void)state;
	before = (struct host_sample){ .at_ns = 5 * NS_PER_S,
				       .n_cpus = 2,
				       .idle_ns = { 100, 200 },
				       .n_domains = 2,
				       .domain = { { 0, 7000 }, { 3, 9000 } },
				       .stats = stats(10, 20) };
	after = (struct host_sample){
		.at_ns = 6 * NS_PER_S,
		.n_cpus = 2,
		.idle_ns = { 100 + NS_PER_S, 200 + NS_PER_S / 5 },
		.n_domains = 2,
		.domain = { { 0, 7000 + NS_PER_S / 2 }, { 3, 9000 + NS_PER_S / 5 } },
		.vifs = json_pack("{s:[{s:s, s:i, s:s}]}", "vifs", "vif", "vif3.0", "domid", 3,
				  "model", "bridge"),
		.stats = stats(10 + 600, 20 + 400),
	};
	return 0;
}

static int end(void **state)
{
	(void)state;
	host_sample_free(&before);
	host_sample_free(&after);
	return 0;
}

static double number(const json_t *o, const char *a, const char *b)
{
	const json_t *v = json_object_get(json_object_get(o, a), b);

	assert_true(json_is_number(v));
	return json_number_value(v);
}

static void a_reading(void **state)
{
	json_t *r = host_reading(&before, &after, HZ, 0);
	const json_t *vif = json_array_get(json_object_get(r, "vifs"), 0);

	(void)state;
	assert_float_equal(json_number_value(json_object_get(r, "packets")), 1000, 1e-6);
	assert_float_equal(number(r, "cycles_per_packet", "all"), 0.8 * HZ / 1000, 1);
	assert_float_equal(number(r, "cycles_per_packet", "backend"), 0.5 * HZ / 1000, 1);
	assert_float_equal(number(r, "cycles_per_packet", "guests"), 0.2 * HZ / 1000, 1);
	assert_float_equal(number(r, "cycles_per_packet", "xen"), 0.1 * HZ / 1000, 1);
	assert_float_equal(number(json_object_get(r, "models"), "bridge", "share"), 1, 1e-6);
	assert_float_equal(json_number_value(json_object_get(vif, "guest_cycles_per_packet")),
			   0.2 * HZ / 1000, 1);
	assert_float_equal(json_number_value(json_array_get(json_object_get(r, "cpus_busy"), 1)),
			   0.8, 1e-6);
	json_decref(r);
}

/* 600 from the guest with two grant operations each, 400 to it with a static copy. */
static void what_it_counted(void **state)
{
	json_t *r = host_reading(&before, &after, HZ, 0);
	const json_t *c = json_object_get(r, "counts");

	(void)state;
	assert_float_equal(number(r, "counts", "copies"), 1.6, 1e-6);
	assert_float_equal(number(r, "counts", "grant_ops"), 1.2, 1e-6);
	assert_float_equal(number(r, "counts", "events"), 0, 1e-6);
	assert_float_equal(number(c, "from_guest", "copies"), 2, 1e-6);
	assert_float_equal(number(c, "to_guest", "copies"), 1, 1e-6);
	assert_float_equal(number(c, "to_guest", "grant_ops"), 0, 1e-6);
	json_decref(r);
}

/* No packets: no figure, rather than one divided by nothing. */
static void an_idle_host(void **state)
{
	json_t *r;

	(void)state;
	json_decref(after.stats);
	after.stats = stats(10, 20);
	r = host_reading(&before, &after, HZ, 0);
	assert_true(json_is_null(json_object_get(json_object_get(r, "cycles_per_packet"), "all")));
	assert_true(json_is_null(json_object_get(r, "counts")));
	json_decref(r);
}

/* vifd was restarted in between, and the vif is in one answer only. */
static void what_comes_and_goes(void **state)
{
	json_t *r;

	(void)state;
	json_decref(after.stats);
	after.stats = stats(1, 2);
	r = host_reading(&before, &after, HZ, 0);
	assert_float_equal(json_number_value(json_object_get(r, "packets")), 0, 1e-6);
	json_decref(r);

	json_decref(after.vifs);
	after.vifs = json_pack("{s:[]}", "vifs");
	r = host_reading(&before, &after, HZ, 0);
	assert_int_equal(json_array_size(json_object_get(r, "vifs")), 0);
	json_decref(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_reading, begin, end),
		cmocka_unit_test_setup_teardown(what_it_counted, begin, end),
		cmocka_unit_test_setup_teardown(an_idle_host, begin, end),
		cmocka_unit_test_setup_teardown(what_comes_and_goes, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
