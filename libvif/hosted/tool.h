/* SPDX-License-Identifier: MIT */
/* The subcommands of hosted-xen. Each returns 0 or a negative value, having said
 * on stderr what was wrong. */
#ifndef VIF_HOSTED_TOOL_H
#define VIF_HOSTED_TOOL_H

#include <stdbool.h>
#include <stdint.h>

/* Prints "hosted-xen: ..." and returns -1. */
int tool_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

int tool_run(const char *dir, int ready_fd, uint64_t seed);

/* Replaces this process by xenstored, in a mount namespace of its own. */
int tool_xenstored(const char *rundir, char **extra_args);

int tool_introduce(uint32_t domid, const char *name, const char *store_rundir);
int tool_store_proxy(uint32_t domid, const char *rundir, int ready_fd);

#endif
