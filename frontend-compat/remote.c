/* SPDX-License-Identifier: MIT */
/*
 * vif-guest's socket (remote.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "frontend-compat/remote.h"
#include "log.h"

static int listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, err;

	if (snprintf(a.sun_path, sizeof(a.sun_path), "%s", path) >= (int)sizeof(a.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
		unlink(path); /* of one that was killed */
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int remote_open(struct remote *r, const char *path)
{
	*r = (struct remote){ .path = path, .listener = -1, .client = -1 };
	if (!path)
		return 0;
	r->listener = listen_at(path);
	if (r->listener >= 0)
		return 0;
	log_error(LOG_NOBODY, "--control %s: %s", path, strerror(-r->listener));
	return r->listener;
}

static void hang_up(struct remote *r)
{
	if (r->client >= 0)
		close(r->client);
	r->client = -1;
	r->size = 0;
}

void remote_close(struct remote *r)
{
	hang_up(r);
	if (r->listener < 0)
		return;
	close(r->listener);
	unlink(r->path);
}

int remote_fd(const struct remote *r)
{
	return r->client >= 0 ? r->client : r->listener;
}

/* Whether there is more in the line buffer than before. */
static bool receive(struct remote *r)
{
	ssize_t n;

	if (r->client < 0)
		r->client = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (r->client < 0)
		return false;
	n = recv(r->client, r->line + r->size, sizeof(r->line) - r->size, 0);
	if (n > 0) {
		r->size += (size_t)n;
		return true;
	}
	if (n == 0 || errno != EAGAIN) /* it left, or its line is too long for us */
		hang_up(r);
	return false;
}

char *remote_take(struct remote *r)
{
	char *end;

	if (!receive(r))
		return NULL;
	end = memchr(r->line, '\n', r->size);
	if (!end)
		return NULL;
	*end = 0;
	r->size = 0; /* one command, one answer: nothing comes behind it */
	return r->line;
}

void remote_say(struct remote *r, const char *text)
{
	char line[REMOTE_LINE_MAX];
	int n = snprintf(line, sizeof(line), "%.*s\n", (int)sizeof(line) - 2, text);

	if (r->client >= 0 && send(r->client, line, (size_t)n, MSG_NOSIGNAL) != n)
		hang_up(r);
}

static bool parse_word(const char *word, uint32_t n_queues_max, struct frontend_choice *c)
{
	unsigned long n;
	char *end;

	if (!strncmp(word, "frontend=", 9)) {
		c->dialect = dialect_find(word + 9);
		return c->dialect;
	}
	if (!strncmp(word, "without=", 8))
		return choice_parse_without(word + 8, &c->without) == 0;
	if (strncmp(word, "queues=", 7) != 0)
		return false;
	n = strtoul(word + 7, &end, 10);
	c->n_queues = (uint32_t)n;
	return !*end && n >= 1 && n <= n_queues_max;
}

const char *remote_parse_choice(char *words, uint32_t n_queues_max, struct frontend_choice *choice)
{
	struct frontend_choice c = *choice;
	char *save;

	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (!parse_word(w, n_queues_max, &c))
			return w;
	*choice = c;
	return NULL;
}
