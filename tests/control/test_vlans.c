/* SPDX-License-Identifier: MIT */
/*
 * The VLANs of bridges' ports, from the kernel's messages, and what they mean for frames.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "backend/control/vlans.h"

#define VIF	 7
#define UPLINK	 5
#define PVID	 BRIDGE_VLAN_INFO_PVID
#define UNTAGGED BRIDGE_VLAN_INFO_UNTAGGED
#define ACCESS	 (PVID | UNTAGGED)

struct said {
	int ifindex;
	uint16_t vlan, last, flags;
	uint8_t state;
};

/* One message of one entry, as br_vlan_notify() makes them. */
static bool say(struct vlans *v, uint16_t type, struct said s, bool of_reading)
{
	struct bridge_vlan_info info = { .vid = s.vlan, .flags = s.flags };
	char buf[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct br_vlan_msg *msg = mnl_nlmsg_put_extra_header(nlh, sizeof(*msg));
	struct nlattr *nest;

	nlh->nlmsg_type = type;
	msg->family = AF_BRIDGE;
	msg->ifindex = (uint32_t)s.ifindex;
	nest = mnl_attr_nest_start(nlh, BRIDGE_VLANDB_ENTRY);
	mnl_attr_put(nlh, BRIDGE_VLANDB_ENTRY_INFO, sizeof(info), &info);
	if (s.last)
		mnl_attr_put_u16(nlh, BRIDGE_VLANDB_ENTRY_RANGE, s.last);
	if (type == RTM_NEWVLAN)
		mnl_attr_put_u8(nlh, BRIDGE_VLANDB_ENTRY_STATE,
				s.state ? s.state : BR_STATE_FORWARDING);
	mnl_attr_nest_end(nlh, nest);
	return vlans_take(v, nlh, of_reading);
}

#define SAID(port, first, ...)                                                                     \
	(struct said)                                                                              \
	{                                                                                          \
		.ifindex = (port), .vlan = (first), ##__VA_ARGS__                                  \
	}
#define ADD(...) assert_true(say(&v, RTM_NEWVLAN, SAID(__VA_ARGS__), false))
#define DEL(...) assert_true(say(&v, RTM_DELVLAN, SAID(__VA_ARGS__), false))

static void is(const struct vlans *v, uint16_t vlan, uint16_t on_wire, bool tag_off)
{
	struct vlan_form form;
	const char *why_not = vlans_form(v, VIF, UPLINK, &form);

	if (why_not)
		fail_msg("%s", why_not);
	assert_int_equal(form.vlan, vlan);
	assert_int_equal(form.on_wire, on_wire);
	assert_int_equal(form.tag_off, tag_off);
}

static void is_one_way(const struct vlans *v, bool expected)
{
	struct vlan_form form;

	assert_null(vlans_form(v, VIF, UPLINK, &form));
	assert_int_equal(form.one_way, expected);
}

static void is_not(const struct vlans *v, const char *reason)
{
	struct vlan_form form;
	const char *why_not = vlans_form(v, VIF, UPLINK, &form);

	if (!why_not || !strstr(why_not, reason))
		fail_msg("%s", why_not ? why_not : "there is a form");
}

static void an_access_port(void **state)
{
	struct vlans v = { .port = NULL };

	(void)state;
	is_not(&v, "its bridge port is in no VLAN");
	ADD(VIF, 10, .flags = ACCESS);
	is_not(&v, "the NIC's bridge port is not in its VLAN");
	ADD(UPLINK, 10);
	is(&v, 10, 10, true);
	ADD(UPLINK, 1, .flags = ACCESS); /* another one is native on the wire */
	is(&v, 10, 10, true);
	ADD(UPLINK, 10, .flags = ACCESS); /* now this one */
	is(&v, 10, 0, false);
	ADD(UPLINK, 1, .flags = ACCESS);
	is_not(&v, "tagged one way"); /* 10 leaves without its tag, and comes with it */
	ADD(UPLINK, 10);
	is(&v, 10, 10, true);
	DEL(UPLINK, 10);
	is_not(&v, "the NIC's bridge port is not in its VLAN");
	vlans_fini(&v);
}

/* Its guest's untagged VLAN counts, whatever else it is in: those take the bridge. */
static void a_hybrid_port(void **state)
{
	struct vlans v = { .port = NULL };

	(void)state;
	ADD(UPLINK, 2, .last = 4094);
	ADD(VIF, 30, .last = 40);
	ADD(VIF, 20, .flags = ACCESS);
	is(&v, 20, 20, true);
	ADD(VIF, 20, .flags = PVID);
	is_not(&v, "the PVID is tagged one way");
	ADD(VIF, 20, .flags = UNTAGGED);
	is_not(&v, "several VLANs");
	vlans_fini(&v);
}

static void a_trunk(void **state)
{
	struct vlans v = { .port = NULL };

	(void)state;
	ADD(UPLINK, 30, .last = 40);
	ADD(VIF, 30);
	is(&v, 30, 30, false);
	ADD(UPLINK, 30, .flags = ACCESS);
	is_not(&v, "tagged for the guest and untagged on the wire");
	ADD(UPLINK, 30);
	ADD(VIF, 31);
	is_not(&v, "several VLANs");
	DEL(VIF, 31, .last = 50);
	is(&v, 30, 30, false);
	vlans_fini(&v);
}

/* Without a PVID the bridge drops what has no tag, whatever it takes off on the other way. */
static void one_way(void **state)
{
	struct vlans v = { .port = NULL };

	(void)state;
	ADD(UPLINK, 30, .last = 40);
	ADD(VIF, 30, .flags = UNTAGGED);
	is_one_way(&v, true);
	is(&v, 30, 30, true);
	ADD(UPLINK, 30, .flags = ACCESS);
	is_one_way(&v, true);
	is(&v, 30, 0, false);
	ADD(VIF, 30, .flags = ACCESS);
	is_one_way(&v, false);
	ADD(UPLINK, 30);
	ADD(VIF, 30, .flags = 0); /* a trunk */
	is_one_way(&v, false);
	is(&v, 30, 30, false);
	vlans_fini(&v);
}

/* A VLAN's range may end the port's PVID, or take it along. */
static void ranges(void **state)
{
	struct vlans v = { .port = NULL };

	(void)state;
	ADD(UPLINK, 1, .last = 4094);
	ADD(VIF, 64, .flags = ACCESS);
	is(&v, 64, 64, true);
	ADD(VIF, 63, .last = 65);
	is_not(&v, "several VLANs");
	DEL(VIF, 1, .last = 4094);
	is_not(&v, "no VLAN");
	ADD(VIF, 4094, .flags = ACCESS);
	is(&v, 4094, 4094, true);
	DEL(UPLINK, 4000, .last = 4093);
	is(&v, 4094, 4094, true);
	/* What no kernel says: nothing comes of it. */
	ADD(VIF, 0, .last = 7, .flags = ACCESS);
	ADD(VIF, 4095, .last = 65535, .flags = ACCESS);
	ADD(VIF, 9, .last = 3, .flags = 0);
	DEL(VIF, 9);
	is(&v, 4094, 4094, true);
	vlans_fini(&v);
}

static void spanning_trees(void **state)
{
	struct vlans v = { .port = NULL };

	(void)state;
	ADD(VIF, 10, .flags = ACCESS);
	ADD(UPLINK, 10, .state = BR_STATE_BLOCKING);
	is_not(&v, "a spanning tree blocks");
	ADD(UPLINK, 10);
	is(&v, 10, 10, true);
	ADD(VIF, 10, .flags = ACCESS, .state = BR_STATE_LEARNING);
	is_not(&v, "a spanning tree blocks");
	vlans_fini(&v);
}

static void the_table_is_read_again(void **state)
{
	struct vlans v = { .port = NULL };

	(void)state;
	ADD(VIF, 10, .flags = ACCESS);
	ADD(UPLINK, 10);
	ADD(9, 10);
	/* Lost: the vif is in 20 now, the uplink in 20 and 4000, port 9 is gone. */
	vlans_reading_begins(&v);
	assert_true(say(&v, RTM_NEWVLAN, SAID(VIF, 20, .flags = ACCESS), true));
	assert_true(say(&v, RTM_NEWVLAN, SAID(UPLINK, 20), true));
	assert_true(say(&v, RTM_NEWVLAN, SAID(UPLINK, 4000), true)); /* its second */
	/* News that come in between: of a port that was read, of one that is new, and of one of
	 * which nobody knows whether the reading will, or already should, have had it. */
	assert_true(say(&v, RTM_NEWVLAN, SAID(UPLINK, 3999), false));
	assert_true(say(&v, RTM_NEWVLAN, SAID(11, 20), false));
	assert_false(say(&v, RTM_NEWVLAN, SAID(9, 20), false));
	vlans_reading_ends(&v);
	is(&v, 20, 20, true);
	assert_int_equal(v.n_ports, 3);
	ADD(VIF, 4000, .flags = ACCESS);
	DEL(VIF, 20);
	is(&v, 4000, 4000, true);
	ADD(VIF, 10, .flags = ACCESS);
	is_not(&v, "the NIC's bridge port is not in its VLAN"); /* that was before */

	vlans_reading_begins(&v);
	vlans_reading_ends(&v);
	assert_int_equal(v.n_ports, 0);
	vlans_fini(&v);
}

static void many_ports_in_any_order(void **state)
{
	struct vlans v = { .port = NULL };
	int n = 1000;

	(void)state;
	for (int i = 0; i < n; i++)
		ADD(1 + i * 307 % n, 10);
	assert_int_equal(v.n_ports, n);
	for (int i = 0; i < n; i++)
		assert_int_equal(v.port[i]->ifindex, i + 1);
	vlans_fini(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_access_port),
		cmocka_unit_test(a_hybrid_port),
		cmocka_unit_test(a_trunk),
		cmocka_unit_test(one_way),
		cmocka_unit_test(ranges),
		cmocka_unit_test(spanning_trees),
		cmocka_unit_test(the_table_is_read_again),
		cmocka_unit_test(many_ports_in_any_order),
	};

	return cmocka_run_group_tests_name("vlans", tests, NULL, NULL);
}
