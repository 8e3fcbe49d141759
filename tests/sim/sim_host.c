/* SPDX-License-Identifier: MIT */
/* See sim_host.h. */
#include "sim_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "libvif/hosted/hosted.h"
#include "rss.h"
#include "sim_nic.h"
#include "sim_store.h"
#include "xenbus.h"

/* ---- frames that carry their number ---- */

static bool keep_mtu;

void sim_frames_keep_mtu(bool yes)
{
	keep_mtu = yes;
}

size_t sim_frame_size(uint32_t number)
{
	static const size_t sizes[] = { 60, 1514, 4096, 4097, 64, 8994 };
	size_t size = sizes[number % ARRAY_SIZE(sizes)];

	return keep_mtu ? MIN(size, 1514u) : size;
}

void sim_frame_make(uint8_t *frame, uint32_t number)
{
	size_t size = sim_frame_size(number);

	for (size_t i = 0; i < size; i++)
		frame[i] = (uint8_t)((i < 12 ? SIM_FRAME_FLOW(number) : number) * 31 + i);
	frame[12] = 0x88; /* an ethertype for experiments: IEEE 802 88b5 */
	frame[13] = 0xb5;
	memcpy(frame + 14, &number, sizeof(number));
}

uint32_t sim_frame_check(const uint8_t *frame, size_t size)
{
	uint8_t expected[SIM_FRAME_MAX];
	uint32_t number;

	memcpy(&number, frame + 14, sizeof(number));
	assert_int_equal(size, sim_frame_size(number));
	sim_frame_make(expected, number);
	assert_memory_equal(frame, expected, size);
	return number;
}

/* ---- what control asks of the machine ---- */

#define NETDEVS_MAX 128u /* test_storm has the most */

static struct sim_netdev {
	int ifindex; /* 0: free */
	char name[IFNAMSIZ];
	struct netdev_link link;
	struct sim_form form;
	struct gate *gate;
	bool carrier;
} netdevs[NETDEVS_MAX];
static bool gates_refused;
static bool links_changed;

static struct sim_netdev *netdev_of(uint32_t domid, uint32_t devid)
{
	char name[IFNAMSIZ];

	snprintf(name, sizeof(name), "vif%u.%u", domid, devid);
	for (uint32_t i = 0; i < NETDEVS_MAX; i++)
		if (netdevs[i].ifindex && !strcmp(netdevs[i].name, name))
			return &netdevs[i];
	return NULL;
}

struct netdev_link *sim_netdev_link(uint32_t domid, uint32_t devid)
{
	struct sim_netdev *sim = netdev_of(domid, devid);

	return sim ? &sim->link : NULL;
}

struct sim_form *sim_netdev_form(uint32_t domid, uint32_t devid)
{
	struct sim_netdev *sim = netdev_of(domid, devid);

	return sim ? &sim->form : NULL;
}

struct gate *sim_gate(uint32_t domid)
{
	struct sim_netdev *sim = netdev_of(domid, 0);

	return sim ? sim->gate : NULL;
}

bool sim_carrier(uint32_t domid)
{
	return netdev_of(domid, 0) && netdev_of(domid, 0)->carrier;
}

void sim_refuse_gates(bool refuse)
{
	gates_refused = refuse;
}

void sim_links_changed(void)
{
	links_changed = true;
}

static struct sim_netdev *find_netdev(int ifindex)
{
	for (uint32_t i = 0; i < NETDEVS_MAX; i++)
		if (netdevs[i].ifindex == ifindex)
			return &netdevs[i];
	return NULL;
}

static void open_gate(struct gating *g)
{
	g->map_fd = gates_refused ? -EPERM : memfd_create("sim-gate", MFD_CLOEXEC);
	if (g->map_fd < 0)
		return;
	assert_int_equal(ftruncate(g->map_fd, sizeof(struct gate)), 0);
	g->gate = mmap(NULL, sizeof(struct gate), PROT_READ | PROT_WRITE, MAP_SHARED, g->map_fd, 0);
	assert_true(g->gate != MAP_FAILED);
	g->gate->queue[0].limit = GATE_BYTES;
}

static int netdev_open(void *ctx, struct netdev *nd, const char *name, const char *other,
		       struct netdev_error *err)
{
	static int next_ifindex = 1;

	struct sim_netdev *sim = find_netdev(0);

	(void)ctx;
	(void)other;
	(void)err;
	assert_non_null(sim);
	*sim = (struct sim_netdev){ .ifindex = next_ifindex,
				    .link = { .mtu = 1500, .up = true, .enslaved = true,
					      .master = SIM_BRIDGE } };
	snprintf(sim->name, sizeof(sim->name), "%s", name);
	links_changed = true;
	*nd = (struct netdev){ .ifindex = next_ifindex++, .n_queues = 1, .steering_fd = -1 };
	nd->queue_fd[0] = eventfd(0, EFD_CLOEXEC);
	open_gate(&nd->gating);
	sim->gate = nd->gating.gate;
	return nd->queue_fd[0] < 0 ? -errno : 0;
}

static int netdev_set_queues(void *ctx, struct netdev *nd, uint32_t n)
{
	(void)ctx;
	(void)nd;
	for (; nd->n_queues < n; nd->n_queues++)
		nd->queue_fd[nd->n_queues] = nd->queue_fd[0]; /* only names */
	nd->n_queues = n;
	return 0;
}

/* The program's map without the program: there is no kernel here to run it. */
static int netdev_steer(void *ctx, struct netdev *nd, struct rss *kept)
{
	static const uint8_t key[STEER_KEY_SIZE] = { 1 };
	struct steering *s;

	(void)ctx;
	if (nd->steering_fd < 0) {
		nd->steering_fd = memfd_create("sim-steering", MFD_CLOEXEC);
		if (ftruncate(nd->steering_fd, sizeof(*s)))
			return -errno;
	}
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, nd->steering_fd, 0);
	if (s == MAP_FAILED)
		return -errno;
	if (!kept || !rss_read(s, nd->n_queues, kept))
		rss_init(s, nd->n_queues, key);
	rss_set_aside(s, 0);
	munmap(s, sizeof(*s));
	return 0;
}

static int netdev_set_aside(void *ctx, struct netdev *nd, uint32_t aside)
{
	struct steering *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED,
				  nd->steering_fd, 0);

	(void)ctx;
	if (s == MAP_FAILED)
		return -errno;
	rss_set_aside(s, aside);
	munmap(s, sizeof(*s));
	return 0;
}

static int netdev_purge(void *ctx, struct netdev *nd)
{
	(void)ctx;
	assert_int_equal(nd->n_queues, 1);
	return 0;
}

static int netdev_set_offload(void *ctx, struct netdev *nd, uint32_t features)
{
	(void)ctx;
	(void)nd;
	(void)features;
	return 0;
}

static int netdev_set_carrier(void *ctx, struct netdev *nd, bool on)
{
	(void)ctx;
	find_netdev(nd->ifindex)->carrier = on;
	return 0;
}

static int netdev_stats(void *ctx, const struct netdev *nd, struct netdev_stats *out)
{
	(void)ctx;
	(void)nd;
	*out = (struct netdev_stats){ .up = true, .carrier = true };
	return 0;
}

static int netdev_set_mtu(void *ctx, struct netdev *nd, uint32_t mtu)
{
	(void)ctx;
	find_netdev(nd->ifindex)->link.mtu = mtu;
	links_changed = true;
	return 0;
}

static int netdev_links_fd(void *ctx)
{
	(void)ctx;
	return -1;
}

static bool netdev_links_news(void *ctx, bool *more)
{
	bool changed = links_changed;

	(void)ctx;
	*more = false;
	links_changed = false;
	return changed;
}

static bool netdev_link(void *ctx, const struct netdev *nd, struct netdev_link *out)
{
	(void)ctx;
	*out = find_netdev(nd->ifindex)->link;
	return true;
}

static void netdev_close(void *ctx, struct netdev *nd, bool destroy)
{
	(void)ctx;
	(void)destroy;
	if (nd->n_queues)
		close(nd->queue_fd[0]);
	find_netdev(nd->ifindex)->ifindex = 0;
	if (nd->n_queues && nd->steering_fd >= 0)
		close(nd->steering_fd);
	if (nd->gating.gate) {
		munmap(nd->gating.gate, sizeof(*nd->gating.gate));
		close(nd->gating.map_fd);
	}
	*nd = (struct netdev){ 0 };
}

static bool netdev_host(void *ctx, int ifindex, struct netdev_host *out)
{
	(void)ctx;
	return sim_nic_host(ifindex, out);
}

static int netdev_index_of(void *ctx, const char *name)
{
	(void)ctx;
	return sim_nic_index_of(name);
}

static bool netdev_moved(void *ctx, uint32_t born)
{
	(void)ctx;
	return sim_nic_moved(born);
}

static int netdev_with_program(void *ctx, uint32_t id)
{
	(void)ctx;
	return sim_nic_with_program(id);
}

static uint32_t netdev_forwards(void *ctx, int ifindex)
{
	(void)ctx;
	assert_int_equal(ifindex, SIM_NIC_IFINDEX);
	return 1514;
}

static uint64_t netdev_remembers_ns(void *ctx, int ifindex)
{
	(void)ctx;
	assert_int_equal(ifindex, SIM_NIC_IFINDEX);
	return SIM_AGEING_NS;
}

static struct {
	uint8_t mac[6];
	uint16_t vlan;
	uint64_t n_told;
} learned[2048]; /* the numbered frames alone have 256 senders */

static int netdev_learn(void *ctx, int ifindex, const uint8_t mac[6], uint16_t vlan)
{
	unsigned i = 0;

	(void)ctx;
	assert_true(ifindex == SIM_NIC_IFINDEX || find_netdev(ifindex)); /* a guest's own address */
	while (learned[i].n_told && (memcmp(learned[i].mac, mac, 6) || learned[i].vlan != vlan))
		assert_true(++i < ARRAY_SIZE(learned));
	memcpy(learned[i].mac, mac, 6);
	learned[i].vlan = vlan;
	learned[i].n_told++;
	return 0;
}

uint64_t sim_learned(const uint8_t mac[6], uint16_t vlan)
{
	for (unsigned i = 0; i < ARRAY_SIZE(learned); i++)
		if (!memcmp(learned[i].mac, mac, 6) && learned[i].vlan == vlan)
			return learned[i].n_told;
	return 0;
}

static const char *netdev_wire_form(void *ctx, const struct netdev *nd, int uplink,
				    struct vlan_form *out)
{
	const struct sim_form *f = &find_netdev(nd->ifindex)->form;

	(void)ctx;
	assert_int_equal(uplink, SIM_NIC_IFINDEX);
	*out = f->form;
	return f->why_not;
}

static struct neighbour news[64];
static unsigned n_news;
static bool news_lost;

static int netdev_neighbours_fd(void *ctx)
{
	(void)ctx;
	return -1;
}

static bool netdev_neighbours_news(void *ctx, uint64_t now_ns, neighbour_fn *each, void *arg,
				   uint64_t *next_ns)
{
	bool lost = news_lost;

	(void)ctx;
	(void)now_ns;
	*next_ns = UINT64_MAX;
	for (unsigned i = 0; i < n_news; i++)
		each(arg, &news[i]);
	n_news = 0;
	news_lost = false;
	return !lost;
}

static void netdev_neighbours_of_port(void *ctx, int ifindex, bool on)
{
	(void)ctx; /* a test says what it wants known */
	(void)on;
	assert_int_equal(ifindex, SIM_NIC_IFINDEX);
}

static bool netdev_neighbours_knows(void *ctx, int bridge, int port, const uint8_t mac[6])
{
	(void)ctx;
	(void)mac;
	assert_int_equal(bridge, SIM_BRIDGE);
	assert_true(find_netdev(port));
	return false; /* news come of it */
}

void sim_bridge_knows_in(const uint8_t mac[6], uint16_t vlan, int port)
{
	assert_true(n_news < ARRAY_SIZE(news));
	news[n_news] = (struct neighbour){ .bridge = SIM_BRIDGE, .port = port, .vlan = vlan };
	memcpy(news[n_news++].mac, mac, 6);
}

void sim_bridge_knows(const uint8_t mac[6], int port)
{
	sim_bridge_knows_in(mac, 0, port);
}

void sim_bridge_news_lost(void)
{
	news_lost = true;
}

const struct netdev_ops sim_netdev_ops = {
	.neighbours_fd = netdev_neighbours_fd,
	.neighbours_news = netdev_neighbours_news,
	.neighbours_of_port = netdev_neighbours_of_port,
	.neighbours_knows = netdev_neighbours_knows,
	.wire_form = netdev_wire_form,
	.host = netdev_host,
	.index_of = netdev_index_of,
	.moved = netdev_moved,
	.with_program = netdev_with_program,
	.forwards = netdev_forwards,
	.remembers_ns = netdev_remembers_ns,
	.learn = netdev_learn,
	.open = netdev_open,
	.set_queues = netdev_set_queues,
	.steer = netdev_steer,
	.set_aside = netdev_set_aside,
	.purge = netdev_purge,
	.set_offload = netdev_set_offload,
	.set_carrier = netdev_set_carrier,
	.stats = netdev_stats,
	.set_mtu = netdev_set_mtu,
	.links_fd = netdev_links_fd,
	.links_news = netdev_links_news,
	.link = netdev_link,
	.close = netdev_close,
};

static int process_start(void *ctx, int sock)
{
	hosted_set_domid(0);
	return sim_datapath_start(ctx, sock);
}

static bool process_ended(void *ctx, int *status)
{
	*status = 0;
	return sim_datapath_ended(ctx);
}

static void process_kill(void *ctx)
{
	sim_datapath_kill(ctx);
}

static pid_t process_pid(void *ctx)
{
	(void)ctx;
	return 0;
}

const struct process_ops sim_process_ops = { process_start, process_ended, process_kill,
					     process_pid };

/* ---- the toolstack ---- */

static void backend_path(char path[128], uint32_t domid, uint32_t devid, const char *key)
{
	snprintf(path, 128, "/local/domain/0/backend/vif/%u/%u/%s", domid, devid, key);
}

static void frontend_path(char path[128], uint32_t domid, uint32_t devid, const char *key)
{
	snprintf(path, 128, "/local/domain/%u/device/vif/%u/%s", domid, devid, key);
}

static void put(const char *path, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));
static void put(const char *path, const char *fmt, va_list args)
{
	char value[128];

	vsnprintf(value, sizeof(value), fmt, args);
	sim_store_put(path, value);
}

void sim_backend_put(uint32_t domid, uint32_t devid, const char *key, const char *fmt, ...)
{
	char path[128];
	va_list args;

	backend_path(path, domid, devid, key);
	va_start(args, fmt);
	put(path, fmt, args);
	va_end(args);
}

void sim_frontend_put(uint32_t domid, uint32_t devid, const char *key, const char *fmt, ...)
{
	char path[128];
	va_list args;

	frontend_path(path, domid, devid, key);
	va_start(args, fmt);
	put(path, fmt, args);
	va_end(args);
}

const char *sim_backend_get(uint32_t domid, uint32_t devid, const char *key)
{
	char path[128];

	backend_path(path, domid, devid, key);
	return sim_store_get(path);
}

void sim_toolstack_attach(uint32_t domid, uint32_t devid)
{
	sim_backend_put(domid, devid, "frontend", "/local/domain/%u/device/vif/%u", domid, devid);
	sim_backend_put(domid, devid, "frontend-id", "%u", domid);
	sim_backend_put(domid, devid, "online", "1");
	sim_backend_put(domid, devid, "script", "/etc/xen/scripts/vif-bridge");
	sim_backend_put(domid, devid, "mac", "00:16:3e:77:%02x:%02x", devid, domid);
	sim_backend_put(domid, devid, "bridge", "br0");
	sim_backend_put(domid, devid, "handle", "%u", devid);
	sim_backend_put(domid, devid, "type", "vif");
	sim_backend_put(domid, devid, "hotplug-status", "%s", "");
	sim_frontend_put(domid, devid, "backend", "/local/domain/0/backend/vif/%u/%u", domid,
			 devid);
	sim_frontend_put(domid, devid, "backend-id", "0");
	sim_frontend_put(domid, devid, "handle", "%u", devid);
	sim_frontend_put(domid, devid, "mac", "00:16:3e:77:%02x:%02x", devid, domid);
	sim_frontend_put(domid, devid, "mtu", "9000");
	sim_frontend_put(domid, devid, "state", "%u", XenbusStateInitialising);
	sim_backend_put(domid, devid, "state", "%u", XenbusStateInitialising);
}

bool sim_toolstack_hotplug(uint32_t domid, uint32_t devid)
{
	const char *state = sim_backend_get(domid, devid, "state");
	const char *hotplug = sim_backend_get(domid, devid, "hotplug-status");

	if (!state || !hotplug || *hotplug || atoi(state) != XenbusStateInitWait)
		return false;
	sim_backend_put(domid, devid, "hotplug-status", "connected");
	return true;
}

void sim_toolstack_detach(uint32_t domid, uint32_t devid)
{
	sim_backend_put(domid, devid, "online", "0");
	sim_backend_put(domid, devid, "state", "%u", XenbusStateClosing);
}

void sim_toolstack_remove(uint32_t domid, uint32_t devid)
{
	char path[128];

	snprintf(path, sizeof(path), "/local/domain/%u/device/vif/%u", domid, devid);
	sim_store_put(path, NULL);
	snprintf(path, sizeof(path), "/local/domain/0/backend/vif/%u/%u", domid, devid);
	sim_store_put(path, NULL);
}
