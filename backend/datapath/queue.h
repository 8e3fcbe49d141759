/* SPDX-License-Identifier: MIT */
/*
 * Rank 7: one queue of one vif: its two rings, its event ports, and the frames on
 * their way through. Owner: the worker it was attached to, from queue_open() to
 * queue_close(); no other thread ever sees it.
 *
 * Nothing here waits and nothing here knows io_uring. The outer loop moves frames
 * between the TAP and the two FIFOs:
 *
 *	ring --queue_from_guest()--> to_tap --(outer loop writes)--> TAP
 *				       `--queue_transmit()--> NIC, if it is for one
 *	ring <--queue_to_guest()---- from_tap <--(outer loop reads)-- TAP
 *
 * The trust boundary is the ring page and the granted pages, both behind libvif.
 */
#ifndef VIF_DATAPATH_QUEUE_H
#define VIF_DATAPATH_QUEUE_H

#include "backend/ipc.h"
#include "event.h"
#include "gate.h"
#include "grant.h"
#include "log.h"
#include "backend/nic/nic.h"
#include "packet.h"
#include "ring.h"
#include "steering.h"

/* Frames a queue may move in one direction before the next queue has its turn:
 * no guest starves another. */
#define QUEUE_BATCH 64u

/* Segments the kernel may have to cut a batch's frames into: a batch takes a millisecond at
 * most, whatever sizes a guest asks for. */
#define QUEUE_SEGMENTS_MAX (2 * OFFLOAD_SEGMENTS_MAX)

/* Most frames read from the TAP ahead of the guest's buffers, and frames a queue can hold
 * in all: waiting frames never keep it from taking a full batch from the guest. The
 * buffers are the queue's own, so no guest can use up another's. */
#define QUEUE_READ_MAX 32u
#define QUEUE_PACKETS  (QUEUE_BATCH + QUEUE_READ_MAX)

/* Grant operations in one batch; one maximal frame always fits. */
#define QUEUE_OPS_MAX 512u
static_assert(QUEUE_OPS_MAX >= FROM_GUEST_SLOTS_MAX && QUEUE_OPS_MAX >= TO_GUEST_RING_SLOTS_MAX,
	      "one frame fits");

/* What a guest sends waits at most so long for a NIC to be done with what went there before: more
 * than a device's thread or interrupt waits for a processor that is busy. */
#define QUEUE_PATIENCE_NS (100 * NS_PER_MS)

/* What a pass works in; one per worker, holds nothing between passes. */
struct queue_scratch {
	struct packet_pool segments; /* QUEUE_BATCH */
	union from_guest_slot slots[RING_SLOTS];
	struct from_guest_frame from_guest[QUEUE_BATCH];
	struct packet *packets[QUEUE_BATCH];
	netif_rx_request_t requests[RING_SLOTS];
	struct to_guest_frame to_guest[QUEUE_BATCH];
	grant_op ops[QUEUE_OPS_MAX];
	/* of these, what no static grant served */
	uint16_t rest[QUEUE_OPS_MAX];
	grant_op rest_ops[QUEUE_OPS_MAX];
};

/* The worker's resources a queue draws on. All outlive every queue. */
struct queue_env {
	struct grants *grants;
	struct events *events;
	struct queue_scratch *scratch;
	uint64_t now_ns; /* set by the outer loop before each pass */
	uint64_t rx_drain_ns; /* older frames to the guest are dropped; 0: they are not */
	uint64_t rx_stall_ns; /* a guest without buffers for so long is stalled; 0: never */
};

#define WAIT_MARKS 9

/* How many bytes had entered the TAP's queue at a time. */
struct wait_mark {
	uint64_t ns, entered;
};

/* Frames that wait for the guest, from the TAP's queue on: queue_wait.c. */
struct queue_wait {
	struct gate_queue *gate; /* shared with the kernel; NULL: nobody counts */
	uint64_t read;	/* cost of all frames read from the TAP, drift corrected */
	uint64_t held;	/* of those in from_tap */
	uint64_t seen;	/* what had entered before the TAP was read last */
	uint64_t roomy_ns;  /* what came while the TAP was held may wait there until then; 0: not */
	uint64_t since_ns;  /* the guest has had too few buffers since; 0: it has not */
	uint32_t n_wanted;  /* how many the frame needed that found too few */
	bool stalled;
	bool told_stalled;  /* as control knows it: the worker's */
	uint32_t n_marks;
	struct wait_mark mark[WAIT_MARKS]; /* the oldest first */
	bool expiring;	    /* frames up to drop_to are too old, or all that wait: UINT64_MAX */
	uint64_t drop_to;
	uint64_t look_ns;   /* when to look for buffers nobody tells of; 0: not */
	uint64_t look_step_ns;
};

/* What a queue reads: the TAP only, or a place on a NIC as well. */
enum queue_place_state {
	QUEUE_PLACE_NONE,
	QUEUE_PLACE_JOINING, /* the device may not have let go yet of who was there before */
	QUEUE_PLACE_JOINED,  /* frames may wait there: not read yet */
	QUEUE_PLACE_READING, /* both are */
	QUEUE_PLACE_HOLDING, /* the TAP is not: what comes there now comes after the place's */
	QUEUE_PLACE_LAST,    /* the place is read until it is dry, then the TAP again */
};

/* The queue's part in a change of its vif's path: queue_drain.c. */
struct queue_drain {
	bool held;	      /* the TAP is left alone */
	uint32_t n_older;     /* frames that may wait in the TAP from before; 0: none does */
	enum ipc_type answer; /* due once the guest has taken what was read; 0: none */
	uint64_t until_ns;    /* it is given until then, once shown; 0: it was not all shown */
	RING_IDX end;	      /* shown: its responses are before this one */
	uint64_t look_ns;     /* when to look whether it has; 0: not */
};

struct queue {
	struct queue_env *env;
	struct vif_id vif;
	uint32_t slot;	   /* index into the shared memory; names the queue to control */
	uint32_t number;   /* queue of the vif */
	uint32_t n_queues; /* of the vif */
	uint32_t features; /* enum vif_feature: the frontend's */
	uint32_t offered;  /* and what it was offered */
	int tap_fd;
	struct steering *steering; /* the vif's, shared by all its workers; NULL: none */
	struct queue_counters *counters;
	struct shared_vif *shared_vif; /* with the vif's other queues, of whatever worker */
	struct packet_pool pool;
	struct queue *next_ready; /* the worker's, as all up to timer_place */
	bool is_ready;
	bool detaching; /* gives back its static grants before it goes */
	uint64_t wake_ns;
	uint32_t timer_place;

	struct ring tx; /* guest-transmit */
	struct ring rx; /* guest-receive */
	int tx_port, rx_port; /* ours; equal: one event channel both ways */

	struct queue_ctrl *ctrl;     /* of queue 0 if the vif has a control ring, else NULL */
	struct queue_grants *grants; /* static grants, if it has */

	const struct nic_port_ops *nic; /* of place and port */
	struct nic_port *port;		/* the worker's */
	struct nic_place *place;
	struct shared_nic *shared_nic;	/* the NIC's, with control */
	bool heard_new;			/* control is to be told of that */
	struct queue_transmit *transmit; /* what goes by the port as well; NULL: nothing does */
	enum queue_place_state place_state;
	struct packet_fifo place_early; /* read from the place before its time */
	uint16_t place_vlan;	/* of the bridge's, of frames that come by it; 0: it has none */
	bool place_unasked;	/* of LAST: control has not said so */
	bool place_forgotten;	/* of LAST: lent to, and its port goes */
	bool place_tag_off;	/* the guest is not to see its tag */
	struct queue_posted *posted;	/* the guest's buffers there; NULL: it takes none */
	uint32_t *buffers;		/* shared: what becomes of them */
	struct queue_lent *lent; /* its memory, if that is the place's or may be; NULL: never */
	bool lend_refused;	 /* ... for as long as the guest is connected */
	uint64_t place_try_ns;	/* JOINING: not before */
	uint64_t place_end_ns;	/* it is left: what still waits then is dropped; 0: nothing is */
	uint64_t place_lost;	/* by its own count, as of place_looked_ns */
	uint64_t place_looked_ns;

	struct queue_drain drain;

	struct packet_fifo to_tap;
	struct packet_fifo from_tap;
	struct queue_wait wait;
	struct gate *gate; /* the vif's, of which wait has this queue's part; NULL: none */
	uint32_t cut_at; /* bytes of payload of from_tap's head that went as segments already */
	uint32_t rx_slots_last; /* ring slots the last frame took: how many frames may fit */

	enum ipc_type place_answer; /* 0: none is due */
	bool broken;	 /* the guest broke the protocol: moves nothing any more */
	bool tx_due;	 /* requests may wait */
	uint64_t tx_wait_ns; /* requests wait until then for the vif's rate; 0: they do not */
	bool rx_due;	 /* the receive ring is to be looked at, whatever waits in from_tap */
	bool rx_starved; /* frames wait for buffers; an event was asked for */
	bool tx_masked;	 /* the port fired and is unmasked once the ring is dry */
	bool rx_masked;
	bool ctrl_due;	 /* requests may wait on the control ring */
	uint64_t ctrl_wait_ns; /* they wait until then, their ration of control's time; 0: not */
	bool grants_due; /* static grants are to be mapped or unmapped */
	struct log_limit limit;
};

/* What comes with a queue. */
struct queue_fds {
	int tap;
	int steering; /* map of the vif's steering program; -1: none */
	int gate;     /* map of the program that guards its TAP; -1: none */
};

/* Maps the rings and binds the ports; on a live ring shows what is still to be shown, and
 * wakes the guest. Takes fds.tap, on success only. On failure
 * returns -errno and says why, for the log and the error node. */
int queue_open(struct queue_env *env, const struct ipc_msg *msg, struct ipc_shared *shared,
	       struct queue_fds fds, struct queue **out, char *why, size_t why_size) must_check;

/* Gives everything back, after queue_grants_release(); frames still queued are counted as dropped.
 * Between passes all answers are published: there is nothing more to tell the guest. NULL is
 * accepted. */
void queue_close(struct queue *q);

/* The guest (or nobody: spurious) signalled this port. */
void queue_on_event(struct queue *q, int port);

/* When the queue is to be told that it is time, by the worker's clock; UINT64_MAX: never. */
uint64_t queue_deadline(const struct queue *q);

/* It is time: what was waited for is due, if it is. */
void queue_on_time(struct queue *q);

/*
 * Takes up to QUEUE_BATCH frames from the guest into to_tap and answers them.
 * Returns VIF_OK, or VIF_FATAL with *fault set: the queue is broken from now on.
 * Afterwards tx_due says whether to come again; when it is clear, an event will come, or
 * the time to go on (queue_deadline()).
 */
enum vif_verdict queue_from_guest(struct queue *q, enum from_guest_fault *fault) must_check;

/*
 * Gives frames of from_tap to the guest while it has buffers for them. VIF_FATAL:
 * impossible producer index. Afterwards rx_due says whether to come again; when it is
 * clear, a non-empty from_tap means rx_starved: an event will come.
 */
enum vif_verdict queue_to_guest(struct queue *q) must_check;

/*
 * Serves a few requests of the control ring, and does a part of what the queue's own static
 * grants need. VIF_FATAL: impossible producer index. Afterwards ctrl_due and grants_due say
 * whether to come again.
 */
enum vif_verdict queue_ctrl_pass(struct queue *q) must_check;

/* The control ring's port, or -1. */
int queue_ctrl_port(const struct queue *q);

/* Whether a new list of static grants was staged for queue *number of the vif since the
 * last call: that queue's owner is to be told, by way of control. */
bool queue_ctrl_staged(struct queue *q, uint32_t *number) must_check;
/* The owner applied it, or could not. */
void queue_ctrl_applied(struct queue *q, bool done);

/* The list staged for this queue is to be applied. */
void queue_grants_apply(struct queue *q);
/* Whether that came to an end since the last call, with *status 0 or -errno. */
bool queue_grants_applied(struct queue *q, int *status) must_check;

/* For a queue to be closed, which has no passes any more: gives back some of its static grants,
 * and what it lent to a NIC, which lets go in its own time. Returns when to call it again: a guest
 * that has much holds up nobody. UINT64_MAX: nothing is left, it may be closed. */
uint64_t queue_grants_release(struct queue *q) must_check;

/* How many frames the outer loop may read from the TAP now, 0..QUEUE_READ_MAX: as many as the
 * guest may have buffers for, and one that waits for them, or more while the only queue's path
 * changes; the rest waits in the netdev. If it is not 0, read, until so many have come or one
 * says EAGAIN. */
uint32_t queue_read_budget(struct queue *q);

/* Sends what is the NIC's of to_tap. Before the outer loop writes the rest, every time. */
void queue_transmit(struct queue *q);

/* The outer loop's report of one TAP transfer: bytes moved or -errno. Takes p. */
void queue_tap_written(struct queue *q, struct packet *p, int result);
void queue_tap_read(struct queue *q, struct packet *p, int result);

/* The TAP said that it is dry, when it was read because it was wanted. */
void queue_tap_dry(struct queue *q);

/* Whether the TAP is to be left alone, whatever waits there; whether it is to be read now
 * even if nobody said that something waits. */
bool queue_tap_held(const struct queue *q);
bool queue_tap_wanted(const struct queue *q);

/*
 * A place on a NIC, in this order; drain, hold and release are for every queue of the vif,
 * the others for the one that has the place. Control adds the filter between join and drain,
 * takes it away between hold and leave, and waits each time until what was under way has
 * arrived: so of a flow, what took the old path is the guest's before what takes the new one.
 * queue_place_answer() says which step is done. 'how' says which place and which tag.
 */
int queue_place_join(struct queue *q, const struct nic_port_ops *ops, struct nic_port *port,
		     const struct ipc_nic *how, const int fds[], int n_fds, char *why,
		     size_t why_size) must_check;
/* In a pass after that, while it is JOINING: whether it has joined. 0; -EAGAIN: not yet, it will
 * want another pass; -errno with why: it has no place. */
int queue_place_joined(struct queue *q, char *why, size_t why_size) must_check;
void queue_drain(struct queue *q);
void queue_place_read(struct queue *q);
void queue_hold(struct queue *q);
void queue_place_leave(struct queue *q);
void queue_release(struct queue *q);

/* The IPC_PLACE_* that is to be answered, once; 0: none. */
enum ipc_type queue_place_answer(struct queue *q);

/* The port goes, and all of its frames with it. A place lent to is left as soon as that can be. */
void queue_place_forget(struct queue *q);

/* Reads what waits in the place, as far as the guest has buffers. Returns whether the queue
 * needs another pass: frames may be left there without anything that will tell of them. */
bool queue_place_receive(struct queue *q);

/* Whether the place is to be watched now: what comes there can be used. */
bool queue_place_watched(const struct queue *q);

/* Looks whether the place is to be one lent to, and lets control see it. Returns whether
 * control is to be told that it changed. At the end of a pass. */
bool queue_lending_changed(struct queue *q) must_check;

/* Unmasks the ports whose work is done. Call at the end of a pass. */
void queue_settle(struct queue *q);

static inline bool queue_has_work(const struct queue *q)
{
	return !q->broken && (q->tx_due || q->rx_due || q->ctrl_due || q->grants_due);
}

#endif
