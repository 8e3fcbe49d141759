/* SPDX-License-Identifier: MIT */
/*
 * Slots and the messages about them. A slot's life:
 *
 *	FREE -> ATTACH_DUE -> ATTACHING -> ATTACHED -> DETACH_DUE -> DETACHING -> FREE
 *	          ^             |  |          |                        |
 *	          +-------------+--|----------+  datapath died         |
 *	                           v                                   v
 *	                 FREE: attach failed          DETACHED: datapath died
 */
#include "backend/control/workers.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

/* Read from one worker in a row: more than it ever has to say, unless it means harm. */
#define MESSAGES_MAX (2 * IPC_QUEUES_MAX)

int workers_init(struct workers *w, uint32_t n_workers)
{
	void *shared;
	int rc;

	*w = (struct workers){ .n_workers = n_workers };
	for (uint32_t i = 0; i < IPC_WORKERS_MAX; i++)
		w->worker[i].sock = -1;
	w->shared_fd = memfd_create("vifd-queues", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (w->shared_fd < 0)
		return -errno;
	if (ftruncate(w->shared_fd, sizeof(*w->shared)) ||
	    fcntl(w->shared_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto fail;
	shared = mmap(NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE, MAP_SHARED, w->shared_fd, 0);
	if (shared == MAP_FAILED)
		goto fail;
	w->shared = shared;
	return 0;
fail:
	rc = -errno;
	close(w->shared_fd);
	return rc;
}

void workers_fini(struct workers *w)
{
	for (uint32_t i = 0; i < w->n_workers; i++)
		if (w->worker[i].sock >= 0)
			close(w->worker[i].sock);
	munmap(w->shared, sizeof(*w->shared));
	close(w->shared_fd);
}

void workers_connect(struct workers *w, const int socks[])
{
	for (uint32_t i = 0; i < w->n_workers; i++) {
		w->worker[i].sock = socks[i];
		w->worker[i].ready = false;
		w->worker[i].blocked = false;
	}
}

static bool state_is_due(enum slot_state state)
{
	return state == SLOT_ATTACH_DUE || state == SLOT_DETACH_DUE;
}

static bool state_is_asked(enum slot_state state)
{
	return state == SLOT_ATTACHING || state == SLOT_DETACHING;
}

static void set_note(struct workers *w, struct slot *s, uint32_t note, int status)
{
	w->n_notes += (note != 0) - (s->note != 0);
	s->note = note;
	s->note_status = status;
}

/* The one place a slot changes state: keeps the counts of states. */
static void slot_move(struct workers *w, struct slot *s, enum slot_state to)
{
	w->n_due += state_is_due(to) - state_is_due(s->state);
	w->n_asked += state_is_asked(to) - state_is_asked(s->state);
	w->n_detached += (to == SLOT_DETACHED) - (s->state == SLOT_DETACHED);
	if (to != SLOT_ATTACHING && to != SLOT_ATTACHED)
		set_note(w, s, 0, 0);
	if (to == SLOT_FREE)
		w->worker[s->worker].n_queues--;
	s->state = to;
}

void workers_disconnect(struct workers *w)
{
	w->n_lost++;
	for (uint32_t i = 0; i < w->n_workers; i++) {
		if (w->worker[i].sock >= 0)
			close(w->worker[i].sock);
		w->worker[i].sock = -1;
		w->worker[i].ready = false;
	}
	for (uint32_t i = 0; i < w->slots_used; i++) {
		struct slot *s = &w->slot[i];

		if (s->state == SLOT_ATTACHING || s->state == SLOT_ATTACHED) {
			s->queue.resume = 1;
			slot_move(w, s, SLOT_ATTACH_DUE);
		} else if (s->state == SLOT_DETACH_DUE || s->state == SLOT_DETACHING) {
			slot_move(w, s, SLOT_DETACHED);
		}
	}
}

bool workers_ready(const struct workers *w)
{
	for (uint32_t i = 0; i < w->n_workers; i++)
		if (!w->worker[i].ready)
			return false;
	return true;
}

/* A vif's queues go to different workers, as far as there are; among those, to the one with
 * the fewest queues in all, and of several such to the last: NICs are with the first ones, where
 * their guests are to be. */
static uint32_t choose_worker(const struct workers *w, struct vif_id vif)
{
	uint32_t of_vif[IPC_WORKERS_MAX] = { 0 }, best = 0;

	for (uint32_t i = 0; i < w->slots_used; i++) {
		const struct slot *s = &w->slot[i];

		if (s->state != SLOT_FREE && s->queue.vif.domid == vif.domid &&
		    s->queue.vif.devid == vif.devid)
			of_vif[s->worker]++;
	}
	for (uint32_t i = 1; i < w->n_workers; i++)
		if (of_vif[i] < of_vif[best] ||
		    (of_vif[i] == of_vif[best] && w->worker[i].n_queues <= w->worker[best].n_queues))
			best = i;
	return best;
}

/* What is handed out begins zeroed; punching its pages out also gives their memory back. */
static int clear_shared(struct workers *w, size_t offset, size_t size)
{
	if (fallocate(w->shared_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)size))
		return -errno;
	return 0;
}

static int clear_slot(struct workers *w, uint32_t slot)
{
	return clear_shared(w, offsetof(struct ipc_shared, queue[slot]),
			    sizeof(w->shared->queue[slot]));
}

int workers_take_vif(struct workers *w, struct vif_id id)
{
	uint32_t i = 0;

	while (i < IPC_VIFS_MAX && w->vif_used[i])
		i++;
	if (i == IPC_VIFS_MAX ||
	    clear_shared(w, offsetof(struct ipc_shared, vif[i]), sizeof(w->shared->vif[i])))
		return -ENOSPC;
	w->vif_used[i] = true;
	w->shared->vif[i].id = id;
	return (int)i;
}

void workers_give_vif(struct workers *w, uint32_t vif_slot)
{
	w->vif_used[vif_slot] = false;
}

static uint32_t n_fds_of(const struct ipc_queue *queue)
{
	return 1 + (uint32_t)__builtin_popcount(queue->maps & IPC_MAPS);
}

int workers_attach(struct workers *w, uint32_t worker, const struct ipc_queue *queue,
		   const int fds[])
{
	uint32_t slot;

	for (slot = 0; slot < IPC_QUEUES_MAX; slot++)
		if (w->slot[slot].state == SLOT_FREE)
			break;
	if (slot == IPC_QUEUES_MAX || clear_slot(w, slot))
		return -ENOSPC;
	w->slots_used = MAX(w->slots_used, slot + 1);
	w->slot[slot].worker = worker == WORKERS_ANY ? choose_worker(w, queue->vif) : worker;
	w->slot[slot].queue = *queue;
	memcpy(w->slot[slot].fds, fds, n_fds_of(queue) * sizeof(*fds));
	w->worker[w->slot[slot].worker].n_queues++;
	slot_move(w, &w->slot[slot], SLOT_ATTACH_DUE);
	return (int)slot;
}

void workers_detach(struct workers *w, uint32_t slot)
{
	struct slot *s = &w->slot[slot];

	if (s->state == SLOT_ATTACH_DUE)
		slot_move(w, s, SLOT_DETACHED);
	else if (s->state == SLOT_ATTACHING || s->state == SLOT_ATTACHED)
		slot_move(w, s, SLOT_DETACH_DUE);
}

void workers_note(struct workers *w, uint32_t slot, uint32_t type, int status)
{
	struct slot *s = &w->slot[slot];

	if (s->state == SLOT_ATTACH_DUE || s->state == SLOT_ATTACHING || s->state == SLOT_ATTACHED)
		set_note(w, s, type, status);
}

static int send_note(struct workers *w, uint32_t slot)
{
	struct slot *s = &w->slot[slot];
	const struct ipc_msg msg = { .type = s->note, .slot = slot, .status = s->note_status };
	int rc = ipc_send(w->worker[s->worker].sock, &msg, NULL, 0);

	if (!rc)
		set_note(w, s, 0, 0);
	return rc;
}

static int send_due(struct workers *w, uint32_t slot, uint64_t now_ns)
{
	struct slot *s = &w->slot[slot];
	struct worker *worker = &w->worker[s->worker];
	bool attach = s->state == SLOT_ATTACH_DUE;
	struct ipc_msg msg = { .type = attach ? IPC_QUEUE_ATTACH : IPC_QUEUE_DETACH, .slot = slot };
	int rc;

	if (attach)
		msg.queue = s->queue;
	rc = ipc_send(worker->sock, &msg, s->fds, attach ? n_fds_of(&s->queue) : 0);
	if (rc)
		return rc;
	slot_move(w, s, attach ? SLOT_ATTACHING : SLOT_DETACHING);
	s->sent_ns = now_ns;
	return 0;
}

uint64_t workers_deadline(const struct workers *w)
{
	uint64_t oldest = UINT64_MAX;

	for (uint32_t i = 0; w->n_asked && i < w->slots_used; i++)
		if (state_is_asked(w->slot[i].state))
			oldest = MIN(oldest, w->slot[i].sent_ns + WORKERS_ANSWER_NS);
	return oldest;
}

void workers_flush(struct workers *w, uint64_t now_ns)
{
	if ((!w->n_due && !w->n_notes) || !workers_ready(w))
		return;
	for (uint32_t i = 0; i < w->n_workers; i++)
		w->worker[i].blocked = false;
	for (uint32_t i = 0; i < w->slots_used && (w->n_due || w->n_notes); i++) {
		struct slot *s = &w->slot[i];
		struct worker *worker = &w->worker[s->worker];

		/* Any failure but a full socket shows as a closed one when it is read. */
		if (state_is_due(s->state) && !worker->blocked && send_due(w, i, now_ns))
			worker->blocked = true;
		if (s->note && s->state == SLOT_ATTACHED && !worker->blocked && send_note(w, i))
			worker->blocked = true;
	}
}

int workers_say(struct workers *w, uint32_t worker, const struct ipc_msg *msg, const int fds[],
		uint32_t n_fds)
{
	return workers_ready(w) ? ipc_send(w->worker[worker].sock, msg, fds, n_fds) : -EAGAIN;
}

void workers_stop(struct workers *w)
{
	const struct ipc_msg msg = { .type = IPC_STOP };

	for (uint32_t i = 0; i < w->n_workers; i++)
		if (w->worker[i].sock >= 0 && ipc_send(w->worker[i].sock, &msg, NULL, 0))
			log_debug(LOG_NOBODY, "worker %u took no stop", i);
}

static void copy_why(char out[], const char in[], size_t size)
{
	size_t i;

	for (i = 0; i + 1 < size && in[i]; i++)
		out[i] = isprint((unsigned char)in[i]) ? in[i] : '?';
	out[i] = '\0';
}

/* Returns whether the message is an event for the caller; -EPROTO. */
static int take_queue_message(struct workers *w, const struct ipc_msg *msg, uint32_t worker,
			      struct worker_event *out)
{
	struct slot *s;

	if (msg->slot >= w->slots_used)
		return -EPROTO;
	s = &w->slot[msg->slot];
	if (s->worker != worker || s->state == SLOT_FREE)
		return -EPROTO;
	out->slot = msg->slot;
	out->queue = s->queue;
	switch (msg->type) {
	case IPC_QUEUE_ATTACHED:
		out->type = WORKER_QUEUE_ATTACHED;
		if (s->state == SLOT_DETACHING || s->state == SLOT_DETACH_DUE)
			return 0; /* crossed our QUEUE_DETACH */
		if (s->state != SLOT_ATTACHING)
			return -EPROTO;
		slot_move(w, s, msg->status ? SLOT_FREE : SLOT_ATTACHED);
		return 1;
	case IPC_QUEUE_DETACHED:
		out->type = WORKER_QUEUE_DETACHED;
		if (s->state != SLOT_DETACHING)
			return -EPROTO;
		slot_move(w, s, SLOT_FREE);
		return 1;
	case IPC_QUEUE_STALLED:
		out->type = WORKER_QUEUE_STALLED;
		return s->state == SLOT_ATTACHED;
	case IPC_PLACE_JOINED:
	case IPC_PLACE_LENDING:
	case IPC_PLACE_DRAINED:
	case IPC_PLACE_HELD:
	case IPC_PLACE_LEFT:
	case IPC_PLACE_RELEASED:
		out->type = WORKER_PLACE;
		out->place = msg->type;
		return s->state == SLOT_ATTACHED;
	case IPC_GRANTS_STAGED:
		out->type = WORKER_GRANTS_STAGED;
		out->queue_number = msg->queue_number;
		return s->state == SLOT_ATTACHED;
	case IPC_GRANTS_APPLIED:
		out->type = WORKER_GRANTS_APPLIED;
		return s->state == SLOT_ATTACHED;
	default:
		out->type = WORKER_QUEUE_FATAL;
		return s->state == SLOT_ATTACHED;
	}
}

static int take_message(struct workers *w, const struct ipc_msg *msg, uint32_t worker,
			struct worker_event *out)
{
	*out = (struct worker_event){ .status = msg->status };
	copy_why(out->why, msg->why, sizeof(out->why));
	switch (msg->type) {
	case IPC_NIC_OPENED:
		out->type = WORKER_NIC_OPENED;
		out->slot = msg->slot;
		return 1;
	case IPC_NIC_STATIONS:
		out->type = WORKER_NIC_STATIONS;
		out->slot = msg->slot;
		return 1;
	case IPC_READY:
		if (w->worker[worker].ready)
			return -EPROTO;
		out->type = WORKER_FAILED;
		w->worker[worker].ready = !msg->status;
		return msg->status != 0;
	case IPC_QUEUE_ATTACHED:
	case IPC_QUEUE_DETACHED:
	case IPC_QUEUE_STALLED:
	case IPC_QUEUE_FATAL:
	case IPC_GRANTS_STAGED:
	case IPC_GRANTS_APPLIED:
	case IPC_PLACE_JOINED:
	case IPC_PLACE_LENDING:
	case IPC_PLACE_DRAINED:
	case IPC_PLACE_HELD:
	case IPC_PLACE_LEFT:
	case IPC_PLACE_RELEASED:
		return take_queue_message(w, msg, worker, out);
	default:
		return -EPROTO;
	}
}

static int next_detached(struct workers *w, struct worker_event *out)
{
	for (uint32_t i = 0; i < w->slots_used; i++) {
		struct slot *s = &w->slot[i];

		if (s->state != SLOT_DETACHED)
			continue;
		slot_move(w, s, SLOT_FREE);
		*out = (struct worker_event){ .type = WORKER_QUEUE_DETACHED,
					      .slot = i,
					      .queue = s->queue };
		return 0;
	}
	return -EAGAIN;
}

int workers_next(struct workers *w, struct worker_event *out)
{
	int fds[IPC_FDS_MAX], rc = -EAGAIN;
	struct ipc_msg msg;
	uint32_t n_fds;

	if (w->n_detached)
		return next_detached(w, out);
	for (uint32_t i = 0; i < w->n_workers; i++) {
		if (w->worker[i].sock < 0)
			continue;
		for (int n = 0; n < MESSAGES_MAX; n++) {
			rc = ipc_recv(w->worker[i].sock, &msg, fds, &n_fds);
			if (rc)
				break;
			while (n_fds)
				close(fds[--n_fds]);
			rc = take_message(w, &msg, i, out);
			if (rc)
				return rc < 0 ? rc : 0;
		}
		if (rc && rc != -EAGAIN)
			return rc;
	}
	return -EAGAIN;
}
