/* SPDX-License-Identifier: MIT */
/*
 * Rank 6: the BPF programs of this directory, compiled, each as an ELF object in memory.
 * The build makes the other half, NAME_object.c.
 */
#ifndef VIF_BPF_OBJECTS_H
#define VIF_BPF_OBJECTS_H

#include <stddef.h>

extern const unsigned char steer_object[];
extern const size_t steer_object_size;

extern const unsigned char nic_object[];
extern const size_t nic_object_size;

extern const unsigned char news_object[];
extern const size_t news_object_size;

extern const unsigned char gate_object[];
extern const size_t gate_object_size;

#endif
