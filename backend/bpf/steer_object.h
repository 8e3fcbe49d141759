/* SPDX-License-Identifier: MIT */
/*
 * Rank 6: steer.bpf.c, compiled, as an ELF object in memory. The build makes its other
 * half, steer_object.c.
 */
#ifndef VIF_BPF_STEER_OBJECT_H
#define VIF_BPF_STEER_OBJECT_H

#include <stddef.h>

extern const unsigned char steer_object[];
extern const size_t steer_object_size;

#endif
