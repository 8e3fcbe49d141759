/* SPDX-License-Identifier: MIT */
/* See afxdp_program.h. */
#include "backend/nic/afxdp_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/bpf/nic_filter.h"
#include "backend/bpf/objects.h"
#include "backend/nic/guest_queues.h"

#define PROGRAM_NAME "vifd_nic"
#define WAS_NAME     "vifd_nic_was" /* of at most 15 characters */

static_assert(NIC_FILTERS_MAX >= NIC_PLACES_MAX, "a filter for each place");
static_assert(NIC_DEVICE_QUEUES_MAX == NIC_QUEUES_MAX, "the program knows every queue");

static int fail(char *why, size_t size, int err, const char *step)
{
	snprintf(why, size, "%s: %s", step, strerror(-err));
	return err;
}

/* ---- what an earlier vifd left ---- */

struct left {
	int program;
	int filters, was; /* its maps; -1: it has none such */
};

static void close_left(struct left *l)
{
	const int fds[] = { l->program, l->filters, l->was };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Keeps the map if it is one of those looked for. */
static void take_map(struct left *l, uint32_t id)
{
	struct bpf_map_info info = { .type = 0 };
	uint32_t size = sizeof(info);
	int fd = bpf_map_get_fd_by_id(id);

	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		info.name[0] = '\0';
	if (!strcmp(info.name, "filters") && l->filters < 0)
		l->filters = fd;
	else if (!strcmp(info.name, WAS_NAME) && l->was < 0 &&
		 info.value_size == sizeof(struct guest_queues_record))
		l->was = fd;
	else
		close(fd);
}

/* The program that is there; -EBUSY: it is not ours. */
static int look_at(uint32_t id, struct left *l, char *why, size_t why_size)
{
	uint32_t maps[16] = { 0 };
	struct bpf_prog_info info = { .nr_map_ids = ARRAY_SIZE(maps), .map_ids = (uintptr_t)maps };
	uint32_t size = sizeof(info);
	int err;

	l->program = bpf_prog_get_fd_by_id(id);
	err = l->program < 0 ? l->program : bpf_obj_get_info_by_fd(l->program, &info, &size);
	if (err)
		return err;
	if (strcmp(info.name, PROGRAM_NAME)) {
		snprintf(why, why_size, "another XDP program is on it: %s", info.name);
		return -EBUSY;
	}
	for (uint32_t i = 0; i < MIN(info.nr_map_ids, ARRAY_SIZE(maps)); i++)
		take_map(l, maps[i]);
	return 0;
}

static void put_back(int ifindex, const struct left *l)
{
	struct guest_queues_record *was = calloc(1, sizeof(*was));
	uint32_t zero = 0;

	if (was && l->filters >= 0 && l->was >= 0 && !bpf_map_lookup_elem(l->was, &zero, was))
		guest_queues_put_back(ifindex, was, l->filters);
	free(was);
}

int afxdp_program_remove_left(int ifindex, char *why, size_t why_size)
{
	struct left l = { .program = -1, .filters = -1, .was = -1 };
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int err = bpf_xdp_query(ifindex, 0, &query);

	if (!err && !query.prog_id)
		return 0;
	why[0] = '\0';
	if (!err)
		err = look_at(query.prog_id, &l, why, why_size);
	if (!err)
		put_back(ifindex, &l);
	if (!err)
		err = bpf_xdp_detach(ifindex, 0, NULL);
	if (err && !why[0])
		fail(why, why_size, err, "looking for XDP programs");
	close_left(&l);
	return err;
}

/* ---- ours ---- */

/* In the driver where it can, else in the stack: slower, but the same. */
static int attach(struct afxdp_program *p, int fd)
{
	static const uint32_t modes[] = { XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE };
	int err = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		err = bpf_xdp_attach(p->ifindex, fd, XDP_FLAGS_UPDATE_IF_NOEXIST | modes[i], NULL);
		if (err)
			continue;
		p->xdp_flags = modes[i];
		return 0;
	}
	return err;
}

/* A map that lives as long as the program. */
static int keep_record(struct afxdp_program *p, int program, const struct guest_queues_record *was)
{
	uint32_t zero = 0;
	int err;

	p->was = bpf_map_create(BPF_MAP_TYPE_ARRAY, WAS_NAME, sizeof(zero), sizeof(*was), 1, NULL);
	if (p->was < 0)
		return p->was;
	err = bpf_map_update_elem(p->was, &zero, was, BPF_ANY);
	return err ? err : bpf_prog_bind_map(program, p->was, NULL);
}

static int load(struct afxdp_program *p, uint32_t first_queue, char *why, size_t why_size)
{
	const struct nic_device_queues queues = { .first = first_queue };
	struct bpf_map *constants;
	int err;

	p->object = bpf_object__open_mem(nic_object, nic_object_size, NULL);
	if (!p->object)
		return fail(why, why_size, -errno, "reading the XDP program");
	constants = bpf_object__find_map_by_name(p->object, ".rodata");
	err = constants ? bpf_map__set_initial_value(constants, &queues, sizeof(queues)) : -ENOENT;
	if (!err)
		err = bpf_object__load(p->object);
	if (err)
		return fail(why, why_size, err, "loading the XDP program");
	p->filters = bpf_object__find_map_fd_by_name(p->object, "filters");
	p->sockets = bpf_object__find_map_fd_by_name(p->object, "sockets");
	return 0;
}

static int program_fd(const struct afxdp_program *p)
{
	return bpf_program__fd(bpf_object__find_program_by_name(p->object, PROGRAM_NAME));
}

static int id_of(int program, uint32_t *out)
{
	struct bpf_prog_info info = { .type = 0 };
	uint32_t size = sizeof(info);
	int err = bpf_obj_get_info_by_fd(program, &info, &size);

	*out = info.id;
	return err;
}

int afxdp_program_put(struct afxdp_program *p, int ifindex, const struct guest_queues_record *was,
		      char *why, size_t why_size)
{
	int fd, err;

	*p = (struct afxdp_program){ .ifindex = ifindex, .was = -1 };
	err = load(p, was->first, why, why_size);
	if (err)
		return err;
	fd = program_fd(p);
	err = fd < 0 ? fd : id_of(fd, &p->id);
	if (!err)
		err = keep_record(p, fd, was);
	if (err)
		return fail(why, why_size, err, "noting what the device was");
	err = attach(p, fd);
	return err ? fail(why, why_size, err, "putting the XDP program on the device") : 0;
}

bool afxdp_program_in_driver(const struct afxdp_program *p)
{
	return p->xdp_flags & XDP_FLAGS_DRV_MODE;
}

int afxdp_program_check(const struct afxdp_program *p, char *why, size_t why_size)
{
	uint32_t id = 0;
	int err = bpf_xdp_query_id(p->ifindex, (int)p->xdp_flags, &id);

	if (err)
		return fail(why, why_size, err, "looking for the XDP program");
	if (id == p->id)
		return 0;
	snprintf(why, why_size, id ? "another XDP program was put in place of vifd's" :
				     "its XDP program was taken off");
	return -ESTALE;
}

void afxdp_program_remove(struct afxdp_program *p)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, ours);

	if (p->xdp_flags) {
		ours.old_prog_fd = program_fd(p);
		bpf_xdp_detach(p->ifindex, p->xdp_flags, &ours);
	}
	p->xdp_flags = 0;
	bpf_object__close(p->object);
	p->object = NULL;
	if (p->was >= 0)
		close(p->was);
	p->was = -1;
}
