/* SPDX-License-Identifier: MIT */
/*
 * The table of the host's links, fed with the kernel's messages as they were seen to come, and by the kernel itself.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/control/links.h"

#define LOWER_UP 0x10000u
#define OPER_UP	 6
#define BRIDGE	 2
#define VIF	 7
#define UPLINK	 5
#define UPLINK2	 6

struct device {
	uint16_t type; /* 0: RTM_NEWLINK */
	int family, ifindex, master;
	unsigned flags;
	const char *kind;
	int port_state; /* -1: none is told */
	int learning;	/* 0: not told; 1: on; 2: off */
	const char *name;
	uint32_t xdp;
	bool moves; /* of RTM_DELLINK: to another namespace */
};

static bool tell(struct links *l, struct device d)
{
	char buf[1024];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;
	struct nlattr *nest, *inner;

	nlh->nlmsg_type = d.type ? d.type : RTM_NEWLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = (uint8_t)d.family;
	ifi->ifi_index = d.ifindex;
	ifi->ifi_flags = d.flags;
	mnl_attr_put_u32(nlh, IFLA_MTU, 1500);
	mnl_attr_put_u8(nlh, IFLA_OPERSTATE, d.flags & LOWER_UP ? OPER_UP : 2);
	if (d.master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, (uint32_t)d.master);
	if (d.name)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, d.name);
	if (d.xdp) {
		nest = mnl_attr_nest_start(nlh, IFLA_XDP);
		mnl_attr_put_u8(nlh, IFLA_XDP_ATTACHED, XDP_ATTACHED_DRV);
		mnl_attr_put_u32(nlh, IFLA_XDP_PROG_ID, d.xdp);
		mnl_attr_nest_end(nlh, nest);
	}
	if (d.moves)
		mnl_attr_put_u32(nlh, IFLA_NEW_NETNSID, 0);
	if (d.family == AF_BRIDGE) {
		nest = mnl_attr_nest_start(nlh, IFLA_PROTINFO);
		mnl_attr_put_u8(nlh, IFLA_BRPORT_STATE, (uint8_t)d.port_state);
		if (d.learning)
			mnl_attr_put_u8(nlh, IFLA_BRPORT_LEARNING, d.learning == 1);
		mnl_attr_nest_end(nlh, nest);
		return links_take(l, nlh);
	}
	nest = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	if (d.kind)
		mnl_attr_put_strz(nlh, IFLA_INFO_KIND, d.kind);
	if (d.kind && !strcmp(d.kind, "bridge")) {
		inner = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
		mnl_attr_put_u32(nlh, IFLA_BR_AGEING_TIME, 30000);
		mnl_attr_nest_end(nlh, inner);
	}
	if (d.master && d.port_state >= 0) {
		mnl_attr_put_strz(nlh, IFLA_INFO_SLAVE_KIND, "bridge");
		inner = mnl_attr_nest_start(nlh, IFLA_INFO_SLAVE_DATA);
		mnl_attr_put_u8(nlh, IFLA_BRPORT_STATE, (uint8_t)d.port_state);
		mnl_attr_nest_end(nlh, inner);
	}
	mnl_attr_nest_end(nlh, nest);
	return links_take(l, nlh);
}

static void host(struct links *l)
{
	static const struct device all[] = {
		{ .ifindex = VIF, .master = BRIDGE, .flags = IFF_UP | LOWER_UP, .kind = "tun",
		  .port_state = BR_STATE_FORWARDING },
		{ .ifindex = BRIDGE, .flags = IFF_UP | LOWER_UP, .kind = "bridge", .port_state = -1 },
		{ .ifindex = UPLINK, .master = BRIDGE, .flags = IFF_UP | LOWER_UP,
		  .port_state = BR_STATE_FORWARDING },
	};

	*l = (struct links){ .reading = 1 };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_true(tell(l, all[i]));
	links_count(l);
}

static void a_bridge_and_its_members(void **state)
{
	const struct link_entry *e;
	struct links l;

	(void)state;
	host(&l);
	assert_int_equal(l.n_entries, 3);
	e = links_find(&l, VIF);
	assert_true(e && e->up && e->carrier && e->settled && e->is_tap && !e->is_bridge);
	assert_int_equal(e->master, BRIDGE);
	assert_int_equal(e->mtu, 1500);
	assert_int_equal(e->port_state, BR_STATE_FORWARDING);
	e = links_find(&l, BRIDGE);
	assert_true(e && e->is_bridge);
	assert_int_equal(e->n_uplinks, 1); /* the TAP is none */
	assert_int_equal(e->n_uplinks_alive, 1);
	assert_null(links_find(&l, 99));
	free(l.entry);
}

static void a_port_tells_of_its_state_alone(void **state)
{
	struct links l;

	(void)state;
	host(&l);
	l.changed = false;
	assert_true(tell(&l, (struct device){ .family = AF_BRIDGE, .ifindex = VIF, .master = BRIDGE,
					      .port_state = BR_STATE_DISABLED }));
	assert_true(l.changed);
	assert_int_equal(links_find(&l, VIF)->port_state, BR_STATE_DISABLED);
	assert_true(links_find(&l, VIF)->up && links_find(&l, VIF)->is_tap); /* it said nothing of that */

	l.changed = false; /* the same again is no news */
	assert_true(tell(&l, (struct device){ .family = AF_BRIDGE, .ifindex = VIF, .master = BRIDGE,
					      .port_state = BR_STATE_DISABLED }));
	assert_false(l.changed);
	assert_true(tell(&l, (struct device){ .family = AF_BRIDGE, .ifindex = 50,
					      .port_state = BR_STATE_DISABLED }));
	assert_null(links_find(&l, 50)); /* not of a device never heard of */
	free(l.entry);
}

static void what_a_bridge_learns(void **state)
{
	struct links l;

	(void)state;
	host(&l);
	assert_int_equal(links_find(&l, BRIDGE)->ageing_ns, 300 * NS_PER_S);
	assert_true(links_find(&l, UPLINK)->learns);
	assert_true(tell(&l, (struct device){ .family = AF_BRIDGE, .ifindex = UPLINK, .master = BRIDGE,
					      .port_state = BR_STATE_FORWARDING, .learning = 2 }));
	assert_false(links_find(&l, UPLINK)->learns);
	free(l.entry);
}

/* The kernel says RTM_DELLINK of the port, and the device lives. */
static void out_of_the_bridge(void **state)
{
	struct links l;

	(void)state;
	host(&l);
	assert_true(tell(&l, (struct device){ .type = RTM_DELLINK, .family = AF_BRIDGE,
					      .ifindex = VIF, .master = BRIDGE, .port_state = 0 }));
	assert_non_null(links_find(&l, VIF));
	assert_true(tell(&l, (struct device){ .ifindex = VIF, .flags = IFF_UP | LOWER_UP,
					      .kind = "tun", .port_state = -1 }));
	assert_int_equal(links_find(&l, VIF)->master, 0);
	assert_true(tell(&l, (struct device){ .type = RTM_DELLINK, .ifindex = VIF, .port_state = -1 }));
	assert_null(links_find(&l, VIF));
	assert_true(tell(&l, (struct device){ .type = RTM_DELLINK, .ifindex = VIF, .port_state = -1 }));
	assert_int_equal(l.n_entries, 2);
	free(l.entry);
}

static void uplinks_are_counted(void **state)
{
	struct links l;

	(void)state;
	host(&l);
	assert_true(tell(&l, (struct device){ .ifindex = UPLINK, .master = BRIDGE, .flags = IFF_UP,
					      .port_state = BR_STATE_DISABLED }));
	assert_true(tell(&l, (struct device){ .ifindex = UPLINK2, .master = BRIDGE,
					      .flags = IFF_UP | LOWER_UP,
					      .port_state = BR_STATE_FORWARDING }));
	links_count(&l);
	assert_int_equal(links_find(&l, BRIDGE)->n_uplinks, 2);
	assert_int_equal(links_find(&l, BRIDGE)->n_uplinks_alive, 1);
	/* A master that was never heard of, or is gone, is nobody's. */
	assert_true(tell(&l, (struct device){ .type = RTM_DELLINK, .ifindex = BRIDGE, .port_state = -1 }));
	links_count(&l);
	free(l.entry);
}

static void thousands_in_any_order(void **state)
{
	struct links l = { .reading = 1 };
	uint32_t n = 5000;

	(void)state;
	for (uint32_t i = 0; i < n; i++)
		assert_true(tell(&l, (struct device){ .ifindex = 1 + (int)(i * 2003 % n),
						      .port_state = -1 }));
	assert_int_equal(l.n_entries, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(l.entry[i].ifindex, i + 1);
		assert_ptr_equal(links_find(&l, (int)i + 1), &l.entry[i]);
	}
	for (uint32_t i = 0; i < n; i += 2)
		assert_true(tell(&l, (struct device){ .type = RTM_DELLINK, .ifindex = 1 + (int)i,
						      .port_state = -1 }));
	assert_int_equal(l.n_entries, n / 2);
	free(l.entry);
}

static void names_and_namespaces(void **state)
{
	struct device d = { .ifindex = UPLINK, .name = "a-longer-name-0", .xdp = 77 };
	uint32_t born;
	struct links l;

	(void)state;
	host(&l);
	assert_true(tell(&l, d));
	assert_string_equal(links_find(&l, UPLINK)->name, "a-longer-name-0");
	assert_int_equal(links_with_program(&l, 77)->ifindex, UPLINK);
	d.name = "eth0";
	l.changed = false;
	assert_true(tell(&l, d));
	assert_true(l.changed);
	assert_string_equal(links_find(&l, UPLINK)->name, "eth0");
	d.xdp = 0;
	assert_true(tell(&l, d));
	assert_null(links_with_program(&l, 77));
	/* It goes to another namespace, and comes back; then it is deleted. */
	for (unsigned i = 0; i < 2; i++) {
		born = links_find(&l, UPLINK)->born;
		d.type = RTM_DELLINK;
		d.moves = i == 0;
		assert_true(tell(&l, d));
		assert_int_equal(links_moved(&l, born), i == 0);
		d.type = 0;
		d.moves = false;
		assert_true(tell(&l, d));
		assert_false(links_moved(&l, links_find(&l, UPLINK)->born));
	}
	free(l.entry);
}

static void set_loopback_mtu(int sock, int mtu)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_mtu = mtu };

	assert_return_code(ioctl(sock, SIOCSIFMTU, &ifr), errno);
}

/* Until there is nothing more to hear; the kernel answers while it is asked. */
static void hear_all(struct links *l)
{
	bool more = true;

	for (int i = 0; i < 1000 && (more || l->under_way); i++)
		links_news(l, &more);
	assert_false(more || l->under_way);
}

/* More news than the socket holds, and the last of it while what it held is still being read:
 * of what is lost then the kernel says nothing. */
static void news_lost_unsaid(void **state)
{
	struct links l;
	bool more;
	int sock;

	(void)state;
	if (unshare(CLONE_NEWNET))
		skip();
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_return_code(sock, errno);
	assert_int_equal(links_open(&l), 0);
	hear_all(&l);
	for (int i = 0; i < 5000; i++)
		set_loopback_mtu(sock, 2000 + i % 2);
	links_news(&l, &more);
	assert_true(more);
	set_loopback_mtu(sock, 9000);
	hear_all(&l);
	assert_int_equal(links_find(&l, 1)->mtu, 9000);
	links_close(&l);
	close(sock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bridge_and_its_members),
		cmocka_unit_test(a_port_tells_of_its_state_alone),
		cmocka_unit_test(what_a_bridge_learns),
		cmocka_unit_test(out_of_the_bridge),
		cmocka_unit_test(uplinks_are_counted),
		cmocka_unit_test(names_and_namespaces),
		cmocka_unit_test(thousands_in_any_order),
		cmocka_unit_test(news_lost_unsaid),
	};

	return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
