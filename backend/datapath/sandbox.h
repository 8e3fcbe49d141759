/* SPDX-License-Identifier: MIT */
/*
 * Rank 7: what the datapath process gives up once its handles are open.
 */
#ifndef VIF_DATAPATH_SANDBOX_H
#define VIF_DATAPATH_SANDBOX_H

#include "base.h"

/*
 * Becomes uid:gid (0:0 stays root, without its capabilities), drops every
 * capability and supplementary group, and can never gain any again. Call while the
 * process has one thread. 0 or -errno with the step in why.
 */
int sandbox_enter(uint32_t uid, uint32_t gid, char *why, size_t why_size) must_check;

#endif
