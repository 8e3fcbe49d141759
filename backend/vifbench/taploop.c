/* SPDX-License-Identifier: MIT */
/* See taploop.h. */
#include "backend/vifbench/taploop.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "backend/vifbench/plumb.h"

static int open_tap(const char *name)
{
	struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (fd >= 0 && (ioctl(fd, TUNSETIFF, &req) ||
			ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6))) {
		close(fd);
		return -errno;
	}
	return fd < 0 ? -errno : fd;
}

/* Moves frames until 'from' is dry, at most 64 so that the other way has its turn. */
static void pump_some(int from, int to)
{
	static uint8_t frame[65536 + 64];

	for (int i = 0; i < 64; i++) {
		ssize_t n = read(from, frame, sizeof(frame));

		if (n <= 0 || write(to, frame, (size_t)n) < 0)
			return;
	}
}

/* What everybody's userspace switch does: one TAP read, the other written. */
static void pump(int a, int b)
{
	struct pollfd fds[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };

	while (poll(fds, 2, -1) > 0) {
		if (fds[0].revents)
			pump_some(a, b);
		if (fds[1].revents)
			pump_some(b, a);
	}
	_exit(1);
}

int taploop_start(const char *near_name, const char *far_netns, const char *far_name)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), near, far, err;
	pid_t pid;

	if (home < 0)
		return -errno;
	near = open_tap(near_name);
	err = near < 0 ? near : plumb_enter(far_netns);
	far = err ? err : open_tap(far_name);
	if (setns(home, CLONE_NEWNET))
		err = -errno;
	close(home);
	if (near < 0 || far < 0 || err)
		return near < 0 ? near : far < 0 ? far : err;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "tap-loop");
		pump(near, far);
	}
	close(near);
	close(far);
	return pid < 0 ? -errno : pid;
}
