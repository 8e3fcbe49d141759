/* SPDX-License-Identifier: MIT */
/*
 * Rank 1: checksum and segmentation offload, as three dialects of one idea.
 *
 *	netif		  NETTXF/NETRXF_csum_blank, _data_validated, GSO extra (netif.h)
 *	virtio_net_hdr	  NEEDS_CSUM + csum_start/offset, DATA_VALID, gso_type/size
 *	software	  the checksum written into the frame
 *
 * Everything here reads and writes only the frame in our own memory, and never
 * past p->size, whatever the bytes say.
 */
#ifndef VIF_OFFLOAD_H
#define VIF_OFFLOAD_H

#include "packet.h"

/*
 * The most segments a guest may have one frame cut into. Without hardware for it the
 * kernel cuts while we hand the frame over: 65535 segments of one byte hold a worker for
 * 26 ms and take 50 MB. A full frame of 64-byte segments is beyond any honest sender.
 */
#define OFFLOAD_SEGMENTS_MAX 1024u

/* What the netif flags and GSO extra of one frame say. */
struct netif_offload {
	bool csum_blank;     /* the transport checksum field holds the pseudo-header sum only */
	bool data_validated; /* the sender vouches for the checksum */
	uint8_t gso_type;    /* XEN_NETIF_GSO_TYPE_*, 0 for none */
	uint16_t gso_size;   /* MSS in bytes */
	uint8_t ip_version;  /* 4 or 6: found out for a blank checksum */
};

/* Where a frame's transport header is. Offsets are from the frame's first byte. */
struct frame_transport {
	uint16_t ethertype;	 /* after VLAN tags, host order */
	uint8_t protocol;	 /* IPPROTO_TCP, IPPROTO_UDP, ... after IPv6 extension headers */
	uint8_t ip_version;	 /* 4, 6, or 0: not IP */
	bool fragment;		 /* an IP fragment: has no checksum of its own */
	bool source_routed;	 /* the IPv6 header's destination is not the final one */
	uint16_t network_offset;
	uint16_t transport_offset;
	uint16_t csum_offset;	 /* of the checksum field within the transport header; 0: none
				  * known (neither TCP nor UDP, or a fragment) */
	uint16_t header_size;	 /* up to and including the transport header, if it was parsed */
};

/*
 * Finds the transport header. Up to two VLAN tags and 8 IPv6 extension headers.
 * Returns 0, or -EPROTO: truncated or nonsense headers; a non-IP frame is 0 with
 * ip_version 0. A fragment's transport header is not looked at.
 */
int frame_parse(const uint8_t *frame, uint32_t size, struct frame_transport *out) must_check;

/*
 * netif -> virtio_net_hdr, for a frame a guest sent. Writes packet_vnet(p) and,
 * for a blank checksum, seeds the pseudo-header sum (guests may leave anything
 * there). GSO implies a blank checksum, said or not; GSO of a frame that is one segment
 * already is left out: the kernel has no use for it. Sets in->ip_version, and clears what
 * stands behind the IP packet: whoever finishes the checksum sums the padding as well.
 * VIF_DROP: offload asked of a frame that cannot have it (neither TCP nor UDP, an IP
 * fragment, GSO that does not match the headers or of size 0, more than
 * OFFLOAD_SEGMENTS_MAX segments, truncated headers).
 */
enum vif_verdict offload_from_netif(struct packet *p, struct netif_offload *in) must_check;

/*
 * virtio_net_hdr -> netif, for a frame read from a TAP. A blank checksum that is not
 * the one netif means (of the outermost TCP or UDP header of an untagged frame: a tunnel's
 * inner one is not) is finished in the frame. -EPROTO: not expressible (UDP GSO, GSO in a
 * tunnel or behind a VLAN tag, offsets beyond the frame); the caller drops and counts.
 */
int offload_to_netif(struct packet *p, struct netif_offload *out) must_check;

/*
 * Writes the checksum a NEEDS_CSUM virtio_net_hdr asks for into the frame and
 * clears the flag, for a receiver without checksum offload. -EPROTO if the
 * header's offsets leave the frame or a GSO frame is given.
 */
int offload_finish_checksum(struct packet *p) must_check;

/* Whether the frame has a VLAN tag in it. */
bool frame_is_tagged(const uint8_t *frame, uint32_t size);

/*
 * Segmentation in software: cuts out of p, a TCP GSO frame read from a TAP, the segment that
 * begins 'at' bytes into its payload, whole and with all checksums, into 'out', whose memory
 * is PACKET_FRAME_MAX. Begin with 0. Returns where the next segment begins, or 0: that was
 * the last; or -EPROTO: p is nothing that can be cut, or not there; out is undefined.
 * As Linux net/ipv4/tcp_offload.c tcp_gso_segment().
 */
int offload_cut(const struct packet *p, uint32_t at, struct packet *out) must_check;

/* RFC 1071 sum of n bytes, folded to 16 bits, not complemented; host byte order
 * of the big-endian words. 'sum' chains calls of even n. */
uint16_t checksum_add(uint16_t sum, const void *data, size_t n);

#endif
