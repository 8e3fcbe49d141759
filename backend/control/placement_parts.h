/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: what the parts of placement share; only backend/control/placement*.c
 * include this, and a test of the policy.
 *
 *	placement.c	   who takes which step when
 *	placement_steps.c  a vif's steps to a NIC and back
 *	placement_nic.c	   the NICs themselves
 *	placement_policy.c who gets a place
 *	placement_lend.c   which places are lent to
 */
#ifndef VIF_CONTROL_PLACEMENT_PARTS_H
#define VIF_CONTROL_PLACEMENT_PARTS_H

#include "backend/control/placement.h"

/* A device that cannot be opened, and a place that cannot be had, are tried again. */
#define PLACEMENT_RETRY_NS (10 * NS_PER_S)

/* ---- placement_nic.c ---- */

/* The fds of p's place, if that is lent to: before its worker is to end it. */
void placement_close_lent(struct placement *p);

/* p gives its place on p->nic up, before its worker may have left it: that closes its copies of
 * the place's fds first, or most probably so. */
void placement_part_fds(struct placement *p);

/* The place is somebody's again: what is left of who had it is closed. */
void placement_close_parted(struct nic *n, uint32_t place);

/* Opens what can be opened now, closes what is gone, and follows the links. Returns when to
 * come again. */
uint64_t placement_step_nics(struct control *c, uint64_t now_ns);

/* After everybody's steps: looks at what others may have changed on n, and closes a NIC of which
 * that is so, to be opened anew, once its vifs have left. Returns when to come again. */
uint64_t placement_keep_right(struct control *c, struct nic *n, uint64_t now_ns);

/* The worker has its half, or could not open it. */
void placement_nic_opened(struct nic *n, const struct worker_event *e, uint64_t now_ns);

/* The datapath is gone, and with it the worker's half. */
void placement_nic_lost(struct nic *n);

/* ---- placement_steps.c ---- */

/* v, which is on the bridge, begins to join a place on n that is free. */
void placement_join(struct control *c, struct vif *v, struct nic *n, uint64_t now_ns);

/* v begins to leave its place, which is read. */
void placement_start_to_leave(struct vif *v);

/* Whether v's place is not what it is to have now. */
bool placement_is_to_leave(struct control *c, const struct vif *v, uint64_t now_ns);

/* Goes on through as many states as there is nothing to wait for. Returns when to come again. */
uint64_t placement_advance(struct control *c, struct vif *v, uint64_t now_ns);

/* A worker's answer about v's place. */
void placement_on_place(struct control *c, struct vif *v, const struct worker_event *e,
			uint64_t now_ns);

/* n is gone, its worker was told so: its vifs are the bridge's. */
void placement_nic_gone(struct control *c, struct nic *n);

/* Looks whether the filters on n are there; has those leave whose are not. */
void placement_check_filters(struct nic *n, uint64_t now_ns);

/* ---- placement_policy.c ---- */

/* The NIC v is to have a place on, and which of the wire's frames are v's; NULL with *why_not:
 * none. */
struct nic *placement_choose(struct control *c, const struct vif *v, struct vlan_form *form,
			     uint64_t now_ns, const char **why_not);

/* Which of those that wait for n is next; NULL: none waits, or there is no room. */
struct vif *placement_next(struct control *c, const struct nic *n);

/* Puts v, which is next, down for a place on n. */
void placement_take(struct control *c, struct vif *v, struct nic *n);

/* Which vif is to leave n now, for one that waits; NULL: none. */
struct vif *placement_to_go(struct control *c, struct nic *n, uint64_t now_ns);

/* Looks at who is how busy, if it is time and anybody wants to know. Returns when to come
 * again. */
uint64_t placement_look(struct control *c, uint64_t now_ns);

/* ---- placement_lend.c ---- */

/* What v's worker is told when it joins a place on n. */
enum ipc_lend placement_lend(const struct nic *n, const struct vif *v);

/* v's place is not to be lent to any more, or could not be: not before a while. */
void placement_lend_later(struct placement *p, uint64_t now_ns);

/* Whether v, which is in its place, is to leave it for one of the other kind. If it is only time
 * that is missing, *next is then at the latest. */
bool placement_remakes(struct control *c, struct vif *v, uint64_t now_ns, uint64_t *next);

/* The TAP's flows of the queue that has the place go to the others; or back. 0 or -errno. */
int placement_set_aside(struct control *c, struct vif *v, bool aside);

#endif
