/* SPDX-License-Identifier: MIT */
/*
 * Rank 64: what the parts of the model NIC's driver in the datapath share.
 *
 * A chunk of the device's memory is a packet: the frame begins 256 bytes into its page, with
 * room for the virtio_net_hdr before it. Each is at any time in exactly one of: the device's
 * free list, a queue's FIFO, a user's hands, the port's free list (for frames of ours), a ring
 * of those, or on its way back by one of the two rings of chunks.
 */
#ifndef VIF_NIC_MODEL_PORT_H
#define VIF_NIC_MODEL_PORT_H

#include "backend/nic/model_hw.h"
#include "log.h"
#include "packet.h"

struct nic_port {
	struct model_hw hw;
	int fds[MODEL_FDS];
	uint8_t *memory;
	struct packet *all; /* [N_CHUNKS] */
	struct packet *free;
	uint32_t n_free;
	uint32_t n_out;	  /* of ours that the device has */
	uint64_t n_taken; /* to transmit */
};

struct nic_place {
	struct model_queue queue;
	struct nic_port *port;
	uint32_t number;	  /* control's; the queue has its own */
	struct packet_fifo older; /* of what receive() gives, before the FIFO's */
	uint32_t n_posted;	  /* and not reaped */
	struct log_limit log_limit;
};

static inline struct model_queue_regs *model_regs_of(const struct nic_place *place)
{
	return &place->port->hw.regs->queue[place->queue.number];
}

static inline bool model_is_posting(const struct nic_place *place)
{
	return place->queue.posting; /* ours to write */
}

/* The oldest of what the FIFO has, which must have some. */
struct packet *model_pop_fifo(struct model_queue *q);

/* After 'older' changed, and before so many more are put there: the device counts those as if they
 * waited there still, so that a queue that changes its way often has no more of its memory than
 * another. */
void model_count_older(struct nic_place *place, uint32_t n_more);

/* What was injected and is not delivered, now that the device does not look there, is the first
 * that receive() gives. */
void model_take_back_injected(struct nic_place *place);

/* The queue was found dry: asks to be told when it is not. False: it was asked already, and
 * what came since is about to be told. Else it is to be looked at again. */
bool model_ask_for_interrupt(struct model_queue *q);

/* As the device does, of what we did ourselves. */
void model_interrupt_ourselves(struct model_queue *q);

/* nic_port_ops of buffers posted (model_posting.c) and of what is sent (model_send.c). */
int model_authorise(struct nic_place *place, void *page, nic_page *out);
void model_revoke(struct nic_place *place, nic_page page);
void model_begin(struct nic_place *place);
uint32_t model_post(struct nic_place *place, const struct nic_buffer buffers[], uint32_t n);
uint32_t model_reap(struct nic_place *place, struct nic_completion out[], uint32_t n);
void model_recall(struct nic_place *place);
int model_inject(struct nic_place *place, const struct packet *frame);
uint32_t model_transmit(struct nic_port *port, struct packet *const p[], uint32_t n,
			uint16_t vlan);
bool model_kick(struct nic_port *port);
void model_sent(struct nic_port *port, struct nic_sent *out);

#endif
