/* SPDX-License-Identifier: MIT */
/*
 * A vif's queues: handed to the datapath's workers, taken back, and what they counted.
 */
#include "backend/control/vif_parts.h"

#include <string.h>

#include "backend/control/control.h"
#include "rss.h"

static uint32_t count_queues(const struct vif *v, enum vif_queue_state state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->n_queues; i++)
		n += v->queue[i].state == state;
	return n;
}

bool vif_has_queues(const struct vif *v)
{
	return count_queues(v, VIF_QUEUE_NONE) < v->n_queues;
}

bool vif_queues_busy(const struct vif *v)
{
	return count_queues(v, VIF_QUEUE_ATTACHING) || count_queues(v, VIF_QUEUE_DETACHING);
}

/* Any: when only some could be attached the vif has failed, and those go back. */
bool vif_queues_attached(const struct vif *v)
{
	return count_queues(v, VIF_QUEUE_ATTACHED) > 0;
}

static void add_counters(struct queue_counters *to, const struct queue_counters *from)
{
	uint64_t *t = (uint64_t *)to;
	const uint64_t *f = (const uint64_t *)from;

	static_assert(sizeof(*to) % sizeof(*t) == 0, "only counters in struct queue_counters");
	for (size_t i = 0; i < sizeof(*to) / sizeof(*t); i++)
		t[i] += counter_read(&f[i]);
}

/* The gate's counts live as long as the netdev. */
static uint64_t n_refused(const struct vif *v, uint32_t i)
{
	const struct gate *gate = v->netdev.gating.gate;

	return gate ? counter_read((const uint64_t *)&gate->queue[i].refused_frames) : 0;
}

uint64_t vif_queue_waiting(const struct vif *v, uint32_t i)
{
	const struct gate *gate = v->netdev.gating.gate;

	return gate ? (uint64_t)MAX(gate_waiting(&gate->queue[i]), 0) : 0;
}

void vif_queue_counters(const struct control *c, const struct vif *v, uint32_t i,
			struct queue_counters *out)
{
	*out = (struct queue_counters){ 0 };
	add_counters(out, &c->workers.shared->queue[v->queue[i].slot].counters);
	out->to_guest_drops[TO_GUEST_QUEUE_FULL] += n_refused(v, i);
}

void vif_counters(const struct control *c, const struct vif *v, struct queue_counters *out)
{
	*out = v->retired;
	for (uint32_t i = 0; i < NETDEV_QUEUES_MAX; i++)
		out->to_guest_drops[TO_GUEST_QUEUE_FULL] += n_refused(v, i);
	for (uint32_t i = 0; i < v->n_queues; i++)
		if (v->queue[i].state != VIF_QUEUE_NONE)
			add_counters(out, &c->workers.shared->queue[v->queue[i].slot].counters);
}

static void queue_gone(struct control *c, struct vif *v, struct vif_queue *q)
{
	add_counters(&v->retired, &c->workers.shared->queue[q->slot].counters);
	c->slot_owner[q->slot] = NULL;
	q->state = VIF_QUEUE_NONE;
	q->stalled = false;
}

static bool any_stalled(const struct vif *v)
{
	for (uint32_t i = 0; i < v->n_queues; i++)
		if (v->queue[i].stalled)
			return true;
	return false;
}

/* The netdev has a carrier while the vif has queues whose guest takes frames: without one
 * the kernel drops, and a bridge sends elsewhere, instead of queueing for nobody. */
static void set_carrier(struct control *c, struct vif *v)
{
	bool on = vif_has_queues(v) && !any_stalled(v);
	int rc = c->env.netdev_ops->set_carrier(c->env.netdev_ctx, &v->netdev, on);

	if (rc)
		log_warning(SCOPE(v), "%s: carrier: %s", v->name, strerror(-rc));
}

static void on_stalled(struct control *c, struct vif *v, struct vif_queue *q, bool stalled,
		       uint64_t now_ns)
{
	bool before = any_stalled(v);

	q->stalled = stalled;
	if (any_stalled(v) == before)
		return;
	log_limited(&v->log_limit, now_ns, LOG_LVL_WARNING, SCOPE(v),
		    stalled ? "the guest takes no frames any more: its device has no carrier until it does" :
			      "the guest takes frames again");
	set_carrier(c, v);
}

void vif_queues_gone(struct control *c, struct vif *v)
{
	const struct netdev_ops *ops = c->env.netdev_ops;
	int rc = ops->set_queues(c->env.netdev_ctx, &v->netdev, 1);

	if (rc)
		log_warning(SCOPE(v), "%s: %s", v->name, strerror(-rc));
	v->n_queues = 0;
	v->placement.beside = NULL;
	if (v->vif_slot >= 0 && c->stopping && !c->store_lost)
		vif_keep_live(c, v);
	set_carrier(c, v);
	if (v->vif_slot >= 0)
		workers_give_vif(&c->workers, (uint32_t)v->vif_slot);
	v->vif_slot = -1;
}

void vif_apply_rate(struct control *c, struct vif *v, uint64_t now_ns)
{
	if (v->vif_slot >= 0)
		credit_set(&c->workers.shared->vif[v->vif_slot].credit, v->rate.bytes, v->rate.usec,
			   now_ns);
}

void vif_detach(struct control *c, struct vif *v)
{
	placement_drop(c, v);
	for (uint32_t i = 0; i < v->n_queues; i++) {
		struct vif_queue *q = &v->queue[i];

		if (q->state != VIF_QUEUE_ATTACHING && q->state != VIF_QUEUE_ATTACHED)
			continue;
		q->state = VIF_QUEUE_DETACHING;
		workers_detach(&c->workers, q->slot);
	}
}

/* From the worker with the control ring to the owner of the queue it is about, and back.
 * A number that is no queue's comes from a datapath that lies: nobody is told. */
static void relay_grants(struct control *c, struct vif *v, const struct worker_event *e)
{
	if (e->type == WORKER_GRANTS_APPLIED && v->queue[0].state == VIF_QUEUE_ATTACHED)
		workers_note(&c->workers, v->queue[0].slot, IPC_GRANTS_DONE, e->status);
	else if (e->type == WORKER_GRANTS_STAGED && e->queue_number < v->n_queues &&
		 (v->queue[e->queue_number].state == VIF_QUEUE_ATTACHING ||
		  v->queue[e->queue_number].state == VIF_QUEUE_ATTACHED))
		workers_note(&c->workers, v->queue[e->queue_number].slot, IPC_GRANTS_APPLY, 0);
}

void vif_on_worker(struct control *c, struct vif *v, const struct worker_event *e, uint64_t now_ns)
{
	struct vif_queue *q = &v->queue[e->queue.queue];

	if (e->type == WORKER_GRANTS_STAGED || e->type == WORKER_GRANTS_APPLIED) {
		relay_grants(c, v, e);
		return;
	}
	v->due = true;
	switch (e->type) {
	case WORKER_QUEUE_ATTACHED:
		q->state = VIF_QUEUE_ATTACHED;
		on_stalled(c, v, q, false, now_ns); /* a worker before this one said so */
		if (e->status) {
			queue_gone(c, v, q);
			vif_fail(c, v, now_ns, -e->status, "queue %u: %s", e->queue.queue, e->why);
		}
		break;
	case WORKER_QUEUE_DETACHED:
		queue_gone(c, v, q);
		break;
	case WORKER_QUEUE_STALLED:
		on_stalled(c, v, q, e->status, now_ns);
		break;
	case WORKER_QUEUE_FATAL:
		vif_fail(c, v, now_ns, -e->status, "queue %u: %s%s", e->queue.queue,
			 e->status == -EPROTO ? "the guest broke the protocol: " : "", e->why);
		break;
	case WORKER_FAILED:
	case WORKER_GRANTS_STAGED:
	case WORKER_GRANTS_APPLIED:
	case WORKER_NIC_OPENED:
	case WORKER_NIC_STATIONS:
	case WORKER_PLACE:
		break;
	}
	if (v->n_queues && !vif_has_queues(v))
		vif_queues_gone(c, v);
}

/*
 * Keeps flows on their queues, and their hashes for a guest that asks for them on its control
 * ring; *kept is what the guest of live rings has set there. A kernel that will not is no
 * reason to refuse a guest.
 */
static void steer(struct control *c, struct vif *v, bool has_ctrl, struct rss *kept)
{
	int rc = 0;

	*kept = (struct rss){ 0 };
	/* A map there is may hold an earlier guest's wishes. */
	if (v->netdev.n_queues > 1 || has_ctrl || v->netdev.steering_fd >= 0)
		rc = c->env.netdev_ops->steer(c->env.netdev_ctx, &v->netdev, v->resume ? kept : NULL);
	if (!rc || c->steering_refused)
		return;
	c->steering_refused = true;
	log_warning(SCOPE(v), "the kernel takes no BPF program for the TAP (%s): flows of guests "
		    "with several queues may change queue, and their hashes do not count",
		    strerror(-rc));
}

/* What the queues need before the first of them is handed out. */
static int prepare(struct control *c, struct vif *v, const struct frontend_keys *keys)
{
	struct rss kept;
	int rc = 0;

	/* Taken over, the device has what the guest still waits for; else it is another's. */
	if (!v->resume)
		rc = c->env.netdev_ops->purge(c->env.netdev_ctx, &v->netdev);
	if (!rc)
		rc = c->env.netdev_ops->set_queues(c->env.netdev_ctx, &v->netdev, keys->n_queues);
	if (rc)
		return rc;
	steer(c, v, keys->has_ctrl, &kept);
	rc = c->env.netdev_ops->set_offload(c->env.netdev_ctx, &v->netdev, v->features);
	if (rc)
		return rc;
	v->vif_slot = workers_take_vif(&c->workers, v->id);
	if (v->vif_slot < 0)
		return v->vif_slot;
	c->workers.shared->vif[v->vif_slot].ctrl.rss[0] = kept;
	return 0;
}

/* The queue's TAP and the maps of the programs that asks, in the order of queue->maps. */
static void gather_fds(const struct netdev *nd, struct ipc_queue *queue, int fds[])
{
	uint32_t n = 0;

	fds[n++] = nd->queue_fd[queue->queue];
	if (nd->steering_fd >= 0) {
		queue->maps |= IPC_MAP_STEERING;
		fds[n++] = nd->steering_fd;
	}
	if (nd->gating.gate) {
		queue->maps |= IPC_MAP_GATE;
		fds[n++] = nd->gating.map_fd;
	}
}

/* With a NIC's worker is queue 0, if any: the others have what is left. */
static int hand_out(struct control *c, struct vif *v, const struct frontend_keys *keys, uint32_t i)
{
	uint32_t worker = i ? WORKERS_ANY : placement_worker(c, v, keys->n_queues);
	const struct frontend_queue *f = &keys->queue[i];
	struct ipc_queue queue = { .vif = v->id,
				   .vif_slot = (uint32_t)v->vif_slot,
				   .queue = i,
				   .features = v->features,
				   .offered = v->offer.features,
				   .tx_gref = f->tx_gref,
				   .rx_gref = f->rx_gref,
				   .tx_port = f->tx_port,
				   .rx_port = f->rx_port,
				   .resume = v->resume,
				   .n_queues = keys->n_queues,
				   .has_ctrl = keys->has_ctrl,
				   .ctrl_gref = keys->ctrl_gref,
				   .ctrl_port = keys->ctrl_port };
	int fds[IPC_QUEUE_FDS], slot;

	gather_fds(&v->netdev, &queue, fds);
	slot = workers_attach(&c->workers, worker, &queue, fds);
	if (slot < 0)
		return slot;
	v->queue[i] = (struct vif_queue){ .state = VIF_QUEUE_ATTACHING, .slot = (uint32_t)slot };
	c->slot_owner[slot] = v;
	v->n_queues = i + 1;
	return 0;
}

/* Opens the TAP's queues and gives each one to a worker. */
int vif_hand_out_queues(struct control *c, struct vif *v, const struct frontend_keys *keys,
			uint64_t now_ns)
{
	int rc = prepare(c, v, keys);

	if (!rc)
		vif_apply_rate(c, v, now_ns);
	for (uint32_t i = 0; !rc && i < keys->n_queues; i++)
		rc = hand_out(c, v, keys, i);
	if (v->n_queues)
		set_carrier(c, v);
	return rc;
}
