/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: the operator's socket: one JSON object a line, in and out (vifctl(8)).
 *
 * A client can be slow or hostile without costing more than a few KiB: there are at
 * most API_CLIENTS_MAX, a request is at most API_REQUEST_MAX bytes, the next one is
 * read only once the answer to the last is gone, and who neither asks nor reads for
 * API_IDLE_NS is dropped. Nothing here waits.
 */
#ifndef VIF_CONTROL_API_H
#define VIF_CONTROL_API_H

#include <jansson.h>

#include "base.h"

#define API_CLIENTS_MAX 16
#define API_REQUEST_MAX 4096
#define API_IDLE_NS	(10 * NS_PER_S)

struct api_client {
	int fd; /* -1: none */
	char in[API_REQUEST_MAX];
	size_t n_in;
	char *out; /* malloc'd; NULL: nothing to send */
	size_t out_size, n_sent;
	bool closing; /* once out is sent */
	uint64_t idle_until_ns;
};

struct api {
	int listener; /* -1: none */
	struct api_client client[API_CLIENTS_MAX];
	/* Answers a request: a new object. Never NULL. */
	json_t *(*answer)(void *ctx, const json_t *request);
	void *ctx;
};

/* Takes 'listener'. */
void api_init(struct api *a, int listener, json_t *(*answer)(void *ctx, const json_t *request),
	      void *ctx);
void api_fini(struct api *a);

/* Accepts, reads, answers and writes as far as goes without waiting. Returns when it is
 * due again: UINT64_MAX if only a socket can tell. */
uint64_t api_step(struct api *a, uint64_t now_ns);

/* Whether there is room for one more client: else do not poll the listener. */
bool api_has_room(const struct api *a);

/* {"ok": false, "code": ..., "error": ...} */
json_t *api_error(const char *code, const char *fmt, ...) printf_like(2, 3);

/*
 * Takes the lock that holds off a second vifd, a file (its directory is made if it is not
 * there); waits up to 'patience_ns' for the datapath of a vifd that is gone. A descriptor
 * that holds it, or -EBUSY: another vifd has it, *holder is its pid; -errno.
 */
int api_lock(const char *path, uint64_t patience_ns, long *holder) must_check;

/*
 * Makes the listening socket at 'path' (0600, its directory too if it is not there), in place
 * of one that a vifd before us left. The listener, or -EEXIST: something else is there; -errno.
 */
int api_listen(const char *path) must_check;

#endif
