/* SPDX-License-Identifier: MIT */
/*
 * libxl's part in a vif's life, key for key: what it writes, with which owner and
 * permissions, what it waits for and how long, and the hotplug script it runs.
 * Runs as dom0 inside a lab. Every function says on stderr why it failed.
 */
#ifndef VIF_LAB_TOOLSTACK_H
#define VIF_LAB_TOOLSTACK_H

#include "store.h"

#define TOOLSTACK_BACKEND_WAIT_MS 10000 /* libxl: LIBXL_DESTROY_TIMEOUT, _INIT_TIMEOUT */
#define TOOLSTACK_SCRIPT_WAIT_MS  40000 /* libxl: LIBXL_HOTPLUG_TIMEOUT */
#define TOOLSTACK_KEYS_MAX	  16

struct toolstack_vif {
	struct vif_id id;
	const char *mac;
	const char *bridge;
	const char *script;
	/* "key=value" is written to the backend's directory in place of what would stand
	 * there; "key" leaves the key out. */
	const char *key[TOOLSTACK_KEYS_MAX];
	uint32_t n_keys;
};

/* Removes what 'hosted-xen introduce' and a guest wrote of a domain. */
int toolstack_forget_domain(struct store *s, uint16_t domid);

/* Adds the vif, waits for the backend's InitWait, runs the script. 0, -ETIMEDOUT, -EIO
 * (the script failed) or -errno; like xl, leaves the nodes in place on failure. */
int toolstack_attach(struct store *s, const struct toolstack_vif *vif) must_check;

/* Removes the vif: asks the backend to close, waits for Closed, runs the script, removes
 * the nodes. 'destroy': the guest is gone already, and its directory goes first. */
int toolstack_detach(struct store *s, struct vif_id id, bool destroy) must_check;

#endif
