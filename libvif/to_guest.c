/* SPDX-License-Identifier: MIT */
/*
 * What the guest receives: packet -> slots needed -> copies -> answers.
 *
 * The requests are the guest's word: ids are echoed, grefs are Xen's to judge.
 * Layout of an answer (netif.h): data, [extra infos], data, data, ...
 */
#include "to_guest.h"

#include <string.h>

static_assert(TO_GUEST_RING_SLOTS_MAX <= RING_SLOTS, "any frame fits an empty ring");
static_assert(TO_GUEST_HEADROOM_MAX >= 256, "Linux' XDP_PACKET_HEADROOM");

const char *to_guest_fault_name(enum to_guest_fault f)
{
	static const char *const names[TO_GUEST_N_FAULTS] = {
		[TO_GUEST_FINE] = "fine",
		[TO_GUEST_TOO_BIG] = "too-big",
		[TO_GUEST_NOT_EXPRESSIBLE] = "not-expressible",
		[TO_GUEST_GRANT_FAILED] = "grant-failed",
		[TO_GUEST_FILTERED] = "multicast-filter",
		[TO_GUEST_TAP_ERROR] = "tap-error",
		[TO_GUEST_BAD_INDEX] = "impossible-index",
		[TO_GUEST_DETACHED] = "detached",
		[TO_GUEST_QUEUE_FULL] = "queue-full",
		[TO_GUEST_EXPIRED] = "expired",
		[TO_GUEST_STALLED] = "stalled",
	};

	return names[f];
}

bool to_guest_must_cut(const struct packet *p, uint32_t features)
{
	switch (packet_vnet(p)->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return !(features & VIF_GSO_TCPV4) || frame_is_tagged(p->frame, p->size);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return !(features & VIF_GSO_TCPV6) || frame_is_tagged(p->frame, p->size);
	default:
		return false;
	}
}

/* Makes the frame's offloads ones the guest takes. */
static enum to_guest_fault settle_offloads(struct to_guest_frame *f, struct packet *p,
					   uint32_t features)
{
	if (offload_to_netif(p, &f->offload) < 0 || to_guest_must_cut(p, features))
		return TO_GUEST_NOT_EXPRESSIBLE;
	if (!f->offload.csum_blank)
		return TO_GUEST_FINE;

	if (!(features & feature_csum(f->offload.ip_version))) {
		if (offload_finish_checksum(p) < 0)
			return TO_GUEST_NOT_EXPRESSIBLE;
		f->offload = (struct netif_offload){ 0 };
	}
	return TO_GUEST_FINE;
}

/* In the order of their types, as Linux' netback sends them. */
static netif_extra_info_t *add_extra(struct to_guest_frame *f, uint8_t type)
{
	uint32_t at = f->n_extras++;

	for (; at > 0 && f->extra[at - 1].type > type; at--)
		f->extra[at] = f->extra[at - 1];
	memset(&f->extra[at], 0, sizeof(f->extra[at]));
	f->extra[at].type = type;
	return &f->extra[at];
}

static void add_extras(struct to_guest_frame *f)
{
	uint16_t headroom = (uint16_t)f->headroom;
	netif_extra_info_t *extra;

	f->n_extras = 0;
	if (f->offload.gso_type != XEN_NETIF_GSO_TYPE_NONE) {
		extra = add_extra(f, XEN_NETIF_EXTRA_TYPE_GSO);
		extra->u.gso.type = f->offload.gso_type;
		extra->u.gso.size = f->offload.gso_size;
	}
	if (headroom) {
		extra = add_extra(f, TO_GUEST_EXTRA_TYPE_XDP);
		memcpy(&extra->u, &headroom, sizeof(headroom));
	}
}

/* What a data slot holds. */
static uint32_t room_in(const struct to_guest_frame *f)
{
	return XEN_PAGE - f->headroom;
}

void to_guest_prepare(struct to_guest_frame *f, struct packet *p, uint32_t features,
		      uint32_t headroom)
{
	assert(p->size > 0 && p->size <= PACKET_FRAME_MAX);
	f->headroom = MIN(headroom, TO_GUEST_HEADROOM_MAX);
	f->fault = settle_offloads(f, p, features);
	f->n_data_slots = DIV_ROUND_UP(p->size, room_in(f));
	add_extras(f);
	f->n_ring_slots = f->n_data_slots + f->n_extras;
	if (f->fault == TO_GUEST_FINE && f->n_data_slots > 1 && !(features & VIF_SG))
		f->fault = TO_GUEST_TOO_BIG;
	f->verdict = f->fault == TO_GUEST_FINE ? VIF_OK : VIF_DROP;
}

/* "LSB ---- value ---- MSB"; the type is its bit's number. */
void to_guest_hash(struct to_guest_frame *f, const struct packet *p, const struct steering *s)
{
	uint32_t hash, type = rss_hash(s, p->frame, p->size, &hash);
	netif_extra_info_t *extra;

	if (!type)
		return;
	extra = add_extra(f, XEN_NETIF_EXTRA_TYPE_HASH);
	extra->u.hash.type = (uint8_t)__builtin_ctz(type);
	extra->u.hash.algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
	for (unsigned i = 0; i < 4; i++)
		extra->u.hash.value[i] = (uint8_t)(hash >> (8 * i));
	f->n_ring_slots++;
}

/* The ring slot of data slot i: the extras come after the first. */
static uint32_t ring_slot_of(const struct to_guest_frame *f, uint32_t i)
{
	return i > 0 ? i + f->n_extras : 0;
}

uint32_t to_guest_ops(struct to_guest_frame *f, const struct packet *p, uint16_t domid,
		      const netif_rx_request_t req[], grant_op ops[])
{
	for (uint32_t i = 0; i < f->n_ring_slots; i++)
		f->id[i] = req[i].id;
	for (uint32_t i = 0; i < f->n_data_slots; i++) {
		uint32_t done = i * room_in(f);

		f->size[i] = (uint16_t)MIN(p->size - done, room_in(f));
		grant_op_to_guest(&ops[i], domid, req[ring_slot_of(f, i)].gref,
				  (uint16_t)f->headroom, p->frame + done, f->size[i]);
	}
	return f->n_data_slots;
}

static uint16_t first_slot_flags(const struct to_guest_frame *f)
{
	uint16_t flags = 0;

	if (f->offload.csum_blank)
		flags |= NETRXF_csum_blank;
	if (f->offload.data_validated)
		flags |= NETRXF_data_validated;
	if (f->n_extras)
		flags |= NETRXF_extra_info;
	return flags;
}

/* 'offset' says where the data is, as netif.h has it, and the status how much of it there is.
 * Linux' netback leaves 0 in the one and counts the headroom into the other; its netfront
 * goes by the extra info, and then finds 256 bytes of nothing behind the frame. */
void to_guest_answer(struct ring *r, struct to_guest_frame *f, const grant_op ops[], uint32_t n_ops)
{
	union to_guest_slot slots[TO_GUEST_RING_SLOTS_MAX];

	for (uint32_t i = 0; i < n_ops; i++) {
		netif_rx_response_t *rsp = &slots[ring_slot_of(f, i)].rsp;

		*rsp = (netif_rx_response_t){ .id = f->id[ring_slot_of(f, i)] };
		rsp->flags = i == 0 ? first_slot_flags(f) : 0;
		if (i + 1 < n_ops)
			rsp->flags |= NETRXF_more_data;
		rsp->offset = (uint16_t)f->headroom;
		rsp->status = (int16_t)f->size[i];
		if (ops[i].status != GNTST_okay) {
			rsp->status = NETIF_RSP_ERROR;
			f->verdict = VIF_DROP;
			f->fault = TO_GUEST_GRANT_FAILED;
		}
	}
	for (uint32_t i = 0; i < f->n_extras; i++) {
		slots[1 + i] = (union to_guest_slot){ .extra = f->extra[i] };
		slots[1 + i].extra.flags = i + 1 < f->n_extras ? XEN_NETIF_EXTRA_FLAG_MORE : 0;
	}
	to_guest_respond(r, slots, f->n_ring_slots);
}
