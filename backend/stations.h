/* SPDX-License-Identifier: MIT */
/*
 * Rank 50: whose frames come by a NIC's places, past its bridge. A bridge forgets a station
 * it has not heard of for its ageing time, and from then on floods what is sent to it: to
 * every guest. So the worker notes here who sends by the places, and control tells the
 * bridge (control/fdb.c).
 *
 * In shared memory. The worker of the NIC writes; control reads, and marks what it has
 * read. Bounded: of more stations than there is room for, those unheard of for longest make
 * room, and are new when they are heard of again.
 */
#ifndef VIF_STATIONS_H
#define VIF_STATIONS_H

#include "base.h"

#define STATIONS_SETS 512u
#define STATIONS_WAYS 4u

/* A station noted again within this time is not written again. */
#define STATIONS_GRAIN_NS (10 * NS_PER_MS)

struct station {
	uint64_t name;	   /* 0: none */
	uint64_t heard_ns; /* by the worker's clock */
};

struct stations {
	uint32_t told; /* that there are new ones, and control has not looked since */
	struct station station[STATIONS_SETS][STATIONS_WAYS];
};

/* Control: nobody was heard of. Before the worker knows of it. */
void stations_init(struct stations *s);

/* The worker: a frame of this address came, in this VLAN of the bridge's (0: it knows of
 * none). Addresses that cannot be a station's are passed over. Returns whether control is
 * to be told to look. */
bool stations_note(struct stations *s, const uint8_t mac[6], uint16_t vlan,
		   uint64_t now_ns) must_check;

/*
 * Control: calls each() for the stations that are new, and for those heard of since. With
 * UINT64_MAX, only the new ones. Of 'most' at most, going round from *from on. Returns whether
 * there may be more.
 */
bool stations_look(struct stations *s, uint64_t since_ns, uint32_t *from, uint32_t most,
		   void (*each)(void *arg, const uint8_t mac[6], uint16_t vlan),
		   void *arg) must_check;

/*
 * The other way round: who is behind the NIC, as its bridge knows. What a guest sends there
 * may leave by the NIC; for whoever is not here, the bridge knows the way. Control writes,
 * workers read. Bounded: who finds no room is not here.
 */
#define STATIONS_LINE 8u /* that are looked at for one: a cache line */

struct stations_behind {
	uint64_t name[STATIONS_SETS][STATIONS_LINE];
} __attribute__((aligned(64)));

bool stations_is_behind(const struct stations_behind *b, const uint8_t mac[6], uint16_t vlan);

/* Control: all are taken away; one is put there, or taken away. */
void stations_nobody_behind(struct stations_behind *b);
void stations_put(struct stations_behind *b, const uint8_t mac[6], uint16_t vlan);
void stations_take(struct stations_behind *b, const uint8_t mac[6], uint16_t vlan);

/* Control: the bridge does not know any more, or otherwise: when it is heard of again it is
 * new. */
void stations_forget(struct stations *s, const uint8_t mac[6], uint16_t vlan);

#endif
