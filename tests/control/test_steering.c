/* SPDX-License-Identifier: MIT */
/*
 * Which queue of a real TAP a frame comes out of, asked of the kernel: our program agrees
 * with rss_queue() on whatever frame, before and after a guest's settings; a flow stays
 * where it is, as it does not with the kernel's own table; queues keep their numbers. And by which
 * port of a bridge it came there.
 *
 * Root, and a network namespace of its own.
 */
#include "tests/unit/unit.h"

#include <cap-ng.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/io/ring.h>
#include <xen/io/netif.h>

#include "backend/control/netdev.h"
#include "backend/control/steering.h"
#include "packet.h"
#include "rss.h"
#include "tests/unit/frames.h"

#define N_QUEUES   4u
#define NO_QUEUE   UINT32_MAX
#define ANSWER_MS  2000
#define TAP_NAME   "vif1.0"
#define FRAME_SIZE 1514u

struct tap {
	struct netdev_kernel kernel;
	struct netdev nd;
	int packet; /* sends into the device, as a bridge would */
	struct sockaddr_ll to;
};

static int set_up(const char *name)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	int sock = socket(AF_INET, SOCK_DGRAM, 0);
	int rc;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	rc = ioctl(sock, SIOCGIFFLAGS, &ifr);
	ifr.ifr_flags |= IFF_UP;
	rc = rc ? rc : ioctl(sock, SIOCSIFFLAGS, &ifr);
	close(sock);
	return rc;
}

/* IPv6 on the device would say things of its own. */
static void no_ipv6(void)
{
	FILE *f = fopen("/proc/sys/net/ipv6/conf/default/disable_ipv6", "we");

	if (f) {
		fputs("1", f);
		fclose(f);
	}
}

static int setup(void **state)
{
	static struct tap t;
	struct netdev_error err = { "" };

	t = (struct tap){ .packet = -1 };
	no_ipv6();
	assert_int_equal(netdev_kernel_init(&t.kernel), 0);
	if (netdev_kernel_ops.open(&t.kernel, &t.nd, TAP_NAME, NULL, &err))
		fail_msg("%s", err.text);
	assert_int_equal(netdev_kernel_ops.set_queues(&t.kernel, &t.nd, N_QUEUES), 0);
	assert_int_equal(netdev_kernel_ops.set_carrier(&t.kernel, &t.nd, true), 0);
	assert_int_equal(set_up(TAP_NAME), 0);
	t.packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	t.to = (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_ifindex = t.nd.ifindex };
	assert_true(t.packet >= 0);
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	struct tap *t = *state;

	netdev_kernel_ops.close(&t->kernel, &t->nd, true);
	close(t->packet);
	netdev_kernel_fini(&t->kernel);
	return 0;
}

static void steer(struct tap *t)
{
	assert_int_equal(netdev_kernel_ops.steer(&t->kernel, &t->nd, NULL), 0);
	assert_true(t->nd.steering_fd >= 0);
}

static struct steering *map(const struct tap *t)
{
	void *p = mmap(NULL, sizeof(struct steering), PROT_READ | PROT_WRITE, MAP_SHARED,
		       t->nd.steering_fd, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* Sends the frame to the guest; the queue it comes out of. */
static uint32_t queue_of(const struct tap *t, const uint8_t *frame, size_t size)
{
	static uint8_t out[PACKET_VNET_SIZE + PACKET_FRAME_MAX];
	struct pollfd fds[NETDEV_QUEUES_MAX];
	uint32_t queue = NO_QUEUE;

	assert_int_equal(sendto(t->packet, frame, size, 0, (const struct sockaddr *)&t->to,
				sizeof(t->to)), size);
	for (uint32_t i = 0; i < t->nd.n_queues; i++)
		fds[i] = (struct pollfd){ .fd = t->nd.queue_fd[i], .events = POLLIN };
	assert_int_equal(poll(fds, t->nd.n_queues, ANSWER_MS), 1);
	for (uint32_t i = 0; i < t->nd.n_queues; i++)
		queue = fds[i].revents ? i : queue;
	/* cppcheck-suppress arrayIndexOutOfBounds ; what was asserted it does not know */
	assert_int_equal(read(t->nd.queue_fd[queue], out, sizeof(out)), PACKET_VNET_SIZE + size);
	assert_memory_equal(out + PACKET_VNET_SIZE, frame, size);
	return queue;
}

/* The guest sends it from this queue. */
static void from_guest(const struct tap *t, uint32_t queue, const struct frame *f)
{
	static uint8_t out[PACKET_VNET_SIZE + FRAME_SIZE];

	memset(out, 0, PACKET_VNET_SIZE);
	memcpy(out + PACKET_VNET_SIZE, f->bytes, f->size);
	assert_int_equal(write(t->nd.queue_fd[queue], out, PACKET_VNET_SIZE + f->size),
			 PACKET_VNET_SIZE + f->size);
}

/* ---- the program and rss_queue() are one ---- */

static const uint8_t chains[][4] = {
	{ IPPROTO_NONE },
	{ IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_NONE },
	{ IPPROTO_ROUTING, IPPROTO_NONE },
	{ IPPROTO_FRAGMENT, IPPROTO_NONE },
	{ IPPROTO_AH, IPPROTO_NONE },
};

/* Any frame: well made, of random addresses and ports, at times spoilt or cut. */
static void draw_frame(struct random *r, struct frame *f)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP };
	static const int versions[] = { 4, 4, 6, 6, 0 };
	struct frame_spec spec = {
		.n_vlan_tags = random_below(r, 3),
		.ip_version = versions[random_below(r, ARRAY_SIZE(versions))],
		.protocol = protocols[random_below(r, ARRAY_SIZE(protocols))],
		.ip_options = random_below(r, 3) ? 0 : 4 * random_below(r, 11),
		.chain = chains[random_below(r, ARRAY_SIZE(chains))],
		.payload = random_below(r, 200),
		.fragment = random_below(r, 4) ? 0x4000 : (uint16_t)random_next(r),
	};

	frame_build(f, &spec);
	for (uint32_t i = f->network_offset + 8; i < MIN(f->size, f->transport_offset + 8); i++)
		if (i < f->network_offset + 40 && !random_below(r, 2) && i != f->network_offset + 9)
			f->bytes[i] = (uint8_t)random_next(r);
	f->bytes[random_below(r, 12)] = (uint8_t)random_next(r);
	if (!random_below(r, 4))
		f->bytes[14 + random_below(r, f->size - 14)] = (uint8_t)random_next(r);
	if (!random_below(r, 4))
		f->size = 14 + random_below(r, f->size - 13);
}

static void agree(const struct tap *t, const struct steering *s, struct random *r, uint32_t n)
{
	static struct frame f;
	uint32_t frames[N_QUEUES] = { 0 };

	while (n--) {
		uint32_t queue;

		draw_frame(r, &f);
		queue = queue_of(t, f.bytes, f.size);
		assert_int_equal(queue, rss_queue(s, f.bytes, f.size));
		frames[queue]++;
	}
	for (uint32_t q = 0; q < N_QUEUES; q++)
		assert_true(frames[q] > 0);
}

static void program_and_library_agree_on_any_frame(void **state)
{
	struct tap *t = *state;
	struct random r = { 11 };
	struct steering *s;

	steer(t);
	s = map(t);
	agree(t, s, &r, 3000);
	for (uint32_t n = 0; n < 30; n++) {
		struct rss rss = { .algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ,
				   .flags = n < 20 ? RSS_FLAGS : random_below(&r, 15) + 1,
				   .mapping_size = n % 2 ? random_below(&r, 128) + 1 : 0 };

		for (uint32_t i = 0; i < ARRAY_SIZE(rss.key); i++)
			rss.key[i] = (uint8_t)random_next(&r);
		for (uint32_t i = 0; i < rss.mapping_size; i++)
			rss.mapping[i] = random_below(&r, N_QUEUES);
		rss_commit(s, &rss);
		for (uint32_t i = 0; i < 100; i++) {
			static struct frame f;

			draw_frame(&r, &f);
			assert_int_equal(queue_of(t, f.bytes, f.size),
					 rss_queue(s, f.bytes, f.size));
		}
	}
	rss_commit(s, &(struct rss){ .algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_NONE });
	agree(t, s, &r, 500);
	munmap(s, sizeof(*s));
}

static void program_and_library_agree_on_a_queue_set_aside(void **state)
{
	struct tap *t = *state;
	struct random r = { 17 };
	static struct frame f;
	struct steering *s;

	steer(t);
	s = map(t);
	for (uint32_t aside = 1; aside <= N_QUEUES; aside++) {
		assert_int_equal(netdev_kernel_ops.set_aside(&t->kernel, &t->nd, aside), 0);
		for (uint32_t i = 0; i < 300; i++) {
			uint32_t queue;

			draw_frame(&r, &f);
			queue = queue_of(t, f.bytes, f.size);
			assert_int_equal(queue, rss_queue(s, f.bytes, f.size));
			assert_int_not_equal(queue, aside - 1);
		}
	}
	assert_int_equal(netdev_kernel_ops.set_aside(&t->kernel, &t->nd, 0), 0);
	agree(t, s, &r, 300);
	munmap(s, sizeof(*s));
}

/* The kernel's verifier let the program in: whatever the map holds, it stays within. */
static void a_map_of_nonsense_loses_no_frame(void **state)
{
	struct tap *t = *state;
	struct random r = { 5 };
	static struct frame f;
	struct steering *s;

	steer(t);
	s = map(t);
	for (uint32_t n = 0; n < 200; n++) {
		for (uint32_t i = 0; i < sizeof(*s) / sizeof(uint32_t); i += 1 + random_below(&r, 64))
			((uint32_t *)s)[i] = random_next(&r);
		s->active = random_below(&r, 6);
		draw_frame(&r, &f);
		assert_true(queue_of(t, f.bytes, f.size) < N_QUEUES);
	}
	munmap(s, sizeof(*s));
}

/* ---- flows stay ---- */

static void build_flow(struct frame *f, uint16_t port, bool reverse)
{
	uint8_t address[4], *ip;

	frame_build(f, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_UDP, .payload = 64 });
	ip = f->bytes + f->network_offset;
	put_be16(f->bytes + f->transport_offset, reverse ? 7 : port);
	put_be16(f->bytes + f->transport_offset + 2, reverse ? port : 7);
	if (!reverse)
		return;
	memcpy(address, ip + 12, 4);
	memmove(ip + 12, ip + 16, 4);
	memcpy(ip + 16, address, 4);
}

/* The guest answers each of n flows from another queue than it came in by. Returns how many
 * of them have moved then. */
static uint32_t n_moved(const struct tap *t, uint32_t n)
{
	static struct frame there, back;
	uint32_t moved = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t before;

		build_flow(&there, (uint16_t)(2000 + i), false);
		build_flow(&back, (uint16_t)(2000 + i), true);
		before = queue_of(t, there.bytes, there.size);
		from_guest(t, (before + 1) % N_QUEUES, &back);
		moved += queue_of(t, there.bytes, there.size) != before;
	}
	return moved;
}

static void the_kernels_table_moves_flows(void **state)
{
	assert_true(n_moved(*state, 200) > 100);
}

static void our_program_keeps_them(void **state)
{
	steer(*state);
	assert_int_equal(n_moved(*state, 200), 0);
}

/* ---- queues keep their numbers ---- */

static void number_i_is_the_kernels_i(const struct tap *t, struct steering *s)
{
	struct rss rss = { .algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ,
			   .flags = RSS_FLAGS,
			   .mapping_size = 1 };
	static struct frame f;

	build_flow(&f, 5, false);
	for (uint32_t q = 0; q < t->nd.n_queues; q++) {
		rss.mapping[0] = q;
		rss_commit(s, &rss);
		assert_int_equal(queue_of(t, f.bytes, f.size), q);
	}
}

/* A guest reconnects while a killed datapath still has the queues' fds. */
static void queues_keep_their_numbers(void **state)
{
	struct tap *t = *state;
	int others[NETDEV_QUEUES_MAX];

	for (uint32_t n = 0; n < NETDEV_QUEUES_MAX; n++) {
		uint32_t n_others = t->nd.n_queues;
		struct steering *s;

		for (uint32_t q = 0; q < n_others; q++)
			others[q] = dup(t->nd.queue_fd[q]);
		assert_int_equal(netdev_kernel_ops.set_queues(&t->kernel, &t->nd, 1), 0);
		assert_int_equal(netdev_kernel_ops.set_queues(&t->kernel, &t->nd, n + 1), 0);
		for (uint32_t q = 0; q < n_others; q++)
			close(others[q]);
		steer(t);
		s = map(t);
		number_i_is_the_kernels_i(t, s);
		munmap(s, sizeof(*s));
	}
}

/* ---- connections and vifds come and go ---- */

/* The guest's settings, other than any that rss_init() makes. */
static const struct rss wishes = { .algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ,
				   .flags = STEER_IPV4 | STEER_IPV6_TCP,
				   .key = { 1, 2, 3, 4, 5, 6, 7, 8, 9 },
				   .mapping_size = 5,
				   .mapping = { 3, 2, 0, 1, 3 } };

static void a_new_connection_begins_anew(void **state)
{
	struct tap *t = *state;
	struct random r = { 3 };
	struct steering *s;

	steer(t);
	s = map(t);
	rss_commit(s, &wishes);
	steer(t);
	assert_int_equal(s->active, STEER_OWN);
	assert_int_equal(s->n_queues, N_QUEUES);
	agree(t, s, &r, 500);
	number_i_is_the_kernels_i(t, s);
	munmap(s, sizeof(*s));
}

/* This vifd ends, and the next one finds the device. */
static void take_over(struct tap *t, uint32_t n_queues)
{
	struct netdev_error err = { "" };

	netdev_kernel_ops.close(&t->kernel, &t->nd, false);
	if (netdev_kernel_ops.open(&t->kernel, &t->nd, TAP_NAME, NULL, &err))
		fail_msg("%s", err.text);
	assert_true(t->nd.adopted);
	assert_int_equal(netdev_kernel_ops.set_queues(&t->kernel, &t->nd, n_queues), 0);
	assert_int_equal(netdev_kernel_ops.set_carrier(&t->kernel, &t->nd, true), 0);
}

static void the_next_vifd_goes_on_as_the_guest_wished(void **state)
{
	struct tap *t = *state;
	struct random r = { 4 };
	struct steering *s;
	struct rss kept;

	steer(t);
	s = map(t);
	rss_commit(s, &wishes);
	munmap(s, sizeof(*s));
	take_over(t, N_QUEUES);
	assert_int_equal(netdev_kernel_ops.steer(&t->kernel, &t->nd, &kept), 0);
	assert_memory_equal(&kept, &wishes, sizeof(kept));
	s = map(t);
	assert_int_not_equal(s->active, STEER_OWN);
	agree(t, s, &r, 500);
	munmap(s, sizeof(*s));
}

/* The key is the old one: no flow moves because vifd was started anew. A queue that had been set
 * aside is one like the others. */
static void the_next_vifd_moves_no_flow(void **state)
{
	struct tap *t = *state;
	static struct frame f;
	uint32_t queue[64];
	struct rss kept;

	steer(t);
	for (uint32_t i = 0; i < ARRAY_SIZE(queue); i++) {
		build_flow(&f, (uint16_t)(1000 + i), false);
		queue[i] = queue_of(t, f.bytes, f.size);
	}
	assert_int_equal(netdev_kernel_ops.set_aside(&t->kernel, &t->nd, 2), 0);
	take_over(t, N_QUEUES);
	assert_int_equal(netdev_kernel_ops.steer(&t->kernel, &t->nd, &kept), 0);
	assert_int_equal(kept.algorithm | kept.flags | kept.mapping_size, 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(queue); i++) {
		build_flow(&f, (uint16_t)(1000 + i), false);
		assert_int_equal(queue_of(t, f.bytes, f.size), queue[i]);
	}
}

/* As many queues as the map was made for, or it is made anew; so is another's or a broken one. */
static void the_next_vifd_believes_no_nonsense(void **state)
{
	struct tap *t = *state;
	struct random r = { 4 };
	struct steering *s;
	struct rss kept;

	steer(t);
	s = map(t);
	rss_commit(s, &wishes);
	s->table[s->last].rss.mapping_size = 129;
	munmap(s, sizeof(*s));
	take_over(t, N_QUEUES);
	assert_int_equal(netdev_kernel_ops.steer(&t->kernel, &t->nd, &kept), 0);
	assert_int_equal(kept.algorithm | kept.flags | kept.mapping_size, 0);
	s = map(t);
	assert_int_equal(s->active, STEER_OWN);
	agree(t, s, &r, 500);
	rss_commit(s, &wishes);
	munmap(s, sizeof(*s));

	take_over(t, N_QUEUES - 1);
	assert_int_equal(netdev_kernel_ops.steer(&t->kernel, &t->nd, &kept), 0);
	assert_int_equal(kept.algorithm, XEN_NETIF_CTRL_HASH_ALGORITHM_NONE);
	s = map(t);
	assert_int_equal(s->n_queues, N_QUEUES - 1);
	s->ifindex++;
	munmap(s, sizeof(*s));

	take_over(t, N_QUEUES);
	assert_int_equal(t->nd.steering_fd, -1);
}

/* Two machines' worth of TAPs may run under one kernel: here the other has our index. */
static void another_namespaces_map_is_not_ours(void **state)
{
	struct tap *t = *state;
	int status, fd;
	pid_t pid;

	steer(t);
	fd = steering_adopt(t->nd.queue_fd[0], t->nd.ifindex);
	assert_true(fd >= 0);
	close(fd);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(unshare(CLONE_NEWNET) ||
		      steering_adopt(t->nd.queue_fd[0], t->nd.ifindex) != -ENOENT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int count_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Which fails late here, with queue, map and gate at hand: at the length of the queue. */
static bool a_failed_take_over_leaves_fds(struct tap *t)
{
	struct netdev_error err = { "" };
	int before;

	netdev_kernel_ops.close(&t->kernel, &t->nd, false);
	before = count_open_fds();
	capng_get_caps_process();
	capng_update(CAPNG_DROP, (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED), CAP_NET_ADMIN);
	return capng_apply(CAPNG_SELECT_CAPS) ||
	       netdev_kernel_ops.open(&t->kernel, &t->nd, TAP_NAME, NULL, &err) != -EPERM ||
	       count_open_fds() != before;
}

static void what_cannot_be_taken_over_leaves_nothing_open(void **state)
{
	struct tap *t = *state;
	int status;
	pid_t pid;

	steer(t);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(a_failed_take_over_leaves_fds(t));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- by which port a frame came ---- */

/* The TAP in a bridge, with two other ports, u0 and h0, whose cables are u1 and h1. */
static void bridge_it(void)
{
	assert_int_equal(
	    system("ip link add br0 up type bridge && ip link set " TAP_NAME
		   " master br0 && for p in u h; do "
		   "ip link add ${p}0 type veth peer name ${p}1 && "
		   "ip link set ${p}0 master br0 up && ip link set ${p}1 up || exit 1; done"),
	    0);
}

static void send_short(struct tap *t, const char *device, uint32_t n)
{
	const uint8_t frame[GATE_COST_MIN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
					       0,    0,	   0,	 0,    9,    0x88, 0xb5 };

	t->to.sll_ifindex = (int)if_nametoindex(device);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(sendto(t->packet, frame, sizeof(frame), 0,
					(struct sockaddr *)&t->to, sizeof(t->to)),
				 sizeof(frame));
}

/* Of all the TAP's queues: what entered, in short frames, and how many of them by the uplink. */
static uint64_t n_entered(const struct tap *t, uint64_t *from_uplink)
{
	const struct gate *gate = t->nd.gating.gate;
	uint64_t n = 0;

	*from_uplink = 0;
	for (uint32_t i = 0; i < GATE_QUEUES; i++) {
		n += GATE_LOAD(gate->queue[i].entered) / GATE_COST_MIN;
		*from_uplink += GATE_LOAD(gate->queue[i].from_uplink);
	}
	return n;
}

/* Waits until so many have entered. */
static bool entered(const struct tap *t, uint64_t n, uint64_t *from_uplink)
{
	for (int ms = 0; ms < ANSWER_MS && n_entered(t, from_uplink) < n; ms++)
		poll(NULL, 0, 1);
	return n_entered(t, from_uplink) == n;
}

/* Sends by 'device' until one frame comes in, as its port is up by then. Returns how many have
 * entered. */
static uint64_t port_is_up(struct tap *t, const char *device)
{
	uint64_t none, before = n_entered(t, &none), n_sent = 0;

	while (n_entered(t, &none) == before) {
		assert_true(n_sent++ < ANSWER_MS / 10);
		send_short(t, device, 1);
		(void)entered(t, before + 1, &none);
	}
	return n_entered(t, &none);
}

/* What comes off the wire is told from what neighbours and the host send. */
static void who_came_by_the_uplink(void **state)
{
	struct tap *t = *state;
	uint64_t n, before, from_uplink;

	bridge_it();
	for (uint32_t i = 0; i < GATE_QUEUES; i++)
		t->nd.gating.gate->queue[i].uplink = if_nametoindex("u0");
	n = port_is_up(t, "h1");
	send_short(t, "h1", 7);
	send_short(t, "br0", 5);
	assert_true(entered(t, n + 12, &from_uplink));
	assert_int_equal(from_uplink, 0);
	n = port_is_up(t, "u1");
	(void)n_entered(t, &before);
	send_short(t, "u1", 10);
	assert_true(entered(t, n + 10, &from_uplink));
	assert_int_equal(from_uplink - before, 10);
	assert_int_equal(system("ip link del br0; ip link del u0; ip link del h0"), 0);
}

/* ---- where BPF is not to be had ---- */

static int unprivileged_bpf_disabled(void)
{
	FILE *f = fopen("/proc/sys/kernel/unprivileged_bpf_disabled", "re");
	int value = f ? fgetc(f) : '0';

	if (f)
		fclose(f);
	return value != '0';
}

static void without_bpf_the_kernel_spreads(void **state)
{
	struct tap *t = *state;
	static struct frame f;
	int status;
	pid_t pid;

	if (!unprivileged_bpf_disabled())
		skip();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		capng_get_caps_process();
		capng_updatev(CAPNG_DROP, (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED), CAP_BPF,
			      CAP_SYS_ADMIN, -1);
		if (capng_apply(CAPNG_SELECT_CAPS))
			_exit(2);
		_exit(netdev_kernel_ops.steer(&t->kernel, &t->nd, NULL) == -EPERM && t->nd.steering_fd == -1 ?
			      0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	build_flow(&f, 9, false);
	assert_true(queue_of(t, f.bytes, f.size) < N_QUEUES);
}

int main(void)
{
#define TAP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TAP_TEST(program_and_library_agree_on_any_frame),
		TAP_TEST(program_and_library_agree_on_a_queue_set_aside),
		TAP_TEST(a_map_of_nonsense_loses_no_frame),
		TAP_TEST(the_kernels_table_moves_flows),
		TAP_TEST(our_program_keeps_them),
		TAP_TEST(queues_keep_their_numbers),
		TAP_TEST(a_new_connection_begins_anew),
		TAP_TEST(the_next_vifd_goes_on_as_the_guest_wished),
		TAP_TEST(the_next_vifd_moves_no_flow),
		TAP_TEST(the_next_vifd_believes_no_nonsense),
		TAP_TEST(another_namespaces_map_is_not_ours),
		TAP_TEST(what_cannot_be_taken_over_leaves_nothing_open),
		TAP_TEST(who_came_by_the_uplink),
		TAP_TEST(without_bpf_the_kernel_spreads),
	};

	if (geteuid() || access("/dev/net/tun", R_OK) || unshare(CLONE_NEWNET)) {
		printf("skip - steering needs root and /dev/net/tun\n");
		return 77;
	}
	return cmocka_run_group_tests_name("steering", tests, NULL, NULL);
}
