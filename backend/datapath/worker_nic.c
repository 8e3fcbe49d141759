/* SPDX-License-Identifier: MIT */
/*
 * A worker's NICs, and its queues' places on them: control's messages and their answers.
 */
#include "worker_nic.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void close_fds(const int fds[], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		close(fds[i]);
}

static void on_open(struct worker *w, const struct ipc_msg *msg, const int fds[], uint32_t n_fds)
{
	struct ipc_msg answer = { .type = IPC_NIC_OPENED, .slot = msg->slot, .status = -EPROTO };
	char why[sizeof(answer.why)] = "";
	struct worker_port *n;

	if (msg->slot < IPC_NICS_MAX && !w->nic[msg->slot].port &&
	    msg->nic.provider < NIC_PROVIDERS && w->nic_ops[msg->nic.provider] && n_fds > 0 &&
	    n_fds <= NIC_FDS_MAX) {
		n = &w->nic[msg->slot];
		n->ops = w->nic_ops[msg->nic.provider];
		answer.status = n->ops->open(msg->nic.ifindex, fds, (int)n_fds, &n->port, why,
					     sizeof(why));
	}
	if (answer.status) {
		close_fds(fds, n_fds);
		memcpy(answer.why, why, sizeof(why));
	}
	worker_say(w, &answer);
}

/* Takes every queue off it first. */
static void close_nic(struct worker *w, uint32_t nic)
{
	struct nic_port *port = w->nic[nic].port;

	for (uint32_t i = 0; port && w->by_slot && i < IPC_QUEUES_MAX; i++) {
		struct queue *q = w->by_slot[i];

		if (!q || q->port != port)
			continue;
		w->tap->forget_place(w->loop, q);
		queue_place_forget(q);
		worker_mark_ready(w, q); /* the TAP may have been held */
	}
	if (port)
		w->nic[nic].ops->close(port);
	w->nic[nic].port = NULL;
}

static void on_join(struct worker *w, const struct ipc_msg *msg, const int fds[], uint32_t n_fds)
{
	struct ipc_msg answer = { .type = IPC_PLACE_JOINED, .slot = msg->slot, .status = -EPROTO };
	struct queue *q = msg->slot < IPC_QUEUES_MAX ? w->by_slot[msg->slot] : NULL;
	char why[sizeof(answer.why)] = "no such queue or NIC";

	if (q && msg->nic.nic < IPC_NICS_MAX && w->nic[msg->nic.nic].port) {
		if (!q->place)
			q->shared_nic = &w->shared->nic[msg->nic.nic];
		answer.status = queue_place_join(q, w->nic[msg->nic.nic].ops,
						 w->nic[msg->nic.nic].port, &msg->nic, fds,
						 (int)n_fds, why, sizeof(why));
	}
	if (!answer.status) {
		worker_mark_ready(w, q); /* say_joined() */
		return;
	}
	close_fds(fds, n_fds);
	memcpy(answer.why, why, sizeof(why));
	worker_say(w, &answer);
}

/* What a queue is told about its vif's place. */
static void on_place(struct worker *w, const struct ipc_msg *msg)
{
	static void (*const step[])(struct queue *q) = {
		[IPC_PLACE_DRAIN] = queue_drain,       [IPC_PLACE_READ] = queue_place_read,
		[IPC_PLACE_HOLD] = queue_hold,	       [IPC_PLACE_LEAVE] = queue_place_leave,
		[IPC_PLACE_RELEASE] = queue_release,
	};
	struct queue *q = msg->slot < IPC_QUEUES_MAX ? w->by_slot[msg->slot] : NULL;

	if (!q)
		return; /* closed since: its QUEUE_DETACHED is on the way */
	step[msg->type](q);
	worker_mark_ready(w, q);
}

bool worker_on_nic(struct worker *w, const struct ipc_msg *msg, const int fds[], uint32_t n_fds)
{
	switch (msg->type) {
	case IPC_NIC_OPEN:
		on_open(w, msg, fds, n_fds);
		return true;
	case IPC_PLACE_JOIN:
		on_join(w, msg, fds, n_fds);
		return true;
	case IPC_NIC_CLOSE:
		if (msg->slot < IPC_NICS_MAX)
			close_nic(w, msg->slot);
		break;
	case IPC_PLACE_DRAIN:
	case IPC_PLACE_READ:
	case IPC_PLACE_HOLD:
	case IPC_PLACE_LEAVE:
	case IPC_PLACE_RELEASE:
		on_place(w, msg);
		break;
	default:
		return false;
	}
	close_fds(fds, n_fds);
	return true;
}

static void say_joined(struct worker *w, struct queue *q)
{
	struct ipc_msg answer = { .type = IPC_PLACE_JOINED, .slot = q->slot };
	char why[sizeof(answer.why)] = "";

	answer.status = queue_place_joined(q, why, sizeof(why));
	if (answer.status == -EAGAIN)
		return;
	memcpy(answer.why, why, sizeof(why));
	worker_say(w, &answer);
}

void worker_say_place(struct worker *w, struct queue *q)
{
	struct ipc_msg answer = { .type = queue_place_answer(q), .slot = q->slot };

	if (q->place_state == QUEUE_PLACE_JOINING)
		say_joined(w, q);
	if (answer.type)
		worker_say(w, &answer);
}

void worker_say_lending(struct worker *w, struct queue *q)
{
	const struct ipc_msg msg = { .type = IPC_PLACE_LENDING, .slot = q->slot };

	if (queue_lending_changed(q))
		worker_say(w, &msg);
}

void worker_say_stations(struct worker *w, struct queue *q)
{
	struct ipc_msg msg = { .type = IPC_NIC_STATIONS };

	if (!q->heard_new)
		return;
	q->heard_new = false;
	msg.slot = (uint32_t)(q->shared_nic - w->shared->nic);
	worker_say(w, &msg);
}
