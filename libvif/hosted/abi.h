/* SPDX-License-Identifier: MIT */
/*
 * What the processes of one host share: the machine, a memory object with the
 * grant tables and event channels of every domain, and the messages by which a
 * library handle asks the hypervisor for anything that is not a fast path.
 *
 * Who writes what. The hypervisor alone writes everything here except:
 *   - port bits (pending, masked): by any process, with compare-and-swap;
 *   - a handle's own hazards (copying, notifying): by the process that has it.
 * No lock is ever held in shared memory, so a process may be killed at any
 * instant: the hypervisor sees its sockets close and clears its hazards.
 */
#ifndef VIF_HOSTED_ABI_H
#define VIF_HOSTED_ABI_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

#define HX_MAGIC 0x58485846u /* changes with every change of this file's layout */

#define HX_PAGE_SHIFT 12
#define HX_PAGE_SIZE  (1u << HX_PAGE_SHIFT)

#define HX_MAX_DOMAINS 256	  /* living and zombie at once */
#define HX_DOM_PAGES   (1u << 18) /* 1 GiB a domain, sparse */
#define HX_DOM_BYTES   ((size_t)HX_DOM_PAGES << HX_PAGE_SHIFT)
#define HX_GREFS       (64u * 512) /* Xen's default: 64 frames of version 1 entries */
#define HX_PORTS       4096u	   /* as the 2-level ABI of a 64-bit domain */
#define HX_MAX_HANDLES 8192u
#define HX_VIRQS       24

/* A port's binding is one word, so that it is read whole without a lock. */
enum hx_port_state { HX_FREE, HX_UNBOUND, HX_INTERDOMAIN, HX_VIRQ };

#define HX_BINDING(state, slot, port)                                                              \
	((uint64_t)(state) << 56 | (uint64_t)(slot) << 32 | (uint64_t)(port))
#define HX_BINDING_STATE(b) ((enum hx_port_state)((b) >> 56))
#define HX_BINDING_SLOT(b)  ((uint32_t)((b) >> 32) & 0xffffff) /* a domid while unbound */
#define HX_BINDING_PORT(b)  ((uint32_t)(b))		       /* a VIRQ number for a VIRQ */

#define HX_MASKED  1u /* queued to its handle, or being worked on */
#define HX_PENDING 2u /* raised again since; only ever set with HX_MASKED */

struct hx_port {
	_Atomic uint64_t binding;
	_Atomic uint64_t owner; /* handle generation << 32 | handle index + 1; 0: nobody reads it */
	_Atomic uint32_t bits;
	uint32_t unused;
};

/* A version 1 grant entry as one word: flags, domid, frame (grant_table.h). */
#define HX_GRANT(flags, domid, frame)                                                              \
	((uint64_t)(frame) << 32 | (uint64_t)(domid) << 16 | (uint64_t)(flags))
#define HX_GRANT_FLAGS(e) ((uint16_t)(e))
#define HX_GRANT_DOMID(e) ((uint16_t)((e) >> 16))
#define HX_GRANT_FRAME(e) ((uint32_t)((e) >> 32))

static_assert(sizeof(struct grant_entry_v1) == sizeof(uint64_t), "grant entries are words");

enum hx_domain_state { HX_NO_DOMAIN, HX_LIVING, HX_DYING };

struct hx_domain {
	_Alignas(4096) _Atomic uint64_t grants[HX_GREFS];
	struct hx_port ports[HX_PORTS];
	_Atomic uint64_t generation; /* differs for every domain this slot ever held */
	_Atomic uint32_t state;
	uint32_t domid;
};

/* A hazard names a grant reference while its page is being copied. */
#define HX_HAZARD(slot, gref) ((uint64_t)1 << 63 | (uint64_t)(slot) << 32 | (uint64_t)(gref))

struct hx_handle_pub {
	_Alignas(64) _Atomic uint64_t copying[2]; /* source and destination: HX_HAZARD */
	_Atomic uint64_t notifying; /* HX_HAZARD(slot, port) between raising and queueing it */
};

struct hx_machine {
	uint32_t magic;
	_Atomic uint16_t slot_of[0x8000]; /* by domid: slot + 1, 0 if there is none */
	struct hx_handle_pub handles[HX_MAX_HANDLES];
	struct hx_domain domains[HX_MAX_DOMAINS];
};

/* One SOCK_SEQPACKET connection is one handle; its first message is HX_HELLO. */
enum hx_op {
	HX_HELLO,	    /* id: enum hx_kind, domid -> id, generation; fds: machine[, ring] */
	HX_CLOSE,	    /* release all now; the connection only waits to be closed */
	HX_MEMORY,	    /* domid -> id: slot, generation; fds: memory */
	HX_RING,	    /* id: handle index, generation -> fds: event ring to write to */
	HX_GRANT_MAP,	    /* domid, flags, notify, v: refs -> id, v: frames; fds: memory */
	HX_GRANT_UNMAP,	    /* id */
	HX_GRANT_LIMIT,	    /* n pages a handle may map; 0: no limit */
	HX_SHARE,	    /* domid, flags, notify, n -> id, v: refs, frames; fds: memory */
	HX_UNSHARE,	    /* id */
	HX_BIND_UNBOUND,    /* domid -> port */
	HX_BIND_REMOTE,	    /* domid, port -> port */
	HX_BIND_VIRQ,	    /* id: virq -> port */
	HX_BIND_STORE,	    /* -> port: take over the domain's xenstore port */
	HX_UNBIND,	    /* port */
	HX_RESTRICT,	    /* domid */
	HX_ADOPT,	    /* fds: event ring -> the handle that ring belongs to is now mine */
	HX_FOREIGN_MAP,	    /* domid, v: frames -> id, v: errnos; fds: memory */
	HX_FOREIGN_UNMAP,   /* id */
	HX_DOMAIN_INFO,	    /* domid: first, n: at most -> n, v: struct hosted_stats each */
	HX_DOMAIN_CREATE,   /* domid */
	HX_DOMAIN_DESTROY,  /* domid */
	HX_DOMAIN_SHUTDOWN, /* domid, id: reason */
	HX_STORE_SETUP,	    /* domid -> id: frame, port */
	HX_N_OPS,
};

enum hx_kind { HX_KIND_GNTTAB = 1, HX_KIND_GNTSHR, HX_KIND_EVTCHN, HX_KIND_FOREIGN, HX_KIND_CTL };

#define HX_WRITABLE  1u	   /* flags */
#define HX_NO_NOTIFY (~0u) /* notify_offset, notify_port */
#define HX_CHUNK     4096u /* pages a message can name */
#define HX_MAX_FDS   2

struct hx_msg {
	uint32_t op;
	int32_t result; /* in replies: 0 or -errno */
	uint32_t domid, port, id, flags;
	uint32_t notify_offset, notify_port;
	uint64_t generation;
	uint32_t n; /* pages or entries; the words of v[] in use follow from the operation */
	uint32_t n_words;
	uint32_t v[2 * HX_CHUNK];
};

#define HX_MSG_HEAD offsetof(struct hx_msg, v)

#endif
