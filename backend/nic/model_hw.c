/* SPDX-License-Identifier: MIT */
/* See model_hw.h. */
#include "backend/nic/model_hw.h"

#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "packet.h"

#define BATCH	       MODEL_WIRE_BATCH
#define HOST_FRAME_MAX 16384u /* read from the TAP: the wire says what is too long for it */
#define BUSY_PASSES    4u     /* without a look at who else has something */

/* ---- sections ---- */

static void enter(struct model_queue *q)
{
	__atomic_store_n(&q->section, q->section + 1, __ATOMIC_SEQ_CST);
}

static void leave(struct model_queue *q)
{
	__atomic_store_n(&q->section, q->section + 1, __ATOMIC_RELEASE);
}

/* Waits until *at, if it is odd, is something else: at first as long as a frame takes, then
 * sleeping, as the thread that writes it may have no processor. */
static void await_change(const uint32_t *at)
{
	const struct timespec nap = { .tv_nsec = 20000 };
	uint32_t was = __atomic_load_n(at, __ATOMIC_SEQ_CST);

	for (uint32_t i = 0; was % 2 && __atomic_load_n(at, __ATOMIC_ACQUIRE) == was; i++) {
		if (i > 1000)
			nanosleep(&nap, NULL);
		else
			__builtin_ia32_pause();
	}
}

void model_hw_quiesce(const struct model_queue *q)
{
	await_change(&q->section);
}

void model_hw_settle(const struct model_regs *regs)
{
	await_change(&regs->batch);
}

/* ---- the device's memory ---- */

static void take_returned(struct model_hw *hw)
{
	struct model_chunks *r = &hw->returned;
	uint32_t n = model_ring_ready(&r->ring);

	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = r->chunk[(r->ring.tail + i) % r->size];

		p->next = hw->free;
		hw->free = p;
	}
	if (n)
		model_ring_pop(&r->ring, n);
}

static void put_chunk(struct model_hw *hw, struct packet *p)
{
	p->next = hw->free;
	hw->free = p;
}

/* Copies a frame to the queue's part. False: there is no room. */
static bool keep(struct model_hw *hw, struct model_queue *q, const struct model_frame *f)
{
	uint64_t waiting = q->fifo_in - __atomic_load_n(&q->fifo_out, __ATOMIC_ACQUIRE);
	struct packet *p = hw->free;

	if (!p || !model_ring_room(&q->fifo, MODEL_FIFO_FRAMES) ||
	    waiting + f->size > MODEL_FIFO_BYTES)
		return false;
	hw->free = p->next;
	memcpy(p->frame, f->data, f->size);
	p->size = f->size;
	q->fifo_in += f->size;
	q->fifo_frame[q->fifo.head % MODEL_FIFO_FRAMES] = p;
	model_ring_push(&q->fifo, 1);
	return true;
}

static void count_lost(struct model_hw *hw, const struct model_queue *q)
{
	model_count(&hw->regs->lost, 1);
	model_count(&hw->regs->queue[q->number].lost, 1);
}

static void count_fault(struct model_hw *hw, const struct model_queue *q)
{
	model_count(&hw->regs->faults, 1);
	model_count(&hw->regs->queue[q->number].faults, 1);
}

/* ---- into the buffers posted ---- */

static bool is_posting(const struct model_queue *q)
{
	return __atomic_load_n(&q->posting, __ATOMIC_SEQ_CST);
}

static bool is_stuck(const struct model_hw *hw, const struct model_queue *q)
{
	return __atomic_load_n(&hw->regs->stuck, __ATOMIC_RELAXED) & BIT(q->number);
}

/* Whether it may fill one. Holds in a section; outside, it says where to look. */
static bool may_fill(const struct model_hw *hw, const struct model_queue *q)
{
	return is_posting(q) && model_ring_ready(&q->posted) && !is_stuck(hw, q);
}

static void fill(struct model_hw *hw, struct model_queue *q, const struct model_frame *f,
		 const uint8_t source[ETH_ALEN])
{
	struct nic_buffer to = q->buffer[q->posted.tail % MODEL_DESCRIPTORS];
	/* There is room: no more are posted than there are completions for. */
	struct nic_completion *done = &q->completion[q->done.head % MODEL_DESCRIPTORS];
	int err;

	if (__atomic_load_n(&hw->regs->strays, __ATOMIC_RELAXED) != hw->n_strayed) {
		hw->n_strayed++;
		to.page ^= MODEL_PAGE_OTHER;
	}
	err = model_iommu_dma(&q->iommu, &to, f->data, f->size);
	*done = (struct nic_completion){ .status = err, .size = f->size };
	memcpy(done->source, source, ETH_ALEN);
	model_ring_pop(&q->posted, 1);
	model_ring_push(&q->done, 1);
	if (err == -EFAULT)
		count_fault(hw, q);
	else if (err)
		count_lost(hw, q);
	hw->touched |= BIT(q->number);
}

static void fill_from_fifo(struct model_hw *hw, struct model_queue *q)
{
	struct packet *p = q->fifo_frame[q->fifo.tail % MODEL_FIFO_FRAMES];

	fill(hw, q, &(struct model_frame){ p->frame, p->size }, p->frame + ETH_ALEN);
	__atomic_store_n(&q->fifo_out, q->fifo_out + p->size, __ATOMIC_RELEASE);
	model_ring_pop(&q->fifo, 1);
	put_chunk(hw, p);
}

static void fill_from_injected(struct model_hw *hw, struct model_queue *q)
{
	struct packet *p = q->injected_frame[q->injected.tail % MODEL_INJECTED];
	static const uint8_t nobody[ETH_ALEN];
	struct model_chunks *s = &hw->spent;

	fill(hw, q, &(struct model_frame){ p->frame, p->size }, nobody);
	model_ring_pop(&q->injected, 1);
	s->chunk[s->ring.head % s->size] = p;
	model_ring_push(&s->ring, 1);
}

/* One frame that waits on the device, of either kind in turn. */
static bool fill_one(struct model_hw *hw, struct model_queue *q)
{
	bool filled = false;

	enter(q);
	if (may_fill(hw, q)) {
		bool fifo = model_ring_ready(&q->fifo), injected = model_ring_ready(&q->injected);

		filled = fifo || injected;
		if (fifo && (!injected || q->posted.tail % 2))
			fill_from_fifo(hw, q);
		else if (injected)
			fill_from_injected(hw, q);
	}
	leave(q);
	return filled;
}

/* A frame for the queue. */
static void deliver(struct model_hw *hw, struct model_queue *q, const struct model_frame *f)
{
	bool taken = true;

	while (may_fill(hw, q) && model_queue_waits(q) && fill_one(hw, q))
		;
	enter(q);
	if (may_fill(hw, q) && !model_ring_ready(&q->fifo))
		fill(hw, q, f, f->data + ETH_ALEN);
	else
		taken = (is_posting(q) || !is_stuck(hw, q)) && keep(hw, q, f);
	leave(q);
	hw->touched |= BIT(q->number);
	model_count(&hw->regs->to_places, 1);
	if (!taken)
		count_lost(hw, q);
}

/* ---- wire and host ---- */

static void take_tag_off(struct model_frame *f)
{
	memmove(f->data + MODEL_TAG_SIZE, f->data, 2 * ETH_ALEN);
	f->data += MODEL_TAG_SIZE;
	f->size -= MODEL_TAG_SIZE;
}

/* The queue whose filter the frame matches, or NULL. A priority without a VLAN is the host's. */
static struct model_queue *sort(const struct model_hw *hw, struct model_frame *f)
{
	uint16_t vlan = 0;
	uint64_t match;

	if (f->data[12] == ETH_P_8021Q >> 8 && f->data[13] == (ETH_P_8021Q & 0xff)) {
		if (f->size < ETH_HLEN + MODEL_TAG_SIZE)
			return NULL;
		vlan = (uint16_t)((f->data[14] << 8 | f->data[15]) & 0xfff);
		if (!vlan)
			return NULL;
	}
	match = model_match(f->data, vlan);
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++) {
		uint64_t filter = __atomic_load_n(&hw->regs->filter[i], __ATOMIC_ACQUIRE);

		struct model_queue *q;

		if (!filter || (filter & MODEL_FILTER_MATCH) != match)
			continue;
		q = __atomic_load_n(&hw->queue[filter >> MODEL_FILTER_QUEUE_SHIFT],
				    __ATOMIC_SEQ_CST);
		if (q && __atomic_load_n(&hw->regs->tag_off[i], __ATOMIC_RELAXED))
			take_tag_off(f);
		return q;
	}
	return NULL;
}

/* The default queue. */
static void to_host(struct model_hw *hw, const struct model_frame *f)
{
	struct model_regs *regs = hw->regs;

	if (write(hw->tap, f->data, f->size) < 0)
		model_count(&regs->to_host_lost, 1);
	else
		model_count(&regs->to_host, 1);
}

static uint32_t from_wire(struct model_hw *hw)
{
	struct model_frame f;
	uint32_t n = 0;
	int rc;

	while (n < BATCH && (rc = model_wire_peek(&hw->wire, &f))) {
		struct model_queue *q = rc > 0 ? sort(hw, &f) : NULL;

		if (rc < 0)
			model_count(&hw->regs->unfit, 1);
		else if (!hw->regs->link)
			; /* it was under way when the cable was pulled */
		else if (q)
			deliver(hw, q, &f);
		else
			to_host(hw, &f);
		model_wire_take(&hw->wire);
		__atomic_store_n(&hw->regs->wire_next, hw->wire.next, __ATOMIC_RELAXED);
		n++;
	}
	model_count(&hw->regs->from_wire, n);
	return n;
}

static uint32_t from_host(struct model_hw *hw)
{
	struct iovec frames[BATCH];
	uint32_t n = 0, n_sent;

	while (hw->tap_readable && n < BATCH) {
		uint8_t *frame = hw->host_frames + (size_t)n * HOST_FRAME_MAX;
		ssize_t size = read(hw->tap, frame, HOST_FRAME_MAX);

		if (size < 0)
			hw->tap_readable = false;
		else
			frames[n++] = (struct iovec){ frame, (size_t)size };
	}
	if (!n)
		return 0;
	n_sent = model_wire_send(&hw->wire, frames, n);
	model_count(&hw->regs->to_wire, n_sent);
	model_count(&hw->regs->to_wire_lost, n - n_sent);
	return n;
}

/* ---- link ---- */

static bool is_pulled(const struct model_hw *hw)
{
	return __atomic_load_n(&hw->regs->pulled, __ATOMIC_RELAXED);
}

/* The host's side has a carrier when the wire has. */
static void look_at_link(struct model_hw *hw)
{
	bool up = model_wire_link(&hw->wire);
	unsigned int carrier;

	hw->was_pulled = is_pulled(hw);
	carrier = up && !hw->was_pulled;
	if (ioctl(hw->tap, TUNSETCARRIER, &carrier))
		log_warning(LOG_NOBODY, "NIC %s: setting its carrier: %s", hw->regs->name,
			    strerror(errno));
	__atomic_store_n(&hw->regs->link, carrier, __ATOMIC_RELAXED);
}

/* ---- the thread ---- */

static struct model_queue *queue_at(const struct model_hw *hw, uint32_t i)
{
	return __atomic_load_n(&hw->queue[i], __ATOMIC_SEQ_CST);
}

/* Buffers were posted for what waits, or frames injected. */
static uint32_t serve_queues(struct model_hw *hw)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++) {
		struct model_queue *q = queue_at(hw, i);

		while (q && n < BATCH && model_queue_waits(q) && fill_one(hw, q))
			n++;
	}
	return n;
}

static void interrupt(struct model_hw *hw)
{
	for (; hw->touched; hw->touched &= hw->touched - 1) {
		struct model_queue *q = queue_at(hw, (uint32_t)__builtin_ctz(hw->touched));

		if (q && __atomic_exchange_n(&q->irq_wanted, 0, __ATOMIC_SEQ_CST))
			eventfd_write(q->irq, 1);
	}
}

static bool pass(struct model_hw *hw)
{
	uint32_t n;

	__atomic_store_n(&hw->regs->batch, hw->regs->batch + 1, __ATOMIC_SEQ_CST);
	take_returned(hw);
	n = serve_queues(hw);
	n += from_wire(hw);
	n += from_host(hw);
	interrupt(hw);
	__atomic_store_n(&hw->regs->batch, hw->regs->batch + 1, __ATOMIC_RELEASE);
	return n > 0;
}

static bool is_stopped(const struct model_hw *hw)
{
	return __atomic_load_n(&hw->stop, __ATOMIC_SEQ_CST);
}

/* Whether the driver has said anything since the last pass. Asked once more after 'asleep' is
 * set: what is said from then on comes with the doorbell. */
static bool is_called(const struct model_hw *hw)
{
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++) {
		struct model_queue *q = queue_at(hw, i);

		if (q && model_queue_waits(q) && may_fill(hw, q))
			return true;
	}
	return is_stopped(hw) || is_pulled(hw) != hw->was_pulled;
}

enum { LOOK_WIRE, LOOK_TAP, LOOK_DOORBELL, LOOK_LINKS, LOOKS };

/* An error of the wire's (it went down) is told once. A TAP with one is gone for good. */
static void on_errors(struct model_hw *hw, struct pollfd fds[])
{
	int err;
	socklen_t size = sizeof(err);

	if (fds[LOOK_WIRE].revents & POLLERR)
		getsockopt(hw->wire.fd, SOL_SOCKET, SO_ERROR, &err, &size);
	if (fds[LOOK_TAP].revents & (POLLERR | POLLHUP | POLLNVAL))
		fds[LOOK_TAP].fd = -1;
}

/* Looks who has something; if nobody is known to, sleeps until somebody has. */
static void look(struct model_hw *hw, struct pollfd fds[], bool sleep)
{
	eventfd_t rung;
	int n;

	if (sleep)
		__atomic_store_n(&hw->asleep, 1, __ATOMIC_SEQ_CST);
	n = poll(fds, LOOKS, sleep && !is_called(hw) ? -1 : 0);
	if (sleep)
		__atomic_store_n(&hw->asleep, 0, __ATOMIC_RELAXED);
	if (n <= 0)
		return;
	on_errors(hw, fds);
	hw->tap_readable |= (fds[LOOK_TAP].revents & POLLIN) != 0;
	if (fds[LOOK_DOORBELL].revents & POLLIN)
		eventfd_read(hw->doorbell, &rung);
	if (fds[LOOK_LINKS].revents & POLLIN || is_pulled(hw) != hw->was_pulled)
		look_at_link(hw);
}

static void *run(void *arg)
{
	struct model_hw *hw = arg;
	struct pollfd fds[LOOKS] = { [LOOK_WIRE] = { hw->wire.fd, POLLIN, 0 },
				     [LOOK_TAP] = { hw->tap, POLLIN, 0 },
				     [LOOK_DOORBELL] = { hw->doorbell, POLLIN, 0 },
				     [LOOK_LINKS] = { hw->wire.links, POLLIN, 0 } };
	char name[16];
	uint32_t n_busy = 0;

	hw->regs->batch += hw->regs->batch % 2; /* the one before died in one */
	snprintf(name, sizeof(name), "nic-hw/%.8s", hw->regs->name);
	pthread_setname_np(pthread_self(), name);
	look_at_link(hw);
	while (!is_stopped(hw)) {
		bool worked = pass(hw);

		n_busy = worked ? n_busy + 1 : 0;
		if (!worked || n_busy % BUSY_PASSES == 0)
			look(hw, fds, !worked);
	}
	return NULL;
}

void model_hw_ring(struct model_hw *hw)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&hw->asleep, __ATOMIC_RELAXED))
		eventfd_write(hw->doorbell, 1);
}

/* ---- life ---- */

static void free_memory(struct model_hw *hw)
{
	free(hw->host_frames);
	free(hw->returned.chunk);
	free(hw->spent.chunk);
}

static int make_memory(struct model_hw *hw, uint32_t n_chunks)
{
	hw->host_frames = malloc(BATCH * HOST_FRAME_MAX);
	hw->returned.chunk = calloc(n_chunks, sizeof(struct packet *));
	hw->spent.chunk = calloc(n_chunks, sizeof(struct packet *));
	hw->returned.size = hw->spent.size = n_chunks;
	return hw->host_frames && hw->returned.chunk && hw->spent.chunk ? 0 : -ENOMEM;
}

int model_hw_start(struct model_hw *hw, struct packet *free, uint32_t n_chunks)
{
	sigset_t all, before;
	int err = make_memory(hw, n_chunks);

	hw->free = free;
	hw->n_strayed = hw->regs->strays; /* the one before has done those */
	if (!err) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		err = -pthread_create(&hw->thread, NULL, run, hw);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (err)
		free_memory(hw);
	return err;
}

void model_hw_stop(struct model_hw *hw)
{
	__atomic_store_n(&hw->stop, true, __ATOMIC_SEQ_CST);
	eventfd_write(hw->doorbell, 1);
	pthread_join(hw->thread, NULL);
	free_memory(hw);
}
