/* SPDX-License-Identifier: MIT */
/*
 * Which places are lent to (nic.h): the guest's memory is the device's there, and a frame off
 * the wire is copied by nobody.
 *
 * That needs a NIC that takes memory, and a queue of the guest's for the place alone: another
 * queue for what comes by the TAP, and our own program to keep it off the one (steering.h
 * "aside"). Whether the guest is fit for it is its worker's to say, in shared memory and at any
 * moment: of a place of either kind (IPC_BUFFERS_*, datapath/queue_lent.c). A place is one or
 * the other from its beginning to its end, so it is left and joined anew, by the usual steps,
 * without giving it to another vif between.
 *
 * A vif has an ordinary place first. It is lent to SETTLED_NS after the last change at the
 * earliest, and one that did not remain so for LASTING_NS has to wait twice as long as the time
 * before: guests change their mind as often as they like, places do not.
 */
#include "backend/control/placement_parts.h"

#include "backend/control/control.h"

#define SETTLED_NS  (1 * NS_PER_S)
#define LASTING_NS  (10 * NS_PER_S)
#define WAIT_MAX_NS (64 * NS_PER_S)

static bool may_lend(const struct nic *n, const struct vif *v)
{
	return n->ops->caps(n->device).guest_memory && v->n_queues > 1 &&
	       v->netdev.steering_fd >= 0;
}

enum ipc_lend placement_lend(const struct nic *n, const struct vif *v)
{
	if (!may_lend(n, v))
		return IPC_LEND_NEVER;
	return v->placement.lend ? IPC_LEND_NOW : IPC_LEND_ASK;
}

void placement_lend_later(struct placement *p, uint64_t now_ns)
{
	bool lasted = p->state == PLACED_NIC && now_ns - p->since_ns >= LASTING_NS;

	p->lend_wait_ns = lasted ? SETTLED_NS : MIN(MAX(2 * p->lend_wait_ns, SETTLED_NS), WAIT_MAX_NS);
	p->lend_ns = now_ns + p->lend_wait_ns;
	p->lend = false;
}

bool placement_remakes(struct control *c, struct vif *v, uint64_t now_ns, uint64_t *next)
{
	struct placement *p = &v->placement;
	uint32_t buffers = __atomic_load_n(
	    &c->workers.shared->queue[v->queue[p->queue].slot].buffers, __ATOMIC_RELAXED);
	uint64_t not_before = MAX(p->lend_ns, p->since_ns + SETTLED_NS);

	if (p->lent ? buffers == IPC_BUFFERS_LENT :
		      buffers != IPC_BUFFERS_LENDABLE || !may_lend(p->nic, v))
		return false;
	if (!p->lent && now_ns < not_before) {
		*next = MIN(*next, not_before);
		return false;
	}
	if (p->lent)
		placement_lend_later(p, now_ns);
	else
		p->lend = true;
	return true;
}

int placement_set_aside(struct control *c, struct vif *v, bool aside)
{
	struct placement *p = &v->placement;
	int rc;

	if (p->aside == aside || v->netdev.steering_fd < 0)
		return 0;
	rc = c->env.netdev_ops->set_aside(c->env.netdev_ctx, &v->netdev, aside ? p->queue + 1 : 0);
	if (!rc || !aside)
		p->aside = aside;
	return rc;
}
