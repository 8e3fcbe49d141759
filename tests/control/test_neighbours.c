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
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "backend/control/rtnl.h"

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

/* A bridge with a NIC's port, p0, and two guests', g0 and h0; what is said of 'mac'. */
struct host {
	struct rtnl rtnl;
	struct neighbours n;
	int bridge, nic, guest, other;
	uint64_t now_ns, next_ns;
	uint32_t n_heard; /* of anybody */
	uint32_t n_of_it; /* of 'mac' */
	struct neighbour last;
};

static void run(const char *command)
{
	assert_int_equal(system(command), 0);
}

static void each(void *arg, const struct neighbour *n)
{
	struct host *h = arg;

	h->n_heard++;
	if (memcmp(n->mac, mac, 6))
		return;
	h->n_of_it++;
	h->last = *n;
}

static bool start(struct host *h)
{
	*h = (struct host){ .now_ns = NS_PER_S };
	if (unshare(CLONE_NEWNET) || system("ip link add br0 type bridge && ip link set br0 up"))
		return false;
	run("! cd /proc/sys/net/ipv6/conf/default || echo 1 >disable_ipv6"); /* nobody else speaks
									      */
	run("for p in p g h; do ip link add ${p}0 type veth peer name ${p}1 && "
	    "ip link set ${p}0 master br0 up && ip link set ${p}1 up || exit 1; done");
	h->bridge = (int)if_nametoindex("br0");
	h->nic = (int)if_nametoindex("p0");
	h->guest = (int)if_nametoindex("g0");
	h->other = (int)if_nametoindex("h0");
	assert_int_equal(rtnl_open(&h->rtnl), 0);
	neighbours_init(&h->n, &h->rtnl);
	assert_int_equal(neighbours_fd(&h->n), -1);
	neighbours_of_port(&h->n, h->nic, true);
	return true;
}

static void end(struct host *h)
{
	neighbours_close(&h->n);
	rtnl_close(&h->rtnl);
}

/* What a frame from 'mac' at that port does. */
static void learn(struct host *h, int port)
{
	assert_int_equal(rtnl_learn(&h->rtnl, port, mac, 0), 0);
}

static void learn_others(struct host *h, int port, uint16_t n, uint8_t from)
{
	for (uint16_t i = 0; i < n; i++) {
		const uint8_t other[6] = { 2, 2, from, 0, (uint8_t)(i >> 8), (uint8_t)i };

		assert_int_equal(rtnl_learn(&h->rtnl, port, other, 0), 0);
	}
}

/* Takes all there is, answers too: the kernel has queued them when what makes them has returned. */
static bool take(struct host *h)
{
	h->n_of_it = h->n_heard = 0;
	for (int i = 0; i < 8 || h->next_ns <= h->now_ns; i++)
		if (!neighbours_news(&h->n, h->now_ns, each, h, &h->next_ns))
			return false;
	return true;
}

static void of_the_kernel(void **state)
{
	struct host h;

	(void)state;
	if (!start(&h))
		skip();
	learn(&h, h.nic);
	assert_true(take(&h)); /* it was known before */
	assert_int_equal(h.last.port, h.nic);
	assert_int_equal(h.last.bridge, h.bridge);
	run("bridge fdb del 02:00:00:00:00:01 dev p0 master");
	assert_true(take(&h));
	assert_int_equal(h.n_of_it, 1);
	assert_int_equal(h.last.port, 0);
	learn(&h, h.nic);
	assert_true(take(&h));
	assert_int_equal(h.n_of_it, 1);
	assert_int_equal(h.last.port, h.nic);
	learn(&h, h.guest);
	assert_true(take(&h));
	assert_int_equal(h.n_of_it, 1);
	assert_int_equal(h.last.port, h.guest);
	end(&h);
}

/* The ports of interest come and go; of one that comes all is told. */
static void ports_come_and_go(void **state)
{
	struct host h;

	(void)state;
	if (!start(&h))
		skip();
	neighbours_of_port(&h.n, h.nic, false);
	assert_true(take(&h));
	learn(&h, h.nic);
	assert_true(take(&h));
	assert_int_equal(h.n_heard, 0);
	neighbours_of_port(&h.n, h.nic, true);
	assert_true(take(&h));
	assert_int_equal(h.n_of_it, 1);
	assert_int_equal(h.last.port, h.nic);
	neighbours_of_port(&h.n, h.nic, false);
	learn(&h, h.guest);
	assert_true(take(&h)); /* who was told of is told to be gone */
	assert_int_equal(h.last.port, h.guest);
	end(&h);
}

/* What a guest's port learns is not even queued: more than the socket has room for. */
static void a_guests_flood(void **state)
{
	struct host h;

	(void)state;
	if (!start(&h))
		skip();
	learn(&h, h.nic);
	assert_true(take(&h));
	learn_others(&h, h.guest, 10000, 1);
	run("ip link set g0 type bridge_slave fdb_flush");
	learn_others(&h, h.guest, 10000, 2);
	learn_others(&h, h.other, 10000, 2);
	assert_true(take(&h));
	assert_int_equal(h.n_heard, 0);
	learn(&h, h.guest);
	assert_true(take(&h));
	assert_int_equal(h.n_heard, 1);
	assert_int_equal(h.last.port, h.guest);
	end(&h);
}

/* A station that a guest takes again and again is told of once, and gone until all are told again.
 */
static void to_and_fro(void **state)
{
	struct host h;

	(void)state;
	if (!start(&h))
		skip();
	learn(&h, h.nic);
	assert_true(take(&h));
	for (int i = 0; i < 1000; i++) {
		learn(&h, h.guest);
		learn(&h, h.other);
		learn(&h, h.nic);
	}
	assert_true(take(&h));
	assert_in_range(h.n_of_it, 1, 9); /* each second once there, once back */
	learn(&h, h.guest);
	learn(&h, h.nic);
	assert_true(take(&h));
	assert_true(h.next_ns <= h.now_ns + NEIGHBOURS_AGAIN_NS);
	h.now_ns = h.next_ns;
	assert_true(take(&h));
	assert_int_equal(h.last.port, h.nic);
	assert_int_equal(h.next_ns, UINT64_MAX);
	learn(&h, h.guest); /* and is told of at once when it leaves */
	assert_true(take(&h));
	assert_int_equal(h.n_of_it, 1);
	assert_int_equal(h.last.port, h.guest);
	end(&h);
}

/* A guest's own address, at a port that is none of a NIC's. */
static void an_address_asked_for(void **state)
{
	struct host h;

	(void)state;
	if (!start(&h))
		skip();
	assert_false(neighbours_knows(&h.n, h.bridge, h.guest, mac)); /* nobody listens yet */
	assert_true(take(&h));
	assert_false(neighbours_knows(&h.n, h.bridge, h.guest, mac));
	learn(&h, h.guest);
	assert_true(neighbours_knows(&h.n, h.bridge, h.guest, mac));
	assert_false(neighbours_knows(&h.n, h.bridge, h.other, mac));
	learn(&h, h.other);
	assert_true(take(&h));
	assert_int_equal(h.n_of_it, 1);
	assert_int_equal(h.last.port, h.other);
	end(&h);
}

/* More stations behind a NIC than there is room for: who is not told of is not told to leave, and
 * who is does not lose anything by it. */
static void too_many_stations(void **state)
{
	struct host h;

	(void)state;
	if (!start(&h))
		skip();
	learn(&h, h.nic);
	assert_true(take(&h));
	for (uint8_t i = 0; i < 10; i++) {
		learn_others(&h, h.nic, 1000, i);
		assert_true(take(&h));
	}
	assert_in_range(h.n_heard, 0, 192);
	learn_others(&h, h.guest, 1000, 9);
	assert_true(take(&h));
	assert_in_range(h.n_heard, 0, 192);
	learn(&h, h.guest);
	assert_true(take(&h));
	assert_int_equal(h.n_of_it, 1);
	run("ip link set p0 type bridge_slave fdb_flush");
	h.now_ns += NS_PER_S;
	if (!take(&h)) /* more than the socket has room for: all is told anew */
		h.now_ns = h.next_ns;
	assert_true(take(&h));
	learn_others(&h, h.nic, 100, 10); /* there is room again */
	assert_true(take(&h));
	assert_int_equal(h.n_heard, 100);
	end(&h);
}

/* Too many for a second: what was told is void, and all of it comes again after a pause. */
static void too_many_at_once(void **state)
{
	struct host h;

	(void)state;
	if (!start(&h))
		skip();
	learn(&h, h.nic);
	assert_true(take(&h));
	h.now_ns = 5 * NS_PER_S;
	assert_true(take(&h));
	h.n.n_changes = NEIGHBOURS_CHANGES_MAX;
	learn_others(&h, h.nic, 1, 1);
	assert_false(take(&h));
	assert_int_equal(h.next_ns, h.now_ns + NS_PER_S);
	assert_int_equal(neighbours_fd(&h.n), -1);
	h.now_ns += NS_PER_MS;
	assert_true(take(&h));
	assert_int_equal(neighbours_fd(&h.n), -1); /* the pause is not over */
	h.now_ns = h.next_ns;
	assert_true(take(&h));
	assert_int_equal(h.n_heard, 2);
	assert_int_equal(h.last.port, h.nic);
	end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learned_and_forgotten),
		cmocka_unit_test(local_is_behind_none),
		cmocka_unit_test(not_of_a_bridge),
		cmocka_unit_test(of_the_kernel),
		cmocka_unit_test(ports_come_and_go),
		cmocka_unit_test(a_guests_flood),
		cmocka_unit_test(to_and_fro),
		cmocka_unit_test(an_address_asked_for),
		cmocka_unit_test(too_many_stations),
		cmocka_unit_test(too_many_at_once),
	};

	return cmocka_run_group_tests_name("neighbours", tests, NULL, NULL);
}
