/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: the BPF program that chooses the queue of each frame for a guest, one a vif, and
 * its map, which the vif's workers share (libvif/steering.h).
 *
 * The kernel keeps a program as long as its TAP lives, and a map as long as anybody has it:
 * only the map's fd is held here.
 */
#ifndef VIF_CONTROL_STEERING_H
#define VIF_CONTROL_STEERING_H

#include "base.h"

/*
 * Makes a program with its map and has the TAP ask it, in place of an earlier one. Frames
 * are spread over n_queues by a hash of ours with a new random key. Returns the map's fd,
 * for the caller to close, or -errno: -EPERM: not allowed to us here; -EINVAL, -ENOSYS: not
 * known to this kernel. Some milliseconds of the kernel's work.
 */
int steering_attach(int tap_fd, uint32_t n_queues) must_check;

/* Starts anew with n_queues and our own hash: what a guest has set in the map of 'map_fd'
 * is forgotten. Nobody else may have it open. 0 or -errno. */
int steering_reset(int map_fd, uint32_t n_queues) must_check;

#endif
