/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: BPF programs that a TAP asks about each frame, and their maps. The kernel keeps a
 * program as long as its TAP lives, and a map as long as anybody has it: only the map's fd
 * is held by us.
 */
#ifndef VIF_CONTROL_TAP_PROGRAM_H
#define VIF_CONTROL_TAP_PROGRAM_H

#include "base.h"

struct tap_program {
	const unsigned char *object; /* backend/bpf/objects.h */
	const size_t *size;
	const char *name;      /* the program's in it */
	const char *map;       /* and its map's: one element, which can be mapped */
	unsigned long request; /* the ioctl that gives it to a TAP */
};

/*
 * Makes the program, with a map of its own, zeroed, or about the one of 'map_fd', and has the
 * TAP ask it in place of an earlier one of its kind. Returns the map's fd, for the caller to
 * close, or -errno: -EPERM: not allowed to us here; -EINVAL, -ENOSYS: not known to this
 * kernel. Some milliseconds of the kernel's work.
 */
int tap_program_attach(const struct tap_program *p, int tap_fd, int map_fd) must_check;

#endif
