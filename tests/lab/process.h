/* SPDX-License-Identifier: MIT */
/*
 * The lab's processes. A daemon is lab init's child whoever started it, and has a
 * file in LAB_PIDS with its process id as long as it is wanted: init takes the
 * death of a process that has one as the lab's failure.
 */
#ifndef VIF_LAB_PROCESS_H
#define VIF_LAB_PROCESS_H

#include "lab.h"

#define PROCESS_ARGS_MAX 32

/* A daemon to be. Strings are borrowed for the call. */
struct daemon {
	const char *name;  /* of its pid file and of its log in LAB_LOGS */
	uint32_t domid;	   /* the domain it is */
	const char *store; /* its XENSTORED_RUNDIR; NULL: dom0's */
	const char *argv[PROCESS_ARGS_MAX];
	/* Not 0: it writes to descriptor PROCESS_READY_FD once it is ready, within this time. */
	uint32_t ready_ms;
};

#define PROCESS_READY_FD "3"

/* Starts it and waits for it to be ready. 0, -ETIMEDOUT, -EPIPE (it ended) or -errno; its
 * name stays registered on failure. */
int process_start_daemon(const struct daemon *d) must_check;

/* The pid of a registered daemon, or -ESRCH. */
pid_t process_find(const char *name) must_check;

/* Whether a process init reaped was a wanted daemon: fills its name, drops its file. */
bool process_unregister(pid_t pid, char *name, size_t size);

/* Ends a daemon on purpose: 'signal', then SIGKILL after 'grace_ms'. Returns when it is
 * gone; 0, -ESRCH (not running), -ETIMEDOUT (had to be killed) or -errno. */
int process_stop(const char *name, int signal, uint32_t grace_ms);

/* Runs a program to its end, with 'input' (may be NULL) as standard input and its output
 * on our stderr; its process group is killed after 'timeout_ms'. Returns its exit status
 * (128 + signal), -ETIMEDOUT or -errno. */
int process_run(const char *const argv[], const char *input, uint32_t timeout_ms) must_check;

/* Waits for a unix socket to take connections. 0, -ETIMEDOUT or -errno. */
int process_await_socket(const char *path, uint32_t timeout_ms) must_check;

/* The exit status a shell would show for a wait status. */
int process_exit_status(int wait_status);

/* Milliseconds of the monotonic clock. */
uint64_t process_now_ms(void);

/* Closes every descriptor above 2 but the n given, and leads 0-2 to /dev/null. */
void process_detach_fds(const int keep[], size_t n);

/* Blocks the signals and returns a signalfd for them, close-on-exec. */
int process_signalfd(const int signals[], size_t n) must_check;

/* Undoes process_signalfd() and ignored signals before an exec. */
void process_reset_signals(void);

#endif
