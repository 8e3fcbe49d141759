/* SPDX-License-Identifier: MIT */
/*
 * The frontend's half of the xenbus handshake as one pure function: from what both
 * sides' states say to the next move. netfront.c makes the move and asks again.
 *
 * Source: xen-netfront.c netback_changed(), xennet_create_dev(), xennet_bus_close(),
 * xennet_xdp_set();
 * for a device found in a state left by somebody before us, xenbus_probe_frontend.c
 * xenbus_reset_frontend().
 */
#ifndef FRONTEND_BUS_H
#define FRONTEND_BUS_H

#include "xenbus.h"

struct bus_situation {
	bool device;		  /* our directory is in the store */
	enum xenbus_state ours;	  /* Unknown: no state key */
	enum xenbus_state theirs; /* Unknown: no backend directory */
	bool shared;		  /* our rings are granted */
	bool leaving;		  /* close and stay closed */
	bool restarting;	  /* close and connect anew */
	bool failed;		  /* connecting failed: close and stay closed */
	bool reconfiguring;	  /* what we want of a running backend has changed */
	bool lent;		  /* it must give pages back before we close */
	bool withdrawing;	  /* it was asked to */
	bool impatient;		  /* does not wait for the backend's InitWait */
};

enum bus_move {
	BUS_STAY,
	BUS_START,	   /* write Initialising */
	BUS_CONNECT,	   /* grant the rings, write the keys, write Connected */
	BUS_RECONFIGURE,   /* write Reconfiguring and what we want */
	BUS_RESUME,	   /* the backend knows: write Connected */
	BUS_WITHDRAW,	   /* stop, ask lent pages back */
	BUS_ENTER_CLOSING, /* stop, write Closing */
	BUS_ENTER_CLOSED,  /* stop, write Closed */
	BUS_RELEASE,	   /* stop, take the rings back */
};

/* The data path works: Reconfiguring does not stop it. */
bool bus_is_connected(const struct bus_situation *s);

enum bus_move bus_next_move(const struct bus_situation *s);
const char *bus_move_name(enum bus_move move);

#endif
