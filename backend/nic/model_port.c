/* SPDX-License-Identifier: MIT */
/*
 * The model NIC in the datapath: the driver's side of its queues, and the ordinary way frames
 * come. Buffers of guests: model_posting.c; what is sent: model_send.c.
 */
#include "backend/nic/model_port.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK	 4096u
#define HEADROOM 256u
#define N_CHUNKS 65536u
/* Of them: for frames of ours. */
#define N_OURS (NIC_PLACES_MAX * MODEL_INJECTED + MODEL_OUTGOING)
static_assert((N_CHUNKS & (N_CHUNKS - 1)) == 0, "the size of a ring");
static_assert(HEADROOM + MODEL_FRAME_MAX <= CHUNK, "a frame fits its chunk");

/* ---- chunks ---- */

static bool is_of(const struct nic_port *port, const struct packet *p)
{
	return p >= port->all && p < port->all + N_CHUNKS;
}

static uint8_t *frame_of(const struct nic_port *port, const struct packet *p)
{
	return port->memory + (size_t)(p - port->all) * CHUNK + HEADROOM;
}

/* Keeps what was taken from our own share; the rest is the device's. */
static void give_back(struct nic_port *port, struct packet *p)
{
	struct model_chunks *r = &port->hw.returned;

	p->frame = frame_of(port, p); /* a tag may have been taken off */
	if (port->n_free + port->n_out < N_OURS) {
		p->next = port->free;
		port->free = p;
		port->n_free++;
		return;
	}
	r->chunk[r->ring.head % r->size] = p;
	model_ring_push(&r->ring, 1);
}

static int make_chunks(struct nic_port *port)
{
	size_t size = (size_t)N_CHUNKS * CHUNK;

	port->all = calloc(N_CHUNKS, sizeof(*port->all));
	port->memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (port->memory == MAP_FAILED)
		port->memory = NULL;
	if (!port->all || !port->memory)
		return -ENOMEM;
	for (uint32_t i = 0; i < N_CHUNKS; i++) {
		port->all[i].frame = frame_of(port, &port->all[i]);
		port->all[i].next = i + 1 < N_CHUNKS && i + 1 != N_OURS ? &port->all[i + 1] : NULL;
	}
	port->free = port->all;
	port->n_free = N_OURS;
	return 0;
}

/* ---- the port ---- */

static void free_port(struct nic_port *port)
{
	model_wire_close(&port->hw.wire);
	if (port->hw.regs)
		munmap(port->hw.regs, sizeof(*port->hw.regs));
	if (port->memory)
		munmap(port->memory, (size_t)N_CHUNKS * CHUNK);
	free(port->all);
	free(port);
}

static void port_close(struct nic_port *port)
{
	if (!port)
		return;
	model_hw_stop(&port->hw);
	for (size_t i = 0; i < ARRAY_SIZE(port->fds); i++)
		close(port->fds[i]);
	free_port(port);
}

static int map_regs(struct model_hw *hw, int fd)
{
	void *regs = mmap(NULL, sizeof(*hw->regs), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (regs == MAP_FAILED)
		return -errno;
	hw->regs = regs;
	return 0;
}

static int start(struct nic_port *port, const char **step)
{
	int err;

	*step = "mapping its registers";
	err = map_regs(&port->hw, port->fds[MODEL_FD_REGS]);
	if (err)
		return err;
	*step = "mapping the wire's ring";
	err = model_wire_open(&port->hw.wire, port->hw.regs->wire, port->fds[MODEL_FD_WIRE],
			      port->fds[MODEL_FD_LINKS], &port->hw.regs->wire_next);
	if (err)
		return err;
	port->hw.tap = port->fds[MODEL_FD_TAP];
	port->hw.doorbell = port->fds[MODEL_FD_DOORBELL];
	*step = "making its memory";
	err = make_chunks(port);
	if (err)
		return err;
	*step = "starting its thread";
	return model_hw_start(&port->hw, &port->all[N_OURS], N_CHUNKS);
}

static int port_open(int ifindex, const int fds[], int n_fds, struct nic_port **out, char *why,
		     size_t why_size)
{
	struct nic_port *port = aligned_alloc(64, sizeof(*port));
	const char *step = "";
	int err;

	(void)ifindex;
	if (!port)
		return -ENOMEM;
	memset(port, 0, sizeof(*port));
	if (n_fds != (int)ARRAY_SIZE(port->fds)) {
		free(port);
		return -EPROTO;
	}
	memcpy(port->fds, fds, sizeof(port->fds));
	err = start(port, &step);
	if (err) {
		snprintf(why, why_size, "the model NIC: %s: %s", step, strerror(-err));
		free_port(port); /* the fds stay the caller's */
		return err;
	}
	*out = port;
	return 0;
}

/* ---- interrupts ---- */

bool model_ask_for_interrupt(struct model_queue *q)
{
	eventfd_t told;

	if (__atomic_load_n(&q->irq_wanted, __ATOMIC_ACQUIRE))
		return false;
	eventfd_read(q->irq, &told);
	__atomic_store_n(&q->irq_wanted, 1, __ATOMIC_SEQ_CST);
	return true;
}

void model_interrupt_ourselves(struct model_queue *q)
{
	if (__atomic_exchange_n(&q->irq_wanted, 0, __ATOMIC_SEQ_CST))
		eventfd_write(q->irq, 1);
}

static int poll_fd(const struct nic_place *place)
{
	return place->queue.irq;
}

/* ---- ordinary ---- */

struct packet *model_pop_fifo(struct model_queue *q)
{
	struct packet *p = q->fifo_frame[q->fifo.tail % MODEL_FIFO_FRAMES];

	__atomic_store_n(&q->fifo_out, q->fifo_out + p->size, __ATOMIC_RELEASE);
	model_ring_pop(&q->fifo, 1);
	p->next = NULL;
	memset(packet_vnet(p), 0, PACKET_VNET_SIZE);
	return p;
}

void model_count_older(struct nic_place *place, uint32_t n_more)
{
	__atomic_store_n(&place->queue.n_older, place->older.n_packets + n_more, __ATOMIC_RELEASE);
}

static uint32_t take(struct nic_place *place, struct packet *out[], uint32_t n)
{
	struct model_queue *q = &place->queue;
	uint32_t got = 0, n_ready;

	while (got < n && place->older.head)
		out[got++] = packet_fifo_pop(&place->older);
	if (got)
		model_count_older(place, 0);
	n_ready = model_is_posting(place) ? 0 : model_ring_ready(&q->fifo);
	while (got < n && n_ready--)
		out[got++] = model_pop_fifo(q);
	return got;
}

static uint32_t receive(struct nic_place *place, struct packet *out[], uint32_t n)
{
	uint32_t got = take(place, out, n);

	if (got < n && !model_is_posting(place) && model_ask_for_interrupt(&place->queue))
		got += take(place, out + got, n - got);
	return got;
}

static void not_read(struct nic_place *place)
{
	(void)place; /* the device limits what waits for each */
}

/* The device has room for more of a place's frames than is for one to keep. */
static bool may_keep(const struct nic_place *place)
{
	(void)place;
	return false;
}

static void stats(const struct nic_place *place, struct nic_place_stats *out)
{
	const struct model_queue_regs *r = model_regs_of(place);

	out->lost = __atomic_load_n(&r->lost, __ATOMIC_RELAXED);
	out->faults = __atomic_load_n(&r->faults, __ATOMIC_RELAXED);
	out->waiting =
	    model_ring_used(&place->queue.fifo) + model_ring_used(&place->queue.injected);
}

/* ---- places ---- */

static int find_number(const struct nic_port *port, uint32_t *out)
{
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++) {
		if (port->hw.queue[i])
			continue;
		*out = i;
		return 0;
	}
	return -ENOSPC;
}

/* A queue is free once its place was left, which may be after control has given the place's
 * number to another. */
static int init_place(struct nic_place *place, struct nic_port *port)
{
	struct model_queue *q = &place->queue;

	place->port = port;
	q->irq_wanted = 1;
	model_iommu_init(&q->iommu);
	if (find_number(port, &q->number))
		return -ENOSPC;
	q->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return q->irq < 0 ? -errno : 0;
}

static int join(struct nic_port *port, uint32_t number, const int fds[], int n_fds,
		const struct nic_memory *lent, struct nic_place **out, char *why, size_t why_size)
{
	struct nic_place *place = aligned_alloc(64, sizeof(*place));
	struct model_regs *regs = port->hw.regs;
	int err;

	(void)fds;
	assert(!lent);
	if (!place)
		return -ENOMEM;
	memset(place, 0, sizeof(*place));
	err = n_fds == 0 && number < NIC_PLACES_MAX ? init_place(place, port) : -EPROTO;
	if (err) {
		snprintf(why, why_size, "a queue of the model NIC: %s", strerror(-err));
		free(place);
		return err;
	}
	place->number = number;
	memset(model_regs_of(place), 0, sizeof(*model_regs_of(place)));
	__atomic_store_n(&port->hw.queue[place->queue.number], &place->queue, __ATOMIC_SEQ_CST);
	__atomic_store_n(&regs->queue_of[number], place->queue.number + 1, __ATOMIC_RELEASE);
	*out = place;
	return 0;
}

void model_take_back_injected(struct nic_place *place)
{
	struct model_queue *q = &place->queue;

	for (uint32_t n = model_ring_ready(&q->injected); n; n--) {
		packet_fifo_push(&place->older,
				 q->injected_frame[q->injected.tail % MODEL_INJECTED]);
		model_ring_pop(&q->injected, 1);
		place->port->n_out--;
	}
	model_count_older(place, 0);
}

static int joined(struct nic_place *place, char *why, size_t why_size)
{
	(void)place; /* by a word in its registers */
	(void)why;
	(void)why_size;
	return 0;
}

static void leave(struct nic_place *place)
{
	struct nic_port *port;
	struct packet *p;

	if (!place)
		return;
	port = place->port;
	if (port->hw.regs->queue_of[place->number] == place->queue.number + 1)
		__atomic_store_n(&port->hw.regs->queue_of[place->number], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&port->hw.queue[place->queue.number], NULL, __ATOMIC_SEQ_CST);
	model_hw_settle(port->hw.regs);
	place->queue.posting = 0;
	model_take_back_injected(place);
	while (take(place, &p, 1))
		give_back(port, p);
	close(place->queue.irq);
	free(place);
}

const struct nic_port_ops model_port_ops = {
	.open = port_open,
	.close = port_close,
	.join = join,
	.joined = joined,
	.leave = leave,
	.poll_fd = poll_fd,
	.receive = receive,
	.not_read = not_read,
	.may_keep = may_keep,
	.is_of = is_of,
	.give_back = give_back,
	.stats = stats,
	.authorise = model_authorise,
	.revoke = model_revoke,
	.begin = model_begin,
	.post = model_post,
	.reap = model_reap,
	.recall = model_recall,
	.inject = model_inject,
	.transmit = model_transmit,
	.kick = model_kick,
	.sent = model_sent,
};
