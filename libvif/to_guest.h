/* SPDX-License-Identifier: MIT */
/*
 * Rank 4: from packets to slots: what the guest receives. Pure plans; the datapath
 * acts. Responses go in request slot order, each in its request's slot (Linux
 * netfront relies on it); extra infos follow the first.
 */
#ifndef VIF_TO_GUEST_H
#define VIF_TO_GUEST_H

#include "features.h"
#include "grant.h"
#include "offload.h"
#include "packet.h"
#include "ring.h"
#include "rss.h"

/* Not in Debian 12's netif.h, but in Linux' (include/xen/interface/io/netif.h, "xdp-headroom"):
 * u.xdp.headroom are the first two bytes of u. */
#define TO_GUEST_EXTRA_TYPE_XDP 5

/* Most bytes left free at the beginning of each slot: so many that any frame still takes no
 * more data slots than every frontend has to take. */
#define TO_GUEST_HEADROOM_MAX (XEN_PAGE - DIV_ROUND_UP(PACKET_FRAME_MAX, XEN_NETIF_NR_SLOTS_MIN))

#define TO_GUEST_EXTRAS_MAX	3u /* GSO, hash, XDP */
#define TO_GUEST_RING_SLOTS_MAX (XEN_NETIF_NR_SLOTS_MIN + TO_GUEST_EXTRAS_MAX)

enum to_guest_fault {
	TO_GUEST_FINE,
	TO_GUEST_TOO_BIG,	 /* more than a slot, and the guest has no SG */
	TO_GUEST_NOT_EXPRESSIBLE, /* an offload netif has no word for */
	TO_GUEST_GRANT_FAILED,
	TO_GUEST_FILTERED,	 /* multicast the guest asked not to get */
	TO_GUEST_TAP_ERROR,	 /* the TAP lost it while we read it */
	TO_GUEST_BAD_INDEX,	 /* fatal: a producer that cannot be (XSA-39) */
	TO_GUEST_DETACHED,	 /* still queued when the vif went away */
	TO_GUEST_QUEUE_FULL,	 /* too much waited already: counted by the gate (gate.h) */
	TO_GUEST_EXPIRED,	 /* waited too long for buffers */
	TO_GUEST_STALLED,	 /* waited when the guest was found stalled, or came then */
	TO_GUEST_N_FAULTS,
};

const char *to_guest_fault_name(enum to_guest_fault f);

/* One frame on its way into a guest. Plain values, no pointers. */
struct to_guest_frame {
	enum vif_verdict verdict; /* VIF_OK or VIF_DROP */
	enum to_guest_fault fault;
	uint32_t n_ring_slots;
	uint32_t n_data_slots;
	uint32_t headroom; /* bytes left free at the beginning of each data slot */
	struct netif_offload offload;
	uint32_t n_extras; /* they follow the first data slot */
	netif_extra_info_t extra[TO_GUEST_EXTRAS_MAX];
	uint16_t id[TO_GUEST_RING_SLOTS_MAX];	/* of the requests taken, in order */
	uint16_t size[TO_GUEST_RING_SLOTS_MAX]; /* bytes in each data slot, extra excluded */
};

/*
 * Whether p is TCP GSO that the guest does not take and that must be cut (offload_cut())
 * first: the guest has no such feature, or the frame is tagged. The kernel segments by the
 * TAP's offloads, but it gives us what was queued before those changed, and a TAP promises
 * the same for tagged frames as for others.
 */
bool to_guest_must_cut(const struct packet *p, uint32_t features) must_check;

/*
 * How the frame will travel: fills offload, n_ring_slots and the verdict; may
 * finish a checksum in p that the guest cannot take blank. 'features' are the
 * frontend's, features_usable() ones; of the 'headroom' it asked for it gets
 * TO_GUEST_HEADROOM_MAX at most, and is told. Needs no ring. What must be cut is dropped.
 */
void to_guest_prepare(struct to_guest_frame *f, struct packet *p, uint32_t features,
		      uint32_t headroom);

/* Has the frame's hash go along, if it has one by what the guest set (netif.h
 * XEN_NETIF_EXTRA_TYPE_HASH). Precondition: verdict VIF_OK. */
void to_guest_hash(struct to_guest_frame *f, const struct packet *p, const struct steering *s);

/*
 * Assigns requests to the frame and writes the copies. req[] are the next
 * f->n_ring_slots requests. Returns the number of ops.
 * Precondition: verdict VIF_OK.
 */
uint32_t to_guest_ops(struct to_guest_frame *f, const struct packet *p, uint16_t domid,
		      const netif_rx_request_t req[], grant_op ops[]);

/* After the copies: answers f's slots in order, with an error status for each slot whose
 * copy failed; sets the verdict to VIF_DROP if any did. */
void to_guest_answer(struct ring *r, struct to_guest_frame *f, const grant_op ops[], uint32_t n_ops);

#endif
