/* SPDX-License-Identifier: MIT */
/*
 * Lab init, PID 1 of the lab. It starts one child that brings the lab up, then
 * COMMAND, and otherwise only reaps and watches. Everything else in the lab is its
 * child or becomes it, and dies with it.
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netns.h"
#include "process.h"
#include "record.h"

#define VIFD_GRACE_MS 3000

struct init {
	const struct lab *lab;
	const struct lab_run *run;
	int user, signals; /* user: -1 once the lab is kept */
	int record;
	pid_t starter, command; /* 0: not running */
};

static void __attribute__((noreturn)) become_command(const struct lab_run *run)
{
	process_reset_signals();
	execvp(run->command[0], run->command);
	err(errno == ENOENT ? 127 : 126, "%s", run->command[0]);
}

static void __attribute__((noreturn)) become_starter(const struct lab *lab)
{
	/* signals stay blocked: Ctrl-C is for vif-lab to act on */
	_exit(lab_bring_up(lab) ? 1 : 0);
}

static void tell_user(struct init *in, enum lab_message_kind kind, int value)
{
	if (in->user >= 0) {
		lab_send(in->user, kind, value);
	} else if (kind == LAB_FAILED) {
		lab_save_logs(in->lab, LAB_LOGS "/.", NULL); /* a kept lab: no one to ask */
		exit(LAB_EXIT_FAILED);
	}
}

static void show_log_end(const char *name)
{
	char line[512], path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), LAB_LOGS "/%s.log", name);
	f = fopen(path, "re");
	if (!f)
		return;
	if (!fseek(f, -1500, SEEK_END) && !fgets(line, sizeof(line), f))
		line[0] = '\0';
	while (fgets(line, sizeof(line), f))
		fprintf(stderr, "  %s: %s", name, line);
	fclose(f);
}

static void start_command(struct init *in)
{
	in->command = fork();
	if (in->command == 0)
		become_command(in->run);
	if (in->command > 0) {
		tell_user(in, LAB_GO, 0);
		return;
	}
	warn("starting %s", in->run->command[0]);
	in->command = 0;
	tell_user(in, LAB_FAILED, 0);
}

static const char *how_ended(int wait_status)
{
	return WIFSIGNALED(wait_status) ? "was killed by signal" : "exited with status";
}

static int exit_number(int wait_status)
{
	return WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

static void reaped(struct init *in, pid_t pid, int wait_status)
{
	char name[64];

	if (pid == in->command) {
		in->command = 0;
		tell_user(in, LAB_ENDED, process_exit_status(wait_status));
	} else if (pid == in->starter) {
		in->starter = 0;
		if (wait_status)
			tell_user(in, LAB_FAILED, 0);
		else
			start_command(in);
	} else if (process_unregister(pid, name, sizeof(name))) {
		warnx("%s %s %d", name, how_ended(wait_status), exit_number(wait_status));
		show_log_end(name);
		tell_user(in, LAB_FAILED, 0);
	}
}

/* vifd gets the chance to end by itself: that it can is worth knowing. */
static void __attribute__((noreturn)) quit(void)
{
	pid_t vifd = process_find("vifd"), pid;
	int err = process_stop("vifd", SIGTERM, VIFD_GRACE_MS);
	int result = 0, status;

	if (err == -ETIMEDOUT) {
		warnx("vifd did not end within %u s of SIGTERM", VIFD_GRACE_MS / 1000);
		result = LAB_EXIT_FAILED;
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != vifd || !status || err)
			continue;
		warnx("vifd %s %d when asked to end", how_ended(status), exit_number(status));
		result = LAB_EXIT_FAILED;
	}
	exit(result);
}

static void live_on(struct init *in)
{
	int log = open(LAB_LOGS "/lab.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	prctl(PR_SET_PDEATHSIG, 0);
	process_detach_fds((int[]){ in->user, in->signals, in->record, log }, 4);
	dup2(log, 2);
	lab_send(in->user, LAB_KEEP, 0);
	close(in->user);
	in->user = -1;
}

static void hear_user(struct init *in)
{
	struct lab_message m;

	if (lab_receive(in->user, &m))
		exit(LAB_EXIT_FAILED);
	if (m.kind == LAB_SIGNAL && in->command)
		kill(in->command, m.value);
	else if (m.kind == LAB_KEEP)
		live_on(in);
	else if (m.kind == LAB_QUIT)
		quit();
}

static void hear_signal(struct init *in)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(in->signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo == SIGTERM)
			quit();
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		reaped(in, pid, status);
}

static void __attribute__((noreturn)) watch(struct init *in)
{
	for (;;) {
		struct pollfd p[] = { { .fd = in->signals, .events = POLLIN },
				      { .fd = in->user, .events = POLLIN } };

		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue;
		if (p[1].revents)
			hear_user(in);
		if (p[0].revents)
			hear_signal(in);
	}
}

void lab_init(const struct lab *lab, const struct lab_run *run, int user)
{
	/* Ctrl-C reaches COMMAND itself; vif-lab decides about the lab. */
	const int signals[] = { SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP };
	struct init in = { .lab = lab, .run = run, .user = user };
	struct lab_message m;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "vif-lab-init");
	/* Had vif-lab died before the line above, this is end of file. */
	if (lab_receive(user, &m) || m.kind != LAB_GO)
		exit(LAB_EXIT_FAILED);
	in.record = record_join(lab->name, RECORD_INIT);
	in.signals = process_signalfd(signals, ARRAY_SIZE(signals));
	if (in.record < 0 || in.signals < 0 || netns_enter_lab(lab))
		exit(LAB_EXIT_FAILED);
	lab_export(lab);
	in.starter = fork();
	if (in.starter == 0)
		become_starter(lab);
	watch(&in);
}
