/* SPDX-License-Identifier: MIT */
/*
 * How real frontends differ. Each row is one that ships or shipped; what it does
 * and where that is known from stands beside it in dialect.c.
 */
#ifndef FRONTEND_DIALECT_H
#define FRONTEND_DIALECT_H

#include "features.h"

/* More than a kernel takes by itself (xen-netfront.c MAX_QUEUES_DEFAULT is 8). */
#define NETFRONT_QUEUES_MAX 16u

struct dialect_key {
	const char *key;
	const char *value;	/* NULL: the key is not written, unless 'without' is */
	const char *if_offered; /* written only if this backend key is 1; NULL: always */
	uint32_t feature;	/* the enum vif_feature it grants to the backend, 0: none */
	const char *without;	/* its value when that feature is switched off; NULL: left out */
};

/* When a frontend asks to be told of transmit responses. */
enum tx_wakeup {
	TX_WAKE_FIRST,	 /* rsp_event = rsp_cons + 1: of the first one */
	TX_WAKE_HALFWAY, /* of the one in the middle of those outstanding */
};

/* When a frontend writes multi-queue-num-queues. */
enum queues_key {
	QUEUES_NEVER,
	QUEUES_IF_OFFERED, /* when the backend knows of several queues */
	QUEUES_IF_SEVERAL, /* when it uses several */
	QUEUES_ALWAYS,
};

/* When a frontend posts its first receive buffers. */
enum rx_start {
	RX_BEFORE_CONNECTED, /* before it says Connected */
	RX_WHEN_CONNECTED,   /* right after */
	RX_WHEN_BOTH_ARE,    /* when the backend has said so too */
};

/* Where a frontend that may use several slots puts a frame. All zeros: it fills pages. */
struct tx_layout {
	uint16_t first_offset; /* within the first page */
	uint16_t first_size;   /* bytes there; even; 0: what the page holds */
	uint16_t then_offset;  /* within the second page; the others are filled from 0 */
};

struct frontend_dialect {
	const char *name;
	const char *about;		/* one line, for --help */
	const struct dialect_key *keys; /* written on every connect; NULL-terminated */
	uint32_t offloads; /* enum vif_feature bits it uses for what it transmits, if offered */
	uint32_t n_queues_max;
	enum queues_key queues_key;
	enum tx_wakeup tx_wakeup;
	enum rx_start rx_start;
	struct tx_layout layout;
	uint16_t first_id;   /* its transmit ids are this and the 255 after it */
	uint16_t headroom;   /* it wants before a received frame, where xdp-headroom is offered */
	bool split_events;   /* takes two event channels if offered */
	bool rx_silent;	     /* sends no event when it posts receive buffers */
	bool impatient;	     /* connects without waiting for the backend's InitWait */
	bool mac_of_backend; /* looks there if its own directory has no mac */
	bool mtu_ignored;    /* never reads the mtu key */
	bool hashing;	     /* has frames hashed and mapped to queues, if it can */
	bool sends_hash;     /* and tells the hash of what it sends */
	bool static_grants;  /* has all its pages kept mapped, if it can */
	bool ctrl_early;     /* uses the control ring before it is Connected */
};

/* Terminated by a NULL name; the first is the default. */
extern const struct frontend_dialect frontend_dialects[];

/* NULL: no such dialect. */
const struct frontend_dialect *dialect_find(const char *name);

/* Which frontend to be. */
struct frontend_choice {
	const struct frontend_dialect *dialect;
	uint32_t n_queues; /* wanted; the backend and the dialect may allow fewer */
	uint32_t without;  /* enum vif_feature: of FEATURES_SWITCHABLE, neither taken nor used */
};

/* What can be switched off on top of any dialect. */
#define FEATURES_SWITCHABLE                                                                        \
	(VIF_SG | VIF_GSO_TCPV4 | VIF_GSO_TCPV6 | VIF_CSUM_V4 | VIF_CSUM_V6 | VIF_SPLIT_EVENTS |   \
	 VIF_MULTICAST)

/* The features the backend may use for what it sends us: what our keys say. */
uint32_t dialect_accepts(const struct frontend_choice *choice);

/* Value of the key, or NULL: it is not written. */
const char *dialect_key_value(const struct frontend_choice *choice, const struct dialect_key *key);

/* "sg,csum-v4" to bits of FEATURES_SWITCHABLE. -EINVAL: not such names. */
int choice_parse_without(const char *list, uint32_t *out) must_check;

#define FEATURES_TEXT_SIZE 96
/* The reverse; returns 'out'. */
const char *choice_format_without(uint32_t features, char out[FEATURES_TEXT_SIZE]);

#endif
