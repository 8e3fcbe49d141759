/* SPDX-License-Identifier: MIT */
/*
 * 'vif-lab run', the user's side: makes lab init, the janitor and the names, and
 * waits. The order matters in this: the janitor itself makes the
 * record, and no name exists before it did.
 */
#include <err.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/sched.h>
#include <unistd.h>

#include "netns.h"
#include "process.h"
#include "record.h"

#define STOP_GRACE_MS 5000

struct user {
	const struct lab *lab;
	const struct lab_run *run;
	int record, signals;
	int init, janitor; /* our ends of the pairs */
	int init_pidfd;
	pid_t init_pid, janitor_pid;
	bool ending;	     /* we asked init to end */
	bool commanded;	     /* COMMAND's time has come: signals are its */
	int status;	     /* to exit with */
	uint64_t kill_at_ms; /* when patience with COMMAND ends; 0: never */
};

/* fork() into a PID namespace of its own, with a pidfd. */
static pid_t fork_init(int *pidfd)
{
	struct clone_args args = { .flags = CLONE_NEWPID | CLONE_PIDFD,
				   .pidfd = (uintptr_t)pidfd,
				   .exit_signal = SIGCHLD };

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int start_init(struct user *u)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	u->init_pid = fork_init(&u->init_pidfd);
	if (u->init_pid == 0) {
		close(pair[0]);
		lab_init(u->lab, u->run, pair[1]);
	}
	close(pair[1]);
	u->init = pair[0];
	return u->init_pid < 0 ? -errno : 0;
}

static int start_janitor(struct user *u)
{
	struct lab_message m;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	u->janitor_pid = fork();
	if (u->janitor_pid == 0)
		lab_janitor(u->lab, u->init_pidfd, pair[1]);
	close(pair[1]);
	u->janitor = pair[0];
	if (u->janitor_pid < 0)
		return -errno;
	return lab_receive(u->janitor, &m);
}

void lab_save_logs(const struct lab *lab, const char *from, const char *to)
{
	char made[64];
	const char *argv[] = { "cp", "-r", "--no-preserve=ownership", from, NULL, NULL };

	if (access(from, F_OK))
		return;
	if (!to) {
		snprintf(made, sizeof(made), "/tmp/vif-lab-%s-XXXXXX", lab->name);
		to = mkdtemp(made);
	} else if (mkdir(to, 0755) && errno != EEXIST) {
		warn("%s", to);
		return;
	}
	argv[4] = to;
	if (to && !process_run(argv, NULL, 10000))
		warnx("the lab's logs are in %s", to);
}

/* Out of the lab's private /run: to --logs or a new folder. */
static void save_logs(const struct user *u)
{
	char from[64];

	snprintf(from, sizeof(from), "/proc/%d/root" LAB_LOGS "/.", u->init_pid);
	lab_save_logs(u->lab, from, u->run->logs);
}

static void keep_lab(struct user *u)
{
	struct lab_message m;
	const char *name = u->lab->name;

	lab_send(u->janitor, LAB_KEEP, 0);
	lab_send(u->init, LAB_KEEP, 0);
	if (lab_receive(u->init, &m) || m.kind != LAB_KEEP) {
		warnx("the lab ended before it could be kept");
		return;
	}
	fprintf(stderr,
		"vif-lab: lab %s stays. Enter it with 'vif-lab exec --name %s -- bash', "
		"end it with 'vif-lab stop --name %s'\n",
		name, name, name);
	/* Closing the record drops our lock; the janitor and init hold theirs. */
	exit(u->status);
}

static void end_lab(struct user *u)
{
	u->ending = true;
	lab_send(u->init, LAB_QUIT, 0);
	u->kill_at_ms = process_now_ms() + STOP_GRACE_MS;
}

static void hear_init(struct user *u)
{
	struct lab_message m;

	if (lab_receive(u->init, &m)) {
		close(u->init);
		u->init = -1; /* its pidfd tells the rest */
		return;
	}
	if (m.kind == LAB_GO) {
		u->commanded = true;
		return;
	}
	if (u->ending)
		return; /* of a lab that fails all its processes may say so */
	u->status = m.kind == LAB_ENDED ? m.value : LAB_EXIT_FAILED;
	if (m.kind == LAB_FAILED || (u->run->logs && u->status))
		save_logs(u);
	else if (u->status && u->status < 128)
		warnx("COMMAND exited with status %d; --logs DIR keeps the lab's logs", u->status);
	if (u->run->keep && m.kind == LAB_ENDED)
		keep_lab(u);
	end_lab(u);
}

static void hear_signal(struct user *u)
{
	struct signalfd_siginfo info;

	if (read(u->signals, &info, sizeof(info)) != sizeof(info) || info.ssi_signo == SIGCHLD)
		return;
	if (!u->commanded) {
		u->status = 128 + (int)info.ssi_signo;
		end_lab(u);
		return;
	}
	/* A terminal sends its signals to COMMAND as well. */
	if (info.ssi_code != SI_KERNEL)
		lab_send(u->init, LAB_SIGNAL, (int)info.ssi_signo);
	if (info.ssi_signo != SIGINT && info.ssi_signo != SIGQUIT) {
		u->status = 128 + (int)info.ssi_signo;
		u->kill_at_ms = process_now_ms() + STOP_GRACE_MS;
	}
}

static void wait_for_init(struct user *u)
{
	for (;;) {
		struct pollfd p[] = { { .fd = u->init_pidfd, .events = POLLIN },
				      { .fd = u->init, .events = POLLIN },
				      { .fd = u->signals, .events = POLLIN } };
		uint64_t now = process_now_ms();

		if (u->kill_at_ms && now >= u->kill_at_ms) {
			kill(u->init_pid, SIGKILL);
			u->kill_at_ms = 0;
		}
		poll(p, ARRAY_SIZE(p), u->kill_at_ms ? (int)(u->kill_at_ms - now) : -1);
		if (p[1].revents)
			hear_init(u);
		if (p[2].revents)
			hear_signal(u);
		if (p[0].revents && !p[1].revents)
			return;
	}
}

/* Init is dead: what is left are the names, and they are the janitor's. */
static void finish(struct user *u)
{
	struct lab_message m;
	int status;

	if (waitpid(u->init_pid, &status, 0) == u->init_pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) && !u->status)
		u->status = WEXITSTATUS(status);
	if (!u->ending)
		warnx("lab %s was stopped", u->lab->name);
	while (!lab_receive(u->janitor, &m))
		;
	waitpid(u->janitor_pid, &status, 0);
	if (u->record >= 0)
		record_sweep(u->record, u->lab->name); /* had the janitor been killed */
}

/* The start failed: takes back what there is of it. */
static void abandon(struct user *u)
{
	u->ending = true;
	if (u->init_pid > 0)
		kill(u->init_pid, SIGKILL);
	if (u->janitor_pid > 0)
		finish(u);
}

/* The signals that end us, but those we were started to ignore (nohup). */
static int catch_signals(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	int caught[ARRAY_SIZE(ends)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct sigaction old;

		if (!sigaction(ends[i], NULL, &old) && old.sa_handler != SIG_IGN)
			caught[n++] = ends[i];
	}
	return process_signalfd(caught, n);
}

/* Everything up to the lab's init on its own. Said why on failure. */
static int start(struct user *u)
{
	int err;

	u->signals = catch_signals();
	err = u->signals < 0 ? u->signals : start_init(u);
	if (err) {
		warnx("starting the lab: %s", strerror(-err));
		return err;
	}
	err = start_janitor(u);
	if (err)
		return err; /* its words */
	u->record = record_join(u->lab->name, RECORD_USER);
	err = u->record < 0 ? u->record : netns_create_lab(u->lab);
	if (!err)
		err = lab_send(u->init, LAB_GO, 0);
	if (err)
		warnx("starting the lab: %s", strerror(-err));
	return err;
}

int lab_run(const struct lab *lab, const struct lab_run *run)
{
	struct user u = { .lab = lab, .run = run, .status = LAB_EXIT_FAILED, .record = -1 };

	record_sweep_dead();
	if (start(&u)) {
		abandon(&u);
		return LAB_EXIT_FAILED;
	}
	wait_for_init(&u);
	finish(&u);
	return u.status;
}
