/* SPDX-License-Identifier: MIT */
/*
 * The hosted Xen: Xen's library ABI on a machine without Xen.
 *
 * Programs do not include this header: they include Xen's own and find the
 * stand-in libraries through LD_LIBRARY_PATH. It is for the few callers that
 * play the toolstack or the machine itself: hosted-xen, the lab, and tests that
 * step a whole system inside one process.
 *
 * Trust boundary: there is none between the processes of one host. The checks
 * are the real ones and are really made, but by the library inside each
 * process: they find mistakes in programs, they do not contain attackers.
 */
#ifndef VIF_HOSTED_H
#define VIF_HOSTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The directory of the host a process belongs to, and the domain it is. */
#define HOSTED_ENV_DIR	  "XEN_HOSTED_DIR"
#define HOSTED_ENV_DOMID  "XEN_HOSTED_DOMID"
#define HOSTED_ENV_FAULTS "XEN_HOSTED_FAULTS"

#define HOSTED_SOCKET "hypervisor.sock"

/* What a domain holds; everything is 0 for a domain that leaks nothing, except
 * the pages, port and grant of a xenstore ring. */
struct hosted_stats {
	uint32_t domid;
	uint32_t dying;		  /* destroyed, but others still map its pages */
	uint32_t shutdown;	  /* 1 + SHUTDOWN_* reason, 0 while it runs */
	uint32_t handles;	  /* open library handles */
	uint32_t ports;		  /* event channel ports that are not free */
	uint32_t grants;	  /* grant references in use, deferred ones included */
	uint32_t grants_deferred; /* given up by the domain, still held by a peer */
	uint32_t maps_held;	  /* pages of others this domain maps */
	uint32_t maps_suffered;	  /* mappings of its pages by others */
	uint32_t pages;		  /* pages of memory allocated */
};

/*
 * The machine in this process: no daemon, no threads, no sockets, the only
 * descriptors are memory and the event pipes. Domain 0 exists at once. Handles
 * opened afterwards belong to it; the caller keeps to one thread. 'seed' varies
 * the numbers of ports and grant references handed out; the same seed gives the
 * same numbers, 0 gives the lowest ones. 0 or -errno (-EBUSY: already started).
 */
int hosted_inproc_start(uint64_t seed);

/* Ends it. Every handle must have been closed. */
void hosted_inproc_stop(void);

/* Handles opened from now on in this process belong to 'domid', whatever the
 * environment says. */
void hosted_set_domid(uint32_t domid);

/* The toolstack's calls, on the machine in this process or else on the host of
 * XEN_HOSTED_DIR. 0 or -errno: -EEXIST, -ESRCH, -ENOSPC (no free slot), -ENOENT
 * (no host), -EINVAL (domain 0 or a reserved domid). */
int hosted_domain_create(uint32_t domid);
int hosted_domain_destroy(uint32_t domid);

/* 'reason' is a SHUTDOWN_* of xen/sched.h. */
int hosted_domain_shutdown(uint32_t domid, unsigned int reason);

/* Gives the domain its xenstore ring page (grant reference 1, for domain 0) and
 * event channel, once; later calls return the same pair. */
int hosted_store_setup(uint32_t domid, uint32_t *frame, uint32_t *port);

/* Fills at most 'max' entries in order of slot. Returns how many, or -errno. */
int hosted_stats(struct hosted_stats *stats, size_t max);

/*
 * Plays the kernel of the domain this process is: takes over its xenstore port
 * and maps its ring page, one page, the caller's to munmap. A port can have one
 * such user at a time (EBUSY). NULL with errno. Not in the stand-in libraries:
 * for programs that link the objects (HOSTED_OBJS).
 */
struct xenevtchn_handle;
void *hosted_bind_store(struct xenevtchn_handle *xce, uint32_t *port);

/* A descriptor of the domain's memory, the caller's to close, or -errno. */
int hosted_memory_fd(uint32_t domid);

/* As hosted_stats, from domid 'first' on. */
int hosted_domain_list(uint32_t first, struct hosted_stats *stats, size_t max);

/*
 * What goes wrong in this process, replacing any earlier plan: a list such as
 * "map:3,copy:10,event-drop:2,event-dup:5,event-delay:7". Each names a kind of
 * call and which one of them, counted from 1, suffers: "map" fails with EINVAL,
 * "copy" has its operation end in GNTST_general_error, an event is lost, raised
 * twice, or held back until the next notification. "*N" (copy:*10) means every
 * Nth. NULL or "" is no plan. The environment's plan is read at the first call.
 * 0 or -EINVAL.
 */
int hosted_fault_plan(const char *plan);

#endif
