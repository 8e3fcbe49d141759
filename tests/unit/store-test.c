/* SPDX-License-Identifier: MIT */
/*
 * What test_store.sh runs on the real xenstored: values that are and are not what they
 * should be, watches, transactions that collide; with --guest, what a guest may not do.
 */
#include "tests/unit/unit.h"

#include "store.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "/tool/store-test"

static struct store store;

static int setup(void **state)
{
	(void)state;
	if (store_open(&store))
		return -1;
	store_remove(&store, XBT_NULL, ROOT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_remove(&store, XBT_NULL, ROOT);
	store_close(&store);
	return 0;
}

static void reads_what_was_written(void **state)
{
	char value[32];

	(void)state;
	assert_int_equal(store_write(&store, XBT_NULL, "00:16:3e:01:02:03", ROOT "/%d/mac", 3), 0);
	assert_int_equal(store_read(&store, XBT_NULL, value, sizeof(value), ROOT "/%d/mac", 3), 0);
	assert_string_equal(value, "00:16:3e:01:02:03");
	assert_true(store_exists(&store, XBT_NULL, ROOT "/3"));
	assert_int_equal(store_write(&store, XBT_NULL, "", ROOT "/empty"), 0);
	assert_int_equal(store_read(&store, XBT_NULL, value, sizeof(value), ROOT "/empty"), 0);
	assert_string_equal(value, "");
	assert_int_equal(store_remove(&store, XBT_NULL, ROOT "/3"), 0);
	assert_false(store_exists(&store, XBT_NULL, ROOT "/3/mac"));
	assert_int_equal(store_read(&store, XBT_NULL, value, sizeof(value), ROOT "/3/mac"),
			 -ENOENT);
	assert_int_equal(store_remove(&store, XBT_NULL, ROOT "/3"), 0);
	assert_int_equal(store_remove(&store, XBT_NULL, ROOT "/3/deep/down"), 0);
}

/* Writes bytes as another domain might, past store_write()'s strings. */
static void write_raw(const char *bytes, unsigned size)
{
	assert_true(xs_write(store.handle, XBT_NULL, ROOT "/raw", bytes, size));
}

static void refuses_values_that_are_no_text(void **state)
{
	static const struct {
		const char *bytes;
		unsigned size;
		int expected;
	} cases[] = {
		{ "connected", 9, 0 },	      { "connected\0", 10, -EILSEQ },
		{ "a\nb", 3, -EILSEQ },	      { "\x1b[2J", 4, -EILSEQ },
		{ "\x7f", 1, -EILSEQ },	      { "\0", 1, -EILSEQ },
		{ "fifteen bytes..", 15, 0 }, { "sixteen bytes...", 16, -ENAMETOOLONG },
		{ "caf\xc3\xa9", 5, 0 },
	};
	char value[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		write_raw(cases[i].bytes, cases[i].size);
		assert_int_equal(store_read(&store, XBT_NULL, value, sizeof(value), ROOT "/raw"),
				 cases[i].expected);
		if (!cases[i].expected)
			assert_string_equal(value, cases[i].bytes);
	}
}

static void reads_numbers_and_nothing_else(void **state)
{
	static const struct {
		const char *text;
		int expected;
		uint32_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "7", 0, 7 },
		{ "0000000042", 0, 42 },
		{ "4294967294", 0, 4294967294u },
		{ "4294967295", -ERANGE, 0 },
		{ "4294967296", -ERANGE, 0 },
		{ "99999999999", -ERANGE, 0 },
		{ "999999999999999", -ERANGE, 0 },
		{ "18446744073709551617", -EINVAL, 0 }, /* 2^64 + 1 */
		{ "", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
		{ "one", -EINVAL, 0 },
		{ "1\n", -EINVAL, 0 },
	};
	uint32_t value;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		write_raw(cases[i].text, (unsigned)strlen(cases[i].text));
		value = 0xabad1dea;
		assert_int_equal(
		    store_read_uint(&store, XBT_NULL, 4294967294u, &value, ROOT "/raw"),
		    cases[i].expected);
		assert_int_equal(value, cases[i].expected ? 0xabad1dea : cases[i].value);
	}
	assert_int_equal(store_read_uint(&store, XBT_NULL, 1, &value, ROOT "/no"), -ENOENT);
	assert_int_equal(store_read_uint_or(&store, XBT_NULL, 1, 5, &value, ROOT "/no"), 0);
	assert_int_equal(value, 5);
	assert_int_equal(store_read_uint_or(&store, XBT_NULL, 1, 5, &value, ROOT "/raw"), -EINVAL);
}

static void refuses_paths_beyond_the_limit(void **state)
{
	char name[XENSTORE_ABS_PATH_MAX + 2], value[4];
	char **names;
	unsigned n;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(store_read(&store, XBT_NULL, value, sizeof(value), "%s", name),
			 -ENAMETOOLONG);
	assert_int_equal(store_write(&store, XBT_NULL, "", "%s", name), -ENAMETOOLONG);
	assert_int_equal(store_remove(&store, XBT_NULL, "%s", name), -ENAMETOOLONG);
	assert_int_equal(store_list(&store, XBT_NULL, &names, &n, "%s", name), -ENAMETOOLONG);
	assert_int_equal(store_watch(&store, "t", "%s", name), -ENAMETOOLONG);
	assert_int_equal(store_unwatch(&store, "t", "%s", name), -ENAMETOOLONG);
	assert_false(store_exists(&store, XBT_NULL, "%s", name));
}

static void lists_children(void **state)
{
	char **names;
	unsigned n;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(store_write(&store, XBT_NULL, "x", ROOT "/list/%u/y", i), 0);
	assert_int_equal(store_list(&store, XBT_NULL, &names, &n, ROOT "/list"), 0);
	assert_int_equal(n, 5);
	free(names);
	assert_int_equal(store_list(&store, XBT_NULL, &names, &n, ROOT "/list/0/y"), 0);
	assert_int_equal(n, 0);
	free(names);
	assert_int_equal(store_list(&store, XBT_NULL, &names, &n, ROOT "/nowhere"), -ENOENT);
}

/* The next event, waited for. */
static struct store_event next_event(void)
{
	struct pollfd p = { .fd = store_fd(&store), .events = POLLIN };
	struct store_event event;
	int err;

	while ((err = store_next_event(&store, &event)) == -EAGAIN)
		assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(err, 0);
	return event;
}

static void watches_tell_path_and_token(void **state)
{
	struct store_event event;

	(void)state;
	assert_int_equal(store_watch(&store, "vif/3/0", ROOT "/%s", "watched"), 0);
	event = next_event(); /* at once: what was there before */
	assert_string_equal(event.path, ROOT "/watched");
	assert_string_equal(event.token, "vif/3/0");
	assert_int_equal(store_next_event(&store, &event), -EAGAIN);

	assert_int_equal(store_write(&store, XBT_NULL, "4", ROOT "/watched/state"), 0);
	event = next_event();
	assert_string_equal(event.path, ROOT "/watched/state");
	assert_string_equal(event.token, "vif/3/0");

	assert_int_equal(store_unwatch(&store, "vif/3/0", ROOT "/watched"), 0);
	assert_int_equal(store_write(&store, XBT_NULL, "5", ROOT "/watched/state"), 0);
	assert_int_equal(store_next_event(&store, &event), -EAGAIN);
	assert_int_equal(store_unwatch(&store, "vif/3/0", ROOT "/watched"), -ENOENT);
}

/* A body that another writer runs into the first n_collisions times. */
struct collision {
	struct store other;
	unsigned n_collisions, n_runs;
	int result;
};

static int collide(struct store *s, xs_transaction_t t, void *arg)
{
	struct collision *c = arg;
	char value[16];

	c->n_runs++;
	(void)!store_read(s, t, value, sizeof(value), ROOT "/tx");
	if (c->n_runs <= c->n_collisions)
		assert_int_equal(store_write(&c->other, XBT_NULL, "theirs", ROOT "/tx"), 0);
	assert_int_equal(store_write(s, t, "ours", ROOT "/tx"), 0);
	return c->result;
}

static void transactions_try_again(void **state)
{
	static const struct {
		unsigned n_collisions;
		int result, expected;
		unsigned n_runs;
		const char *value;
	} cases[] = {
		{ 0, 0, 0, 1, "ours" },
		{ 3, 0, 0, 4, "ours" },
		{ 15, 0, 0, 16, "ours" },
		{ 99, 0, -EAGAIN, 16, "theirs" },
		{ 0, -EPROTO, -EPROTO, 1, "before" },
	};
	char value[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct collision c = { .n_collisions = cases[i].n_collisions,
				       .result = cases[i].result };

		assert_int_equal(store_write(&store, XBT_NULL, "before", ROOT "/tx"), 0);
		assert_int_equal(store_open(&c.other), 0);
		assert_int_equal(store_transact(&store, collide, &c), cases[i].expected);
		assert_int_equal(c.n_runs, cases[i].n_runs);
		assert_int_equal(store_read(&store, XBT_NULL, value, sizeof(value), ROOT "/tx"), 0);
		assert_string_equal(value, cases[i].value);
		store_close(&c.other);
	}
}

/* ---- as a guest ---- */

static void a_guest_meets_eacces(void **state)
{
	char value[16];
	char **names;
	unsigned n;

	(void)state;
	assert_int_equal(store_write(&store, XBT_NULL, "x", "/tool/not-mine"), -EACCES);
	assert_int_equal(store_remove(&store, XBT_NULL, "/tool"), -EACCES);
	assert_int_equal(store_read(&store, XBT_NULL, value, sizeof(value), "/tool"), -EACCES);
	assert_int_equal(store_list(&store, XBT_NULL, &names, &n, "/tool"), -EACCES);
	assert_false(store_exists(&store, XBT_NULL, "/tool"));
}

static void no_xenstored_is_said(void **state)
{
	struct store nobody;

	(void)state;
	setenv("XENSTORED_RUNDIR", "/nonexistent", 1);
	assert_int_equal(store_open(&nobody), -ENOENT);
	store_close(&nobody);
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(reads_what_was_written),
		STORE_TEST(refuses_values_that_are_no_text),
		STORE_TEST(reads_numbers_and_nothing_else),
		STORE_TEST(refuses_paths_beyond_the_limit),
		STORE_TEST(lists_children),
		STORE_TEST(watches_tell_path_and_token),
		STORE_TEST(transactions_try_again),
		cmocka_unit_test(no_xenstored_is_said),
	};
	const struct CMUnitTest guest_tests[] = {
		STORE_TEST(a_guest_meets_eacces),
	};

	if (argc > 1 && strcmp(argv[1], "--guest") == 0)
		return cmocka_run_group_tests_name("store as a guest", guest_tests, NULL, NULL);
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
