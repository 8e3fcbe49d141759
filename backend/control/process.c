/* SPDX-License-Identifier: MIT */
/*
 * The datapath's process: this very binary, exec'd. Exec, because a forked child may
 * not use Xen handles it inherited, and so that nothing of control's memory is in
 * the process that touches guests. It gets stderr, its socket as IPC_FIRST_FD, and
 * vifd's lock as the next one: no other vifd may take the guests' rings before
 * this datapath has let go of them.
 */
#include "backend/control/supervise.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define EXEC_FAILED 127

/* Between fork and exec: async-signal-safe calls only. */
static void exec_datapath(int sock, int keep_fd)
{
	char *const argv[] = { "vifd-datapath", "--datapath", NULL };
	sigset_t none;
	int last = IPC_FIRST_FD;

	/* Out of the way of the numbers they are to get. */
	sock = fcntl(sock, F_DUPFD_CLOEXEC, IPC_FIRST_FD + 2);
	if (keep_fd >= 0)
		keep_fd = fcntl(keep_fd, F_DUPFD_CLOEXEC, IPC_FIRST_FD + 2);
	if (sock < 0 || dup2(sock, IPC_FIRST_FD) < 0)
		_exit(EXEC_FAILED);
	if (keep_fd >= 0 && dup2(keep_fd, IPC_FIRST_FD + 1) >= 0)
		last = IPC_FIRST_FD + 1;
	if (close_range((unsigned)last + 1, ~0u, CLOSE_RANGE_CLOEXEC))
		_exit(EXEC_FAILED);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv("/proc/self/exe", argv);
	_exit(EXEC_FAILED);
}

static int exec_start(void *ctx, int sock)
{
	struct process *p = ctx;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		exec_datapath(sock, p->keep_fd);
	p->pid = pid;
	return 0;
}

static bool exec_ended(void *ctx, int *status)
{
	struct process *p = ctx;

	if (!p->pid || waitpid(p->pid, status, WNOHANG) != p->pid)
		return false;
	p->pid = 0;
	return true;
}

static void exec_kill(void *ctx)
{
	struct process *p = ctx;

	if (p->pid)
		kill(p->pid, SIGKILL);
}

static pid_t exec_pid(void *ctx)
{
	return ((struct process *)ctx)->pid;
}

const struct process_ops process_exec_ops = {
	.start = exec_start,
	.ended = exec_ended,
	.kill = exec_kill,
	.pid = exec_pid,
};
