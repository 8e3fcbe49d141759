/* SPDX-License-Identifier: MIT */
/*
 * A library handle's connection to the hypervisor, in the daemon or in this
 * process, and what every kind of handle does with it.
 *
 * Locking: 'lock' is taken around a handle's slow calls and its grant copies,
 * and is the only lock. Notify, pending and unmask take none.
 */
#ifndef VIF_HOSTED_CLIENT_H
#define VIF_HOSTED_CLIENT_H

#include <pthread.h>
#include <sys/types.h>
#include "abi.h"
#include "core.h"

struct hx_client {
	int sock;		  /* -1 when the hypervisor is in this process */
	struct hx_core *core;	  /* that hypervisor, or NULL */
	struct hx_handle *handle; /* and our handle in it */
	struct hx_machine *m;
	uint32_t slot, idx;
	pid_t pid; /* who opened it: a forked child may only let go of it */
	pthread_mutex_t lock;
	struct hx_msg msg; /* the call being made */
};

/* A stretch of address space put together from another domain's pages. */
struct hx_region {
	struct hx_region *next;
	uint8_t *addr;
	uint32_t n; /* pages */
	bool *gone; /* which were unshared already; NULL: none */
	uint32_t n_gone;
	uint32_t n_ids;
	uint32_t ids[]; /* extents, one for each message it took */
};

/* Connects as the domain this process is. With HX_KIND_EVTCHN *ring is the event
 * ring's read end. 0 or -errno. */
int hx_client_open(struct hx_client *c, enum hx_kind kind, int *ring);

/* Closes; all the handle owned is released when this returns. */
void hx_client_close(struct hx_client *c);

/* Clears c->msg for the next operation. With the lock held. */
struct hx_msg *hx_client_msg(struct hx_client *c, enum hx_op op);

/* The same, taking the lock until the matching hx_client_end(). */
struct hx_msg *hx_client_begin(struct hx_client *c, enum hx_op op);
void hx_client_end(struct hx_client *c);

/* Makes the call in c->msg. With 'fd' not NULL the reply must bring a descriptor,
 * the caller's to close; 'send_fd' goes with the request unless -1. */
int hx_client_call(struct hx_client *c, int send_fd, int *fd);

/* Address space for n pages, nothing there yet. NULL with errno. */
struct hx_region *hx_region_new(uint32_t n, uint32_t max_ids);

/* Puts n pages of a domain's memory at page 'at'. 0 or -errno. */
int hx_region_fill(struct hx_region *r, uint32_t at, int mem_fd, const uint32_t frames[],
		   uint32_t n, int prot);

/* Removes the region that starts at addr from the list, or NULL. */
struct hx_region *hx_region_find(struct hx_region **list, const void *addr);

/* Gives the address space back and each extent, by 'op'. Takes the region. */
int hx_region_close(struct hx_client *c, struct hx_region *r, enum hx_op op);

/* The address space of all of them, before the handle is closed. Takes them. */
void hx_regions_unmap(const struct hx_client *c, struct hx_region *list);

#endif
