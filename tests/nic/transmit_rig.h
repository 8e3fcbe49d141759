/* SPDX-License-Identifier: MIT */
/*
 * The stepped system with a guest that sends by the NIC and by the bridge, and what of it reaches
 * the wire in which order. The guest is the hostile one, played by hand.
 */
#ifndef TESTS_NIC_TRANSMIT_RIG_H
#define TESTS_NIC_TRANSMIT_RIG_H

#include "tests/hostile/rig.h"
#include "tests/unit/frames.h"

/* Behind the NIC; the guest's own address; its neighbour's. */
extern const uint8_t station[6], own[6], other[6];

/* What has reached the wire, by both ways. */
struct wire {
	uint32_t n_by_nic, n_by_bridge;
	uint32_t n_foreign_by_nic;
	uint32_t last, n_late; /* number of the last frame; of those that came after a later one */
	/* By the NIC: the last one; and what is told of each. */
	uint8_t frame[NIC_TRANSMIT_MAX + PACKET_TAG_SIZE];
	size_t size;
	void (*each)(const uint8_t *frame, size_t size);
};
extern struct wire wire;

extern uint64_t bridge_delay_ns; /* most that a frame takes on its way by the bridge */

/* A test's setup, with the vif in its place and the station known; and its end. */
int transmit_start(void **state);
int transmit_end(void **state);

struct placement *placed(struct rig *r);

/* What has left by the bridge by now reaches the wire; rig_turn() with that. */
void bridge_runs(struct rig *r);
void turn(struct rig *r);

/* ---- frames ---- */

enum kind { PLAIN, BLANK, GSO };

/* That put() puts into frames, outermost first: ethertype above, word below. */
struct tags {
	uint32_t n, tag[2];
};
extern struct tags tags;
extern uint32_t payload; /* of the others than GSO's */

/* The last one put, with its checksum in it. */
extern struct frame built;

/* In the guest's memory: two in each page. */
uint8_t *place_of(const struct evil *e, uint32_t number);

/* Of one flow, numbered. */
void put(struct rig *r, enum kind kind, const uint8_t *to, const uint8_t *from, uint32_t number);
/* The backend is to see those that were put. */
void show(struct rig *r);
void send_one(struct rig *r, enum kind kind, const uint8_t *to, const uint8_t *from,
	      uint32_t number);

#endif
