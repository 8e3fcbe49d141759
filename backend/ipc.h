/* SPDX-License-Identifier: MIT */
/*
 * Rank 5: what the two processes of vifd say to each other.
 *
 * Control starts the datapath with one end of a SOCK_SEQPACKET as fd
 * IPC_FIRST_FD and sends IPC_HELLO on it, which carries the shared memory and one
 * more socket per further worker. From then on control talks to each worker on
 * the worker's own socket (the first is worker 0's), so nothing crosses threads
 * inside the datapath. A message is one struct ipc_msg; fds travel as SCM_RIGHTS.
 *
 *	control -> worker	worker -> control
 *	HELLO	(worker 0)	READY		  one per worker, handles open
 *	QUEUE_ATTACH		QUEUE_ATTACHED	  status 0 or -errno
 *	QUEUE_DETACH		QUEUE_DETACHED	  always, and last for that slot
 *				QUEUE_STALLED	  status 1: its guest takes no frames any
 *						  more, 0: it does again
 *				QUEUE_FATAL	  status -EPROTO: the guest broke the
 *						  protocol; -ENODEV: the TAP is gone. The
 *						  queue is stopped, DETACH still due
 *	GRANTS_APPLY		GRANTS_APPLIED	  a list of static grants, see below
 *	GRANTS_DONE		GRANTS_STAGED
 *	NIC_OPEN		NIC_OPENED	  status; slot is the NIC's number here
 *	NIC_CLOSE				  no place is left on it
 *				NIC_STATIONS	  there are new ones in struct shared_nic
 *	PLACE_JOIN		PLACE_JOINED	  status; slot is a queue's, as below
 *				PLACE_LENDING	  shared_queue.buffers says otherwise now whether
 *						  the place is to be one lent to
 *	PLACE_DRAIN		PLACE_DRAINED	  each queue: what was in its TAP is the guest's
 *	PLACE_READ				  the place is read as well
 *	PLACE_HOLD		PLACE_HELD	  each queue: the TAP is left alone
 *	PLACE_LEAVE		PLACE_LEFT	  what was in the place is the guest's
 *	PLACE_RELEASE		PLACE_RELEASED	  each queue: the TAP is read again
 *	STOP			(closes its socket)
 *
 * A queue may have a place on a NIC (nic.h) where frames for its guest arrive past the
 * bridge. It joins one before the filter is there and leaves it when that is gone; who
 * reads what in between keeps every flow in order (queue_place.c). The vif's other queues
 * take part, as a flow may have been, or will be, one of theirs on the bridge.
 *
 * A vif's control ring is with its queue 0, whose worker may not be that of the queue a
 * request for static grants is about. So it says GRANTS_STAGED, control says GRANTS_APPLY
 * to the other, that one answers GRANTS_APPLIED with a status, which control tells the
 * first with GRANTS_DONE. One at a time a vif; a datapath's death ends it.
 *
 * Every queue has a slot number, chosen by control, which indexes struct
 * shared_queue in the shared memfd: its journal and counters. Control reads
 * counters there without asking anybody. Every vif with queues has a number of its
 * own as well, which indexes struct shared_vif: what its queues' workers share.
 */
#ifndef VIF_IPC_H
#define VIF_IPC_H

#include "backend/stations.h"
#include "base.h"
#include "counters.h"
#include "ctrl.h"
#include "multicast.h"
#include "credit.h"
#include "ring.h"

#define IPC_FIRST_FD	 3
#define IPC_WORKERS_MAX	 16
#define IPC_QUEUES_MAX	 4096 /* slots in the shared memfd */
#define IPC_VIFS_MAX	 IPC_QUEUES_MAX
#define IPC_VERSION	 5
#define IPC_FDS_MAX	 (1 + IPC_WORKERS_MAX)
#define IPC_NICS_MAX	 8

/* What becomes of a guest's buffers while it has a place on a NIC that takes them. */
enum ipc_buffers {
	IPC_BUFFERS_NONE, /* it has none, or nobody has looked yet */
	IPC_BUFFERS_POSTED,
	IPC_BUFFERS_LENDABLE, /* nothing speaks against a place lent to */
	IPC_BUFFERS_LENT,     /* it is in one */
	/* not posted nor to be lent, because: */
	IPC_BUFFERS_NOT_GRANTED, /* none is a static grant that may be written to */
	IPC_BUFFERS_GRANTS_CHANGE,
	IPC_BUFFERS_SMALL,	/* frames may be larger */
	IPC_BUFFERS_TAG,	/* there is one to take off */
	IPC_BUFFERS_NO_NOTIFY,	/* the guest does not tell of new ones */
	IPC_BUFFERS_HEADROOM,
	IPC_BUFFERS_HASHES,
	IPC_BUFFERS_SLOW,	/* the guest has too few */
	IPC_BUFFERS_NEIGHBOURS, /* most comes over the bridge */
	IPC_BUFFERS_BRIDGED,	/* a frame came over the bridge, to a queue that was kept off */
	IPC_BUFFERS_REFUSED,	/* the device cannot use them */
	IPC_BUFFERS_N,
};

/* For people; NULL: NONE, or no such number. */
const char *ipc_buffers_name(uint32_t buffers);

/* Journal, counters and more of one queue. Written by its worker, read by control
 * (relaxed). Control clears it before it hands the slot out anew. */
struct shared_queue {
	struct ring_journal from_guest;
	struct ring_journal to_guest;
	struct queue_counters counters;
	uint32_t buffers; /* enum ipc_buffers */
} __attribute__((aligned(64)));

/* What belongs to a vif and not to one of its queues. Control clears it before the vif's
 * first queue is handed out and keeps it for the vif until the last one is back. Each
 * member says who writes it; others read it with the care that asks for. */
struct shared_vif {
	struct vif_id id; /* control: whose it is */
	struct multicast_set multicast; /* the workers: what the guest wants to receive */
	uint32_t multicast_filter;	/* control, atomic bool: drop what is not in the set */
	uint32_t xdp_headroom; /* control, atomic: bytes to leave free in each of its buffers */
	struct credit credit;		/* control, the workers: what the guest may send */
	struct ctrl_memory ctrl;	/* the workers, as said there: what the control ring set */
} __attribute__((aligned(64)));

/* What belongs to a NIC. Control clears it before a worker opens the NIC. */
struct shared_nic {
	struct stations heard; /* its worker: who sends by its places */
	struct stations_behind behind; /* control: who is behind it */
	uint32_t frame_max; /* control, atomic: longest frame it may be given now to transmit */
} __attribute__((aligned(64)));

/* The shared memfd. */
struct ipc_shared {
	struct shared_queue queue[IPC_QUEUES_MAX];
	struct shared_vif vif[IPC_VIFS_MAX];
	struct shared_nic nic[IPC_NICS_MAX];
};

enum ipc_type {
	IPC_HELLO = 1,
	IPC_READY,
	IPC_QUEUE_ATTACH,
	IPC_QUEUE_ATTACHED,
	IPC_QUEUE_DETACH,
	IPC_QUEUE_DETACHED,
	IPC_QUEUE_STALLED,
	IPC_QUEUE_FATAL,
	IPC_GRANTS_STAGED,
	IPC_GRANTS_APPLY,
	IPC_GRANTS_APPLIED,
	IPC_GRANTS_DONE,
	IPC_STOP,
	IPC_NIC_OPEN,
	IPC_NIC_OPENED,
	IPC_NIC_CLOSE,
	IPC_NIC_STATIONS,
	IPC_PLACE_JOIN,
	IPC_PLACE_JOINED,
	IPC_PLACE_LENDING,
	IPC_PLACE_DRAIN,
	IPC_PLACE_DRAINED,
	IPC_PLACE_READ,
	IPC_PLACE_HOLD,
	IPC_PLACE_HELD,
	IPC_PLACE_LEAVE,
	IPC_PLACE_LEFT,
	IPC_PLACE_RELEASE,
	IPC_PLACE_RELEASED,
};

struct ipc_hello {
	uint32_t version;
	uint32_t n_workers;
	uint32_t log_level; /* enum log_level */
	uint32_t sd_daemon;
	uint32_t tap_nowait; /* the kernel's TAPs take RWF_NOWAIT */
	int32_t nice;	   /* the workers' */
	uint32_t rx_drain_ms, rx_stall_ms; /* as in struct queue_env */
	uint32_t uid, gid; /* to become once the handles are open; 0: stay */
	/* fds: shared memfd, then the sockets of workers 1..n_workers-1 */
};

struct ipc_queue {
	struct vif_id vif;
	uint32_t vif_slot; /* index of its struct shared_vif */
	uint32_t queue; /* 0..n-1 of the vif */
	uint32_t features; /* enum vif_feature: the frontend's */
	uint32_t offered;  /* and what it was offered: it may send nothing else */
	uint32_t tx_gref, rx_gref;
	uint32_t tx_port, rx_port; /* the guest's event channels; equal: one for both ways */
	uint32_t resume;	   /* the ring is live and the journal counts */
	uint32_t n_queues;	   /* of the vif */
	uint32_t has_ctrl;	   /* the vif has a control ring; queue 0 serves it */
	uint32_t ctrl_gref, ctrl_port;
	uint32_t maps;		   /* IPC_MAP_*: which come along */
	/* fds: the TAP queue; then the maps of the programs the TAP asks, in this order */
#define IPC_MAP_STEERING BIT(0) /* a struct steering */
#define IPC_MAP_GATE	 BIT(1) /* a struct gate */
#define IPC_MAPS	 (IPC_MAP_STEERING | IPC_MAP_GATE)
#define IPC_QUEUE_FDS	 3
};

/* Whether a place is one lent to (nic.h): the guest's memory is the device's. */
enum ipc_lend {
	IPC_LEND_NEVER,
	IPC_LEND_ASK, /* not now: the worker says whether it might be */
	IPC_LEND_NOW,
};

/* fds: what the provider's other half gave (nic.h). */
struct ipc_nic {
	uint32_t nic;	 /* PLACE_JOIN: its number */
	uint32_t place;	 /* PLACE_JOIN: the place's */
	int32_t ifindex; /* NIC_OPEN */
	uint32_t provider; /* NIC_OPEN: whose other half, enum nic_provider */
	uint32_t vlan;	   /* PLACE_JOIN: of the bridge's, of frames that come by it; 0: it has none */
	uint32_t tag_off;  /* PLACE_JOIN: the guest is not to see its tag */
	uint32_t transmit; /* PLACE_JOIN: what the guest sends may leave by the NIC */
	uint8_t mac[6];	   /* and the source address it then has */
	uint32_t own_tag;  /* and whether it then has a tag of that VLAN from the guest already; */
	uint32_t tag_on;   /* or gets one for the wire: not both, and without a VLAN neither */
	uint32_t mtu;	 /* PLACE_JOIN: the vif's; another one is another place */
	uint32_t lend;	 /* PLACE_JOIN: enum ipc_lend */
};

struct ipc_msg {
	uint32_t type; /* enum ipc_type */
	uint32_t slot; /* queue messages */
	int32_t status; /* 0 or -errno */
	union {
		struct ipc_hello hello;
		struct ipc_queue queue;
		struct ipc_nic nic; /* NIC_OPEN, PLACE_JOIN */
		uint32_t queue_number; /* GRANTS_STAGED: the queue of the vif to apply it */
		char why[128]; /* ATTACHED with an error, FATAL: for log and the error node */
	};
};

/* Sends one message with fds[0..n). The fds stay the caller's. 0 or -errno
 * (-EAGAIN: the peer does not read; -EPIPE: it is gone). */
int ipc_send(int sock, const struct ipc_msg *msg, const int fds[], uint32_t n_fds) must_check;

/*
 * Receives one message. fds[] holds IPC_FDS_MAX; those received are the caller's to
 * close. Returns 0; -EAGAIN: none waits; -ECONNRESET: the peer is gone; -EPROTO: not a
 * whole message.
 */
int ipc_recv(int sock, struct ipc_msg *msg, int fds[], uint32_t *n_fds) must_check;

#endif
