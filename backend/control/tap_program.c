/* SPDX-License-Identifier: MIT */
/* See tap_program.h. */
#include "backend/control/tap_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "log.h"

/* libbpf's words, for whoever wants to know why the kernel refused. */
static int __attribute__((format(printf, 2, 0)))
log_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char text[256];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug(LOG_NOBODY, "%s", text);
	return 0;
}

/* Loads the program, about the map 'map_fd' or, with -1, one of its own, and has the TAP ask
 * it. Returns the map's fd. */
static int load_and_attach(const struct tap_program *p, struct bpf_object *object, int tap_fd,
			   int map_fd)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, p->map);
	const struct bpf_program *program = bpf_object__find_program_by_name(object, p->name);
	int program_fd, rc;

	if (!map || !program)
		return -ENOENT;
	rc = map_fd < 0 ? 0 : bpf_map__reuse_fd(map, map_fd);
	if (!rc)
		rc = bpf_object__load(object);
	if (rc)
		return rc;
	program_fd = bpf_program__fd(program);
	map_fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
	if (map_fd < 0)
		return -errno;
	if (ioctl(tap_fd, p->request, &program_fd)) {
		rc = -errno;
		close(map_fd);
		return rc;
	}
	return map_fd;
}

int tap_program_attach(const struct tap_program *p, int tap_fd, int map_fd)
{
	struct bpf_object *object;
	int rc;

	libbpf_set_print(log_libbpf);
	object = bpf_object__open_mem(p->object, *p->size, NULL);
	if (!object)
		return -errno;
	rc = load_and_attach(p, object, tap_fd, map_fd);
	bpf_object__close(object);
	return rc;
}
