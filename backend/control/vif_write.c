/* SPDX-License-Identifier: MIT */
/*
 * What a vif writes into xenstore: its states with what belongs to them, its error node.
 *
 * Nothing is ever written into a backend directory that is not there: the toolstack
 * may remove it at any instant, and a key written a moment later would bring half of
 * it back. So every write is a transaction that looks first.
 */
#include "backend/control/vif_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/control/control.h"
#include "features.h"

static int write_features(struct store *s, xs_transaction_t t, const struct state_write *w)
{
	char value[16];
	int rc = 0;

	for (const struct offered_key *k = backend_features; !rc && k->key; k++) {
		bool has = w->offer->features & k->bit;

		rc = store_write(s, t, has != k->inverted ? "1" : "0", "%s/%s", w->v->path, k->key);
	}
	snprintf(value, sizeof(value), "%u", w->offer->max_queues);
	if (!rc)
		rc = store_write(s, t, value, "%s/multi-queue-max-queues", w->v->path);
	/* Until more is known. A "0" of an earlier life must not outlast it. */
	if (!rc)
		rc = store_write(s, t, "1", "%s/carrier", w->v->path);
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
	if (w->offer)
		rc = write_features(s, t, w);
	snprintf(value, sizeof(value), "%d", w->state);
	return rc ? rc : store_write(s, t, value, "%s/state", w->v->path);
}

/* Returns whether v is in the new state now. */
bool vif_write_state(struct control *c, struct vif *v, struct state_write *w)
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

bool vif_move_to(struct control *c, struct vif *v, enum xenbus_state state)
{
	struct state_write w = { .state = state };

	return vif_write_state(c, v, &w);
}

struct key_write {
	const char *dir, *key, *value;
};

static int write_key_in(struct store *s, xs_transaction_t t, void *arg)
{
	const struct key_write *w = arg;

	if (!store_exists(s, t, "%s/state", w->dir))
		return -ENOENT;
	return store_write(s, t, w->value, "%s/%s", w->dir, w->key);
}

int vif_write_key(struct control *c, const char *dir, const char *key, const char *value)
{
	struct key_write w = { dir, key, value };

	return store_transact(&c->store, write_key_in, &w);
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
void vif_remove_error_node(struct control *c, const struct vif *v)
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

void vif_clear_error(struct control *c, struct vif *v)
{
	if (v->failed)
		vif_remove_error_node(c, v);
	v->failed = false;
	v->error[0] = '\0';
}
