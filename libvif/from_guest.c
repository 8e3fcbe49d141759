/* SPDX-License-Identifier: MIT */
/*
 * What the guest transmits: slots -> frame description -> copies -> answers.
 *
 * Every number in a slot is the guest's. The plan bounds them all, so that what
 * follows it cannot write beyond a packet: a fragment stays within its page, the
 * fragments add up to the total, and the total is 16 bits (XSA-432). No page of
 * the guest's is touched before the whole frame is known to be sound.
 */
#include "from_guest.h"

#include <linux/if_ether.h>
#include <string.h>

static_assert(XEN_NETIF_MAX_TX_SIZE <= PACKET_FRAME_MAX, "any total fits a packet");
static_assert(FROM_GUEST_SLOTS_MAX == 18, "protocol.md 2");
static_assert(FROM_GUEST_RING_SLOTS_MAX <= 32, "extra_mask has a bit for each");

const char *from_guest_fault_name(enum from_guest_fault f)
{
	static const char *const names[FROM_GUEST_N_FAULTS] = {
		[FROM_GUEST_FINE] = "fine",
		[FROM_GUEST_TOO_MANY_SLOTS] = "too-many-slots",
		[FROM_GUEST_RUNT] = "runt",
		[FROM_GUEST_GRANT_FAILED] = "grant-failed",
		[FROM_GUEST_BAD_OFFLOAD] = "bad-offload",
		[FROM_GUEST_BAD_MULTICAST] = "bad-multicast",
		[FROM_GUEST_NOT_OFFERED] = "not-offered",
		[FROM_GUEST_BAD_INDEX] = "impossible-index",
		[FROM_GUEST_ABSURD_SLOTS] = "absurd-slots",
		[FROM_GUEST_SIZE_MISMATCH] = "size-mismatch",
		[FROM_GUEST_CROSSES_PAGE] = "crosses-page",
		[FROM_GUEST_BAD_EXTRA] = "bad-extra",
		[FROM_GUEST_BAD_GSO] = "bad-gso",
	};

	return names[f];
}

static void frame_fails(struct from_guest_frame *f, enum vif_verdict verdict,
			enum from_guest_fault fault)
{
	f->verdict = verdict;
	f->fault = fault;
}

static bool plan_gso(struct from_guest_frame *f, const netif_extra_info_t *extra)
{
	f->offload.gso_type = extra->u.gso.type;
	f->offload.gso_size = extra->u.gso.size;
	return extra->u.gso.size > 0 && (extra->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV4 ||
					 extra->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV6);
}

static void plan_multicast(struct from_guest_frame *f, const netif_extra_info_t *extra)
{
	uint32_t n = f->n_multicast++;

	static_assert(sizeof(f->multicast[n].address) == sizeof(extra->u.mcast.addr), "netif.h");
	f->multicast[n].add = extra->type == XEN_NETIF_EXTRA_TYPE_MCAST_ADD;
	memcpy(f->multicast[n].address, extra->u.mcast.addr, sizeof(extra->u.mcast.addr));
}

/* The two plan_ steps return false if the frame goes on beyond slots[0..n). */
static bool plan_extras(struct from_guest_frame *f, const union from_guest_slot slots[], uint32_t n)
{
	const netif_extra_info_t *extra;
	uint32_t seen = 0;

	do {
		if (f->n_ring_slots == n)
			return false;
		extra = &slots[f->n_ring_slots].extra;
		if (extra->type == XEN_NETIF_EXTRA_TYPE_NONE ||
		    extra->type >= XEN_NETIF_EXTRA_TYPE_MAX || (seen & BIT(extra->type))) {
			frame_fails(f, VIF_FATAL, FROM_GUEST_BAD_EXTRA);
			return true;
		}
		seen |= BIT(extra->type);
		f->extra_mask |= BIT(f->n_ring_slots);
		f->id[f->n_ring_slots++] = 0;
		if (extra->type == XEN_NETIF_EXTRA_TYPE_GSO && !plan_gso(f, extra)) {
			frame_fails(f, VIF_FATAL, FROM_GUEST_BAD_GSO);
			return true;
		}
		if (extra->type == XEN_NETIF_EXTRA_TYPE_MCAST_ADD ||
		    extra->type == XEN_NETIF_EXTRA_TYPE_MCAST_DEL)
			plan_multicast(f, extra);
	} while (extra->flags & XEN_NETIF_EXTRA_FLAG_MORE);
	return true;
}

/* The requests after the first; *rest is what they leave of the total to the first. */
static bool plan_more_data(struct from_guest_frame *f, const union from_guest_slot slots[],
			   uint32_t n, uint32_t *rest)
{
	const netif_tx_request_t *req;

	do {
		if (f->n_fragments == FROM_GUEST_SLOTS_FATAL - 1) {
			frame_fails(f, VIF_FATAL, FROM_GUEST_ABSURD_SLOTS);
			return true;
		}
		if (f->n_ring_slots == n)
			return false;
		req = &slots[f->n_ring_slots].req;
		if (req->offset + req->size > XEN_PAGE) {
			frame_fails(f, VIF_FATAL, FROM_GUEST_CROSSES_PAGE);
			return true;
		}
		if (req->size > *rest) {
			frame_fails(f, VIF_FATAL, FROM_GUEST_SIZE_MISMATCH);
			return true;
		}
		*rest -= req->size;
		f->id[f->n_ring_slots++] = req->id;
		if (f->n_fragments < FROM_GUEST_SLOTS_MAX) {
			f->fragment[f->n_fragments].gref = req->gref;
			f->fragment[f->n_fragments].offset = req->offset;
			f->fragment[f->n_fragments].size = req->size;
		}
		f->n_fragments++;
	} while (req->flags & NETTXF_more_data);
	return true;
}

/* A dummy's gref, offset and size mean nothing. Linux' netback would take further requests
 * for packets of their own; no frontend sends any. */
static void plan_dummy(struct from_guest_frame *f)
{
	if (f->n_fragments > 1) {
		frame_fails(f, VIF_DROP, FROM_GUEST_BAD_MULTICAST);
		return;
	}
	f->n_fragments = 0;
	f->size = 0;
}

static void plan_verdict(struct from_guest_frame *f, const netif_tx_request_t *first, uint32_t rest)
{
	if (first->offset + rest > XEN_PAGE) {
		frame_fails(f, VIF_FATAL, FROM_GUEST_CROSSES_PAGE);
		return;
	}
	f->fragment[0].gref = first->gref;
	f->fragment[0].offset = first->offset;
	f->fragment[0].size = (uint16_t)rest;
	if (f->n_fragments > FROM_GUEST_SLOTS_MAX)
		frame_fails(f, VIF_DROP, FROM_GUEST_TOO_MANY_SLOTS);
	else if (f->size < ETH_HLEN)
		frame_fails(f, VIF_DROP, FROM_GUEST_RUNT);
}

bool from_guest_plan(const union from_guest_slot slots[], uint32_t n, struct from_guest_frame *out)
{
	const netif_tx_request_t *first = &slots[0].req;
	uint32_t rest;

	if (n == 0)
		return false;
	out->verdict = VIF_OK;
	out->fault = FROM_GUEST_FINE;
	out->n_ring_slots = 1;
	out->n_fragments = 1;
	out->size = first->size; /* the first request's size is the frame's */
	out->id[0] = first->id;
	out->extra_mask = 0;
	out->n_multicast = 0;
	out->offload = (struct netif_offload){
		.csum_blank = first->flags & NETTXF_csum_blank,
		.data_validated = first->flags & NETTXF_data_validated,
	};

	rest = first->size;
	if ((first->flags & NETTXF_extra_info) && !plan_extras(out, slots, n))
		return false;
	if (out->verdict != VIF_OK)
		return true;
	if ((first->flags & NETTXF_more_data) && !plan_more_data(out, slots, n, &rest))
		return false;
	if (out->verdict != VIF_OK)
		return true;
	if (out->n_multicast)
		plan_dummy(out);
	else
		plan_verdict(out, first, rest);
	return true;
}

void from_guest_check_offer(struct from_guest_frame *f, uint32_t offered)
{
	uint32_t used = f->n_fragments > 1 ? VIF_SG : f->n_multicast ? VIF_MULTICAST : 0;

	if (f->offload.gso_type != XEN_NETIF_GSO_TYPE_NONE)
		used |= feature_gso(f->offload.gso_type == XEN_NETIF_GSO_TYPE_TCPV4 ? 4 : 6);
	if (used & ~offered)
		frame_fails(f, VIF_DROP, FROM_GUEST_NOT_OFFERED);
}

uint32_t from_guest_ops(const struct from_guest_frame *f, uint16_t domid, struct packet *p,
			grant_op ops[])
{
	uint32_t n_ops = 0;

	p->size = 0;
	for (uint32_t i = 0; i < f->n_fragments; i++) {
		uint16_t size = f->fragment[i].size;

		if (size == 0) /* legal (XSA-448) */
			continue;
		grant_op_from_guest(&ops[n_ops++], domid, f->fragment[i].gref,
				    f->fragment[i].offset, p->frame + p->size, size);
		p->size += size;
	}
	return n_ops;
}

void from_guest_finish(struct from_guest_frame *f, struct packet *p, const grant_op ops[],
		       uint32_t n_ops, uint32_t offered)
{
	for (uint32_t i = 0; i < n_ops; i++) {
		if (ops[i].status != GNTST_okay) {
			frame_fails(f, VIF_DROP, FROM_GUEST_GRANT_FAILED);
			return;
		}
	}
	if (offload_from_netif(p, &f->offload) != VIF_OK)
		frame_fails(f, VIF_DROP, FROM_GUEST_BAD_OFFLOAD);
	else if (f->offload.ip_version && !(offered & feature_csum(f->offload.ip_version)) &&
		 offload_finish_checksum(p) < 0)
		frame_fails(f, VIF_DROP, FROM_GUEST_BAD_OFFLOAD);
}

void from_guest_amend(struct from_guest_frame *f, struct multicast_set *set)
{
	for (uint32_t i = 0; i < f->n_multicast; i++) {
		if (!f->multicast[i].add)
			multicast_remove(set, f->multicast[i].address);
		else if (multicast_add(set, f->multicast[i].address))
			frame_fails(f, VIF_DROP, FROM_GUEST_BAD_MULTICAST);
	}
}

void from_guest_answer(struct ring *r, const struct from_guest_frame *f)
{
	int16_t status = f->verdict == VIF_OK ? NETIF_RSP_OKAY : NETIF_RSP_ERROR;
	netif_tx_response_t rsp[FROM_GUEST_RING_SLOTS_MAX];

	for (uint32_t i = 0; i < f->n_ring_slots; i++) {
		rsp[i].id = f->id[i];
		rsp[i].status = f->extra_mask & BIT(i) ? NETIF_RSP_NULL : status;
	}
	from_guest_respond(r, rsp, f->n_ring_slots);
}
