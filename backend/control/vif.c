/* SPDX-License-Identifier: MIT */
/*
 * A vif's steps through life. Each step either does what it says or gives the vif
 * up (vif_fail); the state machine then closes it, and no other vif is touched.
 */
#include "backend/control/vif_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/control/control.h"

#define STEPS_MAX 16 /* a life from one end to the other takes fewer */

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
	rc = store_watch(&c->store, token, "%s", v->keys.frontend);
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
	if (store_unwatch(&c->store, token, "%s", v->keys.frontend))
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
	vif_on_links(c, v);
	if (!v->netdev.gating.gate && !c->gating_refused) {
		c->gating_refused = true;
		log_warning(SCOPE(v), "what waits for a guest is bounded in frames only: the kernel lets "
			    "no BPF program count it (%s)",
			    strerror(-v->netdev.gating.map_fd));
	}
	if (v->netdev.adopted)
		log_info(SCOPE(v), "took over the netdev %s", v->name);
	return 0;
}

static void step_prepare(struct control *c, struct vif *v, uint64_t now_ns)
{
	const struct backend_offer offer = {
		.features = features_usable(features_offerable() & ~c->config.withheld),
		.max_queues = config_max_queues(&c->config),
	};
	struct state_write w = { .state = XenbusStateInitWait, .offer = &offer };

	if (open_netdev(c, v, now_ns))
		return;
	vif_remove_error_node(c, v); /* an earlier vif's of this name */
	if (v->state != XenbusStateInitialising && v->state != XenbusStateInitWait &&
	    v->state != XenbusStateUnknown)
		w.state = v->state; /* taken over in the middle of its life */
	if (!vif_write_state(c, v, &w))
		return;
	v->offer = offer;
	v->carrier_told = true;
}

static void step_attach(struct control *c, struct vif *v, uint64_t now_ns)
{
	struct frontend_keys keys;
	struct keys_error err;
	int rc;

	rc = keys_read_offer(&c->store, v->path, &v->offer, &err);
	if (!rc)
		rc = keys_read_frontend(&c->store, v->keys.frontend, v->offer.max_queues, &keys, &err);
	if (rc) {
		vif_fail(c, v, now_ns, -rc, "%s", err.text);
		return;
	}
	v->split_events = keys.queue[0].tx_port != keys.queue[0].rx_port;
	keys.has_ctrl &= (v->offer.features & VIF_CTRL_RING) != 0;
	v->features = features_usable(keys.features) | (v->split_events ? VIF_SPLIT_EVENTS : 0) |
		      (keys.has_ctrl ? VIF_CTRL_RING : 0);
	rc = vif_hand_out_queues(c, v, &keys, now_ns);
	if (rc)
		vif_fail(c, v, now_ns, -rc, "attaching %u queues: %s", keys.n_queues, strerror(-rc));
	if (v->n_queues)
		vif_begin_live(c, v);
	else
		vif_queues_gone(c, v);
	v->resume = false;
}

/* The frontend wrote its new wishes before or after its state: the watch tells of later ones. */
static void step_reconfigure(struct control *c, struct vif *v, uint64_t now_ns)
{
	(void)now_ns;
	if (vif_has_queues(v))
		vif_take_wishes(c, v);
	vif_move_to(c, v, XenbusStateReconfigured);
}

static void step_announce(struct control *c, struct vif *v, uint64_t now_ns)
{
	bool again = v->state == XenbusStateReconfigured;

	if (again)
		vif_take_wishes(c, v);
	if (vif_move_to(c, v, XenbusStateConnected) && !again)
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
	vif_move_to(c, v, XenbusStateClosing);
}

static void step_closed(struct control *c, struct vif *v, uint64_t now_ns)
{
	if (!vif_move_to(c, v, XenbusStateClosed))
		return;
	v->asked_to_close = false;
	log_limited(&v->log_limit, now_ns, LOG_LVL_INFO, SCOPE(v), "closed");
}

static void step_reopen(struct control *c, struct vif *v, uint64_t now_ns)
{
	vif_clear_error(c, v);
	v->state = XenbusStateInitialising;
	if (!v->keys_read && read_backend_keys(c, v, now_ns))
		return;
	watch_frontend(c, v);
	step_prepare(c, v, now_ns);
}

typedef void (*step_fn)(struct control *c, struct vif *v, uint64_t now_ns);

static const step_fn steps[] = {
	[VIF_PREPARE] = step_prepare,	    [VIF_ATTACH] = step_attach,
	[VIF_ANNOUNCE] = step_announce,	    [VIF_RECONFIGURE] = step_reconfigure,
	[VIF_DETACH] = step_detach,	    [VIF_ENTER_CLOSING] = step_closing,
	[VIF_ENTER_CLOSED] = step_closed,   [VIF_REOPEN] = step_reopen,
};

/* ---- taking them ---- */

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
		if (!vif_look(c, v, now_ns, &s))
			return false;
		if (v->wishes_due && vif_has_queues(v))
			vif_take_wishes(c, v);
		step = vif_next_step(&s);
		if (step == VIF_STAY) {
			vif_tell_link(c, v, now_ns);
			return false;
		}
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
	uint32_t carrier;

	if (v->state != XenbusStateInitWait && v->state != XenbusStateConnected &&
	    v->state != XenbusStateReconfigured)
		return;
	v->resume = v->state != XenbusStateInitWait;
	v->carrier_told = store_read_uint_or(&c->store, XBT_NULL, 1, 1, &carrier, "%s/carrier", v->path) ||
			  carrier;
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
	v->vif_slot = -1;
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
	vif_restore_wish(c, v);
	if (!read_backend_keys(c, v, now_ns)) {
		watch_frontend(c, v);
		take_over(c, v, now_ns);
	}
	*out = v;
	return 0;
}

void vif_free(struct control *c, struct vif *v, bool destroy_netdev)
{
	placement_drop(c, v);
	unwatch_frontend(c, v);
	if (destroy_netdev)
		vif_clear_error(c, v);
	if (v->netdev_ready)
		c->env.netdev_ops->close(c->env.netdev_ctx, &v->netdev, destroy_netdev);
	free(v);
}
