/* SPDX-License-Identifier: MIT */
/*
 * AF_XDP in control: the XDP program on the device, its maps, and the sockets that the
 * worker binds. The program decides what goes to a place; who picks the queue a frame
 * comes by differs:
 *
 *	program	the device spreads frames over all its queues as it pleases. A place has a
 *		socket on each.
 *	device	the device's own rules direct a place's frames to the queue that is this
 *		place's alone (guest_queues.h). A place has one socket, there, and a UMEM of
 *		its own. What else comes by that queue passes to the stack, and so does what
 *		comes for the place by another queue, while a rule comes or goes.
 *
 * So a device that does not keep to its rules costs the bridge's price, and never brings a
 * guest another's frames.
 */
#include "backend/nic/afxdp.h"

#include <bpf/bpf.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/bpf/nic_filter.h"
#include "backend/nic/afxdp_program.h"
#include "backend/nic/guest_queues.h"
#include "backend/nic/rules.h"
#include "log.h"

/* A receive queue's interrupt, and the kernel's turn to look at it, come within this time. */
#define DEVICE_SETTLE_NS (20 * NS_PER_MS)

struct nic_device {
	char name[NIC_NAME_SIZE];
	int ifindex;
	uint32_t n_places;
	struct guest_queues queues;
	struct afxdp_program program;
	uint32_t where[NIC_QUEUES_MAX]; /* rules_ops.has of the rule of number ... */
	int grace, grace_inner;
	const char *receive; /* nic_caps.receive */
	bool transmit;	     /* there is memory for it and, by_device(), a queue: the first */
};

static int fail(char *why, size_t size, int err, const char *step)
{
	snprintf(why, size, "%s: %s", step, strerror(-err));
	return err;
}

static bool by_device(const struct nic_device *d)
{
	return d->queues.ops;
}

/* What the program and the rules call a place: by_device() its queue, from the first one on. */
static uint32_t number_of(const struct nic_device *d, uint32_t place)
{
	return by_device(d) && d->transmit ? place + 1 : place;
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

/* What was taken from the device goes back to it, in the opposite order. */
static void give_up(struct nic_device *d)
{
	if (d->program.xdp_flags)
		guest_queues_put_back(d->ifindex, &d->queues.was, d->program.filters);
	afxdp_program_remove(&d->program);
	guest_queues_close(&d->queues);
}

static void device_close(struct nic_device *d, bool gone)
{
	if (!d)
		return;
	if (gone)
		d->program.xdp_flags = 0; /* it stays, and all that is noted with it */
	give_up(d);
	if (d->grace >= 0)
		close(d->grace);
	if (d->grace_inner >= 0)
		close(d->grace_inner);
	free(d);
}

/* The record of what the device was is kept by the program before anything is changed. */
static int open_by(struct nic_device *d, bool device_steers, const struct nic_config *cfg,
		   char *why, size_t why_size)
{
	bool own = cfg->transmit;
	int err = guest_queues_open(&d->queues, d->ifindex, device_steers, cfg->filters, &own, why,
				    why_size);

	if (err)
		return err;
	d->transmit = own;
	err = afxdp_program_put(&d->program, d->ifindex, &d->queues.was, why, why_size);
	if (!err)
		err = guest_queues_take(&d->queues, why, why_size);
	if (err) {
		give_up(d);
		return err;
	}
	d->n_places = cfg->filters ? MIN(cfg->filters, NIC_PLACES_MAX) : NIC_PLACES_MAX;
	if (device_steers)
		d->n_places = MIN(d->n_places, d->queues.was.n - d->transmit);
	return 0;
}

/* As the operator wants it; 'auto' takes the device's rules if they can be had. */
static int open_steered(struct nic_device *d, const struct nic_config *cfg, char *why,
			size_t why_size)
{
	int err = -EOPNOTSUPP;

	if (cfg->steering != NIC_STEERING_PROGRAM)
		err = open_by(d, true, cfg, why, why_size);
	if (err && cfg->steering == NIC_STEERING_AUTO)
		log_info(LOG_NOBODY,
			 "NIC %s: an XDP program picks the place, as not the device: %s", d->name,
			 why);
	if (err && cfg->steering != NIC_STEERING_DEVICE)
		err = open_by(d, false, cfg, why, why_size);
	return err;
}

static int device_open(const struct nic_config *cfg, struct nic_device **out, char *why,
		       size_t why_size)
{
	struct nic_device *d = calloc(1, sizeof(*d));
	int err = 0;

	if (!d)
		return -ENOMEM;
	d->grace = d->grace_inner = d->program.was = -1;
	snprintf(d->name, sizeof(d->name), "%s", cfg->name);
	d->ifindex = (int)if_nametoindex(d->name);
	if (!d->ifindex)
		err = fail(why, why_size, -ENODEV, d->name);
	if (!err)
		err = afxdp_program_remove_left(d->ifindex, why, why_size);
	if (!err && (err = make_grace(d)))
		fail(why, why_size, err, "making a map of maps");
	if (!err)
		err = open_steered(d, cfg, why, why_size);
	if (err) {
		device_close(d, false);
		return err;
	}
	if (cfg->transmit && !d->transmit)
		log_warning(LOG_NOBODY,
			    "NIC %s: guests do not send by it (transmit=yes): with its own filters "
			    "that takes a receive queue more, of which it has %u for guests",
			    d->name, d->queues.was.n);
	*out = d;
	return 0;
}

static int ifindex(const struct nic_device *d)
{
	return d->ifindex;
}

static uint32_t mark(const struct nic_device *d)
{
	return d->program.id;
}

static struct nic_caps caps(const struct nic_device *d)
{
	return (struct nic_caps){ .n_places = d->n_places,
				  .vlan_filters = true,
				  .guest_memory = by_device(d),
				  .transmit = d->transmit,
				  .steering = by_device(d) ? d->queues.ops->name : "XDP program",
				  .receive = d->receive,
				  .untested = true };
}

/* ---- sockets ---- */

/* Made here as it takes CAP_NET_RAW; bound by who maps them. */
static int make_sockets(uint32_t n, int fds[])
{
	for (uint32_t i = 0; i < n; i++) {
		fds[i] = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
		if (fds[i] < 0) {
			int err = -errno;

			while (i--)
				close(fds[i]);
			return err;
		}
	}
	return (int)n;
}

/* The socket's UMEM, in a file that has room for 'more' behind it; nobody keeps it mapped here. */
static int register_umem(int memfd, size_t size, size_t more, int socket_fd)
{
	struct xdp_umem_reg umem = { .len = size, .chunk_size = AFXDP_CHUNK };
	void *memory;
	int err = 0;

	if (ftruncate(memfd, (off_t)(size + more)))
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

/* n sockets that are to share one UMEM, if there is to be any: its file first, which has room
 * for 'more'. The number of fds, or -errno. */
static int make_umem(size_t size, size_t more, uint32_t n, int fds[])
{
	int err = 0, n_sockets;

	fds[0] = memfd_create("vifd-umem", MFD_CLOEXEC);
	if (fds[0] < 0)
		return -errno;
	n_sockets = make_sockets(n, fds + 1);
	if (n_sockets < 0) {
		close(fds[0]);
		return n_sockets;
	}
	if (n)
		err = register_umem(fds[0], size, more, fds[1]);
	else if (ftruncate(fds[0], (off_t)more))
		err = -errno;
	if (!err)
		return n_sockets + 1;
	while (n_sockets >= 0)
		close(fds[n_sockets--]);
	return err;
}

/* All that bind() asks for; nobody will receive by it. */
static int complete_last(int fd)
{
	struct xdp_umem_reg umem = { .len = AFXDP_CHUNK, .chunk_size = AFXDP_CHUNK };
	void *memory = mmap(NULL, umem.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint32_t n = 2;
	int err = 0;

	if (memory == MAP_FAILED)
		return -errno;
	umem.addr = (uintptr_t)memory;
	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof(umem)) ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &n, sizeof(n)) ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &n, sizeof(n)) ||
	    setsockopt(fd, SOL_XDP, XDP_RX_RING, &n, sizeof(n)))
		err = -errno;
	munmap(memory, umem.len);
	return err;
}

static int make_lent_sockets(int fds[])
{
	int n = make_sockets(AFXDP_PLACE_FDS, fds), err;

	if (n < 0)
		return n;
	err = complete_last(fds[AFXDP_PLACE_LAST_SOCKET]);
	if (!err)
		return n;
	while (n > 0)
		close(fds[--n]);
	return err;
}

static int place_fds(struct nic_device *d, uint32_t place, bool lent, int fds[NIC_FDS_MAX])
{
	(void)place; /* they are alike */
	assert(!lent || by_device(d));
	if (!by_device(d))
		return make_sockets(d->queues.was.n, fds);
	if (lent)
		return make_lent_sockets(fds);
	static_assert(AFXDP_PLACE_MEMORY == 0 && AFXDP_PLACE_SOCKET == 1, "as make_umem() has it");
	return make_umem((size_t)AFXDP_PLACE_CHUNKS * AFXDP_CHUNK, 0, 1, fds);
}

/* The memory, what is to be done with it, then the sockets that have the queues' rings. */
static int port_fds(struct nic_device *d, int fds[NIC_FDS_MAX])
{
	const struct afxdp_terms terms = { .first_queue = d->queues.was.first,
					   .n_queues = d->queues.was.n,
					   .by_device = by_device(d),
					   .transmit = d->transmit,
					   .copy = !afxdp_program_in_driver(&d->program) };
	size_t size = afxdp_umem_size(&terms);
	int n = make_umem(size, sizeof(terms), afxdp_n_port_queues(&terms), fds), err;

	if (n < 0 || pwrite(fds[0], &terms, sizeof(terms), (off_t)size) == sizeof(terms))
		return n;
	err = -errno;
	while (n > 0)
		close(fds[--n]);
	return err;
}

/* ---- filters ---- */

/* Whether the worker's bind() got the driver to write to our memory by itself. */
static const char *how_received(int fd)
{
	struct xdp_options options = { .flags = 0 };
	socklen_t size = sizeof(options);

	if (getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &size))
		return NULL;
	return options.flags & XDP_OPTIONS_ZEROCOPY ? "zero-copy" : "copy";
}

static void direct_nowhere(struct nic_device *d, uint32_t number)
{
	for (uint32_t i = 0; i < NIC_QUEUES_MAX; i++) {
		uint32_t key = number * NIC_QUEUES_MAX + i;

		bpf_map_delete_elem(d->program.sockets, &key); /* or it is not there */
	}
}

static struct nic_filter_key key_of(const struct nic_filter *f)
{
	struct nic_filter_key key = { .vlan = f->vlan };

	memcpy(key.mac, f->mac, sizeof(key.mac));
	return key;
}

/* In the program's maps, and read back. */
static int tell_program(struct nic_device *d, uint32_t place, const int fds[], int n_fds,
			const struct nic_filter_key *key)
{
	const uint32_t number = number_of(d, place), first_queue = by_device(d) ? number : 0;
	const uint32_t n_sockets = by_device(d) ? 1 : (uint32_t)n_fds;
	const int *socket = fds + n_fds - n_sockets; /* what else is among the fds is before them */
	uint32_t found = UINT32_MAX;
	int err = 0;

	for (uint32_t i = 0; !err && i < n_sockets; i++) {
		uint32_t at = number * NIC_QUEUES_MAX + first_queue + i;

		err = bpf_map_update_elem(d->program.sockets, &at, &socket[i], BPF_ANY);
	}
	if (!err)
		err = bpf_map_update_elem(d->program.filters, key, &number, BPF_NOEXIST);
	if (!err && (bpf_map_lookup_elem(d->program.filters, key, &found) || found != number))
		err = -EIO;
	return err == -E2BIG ? -ENOSPC : err;
}

/* The program and all that follows it, up to the place or the TAP, run in one piece, which
 * the kernel waits for before it returns from changing a map of maps (synchronize_rcu).
 * What may stay longer is GRO's: segments it collects, for a tick of the timer; and what a
 * device sorted by its rules, in its queue until the kernel looks there. */
static void settle(struct nic_device *d)
{
	const struct timespec device = { .tv_nsec = DEVICE_SETTLE_NS };
	uint32_t zero = 0;
	int err;

	if (by_device(d))
		nanosleep(&device, NULL);
	err = bpf_map_update_elem(d->grace, &zero, &d->grace_inner, BPF_ANY);
	if (err)
		log_error(LOG_NOBODY, "%s: waiting for the XDP program: %s", d->name,
			  strerror(-err));
}

static struct rule rule_of(const struct nic_device *d, const struct nic_filter *f, uint32_t number)
{
	return (struct rule){ .filter = *f, .queue = d->queues.was.first + number };
}

/* The program first: nothing that the device directs is then in its way. */
static int filter_add(struct nic_device *d, uint32_t place, const int fds[], int n_fds,
		      const struct nic_filter *filter)
{
	const struct nic_filter_key key = key_of(filter);
	const uint32_t number = number_of(d, place);
	const struct rule rule = rule_of(d, filter, number);
	int err = tell_program(d, place, fds, n_fds, &key);

	if (!err && by_device(d)) {
		err = d->queues.ops->add(d->queues.rules, &rule, &d->where[number]);
		if (err)
			bpf_map_delete_elem(d->program.filters, &key);
	}
	if (err)
		direct_nowhere(d, number);
	else if (n_fds > 0)
		d->receive = how_received(fds[n_fds - 1]);
	return err;
}

/* The device's rule first: what it has sorted still finds its place. A rule that the device keeps
 * stays noted, for who opens it next; what it directs passes. */
static int filter_del(struct nic_device *d, const struct nic_filter *filter)
{
	const struct nic_filter_key key = key_of(filter);
	uint32_t number;
	int err;

	if (by_device(d) && !bpf_map_lookup_elem(d->program.filters, &key, &number)) {
		const struct rule rule = rule_of(d, filter, number);

		err = d->queues.ops->del(d->queues.rules, &rule);
		settle(d);
		if (err) {
			direct_nowhere(d, number);
			return err;
		}
	}
	err = bpf_map_delete_elem(d->program.filters, &key);
	return err == -ENOENT ? 0 : err;
}

static int filter_check(struct nic_device *d, const struct nic_filter *filter)
{
	const struct nic_filter_key key = key_of(filter);
	struct rule rule;
	uint32_t number;
	int err = bpf_map_lookup_elem(d->program.filters, &key, &number);

	if (err || !by_device(d))
		return err;
	rule = rule_of(d, filter, number);
	return d->queues.ops->has(d->queues.rules, &rule, d->where[number]);
}

static int check(const struct nic_device *d, char *why, size_t why_size)
{
	int err = afxdp_program_check(&d->program, why, why_size);

	return err ? err : guest_queues_check(&d->queues, why, why_size);
}

const struct nic_device_ops afxdp_device_ops = {
	.open = device_open,
	.close = device_close,
	.ifindex = ifindex,
	.mark = mark,
	.remove_left = afxdp_program_remove_left,
	.caps = caps,
	.port_fds = port_fds,
	.place_fds = place_fds,
	.filter_add = filter_add,
	.filter_del = filter_del,
	.settle = settle,
	.filter_check = filter_check,
	.check = check,
};
