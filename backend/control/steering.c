/* SPDX-License-Identifier: MIT */
/* See steering.h. */
#include "backend/control/steering.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "backend/bpf/steer_object.h"
#include "log.h"
#include "rss.h"

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

int steering_reset(int map_fd, uint32_t n_queues)
{
	struct steering *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	uint8_t key[STEER_KEY_SIZE];

	if (s == MAP_FAILED)
		return -errno;
	if (getrandom(key, sizeof(key), GRND_NONBLOCK) != sizeof(key))
		memset(key, 0x5a, sizeof(key)); /* too early in the boot: predictable, but works */
	rss_init(s, n_queues, key);
	munmap(s, sizeof(*s));
	return 0;
}

/* Makes the map's content count, then lets the TAP ask. */
static int attach(const struct bpf_object *object, int tap_fd, uint32_t n_queues)
{
	int map_fd = bpf_object__find_map_fd_by_name(object, "steering");
	int program_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "steer"));
	int rc;

	if (map_fd < 0 || program_fd < 0)
		return -ENOENT;
	rc = steering_reset(map_fd, n_queues);
	if (rc)
		return rc;
	map_fd = fcntl(map_fd, F_DUPFD_CLOEXEC, 0);
	if (map_fd < 0)
		return -errno;
	if (ioctl(tap_fd, TUNSETSTEERINGEBPF, &program_fd)) {
		rc = -errno;
		close(map_fd);
		return rc;
	}
	return map_fd;
}

int steering_attach(int tap_fd, uint32_t n_queues)
{
	struct bpf_object *object;
	int rc;

	libbpf_set_print(log_libbpf);
	object = bpf_object__open_mem(steer_object, steer_object_size, NULL);
	if (!object)
		return -errno;
	rc = bpf_object__load(object);
	if (!rc)
		rc = attach(object, tap_fd, n_queues);
	bpf_object__close(object);
	return rc;
}
