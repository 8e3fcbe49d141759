/* SPDX-License-Identifier: MIT */
/*
 * Frames for tests, built from a description, and their checksums worked out the slow
 * way: byte by byte, sharing nothing with the code under test.
 */
#ifndef TESTS_FRAMES_H
#define TESTS_FRAMES_H

#include "packet.h"

struct frame_spec {
	unsigned n_vlan_tags;
	int ip_version;	      /* 4, 6; 0: 'payload' bytes of no IP, ARP if they may be */
	uint8_t protocol;     /* of the transport header: IPPROTO_TCP, IPPROTO_UDP or any other */
	unsigned ip_options;  /* bytes of IPv4 options, a multiple of 4 */
	const uint8_t *chain; /* types of IPv6 extension headers, ended by IPPROTO_NONE */
	unsigned tcp_options; /* bytes, a multiple of 4 */
	uint32_t payload;     /* bytes behind the transport header */
	uint32_t padding;     /* bytes behind the IP packet */
	uint16_t fragment;    /* IPv4's fragment field, or that of IPv6's fragment header */
};

struct frame {
	uint8_t bytes[PACKET_FRAME_MAX];
	uint32_t size;
	uint32_t network_offset;
	uint32_t transport_offset;
	uint32_t header_size;
	uint32_t csum_at; /* 0: neither TCP nor UDP */
	struct frame_spec spec;
};

/* Builds the frame with a payload that differs in every byte and a checksum field
 * that holds rubbish. */
void frame_build(struct frame *f, const struct frame_spec *spec);

/* The complemented checksum the transport header ought to carry. */
uint16_t frame_checksum(const struct frame *f);

/* The pseudo header's sum alone, folded, as a blank checksum field holds it. */
uint16_t frame_pseudo_sum(const struct frame *f);

/* Whether bytes, a copy of f whose checksum may be different, carries the right one. */
bool frame_checksum_ok(const struct frame *f, const uint8_t *bytes);

/*
 * Does by the book all that 'vnet' leaves to be done: cuts a GSO frame into segments and
 * writes the checksums. 'each' gets every whole frame; the number of them is returned.
 * A blank checksum is the outermost transport header's, or TCP's inside a UDP tunnel.
 */
typedef void frame_sink(void *arg, const uint8_t *frame, uint32_t size);
uint32_t frame_complete(const uint8_t *frame, uint32_t size, const struct virtio_net_hdr *vnet,
			frame_sink *each, void *arg);

/* RFC 1071 the slow way. */
uint16_t slow_sum(uint32_t sum, const uint8_t *data, size_t n);

uint16_t get_be16(const uint8_t *from);
void put_be16(uint8_t *to, uint32_t value);

#endif
