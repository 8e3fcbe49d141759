/* SPDX-License-Identifier: MIT */
/*
 * The model NIC in control: what a PCI device's driver has of its own: the registers, the
 * cable, and the host's side, a TAP of the device's name that the operator has made and put
 * into the bridge. The device itself runs in the datapath's process; while there is none,
 * frames wait in the wire's ring and in the TAP.
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "backend/nic/model_wire.h"
#include "log.h"

/* The device has a processor again within that, or is not waited for. */
#define SETTLE_NS (50 * NS_PER_MS)
#define NAP_NS	  (50 * 1000)

struct nic_device {
	struct model_regs *regs;
	int regs_fd, wire, tap;
	int ifindex;
	uint32_t n_places;
};

static int printf_like(4, 5) fail(char *why, size_t size, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return err;
}

/* ---- life ---- */

static void device_close(struct nic_device *d)
{
	if (!d)
		return;
	if (d->regs)
		munmap(d->regs, sizeof(*d->regs));
	if (d->regs_fd >= 0)
		close(d->regs_fd);
	if (d->wire >= 0)
		close(d->wire);
	if (d->tap >= 0)
		close(d->tap);
	free(d);
}

static int make_regs(struct nic_device *d, const char *name)
{
	void *regs;

	d->regs_fd = memfd_create("vifd-nic", MFD_CLOEXEC);
	if (d->regs_fd < 0 || ftruncate(d->regs_fd, sizeof(*d->regs)))
		return -errno;
	regs = mmap(NULL, sizeof(*d->regs), PROT_READ | PROT_WRITE, MAP_SHARED, d->regs_fd, 0);
	if (regs == MAP_FAILED)
		return -errno;
	d->regs = regs;
	snprintf(d->regs->name, sizeof(d->regs->name), "%s", name);
	return 0;
}

/* One queue and no virtio_net_hdr: what comes out of it is finished by the kernel, as for a
 * device that offers nothing. */
static int open_tap(const char *name)
{
	struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int err;

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (fd >= 0 && !ioctl(fd, TUNSETIFF, &req))
		return fd;
	err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static int open_wire(struct nic_device *d, const char *name, char *why, size_t why_size)
{
	int ifindex = (int)if_nametoindex(name);
	char master[64];

	if (!name[0])
		return fail(why, why_size, -EINVAL, "it has no wire: say wire=DEVICE");
	if (!ifindex)
		return fail(why, why_size, -ENODEV, "its wire: there is no %s", name);
	snprintf(master, sizeof(master), "/sys/class/net/%s/master", name);
	if (!access(master, F_OK))
		return fail(why, why_size, -EBUSY,
			    "its wire %s is in a bridge: every frame would take both ways", name);
	d->wire = model_wire_socket(ifindex, why, why_size);
	return MIN(d->wire, 0);
}

static int open_host(struct nic_device *d, const char *name, char *why, size_t why_size)
{
	d->ifindex = (int)if_nametoindex(name);
	if (!d->ifindex)
		return fail(why, why_size, -ENODEV,
			    "there is no TAP for the host's side: ip tuntap add dev %s mode tap", name);
	d->tap = open_tap(name);
	if (d->tap < 0)
		return fail(why, why_size, d->tap, "taking the TAP %s: %s%s", name, strerror(-d->tap),
			    d->tap == -EBUSY ? ": another program has it" : "");
	return 0;
}

static int device_open(const struct nic_config *cfg, struct nic_device **out, char *why,
		       size_t why_size)
{
	struct nic_device *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->regs_fd = d->wire = d->tap = -1;
	d->n_places = cfg->filters ? MIN(cfg->filters, NIC_PLACES_MAX) : NIC_PLACES_MAX;
	err = make_regs(d, cfg->name);
	if (err)
		fail(why, why_size, err, "making its registers: %s", strerror(-err));
	if (!err)
		err = open_host(d, cfg->name, why, why_size);
	if (!err)
		err = open_wire(d, cfg->wire, why, why_size);
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
				  .tag_off = true,
				  .guest_buffers = true,
				  .steering = "filters" };
}

/* Registers, wire, TAP. */
static int port_fds(struct nic_device *d, int fds[NIC_FDS_MAX])
{
	const int own[] = { d->regs_fd, d->wire, d->tap };

	for (int i = 0; i < (int)ARRAY_SIZE(own); i++) {
		fds[i] = fcntl(own[i], F_DUPFD_CLOEXEC, 0);
		if (fds[i] < 0) {
			int err = -errno;

			while (i--)
				close(fds[i]);
			return err;
		}
	}
	return (int)ARRAY_SIZE(own);
}

/* A place is its number. */
static int place_fds(struct nic_device *d, uint32_t place, int fds[NIC_FDS_MAX])
{
	(void)d;
	(void)place;
	(void)fds;
	return 0;
}

/* ---- filters ---- */

static uint64_t filter_at(const struct nic_device *d, uint32_t i)
{
	return __atomic_load_n(&d->regs->filter[i], __ATOMIC_ACQUIRE);
}

static uint64_t match_of(const struct nic_filter *f)
{
	return model_match(f->mac, f->vlan);
}

static int filter_add(struct nic_device *d, uint32_t place, const int fds[], int n_fds,
		      const struct nic_filter *filter)
{
	uint32_t queue = __atomic_load_n(&d->regs->queue_of[place], __ATOMIC_ACQUIRE);
	uint64_t word = match_of(filter);

	(void)fds;
	(void)n_fds;
	if (!word || !queue || queue > NIC_PLACES_MAX)
		return -EINVAL;
	if (filter_at(d, place))
		return -ENOSPC;
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		if ((filter_at(d, i) & MODEL_FILTER_MATCH) == word)
			return -EEXIST;
	word |= (uint64_t)(queue - 1) << MODEL_FILTER_QUEUE_SHIFT;
	__atomic_store_n(&d->regs->tag_off[place], filter->tag_off, __ATOMIC_RELAXED);
	__atomic_store_n(&d->regs->filter[place], word, __ATOMIC_SEQ_CST);
	return filter_at(d, place) == word ? 0 : -EIO;
}

static int filter_del(struct nic_device *d, const struct nic_filter *filter)
{
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		if ((filter_at(d, i) & MODEL_FILTER_MATCH) == match_of(filter))
			__atomic_store_n(&d->regs->filter[i], 0, __ATOMIC_SEQ_CST);
	return 0;
}

/* What the device sorted by the old filters it delivers before its batch ends, to the place or
 * through the bridge into the TAP, in one piece. */
static void settle(struct nic_device *d)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	uint32_t was = __atomic_load_n(&d->regs->batch, __ATOMIC_SEQ_CST);

	for (uint64_t waited = 0; was % 2; waited += NAP_NS) {
		if (__atomic_load_n(&d->regs->batch, __ATOMIC_ACQUIRE) != was)
			return;
		if (waited >= SETTLE_NS) {
			log_warning(LOG_NOBODY, "NIC %s: it does not come to an end with a batch",
				    d->regs->name);
			return;
		}
		nanosleep(&nap, NULL);
	}
}

const struct nic_device_ops model_device_ops = {
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
