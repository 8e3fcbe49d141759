/* SPDX-License-Identifier: MIT */
/*
 * The life of a vif, as one table of legal moves and one pure function.
 *
 *	Initialising -> InitWait -> Connected -> Closing -> Closed -> InitWait ...
 *
 * and between Connected and Reconfigured as often as the frontend likes.
 *
 * The frontend's state is a guest's word and takes any value at any time: nothing
 * here trusts it to follow the order. Whatever it says, the backend walks its own
 * legal moves; a guest can only make it close.
 *
 * Queues come first and last: they are attached before Connected is written and taken
 * back before Closing or Closed is, so no state we show promises what is not so.
 */
#include "xenbus.h"

static const char *const state_names[XENBUS_N_STATES] = {
	[XenbusStateUnknown] = "Unknown",
	[XenbusStateInitialising] = "Initialising",
	[XenbusStateInitWait] = "InitWait",
	[XenbusStateInitialised] = "Initialised",
	[XenbusStateConnected] = "Connected",
	[XenbusStateClosing] = "Closing",
	[XenbusStateClosed] = "Closed",
	[XenbusStateReconfiguring] = "Reconfiguring",
	[XenbusStateReconfigured] = "Reconfigured",
};

/* States no backend of a vif enters can be found all the same; they lead out only.
 * InitWait is written anew by a successor that makes the netdev again. */
static const uint32_t legal_moves[XENBUS_N_STATES] = {
	[XenbusStateUnknown] = BIT(XenbusStateClosing),
	[XenbusStateInitialising] = BIT(XenbusStateInitWait) | BIT(XenbusStateClosing),
	[XenbusStateInitWait] =
	    BIT(XenbusStateInitWait) | BIT(XenbusStateConnected) | BIT(XenbusStateClosing),
	[XenbusStateInitialised] = BIT(XenbusStateClosing),
	[XenbusStateConnected] = BIT(XenbusStateReconfigured) | BIT(XenbusStateClosing),
	[XenbusStateClosing] = BIT(XenbusStateClosed),
	[XenbusStateClosed] = BIT(XenbusStateInitWait),
	[XenbusStateReconfiguring] = BIT(XenbusStateClosing),
	[XenbusStateReconfigured] = BIT(XenbusStateConnected) | BIT(XenbusStateClosing),
};

static const char *const step_names[] = {
	[VIF_STAY] = "stay",
	[VIF_PREPARE] = "prepare",
	[VIF_ATTACH] = "attach",
	[VIF_ANNOUNCE] = "announce",
	[VIF_RECONFIGURE] = "reconfigure",
	[VIF_DETACH] = "detach",
	[VIF_ENTER_CLOSING] = "enter-closing",
	[VIF_ENTER_CLOSED] = "enter-closed",
	[VIF_REOPEN] = "reopen",
	[VIF_FORGET] = "forget",
};

static bool is_state(enum xenbus_state s)
{
	return (unsigned)s < XENBUS_N_STATES;
}

const char *xenbus_state_name(enum xenbus_state s)
{
	return is_state(s) ? state_names[s] : "nonsense";
}

const char *vif_step_name(enum vif_step step)
{
	return step_names[step];
}

bool xenbus_backend_may_move(enum xenbus_state from, enum xenbus_state to)
{
	return is_state(from) && is_state(to) && (legal_moves[from] & BIT(to));
}

static bool must_close(const struct vif_situation *s)
{
	return s->failed || s->asked_to_close;
}

/* In InitWait the frontend may be anything on its way up. */
static bool handshake_broken(const struct vif_situation *s)
{
	return s->hotplug_failed || s->frontend == XenbusStateUnknown ||
	       s->frontend == XenbusStateClosing || s->frontend == XenbusStateClosed;
}

/* Initialised is no reason to hang up: Linux' netback ignores it as well. */
static bool frontend_hung_up(const struct vif_situation *s)
{
	return s->frontend != XenbusStateConnected && s->frontend != XenbusStateInitialised &&
	       s->frontend != XenbusStateReconfiguring;
}

static bool may_hold_queues(const struct vif_situation *s)
{
	if (!s->backend_exists || !s->netdev_ready || must_close(s) || frontend_hung_up(s))
		return false;
	return s->backend == XenbusStateConnected || s->backend == XenbusStateReconfigured ||
	       (s->backend == XenbusStateInitWait && !s->hotplug_failed);
}

static enum vif_step step_in_initialising(const struct vif_situation *s)
{
	if (must_close(s))
		return VIF_ENTER_CLOSING;
	/* A toolstack may create our directory before the frontend's. */
	return s->frontend == XenbusStateUnknown ? VIF_STAY : VIF_PREPARE;
}

static enum vif_step step_in_init_wait(const struct vif_situation *s)
{
	if (must_close(s) || handshake_broken(s))
		return VIF_ENTER_CLOSING;
	if (!s->netdev_ready)
		return VIF_PREPARE;
	if (s->frontend != XenbusStateConnected)
		return VIF_STAY;
	/* Until the script has brought the netdev up, what a guest sends waits in its ring:
	 * the netdev would refuse it. Some scripts bring it up and never say so. */
	if (!s->queues_attached)
		return s->hotplug_done || s->hotplug_late ? VIF_ATTACH : VIF_STAY;
	return s->hotplug_done ? VIF_ANNOUNCE : VIF_STAY;
}

static enum vif_step step_in_connected(const struct vif_situation *s)
{
	if (must_close(s) || frontend_hung_up(s) || !s->netdev_ready)
		return VIF_ENTER_CLOSING;
	if (s->frontend == XenbusStateReconfiguring)
		return VIF_RECONFIGURE;
	return s->queues_attached || s->frontend != XenbusStateConnected ? VIF_STAY : VIF_ATTACH;
}

/* Linux netfront waits for this state when its XDP program comes or goes, then goes back to
 * Connected. Its kernel's netback stays here, which makes the next wait none. */
static enum vif_step step_in_reconfigured(const struct vif_situation *s)
{
	if (must_close(s) || frontend_hung_up(s) || !s->netdev_ready)
		return VIF_ENTER_CLOSING;
	if (s->frontend != XenbusStateConnected)
		return VIF_STAY;
	return s->queues_attached ? VIF_ANNOUNCE : VIF_ATTACH;
}

static enum vif_step step_in_closing(const struct vif_situation *s)
{
	/* A frontend that closes by itself looks for our Closing before it goes on, and
	 * kexec waits for exactly that value: leave it there until it has. */
	if (s->frontend == XenbusStateClosing && !must_close(s))
		return VIF_STAY;
	return VIF_ENTER_CLOSED;
}

static enum vif_step step_in_closed(const struct vif_situation *s)
{
	if (s->failed)
		return VIF_STAY; /* to be seen, until it is removed or started over */
	if (s->frontend == XenbusStateUnknown)
		return VIF_FORGET;
	if (s->frontend != XenbusStateInitialising || !s->online || s->hotplug_failed)
		return VIF_STAY;
	return s->netdev_ready ? VIF_REOPEN : VIF_PREPARE;
}

enum vif_step vif_next_step(const struct vif_situation *s)
{
	if (s->queues_busy)
		return VIF_STAY;
	if (s->queues_attached && !may_hold_queues(s))
		return VIF_DETACH;
	if (!s->backend_exists)
		return VIF_FORGET;

	switch (s->backend) {
	case XenbusStateInitialising:
		return step_in_initialising(s);
	case XenbusStateInitWait:
		return step_in_init_wait(s);
	case XenbusStateConnected:
		return step_in_connected(s);
	case XenbusStateReconfigured:
		return step_in_reconfigured(s);
	case XenbusStateClosing:
		return step_in_closing(s);
	case XenbusStateClosed:
		return step_in_closed(s);
	case XenbusStateUnknown: /* being created: the state comes last */
		return must_close(s) ? VIF_ENTER_CLOSING : VIF_STAY;
	default:
		return VIF_ENTER_CLOSING;
	}
}
