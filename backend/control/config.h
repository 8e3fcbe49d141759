/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: vifd's settings, from vifd.conf(5) and flags. One table describes every
 * key: what it may be, how it is read, how it is shown; flags are the same keys
 * spelt with '-'. Whoever can write the file is root: values are checked to give
 * clear errors, not for safety.
 */
#ifndef VIF_CONTROL_CONFIG_H
#define VIF_CONTROL_CONFIG_H

#include <stdio.h>

#include "backend/control/config_nic.h"
#include "base.h"
#include "log.h"

#define CONFIG_DEFAULT_FILE "/etc/xen/vifd.conf"

#define CONFIG_NICS_MAX	  8u
#define CONFIG_MAX_QUEUES 16u /* per vif */

/* What takes a guest's carrier away; each counts what those before it do. */
enum carrier_rule {
	CARRIER_ALWAYS, /* nothing */
	CARRIER_BRIDGE, /* the netdev, its port or its bridge set down, or taken out of it */
	CARRIER_UPLINK, /* the bridge's uplinks without a carrier */
};

struct config {
	uint32_t n_workers;
	uint32_t max_queues; /* as set; 0: not. See config_max_queues() */
	uint32_t withheld;   /* enum vif_feature: not offered */
	uint32_t hotplug_timeout_s;
	enum carrier_rule carrier;
	int datapath_nice; /* as nice(2) */
	uint32_t rx_drain_timeout_ms; /* how long a frame may wait for its guest */
	uint32_t rx_stall_timeout_ms; /* how long a guest may take none; 0: any time */
	struct nic_config nic[CONFIG_NICS_MAX]; /* that serve the bridges they are in */
	uint32_t n_nics;
	enum log_level log_level;
	char user[64];		/* the datapath's */
	char socket_path[104];	/* the operator's; fits sun_path */
};

/* An error made for a person: where and what is allowed. */
struct config_error {
	char text[1024];
};

void config_defaults(struct config *c);

/* Queues to offer to each frontend: as set, else as many as there are workers. */
uint32_t config_max_queues(const struct config *c);

/* Sets one key. 0 or -EINVAL with the reason in err. */
int config_set(struct config *c, const char *key, const char *value, struct config_error *err)
	must_check;

/* Reads the file over c. 0; -ENOENT: no such file; -errno: cannot be read; -EINVAL:
 * err says "file:line: reason". */
int config_read(struct config *c, const char *file, struct config_error *err) must_check;

/* Writes the settings as a vifd.conf. */
void config_print(const struct config *c, FILE *out);

/* The i-th key and what it may be; NULL after the last. */
const char *config_key(size_t i, const char **allowed);

/* The uid and gid of c->user. 0, or -EINVAL with the reason in err. */
int config_lookup_user(const struct config *c, uint32_t *uid, uint32_t *gid,
		       struct config_error *err) must_check;

#endif
