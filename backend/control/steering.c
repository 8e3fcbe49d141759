/* SPDX-License-Identifier: MIT */
/* See steering.h. */
#include "backend/control/steering.h"

#include <bpf/bpf.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/bpf/objects.h"
#include "backend/control/tap_program.h"
#include "rss.h"

#define MAP_NAME "steering" /* as steer.bpf.c calls it */

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

	if (s) {
		rss_set_aside(s, 0); /* whoever had that queue to itself is gone */
		munmap(s, sizeof(*s));
	}
	return kept;
}

int steering_set_aside(int map_fd, uint32_t aside)
{
	struct steering *s = map_content(map_fd);

	if (!s)
		return -errno;
	rss_set_aside(s, aside);
	munmap(s, sizeof(*s));
	return 0;
}

/* ---- attaching ---- */

static int attach(int tap_fd, int map_fd)
{
	static const struct tap_program program = { steer_object, &steer_object_size, "steer",
						    MAP_NAME, TUNSETSTEERINGEBPF };

	return tap_program_attach(&program, tap_fd, map_fd);
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
