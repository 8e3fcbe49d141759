/* SPDX-License-Identifier: MIT */
/*
 * Clients, lines and buffers. What a command means is not known here (view.c).
 */
#include "backend/control/api.h"

#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

void api_init(struct api *a, int listener, json_t *(*answer)(void *ctx, const json_t *request),
	      void *ctx)
{
	*a = (struct api){ .listener = listener, .answer = answer, .ctx = ctx };
	for (size_t i = 0; i < API_CLIENTS_MAX; i++)
		a->client[i].fd = -1;
}

static void client_drop(struct api_client *cl)
{
	close(cl->fd);
	free(cl->out);
	*cl = (struct api_client){ .fd = -1 };
}

void api_fini(struct api *a)
{
	for (size_t i = 0; i < API_CLIENTS_MAX; i++)
		if (a->client[i].fd >= 0)
			client_drop(&a->client[i]);
	if (a->listener >= 0)
		close(a->listener);
}

static struct api_client *free_client(struct api *a)
{
	for (size_t i = 0; i < API_CLIENTS_MAX; i++)
		if (a->client[i].fd < 0)
			return &a->client[i];
	return NULL;
}

bool api_has_room(const struct api *a)
{
	return a->listener >= 0 && free_client((struct api *)(uintptr_t)a);
}

static void accept_clients(struct api *a, uint64_t now_ns)
{
	struct api_client *cl;
	int fd;

	while (a->listener >= 0 && (cl = free_client(a))) {
		fd = accept4(a->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		*cl = (struct api_client){ .fd = fd, .idle_until_ns = now_ns + API_IDLE_NS };
	}
}

json_t *api_error(const char *code, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return json_pack("{s:b, s:s, s:s}", "ok", 0, "code", code, "error", text);
}

/* Takes 'answer'. Without memory to say it, the client is dropped. */
static void client_say(struct api_client *cl, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT);
	size_t n = text ? strlen(text) : 0;
	char *line = text ? realloc(text, n + 1) : NULL;

	json_decref(answer);
	if (!line) {
		free(text);
		client_drop(cl);
		return;
	}
	line[n] = '\n'; /* in the NUL's place */
	cl->out = line;
	cl->out_size = n + 1;
	cl->n_sent = 0;
}

static void client_answer(struct api *a, struct api_client *cl, const char *line, size_t size)
{
	json_error_t err;
	json_t *request = json_loadb(line, size, JSON_REJECT_DUPLICATES, &err);

	if (!json_is_object(request))
		client_say(cl, api_error("bad-request", "not a JSON object: %s",
					 request ? "another type" : err.text));
	else
		client_say(cl, a->answer(a->ctx, request));
	json_decref(request);
}

/* Takes the first line off what was read, and answers it. */
static void client_take_line(struct api *a, struct api_client *cl)
{
	char *end = memchr(cl->in, '\n', cl->n_in);
	size_t used;

	if (!end) {
		if (cl->n_in < sizeof(cl->in))
			return;
		cl->closing = true;
		client_say(cl, api_error("bad-request", "a request is one line of at most %d bytes",
					 API_REQUEST_MAX));
		return;
	}
	used = (size_t)(end - cl->in) + 1;
	client_answer(a, cl, cl->in, used - 1);
	if (cl->fd < 0)
		return;
	memmove(cl->in, cl->in + used, cl->n_in - used);
	cl->n_in -= used;
}

/* Returns whether anything was sent. */
static bool client_send(struct api_client *cl)
{
	ssize_t n = send(cl->fd, cl->out + cl->n_sent, cl->out_size - cl->n_sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			client_drop(cl);
		return false;
	}
	cl->n_sent += (size_t)n;
	if (cl->n_sent < cl->out_size)
		return true;
	free(cl->out);
	cl->out = NULL;
	if (cl->closing)
		client_drop(cl);
	return true;
}

/* Returns whether anything was read. */
static bool client_receive(struct api_client *cl)
{
	ssize_t n = recv(cl->fd, cl->in + cl->n_in, sizeof(cl->in) - cl->n_in, MSG_DONTWAIT);

	if (n > 0) {
		cl->n_in += (size_t)n;
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		client_drop(cl);
	return false;
}

/* One request a step, so that nobody has control for himself. */
static void client_step(struct api *a, struct api_client *cl, uint64_t now_ns)
{
	bool moved = false;

	if (!cl->out && !memchr(cl->in, '\n', cl->n_in))
		moved = client_receive(cl);
	if (cl->fd >= 0 && !cl->out && cl->n_in)
		client_take_line(a, cl);
	if (cl->fd >= 0 && cl->out)
		moved |= client_send(cl);
	if (cl->fd < 0)
		return;
	if (moved)
		cl->idle_until_ns = now_ns + API_IDLE_NS;
	else if (now_ns >= cl->idle_until_ns)
		client_drop(cl);
}

uint64_t api_step(struct api *a, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;

	accept_clients(a, now_ns);
	for (size_t i = 0; i < API_CLIENTS_MAX; i++) {
		struct api_client *cl = &a->client[i];

		if (cl->fd >= 0)
			client_step(a, cl, now_ns);
		if (cl->fd < 0)
			continue;
		if (!cl->out && memchr(cl->in, '\n', cl->n_in))
			next = now_ns;
		next = MIN(next, cl->idle_until_ns);
	}
	return next;
}

/* ---- the listening socket ---- */

static int make_directory_of(const char *path)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	return mkdir(dirname(copy), 0700) && errno != EEXIST ? -errno : 0;
}

/* The pid written in the lock file; 0 if there is none. */
static long read_holder(int fd)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	return n > 0 ? strtol(text, NULL, 10) : 0;
}

static int take_lock(int fd, uint64_t patience_ns, long *holder)
{
	const uint64_t every_ns = 50 * NS_PER_MS;

	for (;;) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			break;
		*holder = read_holder(fd);
		/* A dead vifd's datapath holds the lock until it has let go of the rings. */
		if (errno != EWOULDBLOCK || !*holder || !kill((pid_t)*holder, 0) ||
		    patience_ns < every_ns)
			return errno == EWOULDBLOCK || errno == ESRCH || !errno ? -EBUSY : -errno;
		poll(NULL, 0, (int)(every_ns / NS_PER_MS));
		patience_ns -= every_ns;
	}
	if (ftruncate(fd, 0) || dprintf(fd, "%ld\n", (long)getpid()) < 0)
		return -errno;
	return 0;
}

static int bind_listener(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int rc, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t before;

	if (fd < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	before = umask(0177);
	rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, API_CLIENTS_MAX) ? -errno : 0;
	umask(before);
	if (rc)
		close(fd);
	return rc ? rc : fd;
}

int api_lock(const char *path, uint64_t patience_ns, long *holder)
{
	int rc = make_directory_of(path), fd;

	if (rc)
		return rc;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	rc = take_lock(fd, patience_ns, holder);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

int api_listen(const char *path)
{
	struct stat st;
	int rc = make_directory_of(path);

	if (rc)
		return rc;
	if (!lstat(path, &st)) {
		if (!S_ISSOCK(st.st_mode))
			return -EEXIST;
		unlink(path); /* of this domain's vifds we are the one: whoever made it is gone */
	}
	return bind_listener(path);
}
