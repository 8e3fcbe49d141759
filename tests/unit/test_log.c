/* SPDX-License-Identifier: MIT */
/*
 * Log lines. stderr is a SOCK_SEQPACKET here, so that one write is one message and a
 * line that came in two would show.
 */
#include "tests/unit/unit.h"

#include "log.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener = -1, saved_stderr = -1;
static const struct vif_id vif = { .domid = 3, .devid = 1 };

static int setup(void **state)
{
	int pair[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return -1;
	saved_stderr = dup(STDERR_FILENO);
	dup2(pair[0], STDERR_FILENO);
	close(pair[0]);
	listener = pair[1];
	log_init("vifd", LOG_LVL_INFO, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(listener);
	return 0;
}

/* The next line, or NULL if none was written. */
static const char *said(void)
{
	static char line[4096];
	ssize_t n = recv(listener, line, sizeof(line) - 1, MSG_DONTWAIT);

	if (n < 0)
		return NULL;
	line[n] = '\0';
	return line;
}

static void says_level_and_scope(void **state)
{
	(void)state;
	log_error(LOG_NOBODY, "no xenstored");
	assert_string_equal(said(), "vifd: error: no xenstored\n");
	log_warning((&(struct log_scope){ &vif, -1 }), "slow");
	assert_string_equal(said(), "vifd: warning: vif=3.1: slow\n");
	log_info((&(struct log_scope){ &vif, 7 }), "tx producer %u", 300u);
	assert_string_equal(said(), "vifd: info: vif=3.1 q=7: tx producer 300\n");
}

static void says_priority_to_the_journal(void **state)
{
	static const char *const expected[] = {
		[LOG_LVL_ERROR] = "<3>vif=3.1 q=0: x\n",
		[LOG_LVL_WARNING] = "<4>vif=3.1 q=0: x\n",
		[LOG_LVL_INFO] = "<6>vif=3.1 q=0: x\n",
		[LOG_LVL_DEBUG] = "<7>vif=3.1 q=0: x\n",
	};

	(void)state;
	log_init("vifd", LOG_LVL_DEBUG, true);
	for (unsigned level = 0; level < ARRAY_SIZE(expected); level++) {
		log_line(level, &(struct log_scope){ &vif, 0 }, "x");
		assert_string_equal(said(), expected[level]);
	}
	log_error(LOG_NOBODY, "x");
	assert_string_equal(said(), "<3>x\n");
}

static void keeps_to_the_threshold(void **state)
{
	(void)state;
	log_debug(LOG_NOBODY, "x");
	assert_null(said());
	assert_false(log_wanted(LOG_LVL_DEBUG));
	assert_true(log_wanted(LOG_LVL_INFO));
	log_init("vifd", LOG_LVL_ERROR, false);
	log_warning(LOG_NOBODY, "x");
	assert_null(said());
	log_error(LOG_NOBODY, "x");
	assert_non_null(said());
}

static void escapes_what_a_guest_could_forge(void **state)
{
	(void)state;
	log_info(LOG_NOBODY, "mac '%s'", "a\nvifd: error: \x1b[2J\x7f\xc3\xa9\t~");
	assert_string_equal(said(), "vifd: info: mac 'a\\x0avifd: error: "
				    "\\x1b[2J\\x7f\\xc3\\xa9\\x09~'\n");
	assert_null(said());
}

static void cuts_long_lines(void **state)
{
	char text[3000];
	const char *line;

	(void)state;
	for (unsigned c = 'x';; c = '\n') {
		memset(text, (int)c, sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		log_info(LOG_NOBODY, "%s", text);
		line = said();
		assert_non_null(line);
		assert_true(strlen(line) > 700 && strlen(line) <= 1024);
		assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
		assert_null(said());
		if (c == '\n')
			break;
	}
}

static void leaves_errno_alone(void **state)
{
	struct log_limit limit = { 0 };

	(void)state;
	close(STDERR_FILENO);
	errno = EXDEV;
	log_error(LOG_NOBODY, "x");
	assert_int_equal(errno, EXDEV);
	log_limited(&limit, 0, LOG_LVL_ERROR, LOG_NOBODY, "x");
	assert_int_equal(errno, EXDEV);
}

static void knows_level_names(void **state)
{
	enum log_level level;

	(void)state;
	for (enum log_level l = LOG_LVL_ERROR; l <= LOG_LVL_DEBUG; l++) {
		assert_int_equal(log_level_parse(log_level_name(l), &level), 0);
		assert_int_equal(level, l);
	}
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(log_level_parse("", &level), -EINVAL);
	assert_int_equal(log_level_parse("Error", &level), -EINVAL);
}

static unsigned burst(struct log_limit *limit, uint64_t now_ns, unsigned n)
{
	unsigned n_said = 0;

	for (unsigned i = 0; i < n; i++) {
		log_limited(limit, now_ns, LOG_LVL_WARNING, LOG_NOBODY, "storm");
		n_said += said() != NULL;
	}
	return n_said;
}

static void limits_a_storm(void **state)
{
	struct log_limit limit = { 0 };
	const uint64_t begin = 1000 * NS_PER_S;

	(void)state;
	assert_int_equal(burst(&limit, begin, 1000), LOG_LIMIT_BURST);
	assert_int_equal(burst(&limit, begin + LOG_LIMIT_EVERY_NS - 1, 10), 0);
	log_limited(&limit, begin + LOG_LIMIT_EVERY_NS, LOG_LVL_WARNING, LOG_NOBODY, "storm");
	assert_string_equal(said(), "vifd: warning: storm (1005 like it suppressed)\n");
	log_limited(&limit, begin + 2 * LOG_LIMIT_EVERY_NS, LOG_LVL_WARNING, LOG_NOBODY, "%d", 1);
	assert_string_equal(said(), "vifd: warning: 1\n");
	assert_int_equal(burst(&limit, begin + 2 * LOG_LIMIT_EVERY_NS, 10), 0);
	/* Three tokens' time later three lines pass, after a long calm a whole burst. */
	assert_int_equal(burst(&limit, begin + 5 * LOG_LIMIT_EVERY_NS, 10), 3);
	assert_int_equal(burst(&limit, begin + 1000 * LOG_LIMIT_EVERY_NS, 10), LOG_LIMIT_BURST);
}

/* The bucket gains by the clock, not by when it was last asked. */
static void tokens_come_on_time(void **state)
{
	struct log_limit limit = { 0 };

	(void)state;
	assert_int_equal(burst(&limit, 0, 1), 1);
	assert_int_equal(burst(&limit, LOG_LIMIT_EVERY_NS - 1, 1), 1);
	assert_int_equal(burst(&limit, LOG_LIMIT_EVERY_NS, 10), LOG_LIMIT_BURST - 1);
}

/* However long the line, what was suppressed is said with it. */
static void a_cut_line_keeps_its_ending(void **state)
{
	struct log_limit limit = { .suppressed = UINT32_MAX };
	char text[3000];
	const char *line;

	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_limited(&limit, 0, LOG_LVL_ERROR, &(struct log_scope){ &vif, 0 }, "%s", text);
	line = said();
	assert_true(strlen(line) <= 1024);
	assert_non_null(strstr(line, "\\x0a (4294967295 like it suppressed)\n"));
}

static void limit_spares_what_nobody_wants(void **state)
{
	struct log_limit limit = { 0 };

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		log_limited(&limit, 0, LOG_LVL_DEBUG, LOG_NOBODY, "x");
	assert_null(said());
	assert_int_equal(limit.suppressed, 0);
	assert_int_equal(burst(&limit, 0, 10), LOG_LIMIT_BURST);
}

static void limits_over_days_are_exact(void **state)
{
	struct log_limit limit = { 0 };
	unsigned n_said = 0;

	(void)state;
	for (uint64_t now_ns = 0; now_ns < 3600 * NS_PER_S; now_ns += 250 * NS_PER_MS)
		n_said += burst(&limit, now_ns, 3);
	assert_int_equal(n_said, LOG_LIMIT_BURST + (3600 * NS_PER_S - 1) / LOG_LIMIT_EVERY_NS);
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(says_level_and_scope),
		LOG_TEST(says_priority_to_the_journal),
		LOG_TEST(keeps_to_the_threshold),
		LOG_TEST(escapes_what_a_guest_could_forge),
		LOG_TEST(cuts_long_lines),
		LOG_TEST(leaves_errno_alone),
		LOG_TEST(knows_level_names),
		LOG_TEST(limits_a_storm),
		LOG_TEST(tokens_come_on_time),
		LOG_TEST(a_cut_line_keeps_its_ending),
		LOG_TEST(limit_spares_what_nobody_wants),
		LOG_TEST(limits_over_days_are_exact),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
