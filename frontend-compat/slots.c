/* SPDX-License-Identifier: MIT */
/*
 * Frames to slots and slots to frames (slots.h). Written from netif.h and from what
 * Linux netfront does, and on purpose not from libvif's from_guest and to_guest:
 * the two ends of the ring are each other's test.
 */
#include <string.h>

#include "frontend-compat/slots.h"

int tx_offload(const struct virtio_net_hdr *vnet, struct netif_offload *out)
{
	*out = (struct netif_offload){ 0 };
	/* xennet_start_xmit(): a blank checksum is also a validated one */
	if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		out->csum_blank = out->data_validated = true;
	else if (vnet->flags & VIRTIO_NET_HDR_F_DATA_VALID)
		out->data_validated = true;

	switch (vnet->gso_type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return 0;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		out->gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		out->gso_type = XEN_NETIF_GSO_TYPE_TCPV6;
		break;
	default:
		return -EPROTO;
	}
	out->gso_size = vnet->gso_size;
	return out->gso_size ? 0 : -EPROTO;
}

uint32_t tx_cut(const struct tx_layout *layout, uint32_t size, struct tx_piece out[TX_PAGES_MAX])
{
	uint32_t n = 0;

	while (size) {
		struct tx_piece *p = &out[n];
		uint32_t room;

		assert(n < TX_PAGES_MAX);
		p->offset = n == 0 ? layout->first_offset : n == 1 ? layout->then_offset : 0;
		room = XEN_PAGE - p->offset;
		if (n == 0 && layout->first_size)
			room = layout->first_size;
		p->size = (uint16_t)MIN(size, room);
		size -= p->size;
		n++;
	}
	return n;
}

static union from_guest_slot gso_extra(const struct netif_offload *offload)
{
	return (union from_guest_slot){
		.extra = {
			.type = XEN_NETIF_EXTRA_TYPE_GSO,
			.u.gso = { .size = offload->gso_size, .type = offload->gso_type },
		},
	};
}

static union from_guest_slot hash_extra(const struct frame_hash *hash)
{
	union from_guest_slot s = { .extra.type = XEN_NETIF_EXTRA_TYPE_HASH };

	s.extra.u.hash.type = hash->type;
	s.extra.u.hash.algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
	for (int i = 0; i < 4; i++) /* LSB first */
		s.extra.u.hash.value[i] = (uint8_t)(hash->value >> (8 * i));
	return s;
}

/* Writes the extra infos; returns how many. */
static uint32_t tx_extras(const struct tx_meta *meta, union from_guest_slot out[])
{
	uint32_t n = 0;

	if (meta->offload.gso_type)
		out[n++] = gso_extra(&meta->offload);
	if (meta->hash.type != HASH_TYPE_NONE) {
		if (n)
			out[n - 1].extra.flags |= XEN_NETIF_EXTRA_FLAG_MORE;
		out[n++] = hash_extra(&meta->hash);
	}
	return n;
}

uint32_t tx_slots(const struct tx_piece piece[], uint32_t n_pieces, const struct tx_meta *meta,
		  const struct tx_page page[], union from_guest_slot out[TX_SLOTS_MAX])
{
	uint32_t n_extras = tx_extras(meta, out + 1);
	netif_tx_request_t *req;
	uint32_t size = 0, n = 0;

	for (uint32_t i = 0; i < n_pieces; i++) {
		req = &out[n++].req;
		*req = (netif_tx_request_t){
			.gref = page[i].gref,
			.offset = piece[i].offset,
			.flags = i + 1 < n_pieces ? NETTXF_more_data : 0,
			.id = page[i].id,
			.size = piece[i].size,
		};
		size += piece[i].size;
		if (i)
			continue;
		if (meta->offload.csum_blank)
			req->flags |= NETTXF_csum_blank;
		if (meta->offload.data_validated)
			req->flags |= NETTXF_data_validated;
		if (n_extras)
			req->flags |= NETTXF_extra_info;
		n += n_extras;
	}
	/* the first request carries the size of the whole frame */
	out[0].req.size = (uint16_t)size;
	return n;
}

int tx_finish_checksum(struct virtio_net_hdr *vnet, const struct iovec frame[], int n)
{
	size_t start = vnet->csum_start, field = start + vnet->csum_offset;
	uint16_t sum = 0;
	uint8_t *at;

	if (!n || (start | field) % 2 || field + 2 > frame[0].iov_len)
		return -EPROTO;
	sum = checksum_add(sum, (uint8_t *)frame[0].iov_base + start, frame[0].iov_len - start);
	for (int i = 1; i < n; i++)
		sum = checksum_add(sum, frame[i].iov_base, frame[i].iov_len);
	sum = (uint16_t)~sum;
	if (!sum) /* RFC 768: zero means "none"; for TCP the two are equal */
		sum = 0xffff;
	at = (uint8_t *)frame[0].iov_base + field;
	at[0] = (uint8_t)(sum >> 8);
	at[1] = (uint8_t)sum;
	vnet->flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
	vnet->csum_start = vnet->csum_offset = 0;
	return 0;
}

/* The worst verdict stands, with its first reason. */
static void rx_fault(struct rx_frame *f, enum vif_verdict verdict, const char *why)
{
	if (verdict <= f->verdict)
		return;
	f->verdict = verdict;
	f->why = why;
}

static void rx_gso(struct rx_frame *f, const netif_extra_info_t *extra)
{
	if (!extra->u.gso.size)
		rx_fault(f, VIF_DROP, "GSO size is zero");
	if (extra->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV4 &&
	    extra->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV6)
		rx_fault(f, VIF_DROP, "unknown GSO type");
	f->offload.gso_type = extra->u.gso.type;
	f->offload.gso_size = extra->u.gso.size;
}

static void rx_hash(struct rx_frame *f, const netif_extra_info_t *extra)
{
	const uint8_t *v = extra->u.hash.value;

	f->has_hash = true;
	f->hash_algorithm = extra->u.hash.algorithm;
	f->hash.type = extra->u.hash.type;
	f->hash.value =
	    (uint32_t)v[0] | (uint32_t)v[1] << 8 | (uint32_t)v[2] << 16 | (uint32_t)v[3] << 24;
}

/* Reads the extra infos that follow the first response. */
static void rx_extras(struct rx_frame *f, const union to_guest_slot slots[], uint32_t n)
{
	const netif_extra_info_t *extra;

	do {
		if (f->n_slots == n) {
			rx_fault(f, VIF_DROP, "extra info is missing");
			return;
		}
		extra = &slots[f->n_slots++].extra;
		if (!extra->type || extra->type > EXTRA_TYPE_XDP)
			rx_fault(f, VIF_DROP, "unknown extra info");
		else if (extra->type == XEN_NETIF_EXTRA_TYPE_GSO)
			rx_gso(f, extra);
		else if (extra->type == XEN_NETIF_EXTRA_TYPE_HASH)
			rx_hash(f, extra);
		else if (extra->type == EXTRA_TYPE_XDP)
			memcpy(&f->headroom, (const uint8_t *)extra + 2, sizeof(f->headroom));
	} while (extra->flags & XEN_NETIF_EXTRA_FLAG_MORE);
}

static void rx_fragment(struct rx_frame *f, const netif_rx_response_t *rsp, uint16_t page)
{
	uint32_t i = f->n_fragments;
	uint16_t offset = rsp->offset;

	/* xennet_get_responses(): the extra info counts, not what the response says */
	if (!i && f->headroom)
		offset = f->headroom;
	if (rsp->id != page)
		rx_fault(f, VIF_FATAL, "a response is not in its request's slot");
	if (rsp->status < 0)
		rx_fault(f, VIF_DROP, "the backend reports an error");
	else if (offset + rsp->status > (int)XEN_PAGE)
		rx_fault(f, VIF_DROP, "a fragment leaves its page");
	if (i >= RX_FRAGMENTS_MAX || f->verdict != VIF_OK)
		return;
	f->fragment[i].page = page;
	f->fragment[i].offset = offset;
	f->fragment[i].size = (uint16_t)rsp->status;
	f->size += (uint16_t)rsp->status;
}

void rx_frame_read(const union to_guest_slot slots[], uint32_t n, RING_IDX cons,
		   struct rx_frame *out)
{
	const netif_rx_response_t *rsp = &slots[0].rsp;
	uint32_t max = XEN_NETIF_NR_SLOTS_MIN + (rsp->status <= RX_SHORT_FIRST_MAX), at = 0;

	*out = (struct rx_frame){ .verdict = VIF_OK, .n_slots = 1 };
	out->offload.csum_blank = rsp->flags & NETRXF_csum_blank;
	out->offload.data_validated = rsp->flags & NETRXF_data_validated;
	if (rsp->flags & NETRXF_extra_info)
		rx_extras(out, slots, n);

	for (;; rsp = &slots[at].rsp) {
		rx_fragment(out, rsp, (uint16_t)((cons + at) & (RING_SLOTS - 1)));
		out->n_fragments++;
		if (!(rsp->flags & NETRXF_more_data))
			break;
		if (out->n_slots == n) {
			rx_fault(out, VIF_DROP, "the frame's last slots are missing");
			break;
		}
		at = out->n_slots++;
	}
	if (out->n_fragments > max)
		rx_fault(out, VIF_DROP, "too many slots");
}

int rx_vnet(struct netif_offload *offload, const uint8_t *head, uint32_t size,
	    struct virtio_net_hdr *out)
{
	struct frame_transport t;
	uint8_t ip_version = offload->gso_type == XEN_NETIF_GSO_TYPE_TCPV6 ? 6 : 4;

	*out = (struct virtio_net_hdr){ 0 };
	if (!offload->csum_blank) {
		if (offload->data_validated)
			out->flags = VIRTIO_NET_HDR_F_DATA_VALID;
		return offload->gso_type ? -EPROTO : 0;
	}
	/* skb_checksum_setup() knows no VLAN tags */
	if (frame_parse(head, size, &t) < 0 || !t.ip_version || t.fragment || !t.csum_offset ||
	    frame_is_tagged(head, size))
		return -EPROTO;
	offload->ip_version = t.ip_version;
	out->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	out->csum_start = t.transport_offset;
	out->csum_offset = t.csum_offset;
	if (!offload->gso_type)
		return 0;
	if (t.ip_version != ip_version)
		return -EPROTO;
	out->gso_type = ip_version == 6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	out->gso_size = offload->gso_size;
	out->hdr_len = t.header_size;
	return 0;
}

int rx_blank_checksum(struct rx_frame *f, uint8_t *head, uint32_t size)
{
	struct frame_transport t;
	uint32_t field, length, n_addresses;
	uint16_t sum;

	if (frame_parse(head, size, &t) < 0 || !t.ip_version || t.fragment || !t.csum_offset)
		return -EPROTO;
	field = t.transport_offset + t.csum_offset;
	length = f->size - t.transport_offset;
	n_addresses = t.ip_version == 6 ? 32 : 8;
	if (field + 2 > size)
		return -EPROTO;
	/* the pseudo header: addresses, length, protocol */
	sum = checksum_add((uint16_t)(length & 0xffff),
			   head + t.network_offset + (t.ip_version == 6 ? 8 : 12), n_addresses);
	sum = checksum_add(sum, (uint8_t[]){ 0, t.protocol, 0, (uint8_t)(length >> 16) }, 4);
	head[field] = (uint8_t)(sum >> 8);
	head[field + 1] = (uint8_t)sum;
	f->offload.csum_blank = true;
	return (int)field;
}

uint32_t rx_uses(const struct rx_frame *f)
{
	uint32_t uses = f->n_fragments > 1 ? VIF_SG : 0;

	if (f->offload.csum_blank)
		uses |= f->offload.ip_version == 6 ? VIF_CSUM_V6 : VIF_CSUM_V4;
	if (f->offload.gso_type == XEN_NETIF_GSO_TYPE_TCPV4)
		uses |= VIF_GSO_TCPV4;
	if (f->offload.gso_type == XEN_NETIF_GSO_TYPE_TCPV6)
		uses |= VIF_GSO_TCPV6;
	return uses;
}
