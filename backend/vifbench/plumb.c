/* SPDX-License-Identifier: MIT */
/* See plumb.h. */
#include "backend/vifbench/plumb.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int plumb_say(char *why, size_t size, int err, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(why, size, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < size)
		snprintf(why + n, size - (size_t)n, ": %s", strerror(-err));
	return err;
}

int plumb_ip(const char *fmt, ...)
{
	char line[256], *word[32] = { "ip" }, *rest = line;
	int n = 1, status;
	va_list ap;
	pid_t pid;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	while (n < 31 && (word[n] = strsep(&rest, " ")))
		n++;
	if (posix_spawnp(&pid, "ip", NULL, NULL, word, environ))
		return -EIO;
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
		return -EIO;
	return 0;
}

int plumb_make_netns(const char *netns)
{
	int err = plumb_ip("netns add %s", netns);

	return err ? err : plumb_ip("-n %s link set lo up", netns);
}

int plumb_enter(const char *netns)
{
	char path[96];
	int fd, err = 0;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET))
		err = -errno;
	close(fd);
	return err;
}

int plumb_socket(const char *netns, int type)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), s, err;

	if (home < 0)
		return -errno;
	err = plumb_enter(netns);
	s = err ? err : socket(AF_INET, type | SOCK_CLOEXEC, 0);
	if (!err && s < 0)
		s = -errno;
	if (setns(home, CLONE_NEWNET))
		s = -errno;
	close(home);
	return s;
}
