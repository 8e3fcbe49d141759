/* SPDX-License-Identifier: MIT */
/*
 * xen-frames: sends frames given byte by byte, and writes down those that arrive. For
 * tests on the rig, in dom0 and, linked statically, in guests.
 *
 *	xen-frames send INTERFACE HEX...
 *	xen-frames take INTERFACE FILE
 *
 * 'take' runs until it is killed. A first line "taking" in FILE says that from now on no
 * frame is missed; then each frame of the ethertype for experiments (IEEE 802, 88b5),
 * whatever tags are before it, is a line of hexadecimal digits: the frame as it was on
 * the wire, the tag that Linux keeps apart put back.
 */
#include <arpa/inet.h>
#include <err.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FRAME_MAX     65536
#define ADDRESSES     12 /* bytes before the first tag or ethertype */
#define TAG	      4
#define ETHERTYPE_OUR 0x88b5

static int open_on(const char *interface, int protocol)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = htons(protocol),
				 .sll_ifindex = (int)if_nametoindex(interface) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;

	if (fd < 0 || !a.sll_ifindex)
		err(1, "%s", interface);
	if (setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)))
		err(1, "%s", interface);
	return fd;
}

/* ---- sending ---- */

static size_t parse(const char *hex, uint8_t *frame)
{
	size_t size = strlen(hex) / 2;

	if (strlen(hex) % 2 || size > FRAME_MAX)
		errx(1, "not a frame: %s", hex);
	for (size_t i = 0; i < size; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &frame[i]) != 1)
			errx(1, "not a frame: %s", hex);
	return size;
}

static void send_frames(const char *interface, char *hex[])
{
	static uint8_t frame[FRAME_MAX];
	int fd = open_on(interface, 0); /* receives nothing */

	for (; *hex; hex++) {
		size_t size = parse(*hex, frame);

		if (send(fd, frame, size, 0) != (ssize_t)size)
			err(1, "%s: sending %zu bytes", interface, size);
	}
}

/* ---- taking ---- */

static bool is_ours(const uint8_t *frame, size_t size)
{
	for (size_t at = ADDRESSES; at + 2 <= size; at += TAG) {
		uint16_t type = (uint16_t)(frame[at] << 8 | frame[at + 1]);

		if (type != ETHERTYPE_VLAN && type != 0x88a8)
			return type == ETHERTYPE_OUR;
	}
	return false;
}

/* The tag, if there is one, is put at tag[0..TAG). */
static bool tag_of(struct msghdr *m, uint8_t *tag)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
			return false;
		aux.tp_vlan_tpid = htons(aux.tp_vlan_tpid);
		aux.tp_vlan_tci = htons(aux.tp_vlan_tci);
		memcpy(tag, &aux.tp_vlan_tpid, 2);
		memcpy(tag + 2, &aux.tp_vlan_tci, 2);
		return true;
	}
	return false;
}

/* Returns the size of the next frame that is ours, its tag put back. */
static size_t take_frame(int fd, uint8_t *frame)
{
	static uint8_t received[FRAME_MAX];
	char control[256];

	for (;;) {
		struct sockaddr_ll from;
		struct iovec iov = { received, sizeof(received) };
		struct msghdr m = { .msg_name = &from,
				    .msg_namelen = sizeof(from),
				    .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(fd, &m, 0);
		size_t tag;

		if (n < 0)
			err(1, "recvmsg");
		if (n < ETH_HLEN || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		memcpy(frame, received, ADDRESSES);
		tag = tag_of(&m, frame + ADDRESSES) ? TAG : 0;
		memcpy(frame + ADDRESSES + tag, received + ADDRESSES, (size_t)n - ADDRESSES);
		if (is_ours(frame, (size_t)n + tag))
			return (size_t)n + tag;
	}
}

static void take_frames(const char *interface, const char *name)
{
	static uint8_t frame[FRAME_MAX + TAG];
	int fd = open_on(interface, ETH_P_ALL);
	struct packet_mreq promiscuous = { .mr_ifindex = (int)if_nametoindex(interface),
					   .mr_type = PACKET_MR_PROMISC };
	FILE *file = fopen(name, "w");

	if (!file)
		err(1, "%s", name);
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)))
		err(1, "%s", interface);
	fprintf(file, "taking\n");
	fflush(file);
	for (;;) {
		size_t size = take_frame(fd, frame);

		for (size_t i = 0; i < size; i++)
			fprintf(file, "%02x", frame[i]);
		fprintf(file, "\n");
		fflush(file);
	}
}

int main(int argc, char *argv[])
{
	if (argc > 3 && !strcmp(argv[1], "send"))
		send_frames(argv[2], argv + 3);
	else if (argc == 4 && !strcmp(argv[1], "take"))
		take_frames(argv[2], argv[3]);
	else
		errx(2, "usage: xen-frames send INTERFACE HEX... | take INTERFACE FILE");
	return 0;
}
