/* SPDX-License-Identifier: MIT */
/*
 * Rank 63: the model NIC's hardware: a thread, and what it shares with its driver, the port.
 *
 * Each queue is in one of two ways. Ordinary: what comes goes into the device's memory, and the
 * driver takes it from there. Posting: what comes goes into the buffers posted, and waits in
 * the device's memory only while there is none. The driver says which; it may change at any
 * moment.
 *
 * Who writes what: every ring has one producer and one consumer. Where the consumer changes,
 * of the FIFO and of the descriptors, the driver changes the way first and then waits until the
 * device is out of the *section* in which it might still go by the old one
 * (model_hw_quiesce()). The same wait makes a revoked page safe to unmap. A section is one
 * frame long.
 *
 * The device sleeps in poll(2) until the wire, the host or a doorbell wakes it. It rings an
 * interrupt (an eventfd) once for all that it did in a batch, and only if the driver asked for
 * it since the last one.
 */
#ifndef VIF_NIC_MODEL_HW_H
#define VIF_NIC_MODEL_HW_H

#include <pthread.h>

#include "backend/nic/model_iommu.h"
#include "backend/nic/model_ring.h"
#include "backend/nic/model_wire.h"

#define MODEL_DESCRIPTORS 1024u /* of a queue */
#define MODEL_FIFO_FRAMES 4096u /* of a queue, that wait on the device */
#define MODEL_FIFO_BYTES  (2u << 20)
#define MODEL_INJECTED	  128u /* frames of ours to a queue that are under way */
#define MODEL_OUTGOING	  512u /* and to the wire */
static_assert(MODEL_FIFO_FRAMES <= NIC_PLACE_FRAMES, "no more than the contract has");
static_assert(MODEL_PAGES >= NIC_PAGES, "room for what a queue may authorise");

struct model_queue {
	uint32_t number;
	int irq;

	uint32_t section __attribute__((aligned(64))); /* device: odd while it is in one */
	uint32_t posting __attribute__((aligned(64))); /* driver: the way it is in */
	uint32_t irq_wanted;			       /* driver sets, device clears */

	struct model_ring fifo; /* device -> driver, or itself while posting */
	struct packet *fifo_frame[MODEL_FIFO_FRAMES];
	uint32_t n_older;  /* driver: frames of the FIFO's that it has set aside, and not taken */
	uint64_t fifo_in;  /* bytes: device */
	uint64_t fifo_out; /* bytes: who consumes */

	struct model_ring posted; /* driver -> device */
	struct nic_buffer buffer[MODEL_DESCRIPTORS];
	struct model_ring done; /* device -> driver */
	struct nic_completion completion[MODEL_DESCRIPTORS];
	struct model_ring injected; /* driver -> device; the driver itself while ordinary */
	struct packet *injected_frame[MODEL_INJECTED];

	struct model_iommu iommu;
};

/* Frames of the device's memory on their way between device and driver. As many as there are,
 * so a ring is never full; a power of two. */
struct model_chunks {
	struct model_ring ring;
	struct packet **chunk;
	uint32_t size;
};

struct model_hw {
	struct model_regs *regs;
	struct model_wire wire;
	int tap, doorbell;
	pthread_t thread;
	bool stop;

	struct model_queue *queue[NIC_PLACES_MAX]; /* driver; NULL: none */
	struct model_chunks returned;		   /* driver -> device: to fill again */
	struct model_chunks spent;		   /* device -> driver: frames of ours, delivered */
	struct model_ring outgoing;		   /* driver -> device */
	struct packet *outgoing_frame[MODEL_OUTGOING];
	uint32_t asleep __attribute__((aligned(64))); /* device: needs the doorbell */

	/* the device's alone */
	struct packet *free;
	uint32_t touched;	      /* queues with something new, by number */
	uint64_t window_ns, n_frames; /* since when, so many */
	bool busy, worked;
	uint32_t n_strayed;
	bool was_pulled;
	bool tap_readable;
	uint8_t *host_frames; /* a batch of what the TAP has */
};

/* Starts the device. Its fds stay the caller's; 'free' is a list of chunks, the device's now.
 * 0 or -errno. */
int model_hw_start(struct model_hw *hw, struct packet *free, uint32_t n_chunks) must_check;

/* Waits for it to end. */
void model_hw_stop(struct model_hw *hw);

/* ---- for the driver ---- */

/* Wakes the device if it sleeps. After what it is to see was written. */
void model_hw_ring(struct model_hw *hw);

/* Waits until the device goes by what was written to the queue before. */
void model_hw_quiesce(const struct model_queue *q);

/* Waits until the device knows nothing of queues taken from hw->queue before. */
void model_hw_settle(const struct model_regs *regs);

/* ---- within the device ---- */

/* The driver's chunks that are free again. */
void model_take_returned(struct model_hw *hw);

/* A frame for the queue: it fills a buffer, waits, or is lost. */
void model_queue_deliver(struct model_hw *hw, struct model_queue *q, const struct model_frame *f);

/* Fills one buffer with what waits on the device, from the wire and injected in turn. Returns
 * whether it did. */
bool model_queue_fill(struct model_hw *hw, struct model_queue *q);

/* A frame of the driver's is delivered: its memory goes back. */
void model_spend(struct model_hw *hw, struct packet *p);

/* Whether it may fill one. Holds in a section; outside, it says where to look. */
bool model_queue_may_fill(const struct model_hw *hw, const struct model_queue *q);

/* ---- for either ---- */

/* Whether anything of the queue's waits on the device. */
static inline bool model_queue_waits(const struct model_queue *q)
{
	return model_ring_used(&q->fifo) || model_ring_used(&q->injected);
}

#endif
