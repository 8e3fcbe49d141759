/* SPDX-License-Identifier: MIT */
/*
 * Numbered messages between two network namespaces: loss, duplicates and reordering, each
 * flow for itself.
 *
 *	flows udp|tcp FROM-NETNS TO-NETNS ADDRESS PORT N-FLOWS PER-SECOND SECONDS
 *
 * Sends N-FLOWS flows in turn at PER-SECOND messages together, until SIGTERM at the latest,
 * and prints
 * {"sent", "received", "lost", "duplicated", "reordered", "damaged", "in_vain"}. Exits with 0
 * if every one came once, in order and whole.
 *
 * TCP repairs what it finds, so what it had to repair counts: segments that came too early are
 * reordered, those that were sent again and had not arrived before (the receiver would say so:
 * RFC 2883) are lost. in_vain says how many the sender sent again for mere impatience.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
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

#define FLOWS_MAX    64
#define TRAIL_NS     (500 * 1000 * 1000ull) /* to wait for duplicates once all has come */
#define TRAIL_MAX_NS (20 * TRAIL_NS)	    /* and for what has not: a busy machine takes its time */
#define FILL	     0x5a
#define SIZE_MIN     sizeof(struct message)
#define SIZE_MAX_    1472
#define TCP_FACTOR   4 /* messages of TCP's are longer than a frame, too */
#define BUFFER	     (16 << 20)

struct message {
	uint32_t flow;
	uint32_t number;
	uint32_t size;
};

struct flow {
	int sender, receiver; /* TCP: each its own; UDP: all the same receiver */
	uint32_t sent;
	uint32_t expected; /* number of the next one */
	uint8_t *seen;	   /* [total] */
	/* TCP: messages that are not whole yet */
	uint8_t out[TCP_FACTOR * SIZE_MAX_], in[TCP_FACTOR * SIZE_MAX_];
	size_t out_at, out_size, in_size;
};

static struct flow flows[FLOWS_MAX];
static uint32_t n_flows;
static bool tcp;
static volatile sig_atomic_t stopped;
static uint64_t n_sent, n_received, n_duplicated, n_reordered, n_damaged, n_in_vain;

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

static int new_socket(void)
{
	int s = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0), one = 1;
	int size = BUFFER;

	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		err(2, "socket");
	if (tcp && setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		err(2, "TCP_NODELAY");
	return s;
}

/* Sizes go up and down, the same each time for the same number. */
static size_t size_of(uint32_t number)
{
	uint32_t max = tcp ? TCP_FACTOR * SIZE_MAX_ : SIZE_MAX_;

	return SIZE_MIN + number * 97 % (max - SIZE_MIN);
}

/* ---- sending ---- */

/* Whether all of the flow's message is on its way. */
static bool send_rest(struct flow *f)
{
	ssize_t n = 0;

	while (f->out_at < f->out_size && n >= 0) {
		n = send(f->sender, f->out + f->out_at, f->out_size - f->out_at, MSG_DONTWAIT);
		if (n > 0)
			f->out_at += (size_t)n;
	}
	if (n < 0 && errno != EAGAIN && errno != ENOBUFS)
		err(2, "send");
	return f->out_at == f->out_size;
}

/* Whether there was room for it. */
static bool send_one(uint32_t flow)
{
	struct flow *f = &flows[flow];
	struct message *m = (struct message *)f->out;

	if (!send_rest(f))
		return false;
	f->out_size = size_of(f->sent);
	f->out_at = 0;
	memset(f->out, FILL, f->out_size);
	*m = (struct message){ .flow = flow, .number = f->sent, .size = (uint32_t)f->out_size };
	f->sent++;
	n_sent++;
	(void)send_rest(f);
	return true;
}

/* ---- receiving ---- */

static void judge(const uint8_t *text, size_t size)
{
	const struct message *m = (const struct message *)text;
	struct flow *f;

	if (size < SIZE_MIN || m->flow >= n_flows || m->number >= flows[m->flow].sent ||
	    m->size != size || size != size_of(m->number)) {
		n_damaged++;
		return;
	}
	for (size_t i = sizeof(*m); i < size; i++) {
		if (text[i] == FILL)
			continue;
		n_damaged++;
		return;
	}
	f = &flows[m->flow];
	n_received++;
	n_duplicated += f->seen[m->number];
	f->seen[m->number] = 1;
	n_reordered += m->number < f->expected;
	if (m->number >= f->expected)
		f->expected = m->number + 1;
}

static void receive_datagrams(int s)
{
	uint8_t text[2048] __attribute__((aligned(8)));
	ssize_t n;

	while ((n = recv(s, text, sizeof(text), MSG_DONTWAIT)) >= 0)
		judge(text, (size_t)n);
}

static void receive_stream(struct flow *f)
{
	const struct message *m = (const struct message *)f->in;
	ssize_t n;

	for (;;) {
		size_t want = f->in_size < sizeof(*m) ? sizeof(*m) : m->size;

		if (want < sizeof(*m) || want > sizeof(f->in))
			errx(2, "a stream lost its way");
		n = recv(f->receiver, f->in + f->in_size, want - f->in_size, MSG_DONTWAIT);
		if (n <= 0)
			return;
		f->in_size += (size_t)n;
		if (f->in_size < sizeof(*m) || f->in_size < m->size)
			continue;
		judge(f->in, f->in_size);
		f->in_size = 0;
	}
}

static void receive_all(void)
{
	if (!tcp)
		receive_datagrams(flows[0].receiver);
	for (uint32_t i = 0; tcp && i < n_flows; i++)
		receive_stream(&flows[i]);
}

/* ---- a run ---- */

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* Whether all is said and done. */
static bool is_over(uint64_t ended)
{
	uint64_t trail = now_ns() - ended;

	for (uint32_t i = 0; tcp && i < n_flows; i++)
		(void)send_rest(&flows[i]);
	return trail > TRAIL_NS && (n_received - n_duplicated == n_sent || trail > TRAIL_MAX_NS);
}

/* Sends what is due; never more than 64 at once, which a bridge's queue takes. */
static void run(uint64_t total, uint64_t gap_ns)
{
	struct timespec rest = { .tv_nsec = 200000 };
	uint64_t begun = now_ns(), ended = 0;

	while (!ended || !is_over(ended)) {
		uint64_t due = (now_ns() - begun) / gap_ns;

		due = ended || stopped ? n_sent : due < total ? due : total;
		for (int burst = 0; n_sent < due && burst < 64; burst++)
			if (!send_one((uint32_t)(n_sent % n_flows)))
				break;
		if ((n_sent == total || stopped) && !ended)
			ended = now_ns();
		receive_all();
		if (n_sent >= due)
			nanosleep(&rest, NULL);
	}
}

/* ---- sockets ---- */

static void open_flow(struct flow *f, const struct sockaddr_in *to, int listener, uint64_t total)
{
	f->sender = new_socket();
	f->receiver = listener;
	f->seen = calloc(total / n_flows, 1);
	if (!f->seen || connect(f->sender, (const struct sockaddr *)to, sizeof(*to)))
		err(2, "connect");
	if (tcp)
		f->receiver = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (f->receiver < 0)
		err(2, "accept");
}

/* What TCP saw and repaired. What was sent again though it had arrived was not lost. */
static uint64_t count_repairs(void)
{
	uint64_t lost = 0;

	for (uint32_t i = 0; tcp && i < n_flows; i++) {
		struct tcp_info from = { 0 }, to = { 0 };
		socklen_t size = sizeof(from);

		if (getsockopt(flows[i].sender, IPPROTO_TCP, TCP_INFO, &from, &size) ||
		    getsockopt(flows[i].receiver, IPPROTO_TCP, TCP_INFO, &to, &size))
			err(2, "TCP_INFO");
		if (from.tcpi_total_retrans > from.tcpi_dsack_dups)
			lost += from.tcpi_total_retrans - from.tcpi_dsack_dups;
		n_in_vain += from.tcpi_dsack_dups;
		n_reordered += to.tcpi_rcv_ooopack;
	}
	return lost;
}

static uint64_t parse(int argc, char **argv, struct sockaddr_in *to, uint32_t *rate)
{
	uint64_t total;

	if (argc != 9)
		errx(2, "usage: flows udp|tcp FROM-NETNS TO-NETNS ADDRESS PORT N-FLOWS PER-SECOND "
			"SECONDS");
	tcp = !strcmp(argv[1], "tcp");
	*to = (struct sockaddr_in){ .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)atoi(argv[5])) };
	n_flows = (uint32_t)atoi(argv[6]);
	*rate = (uint32_t)atoi(argv[7]);
	total = (uint64_t)(*rate * atof(argv[8])) / (n_flows ? n_flows : 1) * n_flows;
	if (inet_pton(AF_INET, argv[4], &to->sin_addr) != 1 || !n_flows || n_flows > FLOWS_MAX ||
	    !total)
		errx(2, "odd arguments");
	return total;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to;
	uint64_t total, lost;
	uint32_t rate;
	int listener;

	total = parse(argc, argv, &to, &rate);
	enter(argv[3]);
	listener = new_socket();
	if (bind(listener, (struct sockaddr *)&to, sizeof(to)) ||
	    (tcp && listen(listener, FLOWS_MAX)))
		err(2, "bind");
	enter(argv[2]);
	for (uint32_t i = 0; i < n_flows; i++)
		open_flow(&flows[i], &to, listener, total);
	signal(SIGTERM, stop);
	run(total, 1000000000ull / rate);
	lost = n_sent - (n_received - n_duplicated) + count_repairs();
	printf("{\"sent\": %lu, \"received\": %lu, \"lost\": %lu, \"duplicated\": %lu, "
	       "\"reordered\": %lu, \"damaged\": %lu, \"in_vain\": %lu}\n",
	       n_sent, n_received, lost, n_duplicated, n_reordered, n_damaged, n_in_vain);
	return lost || n_duplicated || n_reordered || n_damaged;
}
