/* SPDX-License-Identifier: MIT */
/*
 * The model NIC in the datapath: frames of ours, to a place or to the wire.
 */
#include "backend/nic/model_port.h"

/* Those the device is done with are ours again. */
static void reclaim(struct nic_port *port)
{
	struct model_chunks *s = &port->hw.spent;

	for (uint32_t n = model_ring_ready(&s->ring); n; n--) {
		struct packet *p = s->chunk[s->ring.tail % s->size];

		p->next = port->free;
		port->free = p;
		port->n_free++;
		port->n_out--;
		model_ring_pop(&s->ring, 1);
	}
}

/* A copy for the device, with a tag of this VLAN (0: none), or NULL: no room now. */
static struct packet *copy(struct nic_port *port, const struct packet *frame, uint16_t vlan)
{
	struct packet *p;

	if (!port->free)
		reclaim(port);
	p = port->free;
	if (!p)
		return NULL;
	port->free = p->next;
	port->n_free--;
	port->n_out++;
	p->size = packet_copy_tagged(p->frame, frame, vlan);
	return p;
}

int model_inject(struct nic_place *place, const struct packet *frame)
{
	struct model_queue *q = &place->queue;
	struct packet *p;

	if (frame->size > MODEL_FRAME_MAX)
		return -EMSGSIZE;
	if (!model_is_posting(place) || !model_ring_room(&q->injected, MODEL_INJECTED))
		return -EAGAIN;
	p = copy(place->port, frame, 0);
	if (!p)
		return -EAGAIN;
	q->injected_frame[q->injected.head % MODEL_INJECTED] = p;
	model_ring_push(&q->injected, 1);
	model_hw_ring(&place->port->hw);
	return 0;
}

uint32_t model_transmit(struct nic_port *port, struct packet *const p[], uint32_t n, uint16_t vlan)
{
	struct model_hw *hw = &port->hw;
	uint32_t taken = 0;

	static_assert(NIC_TRANSMIT_MAX + PACKET_TAG_SIZE <= MODEL_FRAME_MAX, "it fits a chunk");
	n = MIN(n, model_ring_room(&hw->outgoing, MODEL_OUTGOING));
	for (; taken < n; taken++) {
		struct packet *own = copy(port, p[taken], vlan);

		if (!own)
			break;
		hw->outgoing_frame[(hw->outgoing.head + taken) % MODEL_OUTGOING] = own;
	}
	model_ring_push(&hw->outgoing, taken);
	port->n_taken += taken;
	return taken;
}

bool model_kick(struct nic_port *port)
{
	model_hw_ring(&port->hw);
	return false;
}

void model_sent(struct nic_port *port, struct nic_sent *out)
{
	out->taken = port->n_taken;
	out->done = port->n_taken - model_ring_used(&port->hw.outgoing);
}
