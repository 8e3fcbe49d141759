/* SPDX-License-Identifier: MIT */
/*
 * bench-load: what sends and receives while the machine's instructions are counted. It
 * marks (marks.h) the beginning and the end of each run itself, so that no shell, agent
 * or console is counted. Linked statically: it runs in dom0, in guests and without Xen.
 *
 *	bench-load send ADDRESS PORT BYTES GAP_US REPEATS COUNT...
 *	bench-load receive PORT FILE
 *	bench-load arrived FILE RUNS
 *	bench-load stream ADDRESS PORT REPEATS MIB...
 *	bench-load swallow PORT
 *	bench-load owners
 *
 * 'send' makes REPEATS times a run of each COUNT datagrams of BYTES payload, GAP_US
 * apart or, with 0, as fast as the socket takes them; of 0 bytes it sends none and only
 * keeps the pace. One run before them, of the first COUNT, warms up and is not marked;
 * so with 'stream'. 'receive' counts those that arrive, by run, in FILE, an array of 64-bit
 *numbers, which 'arrived' prints. 'stream' and 'swallow' do it with TCP. 'owners' tells the plugin
 *to look anew which pages are the guest's.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "marks.h"

#define RUNS	       256		   /* in the array of FILE */
#define SETTLE_NS      (100 * 1000 * 1000) /* for what is still on its way, before and after */
#define RECEIVE_BUFFER (16 << 20)
#define MIB	       (1 << 20)

static void rest(long ns)
{
	struct timespec t = { .tv_nsec = ns };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static void add_us(struct timespec *t, long us)
{
	t->tv_nsec += us * 1000;
	t->tv_sec += t->tv_nsec / 1000000000;
	t->tv_nsec %= 1000000000;
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
		errx(2, "not an address: %s", address);
	return a;
}

static int socket_to(int type, const char *address, const char *port)
{
	struct sockaddr_in a = address_of(address, port);
	int s = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof(a)))
		err(1, "%s port %s", address, port);
	return s;
}

static int socket_at(int type, const char *port)
{
	struct sockaddr_in a = address_of("0.0.0.0", port);
	int s = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(s, (struct sockaddr *)&a, sizeof(a)))
		err(1, "port %s", port);
	return s;
}

/* ---- datagrams ---- */

/* What 'send' was told. */
struct sending {
	int socket;
	size_t size;
	long gap_us;
};

static void send_all(const struct sending *how, uint16_t run, long count)
{
	static uint8_t payload[65536];
	struct timespec next;

	memcpy(payload, &run, sizeof(run));
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (long i = 0; i < count; i++) {
		if (how->gap_us) {
			add_us(&next, how->gap_us);
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
		}
		if (how->size && send(how->socket, payload, how->size, 0) < 0)
			warn("send");
	}
}

static void send_run(const struct sending *how, uint16_t run, long count)
{
	rest(SETTLE_NS);
	MARK(MARK_BEGIN);
	send_all(how, run, count);
	rest(SETTLE_NS);
	MARK(MARK_END);
}

static int cmd_send(char **arg)
{
	struct sending how = { .socket = socket_to(SOCK_DGRAM, arg[0], arg[1]),
			       .size = strtoul(arg[2], NULL, 10),
			       .gap_us = atol(arg[3]) };
	long repeats = atol(arg[4]);
	uint16_t run = 0;

	if ((how.size && how.size < sizeof(run)) || how.size > 65507)
		errx(2, "not a datagram's size: %s", arg[2]);
	send_all(&how, RUNS, atol(arg[5]));
	for (long r = 0; r < repeats; r++)
		for (char **count = arg + 5; *count; count++)
			send_run(&how, run++, atol(*count));
	return 0;
}

static int cmd_receive(char **arg)
{
	int size = RECEIVE_BUFFER, s = socket_at(SOCK_DGRAM, arg[0]);
	int fd = open(arg[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	static uint8_t payload[65536];
	uint64_t *arrived;
	uint16_t run;
	ssize_t n;

	if (fd < 0 || ftruncate(fd, RUNS * sizeof(*arrived)))
		err(1, "%s", arg[1]);
	arrived = mmap(NULL, RUNS * sizeof(*arrived), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (arrived == MAP_FAILED || setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		err(1, "receive");
	while ((n = recv(s, payload, sizeof(payload), 0)) >= 0) {
		memcpy(&run, payload, sizeof(run));
		if ((size_t)n >= sizeof(run) && run < RUNS)
			arrived[run]++;
	}
	err(1, "recv");
}

static int cmd_arrived(char **arg)
{
	FILE *f = fopen(arg[0], "re");
	long runs = atol(arg[1]);
	uint64_t n;

	if (!f)
		err(1, "%s", arg[0]);
	while (runs-- > 0 && fread(&n, sizeof(n), 1, f) == 1)
		printf("%lu\n", (unsigned long)n);
	fclose(f);
	return 0;
}

/* ---- a stream ---- */

static void stream_all(int s, long mib)
{
	static uint8_t data[65536];

	for (long left = mib * MIB; left > 0;) {
		ssize_t n = send(s, data, sizeof(data), 0);

		if (n < 0)
			err(1, "send");
		left -= n;
	}
	/* The end of the stream comes back when the other side has read it all. */
	if (shutdown(s, SHUT_WR) || recv(s, data, 1, 0) != 0)
		err(1, "the stream did not arrive whole");
}

static void stream_run(const char *address, const char *port, long mib, bool marked)
{
	int s = socket_to(SOCK_STREAM, address, port);

	rest(SETTLE_NS);
	if (marked)
		MARK(MARK_BEGIN);
	stream_all(s, mib);
	if (marked)
		MARK(MARK_END);
	close(s);
}

static int cmd_stream(char **arg)
{
	stream_run(arg[0], arg[1], atol(arg[3]), false);
	for (long r = atol(arg[2]); r > 0; r--)
		for (char **mib = arg + 3; *mib; mib++)
			stream_run(arg[0], arg[1], atol(*mib), true);
	return 0;
}

static int cmd_swallow(char **arg)
{
	int s = socket_at(SOCK_STREAM, arg[0]), peer;
	static uint8_t data[65536];
	ssize_t n;

	if (listen(s, 1))
		err(1, "listen");
	while ((peer = accept4(s, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		while ((n = recv(peer, data, sizeof(data), 0)) > 0)
			;
		if (n < 0)
			warn("recv");
		close(peer);
	}
	err(1, "accept");
}

static int cmd_owners(char **arg)
{
	(void)arg;
	MARK(MARK_OWNERS);
	return 0;
}

static const struct command {
	const char *name;
	int arguments; /* at the least */
	int (*run)(char **arg);
} commands[] = {
	{ "send", 6, cmd_send },       { "receive", 2, cmd_receive }, { "stream", 4, cmd_stream },
	{ "swallow", 1, cmd_swallow }, { "owners", 0, cmd_owners },   { "arrived", 2, cmd_arrived },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name) && argc - 2 >= commands[i].arguments)
			return commands[i].run(argv + 2);
	errx(2, "usage: bench-load send|receive|stream|swallow|owners ... (see load.c)");
}
