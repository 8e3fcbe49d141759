/* SPDX-License-Identifier: MIT */
/*
 * The steps on shared memory that processes and hypervisor make alike: raising
 * and unmasking a port, and finding a domain.
 *
 * Delivery is that of Linux's /dev/xen/evtchn on top of Xen: an event masks its
 * port and is queued to the handle once; while masked it is only remembered;
 * unmasking queues it again if it was.
 */
#ifndef VIF_HOSTED_FAST_H
#define VIF_HOSTED_FAST_H

#include "abi.h"

/* True if the caller must now queue the port to its handle. */
static inline bool hx_port_raise(struct hx_port *port)
{
	uint32_t old = atomic_load(&port->bits);

	while (!atomic_compare_exchange_weak(&port->bits, &old,
					     old & HX_MASKED ? HX_MASKED | HX_PENDING : HX_MASKED))
		;
	return !(old & HX_MASKED);
}

/* True if the caller must now queue the port again. */
static inline bool hx_port_unmask(struct hx_port *port)
{
	uint32_t old = atomic_load(&port->bits);

	while (old &&
	       !atomic_compare_exchange_weak(&port->bits, &old, old & HX_PENDING ? HX_MASKED : 0))
		;
	return old & HX_PENDING;
}

/* The far end of an interdomain port, or NULL. *slot and *number say where. */
static inline struct hx_port *hx_port_peer(struct hx_machine *m, uint32_t my_slot, uint32_t my_port,
					   uint32_t *slot, uint32_t *number)
{
	uint64_t binding = atomic_load(&m->domains[my_slot].ports[my_port].binding);
	struct hx_port *peer;

	if (HX_BINDING_STATE(binding) != HX_INTERDOMAIN)
		return NULL;
	*slot = HX_BINDING_SLOT(binding);
	*number = HX_BINDING_PORT(binding);
	peer = &m->domains[*slot].ports[*number];
	/* Closed and taken by somebody else since: the event is no longer theirs. */
	if (atomic_load(&peer->binding) != HX_BINDING(HX_INTERDOMAIN, my_slot, my_port))
		return NULL;
	return peer;
}

/* The slot of a domain, living or dying, or -1. */
static inline int hx_slot_of(struct hx_machine *m, uint32_t domid)
{
	if (domid >= 0x8000)
		return -1;
	return (int)atomic_load_explicit(&m->slot_of[domid], memory_order_acquire) - 1;
}

#endif
