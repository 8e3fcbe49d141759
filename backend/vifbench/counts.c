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

#define ROUNDS	    200u
#define STRACE_FILE "/run/vifbench.strace"

extern char **environ;

/* ---- vifd's own counters ---- */

static const char *const counters[] = { "grant_ops", "events", "notifies" };

struct sums {
	double value[ARRAY_SIZE(counters)];
};

/* Both directions, all vifs. */
static int read_sums(struct sums *out)
{
	static const char *const ways[] = { "from_guest", "to_guest" };
	char why[256];
	json_t *all = client_ask(CLIENT_DEFAULT_SOCKET, json_pack("{s:s}", "command", "stats"),
				 why, sizeof(why)),
	       *vif;
	size_t i;

	*out = (struct sums){ { 0 } };
	if (!all)
		return -EIO;
	json_array_foreach(json_object_get(all, "vifs"), i, vif) {
		for (size_t w = 0; w < ARRAY_SIZE(ways); w++)
			for (size_t c = 0; c < ARRAY_SIZE(counters); c++)
				out->value[c] += (double)json_integer_value(json_object_get(
				    json_object_get(vif, ways[w]), counters[c]));
	}
	json_decref(all);
	return 0;
}

/* ---- system calls ---- */

/* The datapath: its process is named after its first worker. 0: none. */
static pid_t find_datapath(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	pid_t found = 0;

	while (proc && !found && (d = readdir(proc))) {
		char path[300], comm[32] = "";
		int fd;

		if (atoi(d->d_name) <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, comm, sizeof(comm) - 1) > 0 && !strncmp(comm, "vifd-w", 6))
			found = atoi(d->d_name);
		close(fd);
	}
	if (proc)
		closedir(proc);
	return found;
}

/* Starts strace on 'pid' and waits until it says that it is attached. 0: not to be had. */
static pid_t start_strace(pid_t pid)
{
	char number[16], said[256];
	char *argv[] = { "strace", "-f", "-c", "-o", STRACE_FILE, "-p", number, NULL };
	posix_spawn_file_actions_t actions;
	struct pollfd p;
	int fds[2];
	pid_t child;

	snprintf(number, sizeof(number), "%d", pid);
	if (!pid || pipe2(fds, O_CLOEXEC))
		return 0;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDERR_FILENO);
	if (posix_spawnp(&child, "strace", &actions, NULL, argv, environ))
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

static json_t *count_syscalls(const struct path *p, const struct load *l)
{
	pid_t strace = start_strace(find_datapath());
	struct load_result r = { 0 };
	double calls;
	int err;

	if (!strace)
		return json_null();
	err = load_run(p, l, ROUNDS, &r);
	calls = stop_strace(strace);
	return err || calls < 0 || !r.n_packets ? json_null()
						: json_real(calls / (double)r.n_packets);
}

json_t *counts_of(const struct path *p, const struct load *l)
{
	struct sums before, after;
	struct load_result r;
	json_t *out = json_object();
	bool ok = !read_sums(&before) && !load_run(p, l, ROUNDS, &r) && !read_sums(&after) &&
		  r.n_packets > 0;

	for (size_t c = 0; c < ARRAY_SIZE(counters); c++)
		json_object_set_new(out, counters[c],
				    ok ? json_real((after.value[c] - before.value[c]) /
						   (double)r.n_packets)
				       : json_null());
	json_object_set_new(out, "syscalls", count_syscalls(p, l));
	return out;
}
