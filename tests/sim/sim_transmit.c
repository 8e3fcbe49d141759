/* SPDX-License-Identifier: MIT */
/* See sim_transmit.h. */
#include "tests/sim/sim_transmit.h"

#include <string.h>

static struct {
	uint32_t size;
	uint8_t bytes[NIC_TRANSMIT_MAX + PACKET_TAG_SIZE];
} frames[SIM_TRANSMIT_SIZE];
static struct nic_sent counts;
static bool is_busy;
static void (*tell)(void *arg, const uint8_t *frame, size_t size);
static void *tell_arg;

uint32_t sim_transmit_waiting(void)
{
	return (uint32_t)(counts.taken - counts.done);
}

uint32_t sim_transmit(struct nic_port *port, struct packet *const p[], uint32_t n, uint16_t vlan)
{
	uint32_t i;

	(void)port;
	for (i = 0; i < n && sim_transmit_waiting() < SIM_TRANSMIT_SIZE; i++) {
		uint32_t at = counts.taken++ % SIM_TRANSMIT_SIZE;

		assert(p[i]->size <= NIC_TRANSMIT_MAX);
		assert(!(packet_vnet(p[i])->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM));
		assert(!packet_vnet(p[i])->gso_type);
		frames[at].size = packet_copy_tagged(frames[at].bytes, p[i], vlan);
	}
	return i;
}

void sim_transmit_run(uint32_t n)
{
	for (; n && sim_transmit_waiting(); n--) {
		uint32_t at = counts.done++ % SIM_TRANSMIT_SIZE;

		if (tell)
			tell(tell_arg, frames[at].bytes, frames[at].size);
	}
}

bool sim_transmit_kick(struct nic_port *port)
{
	(void)port;
	if (!is_busy)
		sim_transmit_run(UINT32_MAX);
	return sim_transmit_waiting() > 0;
}

void sim_transmit_sent(struct nic_port *port, struct nic_sent *out)
{
	(void)port;
	*out = counts;
}

void sim_transmit_open(void)
{
	counts = (struct nic_sent){ .taken = 0 };
	is_busy = false;
}

void sim_transmit_to(void (*leaves)(void *arg, const uint8_t *frame, size_t size), void *arg)
{
	tell = leaves;
	tell_arg = arg;
}

void sim_transmit_be_busy(bool busy)
{
	is_busy = busy;
}
