/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: a vif's network device: a persistent, multi-queue TAP that hotplug
 * scripts put where the operator wants it. Behind a table of operations, so that a
 * test without a kernel's TAPs can stand in.
 *
 * A netdev is known by its index: vif-bridge may rename it (vifname=). That it is
 * ours is written in its alias, "vifd vif3.0", which survives us: a vifd started
 * later finds its devices by it.
 *
 * Owner: control. No operation waits for anything but the kernel's own work.
 */
#ifndef VIF_CONTROL_NETDEV_H
#define VIF_CONTROL_NETDEV_H

#include <net/if.h>

#include "backend/control/links.h"
#include "backend/control/neighbours.h"
#include "backend/control/gating.h"
#include "backend/control/rtnl.h"
#include "base.h"

#define NETDEV_QUEUES_MAX 16u
static_assert(NETDEV_QUEUES_MAX <= GATE_QUEUES, "each has its part");

struct netdev {
	int ifindex; /* 0: none */
	bool adopted;
	uint32_t n_queues;
	int queue_fd[NETDEV_QUEUES_MAX];
	int steering_fd; /* map of the program that spreads frames over queues; -1: none */
	struct gating gating; /* the program that bounds what waits in each queue */
};

/* Seen from the guest, like every counter of ours. */
struct netdev_stats {
	char name[IFNAMSIZ]; /* as it is now */
	bool up, carrier;
	uint64_t from_guest_frames, from_guest_bytes, from_guest_dropped, from_guest_errors;
	uint64_t to_guest_frames, to_guest_bytes;
	uint64_t to_guest_dropped; /* too much waited, or there was no carrier */
	uint64_t to_guest_errors;
};

/* Where a netdev stands. Zeroed before it is filled: comparable as memory. */
struct netdev_link {
	int master; /* ifindex of what it is in; 0: nothing */
	uint32_t mtu;
	bool up;       /* set up by the operator */
	bool enslaved; /* in a bridge, or whatever else takes its frames */
	bool port_off; /* as a bridge's port it is disabled, though it is up */
	bool bridge_down; /* set down by the operator */
	bool uplinks_down; /* its bridge has members that are no TAPs, all without a carrier */
	/* as a bridge's port: */
	bool known_only;  /* it gets no frames but to whom the bridge knows there */
	bool locked;	  /* and lets in none but of those */
	bool no_learning; /* whom the bridge does not come to know by what it lets in */
};

/* Where a device of the host's stands that is none of ours. */
struct netdev_host {
	char name[IFNAMSIZ];
	uint32_t born; /* tells it from another one that had its ifindex before */
	int master;    /* ifindex of what it is in; 0: nothing */
	bool carrier;  /* it is up, and so is what is below it */
};

struct netdev_error {
	char text[256];
};

struct rss;

struct netdev_ops {
	/*
	 * Makes the device 'name', or takes over the one an earlier vifd left, under that
	 * name or 'other_name' (NULL: none). Opens one queue; carrier off if it is new.
	 * What waits in its queues is bounded in bytes (nd->gating), or, where the kernel
	 * takes no program for that, more tightly in frames.
	 * 0; -EEXIST: the name is another's; -errno. err says why, for people.
	 */
	int (*open)(void *ctx, struct netdev *nd, const char *name, const char *other_name,
		    struct netdev_error *err);

	/* Opens or closes queues until there are n, 1..NETDEV_QUEUES_MAX. Queue i is the
	 * kernel's queue i, whoever else still holds one. 0 or -errno. */
	int (*set_queues)(void *ctx, struct netdev *nd, uint32_t n);

	/*
	 * Spreads frames over the queues by flow, through the map nd->steering_fd: by a hash
	 * of ours until a guest writes there what it wants. 0 or -errno: the kernel spreads
	 * them its own way, which moves a flow to the queue its other direction last used.
	 * With 'kept' the rings are live: a device that an earlier vifd left goes on spreading
	 * as it did, and *kept is what its guest has set; zeroed if there is nothing of that.
	 */
	int (*steer)(void *ctx, struct netdev *nd, struct rss *kept);

	/* While it is ours to say, no frame is spread to queue number aside - 1 from now on; 0: to
	 * each again. Precondition: nd->steering_fd is there. 0 or -errno. */
	int (*set_aside)(void *ctx, struct netdev *nd, uint32_t aside);

	/* Drops what waits in the device, for a guest that is no more. Precondition: one queue.
	 * 0 or -errno. */
	int (*purge)(void *ctx, struct netdev *nd);

	/* What the guest can receive unfinished: features_usable() ones. 0 or -errno. */
	int (*set_offload)(void *ctx, struct netdev *nd, uint32_t features);

	/* Without a carrier the kernel drops instead of queueing for nobody. 0 or -errno. */
	int (*set_carrier)(void *ctx, struct netdev *nd, bool on);

	/* 0; -ENODEV: somebody deleted it; -errno. */
	int (*stats)(void *ctx, const struct netdev *nd, struct netdev_stats *out);

	/* 0 or -errno. */
	int (*set_mtu)(void *ctx, struct netdev *nd, uint32_t mtu);

	/* Readable when there may be news of links; -1: never. */
	int (*links_fd)(void *ctx);
	/* Takes a bounded number of news. Returns whether a link() may say something else now;
	 * *more: come again at once. */
	bool (*links_news)(void *ctx, bool *more);
	/* What was heard last. False: nothing yet. */
	bool (*link)(void *ctx, const struct netdev *nd, struct netdev_link *out);

	/* What was heard last of any device. False: there is none, or nothing was heard yet. */
	bool (*host)(void *ctx, int ifindex, struct netdev_host *out);

	/* The ifindex of the device of that name, also if it is one of several; 0: none. */
	int (*index_of)(void *ctx, const char *name);

	/* Whether the device that was netdev_host.born is in another network namespace now. */
	bool (*moved)(void *ctx, uint32_t born);

	/* The ifindex of a device that has this XDP program; 0: none. */
	int (*with_program)(void *ctx, uint32_t id);

	/* The longest frame the bridge would send by its port 'ifindex' now; 0: none. */
	uint32_t (*forwards)(void *ctx, int ifindex);

	/* How long the bridge 'ifindex' is a port of remembers who has sent a frame by that
	 * port; 0: it learns nothing there. */
	uint64_t (*remembers_ns)(void *ctx, int ifindex);

	/* To that bridge it is as if a frame from 'mac', of its VLAN 'vlan' (0: it knows of
	 * none), had come by the port. 0 or -errno. */
	int (*learn)(void *ctx, int ifindex, const uint8_t mac[6], uint16_t vlan);

	/* As in neighbours.h: what bridges know of stations. */
	int (*neighbours_fd)(void *ctx);
	bool (*neighbours_news)(void *ctx, uint64_t now_ns, neighbour_fn *each, void *arg,
				uint64_t *next_ns);
	void (*neighbours_of_port)(void *ctx, int ifindex, bool on);
	bool (*neighbours_knows)(void *ctx, int bridge, int port, const uint8_t mac[6]);

	/*
	 * What frames that its bridge delivers to nd, or takes from it, look like on the wire
	 * behind 'uplink', another port of that bridge: zeroed where the bridge does not filter
	 * VLANs.
	 * NULL and *out, or why there is no such thing, for people.
	 */
	const char *(*wire_form)(void *ctx, const struct netdev *nd, int uplink,
				 struct vlan_form *out);

	/* Closes the queues; 'destroy' ends the device, once no one else holds a queue. */
	void (*close)(void *ctx, struct netdev *nd, bool destroy);
};

/* The kernel's. ctx is a struct netdev_kernel. */
extern const struct netdev_ops netdev_kernel_ops;

struct netdev_kernel {
	struct rtnl rtnl;
	struct links links;
	struct neighbours neighbours;
};

/* 0 or -errno. */
int netdev_kernel_init(struct netdev_kernel *k) must_check;
void netdev_kernel_fini(struct netdev_kernel *k);

#endif
