/* SPDX-License-Identifier: MIT */
/*
 * What is said of a bridge's ports against what the kernel's bridge does: whenever it would not
 * pass a frame on between the NIC's port and the vif's, there is a reason against a place. The
 * ports are the ends of two cables, in a network namespace. Root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/control/bridge.h"

/* A frame that passes is there when send() returns, but for a soft interrupt. */
#define PASSES_MS 20

/* br0: nic (its cable's end: wire), vif (guest). */
static const uint8_t guest_mac[6] = { 2, 0, 0, 0, 0, 1 }, wire_mac[6] = { 2, 0, 0, 0, 0, 2 };

static struct links links;
static int wire, guest;

static void __attribute__((format(printf, 1, 2))) run(const char *fmt, ...)
{
	char command[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command))
		fail_msg("%s", command);
}

static int packet_socket(const char *name)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int start(void **state)
{
	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	run("ip link add br0 type bridge && ip link set br0 up && "
	    "ip link add nic type veth peer name wire && ip link add vif type veth peer name guest");
	run("for l in nic wire vif guest; do "
	    "sysctl -qw net.ipv6.conf.$l.disable_ipv6=1; ip link set $l up; done; "
	    "ip link set nic master br0 && ip link set vif master br0");
	wire = packet_socket("wire");
	guest = packet_socket("guest");
	assert_int_equal(links_open(&links), 0);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	links_close(&links);
	close(wire);
	close(guest);
	return 0;
}

/* The kernel's news are in its socket before what was set returns, but for the first reading. */
static void hear(void)
{
	bool more;

	for (unsigned i = 0; i < 1000 && (links.under_way || links.reading_due || !i); i++) {
		struct pollfd fd = { .fd = links_fd(&links), .events = POLLIN };

		(void)poll(&fd, 1, links.under_way ? 100 : 0);
		do
			(void)links_news(&links, &more);
		while (more);
	}
	assert_int_equal(links.under_way, LINKS_AT_REST);
}

/* Whether a frame gets there. */
static bool passes(int from, int to, const uint8_t source[6], const uint8_t destination[6])
{
	static uint8_t number;
	uint8_t frame[60] = { 0 };
	struct pollfd fd = { .fd = to, .events = POLLIN };

	frame[12] = 0x88;
	frame[13] = 0xb5;
	frame[14] = ++number;
	memcpy(frame, destination, 6);
	memcpy(frame + 6, source, 6);
	assert_int_equal(send(from, frame, sizeof(frame), 0), sizeof(frame));
	while (poll(&fd, 1, PASSES_MS) > 0) {
		uint8_t got[256];
		ssize_t n = recv(to, got, sizeof(got), MSG_DONTWAIT);

		if (n >= 15 && got[12] == 0x88 && got[13] == 0xb5 && got[14] == number)
			return true;
	}
	return false;
}

/* What control makes of it (placement_policy.c, placement.c). */
struct verdict {
	bool place, transmit;
	const char *why_not;
};

static struct verdict ask(bool known)
{
	struct verdict v = { .place = false };
	struct netdev_link link;
	struct vlan_form form;

	hear();
	assert_true(bridge_link(&links, (int)if_nametoindex("vif"), &link));
	v.why_not = bridge_wire_form(&links, (int)if_nametoindex("vif"),
				     (int)if_nametoindex("nic"), &form);
	if (!v.why_not && link.known_only && !known)
		v.why_not = "not known";
	v.place = !v.why_not;
	v.transmit = v.place && !link.locked;
	return v;
}

static void known_at(const char *port, const uint8_t mac[6], bool known)
{
	char text[32];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	run("bridge fdb del %s dev %s master 2>/dev/null; %s%s%s%s%s", text, port,
	    known ? "bridge fdb add " : "true ", known ? text : "", known ? " dev " : "",
	    known ? port : "", known ? " master static" : "");
}

/* Both ways, for a guest that the bridge knows and for one it does not. */
static void compare(const char *what, bool wanted)
{
	for (unsigned known = 0; known < 2; known++) {
		struct verdict v;
		bool in, out;

		known_at("vif", guest_mac, known);
		v = ask(known);
		in = passes(wire, guest, wire_mac, guest_mac);
		known_at("vif", guest_mac, known); /* as it was: it may have been learned */
		out = passes(guest, wire, guest_mac, wire_mac);
		if ((v.place && !in) || (v.transmit && !out))
			fail_msg("%s (known: %u): a place, but the bridge passes %s", what, known,
				 in ? "nothing out" : "nothing in");
		if (wanted != v.place)
			fail_msg("%s (known: %u): %s", what, known, v.place ? "a place" : v.why_not);
	}
}

static void set(const char *port, const char *option)
{
	run("bridge link set dev %s %s", port, option);
}

static void nothing_special(void **state)
{
	(void)state;
	compare("nothing", true);
}

/* disabled, listening, learning, forwarding, and blocking, which a bridge without a spanning tree
 * makes forwarding at once (Linux net/bridge/br_stp.c br_port_state_selection()) */
static void states(void **state)
{
	(void)state;
	for (unsigned e = 0; e < 5; e++) {
		for (unsigned u = 0; u < 5; u++) {
			char what[64];

			snprintf(what, sizeof(what), "states %u and %u", e, u);
			run("bridge link set dev vif state %u; bridge link set dev nic state %u", e, u);
			compare(what, e >= 3 && u >= 3);
		}
	}
	run("bridge link set dev vif state 3; bridge link set dev nic state 3");
}

static void isolation(void **state)
{
	(void)state;
	set("vif", "isolated on");
	compare("the vif is isolated", true);
	set("nic", "isolated on");
	compare("both are isolated", false);
	set("vif", "isolated off");
	compare("the NIC is isolated", true);
	set("nic", "isolated off");
	compare("none is isolated any more", true);
}

static void locked(void **state)
{
	(void)state;
	set("vif", "locked on");
	compare("the vif is locked", true);
	assert_false(ask(true).transmit);
	set("vif", "locked off");
	assert_true(ask(true).transmit);
	set("nic", "locked on");
	compare("the NIC is locked", false);
	set("nic", "locked off");
	compare("none is locked any more", true);
}

/* What decides nothing about frames to a guest, or what it may send. */
static void no_matter(void **state)
{
	static const char *const options[] = { "learning", "hairpin", "mcast_flood", "bcast_flood",
					       "guard", "root_block", "neigh_suppress" };

	(void)state;
	known_at("nic", wire_mac, true);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		bool was_off = i == 1 || i > 3;
		char on[64], off[64];

		snprintf(on, sizeof(on), "%s %s", options[i], was_off ? "on" : "off");
		snprintf(off, sizeof(off), "%s %s", options[i], was_off ? "off" : "on");
		set("vif", on);
		compare(on, true);
		set("nic", on);
		compare(on, true);
		set("vif", off);
		set("nic", off);
	}
	set("nic", "flood off"); /* what a guest sends by the NIC is for somebody known there */
	compare("nothing unknown leaves by the NIC", true);
	set("nic", "flood on");
	known_at("nic", wire_mac, false);
}

static void flooding(void **state)
{
	(void)state;
	set("vif", "flood off");
	known_at("vif", guest_mac, true);
	assert_true(ask(true).place);
	assert_true(passes(wire, guest, wire_mac, guest_mac));
	known_at("vif", guest_mac, false);
	assert_false(ask(false).place);
	assert_false(passes(wire, guest, wire_mac, guest_mac));
	set("vif", "flood on");
	compare("flooding", true);
}

static void bridge_down(void **state)
{
	(void)state;
	run("ip link set br0 down");
	compare("the bridge is down", false);
	run("ip link set br0 up");
	compare("the bridge is up", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_special), cmocka_unit_test(states),
		cmocka_unit_test(isolation),	   cmocka_unit_test(locked),
		cmocka_unit_test(no_matter),	   cmocka_unit_test(flooding),
		cmocka_unit_test(bridge_down),
	};

	if (geteuid()) {
		printf("skip - needs root\n");
		return 77;
	}
	return cmocka_run_group_tests_name("ports", tests, start, stop);
}
