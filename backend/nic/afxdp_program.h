/* SPDX-License-Identifier: MIT */
/*
 * Rank 61: the XDP program on a device (bpf/nic.bpf.c), and its maps: which frames go to
 * which place, and what the device was before it was ours.
 *
 * It stays on the device until it is removed, or until the next vifd finds it by its name.
 * Without open sockets it lets everything pass, so one left by a crash does no harm.
 *
 * Owner: control.
 */
#ifndef VIF_NIC_AFXDP_PROGRAM_H
#define VIF_NIC_AFXDP_PROGRAM_H

#include "base.h"

struct bpf_object;
struct guest_queues_record;

struct afxdp_program {
	int ifindex;
	uint32_t xdp_flags; /* how it is attached; 0: it is not */
	uint32_t id;	    /* the program's, as the kernel counts them */
	struct bpf_object *object;
	int filters, sockets; /* maps; the object's */
	int was;	      /* map; -1: none */
};

/* Removes a program of ours that an earlier vifd left, and puts back what that changed. 0;
 * -EBUSY: another's is there; -errno; why. */
int afxdp_program_remove_left(int ifindex, char *why, size_t why_size) must_check;

/* Puts the program on the device, with a copy of 'was'. 0 or -errno with why; to be removed
 * in either case. */
int afxdp_program_put(struct afxdp_program *p, int ifindex, const struct guest_queues_record *was,
		      char *why, size_t why_size) must_check;

/* Whether the driver runs it; else the kernel does, on what the driver made of a frame. */
bool afxdp_program_in_driver(const struct afxdp_program *p);

/* Whether it still is on the device. 0; -ESTALE and why: it was taken off, or another took its
 * place; -errno. */
int afxdp_program_check(const struct afxdp_program *p, char *why, size_t why_size) must_check;

/* If it still is there: another's stays. */
void afxdp_program_remove(struct afxdp_program *p);

#endif
