/* SPDX-License-Identifier: MIT */
/*
 * See tap.h. TAPs are made and asked about through /dev/net/tun; what any device has, its
 * alias, its address, the length of its queues, goes through rtnetlink.
 *
 * All TAPs are multi-queue: how many queues a frontend wants is unknown when the
 * device must exist (InitWait), and a TAP made without the flag can never have
 * more. The first queue is held as long as the device lives: the last one's
 * closing would take the carrier, and with it the bridge's learned addresses.
 */
#include "backend/control/tap.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/control/steering.h"
#include "features.h"
#include "rss.h"

/*
 * Frames a queue of the TAP holds. Its bytes are bounded by the gate, so the queue is as long
 * as that can need. Without the gate each may be a GSO frame of 64 KiB. A default qdisc has
 * queues of the same length, for each of the 256 queues the TAP could have: 6 MB at 1000, so
 * where there is one (a kernel that would not do without, see drop_qdisc()) it stays at that.
 */
#define FRAMES_GATED   GATE_FRAMES
#define FRAMES_UNGATED 256u
#define FRAMES_QDISC   1000u

#define ALIAS_PREFIX "vifd "
#define ALIAS_SIZE   (sizeof(ALIAS_PREFIX) + IFNAMSIZ)

/* Multicast bit clear, highest of all: a bridge never takes it for its own address.
 * What xen-netback and vif-bridge use. */
static const uint8_t backend_mac[6] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff };

static int printf_like(3, 4) fail(struct netdev_error *err, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return rc;
}

/* One more queue of the TAP 'name', made if there is none. Its fd or -errno. */
static int open_queue(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* As open_queue(), of a device that must be ours: between asking for its name and
 * opening that, it may have been renamed, and then a new one was made (which goes
 * with its fd). */
static int open_more(struct rtnl *rtnl, int ifindex)
{
	struct rtnl_link link, opened;
	int fd, rc;

	rc = rtnl_link_get(rtnl, ifindex, NULL, &link);
	if (rc)
		return rc;
	fd = open_queue(link.name);
	if (fd < 0)
		return fd;
	rc = rtnl_link_get(rtnl, 0, link.name, &opened);
	if (!rc && opened.ifindex != ifindex)
		rc = -EAGAIN;
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

/*
 * Has a new device do without a default qdisc. A TAP never holds a frame back, so a qdisc
 * has nothing to do; but the default one takes memory for the 256 queues a TAP might have,
 * and time for each frame. A device that is up for the first time with a queue length of 0
 * gets none (Linux net/sched/sch_generic.c attach_default_qdiscs(), which says so in the
 * log), and unlike "noqueue" given by name that is still a default: 'tc qdisc add' works.
 */
static int drop_qdisc(struct rtnl *rtnl, int ifindex)
{
	int rc = rtnl_link_set_frames(rtnl, ifindex, 0);

	if (!rc)
		rc = rtnl_link_set_up(rtnl, ifindex, true);
	if (!rc)
		rc = rtnl_link_set_up(rtnl, ifindex, false);
	return rc;
}

/* Bounds what waits in the TAP's queues, those to come included. */
static int bound_queues(struct rtnl *rtnl, struct netdev *nd)
{
	uint32_t frames = FRAMES_GATED;
	struct rtnl_link link;
	int rc = rtnl_link_get(rtnl, nd->ifindex, NULL, &link);

	if (rc)
		return rc;
	gating_open(&nd->gating, nd->queue_fd[0]);
	if (!nd->gating.gate)
		frames = FRAMES_UNGATED;
	else if (!strcmp(link.qdisc, "mq"))
		frames = FRAMES_QDISC;
	return rtnl_link_set_frames(rtnl, nd->ifindex, frames);
}

static struct netdev netdev_of(int ifindex, int fd)
{
	return (struct netdev){
		.ifindex = ifindex,
		.n_queues = 1,
		.queue_fd = { fd },
		.steering_fd = -1,
		.gating = { .map_fd = -ENOENT },
	};
}

static const char *driver_of(const char *name, struct ethtool_drvinfo *info)
{
	struct ifreq ifr = { .ifr_data = (void *)info };
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*info = (struct ethtool_drvinfo){ .cmd = ETHTOOL_GDRVINFO };
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (sock < 0 || ioctl(sock, SIOCETHTOOL, &ifr))
		info->driver[0] = '\0';
	if (sock >= 0)
		close(sock);
	return info->driver[0] ? info->driver : "unknown";
}

static int adopt(struct rtnl *rtnl, struct netdev *nd, const struct rtnl_link *link,
		 const char *alias, struct netdev_error *err)
{
	struct ethtool_drvinfo info;
	int fd, rc;

	if (strcmp(link->kind, "tun")) {
		const char *driver = driver_of(link->name, &info);

		if (!strcmp(driver, "vif"))
			return fail(err, -EEXIST, "%s belongs to the kernel's netback: detach the vif, "
				    "rmmod xen-netback", link->name);
		return fail(err, -EEXIST, "the name %s is taken by another device (driver %s)",
			    link->name, driver);
	}
	if (strcmp(link->alias, alias) || link->tun_type != IFF_TAP)
		return fail(err, -EEXIST, "the name %s is taken by another's TAP", link->name);
	if (!link->multi_queue || !link->vnet_hdr || !link->persist)
		return fail(err, -EEXIST, "%s was left without %s: delete it", link->name,
			    !link->multi_queue ? "multi_queue" : !link->vnet_hdr ? "vnet_hdr" : "persist");
	fd = open_more(rtnl, link->ifindex);
	if (fd < 0)
		return fail(err, fd, "%s: cannot be taken over: %s", link->name, strerror(-fd));
	*nd = netdev_of(link->ifindex, fd);
	nd->adopted = true;
	nd->steering_fd = MAX(steering_adopt(fd, link->ifindex), -1);
	rc = bound_queues(rtnl, nd);
	if (rc) {
		tap_close(nd, false);
		return fail(err, rc, "%s: cannot be taken over: %s", link->name, strerror(-rc));
	}
	return 0;
}

static int create(struct rtnl *rtnl, struct netdev *nd, const char *name, const char *alias,
		  struct netdev_error *err)
{
	int vnet_size = 10, off = 0, rc, fd = open_queue(name);
	struct rtnl_link link = { .ifindex = 0 };

	if (fd < 0)
		return fail(err, fd, "/dev/net/tun: %s: %s", name, strerror(-fd));
	rc = rtnl_link_get(rtnl, 0, name, &link);
	if (!rc)
		rc = rtnl_link_set_identity(rtnl, link.ifindex, alias, backend_mac);
	if (!rc && (ioctl(fd, TUNSETVNETHDRSZ, &vnet_size) || ioctl(fd, TUNSETOFFLOAD, 0) ||
		    ioctl(fd, TUNSETCARRIER, &off)))
		rc = -errno;
	if (!rc)
		rc = drop_qdisc(rtnl, link.ifindex);
	*nd = netdev_of(link.ifindex, fd);
	if (!rc)
		rc = bound_queues(rtnl, nd);
	if (!rc && ioctl(fd, TUNSETPERSIST, 1))
		rc = -errno;
	if (rc) {
		tap_close(nd, false);
		return fail(err, rc, "%s: cannot be set up: %s", name, strerror(-rc));
	}
	return 0;
}

int tap_open(struct rtnl *rtnl, struct netdev *nd, const char *name, const char *other_name,
	     struct netdev_error *err)
{
	char alias[ALIAS_SIZE];
	struct rtnl_link link;
	int rc;

	snprintf(alias, sizeof(alias), ALIAS_PREFIX "%s", name);
	if (other_name && !rtnl_link_get(rtnl, 0, other_name, &link) && !strcmp(link.alias, alias))
		return adopt(rtnl, nd, &link, alias, err);
	rc = rtnl_link_get(rtnl, 0, name, &link);
	if (!rc)
		return adopt(rtnl, nd, &link, alias, err);
	if (rc != -ENODEV)
		return fail(err, rc, "%s: rtnetlink: %s", name, strerror(-rc));
	return create(rtnl, nd, name, alias, err);
}

/* The last one first: the kernel fills a gap with its last queue. Detached, not only closed:
 * a datapath that is just being killed may hold it a moment longer. */
static void close_last_queue(struct netdev *nd)
{
	struct ifreq ifr = { .ifr_flags = IFF_DETACH_QUEUE };
	int fd = nd->queue_fd[--nd->n_queues];

	(void)ioctl(fd, TUNSETQUEUE, &ifr);
	close(fd);
}

int tap_set_queues(struct rtnl *rtnl, struct netdev *nd, uint32_t n)
{
	while (nd->n_queues > n)
		close_last_queue(nd);
	while (nd->n_queues < n) {
		int fd = open_more(rtnl, nd->ifindex);

		if (fd < 0)
			return fd;
		nd->queue_fd[nd->n_queues++] = fd;
	}
	return 0;
}

int tap_steer(struct netdev *nd, struct rss *kept)
{
	int fd;

	if (kept && nd->steering_fd >= 0 && steering_kept(nd->steering_fd, nd->n_queues, kept))
		return 0;
	if (kept)
		*kept = (struct rss){ 0 };
	if (nd->steering_fd >= 0)
		return steering_reset(nd->steering_fd, nd->ifindex, nd->n_queues);
	fd = steering_attach(nd->queue_fd[0], nd->ifindex, nd->n_queues);
	nd->steering_fd = MAX(fd, -1);
	return MIN(fd, 0);
}

/* A queue loses what is in it when it is detached: Linux drivers/net/tun.c __tun_detach(). */
int tap_purge(struct netdev *nd)
{
	struct ifreq detach = { .ifr_flags = IFF_DETACH_QUEUE };
	struct ifreq attach = { .ifr_flags = IFF_ATTACH_QUEUE };

	assert(nd->n_queues == 1);
	if (ioctl(nd->queue_fd[0], TUNSETQUEUE, &detach) ||
	    ioctl(nd->queue_fd[0], TUNSETQUEUE, &attach))
		return -errno;
	return 0;
}

int tap_set_offload(struct netdev *nd, uint32_t features)
{
	unsigned long flags = 0;

	if (features & (VIF_CSUM_V4 | VIF_CSUM_V6))
		flags |= TUN_F_CSUM;
	if (features & VIF_GSO_TCPV4)
		flags |= TUN_F_TSO4;
	if (features & VIF_GSO_TCPV6)
		flags |= TUN_F_TSO6;
	return ioctl(nd->queue_fd[0], TUNSETOFFLOAD, flags) ? -errno : 0;
}

int tap_set_carrier(struct netdev *nd, bool on)
{
	int value = on;

	return ioctl(nd->queue_fd[0], TUNSETCARRIER, &value) ? -errno : 0;
}

void tap_close(struct netdev *nd, bool destroy)
{
	if (destroy && nd->n_queues)
		(void)ioctl(nd->queue_fd[0], TUNSETPERSIST, 0);
	while (nd->n_queues)
		close(nd->queue_fd[--nd->n_queues]);
	if (nd->steering_fd >= 0)
		close(nd->steering_fd);
	nd->steering_fd = -1;
	gating_close(&nd->gating);
	nd->ifindex = 0;
}
