/* SPDX-License-Identifier: MIT */
/*
 * How real frontends differ. Each row is one that ships or shipped; what it does
 * and where that is known from stands beside it in dialect.c.
 */
#ifndef FRONTEND_DIALECT_H
#define FRONTEND_DIALECT_H

#include "features.h"

struct dialect_key {
	const char *key;
	const char *value;
	const char *if_offered; /* written only if this backend key is 1; NULL: always */
};

/* When a frontend asks to be told of transmit responses. */
enum tx_wakeup {
	TX_WAKE_FIRST,	 /* rsp_event = rsp_cons + 1: of the first one */
	TX_WAKE_HALFWAY, /* of the one in the middle of those outstanding */
};

struct frontend_dialect {
	const char *name;
	const char *about;     /* one line, for --help */
	uint32_t offloads;     /* enum vif_feature bits it uses for what it transmits, if offered */
	uint32_t n_queues_max; /* 1: never writes multi-queue-num-queues */
	bool split_events;     /* takes two event channels if offered */
	enum tx_wakeup tx_wakeup;
	const struct dialect_key *keys; /* written on every connect; NULL-terminated */
};

/* Terminated by a NULL name; the first is the default. */
extern const struct frontend_dialect frontend_dialects[];

/* NULL: no such dialect. */
const struct frontend_dialect *dialect_find(const char *name);

#endif
