/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: which vifs have a place on a NIC, and how they get there and back.
 *
 * A NIC of vifd.conf serves the bridge it is a port of: a connected vif in the same bridge
 * gets a place on it while there are any, unless the operator wants it on the bridge. One of
 * its queues has the place, all of them take part in a change. The steps, and what makes them
 * lossless, are in backend/datapath/queue_place.c:
 *
 *	BRIDGE -> JOINING -> SETTLING_IN -> DRAINING -> STARTING -> NIC
 *	  ^                                                          |
 *	  +--- RELEASING <- LEAVING <- SETTLING_OUT <- HOLDING <-----+
 *
 * A place lent to (placement_lend.c) has its queue for itself: what came by that queue's TAP
 * comes by the others' from when it is set aside. The others are held until the guest has what
 * came by the one before; on the way back, the one is held until it has what came by the others:
 *
 *	JOINING -> KEEPING_OFF -> SETTLING_IN -> EMPTYING -> PARTING -> DRAINING -> ...
 *	... LEAVING -> REJOINING -> OTHERS_FIRST -> CATCHING_UP -> RELEASING
 *
 * Whatever has changed meanwhile, a vif on the way to a place turns round before its filter is
 * added (JOINING -> LEAVING), else once its TAPs are drained (DRAINING -> HOLDING): frames may be
 * in its place by then, and those in the TAPs are older.
 *
 * Who gets one when there are more vifs than places is in placement_policy.c.
 *
 * When the vif's queues go, the filter goes first; when the datapath dies, or a NIC is taken
 * away, every vif is on the bridge at once, and gets a place anew later. A NIC whose link is
 * down gives its vifs to the bridge in order, and takes them back once it was up for a while.
 * What others change on a device is found when it is looked at, every PLACEMENT_CHECK_NS: a vif
 * whose filter is gone leaves its place and gets one anew; for the rest all of them leave, and the
 * NIC is opened anew.
 *
 * Owner: control.
 */
#ifndef VIF_CONTROL_PLACEMENT_H
#define VIF_CONTROL_PLACEMENT_H

#include "backend/control/config.h"
#include "backend/control/netdev.h"
#include "backend/control/fdb.h"
#include "backend/control/vlans.h"
#include "backend/control/workers.h"
#include "backend/nic/nic.h"

struct control;
struct vif;

enum placement_state {
	PLACED_BRIDGE,
	PLACED_JOINING,
	PLACED_KEEPING_OFF, /* of a place lent to */
	PLACED_SETTLING_IN,
	PLACED_EMPTYING, /* alike */
	PLACED_PARTING,	 /* alike */
	PLACED_DRAINING,
	PLACED_STARTING,
	PLACED_NIC,
	PLACED_HOLDING,
	PLACED_SETTLING_OUT,
	PLACED_LEAVING,
	PLACED_REJOINING,    /* of a place lent to */
	PLACED_OTHERS_FIRST, /* alike */
	PLACED_CATCHING_UP,  /* alike */
	PLACED_RELEASING,
};

/* The operator's wish. */
enum placement_wish {
	PLACEMENT_AUTO,
	PLACEMENT_BRIDGE,
	PLACEMENT_MQ,
};

struct placement {
	enum placement_state state;
	enum placement_wish wish;
	struct nic *nic; /* unless BRIDGE */
	uint32_t place;
	uint32_t queue; /* of the vif: which has it */
	uint32_t to_tell, to_hear; /* bits of the vif's queues: not told yet, no answer yet */
	struct nic_filter filter;
	struct vlan_form form; /* of the frames it matches */
	uint32_t mtu;	       /* of the vif: what fits the buffers of its guest follows from it */
	bool transmit;	       /* what its guest sends may leave by the NIC */
	int known_in;	       /* the bridge that knows its address to be behind its port; 0: none */
	uint64_t ask_ns;       /* not known: to ask again, at the earliest */
	bool filtered;
	bool lent;	       /* this place is one lent to */
	bool aside;	       /* the vif's other queues have its TAP's flows */
	bool lend;	       /* the next one is to be */
	bool rejoins;	       /* leaves this place for another of either kind */
	uint64_t lend_ns;      /* not before */
	uint64_t lend_wait_ns; /* how long it had to wait the last time */
	/* As its worker has them; closed after it has left, as who closes the last one waits for the
	 * kernel. Of a place lent to until there is a filter, or is to be none: there a thread of the
	 * datapath's waits (nic/afxdp_closer.h), since its worker is to know that all is over. */
	int fds[NIC_FDS_MAX], n_fds;
	uint64_t settled_ns;	     /* the step in which the device settled last */
	uint64_t until_ns;	     /* of SETTLING_*, REJOINING; 0: not known yet */
	uint64_t retry_ns;	     /* of BRIDGE: not before */
	uint64_t n_sent_told;	     /* frames by the NIC when its bridge was told of them */
	uint64_t n_moves;	     /* times it came to the NIC or left it */
	const char *why_not;	     /* of BRIDGE: why it has no place; NULL: none is wanted */
	struct nic *waits_for;	     /* of BRIDGE: would have a place on it, with 'form' */
	const struct nic *beside;    /* its queue 0 was given to that NIC's worker on purpose */
	uint64_t since_ns;	     /* it waits, or has its place, since */
	uint64_t n_frames;	     /* off the wire, as of nics.looked_ns */
	uint64_t rate;		     /* of those a second, with what it was before */
	uint32_t n_busier;	     /* looks in a row that found it busy enough to displace another */
	char failure[128];	     /* what the last try came to; "": well */
};

enum nic_state { NIC_CLOSED, NIC_OPENING, NIC_OPEN };

struct nic {
	struct nic_config config;
	const struct nic_device_ops *ops;
	struct nic_device *device; /* NULL: not opened */
	enum nic_state state;	   /* of the worker's half */
	uint32_t number, worker;
	uint32_t n_asked; /* times the worker was asked to open its half and did not answer yet */
	bool heard;	  /* of the device: host is the last */
	struct netdev_host host;
	uint64_t exchange_ns; /* no vif displaces another before, unless the operator says so */
	uint64_t link_ns; /* its link counts from then on; UINT64_MAX: it is down */
	struct vif *place[NIC_PLACES_MAX];
	uint32_t n_places;
	/* Of who had a place: its worker is told to leave it. */
	struct {
		int fds[NIC_FDS_MAX], n_fds;
	} parted[NIC_PLACES_MAX];
	uint64_t parted_ns; /* there are any, as of the step then; 0: not known yet, or none */
	uint64_t retry_ns;
	uint64_t checked_ns; /* the device was last looked at for what others changed */
	uint64_t amiss_ns;   /* since when that is so of more than a filter; 0: it is not */
	char amiss[120];     /* what it is */
	bool away;	     /* the device has another name, or is in another network namespace:
			      * 'why' says so until there is one of that name again */
	uint32_t left_mark;  /* nic_device_ops.mark of what went with it; 0: nothing */
	bool left_due;	     /* it may be back: look */
	struct fdb fdb;
	struct log_limit log_limit;
	char why[160]; /* why it is not open */
};

struct nics {
	struct nic nic[IPC_NICS_MAX];
	uint32_t n;
	uint64_t stepped_ns;	   /* placement_step() was last called */
	uint64_t looked_ns;	   /* at who is how busy */
	uint32_t n_datapaths_lost; /* as of the workers, when it was last acted upon */
};

/* Between two looks at what was put on a device. */
#define PLACEMENT_CHECK_NS (10 * NS_PER_S)

/* Whether guests' frames may leave by it: it can, and is to. */
static inline bool nic_transmits(const struct nic *n)
{
	return n->config.transmit && n->device && n->ops->caps(n->device).transmit;
}

/* Takes the names of the configuration; devices are opened as they come. */
void placement_init(struct control *c);
/* Every filter and program goes. */
void placement_fini(struct control *c);

/* The host's links changed: a device that was missing may be there. */
void placement_on_links(struct control *c, uint64_t now_ns);

/* Takes the steps that are due. Returns when it wants to be called next. */
uint64_t placement_step(struct control *c, uint64_t now_ns);

/* A worker's answer about a NIC or a vif's place. */
void placement_on_worker(struct control *c, const struct worker_event *e, uint64_t now_ns);

/* Which worker v's queue 0 is to be with, of so many queues, for v to be able to have a place on
 * the NIC of its bridge; WORKERS_ANY: it matters to none. Notes what was chosen. */
uint32_t placement_worker(struct control *c, struct vif *v, uint32_t n_queues);

/* The operator's wish, from now on. NULL, or why v does not go there, for people. */
const char *placement_want(struct control *c, struct vif *v, enum placement_wish wish);

/* v's queues are about to be taken back: nothing is directed to them from now on. */
void placement_drop(struct control *c, struct vif *v);

const char *placement_state_name(enum placement_state s);

/* "auto", "bridge", "mq". False: none of them, *out stays. */
bool placement_parse_wish(const char *text, enum placement_wish *out);
const char *placement_wish_name(enum placement_wish w);

#endif
