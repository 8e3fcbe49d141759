/* SPDX-License-Identifier: MIT */
/*
 * The janitor: makes the lab's record, outlives vif-lab and lab init, sleeps until
 * they end, and then removes the record and the names in it from the host. It also
 * ends the lab on SIGTERM, which is how 'vif-lab stop' reaches it. It holds no network or mount
 * namespace of the lab.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process.h"
#include "record.h"

#define JANITOR_GRACE_MS 5000

struct janitor {
	int init, user, signals;
	bool kept;
	uint64_t kill_at_ms; /* when patience with init ends; 0: no end in sight */
};

static void signal_init(const struct janitor *j, int signal)
{
	syscall(SYS_pidfd_send_signal, j->init, signal, NULL, 0);
}

static void hear_user(struct janitor *j)
{
	struct lab_message m;

	if (!lab_receive(j->user, &m)) {
		j->kept = m.kind == LAB_KEEP;
		return;
	}
	close(j->user);
	j->user = -1;
	if (!j->kept)
		signal_init(j, SIGKILL);
}

static void hear_signal(struct janitor *j)
{
	struct signalfd_siginfo info;

	if (read(j->signals, &info, sizeof(info)) != sizeof(info))
		return;
	signal_init(j, SIGTERM);
	j->kill_at_ms = process_now_ms() + JANITOR_GRACE_MS;
}

static void watch(struct janitor *j)
{
	for (;;) {
		struct pollfd p[] = { { .fd = j->init, .events = POLLIN },
				      { .fd = j->user, .events = POLLIN },
				      { .fd = j->signals, .events = POLLIN } };
		uint64_t now = process_now_ms();

		if (j->kill_at_ms && now >= j->kill_at_ms) {
			signal_init(j, SIGKILL);
			j->kill_at_ms = 0;
		}
		poll(p, ARRAY_SIZE(p), j->kill_at_ms ? (int)(j->kill_at_ms - now) : -1);
		if (p[0].revents)
			return;
		if (p[1].revents)
			hear_user(j);
		if (p[2].revents)
			hear_signal(j);
	}
}

void lab_janitor(const struct lab *lab, int init_pidfd, int user)
{
	const int ends[] = { SIGTERM, SIGINT, SIGHUP };
	struct janitor j = { .init = init_pidfd, .user = user };
	int record;

	setsid();
	prctl(PR_SET_NAME, "vif-lab-janitor");
	j.signals = process_signalfd(ends, ARRAY_SIZE(ends));
	record = record_create(lab);
	if (j.signals < 0 || record < 0)
		_exit(1);
	process_detach_fds((int[]){ init_pidfd, user, record, j.signals }, 4);
	if (chdir("/") == 0)
		lab_send(user, LAB_GO, 0);
	watch(&j);
	record_sweep(record, lab->name);
	_exit(0);
}
