/* SPDX-License-Identifier: MIT */
/* See afxdp_closer.h. What is to be closed comes as a pointer in a pipe. */
#include "backend/nic/afxdp_closer.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/ipc.h"
#include "backend/nic/nic.h"
#include "log.h"

/* What waits in the pipe is a place each, as it was; even the smallest pipe has room for that. */
static_assert(IPC_NICS_MAX * 2 * NIC_PLACES_MAX * sizeof(struct afxdp_closing *) <= PIPE_BUF,
	      "nobody waits for room");

/* A driver that does not let go in this time is broken, and nothing is to be done about it. */
#define DRIVER_TRIES 5000
#define NAP_NS	     NS_PER_MS

static struct {
	pthread_t thread;
	int to, from;
} closer = { .to = -1, .from = -1 };

static void nap(void)
{
	const struct timespec t = { .tv_nsec = NAP_NS };

	nanosleep(&t, NULL);
}

/* A device that is gone has let go. */
static void await_driver(const struct afxdp_closing *c)
{
	int rc = bind(c->next, (const struct sockaddr *)&c->where, sizeof(c->where));

	for (int i = 1; rc && errno == EBUSY && i < DRIVER_TRIES; i++) {
		nap();
		rc = bind(c->next, (const struct sockaddr *)&c->where, sizeof(c->where));
	}
	if (rc && errno != ENODEV)
		log_error(LOG_NOBODY, "AF_XDP: the driver keeps a guest's memory: %s", strerror(errno));
}

/* False: there will be no more. */
static bool take_next(struct afxdp_closing **out)
{
	ssize_t n;

	do {
		n = read(closer.from, out, sizeof(*out));
	} while (n < 0 && errno == EINTR);
	return n == sizeof(*out);
}

static void *run(void *arg)
{
	struct afxdp_closing *c;

	(void)arg;
	pthread_setname_np(pthread_self(), "vifd-closer");
	while (take_next(&c)) {
		close(c->socket);
		if (c->by_driver)
			await_driver(c);
		close(c->next);
		__atomic_store_n(&c->over, true, __ATOMIC_RELEASE);
	}
	return NULL;
}

int afxdp_closer_start(void)
{
	int fds[2], err;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	closer.from = fds[0];
	closer.to = fds[1];
	err = pthread_create(&closer.thread, NULL, run, NULL);
	if (!err)
		return 0;
	close(fds[0]);
	close(fds[1]);
	return -err;
}

void afxdp_closer_stop(void)
{
	close(closer.to);
	pthread_join(closer.thread, NULL);
	close(closer.from);
}

void afxdp_closer_take(struct afxdp_closing *c)
{
	ssize_t n = write(closer.to, &c, sizeof(c));

	assert(n == sizeof(c)); /* it was started, and there is room */
}

bool afxdp_closing_is_over(const struct afxdp_closing *c)
{
	return __atomic_load_n(&c->over, __ATOMIC_ACQUIRE);
}

void afxdp_closing_await(const struct afxdp_closing *c)
{
	while (!afxdp_closing_is_over(c))
		nap();
}
