/* SPDX-License-Identifier: MIT */
/*
 * The model NIC: filters, the ordinary way frames come, the link, and what its filters can be
 * refused for. Buffers of guests: test_model_posting.c.
 */
#include "tests/nic/model_rig.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/nic/model_hw.h"
#include "packet.h"

static void filters_sort(void **state)
{
	struct nic_place *a = rig_open_place(0), *b = rig_join_place(1);

	(void)state;
	assert_int_equal(rig_add_filter(1, 7), 0); /* what is tagged with VLAN 7 */
	rig_send_to(2, 1);
	rig_at_host(1);
	rig_send_to(0, 2);
	assert_int_equal(rig_receive_one(a), 2);
	rig_send_to(1, 3);
	rig_at_host(3);
	rig_send_tagged(0, 7, 4);
	rig_at_host(4);
	rig_send_tagged(1, 8, 5);
	rig_at_host(5);
	rig_send_tagged(1, 0, 6); /* a priority only */
	rig_at_host(6);
	rig_send_tagged(1, 7, 7);
	rig_await_place(b);
	assert_true(rig_is_dry(a));
	rig_del_filter(1, 7);
	rig_send_tagged(1, 7, 8);
	rig_at_host(8);
	ops->leave(b);
	rig_close_place(a, 0);
	assert_int_equal(rig_status().to_places, 2);
}

/* The tag, which the kernel takes off a frame on its way to us, is back in its place. */
static void tags_stay(void **state)
{
	struct nic_place *place = rig_join_place(0);
	struct frame f = rig_frame_to(0, 5);
	const uint8_t tag[4] = { 0x81, 0x00, 0x00, 7 };
	struct packet *p;

	(void)state;
	assert_int_equal(rig_add_filter(0, 7), 0);
	rig_send_tagged(0, 7, 5);
	rig_await_place(place);
	assert_int_equal(ops->receive(place, &p, 1), 1);
	assert_int_equal(p->size, RIG_SIZE + 4);
	assert_memory_equal(p->frame, &f, 12);
	assert_memory_equal(p->frame + 12, tag, 4);
	assert_memory_equal(p->frame + 16, (uint8_t *)&f + 12, RIG_SIZE - 12);
	ops->give_back(port, p);
	rig_del_filter(0, 7);
	ops->leave(place);
}

static void host_sends(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 200; i++)
		rig_send_sized(host, 2, i, RIG_SIZE);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(rig_next_number(far_end), i);
	AWAIT(rig_status().from_host >= 200);
}

/* While nobody runs the device. */
static void what_the_host_sends_waits(void **state)
{
	(void)state;
	ops->close(port);
	for (uint32_t i = 0; i < MODEL_HOST_QUEUE; i++)
		rig_send_sized(host, 2, i, RIG_SIZE);
	rig_open_port();
	AWAIT(rig_status().from_host >= MODEL_HOST_QUEUE);
}

static void in_order(void **state)
{
	struct nic_place *place = rig_open_place(0);

	(void)state;
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 400; i++)
			rig_send_to(0, i);
		for (uint32_t i = 0; i < 400; i++)
			assert_int_equal(rig_receive_one(place), i);
		AWAIT(rig_is_quiet(place));
	}
	assert_int_equal(rig_lost(place), 0);
	rig_close_place(place, 0);
}

/* A place nobody reads keeps so much, and nothing from another. */
static void bounded(void **state)
{
	struct nic_place *full = rig_open_place(0), *other = rig_open_place(1);

	(void)state;
	for (uint32_t i = 0; i < MODEL_FIFO_FRAMES + 1000; i++) {
		rig_send_to(0, i);
		if (i % 256 == 255) /* no more than the wire's ring holds */
			AWAIT(rig_status().to_places == i + 1);
	}
	AWAIT(rig_lost(full) == 1000);
	rig_send_to(1, 1);
	assert_int_equal(rig_receive_one(other), 1);
	assert_int_equal(rig_lost(other), 0);
	for (uint32_t i = 0; i < MODEL_FIFO_FRAMES; i++)
		assert_int_equal(rig_receive_one(full), i);
	assert_true(rig_is_dry(full));
	rig_close_place(full, 0);
	rig_close_place(other, 1);
}

static void too_long(void **state)
{
	struct nic_place *place = rig_open_place(0);

	(void)state;
	rig_run("ip link set far mtu 4000 && ip link set wire mtu 4000");
	rig_send_sized(far_end, 0, 1, MODEL_FRAME_MAX - 4);
	rig_send_sized(far_end, 0, 2, MODEL_FRAME_MAX - 3);
	rig_send_to(0, 3);
	assert_int_equal(rig_receive_one(place), 1);
	assert_int_equal(rig_receive_one(place), 3);
	rig_close_place(place, 0);
	rig_run("ip link set far mtu 1500 && ip link set wire mtu 1500");
}

/* ---- filters ---- */

static void filters_are_read_back(void **state)
{
	struct nic_place *a = rig_open_place(0), *b = rig_join_place(1);
	struct nic_filter none = { .vlan = 0 }, same = rig_filter_for(0, 0);
	struct nic_filter other = rig_filter_for(7, 0);

	(void)state;
	assert_int_equal(dev->caps(device).n_places, RIG_FILTERS);
	assert_int_equal(dev->filter_add(device, 1, NULL, 0, &none), -EINVAL);
	assert_int_equal(dev->filter_add(device, 1, NULL, 0, &same), -EEXIST);
	assert_int_equal(dev->filter_add(device, 0, NULL, 0, &other), -ENOSPC);
	assert_int_equal(dev->filter_add(device, 2, NULL, 0, &other), -EINVAL); /* nobody joined */
	assert_int_equal(dev->filter_del(device, &other), 0);
	rig_send_to(0, 1);
	assert_int_equal(rig_receive_one(a), 1);
	rig_close_place(a, 0);
	ops->leave(b);
}

static void filters_are_refused(void **state)
{
	struct nic_place *place = rig_join_place(1);

	(void)state;
	assert_int_equal(dev->fault(device, "filter-refused", 1), 0);
	assert_int_equal(dev->fault(device, "table-full", 1), 0);
	assert_int_equal(rig_add_filter(1, 0), -EIO);
	assert_int_equal(rig_add_filter(1, 0), -ENOSPC);
	rig_send_to(1, 1);
	rig_at_host(1);
	assert_int_equal(rig_add_filter(1, 0), 0);
	rig_send_to(1, 2);
	assert_int_equal(rig_receive_one(place), 2);
	rig_close_place(place, 1);
	assert_int_equal(dev->fault(device, "no-such", 1), -EINVAL);
	assert_int_equal(dev->fault(device, "pulled", 2), -EINVAL);
}

/* Control may give a place's number to another before the worker has left it. */
static void a_place_taken_early(void **state)
{
	struct nic_place *before = rig_open_place(0), *after;

	(void)state;
	rig_send_to(0, 1);
	rig_await_place(before);
	rig_del_filter(0, 0);
	after = rig_open_place(0);
	rig_send_to(0, 2);
	assert_int_equal(rig_receive_one(after), 2);
	assert_int_equal(rig_receive_one(before), 1);
	ops->leave(before);
	rig_send_to(0, 3);
	assert_int_equal(rig_receive_one(after), 3);
	rig_close_place(after, 0);
}

/* What settle() promises: all that the old filter sorted is there, the rest goes by the new. */
static void settled(void **state)
{
	struct nic_place *place = rig_join_place(0);

	(void)state;
	for (uint32_t round = 0; round < 200; round++) {
		uint32_t n = 0;

		assert_int_equal(rig_add_filter(0, 0), 0);
		for (uint32_t i = 0; i < 20; i++)
			rig_send_to(0, i);
		rig_del_filter(0, 0);
		for (; rig_took(place, n); n++)
			;
		for (; n < 20; n++)
			rig_at_host(n);
	}
	ops->leave(place);
}

/* ---- life ---- */

/* What the next device finds: the frames that came while there was none. */
static void the_next_device(void **state)
{
	struct nic_place *place;

	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		rig_send_to(2, i);
	for (uint32_t i = 0; i < 5; i++)
		rig_at_host(i);
	ops->close(port);
	for (uint32_t i = 0; i < 300; i++)
		rig_send_to(0, i);
	rig_open_port();
	for (uint32_t i = 0; i < 300; i++)
		rig_at_host(i);
	place = rig_open_place(0);
	rig_send_to(0, 7);
	assert_int_equal(rig_receive_one(place), 7);
	rig_close_place(place, 0);
}

static uint8_t *map_wire(int fd)
{
	void *ring = mmap(NULL, MODEL_WIRE_SLOTS * MODEL_WIRE_SLOT_SIZE, PROT_READ | PROT_WRITE,
			  MAP_SHARED, fd, 0);

	assert_true(ring != MAP_FAILED);
	return ring;
}

/* The one before died when it was done with a frame and had not given its slot back: nothing
 * is lost by that, however often the ring goes round. */
static void the_next_after_a_crash(void **state)
{
	const uint32_t n_slots = MODEL_WIRE_SLOTS, n = 2 * n_slots;
	int fds[NIC_FDS_MAX], n_fds = dev->port_fds(device, fds);
	uint8_t *ring = map_wire(fds[MODEL_FD_WIRE]);
	struct tpacket2_hdr *slot;

	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		rig_send_to(2, i);
	for (uint32_t i = 0; i < 5; i++)
		rig_at_host(i);
	ops->close(port);
	slot = (void *)(ring + 4 * MODEL_WIRE_SLOT_SIZE);
	__atomic_store_n(&slot->tp_status, TP_STATUS_USER, __ATOMIC_RELEASE);
	rig_open_port();
	for (uint32_t i = 0; i < n; i++) {
		rig_send_to(2, i);
		if (i % 256 == 255)
			for (uint32_t j = i - 255; j <= i; j++)
				rig_at_host(j);
	}
	munmap(ring, n_slots * MODEL_WIRE_SLOT_SIZE);
	while (n_fds > 0)
		close(fds[--n_fds]);
}

/* The one before died with a frame it had begun to put a tag into: that one is gone. */
static void the_next_after_a_half_tag(void **state)
{
	int fds[NIC_FDS_MAX], n_fds = dev->port_fds(device, fds);
	struct model_regs *regs =
	    mmap(NULL, sizeof(*regs), PROT_READ | PROT_WRITE, MAP_SHARED, fds[MODEL_FD_REGS], 0);

	(void)state;
	assert_true(regs != MAP_FAILED);
	ops->close(port);
	rig_send_tagged(2, 7, 1);
	rig_send_tagged(2, 7, 2);
	regs->wire_next |= MODEL_WIRE_CHANGED;
	rig_open_port();
	AWAIT(rig_status().to_host == 1);
	assert_int_equal(regs->wire_next, 2);
	munmap(regs, sizeof(*regs));
	while (n_fds > 0)
		close(fds[--n_fds]);
}

/* Who has them as well, the datapath's process, cannot take them away. */
static void registers_stay(void **state)
{
	int fds[NIC_FDS_MAX], n_fds = dev->port_fds(device, fds);

	(void)state;
	assert_int_equal(ftruncate(fds[MODEL_FD_REGS], 0), -1);
	assert_int_equal(errno, EPERM);
	while (n_fds > 0)
		close(fds[--n_fds]);
}

/* ---- link ---- */

static void pulled(void **state)
{
	struct nic_place *place = rig_open_place(0);

	(void)state;
	AWAIT(rig_status().link);
	assert_true(rig_has_link("mq0"));
	assert_int_equal(dev->fault(device, "pulled", 1), 0);
	AWAIT(!rig_has_link("mq0"));
	assert_false(rig_status().link);
	rig_send_to(0, 1);
	AWAIT(rig_status().from_wire == 1);
	assert_true(rig_is_dry(place));
	assert_int_equal(dev->fault(device, "pulled", 0), 0);
	AWAIT(rig_has_link("mq0"));
	rig_send_to(0, 2);
	assert_int_equal(rig_receive_one(place), 2);
	rig_close_place(place, 0);
}

static void the_wire_has_no_link(void **state)
{
	struct nic_place *place = rig_open_place(0);
	int err;
	socklen_t size = sizeof(err);

	(void)state;
	AWAIT(rig_has_link("mq0"));
	rig_run("ip link set far down");
	AWAIT(!rig_has_link("mq0"));
	rig_run("ip link set far up");
	AWAIT(rig_has_link("mq0"));
	getsockopt(far_end, SOL_SOCKET, SO_ERROR, &err, &size); /* "network is down" */
	rig_run("ip link set wire down");
	AWAIT(!rig_has_link("mq0"));
	rig_run("ip link set wire up");
	AWAIT(rig_has_link("mq0"));
	rig_send_to(0, 2);
	assert_int_equal(rig_receive_one(place), 2);
	rig_close_place(place, 0);
}

/* Another of its name is plugged in. */
static void the_wire_is_exchanged(void **state)
{
	struct nic_place *place = rig_open_place(0);

	(void)state;
	AWAIT(rig_has_link("mq0"));
	rig_exchange_wire();
	AWAIT(rig_has_link("mq0"));
	rig_send_to(0, 1);
	assert_int_equal(rig_receive_one(place), 1);
	rig_send_sized(host, 2, 2, RIG_SIZE);
	assert_int_equal(rig_next_number(far_end), 2);
	rig_close_place(place, 0);
}

/* It sleeps while there is nothing to do. */
static void idle(void **state)
{
	uint64_t before;

	(void)state;
	rig_send_to(2, 1);
	rig_at_host(1);
	AWAIT(rig_hw_state() == 'S');
	before = rig_hw_switches();
	for (int i = 0; i < 300; i++)
		rig_nap();
	assert_in_range(rig_hw_switches() - before, 0, 5); /* news of links */
}

static void cannot_open(void **state)
{
	struct nic_config cfg = { .name = "mq0", .wire = "wire" };
	struct nic_device *d;
	char why[128] = "";

	(void)state;
	assert_int_equal(dev->open(&cfg, &d, why, sizeof(why)), -EBUSY); /* 'device' has the TAP */
	strcpy(cfg.name, "mq1");
	assert_int_equal(dev->open(&cfg, &d, why, sizeof(why)), -ENODEV);
	assert_non_null(strstr(why, "ip tuntap add dev mq1"));
	rig_run("ip tuntap add dev mq1 mode tap");
	strcpy(cfg.wire, "nowhere");
	assert_int_equal(dev->open(&cfg, &d, why, sizeof(why)), -ENODEV);
	assert_non_null(strstr(why, "nowhere"));
	strcpy(cfg.wire, "wire");
	strcpy(cfg.name, "far");
	assert_int_equal(dev->open(&cfg, &d, why, sizeof(why)), -EINVAL);
	rig_run("ip link del mq1");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		CASE(filters_sort),
		CASE(tags_stay),
		CASE(host_sends), CASE(what_the_host_sends_waits),
		CASE(in_order),
		CASE(bounded),
		CASE(too_long),
		CASE(filters_are_read_back),
		CASE(filters_are_refused),
		CASE(a_place_taken_early),
		CASE(settled),
		CASE(the_next_device),
		CASE(the_next_after_a_crash),
		CASE(the_next_after_a_half_tag),
		CASE(registers_stay),
		CASE(pulled),
		CASE(the_wire_has_no_link),
		CASE(the_wire_is_exchanged),
		CASE(idle),
		CASE(cannot_open),
	};

	if (geteuid())
		return 77; /* skipped */
	return cmocka_run_group_tests(tests, rig_make_network, NULL);
}
