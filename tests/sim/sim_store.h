/* SPDX-License-Identifier: MIT */
/*
 * A xenstore in memory behind libxenstore's own functions, for programs that step a
 * whole system in one process: link it instead of -lxenstore.
 *
 * What it does not do: permissions, quotas, and isolation of transactions (one
 * thread, whole steps: nothing interleaves). Everything happens in the order of the
 * calls, so a run repeats exactly.
 */
#ifndef VIF_SIM_STORE_H
#define VIF_SIM_STORE_H

#include <stdint.h>

/* Handles opened from now on are this domain's: their relative paths begin at
 * /local/domain/<domid>. */
void sim_store_set_domid(uint32_t domid);

/* Forgets every node. All handles must be closed. */
void sim_store_reset(void);

/* For the toolstack's part: absolute paths. NULL value: remove. */
void sim_store_put(const char *path, const char *value);

/* The value, or NULL; valid until the next write. */
const char *sim_store_get(const char *path);

#endif
