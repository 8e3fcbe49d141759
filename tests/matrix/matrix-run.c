/* SPDX-License-Identifier: MIT */
/*
 * One row of the offload matrix with real kernels' stacks: inside a lab of two guests and a
 * wire, whose vifd offers OFFERED, it has the guests connect anew with each of the feature
 * sets given, and after each sends TCP and UDP over IPv4 and IPv6 between all three, both
 * ways at once, comparing every byte.
 *
 *	matrix-run OFFERED ACCEPTED...
 *
 * Sets are sums of enum vif_feature bits, 0 to 31. One line a combination: "ok - ..." or
 * "not ok - ...". Exit status: 0 all ok, 1 not, 2 wrong usage or no lab.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "features.h"
#include "tests/lab/lab.h"

#define N_SETS	     32u
#define N_HOSTS	     3u /* two guests, then the wire */
#define N_GUESTS     2u
#define WIRE	     2u
#define PORT	     5077
#define STREAM_BYTES (96u << 10)
#define CHUNK	     (32u << 10)
#define PATIENCE_S   15

static const char *const addresses[N_HOSTS][2] = {
	{ "10.77.0.11", "fd77::11" },
	{ "10.77.0.12", "fd77::12" },
	{ "10.77.0.1", "fd77::1" },
};

struct host {
	int netns;
	int listener[2]; /* IPv4, IPv6 */
	int udp[2];
};

struct guest {
	int control;
	char line[4096];
	json_int_t n_gso_sent, n_gso_received; /* as of the last combination */
};

static struct host hosts[N_HOSTS];
static struct guest guests[N_GUESTS];
static uint8_t noise[4u << 20];
static char why[256]; /* the combination failed */

static bool printf_like(1, 2) failed(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return false;
}

/* ---- hosts and their sockets ---- */

static socklen_t address_of(uint32_t host, int v, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *v6 = (void *)out;
	struct sockaddr_in *v4 = (void *)out;

	memset(out, 0, sizeof(*out));
	if (v == 0) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(PORT);
		inet_pton(AF_INET, addresses[host][0], &v4->sin_addr);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(PORT);
	inet_pton(AF_INET6, addresses[host][1], &v6->sin6_addr);
	return sizeof(*v6);
}

/* A socket lives in the namespace it was made in. */
static int socket_in(uint32_t host, int v, int type)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd;

	if (setns(hosts[host].netns, CLONE_NEWNET))
		err(2, "setns");
	fd = socket(v ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)))
		err(2, "socket");
	return fd;
}

static int bound_socket(uint32_t host, int v, int type)
{
	struct sockaddr_storage address;
	socklen_t size = address_of(host, v, &address);
	int fd = socket_in(host, v, type), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, size))
		err(2, "bind %s", addresses[host][v]);
	return fd;
}

static void open_hosts(const char *lab)
{
	static const char *const suffix[N_HOSTS] = { "g1", "g2", "wire" };
	char path[128];

	for (uint32_t h = 0; h < N_HOSTS; h++) {
		snprintf(path, sizeof(path), "/run/netns/%s-%s", lab, suffix[h]);
		hosts[h].netns = open(path, O_RDONLY | O_CLOEXEC);
		if (hosts[h].netns < 0)
			err(2, "%s", path);
		for (int v = 0; v < 2; v++) {
			hosts[h].listener[v] = bound_socket(h, v, SOCK_STREAM);
			if (listen(hosts[h].listener[v], 16))
				err(2, "listen");
			hosts[h].udp[v] = bound_socket(h, v, SOCK_DGRAM);
		}
	}
}

/* ---- guests, told what to be ---- */

static void connect_guests(void)
{
	for (uint32_t g = 0; g < N_GUESTS; g++) {
		struct sockaddr_un address = { .sun_family = AF_UNIX };

		snprintf(address.sun_path, sizeof(address.sun_path), LAB_DIR "/guest-%u.sock",
			 g + 1);
		guests[g].control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (guests[g].control < 0 ||
		    connect(guests[g].control, (struct sockaddr *)&address, sizeof(address)))
			err(2, "%s", address.sun_path);
	}
}

/* Its answer to the last command, in guests[g].line. */
static bool answered(uint32_t g)
{
	struct pollfd p = { .fd = guests[g].control, .events = POLLIN };
	size_t size = 0;

	do {
		ssize_t n = -1;

		if (poll(&p, 1, PATIENCE_S * 1000) == 1)
			n = read(p.fd, guests[g].line + size, sizeof(guests[g].line) - 1 - size);
		if (n <= 0)
			return failed("guest %u does not answer", g + 1);
		size += (size_t)n;
	} while (guests[g].line[size - 1] != '\n');
	guests[g].line[size - 1] = '\0';
	return true;
}

static bool tell(uint32_t g, const char *command)
{
	if (write(guests[g].control, command, strlen(command)) < 0)
		return failed("guest %u: %s", g + 1, strerror(errno));
	return true;
}

static bool reconnect(const uint32_t accepted[N_GUESTS])
{
	char command[128];

	for (uint32_t g = 0; g < N_GUESTS; g++) {
		const char *comma = "";
		/* guest 2 with several queues, if there are workers for them */
		int n = snprintf(command, sizeof(command), "connect queues=%u without=", g + 1);

		for (const struct feature_name *f = feature_names; f->name; f++) {
			if (f->bit >= N_SETS || (accepted[g] & f->bit))
				continue;
			n += snprintf(command + n, sizeof(command) - (size_t)n, "%s%s", comma,
				      f->name);
			comma = ",";
		}
		snprintf(command + n, sizeof(command) - (size_t)n, "\n");
		if (!tell(g, command))
			return false;
	}
	for (uint32_t g = 0; g < N_GUESTS; g++)
		if (!answered(g) || strcmp(guests[g].line, "ok"))
			return failed("guest %u: %s", g + 1, guests[g].line);
	return true;
}

static json_int_t number(const json_t *stats, const char *key)
{
	const json_t *value = json_object_get(stats, key);

	if (!value)
		errx(2, "vif-guest counts no %s", key);
	return json_integer_value(value);
}

/* Its counters, or NULL. */
static json_t *stats_of(uint32_t g)
{
	json_t *stats = NULL;

	if (tell(g, "stats\n") && answered(g))
		stats = json_loads(guests[g].line, 0, NULL);
	if (!stats)
		failed("guest %u: no counters", g + 1);
	return stats;
}

/* How many segmented frames passed since the last call. */
static void count_gso(uint32_t g, const json_t *stats, json_int_t *sent, json_int_t *received)
{
	struct guest *guest = &guests[g];

	*sent = number(stats, "from_guest_gso_frames") - guest->n_gso_sent;
	*received = number(stats, "to_guest_gso_frames") - guest->n_gso_received;
	guest->n_gso_sent += *sent;
	guest->n_gso_received += *received;
}

static void start_counting(uint32_t g)
{
	json_t *stats = stats_of(g);
	json_int_t sent, received;

	if (!stats)
		errx(2, "%s", why);
	count_gso(g, stats, &sent, &received);
	json_decref(stats);
}

/* Nothing is lost or misunderstood, and segmentation is used exactly if both sides have it. */
static bool counters_agree(uint32_t g, uint32_t offered, uint32_t accepted)
{
	static const char *const none[] = { "from_guest_drops",	    "from_guest_error_responses",
					    "to_guest_errors",	    "to_guest_unasked",
					    "to_guest_stack_drops", "disabled" };
	const uint32_t gso = VIF_GSO_TCPV4 | VIF_GSO_TCPV6;
	/* a Linux frontend does not look whether IPv4 checksums may be blank */
	uint32_t sends = features_usable((features_usable(offered) | VIF_CSUM_V4) & accepted);
	json_t *stats = stats_of(g);
	json_int_t sent, received;

	if (!stats)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (number(stats, none[i]))
			failed("guest %u: %s %lld", g + 1, none[i], number(stats, none[i]));
	count_gso(g, stats, &sent, &received);
	if ((sent > 0) != !!(sends & gso))
		failed("guest %u sent %lld segmented frames", g + 1, sent);
	if ((received > 0) != !!(features_usable(accepted) & gso))
		failed("guest %u received %lld segmented frames", g + 1, received);
	json_decref(stats);
	return !why[0];
}

/* ---- traffic ---- */

/* One end of a connection: sends its noise, compares what comes with the other's. */
struct end {
	int fd;
	const uint8_t *out, *in;
	size_t n_sent, n_received;
};

static const uint8_t *some_noise(void)
{
	static uint32_t seed = 1;

	seed = seed * 1103515245 + 12345;
	return noise + (seed >> 8) % (sizeof(noise) - STREAM_BYTES);
}

static bool connect_pair(uint32_t from, uint32_t to, int v, struct end ends[2])
{
	struct sockaddr_storage address;
	socklen_t size = address_of(to, v, &address);

	ends[0] = (struct end){ .fd = socket_in(from, v, SOCK_STREAM), .out = some_noise() };
	ends[1] = (struct end){ .fd = -1, .out = some_noise(), .in = ends[0].out };
	ends[0].in = ends[1].out;
	if (!connect(ends[0].fd, (struct sockaddr *)&address, size))
		ends[1].fd = accept4(hosts[to].listener[v], NULL, NULL, SOCK_CLOEXEC);
	if (ends[1].fd < 0)
		return failed("TCP %s to %s: %s", addresses[from][v], addresses[to][v],
			      strerror(errno));
	return true;
}

static bool end_moves(struct end *e, short events)
{
	static uint8_t got[CHUNK];
	ssize_t n;

	if (events & POLLOUT && e->n_sent < STREAM_BYTES) {
		n = send(e->fd, e->out + e->n_sent, MIN(CHUNK, STREAM_BYTES - e->n_sent),
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return failed("send: %s", strerror(errno));
		e->n_sent += (size_t)MAX(n, 0);
	}
	if (events & (POLLIN | POLLERR | POLLHUP)) {
		n = recv(e->fd, got, sizeof(got), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return failed("recv: %s", n ? strerror(errno) : "the end");
		n = MAX(n, 0);
		if (e->n_received + (size_t)n > STREAM_BYTES ||
		    memcmp(got, e->in + e->n_received, (size_t)n) != 0)
			return failed("TCP: wrong bytes after %zu", e->n_received);
		e->n_received += (size_t)n;
	}
	return true;
}

static bool streams_pass(struct end ends[], uint32_t n)
{
	const time_t deadline = time(NULL) + PATIENCE_S;
	struct pollfd p[4 * N_HOSTS];
	bool open = true;

	while (open) {
		open = false;
		for (uint32_t i = 0; i < n; i++) {
			bool out = ends[i].n_sent < STREAM_BYTES;
			bool in = ends[i].n_received < STREAM_BYTES;

			p[i] =
			    (struct pollfd){ out || in ? ends[i].fd : -1,
					     (short)((out ? POLLOUT : 0) | (in ? POLLIN : 0)), 0 };
			open |= out || in;
		}
		if (open && (poll(p, n, 1000) < 0 || time(NULL) > deadline))
			return failed("TCP: not through after %d s", PATIENCE_S);
		for (uint32_t i = 0; open && i < n; i++)
			if (p[i].revents && !end_moves(&ends[i], p[i].revents))
				return false;
	}
	return true;
}

/* Each host with each other one, both IP versions, all at once. */
static bool tcp_passes(void)
{
	static const uint32_t pairs[N_HOSTS][2] = { { 0, WIRE }, { WIRE, 1 }, { 0, 1 } };
	struct end ends[4 * N_HOSTS];
	uint32_t n = 0;
	bool ok = true;

	for (uint32_t i = 0; i < N_HOSTS && ok; i++)
		for (int v = 0; v < 2 && ok; v++, n += 2)
			ok = connect_pair(pairs[i][0], pairs[i][1], v, &ends[n]);
	ok = ok && streams_pass(ends, n);
	for (uint32_t i = 0; i < n; i++)
		if (ends[i].fd >= 0)
			close(ends[i].fd);
	return ok;
}

static bool datagram_passes(uint32_t from, uint32_t to, int v, size_t size)
{
	static uint8_t got[65536];
	const uint8_t *sent = some_noise();
	struct sockaddr_storage address;
	socklen_t address_size = address_of(to, v, &address);
	ssize_t n;

	if (sendto(hosts[from].udp[v], sent, size, 0, (struct sockaddr *)&address, address_size) <
	    0)
		return failed("UDP to %s: %s", addresses[to][v], strerror(errno));
	n = recv(hosts[to].udp[v], got, sizeof(got), 0);
	if (n != (ssize_t)size || memcmp(got, sent, size) != 0)
		return failed("UDP %s to %s: %zd of %zu bytes", addresses[from][v],
			      addresses[to][v], n, size);
	return true;
}

static bool udp_passes(void)
{
	static const size_t sizes[] = { 1, 18, 1452, 4001 /* in fragments */ };

	for (uint32_t from = 0; from < N_HOSTS; from++)
		for (uint32_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++)
			for (uint32_t to = 0; to < N_HOSTS; to++)
				if (to != from &&
				    !datagram_passes(from, to, (int)i % 2, sizes[i / 2]))
					return false;
	return true;
}

/* ---- the row ---- */

static bool combination(uint32_t offered, const uint32_t accepted[N_GUESTS])
{
	why[0] = '\0';
	if (!reconnect(accepted) || !tcp_passes() || !udp_passes())
		return false;
	return counters_agree(0, offered, accepted[0]) && counters_agree(1, offered, accepted[1]);
}

static uint32_t set_of(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || !*text || n >= N_SETS)
		errx(2, "'%s' is not a number of 0 to %u", text, N_SETS - 1);
	return (uint32_t)n;
}

int main(int argc, char *argv[])
{
	const char *lab = getenv("VIF_LAB_NAME");
	bool all_ok = true;
	uint32_t offered;

	if (argc < 3 || !lab)
		errx(2, "usage, inside a lab: matrix-run OFFERED ACCEPTED...");
	offered = set_of(argv[1]);
	if (getrandom(noise, sizeof(noise), 0) != sizeof(noise))
		err(2, "getrandom");
	open_hosts(lab);
	connect_guests();
	for (uint32_t g = 0; g < N_GUESTS; g++)
		start_counting(g);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 2; i < argc; i++) {
		/* the other guest is another one each time, and each one in turn */
		const uint32_t one = set_of(argv[i]);
		const uint32_t accepted[N_GUESTS] = { one,
						      N_SETS - 1 - (one * 11 + offered) % N_SETS };
		bool ok = combination(offered, accepted);

		printf("%sok - offered %u, accepted %u and %u%s%s\n", ok ? "" : "not ", offered,
		       accepted[0], accepted[1], ok ? "" : ": ", why);
		all_ok &= ok;
	}
	return !all_ok;
}
