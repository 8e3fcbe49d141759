/* SPDX-License-Identifier: MIT */
/*
 * Frames for tests: see frames.h.
 */
#include "tests/unit/frames.h"

#include <netinet/in.h>
#include <string.h>

uint16_t get_be16(const uint8_t *from)
{
	return (uint16_t)(from[0] * 256 + from[1]);
}

void put_be16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value / 256);
	to[1] = (uint8_t)(value % 256);
}

uint16_t slow_sum(uint32_t sum, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sum += i % 2 ? data[i] : data[i] * 256u;
		if (sum > 0xffff)
			sum = sum - 0x10000 + 1;
	}
	return (uint16_t)sum;
}

static uint32_t put_ipv4(struct frame *f, uint32_t at)
{
	static const uint8_t addresses[] = { 10, 77, 0, 11, 192, 0, 2, 199 };
	uint8_t *ip = f->bytes + at;

	ip[0] = (uint8_t)(0x45 + f->spec.ip_options / 4);
	put_be16(ip + 6, f->spec.fragment);
	ip[8] = 64;
	ip[9] = f->spec.protocol;
	memcpy(ip + 12, addresses, sizeof(addresses));
	memset(ip + 20, 1, f->spec.ip_options); /* no-operation */
	return at + 20 + f->spec.ip_options;
}

/* Each extension header is 8 bytes but hop-by-hop, which is 16, and AH, which is 24. Options
 * are all Pad1. */
static uint32_t put_ipv6(struct frame *f, uint32_t at)
{
	uint8_t *ip = f->bytes + at;
	uint8_t *next = ip + 6;

	ip[0] = 0x60;
	ip[7] = 64;
	for (unsigned i = 0; i < 32; i++)
		ip[8 + i] = (uint8_t)(0xfd + 7 * i);
	at += 40;
	for (const uint8_t *type = f->spec.chain; type && *type != IPPROTO_NONE; type++) {
		*next = *type;
		next = f->bytes + at;
		next[1] = *type == IPPROTO_HOPOPTS ? 1 : *type == IPPROTO_AH ? 4 : 0;
		at += *type == IPPROTO_HOPOPTS ? 16 : *type == IPPROTO_AH ? 24 : 8;
		if (*type == IPPROTO_AH)
			memset(next + 8, 0xee, 16);
		if (*type == IPPROTO_FRAGMENT)
			put_be16(next + 2, f->spec.fragment);
	}
	*next = f->spec.protocol;
	return at;
}

static uint32_t put_transport(struct frame *f, uint32_t at)
{
	uint8_t *header = f->bytes + at;

	put_be16(header, 5001);
	put_be16(header + 2, 80);
	if (f->spec.protocol == IPPROTO_TCP) {
		header[12] = (uint8_t)((20 + f->spec.tcp_options) / 4 << 4);
		header[13] = 0x18;
		memset(header + 20, 1, f->spec.tcp_options);
		f->csum_at = at + 16;
		return at + 20 + f->spec.tcp_options;
	}
	if (f->spec.protocol == IPPROTO_UDP) {
		put_be16(header + 4, 8 + f->spec.payload);
		f->csum_at = at + 6;
		return at + 8;
	}
	return at;
}

static void put_lengths(struct frame *f, uint32_t ip_end)
{
	uint8_t *ip = f->bytes + f->network_offset;

	if (f->spec.ip_version == 4)
		put_be16(ip + 2, ip_end - f->network_offset);
	else
		put_be16(ip + 4, ip_end - f->network_offset - 40);
}

void frame_build(struct frame *f, const struct frame_spec *spec)
{
	uint32_t at = 12;

	memset(f, 0, sizeof(*f));
	f->spec = *spec;
	for (unsigned i = 0; i < 12; i++)
		f->bytes[i] = (uint8_t)(2 + 16 * i);
	for (unsigned i = 0; i < spec->n_vlan_tags; i++) {
		put_be16(f->bytes + at, i == 0 && spec->n_vlan_tags > 1 ? 0x88a8 : 0x8100);
		put_be16(f->bytes + at + 2, 100 + i);
		at += 4;
	}
	put_be16(f->bytes + at, spec->ip_version == 4	? 0x0800
				: spec->ip_version == 6 ? 0x86dd
				: spec->payload >= 28	? 0x0806
							: 0x88b5 /* for experiments */);
	at += 2;
	f->network_offset = at;
	if (spec->ip_version == 4)
		at = put_ipv4(f, at);
	else if (spec->ip_version == 6)
		at = put_ipv6(f, at);
	f->transport_offset = at;
	if (spec->ip_version != 0)
		at = put_transport(f, at);
	f->header_size = at;
	assert(at + spec->payload + spec->padding <= sizeof(f->bytes));
	for (uint32_t i = 0; i < spec->payload; i++)
		f->bytes[at++] = (uint8_t)(i * 31 + i / 251);
	if (spec->ip_version != 0)
		put_lengths(f, at);
	if (f->csum_at)
		put_be16(f->bytes + f->csum_at, 0xbad0);
	f->size = at + spec->padding;
}

uint16_t frame_pseudo_sum(const struct frame *f)
{
	const uint8_t *ip = f->bytes + f->network_offset;
	uint32_t size = f->size - f->spec.padding - f->transport_offset;
	uint32_t sum = size % 0x10000 + size / 0x10000 + f->spec.protocol;

	if (sum > 0xffff)
		sum = sum - 0x10000 + 1;
	if (f->spec.ip_version == 4)
		return slow_sum(sum, ip + 12, 8);
	return slow_sum(sum, ip + 8, 32);
}

uint16_t frame_checksum(const struct frame *f)
{
	uint16_t sum = frame_pseudo_sum(f);

	sum = slow_sum(sum, f->bytes + f->transport_offset, f->csum_at - f->transport_offset);
	sum = slow_sum(sum, f->bytes + f->csum_at + 2, f->size - f->spec.padding - f->csum_at - 2);
	return (uint16_t)~sum;
}

bool frame_checksum_ok(const struct frame *f, const uint8_t *bytes)
{
	uint16_t carried = get_be16(bytes + f->csum_at);
	uint16_t expected = frame_checksum(f);

	return carried != 0 && (carried == expected || (carried == 0xffff && expected == 0));
}

/* ---- what receivers do with offloads ---- */

static uint32_t ip_offset(const uint8_t *frame)
{
	uint32_t at = 12;

	while (get_be16(frame + at) == 0x8100 || get_be16(frame + at) == 0x88a8)
		at += 4;
	return at + 2;
}

/* The transport checksum of a whole frame whose header begins at 'start'. */
static void write_checksum(uint8_t *frame, uint32_t size, uint32_t start, uint32_t field)
{
	const uint8_t *ip = frame + ip_offset(frame);
	bool v6 = ip[0] >> 4 == 6;
	uint32_t length = v6 ? get_be16(ip + 4) + 40u : get_be16(ip + 2), sum;

	assert(ip - frame + length <= size);
	length -= start - (uint32_t)(ip - frame);
	sum = slow_sum(length + (field - start == 16 ? IPPROTO_TCP : IPPROTO_UDP),
		       v6 ? ip + 8 : ip + 12, v6 ? 32 : 8);
	put_be16(frame + field, 0);
	sum = slow_sum(sum, frame + start, length);
	put_be16(frame + field, sum == 0xffff ? 0xffff : 0xffff - sum);
}

static void write_ip_length(uint8_t *frame, uint32_t size, uint32_t number)
{
	uint8_t *ip = frame + ip_offset(frame);
	uint32_t length = size - (uint32_t)(ip - frame);

	if (ip[0] >> 4 == 6) {
		put_be16(ip + 4, length - 40);
		return;
	}
	put_be16(ip + 2, length);
	put_be16(ip + 4, (get_be16(ip + 4) + number) % 0x10000);
	put_be16(ip + 10, 0);
	put_be16(ip + 10, 0xffffu - slow_sum(0, ip, (ip[0] & 15) * 4u));
}

/* VXLAN and its like: TCP is asked for where UDP is. The field holds the pseudo header. */
static bool write_inner_checksum(uint8_t *frame, uint32_t size, const struct virtio_net_hdr *vnet)
{
	const uint8_t *ip = frame + ip_offset(frame);

	if (ip[0] >> 4 != 4 || ip[9] != IPPROTO_UDP || vnet->csum_offset == 6)
		return false;
	put_be16(frame + vnet->csum_start + vnet->csum_offset,
		 0xffffu - slow_sum(0, frame + vnet->csum_start, size - vnet->csum_start));
	return true;
}

uint32_t frame_complete(const uint8_t *frame, uint32_t size, const struct virtio_net_hdr *vnet,
			frame_sink *each, void *arg)
{
	static uint8_t out[PACKET_FRAME_MAX];
	uint32_t start = vnet->csum_start, field = start + vnet->csum_offset, n = 0, headers, seq;
	uint32_t mss = vnet->gso_size;

	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		memcpy(out, frame, size);
		if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
		    !write_inner_checksum(out, size, vnet))
			write_checksum(out, size, start, field);
		each(arg, out, size);
		return 1;
	}
	assert(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && vnet->csum_offset == 16 && mss);
	headers = start + (frame[start + 12] >> 4) * 4u;
	for (uint32_t at = headers; at < size; at += mss, n++) {
		uint32_t part = at + mss < size ? mss : size - at;

		memcpy(out, frame, headers);
		memcpy(out + headers, frame + at, part);
		write_ip_length(out, headers + part, n);
		seq = (uint32_t)get_be16(frame + start + 4) * 0x10000 + get_be16(frame + start + 6);
		seq += n * mss;
		put_be16(out + start + 4, seq / 0x10000);
		put_be16(out + start + 6, seq % 0x10000);
		if (at + part < size)
			out[start + 13] &= 0xf6; /* FIN, PSH */
		if (n > 0)
			out[start + 13] &= 0x7f; /* CWR */
		write_checksum(out, headers + part, start, field);
		each(arg, out, headers + part);
	}
	return n;
}
