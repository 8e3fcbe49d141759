/* SPDX-License-Identifier: MIT */
/*
 * Checksum and segmentation offload. The frame's bytes are another's word, but they
 * are in our memory and hold still: what is checked here is what is sent.
 *
 * The rules a blank checksum must meet are those of Linux's netback and netfront,
 * which both find the field by parsing: TCP or UDP, no fragment. From a guest, VLAN tags
 * are looked through; to a guest nothing tagged is left unfinished, since netfront drops
 * that (Linux net/core/skbuff.c skb_checksum_setup() knows no tags, and netback never sends
 * it any: its vlan_features are empty).
 */
#include "offload.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/io/ring.h>
#include <xen/io/netif.h>

#define VLAN_TAG_SIZE	    4u
#define VLAN_TAGS_MAX	    2
#define IPV4_HEADER_MIN	    20u
#define IPV4_FRAGMENT_MASK  0x3fff /* more fragments, or an offset */
#define IPV6_HEADER_SIZE    40u
#define IPV6_FRAGMENT_MASK  0xfff9
#define IPV6_EXTENSIONS_MAX 8
#define TCP_HEADER_MIN	    20u
#define TCP_CSUM_OFFSET	    16
#define TCP_FIN		    0x01
#define TCP_PSH		    0x08
#define TCP_CWR		    0x80
#define UDP_HEADER_SIZE	    8u
#define UDP_CSUM_OFFSET	    6

static uint16_t load_be16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static uint32_t load_be32(const uint8_t *from)
{
	return (uint32_t)load_be16(from) << 16 | load_be16(from + 2);
}

static void store_be16(uint8_t *to, uint16_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint16_t checksum_add(uint16_t sum, const void *data, size_t n)
{
	const uint8_t *bytes = data;
	uint64_t acc = 0, word;

	/* In host order; RFC 1071, 2(B): swapping once at the end gives the same sum. */
	for (; n >= sizeof(word); n -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		acc += word;
		acc += acc < word;
	}
	word = 0;
	memcpy(&word, bytes, n);
	acc += word;
	acc += acc < word;
	return fold((uint64_t)ntohs(fold(acc)) + sum);
}

static int parse_ipv4(const uint8_t *frame, uint32_t size, struct frame_transport *t)
{
	const uint8_t *ip = frame + t->network_offset;
	uint32_t header_size;

	if (t->network_offset + IPV4_HEADER_MIN > size || ip[0] >> 4 != 4)
		return -EPROTO;
	header_size = (ip[0] & 0xf) * 4u;
	if (header_size < IPV4_HEADER_MIN || t->network_offset + header_size > size)
		return -EPROTO;
	t->ip_version = 4;
	t->protocol = ip[9];
	t->fragment = load_be16(ip + 6) & IPV4_FRAGMENT_MASK;
	t->transport_offset = (uint16_t)(t->network_offset + header_size);
	return 0;
}

static bool ipv6_is_extension(uint8_t type)
{
	return type == IPPROTO_HOPOPTS || type == IPPROTO_ROUTING || type == IPPROTO_DSTOPTS ||
	       type == IPPROTO_AH || type == IPPROTO_FRAGMENT;
}

static uint32_t ipv6_extension_size(uint8_t type, const uint8_t *extension)
{
	if (type == IPPROTO_FRAGMENT)
		return 8;
	if (type == IPPROTO_AH)
		return (extension[1] + 2u) * 4;
	return (extension[1] + 1u) * 8;
}

static int parse_ipv6(const uint8_t *frame, uint32_t size, struct frame_transport *t)
{
	const uint8_t *ip = frame + t->network_offset;
	uint32_t at = t->network_offset + IPV6_HEADER_SIZE;

	if (at > size || ip[0] >> 4 != 6)
		return -EPROTO;
	t->ip_version = 6;
	t->protocol = ip[6];
	for (unsigned n = 0; ipv6_is_extension(t->protocol) && !t->fragment; n++) {
		const uint8_t *extension = frame + at;

		if (n == IPV6_EXTENSIONS_MAX || at + 8 > size)
			return -EPROTO;
		if (t->protocol == IPPROTO_FRAGMENT)
			t->fragment = load_be16(extension + 2) & IPV6_FRAGMENT_MASK;
		if (t->protocol == IPPROTO_ROUTING && extension[3] > 0)
			t->source_routed = true;
		at += ipv6_extension_size(t->protocol, extension);
		t->protocol = extension[0];
	}
	if (at > size)
		return -EPROTO;
	t->transport_offset = (uint16_t)at;
	return 0;
}

static int parse_transport(const uint8_t *frame, uint32_t size, struct frame_transport *t)
{
	uint32_t header_size = 0;

	if (!t->fragment && t->protocol == IPPROTO_TCP) {
		if (t->transport_offset + TCP_HEADER_MIN > size)
			return -EPROTO;
		header_size = (frame[t->transport_offset + 12] >> 4) * 4u;
		if (header_size < TCP_HEADER_MIN)
			return -EPROTO;
		t->csum_offset = TCP_CSUM_OFFSET;
	} else if (!t->fragment && t->protocol == IPPROTO_UDP) {
		header_size = UDP_HEADER_SIZE;
		t->csum_offset = UDP_CSUM_OFFSET;
	}
	if (t->transport_offset + header_size > size)
		return -EPROTO;
	t->header_size = (uint16_t)(t->transport_offset + header_size);
	return 0;
}

int frame_parse(const uint8_t *frame, uint32_t size, struct frame_transport *out)
{
	uint32_t at = ETH_HLEN;
	int err;

	*out = (struct frame_transport){ 0 };
	if (size < at)
		return -EPROTO;
	out->ethertype = load_be16(frame + at - 2);
	for (unsigned n = 0; n < VLAN_TAGS_MAX; n++) {
		if (out->ethertype != ETH_P_8021Q && out->ethertype != ETH_P_8021AD)
			break;
		at += VLAN_TAG_SIZE;
		if (size < at)
			return -EPROTO;
		out->ethertype = load_be16(frame + at - 2);
	}
	out->network_offset = (uint16_t)at;
	out->header_size = (uint16_t)at;

	if (out->ethertype == ETH_P_IP)
		err = parse_ipv4(frame, size, out);
	else if (out->ethertype == ETH_P_IPV6)
		err = parse_ipv6(frame, size, out);
	else
		return 0;
	return err ? err : parse_transport(frame, size, out);
}

/*
 * Bytes of the transport header and what follows, as the pseudo header counts them.
 * A GSO frame's is what it holds: the kernel segments by that. Another's is what its IP
 * header says (it may be padded to the Ethernet minimum), if the frame holds as much.
 */
static uint32_t transport_size(const struct packet *p, const struct frame_transport *t, bool gso)
{
	const uint8_t *ip = p->frame + t->network_offset;
	uint32_t held = p->size - t->transport_offset;
	uint32_t headers = t->transport_offset - t->network_offset;
	uint32_t total;

	if (t->ip_version == 4)
		total = load_be16(ip + 2);
	else
		total = load_be16(ip + 4) + IPV6_HEADER_SIZE;
	if (gso || total <= headers || total - headers > held)
		return held;
	return total - headers;
}

static uint16_t pseudo_header_sum(const struct packet *p, const struct frame_transport *t, bool gso)
{
	const uint8_t *ip = p->frame + t->network_offset;
	uint32_t size = transport_size(p, t, gso);
	uint16_t sum = fold((uint64_t)size + t->protocol);

	if (t->ip_version == 4)
		return checksum_add(sum, ip + 12, 2 * sizeof(struct in_addr));
	return checksum_add(sum, ip + 8, 2 * sizeof(struct in6_addr));
}

static bool gso_fits(const struct frame_transport *t, uint8_t gso_type, uint16_t gso_size)
{
	uint8_t ip_version = gso_type == XEN_NETIF_GSO_TYPE_TCPV4   ? 4
			     : gso_type == XEN_NETIF_GSO_TYPE_TCPV6 ? 6
								    : 0;

	return gso_size > 0 && ip_version != 0 && t->ip_version == ip_version &&
	       t->protocol == IPPROTO_TCP;
}

enum vif_verdict offload_from_netif(struct packet *p, struct netif_offload *in)
{
	struct virtio_net_hdr *vnet = packet_vnet(p);
	bool gso = in->gso_type != XEN_NETIF_GSO_TYPE_NONE;
	struct frame_transport t;
	uint32_t end;

	*vnet = (struct virtio_net_hdr){ 0 };
	if (!in->csum_blank && !gso) {
		vnet->flags = in->data_validated ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
		return VIF_OK;
	}
	if (frame_parse(p->frame, p->size, &t) < 0 || t.csum_offset == 0)
		return VIF_DROP;
	if (gso && !gso_fits(&t, in->gso_type, in->gso_size))
		return VIF_DROP;
	if (gso && p->size - t.header_size > OFFLOAD_SEGMENTS_MAX * in->gso_size)
		return VIF_DROP;

	in->ip_version = t.ip_version;
	end = t.transport_offset + transport_size(p, &t, gso);
	memset(p->frame + end, 0, p->size - end);
	vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	vnet->csum_start = t.transport_offset;
	vnet->csum_offset = t.csum_offset;
	if (!t.source_routed) /* else only the guest knows the final destination */
		store_be16(p->frame + t.transport_offset + t.csum_offset,
			   pseudo_header_sum(p, &t, gso));
	if (gso && p->size - t.header_size > in->gso_size) {
		vnet->gso_type =
		    t.ip_version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		vnet->gso_size = in->gso_size;
		vnet->hdr_len = t.header_size;
	}
	return VIF_OK;
}

static int gso_to_netif(const struct virtio_net_hdr *vnet, struct netif_offload *out)
{
	switch (vnet->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
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
	return 0;
}

/* Whether the checksum that is asked for is the outermost transport header's. */
static bool is_outer_checksum(const struct virtio_net_hdr *vnet, const struct frame_transport *t)
{
	return t->csum_offset != 0 && vnet->csum_start == t->transport_offset &&
	       vnet->csum_offset == t->csum_offset;
}

int offload_to_netif(struct packet *p, struct netif_offload *out)
{
	const struct virtio_net_hdr *vnet = packet_vnet(p);
	struct frame_transport t;
	int err;

	*out = (struct netif_offload){ 0 };
	err = gso_to_netif(vnet, out);
	if (err)
		return err;
	if (!(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		out->data_validated = vnet->flags & VIRTIO_NET_HDR_F_DATA_VALID;
		return out->gso_type ? -EPROTO : 0;
	}

	err = frame_parse(p->frame, p->size, &t);
	if (err || t.network_offset != ETH_HLEN || !is_outer_checksum(vnet, &t))
		return offload_finish_checksum(p);
	if (out->gso_type && !gso_fits(&t, out->gso_type, out->gso_size))
		return -EPROTO;
	out->csum_blank = true;
	out->data_validated = true;
	out->ip_version = t.ip_version;
	return 0;
}

int offload_finish_checksum(struct packet *p)
{
	struct virtio_net_hdr *vnet = packet_vnet(p);
	uint32_t start = vnet->csum_start;
	uint32_t field = start + vnet->csum_offset;
	uint16_t sum;

	if (vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE || field + sizeof(sum) > p->size)
		return -EPROTO;
	/* The field itself holds the pseudo header's part. A sum of 0 is sent as its other
	 * form: in UDP 0 says that there is none. */
	sum = (uint16_t)~checksum_add(0, p->frame + start, p->size - start);
	store_be16(p->frame + field, sum ? sum : 0xffff);
	vnet->flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
	return 0;
}

bool frame_is_tagged(const uint8_t *frame, uint32_t size)
{
	uint16_t type = size < ETH_HLEN ? 0 : load_be16(frame + ETH_HLEN - 2);

	return type == ETH_P_8021Q || type == ETH_P_8021AD;
}

/* A segment's IP header: lengths, and IPv4's id and checksum. */
static void cut_ip(struct packet *p, const struct frame_transport *t, uint32_t number)
{
	uint8_t *ip = p->frame + t->network_offset;
	uint32_t size = p->size - t->network_offset;

	if (t->ip_version == 6) {
		store_be16(ip + 4, (uint16_t)(size - IPV6_HEADER_SIZE));
		return;
	}
	store_be16(ip + 2, (uint16_t)size);
	store_be16(ip + 4, (uint16_t)(load_be16(ip + 4) + number));
	store_be16(ip + 10, 0);
	store_be16(ip + 10, (uint16_t)~checksum_add(
				    0, ip, t->transport_offset - (uint32_t)t->network_offset));
}

/* Its TCP header: FIN and PSH are the last one's, CWR the first one's. The seed counts the
 * whole frame's bytes; what it has for addresses is known to the sender only. */
static void cut_tcp(struct packet *p, const struct frame_transport *t, uint32_t whole_size,
		    uint32_t at, bool last)
{
	uint8_t *tcp = p->frame + t->transport_offset;
	uint32_t seq = load_be32(tcp + 4) + at;
	uint64_t seed = load_be16(tcp + TCP_CSUM_OFFSET);

	store_be16(tcp + 4, (uint16_t)(seq >> 16));
	store_be16(tcp + 6, (uint16_t)seq);
	if (!last)
		tcp[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
	if (at > 0)
		tcp[13] &= (uint8_t)~TCP_CWR;
	seed += (uint16_t)~fold(whole_size - t->transport_offset);
	seed += p->size - t->transport_offset;
	store_be16(tcp + TCP_CSUM_OFFSET, fold(seed));
}

int offload_cut(const struct packet *p, uint32_t at, struct packet *out)
{
	const struct virtio_net_hdr *vnet = packet_vnet(p);
	struct netif_offload gso = { 0 };
	struct frame_transport t;
	uint32_t left, n;

	if (gso_to_netif(vnet, &gso) < 0 || !(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	    frame_parse(p->frame, p->size, &t) < 0 || !is_outer_checksum(vnet, &t) ||
	    !gso_fits(&t, gso.gso_type, gso.gso_size) || at > p->size - t.header_size)
		return -EPROTO;
	left = p->size - t.header_size - at;
	n = MIN(left, gso.gso_size);
	memcpy(out->frame, p->frame, t.header_size);
	memcpy(out->frame + t.header_size, p->frame + t.header_size + at, n);
	out->size = t.header_size + n;
	cut_ip(out, &t, at / gso.gso_size);
	cut_tcp(out, &t, p->size, at, n == left);
	*packet_vnet(out) = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
						     .csum_start = t.transport_offset,
						     .csum_offset = t.csum_offset };
	if (offload_finish_checksum(out) < 0)
		return -EPROTO;
	return n == left ? 0 : (int)(at + n);
}
