/* SPDX-License-Identifier: MIT */
/*
 * The marks by which a program under emulation tells the counting plugin where a
 * measurement begins and ends: a long nop that no compiler emits, whose unused
 * displacement carries "MAG" and the mark's number. Costs one instruction, asks nothing
 * of the system, works in dom0, in a guest and without Xen.
 */
#ifndef VIF_BENCH_MARKS_H
#define VIF_BENCH_MARKS_H

#define MARK_BEGIN  1 /* counting starts from here */
#define MARK_END    2 /* the plugin writes what was counted since MARK_BEGIN */
#define MARK_OWNERS 3 /* the plugin reads anew which pages are the guest's */

#define MARK_STRING_(n) #n
#define MARK_STRING(n)	MARK_STRING_(n)

/* nopl 0x4d41470N(%rax,%rax,1); no memory access moves across it. */
#define MARK(n)                                                                                    \
	__asm__ volatile(".byte 0x0f, 0x1f, 0x84, 0x00, " MARK_STRING(n) ", 0x47, 0x41, 0x4d" ::   \
			     : "memory")

#endif
