/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor of the hosted Xen as a state machine: domains, grant tables,
 * event channels, and the handles through which processes hold them.
 *
 * It is driven by messages and by the closing of handles, by the daemon or
 * directly in one process; it never blocks, has no threads and reads no clock.
 * What a handle owned is released when it closes, exactly as gntdev, gntalloc
 * and evtchn do for a file: that is the whole story of a process dying.
 *
 * Trust boundary: messages come from programs under test and are checked.
 */
#ifndef VIF_HOSTED_CORE_H
#define VIF_HOSTED_CORE_H

#include <stddef.h>
#include "abi.h"
#include "hosted.h"

struct hx_core;
struct hx_handle;

/* Makes a machine with domain 0 in it. NULL and errno when memory fails. */
struct hx_core *hx_core_new(uint64_t seed);
void hx_core_free(struct hx_core *core);

/*
 * Carries out msg and turns it into its reply. *handle is NULL before HX_HELLO,
 * which sets it. fds[0..*n_fds) came with the message and stay the caller's; on
 * return they are descriptors to pass on, which stay the core's.
 */
void hx_core_call(struct hx_core *core, struct hx_handle **handle, struct hx_msg *msg,
		  int fds[HX_MAX_FDS], size_t *n_fds);

/* Releases all the handle owns. Accepts NULL. */
void hx_core_close(struct hx_core *core, struct hx_handle *handle);

/* True once its domain was destroyed: it can only be closed. */
bool hx_core_is_dead(const struct hx_handle *handle);

/* Frees pages whose last copy was still running when they were given up. True if
 * some are left: call again a little later. */
bool hx_core_reap(struct hx_core *core);

#endif
