/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: the only place where control waits.
 */
#ifndef VIF_CONTROL_LOOP_H
#define VIF_CONTROL_LOOP_H

#include "backend/control/control.h"

/* Blocks SIGTERM, SIGINT and SIGCHLD in this and every later thread, and ignores SIGPIPE and
 * SIGHUP. Returns a signalfd for the former, or -errno. Call before anything starts a
 * thread (libxenstore does). */
int loop_take_signals(void) must_check;

/* Steps c until it is over. Tells the service manager when it is up and when it stops. */
void loop_run(struct control *c, int signal_fd);

#endif
