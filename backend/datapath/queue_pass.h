/* SPDX-License-Identifier: MIT */
/*
 * Rank 7: what the queue's own files share; nobody else includes this.
 */
#ifndef VIF_DATAPATH_QUEUE_PASS_H
#define VIF_DATAPATH_QUEUE_PASS_H

#include "queue.h"

static inline struct log_scope queue_scope(const struct queue *q)
{
	return (struct log_scope){ &q->vif, (int)q->number };
}

/* The guest broke the protocol: the queue moves nothing any more. */
void queue_break(struct queue *q, const char *why);

/* ---- queue_wait.c: frames that wait for the guest ---- */

/* The queue begins to wait; gate may be NULL. */
void wait_open(struct queue *q, struct gate_queue *gate);

/* The TAP is going to be read; p was read from it; it was found empty. */
void wait_note_reads(struct queue *q);
void wait_note_read(struct queue *q, const struct packet *p);
void wait_on_empty(struct queue *q);

/* Takes the head of from_tap: packets leave it in no other way. */
struct packet *wait_pop(struct queue *q);

/* How much may wait in the TAP, by whether the guest is stalled and the TAP held. */
void wait_set_limit(struct queue *q);

/* Tells the kernel what has left. At the end of whatever took frames. */
void wait_settle(struct queue *q);

/* The next frame needs n buffers and an event was asked for; a frame was given. */
void wait_begin(struct queue *q, uint32_t n_wanted);
void wait_end(struct queue *q);

/* Drops what has waited too long, or waits for a guest that is stalled; finds out whether
 * it is. At the beginning of a pass. */
void wait_check(struct queue *q);

/* What is read is dropped: the guest's buffers do not matter. */
bool wait_is_dropping(const struct queue *q);

uint64_t wait_deadline(const struct queue *q);
void wait_on_time(struct queue *q);

/* ---- queue_drain.c, queue_place.c: a change of the path ---- */

/* A read of the TAP took a frame. */
void drain_note_read(struct queue *q);

/* That is the answer, once the guest has taken what was read. */
void drain_expect(struct queue *q, enum ipc_type answer);

/* What was read and fits has been shown: the answer may be due. At the end of a pass. */
void drain_check(struct queue *q);
uint64_t drain_deadline(const struct queue *q);

/* The place was read until it was dry, and given up. The TAP is read again, unless it stays
 * held, if it was: the vif's other queues come first. */
void drain_place_gone(struct queue *q, bool stays_held);

/* The TAP is held from now on. */
void queue_place_hold(struct queue *q);

/* ---- queue_transmit.c: what the guest sends, by the NIC ---- */

/* For a queue that joins a place: with the vif's own address, in its own VLAN. 0 or -errno. */
int transmit_open(struct queue *q, const struct shared_nic *nic,
		  const struct ipc_nic *how) must_check;
/* The place is left: whether all that went by the NIC has left the host, or was waited for long
 * enough. If not, ask again in each pass. */
bool transmit_has_ended(struct queue *q) must_check;
/* Before the port goes. What waits is the TAP's. */
void transmit_close(struct queue *q);
/* The place is read: frames may go by the NIC. */
void transmit_begin(struct queue *q);
/* Nothing is to be taken from the guest before then; 0: it may. */
uint64_t transmit_holds_until(const struct queue *q);
uint64_t transmit_deadline(const struct queue *q);

/* Publishes the ring's answers; signals 'port' and counts it in *notifies if the guest
 * asked for an event. */
void queue_publish(struct queue *q, struct ring *r, int port, uint64_t *notifies);

/* How many frames may be read for the guest now, from wherever. */
uint32_t queue_budget(struct queue *q);

/* Whether p came by the queue's place on a NIC. */
static inline bool queue_is_place_frame(const struct queue *q, const struct packet *p)
{
	return q->port && q->nic->is_of(q->port, p);
}

/* ---- queue_to_guest.c: the frames of from_tap, in order ---- */

/* Gives a frame of from_tap, or a segment of one, back to where it came from. */
void queue_put_frame(struct queue *q, struct packet *p);

/* The same, and counts it as dropped. */
void queue_drop_frame(struct queue *q, enum to_guest_fault fault, struct packet *p);

/* Drops from_tap's head if the guest asked not to get it. Returns whether it did. */
bool queue_drop_filtered(struct queue *q);

/* What to give next: from_tap's head, or the segment of it whose turn it is if somebody with
 * these features does not take it whole. Once that is done with, queue_take_frame() takes it
 * off from_tap, as far as it goes; if it is not, give a segment back. */
struct packet *queue_next_frame(struct queue *q, uint32_t features, int *next_cut);
void queue_take_frame(struct queue *q, const struct packet *p, int next_cut);

/* to_guest_prepare(), and counts what it sums. */
void queue_prepare(struct queue *q, struct to_guest_frame *f, struct packet *p, uint32_t features,
		   uint32_t headroom);

/* ---- queue_posted.c: the guest's buffers, posted to the NIC ---- */

/* With a place whose provider takes buffers, if frames of this MTU fit them. 0 or -ENOMEM. */
int posted_open(struct queue *q, uint32_t mtu) must_check;
/* Before the place is left: the device has nothing of the guest's from now on. Not while it is
 * recalled. */
void posted_close(struct queue *q);

/* At the beginning of a pass; before anything changes that the guest's buffers rest on. Of a place
 * lent to, the latter is to be called until it is recalled no more. */
void posted_check(struct queue *q);
void posted_end(struct queue *q);

/* The place gives what came before its buffers were posted. */
bool posted_is_begun(const struct queue *q);

/* Of a place lent to, that was ended: it is still the device's. */
bool posted_is_recalled(const struct queue *q);

/* While it is on, that is the pass to the guest. ring_pending()'s error or 0. */
bool posted_is_on(const struct queue *q);
int posted_pass(struct queue *q) must_check;

/* At the end of another pass: takes the next step, if it is time. Returns the same. */
int posted_go_on(struct queue *q) must_check;

uint64_t posted_deadline(const struct queue *q);

/* Whether the place is to be read by receive(); n frames were, and were all there are ('dry').
 * Returns whether a pass is due for that. */
bool posted_reads_place(const struct queue *q);
bool posted_note_read(struct queue *q, struct packet *const packets[], uint32_t n,
		      bool dry) must_check;

/* p was read from the TAP. */
void posted_note_tap(struct queue *q, const struct packet *p);

/* Whether its poll_fd says anything that is of use now. */
bool posted_watches_place(const struct queue *q);

/* Where frames of the TAP go; whether it is to be left alone. */
struct packet_fifo *posted_tap_fifo(struct queue *q);
bool posted_holds_tap(const struct queue *q);

/* A static grant is about to be unmapped; arg: the queue. */
void posted_on_unmap(void *arg, uint32_t entry);

/* What speaks against posting that does not depend on the way; IPC_BUFFERS_POSTED: nothing. */
enum ipc_buffers posted_unfit(const struct queue *q);

/* ---- queue_lent.c: a place lent to ---- */

/* With a place that is to be lent to, or may be: 'how' says. Then *out is the guest's memory,
 * else its start is NULL. 0; -EAGAIN: not as things are; -errno. */
int lent_open(struct queue *q, const struct ipc_nic *how, struct nic_memory *out) must_check;
/* After the place is left, or could not be joined. */
void lent_close(struct queue *q);

bool lent_is(const struct queue *q);
bool lent_may_begin(const struct queue *q);

/* At the beginning of a pass, of a place lent to. */
void lent_check(struct queue *q);
uint64_t lent_deadline(const struct queue *q);

/* Recalled: whether the device has let go. If not, ask again, LENT_LOOK_NS later. */
#define LENT_LOOK_NS NS_PER_MS
bool lent_has_come_back(struct queue *q) must_check;
/* Whether it has ended it, or lets go of it. */
bool lent_was_ended(const struct queue *q);

/* Whether the queue's static grants cannot change now. */
bool lent_holds_grants(struct queue *q);

/* The page of the guest's memory that 'gref' names, the device's until it is given back. False:
 * there is none, or the device has it: the guest is to have an ordinary place. */
bool lent_take_page(struct queue *q, uint32_t gref, nic_page *out) must_check;
void lent_give_page(struct queue *q, nic_page page);

/* ---- queue_place.c ---- */

/* Leaves the place, if there is one, as it is. Its frames in from_tap were given back. */
void queue_place_quit(struct queue *q);

/* It is being left, and the guest had its time: all that waits for it is dropped. When that is. */
bool queue_place_is_over(const struct queue *q);
uint64_t queue_place_deadline(const struct queue *q);

/* Counts what the place has lost by now. Returns how many frames wait on the device. */
uint32_t queue_place_look(struct queue *q);

/* A frame with this source came off the wire, and the bridge has not seen it. */
void queue_place_hear(struct queue *q, const uint8_t source[6]);

/* ---- queue_ctrl.c ---- */

/* NULL: it has none, and will have none. */
struct static_grants *queue_static_grants(const struct queue *q);

/*
 * grant_copy() of the scratch's first n operations, which are this queue's own, through
 * its static grants where it can. Returns how many were left for Xen.
 */
uint32_t queue_copy(struct queue *q, uint32_t n);

/* The same for copies to the guest, and counts them. */
void queue_copy_to_guest(struct queue *q, uint32_t n);

/* If the vif has a control ring: makes room for the queue's grants, and for queue 0 maps
 * the ring and binds its port. 0, or -errno with *step set. */
int queue_ctrl_open(struct queue *q, const struct ipc_queue *cfg, const char **step) must_check;
/* Gives back what queue_ctrl_open() took, static grants first, however far it got. */
void queue_ctrl_close(struct queue *q);

/* After a resume: shows the earlier process's answers and tells of them. */
void queue_ctrl_carry_on(struct queue *q);
/* Its port fired. */
void queue_ctrl_on_event(struct queue *q);
/* Unmasks the port if its ring is dry. */
void queue_ctrl_settle(struct queue *q);

#endif
