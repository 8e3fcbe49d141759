/* SPDX-License-Identifier: MIT */
/*
 * A vif's situation: what both sides and the toolstack say, read anew each time.
 */
#include "backend/control/vif_parts.h"

#include <stdio.h>
#include <string.h>

#include "backend/control/control.h"

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

/* What the toolstack did to our own state since we wrote it; or the kernel's netback,
 * which when it is loaded makes the vifs it finds its own, fails to make a netdev of ours,
 * and leaves them Closing (Linux drivers/net/xen-netback/xenbus.c, netback_probe). */
static void look_at_state(struct control *c, struct vif *v, enum xenbus_state found, uint32_t online,
			  uint64_t now_ns)
{
	v->stored = found;
	if (found == v->state)
		return;
	if (online && c->env.netback_loaded && c->env.netback_loaded())
		vif_fail(c, v, now_ns, EBUSY,
			 "the kernel's xen-netback was loaded and has taken it: rmmod xen-netback, then "
			 "detach and attach the vif");
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

/* The toolstack may change it at any time. */
static void look_at_rate(struct control *c, struct vif *v, uint64_t now_ns)
{
	char text[sizeof(v->rate_text)] = "";
	int rc = store_read(&c->store, XBT_NULL, text, sizeof(text), "%s/rate", v->path);

	if (rc && rc != -ENOENT)
		snprintf(text, sizeof(text), "?"); /* too long, or no text at all */
	if (!strcmp(text, v->rate_text))
		return;
	memcpy(v->rate_text, text, sizeof(text));
	rc = keys_parse_rate(text, &v->rate);
	if (rc && text[0])
		log_limited(&v->log_limit, now_ns, LOG_LVL_WARNING, SCOPE(v),
			    "parsing rate in the backend directory: traffic unlimited");
	vif_apply_rate(c, v, now_ns);
}

bool vif_look(struct control *c, struct vif *v, uint64_t now_ns, struct vif_situation *s)
{
	uint32_t found, online = 0;
	int rc;

	*s = (struct vif_situation){ .backend_exists = false };
	rc = store_read_uint(&c->store, XBT_NULL, XENBUS_N_STATES - 1, &found, "%s/state", v->path);
	if (rc && rc != -ENOENT && rc != -EINVAL && rc != -ERANGE)
		return false;
	if (store_read_uint_or(&c->store, XBT_NULL, 1, 0, &online, "%s/online", v->path))
		online = 0;
	if (!rc)
		look_at_state(c, v, (enum xenbus_state)found, online, now_ns);
	s->backend_exists = !v->replaced && rc != -ENOENT;
	if (s->backend_exists) {
		if (rc)
			vif_fail(c, v, now_ns, EINVAL, "parsing state in the backend directory");
		look_at_hotplug(c, v, now_ns);
		look_at_frontend(c, v, now_ns);
		look_at_rate(c, v, now_ns);
	}
	v->online = online;
	s->backend = v->state;
	s->frontend = v->frontend;
	s->online = online;
	/* libxl writes online=0 along with its Closing, which may coincide with ours. */
	s->asked_to_close = v->asked_to_close || (v->state == XenbusStateClosing && !online);
	s->hotplug_done = v->hotplug == VIF_HOTPLUG_DONE;
	s->hotplug_late = v->hotplug == VIF_HOTPLUG_LATE;
	s->hotplug_failed = v->hotplug == VIF_HOTPLUG_FAILED;
	s->netdev_ready = v->netdev_ready;
	s->queues_attached = vif_queues_attached(v);
	s->queues_busy = vif_queues_busy(v);
	s->failed = v->failed;
	return true;
}
