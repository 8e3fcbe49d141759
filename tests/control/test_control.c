/* SPDX-License-Identifier: MIT */
/*
 * Control's parts that need no Xen: the configuration, the operator's socket against
 * bad clients, slots and messages against a bad datapath, the supervisor on a clock
 * of ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/control/api.h"
#include "backend/control/config.h"
#include "backend/control/environment.h"
#include "backend/control/supervise.h"
#include "backend/control/workers.h"
#include "features.h"

/* ---- vifd.conf ---- */

static int read_config(const char *text, struct config *c, struct config_error *err)
{
	char path[] = "/tmp/test-control-XXXXXX";
	int rc, fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	config_defaults(c);
	rc = config_read(c, path, err);
	unlink(path);
	return rc;
}

static void config_is_read(void **state)
{
	struct config_error err = { "" };
	struct config c;

	(void)state;
	assert_int_equal(read_config("# a comment\n[vifd]\nworkers = 3\nuser=root\n"
				     "socket = /tmp/x.sock ; inline\nlog_level = debug\n"
				     "max_queues = 8\nhotplug_timeout_s=7\ncarrier = uplink\n"
				     "datapath_nice = -7\nrx_drain_timeout_ms = 10\n"
				     "rx_stall_timeout_ms = 0\n"
				     "withhold = gso-tcpv6, csum-v6\n", &c, &err), 0);
	assert_int_equal(c.n_workers, 3);
	assert_string_equal(c.user, "root");
	assert_string_equal(c.socket_path, "/tmp/x.sock");
	assert_int_equal(c.log_level, LOG_LVL_DEBUG);
	assert_int_equal(config_max_queues(&c), 8);
	assert_int_equal(c.hotplug_timeout_s, 7);
	assert_int_equal(c.datapath_nice, -7);
	assert_int_equal(c.rx_drain_timeout_ms, 10);
	assert_int_equal(c.rx_stall_timeout_ms, 0);
	assert_int_equal(c.carrier, CARRIER_UPLINK);
	assert_int_equal(c.withheld, VIF_GSO_TCPV6 | VIF_CSUM_V6);
}

static void config_prints_what_it_reads(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct config_error err = { "" };
	struct config a, b;

	(void)state;
	config_defaults(&a);
	a.n_workers = 5;
	assert_int_equal(config_max_queues(&a), 5); /* as many as workers */
	a.hotplug_timeout_s = 99;
	a.datapath_nice = 5;
	a.rx_stall_timeout_ms = 77;
	a.withheld = VIF_SG | VIF_SPLIT_EVENTS;
	config_print(&a, out);
	fclose(out);
	assert_int_equal(read_config(text, &b, &err), 0);
	assert_int_equal(b.n_workers, 5);
	assert_int_equal(config_max_queues(&b), 5);
	assert_int_equal(b.hotplug_timeout_s, 99);
	assert_int_equal(b.datapath_nice, 5);
	assert_int_equal(b.rx_stall_timeout_ms, 77);
	assert_int_equal(b.withheld, VIF_SG | VIF_SPLIT_EVENTS);
	assert_string_equal(a.user, b.user);
	free(text);
}

/* The words of the error name whatever can be withheld. */
static void config_names_what_can_be_withheld(void **state)
{
	struct config_error err = { "" };
	struct config c;

	(void)state;
	assert_int_equal(read_config("[vifd]\nwithhold = x\n", &c, &err), -EINVAL);
	for (const struct feature_name *f = feature_names; f->name; f++)
		assert_int_equal(!strstr(err.text, f->name), !f->optional);
	assert_int_equal(read_config("[vifd]\nwithhold = none\n", &c, &err), 0);
	assert_int_equal(c.withheld, 0);
}

/* Each must be refused with the line and these words. */
static void config_errors_say_where_and_what(void **state)
{
	static const struct {
		const char *text, *line, *words;
	} bad[] = {
		{ "[vifd]\nworker = 3\n", ":2: ", "unknown key 'worker'; known are workers, user" },
		{ "[vifd]\nworkers = 0\n", ":2: ", "must be a number, 1 to 16" },
		{ "[vifd]\nworkers = 17\n", ":2: ", "must be a number, 1 to 16" },
		{ "[vifd]\nworkers = 2x\n", ":2: ", "must be a number, 1 to 16" },
		{ "[vifd]\nworkers = -1\n", ":2: ", "must be a number, 1 to 16" },
		{ "[vifd]\nworkers = 99999999999999999999\n", ":2: ", "must be a number" },
		{ "[vifd]\nworkers =\n", ":2: ", "must be a number" },
		{ "[vifd]\n\n\nlog_level = loud\n", ":4: ", "error, warning, info or debug" },
		{ "[vifd]\ncarrier = never\n", ":2: ", "always, bridge or uplink" },
		{ "[vifd]\nsocket = run/x\n", ":2: ", "an absolute path" },
		{ "[vifd]\nhotplug_timeout_s = 0\n", ":2: ", "seconds, 1 to 3600" },
		{ "[vifd]\ndatapath_nice = -21\n", ":2: ", "-20 to 19" },
		{ "[vifd]\ndatapath_nice = 20\n", ":2: ", "-20 to 19" },
		{ "[vifd]\ndatapath_nice = --5\n", ":2: ", "-20 to 19" },
		{ "[vifd]\nrx_drain_timeout_ms = 9\n", ":2: ", "milliseconds, 10 to" },
		{ "[vifd]\nrx_stall_timeout_ms = -1\n", ":2: ", "milliseconds, 0 to" },
		{ "[vifd]\nmax_queues = 99\n", ":2: ", "1 to 16" },
		{ "[vifd]\nwithhold = sg tso\n", ":2: ", "none, or some of sg, gso-tcpv4" },
		{ "[vifd]\nwithhold = rx-notify\n", ":2: ", "none, or some of sg" },
		{ "[vifd]\nnics = eth1\n\teth2,filters=17\n", ":3: ", "must be a number, 1 to 16" },
		{ "[vifd]\nnics = eth1,provider=moon\n", ":2: ", "must be afxdp or model" },
		{ "[vifd]\nnics = eth1\n\teth1\n", ":3: ", "eth1 is there twice" },
		{ "[vifd]\nnics = eth1 # one\n", ":2: ", "a comment has a line of its own" },
		{ "[vifd]\nnics = eth1,filters=2,filters=3\n", ":2: ", "filters= is there twice" },
		{ "[vifd]\nnics = eth1/0\n", ":2: ", "a device's name has" },
		{ "[vifd]\nnics = ..\n", ":2: ", "a device's name has" },
		{ "[vifd]\nnics = mq0,provider=model,wire=a:b\n", ":2: ", "must be a device" },
		{ "[vifd]\nnics = mq0,provider=model,wire=mq0\n", ":2: ", "another device" },
		{ "[vifd]\nworkers = 2\n log_level = info\n", ":3: ", "workers = '2 log_level" },
		{ "[vifd]\nnics = eth1\nnics = eth2\n", ":3: ", "set twice, first on line 2" },
		{ "[vif]\nworkers = 2\n", ":2: ", "unknown section [vif]; known is [vifd]" },
		{ "workers = 2\n", ":1: ", "before any section" },
		{ "[vifd]\nworkers = 2\nworkers = 3\n", ":3: ", "set twice, first on line 2" },
		{ "[vifd]\nworkers\n", ":2: ", "neither" },
		{ "[vifd\nworkers = 2\n", ":1: ", "neither" },
	};
	struct config_error err = { "" };
	struct config c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(read_config(bad[i].text, &c, &err), -EINVAL);
		if (!strstr(err.text, bad[i].line) || !strstr(err.text, bad[i].words))
			fail_msg("%s: %s", bad[i].text, err.text);
	}
}

/* What is printed reads the same, however many there are. */
static void config_values_go_on(void **state)
{
	char text[2048] = "[vifd]\nnics =", printed[4096] = "";
	struct config_error err = { "" };
	struct config c, again;
	FILE *f;

	(void)state;
	for (int i = 0; i < 8; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "\n  device%d,filters=16,policy=busiest,steering=device,transmit=yes", i);
	strcat(text, "\n\n# and\n\ncarrier = uplink\n");
	assert_int_equal(read_config(text, &c, &err), 0);
	assert_int_equal(c.n_nics, 8);
	assert_string_equal(c.nic[7].name, "device7");
	assert_int_equal(c.carrier, CARRIER_UPLINK);
	f = fmemopen(printed, sizeof(printed), "w");
	config_print(&c, f);
	fclose(f);
	assert_int_equal(read_config(printed, &again, &err), 0);
	assert_int_equal(again.n_nics, 8);
	assert_memory_equal(again.nic, c.nic, sizeof(c.nic));
}

static void config_refuses_long_lines(void **state)
{
	char text[1024] = "[vifd]\nuser = ";
	struct config_error err = { "" };
	struct config c;

	(void)state;
	memset(text + strlen(text), 'x', 600);
	assert_int_equal(read_config(text, &c, &err), -EINVAL);
	assert_non_null(strstr(err.text, ":2: "));
}

static void config_file_missing(void **state)
{
	struct config_error err = { "" };
	struct config c;

	(void)state;
	config_defaults(&c);
	assert_int_equal(config_read(&c, "/nonexistent/vifd.conf", &err), -ENOENT);
}

static void config_unknown_user(void **state)
{
	struct config_error err = { "" };
	uint32_t uid, gid;
	struct config c;

	(void)state;
	config_defaults(&c);
	strcpy(c.user, "no-such-user-here");
	assert_int_equal(config_lookup_user(&c, &uid, &gid, &err), -EINVAL);
	assert_non_null(strstr(err.text, "no-such-user-here"));
}

/* ---- the environment ---- */

static void netback_is_noticed(void **state)
{
	char sys[] = "/tmp/test-control-sys-XXXXXX", command[256];
	struct environment_error err;

	(void)state;
	if (geteuid())
		skip();
	assert_non_null(mkdtemp(sys));
	assert_int_equal(environment_check(sys, &err), VIFD_EXIT_OK);
	snprintf(command, sizeof(command), "mkdir -p %s/bus/xen-backend/drivers/vif", sys);
	assert_int_equal(system(command), 0);
	assert_int_equal(environment_check(sys, &err), VIFD_EXIT_NETBACK);
	assert_non_null(strstr(err.text, "rmmod xen-netback"));
	snprintf(command, sizeof(command), "rm -r %s", sys);
	assert_int_equal(system(command), 0);
}

/* ---- the operator's socket ---- */

struct api_test {
	char path[64], lock[72];
	int lock_fd;
	struct api api;
};

static json_t *echo(void *ctx, const json_t *request)
{
	(void)ctx;
	return json_pack("{s:b, s:O}", "ok", 1, "echo", request);
}

static json_t *answer_big(void *ctx, const json_t *request)
{
	char *text = malloc(4 << 20);
	json_t *o;

	(void)ctx;
	(void)request;
	memset(text, 'x', (4 << 20) - 1);
	text[(4 << 20) - 1] = '\0';
	o = json_pack("{s:s}", "big", text);
	free(text);
	return o;
}

static int api_setup(void **state)
{
	struct api_test *t = calloc(1, sizeof(*t));
	char dir[] = "/tmp/test-control-api-XXXXXX";
	long holder;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(t->path, sizeof(t->path), "%s/s", dir);
	snprintf(t->lock, sizeof(t->lock), "%s/lock", dir);
	t->lock_fd = api_lock(t->lock, 0, &holder);
	assert_true(t->lock_fd >= 0);
	fd = api_listen(t->path);
	assert_true(fd >= 0);
	api_init(&t->api, fd, echo, NULL);
	*state = t;
	return 0;
}

static int api_teardown(void **state)
{
	struct api_test *t = *state;
	char command[96];

	api_fini(&t->api);
	close(t->lock_fd);
	*strrchr(t->path, '/') = '\0';
	snprintf(command, sizeof(command), "rm -r %s", t->path);
	assert_int_equal(system(command), 0);
	free(t);
	return 0;
}

static int api_connect(const struct api_test *t)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", t->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Sends, steps, and returns what came back ("" for nothing). */
static const char *api_say(struct api_test *t, int fd, const char *text)
{
	static char answer[8192];
	ssize_t n;

	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
	for (int i = 0; i < 5; i++)
		api_step(&t->api, 1);
	n = recv(fd, answer, sizeof(answer) - 1, 0);
	answer[n > 0 ? n : 0] = '\0';
	return answer;
}

static void api_answers_lines(void **state)
{
	struct api_test *t = *state;
	int fd = api_connect(t);

	assert_string_equal(api_say(t, fd, "{\"a\":1}\n"), "{\"ok\":true,\"echo\":{\"a\":1}}\n");
	assert_string_equal(api_say(t, fd, "{\"b\""), "");
	assert_string_equal(api_say(t, fd, ":2}\n{\"c\":3}\n"),
			    "{\"ok\":true,\"echo\":{\"b\":2}}\n{\"ok\":true,\"echo\":{\"c\":3}}\n");
	close(fd);
}

static void api_survives_nonsense(void **state)
{
	static const char *const nonsense[] = { "\n", "hello\n", "[]\n", "{\"a\":1,\"a\":2}\n", "{\n",
						"\"\\ud800\"\n", "\xff\xfe\n", "{} trailing\n" };
	struct api_test *t = *state;
	int fd = api_connect(t);

	for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++)
		assert_non_null(strstr(api_say(t, fd, nonsense[i]), "\"code\":\"bad-request\""));
	assert_non_null(strstr(api_say(t, fd, "{}\n"), "\"ok\":true"));
	close(fd);
}

static void api_drops_endless_lines(void **state)
{
	struct api_test *t = *state;
	char text[API_REQUEST_MAX + 1];
	int fd = api_connect(t);

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_non_null(strstr(api_say(t, fd, text), "one line of at most 4096 bytes"));
	assert_int_equal(recv(fd, text, sizeof(text), 0), 0);
	close(fd);
}

static void api_never_waits_for_a_reader(void **state)
{
	struct api_test *t = *state;
	int slow = api_connect(t), other;

	t->api.answer = answer_big;
	api_say(t, slow, "{}\n{}\n{}\n"); /* reads 8 KiB of 12 MiB */
	t->api.answer = echo;
	other = api_connect(t);
	assert_non_null(strstr(api_say(t, other, "{}\n"), "\"ok\":true"));
	assert_int_not_equal(t->api.client[0].fd, -1);
	api_step(&t->api, 2 + API_IDLE_NS);
	assert_int_equal(t->api.client[0].fd, -1);
	close(slow);
	close(other);
}

static void api_bounds_its_clients(void **state)
{
	struct api_test *t = *state;
	int fd[API_CLIENTS_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = api_connect(t);
		api_step(&t->api, 1);
	}
	assert_false(api_has_room(&t->api));
	close(fd[3]);
	api_step(&t->api, 1);
	assert_true(api_has_room(&t->api));
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		if (i != 3)
			close(fd[i]);
}

static void api_is_roots_alone_and_locked(void **state)
{
	struct api_test *t = *state;
	long holder = 0;
	struct stat st;

	assert_int_equal(stat(t->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(api_lock(t->lock, NS_PER_S, &holder), -EBUSY);
	assert_int_equal(holder, getpid());
}

/* A file that is no socket is somebody's. */
static void api_leaves_files_alone(void **state)
{
	struct api_test *t = *state;
	struct stat st;

	assert_int_equal(api_listen(t->lock), -EEXIST);
	assert_int_equal(stat(t->lock, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

/* ---- slots, and a datapath played by the test ---- */

struct workers_test {
	struct workers w;
	int theirs[2];
	uint32_t n_attached;
};

static void workers_plug(struct workers_test *t)
{
	int ours[2], pair[2];

	for (int i = 0; i < 2; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
		ours[i] = pair[0];
		t->theirs[i] = pair[1];
	}
	workers_connect(&t->w, ours);
}

static int workers_setup(void **state)
{
	struct workers_test *t = calloc(1, sizeof(*t));

	assert_int_equal(workers_init(&t->w, 2), 0);
	workers_plug(t);
	*state = t;
	return 0;
}

static int workers_teardown(void **state)
{
	struct workers_test *t = *state;

	workers_fini(&t->w);
	close(t->theirs[0]);
	close(t->theirs[1]);
	free(t);
	return 0;
}

static void say(struct workers_test *t, int worker, uint32_t type, uint32_t slot, int status,
		const char *why)
{
	struct ipc_msg msg = { .type = type, .slot = slot, .status = status };

	snprintf(msg.why, sizeof(msg.why), "%s", why);
	assert_int_equal(ipc_send(t->theirs[worker], &msg, NULL, 0), 0);
}

/* The next message and how many fds came with it; type 0: none. */
static struct ipc_msg hear_with(struct workers_test *t, int worker, uint32_t *n_fds)
{
	int fds[IPC_FDS_MAX];
	struct ipc_msg msg = { .type = 0 };

	*n_fds = 0;
	if (ipc_recv(t->theirs[worker], &msg, fds, n_fds))
		msg.type = 0;
	for (uint32_t i = 0; i < *n_fds; i++)
		close(fds[i]);
	return msg;
}

static struct ipc_msg hear(struct workers_test *t, int worker)
{
	uint32_t n_fds;

	return hear_with(t, worker, &n_fds);
}

static void get_ready(struct workers_test *t)
{
	struct worker_event e;

	say(t, 0, IPC_READY, 0, 0, "");
	say(t, 1, IPC_READY, 0, 0, "");
	assert_int_equal(workers_next(&t->w, &e), -EAGAIN);
	assert_true(workers_ready(&t->w));
}

/* To the two of them in turn. */
static uint32_t attach_of(struct workers_test *t, uint16_t domid)
{
	const struct ipc_queue queue = { .vif = { domid, 0 } };
	const int tap = STDERR_FILENO;
	int slot = workers_attach(&t->w, t->n_attached++ % 2, &queue, &tap);

	assert_true(slot >= 0);
	return (uint32_t)slot;
}

/* To whom workers.c finds best. */
static uint32_t attach_any(struct workers_test *t, uint16_t domid)
{
	const struct ipc_queue queue = { .vif = { domid, 0 } };
	const int tap = STDERR_FILENO;
	int slot = workers_attach(&t->w, WORKERS_ANY, &queue, &tap);

	assert_true(slot >= 0);
	return (uint32_t)slot;
}

static uint32_t attach(struct workers_test *t)
{
	return attach_of(t, 3);
}

static void slots_wait_for_ready(void **state)
{
	struct workers_test *t = *state;
	struct worker_event e;
	struct ipc_msg m;

	attach(t);
	attach(t);
	workers_flush(&t->w, 0);
	assert_int_equal(hear(t, 0).type, 0);
	get_ready(t);
	workers_flush(&t->w, 0);
	m = hear(t, 0);
	assert_int_equal(m.type, IPC_QUEUE_ATTACH);
	assert_int_equal(m.queue.resume, 0);
	assert_int_equal(hear(t, 1).type, IPC_QUEUE_ATTACH);
	say(t, 0, IPC_QUEUE_ATTACHED, 0, 0, "");
	assert_int_equal(workers_next(&t->w, &e), 0);
	assert_int_equal(e.type, WORKER_QUEUE_ATTACHED);
	assert_int_equal(e.queue.vif.domid, 3);
}

static void a_queue_brings_its_maps(void **state)
{
	const struct ipc_queue queue = { .vif = { 3, 0 }, .maps = IPC_MAPS };
	const int fds[IPC_QUEUE_FDS] = { STDERR_FILENO, STDOUT_FILENO, STDERR_FILENO };
	struct workers_test *t = *state;
	uint32_t n_fds, slot;

	get_ready(t);
	slot = attach(t);
	assert_int_equal(t->w.slot[slot].worker, 0);
	assert_int_equal(workers_attach(&t->w, WORKERS_ANY, &queue, fds), slot + 1);
	workers_flush(&t->w, 0);
	assert_int_equal(hear_with(t, 0, &n_fds).type, IPC_QUEUE_ATTACH);
	assert_int_equal(n_fds, 1);
	assert_int_equal(hear_with(t, 1, &n_fds).type, IPC_QUEUE_ATTACH);
	assert_int_equal(n_fds, IPC_QUEUE_FDS);
	workers_detach(&t->w, slot + 1);
	workers_flush(&t->w, 0);
	assert_int_equal(hear_with(t, 1, &n_fds).type, IPC_QUEUE_DETACH);
	assert_int_equal(n_fds, 0);
}

/* However unevenly vifs came and went, a vif's queues are spread over the workers. */
static void a_vifs_queues_go_to_different_workers(void **state)
{
	struct workers_test *t = *state;
	struct worker_event e;
	uint32_t slot[6], n[2] = { 0 };

	for (uint16_t i = 0; i < 6; i++)
		slot[i] = attach_of(t, (uint16_t)(10 + i));
	for (uint16_t i = 0; i < 6; i++) {
		if (t->w.slot[slot[i]].worker == 0)
			continue;
		workers_detach(&t->w, slot[i]);
		assert_int_equal(workers_next(&t->w, &e), 0);
	}
	assert_int_equal(t->w.worker[0].n_queues, 3);
	assert_int_equal(t->w.worker[1].n_queues, 0);
	for (int i = 0; i < 4; i++)
		n[t->w.slot[attach_any(t, 3)].worker]++;
	assert_int_equal(n[0], 2);
	assert_int_equal(n[1], 2);
	/* Each of the others goes where there is less to do. */
	assert_int_equal(t->w.slot[attach_any(t, 20)].worker, 1);
	assert_int_equal(t->w.slot[attach_any(t, 21)].worker, 1);
	/* ... and where that is the same, to the last: NICs are with the first. */
	for (uint16_t i = 30; t->w.worker[1].n_queues < t->w.worker[0].n_queues; i++)
		assert_int_equal(t->w.slot[attach_any(t, i)].worker, 1);
	assert_int_equal(t->w.slot[attach_any(t, 22)].worker, 1);
	assert_int_equal(t->w.slot[attach_any(t, 23)].worker, 0);
}

static void slots_resume_in_the_next_datapath(void **state)
{
	struct workers_test *t = *state;
	struct worker_event e;
	struct ipc_msg m;

	get_ready(t);
	attach(t);
	attach(t);
	workers_flush(&t->w, 0);
	say(t, 0, IPC_QUEUE_ATTACHED, 0, 0, "");
	assert_int_equal(workers_next(&t->w, &e), 0);
	t->w.shared->queue[0].counters.to_guest_frames = 77;
	workers_detach(&t->w, 1);
	close(t->theirs[0]);
	close(t->theirs[1]);
	workers_disconnect(&t->w);
	/* The one on its way out is out; the other goes on, with its memory. */
	assert_int_equal(workers_next(&t->w, &e), 0);
	assert_int_equal(e.type, WORKER_QUEUE_DETACHED);
	assert_int_equal(e.slot, 1);
	workers_plug(t);
	get_ready(t);
	workers_flush(&t->w, 0);
	m = hear(t, 0);
	assert_int_equal(m.type, IPC_QUEUE_ATTACH);
	assert_int_equal(m.queue.resume, 1);
	assert_int_equal(t->w.shared->queue[0].counters.to_guest_frames, 77);
	assert_int_equal(hear(t, 1).type, 0);
}

static void slots_begin_zeroed(void **state)
{
	static const struct queue_counters zero;
	struct workers_test *t = *state;
	struct worker_event e;

	get_ready(t);
	attach(t);
	workers_flush(&t->w, 0);
	memset(&t->w.shared->queue[0], 0xff, sizeof(t->w.shared->queue[0]));
	say(t, 0, IPC_QUEUE_ATTACHED, 0, -EINVAL, "no\n\033[31m");
	assert_int_equal(workers_next(&t->w, &e), 0);
	assert_int_equal(e.status, -EINVAL);
	assert_string_equal(e.why, "no??[31m");
	assert_int_equal(attach(t), 0);
	assert_memory_equal(&t->w.shared->queue[0].counters, &zero, sizeof(zero));
	assert_int_equal(t->w.shared->queue[0].from_guest.valid, 0);
}

static void vifs_begin_zeroed(void **state)
{
	struct workers_test *t = *state;
	int first = workers_take_vif(&t->w, (struct vif_id){ 3, 1 });
	int second = workers_take_vif(&t->w, (struct vif_id){ 4, 2 });

	assert_true(first >= 0 && second >= 0 && first != second);
	memset(&t->w.shared->vif[first], 0xff, sizeof(t->w.shared->vif[first]));
	workers_give_vif(&t->w, (uint32_t)first);
	assert_int_equal(workers_take_vif(&t->w, (struct vif_id){ 5, 0 }), first);
	assert_int_equal(t->w.shared->vif[first].id.domid, 5);
	assert_int_equal(t->w.shared->vif[first].id.devid, 0);
	assert_int_equal(t->w.shared->vif[second].id.domid, 4);
	for (unsigned i = 2; i < IPC_VIFS_MAX; i++)
		assert_true(workers_take_vif(&t->w, (struct vif_id){ 6, i }) >= 0);
	assert_int_equal(workers_take_vif(&t->w, (struct vif_id){ 7, 0 }), -ENOSPC);
}

static void a_worker_that_hangs_is_noticed(void **state)
{
	struct workers_test *t = *state;
	struct worker_event e;

	get_ready(t);
	attach(t);
	assert_true(workers_deadline(&t->w) == UINT64_MAX);
	workers_flush(&t->w, 7);
	assert_true(workers_deadline(&t->w) == 7 + WORKERS_ANSWER_NS);
	say(t, 0, IPC_QUEUE_ATTACHED, 0, 0, "");
	assert_int_equal(workers_next(&t->w, &e), 0);
	assert_true(workers_deadline(&t->w) == UINT64_MAX);
}

/* A compromised datapath must not confuse control. */
/* Kept until the worker has the queue, said once, forgotten with the queue's datapath. */
static void words_about_grants_are_passed_on(void **state)
{
	struct workers_test *t = *state;
	struct worker_event e;
	struct ipc_msg m;
	int of_1;

	get_ready(t);
	attach(t);
	attach(t);
	of_1 = (int)t->w.slot[1].worker;
	workers_note(&t->w, 1, IPC_GRANTS_APPLY, 0);
	workers_flush(&t->w, 0);
	assert_int_equal(hear(t, of_1).type, IPC_QUEUE_ATTACH);
	assert_int_equal(hear(t, of_1).type, 0);
	say(t, of_1, IPC_GRANTS_APPLIED, 1, 0, ""); /* too early: nobody hears of it */
	say(t, of_1, IPC_QUEUE_ATTACHED, 1, 0, "");
	assert_int_equal(workers_next(&t->w, &e), 0);
	assert_int_equal(e.type, WORKER_QUEUE_ATTACHED);
	for (int i = 0; i < 2; i++)
		workers_flush(&t->w, 0);
	m = hear(t, of_1);
	assert_int_equal(m.type, IPC_GRANTS_APPLY);
	assert_int_equal(m.slot, 1);
	assert_int_equal(hear(t, of_1).type, 0);

	say(t, of_1, IPC_GRANTS_APPLIED, 1, -ENOSPC, "");
	assert_int_equal(workers_next(&t->w, &e), 0);
	assert_int_equal(e.type, WORKER_GRANTS_APPLIED);
	assert_int_equal(e.slot, 1);
	assert_int_equal(e.status, -ENOSPC);

	workers_note(&t->w, 1, IPC_GRANTS_DONE, -ENOSPC);
	workers_disconnect(&t->w);
	workers_plug(t);
	get_ready(t);
	workers_flush(&t->w, 0);
	assert_int_equal(hear(t, of_1).type, IPC_QUEUE_ATTACH);
	say(t, of_1, IPC_QUEUE_ATTACHED, 1, 0, "");
	assert_int_equal(workers_next(&t->w, &e), 0);
	workers_flush(&t->w, 0);
	assert_int_equal(hear(t, of_1).type, 0);
	assert_int_equal(t->w.n_notes, 0);
}

static void nonsense_from_the_datapath_is_refused(void **state)
{
	static const struct {
		int worker;
		uint32_t type, slot;
	} bad[] = {
		{ 0, 99, 0 },
		{ 0, IPC_HELLO, 0 },
		{ 0, IPC_READY, 0 }, /* again */
		{ 0, IPC_QUEUE_ATTACHED, 1 << 20 },
		{ 0, IPC_QUEUE_ATTACHED, 5 },
		{ 1, IPC_QUEUE_DETACHED, 0 }, /* another's */
		{ 0, IPC_QUEUE_DETACHED, 0 }, /* nobody asked */
		{ 1, IPC_QUEUE_FATAL, 0 },
		{ 1, IPC_GRANTS_STAGED, 0 },
		{ 0, IPC_GRANTS_APPLIED, 5 },
		{ 0, IPC_GRANTS_APPLY, 0 }, /* ours to say */
		{ 0, IPC_GRANTS_DONE, 0 },
	};
	struct workers_test *t = *state;
	struct worker_event e;

	get_ready(t);
	attach(t);
	workers_flush(&t->w, 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		say(t, bad[i].worker, bad[i].type, bad[i].slot, 0, "");
		assert_int_equal(workers_next(&t->w, &e), -EPROTO);
	}
}

static void a_full_socket_is_tried_again(void **state)
{
	struct workers_test *t = *state;
	uint32_t heard = 0;

	get_ready(t);
	for (int i = 0; i < 3000; i++)
		attach(t);
	for (int round = 0; round < 1000 && heard < 3000; round++) {
		workers_flush(&t->w, 0);
		for (int worker = 0; worker < 2; worker++)
			while (hear(t, worker).type == IPC_QUEUE_ATTACH)
				heard++;
	}
	assert_int_equal(heard, 3000);
	assert_int_equal(t->w.n_due, 0);
}

/* ---- the supervisor ---- */

struct fake_process {
	struct workers_test t;
	bool alive, dead;
	int starts, kills;
};

static int fake_start(void *ctx, int sock)
{
	struct fake_process *f = ctx;

	(void)sock;
	f->starts++;
	f->alive = true;
	f->dead = false;
	return 0;
}

static bool fake_ended(void *ctx, int *status)
{
	struct fake_process *f = ctx;
	bool ended = f->alive && f->dead;

	if (ended)
		f->alive = false;
	*status = 9;
	return ended;
}

static void fake_kill(void *ctx)
{
	struct fake_process *f = ctx;

	f->kills++;
	f->dead = true;
}

static pid_t fake_pid(void *ctx)
{
	(void)ctx;
	return 1;
}

static const struct process_ops fake_ops = { fake_start, fake_ended, fake_kill, fake_pid };

static void make_ready(struct fake_process *f)
{
	f->t.w.worker[0].ready = f->t.w.worker[1].ready = true;
}

static void supervise_begin(struct fake_process *f, struct supervisor *s)
{
	const struct ipc_hello hello = { .version = IPC_VERSION, .n_workers = 2 };

	assert_int_equal(workers_init(&f->t.w, 2), 0);
	supervise_init(s, &fake_ops, f, &f->t.w, &hello);
	supervise_step(s, 0);
	assert_int_equal(f->starts, 1);
}

static void datapath_is_restarted_then_given_up(void **state)
{
	struct fake_process *f = calloc(1, sizeof(*f));
	struct supervisor s;
	uint64_t now = 0;

	(void)state;
	supervise_begin(f, &s);
	make_ready(f);
	supervise_step(&s, now);
	f->dead = true;
	supervise_step(&s, now);
	assert_int_equal(f->starts, 2); /* the first time at once */
	for (int i = 0; i < 1000 && s.state != SUPERVISE_OVER; i++) {
		make_ready(f);
		supervise_step(&s, now);
		f->dead = true;
		now += 100 * NS_PER_MS;
		supervise_step(&s, now);
	}
	assert_true(s.gave_up);
	assert_int_equal(f->starts, 1 + SUPERVISE_DEATHS_MAX);
	workers_fini(&f->t.w);
	free(f);
}

static void rare_deaths_are_forgiven(void **state)
{
	struct fake_process *f = calloc(1, sizeof(*f));
	struct supervisor s;
	uint64_t now = 0;

	(void)state;
	supervise_begin(f, &s);
	for (int i = 0; i < 100; i++) {
		make_ready(f);
		supervise_step(&s, now);
		f->dead = true;
		now += SUPERVISE_WINDOW_NS;
		supervise_step(&s, now);
		assert_int_equal(s.state, SUPERVISE_STARTING);
		assert_int_equal(f->starts, i + 2);
	}
	workers_fini(&f->t.w);
	free(f);
}

static void a_silent_datapath_is_killed(void **state)
{
	struct fake_process *f = calloc(1, sizeof(*f));
	struct supervisor s;

	(void)state;
	supervise_begin(f, &s);
	assert_int_equal(supervise_step(&s, 1), SUPERVISE_READY_NS);
	supervise_step(&s, SUPERVISE_READY_NS);
	assert_int_equal(f->kills, 1);
	supervise_step(&s, SUPERVISE_READY_NS);
	assert_true(s.gave_up && !s.was_ready);
	workers_fini(&f->t.w);
	free(f);
}

static void stopping_ends_in_time(void **state)
{
	struct fake_process *f = calloc(1, sizeof(*f));
	struct supervisor s;

	(void)state;
	supervise_begin(f, &s);
	make_ready(f);
	supervise_step(&s, 0);
	supervise_stop(&s, 0);
	assert_int_equal(supervise_step(&s, 1), SUPERVISE_STOP_NS);
	supervise_step(&s, SUPERVISE_STOP_NS); /* it hangs: killed */
	assert_int_equal(f->kills, 1);
	supervise_step(&s, SUPERVISE_STOP_NS);
	assert_int_equal(s.state, SUPERVISE_OVER);
	assert_false(s.gave_up);
	workers_fini(&f->t.w);
	free(f);
}

#define API_TEST(f)	cmocka_unit_test_setup_teardown(f, api_setup, api_teardown)
#define WORKERS_TEST(f) cmocka_unit_test_setup_teardown(f, workers_setup, workers_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_is_read),
		cmocka_unit_test(config_prints_what_it_reads),
		cmocka_unit_test(config_names_what_can_be_withheld),
		cmocka_unit_test(config_errors_say_where_and_what),
		cmocka_unit_test(config_values_go_on),
		cmocka_unit_test(config_refuses_long_lines),
		cmocka_unit_test(config_file_missing),
		cmocka_unit_test(config_unknown_user),
		cmocka_unit_test(netback_is_noticed),
		API_TEST(api_answers_lines),
		API_TEST(api_survives_nonsense),
		API_TEST(api_drops_endless_lines),
		API_TEST(api_never_waits_for_a_reader),
		API_TEST(api_bounds_its_clients),
		API_TEST(api_is_roots_alone_and_locked),
		API_TEST(api_leaves_files_alone),
		WORKERS_TEST(slots_wait_for_ready),
		WORKERS_TEST(a_queue_brings_its_maps),
		WORKERS_TEST(a_vifs_queues_go_to_different_workers),
		WORKERS_TEST(slots_resume_in_the_next_datapath),
		WORKERS_TEST(slots_begin_zeroed),
		WORKERS_TEST(vifs_begin_zeroed),
		WORKERS_TEST(words_about_grants_are_passed_on),
		WORKERS_TEST(nonsense_from_the_datapath_is_refused),
		WORKERS_TEST(a_worker_that_hangs_is_noticed),
		WORKERS_TEST(a_full_socket_is_tried_again),
		cmocka_unit_test(datapath_is_restarted_then_given_up),
		cmocka_unit_test(rare_deaths_are_forgiven),
		cmocka_unit_test(a_silent_datapath_is_killed),
		cmocka_unit_test(stopping_ends_in_time),
	};

	log_init("test_control", LOG_LVL_ERROR, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
