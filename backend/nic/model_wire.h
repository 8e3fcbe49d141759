/* SPDX-License-Identifier: MIT */
/*
 * Rank 62: the model NIC's cable: a network device of which it takes all that is received and
 * by which it sends, through a packet socket. The socket and its ring are control's, made with
 * CAP_NET_RAW; the device maps the ring. Frames wait there while no device runs.
 */
#ifndef VIF_NIC_MODEL_WIRE_H
#define VIF_NIC_MODEL_WIRE_H

#include <sys/uio.h>

#include "backend/nic/model.h"

#define MODEL_WIRE_BATCH     64u
#define MODEL_WIRE_SLOTS     2048u /* of the socket's ring */
#define MODEL_WIRE_SLOT_SIZE 4096u
#define MODEL_WIRE_CHANGED   BIT(31) /* its frame is not as it came any more */

struct model_wire {
	const char *name;
	int fd;
	int links;
	uint8_t *ring;
	uint32_t *next; /* slot to look at, and MODEL_WIRE_CHANGED; outlives this process */
};

struct model_frame {
	uint8_t *data;
	uint32_t size;
};

/* Control: a socket on the network device 'ifindex', or -errno with why. */
int model_wire_socket(int ifindex, char *why, size_t why_size) must_check;

/* Control: what tells the device of changes of links, or -errno. */
int model_wire_links(void) must_check;

/* The device: maps the ring; goes on at slot *next, where the one before left off, wherever
 * that died. Keeps the fds, which stay the caller's, the name and next. 0 or -errno. */
int model_wire_open(struct model_wire *w, const char *name, int fd, int links,
		    uint32_t *next) must_check;
void model_wire_close(struct model_wire *w);

/* The oldest frame that waits: 1; 0: none; -EMSGSIZE: one that is no ordinary frame, longer than
 * MODEL_FRAME_MAX or without its checksum. Any but 0 is to be taken, and out is gone then. */
int model_wire_peek(struct model_wire *w, struct model_frame *out) must_check;
void model_wire_take(struct model_wire *w);

/* Whether it has a link. 'links' is read dry first. If the device was taken away, and another of
 * its name has come, that is the wire from now on. */
bool model_wire_link(struct model_wire *w);

/* Sends up to MODEL_WIRE_BATCH frames; how many. The others are lost. Never waits. */
uint32_t model_wire_send(struct model_wire *w, struct iovec frames[], uint32_t n);

#endif
