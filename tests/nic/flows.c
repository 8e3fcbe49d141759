/* SPDX-License-Identifier: MIT */
/*
 * Numbered datagrams between two network namespaces: loss, duplicates and reordering, each
 * flow for itself.
 *
 *	flows FROM-NETNS TO-NETNS ADDRESS PORT N-FLOWS PER-SECOND SECONDS
 *
 * Sends N-FLOWS flows in turn at PER-SECOND datagrams together, and prints
 * {"sent", "received", "lost", "duplicated", "reordered", "damaged"}. Exits with 0 if every
 * one came once, in order and whole.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX  64
#define TRAIL_NS   (500 * 1000 * 1000ull) /* to wait for what is still on its way */
#define FILL	   0x5a
#define SIZE_MIN   sizeof(struct datagram)
#define SIZE_MAX_  1472
#define BUFFER	   (16 << 20)

struct datagram {
	uint32_t flow;
	uint32_t number;
};

struct flow {
	int sender;
	uint32_t sent;
	uint32_t expected; /* number of the next one */
	uint8_t *seen;	   /* [total] */
};

static struct flow flows[FLOWS_MAX];
static uint64_t n_received, n_duplicated, n_reordered, n_damaged;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void enter(const char *netns)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err(2, "%s", path);
	close(fd);
}

static int udp(void)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = BUFFER;

	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		err(2, "socket");
	return s;
}

/* Sizes go up and down, the same each time for the same number. */
static size_t size_of(uint32_t number)
{
	return SIZE_MIN + number * 97 % (SIZE_MAX_ - SIZE_MIN);
}

static void send_one(uint32_t flow)
{
	uint8_t text[SIZE_MAX_];
	struct datagram *d = (struct datagram *)text;
	struct flow *f = &flows[flow];

	memset(text, FILL, sizeof(text));
	*d = (struct datagram){ .flow = flow, .number = f->sent };
	if (send(f->sender, text, size_of(f->sent), 0) < 0)
		err(2, "send");
	f->sent++;
}

static void judge(const uint8_t *text, ssize_t size, uint32_t n_flows)
{
	const struct datagram *d = (const struct datagram *)text;
	struct flow *f;

	if (size < (ssize_t)SIZE_MIN || d->flow >= n_flows || d->number >= flows[d->flow].sent ||
	    (size_t)size != size_of(d->number)) {
		n_damaged++;
		return;
	}
	for (ssize_t i = sizeof(*d); i < size; i++) {
		if (text[i] == FILL)
			continue;
		n_damaged++;
		return;
	}
	f = &flows[d->flow];
	n_received++;
	n_duplicated += f->seen[d->number];
	f->seen[d->number] = 1;
	n_reordered += d->number < f->expected;
	if (d->number >= f->expected)
		f->expected = d->number + 1;
}

static void receive_all(int s, uint32_t n_flows)
{
	uint8_t text[2048] __attribute__((aligned(8)));
	ssize_t n;

	while ((n = recv(s, text, sizeof(text), MSG_DONTWAIT)) >= 0)
		judge(text, n, n_flows);
}

/* Sends what is due; never more than 64 at once, which a bridge's queue takes. */
static void run(int receiver, uint32_t n_flows, uint64_t total, uint64_t gap_ns)
{
	uint64_t begun = now_ns(), n = 0, end = 0;

	while (!end || now_ns() < end) {
		uint64_t due = (now_ns() - begun) / gap_ns;
		struct timespec rest = { .tv_nsec = 200000 };

		for (int burst = 0; n < total && n < due && burst < 64; burst++, n++)
			send_one((uint32_t)(n % n_flows));
		if (n == total && !end)
			end = now_ns() + TRAIL_NS;
		receive_all(receiver, n_flows);
		if (n >= due || n == total)
			nanosleep(&rest, NULL);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	uint64_t total, lost;
	uint32_t n_flows, rate;
	int receiver;

	if (argc != 8)
		errx(2, "usage: flows FROM-NETNS TO-NETNS ADDRESS PORT N-FLOWS PER-SECOND SECONDS");
	to.sin_port = htons((uint16_t)atoi(argv[4]));
	n_flows = (uint32_t)atoi(argv[5]);
	rate = (uint32_t)atoi(argv[6]);
	total = (uint64_t)(rate * atof(argv[7])) / (n_flows ? n_flows : 1) * n_flows;
	if (inet_pton(AF_INET, argv[3], &to.sin_addr) != 1 || !n_flows || n_flows > FLOWS_MAX || !total)
		errx(2, "odd arguments");
	enter(argv[2]);
	receiver = udp();
	if (bind(receiver, (struct sockaddr *)&to, sizeof(to)))
		err(2, "bind");
	enter(argv[1]);
	for (uint32_t i = 0; i < n_flows; i++) {
		flows[i].sender = udp();
		flows[i].seen = calloc(total / n_flows, 1);
		if (!flows[i].seen || connect(flows[i].sender, (struct sockaddr *)&to, sizeof(to)))
			err(2, "connect");
	}
	run(receiver, n_flows, total, 1000000000ull / rate);
	lost = total - (n_received - n_duplicated);
	printf("{\"sent\": %lu, \"received\": %lu, \"lost\": %lu, \"duplicated\": %lu, "
	       "\"reordered\": %lu, \"damaged\": %lu}\n",
	       total, n_received, lost, n_duplicated, n_reordered, n_damaged);
	return lost || n_duplicated || n_reordered || n_damaged;
}
