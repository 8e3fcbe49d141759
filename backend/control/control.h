/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: the control process as one object, stepped.
 *
 * control_step() does everything that is due and returns; control/loop.c is the only
 * place that waits. What it needs from outside (xenstore through libxenstore's ABI,
 * netdevs, the datapath's process, the operator's socket, the time) is given to
 * control_init(), so that a test drives all of it in one process with its own clock.
 *
 * Owner: control's only thread.
 */
#ifndef VIF_CONTROL_H
#define VIF_CONTROL_H

#include "backend/control/api.h"
#include "backend/control/config.h"
#include "backend/control/netdev.h"
#include "backend/control/supervise.h"
#include "backend/control/vif.h"
#include "backend/control/placement.h"
#include "backend/control/workers.h"
#include "store.h"

#define CONTROL_VIFS_MAX IPC_QUEUES_MAX

struct control_env {
	const struct netdev_ops *netdev_ops;
	void *netdev_ctx;
	const struct nic_device_ops *nic_ops[NIC_PROVIDERS];
	const struct process_ops *process_ops;
	void *process_ctx;
	bool (*netback_loaded)(void); /* whether the kernel's netback is; NULL: it cannot be */
	int api_listener;	   /* listening, nonblocking; -1: no operator's socket */
	struct ipc_hello hello; /* what to tell the datapath; n_workers is filled in */
};

struct control {
	struct config config;
	struct control_env env;
	struct store store;
	bool store_lost;  /* xenstored is gone: what is connected stays so */
	bool scan_due;	  /* look through backend/vif for vifs not known yet */
	bool scanned;	  /* it was done once */
	struct vif **vif; /* [n_vifs], by domid, devid */
	uint32_t n_vifs;
	uint32_t vifs_size;
	bool links_due;	   /* links changed since the vifs looked at theirs */
	uint64_t links_not_before_ns;
	uint32_t next_vif; /* where step_vifs() goes on: all have their turn */
	struct workers workers;
	struct vif *slot_owner[IPC_QUEUES_MAX];
	struct nics nics;
	struct supervisor supervisor;
	struct api api;
	bool steering_refused; /* and that was logged */
	bool netback_refused;  /* likewise */
	bool gating_refused;   /* the same */
	bool stopping;
	uint64_t stop_deadline_ns;
};

/* Connects to xenstore and watches for vifs. 'c' is zeroed memory, large: not for a stack.
 * 0; -ENOENT, -ECONNREFUSED, ...: xenstore; -errno. */
int control_init(struct control *c, const struct config *config, const struct control_env *env)
	must_check;
void control_fini(struct control *c);

/* Does everything due at now_ns, in bounded time. Returns when it wants to be called next
 * even if nothing happens (UINT64_MAX: never). */
uint64_t control_step(struct control *c, uint64_t now_ns);

/* Asks for a clean stop: every queue is taken back, the datapath ended; xenstore and the
 * netdevs stay as they are, for the next vifd to carry on. */
void control_stop(struct control *c, uint64_t now_ns);

/* Whether the datapath is up and the vifs found at start were looked at. */
bool control_is_up(const struct control *c);

/* Whether control has ended: as asked, or because the datapath cannot be kept alive. */
bool control_is_over(const struct control *c);

/* For poll(2) failing on store_fd(): xenstored went away. */
void control_store_lost(struct control *c);

struct vif *control_find(struct control *c, struct vif_id id);

#endif
