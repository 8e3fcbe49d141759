/* SPDX-License-Identifier: MIT */
/*
 * The frontend's counters as one line of JSON (stats.h). No allocation: it is written
 * while the vif is connected.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "frontend-compat/stats.h"

/* 20 digits a counter and its name, with room to spare; truncation is checked. */
#define TEXT_MAX 4096

int stats_write(const struct netfront *nf, int fd)
{
	const struct netfront_config *c = &nf->config;
	const struct netfront_counters *n = &nf->counters;
	char text[TEXT_MAX], without[FEATURES_TEXT_SIZE];
	int size;

	size = snprintf(text, sizeof(text),
			"{\"domid\":%u,\"vif\":%" PRIu32
			",\"frontend\":\"%s\",\"without\":\"%s\",\"connected\":%s,\"queues\":%" PRIu32
#define X(name) ",\"" #name "\":%" PRIu64
			    NETFRONT_COUNTERS(X)
#undef X
				"}\n",
			c->vif.domid, c->vif.devid, c->choice.dialect->name,
			choice_format_without(c->choice.without, without),
			netfront_is_connected(nf) ? "true" : "false",
			nf->n_queues
#define X(name) , n->name
			    NETFRONT_COUNTERS(X)
#undef X
	);
	assert(size > 0 && size < (int)sizeof(text));
	return write(fd, text, (size_t)size) == size ? 0 : -(errno ?: EIO);
}

int stats_replace(const struct netfront *nf, const char *path)
{
	char temporary[PATH_MAX];
	int fd, err;

	if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	err = stats_write(nf, fd);
	close(fd);
	if (!err && rename(temporary, path) < 0)
		err = -errno;
	if (err < 0)
		unlink(temporary);
	return err;
}
