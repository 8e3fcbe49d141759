/* SPDX-License-Identifier: MIT */
/*
 * AF_XDP in control: the XDP program on the device, its maps, and the sockets that the
 * worker binds. Not steered: the device spreads frames over its queues as it pleases,
 * the program picks the place, on whatever queue they come.
 *
 * The program stays on the device until close(), or until the next vifd's open() finds it
 * by its name. Without open sockets it lets everything pass, so one left by a crash does
 * no harm.
 */
#include "backend/nic/afxdp.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/bpf/nic_filter.h"
#include "backend/bpf/objects.h"
#include "log.h"

#define PROGRAM_NAME "vifd_nic"

static_assert(NIC_FILTERS_MAX >= NIC_PLACES_MAX, "a filter for each place");
static_assert(NIC_DEVICE_QUEUES_MAX == NIC_QUEUES_MAX, "the program knows every queue");

struct nic_device {
	char name[NIC_NAME_SIZE];
	int ifindex;
	int n_queues;
	uint32_t n_places;
	uint32_t xdp_flags; /* how the program is attached; 0: it is not */
	struct bpf_object *object;
	int filters, sockets; /* maps; the object's */
	int grace, grace_inner;
};

static int fail(char *why, size_t size, int err, const char *step)
{
	snprintf(why, size, "%s: %s", step, strerror(-err));
	return err;
}

/* ---- what is on the device ---- */

/* Removes a program of ours that an earlier vifd left; another's is not ours to remove. */
static int remove_left(int ifindex, char *why, size_t why_size)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct bpf_prog_info info = { .type = 0 };
	uint32_t size = sizeof(info);
	int fd, err = bpf_xdp_query(ifindex, 0, &query);

	if (err || !query.prog_id)
		return err;
	fd = bpf_prog_get_fd_by_id(query.prog_id);
	err = fd < 0 ? fd : bpf_obj_get_info_by_fd(fd, &info, &size);
	if (fd >= 0)
		close(fd);
	if (err)
		return err;
	if (strcmp(info.name, PROGRAM_NAME)) {
		snprintf(why, why_size, "another XDP program is on it: %s", info.name);
		return -EBUSY;
	}
	return bpf_xdp_detach(ifindex, 0, NULL);
}

/* In the driver where it can, else in the stack: slower, but the same. */
static int attach(struct nic_device *d)
{
	static const uint32_t modes[] = { XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE };
	int fd = bpf_program__fd(bpf_object__find_program_by_name(d->object, PROGRAM_NAME));
	int err = -ENOENT;

	for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(modes); i++) {
		err = bpf_xdp_attach(d->ifindex, fd, XDP_FLAGS_UPDATE_IF_NOEXIST | modes[i], NULL);
		if (err)
			continue;
		d->xdp_flags = modes[i];
		return 0;
	}
	return err;
}

/* Its receive queues: of combined channels or, if it has none, of its own. */
static int count_queues(const char *name)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq req = { .ifr_data = (void *)&channels };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), n = 1;

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (s >= 0 && !ioctl(s, SIOCETHTOOL, &req))
		n = (int)(channels.combined_count + channels.rx_count);
	if (s >= 0)
		close(s);
	return MAX(n, 1);
}

static int make_grace(struct nic_device *d)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);

	d->grace_inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "vifd_grace_in", 4, 4, 1, NULL);
	if (d->grace_inner < 0)
		return d->grace_inner;
	opts.inner_map_fd = (uint32_t)d->grace_inner;
	d->grace = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "vifd_grace", 4, 4, 1, &opts);
	return MIN(d->grace, 0);
}

/* ---- life ---- */

static void device_close(struct nic_device *d)
{
	if (!d)
		return;
	if (d->xdp_flags)
		bpf_xdp_detach(d->ifindex, d->xdp_flags, NULL);
	bpf_object__close(d->object);
	if (d->grace >= 0)
		close(d->grace);
	if (d->grace_inner >= 0)
		close(d->grace_inner);
	free(d);
}

static int load(struct nic_device *d, char *why, size_t why_size)
{
	int err;

	d->object = bpf_object__open_mem(nic_object, nic_object_size, NULL);
	if (!d->object)
		return fail(why, why_size, -errno, "reading the XDP program");
	err = bpf_object__load(d->object);
	if (err)
		return fail(why, why_size, err, "loading the XDP program");
	d->filters = bpf_object__find_map_fd_by_name(d->object, "filters");
	d->sockets = bpf_object__find_map_fd_by_name(d->object, "sockets");
	err = make_grace(d);
	if (err)
		return fail(why, why_size, err, "making a map of maps");
	err = attach(d);
	return err ? fail(why, why_size, err, "putting the XDP program on the device") : 0;
}

static int device_open(const struct nic_config *cfg, struct nic_device **out, char *why,
		       size_t why_size)
{
	struct nic_device *d = calloc(1, sizeof(*d));
	const char *name = cfg->name;
	int err = 0;

	if (!d)
		return -ENOMEM;
	d->grace = d->grace_inner = -1;
	d->n_places = cfg->filters ? MIN(cfg->filters, NIC_PLACES_MAX) : NIC_PLACES_MAX;
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->ifindex = (int)if_nametoindex(name);
	if (!d->ifindex)
		err = fail(why, why_size, -ENODEV, name);
	d->n_queues = count_queues(name);
	if (!err && d->n_queues > (int)NIC_QUEUES_MAX) {
		snprintf(why, why_size, "it has %d receive queues, at most %u are served: "
					"ethtool -L %s combined %u", d->n_queues, NIC_QUEUES_MAX, name,
			 NIC_QUEUES_MAX);
		err = -EOPNOTSUPP;
	}
	if (!err) {
		why[0] = '\0';
		err = remove_left(d->ifindex, why, why_size);
		if (err && !why[0])
			fail(why, why_size, err, "looking for XDP programs");
	}
	if (!err)
		err = load(d, why, why_size);
	if (err) {
		device_close(d);
		return err;
	}
	*out = d;
	return 0;
}

static int ifindex(const struct nic_device *d)
{
	return d->ifindex;
}

static struct nic_caps caps(const struct nic_device *d)
{
	return (struct nic_caps){ .n_places = d->n_places,
				   .vlan_filters = true,
				   .steering = "XDP program" };
}

/* ---- sockets ---- */

/* A socket for each queue, made here as it takes CAP_NET_RAW; bound by who maps it. */
static int sockets_for(const struct nic_device *d, int fds[])
{
	for (int i = 0; i < d->n_queues; i++) {
		fds[i] = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
		if (fds[i] < 0) {
			int err = -errno;

			while (i--)
				close(fds[i]);
			return err;
		}
	}
	return d->n_queues;
}

/* Registers the memory with the first queue's socket; nobody keeps it mapped here. */
static int register_umem(int memfd, size_t size, int socket_fd)
{
	struct xdp_umem_reg umem = { .len = size, .chunk_size = AFXDP_CHUNK };
	void *memory;
	int err = 0;

	if (ftruncate(memfd, (off_t)size))
		return -errno;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	umem.addr = (uintptr_t)memory;
	if (setsockopt(socket_fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof(umem)))
		err = -errno;
	munmap(memory, size);
	return err;
}

static int place_fds(struct nic_device *d, uint32_t place, int fds[NIC_FDS_MAX])
{
	(void)place; /* they are alike */
	return sockets_for(d, fds);
}

/* The memory, then the sockets that have the queues' rings. */
static int port_fds(struct nic_device *d, int fds[NIC_FDS_MAX])
{
	int n, err;

	fds[0] = memfd_create("vifd-umem", MFD_CLOEXEC);
	if (fds[0] < 0)
		return -errno;
	n = sockets_for(d, fds + 1);
	if (n < 0) {
		close(fds[0]);
		return n;
	}
	err = register_umem(fds[0], afxdp_umem_size(n), fds[1]);
	if (!err)
		return n + 1;
	while (n >= 0)
		close(fds[n--]);
	return err;
}

/* ---- filters ---- */

static void direct_nowhere(struct nic_device *d, uint32_t place)
{
	for (uint32_t i = 0; i < NIC_QUEUES_MAX; i++) {
		uint32_t key = place * NIC_QUEUES_MAX + i;

		bpf_map_delete_elem(d->sockets, &key); /* or it is not there */
	}
}

static struct nic_filter_key key_of(const struct nic_filter *f)
{
	struct nic_filter_key key = { .vlan = f->vlan };

	memcpy(key.mac, f->mac, sizeof(key.mac));
	return key;
}

static int filter_add(struct nic_device *d, uint32_t place, const int fds[], int n_fds,
		      const struct nic_filter *filter)
{
	struct nic_filter_key key = key_of(filter);
	uint32_t found = UINT32_MAX;
	int err = 0;

	for (uint32_t i = 0; !err && i < (uint32_t)n_fds; i++) {
		uint32_t at = place * NIC_QUEUES_MAX + i;

		err = bpf_map_update_elem(d->sockets, &at, &fds[i], BPF_ANY);
	}
	if (!err)
		err = bpf_map_update_elem(d->filters, &key, &place, BPF_NOEXIST);
	if (!err && (bpf_map_lookup_elem(d->filters, &key, &found) || found != place))
		err = -EIO;
	if (err)
		direct_nowhere(d, place);
	return err == -E2BIG ? -ENOSPC : err;
}

static int filter_del(struct nic_device *d, const struct nic_filter *filter)
{
	struct nic_filter_key key = key_of(filter);
	int err = bpf_map_delete_elem(d->filters, &key);

	return err == -ENOENT ? 0 : err;
}

/* The program and all that follows it, up to the place or the TAP, run in one piece, which
 * the kernel waits for before it returns from changing a map of maps (synchronize_rcu).
 * What may stay longer is GRO's: segments it collects, for a tick of the timer. */
static void settle(struct nic_device *d)
{
	uint32_t zero = 0;
	int err = bpf_map_update_elem(d->grace, &zero, &d->grace_inner, BPF_ANY);

	if (err)
		log_error(LOG_NOBODY, "%s: waiting for the XDP program: %s", d->name, strerror(-err));
}

const struct nic_device_ops afxdp_device_ops = {
	.open = device_open,
	.close = device_close,
	.ifindex = ifindex,
	.caps = caps,
	.port_fds = port_fds,
	.place_fds = place_fds,
	.filter_add = filter_add,
	.filter_del = filter_del,
	.settle = settle,
};
