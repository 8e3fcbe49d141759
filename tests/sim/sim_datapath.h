/* SPDX-License-Identifier: MIT */
/*
 * The datapath without its process: one real worker, whose TAPs are queues in
 * memory and whose outer loop is the caller, one step at a time.
 */
#ifndef VIF_SIM_DATAPATH_H
#define VIF_SIM_DATAPATH_H

#include "gate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_QUEUES_MAX 4
#define SIM_FRAMES_MAX GATE_FRAMES /* what netdev.c asks for */
#define SIM_FRAME_MAX  9000u /* of the frames that carry a number; TAPs take any */

struct sim_datapath;
struct virtio_net_hdr;

/* Frames the worker writes to vif<domid>.* go to 'sent'; the virtio_net_hdr stands right
 * before the frame. */
struct sim_datapath *sim_datapath_new(void (*sent)(void *arg, uint32_t domid, const uint8_t *frame,
						   size_t size),
				      void *arg);
void sim_datapath_free(struct sim_datapath *d);

/* Control's view: a datapath process starts with this socket (kept by the caller). */
int sim_datapath_start(struct sim_datapath *d, int sock);
/* True once after a worker that ran has stopped. */
bool sim_datapath_ended(struct sim_datapath *d);
/* kill -9 between two steps: frames in flight are lost, Xen takes the handles back. */
void sim_datapath_kill(struct sim_datapath *d);

/* One step of each kind; all return at once. */
void sim_datapath_control(struct sim_datapath *d, uint64_t now_ns);
void sim_datapath_events(struct sim_datapath *d, uint64_t now_ns);
void sim_datapath_pass(struct sim_datapath *d, uint64_t now_ns);

/* The next read of the vif's TAP ends like this, whatever frame it took. */
void sim_datapath_spoil_read(struct sim_datapath *d, uint32_t domid, int result);

/* The bridge sends a frame to the vif's queue 0, with what is left to do to it. False: too
 * much waits there, its gate refused it. */
bool sim_datapath_give(struct sim_datapath *d, uint32_t domid, const uint8_t *frame, size_t size);
bool sim_datapath_give_offloaded(struct sim_datapath *d, uint32_t domid,
				 const struct virtio_net_hdr *vnet, const uint8_t *frame,
				 size_t size);

/* To a queue of the vif's, as the bridge's frames of a flow may all be. */
bool sim_datapath_give_queue(struct sim_datapath *d, uint32_t domid, uint32_t queue,
			     const uint8_t *frame, size_t size);

/* To the queue the vif's steering says: which, or -1: none is there, or too much waits. */
int sim_datapath_steer(struct sim_datapath *d, uint32_t domid, const uint8_t *frame, size_t size);

/* What guards the TAP of vif<domid>.*, as a map would; NULL: it has no netdev. The host's. */
struct gate *sim_gate(uint32_t domid);

/* Places of the NIC may have become readable: who waits for that is woken, as by poll. */
void sim_datapath_poll(struct sim_datapath *d);

/* Frames that wait in queue 0 of the vif's TAP. */
unsigned sim_datapath_waiting(const struct sim_datapath *d, uint32_t domid);

/* When its worker wants to be woken at the latest; UINT64_MAX: only if something happens. */
uint64_t sim_datapath_deadline(const struct sim_datapath *d);

#endif
