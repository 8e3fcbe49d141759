/* SPDX-License-Identifier: MIT */
/* See who.h. */
#include "backend/vifbench/who.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct {
	const char *name;
	const char *comm; /* how the thread's name begins, or its process's; NULL: told otherwise */
} parts[PART_N] = {
	[PART_PROGRAM] = { "program", NULL },	  [PART_VIFD] = { "vifd", "vifd" },
	[PART_GUEST] = { "guest", "vif-guest" },  [PART_PUMP] = { "pump", "tap-loop" },
	[PART_PEER] = { "peer", "dpdk-testpmd" }, [PART_NIC] = { "nic", "nic-hw/" },
	[PART_IDLE] = { "idle", NULL },	  [PART_OTHER] = { "other", NULL },
};

const char *part_name(enum part part)
{
	return parts[part].name;
}

static ssize_t read_file(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n;
}

/* By the name of a thread; PART_N: by none. */
static enum part part_named(int pid, int tid)
{
	char path[64], comm[32];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", pid, tid);
	if (read_file(path, comm, sizeof(comm)) <= 0)
		return PART_N;
	comm[strcspn(comm, "\n")] = '\0';
	for (enum part p = 0; p < PART_N; p++)
		if (parts[p].comm && !strncmp(comm, parts[p].comm, strlen(parts[p].comm)))
			return p;
	return PART_N;
}

static enum part part_of(int pid, int tid)
{
	enum part part = pid == getpid() ? PART_PROGRAM : part_named(pid, tid);

	if (part == PART_N)
		part = part_named(pid, pid);
	return part == PART_N ? PART_OTHER : part;
}

static int add_thread(struct who *w, int pid, int tid, int cpu)
{
	char path[96];
	cpu_set_t set;
	int fd;

	if (w->n == WHO_THREADS_MAX)
		return -E2BIG;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* gone already */
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(tid, sizeof(set), &set) && errno != ESRCH) {
		close(fd);
		return -errno;
	}
	w->thread[w->n].part = part_of(pid, tid);
	w->thread[w->n].tid = tid;
	w->thread[w->n++].fd = fd;
	return 0;
}

static int add_process(struct who *w, int pid, int cpu)
{
	struct dirent *d;
	char path[64];
	DIR *tasks;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		return 0;
	while (!err && (d = readdir(tasks)))
		if (atoi(d->d_name) > 0)
			err = add_thread(w, pid, atoi(d->d_name), cpu);
	closedir(tasks);
	return err;
}

/* Linux Documentation/admin-guide/pm/cpuidle.rst */
static void add_idles(struct who *w, int cpu)
{
	for (uint32_t i = 0; i < WHO_IDLES_MAX; i++) {
		char path[96];
		int fd;

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/cpuidle/state%u/time",
			 cpu, i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		w->idle[w->n_idles++] = fd;
	}
}

int who_open(struct who *w, int cpu)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	int err = 0;

	*w = (struct who){ 0 };
	if (!proc)
		return -errno;
	while (!err && (d = readdir(proc)))
		if (atoi(d->d_name) > 0)
			err = add_process(w, atoi(d->d_name), cpu);
	closedir(proc);
	add_idles(w, cpu);
	if (err)
		who_close(w);
	return err;
}

void who_close(struct who *w)
{
	for (uint32_t i = 0; i < w->n; i++)
		close(w->thread[i].fd);
	for (uint32_t i = 0; i < w->n_idles; i++)
		close(w->idle[i]);
	w->n = w->n_idles = 0;
}

/* What the caller itself has run, and when that was. */
static uint64_t own_ns(uint64_t *at)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	*at = tsc_now();
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t number_in(int fd)
{
	char text[96];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return strtoull(text, NULL, 10);
}

void who_read(const struct who *w, struct who_spent *out)
{
	*out = (struct who_spent){ .at = tsc_now() };
	for (uint32_t i = 0; i < w->n_idles; i++)
		out->ns[PART_IDLE] += number_in(w->idle[i]) * 1000;
	for (uint32_t i = 0; i < w->n; i++)
		out->ns[w->thread[i].part] += w->thread[i].tid == gettid() ?
						      own_ns(&out->at) :
						      number_in(w->thread[i].fd);
}
