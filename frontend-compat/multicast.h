/* SPDX-License-Identifier: MIT */
/*
 * The multicast addresses a frontend wants, and those its backend was told. Pure.
 *
 * Source: netif.h "feature-multicast-control"; the limit is Linux netback's, which is
 * every backend's so far (common.h XEN_NETBK_MCAST_MAX).
 */
#ifndef FRONTEND_MULTICAST_H
#define FRONTEND_MULTICAST_H

#include "base.h"

#define MULTICAST_MAX 64u

struct multicast_address {
	uint8_t byte[6];
};

struct multicast {
	struct multicast_address wanted[MULTICAST_MAX], told[MULTICAST_MAX];
	uint32_t n_wanted, n_told;
};

/* Wants these n <= MULTICAST_MAX addresses, no others. */
void multicast_want(struct multicast *m, const struct multicast_address address[], uint32_t n);

/* The backend knows none. */
void multicast_forget(struct multicast *m);

/* The next change to tell the backend, noted as told; old addresses go first. Returns whether
 * there is one. */
bool multicast_next(struct multicast *m, struct multicast_address *out, bool *add);

#endif
