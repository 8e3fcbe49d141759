/* SPDX-License-Identifier: MIT */
/*
 * Frames of every shape (tests/unit/samples.h) through real kernels and vifd: inside a lab
 * of two guests and a wire, each host sends them to each other one from a raw socket, and
 * what arrives is compared with what ought to, byte by byte. Frames beyond the MTU are left
 * out.
 *
 *	odd-frames TITLE
 *
 * One line for each way: "ok - ..." or "not ok - ...". Exit status: 0 all ok, 1 not, 2 no lab.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/samples.h"

#define N_HOSTS	    3u
#define PATIENCE_MS 5000
#define LIST_MAX    64u

static const char *const names[N_HOSTS] = { "g1", "g2", "wire" };

struct host {
	int fd;			       /* packet socket on its eth0, with virtio_net_hdr */
	uint8_t mac[6], sample_mac[6]; /* its own; what its samples carry */
	uint32_t mtu;
};

/* Whole frames that are still to come. */
struct list {
	uint8_t *bytes[LIST_MAX];
	uint32_t size[LIST_MAX];
	uint32_t first, n;
	uint32_t padding;  /* of each, which a bridge with br_netfilter cuts off */
	const char *wrong; /* NULL: nothing was */
};

static struct host hosts[N_HOSTS];

/* The kernel lets frames out some time after the carrier came. */
static void await_link(int fd, struct ifreq *ifr)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	int patience = PATIENCE_MS / 2;

	do
		if (ioctl(fd, SIOCGIFFLAGS, ifr) || patience-- == 0)
			errx(2, "%s has no link", ifr->ifr_name);
	while (!(ifr->ifr_flags & IFF_RUNNING) && !nanosleep(&pause, NULL));
}

static void open_host(uint32_t h, const char *lab)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int netns, on = 1, large = 4 << 20;
	struct ifreq ifr = { .ifr_name = "eth0" };
	char path[128];

	snprintf(path, sizeof(path), "/run/netns/%s-%s", lab, names[h]);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0 || setns(netns, CLONE_NEWNET))
		err(2, "%s", path);
	close(netns);
	hosts[h].fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (hosts[h].fd < 0 || ioctl(hosts[h].fd, SIOCGIFINDEX, &ifr))
		err(2, "eth0 of %s", names[h]);
	address.sll_ifindex = ifr.ifr_ifindex;
	await_link(hosts[h].fd, &ifr);
	if (setsockopt(hosts[h].fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    setsockopt(hosts[h].fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ||
	    setsockopt(hosts[h].fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large)) ||
	    setsockopt(hosts[h].fd, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large)) ||
	    bind(hosts[h].fd, (struct sockaddr *)&address, sizeof(address)) ||
	    ioctl(hosts[h].fd, SIOCGIFHWADDR, &ifr))
		err(2, "packet socket of %s", names[h]);
	memcpy(hosts[h].mac, ifr.ifr_hwaddr.sa_data, 6);
	if (ioctl(hosts[h].fd, SIOCGIFMTU, &ifr))
		err(2, "MTU of %s", names[h]);
	hosts[h].mtu = (uint32_t)ifr.ifr_mtu;
	memcpy(hosts[h].sample_mac, (uint8_t[]){ 0x02, 0x0d, 0xd0, 0, 0, (uint8_t)h }, 6);
}

static void expect(void *arg, const uint8_t *frame, uint32_t size)
{
	struct list *l = arg;
	uint32_t at = l->first + l->n++;

	assert(at < LIST_MAX);
	l->bytes[at] = memcpy(malloc(size), frame, size);
	l->size[at] = size;
}

static void arrived(struct list *l, const uint8_t *frame, uint32_t size)
{
	if (!l->n)
		l->wrong = "more frames than ought to come";
	else if (size != l->size[l->first] && size != l->size[l->first] - l->padding)
		l->wrong = "a frame of another size";
	else if (memcmp(frame, l->bytes[l->first], size) != 0)
		l->wrong = "a frame of other content";
	if (!l->n)
		return;
	free(l->bytes[l->first++]);
	l->n--;
}

/* The kernel takes the outer tag out of the frame and tells it beside. */
struct received {
	struct list *list;
	bool tagged;
	uint16_t tpid, tci;
};

static void put_tag_back(void *arg, const uint8_t *frame, uint32_t size)
{
	static uint8_t out[PACKET_FRAME_MAX + 4];
	const struct received *r = arg;

	if (!r->tagged) {
		arrived(r->list, frame, size);
		return;
	}
	memcpy(out, frame, 12);
	put_be16(out + 12, r->tpid);
	put_be16(out + 14, r->tci);
	memcpy(out + 16, frame + 12, size - 12);
	arrived(r->list, out, size + 4);
}

/* Reads one frame; of samples of 'from' to 'to' only: a bridge that does not know an address
 * yet sends others here as well. Returns false when none came in time. */
static bool receive(uint32_t from, uint32_t to, struct list *list)
{
	static uint8_t frame[PACKET_FRAME_MAX];
	struct virtio_net_hdr vnet;
	char control[256];
	struct iovec iov[] = { { &vnet, sizeof(vnet) }, { frame, sizeof(frame) } };
	struct msghdr msg = { .msg_iov = iov,
			      .msg_iovlen = 2,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct pollfd p = { .fd = hosts[to].fd, .events = POLLIN };
	struct received r = { .list = list };
	ssize_t n;

	if (poll(&p, 1, PATIENCE_MS) != 1)
		return false;
	n = recvmsg(p.fd, &msg, MSG_DONTWAIT) - (ssize_t)sizeof(vnet);
	if (n < ETH_HLEN || memcmp(frame, hosts[to].mac, 6) != 0 ||
	    memcmp(frame + 6, hosts[from].sample_mac, 6) != 0)
		return true;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		r.tagged = aux.tp_status & TP_STATUS_VLAN_VALID;
		r.tpid = aux.tp_vlan_tpid;
		r.tci = aux.tp_vlan_tci;
	}
	frame_complete(frame, (uint32_t)n, &vnet, put_tag_back, &r);
	return true;
}

static bool fits(const struct sample *s, uint32_t mtu)
{
	return sample_wire_size(s) <= mtu + ETH_HLEN + (s->frame.spec.n_vlan_tags ? 4u : 0u);
}

static const char *send_sample(uint32_t from, uint32_t to, const struct sample *s,
			       struct list *list)
{
	struct iovec iov[] = { { (void *)&s->vnet, sizeof(s->vnet) },
			       { (void *)s->frame.bytes, s->frame.size } };

	*list = (struct list){ .padding = s->frame.spec.padding };
	frame_complete(s->frame.bytes, s->frame.size, &s->vnet, expect, list);
	if (writev(hosts[from].fd, iov, 2) < 0)
		return strerror(errno);
	while (list->n && !list->wrong)
		if (!receive(from, to, list))
			return "it did not arrive";
	return list->wrong;
}

static bool way(const char *title, uint32_t from, uint32_t to)
{
	static struct sample s;
	struct list list;
	uint32_t n = 0;

	for (uint32_t i = 0; i < SAMPLES; i++) {
		const char *wrong;

		sample_make(&s, i);
		if (!fits(&s, MIN(hosts[from].mtu, hosts[to].mtu)))
			continue;
		memcpy(s.frame.bytes, hosts[to].mac, 6);
		memcpy(s.frame.bytes + 6, hosts[from].sample_mac, 6);
		wrong = send_sample(from, to, &s, &list);
		if (wrong) {
			printf("not ok - %s: odd frames from %s to %s: sample %u of %u bytes: %s\n",
			       title, names[from], names[to], i, s.frame.size, wrong);
			return false;
		}
		n++;
	}
	printf("ok - %s: odd frames from %s to %s: %u shapes\n", title, names[from], names[to], n);
	return true;
}

int main(int argc, char *argv[])
{
	const char *lab = getenv("VIF_LAB_NAME");
	bool ok = true;

	if (!lab || argc != 2)
		errx(2, "usage, inside a lab: odd-frames TITLE");
	for (uint32_t h = 0; h < N_HOSTS; h++)
		open_host(h, lab);
	for (uint32_t from = 0; from < N_HOSTS; from++)
		for (uint32_t to = 0; to < N_HOSTS; to++)
			if (from != to)
				ok &= way(argv[1], from, to);
	return !ok;
}
