/* SPDX-License-Identifier: MIT */
/*
 * The operations of netdev.h, each handed to the part that has it: the TAP itself (tap.h),
 * the tables of links and what bridges do by them (links.h, bridge.h), stations
 * (neighbours.h). Only what any device is asked of rtnetlink stands here.
 */
#include "backend/control/netdev.h"

#include <string.h>

#include "backend/control/bridge.h"
#include "backend/control/steering.h"
#include "backend/control/tap.h"

static struct rtnl *rtnl_of(void *ctx)
{
	return &((struct netdev_kernel *)ctx)->rtnl;
}

static const struct links *links_of(void *ctx)
{
	return &((struct netdev_kernel *)ctx)->links;
}

/* ---- the TAP ---- */

static int kernel_open(void *ctx, struct netdev *nd, const char *name, const char *other_name,
		       struct netdev_error *err)
{
	return tap_open(rtnl_of(ctx), nd, name, other_name, err);
}

static int kernel_set_queues(void *ctx, struct netdev *nd, uint32_t n)
{
	return tap_set_queues(rtnl_of(ctx), nd, n);
}

static int kernel_steer(void *ctx, struct netdev *nd, struct rss *kept)
{
	(void)ctx;
	return tap_steer(nd, kept);
}

static int kernel_set_aside(void *ctx, struct netdev *nd, uint32_t aside)
{
	(void)ctx;
	return steering_set_aside(nd->steering_fd, aside);
}

static int kernel_purge(void *ctx, struct netdev *nd)
{
	(void)ctx;
	return tap_purge(nd);
}

static int kernel_set_offload(void *ctx, struct netdev *nd, uint32_t features)
{
	(void)ctx;
	return tap_set_offload(nd, features);
}

static int kernel_set_carrier(void *ctx, struct netdev *nd, bool on)
{
	(void)ctx;
	return tap_set_carrier(nd, on);
}

static void kernel_close(void *ctx, struct netdev *nd, bool destroy)
{
	(void)ctx;
	tap_close(nd, destroy);
}

/* ---- any device ---- */

/* The kernel counts a TAP's receive and transmit from its own side: what it receives,
 * the guest sent. */
static int kernel_stats(void *ctx, const struct netdev *nd, struct netdev_stats *out)
{
	struct rtnl_link link;
	int rc = rtnl_link_get(rtnl_of(ctx), nd->ifindex, NULL, &link);

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
	return rtnl_link_set_mtu(rtnl_of(ctx), nd->ifindex, mtu);
}

static int kernel_links_fd(void *ctx)
{
	return links_fd(links_of(ctx));
}

static bool kernel_links_news(void *ctx, bool *more)
{
	return links_news(&((struct netdev_kernel *)ctx)->links, more);
}

static bool kernel_host(void *ctx, int ifindex, struct netdev_host *out)
{
	const struct link_entry *e = links_find(links_of(ctx), ifindex);

	if (!e)
		return false;
	*out = (struct netdev_host){ .born = e->born,
				     .master = e->master,
				     .carrier = e->up && e->carrier };
	static_assert(sizeof(out->name) == sizeof(e->name), "IFNAMSIZ");
	memcpy(out->name, e->name, sizeof(out->name));
	return true;
}

static int kernel_index_of(void *ctx, const char *name)
{
	(void)ctx;
	return (int)if_nametoindex(name);
}

static bool kernel_moved(void *ctx, uint32_t born)
{
	return links_moved(links_of(ctx), born);
}

static int kernel_with_program(void *ctx, uint32_t id)
{
	const struct link_entry *e = links_with_program(links_of(ctx), id);

	return e ? e->ifindex : 0;
}

static bool kernel_link(void *ctx, const struct netdev *nd, struct netdev_link *out)
{
	return bridge_link(links_of(ctx), nd->ifindex, out);
}

static uint32_t kernel_forwards(void *ctx, int ifindex)
{
	return bridge_forwards(links_of(ctx), ifindex);
}

static uint64_t kernel_remembers_ns(void *ctx, int ifindex)
{
	return bridge_remembers_ns(links_of(ctx), ifindex);
}

static const char *kernel_wire_form(void *ctx, const struct netdev *nd, int uplink,
				    struct vlan_form *out)
{
	return bridge_wire_form(links_of(ctx), nd->ifindex, uplink, out);
}

static int kernel_learn(void *ctx, int ifindex, const uint8_t mac[6], uint16_t vlan)
{
	return rtnl_learn(rtnl_of(ctx), ifindex, mac, vlan);
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

static void kernel_neighbours_of_port(void *ctx, int ifindex, bool on)
{
	neighbours_of_port(&((struct netdev_kernel *)ctx)->neighbours, ifindex, on);
}

static bool kernel_neighbours_knows(void *ctx, int bridge, int port, const uint8_t mac[6])
{
	return neighbours_knows(&((struct netdev_kernel *)ctx)->neighbours, bridge, port, mac);
}

const struct netdev_ops netdev_kernel_ops = {
	.open = kernel_open,
	.set_queues = kernel_set_queues,
	.steer = kernel_steer,
	.set_aside = kernel_set_aside,
	.purge = kernel_purge,
	.set_offload = kernel_set_offload,
	.set_carrier = kernel_set_carrier,
	.stats = kernel_stats,
	.set_mtu = kernel_set_mtu,
	.links_fd = kernel_links_fd,
	.links_news = kernel_links_news,
	.link = kernel_link,
	.host = kernel_host,
	.index_of = kernel_index_of,
	.moved = kernel_moved,
	.with_program = kernel_with_program,
	.forwards = kernel_forwards,
	.remembers_ns = kernel_remembers_ns,
	.learn = kernel_learn,
	.neighbours_fd = kernel_neighbours_fd,
	.neighbours_news = kernel_neighbours_news,
	.neighbours_of_port = kernel_neighbours_of_port,
	.neighbours_knows = kernel_neighbours_knows,
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
	neighbours_init(&k->neighbours, &k->rtnl);
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
