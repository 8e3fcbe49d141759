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
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
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
#define REPLY_SIZE   32768

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

/* What RTM_GETLINK says about a device. */
struct link {
	int ifindex;
	char name[IFNAMSIZ];
	char alias[ALIAS_SIZE]; /* longer ones are not ours: cut */
	char kind[16];
	char qdisc[16];
	uint8_t tun_type;
	bool persist, vnet_hdr, multi_queue;
	bool up, carrier;
	struct rtnl_link_stats64 stats;
};

static void copy_string(char *out, size_t size, const struct nlattr *attr)
{
	size_t n = MIN(mnl_attr_get_payload_len(attr), size - 1);

	memcpy(out, mnl_attr_get_payload(attr), n);
	out[n] = '\0';
}

static void parse_tun(struct link *link, const struct nlattr *data)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, data) {
		bool set = mnl_attr_get_payload_len(a) && mnl_attr_get_u8(a);

		switch (mnl_attr_get_type(a)) {
		case IFLA_TUN_TYPE:
			link->tun_type = mnl_attr_get_u8(a);
			break;
		case IFLA_TUN_PERSIST:
			link->persist = set;
			break;
		case IFLA_TUN_VNET_HDR:
			link->vnet_hdr = set;
			break;
		case IFLA_TUN_MULTI_QUEUE:
			link->multi_queue = set;
			break;
		}
	}
}

static void parse_linkinfo(struct link *link, const struct nlattr *info)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info) {
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			copy_string(link->kind, sizeof(link->kind), a);
		else if (mnl_attr_get_type(a) == IFLA_INFO_DATA && !strcmp(link->kind, "tun"))
			parse_tun(link, a);
	}
}

static int parse_link(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct link *link = data;
	const struct nlattr *a;

	link->ifindex = ifi->ifi_index;
	link->up = ifi->ifi_flags & IFF_UP;
	mnl_attr_for_each(a, nlh, sizeof(*ifi)) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			copy_string(link->name, sizeof(link->name), a);
			break;
		case IFLA_IFALIAS:
			copy_string(link->alias, sizeof(link->alias), a);
			break;
		case IFLA_QDISC:
			copy_string(link->qdisc, sizeof(link->qdisc), a);
			break;
		case IFLA_CARRIER:
			link->carrier = mnl_attr_get_u8(a);
			break;
		case IFLA_LINKINFO:
			parse_linkinfo(link, a);
			break;
		case IFLA_STATS64:
			memcpy(&link->stats, mnl_attr_get_payload(a),
			       MIN(sizeof(link->stats), mnl_attr_get_payload_len(a)));
			break;
		}
	}
	return MNL_CB_OK;
}

/* One request, its answer and its acknowledgement. */
static int transact(struct netdev_kernel *k, struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
	uint32_t portid = mnl_socket_get_portid(k->nl);
	char buf[REPLY_SIZE];
	ssize_t n;
	int rc;

	nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = ++k->seq;
	if (mnl_socket_sendto(k->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(k->nl, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		rc = mnl_cb_run(buf, (size_t)n, k->seq, portid, cb, data);
	} while (rc > MNL_CB_STOP);
	return rc < 0 ? -errno : 0;
}

static struct nlmsghdr *link_request(char *buf, uint16_t type, int ifindex)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = type;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = ifindex;
	return nlh;
}

/* By name, or by index when name is NULL. */
static int link_get(struct netdev_kernel *k, int ifindex, const char *name, struct link *out)
{
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_GETLINK, ifindex);

	*out = (struct link){ .carrier = false };
	if (name)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	return transact(k, nlh, parse_link, out);
}

static int link_setup(struct netdev_kernel *k, int ifindex, const char *alias)
{
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_SETLINK, ifindex);

	mnl_attr_put_strz(nlh, IFLA_IFALIAS, alias);
	mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(backend_mac), backend_mac);
	return transact(k, nlh, NULL, NULL);
}

static int link_set_frames(struct netdev_kernel *k, int ifindex, uint32_t frames)
{
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_SETLINK, ifindex);

	mnl_attr_put_u32(nlh, IFLA_TXQLEN, frames);
	return transact(k, nlh, NULL, NULL);
}

static int link_set_up(struct netdev_kernel *k, int ifindex, bool up)
{
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_SETLINK, ifindex);
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	ifi->ifi_change = IFF_UP;
	ifi->ifi_flags = up ? IFF_UP : 0;
	return transact(k, nlh, NULL, NULL);
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
	struct link link, opened;
	int fd, rc;

	rc = link_get(k, ifindex, NULL, &link);
	if (rc)
		return rc;
	fd = tap_open(link.name);
	if (fd < 0)
		return fd;
	rc = link_get(k, 0, link.name, &opened);
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
	int rc = link_set_frames(k, ifindex, 0);

	if (!rc)
		rc = link_set_up(k, ifindex, true);
	if (!rc)
		rc = link_set_up(k, ifindex, false);
	return rc;
}

/* Bounds what waits in the TAP's queues, those to come included. */
static int bound_queues(struct netdev_kernel *k, struct netdev *nd)
{
	uint32_t frames = FRAMES_GATED;
	struct link link;
	int rc = link_get(k, nd->ifindex, NULL, &link);

	if (rc)
		return rc;
	gating_open(&nd->gating, nd->queue_fd[0]);
	if (!nd->gating.gate)
		frames = FRAMES_UNGATED;
	else if (!strcmp(link.qdisc, "mq"))
		frames = FRAMES_QDISC;
	rc = link_set_frames(k, nd->ifindex, frames);
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

static int adopt(struct netdev_kernel *k, struct netdev *nd, const struct link *link,
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
	map_fd = steering_adopt(fd, link->ifindex);
	*nd = (struct netdev){ .ifindex = link->ifindex, .adopted = true, .n_queues = 1,
				 .steering_fd = MAX(map_fd, -1) };
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
	struct link link;

	if (fd < 0)
		return fail(err, fd, "/dev/net/tun: %s: %s", name, strerror(-fd));
	rc = link_get(k, 0, name, &link);
	if (!rc)
		rc = link_setup(k, link.ifindex, alias);
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
	struct link link;
	int rc;

	snprintf(alias, sizeof(alias), ALIAS_PREFIX "%s", name);
	if (other_name && !link_get(k, 0, other_name, &link) && !strcmp(link.alias, alias))
		return adopt(k, nd, &link, alias, err);
	rc = link_get(k, 0, name, &link);
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
	struct link link;
	int rc = link_get(ctx, nd->ifindex, NULL, &link);

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
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_NEWLINK, nd->ifindex);

	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	return transact(ctx, nlh, NULL, NULL);
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
	out->bridge_filters = bridge && bridge->filters_vlans;
	out->bridge_down = bridge && !bridge->up;
	out->uplinks_down = bridge && bridge->n_uplinks && !bridge->n_uplinks_alive;
	return true;
}

static int kernel_master(void *ctx, int ifindex)
{
	const struct link_entry *e = links_find(&((struct netdev_kernel *)ctx)->links, ifindex);

	return e ? e->master : 0;
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
	.master = kernel_master,
	.close = kernel_close,
};

int netdev_kernel_init(struct netdev_kernel *k)
{
	int rc;

	*k = (struct netdev_kernel){ .nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC) };
	if (!k->nl)
		return -errno;
	if (mnl_socket_bind(k->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		rc = -errno;
		mnl_socket_close(k->nl);
		return rc;
	}
	rc = links_open(&k->links);
	if (rc)
		mnl_socket_close(k->nl);
	return rc;
}

void netdev_kernel_fini(struct netdev_kernel *k)
{
	links_close(&k->links);
	mnl_socket_close(k->nl);
}
