/* SPDX-License-Identifier: MIT */
/*
 * Frames to slots and slots to frames, seen from the frontend: pure functions,
 * no ring, no memory but their arguments.
 */
#ifndef FRONTEND_SLOTS_H
#define FRONTEND_SLOTS_H

#include <sys/uio.h>

#include "frontend-compat/dialect.h"
#include "frontend-compat/hash.h"
#include "offload.h"
#include "ring.h"

/* What every backend takes, whatever the layout; and extra info about GSO and hash. */
#define TX_PAGES_MAX XEN_NETIF_NR_SLOTS_MIN
#define TX_SLOTS_MAX (TX_PAGES_MAX + 2)

/* What Linux takes: XEN_NETIF_NR_SLOTS_MIN, and one more after a short first slot
 * (xennet_get_responses(), RX_COPY_THRESHOLD). */
#define RX_FRAGMENTS_MAX   (XEN_NETIF_NR_SLOTS_MIN + 1)
#define RX_SHORT_FIRST_MAX 256

/* A part of a frame, in a page of its own. */
struct tx_piece {
	uint16_t offset, size;
};

/* Cuts a frame of 'size' bytes as the layout says. Returns the number of pieces.
 * Precondition: 0 < size <= XEN_NETIF_MAX_TX_SIZE. */
uint32_t tx_cut(const struct tx_layout *layout, uint32_t size, struct tx_piece out[TX_PAGES_MAX]);

/* Linux include/xen/interface/io/netif.h; this netif.h is older */
#define EXTRA_TYPE_XDP 5

/* A page of ours that the backend may read, and the id its request carries. */
struct tx_page {
	grant_ref_t gref;
	uint16_t id;
};

/* The virtio_net_hdr of a frame from the guest's stack in netif's words. -EPROTO: netif has
 * none for it (UDP segmentation, ECN segmentation). */
int tx_offload(const struct virtio_net_hdr *vnet, struct netif_offload *out) must_check;

/* What there is to say about a frame besides its bytes. */
struct tx_meta {
	struct netif_offload offload;
	struct frame_hash hash;
};

/* Writes the requests, and the extra infos after the first, of a frame whose piece i lies in
 * page[i]. Returns the number of slots. */
uint32_t tx_slots(const struct tx_piece piece[], uint32_t n, const struct tx_meta *meta,
		  const struct tx_page page[], union from_guest_slot out[TX_SLOTS_MAX]);

/*
 * Writes the checksum 'vnet' asks for into the frame and clears the flag, for a backend or
 * dialect that cannot take it blank. frame[] are its pieces, even ones but the last. -EPROTO:
 * the header's offsets leave the first piece or are odd.
 */
int tx_finish_checksum(struct virtio_net_hdr *vnet, const struct iovec frame[], int n) must_check;

/* One frame from the backend. */
struct rx_frame {
	enum vif_verdict verdict; /* VIF_DROP: this frame; VIF_FATAL: the backend is not sane */
	const char *why;	  /* of a verdict that is not VIF_OK */
	uint32_t n_slots;	  /* to consume; not for VIF_FATAL */
	uint32_t size;
	uint32_t n_fragments;
	struct {
		uint16_t page; /* index of the ring slot, and so of the page posted in it */
		uint16_t offset, size;
	} fragment[RX_FRAGMENTS_MAX];
	struct netif_offload offload;
	uint16_t headroom; /* bytes left free before it in its first page */
	bool has_hash;
	uint8_t hash_algorithm;
	struct frame_hash hash; /* as the backend says */
};

/*
 * Reads the first frame out of the responses slots[0..n), n > 0, copied from the ring at
 * free-running index 'cons'. The checks are those of xennet_get_responses() and
 * xennet_get_extras(), and netif.h's rule that a response stands in its request's slot.
 */
void rx_frame_read(const union to_guest_slot slots[], uint32_t n, RING_IDX cons,
		   struct rx_frame *out);

/*
 * The virtio_net_hdr for a frame from the backend; head[0..size) is a private copy of its
 * beginning. Sets offload->ip_version for a blank checksum. -EPROTO: the offloads do not fit
 * the headers (checksum_setup() drops it too).
 */
int rx_vnet(struct netif_offload *offload, const uint8_t *head, uint32_t size,
	    struct virtio_net_hdr *out) must_check;

/*
 * For a GSO frame whose checksum is not blank, as some backends send (checksum_setup()): makes
 * it blank in head[0..size), the copy of the frame's beginning, and in its offload. Returns
 * the offset of the two bytes that changed, or -EPROTO: the frame is not what its GSO says.
 */
int rx_blank_checksum(struct rx_frame *f, uint8_t *head, uint32_t size) must_check;

/* The features the backend used for a frame rx_vnet() took: enum vif_feature. */
uint32_t rx_uses(const struct rx_frame *f);

#endif
