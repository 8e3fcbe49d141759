/* SPDX-License-Identifier: MIT */
/*
 * Rank 0: the few words every other file uses.
 */
#ifndef VIF_BASE_H
#define VIF_BASE_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a)	     (sizeof(a) / sizeof((a)[0]))
#define BIT(n)		     (1u << (n))
#define MIN(a, b)	     PICK(a, <, b, __COUNTER__)
#define MAX(a, b)	     PICK(a, >, b, __COUNTER__)
#define DIV_ROUND_UP(n, d)   (((n) + (d)-1) / (d))
#define must_check	     __attribute__((warn_unused_result))
#define printf_like(f, args) __attribute__((format(printf, f, args)))

/* Each is evaluated once. */
#define PICK(a, op, b, n) PICK_(a, op, b, n)
#define PICK_(a, op, b, n)                                                                         \
	({                                                                                         \
		__typeof__(1 ? (a) : (b)) a_##n = (a), b_##n = (b);                                \
		a_##n op b_##n ? a_##n : b_##n;                                                    \
	})

/* The page of Xen's ABI. Not the host's: grants are always in 4 KiB. */
#define XEN_PAGE 4096u

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/*
 * What a guest's input is worth. A guest's mistake is a value, never a negative
 * errno: errno is for our own failures, and nothing a guest controls may reach
 * an assert().
 */
enum vif_verdict {
	VIF_OK,
	VIF_DROP,  /* this packet goes, the vif lives */
	VIF_FATAL, /* the guest broke the protocol: this vif is disabled, no other is touched */
};

/* A vif's name: vif<domid>.<devid>. 'devid' is the handle libxl gave it. */
struct vif_id {
	uint16_t domid; /* the frontend's domain */
	uint32_t devid;
};

#endif
