/* SPDX-License-Identifier: MIT */
/*
 * A vif's situation and steps. Each step either does what it says or gives the vif
 * up (vif_fail); the state machine then closes it, and no other vif is touched.
 *
 * Nothing is ever written into a backend directory that is not there: the toolstack
 * may remove it at any instant, and a key written a moment later would bring half of
 * it back. So every write is a transaction that looks first.
 */
#include "backend/control/vif.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/control/control.h"
#include "features.h"

#define STEPS_MAX 16 /* a life from one end to the other takes fewer */

#define SCOPE(v) (&(const struct log_scope){ &(v)->id, -1 })

const char *vif_hotplug_name(enum vif_hotplug h)
{
	static const char *const name[] = {
		[VIF_HOTPLUG_WAITING] = "waiting",
		[VIF_HOTPLUG_LATE] = "timed-out",
		[VIF_HOTPLUG_FAILED] = "failed",
		[VIF_HOTPLUG_DONE] = "connected",
	};

	return name[h];
}

/* ---- writing ---- */

struct state_write {
	const struct vif *v;
	enum xenbus_state state;
	bool prepare;	     /* with everything a frontend wants to know at InitWait */
	uint32_t max_queues; /* of prepare */
};

static int write_features(struct store *s, xs_transaction_t t, const struct state_write *w)
{
	char value[16];
	int rc = 0;

	for (const struct offered_key *f = backend_features; !rc && f->key; f++)
		rc = store_write(s, t, f->value, "%s/%s", w->v->path, f->key);
	snprintf(value, sizeof(value), "%u", w->max_queues);
	if (!rc)
		rc = store_write(s, t, value, "%s/multi-queue-max-queues", w->v->path);
	return rc;
}

static int write_state_in(struct store *s, xs_transaction_t t, void *arg)
{
	const struct state_write *w = arg;
	char value[16];
	uint32_t found;
	int rc;

	rc = store_read_uint(s, t, XENBUS_N_STATES - 1, &found, "%s/state", w->v->path);
	if (rc == -ENOENT)
		return rc;
	/* The toolstack's Closing is not to be lost under a state of ours. */
	if (!rc && found != w->v->stored)
		return -ECANCELED;
	rc = 0;
	if (w->prepare)
		rc = write_features(s, t, w);
	snprintf(value, sizeof(value), "%d", w->state);
	return rc ? rc : store_write(s, t, value, "%s/state", w->v->path);
}

/* Returns whether v is in the new state now. */
static bool write_state(struct control *c, struct vif *v, struct state_write *w)
{
	int rc;

	w->v = v;
	if (w->state != v->state && !xenbus_backend_may_move(v->state, w->state))
		log_warning(SCOPE(v), "state %s after %s", xenbus_state_name(w->state),
			    xenbus_state_name(v->state));
	rc = store_transact(&c->store, write_state_in, w);
	if (rc == -ECANCELED) {
		v->due = true; /* look again: the step may be another now */
		return false;
	}
	if (rc && rc != -ENOENT)
		log_error(SCOPE(v), "writing state %s: %s", xenbus_state_name(w->state), strerror(-rc));
	else if (!rc)
		log_debug(SCOPE(v), "state %s", xenbus_state_name(w->state));
	/* What cannot be written is not tried again and again: the next look at the
	 * store says what is there. */
	v->state = w->state;
	v->stored = w->state;
	return true;
}

static bool move_to(struct control *c, struct vif *v, enum xenbus_state state)
{
	struct state_write w = { .state = state };

	return write_state(c, v, &w);
}

struct error_write {
	const struct vif *v;
	const char *text;
};

static int write_error_in(struct store *s, xs_transaction_t t, void *arg)
{
	const struct error_write *w = arg;

	if (!store_exists(s, t, "%s/state", w->v->path))
		return -ENOENT;
	return store_write(s, t, w->text, "error/%s/error", w->v->path);
}

void vif_fail(struct control *c, struct vif *v, uint64_t now_ns, int err, const char *fmt, ...)
{
	struct error_write w = { v, NULL };
	char text[sizeof(v->error) + 16];
	va_list ap;
	int rc;

	if (v->failed)
		return; /* the first reason is the one to know */
	va_start(ap, fmt);
	vsnprintf(v->error, sizeof(v->error), fmt, ap);
	va_end(ap);
	v->failed = true;
	v->due = true;
	log_limited(&v->log_limit, now_ns, LOG_LVL_ERROR, SCOPE(v), "given up: %s", v->error);
	/* As the kernel's xenbus_dev_error(): the errno, then the words. */
	snprintf(text, sizeof(text), "%d %s", err, v->error);
	w.text = text;
	rc = store_transact(&c->store, write_error_in, &w);
	if (rc && rc != -ENOENT)
		log_limited(&v->log_limit, now_ns, LOG_LVL_WARNING, SCOPE(v),
			    "writing the error node: %s", strerror(-rc));
}

/* Removes the error node, and with the last of a domain's the directory they were in:
 * domids only grow, and a driver domain has a quota of nodes. */
static void remove_error_node(struct control *c, const struct vif *v)
{
	char **names = NULL;
	unsigned n;

	if (!store_exists(&c->store, XBT_NULL, "error/%s", v->path))
		return;
	(void)store_remove(&c->store, XBT_NULL, "error/%s", v->path);
	if (!store_list(&c->store, XBT_NULL, &names, &n, "error/backend/vif/%u", v->id.domid) && !n)
		(void)store_remove(&c->store, XBT_NULL, "error/backend/vif/%u", v->id.domid);
	free(names);
}

static void clear_error(struct control *c, struct vif *v)
{
	if (v->failed)
		remove_error_node(c, v);
	v->failed = false;
	v->error[0] = '\0';
}

/* ---- queues ---- */

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

static bool queues_busy(const struct vif *v)
{
	return count_queues(v, VIF_QUEUE_ATTACHING) || count_queues(v, VIF_QUEUE_DETACHING);
}

/* Any: when only some could be attached the vif has failed, and those go back. */
static bool queues_attached(const struct vif *v)
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

void vif_counters(const struct control *c, const struct vif *v, struct queue_counters *out)
{
	*out = v->retired;
	for (uint32_t i = 0; i < v->n_queues; i++)
		if (v->queue[i].state != VIF_QUEUE_NONE)
			add_counters(out, &c->workers.shared[v->queue[i].slot].counters);
}

static void queue_gone(struct control *c, struct vif *v, struct vif_queue *q)
{
	add_counters(&v->retired, &c->workers.shared[q->slot].counters);
	c->slot_owner[q->slot] = NULL;
	q->state = VIF_QUEUE_NONE;
}

/* All queues are back: the netdev stays, with one queue and no carrier, so that the
 * kernel drops frames nobody would read. */
static void queues_gone(struct control *c, struct vif *v)
{
	const struct netdev_ops *ops = c->env.netdev_ops;
	int rc = ops->set_queues(c->env.netdev_ctx, &v->netdev, 1);

	if (!rc)
		rc = ops->set_carrier(c->env.netdev_ctx, &v->netdev, false);
	if (rc)
		log_warning(SCOPE(v), "%s: %s", v->name, strerror(-rc));
	v->n_queues = 0;
}

void vif_detach(struct control *c, struct vif *v)
{
	for (uint32_t i = 0; i < v->n_queues; i++) {
		struct vif_queue *q = &v->queue[i];

		if (q->state != VIF_QUEUE_ATTACHING && q->state != VIF_QUEUE_ATTACHED)
			continue;
		q->state = VIF_QUEUE_DETACHING;
		workers_detach(&c->workers, q->slot);
	}
}

void vif_on_worker(struct control *c, struct vif *v, const struct worker_event *e, uint64_t now_ns)
{
	struct vif_queue *q = &v->queue[e->queue.queue];

	v->due = true;
	switch (e->type) {
	case WORKER_QUEUE_ATTACHED:
		q->state = VIF_QUEUE_ATTACHED;
		if (e->status) {
			queue_gone(c, v, q);
			vif_fail(c, v, now_ns, -e->status, "queue %u: %s", e->queue.queue, e->why);
		}
		break;
	case WORKER_QUEUE_DETACHED:
		queue_gone(c, v, q);
		break;
	case WORKER_QUEUE_FATAL:
		vif_fail(c, v, now_ns, -e->status, "queue %u: %s%s", e->queue.queue,
			 e->status == -EPROTO ? "the guest broke the protocol: " : "", e->why);
		break;
	case WORKER_FAILED:
		break;
	}
	if (v->n_queues && !vif_has_queues(v))
		queues_gone(c, v);
}

/* ---- steps ---- */

static struct vif *same_device(struct control *c, const struct vif *v)
{
	for (uint32_t i = 0; i < c->n_vifs; i++) {
		struct vif *other = c->vif[i];

		if (other != v && other->keys_read &&
		    (!strcmp(other->keys.frontend, v->keys.frontend) ||
		     !strcmp(other->name, v->name)))
			return other;
	}
	return NULL;
}

static int read_backend_keys(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct keys_error err;
	struct vif *other;
	bool same_frontend;
	int rc;

	rc = keys_read_backend(&c->store, v->path, v->id, &v->keys, &err);
	if (rc) {
		vif_fail(c, v, now_ns, -rc, "%s", err.text);
		return rc;
	}
	snprintf(v->name, sizeof(v->name), "vif%u.%u", v->id.domid, v->keys.handle);
	other = same_device(c, v);
	if (other) {
		same_frontend = !strcmp(other->keys.frontend, v->keys.frontend);
		/* Its own directory is what tells it from the other. */
		snprintf(v->name, sizeof(v->name), "vif%u.%u", v->id.domid, v->id.devid);
		vif_fail(c, v, now_ns, EEXIST, "the same %s as %s",
			 same_frontend ? "frontend" : "handle", other->path);
		return -EEXIST;
	}
	v->keys_read = true;
	return 0;
}

static void watch_frontend(struct control *c, struct vif *v)
{
	char token[64];
	int rc;

	if (v->watching || !v->keys_read)
		return;
	snprintf(token, sizeof(token), "f/%u/%u", v->id.domid, v->id.devid);
	rc = store_watch(&c->store, token, "%s/state", v->keys.frontend);
	if (rc)
		log_error(SCOPE(v), "watching the frontend: %s", strerror(-rc));
	v->watching = !rc;
}

static void unwatch_frontend(struct control *c, struct vif *v)
{
	char token[64];

	if (!v->watching)
		return;
	snprintf(token, sizeof(token), "f/%u/%u", v->id.domid, v->id.devid);
	if (store_unwatch(&c->store, token, "%s/state", v->keys.frontend))
		log_debug(SCOPE(v), "the frontend's watch is gone");
	v->watching = false;
}

static int open_netdev(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct netdev_error err = { "" };
	int rc;

	if (v->netdev_ready)
		return 0;
	rc = c->env.netdev_ops->open(c->env.netdev_ctx, &v->netdev, v->name,
				     v->keys.vifname[0] ? v->keys.vifname : NULL, &err);
	if (rc) {
		vif_fail(c, v, now_ns, -rc, "%s", err.text);
		return rc;
	}
	v->netdev_ready = true;
	if (v->netdev.adopted)
		log_info(SCOPE(v), "took over the netdev %s", v->name);
	return 0;
}

static void step_prepare(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct state_write w = { .state = XenbusStateInitWait,
				 .prepare = true,
				 .max_queues = c->config.max_queues };

	if (open_netdev(c, v, now_ns))
		return;
	remove_error_node(c, v); /* an earlier vif's of this name */
	if (v->state != XenbusStateInitialising && v->state != XenbusStateInitWait &&
	    v->state != XenbusStateUnknown)
		w.state = v->state; /* taken over in the middle of its life */
	write_state(c, v, &w);
}

/* Opens the TAP's queues and gives each one to a worker. */
static int hand_out_queues(struct control *c, struct vif *v, const struct frontend_keys *keys)
{
	int rc = c->env.netdev_ops->set_queues(c->env.netdev_ctx, &v->netdev, keys->n_queues);

	if (!rc)
		rc = c->env.netdev_ops->set_offload(c->env.netdev_ctx, &v->netdev, v->features);
	if (!rc)
		rc = c->env.netdev_ops->set_carrier(c->env.netdev_ctx, &v->netdev, true);
	for (uint32_t i = 0; !rc && i < keys->n_queues; i++) {
		const struct frontend_queue *f = &keys->queue[i];
		struct ipc_queue queue = { .vif = v->id,
					   .queue = i,
					   .features = v->features,
					   .tx_gref = f->tx_gref,
					   .rx_gref = f->rx_gref,
					   .tx_port = f->tx_port,
					   .rx_port = f->rx_port,
					   .resume = v->resume };
		int slot = workers_attach(&c->workers, &queue, v->netdev.queue_fd[i]);

		if (slot < 0)
			return slot;
		v->queue[i] = (struct vif_queue){ VIF_QUEUE_ATTACHING, (uint32_t)slot };
		c->slot_owner[slot] = v;
		v->n_queues = i + 1;
	}
	return rc;
}

static void step_attach(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct frontend_keys keys;
	struct keys_error err;
	int rc;

	rc = keys_read_frontend(&c->store, v->keys.frontend, c->config.max_queues, &keys, &err);
	if (rc) {
		vif_fail(c, v, now_ns, -rc, "%s", err.text);
		return;
	}
	v->split_events = keys.queue[0].tx_port != keys.queue[0].rx_port;
	v->features = keys.features | (v->split_events ? VIF_SPLIT_EVENTS : 0);
	rc = hand_out_queues(c, v, &keys);
	if (rc)
		vif_fail(c, v, now_ns, -rc, "attaching %u queues: %s", keys.n_queues, strerror(-rc));
	if (!v->n_queues)
		queues_gone(c, v);
	v->resume = false;
}

static void step_announce(struct control *c, struct vif *v, uint64_t now_ns)
{
	if (move_to(c, v, XenbusStateConnected))
		log_limited(&v->log_limit, now_ns, LOG_LVL_INFO, SCOPE(v), "connected: %u queue%s",
			    v->n_queues, v->n_queues == 1 ? "" : "s");
}

static void step_detach(struct control *c, struct vif *v, uint64_t now_ns)
{
	(void)now_ns;
	vif_detach(c, v);
}

static void step_closing(struct control *c, struct vif *v, uint64_t now_ns)
{
	(void)now_ns;
	move_to(c, v, XenbusStateClosing);
}

static void step_closed(struct control *c, struct vif *v, uint64_t now_ns)
{
	if (!move_to(c, v, XenbusStateClosed))
		return;
	v->asked_to_close = false;
	log_limited(&v->log_limit, now_ns, LOG_LVL_INFO, SCOPE(v), "closed");
}

static void step_reopen(struct control *c, struct vif *v, uint64_t now_ns)
{
	clear_error(c, v);
	v->state = XenbusStateInitialising;
	if (!v->keys_read && read_backend_keys(c, v, now_ns))
		return;
	watch_frontend(c, v);
	step_prepare(c, v, now_ns);
}

typedef void (*step_fn)(struct control *c, struct vif *v, uint64_t now_ns);

static const step_fn steps[] = {
	[VIF_PREPARE] = step_prepare,	    [VIF_ATTACH] = step_attach,
	[VIF_ANNOUNCE] = step_announce,	    [VIF_DETACH] = step_detach,
	[VIF_ENTER_CLOSING] = step_closing, [VIF_ENTER_CLOSED] = step_closed,
	[VIF_REOPEN] = step_reopen,
};

/* ---- looking ---- */

/* What the toolstack did to our own state since we wrote it. */
static void look_at_state(struct vif *v, enum xenbus_state found)
{
	v->stored = found;
	if (found == v->state)
		return;
	if (found == XenbusStateClosing) {
		v->asked_to_close = true;
		if (v->state == XenbusStateClosed)
			v->state = XenbusStateClosing; /* wants to see Closed once more */
	} else if (found == XenbusStateInitialising) {
		v->replaced = true; /* the directory was removed and made anew */
	}
}

static void look_at_hotplug(struct control *c, struct vif *v, uint64_t now_ns)
{
	enum vif_hotplug before = v->hotplug;
	char status[32], why[128];
	int rc = store_read(&c->store, XBT_NULL, status, sizeof(status), "%s/hotplug-status", v->path);

	if (store_exists(&c->store, XBT_NULL, "%s/hotplug-error", v->path) ||
	    (!rc && !strcmp(status, "error")))
		v->hotplug = VIF_HOTPLUG_FAILED;
	else if (rc == -ENOENT || (!rc && !strcmp(status, "connected")))
		v->hotplug = VIF_HOTPLUG_DONE;
	else if (v->hotplug != VIF_HOTPLUG_LATE)
		v->hotplug = VIF_HOTPLUG_WAITING;

	/* The script is run once we are in InitWait; from Closing on nobody waits for it. */
	if (v->hotplug != VIF_HOTPLUG_WAITING ||
	    (v->state != XenbusStateInitWait && v->state != XenbusStateConnected))
		v->hotplug_deadline_ns = 0;
	else if (!v->hotplug_deadline_ns)
		v->hotplug_deadline_ns = now_ns + c->config.hotplug_timeout_s * NS_PER_S;

	if (v->hotplug == VIF_HOTPLUG_FAILED && before != VIF_HOTPLUG_FAILED) {
		if (store_read(&c->store, XBT_NULL, why, sizeof(why), "%s/hotplug-error", v->path))
			snprintf(why, sizeof(why), "it says no more");
		log_error(SCOPE(v), "the hotplug script failed: %s", why);
	}
	if (v->hotplug_deadline_ns && now_ns >= v->hotplug_deadline_ns) {
		v->hotplug = VIF_HOTPLUG_LATE;
		v->hotplug_deadline_ns = 0;
		log_error(SCOPE(v), "no answer from the hotplug script for %u s: still waiting",
			  c->config.hotplug_timeout_s);
	}
}

static void look_at_frontend(struct control *c, struct vif *v, uint64_t now_ns)
{
	uint32_t state = XenbusStateUnknown;
	int rc;

	if (!v->keys_read) {
		v->frontend = XenbusStateInitialising; /* not known: nothing to wait for */
		return;
	}
	rc = store_read_uint(&c->store, XBT_NULL, XENBUS_N_STATES - 1, &state, "%s/state",
			     v->keys.frontend);
	if (rc == -EINVAL || rc == -ERANGE || rc == -EILSEQ || rc == -ENAMETOOLONG)
		vif_fail(c, v, now_ns, EINVAL, "parsing state in the frontend directory");
	/* A failed vif is started over when its frontend is: a kexec'd kernel, a reloaded
	 * driver. */
	if ((v->state == XenbusStateClosing || v->state == XenbusStateClosed) && !rc &&
	    state == XenbusStateInitialising && v->frontend != XenbusStateInitialising)
		v->failed = false;
	v->frontend = rc ? XenbusStateUnknown : (enum xenbus_state)state;
}

/* Returns false when xenstore does not answer. */
static bool look(struct control *c, struct vif *v, uint64_t now_ns, struct vif_situation *s)
{
	uint32_t found, online = 0;
	int rc;

	*s = (struct vif_situation){ .backend_exists = false };
	rc = store_read_uint(&c->store, XBT_NULL, XENBUS_N_STATES - 1, &found, "%s/state", v->path);
	if (rc && rc != -ENOENT && rc != -EINVAL && rc != -ERANGE)
		return false;
	if (!rc)
		look_at_state(v, (enum xenbus_state)found);
	s->backend_exists = !v->replaced && rc != -ENOENT;
	if (s->backend_exists) {
		if (rc)
			vif_fail(c, v, now_ns, EINVAL, "parsing state in the backend directory");
		if (store_read_uint_or(&c->store, XBT_NULL, 1, 0, &online, "%s/online", v->path))
			online = 0;
		look_at_hotplug(c, v, now_ns);
		look_at_frontend(c, v, now_ns);
	}
	v->online = online;
	s->backend = v->state;
	s->frontend = v->frontend;
	s->online = online;
	/* libxl writes online=0 along with its Closing, which may coincide with ours. */
	s->asked_to_close = v->asked_to_close || (v->state == XenbusStateClosing && !online);
	s->hotplug_done = v->hotplug == VIF_HOTPLUG_DONE;
	s->hotplug_failed = v->hotplug == VIF_HOTPLUG_FAILED;
	s->netdev_ready = v->netdev_ready;
	s->queues_attached = queues_attached(v);
	s->queues_busy = queues_busy(v);
	s->failed = v->failed;
	return true;
}

/* Whether v may be looked at now; else when. */
static bool pass_allowed(struct vif *v, uint64_t now_ns)
{
	uint64_t refill = (now_ns - v->last_pass_ns) / VIF_PASS_NS;

	v->n_passes -= (uint32_t)MIN(refill, v->n_passes);
	if (refill)
		v->last_pass_ns = now_ns;
	if (v->n_passes >= VIF_PASS_BURST) {
		v->not_before_ns = now_ns + VIF_PASS_NS;
		return false;
	}
	v->n_passes++;
	v->not_before_ns = 0;
	return true;
}

bool vif_pass(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct vif_situation s;
	enum vif_step step;

	if (!pass_allowed(v, now_ns))
		return false;
	v->due = false;
	for (int i = 0; i < STEPS_MAX; i++) {
		if (!look(c, v, now_ns, &s))
			return false;
		step = vif_next_step(&s);
		if (step == VIF_STAY)
			return false;
		log_debug(SCOPE(v), "step %s (backend %s, frontend %s)", vif_step_name(step),
			  xenbus_state_name(s.backend), xenbus_state_name(s.frontend));
		if (step == VIF_FORGET)
			return true;
		steps[step](c, v, now_ns);
	}
	vif_fail(c, v, now_ns, ELOOP, "no end of steps, the last was %s", vif_step_name(step));
	return false;
}

/* ---- life of the object ---- */

/* An earlier vifd, or none of them, was here: 'found' is the state it left. */
static void take_over(struct control *c, struct vif *v, uint64_t now_ns)
{
	if (v->state != XenbusStateInitWait && v->state != XenbusStateConnected)
		return;
	v->resume = v->state == XenbusStateConnected;
	if (open_netdev(c, v, now_ns))
		return;
	if (!v->netdev.adopted)
		log_warning(SCOPE(v),
			    "was %s, but its netdev is gone: made a new one that is in no bridge",
			    xenbus_state_name(v->state));
}

int vif_new(struct control *c, struct vif_id id, uint64_t now_ns, struct vif **out)
{
	struct vif *v = calloc(1, sizeof(*v));
	uint32_t state;
	int rc;

	if (!v)
		return -ENOMEM;
	v->id = id;
	v->due = true;
	v->last_pass_ns = now_ns;
	snprintf(v->path, sizeof(v->path), "backend/vif/%u/%u", id.domid, id.devid);
	snprintf(v->name, sizeof(v->name), "vif%u.%u", id.domid, id.devid);
	rc = store_read_uint(&c->store, XBT_NULL, XENBUS_N_STATES - 1, &state, "%s/state", v->path);
	if (rc == -ENOENT) {
		free(v); /* going away, or not all there yet */
		return -ENOENT;
	}
	v->state = rc ? XenbusStateUnknown : (enum xenbus_state)state;
	v->stored = v->state;
	if (!read_backend_keys(c, v, now_ns)) {
		watch_frontend(c, v);
		take_over(c, v, now_ns);
	}
	*out = v;
	return 0;
}

void vif_free(struct control *c, struct vif *v, bool destroy_netdev)
{
	unwatch_frontend(c, v);
	if (destroy_netdev)
		clear_error(c, v);
	if (v->netdev_ready)
		c->env.netdev_ops->close(c->env.netdev_ctx, &v->netdev, destroy_netdev);
	free(v);
}
