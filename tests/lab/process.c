/* SPDX-License-Identifier: MIT */
/*
 * Starting, finding and ending the lab's processes; see process.h.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

uint64_t process_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / NS_PER_MS;
}

int process_exit_status(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

int process_signalfd(const int signals[], size_t n)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < n; i++)
		sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_SETMASK, &set, NULL))
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void process_reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

void process_detach_fds(const int keep[], size_t n)
{
	DIR *dir = opendir("/proc/self/fd");
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct dirent *e;

	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	while (dir && (e = readdir(dir))) {
		int fd = atoi(e->d_name);
		bool wanted = fd <= 2 || fd == dirfd(dir);

		for (size_t i = 0; i < n; i++)
			wanted |= fd == keep[i];
		if (!wanted)
			close(fd);
	}
	if (dir)
		closedir(dir);
}

static void pid_path(const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, LAB_PIDS "/%s", name);
}

static pid_t read_pid(const char *name)
{
	char path[PATH_MAX];
	FILE *f;
	int pid = 0;

	pid_path(name, path);
	f = fopen(path, "re");
	if (!f)
		return -ESRCH;
	if (fscanf(f, "%d", &pid) != 1)
		pid = -ESRCH;
	fclose(f);
	return pid;
}

pid_t process_find(const char *name)
{
	return read_pid(name);
}

static int write_pid(const char *name)
{
	char path[PATH_MAX], text[16];
	int fd, n;

	pid_path(name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	n = snprintf(text, sizeof(text), "%d\n", getpid());
	n = write(fd, text, (size_t)n) == n ? 0 : -EIO;
	close(fd);
	return n;
}

bool process_unregister(pid_t pid, char *name, size_t size)
{
	DIR *dir = opendir(LAB_PIDS);
	struct dirent *e;
	bool found = false;
	char path[PATH_MAX];

	while (dir && !found && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || read_pid(e->d_name) != pid)
			continue;
		snprintf(name, size, "%s", e->d_name);
		pid_path(name, path);
		unlink(path);
		found = true;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* The daemon itself: registered, in a session of its own, its output in its log. */
static void __attribute__((noreturn)) become_daemon(const struct daemon *d, int ready)
{
	char text[PATH_MAX];
	int null, log;

	setsid();
	process_reset_signals();
	if (write_pid(d->name))
		errx(LAB_EXIT_FAILED, "%s runs already", d->name);
	snprintf(text, sizeof(text), "%u", d->domid);
	setenv("XEN_HOSTED_DOMID", text, 1);
	if (d->store)
		setenv("XENSTORED_RUNDIR", d->store, 1);
	null = open("/dev/null", O_RDWR);
	snprintf(text, sizeof(text), LAB_LOGS "/%s.log", d->name);
	log = open(text, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (null < 0 || log < 0)
		err(LAB_EXIT_FAILED, "%s", text);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	if (d->ready_ms &&
	    (ready == atoi(PROCESS_READY_FD) ? fcntl(ready, F_SETFD, 0)
					     : dup2(ready, atoi(PROCESS_READY_FD))) < 0)
		err(LAB_EXIT_FAILED, "ready pipe");
	execvp(d->argv[0], (char *const *)d->argv);
	err(127, "%s", d->argv[0]);
}

/* Forks twice: the daemon becomes init's child, whoever we are. */
static int fork_daemon(const struct daemon *d, int ready)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			become_daemon(d, ready);
		_exit(pid < 0);
	}
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return status ? -EAGAIN : 0;
}

static int await_ready(int fd, uint32_t timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;
	int n = poll(&p, 1, (int)timeout_ms);

	if (n <= 0)
		return n ? -errno : -ETIMEDOUT;
	return read(fd, &byte, 1) == 1 ? 0 : -EPIPE;
}

int process_start_daemon(const struct daemon *d)
{
	int ready[2], err;

	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	err = fork_daemon(d, ready[1]);
	close(ready[1]);
	if (!err && d->ready_ms)
		err = await_ready(ready[0], d->ready_ms);
	close(ready[0]);
	return err;
}

/* Waits for the pidfd's process to end: 0, -ETIMEDOUT or -errno. */
static int await_end(int pidfd, uint32_t timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int n = poll(&p, 1, (int)timeout_ms);

	return n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
}

int process_stop(const char *name, int signal, uint32_t grace_ms)
{
	pid_t pid = read_pid(name);
	char path[PATH_MAX];
	int pidfd, err;

	if (pid <= 0)
		return -ESRCH;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	pid_path(name, path);
	unlink(path);
	if (pidfd < 0)
		return -errno;
	syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
	err = await_end(pidfd, grace_ms);
	if (err) {
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
		await_end(pidfd, 5000);
	}
	close(pidfd);
	return err;
}

static void __attribute__((noreturn)) become_program(const char *const argv[], int input)
{
	int null = open("/dev/null", O_RDONLY);

	setpgid(0, 0);
	process_reset_signals();
	dup2(input < 0 ? null : input, 0);
	dup2(2, 1);
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	execvp(argv[0], (char *const *)argv);
	err(127, "%s", argv[0]);
}

/* A descriptor that reads as the text; -1 for no text. */
static int text_fd(const char *text)
{
	size_t n = text ? strlen(text) : 0;
	int fd;

	if (!text)
		return -1;
	fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

int process_run(const char *const argv[], const char *input, uint32_t timeout_ms)
{
	int fd = text_fd(input), pidfd, status, err;
	pid_t pid;

	if (input && fd < 0)
		return fd;
	pid = fork();
	if (pid == 0)
		become_program(argv, fd);
	if (fd >= 0)
		close(fd);
	if (pid < 0)
		return -errno;
	setpgid(pid, pid);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	err = pidfd < 0 ? -errno : await_end(pidfd, timeout_ms);
	if (pidfd >= 0)
		close(pidfd);
	if (err)
		kill(-pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return err ? err : process_exit_status(status);
}

int process_await_socket(const char *path, uint32_t timeout_ms)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	uint64_t deadline = process_now_ms() + timeout_ms;
	const struct timespec pause = { .tv_nsec = 2 * NS_PER_MS };
	int fd, err;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	for (;;) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
		err = connect(fd, (struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
		close(fd);
		if (err != -ENOENT && err != -ECONNREFUSED)
			return err;
		if (process_now_ms() >= deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
}
