/* SPDX-License-Identifier: MIT */
/*
 * AF_XDP's places that share one UMEM: what guests leave lying, and what is taken to be kept for
 * them before their place is read, leaves every other place its room. The real sockets, on a veth
 * of one queue, in a network namespace. Root.
 */
#include "tests/unit/unit.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/nic/afxdp.h"
#include "packet.h"

#define DEADLINE_MS 5000
#define N_GREEDY    6u
#define N_PLACES    (N_GREEDY + 1)
#define EARLY	    4096u /* queue_place.c EARLY_MAX */
#define A_BATCH	    256u

static const struct nic_device_ops *const dev = &afxdp_device_ops;
static const struct nic_port_ops *const ops = &afxdp_port_ops;

static struct nic_device *device;
static struct nic_port *port;
static struct nic_place *place[N_PLACES];
static struct packet_fifo kept[N_PLACES];
static int wire;

static struct nic_filter filter_of(uint32_t i)
{
	return (struct nic_filter){ .mac = { 0x00, 0x16, 0x3e, 1, 2, (uint8_t)i } };
}

static void join(uint32_t i)
{
	const struct nic_filter filter = filter_of(i);
	int fds[NIC_FDS_MAX], copies[NIC_FDS_MAX], n = dev->place_fds(device, i, false, fds);
	char why[160] = "";

	assert_true(n > 0);
	for (int k = 0; k < n; k++)
		copies[k] = dup(fds[k]);
	if (ops->join(port, i, fds, n, NULL, &place[i], why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(dev->filter_add(device, i, copies, n, &filter), 0);
	for (int k = 0; k < n; k++)
		close(copies[k]);
}

static int start(void **state)
{
	const struct nic_config config = { .name = "nic", .steering = NIC_STEERING_PROGRAM };
	struct sockaddr_ll a = { .sll_family = AF_PACKET };
	int fds[NIC_FDS_MAX], n;
	char why[160] = "";

	(void)state;
	if (geteuid())
		exit(77); /* skipped */
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(system("ip link add nic numrxqueues 1 type veth peer name wire && "
				"ip link set nic up && ip link set wire up"),
			 0);
	if (dev->open(&config, &device, why, sizeof(why)))
		fail_msg("%s", why);
	n = dev->port_fds(device, fds);
	assert_true(n > 0);
	if (ops->open(dev->ifindex(device), fds, n, &port, why, sizeof(why)))
		fail_msg("%s", why);
	a.sll_ifindex = (int)if_nametoindex("wire");
	wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(wire, (struct sockaddr *)&a, sizeof(a)), 0);
	for (uint32_t i = 0; i < N_PLACES; i++)
		join(i);
	dev->settle(device);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < N_PLACES; i++) {
		const struct nic_filter filter = filter_of(i);
		struct packet *p;

		assert_int_equal(dev->filter_del(device, &filter), 0);
		while ((p = packet_fifo_pop(&kept[i])))
			ops->give_back(port, p);
	}
	dev->settle(device);
	for (uint32_t i = 0; i < N_PLACES; i++)
		ops->leave(place[i]);
	ops->close(port);
	dev->close(device, false);
	close(wire);
	return 0;
}

static void send_to(uint32_t i, uint32_t n)
{
	struct {
		struct ether_header eth;
		uint32_t number;
		uint8_t rest[60];
	} __attribute__((packed))
	f = { .eth = { .ether_shost = { 2, 0, 0, 0, 0, 1 }, .ether_type = 0xb588 } };

	memcpy(f.eth.ether_dhost, filter_of(i).mac, ETH_ALEN);
	for (f.number = 0; f.number < n; f.number++)
		assert_int_equal(write(wire, &f, sizeof(f)), sizeof(f));
}

/* What there is now, up to n more, to be kept. */
static uint32_t keep(uint32_t i, uint32_t n)
{
	uint32_t got = 0;
	struct packet *p;

	for (; got < n && ops->receive(place[i], &p, 1); got++)
		packet_fifo_push(&kept[i], p);
	return got;
}

static uint64_t n_lost(uint32_t i)
{
	struct nic_place_stats stats;

	ops->stats(place[i], &stats);
	return stats.lost;
}

/* As a queue does whose place is not read yet: then the rest of what comes waits in its place. */
static void is_greedy(uint32_t i)
{
	while (kept[i].n_packets < EARLY && ops->may_keep(place[i])) {
		send_to(i, A_BATCH);
		if (!keep(i, A_BATCH))
			break;
	}
	ops->not_read(place[i]);
	send_to(i, AFXDP_RX_FRAMES + A_BATCH);
}

static void leaves_others_their_room(void **state)
{
	const uint32_t last = N_PLACES - 1;

	(void)state;
	for (uint32_t i = 0; i < N_GREEDY; i++)
		is_greedy(i);
	assert_int_equal(kept[0].n_packets,
			 EARLY); /* as long as there is enough, none is denied it */
	send_to(last, AFXDP_RX_FRAMES / 2);
	send_to(last, AFXDP_RX_FRAMES / 2);
	assert_int_equal(keep(last, 2 * AFXDP_RX_FRAMES), AFXDP_RX_FRAMES);
	assert_int_equal(n_lost(last), 0);
	/* What is given back is there for whoever is next. */
	for (struct packet *p; (p = packet_fifo_pop(&kept[0]));)
		ops->give_back(port, p);
	assert_true(ops->may_keep(place[last]));
}

/* A guest that takes nothing, as one that is paused, and gets more than there is room for. */
static void does_without_being_filled(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < N_PLACES; i++)
		assert_int_equal(keep(i, 1), 0); /* all were read */
	for (uint32_t i = 0; i < N_GREEDY; i++)
		ops->not_read(place[i]);
	for (uint32_t i = 0; i < N_GREEDY; i++)
		send_to(i, 3 * AFXDP_RX_FRAMES);
	send_to(N_GREEDY, AFXDP_RX_FRAMES / 2);
	assert_int_equal(keep(N_GREEDY, AFXDP_RX_FRAMES), AFXDP_RX_FRAMES / 2);
	for (uint32_t i = 0; i < N_GREEDY; i++)
		assert_int_equal(n_lost(i), 2 * AFXDP_RX_FRAMES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(leaves_others_their_room, start, stop),
		cmocka_unit_test_setup_teardown(does_without_being_filled, start, stop),
	};

	return cmocka_run_group_tests_name("afxdp-shared", tests, NULL, NULL);
}
