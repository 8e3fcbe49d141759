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
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/nic/model_wire.h"
#include "log.h"

/* The device has a processor again within that, or is not waited for. */
#define SETTLE_NS (50 * NS_PER_MS)
#define NAP_NS	  (50 * 1000)

struct nic_device {
	char name[NIC_NAME_SIZE];
	struct model_regs *regs;
	int fd[MODEL_FDS];
	int ifindex;
	uint32_t n_places;
	uint32_t given_up; /* the batch that settle() waited for in vain; 0: none */
	uint32_t n_refused, n_full; /* faults on demand: filters that are still to be */
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

static void device_close(struct nic_device *d, bool gone)
{
	(void)gone; /* its filters are registers of ours */
	if (!d)
		return;
	if (d->regs)
		munmap(d->regs, sizeof(*d->regs));
	for (int i = 0; i < MODEL_FDS; i++)
		if (d->fd[i] >= 0)
			close(d->fd[i]);
	free(d);
}

/* Sealed: the datapath has them as well, and is not to take them from under us. */
static int make_regs(struct nic_device *d, const struct nic_config *cfg)
{
	int fd = d->fd[MODEL_FD_REGS] = memfd_create("vifd-nic", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *regs;

	if (fd < 0 || ftruncate(fd, sizeof(*d->regs)) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	regs = mmap(NULL, sizeof(*d->regs), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (regs == MAP_FAILED)
		return -errno;
	d->regs = regs;
	snprintf(d->regs->name, sizeof(d->regs->name), "%s", cfg->name);
	snprintf(d->regs->wire, sizeof(d->regs->wire), "%s", cfg->wire);
	d->fd[MODEL_FD_DOORBELL] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return d->fd[MODEL_FD_DOORBELL] < 0 ? -errno : 0;
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

static int set_queue(const char *name)
{
	struct ifreq req = { .ifr_qlen = MODEL_HOST_QUEUE };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = 0;

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCSIFTXQLEN, &req))
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
	d->fd[MODEL_FD_LINKS] = model_wire_links();
	if (d->fd[MODEL_FD_LINKS] < 0)
		return fail(why, why_size, d->fd[MODEL_FD_LINKS], "rtnetlink: %s",
			    strerror(-d->fd[MODEL_FD_LINKS]));
	d->fd[MODEL_FD_WIRE] = model_wire_socket(ifindex, why, why_size);
	return MIN(d->fd[MODEL_FD_WIRE], 0);
}

static int open_host(struct nic_device *d, const char *name, char *why, size_t why_size)
{
	int tap, err;

	d->ifindex = (int)if_nametoindex(name);
	if (!d->ifindex)
		return fail(why, why_size, -ENODEV,
			    "there is no TAP for the host's side: ip tuntap add dev %s mode tap",
			    name);
	tap = d->fd[MODEL_FD_TAP] = open_tap(name);
	if (tap < 0)
		return fail(why, why_size, tap, "taking the TAP %s: %s%s", name, strerror(-tap),
			    tap == -EBUSY ? ": another program has it" : "");
	err = set_queue(name);
	return err ? fail(why, why_size, err, "the TAP's queue: %s", strerror(-err)) : 0;
}

static int device_open(const struct nic_config *cfg, struct nic_device **out, char *why,
		       size_t why_size)
{
	struct nic_device *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	memset(d->fd, -1, sizeof(d->fd));
	d->n_places = cfg->filters ? MIN(cfg->filters, NIC_PLACES_MAX) : NIC_PLACES_MAX;
	snprintf(d->name, sizeof(d->name), "%s", cfg->name);
	err = make_regs(d, cfg);
	if (err)
		fail(why, why_size, err, "making its registers: %s", strerror(-err));
	if (!err)
		err = open_host(d, cfg->name, why, why_size);
	if (!err)
		err = open_wire(d, cfg->wire, why, why_size);
	if (err) {
		device_close(d, false);
		return err;
	}
	*out = d;
	return 0;
}

static int ifindex(const struct nic_device *d)
{
	return d->ifindex;
}

static uint32_t mark(const struct nic_device *d)
{
	(void)d;
	return 0;
}

static int remove_left(int ifindex, char *why, size_t why_size)
{
	(void)ifindex;
	(void)why;
	(void)why_size;
	return 0;
}

static struct nic_caps caps(const struct nic_device *d)
{
	return (struct nic_caps){ .n_places = d->n_places,
				  .vlan_filters = true,
				  .tag_off = true,
				  .guest_buffers = true,
				  .transmit = true,
				  .own_wire = true,
				  .steering = "filters" };
}

static int port_fds(struct nic_device *d, int fds[NIC_FDS_MAX])
{
	static_assert(MODEL_FDS <= NIC_FDS_MAX, "they fit a message");

	for (int i = 0; i < MODEL_FDS; i++) {
		fds[i] = fcntl(d->fd[i], F_DUPFD_CLOEXEC, 0);
		if (fds[i] < 0) {
			int err = -errno;

			while (i--)
				close(fds[i]);
			return err;
		}
	}
	return MODEL_FDS;
}

/* A place is its number. */
static int place_fds(struct nic_device *d, uint32_t place, bool lent, int fds[NIC_FDS_MAX])
{
	(void)d;
	(void)place;
	(void)lent;
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
	if (d->n_refused && d->n_refused--)
		return -EIO;
	if (filter_at(d, place) || (d->n_full && d->n_full--))
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

	/* It died in one, and that was waited for already: every vif's filter goes then. */
	if (was == d->given_up)
		return;
	for (uint64_t waited = 0; was % 2; waited += NAP_NS) {
		if (__atomic_load_n(&d->regs->batch, __ATOMIC_ACQUIRE) != was)
			return;
		if (waited >= SETTLE_NS) {
			log_warning(LOG_NOBODY, "NIC %s: it does not come to an end with a batch",
				    d->name);
			d->given_up = was;
			return;
		}
		nanosleep(&nap, NULL);
	}
}

/* ---- what it says of itself, and what it can be made to do ---- */

static uint64_t count(const uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static void status(const struct nic_device *d, struct nic_status *out)
{
	const struct model_regs *r = d->regs;

	*out = (struct nic_status){ .link = __atomic_load_n(&r->link, __ATOMIC_RELAXED),
				    .to_places = count(&r->to_places),
				    .lost = count(&r->lost),
				    .faults = count(&r->faults),
				    .to_host = count(&r->to_host),
				    .from_host = count(&r->to_wire),
				    .from_wire = count(&r->from_wire) };
}

static uint32_t queues_of(const struct nic_device *d, uint32_t places)
{
	uint32_t queues = 0, n;

	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++) {
		n = __atomic_load_n(&d->regs->queue_of[i], __ATOMIC_ACQUIRE);
		if (places & BIT(i) && n && n <= NIC_PLACES_MAX)
			queues |= BIT(n - 1);
	}
	return queues;
}

static int fault(struct nic_device *d, const char *name, uint32_t value)
{
	if (!strcmp(name, "filter-refused")) { /* the next so many */
		d->n_refused = value;
	} else if (!strcmp(name, "table-full")) { /* for the next so many */
		d->n_full = value;
	} else if (!strcmp(name, "stray")) { /* so many writes go to a page that was revoked */
		__atomic_store_n(&d->regs->strays, d->regs->strays + value, __ATOMIC_SEQ_CST);
	} else if (!strcmp(name, "pulled") && value <= 1) {
		__atomic_store_n(&d->regs->pulled, value, __ATOMIC_SEQ_CST);
	} else if (!strcmp(name, "stuck")) { /* the queues of these places, a bit each */
		__atomic_store_n(&d->regs->stuck, queues_of(d, value), __ATOMIC_SEQ_CST);
	} else {
		return -EINVAL;
	}
	eventfd_write(d->fd[MODEL_FD_DOORBELL], 1);
	return 0;
}

const struct nic_device_ops model_device_ops = {
	.open = device_open,
	.close = device_close,
	.ifindex = ifindex,
	.mark = mark,
	.remove_left = remove_left,
	.caps = caps,
	.port_fds = port_fds,
	.place_fds = place_fds,
	.filter_add = filter_add,
	.filter_del = filter_del,
	.settle = settle,
	.status = status,
	.fault = fault,
};
