/* SPDX-License-Identifier: MIT */
/* See news.h. The kernel keeps the program as long as the socket is there. */
#include "backend/control/news.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/bpf/objects.h"

static int own_fd(const struct bpf_object *object, const char *map)
{
	int fd = bpf_object__find_map_fd_by_name(object, map);

	return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static int load_and_attach(struct news *n, struct bpf_object *object, int fd)
{
	const struct bpf_program *program = bpf_object__find_program_by_name(object, "hear");
	int program_fd, rc = program ? bpf_object__load(object) : -ENOENT;

	if (rc)
		return rc;
	program_fd = bpf_program__fd(program);
	n->ports_fd = own_fd(object, "ports");
	n->stations_fd = own_fd(object, "stations");
	if (n->ports_fd < 0 || n->stations_fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program_fd, sizeof(program_fd)))
		return -errno;
	return 0;
}

int news_attach(struct news *n, int fd)
{
	struct bpf_object *object = bpf_object__open_mem(news_object, news_object_size, NULL);
	int rc;

	*n = NEWS_NONE;
	if (!object)
		return -errno;
	rc = load_and_attach(n, object, fd);
	if (rc)
		news_detach(n);
	bpf_object__close(object);
	return rc;
}

void news_detach(struct news *n)
{
	if (n->ports_fd >= 0)
		close(n->ports_fd);
	if (n->stations_fd >= 0)
		close(n->stations_fd);
	*n = NEWS_NONE;
}

int news_of_port(const struct news *n, int port, bool on)
{
	const uint32_t one = 1;

	if (on)
		return bpf_map_update_elem(n->ports_fd, &port, &one, BPF_ANY);
	return bpf_map_delete_elem(n->ports_fd, &port);
}

int news_of_station(const struct news *n, const struct news_station *s, int home)
{
	const struct news_state state = { .port = NEWS_PORT_UNKNOWN, .home = (uint32_t)home };

	return bpf_map_update_elem(n->stations_fd, s, &state, BPF_ANY);
}
