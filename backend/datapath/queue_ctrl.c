/* SPDX-License-Identifier: MIT */
/*
 * A vif's control ring, served beside the queue 0 it came with, and the static grants of
 * every queue.
 *
 * The ring is handled like the other two: indices bounded, each request copied out once,
 * answers noted before they are written, the port unmasked only when the ring was found
 * dry. Its requests are libvif/ctrl.h's. One is under way at a time; an ADD or DEL of grants
 * is carried out by the owner of the queue it names. If that is another queue it may be
 * another worker: control carries the word there and back.
 */
#include "queue_pass.h"

#include <stdlib.h>

#include "ctrl.h"

/* Requests served in one pass: a guest that floods its ring takes this much of a turn. */
#define CTRL_BATCH 4u

/* Between two requests about another queue's grants: each costs control's one thread four
 * messages, and that is everybody's. */
#define CTRL_RELAY_NS NS_PER_MS

struct queue_ctrl {
	struct ring ring;
	int port;
	bool masked;   /* the port fired and is unmasked once the ring is dry */
	bool applying; /* the request under way is with the owner of the queue it names */
	bool staged;   /* ... and that is to be told */
	struct ctrl_server ctrl;
};

/* The queue's own grants, and what came of the last list. */
struct queue_grants {
	struct static_grants pages;
	bool applied;
	int status;
};

/* ---- life ---- */

static int open_ring(struct queue *q, const struct ipc_queue *cfg, const char **step)
{
	struct ctrl_memory *memory = &q->shared_vif->ctrl;
	struct queue_ctrl *c = calloc(1, sizeof(*c));
	void *page;
	int err;

	if (!c)
		return -ENOMEM;
	c->port = -1;
	q->ctrl = c;
	*step = "mapping ctrl-ring-ref";
	err = grant_map(q->env->grants, q->vif.domid, cfg->ctrl_gref, &page);
	if (err)
		return err;
	c->ring.page = page;
	*step = "reading the control ring's indices";
	err = ctrl_ring_attach(&c->ring, page, &memory->journal, cfg->resume);
	if (err)
		return err;
	*step = "binding event-channel-ctrl";
	c->port = event_bind(q->env->events, q->vif.domid, cfg->ctrl_port);
	if (c->port < 0)
		return c->port;
	ctrl_init(&c->ctrl, memory, cfg->n_queues, q->steering != NULL, cfg->resume);
	/* An earlier process may have died before it told. */
	if (q->steering && cfg->resume)
		rss_commit(q->steering, ctrl_rss(memory));
	q->ctrl_due = true;
	return 0;
}

int queue_ctrl_open(struct queue *q, const struct ipc_queue *cfg, const char **step)
{
	if (!cfg->has_ctrl)
		return 0;
	*step = "allocating the control ring's state";
	if (cfg->queue >= CTRL_QUEUES_MAX)
		return -EINVAL;
	q->grants = calloc(1, sizeof(*q->grants));
	if (!q->grants)
		return -ENOMEM;
	static_grants_init(&q->grants->pages, q->env->grants, q->vif.domid,
			   &q->shared_vif->ctrl.grants[cfg->queue], cfg->resume);
	q->grants->pages.on_unmap = posted_on_unmap;
	q->grants->pages.on_unmap_arg = q;
	q->grants_due = static_grants_busy(&q->grants->pages);
	return cfg->queue == 0 ? open_ring(q, cfg, step) : 0;
}

void queue_ctrl_close(struct queue *q)
{
	if (q->grants)
		static_grants_fini(&q->grants->pages);
	free(q->grants);
	q->grants = NULL;
	if (!q->ctrl)
		return;
	if (q->ctrl->port >= 0)
		event_unbind(q->env->events, (evtchn_port_t)q->ctrl->port);
	if (q->ctrl->ring.page)
		grant_unmap(q->env->grants, q->ctrl->ring.page);
	free(q->ctrl);
	q->ctrl = NULL;
}

int queue_ctrl_port(const struct queue *q)
{
	return q->ctrl ? q->ctrl->port : -1;
}

void queue_ctrl_carry_on(struct queue *q)
{
	if (!q->ctrl)
		return;
	(void)!ring_publish(&q->ctrl->ring);
	event_send(q->env->events, (evtchn_port_t)q->ctrl->port);
}

/* ---- requests ---- */

void queue_ctrl_on_event(struct queue *q)
{
	counter_add(&q->counters->ctrl_events, 1);
	q->ctrl->masked = true;
	q->ctrl_due = !q->broken && !q->ctrl->applying && !q->ctrl_wait_ns;
}

static bool copy_page(struct queue *q, bool to_guest)
{
	struct ctrl_server *c = &q->ctrl->ctrl;
	grant_op op;

	if (to_guest)
		grant_op_to_guest(&op, q->vif.domid, c->gref, 0, c->page.bytes,
				  (uint16_t)c->n_bytes);
	else
		grant_op_from_guest(&op, q->vif.domid, c->gref, 0, c->page.bytes,
				    (uint16_t)c->n_bytes);
	grant_copy(q->env->grants, &op, 1);
	return op.status == GNTST_okay;
}

static void answer(struct queue *q)
{
	struct ctrl_server *c = &q->ctrl->ctrl;

	counter_add(&q->counters->ctrl_requests, 1);
	if (c->rsp.status != XEN_NETIF_CTRL_STATUS_SUCCESS)
		counter_add(&q->counters->ctrl_refused, 1);
	if (c->rss_changed)
		rss_commit(q->steering, ctrl_rss(c->memory));
	ctrl_respond(&q->ctrl->ring, &c->rsp);
	queue_publish(q, &q->ctrl->ring, q->ctrl->port, &q->counters->ctrl_notifies);
}

/* Carries the request on until it is answered or with another queue's owner. */
static void go_on(struct queue *q, enum ctrl_need need)
{
	struct queue_ctrl *c = q->ctrl;

	for (;;) {
		switch (need) {
		case CTRL_FETCH:
			need = ctrl_fetched(&c->ctrl, copy_page(q, false));
			break;
		case CTRL_STORE:
			need = ctrl_stored(&c->ctrl, copy_page(q, true));
			break;
		case CTRL_APPLY:
			c->applying = true;
			c->staged = c->ctrl.queue != q->number;
			if (!c->staged)
				queue_grants_apply(q);
			return;
		case CTRL_ANSWER:
			answer(q);
			return;
		}
	}
}

bool queue_ctrl_staged(struct queue *q, uint32_t *number)
{
	if (!q->ctrl || !q->ctrl->staged)
		return false;
	q->ctrl->staged = false;
	*number = q->ctrl->ctrl.queue;
	return true;
}

static void end_applying(struct queue *q, bool done)
{
	q->ctrl->applying = false;
	q->ctrl_due = !q->ctrl_wait_ns;
	go_on(q, ctrl_applied(&q->ctrl->ctrl, done));
}

void queue_ctrl_applied(struct queue *q, bool done)
{
	if (!q->ctrl || !q->ctrl->applying || q->broken)
		return;
	q->ctrl_wait_ns = q->env->now_ns + CTRL_RELAY_NS;
	end_applying(q, done);
}

/* ring_pending()'s error or 0. */
static int serve_ring(struct queue *q)
{
	struct queue_ctrl *c = q->ctrl;
	struct xen_netif_ctrl_request req;
	int pending = 0;

	for (uint32_t n = 0; n < CTRL_BATCH && !c->applying; n++) {
		pending = ring_pending(&c->ring);
		if (pending <= 0)
			break;
		ctrl_peek(&c->ring, &req);
		ring_consume(&c->ring, 1);
		go_on(q, ctrl_begin(&c->ctrl, c->ring.req_cons - 1, &req));
	}
	if (pending == 0)
		pending = ring_arm(&c->ring, 1);
	q->ctrl_due = pending > 0 && !c->applying;
	return MIN(pending, 0);
}

/* ---- the queue's own grants ---- */

void queue_grants_apply(struct queue *q)
{
	if (!q->grants)
		return;
	static_grants_apply(&q->grants->pages);
	q->grants_due = !q->broken;
}

uint64_t queue_grants_release(struct queue *q)
{
	posted_end(q);
	if (q->grants && static_grants_release(&q->grants->pages))
		return q->env->now_ns;
	return posted_is_recalled(q) ? q->env->now_ns + LENT_LOOK_NS : UINT64_MAX;
}

struct static_grants *queue_static_grants(const struct queue *q)
{
	return q->grants ? &q->grants->pages : NULL;
}

bool queue_grants_applied(struct queue *q, int *status)
{
	if (!q->grants || !q->grants->applied)
		return false;
	q->grants->applied = false;
	*status = q->grants->status;
	return true;
}

static void step_grants(struct queue *q)
{
	struct queue_grants *g = q->grants;
	struct log_scope scope = queue_scope(q);
	int status = 0;
	bool ended;

	q->grants_due = false;
	if (lent_holds_grants(q))
		return; /* it is due when the place is left */
	posted_end(q); /* no buffer of theirs is posted while they change */
	ended = static_grants_step(&g->pages, &status);
	q->grants_due = static_grants_busy(&g->pages);
	if (!ended)
		return;
	if (status == -ENOSPC)
		log_limited(&q->limit, q->env->now_ns, LOG_LVL_WARNING, &scope,
			    "static grants refused: no mappings left (sysctl vm.max_map_count)");
	if (q->ctrl && q->ctrl->applying && q->ctrl->ctrl.queue == q->number) {
		end_applying(q, status == 0);
		return;
	}
	g->applied = true;
	g->status = status;
}

uint32_t queue_copy(struct queue *q, uint32_t n)
{
	struct queue_scratch *s = q->env->scratch;
	uint32_t n_rest;

	if (!q->grants || !q->grants->pages.n_mapped) {
		grant_copy(q->env->grants, s->ops, n);
		return n;
	}
	n_rest = static_grants_copy(&q->grants->pages, s->ops, n, s->rest);
	for (uint32_t i = 0; i < n_rest; i++)
		s->rest_ops[i] = s->ops[s->rest[i]];
	if (n_rest)
		grant_copy(q->env->grants, s->rest_ops, n_rest);
	for (uint32_t i = 0; i < n_rest; i++)
		s->ops[s->rest[i]].status = s->rest_ops[i].status;
	return n_rest;
}

void queue_copy_to_guest(struct queue *q, uint32_t n)
{
	uint32_t n_left = queue_copy(q, n);

	counter_add(&q->counters->to_guest_grant_ops, n_left);
	counter_add(&q->counters->to_guest_static_copies, n - n_left);
}

/* ---- passes ---- */

enum vif_verdict queue_ctrl_pass(struct queue *q)
{
	if (q->broken)
		return VIF_OK;
	if (q->grants_due)
		step_grants(q);
	if (!q->ctrl_due || !serve_ring(q))
		return VIF_OK;
	queue_break(q, "control ring's producer is more than a ring ahead");
	return VIF_FATAL;
}

void queue_ctrl_settle(struct queue *q)
{
	struct queue_ctrl *c = q->ctrl;

	if (!c || !c->masked || q->ctrl_due || q->ctrl_wait_ns || c->applying)
		return;
	c->masked = false;
	event_unmask(q->env->events, (evtchn_port_t)c->port);
}
