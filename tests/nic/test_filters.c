/* SPDX-License-Identifier: MIT */
/*
 * What the filters of real providers match, and in what form it arrives: frames byte by byte
 * from the other end of a cable, in a network namespace. What no filter matches is the
 * host's, as it was. And in what form arrives there what is sent. Root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/nic/nic.h"

#define DEADLINE_MS 5000
#define FRAME_SIZE  1518u /* with a tag */
#define PLACES	    3u

struct provider {
	const struct nic_device_ops *device;
	const struct nic_port_ops *port;
	struct nic_config config;
};

static const struct provider afxdp = {
	&afxdp_device_ops, &afxdp_port_ops, { .name = "nic", .transmit = true }
};
static const struct provider model = {
	&model_device_ops, &model_port_ops, { .name = "nictap", .wire = "nic" }
};

static const uint8_t ours[6] = { 0x00, 0x16, 0x3e, 1, 2, 3 }, others[6] = { 0x00, 0x16, 0x3e, 1, 2, 4 };
static const uint8_t station[6] = { 2, 0, 0, 0, 0, 1 }; /* at the other end */

struct rig {
	const struct provider *p;
	struct nic_device *device;
	struct nic_port *port;
	struct nic_place *place[PLACES];
	struct nic_filter filter[PLACES];
	int wire, host; /* packet sockets: the cable's other end, what the host is given */
};

static int packet_socket(const char *name)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), on = 1;

	assert_true(fd >= 0 && a.sll_ifindex);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void open_port(struct rig *r)
{
	char why[160] = "";
	int fds[NIC_FDS_MAX], n;

	if (r->p->device->open(&r->p->config, &r->device, why, sizeof(why)))
		fail_msg("%s", why);
	n = r->p->device->port_fds(r->device, fds);
	assert_true(n > 0);
	if (r->p->port->open(r->p->device->ifindex(r->device), fds, n, &r->port, why, sizeof(why)))
		fail_msg("%s", why);
}

static void place(struct rig *r, uint32_t i, struct nic_filter filter)
{
	char why[160] = "";
	int fds[NIC_FDS_MAX], kept[NIC_FDS_MAX], n = r->p->device->place_fds(r->device, i, false, fds);
	const struct timespec nap = { .tv_nsec = 1000000 };
	int err;

	assert_true(n >= 0);
	for (int k = 0; k < n; k++)
		kept[k] = dup(fds[k]);
	if (r->p->port->join(r->port, i, fds, n, NULL, &r->place[i], why, sizeof(why)))
		fail_msg("%s", why);
	while ((err = r->p->port->joined(r->place[i], why, sizeof(why))) == -EAGAIN)
		nanosleep(&nap, NULL);
	if (err)
		fail_msg("%s", why);
	assert_int_equal(r->p->device->filter_add(r->device, i, kept, n, &filter), 0);
	for (int k = 0; k < n; k++)
		close(kept[k]);
	r->filter[i] = filter;
	r->p->device->settle(r->device);
}

static struct rig *start(const struct provider *p)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->p = p;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(system("ip link add nic type veth peer name wire && ip link set nic up && "
				"ip link set wire up && ip tuntap add nictap mode tap"), 0);
	open_port(r);
	assert_int_equal(system("ip link set nictap up"), 0);
	r->wire = packet_socket("wire");
	r->host = packet_socket(p->config.name);
	return r;
}

static int start_afxdp(void **state)
{
	*state = start(&afxdp);
	return 0;
}

static int start_model(void **state)
{
	*state = start(&model);
	return 0;
}

static int stop(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < PLACES; i++) {
		if (!r->place[i])
			continue;
		assert_int_equal(r->p->device->filter_del(r->device, &r->filter[i]), 0);
		r->p->device->settle(r->device);
		r->p->port->leave(r->place[i]);
	}
	r->p->port->close(r->port);
	r->p->device->close(r->device, false);
	close(r->wire);
	close(r->host);
	free(r);
	return 0;
}

/* ---- frames ---- */

struct frame {
	uint8_t data[FRAME_SIZE];
	size_t size;
};

/* With these tags, each ethertype and word; the last one 0. */
static struct frame frame(const uint8_t mac[6], const uint32_t *tags, uint8_t number)
{
	struct frame f = { .size = 12 };

	memcpy(f.data, mac, 6);
	memcpy(f.data + 6, station, 6);
	for (; tags && *tags; tags++, f.size += 4) {
		uint32_t tag = htonl(*tags);

		memcpy(f.data + f.size, &tag, sizeof(tag));
	}
	memcpy(f.data + f.size, "\x88\xb5", 2);
	memset(f.data + f.size + 2, number, 60);
	f.size += 62;
	return f;
}

#define TAGS(...) ((const uint32_t[]){ __VA_ARGS__, 0 })
#define TAG(vlan) (0x81000000u | (vlan))
#define PRIORITY  (5u << 13)
#define SERVICE	  0x88a80000u

static void send_frame(const struct rig *r, struct frame f)
{
	assert_int_equal(write(r->wire, f.data, f.size), f.size);
}

static void same(const struct frame *expected, const uint8_t *data, size_t size)
{
	assert_int_equal(size, expected->size);
	assert_memory_equal(data, expected->data, size);
}

/* The place's next frame. */
static void got(const struct rig *r, uint32_t i, struct frame expected)
{
	struct pollfd p = { .fd = r->p->port->poll_fd(r->place[i]), .events = POLLIN };
	struct packet *packet;

	while (!r->p->port->receive(r->place[i], &packet, 1))
		if (!poll(&p, 1, DEADLINE_MS))
			fail_msg("place %u got nothing", i);
	same(&expected, packet->frame, packet->size);
	r->p->port->give_back(r->port, packet);
}

/* A socket's next frame from there: the tag that Linux keeps apart put back. */
static void socket_got(int fd, const void *source, struct frame expected)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	union {
		char room[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
		struct cmsghdr align;
	} control;
	uint8_t data[2 * FRAME_SIZE] = { 0 };

	for (;;) {
		struct iovec iov = { data + 4, sizeof(data) - 4 };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				      .msg_controllen = sizeof(control) };
		const struct cmsghdr *said;
		struct tpacket_auxdata aux;
		uint16_t tag[2];
		ssize_t size;

		if (!poll(&p, 1, DEADLINE_MS))
			fail_msg("nothing came");
		size = recvmsg(fd, &msg, 0);
		said = CMSG_FIRSTHDR(&msg);
		assert_true(size > 14 && said);
		if (!said || memcmp(data + 4 + 6, source, 6))
			continue; /* the namespace's own */
		memcpy(&aux, CMSG_DATA(said), sizeof(aux));
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID)) {
			same(&expected, data + 4, (size_t)size);
			return;
		}
		memmove(data, data + 4, 12);
		tag[0] = htons(aux.tp_vlan_tpid);
		tag[1] = htons(aux.tp_vlan_tci);
		memcpy(data + 12, tag, sizeof(tag));
		same(&expected, data, (size_t)size + 4);
		return;
	}
}

static void host_got(const struct rig *r, struct frame expected)
{
	socket_got(r->host, station, expected);
}

static struct nic_filter filter(const uint8_t mac[6], uint16_t vlan, bool tag_off)
{
	struct nic_filter f = { .vlan = vlan, .tag_off = tag_off };

	memcpy(f.mac, mac, sizeof(f.mac));
	return f;
}

/* ---- tests ---- */

static void untagged_ones_only(void **state)
{
	const struct frame theirs[] = {
		frame(others, NULL, 1),
		frame(ours, TAGS(TAG(10)), 2),
		frame(ours, TAGS(TAG(PRIORITY)), 3), /* a priority only: the bridge knows what that is */
	};
	struct rig *r = *state;

	place(r, 0, filter(ours, 0, false));
	for (size_t i = 0; i < ARRAY_SIZE(theirs); i++)
		send_frame(r, theirs[i]);
	send_frame(r, frame(ours, NULL, 4));
	send_frame(r, frame(ours, TAGS(SERVICE | 10), 5)); /* to a bridge of 802.1Q ones it has none */
	got(r, 0, frame(ours, NULL, 4));
	got(r, 0, frame(ours, TAGS(SERVICE | 10), 5));
	for (size_t i = 0; i < ARRAY_SIZE(theirs); i++)
		host_got(r, theirs[i]);
}

static void each_vlan_its_own(void **state)
{
	struct rig *r = *state;

	place(r, 0, filter(ours, 10, false));
	place(r, 1, filter(ours, 4094, false));
	place(r, 2, filter(others, 10, false));
	send_frame(r, frame(ours, NULL, 1));
	send_frame(r, frame(ours, TAGS(TAG(11)), 2));
	send_frame(r, frame(ours, TAGS(TAG(10)), 3));
	send_frame(r, frame(ours, TAGS(TAG(PRIORITY | 10)), 4));
	send_frame(r, frame(ours, TAGS(TAG(4094)), 5));
	send_frame(r, frame(others, TAGS(TAG(10), TAG(4094)), 6));
	send_frame(r, frame(others, TAGS(TAG(4094)), 7));
	got(r, 0, frame(ours, TAGS(TAG(10)), 3));
	got(r, 0, frame(ours, TAGS(TAG(PRIORITY | 10)), 4));
	got(r, 1, frame(ours, TAGS(TAG(4094)), 5));
	got(r, 2, frame(others, TAGS(TAG(10), TAG(4094)), 6));
	host_got(r, frame(ours, NULL, 1));
	host_got(r, frame(ours, TAGS(TAG(11)), 2));
	host_got(r, frame(others, TAGS(TAG(4094)), 7));
}

static void the_device_takes_the_tag_off(void **state)
{
	struct rig *r = *state;

	assert_true(r->p->device->caps(r->device).tag_off);
	place(r, 0, filter(ours, 10, true));
	place(r, 1, filter(others, 10, false));
	send_frame(r, frame(ours, TAGS(TAG(10)), 1));
	send_frame(r, frame(ours, TAGS(TAG(PRIORITY | 10)), 2));
	send_frame(r, frame(ours, TAGS(TAG(10), TAG(20)), 3));
	send_frame(r, frame(ours, TAGS(TAG(20)), 4));
	send_frame(r, frame(others, TAGS(TAG(10)), 5));
	got(r, 0, frame(ours, NULL, 1));
	got(r, 0, frame(ours, NULL, 2));
	got(r, 0, frame(ours, TAGS(TAG(20)), 3));
	got(r, 1, frame(others, TAGS(TAG(10)), 5));
	host_got(r, frame(ours, TAGS(TAG(20)), 4));
}

/* ---- what is sent ---- */

/* From a guest to the other end, or the other way round. */
static struct frame turned(struct frame f)
{
	uint8_t to[6];

	memcpy(to, f.data, 6);
	memcpy(f.data, f.data + 6, 6);
	memcpy(f.data + 6, to, 6);
	return f;
}

static void transmit(const struct rig *r, struct frame f, uint16_t vlan)
{
	struct packet p = { .frame = f.data, .size = (uint32_t)f.size }, *list[] = { &p };
	const struct frame before = f;

	assert_int_equal(r->p->port->transmit(r->port, list, 1, vlan), 1);
	same(&before, f.data, p.size); /* into a copy */
	for (int i = 0; r->p->port->kick(r->port); i++) {
		assert_true(i < DEADLINE_MS);
		usleep(1000);
	}
}

static void sent_with_a_tag(void **state)
{
	struct rig *r = *state;
	struct frame full = frame(ours, NULL, 7), tagged = frame(ours, TAGS(TAG(10)), 7);

	full.size = FRAME_SIZE - 4;
	tagged.size = FRAME_SIZE;
	memset(full.data + 74, 7, full.size - 74);
	memset(tagged.data + 78, 7, tagged.size - 78);
	transmit(r, turned(frame(ours, NULL, 1)), 0);
	socket_got(r->wire, ours, turned(frame(ours, NULL, 1)));
	transmit(r, turned(frame(ours, NULL, 2)), 10);
	socket_got(r->wire, ours, turned(frame(ours, TAGS(TAG(10)), 2)));
	transmit(r, turned(frame(ours, NULL, 3)), 4094);
	socket_got(r->wire, ours, turned(frame(ours, TAGS(TAG(4094)), 3)));
	transmit(r, turned(frame(ours, TAGS(TAG(PRIORITY | 10)), 4)), 0);
	socket_got(r->wire, ours, turned(frame(ours, TAGS(TAG(PRIORITY | 10)), 4)));
	transmit(r, turned(frame(ours, TAGS(TAG(20)), 5)), 10);
	socket_got(r->wire, ours, turned(frame(ours, TAGS(TAG(10), TAG(20)), 5)));
	transmit(r, turned(full), 10); /* the MTU's, and the tag */
	socket_got(r->wire, ours, turned(tagged));
}

int main(void)
{
#define T(name, provider) { #name " (" #provider ")", name, start_##provider, stop, NULL }
	const struct CMUnitTest tests[] = {
		T(untagged_ones_only, afxdp), T(untagged_ones_only, model),
		T(each_vlan_its_own, afxdp),  T(each_vlan_its_own, model),
		T(the_device_takes_the_tag_off, model),
		T(sent_with_a_tag, afxdp),    T(sent_with_a_tag, model),
	};
#undef T

	return cmocka_run_group_tests_name("filters", tests, NULL, NULL);
}
