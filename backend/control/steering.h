/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: the BPF program that chooses the queue of each frame for a guest, one a vif, and
 * its map, which the vif's workers share (libvif/steering.h).
 */
#ifndef VIF_CONTROL_STEERING_H
#define VIF_CONTROL_STEERING_H

#include "base.h"

struct rss;

/*
 * Makes a program with its map and has the TAP ask it. Frames are spread over n_queues by a
 * hash of ours with a new random key. Returns the map's fd, for the caller to close, or
 * -errno: -EPERM: not allowed to us here; -EINVAL, -ENOSYS: not known to this kernel. Some
 * milliseconds of the kernel's work.
 */
int steering_attach(int tap_fd, int ifindex, uint32_t n_queues) must_check;

/*
 * As steering_attach(), for a TAP that an earlier vifd left: finds the map of its program,
 * and has the TAP ask a new program about that. -ENOENT: there is none; -EPERM: who may
 * look for it needs CAP_SYS_ADMIN. What the map holds is to be asked of steering_kept().
 */
int steering_adopt(int tap_fd, int ifindex) must_check;

/* Whether the map goes on steering over n_queues: then what the guest had set, too. No queue of
 * it is set aside any more. */
bool steering_kept(int map_fd, uint32_t n_queues, struct rss *out);

/* Starts anew with n_queues and our own hash: what a guest has set in the map of 'map_fd'
 * is forgotten. Nobody else may have it open. 0 or -errno. */
int steering_reset(int map_fd, int ifindex, uint32_t n_queues) must_check;

/* Our own hash takes no frame to queue number aside - 1 from now on; 0: to each again. 0 or
 * -errno. */
int steering_set_aside(int map_fd, uint32_t aside) must_check;

#endif
