/* SPDX-License-Identifier: MIT */
/*
 * Rank 64: what the parts of AF_XDP in the datapath share.
 *
 * Where an XDP program picks the place one UMEM, registered by control, is for all: the port has
 * a socket on each queue of the device that holds the queue's fill ring, a place has one on each
 * that shares it. A place holds at most RX_FRAMES of each queue's frames, so a guest that takes
 * none keeps no more than that from the others; nor by what is taken to be kept, as that leaves so
 * many to every place there is. What a place that is not read may yet hold is in the fill ring
 * beside what it has for all (afxdp_place.c refill()): nobody may come to fill it before a frame
 * for another place needs a chunk.
 *
 * Where the device picks the queue a place has one socket, on the queue that is its own, with a
 * UMEM of its own: what one guest leaves lying there is no other's. Its memory outlives the place
 * while frames of it are in users' hands. Such a place can be lent to (afxdp_lent.c).
 *
 * Owner: the port's worker.
 */
#ifndef VIF_NIC_AFXDP_PORT_H
#define VIF_NIC_AFXDP_PORT_H

#include "backend/nic/afxdp_transmit.h"
#include "backend/nic/afxdp_umem.h"

/* The port's, then those of places: of each one as it is, and one as it was. */
#define AFXDP_UMEMS (1 + 2 * NIC_PLACES_MAX)

struct nic_port {
	int ifindex;
	struct afxdp_terms terms;
	int n_queues; /* that the port has itself; counted from terms.first_queue on */
	struct afxdp_fill fill[NIC_QUEUES_MAX];

	uint32_t n_places; /* joined and not left */
	bool closed;	   /* it ends with the last of them */

	struct packet *all; /* for every UMEM, max_chunks each */
	uint32_t max_chunks;
	struct afxdp_umem umem[AFXDP_UMEMS];
	struct nic_place *sharing; /* places that have their frames in the first one */
	uint32_t n_sharing, n_unread; /* of those */

	struct afxdp_transmit transmit;
};

struct afxdp_lent;

struct nic_place {
	struct nic_port *port;
	struct afxdp_umem *umem; /* the port's, or this place's */
	int n_queues;
	int poll_fd; /* an epoll of the sockets, which whoever polls it does not keep open */
	struct afxdp_rx rx[NIC_QUEUES_MAX];
	struct afxdp_fill own_fill; /* with a UMEM of its own; else the port's are filled */
	uint32_t queue; /* of the port's, where it is one; else 0 */
	bool bound;	  /* to the device, all of its sockets */
	uint32_t n_tries; /* to do so, in vain */
	int next; /* queue to look at first: all have their turn */
	struct nic_place *next_sharing;
	bool unread;		 /* sharing: nobody takes what comes */
	struct afxdp_lent *lent; /* NULL: it is not lent to */
	bool zero_copy;		 /* lent to: the driver itself writes to its memory */
};

/* 'why' with errno's meaning. Returns -errno. */
int afxdp_fail(char *why, size_t size, const char *step);

/* In place of a socket's UMEM: its own, by zero-copy if the driver can, or not so. */
enum {
	AFXDP_BIND_BEST = -1,
	AFXDP_BIND_COPY = -2,
};

/* Of a queue of the device's, counted from the port's first. */
struct sockaddr_xdp afxdp_address(const struct nic_port *port, uint32_t queue);
#define AFXDP_BIND_FLAGS_COPY (XDP_USE_NEED_WAKEUP | XDP_COPY)

/*
 * Binds the socket to a queue of the device, counted from the port's first, sharing the UMEM of
 * 'umem_fd', or AFXDP_BIND_*. 0, or -1 with errno, EBUSY for a while after another was there: that
 * goes when nobody can see it any more (RCU), and then the queue is let go of by deferred work
 * (net/xdp/xsk_buff_pool.c xp_release_deferred()), some tens of milliseconds.
 */
int afxdp_bind(const struct nic_port *port, int fd, uint32_t queue, int umem_fd) must_check;
#define AFXDP_BIND_STEP "binding to the device's queue (does another program use it?)"

/* One of its places is left: the port may go with it. */
void afxdp_place_gone(struct nic_port *port);

/* A UMEM nobody uses, or NULL; its packets. */
struct afxdp_umem *afxdp_free_umem(struct nic_port *port);
struct packet *afxdp_packets_of(struct nic_port *port, const struct afxdp_umem *u);

/* No socket has it any more: its memory goes, unless users have some of it. */
void afxdp_give_up_umem(struct afxdp_umem *u);

/* Up to n frames of one of the place's queues, of as many descriptors. */
uint32_t afxdp_receive_queue(struct nic_place *place, int queue, struct packet *out[], uint32_t n);

/* ---- places lent to ---- */

/* Makes the UMEM of the socket that is to be the place's. 0, or -1 with errno; to be closed in
 * either case. Then the fds' other socket is its as well, once all of them are taken. */
int afxdp_lent_open(struct nic_place *place, const int fds[AFXDP_PLACE_FDS],
		    const struct nic_memory *lent) must_check;
/* The place is bound: hands it chunks. */
void afxdp_lent_start(struct nic_place *place);
/* What nic_port_ops.recall begins, if that was not called; waits for its end. 'lent' is NULL then. */
void afxdp_lent_close(struct nic_place *place);

uint32_t afxdp_lent_receive(struct nic_place *place, struct packet *out[], uint32_t n);
/* Frames that reap() would give if buffers were posted for them. */
uint32_t afxdp_lent_waiting(const struct nic_place *place);
/* What was lost by the sockets that the place had. */
uint64_t afxdp_lent_lost(const struct nic_place *place);

/* As in nic_port_ops. */
void afxdp_begin(struct nic_place *place);
uint32_t afxdp_post(struct nic_place *place, const struct nic_buffer buffers[], uint32_t n);
uint32_t afxdp_reap(struct nic_place *place, struct nic_completion out[], uint32_t n);
void afxdp_recall(struct nic_place *place);
enum nic_hold afxdp_hold(struct nic_place *place);

/* ---- as in nic_port_ops ---- */

int afxdp_join(struct nic_port *port, uint32_t number, const int fds[], int n_fds,
	       const struct nic_memory *lent, struct nic_place **out, char *why, size_t why_size)
	must_check;
int afxdp_joined(struct nic_place *place, char *why, size_t why_size) must_check;
void afxdp_leave(struct nic_place *place);
int afxdp_poll_fd(const struct nic_place *place);
uint32_t afxdp_receive(struct nic_place *place, struct packet *out[], uint32_t n);
void afxdp_not_read(struct nic_place *place);
bool afxdp_may_keep(const struct nic_place *place);
void afxdp_stats(const struct nic_place *place, struct nic_place_stats *out);

#endif
