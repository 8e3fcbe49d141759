/* SPDX-License-Identifier: MIT */
/*
 * TAPs through /dev/net/tun, everything else through rtnetlink.
 *
 * All TAPs are multi-queue: how many queues a frontend wants is unknown when the
 * device must exist (InitWait), and a TAP made without the flag can never have
 * more. The first queue is held as long as the device lives: the last one's
 * closing would take the carrier, and with it the bridge's learned addresses.
 */
#include "backend/control/netdev.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
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
static int tap_open(const char *name)
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

/* As tap_open(), of a device that must be ours: between asking for its name and
 * opening that, it may have been renamed, and then a new one was made (which goes
 * with its fd). */
static int tap_open_more(struct netdev_kernel *k, int ifindex)
{
	struct rtnl_link link, opened;
	int fd, rc;

	rc = rtnl_link_get(&k->rtnl, ifindex, NULL, &link);
	if (rc)
		return rc;
	fd = tap_open(link.name);
	if (fd < 0)
		return fd;
	rc = rtnl_link_get(&k->rtnl, 0, link.name, &opened);
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
static int drop_qdisc(struct netdev_kernel *k, int ifindex)
{
	int rc = rtnl_link_set_frames(&k->rtnl, ifindex, 0);

	if (!rc)
		rc = rtnl_link_set_up(&k->rtnl, ifindex, true);
	if (!rc)
		rc = rtnl_link_set_up(&k->rtnl, ifindex, false);
	return rc;
}

/* Bounds what waits in the TAP's queues, those to come included. */
static int bound_queues(struct netdev_kernel *k, struct netdev *nd)
{
	uint32_t frames = FRAMES_GATED;
	struct rtnl_link link;
	int rc = rtnl_link_get(&k->rtnl, nd->ifindex, NULL, &link);

	if (rc)
		return rc;
	gating_open(&nd->gating, nd->queue_fd[0]);
	if (!nd->gating.gate)
		frames = FRAMES_UNGATED;
	else if (!strcmp(link.qdisc, "mq"))
		frames = FRAMES_QDISC;
	rc = rtnl_link_set_frames(&k->rtnl, nd->ifindex, frames);
	if (rc)
		gating_close(&nd->gating);
	return rc;
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

static int adopt(struct netdev_kernel *k, struct netdev *nd, const struct rtnl_link *link,
		 const char *alias, struct netdev_error *err)
{
	struct ethtool_drvinfo info;
	int fd, map_fd, rc;

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
	fd = tap_open_more(k, link->ifindex);
	if (fd < 0)
		return fail(err, fd, "%s: cannot be taken over: %s", link->name, strerror(-fd));
	map_fd = MAX(steering_adopt(fd, link->ifindex), -1);
	*nd = (struct netdev){ .ifindex = link->ifindex, .adopted = true, .n_queues = 1,
				 .steering_fd = map_fd };
	nd->queue_fd[0] = fd;
	rc = bound_queues(k, nd);
	if (rc) {
		close(fd);
		return fail(err, rc, "%s: cannot be taken over: %s", link->name, strerror(-rc));
	}
	return 0;
}

static int create(struct netdev_kernel *k, struct netdev *nd, const char *name, const char *alias,
		  struct netdev_error *err)
{
	int vnet_size = 10, off = 0, rc, fd = tap_open(name);
	struct rtnl_link link;

	if (fd < 0)
		return fail(err, fd, "/dev/net/tun: %s: %s", name, strerror(-fd));
	rc = rtnl_link_get(&k->rtnl, 0, name, &link);
	if (!rc)
		rc = rtnl_link_set_identity(&k->rtnl, link.ifindex, alias, backend_mac);
	if (!rc && (ioctl(fd, TUNSETVNETHDRSZ, &vnet_size) || ioctl(fd, TUNSETOFFLOAD, 0) ||
		    ioctl(fd, TUNSETCARRIER, &off)))
		rc = -errno;
	if (!rc)
		rc = drop_qdisc(k, link.ifindex);
	*nd = (struct netdev){ .ifindex = link.ifindex, .n_queues = 1, .steering_fd = -1 };
	nd->queue_fd[0] = fd;
	if (!rc)
		rc = bound_queues(k, nd);
	if (!rc && ioctl(fd, TUNSETPERSIST, 1)) {
		rc = -errno;
		gating_close(&nd->gating);
	}
	if (rc) {
		close(fd);
		return fail(err, rc, "%s: cannot be set up: %s", name, strerror(-rc));
	}
	return 0;
}

static int kernel_open(void *ctx, struct netdev *nd, const char *name, const char *other_name,
		       struct netdev_error *err)
{
	struct netdev_kernel *k = ctx;
	char alias[ALIAS_SIZE];
	struct rtnl_link link;
	int rc;

	snprintf(alias, sizeof(alias), ALIAS_PREFIX "%s", name);
	if (other_name && !rtnl_link_get(&k->rtnl, 0, other_name, &link) && !strcmp(link.alias, alias))
		return adopt(k, nd, &link, alias, err);
	rc = rtnl_link_get(&k->rtnl, 0, name, &link);
	if (!rc)
		return adopt(k, nd, &link, alias, err);
	if (rc != -ENODEV)
		return fail(err, rc, "%s: rtnetlink: %s", name, strerror(-rc));
	return create(k, nd, name, alias, err);
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

static int kernel_set_queues(void *ctx, struct netdev *nd, uint32_t n)
{
	while (nd->n_queues > n)
		close_last_queue(nd);
	while (nd->n_queues < n) {
		int fd = tap_open_more(ctx, nd->ifindex);

		if (fd < 0)
			return fd;
		nd->queue_fd[nd->n_queues++] = fd;
	}
	return 0;
}

static int kernel_steer(void *ctx, struct netdev *nd, struct rss *kept)
{
	int fd;

	(void)ctx;
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
static int kernel_purge(void *ctx, struct netdev *nd)
{
	struct ifreq detach = { .ifr_flags = IFF_DETACH_QUEUE };
	struct ifreq attach = { .ifr_flags = IFF_ATTACH_QUEUE };

	(void)ctx;
	assert(nd->n_queues == 1);
	if (ioctl(nd->queue_fd[0], TUNSETQUEUE, &detach) ||
	    ioctl(nd->queue_fd[0], TUNSETQUEUE, &attach))
		return -errno;
	return 0;
}

static int kernel_set_offload(void *ctx, struct netdev *nd, uint32_t features)
{
	unsigned long flags = 0;

	(void)ctx;
	if (features & (VIF_CSUM_V4 | VIF_CSUM_V6))
		flags |= TUN_F_CSUM;
	if (features & VIF_GSO_TCPV4)
		flags |= TUN_F_TSO4;
	if (features & VIF_GSO_TCPV6)
		flags |= TUN_F_TSO6;
	return ioctl(nd->queue_fd[0], TUNSETOFFLOAD, flags) ? -errno : 0;
}

static int kernel_set_carrier(void *ctx, struct netdev *nd, bool on)
{
	int value = on;

	(void)ctx;
	return ioctl(nd->queue_fd[0], TUNSETCARRIER, &value) ? -errno : 0;
}

/* The kernel counts a TAP's receive and transmit from its own side: what it receives,
 * the guest sent. */
static int kernel_stats(void *ctx, const struct netdev *nd, struct netdev_stats *out)
{
	struct netdev_kernel *k = ctx;
	struct rtnl_link link;
	int rc = rtnl_link_get(&k->rtnl, nd->ifindex, NULL, &link);

	if (rc)
		return rc;
	*out = (struct netdev_stats){
		.up = link.up,
		.carrier = link.carrier,
		.from_guest_frames = link.stats.rx_packets,
		.from_guest_bytes = link.stats.rx_bytes,
		.from_guest_dropped = link.stats.rx_dropped,
		.from_guest_errors = link.stats.rx_errors,
		.to_guest_frames = link.stats.tx_packets,
		.to_guest_bytes = link.stats.tx_bytes,
		.to_guest_dropped = link.stats.tx_dropped,
		.to_guest_errors = link.stats.tx_errors,
	};
	memcpy(out->name, link.name, sizeof(out->name));
	return 0;
}

static int kernel_set_mtu(void *ctx, struct netdev *nd, uint32_t mtu)
{
	struct netdev_kernel *k = ctx;

	return rtnl_link_set_mtu(&k->rtnl, nd->ifindex, mtu);
}

static int kernel_links_fd(void *ctx)
{
	return links_fd(&((struct netdev_kernel *)ctx)->links);
}

static bool kernel_links_news(void *ctx, bool *more)
{
	return links_news(&((struct netdev_kernel *)ctx)->links, more);
}

static bool kernel_link(void *ctx, const struct netdev *nd, struct netdev_link *out)
{
	const struct links *links = &((struct netdev_kernel *)ctx)->links;
	const struct link_entry *e = links_find(links, nd->ifindex);
	const struct link_entry *master = e && e->master ? links_find(links, e->master) : NULL;
	/* Open vSwitch's ports have a master that is always down. */
	const struct link_entry *bridge = master && master->is_bridge ? master : NULL;

	memset(out, 0, sizeof(*out));
	if (!e)
		return false;
	out->mtu = e->mtu;
	out->up = e->up;
	out->master = master ? master->ifindex : 0;
	out->enslaved = master != NULL;
	/* A port that has just got its carrier is still disabled. */
	out->port_off = bridge && e->port_state == BR_STATE_DISABLED && e->carrier && e->settled;
	out->bridge_down = bridge && !bridge->up;
	out->uplinks_down = bridge && bridge->n_uplinks && !bridge->n_uplinks_alive;
	return true;
}

static bool kernel_host(void *ctx, int ifindex, struct netdev_host *out)
{
	const struct link_entry *e = links_find(&((struct netdev_kernel *)ctx)->links, ifindex);

	if (e)
		*out = (struct netdev_host){ .born = e->born,
					     .master = e->master,
					     .carrier = e->up && e->carrier };
	return e != NULL;
}

static uint32_t kernel_forwards(void *ctx, int ifindex)
{
	const struct links *links = &((struct netdev_kernel *)ctx)->links;
	const struct link_entry *e = links_find(links, ifindex);
	const struct link_entry *master = e && e->master ? links_find(links, e->master) : NULL;

	if (!master || !master->is_bridge || !master->up || !e->up || !e->carrier ||
	    e->port_state != BR_STATE_FORWARDING)
		return 0;
	return e->mtu + ETH_HLEN;
}

static uint64_t kernel_remembers_ns(void *ctx, int ifindex)
{
	const struct links *links = &((struct netdev_kernel *)ctx)->links;
	const struct link_entry *e = links_find(links, ifindex);
	const struct link_entry *master = e && e->master ? links_find(links, e->master) : NULL;

	return master && master->is_bridge && e->learns ? master->ageing_ns : 0;
}

static int kernel_learn(void *ctx, int ifindex, const uint8_t mac[6], uint16_t vlan)
{
	return rtnl_learn(&((struct netdev_kernel *)ctx)->rtnl, ifindex, mac, vlan);
}

static const char *kernel_wire_form(void *ctx, const struct netdev *nd, int uplink,
				    struct vlan_form *out)
{
	const struct links *links = &((struct netdev_kernel *)ctx)->links;
	const struct link_entry *e = links_find(links, nd->ifindex), *u = links_find(links, uplink);
	const struct link_entry *bridge = e ? links_find(links, e->master) : NULL;

	*out = (struct vlan_form){ .vlan = 0 };
	if (!bridge || !u || u->master != e->master)
		return "it is not in the NIC's bridge";
	if (e->port_state != BR_STATE_FORWARDING)
		return "its bridge port does not forward";
	if (u->port_state != BR_STATE_FORWARDING)
		return "the NIC's bridge port does not forward";
	if (!bridge->filters_vlans)
		return NULL;
	if (bridge->service_tags)
		return "the VLANs of its bridge are 802.1ad ones";
	if (bridge->spans_vlans)
		return "its bridge has several spanning trees";
	return vlans_form(&links->vlans, nd->ifindex, uplink, out);
}

static void kernel_close(void *ctx, struct netdev *nd, bool destroy)
{
	(void)ctx;
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

static int kernel_neighbours_fd(void *ctx)
{
	return neighbours_fd(&((struct netdev_kernel *)ctx)->neighbours);
}

static bool kernel_neighbours_news(void *ctx, uint64_t now_ns, neighbour_fn *each, void *arg,
				   uint64_t *next_ns)
{
	return neighbours_news(&((struct netdev_kernel *)ctx)->neighbours, now_ns, each, arg,
			       next_ns);
}

static void kernel_neighbours_again(void *ctx)
{
	neighbours_again(&((struct netdev_kernel *)ctx)->neighbours);
}

const struct netdev_ops netdev_kernel_ops = {
	.open = kernel_open,
	.set_queues = kernel_set_queues,
	.steer = kernel_steer,
	.purge = kernel_purge,
	.set_offload = kernel_set_offload,
	.set_carrier = kernel_set_carrier,
	.stats = kernel_stats,
	.set_mtu = kernel_set_mtu,
	.links_fd = kernel_links_fd,
	.links_news = kernel_links_news,
	.link = kernel_link,
	.host = kernel_host,
	.forwards = kernel_forwards,
	.remembers_ns = kernel_remembers_ns,
	.learn = kernel_learn,
	.neighbours_fd = kernel_neighbours_fd,
	.neighbours_news = kernel_neighbours_news,
	.neighbours_again = kernel_neighbours_again,
	.wire_form = kernel_wire_form,
	.close = kernel_close,
};

int netdev_kernel_init(struct netdev_kernel *k)
{
	int rc;

	*k = (struct netdev_kernel){ .rtnl.nl = NULL };
	rc = rtnl_open(&k->rtnl);
	if (rc)
		return rc;
	neighbours_init(&k->neighbours);
	rc = links_open(&k->links);
	if (rc)
		rtnl_close(&k->rtnl);
	return rc;
}

void netdev_kernel_fini(struct netdev_kernel *k)
{
	neighbours_close(&k->neighbours);
	links_close(&k->links);
	rtnl_close(&k->rtnl);
}
