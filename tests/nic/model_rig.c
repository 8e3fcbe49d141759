/* SPDX-License-Identifier: MIT */
/* See model_rig.h. */
#include "tests/nic/model_rig.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "packet.h"

const struct nic_device_ops *const dev = &model_device_ops;
const struct nic_port_ops *const ops = &model_port_ops;
struct nic_device *device;
struct nic_port *port;
int far_end, host;

/* ---- time ---- */

uint64_t rig_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / NS_PER_MS;
}

void rig_nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
}

/* ---- wire and host ---- */

static int packet_socket(const char *name)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(ETH_P_ALL),
				    .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, bytes = 8 << 20;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void mac_of(uint32_t place, uint8_t mac[6])
{
	static const uint8_t prefix[6] = { 0x00, 0x16, 0x3e, 0x77, 0x00, 0x00 };

	memcpy(mac, prefix, 6);
	mac[5] = (uint8_t)(place + 1);
}

struct frame rig_frame_to(uint32_t place, uint32_t number)
{
	struct frame f = { .from = { 2, 0, 0, 0, 0, 9 },
			   .type = htons(RIG_TYPE),
			   .number = number };

	mac_of(place, f.to);
	memset(f.rest, (int)(0x30 + number % 64), sizeof(f.rest));
	return f;
}

void rig_send_sized(int fd, uint32_t place, uint32_t number, size_t size)
{
	struct frame f = rig_frame_to(place, number);

	assert_int_equal(send(fd, &f, size, 0), size);
}

void rig_send_to(uint32_t place, uint32_t number)
{
	rig_send_sized(far_end, place, number, RIG_SIZE);
}

void rig_send_tagged(uint32_t place, uint16_t vlan, uint32_t number)
{
	struct frame f = rig_frame_to(place, number);
	uint8_t tagged[RIG_SIZE + 4];
	uint16_t tag[2] = { htons(ETH_P_8021Q), htons(vlan) };

	memcpy(tagged, &f, 12);
	memcpy(tagged + 12, tag, 4);
	memcpy(tagged + 16, (uint8_t *)&f + 12, RIG_SIZE - 12);
	assert_int_equal(send(far_end, tagged, sizeof(tagged), 0), sizeof(tagged));
}

/* The number of the next frame of the test's that comes there. */
uint32_t rig_next_number(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct frame f;

	for (;;) {
		assert_int_equal(poll(&p, 1, RIG_PATIENCE_MS), 1);
		if (recv(fd, &f, sizeof(f), 0) >= (ssize_t)RIG_SIZE && f.type == htons(RIG_TYPE))
			return f.number;
	}
}

void rig_at_host(uint32_t number)
{
	assert_int_equal(rig_next_number(host), number);
}

/* ---- looking at it ---- */

bool rig_has_link(const char *name)
{
	struct ifreq req = { .ifr_flags = 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	assert_int_equal(ioctl(host, SIOCGIFFLAGS, &req), 0);
	return req.ifr_flags & IFF_RUNNING;
}

/* The value of a line of the device's /proc/self/task/N/status. */
static void hw_status(const char *key, char *out, size_t size)
{
	char path[64], line[256];
	struct dirent *task;
	DIR *tasks = opendir("/proc/self/task");

	assert_non_null(tasks);
	out[0] = '\0';
	while (!out[0] && (task = readdir(tasks))) {
		bool ours = false;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", task->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f)) {
			ours |= !strcmp(line, "Name:\tnic-hw/mq0\n");
			if (ours && !strncmp(line, key, strlen(key)))
				snprintf(out, size, "%s", line + strlen(key) + 1);
		}
		if (f)
			fclose(f);
	}
	closedir(tasks);
	assert_true(out[0]);
}

char rig_hw_state(void)
{
	char text[64];

	hw_status("State:", text, sizeof(text));
	return text[0];
}

uint64_t rig_hw_switches(void)
{
	char text[64];

	hw_status("voluntary_ctxt_switches:", text, sizeof(text));
	return strtoull(text, NULL, 10);
}

/* ---- life ---- */

void rig_run(const char *command)
{
	assert_int_equal(system(command), 0);
}

static void make_wire(void)
{
	rig_run("ip link add far type veth peer name wire && ip link set far up && "
		"ip link set wire up");
}

int rig_make_network(void **state)
{
	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	/* Nobody but us is to send there. */
	rig_run("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6");
	make_wire();
	rig_run("ip tuntap add dev mq0 mode tap && ip link set mq0 up");
	return 0;
}

void rig_exchange_wire(void)
{
	close(far_end);
	rig_run("ip link del wire");
	AWAIT(!rig_has_link("mq0"));
	make_wire();
	far_end = packet_socket("far");
}

void rig_open_port(void)
{
	char why[128] = "";
	int fds[NIC_FDS_MAX], n = dev->port_fds(device, fds);

	assert_true(n > 0);
	if (ops->open(dev->ifindex(device), fds, n, &port, why, sizeof(why)))
		fail_msg("%s", why);
}

int rig_start(void **state)
{
	const struct nic_config cfg = { .name = "mq0",
					.provider = NIC_PROVIDER_MODEL,
					.filters = RIG_FILTERS,
					.wire = "wire" };
	char why[128] = "";

	(void)state;
	if (dev->open(&cfg, &device, why, sizeof(why)))
		fail_msg("%s", why);
	rig_open_port();
	far_end = packet_socket("far");
	host = packet_socket("mq0");
	return 0;
}

int rig_stop(void **state)
{
	(void)state;
	ops->close(port);
	dev->close(device, false);
	close(far_end);
	close(host);
	return 0;
}

struct nic_place *rig_join_place(uint32_t number)
{
	struct nic_place *place = NULL;
	char why[128] = "";
	int fds[NIC_FDS_MAX], n = dev->place_fds(device, number, false, fds);

	assert_true(n >= 0);
	if (ops->join(port, number, fds, n, NULL, &place, why, sizeof(why)))
		fail_msg("%s", why);
	return place;
}

struct nic_filter rig_filter_for(uint32_t place, uint16_t vlan)
{
	struct nic_filter f = { .vlan = vlan };

	mac_of(place, f.mac);
	return f;
}

int rig_add_filter(uint32_t place, uint16_t vlan)
{
	struct nic_filter f = rig_filter_for(place, vlan);

	return dev->filter_add(device, place, NULL, 0, &f);
}

void rig_del_filter(uint32_t place, uint16_t vlan)
{
	struct nic_filter f = rig_filter_for(place, vlan);

	assert_int_equal(dev->filter_del(device, &f), 0);
	dev->settle(device);
}

/* With its filter. */
struct nic_place *rig_open_place(uint32_t number)
{
	struct nic_place *place = rig_join_place(number);

	assert_int_equal(rig_add_filter(number, 0), 0);
	return place;
}

void rig_close_place(struct nic_place *place, uint32_t number)
{
	rig_del_filter(number, 0);
	ops->leave(place);
}

struct nic_status rig_status(void)
{
	struct nic_status s;

	dev->status(device, &s);
	return s;
}

uint64_t rig_lost(const struct nic_place *place)
{
	struct nic_place_stats s;

	ops->stats(place, &s);
	return s.lost;
}

uint64_t rig_faults(const struct nic_place *place)
{
	struct nic_place_stats s;

	ops->stats(place, &s);
	return s.faults;
}

/* ---- receiving ---- */

void rig_await_place(const struct nic_place *place)
{
	struct pollfd p = { .fd = ops->poll_fd(place), .events = POLLIN };

	if (poll(&p, 1, RIG_PATIENCE_MS) != 1)
		fail_msg("nothing comes");
}

bool rig_is_readable(const struct nic_place *place)
{
	struct pollfd p = { .fd = ops->poll_fd(place), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* The next frame, given back. */
uint32_t rig_receive_one(struct nic_place *place)
{
	struct packet *p;
	uint32_t number;

	while (!ops->receive(place, &p, 1))
		rig_await_place(place);
	assert_true(ops->is_of(port, p));
	number = ((const struct frame *)(const void *)p->frame)->number;
	ops->give_back(port, p);
	return number;
}

bool rig_took(struct nic_place *place, uint32_t number)
{
	struct packet *p;

	if (!ops->receive(place, &p, 1))
		return false;
	assert_int_equal(((const struct frame *)(const void *)p->frame)->number, number);
	ops->give_back(port, p);
	return true;
}

bool rig_is_dry(struct nic_place *place)
{
	struct packet *p;

	return !ops->receive(place, &p, 1);
}

bool rig_is_quiet(struct nic_place *place)
{
	assert_true(rig_is_dry(place));
	return !rig_is_readable(place);
}
