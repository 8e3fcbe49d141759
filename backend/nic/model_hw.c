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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "packet.h"

#define BATCH	       MODEL_WIRE_BATCH
#define HOST_FRAME_MAX 16384u /* read from the TAP: the wire says what is too long for it */
#define BUSY_PASSES    4u     /* without a look at who else has something */

/* Interrupts are moderated: while so many frames come in a window, the device lets them gather
 * for a moment before it looks again, instead of being woken for every few. */
#define WINDOW_NS   (1 * NS_PER_MS)
#define WINDOW_BUSY 40u
#define GATHER_NS   (50 * 1000)

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- for the driver ---- */

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

/* ---- wire and host ---- */

static void take_tag_off(struct model_frame *f)
{
	memmove(f->data + PACKET_TAG_SIZE, f->data, 2 * ETH_ALEN);
	f->data += PACKET_TAG_SIZE;
	f->size -= PACKET_TAG_SIZE;
}

/* The queue whose filter the frame matches, or NULL. A priority without a VLAN is the host's. */
static struct model_queue *sort(const struct model_hw *hw, struct model_frame *f)
{
	uint16_t vlan = 0;
	uint64_t match;

	if (f->data[12] == ETH_P_8021Q >> 8 && f->data[13] == (ETH_P_8021Q & 0xff)) {
		if (f->size < ETH_HLEN + PACKET_TAG_SIZE)
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
			model_queue_deliver(hw, q, &f);
		else
			to_host(hw, &f);
		model_wire_take(&hw->wire);
		n++;
	}
	model_count(&hw->regs->from_wire, n);
	return n;
}

static void to_wire(struct model_hw *hw, struct iovec frames[], uint32_t n)
{
	uint32_t n_sent = hw->regs->link ? model_wire_send(&hw->wire, frames, n) : 0;

	model_count(&hw->regs->to_wire, n_sent);
	model_count(&hw->regs->to_wire_lost, n - n_sent);
}

static uint32_t from_host(struct model_hw *hw)
{
	struct iovec frames[BATCH];
	uint32_t n = 0;

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
	to_wire(hw, frames, n);
	return n;
}

/* All that can wait in the TAP: who writes faster than we read does not hold us up. */
static uint32_t all_from_host(struct model_hw *hw)
{
	uint32_t n = 0;

	for (hw->tap_readable = true; hw->tap_readable && n < MODEL_HOST_QUEUE;)
		n += from_host(hw);
	return n;
}

/* What the driver sends: by the wire, but for what is for a place (transmit switching). What
 * the host sent before is sent before: the driver's next frame may be of the same flow. */
static uint32_t from_driver(struct model_hw *hw)
{
	uint32_t n = MIN(model_ring_ready(&hw->outgoing), BATCH), n_out = 0;
	struct iovec frames[BATCH];

	if (n)
		all_from_host(hw);

	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = hw->outgoing_frame[(hw->outgoing.tail + i) % MODEL_OUTGOING];
		struct model_frame f = { p->frame, p->size };
		struct model_queue *q = sort(hw, &f);

		if (q)
			model_queue_deliver(hw, q, &f);
		else
			frames[n_out++] = (struct iovec){ f.data, f.size };
	}
	if (!n)
		return 0;
	to_wire(hw, frames, n_out);
	for (uint32_t i = 0; i < n; i++)
		model_spend(hw, hw->outgoing_frame[(hw->outgoing.tail + i) % MODEL_OUTGOING]);
	model_ring_pop(&hw->outgoing, n);
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

		while (q && n < BATCH && model_queue_waits(q) && model_queue_fill(hw, q))
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

/* Queues are there for as long as it is in a batch, filters are as they are when it begins. */
static void begin_batch(struct model_hw *hw)
{
	__atomic_store_n(&hw->regs->batch, hw->regs->batch + 1, __ATOMIC_SEQ_CST);
}

static void end_batch(struct model_hw *hw)
{
	__atomic_store_n(&hw->regs->batch, hw->regs->batch + 1, __ATOMIC_RELEASE);
}

static uint32_t pass(struct model_hw *hw)
{
	uint32_t n;

	begin_batch(hw);
	model_take_returned(hw);
	n = serve_queues(hw);
	n += from_wire(hw);
	n += from_driver(hw);
	n += from_host(hw);
	interrupt(hw);
	end_batch(hw);
	return n;
}

static bool is_stopped(const struct model_hw *hw)
{
	return __atomic_load_n(&hw->stop, __ATOMIC_SEQ_CST);
}

/* Whether the driver has said anything since the last pass. Asked once more after 'asleep' is
 * set: what is said from then on comes with the doorbell. */
static bool is_called(struct model_hw *hw)
{
	bool called =
	    model_ring_ready(&hw->outgoing) || is_stopped(hw) || is_pulled(hw) != hw->was_pulled;

	begin_batch(hw);
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++) {
		struct model_queue *q = queue_at(hw, i);

		called |= q && model_queue_waits(q) && model_queue_may_fill(hw, q);
	}
	end_batch(hw);
	return called;
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

/* Whether to let frames gather now: they come fast, and some did since it last was done. */
static bool may_gather(struct model_hw *hw)
{
	uint64_t now = now_ns();

	if (now - hw->window_ns >= WINDOW_NS) {
		hw->busy = hw->n_frames * WINDOW_NS >= WINDOW_BUSY * (now - hw->window_ns);
		hw->window_ns = now;
		hw->n_frames = 0;
	}
	return hw->busy && hw->worked;
}

/* Looks who has something; if nobody is known to, sleeps until somebody has. */
static void look(struct model_hw *hw, struct pollfd fds[], bool sleep)
{
	eventfd_t rung;
	int n;

	if (sleep && may_gather(hw)) {
		nanosleep(&(struct timespec){ .tv_nsec = GATHER_NS }, NULL);
		hw->worked = sleep = false;
	}
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
	prctl(PR_SET_TIMERSLACK, 1000); /* ns, for GATHER_NS */
	look_at_link(hw);
	while (!is_stopped(hw)) {
		uint32_t n = pass(hw);

		hw->n_frames += n;
		hw->worked |= n > 0;
		n_busy = n ? n_busy + 1 : 0;
		if (!n || n_busy % BUSY_PASSES == 0)
			look(hw, fds, !n);
	}
	return NULL;
}

void model_hw_ring(struct model_hw *hw)
{
	/* Not a fence and a load: the thread sanitizer knows no fences. */
	if (__atomic_fetch_or(&hw->asleep, 0, __ATOMIC_SEQ_CST))
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
