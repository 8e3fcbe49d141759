/* SPDX-License-Identifier: MIT */
/*
 * Rank 2: xenstore, with -errno returns, typed reads and no leaks. Only the
 * control process has one. Calls block for a round trip to xenstored.
 *
 * Values other domains wrote are untrusted bytes: xenstored itself bounds a value
 * to 4096 bytes, the readers here bound and parse strictly.
 */
#ifndef VIF_STORE_H
#define VIF_STORE_H

#include "base.h"

#include <xen/io/xs_wire.h>
#include <xenstore.h>

struct store {
	struct xs_handle *handle;
};

/* -ENOENT/-ECONNREFUSED: no xenstored. */
int store_open(struct store *s) must_check;
void store_close(struct store *s);

/* Readable when a watch event waits. */
int store_fd(const struct store *s);

/* t is XBT_NULL or a transaction. Paths are printf-like; -ENAMETOOLONG: longer than
 * XENSTORE_ABS_PATH_MAX. */

/* Copies the value, NUL-terminated. -ENOENT, -ENAMETOOLONG (does not fit), -EILSEQ
 * (holds NUL or control bytes), -errno. */
int store_read(struct store *s, xs_transaction_t t, char *out, size_t size, const char *path, ...)
	must_check printf_like(5, 6);

/* An unsigned decimal, nothing else around it. -ENOENT, -EINVAL (not a number),
 * -ERANGE (beyond max). */
int store_read_uint(struct store *s, xs_transaction_t t, uint32_t max, uint32_t *out,
		    const char *path, ...) must_check printf_like(5, 6);

/* As above with a default for a missing key; nonsense is still an error. */
int store_read_uint_or(struct store *s, xs_transaction_t t, uint32_t max, uint32_t otherwise,
		       uint32_t *out, const char *path, ...) must_check printf_like(6, 7);

int store_write(struct store *s, xs_transaction_t t, const char *value, const char *path, ...)
	printf_like(4, 5);

/* Removes the node and all below it; 0 also if it was not there. */
int store_remove(struct store *s, xs_transaction_t t, const char *path, ...) printf_like(3, 4);
bool store_exists(struct store *s, xs_transaction_t t, const char *path, ...) printf_like(3, 4);

/* Lists the children. On success *out is one malloc'd block the caller frees (names
 * inside it), *n their number. */
int store_list(struct store *s, xs_transaction_t t, char ***out, unsigned *n, const char *path, ...)
	must_check printf_like(5, 6);

int store_watch(struct store *s, const char *token, const char *path, ...) printf_like(3, 4);
int store_unwatch(struct store *s, const char *token, const char *path, ...) printf_like(3, 4);

struct store_event {
	char path[XENSTORE_ABS_PATH_MAX + 1];
	char token[64];
};

/* The next watch event; -EAGAIN if none waits. Never blocks. */
int store_next_event(struct store *s, struct store_event *out) must_check;

/* Runs body in a transaction, again while the commit says EAGAIN (at most 16 times).
 * Returns body's error or the commit's. */
int store_transact(struct store *s, int (*body)(struct store *s, xs_transaction_t t, void *arg),
		   void *arg) must_check;

#endif
