/* SPDX-License-Identifier: MIT */
/*
 * Rank 0: logging. One line an event, on stderr or to the journal (then with
 * the <N> priority of sd-daemon(3) in place of program and level):
 *
 *	vifd: warning: vif=3.0 q=0: tx producer 300 is more than a ring ahead of 12
 *
 * A line a guest can cause goes through log_limited(), so that no guest can
 * fill a disk or spend our time in write(2). Safe from any thread: each line is
 * one write.
 */
#ifndef VIF_LOG_H
#define VIF_LOG_H

#include "base.h"

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARNING, LOG_LVL_INFO, LOG_LVL_DEBUG };

/* Who a line is about. */
struct log_scope {
	const struct vif_id *vif; /* NULL: about no vif */
	int queue;		  /* -1: about no queue */
};

#define LOG_NOBODY (&(const struct log_scope){ NULL, -1 })

/*
 * Sets the threshold and whether lines carry sd-daemon priorities. Call once,
 * before any thread starts. 'program' must outlive the process' logging.
 */
void log_init(const char *program, enum log_level threshold, bool sd_daemon);

/* Parses "error", "warning", "info" or "debug". Returns 0 or -EINVAL. */
int log_level_parse(const char *name, enum log_level *out) must_check;
const char *log_level_name(enum log_level level);

bool log_wanted(enum log_level level);
void log_line(enum log_level level, const struct log_scope *scope, const char *fmt, ...)
	printf_like(3, 4);

/*
 * A token bucket: at most 'burst' lines, one more each 'every_ns'. Embedded in
 * the object the lines are about; owner's thread only. Zeroed is ready to use.
 */
struct log_limit {
	uint64_t refilled_ns; /* when the bucket last gained a token */
	uint32_t spent;
	uint32_t suppressed; /* said with the next line that passes */
};

#define LOG_LIMIT_BURST	   5
#define LOG_LIMIT_EVERY_NS (2 * NS_PER_S)

/* As log_line(), at most LOG_LIMIT_BURST lines and then one each LOG_LIMIT_EVERY_NS.
 * 'now_ns' is the caller's clock, so that a stepped test sees the same lines each time. */
void log_limited(struct log_limit *limit, uint64_t now_ns, enum log_level level,
		 const struct log_scope *scope, const char *fmt, ...) printf_like(5, 6);

#define log_error(scope, ...)	log_line(LOG_LVL_ERROR, scope, __VA_ARGS__)
#define log_warning(scope, ...) log_line(LOG_LVL_WARNING, scope, __VA_ARGS__)
#define log_info(scope, ...)	log_line(LOG_LVL_INFO, scope, __VA_ARGS__)
#define log_debug(scope, ...)	log_line(LOG_LVL_DEBUG, scope, __VA_ARGS__)

#endif
