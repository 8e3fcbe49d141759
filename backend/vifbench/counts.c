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

#define ROUNDS	    1600u /* packets a guest, a burst each round */
#define ROUNDS_MIN  100u
#define LIMIT_MS    2000u
#define WORKERS_MAX 16u /* vifd.conf(5) "workers" */
#define STRACE_FILE "/run/vifbench.strace"

extern char **environ;

/* ---- vifd's own counters ---- */

enum way { FROM_GUEST, TO_GUEST, WAY_N };

static const char *const ways[WAY_N] = { "from_guest", "to_guest" };

/* Each the sum of counters of vifd's. */
static const struct {
	const char *name, *counters[2];
} counts[] = {
	{ "copies", { "grant_ops", "static_copies" } },
	{ "grant_ops", { "grant_ops" } },
	{ "nic_written", { "nic_written" } },
	{ "events", { "events" } },
	{ "notifies", { "notifies" } },
};

struct sums {
	double frames[WAY_N];
	double value[WAY_N][ARRAY_SIZE(counts)];
};

static double counter(const json_t *way, const char *name)
{
	return name ? (double)json_integer_value(json_object_get(way, name)) : 0;
}

/* All vifs. */
static int read_sums(struct sums *out)
{
	char why[256];
	json_t *all = client_ask(CLIENT_DEFAULT_SOCKET, json_pack("{s:s}", "command", "stats"), why,
				 sizeof(why)),
	       *vif;
	size_t i;

	memset(out, 0, sizeof(*out));
	if (!all)
		return -EIO;
	json_array_foreach(json_object_get(all, "vifs"), i, vif)
	{
		for (int w = 0; w < WAY_N; w++) {
			const json_t *way = json_object_get(vif, ways[w]);

			out->frames[w] += counter(way, "frames");
			for (size_t c = 0; c < ARRAY_SIZE(counts); c++)
				out->value[w][c] += counter(way, counts[c].counters[0]) +
						    counter(way, counts[c].counters[1]);
		}
	}
	json_decref(all);
	return 0;
}

/* What became of 'before', a packet. Of n_packets, all; those that went each way. */
static json_t *json_counts(const struct sums *before, const struct sums *after, double n_packets)
{
	json_t *out = json_object();

	for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
		double sum = 0;

		for (int w = 0; w < WAY_N; w++)
			sum += after->value[w][c] - before->value[w][c];
		json_object_set_new(out, counts[c].name, json_real(sum / n_packets));
	}
	return out;
}

/* The same of one way, NULL if hardly anything went it: acknowledgements of a stream,
 * neighbours found anew. */
static json_t *json_way(const struct sums *before, const struct sums *after, enum way w,
			double n_packets)
{
	double frames = after->frames[w] - before->frames[w];
	json_t *out;

	if (frames < n_packets / 4)
		return NULL;
	out = json_object();
	for (size_t c = 0; c < ARRAY_SIZE(counts); c++)
		json_object_set_new(
		    out, counts[c].name,
		    json_real((after->value[w][c] - before->value[w][c]) / n_packets));
	return out;
}

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
	return MAX(ROUNDS / l->burst, ROUNDS_MIN);
}

static json_t *count_syscalls(const struct path *p, const struct load *l)
{
	pid_t strace = start_strace();
	struct load_result r = { 0 };
	double calls;
	int err;

	if (!strace)
		return json_null();
	err = load_run(p, l, rounds_of(l), LIMIT_MS, &r);
	calls = stop_strace(strace);
	return err || calls < 0 || !r.n_packets ? json_null()
						: json_real(calls / (double)r.n_packets);
}

json_t *counts_of(const struct path *p, const struct load *l)
{
	struct sums before, after;
	struct load_result r;
	json_t *out;

	if (read_sums(&before) || load_run(p, l, rounds_of(l), LIMIT_MS, &r) || read_sums(&after) ||
	    !r.n_packets)
		return json_null();
	out = json_counts(&before, &after, (double)r.n_packets);
	for (int w = 0; w < WAY_N; w++) {
		/* Of a load that goes both ways, half of the packets go each; what goes from
		 * guest to guest goes both. */
		double n = (double)r.n_packets / (l->direction == BOTH ? 2 : 1);
		json_t *way = json_way(&before, &after, (enum way)w, n);

		if (way)
			json_object_set_new(out, ways[w], way);
	}
	json_object_set_new(out, "syscalls", count_syscalls(p, l));
	return out;
}
