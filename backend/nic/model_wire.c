/* SPDX-License-Identifier: MIT */
/* See model_wire.h. */
#include "backend/nic/model_wire.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A ring, since taking a frame from it is no system call: 22 ns for 60 bytes and 82 for 1514,
 * where recvmmsg() of 64 takes 401 and 723. TPACKET_V2: a slot is handed over as soon as its
 * frame is there; V3's blocks only when they are full, or after a millisecond at least.
 */
#define BLOCK_SIZE (16 * SLOT_SIZE)
#define SLOT_SIZE  MODEL_WIRE_SLOT_SIZE
#define N_SLOTS	   MODEL_WIRE_SLOTS
#define RESERVE	   16u /* room for the tag, which the kernel takes off */
#define RING_SIZE  ((size_t)N_SLOTS * SLOT_SIZE)
#define SEND_BYTES (4 << 20)
static_assert(TPACKET2_HDRLEN + RESERVE + 32 + MODEL_FRAME_MAX <= SLOT_SIZE,
	      "a frame fits its slot");

/* ---- in control ---- */

static int set_int(int fd, int option, int value)
{
	return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value));
}

/* Of a device, all that it receives, whomever it is for. */
static int attach(int fd, int ifindex)
{
	struct packet_mreq all = { .mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC };
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(ETH_P_ALL),
				    .sll_ifindex = ifindex };

	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	return 0;
}

/* Only what other hosts send; sent past the queueing of the stack. */
static int set_up(int fd, int ifindex, const char **step)
{
	struct tpacket_req ring = { .tp_block_size = BLOCK_SIZE,
				    .tp_block_nr = RING_SIZE / BLOCK_SIZE,
				    .tp_frame_size = SLOT_SIZE,
				    .tp_frame_nr = N_SLOTS };
	int send_bytes = SEND_BYTES;

	*step = "setting up its packet socket";
	if (set_int(fd, PACKET_VERSION, TPACKET_V2) || set_int(fd, PACKET_RESERVE, RESERVE) ||
	    set_int(fd, PACKET_IGNORE_OUTGOING, 1) || set_int(fd, PACKET_QDISC_BYPASS, 1) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes)))
		return -errno;
	*step = "making its ring";
	if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)))
		return -errno;
	*step = "taking what it receives";
	return attach(fd, ifindex);
}

int model_wire_socket(int ifindex, char *why, size_t why_size)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* nothing comes before bind */
	const char *step = "making a packet socket";
	int err = fd < 0 ? -errno : set_up(fd, ifindex, &step);

	if (!err)
		return fd;
	snprintf(why, why_size, "the wire: %s: %s", step, strerror(-err));
	if (fd >= 0)
		close(fd);
	return err;
}

int model_wire_links(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int err;

	if (fd >= 0 && !bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* ---- the device's ---- */

static struct tpacket2_hdr *slot_at(const struct model_wire *w, uint32_t i)
{
	return (struct tpacket2_hdr *)(void *)(w->ring + (size_t)(i % N_SLOTS) * SLOT_SIZE);
}

static bool is_full(const struct model_wire *w, uint32_t i)
{
	return __atomic_load_n(&slot_at(w, i)->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER;
}

static void give_back(const struct model_wire *w, uint32_t i)
{
	__atomic_store_n(&slot_at(w, i)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

/* In this order: a slot that is never given back would be where the kernel ends. */
void model_wire_take(struct model_wire *w)
{
	uint32_t taken = *w->next;

	__atomic_store_n(w->next, (taken + 1) % N_SLOTS, __ATOMIC_RELAXED);
	give_back(w, taken);
}

/*
 * Whoever had the ring before may have died in model_wire_take(). The kernel fills slots in
 * order: one that is full behind one that is not, and before the next, is one that was taken.
 * Where all are full it cannot be told, and if it was taken it comes once more: neither the
 * kernel nor we are a slot off.
 */
static void finish_take(struct model_wire *w)
{
	uint32_t last = *w->next + N_SLOTS - 1;

	if (is_full(w, last) && !is_full(w, last - 1))
		give_back(w, last);
}

int model_wire_open(struct model_wire *w, const char *name, int fd, int links, uint32_t *next)
{
	void *ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (ring == MAP_FAILED)
		return -errno;
	*w = (struct model_wire){ .name = name, .fd = fd, .links = links, .ring = ring, .next = next };
	if (*next & MODEL_WIRE_CHANGED)
		model_wire_take(w);
	else
		finish_take(w);
	return 0;
}

void model_wire_close(struct model_wire *w)
{
	if (w->ring)
		munmap(w->ring, RING_SIZE);
	w->ring = NULL;
}

/* Puts the tag back between the addresses and the rest. Who finds the frame so after a crash
 * cannot tell how far that went. */
static void insert_tag(struct model_wire *w, struct model_frame *f, const struct tpacket2_hdr *slot)
{
	uint16_t type =
	    slot->tp_status & TP_STATUS_VLAN_TPID_VALID ? slot->tp_vlan_tpid : ETH_P_8021Q;
	uint16_t tag[2] = { htons(type), htons(slot->tp_vlan_tci) };

	__atomic_store_n(w->next, *w->next | MODEL_WIRE_CHANGED, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	memmove(f->data - PACKET_TAG_SIZE, f->data, 2 * ETH_ALEN);
	f->data -= PACKET_TAG_SIZE;
	f->size += PACKET_TAG_SIZE;
	memcpy(f->data + 2 * ETH_ALEN, tag, sizeof(tag));
}

int model_wire_peek(struct model_wire *w, struct model_frame *out)
{
	struct tpacket2_hdr *slot = slot_at(w, *w->next);
	uint32_t status = __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE);

	if (!(status & TP_STATUS_USER))
		return 0;
	*out = (struct model_frame){ (uint8_t *)slot + slot->tp_mac, slot->tp_snaplen };
	if (status & TP_STATUS_CSUMNOTREADY || slot->tp_snaplen != slot->tp_len ||
	    slot->tp_len > MODEL_FRAME_MAX - PACKET_TAG_SIZE || slot->tp_len < ETH_HLEN)
		return -EMSGSIZE;
	if (status & TP_STATUS_VLAN_VALID)
		insert_tag(w, out, slot);
	return 1;
}

/* The device that is bound. Where that is gone, one of the wire's name that has come since: as
 * a cable is plugged in. */
static int find_device(const struct model_wire *w, struct ifreq *req)
{
	struct sockaddr_ll addr = { .sll_ifindex = 0 };
	socklen_t size = sizeof(addr);
	int err;

	if (getsockname(w->fd, (struct sockaddr *)&addr, &size))
		return -errno;
	req->ifr_ifindex = addr.sll_ifindex;
	if (!ioctl(w->fd, SIOCGIFNAME, req))
		return 0;
	snprintf(req->ifr_name, sizeof(req->ifr_name), "%s", w->name);
	if (ioctl(w->fd, SIOCGIFINDEX, req))
		return -errno;
	err = attach(w->fd, req->ifr_ifindex);
	snprintf(req->ifr_name, sizeof(req->ifr_name), "%s", w->name);
	return err;
}

bool model_wire_link(struct model_wire *w)
{
	struct ifreq req = { .ifr_flags = 0 };
	char news[256];

	/* Whatever it was about, and whether some of it was lost: the device is asked. */
	while (recv(w->links, news, sizeof(news), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
		;
	return !find_device(w, &req) && !ioctl(w->fd, SIOCGIFFLAGS, &req) &&
	       req.ifr_flags & IFF_RUNNING;
}

uint32_t model_wire_send(struct model_wire *w, struct iovec frames[], uint32_t n)
{
	struct mmsghdr msgs[MODEL_WIRE_BATCH];
	uint32_t at = 0, n_sent = 0;

	assert(n <= MODEL_WIRE_BATCH);
	memset(msgs, 0, n * sizeof(*msgs));
	for (uint32_t i = 0; i < n; i++) {
		msgs[i].msg_hdr.msg_iov = &frames[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	while (at < n) {
		int rc = sendmmsg(w->fd, msgs + at, n - at, MSG_DONTWAIT);

		if (rc <= 0) { /* this one is lost */
			at++;
			continue;
		}
		at += (uint32_t)rc;
		n_sent += (uint32_t)rc;
	}
	return n_sent;
}
