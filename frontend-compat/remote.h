/* SPDX-License-Identifier: MIT */
/*
 * A unix socket that tells a running vif-guest what to be: lines of text in, one line
 * of answer each. One client at a time, others wait to be accepted; nothing blocks.
 *
 * No trust boundary: who can open the socket could as well have started vif-guest.
 */
#ifndef FRONTEND_REMOTE_H
#define FRONTEND_REMOTE_H

#include "frontend-compat/dialect.h"

#define REMOTE_LINE_MAX 256

struct remote {
	const char *path; /* NULL: there is none */
	int listener, client;
	char line[REMOTE_LINE_MAX];
	size_t size;
};

/* Listens at 'path', borrowed, or at nothing: NULL. 0 or -errno, logged. */
int remote_open(struct remote *r, const char *path) must_check;
void remote_close(struct remote *r);

/* What to poll for POLLIN to get on; -1: nothing. */
int remote_fd(const struct remote *r);

/* The next command, without its newline; valid until the next call. NULL: not yet. */
char *remote_take(struct remote *r);

/* Answers: one line, its newline is added. Without a client it is lost. */
void remote_say(struct remote *r, const char *text);

/*
 * Reads "frontend=NAME queues=N without=FEATURE,..." into *choice; what is not named stays.
 * Cuts 'words' up. Returns NULL, or the word that is wrong: *choice is untouched.
 */
const char *remote_parse_choice(char *words, uint32_t n_queues_max, struct frontend_choice *choice);

#endif
