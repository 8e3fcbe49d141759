/* SPDX-License-Identifier: MIT */
/*
 * The samples: see samples.h.
 */
#include "tests/unit/samples.h"

#include <netinet/in.h>
#include <string.h>

/* What Linux segments (ipv6_gso_segment()), one of them and all. */
static const uint8_t hop[] = { IPPROTO_HOPOPTS, IPPROTO_NONE };
static const uint8_t segmented[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
				     IPPROTO_NONE };
static const uint8_t every_extension[] = { IPPROTO_HOPOPTS,  IPPROTO_DSTOPTS, IPPROTO_ROUTING,
					   IPPROTO_FRAGMENT, IPPROTO_AH,      IPPROTO_DSTOPTS,
					   IPPROTO_NONE };

static const uint8_t fragment[] = { IPPROTO_HOPOPTS, IPPROTO_FRAGMENT, IPPROTO_NONE };

enum checksum {
	WHOLE, /* or none to have */
	BLANK,
	ZERO,  /* UDP: there is none */
	INNER, /* blank inside a tunnel: only the kernel can say so */
};

struct item {
	struct frame_spec spec;
	enum checksum checksum;
	uint16_t mss; /* 0: no segmentation */
};

#define TCP4 .ip_version = 4, .protocol = IPPROTO_TCP
#define TCP6 .ip_version = 6, .protocol = IPPROTO_TCP
#define UDP4 .ip_version = 4, .protocol = IPPROTO_UDP
#define UDP6 .ip_version = 6, .protocol = IPPROTO_UDP

static const struct item items[SAMPLES] = {
	/* segmentation */
	{ { TCP4, .payload = 6000 }, BLANK, 1448 },
	{ { TCP6, .payload = 6000 }, BLANK, 1428 },
	{ { TCP4, .payload = 3001, .tcp_options = 40, .ip_options = 40 }, BLANK, 517 },
	{ { TCP6, .payload = 4003, .tcp_options = 12, .chain = hop }, BLANK, 999 },
	{ { TCP6, .payload = 3000, .chain = segmented }, BLANK, 1001 },
	{ { TCP4, .payload = 2000, .n_vlan_tags = 1 }, BLANK, 1448 },
	{ { TCP6, .payload = 3000, .n_vlan_tags = 2, .tcp_options = 40 }, BLANK, 1400 },
	{ { TCP4, .payload = 65535 - 54 }, BLANK, 3800 },
	{ { TCP4, .payload = 1448 }, BLANK, 1448 }, /* one segment already */
	{ { TCP6, .payload = 700 }, BLANK, 1 + 699 / 2 },
	{ { TCP4, .payload = 18000 }, BLANK, 8948 }, /* jumbo */
	/* blank checksums */
	{ { TCP4 }, BLANK, 0 },
	{ { TCP4, .padding = 6 }, BLANK, 0 },
	{ { TCP6, .payload = 1440, .tcp_options = 12 }, BLANK, 0 },
	{ { UDP4, .payload = 1471 }, BLANK, 0 },
	{ { UDP4, .payload = 1, .padding = 17, .ip_options = 4 }, BLANK, 0 },
	{ { UDP6, .payload = 33, .chain = every_extension }, BLANK, 0 },
	{ { UDP6, .payload = 0 }, BLANK, 0 },
	{ { TCP4, .payload = 512, .n_vlan_tags = 1 }, BLANK, 0 },
	{ { UDP6, .payload = 513, .n_vlan_tags = 2 }, BLANK, 0 },
	{ { UDP4, .payload = 8000 }, BLANK, 0 }, /* jumbo */
	/* nothing left to do */
	{ { TCP4, .payload = 1000 }, WHOLE, 0 },
	{ { UDP6, .payload = 1000, .n_vlan_tags = 1 }, WHOLE, 0 },
	{ { UDP4, .payload = 300 }, ZERO, 0 },
	{ { .ip_version = 4, .protocol = IPPROTO_ICMP, .payload = 56 }, WHOLE, 0 },
	{ { .ip_version = 6, .protocol = IPPROTO_ICMPV6, .payload = 1400 }, WHOLE, 0 },
	{ { .ip_version = 4, .protocol = IPPROTO_SCTP, .payload = 1200 }, WHOLE, 0 },
	{ { .ip_version = 4, .protocol = IPPROTO_GRE, .payload = 900 }, WHOLE, 0 },
	{ { UDP4, .payload = 1472, .fragment = 0x2000 }, WHOLE, 0 }, /* more to come */
	{ { UDP4, .payload = 600, .fragment = 185 }, WHOLE, 0 },
	{ { UDP6, .payload = 1200, .chain = fragment, .fragment = 0x5a9 }, WHOLE, 0 },
	{ { .payload = 46 }, WHOLE, 0 }, /* ARP-like, as small as Ethernet has it */
	{ { .payload = 0 }, WHOLE, 0 },	 /* a header and nothing else */
	{ { .payload = 1500, .n_vlan_tags = 2 }, WHOLE, 0 },
	{ { .ip_version = 4, .protocol = IPPROTO_SCTP, .payload = 65535 - 34 }, WHOLE, 0 },
	/* VXLAN, the frame inside */
	{ { UDP4, .payload = 8 + 54 + 700 }, INNER, 0 },
};

#define VXLAN_SIZE 8u

static void put_tunnel(struct sample *s)
{
	static struct frame inner;
	uint8_t *at = s->frame.bytes + s->frame.header_size + VXLAN_SIZE;

	frame_build(&inner, &(struct frame_spec){ TCP4, .payload = 700 });
	put_be16(inner.bytes + inner.csum_at, frame_pseudo_sum(&inner));
	memcpy(at, inner.bytes, inner.size);
	put_be16(s->frame.bytes + s->frame.csum_at, 0); /* as RFC 7348 has it */
	s->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	s->vnet.csum_start = (uint16_t)(at - s->frame.bytes + inner.transport_offset);
	s->vnet.csum_offset = 16;
}

static void put_ipv4_checksum(struct frame *f)
{
	uint8_t *ip = f->bytes + f->network_offset;

	put_be16(ip + 10, 0xffffu - slow_sum(0, ip, 20 + f->spec.ip_options));
}

static void leave_blank(struct sample *s, uint16_t mss)
{
	struct frame *f = &s->frame;

	put_be16(f->bytes + f->csum_at, frame_pseudo_sum(f));
	s->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	s->vnet.csum_start = (uint16_t)f->transport_offset;
	s->vnet.csum_offset = (uint16_t)(f->csum_at - f->transport_offset);
	s->vnet.hdr_len = (uint16_t)f->header_size;
	if (!mss)
		return;
	f->bytes[f->transport_offset + 13] = 0x99; /* CWR, ACK, PSH, FIN */
	s->vnet.gso_type =
	    f->spec.ip_version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	s->vnet.gso_size = mss;
}

void sample_make(struct sample *s, uint32_t i)
{
	const struct item *item = &items[i];
	struct frame *f = &s->frame;

	frame_build(f, &item->spec);
	s->vnet = (struct virtio_net_hdr){ 0 };
	s->tunnel = item->checksum == INNER;
	if (item->spec.ip_version == 4)
		put_ipv4_checksum(f);
	if (item->checksum == BLANK)
		leave_blank(s, item->mss);
	else if (item->checksum == INNER)
		put_tunnel(s);
	else if (f->csum_at)
		put_be16(f->bytes + f->csum_at, item->checksum == ZERO ? 0 : frame_checksum(f));
}

bool sample_is_gso(const struct sample *s)
{
	return s->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

uint32_t sample_wire_size(const struct sample *s)
{
	uint32_t largest = s->frame.header_size + s->vnet.gso_size;

	return sample_is_gso(s) && largest < s->frame.size ? largest : s->frame.size;
}
