/* SPDX-License-Identifier: MIT */
/* See sim_datapath.h. */
#include "sim_datapath.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/datapath/worker.h"
#include "rss.h"
#include "sim_nic.h"

#define DOMAINS_MAX 8u

struct sim_frame {
	struct sim_frame *next;
	struct virtio_net_hdr vnet;
	size_t size;
	uint8_t bytes[];
};

/* One queue of a TAP, guarded by the gate as the kernel's would be. */
struct sim_tap {
	struct sim_frame *first, *last;
	unsigned n;
	bool readable; /* it was not found empty since a frame came */
	int spoilt; /* what the next read returns; 0: the frame */
};

struct sim_datapath {
	void (*sent)(void *arg, uint32_t domid, const uint8_t *frame, size_t size);
	void *arg;
	struct worker worker;
	int sock; /* -1: no process */
	bool running; /* HELLO received */
	bool ended;
	struct ipc_shared *shared;
	struct queue *queue[DOMAINS_MAX][SIM_QUEUES_MAX]; /* further ones send only */
	struct sim_tap tap[DOMAINS_MAX][SIM_QUEUES_MAX];
};

struct sim_datapath *sim_datapath_new(void (*sent)(void *arg, uint32_t domid, const uint8_t *frame,
						   size_t size),
				      void *arg)
{
	struct sim_datapath *d = calloc(1, sizeof(*d));

	assert(d);
	d->sent = sent;
	d->arg = arg;
	d->sock = -1;
	return d;
}

/* ---- what uring.c does, from memory ---- */

static int attach(void *loop, struct queue *q)
{
	struct sim_datapath *d = loop;

	assert(q->vif.domid < DOMAINS_MAX);
	if (q->number >= SIM_QUEUES_MAX)
		return 0;
	d->queue[q->vif.domid][q->number] = q;
	d->tap[q->vif.domid][q->number].readable = true;
	return 0;
}

static void detach(void *loop, struct queue *q)
{
	struct sim_datapath *d = loop;

	if (q->number < SIM_QUEUES_MAX)
		d->queue[q->vif.domid][q->number] = NULL;
	worker_release(&d->worker, q);
}

static struct sim_frame *take_frame(struct sim_tap *tap)
{
	struct sim_frame *f = tap->first;

	if (f) {
		tap->first = f->next;
		tap->n--;
	}
	return f;
}

static int read_tap(struct sim_tap *tap, struct packet *p)
{
	struct sim_frame *f = take_frame(tap);
	int size;

	if (!f) {
		tap->readable = false;
		return -EAGAIN;
	}
	size = tap->spoilt ? tap->spoilt : (int)(PACKET_VNET_SIZE + f->size);
	tap->spoilt = 0;
	memcpy(p->frame, f->bytes, f->size);
	*packet_vnet(p) = f->vnet;
	free(f);
	return size;
}

static void read_frames(struct sim_datapath *d, struct queue *q)
{
	struct sim_tap *tap = &d->tap[q->vif.domid][q->number];
	bool probe = queue_tap_wanted(q);
	uint32_t budget;

	if (queue_tap_held(q) || (!tap->readable && !probe))
		return;
	budget = queue_read_budget(q);
	if (budget)
		worker_mark_ready(&d->worker, q);
	tap->readable |= budget > 0;
	for (; budget && tap->readable; budget--) {
		struct packet *p = packet_get(&q->pool);

		assert(p);
		queue_tap_read(q, p, read_tap(tap, p));
	}
	if (probe && !tap->readable && !tap->n)
		queue_tap_dry(q);
}

static void poll_place(struct sim_datapath *d, struct queue *q)
{
	if (queue_place_watched(q) && sim_nic_is_readable(q->place))
		worker_mark_ready(&d->worker, q);
}

static void flush(void *loop, struct queue *q)
{
	struct sim_datapath *d = loop;
	struct packet *p;

	queue_transmit(q);
	while ((p = packet_fifo_pop(&q->to_tap))) {
		d->sent(d->arg, q->vif.domid, p->frame, p->size);
		queue_tap_written(q, p, (int)(PACKET_VNET_SIZE + p->size));
	}
	if (q->number >= SIM_QUEUES_MAX)
		return;
	if (q->place && queue_place_receive(q))
		worker_mark_ready(&d->worker, q);
	read_frames(d, q);
	poll_place(d, q);
}

static void forget_place(void *loop, struct queue *q)
{
	(void)loop;
	(void)q; /* nothing is watched but in poll_place() */
}

static const struct tap_ops sim_tap_ops = { attach, detach, flush, forget_place };

void sim_datapath_spoil_read(struct sim_datapath *d, uint32_t domid, int result)
{
	d->tap[domid][0].spoilt = result;
}

static __u64 the_now_ns;

static __u64 now(void)
{
	return the_now_ns;
}

static bool give(struct sim_datapath *d, uint32_t domid, uint32_t queue,
		 const struct virtio_net_hdr *vnet, const uint8_t *frame, size_t size)
{
	struct gate *gate = sim_gate(domid);
	struct sim_tap *tap = &d->tap[domid][queue];
	struct sim_frame *f;

	if ((gate && !gate_enter(&gate->queue[queue], (uint32_t)size, now)) || tap->n == SIM_FRAMES_MAX)
		return false;
	f = malloc(sizeof(*f) + size);
	assert(f);
	*f = (struct sim_frame){ .vnet = *vnet, .size = size };
	memcpy(f->bytes, frame, size);
	if (tap->first)
		tap->last->next = f;
	else
		tap->first = f;
	tap->last = f;
	tap->n++;
	tap->readable = true;
	if (d->queue[domid][queue])
		worker_mark_ready(&d->worker, d->queue[domid][queue]);
	return true;
}

bool sim_datapath_give(struct sim_datapath *d, uint32_t domid, const uint8_t *frame, size_t size)
{
	return sim_datapath_give_offloaded(d, domid, &(struct virtio_net_hdr){ 0 }, frame, size);
}

bool sim_datapath_give_offloaded(struct sim_datapath *d, uint32_t domid,
				 const struct virtio_net_hdr *vnet, const uint8_t *frame,
				 size_t size)
{
	return give(d, domid, 0, vnet, frame, size);
}

bool sim_datapath_give_queue(struct sim_datapath *d, uint32_t domid, uint32_t queue,
			     const uint8_t *frame, size_t size)
{
	return give(d, domid, queue, &(struct virtio_net_hdr){ 0 }, frame, size);
}

int sim_datapath_steer(struct sim_datapath *d, uint32_t domid, const uint8_t *frame, size_t size)
{
	const struct queue *first = d->queue[domid][0];
	uint32_t queue = 0;

	if (!first)
		return -1;
	if (first->steering)
		queue = rss_queue(first->steering, frame, (uint32_t)size);
	assert(queue < SIM_QUEUES_MAX);
	if (!give(d, domid, queue, &(struct virtio_net_hdr){ 0 }, frame, size))
		return -1;
	return (int)queue;
}

void sim_datapath_poll(struct sim_datapath *d)
{
	for (uint32_t i = 0; i < DOMAINS_MAX * SIM_QUEUES_MAX; i++)
		if (d->queue[i / SIM_QUEUES_MAX][i % SIM_QUEUES_MAX])
			poll_place(d, d->queue[i / SIM_QUEUES_MAX][i % SIM_QUEUES_MAX]);
}

unsigned sim_datapath_waiting(const struct sim_datapath *d, uint32_t domid)
{
	return d->tap[domid][0].n;
}

uint64_t sim_datapath_deadline(const struct sim_datapath *d)
{
	return worker_deadline(&d->worker);
}

/* ---- the process ---- */

int sim_datapath_start(struct sim_datapath *d, int sock)
{
	assert(d->sock < 0);
	d->sock = dup(sock);
	return d->sock < 0 ? -errno : 0;
}

bool sim_datapath_ended(struct sim_datapath *d)
{
	bool ended = d->ended;

	d->ended = false;
	return ended;
}

static void end(struct sim_datapath *d)
{
	if (d->running)
		worker_close(&d->worker); /* closes sock */
	else if (d->sock >= 0)
		close(d->sock);
	if (d->shared)
		munmap(d->shared, sizeof(*d->shared));
	d->shared = NULL;
	d->ended |= d->sock >= 0;
	d->sock = -1;
	d->running = false;
	memset(d->queue, 0, sizeof(d->queue));
}

void sim_datapath_kill(struct sim_datapath *d)
{
	end(d); /* the same, for everybody else: between steps nothing is unpublished */
}

void sim_datapath_free(struct sim_datapath *d)
{
	struct sim_frame *f;

	end(d);
	for (uint32_t i = 0; i < DOMAINS_MAX * SIM_QUEUES_MAX; i++)
		while ((f = take_frame(&d->tap[i / SIM_QUEUES_MAX][i % SIM_QUEUES_MAX])))
			free(f);
	free(d);
}

static const struct nic_port_ops *const nic_providers[NIC_PROVIDERS] = {
	[NIC_PROVIDER_AFXDP] = &sim_nic_port_ops,
	[NIC_PROVIDER_MODEL] = &sim_nic_buffer_ops,
};

static void start_worker(struct sim_datapath *d)
{
	struct ipc_msg hello;
	int fds[IPC_FDS_MAX];
	uint32_t n_fds;
	char why[128];
	int err = ipc_recv(d->sock, &hello, fds, &n_fds);

	if (err == -EAGAIN)
		return;
	assert(!err && hello.type == IPC_HELLO && n_fds == 1 && hello.hello.n_workers == 1);
	d->shared = mmap(NULL, sizeof(*d->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	assert(d->shared != MAP_FAILED);
	close(fds[0]);
	err = worker_open(&d->worker, 0, d->sock, d->shared, why, sizeof(why));
	assert(!err);
	d->worker.tap = &sim_tap_ops;
	d->worker.nic_ops = nic_providers;
	d->worker.loop = d;
	d->worker.env.rx_drain_ns = hello.hello.rx_drain_ms * NS_PER_MS;
	d->worker.env.rx_stall_ns = hello.hello.rx_stall_ms * NS_PER_MS;
	d->running = true;
	worker_say_ready(&d->worker, 0, "");
}

void sim_datapath_control(struct sim_datapath *d, uint64_t now_ns)
{
	if (d->sock < 0)
		return;
	if (!d->running) {
		start_worker(d);
		return;
	}
	d->worker.env.now_ns = now_ns;
	worker_on_control(&d->worker);
	if (d->worker.stop)
		end(d);
}

void sim_datapath_events(struct sim_datapath *d, uint64_t now_ns)
{
	if (!d->running)
		return;
	d->worker.env.now_ns = now_ns;
	worker_on_events(&d->worker);
}

void sim_datapath_pass(struct sim_datapath *d, uint64_t now_ns)
{
	if (!d->running)
		return;
	the_now_ns = now_ns;
	d->worker.env.now_ns = now_ns;
	worker_on_time(&d->worker);
	(void)worker_pass(&d->worker);
}
