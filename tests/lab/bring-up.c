/* SPDX-License-Identifier: MIT */
/*
 * Brings a lab's inside up: network, hypervisor, xenstored, vifd, guests. Runs in
 * a child of lab init that ends when all is up; what it started stays with init.
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "netns.h"
#include "nic_switch.h"
#include "process.h"

#define DAEMON_WAIT_MS 10000

/* The hotplug script keeps a processor busy; more at once only grow each one's wait,
 * and libxl's patience with a backend is 10 s. */
#define GUESTS_AT_ONCE 8

static int start_host(const struct lab *lab)
{
	char hosted_xen[PATH_MAX];
	const struct daemon xen = { .name = "hosted-xen",
				    .argv = { hosted_xen, "run", "--dir", LAB_XEN, "--ready-fd",
					      PROCESS_READY_FD },
				    .ready_ms = DAEMON_WAIT_MS };
	const struct daemon store = { .name = "xenstored",
				      .argv = { hosted_xen, "xenstored", "--rundir", LAB_STORE } };
	int err;

	snprintf(hosted_xen, sizeof(hosted_xen), "%s/hosted-xen", lab->bin_dir);
	err = process_start_daemon(&xen);
	if (!err)
		err = process_start_daemon(&store);
	if (!err)
		err = process_await_socket(LAB_STORE "/socket", DAEMON_WAIT_MS);
	if (err)
		warnx("starting xenstored: %s", strerror(-err));
	return err;
}

/* The word for vifd's --nics. */
static void print_nic(const struct lab *lab, char *out, size_t size)
{
	int n = snprintf(out, size, "%.15s", lab_uplink(lab).s);

	if (lab->model_nic)
		n += snprintf(out + n, size - (size_t)n, ",provider=model,wire=%.15s",
			      lab_cable(lab).s);
	if (lab->steering[0])
		n += snprintf(out + n, size - (size_t)n, ",steering=%s", lab->steering);
	if (lab->n_filters)
		snprintf(out + n, size - (size_t)n, ",filters=%u", lab->n_filters);
}

static int start_vifd(const struct lab *lab, char *const flags[])
{
	char vifd[PATH_MAX], workers[12], queues[12], nic[128];
	struct daemon d = { .name = "vifd", .argv = { vifd } };
	size_t n = 1;
	int err;

	snprintf(vifd, sizeof(vifd), "%s/vifd", lab->bin_dir);
	snprintf(workers, sizeof(workers), "%u", lab->n_workers);
	snprintf(queues, sizeof(queues), "%u", lab->n_queues);
	if (lab->n_workers) {
		d.argv[n++] = "--workers";
		d.argv[n++] = workers;
	}
	if (lab->n_queues > 1) { /* what guests ask for is offered to them */
		d.argv[n++] = "--max-queues";
		d.argv[n++] = queues;
	}
	if (lab->nice[0]) {
		d.argv[n++] = "--datapath-nice";
		d.argv[n++] = (char *)lab->nice;
	}
	print_nic(lab, nic, sizeof(nic));
	if (lab->mq) {
		d.argv[n++] = "--nics";
		d.argv[n++] = nic;
	}
	for (; *flags; flags++) {
		if (n == PROCESS_ARGS_MAX - 1)
			return -E2BIG;
		d.argv[n++] = *flags;
	}
	if (lab_has_switch(lab))
		nic_switch_preload(lab, true);
	err = process_start_daemon(&d);
	nic_switch_preload(lab, false);
	if (!err)
		err = process_await_socket(LAB_VIFD_SOCKET, DAEMON_WAIT_MS);
	if (err)
		warnx("starting vifd: %s", strerror(-err));
	return err;
}

int lab_restart_vifd(const struct lab *lab, char *const flags[])
{
	int err = process_stop("vifd", SIGTERM, DAEMON_WAIT_MS);

	if (err && err != -ESRCH) {
		warnx("vifd did not end when asked to");
		return err;
	}
	return start_vifd(lab, flags);
}

/* Waits for one guest's starter; its failure. */
static int reap_guest(void)
{
	int status;

	if (wait(&status) < 0)
		return -errno;
	return status ? -EIO : 0;
}

static int start_guests(const struct lab *lab)
{
	uint32_t n_running = 0;
	int err = 0;

	for (uint32_t i = 1; i <= lab->n_guests && !err; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(guest_start(lab, i) ? 1 : 0);
		if (pid < 0)
			err = -errno;
		else
			n_running++;
		if (n_running == GUESTS_AT_ONCE) {
			n_running--;
			err = reap_guest();
		}
	}
	for (; n_running; n_running--) {
		int guest_err = reap_guest();

		err = err ? err : guest_err;
	}
	return err;
}

int lab_bring_up(const struct lab *lab)
{
	int err = netns_configure(lab);

	if (!err)
		err = start_host(lab);
	if (!err)
		err = start_vifd(lab, (char *[]){ NULL });
	return err ? err : start_guests(lab);
}
