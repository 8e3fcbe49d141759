/* SPDX-License-Identifier: MIT */
/*
 * Rank 81: the TAP that is a vif's netdev: made, or taken over from an earlier vifd, with
 * what the kernel is to do for each of its frames: steering and gate. What netdev.h promises
 * of the operations of the same names holds here.
 *
 * Owner: control.
 */
#ifndef VIF_CONTROL_TAP_H
#define VIF_CONTROL_TAP_H

#include "backend/control/netdev.h"

/* On failure *nd holds nothing open. */
int tap_open(struct rtnl *rtnl, struct netdev *nd, const char *name, const char *other_name,
	     struct netdev_error *err) must_check;
void tap_close(struct netdev *nd, bool destroy);

int tap_set_queues(struct rtnl *rtnl, struct netdev *nd, uint32_t n) must_check;
int tap_steer(struct netdev *nd, struct rss *kept) must_check;
int tap_purge(struct netdev *nd) must_check;
int tap_set_offload(struct netdev *nd, uint32_t features) must_check;
int tap_set_carrier(struct netdev *nd, bool on) must_check;

#endif
