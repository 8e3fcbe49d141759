/* SPDX-License-Identifier: MIT */
/*
 * Rank 5: what each queue counts. Written by the queue's worker alone, read by
 * control while it runs: each field is an aligned 64-bit word, stored and loaded
 * relaxed, so a reader sees every number whole, though not all of the same instant.
 *
 * "frames" counts what crossed the ring: a GSO frame is one. Directions are
 * from_guest and to_guest, never tx and rx.
 */
#ifndef VIF_COUNTERS_H
#define VIF_COUNTERS_H

#include "from_guest.h"
#include "to_guest.h"

#define QUEUE_COUNTERS(X)                                                                          \
	X(from_guest_frames)	  /* whole, and handed to the TAP */                               \
	X(from_guest_bytes)	  /* their Ethernet bytes */                                       \
	X(from_guest_gso_frames)                                                                   \
	X(from_guest_csum_blank)                                                                   \
	X(from_guest_tap_full)	  /* dropped: the TAP refused (EAGAIN, ENOBUFS) */                 \
	X(from_guest_tap_error)	  /* dropped: the TAP failed (down: EIO; EINVAL) */                \
	X(from_guest_multicast_requests) /* to add or remove an address: done */                   \
	X(from_guest_nic_frames)  /* of frames: sent by a NIC, past the bridge */                  \
	X(from_guest_summed_bytes) /* whose checksum was finished in software for that */          \
	X(from_guest_nic_full)	  /* times they waited as the NIC had no room */                   \
	X(from_guest_nic_foreign) /* whose source is not the vif's own: the bridge's */            \
	X(from_guest_grant_ops)                                                                    \
	X(from_guest_static_copies) /* without one, through static grants */                       \
	X(from_guest_events)	  /* times the guest woke us */                                    \
	X(from_guest_notifies)	  /* times we woke the guest */                                    \
	X(from_guest_credit_waits) /* times a queue waited for the vif's rate */                                   \
	X(to_guest_frames)                                                                         \
	X(to_guest_nic_frames)	  /* that came by its place on a NIC, injected ones included */    \
	X(to_guest_nic_lost)	  /* that found no room there */                                   \
	X(to_guest_nic_written)	  /* the NIC put them into the guest's own pages: no copy */       \
	X(to_guest_nic_injected)  /* came by the TAP, and the NIC delivered them */                \
	X(to_guest_nic_faults)	  /* it could not write to the buffer: lost */                     \
	X(to_guest_bytes)                                                                          \
	X(to_guest_gso_frames)                                                                     \
	X(to_guest_gso_cut)	  /* GSO frames given as segments, which are frames each */        \
	X(to_guest_csum_blank)                                                                     \
	X(to_guest_grant_ops)                                                                      \
	X(to_guest_static_copies)                                                                  \
	X(to_guest_copied_bytes)  /* of frames, by whatever copy, once for each */                 \
	X(to_guest_summed_bytes)  /* of frames, for checksums that were finished in software */    \
	X(to_guest_events)                                                                         \
	X(to_guest_notifies)                                                                       \
	X(to_guest_waits)	  /* times frames waited because the guest posted no buffers */    \
	X(to_guest_stalls)	  /* times the guest was found stalled */                          \
	X(ctrl_requests)	  /* of the control ring, answered */                              \
	X(ctrl_refused)		  /* of those: not with success */                                 \
	X(ctrl_events)                                                                             \
	X(ctrl_notifies)

struct queue_counters {
#define X(name) uint64_t name;
	QUEUE_COUNTERS(X)
#undef X
	uint64_t from_guest_drops[FROM_GUEST_N_FAULTS]; /* [enum from_guest_fault] */
	uint64_t to_guest_drops[TO_GUEST_N_FAULTS];	/* [enum to_guest_fault] */
};

static inline void counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint64_t counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
