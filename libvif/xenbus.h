/* SPDX-License-Identifier: MIT */
/*
 * Rank 3: the xenbus states and the moves a backend may make between them.
 * Source: xen/io/xenbus.h; protocol.md 1.
 */
#ifndef VIF_XENBUS_H
#define VIF_XENBUS_H

#include <xen/io/xenbus.h>

#include "base.h"

#define XENBUS_N_STATES (XenbusStateReconfigured + 1)

const char *xenbus_state_name(enum xenbus_state s);

/* Whether a backend in 'from' may write 'to' as its next state. */
bool xenbus_backend_may_move(enum xenbus_state from, enum xenbus_state to);

/*
 * What to do next, from what both sides and the toolstack say. Pure: the control
 * process asks again after every change and acts on the answer until it is
 * VIF_STAY. While the rest holds still that takes a handful of steps.
 */
struct vif_situation {
	enum xenbus_state backend;  /* ours, as last written or found */
	enum xenbus_state frontend; /* XenbusStateUnknown: its directory is gone; any number
				     * a guest may write is taken */
	bool backend_exists;	    /* our directory is in the store */
	bool online;		    /* "online" key: 1 = keep the device when it closes */
	bool asked_to_close;	    /* the toolstack wrote 5 into our own state (libxl detach);
				     * our writing Closed answers it: false again */
	bool hotplug_done;	    /* no hotplug-status key, or it says "connected" */
	bool hotplug_late;	    /* neither, for longer than a script may take */
	bool hotplug_failed;	    /* "hotplug-error" present or status "error" */
	bool netdev_ready;	    /* vif<D>.<N> exists with its features written */
	bool queues_attached;	    /* the datapath holds every queue */
	bool queues_busy;	    /* attach or detach under way */
	bool failed;		    /* this vif was given up, error node written. Control takes it
				     * back when the frontend starts over: its state *becomes*
				     * Initialising */
};

enum vif_step {
	VIF_STAY,
	VIF_PREPARE,	    /* make the netdev, write features, go to InitWait (or stay) */
	VIF_ATTACH,	    /* read the frontend's keys, hand the queues to the datapath; in
			     * Connected: the datapath or we were restarted, the rings live */
	VIF_ANNOUNCE,	    /* write Connected; also once it is reconfigured */
	VIF_RECONFIGURE,    /* read what the frontend wishes, write Reconfigured */
	VIF_DETACH,	    /* take the queues back from the datapath */
	VIF_ENTER_CLOSING,  /* write Closing */
	VIF_ENTER_CLOSED,   /* write Closed */
	VIF_REOPEN,	    /* Closed and online, frontend starts over: InitWait */
	VIF_FORGET,	    /* destroy netdev, drop watches, free */
};

enum vif_step vif_next_step(const struct vif_situation *s);
const char *vif_step_name(enum vif_step step);

#endif
