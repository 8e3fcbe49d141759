/* SPDX-License-Identifier: MIT */
/*
 * Clients of one domain share its xenstore ring through a store proxy: an
 * unmodified libxenstore in each, permissions by the real xenstored. Run by
 * test_store.sh with XENSTORED_RUNDIR naming domain 1's proxy; argv[1] is domain
 * 0's run directory.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <xenstore.h>

#define DATA	   "/local/domain/1/data"
#define TIMEOUT_MS 10000

static char proxy_dir[100], dom0_dir[100];

static struct xs_handle *open_store(const char *dir)
{
	struct xs_handle *xs;

	setenv("XENSTORED_RUNDIR", dir, 1);
	xs = xs_open(0);
	assert_non_null(xs);
	return xs;
}

static bool put(struct xs_handle *xs, xs_transaction_t t, const char *path, const char *value)
{
	return xs_write(xs, t, path, value, (unsigned int)strlen(value));
}

/* The next event's token, or NULL in time. */
static char *next_token(struct xs_handle *xs, char *path, size_t size)
{
	static char token[64];
	struct pollfd pfd = { xs_fileno(xs), POLLIN, 0 };
	char **event;

	for (;;) {
		event = xs_check_watch(xs);
		if (event)
			break;
		if (errno != EAGAIN || poll(&pfd, 1, TIMEOUT_MS) != 1)
			return NULL;
	}
	snprintf(path, size, "%s", event[XS_WATCH_PATH]);
	snprintf(token, sizeof(token), "%s", event[XS_WATCH_TOKEN]);
	free(event);
	return token;
}

static void permissions_are_the_domains(void **state)
{
	struct xs_handle *xs = open_store(proxy_dir);
	unsigned int n;

	(void)state;
	assert_true(put(xs, 0, DATA "/mine", "1"));
	assert_true(put(xs, 0, "data/relative", "2")); /* to the domain's own directory */
	free(xs_read(xs, 0, DATA "/relative", &n));
	assert_int_equal(n, 1);
	assert_false(put(xs, 0, "/local/domain/2/data/x", "1"));
	assert_int_equal(errno, EACCES);
	assert_false(put(xs, 0, "/local/domain/1/name", "other"));
	assert_int_equal(errno, EACCES);
	assert_null(xs_read(xs, 0, "/libxl/1", &n));
	assert_int_equal(errno, EACCES);
	assert_false(xs_introduce_domain(xs, 2, 0, 1));
	xs_close(xs);
}

/* Same path, same token, two clients: each its own events and its own unwatch. */
static void watches_are_the_clients_own(void **state)
{
	struct xs_handle *a = open_store(proxy_dir), *b = open_store(proxy_dir);
	struct xs_handle *dom0 = open_store(dom0_dir);
	char path[128];

	(void)state;
	assert_true(xs_watch(a, DATA "/w", "token"));
	assert_true(xs_watch(b, DATA "/w", "token"));
	assert_false(xs_watch(a, DATA "/w", "token"));
	assert_int_equal(errno, EEXIST);
	assert_string_equal(next_token(a, path, sizeof(path)), "token"); /* it fires at once */
	assert_string_equal(next_token(b, path, sizeof(path)), "token");
	assert_true(put(dom0, 0, DATA "/w/below", "1"));
	assert_string_equal(next_token(a, path, sizeof(path)), "token");
	assert_string_equal(path, DATA "/w/below");
	assert_string_equal(next_token(b, path, sizeof(path)), "token");
	assert_true(xs_unwatch(a, DATA "/w", "token"));
	assert_true(put(dom0, 0, DATA "/w/below", "2"));
	assert_string_equal(next_token(b, path, sizeof(path)), "token");
	assert_null(xs_check_watch(a));
	xs_close(a);
	xs_close(b);
	xs_close(dom0);
}

static void transactions(void **state)
{
	struct xs_handle *a = open_store(proxy_dir), *b = open_store(proxy_dir);
	xs_transaction_t t = xs_transaction_start(a), u;
	unsigned int n;

	(void)state;
	assert_true(t);
	xs_rm(a, 0, DATA "/t");
	assert_true(xs_transaction_end(a, t, true));
	t = xs_transaction_start(a);
	assert_true(put(a, t, DATA "/t", "inside"));
	assert_null(xs_read(b, 0, DATA "/t", &n));
	assert_true(xs_transaction_end(a, t, false));
	free(xs_read(b, 0, DATA "/t", &n));
	assert_int_equal(n, 6);
	t = xs_transaction_start(a);
	u = xs_transaction_start(b);
	assert_true(t && u && t != u);
	assert_true(put(a, t, DATA "/t", "a"));
	assert_true(put(b, u, DATA "/t", "b"));
	assert_true(xs_transaction_end(a, t, false));
	assert_false(xs_transaction_end(b, u, false));
	assert_int_equal(errno, EAGAIN);
	xs_close(a);
	xs_close(b);
}

/* xenstored allows a domain 10 transactions and 128 watches: clients that come,
 * take some and are killed would soon use them up. */
static void dead_clients_leave_nothing(void **state)
{
	struct xs_handle *xs;

	(void)state;
	for (int i = 0; i < 15; i++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			char token[16];

			xs = open_store(proxy_dir);
			for (int w = 0; w < 12; w++) {
				snprintf(token, sizeof(token), "t%d", w);
				if (!xs_watch(xs, DATA, token))
					_exit(1);
			}
			for (int t = 0; t < 3; t++)
				if (!xs_transaction_start(xs))
					_exit(1);
			raise(SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
	xs = open_store(proxy_dir);
	for (int i = 0; i < 10; i++)
		assert_true(xs_transaction_start(xs));
	xs_close(xs);
}

static void big_values(void **state)
{
	struct xs_handle *xs = open_store(proxy_dir);
	char value[2049], *got;
	unsigned int n;

	(void)state;
	memset(value, 'v', sizeof(value));
	for (int i = 0; i < 50; i++) {
		assert_true(xs_write(xs, 0, DATA "/big", value, 2000));
		got = xs_read(xs, 0, DATA "/big", &n);
		assert_int_equal(n, 2000);
		assert_memory_equal(got, value, 2000);
		free(got);
	}
	assert_false(xs_write(xs, 0, DATA "/big", value, 2049)); /* xenstored's quota */
	xs_close(xs);
}

/* Several at once, each in its own key, every answer the right client's. */
static void many_clients_at_once(void **state)
{
	pid_t pids[6];
	int status;

	(void)state;
	for (int i = 0; i < 6; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		struct xs_handle *xs = open_store(proxy_dir);
		char path[64], value[32];

		snprintf(path, sizeof(path), DATA "/client%d", i);
		for (int k = 0; k < 200; k++) {
			unsigned int n;
			char *got;

			snprintf(value, sizeof(value), "%d of %d", k, i);
			if (!put(xs, 0, path, value))
				_exit(1);
			got = xs_read(xs, 0, path, &n);
			if (!got || strcmp(got, value))
				_exit(2);
			free(got);
		}
		_exit(0);
	}
	for (int i = 0; i < 6; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

static int raw_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", proxy_dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* A malformed client loses its connection; the others do not notice. */
static void malformed_clients(void **state)
{
	const uint32_t too_long[4] = { 2, 0, 0, 1u << 20 };
	const uint32_t watch_nothing[4] = { 4, 7, 0, 0 };
	struct xs_handle *xs = open_store(proxy_dir);
	char reply[64] = "";
	int fd = raw_connect(), half = raw_connect();

	(void)state;
	assert_int_equal(write(half, too_long, 7), 7);
	assert_int_equal(write(fd, too_long, sizeof(too_long)), sizeof(too_long));
	assert_true(read(fd, reply, sizeof(reply)) <= 0);
	close(fd);
	fd = raw_connect();
	assert_int_equal(write(fd, watch_nothing, sizeof(watch_nothing)), sizeof(watch_nothing));
	assert_int_equal(recv(fd, reply, 16 + 7, MSG_WAITALL), 16 + 7);
	assert_string_equal(reply + 16, "EINVAL");
	assert_true(put(xs, 0, DATA "/still", "here"));
	close(fd);
	close(half);
	xs_close(xs);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(permissions_are_the_domains),
		cmocka_unit_test(watches_are_the_clients_own),
		cmocka_unit_test(transactions),
		cmocka_unit_test(dead_clients_leave_nothing),
		cmocka_unit_test(big_values),
		cmocka_unit_test(many_clients_at_once),
		cmocka_unit_test(malformed_clients),
	};

	if (argc != 2 || !getenv("XENSTORED_RUNDIR"))
		return 2;
	snprintf(proxy_dir, sizeof(proxy_dir), "%s", getenv("XENSTORED_RUNDIR"));
	snprintf(dom0_dir, sizeof(dom0_dir), "%s", argv[1]);
	return cmocka_run_group_tests_name("hosted store", tests, NULL, NULL);
}
