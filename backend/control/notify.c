/* SPDX-License-Identifier: MIT */
/*
 * sd_notify(3) without libsystemd.
 */
#include "backend/control/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

void notify_manager(const char *text)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t size = path ? strlen(path) : 0;
	int fd;

	if (!size || (path[0] != '/' && path[0] != '@') || size >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, size);
	if (path[0] == '@')
		addr.sun_path[0] = '\0'; /* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&addr,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) < 0)
		log_debug(LOG_NOBODY, "the service manager took no notice");
	close(fd);
}
