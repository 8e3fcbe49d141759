/* SPDX-License-Identifier: MIT */
/*
 * Logging to stderr, one write(2) a line. Text in a line may come from a guest
 * (xenstore values): every byte that is not printable ASCII is escaped, so that
 * nobody forges a line or drives a terminal.
 */
#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A longer message is cut; below PIPE_BUF, so that concurrent lines never mix. */
#define LINE_MAX_BYTES	  1024
#define MESSAGE_MAX_BYTES 768
#define ENDING_MAX_BYTES  40 /* " (N like it suppressed)" and the newline */

static const struct {
	const char *name;
	int sd_priority; /* sd-daemon(3) */
} levels[] = {
	[LOG_LVL_ERROR] = { "error", 3 },
	[LOG_LVL_WARNING] = { "warning", 4 },
	[LOG_LVL_INFO] = { "info", 6 },
	[LOG_LVL_DEBUG] = { "debug", 7 },
};

/* Set once before threads start, then only read. */
static const char *log_program = "vif";
static enum log_level log_threshold = LOG_LVL_INFO;
static bool log_sd_daemon;

void log_init(const char *program, enum log_level threshold, bool sd_daemon)
{
	log_program = program;
	log_threshold = threshold;
	log_sd_daemon = sd_daemon;
}

int log_level_parse(const char *name, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

bool log_wanted(enum log_level level)
{
	return level <= log_threshold;
}

/* A line as it grows; what does not fit is left out. */
struct line {
	char bytes[LINE_MAX_BYTES];
	size_t size;
};

static void line_add(struct line *line, const char *fmt, ...) printf_like(2, 3);

static void line_add(struct line *line, const char *fmt, ...)
{
	size_t room = sizeof(line->bytes) - line->size;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line->bytes + line->size, room, fmt, args);
	va_end(args);
	if (n > 0)
		line->size += MIN((size_t)n, room - 1);
}

static void line_add_escaped(struct line *line, const char *message)
{
	const size_t end = sizeof(line->bytes) - ENDING_MAX_BYTES - strlen("\\xNN");

	for (const char *c = message; *c && line->size <= end; c++) {
		if (*c >= ' ' && *c <= '~')
			line_add(line, "%c", *c);
		else
			line_add(line, "\\x%02x", (unsigned char)*c);
	}
}

static void log_write(enum log_level level, const struct log_scope *scope, uint32_t suppressed,
		      const char *message)
{
	struct line line = { .size = 0 };

	if (log_sd_daemon)
		line_add(&line, "<%d>", levels[level].sd_priority);
	else
		line_add(&line, "%s: %s: ", log_program, levels[level].name);
	if (scope->vif) {
		line_add(&line, "vif=%" PRIu16 ".%" PRIu32, scope->vif->domid, scope->vif->devid);
		if (scope->queue >= 0)
			line_add(&line, " q=%d", scope->queue);
		line_add(&line, ": ");
	}
	line_add_escaped(&line, message);
	if (suppressed)
		line_add(&line, " (%" PRIu32 " like it suppressed)", suppressed);
	line.bytes[line.size++] = '\n';

	if (write(STDERR_FILENO, line.bytes, line.size) < 0)
		return; /* nowhere to say so */
}

void log_line(enum log_level level, const struct log_scope *scope, const char *fmt, ...)
{
	char message[MESSAGE_MAX_BYTES];
	int saved_errno = errno;
	va_list args;

	if (!log_wanted(level))
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	log_write(level, scope, 0, message);
	errno = saved_errno;
}

static bool limit_take(struct log_limit *limit, uint64_t now_ns)
{
	uint64_t gained;

	if (limit->spent == 0) {
		limit->refilled_ns = now_ns;
	} else {
		gained = (now_ns - limit->refilled_ns) / LOG_LIMIT_EVERY_NS;
		limit->refilled_ns += gained * LOG_LIMIT_EVERY_NS;
		limit->spent -= (uint32_t)MIN(gained, limit->spent);
	}
	if (limit->spent == LOG_LIMIT_BURST) {
		limit->suppressed++;
		return false;
	}
	limit->spent++;
	return true;
}

void log_limited(struct log_limit *limit, uint64_t now_ns, enum log_level level,
		 const struct log_scope *scope, const char *fmt, ...)
{
	char message[MESSAGE_MAX_BYTES];
	int saved_errno = errno;
	va_list args;

	if (!log_wanted(level) || !limit_take(limit, now_ns))
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	log_write(level, scope, limit->suppressed, message);
	limit->suppressed = 0;
	errno = saved_errno;
}
