/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: what no path can be cheaper than, measured without kernel or other processes.
 */
#ifndef VIFBENCH_FLOOR_H
#define VIFBENCH_FLOOR_H

#include "base.h"

/* Cycles of n frames of 'size' bytes, 'burst' at a time. */
typedef uint64_t floor_fn(uint32_t size, uint32_t burst, uint32_t n);

/* Cycles to copy 'size' bytes, n times over, from as many pages as a ring names to as many
 * as a burst takes: what floor_ring() copies. */
uint64_t floor_memcpy(uint32_t size, uint32_t n) must_check;

/* Cycles to send n frames of 'size' bytes, 1..4096, through a netif transmit ring in our
 * own memory, 'burst' at a time, 1..64: the frontend's requests, libvif's from_guest with
 * memcpy for the grant copy, its answers and the frontend's taking them. */
uint64_t floor_ring(uint32_t size, uint32_t burst, uint32_t n) must_check;

/* The same the other way: the frontend posts buffers in a netif receive ring, libvif's
 * to_guest fills and answers them, the frontend takes them. 'size' from an Ethernet
 * header's on. */
uint64_t floor_ring_receive(uint32_t size, uint32_t burst, uint32_t n) must_check;

#endif
