/* SPDX-License-Identifier: MIT */
/*
 * Two guests on the stepped system (tests/sim): one that keeps the rules, whose frames
 * are numbered and must all arrive, once and in order; and one that is played by hand,
 * without a driver, and does what it likes (evil.c). Time is counted in turns: one step
 * of everybody.
 */
#ifndef VIF_HOSTILE_RIG_H
#define VIF_HOSTILE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "backend/control/control.h"
#include "frontend-compat/netfront.h"
#include "tests/sim/sim_host.h"

#define EVIL_DOMID	1u
#define GOOD_DOMID	2u
#define EVIL_PAGES	64u
#define EVIL_CTRL_PAGES 2u
#define RIG_NEIGHBOURS	8u

/* The guest that keeps the rules. */
struct good {
	struct netfront nf;
	uint32_t goal;		     /* frames each way, since the beginning */
	uint32_t n_taken, n_offered; /* sent by its stack; by the bridge */
	uint32_t next_bridge, next_given;
	/* Frames of neighbours on the bridge, a flow each: always by the TAP. */
	uint32_t neighbour_goal, n_neighbour, next_neighbour[RIG_NEIGHBOURS];
	uint32_t n_neighbours; /* 0: one */
	bool may_lose;	       /* frames, of any flow: never doubled or reordered */
	uint32_t n_sleeps;     /* turns it does not come to anything */
	uint32_t bridge_queue; /* of the TAP, where its frames come from the bridge */
	bool by_queues;	       /* it comes to its queues one by one, in any order, not each turn */
	bool steered; /* what comes by the TAP is spread over its queues by flow */
};

/* The guest played by hand. Nothing here is checked: that is the point. */
struct evil {
	xengntshr_handle *gntshr;
	struct events events;
	netif_tx_sring_t *tx;
	netif_rx_sring_t *rx;
	grant_ref_t tx_ring_gref, rx_ring_gref;
	evtchn_port_t tx_port, rx_port;
	bool split_events;
	bool never_notifies; /* of buffers: no feature-rx-notify */

	uint8_t *tx_memory; /* EVIL_PAGES, read-only to the backend */
	uint8_t *rx_memory; /* EVIL_PAGES, writable */
	grant_ref_t tx_gref[EVIL_PAGES], rx_gref[EVIL_PAGES];
	RING_IDX tx_prod, rx_prod;

	/* A second queue with one event channel, whose rings are for a test to play. */
	uint32_t n_queues; /* 1 or 2 */
	netif_tx_sring_t *tx1;
	netif_rx_sring_t *rx1;
	grant_ref_t tx1_ring_gref, rx1_ring_gref;
	evtchn_port_t port1;

	/* With a control ring: that, and a page for each purpose. */
	bool with_ctrl;
	xen_netif_ctrl_sring_t *ctrl;
	grant_ref_t ctrl_ring_gref;
	evtchn_port_t ctrl_port;
	RING_IDX ctrl_prod;
	uint8_t *ctrl_memory; /* EVIL_CTRL_PAGES, writable */
	grant_ref_t ctrl_gref[EVIL_CTRL_PAGES];

	uint32_t n_bridge; /* frames of its the bridge had */
	uint8_t frame[PACKET_FRAME_MAX];
	size_t frame_size; /* of the last one */
};

struct rig {
	uint64_t now_ns, ns_per_turn;
	uint64_t n_turns;
	struct control control;
	struct sim_datapath *datapath;
	struct good good;
	struct evil evil;
	uint32_t n_log_bytes, n_log_lines;

	/* Called before each batch of copies: the slots were read, not yet answered. */
	void (*before_copy)(struct rig *r, xengnttab_grant_copy_segment_t *ops, uint32_t n);
	/* Called with each frame of the hostile guest's that the bridge has. */
	void (*evil_sent)(struct rig *r, const uint8_t *frame, size_t size);
	bool lose_events; /* nobody's reach anybody */
	bool lazy_nic;	  /* its device does things when it likes: some each turn */
	bool slow_ways;	  /* frames take time on their way from the filter: sim_nic_take_time() */
};

/* Both guests connected. */
struct rig *rig_start(bool split_events);
/* The hostile one with a control ring and one or two queues. */
struct rig *rig_start_ctrl(uint32_t n_queues);
/* Their bridge has a NIC, on which both get a place. */
struct rig *rig_start_nic(void);
/* And the good guest has n queues. */
struct rig *rig_start_nic_queues(uint32_t n);
/* The NIC has so many filters, 0: for both, and that policy; the hostile guest has a control ring
 * and two queues. */
struct rig *rig_start_policy(enum nic_policy policy, uint32_t filters);
/* ... that takes guests' buffers. The one has a control ring, the other static grants: all its
 * buffers are. Frames are no more than the MTU. */
struct rig *rig_start_posting(uint32_t n_queues, uint32_t n_good_queues);
/* The NIC takes guests' memory (nic.h: a place lent to); guests as for rig_start_posting(). */
struct rig *rig_start_lent(uint32_t n_queues, uint32_t n_good_queues);
/* Both vifs detached and removed; asserts that nobody holds anything. Frees. */
void rig_end(struct rig *r);

/* For cmocka: a rig with split events, *state; its end. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* n times rig_turn(). */
void rig_turns(struct rig *r, unsigned n);

void rig_turn(struct rig *r);
/* Turns until the condition holds, at most 'most'; asserts. Evaluates to their number. */
#define rig_turns_until(r, most, condition)                                                        \
	({                                                                                         \
		uint64_t begun_ = (r)->n_turns;                                                    \
		while (!(condition)) {                                                             \
			assert_true((r)->n_turns - begun_ < (most));                               \
			rig_turn(r);                                                               \
		}                                                                                  \
		(r)->n_turns - begun_;                                                             \
	})

/* n frames more pass each way of the good guest, none lost, and all of its neighbour's. Returns
 * the turns it took. */
uint64_t rig_good_carries(struct rig *r, uint32_t n);
/* After losses: the next frames of all flows are new ones. */
void rig_good_forgets(struct rig *r);

/* A guest's vif, the hostile one's; NULL: none. */
struct vif *rig_vif(struct rig *r, uint32_t domid);
struct vif *rig_evil_vif(struct rig *r);
/* The backend's state of it; -1: there is none. */
int rig_evil_state(void);
struct queue_counters rig_counters(struct rig *r, uint32_t domid);
struct queue_counters rig_evil_counters(struct rig *r);

/* Asserts that the vif, and only it, is given up for a reason that holds 'why', and that
 * the good guest goes on. */
void rig_expect_disabled(struct rig *r, const char *why);
/* Asserts that the vif still is Connected and that the good guest goes on. */
void rig_expect_alive(struct rig *r);

/* ---- evil.c ---- */

void evil_open(struct evil *e);
void evil_close(struct evil *e);

/* Fresh rings, ports and pages; the keys; Connected. Takes back what was shared before. */
void evil_share(struct evil *e);
/* From whatever state: closes and connects anew. */
void evil_reconnect(struct rig *r);

/* A request in the next slot; page < EVIL_PAGES. */
void evil_tx(struct evil *e, uint32_t page, uint16_t offset, uint16_t size, uint16_t flags);
void evil_tx_raw(struct evil *e, const netif_tx_request_t *req);
void evil_tx_gso(struct evil *e, uint8_t type, uint16_t size, uint8_t flags);
/* A frame in pages, 'first_size' bytes in the first slot, offloads as given. */
void evil_tx_frame(struct evil *e, const uint8_t *frame, uint32_t size, uint32_t first_size,
		   uint16_t flags, uint8_t gso_type, uint16_t gso_size);
/* Posts n writable buffers. */
void evil_rx(struct evil *e, uint32_t n);
/* Shows the requests of both rings and signals both ports. */
void evil_publish(struct evil *e);
void evil_notify(struct evil *e);
/* Takes its events, unmasking. Returns how many. */
uint32_t evil_events(struct evil *e);

/* A request in the next slot of the control ring; and one, shown and signalled. */
void evil_ctrl_put(struct evil *e, uint16_t type, uint32_t a, uint32_t b, uint32_t c);
void evil_ctrl_publish(struct evil *e);
struct xen_netif_ctrl_response evil_ctrl_response(const struct evil *e, RING_IDX i);

/* Asks, shows and waits for the answer. */
struct xen_netif_ctrl_response evil_ask(struct rig *r, uint16_t type, uint32_t a, uint32_t b,
					uint32_t c);
/* Static grants of queue 0, listed in the first of its pages for such things. */
struct xen_netif_gref *evil_list_page(struct rig *r);
void evil_set_list(struct rig *r, const grant_ref_t grefs[], uint32_t n, uint16_t flags);
struct xen_netif_ctrl_response evil_add(struct rig *r, const grant_ref_t grefs[], uint32_t n,
					uint16_t flags);
struct xen_netif_ctrl_response evil_del(struct rig *r, const grant_ref_t grefs[], uint32_t n);

/* Response i of the transmit ring. */
netif_tx_response_t evil_tx_response(const struct evil *e, RING_IDX i);
netif_rx_response_t evil_rx_response(const struct evil *e, RING_IDX i);

#endif
