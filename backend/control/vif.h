/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: one vif: what is known of it, and its steps through life.
 *
 * vif_next_step() (libvif/xenbus.h) decides; vif_pass() gathers the situation from
 * xenstore, asks, takes the step, and asks again. Watches only mark a vif as due.
 *
 * Trust: the backend's directory is the toolstack's (or the driver domain's own); the
 * frontend's is the guest's. Of the guest's only numbers are taken, each read once
 * and checked; none of its strings gets into a path, a log or a format.
 */
#ifndef VIF_CONTROL_VIF_H
#define VIF_CONTROL_VIF_H

#include <net/if.h>

#include "backend/control/keys.h"
#include "backend/control/netdev.h"
#include "backend/control/placement.h"
#include "backend/control/workers.h"
#include "backend/counters.h"
#include "base.h"
#include "log.h"
#include "xenbus.h"

struct control;

/* A vif is looked at as often as this many times at once, then every VIF_PASS_NS: a guest
 * that rewrites its state all the time costs that much and no more (XSA-349). */
#define VIF_PASS_BURST 50
#define VIF_PASS_NS    (50 * NS_PER_MS)

enum vif_queue_state { VIF_QUEUE_NONE, VIF_QUEUE_ATTACHING, VIF_QUEUE_ATTACHED, VIF_QUEUE_DETACHING };

/* Why the guest is told that it has no carrier. */
enum vif_link_reason {
	VIF_LINK_DOWN = BIT(0),
	VIF_LINK_TAKEN_OUT = BIT(1),
	VIF_LINK_PORT_OFF = BIT(2),
	VIF_LINK_BRIDGE_DOWN = BIT(3),
	VIF_LINK_UPLINK_DOWN = BIT(4),
};

struct vif_queue {
	enum vif_queue_state state;
	bool stalled; /* its guest takes no frames */
	uint32_t slot; /* of the workers; unless state is NONE */
};

enum vif_hotplug {
	VIF_HOTPLUG_WAITING,
	VIF_HOTPLUG_LATE, /* waiting, beyond hotplug_timeout_s */
	VIF_HOTPLUG_FAILED,
	VIF_HOTPLUG_DONE,
};

struct vif {
	struct vif_id id;
	char path[48];	     /* backend/vif/D/N, relative: our own domain's */
	char name[24];	     /* vif<D>.<handle>; a netdev's fits IFNAMSIZ */
	struct backend_keys keys;
	bool keys_read;
	bool watching; /* the frontend's directory */

	enum xenbus_state state;    /* ours, as last written or found */
	enum xenbus_state stored;   /* what the store says of it, the toolstack's doing included */
	enum xenbus_state frontend; /* as last seen */
	bool asked_to_close;
	bool replaced; /* another vif took over the directory */
	bool resume;   /* found Connected: its rings are live */
	bool online;

	enum vif_hotplug hotplug;
	uint64_t hotplug_deadline_ns; /* 0: the clock does not run */

	bool failed;
	char error[192];

	struct netdev netdev;
	bool netdev_ready;
	struct netdev_link link; /* where it stands; if link_known */
	bool link_known;
	bool was_enslaved;   /* since we have the netdev */
	uint32_t no_carrier; /* enum vif_link_reason; 0: there is one */
	bool carrier_told;   /* what the guest was told of it */
	uint32_t mtu_told;   /* what the guest knows; 0: nothing seen yet */
	uint32_t mtu_before; /* limit_mtu() lowered it from this; 0: it did not */
	struct vif_queue queue[NETDEV_QUEUES_MAX];
	uint32_t n_queues; /* in queue[], 0: none attached or on their way */
	int vif_slot;	   /* of the workers, for all of queue[]; -1: none */
	struct backend_offer offer; /* of the vif's current life */
	uint32_t features;	    /* the frontend's, those that count */
	struct frontend_wishes wishes;
	bool wishes_due;     /* to be read again */
	bool multicast_lost; /* an earlier vifd held the guest's addresses: nothing is filtered
			      * until it connects anew */
	bool split_events;
	struct placement placement;
	struct queue_counters retired; /* of queues that were taken back */

	char rate_text[64]; /* the key as last read; "": there is none */
	struct rate rate;

	bool due;
	uint64_t not_before_ns, last_pass_ns;
	uint32_t n_passes; /* in the bucket */
	struct log_limit log_limit;
};

/* 0; -ENOENT: its directory has no state; -ENOMEM. Finds out what is there already: a vif left Connected by an earlier
 * vifd is taken over. */
int vif_new(struct control *c, struct vif_id id, uint64_t now_ns, struct vif **out) must_check;

/* Frees v, and what it holds; destroy_netdev as struct netdev_ops' close. */
void vif_free(struct control *c, struct vif *v, bool destroy_netdev);

/* The operator's wish where v is to be served: kept for a vifd that takes it over. */
void vif_keep_wish(struct control *c, const struct vif *v);

/* Looks at v and takes steps until there is nothing to do. Returns whether v is to be
 * forgotten: the caller removes it with vif_free(..., true). */
bool vif_pass(struct control *c, struct vif *v, uint64_t now_ns) must_check;

/* Something at 'path', in the frontend's directory, changed. Marks v due if it matters. */
void vif_on_frontend(struct vif *v, const char *path);

/* The host's links changed: marks v due if it stands elsewhere now. */
void vif_on_links(struct control *c, struct vif *v);

/* In words, why the guest has no carrier; NULL: it has. */
const char *vif_link_reason(const struct vif *v);

/* A queue's answer from the datapath. Marks v due. */
void vif_on_worker(struct control *c, struct vif *v, const struct worker_event *e, uint64_t now_ns);

/* Gives the vif up: error node, log; the state machine closes it. err: positive errno. */
void vif_fail(struct control *c, struct vif *v, uint64_t now_ns, int err, const char *fmt, ...)
	printf_like(5, 6);

/* Asks the datapath for all queues back. */
void vif_detach(struct control *c, struct vif *v);

/* Whether the datapath holds any queue, or is asked to. */
bool vif_has_queues(const struct vif *v);

/* What its queue i counted, and the gate of its netdev: queue[i].state is not NONE. */
void vif_queue_counters(const struct control *c, const struct vif *v, uint32_t i,
			struct queue_counters *out);

/* Bytes that wait for the guest in its queue i. */
uint64_t vif_queue_waiting(const struct vif *v, uint32_t i);

/* Its counters, of queues past and present. */
void vif_counters(const struct control *c, const struct vif *v, struct queue_counters *out);

const char *vif_hotplug_name(enum vif_hotplug h);

#endif
