/* SPDX-License-Identifier: MIT */
/*
 * A queue's life and its events. The passes are in queue_from_guest.c, queue_to_guest.c
 * and queue_ctrl.c; see queue.h.
 *
 * Invariants of all of them:
 *   - a frame is answered in the pass that consumed it: nothing of the guest's is
 *     held between passes but the ring pages, what it asked to keep mapped, and the
 *     requests posted to a NIC (queue_posted.c);
 *   - a broken queue touches neither ring again (XSA-39, XSA-374);
 *   - a port is unmasked only when its ring was found dry (XSA-332).
 */
#include "queue_pass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void queue_break(struct queue *q, const char *why)
{
	struct log_scope scope = queue_scope(q);

	q->broken = true;
	q->tx_due = false;
	posted_end(q);
	if (q->place)
		q->nic->not_read(q->place);
	/* Control logs it, as often as it allows the vif; a queue's bucket is as new as the queue. */
	log_debug(&scope, "disabled: %s", why);
}

/* ---- life ---- */

static int map_rings(struct queue *q, const struct ipc_queue *cfg, struct shared_queue *shared,
		     const char **step)
{
	void *tx, *rx;
	int err;

	*step = "mapping tx-ring-ref";
	err = grant_map(q->env->grants, q->vif.domid, cfg->tx_gref, &tx);
	if (err)
		return err;
	q->tx.page = tx;
	*step = "mapping rx-ring-ref";
	err = grant_map(q->env->grants, q->vif.domid, cfg->rx_gref, &rx);
	if (err)
		return err;
	q->rx.page = rx;

	*step = "reading the tx ring's indices";
	err = from_guest_ring_attach(&q->tx, tx, &shared->from_guest, cfg->resume);
	if (err) {
		counter_add(&q->counters->from_guest_drops[FROM_GUEST_BAD_INDEX], err == -EPROTO);
		return err;
	}
	*step = "reading the rx ring's indices";
	err = to_guest_ring_attach(&q->rx, rx, &shared->to_guest, cfg->resume);
	counter_add(&q->counters->to_guest_drops[TO_GUEST_BAD_INDEX], err == -EPROTO);
	return err;
}

static int map_steering(struct queue *q, int fd, const char **step)
{
	void *map;

	if (fd < 0)
		return 0;
	*step = "mapping what steers its frames";
	map = mmap(NULL, sizeof(*q->steering), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	q->steering = map;
	return 0;
}

static int map_gate(struct queue *q, int fd, const char **step)
{
	void *map;

	if (fd >= 0) {
		*step = "mapping what guards its TAP";
		map = mmap(NULL, sizeof(*q->gate), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			return -errno;
		q->gate = map;
	}
	wait_open(q, q->gate && q->number < GATE_QUEUES ? &q->gate->queue[q->number] : NULL);
	return 0;
}

static int bind_ports(struct queue *q, const struct ipc_queue *cfg, const char **step)
{
	*step = "binding the tx event channel";
	q->tx_port = event_bind(q->env->events, q->vif.domid, cfg->tx_port);
	if (q->tx_port < 0)
		return q->tx_port;
	q->rx_port = q->tx_port;
	if (cfg->rx_port == cfg->tx_port)
		return 0;
	*step = "binding the rx event channel";
	q->rx_port = event_bind(q->env->events, q->vif.domid, cfg->rx_port);
	return MIN(q->rx_port, 0);
}

/* Shows the answers the queue's last owner wrote down, and tells of them whatever the guest
 * asked for: it may have died between showing and telling. */
static void carry_on(struct queue *q)
{
	(void)!ring_publish(&q->tx);
	(void)!ring_publish(&q->rx);
	event_send(q->env->events, (evtchn_port_t)q->tx_port);
	if (q->rx_port != q->tx_port)
		event_send(q->env->events, (evtchn_port_t)q->rx_port);
	queue_ctrl_carry_on(q);
}

static bool same_vif(const struct vif_id *a, const struct vif_id *b)
{
	return a->domid == b->domid && a->devid == b->devid;
}

int queue_open(struct queue_env *env, const struct ipc_msg *msg, struct ipc_shared *shared,
	       struct queue_fds fds, struct queue **out, char *why, size_t why_size)
{
	const struct ipc_queue *cfg = &msg->queue;
	const char *step = "allocating packets";
	struct queue *q;
	int err;

	if (cfg->vif_slot >= IPC_VIFS_MAX || !same_vif(&shared->vif[cfg->vif_slot].id, &cfg->vif)) {
		snprintf(why, why_size, "the vif's shared memory is another's");
		return -EINVAL;
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	q->env = env;
	q->vif = cfg->vif;
	q->slot = msg->slot;
	q->number = cfg->queue;
	q->n_queues = cfg->n_queues;
	q->features = cfg->features;
	q->offered = cfg->offered;
	q->counters = &shared->queue[msg->slot].counters;
	q->buffers = &shared->queue[msg->slot].buffers;
	q->shared_vif = &shared->vif[cfg->vif_slot];
	q->tap_fd = -1;
	q->tx_port = q->rx_port = -1;
	q->rx_slots_last = 1;

	err = packet_pool_init(&q->pool, QUEUE_PACKETS);
	if (!err)
		err = map_steering(q, fds.steering, &step);
	if (!err)
		err = map_gate(q, fds.gate, &step);
	if (!err)
		err = map_rings(q, cfg, &shared->queue[msg->slot], &step);
	if (!err)
		err = bind_ports(q, cfg, &step);
	if (!err)
		err = queue_ctrl_open(q, cfg, &step);
	if (err) {
		snprintf(why, why_size, "%s: %s", step,
			 err == -EPROTO ? "impossible ring indices" : strerror(-err));
		queue_close(q);
		return err;
	}
	q->tap_fd = fds.tap;
	/* A live ring may hold requests whose event was sent before we were bound. */
	q->tx_due = true;
	if (cfg->resume)
		carry_on(q);
	*out = q;
	return 0;
}

static void drop_queued(struct queue *q)
{
	struct packet *p;

	while ((p = wait_pop(q))) {
		counter_add(&q->counters->to_guest_drops[TO_GUEST_DETACHED], 1);
		queue_put_frame(q, p);
	}
	wait_settle(q);
	while ((p = packet_fifo_pop(&q->place_early)))
		queue_put_frame(q, p);
	transmit_close(q);
	while ((p = packet_fifo_pop(&q->to_tap))) {
		counter_add(&q->counters->from_guest_tap_error, 1);
		packet_put(&q->pool, p);
	}
}

void queue_close(struct queue *q)
{
	if (!q)
		return;
	posted_close(q);
	drop_queued(q);
	queue_place_quit(q);
	queue_ctrl_close(q);
	if (q->rx_port >= 0 && q->rx_port != q->tx_port)
		event_unbind(q->env->events, (evtchn_port_t)q->rx_port);
	if (q->tx_port >= 0)
		event_unbind(q->env->events, (evtchn_port_t)q->tx_port);
	if (q->tx.page)
		grant_unmap(q->env->grants, q->tx.page);
	if (q->rx.page)
		grant_unmap(q->env->grants, q->rx.page);
	if (q->gate)
		munmap(q->gate, sizeof(*q->gate));
	if (q->steering)
		munmap(q->steering, sizeof(*q->steering));
	if (q->tap_fd >= 0)
		close(q->tap_fd);
	packet_pool_fini(&q->pool);
	free(q);
}

/* ---- events ---- */

void queue_on_event(struct queue *q, int port)
{
	if (port == q->tx_port) {
		counter_add(&q->counters->from_guest_events, 1);
		q->tx_masked = true;
		q->tx_due = !q->broken && !q->tx_wait_ns;
	}
	if (port == q->rx_port) {
		counter_add(&q->counters->to_guest_events, 1);
		q->rx_masked = true;
		q->rx_starved = false; /* queue_to_guest() looks again */
	}
	if (port == queue_ctrl_port(q))
		queue_ctrl_on_event(q);
}

void queue_settle(struct queue *q)
{
	bool shared_port = q->tx_port == q->rx_port;

	/* A broken queue's ports stay masked: its guest's storms reach nobody. */
	if (q->broken)
		return;
	queue_ctrl_settle(q);
	if (q->tx_masked && q->tx_due && shared_port)
		q->rx_starved = false; /* masked: no event will say that buffers came */
	/* One that waits for its rate is not to be told of more. */
	if (q->tx_masked && !q->tx_due && (!q->tx_wait_ns || shared_port)) {
		q->tx_masked = false;
		if (shared_port)
			q->rx_masked = false;
		event_unmask(q->env->events, (evtchn_port_t)q->tx_port);
	}
	if (q->rx_masked && !shared_port) {
		q->rx_masked = false;
		event_unmask(q->env->events, (evtchn_port_t)q->rx_port);
	}
}

/* ---- time ---- */

uint64_t queue_deadline(const struct queue *q)
{
	uint64_t tx = q->tx_wait_ns ? q->tx_wait_ns : UINT64_MAX;
	uint64_t ctrl = q->ctrl_wait_ns ? q->ctrl_wait_ns : UINT64_MAX;

	return q->broken ? UINT64_MAX :
			   MIN(MIN(MIN(tx, ctrl), MIN(wait_deadline(q), drain_deadline(q))),
			       MIN(MIN(MIN(posted_deadline(q), lent_deadline(q)), transmit_deadline(q)),
				   queue_place_deadline(q)));
}

void queue_on_time(struct queue *q)
{
	if (q->tx_wait_ns && q->env->now_ns >= q->tx_wait_ns) {
		q->tx_wait_ns = 0;
		q->tx_due = !q->broken;
	}
	if (q->ctrl_wait_ns && q->env->now_ns >= q->ctrl_wait_ns) {
		q->ctrl_wait_ns = 0;
		q->ctrl_due = !q->broken;
	}
	wait_on_time(q);
}

void queue_publish(struct queue *q, struct ring *r, int port, uint64_t *notifies)
{
	if (!ring_publish(r))
		return;
	counter_add(notifies, 1);
	event_send(q->env->events, (evtchn_port_t)port);
}
