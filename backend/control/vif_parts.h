/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: what the parts of a vif share; only backend/control/vif*.c include this.
 *
 *	vif.c	      its steps and life
 *	vif_look.c    its situation
 *	vif_live.c    what may change while it is connected
 *	vif_link.c    where its netdev stands on the host
 *	vif_queues.c  its queues in the datapath
 *	vif_write.c   its states and errors in xenstore
 */
#ifndef VIF_CONTROL_VIF_PARTS_H
#define VIF_CONTROL_VIF_PARTS_H

#include "backend/control/vif.h"

#define SCOPE(v) (&(const struct log_scope){ &(v)->id, -1 })

struct state_write {
	const struct vif *v;
	enum xenbus_state state;
	const struct backend_offer *offer; /* what a frontend wants to know at InitWait; NULL:
					    * nothing but the state */
};

/* Writes the state and what belongs to it. Returns whether v is in it now: not if the
 * toolstack wrote another meanwhile, then v is due again. */
bool vif_write_state(struct control *c, struct vif *v, struct state_write *w);
bool vif_move_to(struct control *c, struct vif *v, enum xenbus_state state);

/* Writes a key into a directory that has a state, ours or the frontend's. 0; -ENOENT: there is
 * none; -errno. */
int vif_write_key(struct control *c, const char *dir, const char *key, const char *value) must_check;

/* Removes the error node, whoever's it is; only if v failed, and forgets the failure. */
void vif_remove_error_node(struct control *c, const struct vif *v);
void vif_clear_error(struct control *c, struct vif *v);

/* Gathers the situation. Returns false when xenstore does not answer. */
bool vif_look(struct control *c, struct vif *v, uint64_t now_ns, struct vif_situation *s) must_check;

/* Some are on their way to the datapath or back; some are attached: when not all could
 * be, the vif has failed and those go back. */
bool vif_queues_busy(const struct vif *v);
bool vif_queues_attached(const struct vif *v);

/* Opens the TAP's queues and gives each one to a worker. 0 or -errno: n_queues says how
 * many are on their way. */
int vif_hand_out_queues(struct control *c, struct vif *v, const struct frontend_keys *keys,
			uint64_t now_ns) must_check;

/* Tells the vif's queues, if it has any, how much the guest may send. */
void vif_apply_rate(struct control *c, struct vif *v, uint64_t now_ns);

/* The vif's queues are on their way to the datapath: sets what they share. */
void vif_begin_live(struct control *c, struct vif *v);

/* The vif's queues are back and vifd ends: keeps in our directory what its successor cannot
 * ask the guest for. */
void vif_keep_live(struct control *c, const struct vif *v);

/* What the operator told an earlier vifd of v. */
void vif_restore_wish(struct control *c, struct vif *v);

/* Reads what the guest wishes and lets the queues know. */
void vif_take_wishes(struct control *c, struct vif *v);

/* Tells the guest of its carrier and MTU what it does not know yet. */
void vif_tell_link(struct control *c, struct vif *v, uint64_t now_ns);

/* All queues are back: the netdev stays, with one queue and no carrier, so that the
 * kernel drops frames nobody would read. */
void vif_queues_gone(struct control *c, struct vif *v);

#endif
