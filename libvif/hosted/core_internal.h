/* SPDX-License-Identifier: MIT */
/* What the parts of the core share. */
#ifndef VIF_HOSTED_CORE_INTERNAL_H
#define VIF_HOSTED_CORE_INTERNAL_H

#include <errno.h>
#include <sys/types.h>
#include "core.h"
#include "fast.h"
#include "pool.h"

#define HX_FIRST_RESERVED_DOMID 0x7ff0u
#define HX_SELF			0x7ff0u	      /* DOMID_SELF */
#define HX_MAPTRACK		(256u * 1024) /* Xen's default: 1024 frames of 256 entries */

enum hx_gref_state {
	HX_GREF_FREE,
	HX_GREF_GRANTED,
	HX_GREF_DEFERRED, /* given up, but mapped: as Linux's deferred list */
	HX_GREF_DRAINING, /* revoked, a copy that began earlier is still running */
};

struct hx_gref {
	uint32_t frame;
	uint32_t readers, writers;
	enum hx_gref_state state;
};

struct hx_port_priv {
	struct hx_handle *owner; /* NULL: the kernel's, or closed and kept for a notify */
	uint32_t refs;		 /* owner or kernel, and each notify_port that names it */
};

struct hx_dom {
	struct hx_domain *pub; /* NULL: no domain in this slot */
	uint32_t slot;
	int mem_fd;
	uint8_t *mem;
	struct hx_pool pages, grefs, ports;
	uint32_t *page_refs; /* allocation, and each mapping of the page */
	struct hx_gref *gref;
	struct hx_port_priv *port;
	uint32_t virq_port[HX_VIRQS];
	uint32_t store_port, store_frame; /* port 0: not set up */
	uint32_t shutdown;		  /* 1 + reason */
	bool torn_down;			  /* destroyed: only what others hold is left */
	uint32_t n_handles, n_grants, n_deferred, n_draining, maps_held, maps_suffered;
};

/* Pages a handle shares or maps, released as one. */
struct hx_extent {
	struct hx_extent *next;
	uint32_t id;
	enum hx_kind kind;
	uint32_t slot; /* whose pages */
	uint32_t flags, notify_offset, notify_port;
	uint32_t n;
	uint32_t *frames;
	uint32_t refs[]; /* then the frames */
};

struct hx_handle {
	uint32_t idx;
	enum hx_kind kind;
	struct hx_dom *dom; /* NULL: the domain was destroyed under it */
	uint32_t generation;
	struct hx_extent *extents;
	uint32_t next_id;
	uint32_t n_pages, max_pages;
	bool restricted;
	uint32_t restrict_domid;
	int ring_fd; /* write end; the reader has the other */
	int ring_rd; /* until the reply to HX_HELLO has surely been sent */
};

struct hx_draining {
	uint32_t slot, gref;
};

struct hx_core {
	struct hx_machine *m;
	int machine_fd;
	uint64_t seed, generation;
	struct hx_dom doms[HX_MAX_DOMAINS];
	struct hx_handle *handles[HX_MAX_HANDLES];
	uint32_t handles_end; /* no handle at or past it */
	struct hx_draining *draining;
	size_t n_draining, max_draining;
};

/* An operation's way to answer with descriptors. */
struct hx_call {
	struct hx_core *core;
	struct hx_handle *handle;
	struct hx_msg *msg;
	int fds[HX_MAX_FDS];
	size_t n_fds;
};

typedef int hx_op_fn(struct hx_call *call);

/* core_domain.c */
struct hx_dom *hx_dom_find(struct hx_core *core, const struct hx_dom *self, uint32_t domid);
void hx_dom_maybe_free(struct hx_core *core, struct hx_dom *dom);
int hx_dom_new(struct hx_core *core, uint32_t domid);
void hx_dom_release(struct hx_dom *dom);
int64_t hx_page_get(struct hx_dom *dom);
void hx_page_put(struct hx_dom *dom, uint32_t frame);
hx_op_fn hx_op_memory, hx_op_domain_info, hx_op_domain_create, hx_op_domain_destroy,
    hx_op_domain_shutdown, hx_op_store_setup;

/* core_grant.c */
int hx_grant_at(struct hx_dom *dom, uint32_t gref, uint32_t domid, bool writable, uint32_t frame);
void hx_grants_destroy(struct hx_core *core, struct hx_dom *dom);
void hx_extents_close(struct hx_core *core, struct hx_handle *handle);
hx_op_fn hx_op_grant_map, hx_op_grant_unmap, hx_op_grant_limit, hx_op_share, hx_op_unshare,
    hx_op_foreign_map, hx_op_foreign_unmap;

/* core_evtchn.c */
int hx_ring_open(struct hx_handle *handle);
void hx_event_send(struct hx_core *core, struct hx_dom *dom, uint32_t port);
void hx_event_requeue(struct hx_core *core, uint64_t hazard);
void hx_virq_send(struct hx_core *core, uint32_t domid, uint32_t virq);
int hx_port_unbound(struct hx_core *core, struct hx_dom *dom, struct hx_handle *owner,
		    uint32_t remote);
bool hx_port_ref(struct hx_dom *dom, uint32_t port);
void hx_port_put(struct hx_core *core, struct hx_dom *dom, uint32_t port);
void hx_ports_close(struct hx_core *core, struct hx_handle *handle);
void hx_ports_destroy(struct hx_core *core, struct hx_dom *dom);
hx_op_fn hx_op_ring, hx_op_bind_unbound, hx_op_bind_remote, hx_op_bind_virq, hx_op_bind_store,
    hx_op_unbind, hx_op_restrict, hx_op_adopt;

/* core.c */
void hx_handle_release(struct hx_core *core, struct hx_handle *handle);

#endif
