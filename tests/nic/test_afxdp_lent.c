/* SPDX-License-Identifier: MIT */
/*
 * AF_XDP's places where the device picks the queue, ordinary ones and such as are lent to
 * (backend/nic/afxdp_lent.c): the real sockets, on a veth of two queues whose ethtool commands a
 * rig answers. The second queue is the place's; a flow is sought that the kernel sends there.
 * The guest's memory is a file's, mapped here in one piece of pages in disorder, as the hosted
 * Xen and gntdev have it; it is read back by way of the file. Root.
 */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <cap-ng.h>
#include <dirent.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/nic/afxdp_closer.h"
#include "backend/nic/afxdp_port.h"
#include "tests/nic/ethtool_rig.h"

#define DEADLINE_MS 5000
#define PAGE	    4096u
#define N_PAGES	    256u
#define SIZE	    300u
#define OFFSET	    256u /* XDP_PACKET_HEADROOM */
#define EARLY	    NIC_EARLY_FRAMES
#define IN_TIME	    2048u /* frames, after which who was late a few times is no more */
#define SLOW_MS	    300u
#define BESIDE	    ((size_t)AFXDP_PLACE_CHUNKS * AFXDP_CHUNK)

static const struct nic_device_ops *const dev = &afxdp_device_ops;
static const struct nic_port_ops *const port_ops = &afxdp_port_ops;

static const struct nic_filter filter = { .mac = { 0x00, 0x16, 0x3e, 1, 2, 3 } };
static const uint8_t sender[6] = { 2, 0, 0, 0, 0, 1 };

static struct nic_device *device;
static struct nic_port *port;
static struct nic_place *place;
static int wire;
static uint16_t flow; /* a UDP port: by the place's queue */
static uint32_t sent; /* frames: the number of the next */

/* ---- whom the queue belongs to ---- */

#define FDS_MAX 1024

static uint32_t n_bound; /* sockets, to a queue */
static bool is_bound[FDS_MAX];

int __real_bind(int fd, const struct sockaddr *a, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *a, socklen_t size);

int __wrap_bind(int fd, const struct sockaddr *a, socklen_t size)
{
	int rc = __real_bind(fd, a, size);

	if (a->sa_family != AF_XDP || rc)
		return rc;
	assert_in_range(fd, 0, FDS_MAX - 1);
	is_bound[fd] = true;
	n_bound++;
	return rc;
}

/* ---- a kernel that takes its time ---- */

static struct timespec slow; /* to close a socket that is bound */

int __real_close(int fd);
int __wrap_close(int fd);

int __wrap_close(int fd)
{
	if (fd >= 0 && fd < FDS_MAX && is_bound[fd]) {
		nanosleep(&slow, NULL);
		is_bound[fd] = false;
	}
	return __real_close(fd);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- the guest's memory ---- */

static int memory_fd;
static uint8_t *area; /* addresses that are ours: BESIDE, the pages, BESIDE */
static struct nic_memory lent;

static uint32_t frame_of(uint32_t page)
{
	return page * 7 % N_PAGES;
}

/* What the guest sees of it. */
static void guests(uint32_t page, uint8_t out[PAGE])
{
	assert_int_equal(pread(memory_fd, out, PAGE, (off_t)frame_of(page) * PAGE), PAGE);
}

static void map_memory(void)
{
	memory_fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(memory_fd, (off_t)N_PAGES * PAGE), 0);
	area =
	    mmap(NULL, 2 * BESIDE + N_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(area != MAP_FAILED);
	lent = (struct nic_memory){ .start = area + BESIDE, .n_pages = N_PAGES };
	for (uint32_t i = 0; i < N_PAGES; i++)
		assert_true(mmap(area + BESIDE + (size_t)i * PAGE, PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED, memory_fd,
				 (off_t)frame_of(i) * PAGE) != MAP_FAILED);
}

static void free_below(void)
{
	munmap(area, BESIDE);
}

static void free_above(void)
{
	munmap(area + BESIDE + N_PAGES * PAGE, BESIDE);
}

static void unmap_memory(void)
{
	munmap(area, 2 * BESIDE + N_PAGES * PAGE);
	close(memory_fd);
}

/* ---- the place ---- */

static uint32_t n_tries; /* to join, in vain */

static int await_joined(char *why, size_t why_size)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	int err;

	for (n_tries = 0; (err = port_ops->joined(place, why, why_size)) == -EAGAIN; n_tries++)
		nanosleep(&nap, NULL);
	return err;
}

static int try_to_join(bool is_lent, char *why, size_t why_size)
{
	int fds[NIC_FDS_MAX], kept[NIC_FDS_MAX], n = dev->place_fds(device, 0, is_lent, fds), err;

	assert_true(n > 0);
	for (int i = 0; i < n; i++)
		kept[i] = dup(fds[i]);
	err = port_ops->join(port, 0, fds, n, is_lent ? &lent : NULL, &place, why, why_size);
	if (!err)
		assert_int_equal(await_joined(why, why_size), 0);
	if (!err)
		assert_int_equal(dev->filter_add(device, 0, kept, n, &filter), 0);
	for (int i = 0; i < n; i++) {
		close(kept[i]);
		if (err)
			close(fds[i]);
	}
	return err;
}

static void join(bool is_lent)
{
	char why[160] = "";

	if (try_to_join(is_lent, why, sizeof(why)))
		fail_msg("%s", why);
	dev->settle(device);
}

static void leave(void)
{
	assert_int_equal(dev->filter_del(device, &filter), 0);
	dev->settle(device);
	port_ops->leave(place);
	place = NULL;
}

static void await_end(void)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	for (int i = 0; port_ops->hold(place) == NIC_LETS_GO && i < DEADLINE_MS; i++)
		nanosleep(&nap, NULL);
	assert_int_equal(port_ops->hold(place), NIC_LET_GO);
}

static void recall(void)
{
	assert_int_equal(port_ops->hold(place), NIC_HOLDS);
	port_ops->recall(place);
	assert_int_not_equal(port_ops->hold(place), NIC_HOLDS);
	await_end();
}

/* ---- frames ---- */

struct frame {
	struct ether_header eth;
	uint8_t ip[20];
	uint16_t source, destination, length, sum;
	uint32_t number;
	uint8_t rest[SIZE - 14 - 20 - 8 - 4];
} __attribute__((packed));
static_assert(sizeof(struct frame) == SIZE, "packed");

static void send_by(uint16_t udp_port, uint32_t number)
{
	static const uint8_t ip[20] = {
		0x45, 0, 0, SIZE - 14 - 256, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2
	};
	struct frame f = { .source = htons(udp_port), .destination = htons(7), .number = number };

	memcpy(f.eth.ether_dhost, filter.mac, sizeof(filter.mac));
	memcpy(f.eth.ether_shost, sender, sizeof(sender));
	f.eth.ether_type = htons(ETHERTYPE_IP);
	memcpy(f.ip, ip, sizeof(ip));
	f.ip[2] = 1; /* 286 bytes */
	f.length = htons(SIZE - 14 - 20);
	memset(f.rest, (int)number, sizeof(f.rest));
	assert_int_equal(write(wire, &f, sizeof(f)), sizeof(f));
}

static void send_frames(uint32_t n)
{
	while (n--)
		send_by(flow, sent++);
}

static void is_frame(const uint8_t *data, uint32_t size, uint32_t number)
{
	const struct frame *f = (const void *)data;

	assert_int_equal(size, SIZE);
	assert_int_equal(f->number, number);
	assert_memory_equal(f->eth.ether_dhost, filter.mac, 6);
	for (uint32_t i = 0; i < sizeof(f->rest); i++)
		assert_int_equal(f->rest[i], (uint8_t)number);
}

static void await_readable(void)
{
	struct pollfd p = { .fd = port_ops->poll_fd(place), .events = POLLIN };

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
}

static struct packet *next_packet(void)
{
	struct packet *p;

	while (!port_ops->receive(place, &p, 1))
		await_readable();
	return p;
}

/* The place gives these, and then no more. */
static void received(uint32_t first, uint32_t n)
{
	struct packet *p;

	for (uint32_t i = 0; i < n; i++) {
		p = next_packet();
		is_frame(p->frame, p->size, first + i);
		port_ops->give_back(port, p);
	}
	assert_int_equal(port_ops->receive(place, &p, 1), 0);
}

/* With those counted before a change of sockets. */
static uint64_t lost(void)
{
	struct nic_place_stats s;

	port_ops->stats(place, &s);
	return s.lost;
}

static void await_lost(uint64_t n)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	for (int i = 0; lost() < n && i < DEADLINE_MS; i++)
		nanosleep(&nap, NULL);
	assert_int_equal(lost(), n);
}

/* ---- posting ---- */

static void post(uint32_t first_page, uint32_t n)
{
	struct nic_buffer b[N_PAGES];

	for (uint32_t i = 0; i < n; i++)
		b[i] = (struct nic_buffer){ .page = (first_page + i) % N_PAGES, .size = PAGE };
	assert_int_equal(port_ops->post(place, b, n), n);
}

static uint32_t n_copied; /* of those reaped, by the port */

/* n buffers, the first of this page, are done with: frames from this number on. */
static void reaped(uint32_t first_page, uint32_t number, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct nic_completion c;
		uint8_t page[PAGE];

		while (!port_ops->reap(place, &c, 1))
			await_readable();
		assert_int_equal(c.status, 0);
		assert_int_equal(c.offset, OFFSET);
		assert_memory_equal(c.source, sender, sizeof(sender));
		guests((first_page + i) % N_PAGES, page);
		is_frame(page + c.offset, c.size, number + i);
		n_copied += c.copied;
	}
}

static void none_is_reaped(void)
{
	struct nic_completion c;

	assert_int_equal(port_ops->reap(place, &c, 1), 0);
}

static uint32_t waiting(void)
{
	struct nic_place_stats s;

	port_ops->stats(place, &s);
	return s.waiting;
}

/* Until so many, of all since the place was joined, wait for buffers or are lost. */
static void await_without_buffer(uint64_t n)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	for (int i = 0; waiting() + lost() < n && i < DEADLINE_MS; i++)
		nanosleep(&nap, NULL);
	assert_true(waiting() + lost() >= n);
}

/* So many frames, from this page on, by a guest that posts its buffers again in time. */
static void pass(uint32_t first_page, uint32_t n)
{
	static_assert(N_PAGES % 32 == 0, "steps");
	for (uint32_t i = 0; i < n; i += 32) {
		send_frames(32);
		reaped(first_page + i, sent - 32, 32);
		none_is_reaped();
		post(first_page + i, 32);
	}
}

/* All n at once, while every page is posted, from that one on: these are posted again after it. */
static void burst(uint32_t first_page, uint32_t n)
{
	static_assert(N_PAGES % 64 == 0, "steps");
	send_frames(n);
	for (uint32_t i = 0; i < n; i += 64) {
		reaped(first_page + i, sent - n + i, 64);
		post(first_page + i, 64);
	}
}

/* Lent to, begun, and all of the port's chunks that were out are done with: all pages are posted,
 * and the kernel writes to them, next to page 0. */
static void start_lent(void)
{
	uint32_t before = n_copied;

	join(true);
	port_ops->begin(place);
	received(sent, 0);
	post(0, N_PAGES);
	pass(0, EARLY);
	assert_true(n_copied - before <= EARLY);
	static_assert(EARLY == N_PAGES, "page 0 is next");
}

/* ---- rig ---- */

/* Of n flows one or another takes the second queue. */
static void seek_flow(void)
{
	const uint16_t tries = 64;
	struct packet *p;

	join(false);
	for (uint16_t i = 0; i < tries; i++)
		send_by((uint16_t)(1000 + i), i);
	p = next_packet();
	do {
		flow = ntohs(((struct frame *)(void *)p->frame)->source);
		port_ops->give_back(port, p);
	} while (port_ops->receive(place, &p, 1));
	leave();
}

static int setup(void **state)
{
	const struct nic_config config = { .name = "nic", .steering = NIC_STEERING_DEVICE };
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fds[NIC_FDS_MAX], n;
	char why[160] = "";

	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(system("sysctl -qw net.ipv6.conf.default.disable_ipv6=1; "
				"ip link add nic numtxqueues 2 numrxqueues 2 type veth "
				"peer name wire numtxqueues 2 numrxqueues 2 && "
				"ip link set nic up && ip link set wire up"),
			 0);
	ethtool_rig_init("nic", 0);
	nic_driver_init(&rig.table, 2, 16);
	if (dev->open(&config, &device, why, sizeof(why)))
		fail_msg("%s", why);
	assert_true(dev->caps(device).guest_memory);
	n = dev->port_fds(device, fds);
	assert_true(n > 0);
	if (port_ops->open(dev->ifindex(device), fds, n, &port, why, sizeof(why)))
		fail_msg("%s", why);
	a.sll_ifindex = (int)if_nametoindex("wire");
	wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	assert_int_equal(bind(wire, (struct sockaddr *)&a, sizeof(a)), 0);
	map_memory();
	free_below();
	sent = 0;
	seek_flow();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (place)
		leave();
	port_ops->close(port);
	dev->close(device, false);
	assert_int_equal(ethtool_rig_rules(), 0);
	close(wire);
	unmap_memory();
	slow = (struct timespec){ 0 };
	return 0;
}

static int start(void **state)
{
	(void)state;
	return afxdp_closer_start();
}

static int stop(void **state)
{
	(void)state;
	afxdp_closer_stop();
	return 0;
}

/* ---- tests ---- */

static void an_ordinary_place(void **state)
{
	(void)state;
	join(false);
	send_frames(AFXDP_RX_FRAMES + 10); /* what the ring does not hold */
	await_lost(10);
	received(0, AFXDP_RX_FRAMES);
	send_frames(100);
	received(sent - 100, 100);
	assert_int_equal(lost(), 10);
}

/* As many frames as there are chunks wait in users' hands; then they outlive the place. */
static void frames_outlive_their_place(void **state)
{
	static struct packet *p[AFXDP_PLACE_CHUNKS];

	(void)state;
	join(false);
	for (uint32_t i = 0; i < AFXDP_PLACE_CHUNKS; i++) {
		send_frames(1);
		p[i] = next_packet();
	}
	send_frames(1);
	await_lost(1);
	leave();
	join(false);
	send_frames(1);
	received(sent - 1, 1);
	for (uint32_t i = 0; i < AFXDP_PLACE_CHUNKS; i++) {
		assert_true(port_ops->is_of(port, p[i]));
		is_frame(p[i]->frame, p[i]->size, i);
		port_ops->give_back(port, p[i]);
	}
}

/* What came before begin() is received, what comes then is reaped, in order; and once the port's
 * chunks are used up the kernel itself writes to the guest's pages. */
static void order_over_begin(void **state)
{
	uint8_t page[PAGE], zeros[PAGE] = { 0 };

	(void)state;
	join(true);
	send_frames(20);
	received(0, 20); /* by two steps of the chunks handed out */
	send_frames(30);
	await_readable();
	port_ops->begin(place);
	send_frames(5);
	none_is_reaped(); /* 30 are older, and nothing is posted */
	received(20, 30);
	post(0, 3);
	guests(0, page);
	assert_memory_equal(page, zeros, PAGE);
	reaped(0, 50, 3);
	none_is_reaped();
	post(3, 40);
	reaped(3, 53, 2);
	send_frames(38);
	reaped(5, 55, 38);
	post(43, N_PAGES);
	pass(43, IN_TIME);
	n_copied = 0; /* at the end none is any more */
	pass(43, EARLY);
	assert_int_equal(n_copied, 0);
	send_frames(1);
	await_readable();
	guests(43 % N_PAGES, page);
	is_frame(page + OFFSET, SIZE, sent - 1);
	reaped(43, sent - 1, 1);
	assert_int_equal(lost(), 0);
}

/* A guest that is late: its frames wait, in chunks of the port's, and are copied when it comes. A
 * burst that is larger than all that is left of its buffers is lost, but not the next: there is
 * room, until it was in time for long. Then the kernel writes to its pages again. */
static void a_late_guest(void **state)
{
	uint32_t n;

	(void)state;
	start_lent();
	send_frames(N_PAGES + 7);
	await_lost(7);
	n_copied = 0;
	reaped(0, sent - N_PAGES - 7, N_PAGES);
	none_is_reaped();
	assert_int_equal(n_copied, 0);
	send_frames(500);
	await_without_buffer(7 + 500);
	none_is_reaped();
	for (n = 0; n < 500; n += 100) {
		post(n, 100);
		reaped(n, sent - 500 + n, 100);
	}
	none_is_reaped();
	assert_int_equal(n_copied, 500);
	assert_int_equal(waiting(), 0);
	post(500, N_PAGES);
	for (int i = 0; i < 20; i++) {
		burst(500, 2 * N_PAGES);
		pass(500 + 2 * N_PAGES, N_PAGES);
	}
	assert_int_equal(lost(), 7);
	pass(500, IN_TIME);
	n_copied = 0;
	pass(500, N_PAGES);
	assert_int_equal(n_copied, 0);
	assert_int_equal(lost(), 7);
}

/* However late it is, no more wait than there is room for. */
static void a_guest_that_never_comes(void **state)
{
	uint32_t waited;

	(void)state;
	start_lent();
	send_frames(N_PAGES);
	reaped(0, sent - N_PAGES, N_PAGES);
	for (int i = 0; i < 20; i++) {
		send_frames(100);
		none_is_reaped();
	}
	await_without_buffer(2000);
	waited = waiting();
	assert_true(waited >= 1000 && waited <= AFXDP_LENT_RX_FRAMES);
	none_is_reaped();
	post(0, N_PAGES);
	reaped(0, sent - 2000, N_PAGES);
	recall();
	received(sent - 2000 + N_PAGES, waited - N_PAGES);
	assert_int_equal(lost(), 2000 - waited);
}

/* What waited for its buffers, in memory of the port's beside the guest's: that goes with the last
 * of these frames, not before and not later. Another could not be lent to else. */
static void what_was_left_outlives_its_place(void **state)
{
	struct packet *p[10];

	(void)state;
	for (int round = 0; round < 2; round++) {
		start_lent();
		send_frames(N_PAGES);
		reaped(0, sent - N_PAGES, N_PAGES);
		none_is_reaped();
		send_frames(10);
		await_without_buffer(10);
		recall();
		for (int i = 0; i < 10; i++)
			p[i] = next_packet();
		for (int i = 0; !round && i < 10; i++)
			port_ops->give_back(port, p[i]);
		leave();
		for (int i = 0; round && i < 10; i++) {
			is_frame(p[i]->frame, p[i]->size, sent - 10 + (uint32_t)i);
			port_ops->give_back(port, p[i]);
		}
	}
	join(true);
}

/* Every page, many times around. */
static void all_pages_posted(void **state)
{
	(void)state;
	start_lent();
	n_copied = 0;
	pass(0, 20 * N_PAGES);
	assert_int_equal(n_copied, 0);
	assert_int_equal(lost(), 0);
}

static uint32_t n_fds(void)
{
	uint32_t n = 0;
	DIR *d = opendir("/proc/self/fd");

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* What is filled is given, what is not is not written to; all that the place had is closed. */
static void recalled(void **state)
{
	uint8_t page[PAGE], zeros[PAGE] = { 0 };
	uint32_t before, lost_before;

	(void)state;
	before = n_fds();
	start_lent();
	memset(lent.start, 0, (size_t)N_PAGES * PAGE);
	send_frames(20);
	reaped(0, sent - 20, 5);
	await_without_buffer(15);
	post(0, 5);
	lost_before = (uint32_t)lost();
	n_bound = 0;
	recall();
	assert_int_equal(n_bound, 0);
	assert_int_equal(n_fds(), before + 1); /* it can be polled still */
	send_frames(20);		       /* to the host */
	reaped(5, sent - 40 + 5, 15);
	none_is_reaped();
	for (uint32_t i = 20; i < N_PAGES; i++) {
		guests(i, page);
		assert_memory_equal(page, zeros, PAGE);
	}
	received(sent, 0);
	assert_int_equal(lost(), lost_before);
	leave();
	assert_int_equal(n_fds(), before);
}

/* Never begun; begun and nothing posted; with frames in users' hands. */
static void left_at_any_time(void **state)
{
	struct packet *p[10];

	(void)state;
	join(true);
	send_frames(5);
	await_readable();
	leave();
	for (int round = 0; round < 2; round++) {
		join(true);
		for (int i = 0; i < 10; i++) {
			send_frames(1);
			p[i] = next_packet();
		}
		send_frames(5);
		if (round)
			port_ops->begin(place);
		leave();
		for (int i = 0; i < 10; i++) {
			is_frame(p[i]->frame, p[i]->size, sent - 15 + (uint32_t)i);
			port_ops->give_back(port, p[i]);
		}
	}
}

/* Nobody waits for the kernel, which may be in no hurry; but for the place to be over, as its
 * memory is the kernel's until then. */
static void recalled_slowly(void **state)
{
	struct nic_completion c;
	struct packet *p;
	uint64_t begun;

	(void)state;
	start_lent();
	send_frames(N_PAGES);
	reaped(0, sent - N_PAGES, N_PAGES / 2);
	slow.tv_nsec = SLOW_MS * (long)NS_PER_MS;
	begun = now_ns();
	port_ops->recall(place);
	port_ops->recall(place);
	while (port_ops->hold(place) == NIC_LETS_GO && now_ns() - begun < SLOW_MS * NS_PER_MS / 2) {
		assert_int_equal(port_ops->reap(place, &c, 1), 0);
		assert_int_equal(port_ops->receive(place, &p, 1), 0);
		assert_int_equal(port_ops->post(place, &(struct nic_buffer){ .size = PAGE }, 1), 0);
	}
	assert_int_equal(port_ops->hold(place), NIC_LETS_GO);
	await_end();
	assert_true(now_ns() - begun >= SLOW_MS * NS_PER_MS);
	reaped(N_PAGES / 2, sent - N_PAGES / 2, N_PAGES / 2);
	received(sent, 0);
	leave();
}

/* Who comes after it is asked to come again, until the kernel has let go; nobody waits. */
static void another_at_once(void **state)
{
	struct nic_place *before;

	(void)state;
	start_lent();
	slow.tv_nsec = SLOW_MS * (long)NS_PER_MS;
	assert_int_equal(dev->filter_del(device, &filter), 0);
	dev->settle(device);
	port_ops->recall(place);
	before = place;
	join(false);
	assert_true(n_tries >= SLOW_MS / 20);
	assert_int_equal(port_ops->hold(before), NIC_LET_GO);
	port_ops->leave(before);
	send_frames(100);
	received(sent - 100, 100);
}

/* Nor is it waited for if whose place it was to be goes before. */
static void another_that_gives_up(void **state)
{
	struct nic_place *before;
	uint64_t begun;

	(void)state;
	for (int is_lent = 0; is_lent < 2; is_lent++) {
		int fds[NIC_FDS_MAX], n;
		char why[160] = "";
		struct nic_memory *memory = is_lent ? &lent : NULL;

		start_lent();
		slow.tv_nsec = SLOW_MS * (long)NS_PER_MS;
		assert_int_equal(dev->filter_del(device, &filter), 0);
		dev->settle(device);
		begun = now_ns();
		port_ops->recall(place);
		before = place;
		n = dev->place_fds(device, 0, is_lent, fds);
		if (is_lent)
			free_above();
		assert_int_equal(port_ops->join(port, 0, fds, n, memory, &place, why, sizeof(why)), 0);
		assert_int_equal(port_ops->joined(place, why, sizeof(why)), -EAGAIN);
		port_ops->leave(place);
		place = before;
		if (now_ns() - begun < SLOW_MS * NS_PER_MS) /* or the machine is busy */
			assert_int_equal(port_ops->hold(place), NIC_LETS_GO);
		await_end();
		port_ops->leave(place);
		place = NULL;
		slow.tv_nsec = 0;
	}
}

/* It ends when the port is closed, and with the place the port is gone: what it had is closed. */
static void the_port_is_closed(void **state)
{
	uint32_t before = n_fds();

	(void)state;
	start_lent();
	slow.tv_nsec = SLOW_MS * (long)NS_PER_MS;
	assert_int_equal(dev->filter_del(device, &filter), 0);
	port_ops->recall(place);
	port_ops->close(port);
	port = NULL;
	assert_int_equal(port_ops->hold(place), NIC_LETS_GO);
	await_end();
	port_ops->leave(place);
	place = NULL;
	assert_int_equal(n_fds(), before);
}

/* The driver has our memory itself, we believe: until the queue can be another socket's. */
static void zero_copy_recalled(void **state)
{
	(void)state;
	start_lent();
	assert_false(place->zero_copy);
	place->zero_copy = true;
	send_frames(3);
	await_readable();
	n_bound = 0;
	recall();
	assert_int_equal(n_bound, 1);
	reaped(0, sent - 3, 3);
	none_is_reaped();
	leave();
	start_lent();
}

static void ordinary_and_lent_by_turns(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		join(false);
		send_frames(50);
		received(sent - 50, 50);
		leave();
		start_lent();
		leave();
	}
}

static void ours_above_the_guests(void **state)
{
	char why[160] = "";

	(void)state;
	assert_true(mmap(area, BESIDE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		    area);
	assert_int_equal(try_to_join(true, why, sizeof(why)), -EADDRINUSE);
	assert_non_null(strstr(why, "memory beside the guest's"));
	free_above();
	start_lent();
	send_frames(10);
	reaped(0, sent - 10, 10);
}

/* What may be pinned, without the right to as much as is wanted; by a user of our own, as all
 * that a user pins counts. RLIM_INFINITY: as it was. */
static void limit_pinned(rlim_t size)
{
	uid_t user = size == RLIM_INFINITY ? 0 : 1000000 + (uid_t)getpid();
	struct rlimit limit;

	assert_int_equal(setresuid(user, (uid_t)-1, (uid_t)-1), 0);
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	limit.rlim_cur = MIN(size, limit.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	capng_get_caps_process();
	capng_update(size == RLIM_INFINITY ? CAPNG_ADD : CAPNG_DROP, CAPNG_EFFECTIVE, CAP_IPC_LOCK);
	assert_int_equal(capng_apply(CAPNG_SELECT_CAPS), 0);
}

/* Only as much as the limit of locked memory allows; there is less for what comes early. */
static void limited(void **state)
{
	char why[160] = "";
	int err;

	(void)state;
	limit_pinned(4 << 20);
	err = try_to_join(true, why, sizeof(why));
	limit_pinned(RLIM_INFINITY);
	assert_int_equal(err, -ENOBUFS);
	limit_pinned(6 << 20);
	start_lent();
	limit_pinned(RLIM_INFINITY);
	assert_int_equal(place->umem->n_chunks, AFXDP_PLACE_CHUNKS / 4);
	send_frames(10);
	reaped(0, sent - 10, 10);
}

/* What the device cannot be rid of now is still noted: teardown() sees that it is removed in the
 * end. Until then it brings frames to nobody's place. */
static void a_rule_that_stays(void **state)
{
	(void)state;
	join(false);
	send_frames(1);
	received(sent - 1, 1);
	rig.refused = ETHTOOL_SRXCLSRLDEL;
	rig.error = -EIO;
	assert_int_equal(dev->filter_del(device, &filter), -EIO);
	rig.refused = 0;
	assert_int_equal(ethtool_rig_rules(), 1);
	send_frames(1);
	received(sent, 0);
	port_ops->leave(place);
	place = NULL;
}

/* As a driver might that recycles chunks: two frames change their places behind our back. Then
 * nothing that was posted is in the device's hands any more. */
static void disordered(void **state)
{
	struct nic_completion c[N_PAGES];
	struct xdp_desc *d, first;
	uint8_t page[PAGE], zeros[PAGE] = { 0 };

	(void)state;
	start_lent();
	memset(lent.start, 0, (size_t)N_PAGES * PAGE);
	send_frames(4);
	reaped(0, sent - 4, 2);
	d = (struct xdp_desc *)(uintptr_t)xsk_ring_cons__rx_desc(&place->rx[0].ring,
								 place->rx[0].ring.cached_cons);
	first = d[0];
	d[0] = d[1];
	d[1] = first;
	slow.tv_nsec = SLOW_MS * (long)NS_PER_MS;
	assert_int_equal(port_ops->reap(place, c, N_PAGES), 0);
	assert_int_equal(port_ops->hold(place), NIC_LETS_GO);
	await_end();
	assert_int_equal(port_ops->reap(place, c, N_PAGES), N_PAGES - 2);
	for (uint32_t i = 0; i < N_PAGES - 2; i++)
		assert_int_equal(c[i].status, -ECANCELED);
	send_frames(4);
	guests(4, page);
	assert_memory_equal(page, zeros, PAGE);
	none_is_reaped();
	port_ops->recall(place);
	none_is_reaped();
	leave();
	join(false);
	send_frames(1);
	received(sent - 1, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_ordinary_place),
		T(frames_outlive_their_place),
		T(order_over_begin),
		T(a_late_guest),
		T(a_guest_that_never_comes),
		T(what_was_left_outlives_its_place),
		T(all_pages_posted),
		T(recalled),
		T(recalled_slowly),
		T(another_at_once),
		T(another_that_gives_up),
		T(the_port_is_closed),
		T(left_at_any_time),
		T(zero_copy_recalled),
		T(ordinary_and_lent_by_turns),
		T(ours_above_the_guests),
		T(limited),
		T(a_rule_that_stays),
		T(disordered),
	};

	return cmocka_run_group_tests_name("lent", tests, start, stop);
}
