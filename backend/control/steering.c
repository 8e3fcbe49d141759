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
#include <sys/stat.h>
#include <unistd.h>

#include "backend/bpf/steer_object.h"
#include "log.h"
#include "rss.h"

/* As steer.bpf.c calls them. */
#define MAP_NAME     "steering"
#define PROGRAM_NAME "steer"

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

static struct steering *map_content(int map_fd)
{
	void *p = mmap(NULL, sizeof(struct steering), PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Together with an interface's index what names it on this machine. */
static uint64_t netns_inode(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) ? 0 : st.st_ino;
}

int steering_reset(int map_fd, int ifindex, uint32_t n_queues)
{
	struct steering *s = map_content(map_fd);
	uint8_t key[STEER_KEY_SIZE];

	if (!s)
		return -errno;
	if (getrandom(key, sizeof(key), GRND_NONBLOCK) != sizeof(key))
		memset(key, 0x5a, sizeof(key)); /* too early in the boot: predictable, but works */
	s->ifindex = (uint32_t)ifindex;
	s->netns = netns_inode();
	rss_init(s, n_queues, key);
	munmap(s, sizeof(*s));
	return 0;
}

bool steering_kept(int map_fd, uint32_t n_queues, struct rss *out)
{
	struct steering *s = map_content(map_fd);
	bool kept = s && rss_read(s, n_queues, out);

	if (s)
		munmap(s, sizeof(*s));
	return kept;
}

/* ---- attaching ---- */

/* Loads the program, about the map 'map_fd' or, with -1, one of its own, and has the TAP ask
 * it. Returns the map's fd. */
static int load_and_attach(struct bpf_object *object, int tap_fd, int map_fd)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, MAP_NAME);
	const struct bpf_program *program = bpf_object__find_program_by_name(object, PROGRAM_NAME);
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
	if (ioctl(tap_fd, TUNSETSTEERINGEBPF, &program_fd)) {
		rc = -errno;
		close(map_fd);
		return rc;
	}
	return map_fd;
}

static int attach(int tap_fd, int map_fd)
{
	struct bpf_object *object;
	int rc;

	libbpf_set_print(log_libbpf);
	object = bpf_object__open_mem(steer_object, steer_object_size, NULL);
	if (!object)
		return -errno;
	rc = load_and_attach(object, tap_fd, map_fd);
	bpf_object__close(object);
	return rc;
}

int steering_attach(int tap_fd, int ifindex, uint32_t n_queues)
{
	int map_fd = attach(tap_fd, -1), rc;

	if (map_fd < 0)
		return map_fd;
	rc = steering_reset(map_fd, ifindex, n_queues);
	if (!rc)
		return map_fd;
	close(map_fd);
	return rc;
}

/* ---- finding what an earlier vifd left ---- */

static bool is_ours(int map_fd, int ifindex)
{
	struct bpf_map_info info = { .type = 0 };
	uint32_t size = sizeof(info);
	struct steering *s;
	bool ours;

	if (bpf_obj_get_info_by_fd(map_fd, &info, &size) || strcmp(info.name, MAP_NAME) != 0 ||
	    info.type != BPF_MAP_TYPE_ARRAY || info.value_size != sizeof(*s) ||
	    info.max_entries != 1 || !(info.map_flags & BPF_F_MMAPABLE))
		return false;
	s = map_content(map_fd);
	if (!s)
		return false;
	ours = s->layout == STEER_LAYOUT && s->ifindex == (uint32_t)ifindex &&
	       s->netns == netns_inode();
	munmap(s, sizeof(*s));
	return ours;
}

/* Of all maps of this machine the youngest one of ours for the device: its fd or -errno. */
static int find_map(int ifindex)
{
	int found = -ENOENT, fd;
	uint32_t id = 0;

	while (!bpf_map_get_next_id(id, &id)) {
		fd = bpf_map_get_fd_by_id(id);
		if (fd == -EPERM)
			return found < 0 ? fd : found;
		if (fd < 0)
			continue; /* gone since */
		if (is_ours(fd, ifindex)) {
			if (found >= 0)
				close(found);
			found = fd;
		} else {
			close(fd);
		}
	}
	return found;
}

int steering_adopt(int tap_fd, int ifindex)
{
	int old = find_map(ifindex), map_fd;

	if (old < 0)
		return old;
	map_fd = attach(tap_fd, old);
	close(old);
	return map_fd;
}
