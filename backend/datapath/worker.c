/* SPDX-License-Identifier: MIT */
/* See worker.h. */
#include "worker.h"
#include "worker_nic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- life ---- */

int worker_open(struct worker *w, uint32_t id, int sock, struct ipc_shared *shared, char *why,
		size_t why_size)
{
	int err;

	memset(w, 0, sizeof(*w));
	w->id = id;
	w->sock = -1;
	w->shared = shared;
	w->by_slot = calloc(IPC_QUEUES_MAX, sizeof(*w->by_slot));
	w->env.scratch = calloc(1, sizeof(*w->env.scratch));
	if (!w->by_slot || !w->env.scratch ||
	    packet_pool_init(&w->env.scratch->segments, QUEUE_BATCH) ||
	    timers_init(&w->timers, IPC_QUEUES_MAX)) {
		worker_close(w);
		return -ENOMEM;
	}
	err = grants_open(&w->grants);
	if (err) {
		snprintf(why, why_size, "opening the grant device: %s (is xen-gntdev loaded?)",
			 strerror(-err));
		worker_close(w);
		return err;
	}
	w->env.grants = &w->grants;
	err = events_open(&w->events);
	if (err) {
		snprintf(why, why_size,
			 "opening the event channel device: %s (is xen-evtchn loaded?)",
			 strerror(-err));
		worker_close(w);
		return err;
	}
	w->env.events = &w->events;
	w->sock = sock;
	return 0;
}

/* Waits for it, at the end: NICs have got the word of all queues by then. */
static void give_back(struct queue *q)
{
	const struct timespec nap = { .tv_nsec = NS_PER_MS };
	uint64_t again;

	while ((again = queue_grants_release(q)) != UINT64_MAX)
		if (again > q->env->now_ns)
			nanosleep(&nap, NULL);
}

void worker_close(struct worker *w)
{
	for (uint32_t i = 0; w->by_slot && i < IPC_QUEUES_MAX; i++)
		if (w->by_slot[i])
			(void)!queue_grants_release(w->by_slot[i]);
	for (uint32_t i = 0; w->by_slot && i < IPC_QUEUES_MAX; i++) {
		if (w->by_slot[i])
			give_back(w->by_slot[i]);
		queue_close(w->by_slot[i]);
	}
	for (uint32_t i = 0; i < IPC_NICS_MAX; i++)
		if (w->nic[i].port)
			w->nic[i].ops->close(w->nic[i].port);
	if (w->env.events)
		events_close(&w->events);
	if (w->env.grants)
		grants_close(&w->grants);
	if (w->sock >= 0)
		close(w->sock);
	if (w->env.scratch)
		packet_pool_fini(&w->env.scratch->segments);
	timers_fini(&w->timers);
	free(w->env.scratch);
	free(w->by_slot);
	free(w->by_port);
	memset(w, 0, sizeof(*w));
	w->sock = -1;
}

/* ---- talking to control ---- */

void worker_say(struct worker *w, const struct ipc_msg *msg)
{
	int err = ipc_send(w->sock, msg, NULL, 0);

	/* Control reads all the time; a full socket means it hangs or is gone, and it
	 * learns of our state again when it restarts us. */
	if (err)
		log_error(LOG_NOBODY, "worker %u: telling control (message %u): %s", w->id,
			  msg->type, strerror(-err));
}

void worker_say_ready(struct worker *w, int status, const char *why)
{
	struct ipc_msg msg = { .type = IPC_READY, .status = status };

	snprintf(msg.why, sizeof(msg.why), "%s", why);
	worker_say(w, &msg);
}

static void say_fatal(struct worker *w, const struct queue *q, int status, const char *why)
{
	struct ipc_msg msg = { .type = IPC_QUEUE_FATAL, .slot = q->slot, .status = status };

	snprintf(msg.why, sizeof(msg.why), "%s", why);
	worker_say(w, &msg);
}

static void say_stalled(struct worker *w, struct queue *q)
{
	const struct ipc_msg msg = { .type = IPC_QUEUE_STALLED,
				     .slot = q->slot,
				     .status = q->wait.stalled };

	q->wait.told_stalled = q->wait.stalled;
	worker_say(w, &msg);
}

void worker_tap_gone(struct worker *w, struct queue *q)
{
	if (q->broken)
		return;
	q->broken = true;
	say_fatal(w, q, -ENODEV, "the netdev is gone");
}

/* ---- queues ---- */

static int note_port(struct worker *w, int port, struct queue *q)
{
	uint32_t n = w->n_ports;
	struct queue **grown;

	if ((uint32_t)port >= n) {
		n = MAX((uint32_t)port + 1, n * 2);
		grown = realloc(w->by_port, n * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		memset(grown + w->n_ports, 0, (n - w->n_ports) * sizeof(*grown));
		w->by_port = grown;
		w->n_ports = n;
	}
	w->by_port[port] = q;
	return 0;
}

static void forget_queue(struct worker *w, struct queue *q)
{
	struct queue **at = &w->ready_head;

	for (uint32_t i = 0; i < w->n_ports; i++)
		if (w->by_port[i] == q)
			w->by_port[i] = NULL;
	w->by_slot[q->slot] = NULL;
	timers_set(&w->timers, q, UINT64_MAX);

	w->ready_tail = NULL;
	while (*at) {
		if (*at == q) {
			*at = q->next_ready;
		} else {
			w->ready_tail = *at;
			at = &(*at)->next_ready;
		}
	}
}

static int attach_queue(struct worker *w, const struct ipc_msg *msg, struct queue_fds fds,
			char *why, size_t why_size)
{
	struct queue *q;
	int err;

	if (msg->slot >= IPC_QUEUES_MAX || w->by_slot[msg->slot]) {
		snprintf(why, why_size, "slot %u is in use", msg->slot);
		return -EBUSY;
	}
	err = queue_open(&w->env, msg, w->shared, fds, &q, why, why_size);
	if (err)
		return err;
	w->by_slot[q->slot] = q;
	err = note_port(w, q->tx_port, q);
	if (!err)
		err = note_port(w, q->rx_port, q);
	if (!err && queue_ctrl_port(q) >= 0)
		err = note_port(w, queue_ctrl_port(q), q);
	if (!err)
		err = w->tap->attach(w->loop, q);
	if (err) {
		snprintf(why, why_size, "%s", strerror(-err));
		q->tap_fd = -1; /* still the caller's */
		forget_queue(w, q);
		queue_close(q);
		return err;
	}
	worker_mark_ready(w, q);
	return 0;
}

static bool name_fds(const struct ipc_msg *msg, const int fds[], uint32_t n_fds,
		     struct queue_fds *out)
{
	bool steering = msg->queue.maps & IPC_MAP_STEERING, gate = msg->queue.maps & IPC_MAP_GATE;

	if (n_fds != 1u + steering + gate)
		return false;
	*out = (struct queue_fds){ .tap = fds[0],
				   .steering = steering ? fds[1] : -1,
				   .gate = gate ? fds[1 + steering] : -1 };
	return true;
}

static void on_attach(struct worker *w, const struct ipc_msg *msg, const int fds[], uint32_t n_fds)
{
	struct ipc_msg answer = { .type = IPC_QUEUE_ATTACHED, .slot = msg->slot };
	char why[sizeof(answer.why)] = "the message came without its TAP or maps";
	struct queue_fds of_queue;

	answer.status = name_fds(msg, fds, n_fds, &of_queue) ?
				attach_queue(w, msg, of_queue, why, sizeof(why)) :
				-EPROTO;
	if (answer.status)
		memcpy(answer.why, why, sizeof(why));
	for (uint32_t i = answer.status ? 0 : 1; i < n_fds; i++)
		close(fds[i]); /* all but the TAP of a queue that has it */
	worker_say(w, &answer);
}

/* At once, or a little in each pass, and as soon as a NIC lets go of what is its guest's. */
static void detach(struct worker *w, struct queue *q)
{
	uint64_t again = queue_grants_release(q);

	q->detaching = true;
	if (again == UINT64_MAX)
		w->tap->detach(w->loop, q);
	else if (again > w->env.now_ns)
		timers_set(&w->timers, q, again);
	else
		worker_mark_ready(w, q);
}

static void on_detach(struct worker *w, const struct ipc_msg *msg)
{
	struct ipc_msg answer = { .type = IPC_QUEUE_DETACHED, .slot = msg->slot };

	if (msg->slot < IPC_QUEUES_MAX && w->by_slot[msg->slot])
		detach(w, w->by_slot[msg->slot]);
	else
		worker_say(w, &answer);
}

void worker_release(struct worker *w, struct queue *q)
{
	struct ipc_msg answer = { .type = IPC_QUEUE_DETACHED, .slot = q->slot };

	forget_queue(w, q);
	queue_close(q);
	worker_say(w, &answer);
}

/* A word about static grants, between two queues' workers. */
static void on_grants(struct worker *w, const struct ipc_msg *msg)
{
	struct queue *q = msg->slot < IPC_QUEUES_MAX ? w->by_slot[msg->slot] : NULL;

	if (!q)
		return; /* closed since */
	if (msg->type == IPC_GRANTS_APPLY)
		queue_grants_apply(q);
	else
		queue_ctrl_applied(q, msg->status == 0);
	worker_mark_ready(w, q);
}

static void say_grants(struct worker *w, struct queue *q)
{
	struct ipc_msg staged = { .type = IPC_GRANTS_STAGED, .slot = q->slot };
	struct ipc_msg applied = { .type = IPC_GRANTS_APPLIED, .slot = q->slot };
	int status;

	if (queue_ctrl_staged(q, &staged.queue_number))
		worker_say(w, &staged);
	if (queue_grants_applied(q, &status)) {
		applied.status = status;
		worker_say(w, &applied);
	}
}

void worker_on_control(struct worker *w)
{
	struct ipc_msg msg;
	int fds[IPC_FDS_MAX];
	uint32_t n_fds;
	int err;

	while (!(err = ipc_recv(w->sock, &msg, fds, &n_fds))) {
		if (msg.type == IPC_QUEUE_ATTACH) {
			on_attach(w, &msg, fds, n_fds);
			continue;
		}
		if (worker_on_nic(w, &msg, fds, n_fds))
			continue;
		for (uint32_t i = 0; i < n_fds; i++)
			close(fds[i]);
		if (msg.type == IPC_QUEUE_DETACH)
			on_detach(w, &msg);
		else if (msg.type == IPC_GRANTS_APPLY || msg.type == IPC_GRANTS_DONE)
			on_grants(w, &msg);
		else if (msg.type == IPC_STOP)
			w->stop = true;
		else
			log_error(LOG_NOBODY, "worker %u: control sent message %u", w->id, msg.type);
	}
	if (err == -EAGAIN)
		return;
	if (!w->stop)
		log_warning(LOG_NOBODY, "worker %u: control is gone (%s), stopping", w->id,
			    strerror(-err));
	w->stop = true;
}

/* ---- work ---- */

void worker_on_events(struct worker *w)
{
	int port;

	while ((port = event_next(&w->events)) >= 0) {
		struct queue *q = (uint32_t)port < w->n_ports ? w->by_port[port] : NULL;

		if (!q)
			continue; /* closed since */
		queue_on_event(q, port);
		worker_mark_ready(w, q);
	}
	if (port != -EAGAIN)
		log_error(LOG_NOBODY, "worker %u: reading events: %s", w->id, strerror(-port));
}

void worker_mark_ready(struct worker *w, struct queue *q)
{
	if (q->is_ready)
		return;
	q->is_ready = true;
	q->next_ready = NULL;
	if (w->ready_head)
		w->ready_tail->next_ready = q;
	else
		w->ready_head = q;
	w->ready_tail = q;
}

static void serve(struct worker *w, struct queue *q)
{
	enum from_guest_fault fault = FROM_GUEST_FINE;
	enum vif_verdict verdict = VIF_OK;

	if (q->detaching) {
		detach(w, q);
		return;
	}
	if (q->tx_due)
		verdict = queue_from_guest(q, &fault);
	if (verdict == VIF_OK)
		verdict = queue_to_guest(q);
	if (verdict == VIF_OK)
		verdict = queue_ctrl_pass(q);
	say_grants(w, q);
	w->tap->flush(w->loop, q);
	worker_say_place(w, q);
	worker_say_lending(w, q);
	worker_say_stations(w, q);
	queue_settle(q);
	timers_set(&w->timers, q, queue_deadline(q));
	if (q->wait.stalled != q->wait.told_stalled)
		say_stalled(w, q);
	if (verdict == VIF_FATAL)
		say_fatal(w, q, -EPROTO,
			  fault ? from_guest_fault_name(fault) : "impossible ring indices");
	else if (queue_has_work(q))
		worker_mark_ready(w, q);
}

uint64_t worker_deadline(const struct worker *w)
{
	return timers_next(&w->timers);
}

void worker_on_time(struct worker *w)
{
	struct queue *q;

	while ((q = timers_take(&w->timers, w->env.now_ns))) {
		queue_on_time(q);
		worker_mark_ready(w, q);
	}
}

bool worker_pass(struct worker *w)
{
	struct queue *last = w->ready_tail;
	struct queue *q;

	for (uint32_t n = 0; n < WORKER_TURNS_MAX && (q = w->ready_head); n++) {
		w->ready_head = q->next_ready;
		if (!w->ready_head)
			w->ready_tail = NULL;
		q->is_ready = false;
		serve(w, q);
		if (q == last)
			break;
	}
	return w->ready_head != NULL;
}
