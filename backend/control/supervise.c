/* SPDX-License-Identifier: MIT */
/*
 * The datapath's life, as a machine stepped by control. Its sockets are made here
 * anew for each process: what an old process still had in flight is never read as
 * if the new one had said it.
 */
#include "backend/control/supervise.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define BACKOFF_NS (100 * NS_PER_MS)

void supervise_init(struct supervisor *s, const struct process_ops *ops, void *ctx,
		    struct workers *workers, const struct ipc_hello *hello)
{
	*s = (struct supervisor){ .state = SUPERVISE_DOWN,
				  .ops = ops,
				  .ctx = ctx,
				  .workers = workers,
				  .hello = *hello };
}

static void close_all(const int fds[], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		close(fds[i]);
}

/* A worker never waits and says each thing once: its socket holds an answer and a
 * QUEUE_FATAL of every slot, should control be busy for so long. */
static void make_room(int sock)
{
	const int bytes = 2 * IPC_QUEUES_MAX * 1024; /* what the kernel charges a message */

	if (setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		(void)setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* A pair a worker: ours[] nonblocking, theirs[] as the worker likes. */
static int make_sockets(int ours[], int theirs[], uint32_t n)
{
	int pair[2];

	for (uint32_t i = 0; i < n; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) {
			int rc = -errno;

			close_all(ours, i);
			close_all(theirs, i);
			return rc;
		}
		make_room(pair[1]);
		ours[i] = pair[0];
		theirs[i] = pair[1];
	}
	return 0;
}

static int start(struct supervisor *s)
{
	uint32_t n = s->workers->n_workers;
	int ours[IPC_WORKERS_MAX] = { -1 }, theirs[IPC_WORKERS_MAX] = { -1 }, fds[IPC_FDS_MAX], rc;
	const struct ipc_msg hello = { .type = IPC_HELLO, .hello = s->hello };

	rc = make_sockets(ours, theirs, n);
	if (rc)
		return rc;
	fds[0] = s->workers->shared_fd;
	for (uint32_t i = 1; i < n; i++)
		fds[i] = theirs[i];
	rc = ipc_send(ours[0], &hello, fds, n);
	if (!rc)
		rc = s->ops->start(s->ctx, theirs[0]);
	close_all(theirs, n);
	if (rc)
		close_all(ours, n);
	else
		workers_connect(s->workers, ours);
	return rc;
}

static void give_up(struct supervisor *s, const char *why)
{
	snprintf(s->why, sizeof(s->why), "%s", why);
	s->gave_up = true;
	s->state = SUPERVISE_OVER;
}

static void describe_end(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "killed by signal %d (%s)%s", WTERMSIG(status),
			 strsignal(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
	else
		snprintf(out, size, "exited with status %d", WEXITSTATUS(status));
}

/* Notes the death and says when to start again, or gives up. */
static void plan_restart(struct supervisor *s, uint64_t now_ns)
{
	uint64_t oldest = s->death_ns[SUPERVISE_DEATHS_MAX - 1];
	uint32_t recent = 0;

	if (s->n_deaths >= SUPERVISE_DEATHS_MAX && now_ns - oldest < SUPERVISE_WINDOW_NS) {
		give_up(s, "the datapath keeps dying: more than 5 times in 30 s");
		return;
	}
	memmove(s->death_ns + 1, s->death_ns, sizeof(s->death_ns) - sizeof(s->death_ns[0]));
	s->death_ns[0] = now_ns;
	s->n_deaths++;
	for (uint32_t i = 1; i < MIN(s->n_deaths, SUPERVISE_DEATHS_MAX); i++)
		recent += now_ns - s->death_ns[i] < SUPERVISE_WINDOW_NS;
	s->start_ns = now_ns + (recent ? BACKOFF_NS << (recent - 1) : 0);
	s->state = SUPERVISE_DOWN;
	log_warning(LOG_NOBODY, "starting a new datapath in %llu ms",
		    (unsigned long long)((s->start_ns - now_ns) / NS_PER_MS));
}

static void on_end(struct supervisor *s, uint64_t now_ns, int status)
{
	char how[96];

	workers_disconnect(s->workers);
	if (s->stopping) {
		s->state = SUPERVISE_OVER;
		return;
	}
	describe_end(status, how, sizeof(how));
	log_error(LOG_NOBODY, "the datapath %s", how);
	if (!s->was_ready)
		give_up(s, s->why[0] ? s->why : "the datapath could not start");
	else
		plan_restart(s, now_ns);
}

static void on_due(struct supervisor *s, uint64_t now_ns)
{
	int rc;

	switch (s->state) {
	case SUPERVISE_DOWN:
		if (now_ns < s->start_ns)
			break;
		rc = start(s);
		if (rc) {
			log_error(LOG_NOBODY, "cannot start a datapath: %s", strerror(-rc));
			give_up(s, "a datapath process cannot be started");
			break;
		}
		s->state = SUPERVISE_STARTING;
		s->deadline_ns = now_ns + SUPERVISE_READY_NS;
		break;
	case SUPERVISE_STARTING:
		if (workers_ready(s->workers)) {
			s->state = SUPERVISE_UP;
			s->was_ready = true;
			log_info(LOG_NOBODY, "datapath ready: pid %d, %u workers",
				 (int)s->ops->pid(s->ctx), s->workers->n_workers);
			break;
		}
		/* fall through */
	case SUPERVISE_ENDING:
		if (now_ns < s->deadline_ns)
			break;
		log_error(LOG_NOBODY, "the datapath does not answer: killed");
		s->ops->kill(s->ctx);
		s->state = SUPERVISE_ENDING;
		s->deadline_ns = UINT64_MAX;
		break;
	case SUPERVISE_UP:
	case SUPERVISE_OVER:
		break;
	}
}

static uint64_t next_due(const struct supervisor *s)
{
	switch (s->state) {
	case SUPERVISE_DOWN:
		return s->start_ns;
	case SUPERVISE_STARTING:
	case SUPERVISE_ENDING:
		return s->deadline_ns;
	default:
		return UINT64_MAX;
	}
}

uint64_t supervise_step(struct supervisor *s, uint64_t now_ns)
{
	int status;

	if (s->state != SUPERVISE_DOWN && s->state != SUPERVISE_OVER &&
	    s->ops->ended(s->ctx, &status))
		on_end(s, now_ns, status);
	on_due(s, now_ns);
	return next_due(s);
}

void supervise_broken(struct supervisor *s, uint64_t now_ns, const char *why)
{
	if (why && !s->why[0])
		snprintf(s->why, sizeof(s->why), "%s", why);
	if (s->state != SUPERVISE_STARTING && s->state != SUPERVISE_UP)
		return;
	s->state = SUPERVISE_ENDING;
	s->deadline_ns = now_ns + SUPERVISE_STOP_NS;
}

void supervise_stop(struct supervisor *s, uint64_t now_ns)
{
	s->stopping = true;
	if (s->state == SUPERVISE_DOWN || s->state == SUPERVISE_OVER) {
		s->state = SUPERVISE_OVER;
		return;
	}
	workers_stop(s->workers);
	s->state = SUPERVISE_ENDING;
	s->deadline_ns = now_ns + SUPERVISE_STOP_NS;
}
