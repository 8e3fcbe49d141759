/* SPDX-License-Identifier: MIT */
/* See counts.h. */
#include "backend/vifbench/counts.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/client.h"
#include "backend/vifbench/tally.h"

#define PACKETS	   400u
#define ROUNDS_MIN 12u
#define LIMIT_US    2000000u
#define WORKERS_MAX 16u /* vifd.conf(5) "workers" */
#define STRACE_FILE "/run/vifbench.strace"

extern char **environ;

/* ---- system calls ---- */

/* strace's command line. */
struct strace {
	char number[WORKERS_MAX][16];
	char *argv[6 + 2 * WORKERS_MAX + 1];
	uint32_t n, n_workers;
};

static bool is_worker(int pid, int tid)
{
	char path[300], comm[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, comm, sizeof(comm) - 1) < 0)
		comm[0] = '\0';
	close(fd);
	return !strncmp(comm, "vifd-w", 6);
}

/* Of one process, or of all that there are: pid 0. */
static void find_workers(struct strace *s, int pid)
{
	char path[64];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), pid ? "/proc/%d/task" : "/proc", pid);
	dir = opendir(path);
	while (dir && (d = readdir(dir)) && s->n_workers < WORKERS_MAX) {
		int id = atoi(d->d_name);

		if (id <= 0)
			continue;
		if (!pid) {
			find_workers(s, id);
		} else if (is_worker(pid, id)) {
			snprintf(s->number[s->n_workers], sizeof(s->number[0]), "%d", id);
			s->argv[s->n++] = "-p";
			s->argv[s->n++] = s->number[s->n_workers++];
		}
	}
	if (dir)
		closedir(dir);
}

/* Starts strace on vifd's workers and waits until it says that it is attached. 0: not to
 * be had. A model NIC's thread is no worker. */
static pid_t start_strace(void)
{
	struct strace s = { .argv = { "strace", "-c", "-o", STRACE_FILE }, .n = 4 };
	posix_spawn_file_actions_t actions;
	char said[256];
	struct pollfd p;
	int fds[2];
	pid_t child;

	find_workers(&s, 0);
	if (!s.n_workers || pipe2(fds, O_CLOEXEC))
		return 0;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDERR_FILENO);
	if (posix_spawnp(&child, "strace", &actions, NULL, s.argv, environ))
		child = 0;
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	p = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	if (child && (poll(&p, 1, 5000) != 1 || read(fds[0], said, sizeof(said)) <= 0)) {
		waitpid(child, NULL, 0);
		child = 0;
	}
	close(fds[0]);
	return child;
}

/* Ends it and returns what it counted; -1: nothing. */
static double stop_strace(pid_t child)
{
	char line[256];
	double total = -1;
	FILE *f;

	kill(child, SIGINT);
	waitpid(child, NULL, 0);
	f = fopen(STRACE_FILE, "re");
	while (f && fgets(line, sizeof(line), f)) {
		double percent, seconds, average;
		unsigned long calls;

		if (strstr(line, "total") &&
		    sscanf(line, "%lf %lf %lf %lu", &percent, &seconds, &average, &calls) == 4)
			total = (double)calls;
	}
	if (f)
		fclose(f);
	unlink(STRACE_FILE);
	return total;
}

static uint32_t rounds_of(const struct load *l)
{
	return MAX(PACKETS / (l->burst * l->n_guests), ROUNDS_MIN);
}

static json_t *count_syscalls(const struct path *p, const struct load *l)
{
	pid_t strace = start_strace();
	struct load_result r = { 0 };
	double calls;
	int err;

	if (!strace)
		return json_null();
	err = load_run(p, l, rounds_of(l), LIMIT_US, &r);
	calls = stop_strace(strace);
	return err || calls < 0 || !r.n_packets ? json_null()
						: json_real(calls / (double)r.n_packets);
}

static json_t *ask_stats(void)
{
	char why[256];

	return client_ask(CLIENT_DEFAULT_SOCKET, json_pack("{s:s}", "command", "stats"), why,
			  sizeof(why));
}

json_t *counts_of(const struct path *p, const struct load *l)
{
	/* Of a load that goes both ways, half of the packets go each; what goes from guest to
	 * guest goes both. */
	double share = l->direction == BOTH ? 0.5 : 1;
	json_t *before = ask_stats(), *after = NULL, *out = NULL;
	struct load_result r;

	if (before && !load_run(p, l, rounds_of(l), LIMIT_US, &r) && r.n_packets)
		after = ask_stats();
	if (after) {
		out = tally_between(before, after, (double)r.n_packets,
				    (double)r.n_packets * share);
		json_object_set_new(out, "syscalls", count_syscalls(p, l));
	}
	json_decref(before);
	json_decref(after);
	return out ? out : json_null();
}
