/* SPDX-License-Identifier: MIT */
/*
 * What bridges tell of stations: the kernel's messages, as they were seen to come, and a
 * bridge of the kernel's, where there may be one.
 */
#include "backend/control/neighbours.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BRIDGE 2
#define PORT   5

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

struct message {
	uint16_t type;
	int family, ifindex, state, vlan, master, mac_size;
};

static bool parse(struct message m, struct neighbour *out)
{
	char buf[256] = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));

	nlh->nlmsg_type = m.type;
	ndm->ndm_family = (uint8_t)m.family;
	ndm->ndm_ifindex = m.ifindex;
	ndm->ndm_state = (uint16_t)m.state;
	mnl_attr_put(nlh, NDA_LLADDR, (size_t)m.mac_size, mac);
	if (m.master)
		mnl_attr_put_u32(nlh, NDA_MASTER, (uint32_t)m.master);
	if (m.vlan)
		mnl_attr_put_u16(nlh, NDA_VLAN, (uint16_t)m.vlan);
	return neighbours_parse(nlh, out);
}

static const struct message learned = { .type = RTM_NEWNEIGH, .family = AF_BRIDGE,
					.ifindex = PORT, .state = NUD_REACHABLE,
					.master = BRIDGE, .mac_size = 6 };

static void learned_and_forgotten(void **state)
{
	struct message m = learned;
	struct neighbour n;

	(void)state;
	assert_true(parse(m, &n));
	assert_int_equal(n.bridge, BRIDGE);
	assert_int_equal(n.port, PORT);
	assert_memory_equal(n.mac, mac, 6);
	assert_int_equal(n.vlan, 0);
	m.vlan = 7;
	assert_true(parse(m, &n));
	assert_int_equal(n.vlan, 7);
	m.type = RTM_DELNEIGH;
	assert_true(parse(m, &n));
	assert_int_equal(n.port, 0);
}

/* An address of a port's own is the host. */
static void local_is_behind_none(void **state)
{
	struct message m = learned;
	struct neighbour n;

	(void)state;
	m.state = NUD_PERMANENT;
	assert_true(parse(m, &n));
	assert_int_equal(n.port, 0);
	m.state = NUD_NOARP; /* static: by the operator's word */
	m.ifindex = BRIDGE;
	assert_true(parse(m, &n));
	assert_int_equal(n.port, 0);
}

static void not_of_a_bridge(void **state)
{
	struct message m = learned;
	struct neighbour n;

	(void)state;
	m.master = 0; /* a device's own filter: NTF_SELF */
	assert_false(parse(m, &n));
	m = learned;
	m.family = AF_INET;
	assert_false(parse(m, &n));
	m = learned;
	m.mac_size = 4;
	assert_false(parse(m, &n));
	m = learned;
	m.type = RTM_NEWLINK;
	assert_false(parse(m, &n));
}

/* ---- the kernel's ---- */

struct heard {
	uint32_t n;
	struct neighbour last;
};

static void each(void *arg, const struct neighbour *n)
{
	struct heard *h = arg;

	if (memcmp(n->mac, mac, 6))
		return;
	h->n++;
	h->last = *n;
}

/* Takes news until the station was told of; false: in vain. */
static bool hear(struct neighbours *n, struct heard *h)
{
	uint64_t next;

	*h = (struct heard){ .n = 0 };
	for (int i = 0; i < 200 && !h->n; i++) {
		struct pollfd p = { .fd = neighbours_fd(n), .events = POLLIN };

		if (i)
			poll(&p, 1, 50);
		assert_true(neighbours_news(n, NS_PER_S, each, h, &next));
	}
	return h->n;
}

static void run(const char *command)
{
	assert_int_equal(system(command), 0);
}

static void of_the_kernel(void **state)
{
	struct neighbours n;
	struct heard h;

	(void)state;
	if (unshare(CLONE_NEWNET) || system("ip link add br0 type bridge"))
		skip();
	run("ip link add p0 type veth peer name p1 && ip link set p0 master br0 up && ip link set br0 up");
	run("bridge fdb add 02:00:00:00:00:01 dev p0 master static");
	neighbours_init(&n);
	assert_int_equal(neighbours_fd(&n), -1);
	assert_true(hear(&n, &h)); /* it was known before */
	assert_true(h.last.port > 0 && h.last.bridge > 0);
	run("bridge fdb del 02:00:00:00:00:01 dev p0 master");
	assert_true(hear(&n, &h));
	assert_int_equal(h.last.port, 0);
	run("bridge fdb add 02:00:00:00:00:01 dev p0 master static");
	assert_true(hear(&n, &h));
	neighbours_again(&n);
	assert_true(hear(&n, &h));
	assert_true(h.last.port > 0);
	neighbours_close(&n);
}

/* Too many for a second: what was told is void, and all of it comes again after a pause. */
static void too_many_at_once(void **state)
{
	uint64_t now = 5 * NS_PER_S, next;
	struct neighbours n;
	struct heard h;

	(void)state;
	if (unshare(CLONE_NEWNET) || system("ip link add br0 type bridge"))
		skip();
	run("ip link add p0 type veth peer name p1 && ip link set p0 master br0 up && ip link set br0 up");
	run("bridge fdb add 02:00:00:00:00:01 dev p0 master static");
	neighbours_init(&n);
	assert_true(hear(&n, &h));
	assert_true(neighbours_news(&n, now, each, &h, &next));
	n.n_changes = NEIGHBOURS_CHANGES_MAX;
	run("bridge fdb add 02:00:00:00:00:02 dev p0 master static");
	assert_false(neighbours_news(&n, now, each, &h, &next));
	assert_int_equal(next, now + NS_PER_S);
	assert_int_equal(neighbours_fd(&n), -1);
	h.n = 0;
	assert_true(neighbours_news(&n, now + NS_PER_MS, each, &h, &next));
	assert_int_equal(neighbours_fd(&n), -1); /* the pause is not over */
	for (int i = 0; i < 200 && !h.n; i++) {
		struct pollfd p = { .fd = neighbours_fd(&n), .events = POLLIN };

		assert_true(neighbours_news(&n, now + NS_PER_S, each, &h, &next));
		poll(&p, 1, 50);
	}
	assert_true(h.n && h.last.port > 0);
	neighbours_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learned_and_forgotten), cmocka_unit_test(local_is_behind_none),
		cmocka_unit_test(not_of_a_bridge),	 cmocka_unit_test(of_the_kernel),
		cmocka_unit_test(too_many_at_once),
	};

	return cmocka_run_group_tests_name("neighbours", tests, NULL, NULL);
}
