/* SPDX-License-Identifier: MIT */
/*
 * Namespaces, veths and sockets of the paths (path.h). The plumbing is iproute2's: it is
 * not what is measured, and Xen's hotplug scripts need it as well.
 */
#include "backend/vifbench/path.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/client.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

extern char **environ;

#define PORT	      7000u
#define RECEIVE_BYTES (4 << 20)

struct kind {
	const char *name;
	const char *netns;	  /* of the far end, after "NAME-" */
	const char *wire_address; /* NULL: the lab's own */
	const char *far_address;
};

static const struct kind kinds[PATH_N] = {
	[PATH_SINK] = { "sink", "bsink", "10.79.0.1", "10.79.0.2" },
	[PATH_NATIVE] = { "native", "bnative", "10.79.1.1", "10.79.1.2" },
	[PATH_TAP_LOOP] = { "tap-loop", "bloop", NULL, "10.77.0.250" },
	[PATH_VIFD_BRIDGE] = { "vifd-bridge", NULL, NULL, NULL },
	[PATH_VIFD_MQ_AFXDP] = { "vifd-mq-afxdp", NULL, NULL, NULL },
};

const char *path_name(enum path_kind kind)
{
	return kinds[kind].name;
}

static const char *lab(void)
{
	const char *name = getenv("VIF_LAB_NAME");

	return name ? name : "lab";
}

static bool lab_is_mq(void)
{
	const char *model = getenv("VIF_LAB_MODEL");

	return model && !strcmp(model, "mq");
}

bool path_here(enum path_kind kind)
{
	if (kind == PATH_TAP_LOOP || kind == PATH_VIFD_BRIDGE)
		return !lab_is_mq();
	return kind != PATH_VIFD_MQ_AFXDP || lab_is_mq();
}

static int say(char *why, size_t size, int err, const char *fmt, ...) printf_like(4, 5);
static int say(char *why, size_t size, int err, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(why, size, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < size)
		snprintf(why + n, size - (size_t)n, ": %s", strerror(-err));
	return err;
}

/* ---- iproute2 ---- */

/* Runs "ip" with the words of fmt. 0 or -EIO. */
static int ip(const char *fmt, ...) printf_like(1, 2);
static int ip(const char *fmt, ...)
{
	char line[256], *word[32] = { "ip" }, *rest = line;
	int n = 1, status;
	va_list ap;
	pid_t pid;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	while (n < 31 && (word[n] = strsep(&rest, " ")))
		n++;
	if (posix_spawnp(&pid, "ip", NULL, NULL, word, environ))
		return -EIO;
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
		return -EIO;
	return 0;
}

static int make_netns(const char *netns)
{
	int err = ip("netns add %s", netns);

	return err ? err : ip("-n %s link set lo up", netns);
}

/* ---- in another namespace ---- */

static int enter_netns(const char *netns)
{
	char path[96];
	int fd, err = 0;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET))
		err = -errno;
	close(fd);
	return err;
}

/* A socket belongs to the namespace it was made in, wherever its user is. */
static int socket_in(const char *netns, int type)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), s, err;

	if (home < 0)
		return -errno;
	err = enter_netns(netns);
	s = err ? err : socket(AF_INET, type | SOCK_CLOEXEC, 0);
	if (!err && s < 0)
		s = -errno;
	if (setns(home, CLONE_NEWNET))
		s = -errno;
	close(home);
	return s;
}

static struct sockaddr_in address_of(const char *address, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, address, &a.sin_addr);
	return a;
}

/* ---- pairs ---- */

static int bind_and_connect(int s, const char *own, uint16_t own_port, const char *other,
			    uint16_t other_port)
{
	struct sockaddr_in a = address_of(own, own_port), b = address_of(other, other_port);
	struct timeval patience = { .tv_usec = 500000 };
	int size = RECEIVE_BYTES;

	if (setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    bind(s, (struct sockaddr *)&a, sizeof(a)) ||
	    connect(s, (struct sockaddr *)&b, sizeof(b)))
		return -errno;
	return 0;
}

/* Where one guest's pair runs between. */
struct ends {
	char wire_ns[48], guest_ns[48];
	const char *wire, *guest; /* addresses */
	uint16_t port;
	bool sink;
};

static int open_udp(const struct ends *e, struct pair *out)
{
	int err;

	out->wire = socket_in(e->wire_ns, SOCK_DGRAM);
	if (out->wire < 0)
		return out->wire;
	err = bind_and_connect(out->wire, e->wire, e->port, e->guest, e->port);
	if (err || e->sink)
		return err;
	out->guest = socket_in(e->guest_ns, SOCK_DGRAM);
	return out->guest < 0 ? out->guest
			      : bind_and_connect(out->guest, e->guest, e->port, e->wire, e->port);
}

static int open_tcp(const struct ends *e, struct pair *out)
{
	struct sockaddr_in a = address_of(e->guest, e->port);
	int listener = socket_in(e->guest_ns, SOCK_STREAM), size = 1 << 20, one = 1, err = 0;

	if (listener < 0)
		return listener;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	out->wire = socket_in(e->wire_ns, SOCK_STREAM);
	if (out->wire < 0 || bind(listener, (struct sockaddr *)&a, sizeof(a)) ||
	    listen(listener, 1) || connect(out->wire, (struct sockaddr *)&a, sizeof(a)))
		err = out->wire < 0 ? out->wire : -errno;
	if (!err && (out->guest = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		err = -errno;
	close(listener);
	/* A whole chunk fits both ways: send() never waits for a reader, who is us. */
	for (int i = 0; !err && i < 2; i++) {
		int s = i ? out->guest : out->wire;

		if (setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
			err = -errno;
	}
	return err;
}

static void ends_of(const struct path *p, uint32_t i, struct ends *e, char guest_address[16])
{
	const struct kind *k = &kinds[p->kind];

	*e = (struct ends){ .port = (uint16_t)(PORT + 100u * p->kind + i), .sink = p->kind == PATH_SINK };
	snprintf(e->wire_ns, sizeof(e->wire_ns), "%s-wire", lab());
	e->wire = k->wire_address ? k->wire_address : "10.77.0.1";
	if (k->netns) {
		snprintf(e->guest_ns, sizeof(e->guest_ns), "%s-%s", lab(), k->netns);
		snprintf(guest_address, 16, "%s", k->far_address);
	} else {
		snprintf(e->guest_ns, sizeof(e->guest_ns), "%s-g%u", lab(), i + 1);
		snprintf(guest_address, 16, "10.77.0.%u", 11 + i);
	}
	e->guest = guest_address;
}

static int open_pairs(struct path *p, uint32_t n, char *why, size_t why_size)
{
	char address[16];
	struct ends e;
	int err = 0;

	for (uint32_t i = 0; !err && i < n; i++) {
		p->n_pairs = i + 1;
		ends_of(p, i, &e, address);
		err = open_udp(&e, &p->udp[i]);
	}
	if (!err && p->kind != PATH_SINK) {
		ends_of(p, 0, &e, address);
		err = open_tcp(&e, &p->tcp);
	}
	return err ? say(why, why_size, err, "%s: sockets to %s", path_name(p->kind), address) : 0;
}

/* ---- what lies between ---- */

/* In the wire's namespace: the same generator's work on every path, where one wants its
 * frames with their checksums. */
static int finish_frames(const char *device)
{
	struct ethtool_value off = { .cmd = ETHTOOL_STXCSUM };
	struct ifreq req = { .ifr_data = (void *)&off };
	char netns[48];
	int s, err = 0;

	snprintf(netns, sizeof(netns), "%s-wire", lab());
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", device);
	s = socket_in(netns, SOCK_DGRAM);
	if (s < 0)
		return s;
	if (ioctl(s, SIOCETHTOOL, &req))
		err = -errno;
	close(s);
	return err;
}

/* A veth from the wire's namespace to one of our own. */
static int make_veth(const struct kind *k)
{
	const char *l = lab();
	char netns[48];
	int err;

	snprintf(netns, sizeof(netns), "%s-%s", l, k->netns);
	err = make_netns(netns);
	if (!err)
		err = ip("-n %s-wire link add %s type veth peer name eth0 netns %s", l, k->netns, netns);
	if (!err)
		err = ip("-n %s-wire addr add %s/24 dev %s", l, k->wire_address, k->netns);
	if (!err)
		err = ip("-n %s addr add %s/24 dev eth0", netns, k->far_address);
	if (!err)
		err = ip("-n %s link set eth0 up", netns);
	if (!err && lab_is_mq())
		err = finish_frames(k->netns);
	return err ? err : ip("-n %s-wire link set %s up", l, k->netns);
}

/* XDP_DROP on the far end; the neighbour is told, as nobody answers for it. */
static int make_sink(void)
{
	const struct kind *k = &kinds[PATH_SINK];
	struct bpf_insn drop[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_DROP },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int home, program, err = make_veth(k);
	char netns[48];
	unsigned index;

	if (!err)
		err = ip("-n %s-wire neigh replace %s lladdr 02:00:00:00:00:01 dev %s", lab(),
			 k->far_address, k->netns);
	if (err)
		return err;
	program = bpf_prog_load(BPF_PROG_TYPE_XDP, "vifbench_sink", "Dual MIT/GPL", drop,
				ARRAY_SIZE(drop), NULL);
	if (program < 0)
		return program;
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	snprintf(netns, sizeof(netns), "%s-%s", lab(), k->netns);
	err = home < 0 ? -errno : enter_netns(netns);
	if (!err) {
		index = if_nametoindex("eth0");
		err = bpf_xdp_attach((int)index, program, 0, NULL);
		if (setns(home, CLONE_NEWNET))
			err = -errno;
	}
	if (home >= 0)
		close(home);
	close(program);
	return err;
}

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

/* The near TAP stands in the lab's bridge, the far one is the far namespace's eth0. */
static int start_pump(struct path *p)
{
	const struct kind *k = &kinds[PATH_TAP_LOOP];
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), near, far, err;
	char netns[48];

	snprintf(netns, sizeof(netns), "%s-%s", lab(), k->netns);
	near = open_tap("btap0");
	err = near < 0 ? near : enter_netns(netns);
	far = err ? err : open_tap("eth0");
	if (setns(home, CLONE_NEWNET))
		err = -errno;
	close(home);
	if (near < 0 || far < 0 || err)
		return near < 0 ? near : far < 0 ? far : err;
	p->pump = fork();
	if (p->pump == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "tap-loop");
		pump(near, far);
	}
	close(near);
	close(far);
	return p->pump < 0 ? -errno : 0;
}

static int make_tap_loop(struct path *p)
{
	const struct kind *k = &kinds[PATH_TAP_LOOP];
	const char *l = lab();
	char netns[48];
	int err;

	snprintf(netns, sizeof(netns), "%s-%s", l, k->netns);
	err = make_netns(netns);
	if (!err)
		err = start_pump(p);
	if (!err)
		err = ip("-n %s addr add %s/24 dev eth0", netns, k->far_address);
	if (!err)
		err = ip("-n %s link set eth0 up", netns);
	return err ? err : ip("link set btap0 master %sbr0 up", l);
}

/* Until the first n guests have their places. 0 or -ETIMEDOUT. */
static int await_places(uint32_t n)
{
	for (int i = 0; i < 200; i++) {
		char why[256];
		json_t *all = client_ask(CLIENT_DEFAULT_SOCKET, json_pack("{s:s}", "command", "list"),
					 why, sizeof(why));
		const json_t *vif;
		uint32_t placed = 0;
		size_t at;

		json_array_foreach(json_object_get(all, "vifs"), at, vif) {
			const char *model = json_string_value(json_object_get(vif, "model"));

			placed += at < n && model && !strcmp(model, "mq");
		}
		json_decref(all);
		if (placed == n)
			return 0;
		usleep(50000);
	}
	return -ETIMEDOUT;
}

int path_open(struct path *p, enum path_kind kind, uint32_t n_guests, char *why, size_t why_size)
{
	int err = 0;

	assert(n_guests >= 1 && n_guests <= PATH_GUESTS_MAX);
	*p = (struct path){ .kind = kind, .tcp = { -1, -1 } };
	for (uint32_t i = 0; i < PATH_GUESTS_MAX; i++)
		p->udp[i] = (struct pair){ -1, -1 };
	if (kind == PATH_SINK)
		err = make_sink();
	else if (kind == PATH_NATIVE)
		err = make_veth(&kinds[kind]);
	else if (kind == PATH_TAP_LOOP)
		err = make_tap_loop(p);
	else if (kind == PATH_VIFD_MQ_AFXDP)
		err = await_places(n_guests);
	if (err)
		say(why, why_size, err, "building %s", path_name(kind));
	else
		err = open_pairs(p, n_guests, why, why_size);
	if (err)
		path_close(p);
	return err;
}

static void close_pair(struct pair *pair)
{
	if (pair->wire >= 0)
		close(pair->wire);
	if (pair->guest >= 0)
		close(pair->guest);
	*pair = (struct pair){ -1, -1 };
}

void path_close(struct path *p)
{
	const struct kind *k = &kinds[p->kind];

	for (uint32_t i = 0; i < p->n_pairs; i++)
		close_pair(&p->udp[i]);
	close_pair(&p->tcp);
	if (p->pump > 0) {
		kill(p->pump, SIGKILL);
		waitpid(p->pump, NULL, 0);
	}
	if (k->netns)
		(void)ip("netns del %s-%s", lab(), k->netns);
	*p = (struct path){ .kind = p->kind, .tcp = { -1, -1 } };
}
