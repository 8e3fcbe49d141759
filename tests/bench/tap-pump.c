/* SPDX-License-Identifier: MIT */
/*
 * The yardstick: two TAPs in two network namespaces, joined by the smallest
 * read/write loop that still carries checksum and segmentation offloads. What an
 * iperf3 between the namespaces reaches through it is what a userspace that copies
 * each frame out of one TAP and into another can reach on this machine.
 *
 *	tap-pump NETNS-PATH-A IFNAME-A NETNS-PATH-B IFNAME-B
 *
 * Prints "ready" once both TAPs exist; ends on SIGTERM.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int open_tap(const char *netns, const char *name)
{
	struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int ns = open(netns, O_RDONLY | O_CLOEXEC);
	int fd;

	if (ns < 0 || setns(ns, CLONE_NEWNET)) {
		perror(netns);
		exit(1);
	}
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &req) ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)) {
		perror(name);
		exit(1);
	}
	return fd;
}

/* Moves frames until 'from' is dry, at most 64 so that the other way has its turn. */
static void pump(int from, int to)
{
	static unsigned char frame[65536 + 64];

	for (int i = 0; i < 64; i++) {
		ssize_t n = read(from, frame, sizeof(frame));

		if (n <= 0)
			return;
		if (write(to, frame, (size_t)n) < 0 && errno != EIO && errno != EAGAIN)
			perror("write");
	}
}

int main(int argc, char **argv)
{
	struct pollfd fds[2];

	if (argc != 5) {
		fprintf(stderr, "usage: tap-pump NETNS-A IFNAME-A NETNS-B IFNAME-B\n");
		return 2;
	}
	fds[0] = (struct pollfd){ .fd = open_tap(argv[1], argv[2]), .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = open_tap(argv[3], argv[4]), .events = POLLIN };
	puts("ready");
	fflush(stdout);
	while (poll(fds, 2, -1) > 0) {
		if (fds[0].revents)
			pump(fds[0].fd, fds[1].fd);
		if (fds[1].revents)
			pump(fds[1].fd, fds[0].fd);
	}
	return 1;
}
