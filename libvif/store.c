/* SPDX-License-Identifier: MIT */
/*
 * xenstore through libxenstore. Whoever owns a node wrote its value: it is bounded,
 * and refused unless it is printable, before anyone reads a meaning into it.
 */
#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRANSACT_ATTEMPTS_MAX 16

struct store_path {
	char text[XENSTORE_ABS_PATH_MAX + 1];
};

static int path_format(struct store_path *path, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

static int path_format(struct store_path *path, const char *fmt, va_list args)
{
	int n = vsnprintf(path->text, sizeof(path->text), fmt, args);

	return n >= 0 && (size_t)n < sizeof(path->text) ? 0 : -ENAMETOOLONG;
}

/* Formats the path behind 'fmt' into 'path': every function below begins so. */
#define PATH_FORMAT(path, fmt, err)                                                                \
	do {                                                                                       \
		va_list args_;                                                                     \
		va_start(args_, fmt);                                                              \
		(err) = path_format(&(path), fmt, args_);                                          \
		va_end(args_);                                                                     \
	} while (0)

int store_open(struct store *s)
{
	s->handle = xs_open(0);
	return s->handle ? 0 : -errno;
}

void store_close(struct store *s)
{
	xs_close(s->handle);
	s->handle = NULL;
}

int store_fd(const struct store *s)
{
	return xs_fileno(s->handle);
}

static bool is_printable(const char *value, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)value[i] < ' ' || value[i] == '\x7f')
			return false;
	}
	return true;
}

static int read_value(struct store *s, xs_transaction_t t, const char *path, char *out, size_t size)
{
	unsigned int n;
	char *value = xs_read(s->handle, t, path, &n);
	int err = 0;

	if (!value)
		return -errno;
	if (!is_printable(value, n))
		err = -EILSEQ;
	else if (n >= size)
		err = -ENAMETOOLONG;
	else
		memcpy(out, value, (size_t)n + 1);
	free(value);
	return err;
}

static int read_uint(struct store *s, xs_transaction_t t, const char *path, uint32_t max,
		     uint32_t *out)
{
	char text[16] = "";
	uint64_t value = 0;
	int err = read_value(s, t, path, text, sizeof(text));

	if (err == -EILSEQ || err == -ENAMETOOLONG)
		return -EINVAL;
	if (err)
		return err;
	if (!text[0] || strspn(text, "0123456789") != strlen(text))
		return -EINVAL;
	for (const char *c = text; *c; c++)
		value = value * 10 + (uint64_t)(*c - '0');
	if (value > max)
		return -ERANGE;
	*out = (uint32_t)value;
	return 0;
}

int store_read(struct store *s, xs_transaction_t t, char *out, size_t size, const char *path, ...)
{
	struct store_path p;
	int err;

	PATH_FORMAT(p, path, err);
	return err ? err : read_value(s, t, p.text, out, size);
}

int store_read_uint(struct store *s, xs_transaction_t t, uint32_t max, uint32_t *out,
		    const char *path, ...)
{
	struct store_path p;
	int err;

	PATH_FORMAT(p, path, err);
	return err ? err : read_uint(s, t, p.text, max, out);
}

int store_read_uint_or(struct store *s, xs_transaction_t t, uint32_t max, uint32_t otherwise,
		       uint32_t *out, const char *path, ...)
{
	struct store_path p;
	int err;

	PATH_FORMAT(p, path, err);
	if (!err)
		err = read_uint(s, t, p.text, max, out);
	if (err != -ENOENT)
		return err;
	*out = otherwise;
	return 0;
}

int store_write(struct store *s, xs_transaction_t t, const char *value, const char *path, ...)
{
	struct store_path p;
	int err;

	PATH_FORMAT(p, path, err);
	if (err)
		return err;
	return xs_write(s->handle, t, p.text, value, (unsigned)strlen(value)) ? 0 : -errno;
}

int store_remove(struct store *s, xs_transaction_t t, const char *path, ...)
{
	struct store_path p;
	int err;

	PATH_FORMAT(p, path, err);
	if (err)
		return err;
	return xs_rm(s->handle, t, p.text) || errno == ENOENT ? 0 : -errno;
}

bool store_exists(struct store *s, xs_transaction_t t, const char *path, ...)
{
	struct store_path p;
	unsigned int n;
	void *value;
	int err;

	PATH_FORMAT(p, path, err);
	if (err)
		return false;
	value = xs_read(s->handle, t, p.text, &n);
	free(value);
	return value != NULL;
}

int store_list(struct store *s, xs_transaction_t t, char ***out, unsigned *n, const char *path, ...)
{
	struct store_path p;
	int err;

	PATH_FORMAT(p, path, err);
	if (err)
		return err;
	*out = xs_directory(s->handle, t, p.text, n);
	return *out ? 0 : -errno;
}

int store_watch(struct store *s, const char *token, const char *path, ...)
{
	struct store_path p;
	int err;

	assert(strlen(token) < sizeof(((struct store_event *)NULL)->token));
	PATH_FORMAT(p, path, err);
	if (err)
		return err;
	return xs_watch(s->handle, p.text, token) ? 0 : -errno;
}

int store_unwatch(struct store *s, const char *token, const char *path, ...)
{
	struct store_path p;
	int err;

	PATH_FORMAT(p, path, err);
	if (err)
		return err;
	return xs_unwatch(s->handle, p.text, token) ? 0 : -errno;
}

int store_next_event(struct store *s, struct store_event *out)
{
	char **event = xs_check_watch(s->handle);

	if (!event)
		return -errno;
	snprintf(out->path, sizeof(out->path), "%s", event[XS_WATCH_PATH]);
	snprintf(out->token, sizeof(out->token), "%s", event[XS_WATCH_TOKEN]);
	free(event);
	return 0;
}

int store_transact(struct store *s, int (*body)(struct store *s, xs_transaction_t t, void *arg),
		   void *arg)
{
	for (unsigned attempt = 1;; attempt++) {
		xs_transaction_t t = xs_transaction_start(s->handle);
		int err;

		if (t == XBT_NULL)
			return -errno;
		err = body(s, t, arg);
		if (err) {
			xs_transaction_end(s->handle, t, true);
			return err;
		}
		if (xs_transaction_end(s->handle, t, false))
			return 0;
		if (errno != EAGAIN || attempt == TRANSACT_ATTEMPTS_MAX)
			return -errno;
	}
}
