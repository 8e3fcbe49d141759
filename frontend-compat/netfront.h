/* SPDX-License-Identifier: MIT */
/*
 * A network frontend on Xen's libraries: one vif, as the driver inside a guest.
 *
 *	guest's stack --take()--> granted tx pages --requests--> backend
 *	guest's stack <--give()-- granted rx pages <--responses-- backend
 *
 * The frame is read from, and written to, the pages the backend was granted: no
 * copy is made here. The pages are granted when the vif connects and stay granted
 * (and in our pool) until it closes; nothing is allocated in between.
 *
 * Nothing here waits: the owner polls netfront_bus_fd() and netfront_event_fd() and
 * calls netfront_bus_step(), netfront_take_events() and netfront_step(). Only
 * xenstore calls block, for a round trip, and only in netfront_bus_step().
 *
 * Trust boundary: the ring pages and the rx pages, which the backend writes. What it
 * says is copied once and checked as Linux netfront does; a backend that breaks the
 * protocol gets its vif disabled until it is connected anew.
 *
 * Single thread. Source for behaviour: Linux drivers/net/xen-netfront.c.
 */
#ifndef FRONTEND_NETFRONT_H
#define FRONTEND_NETFRONT_H

#include <sys/types.h>
#include <sys/uio.h>
#include <xengnttab.h>

#include "event.h"
#include "frontend-compat/bus.h"
#include "frontend-compat/ctrl.h"
#include "frontend-compat/dialect.h"
#include "frontend-compat/front_ring.h"
#include "frontend-compat/multicast.h"
#include "frontend-compat/slots.h"
#include "log.h"
#include "store.h"

/* Frames a queue moves each way in one step. */
#define NETFRONT_BATCH 64u

/* The guest's network stack, seen from its driver. iov[0] is a struct virtio_net_hdr.
 * Both return bytes moved, header included; -EAGAIN; or -errno. Neither may block. */
struct guest_stack_ops {
	/* The next frame the stack wants to send. Anything but -EAGAIN: the stack is gone. */
	ssize_t (*take)(void *stack, uint32_t queue, const struct iovec iov[], int n);
	/* A frame for the stack. An error is the loss of this frame. */
	ssize_t (*give)(void *stack, uint32_t queue, const struct iovec iov[], int n);
};

/* One event is one interrupt. Bytes are Ethernet bytes; a GSO frame is one frame. */
#define NETFRONT_COUNTERS(X)                                                                       \
	X(from_guest_frames)                                                                       \
	X(from_guest_bytes)                                                                        \
	X(from_guest_gso_frames)                                                                   \
	X(from_guest_csum_blank)                                                                   \
	X(from_guest_error_responses) /* requests the backend answered with an error */            \
	X(from_guest_drops)	      /* taken from the stack, not expressible in netif */         \
	X(from_guest_notifies)	      /* times we woke the backend */                              \
	X(from_guest_events)	      /* times it woke us about what we sent */                    \
	X(from_guest_waits)	      /* times the stack waited because the ring was full */       \
	X(to_guest_frames)                                                                         \
	X(to_guest_bytes)                                                                          \
	X(to_guest_gso_frames)                                                                     \
	X(to_guest_gso_fixups) /* those whose checksum should have been blank */                   \
	X(to_guest_csum_blank)                                                                     \
	X(to_guest_errors)	/* frames the backend described badly or gave up */                \
	X(to_guest_unasked)	/* frames that use what our keys do not grant, or lack what        \
				 * they ask for */                                                 \
	X(to_guest_headroom)	/* frames with room before them */                                 \
	X(from_guest_multicast) /* multicast addresses added and deleted */                        \
	X(to_guest_stack_drops) /* frames the stack refused */                                     \
	X(to_guest_notifies)                                                                       \
	X(to_guest_events)                                                                         \
	X(to_guest_hash_extras) /* frames that came with their hash */                             \
	X(to_guest_hashed)	/* frames whose queue our mapping decides */                       \
	X(to_guest_wrong_hash)	/* their hash is not what the backend says */                      \
	X(to_guest_wrong_queue) /* their queue is another */                                       \
	X(ctrl_requests)                                                                           \
	X(ctrl_errors)	/* refused for another reason than not being supported */                  \
	X(static_pages) /* the backend keeps mapped, now */                                        \
	X(connects)                                                                                \
	X(disabled) /* times the backend broke the protocol */

struct netfront_counters {
#define X(name) uint64_t name;
	NETFRONT_COUNTERS(X)
#undef X
};

/* owner: the queue's netfront; all of it valid from share to release only */
struct netfront_queue {
	struct front_ring tx, rx;
	grant_ref_t tx_ring_gref, rx_ring_gref;
	evtchn_port_t tx_port, rx_port; /* the same one when not split */
	bool tx_fired, rx_fired;	/* that port is masked until the work is done */

	uint8_t *tx_memory; /* RING_SLOTS pages, granted read-only */
	struct tx_page tx_page[RING_SLOTS];
	bool tx_pending[RING_SLOTS];  /* [id]: in the backend's hands */
	uint16_t tx_free[RING_SLOTS]; /* stack of ids, the warmest page on top */
	uint32_t n_tx_free;

	uint8_t *rx_memory; /* RING_SLOTS pages, granted writable: page i serves slot i */
	grant_ref_t rx_gref[RING_SLOTS];
};

struct netfront_config {
	struct vif_id vif;
	struct frontend_choice choice; /* of the next connect */
	const struct guest_stack_ops *stack_ops;
	void *stack;
};

struct netfront {
	struct netfront_config config;
	struct log_scope log;
	struct store store;
	struct events events;
	xengntshr_handle *gntshr;

	/* the device as the store describes it */
	struct bus_situation bus;
	char backend_path[XENSTORE_ABS_PATH_MAX + 1]; /* "": none watched */
	uint32_t backend_domid;
	uint8_t mac[6];		       /* valid once connected */
	uint32_t mtu;		       /* valid once connected; follows its key */
	bool carrier;		       /* the backend does not say there is none */
	struct frontend_choice choice; /* valid when shared */
	uint32_t features; /* enum vif_feature: what we use of the backend's, valid when shared */
	uint32_t accepts;  /* and what it may use for what it sends us */

	bool has_headroom;	  /* the backend can leave some; valid when shared */
	uint16_t headroom;	  /* asked for; valid when shared */
	uint16_t headroom_before; /* and what was before: frames of then may still come */
	bool filters;		  /* the backend filters multicast for us; valid when shared */
	bool wants_all;		  /* not now: too many addresses */
	struct multicast multicast;
	struct ctrl ctrl;

	bool running;	 /* the data path may move */
	int stack_error; /* -errno once take() failed for good; the owner's to act on */
	uint32_t n_queues;
	struct netfront_queue queue[NETFRONT_QUEUES_MAX];
	struct netfront_counters counters;
	union to_guest_slot scratch[RING_SLOTS];
};

/* Opens Xen's handles and watches the device; it need not exist yet. 0 or -errno, logged. */
int netfront_open(struct netfront *nf, const struct netfront_config *config) must_check;

/* Takes every grant and port back, whatever the states say. */
void netfront_close(struct netfront *nf);

int netfront_bus_fd(const struct netfront *nf);
int netfront_event_fd(const struct netfront *nf);

/* Looks at xenstore and moves until there is nothing left to do. 0, or -errno: xenstore
 * fails us; the data path is untouched. */
int netfront_bus_step(struct netfront *nf) must_check;

/* As 'rmmod' and 'modprobe' in the guest: close; close and connect anew. To be followed by
 * netfront_bus_step(). */
void netfront_leave(struct netfront *nf);
void netfront_restart(struct netfront *nf);

/* What to be from the next connect on. */
void netfront_choose(struct netfront *nf, const struct frontend_choice *choice);

/* After netfront_leave(): both sides are closed. */
bool netfront_has_left(const struct netfront *nf);

/* Both sides are Connected and the control ring has been asked all: the guest's link is up. */
bool netfront_is_connected(const struct netfront *nf);

/* Connected, and the backend has a carrier. */
bool netfront_has_link(const struct netfront *nf);

/* As a guest that loads or unloads an XDP program: asks a running backend for another headroom.
 * To be followed by netfront_bus_step(). -EOPNOTSUPP: it is not connected, or offers none. */
int netfront_set_headroom(struct netfront *nf, uint16_t headroom) must_check;

/* Whether it matters which multicast addresses the stack listens to. */
bool netfront_filters_multicast(const struct netfront *nf);

/* The stack listens to these n addresses: what is new and what is gone is told to the backend
 * by the next netfront_step(). More than MULTICAST_MAX: to all. Blocks for the store if the
 * filter has to be switched. 0 or -errno. */
int netfront_set_multicast(struct netfront *nf, const struct multicast_address address[],
			   uint32_t n) must_check;

/* Notes and masks the ports that fired, and follows the control ring. To be followed by
 * netfront_step(); first by netfront_bus_step(), if it returns true. */
bool netfront_take_events(struct netfront *nf);

/* Moves up to NETFRONT_BATCH frames each way a queue. Returns whether there is more to do at
 * once; if not, an event, a frame to take, or the store will say when. */
bool netfront_step(struct netfront *nf);
/* The same for one queue alone, as a guest with a processor for each has it. */
bool netfront_step_queue(struct netfront *nf, uint32_t queue);

/* Whether the ring has room for another frame: if not, do not wait for the stack. */
bool netfront_has_room(const struct netfront *nf, uint32_t queue);

/* For the parts of netfront only. */
int netfront_connect(struct netfront *nf) must_check;
int netfront_read_mtu(struct netfront *nf) must_check;
int netfront_share(struct netfront *nf, bool split_events, bool ctrl_ring) must_check;
void netfront_release(struct netfront *nf);

#endif
