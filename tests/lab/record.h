/* SPDX-License-Identifier: MIT */
/*
 * The host's record of a lab: /run/vif-lab/NAME. Its text says which network
 * namespaces the lab named; POSIX locks on its first bytes say which of the lab's
 * processes live, and the kernel drops those with their holders, so that no
 * record is ever stale. Whoever finds one without locks may sweep it.
 *
 * A POSIX lock ends when its holder closes any descriptor of the file: a process
 * with a lock never opens its record a second time.
 */
#ifndef VIF_LAB_RECORD_H
#define VIF_LAB_RECORD_H

#include "lab.h"

enum record_role { RECORD_USER, RECORD_JANITOR, RECORD_INIT };

/* Makes the lab's record and takes the janitor's byte; sweeps what a dead lab of the name
 * left. Returns the descriptor, -EBUSY (a lab of that name lives) or -errno; said why. */
int record_create(const struct lab *lab) must_check;

/* Opens a lab's record and takes another role's byte. Descriptor or -errno. */
int record_join(const char *name, enum record_role role) must_check;

/* Opens a living lab's record and fills *lab from it. Descriptor, -ENOENT or -errno. */
int record_open(const char *name, struct lab *lab) must_check;

/* A pidfd of the process that has the role; -ESRCH: none. */
int record_holder(int fd, enum record_role role) must_check;

/* Removes the names the record speaks of, and the record. 'fd' stays open. */
void record_sweep(int fd, const char *name);

/* Sweeps every record no process holds. */
void record_sweep_dead(void);

/* Calls 'visit' for each living lab with its user's or init's process id. */
void record_each(void (*visit)(const struct lab *lab, pid_t user, pid_t init));

#endif
