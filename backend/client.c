/* SPDX-License-Identifier: MIT */
/* See client.h. */
#include "backend/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 10

static FILE *connect_to(const char *path)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return NULL;
	}
	return fdopen(fd, "r+");
}

json_t *client_ask(const char *socket_path, json_t *request, char *why, size_t why_size)
{
	FILE *conn = connect_to(socket_path);
	json_t *answer = NULL;
	char *line = NULL;
	size_t size = 0;

	if (!conn) {
		snprintf(why, why_size, "cannot reach vifd at %s: %s%s", socket_path, strerror(errno),
			 errno == ENOENT || errno == ECONNREFUSED
			     ? ": does it run? (--socket names another place)"
			     : "");
		json_decref(request);
		return NULL;
	}
	json_dumpf(request, conn, JSON_COMPACT);
	fputc('\n', conn);
	if (!fflush(conn) && getline(&line, &size, conn) > 0)
		answer = json_loads(line, 0, NULL);
	if (!answer)
		snprintf(why, why_size, "vifd at %s gave no answer", socket_path);
	free(line);
	fclose(conn);
	json_decref(request);
	return answer;
}
