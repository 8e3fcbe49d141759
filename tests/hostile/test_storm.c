/* SPDX-License-Identifier: MIT */
/*
 * Control and many at once: every queue of a worker has something to say while control
 * looks elsewhere; a worker that was taken over talks without end; one guest's many vifs
 * change their states all the time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/hostile/rig.h"

static int worker_sock;

static int start(void *ctx, int sock)
{
	(void)ctx;
	worker_sock = dup(sock);
	return worker_sock < 0 ? -errno : 0;
}

static bool ended(void *ctx, int *status)
{
	(void)ctx;
	(void)status;
	return false;
}

static void stop(void *ctx)
{
	(void)ctx;
}

static pid_t pid(void *ctx)
{
	(void)ctx;
	return 0;
}

static const struct process_ops process_ops = { start, ended, stop, pid };

struct control_half {
	struct workers workers;
	struct supervisor supervisor;
};

static struct control_half *open_half(void)
{
	struct control_half *h = calloc(1, sizeof(*h));
	const struct ipc_hello hello = { .version = IPC_VERSION, .n_workers = 1 };

	assert_non_null(h);
	assert_int_equal(workers_init(&h->workers, 1), 0);
	supervise_init(&h->supervisor, &process_ops, NULL, &h->workers, &hello);
	supervise_step(&h->supervisor, 1);
	return h;
}

static void close_half(struct control_half *h)
{
	close(worker_sock);
	workers_fini(&h->workers);
	free(h);
}

static int say(enum ipc_type type, uint32_t slot)
{
	const struct ipc_msg msg = { .type = type, .slot = slot };

	return ipc_send(worker_sock, &msg, NULL, 0);
}

/* All queues answer and all guests break the protocol before control reads a word. */
static void nothing_said_is_lost(void **state)
{
	struct control_half *h = open_half();
	const struct ipc_queue queue = { .queue = 0 };
	struct worker_event e;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(say(IPC_READY, 0), 0);
	assert_int_equal(workers_next(&h->workers, &e), -EAGAIN);
	for (uint32_t i = 0; i < IPC_QUEUES_MAX; i++) {
		struct ipc_msg msg;
		int fds[IPC_FDS_MAX];
		uint32_t n_fds;

		assert_int_equal(workers_attach(&h->workers, WORKERS_ANY, &queue, &(const int){ 0 }), i);
		workers_flush(&h->workers, 1);
		while (!ipc_recv(worker_sock, &msg, fds, &n_fds))
			while (n_fds)
				close(fds[--n_fds]);
	}
	for (uint32_t i = 0; i < IPC_QUEUES_MAX; i++) {
		assert_int_equal(say(IPC_QUEUE_ATTACHED, i), 0);
		assert_int_equal(say(IPC_QUEUE_FATAL, i), 0);
	}
	while (!workers_next(&h->workers, &e))
		n++;
	assert_int_equal(n, 2 * IPC_QUEUES_MAX);
	close_half(h);
}

/* As fast as it can, what control ignores, and it is not kept from anything else. */
static void endless_talk_is_cut(void **state)
{
	struct control_half *h = open_half();
	const struct ipc_queue queue = { .queue = 0 };
	uint32_t n_said = 0, n_unread = 0;
	struct worker_event e;
	struct ipc_msg msg;

	(void)state;
	assert_int_equal(say(IPC_READY, 0), 0);
	assert_int_equal(workers_next(&h->workers, &e), -EAGAIN);
	assert_int_equal(workers_attach(&h->workers, WORKERS_ANY, &queue, &(const int){ 0 }), 0);
	workers_flush(&h->workers, 1);
	while (!say(IPC_QUEUE_FATAL, 0)) /* not attached yet: ignored */
		n_said++;
	assert_true(n_said > 2 * IPC_QUEUES_MAX);
	assert_int_equal(workers_next(&h->workers, &e), -EAGAIN);
	while (recv(h->workers.worker[0].sock, &msg, sizeof(msg), MSG_DONTWAIT) > 0)
		n_unread++;
	assert_int_equal(n_unread, n_said - 2 * IPC_QUEUES_MAX);
	close_half(h);
}

#define MANY 100u /* more than control looks at in one step */

/* The other guest's vif, last of all in control's table, still comes and goes. */
static void many_vifs_storm(void **state)
{
	struct rig *r = rig_start(true);

	(void)state;
	r->ns_per_turn = 60 * NS_PER_MS;
	for (uint32_t i = 1; i <= MANY; i++)
		sim_toolstack_attach(EVIL_DOMID, i);
	rig_turns_until(r, 100, !strcmp(sim_backend_get(EVIL_DOMID, MANY, "state"), "2"));
	sim_toolstack_detach(GOOD_DOMID, 0);
	rig_turns_until(r, 20, ({
				for (uint32_t i = 1; i <= MANY; i++)
					sim_frontend_put(EVIL_DOMID, i, "state", "%u",
							 r->n_turns % 2 ? XenbusStateInitWait
									: XenbusStateInitialising);
				!strcmp(sim_backend_get(GOOD_DOMID, 0, "state"), "6");
			}));
	for (uint32_t i = 1; i <= MANY; i++)
		sim_toolstack_remove(EVIL_DOMID, i);
	rig_turns_until(r, 100, r->control.n_vifs == 2);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_said_is_lost),
		cmocka_unit_test(endless_talk_is_cut),
		cmocka_unit_test(many_vifs_storm),
	};

	return cmocka_run_group_tests_name("storm", tests, NULL, NULL);
}
