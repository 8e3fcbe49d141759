/* SPDX-License-Identifier: MIT */
/*
 * The frontend's xenbus moves (bus.h). No store, no memory: decisions only.
 */
#include "frontend-compat/bus.h"

/* The backend holds nothing of ours in these states. */
static bool backend_let_go(enum xenbus_state theirs)
{
	return theirs == XenbusStateUnknown || theirs == XenbusStateInitialising ||
	       theirs == XenbusStateInitWait || theirs == XenbusStateClosed;
}

static enum bus_move next_while_closed(const struct bus_situation *s)
{
	if (!backend_let_go(s->theirs))
		return BUS_STAY;
	if (s->shared)
		return BUS_RELEASE;
	if (s->leaving || s->failed)
		return BUS_STAY;
	if (s->restarting || s->theirs == XenbusStateInitWait)
		return BUS_START;
	return BUS_STAY;
}

/* xennet_bus_close(): Closing, until the backend follows; then Closed. A backend that
 * never saw us connect need not follow. */
static enum bus_move next_while_closing(const struct bus_situation *s)
{
	if (!s->shared && backend_let_go(s->theirs))
		return BUS_ENTER_CLOSED;
	if (s->theirs == XenbusStateClosing || s->theirs == XenbusStateClosed ||
	    s->theirs == XenbusStateUnknown)
		return BUS_ENTER_CLOSED;
	return BUS_STAY;
}

static enum bus_move next_while_open(const struct bus_situation *s)
{
	if (s->leaving || s->restarting || s->failed) {
		if (s->lent && bus_is_connected(s))
			return s->withdrawing ? BUS_STAY : BUS_WITHDRAW;
		return BUS_ENTER_CLOSING;
	}
	/* "Missed the backend's CLOSING state" is as good */
	if (s->theirs == XenbusStateClosing || s->theirs == XenbusStateClosed)
		return BUS_ENTER_CLOSED;
	if (s->ours == XenbusStateReconfiguring)
		return s->theirs == XenbusStateReconfigured ? BUS_RESUME : BUS_STAY;
	return s->reconfiguring && bus_is_connected(s) ? BUS_RECONFIGURE : BUS_STAY;
}

static enum bus_move next_while_initialising(const struct bus_situation *s)
{
	if (s->shared) /* the toolstack began a new life of the device */
		return BUS_RELEASE;
	if (s->leaving || s->failed)
		return BUS_ENTER_CLOSING;
	if (s->theirs == XenbusStateInitWait ||
	    (s->impatient && s->theirs == XenbusStateInitialising))
		return BUS_CONNECT;
	return BUS_STAY;
}

bool bus_is_connected(const struct bus_situation *s)
{
	return (s->ours == XenbusStateConnected || s->ours == XenbusStateReconfiguring) &&
	       (s->theirs == XenbusStateConnected || s->theirs == XenbusStateReconfigured);
}

enum bus_move bus_next_move(const struct bus_situation *s)
{
	if (!s->device)
		return s->shared ? BUS_RELEASE : BUS_STAY;
	switch (s->ours) {
	case XenbusStateUnknown:
		return s->leaving ? BUS_STAY : BUS_START;
	case XenbusStateInitialising:
		return next_while_initialising(s);
	case XenbusStateClosing:
		return next_while_closing(s);
	case XenbusStateClosed:
		return next_while_closed(s);
	default:
		return next_while_open(s);
	}
}

const char *bus_move_name(enum bus_move move)
{
	static const char *const name[] = {
		[BUS_STAY] = "stay",
		[BUS_START] = "start",
		[BUS_CONNECT] = "connect",
		[BUS_RECONFIGURE] = "reconfigure",
		[BUS_RESUME] = "resume",
		[BUS_WITHDRAW] = "withdraw",
		[BUS_ENTER_CLOSING] = "enter-closing",
		[BUS_ENTER_CLOSED] = "enter-closed",
		[BUS_RELEASE] = "release",
	};

	return name[move];
}
