/* SPDX-License-Identifier: MIT */
/* See transmit_rig.h. */
#include "tests/nic/transmit_rig.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/netif.h>

#include "tests/sim/sim_nic.h"
#include "tests/sim/sim_transmit.h"

const uint8_t station[6] = { 2, 0, 0, 0, 0, 7 };
const uint8_t own[6] = { 0x00, 0x16, 0x3e, 0x77, 0, EVIL_DOMID };
const uint8_t other[6] = { 0x00, 0x16, 0x3e, 0x77, 0, GOOD_DOMID };

struct wire wire;
struct tags tags;
uint32_t payload;
uint64_t bridge_delay_ns;
struct frame built;

/* The bridge's queue: frames the guest sent that way and when they leave the host. */
static struct {
	uint32_t number;
	uint64_t leaves_ns;
} bridge[4096];
static uint32_t bridge_head, bridge_tail;

#define NUMBER_AT 40u /* without tags: TCP's sequence number and what follows is rubbish */
#define TAG	  PACKET_TAG_SIZE

static void reaches_wire(uint32_t number)
{
	wire.n_late += number < wire.last;
	wire.last = number;
}

static uint32_t number_of(const uint8_t *frame, size_t size)
{
	uint32_t number, at = NUMBER_AT;

	while (frame_is_tagged(frame + at - NUMBER_AT, (uint32_t)size - (at - NUMBER_AT)))
		at += TAG;
	assert_true(size > at + sizeof(number));
	memcpy(&number, frame + at, sizeof(number));
	return number;
}

static void by_nic(void *arg, const uint8_t *frame, size_t size)
{
	(void)arg;
	wire.n_by_nic++;
	wire.n_foreign_by_nic += memcmp(frame + 6, own, 6) != 0;
	memcpy(wire.frame, frame, size);
	wire.size = size;
	if (wire.each)
		wire.each(frame, size);
	reaches_wire(number_of(frame, size));
}

static void by_bridge(struct rig *r, const uint8_t *frame, size_t size)
{
	wire.n_by_bridge++;
	bridge[bridge_head % ARRAY_SIZE(bridge)].number = number_of(frame, size);
	bridge[bridge_head++ % ARRAY_SIZE(bridge)].leaves_ns =
	    r->now_ns + (bridge_delay_ns ? (uint64_t)random() % bridge_delay_ns : 0);
	assert_true(bridge_head - bridge_tail < ARRAY_SIZE(bridge));
}

/* A queue: none passes another. */
void bridge_runs(struct rig *r)
{
	while (bridge_tail != bridge_head &&
	       bridge[bridge_tail % ARRAY_SIZE(bridge)].leaves_ns <= r->now_ns)
		reaches_wire(bridge[bridge_tail++ % ARRAY_SIZE(bridge)].number);
}

void turn(struct rig *r)
{
	rig_turn(r);
	bridge_runs(r);
}

struct placement *placed(struct rig *r)
{
	return &rig_evil_vif(r)->placement;
}

int transmit_start(void **state)
{
	struct rig *r = rig_start_nic();

	wire = (struct wire){ .last = 0 };
	tags = (struct tags){ .n = 0 };
	payload = 100;
	bridge_head = bridge_tail = 0;
	bridge_delay_ns = 0;
	r->evil_sent = by_bridge;
	sim_transmit_to(by_nic, NULL);
	sim_bridge_knows(station, SIM_NIC_IFINDEX);
	rig_turns_until(r, 100, placed(r)->state == PLACED_NIC);
	rig_turns(r, 3); /* the queue rests first */
	*state = r;
	return 0;
}

int transmit_end(void **state)
{
	sim_transmit_to(NULL, NULL);
	return rig_teardown(state);
}

/* ---- frames ---- */

uint8_t *place_of(const struct evil *e, uint32_t number)
{
	return e->tx_memory + (size_t)(number % EVIL_PAGES) * XEN_PAGE +
	       number / EVIL_PAGES % 2 * 1024;
}

/* Behind the addresses of 'built'. */
static void put_tags(void)
{
	const uint32_t size = tags.n * TAG;

	memmove(built.bytes + 12 + size, built.bytes + 12, built.size - 12);
	for (uint32_t i = 0; i < tags.n; i++) {
		put_be16(built.bytes + 12 + i * TAG, tags.tag[i] >> 16);
		put_be16(built.bytes + 14 + i * TAG, tags.tag[i] & 0xffff);
	}
	built.size += size;
	built.csum_at += size;
	built.network_offset += size;
	built.transport_offset += size;
}

void put(struct rig *r, enum kind kind, const uint8_t *to, const uint8_t *from, uint32_t number)
{
	struct evil *e = &r->evil;
	uint8_t *at = place_of(e, number);

	frame_build(&built, &(struct frame_spec){ .ip_version = 4, .protocol = IPPROTO_TCP,
						  .payload = kind == GSO ? 3000 : payload });
	put_be16(built.bytes + built.csum_at, frame_checksum(&built));
	memcpy(built.bytes, to, 6);
	memcpy(built.bytes + 6, from, 6);
	memcpy(built.bytes + NUMBER_AT, &number, sizeof(number));
	put_tags();
	memcpy(at, built.bytes, built.size);
	evil_tx(e, number % EVIL_PAGES, (uint16_t)((at - e->tx_memory) % XEN_PAGE),
		(uint16_t)built.size,
		kind == GSO   ? NETTXF_extra_info | NETTXF_csum_blank | NETTXF_data_validated :
		kind == BLANK ? NETTXF_csum_blank | NETTXF_data_validated :
				0);
	if (kind == GSO)
		evil_tx_gso(e, XEN_NETIF_GSO_TYPE_TCPV4, 1000, 0);
}

void show(struct rig *r)
{
	evil_publish(&r->evil);
	evil_notify(&r->evil);
}

void send_one(struct rig *r, enum kind kind, const uint8_t *to, const uint8_t *from,
	      uint32_t number)
{
	put(r, kind, to, from, number);
	show(r);
	turn(r);
	turn(r);
}
