/* SPDX-License-Identifier: MIT */
/*
 * Rank 4: from slots to packets: what the guest transmits. Pure plans over slots
 * that were already copied out of the ring; from_guest_pass() in the datapath acts.
 *
 *	ring --peek--> slots[] --from_guest_plan()--> frame --ops--> grant_copy()
 *	     <--respond-- from_guest_answer() <--statuses-- from_guest_finish()
 *
 * Everything in slots[] is the guest's word and checked here; see netif.h for the
 * order: first request, its extra infos, further requests.
 */
#ifndef VIF_FROM_GUEST_H
#define VIF_FROM_GUEST_H

#include "features.h"
#include "grant.h"
#include "multicast.h"
#include "offload.h"
#include "packet.h"
#include "ring.h"

/* netif.h XEN_NETIF_NR_SLOTS_MIN: what every backend takes; one more is dropped,
 * and from 20 on the guest is out of its mind (Linux: fatal_skb_slots). */
#define FROM_GUEST_SLOTS_MAX   XEN_NETIF_NR_SLOTS_MIN
#define FROM_GUEST_SLOTS_FATAL 20u

/* Each extra type at most once; a longer chain is fatal. */
#define FROM_GUEST_EXTRAS_MAX (XEN_NETIF_EXTRA_TYPE_MAX - 1)

/* Most ring slots one packet can use and still be answered with a drop. */
#define FROM_GUEST_RING_SLOTS_MAX (FROM_GUEST_SLOTS_FATAL - 1 + FROM_GUEST_EXTRAS_MAX)

/* Why a packet or a vif did not make it; a counter each. */
enum from_guest_fault {
	FROM_GUEST_FINE,
	/* drops */
	FROM_GUEST_TOO_MANY_SLOTS, /* 19 */
	FROM_GUEST_RUNT,	   /* total below an Ethernet header */
	FROM_GUEST_GRANT_FAILED,   /* a copy's status was not okay */
	FROM_GUEST_BAD_OFFLOAD,	   /* flags or GSO that do not fit the headers */
	FROM_GUEST_BAD_MULTICAST,  /* a dummy request: no group address, one too many, or data */
	FROM_GUEST_NOT_OFFERED,	   /* more than a slot without SG; GSO without that */
	/* fatal */
	FROM_GUEST_BAD_INDEX,	    /* a producer that cannot be (XSA-39) */
	FROM_GUEST_ABSURD_SLOTS,    /* >= 20 */
	FROM_GUEST_SIZE_MISMATCH,   /* fragments larger than the total */
	FROM_GUEST_CROSSES_PAGE,    /* offset + size beyond a page */
	FROM_GUEST_BAD_EXTRA,	    /* unknown type, or too many */
	FROM_GUEST_BAD_GSO,	    /* size 0 or unknown type */
	FROM_GUEST_N_FAULTS,
};

/* The short name counters and logs use, e.g. "too-many-slots". */
const char *from_guest_fault_name(enum from_guest_fault f);

/* One packet, as the guest described it. Plain values, no pointers. */
struct from_guest_frame {
	enum vif_verdict verdict;
	enum from_guest_fault fault;
	uint32_t n_ring_slots; /* requests and extras: how far to consume */
	uint32_t n_fragments;
	uint32_t size;	       /* bytes of frame, the sum of the fragments */
	struct {
		grant_ref_t gref;
		uint16_t offset, size;
	} fragment[FROM_GUEST_SLOTS_MAX];
	/* what to answer, in ring order */
	uint16_t id[FROM_GUEST_RING_SLOTS_MAX];
	uint32_t extra_mask; /* bit i: slot i is extra info and gets NETIF_RSP_NULL */
	struct netif_offload offload;
	/* netif.h "feature-multicast-control": n > 0 makes it a dummy request, which sends
	 * nothing and has no fragments; each extra type comes once, so there are two at most */
	uint32_t n_multicast;
	struct {
		bool add;
		uint8_t address[6];
	} multicast[2];
};

/*
 * Reads the first packet out of slots[0..n). Returns true with *out filled (look at
 * out->verdict), or false when its last slot is not among them yet: leave it in the
 * ring and wait. A frame with VIF_FATAL has no meaningful n_ring_slots.
 */
bool from_guest_plan(const union from_guest_slot slots[], uint32_t n, struct from_guest_frame *out)
	must_check;

/*
 * Drops what the guest may not send because the backend did not offer it ('offered': enum
 * vif_feature). A blank checksum is not among it: Linux netfront never reads the backend's
 * feature-no-csum-offload, so from_guest_finish() finishes it.
 * Precondition: verdict VIF_OK.
 */
void from_guest_check_offer(struct from_guest_frame *f, uint32_t offered);

/* Writes the copies that assemble the frame at p->frame and sets p->size. Returns
 * their number, <= FROM_GUEST_SLOTS_MAX (zero-length fragments need none).
 * Precondition: verdict VIF_OK. */
uint32_t from_guest_ops(const struct from_guest_frame *f, uint16_t domid, struct packet *p,
			grant_op ops[]);

/* After the copies: looks at their statuses and the copied headers, and fills the
 * virtio_net_hdr; a blank checksum that was not offered is written into the frame. Sets
 * f->verdict and f->fault (VIF_OK or VIF_DROP). */
void from_guest_finish(struct from_guest_frame *f, struct packet *p, const grant_op ops[],
		       uint32_t n_ops, uint32_t offered);

/* Does what a dummy request asks for, in its order. Doing it again, after a crash before the
 * answer, changes nothing. Sets f->verdict and f->fault (VIF_OK or VIF_DROP).
 * Precondition: verdict VIF_OK. */
void from_guest_amend(struct from_guest_frame *f, struct multicast_set *set);

/* Answers every slot of the frame in order: okay, error or null. */
void from_guest_answer(struct ring *r, const struct from_guest_frame *f);

#endif
