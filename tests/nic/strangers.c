/* SPDX-License-Identifier: MIT */
/*
 * Makes a bridge learn: frames with a new source address each, to the address TO.
 *
 *	strangers NETNS DEVICE TO PER-SECOND SECONDS [SOURCE]
 *
 * Until SIGTERM at the latest. With SOURCE all frames are from that address. Prints how many
 * went.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32

struct frame {
	struct ether_header head;
	uint8_t rest[ETH_ZLEN - sizeof(struct ether_header)];
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static void enter(const char *netns)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err(2, "%s", netns);
	close(fd);
}

static int open_device(const char *name)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (!to.sll_ifindex || fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)))
		err(2, "%s", name);
	return fd;
}

static void address(const char *text, uint8_t out[ETH_ALEN])
{
	if (!ether_aton_r(text, (struct ether_addr *)out))
		errx(2, "%s: no address", text);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* Until the frame that is next is due. */
static void pace(uint64_t start_ns, uint64_t n, uint64_t rate)
{
	uint64_t due_ns = start_ns + n * 1000000000ull / rate;
	struct timespec t = { (time_t)(due_ns / 1000000000ull), (long)(due_ns % 1000000000ull) };

	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Sends until it is told to stop, or the time is up. Returns how many frames went. */
static uint64_t run(int fd, const struct frame *like, bool others, uint64_t rate, uint64_t for_ns)
{
	static struct frame frame[BATCH];
	static struct iovec iov[BATCH];
	static struct mmsghdr msg[BATCH];
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t total = 0, start_ns = now_ns();

	for (int i = 0; i < BATCH; i++) {
		frame[i] = *like;
		iov[i] = (struct iovec){ &frame[i], sizeof(frame[i]) };
		msg[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	while (!stopped && now_ns() - start_ns < for_ns) {
		int n;

		pace(start_ns, total, rate);
		for (uint32_t i = 0; others && i < BATCH; i++) {
			uint32_t number = (uint32_t)total + i;

			memcpy(frame[i].head.ether_shost + 2, &number, sizeof(number));
		}
		n = sendmmsg(fd, msg, BATCH, MSG_DONTWAIT);
		if (n > 0)
			total += (uint64_t)n;
		else if (errno == EAGAIN || errno == ENOBUFS)
			(void)poll(&p, 1, 10);
		else if (errno != EINTR)
			err(2, "sending");
	}
	return total;
}

int main(int argc, char **argv)
{
	struct frame like = { .head = { .ether_shost = { 0x02, 0xbd }, .ether_type = 0xb588 } };
	int fd;

	if (argc < 6 || atoi(argv[4]) <= 0)
		errx(2, "usage: strangers NETNS DEVICE TO PER-SECOND SECONDS [SOURCE]");
	address(argv[3], like.head.ether_dhost);
	if (argc > 6)
		address(argv[6], like.head.ether_shost);
	enter(argv[1]);
	fd = open_device(argv[2]);
	signal(SIGTERM, stop);
	printf("%lu\n", run(fd, &like, argc == 6, (uint64_t)atoi(argv[4]),
			    (uint64_t)atoi(argv[5]) * 1000000000ull));
	return 0;
}
