/* SPDX-License-Identifier: MIT */
/*
 * Namespaces, veths and sockets of the paths (path.h). The plumbing is iproute2's: it is
 * not what is measured, and Xen's hotplug scripts need it as well.
 */
#include "backend/vifbench/path.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/client.h"
#include "backend/vifbench/plumb.h"
#include "backend/vifbench/taploop.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define PORT	      7000u

#define IN(set) (1u << (set))
#define IN_ALL	UINT32_MAX

struct kind {
	const char *name;
	const char *netns;	  /* of the far end, after "NAME-" */
	const char *wire_address; /* NULL: the lab's own */
	const char *far_address;
	uint32_t sets;
};

static const struct kind kinds[PATH_N] = {
	[PATH_SINK] = { "sink", "bsink", "10.79.0.1", "10.79.0.2", IN_ALL },
	[PATH_NATIVE] = { "native", "bnative", "10.79.1.1", "10.79.1.2", IN_ALL },
	[PATH_TAP_LOOP] = { "tap-loop", "bloop", NULL, "10.77.0.250",
			    IN(PATHS_BRIDGE) | IN(PATHS_PEERS) },
	[PATH_VIFD_BRIDGE] = { "vifd-bridge", NULL, NULL, NULL, IN(PATHS_BRIDGE) | IN(PATHS_PEERS) },
	[PATH_GUEST_GUEST] = { "vifd-guest-guest", NULL, NULL, NULL, IN(PATHS_BRIDGE) },
	[PATH_VIFD_BRIDGE_STATIC] = { "vifd-bridge-static", NULL, NULL, NULL,
				      IN(PATHS_BRIDGE_STATIC) },
	[PATH_VIFD_MQ_AFXDP] = { "vifd-mq-afxdp", NULL, NULL, NULL, IN(PATHS_AFXDP) },
	[PATH_VIFD_MQ_AFXDP_STATIC] = { "vifd-mq-afxdp-static", NULL, NULL, NULL,
					IN(PATHS_AFXDP_STATIC) },
	[PATH_VIFD_MQ_MODEL] = { "vifd-mq-model", NULL, NULL, NULL, IN(PATHS_MODEL) },
	[PATH_VIFD_MQ_MODEL_STATIC] = { "vifd-mq-model-static", NULL, NULL, NULL,
					IN(PATHS_MODEL_STATIC) },
	[PATH_VHOST] = { "vhost-user", "bvhost", NULL, "10.77.0.251", IN(PATHS_PEERS) },
	[PATH_MEMIF] = { "memif", "bmemif", NULL, "10.77.0.252", IN(PATHS_PEERS) },
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

/* What vif-lab was told, lab.h. */
static bool lab_is(const char *variable, const char *value)
{
	const char *is = getenv(variable);

	return is && !strcmp(is, value);
}

static bool lab_is_mq(void)
{
	return lab_is("VIF_LAB_MODEL", "mq");
}

enum path_set path_set_here(void)
{
	bool grants = lab_is("VIF_LAB_FRONTEND", "static-grants");

	if (!lab_is_mq())
		return grants ? PATHS_BRIDGE_STATIC : PATHS_BRIDGE;
	if (!lab_is("VIF_LAB_NIC", "model"))
		return grants ? PATHS_AFXDP_STATIC : PATHS_AFXDP;
	return grants ? PATHS_MODEL_STATIC : PATHS_MODEL;
}

bool path_in_set(enum path_kind kind, enum path_set set)
{
	return kinds[kind].sets & IN(set);
}

/* ---- pairs ---- */

static void ends_of(const struct path *p, uint32_t i, struct ends *e, char guest_address[16])
{
	const struct kind *k = &kinds[p->kind];

	*e = (struct ends){ .port = (uint16_t)(PORT + 100u * p->kind + i), .sink = p->kind == PATH_SINK };
	snprintf(e->wire_ns, sizeof(e->wire_ns), "%s-wire", lab());
	e->wire = k->wire_address ? k->wire_address : "10.77.0.1";
	if (p->kind == PATH_GUEST_GUEST) {
		snprintf(e->wire_ns, sizeof(e->wire_ns), "%s-g2", lab());
		e->wire = "10.77.0.12";
	}
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
		err = pair_open_udp(&e, &p->udp[i]);
		e.port = (uint16_t)(e.port + PATH_GUESTS_MAX);
		if (!err)
			err = pair_open_udp(&e, &p->last[i]);
		if (!err && p->kind != PATH_SINK)
			err = pair_open_tcp(&e, &p->tcp[i]);
	}
	return err ? plumb_say(why, why_size, err, "%s: sockets to %s", path_name(p->kind), address) : 0;
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
	s = plumb_socket(netns, SOCK_DGRAM);
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
	err = plumb_make_netns(netns);
	if (!err)
		err = plumb_ip("-n %s-wire link add %s type veth peer name eth0 netns %s", l, k->netns, netns);
	if (!err)
		err = plumb_ip("-n %s-wire addr add %s/24 dev %s", l, k->wire_address, k->netns);
	if (!err)
		err = plumb_ip("-n %s addr add %s/24 dev eth0", netns, k->far_address);
	if (!err)
		err = plumb_ip("-n %s link set eth0 up", netns);
	if (!err && lab_is_mq())
		err = finish_frames(k->netns);
	return err ? err : plumb_ip("-n %s-wire link set %s up", l, k->netns);
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
		err = plumb_ip("-n %s-wire neigh replace %s lladdr 02:00:00:00:00:01 dev %s", lab(),
			 k->far_address, k->netns);
	if (err)
		return err;
	program = bpf_prog_load(BPF_PROG_TYPE_XDP, "vifbench_sink", "Dual MIT/GPL", drop,
				ARRAY_SIZE(drop), NULL);
	if (program < 0)
		return program;
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	snprintf(netns, sizeof(netns), "%s-%s", lab(), k->netns);
	err = home < 0 ? -errno : plumb_enter(netns);
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

static int make_tap_loop(struct path *p)
{
	const struct kind *k = &kinds[PATH_TAP_LOOP];
	const char *l = lab();
	char netns[48];
	int err;

	snprintf(netns, sizeof(netns), "%s-%s", l, k->netns);
	err = plumb_make_netns(netns);
	if (!err)
		p->pump = taploop_start("btap0", netns, "eth0");
	if (!err && p->pump < 0)
		err = p->pump;
	if (!err)
		err = plumb_ip("-n %s addr add %s/24 dev eth0", netns, k->far_address);
	if (!err)
		err = plumb_ip("-n %s link set eth0 up", netns);
	return err ? err : plumb_ip("link set btap0 master %sbr0 up", l);
}

/* Whether the device writes into the guest's own memory. */
static bool is_lent(const char *vif)
{
	char why[256];
	json_t *answer = client_ask(CLIENT_DEFAULT_SOCKET,
				    json_pack("{s:s, s:s}", "command", "show", "vif", vif), why,
				    sizeof(why));
	const json_t *placement = json_object_get(json_object_get(answer, "vif"), "placement");
	const char *buffers = json_string_value(json_object_get(placement, "buffers"));
	bool lent = buffers && !strcmp(buffers, "lent");

	json_decref(answer);
	return lent;
}

/* How many of the first n guests have their places. */
static uint32_t count_places(uint32_t n, bool lent)
{
	char why[256];
	json_t *all = client_ask(CLIENT_DEFAULT_SOCKET, json_pack("{s:s}", "command", "list"), why,
				 sizeof(why));
	uint32_t placed = 0;
	const json_t *vif;
	size_t at;

	json_array_foreach(json_object_get(all, "vifs"), at, vif) {
		const char *model = json_string_value(json_object_get(vif, "model"));
		const char *name = json_string_value(json_object_get(vif, "vif"));

		if (at < n && model && name && !strcmp(model, "mq"))
			placed += !lent || is_lent(name);
	}
	json_decref(all);
	return placed;
}

/* Until the first n guests have their places: of AF_XDP and static grants, lent ones, which
 * a guest moves into from an ordinary one. 0 or -ETIMEDOUT. */
static int await_places(uint32_t n, bool lent)
{
	for (int i = 0; i < 400; i++) {
		if (count_places(n, lent) == n)
			return 0;
		usleep(50000);
	}
	return -ETIMEDOUT;
}

/* A peer between two TAPs, one in the lab's bridge, one the far namespace's eth0. */
static int make_peer(struct path *p, int cpu, char *why, size_t why_size)
{
	const struct kind *k = &kinds[p->kind];
	enum peer_kind kind = p->kind == PATH_VHOST ? PEER_VHOST : PEER_MEMIF;
	char netns[48], near[IF_NAMESIZE], far[IF_NAMESIZE];
	int err;

	snprintf(near, sizeof(near), "%s0", k->netns);
	snprintf(far, sizeof(far), "%s1", k->netns);
	err = peer_open(&p->peer, kind, &(struct peer_taps){ near, far }, cpu, why, why_size);
	if (err)
		return err;
	snprintf(netns, sizeof(netns), "%s-%s", lab(), k->netns);
	err = plumb_make_netns(netns);
	if (!err)
		err = plumb_ip("link set %s netns %s name eth0", far, netns);
	if (!err)
		err = plumb_ip("-n %s addr add %s/24 dev eth0", netns, k->far_address);
	if (!err)
		err = plumb_ip("-n %s link set eth0 up", netns);
	if (!err)
		err = plumb_ip("link set %s up master %sbr0", near, lab());
	return err ? plumb_say(why, why_size, err, "plumbing") : 0;
}

static int make(struct path *p, const struct path_wish *wish, char *why, size_t why_size)
{
	int err = 0;

	if (path_is_peer(p->kind))
		return make_peer(p, wish->cpu, why, why_size);
	if (p->kind == PATH_SINK)
		err = make_sink();
	else if (p->kind == PATH_NATIVE)
		err = make_veth(&kinds[p->kind]);
	else if (p->kind == PATH_TAP_LOOP)
		err = make_tap_loop(p);
	else if (path_is_afxdp(p->kind) || path_is_model(p->kind))
		err = p->kind == PATH_VIFD_MQ_AFXDP_STATIC ? await_places(1, true)
							   : await_places(wish->n_guests, false);
	return err ? plumb_say(why, why_size, err, "building %s", path_name(p->kind)) : 0;
}

int path_open(struct path *p, const struct path_wish *wish, char *why, size_t why_size)
{
	bool one = wish->kind == PATH_GUEST_GUEST || wish->kind == PATH_VIFD_MQ_AFXDP_STATIC;
	int err;

	assert(wish->n_guests >= 1 && wish->n_guests <= PATH_GUESTS_MAX);
	*p = (struct path){ .kind = wish->kind, .peer = { .in = -1, .out = -1 } };
	for (uint32_t i = 0; i < PATH_GUESTS_MAX; i++)
		p->udp[i] = p->last[i] = p->tcp[i] = (struct pair){ -1, -1 };
	err = make(p, wish, why, why_size);
	if (!err)
		err = path_begin(p);
	if (!err)
		err = open_pairs(p, one ? 1 : wish->n_guests, why, why_size);
	if (!err)
		err = path_end(p);
	if (err)
		path_close(p);
	return err;
}

int path_begin(struct path *p)
{
	return p->peer.pid > 0 ? peer_say(&p->peer, "start", NULL, 0) : 0;
}

int path_end(struct path *p)
{
	return p->peer.pid > 0 ? peer_say(&p->peer, "stop", NULL, 0) : 0;
}

void path_close(struct path *p)
{
	const struct kind *k = &kinds[p->kind];
	char netns[96];

	for (uint32_t i = 0; i < p->n_pairs; i++) {
		pair_close(&p->udp[i]);
		pair_close(&p->last[i]);
		pair_close(&p->tcp[i]);
	}
	if (p->pump > 0) {
		kill(p->pump, SIGKILL);
		waitpid(p->pump, NULL, 0);
	}
	peer_close(&p->peer);
	snprintf(netns, sizeof(netns), "/run/netns/%s-%s", lab(), k->netns ? k->netns : "");
	if (k->netns && !access(netns, F_OK))
		(void)plumb_ip("netns del %s-%s", lab(), k->netns);
	p->n_pairs = 0;
	p->pump = 0;
}
