/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: is this a place where vifd can run? Each check says what is missing and
 * what to do about it.
 */
#ifndef VIF_CONTROL_ENVIRONMENT_H
#define VIF_CONTROL_ENVIRONMENT_H

#include "backend/control/exit.h"
#include "base.h"

struct environment_error {
	char text[768];
};

/* Looks at privileges, /dev/net/tun, and whether xen-netback is there. 'sys' is the mount
 * point of sysfs. VIFD_EXIT_OK, or the code to exit with and the reason in err. */
enum vifd_exit environment_check(const char *sys, struct environment_error *err) must_check;

/* Whether xen-netback is there now. */
bool environment_netback(void);

/* Why xenstored could not be reached: 'rc' is store_open()'s. */
void environment_explain_store(int rc, struct environment_error *err);

/* Whether the kernel's TAPs take RWF_NOWAIT (Linux 6.4): reading one through io_uring never
 * waits only then. */
bool environment_tap_nowait(void);

/* Whether stderr is the journal, which wants sd-daemon(3) priorities. */
bool environment_stderr_is_journal(void);

#endif
