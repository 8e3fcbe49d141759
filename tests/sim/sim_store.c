/* SPDX-License-Identifier: MIT */
/* See sim_store.h. Sizes are a test's: running out of them is a failed assertion. */
#include "sim_store.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#define NODES_MAX   4096
#define WATCHES_MAX 256
#define EVENTS_MAX  8192
#define PATH_MAX_   256

struct node {
	char path[PATH_MAX_];
	char value[256];
};

struct watch {
	char path[PATH_MAX_]; /* absolute */
	char token[64];
	size_t n_hidden; /* leading bytes of event paths the watcher does not see (relative watch) */
};

struct event {
	char path[PATH_MAX_];
	char token[64];
};

struct xs_handle {
	struct xs_handle *next;
	uint32_t domid;
	struct watch watches[WATCHES_MAX];
	unsigned n_watches;
	struct event events[EVENTS_MAX]; /* a ring */
	unsigned first, n_events;
};

static struct node nodes[NODES_MAX];
static unsigned n_nodes;
static struct xs_handle *handles;
static uint32_t current_domid;
static unsigned n_changes; /* since the transaction under way began */

void sim_store_set_domid(uint32_t domid)
{
	current_domid = domid;
}

void sim_store_reset(void)
{
	assert(!handles);
	n_nodes = 0;
}

/* ---- paths ---- */

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && path[n] == '/';
}

static void absolute(const struct xs_handle *h, const char *path, char out[PATH_MAX_])
{
	int n = path[0] == '/' || path[0] == '@'
			? snprintf(out, PATH_MAX_, "%s", path)
			: snprintf(out, PATH_MAX_, "/local/domain/%u/%s", h->domid, path);

	assert(n < PATH_MAX_);
}

static struct node *find(const char *path)
{
	for (unsigned i = 0; i < n_nodes; i++)
		if (!strcmp(nodes[i].path, path))
			return &nodes[i];
	return NULL;
}

/* A directory without a value of its own exists as long as something is below it. */
static bool exists(const char *path)
{
	for (unsigned i = 0; i < n_nodes; i++)
		if (!strcmp(nodes[i].path, path) || is_below(nodes[i].path, path))
			return true;
	return false;
}

/* ---- watches ---- */

static void queue_event(struct xs_handle *h, const struct watch *w, const char *path)
{
	struct event *e = &h->events[(h->first + h->n_events) % EVENTS_MAX];

	assert(h->n_events < EVENTS_MAX);
	snprintf(e->path, sizeof(e->path), "%s", path + w->n_hidden);
	snprintf(e->token, sizeof(e->token), "%s", w->token);
	h->n_events++;
}

/* As xenstored: a watch sees changes at and below its path; removing a directory
 * is also a change of everything below it. */
static void fire(const char *path, bool removed)
{
	for (struct xs_handle *h = handles; h; h = h->next) {
		for (unsigned i = 0; i < h->n_watches; i++) {
			const struct watch *w = &h->watches[i];

			if (!strcmp(path, w->path) || is_below(path, w->path))
				queue_event(h, w, path);
			else if (removed && is_below(w->path, path))
				queue_event(h, w, w->path);
		}
	}
}

static bool remove_tree(const char *path)
{
	unsigned kept = 0;
	bool any = false;

	for (unsigned i = 0; i < n_nodes; i++) {
		if (!strcmp(nodes[i].path, path) || is_below(nodes[i].path, path)) {
			any = true;
			continue;
		}
		if (kept != i)
			nodes[kept] = nodes[i];
		kept++;
	}
	n_nodes = kept;
	n_changes++;
	if (any)
		fire(path, true);
	return any;
}

void sim_store_put(const char *path, const char *value)
{
	struct node *n = find(path);

	if (!value) {
		remove_tree(path);
		return;
	}
	n_changes++;
	if (!n) {
		assert(n_nodes < NODES_MAX);
		n = &nodes[n_nodes++];
		snprintf(n->path, sizeof(n->path), "%s", path);
	}
	snprintf(n->value, sizeof(n->value), "%s", value);
	fire(path, false);
}

const char *sim_store_get(const char *path)
{
	const struct node *n = find(path);

	return n ? n->value : NULL;
}

/* ---- libxenstore's functions ---- */

struct xs_handle *xs_open(unsigned long flags)
{
	struct xs_handle *h = calloc(1, sizeof(*h));

	(void)flags;
	assert(h);
	h->domid = current_domid;
	h->next = handles;
	handles = h;
	return h;
}

void xs_close(struct xs_handle *h)
{
	struct xs_handle **at = &handles;

	if (!h)
		return;
	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	free(h);
}

int xs_fileno(struct xs_handle *h)
{
	(void)h;
	return -1; /* nobody waits in a stepped run */
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
	char full[PATH_MAX_];
	const struct node *n;

	(void)t;
	absolute(h, path, full);
	n = find(full);
	if (!n && !exists(full)) {
		errno = ENOENT;
		return NULL;
	}
	if (len)
		*len = n ? (unsigned)strlen(n->value) : 0;
	return strdup(n ? n->value : "");
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
	      unsigned int len)
{
	char full[PATH_MAX_], value[256];

	(void)t;
	assert(len < sizeof(value));
	absolute(h, path, full);
	memcpy(value, data, len);
	value[len] = '\0';
	sim_store_put(full, value);
	return true;
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	char full[PATH_MAX_];

	(void)t;
	absolute(h, path, full);
	if (remove_tree(full))
		return true;
	errno = ENOENT;
	return false;
}

static bool listed(char **names, unsigned n, const char *name, size_t len)
{
	for (unsigned i = 0; i < n; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], name, len))
			return true;
	return false;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
	char full[PATH_MAX_];
	char **names;
	char *text;

	(void)t;
	absolute(h, path, full);
	*num = 0;
	if (!exists(full)) {
		errno = ENOENT;
		return NULL;
	}
	names = calloc(1, n_nodes * (sizeof(*names) + PATH_MAX_));
	assert(names);
	text = (char *)(names + n_nodes);
	for (unsigned i = 0; i < n_nodes; i++) {
		const char *child = nodes[i].path + strlen(full) + 1;
		size_t len;

		if (!is_below(nodes[i].path, full))
			continue;
		len = strcspn(child, "/");
		if (listed(names, *num, child, len))
			continue;
		names[(*num)++] = text;
		memcpy(text, child, len);
		text[len] = '\0';
		text += len + 1;
	}
	return names;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	struct watch *w = &h->watches[h->n_watches];

	assert(h->n_watches < WATCHES_MAX);
	absolute(h, path, w->path);
	w->n_hidden = strlen(w->path) - strlen(path);
	snprintf(w->token, sizeof(w->token), "%s", token);
	h->n_watches++;
	queue_event(h, w, w->path);
	return true;
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
	char full[PATH_MAX_];

	absolute(h, path, full);
	for (unsigned i = 0; i < h->n_watches; i++) {
		struct watch *w = &h->watches[i];

		if (strcmp(w->path, full) || strcmp(w->token, token))
			continue;
		*w = h->watches[--h->n_watches];
		return true;
	}
	errno = ENOENT;
	return false;
}

char **xs_check_watch(struct xs_handle *h)
{
	const struct event *e = &h->events[h->first];
	char **vec;
	char *text;

	if (!h->n_events) {
		errno = EAGAIN;
		return NULL;
	}
	vec = malloc(2 * sizeof(*vec) + sizeof(e->path) + sizeof(e->token));
	assert(vec);
	text = (char *)(vec + 2);
	vec[XS_WATCH_PATH] = strcpy(text, e->path);
	vec[XS_WATCH_TOKEN] = strcpy(text + sizeof(e->path), e->token);
	h->first = (h->first + 1) % EVENTS_MAX;
	h->n_events--;
	return vec;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	(void)h;
	n_changes = 0;
	return 1;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort_it)
{
	(void)h;
	(void)t;
	assert(!abort_it || n_changes == 0); /* what was written stays written */
	return true;
}
