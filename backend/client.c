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

static void explain_connect(int err, const char *path, char *why, size_t why_size)
{
	if (err == EAGAIN) /* its queue of callers is full, and stays so */
		snprintf(why, why_size, "vifd at %s takes no calls: it is stopped, or hangs", path);
	else if (err == EACCES || err == EPERM)
		snprintf(why, why_size, "cannot reach vifd at %s: %s: run it as root", path,
			 strerror(err));
	else
		snprintf(why, why_size, "cannot reach vifd at %s: %s%s", path, strerror(err),
			 err == ENOENT || err == ECONNREFUSED
			     ? ": does it run? (--socket names another place)"
			     : "");
}

/* 'err': of the last read; 0: there was none to blame. */
static void explain_silence(FILE *conn, int err, const char *path, char *why, size_t why_size)
{
	struct ucred peer = { .pid = 0 };
	socklen_t size = sizeof(peer);

	getsockopt(fileno(conn), SOL_SOCKET, SO_PEERCRED, &peer, &size);
	if (err == EAGAIN)
		snprintf(why, why_size,
			 "vifd at %s (pid %d) gave no answer within %d s: it is stopped, or hangs",
			 path, (int)peer.pid, PATIENCE_S);
	else
		snprintf(why, why_size, "vifd at %s (pid %d) gave no answer: %s", path,
			 (int)peer.pid, err ? strerror(err) : "it ended, or is no vifd");
}

json_t *client_ask(const char *socket_path, json_t *request, char *why, size_t why_size)
{
	FILE *conn = connect_to(socket_path);
	json_t *answer = NULL;
	char *line = NULL;
	size_t size = 0;

	if (!conn) {
		explain_connect(errno, socket_path, why, why_size);
		json_decref(request);
		return NULL;
	}
	json_dumpf(request, conn, JSON_COMPACT);
	fputc('\n', conn);
	errno = 0;
	if (!fflush(conn) && getline(&line, &size, conn) > 0)
		answer = json_loads(line, 0, NULL);
	if (!answer)
		explain_silence(conn, ferror(conn) ? errno : 0, socket_path, why, why_size);
	free(line);
	fclose(conn);
	json_decref(request);
	return answer;
}
