/* SPDX-License-Identifier: MIT */
/*
 * AF_XDP in the datapath: one UMEM a port, registered by control, and sockets that share it:
 * one a queue of the device that holds the queue's fill ring, and for each place one on each
 * queue or, where the device picks the queue, on the queue that is its own.
 *
 * A frame of the UMEM is a packet: the kernel writes a received frame 256 bytes into its
 * page, and the virtio_net_hdr has room before it. Each packet is at any time in exactly
 * one of: the free list, a fill ring, a place's ring, a user's hands.
 *
 * A place holds at most RX_FRAMES of each queue's frames, so a guest that takes none keeps
 * no more than that from the others. Trust: the kernel's; addresses it hands out are
 * checked all the same, as one beyond the UMEM would be memory of another guest's frames.
 */
#include "backend/nic/afxdp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend/nic/afxdp_rings.h"
#include "backend/nic/afxdp_transmit.h"

#define CHUNK	    AFXDP_CHUNK
#define RX_FRAMES   AFXDP_RX_FRAMES
#define FILL_FRAMES AFXDP_FILL_FRAMES

struct nic_port {
	int ifindex;
	struct afxdp_terms terms;
	int n_queues; /* terms.n_queues; an index here is from terms.first_queue on */
	int fd[NIC_QUEUES_MAX];
	struct xsk_ring_prod fill[NIC_QUEUES_MAX];
	void *fill_map[NIC_QUEUES_MAX];
	size_t fill_size[NIC_QUEUES_MAX];

	uint32_t n_chunks;
	uint8_t *memory;
	struct packet *all; /* [n_chunks] */
	struct packet *free;
	uint32_t n_free;

	struct afxdp_transmit transmit;
};

struct nic_place {
	struct nic_port *port;
	int first, n_queues; /* of the port's */
	int poll_fd; /* an epoll of them all where there are several; else fd[0] */
	int fd[NIC_QUEUES_MAX];
	struct xsk_ring_cons rx[NIC_QUEUES_MAX];
	void *rx_map[NIC_QUEUES_MAX];
	size_t rx_size[NIC_QUEUES_MAX];
	int next; /* queue to look at first: all have their turn */
};

static int fail(char *why, size_t size, const char *step)
{
	int err = -errno;

	snprintf(why, size, "AF_XDP: %s: %s", step, strerror(-err));
	return err;
}

/* ---- rings ---- */

static int map_fill(struct nic_port *port, int queue)
{
	struct xdp_mmap_offsets off;

	if (afxdp_offsets(port->fd[queue], &off))
		return -1;
	port->fill_map[queue] = afxdp_map(port->fd[queue], XDP_UMEM_PGOFF_FILL_RING, &off.fr,
					  FILL_FRAMES, sizeof(uint64_t), &port->fill_size[queue]);
	if (!port->fill_map[queue])
		return -1;
	afxdp_set_up_producer(&port->fill[queue], port->fill_map[queue], &off.fr, FILL_FRAMES);
	return 0;
}

static int map_rx(struct nic_place *place, int at)
{
	struct xdp_mmap_offsets off;

	if (afxdp_offsets(place->fd[at], &off))
		return -1;
	place->rx_map[at] = afxdp_map(place->fd[at], XDP_PGOFF_RX_RING, &off.rx, RX_FRAMES,
				      sizeof(struct xdp_desc), &place->rx_size[at]);
	if (!place->rx_map[at])
		return -1;
	afxdp_set_up_consumer(&place->rx[at], place->rx_map[at], &off.rx, RX_FRAMES);
	return 0;
}

/*
 * Shared with 'umem_fd' unless that is -1. Then the kernel tries zero-copy first and copies
 * where the driver has none (net/xdp/xsk_buff_pool.c xp_assign_dev()), and every socket that
 * shares the memory follows.
 */
static int bind_to(const struct nic_port *port, int fd, int queue, int umem_fd)
{
	struct sockaddr_xdp addr = { .sxdp_family = AF_XDP,
				     .sxdp_ifindex = (uint32_t)port->ifindex,
				     .sxdp_queue_id = port->terms.first_queue + (uint32_t)queue };

	if (umem_fd >= 0) {
		addr.sxdp_flags = XDP_SHARED_UMEM;
		addr.sxdp_shared_umem_fd = (uint32_t)umem_fd;
	} else {
		addr.sxdp_flags = XDP_USE_NEED_WAKEUP | (port->terms.copy ? XDP_COPY : 0);
	}
	return bind(fd, (struct sockaddr *)&addr, sizeof(addr));
}

/* ---- the packets ---- */

static bool is_of(const struct nic_port *port, const struct packet *p)
{
	return p >= port->all && p < port->all + port->n_chunks;
}

static void give_back(struct nic_port *port, struct packet *p)
{
	p->next = port->free;
	port->free = p;
	port->n_free++;
}

/* Hands free packets to the kernel. */
static void refill(struct nic_port *port, int queue)
{
	struct xsk_ring_prod *fill = &port->fill[queue];
	uint32_t n = xsk_prod_nb_free(fill, FILL_FRAMES), at;

	n = MIN(MIN(n, port->n_free), FILL_FRAMES);
	if (n < FILL_FRAMES / 8 || !xsk_ring_prod__reserve(fill, n, &at))
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = port->free;

		port->free = p->next;
		*xsk_ring_prod__fill_addr(fill, at + i) = (uint64_t)(p - port->all) * CHUNK;
	}
	port->n_free -= n;
	xsk_ring_prod__submit(fill, n);
	if (xsk_ring_prod__needs_wakeup(fill))
		recvfrom(port->fd[queue], NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static int make_packets(struct nic_port *port, int memfd)
{
	assert(port->n_chunks); /* read_terms(): there is a queue */
	port->all = calloc(port->n_chunks, sizeof(*port->all));
	if (!port->all)
		return -1;
	port->memory = mmap(NULL, afxdp_umem_size(&port->terms), PROT_READ | PROT_WRITE, MAP_SHARED,
			    memfd, 0);
	if (port->memory == MAP_FAILED) {
		port->memory = NULL;
		return -1;
	}
	for (uint32_t i = port->n_chunks; i-- > 0;)
		give_back(port, &port->all[i]);
	return 0;
}

/* ---- the port ---- */

static void port_close(struct nic_port *port)
{
	if (!port)
		return;
	for (int i = 0; i < port->n_queues; i++) {
		if (port->fill_map[i])
			munmap(port->fill_map[i], port->fill_size[i]);
		if (port->fd[i] >= 0)
			close(port->fd[i]);
	}
	afxdp_transmit_close(&port->transmit);
	if (port->memory)
		munmap(port->memory, afxdp_umem_size(&port->terms));
	free(port->all);
	free(port);
}

/* The first queue's socket has the UMEM, every one has fill and completion rings of its own, and
 * a receive ring because the kernel wants one; nothing is ever directed there. */
static int open_queue(struct nic_port *port, int queue, const char **step)
{
	int fd = port->fd[queue];
	bool sends = queue == 0 && port->terms.transmit;
	uint64_t behind = (uint64_t)port->n_chunks * CHUNK;

	*step = "making its rings";
	if (afxdp_set_size(fd, XDP_UMEM_FILL_RING, FILL_FRAMES) ||
	    afxdp_set_size(fd, XDP_UMEM_COMPLETION_RING, sends ? AFXDP_TX_FRAMES : 64) ||
	    afxdp_set_size(fd, XDP_RX_RING, 64) || map_fill(port, queue))
		return -1;
	if (sends && afxdp_transmit_open(&port->transmit, fd, port->memory + behind, behind))
		return -1;
	*step = "binding to the device's queue (does another program use it?)";
	return bind_to(port, fd, queue, queue ? port->fd[0] : -1);
}

/* What control wrote behind the memory. */
static int read_terms(struct nic_port *port, const int fds[], int n_fds)
{
	struct afxdp_terms *t = &port->terms;
	off_t end = lseek(fds[0], 0, SEEK_END);
	bool whole = end >= (off_t)sizeof(*t) &&
		     pread(fds[0], t, sizeof(*t), end - (off_t)sizeof(*t)) == sizeof(*t);

	if (whole && t->n_queues == (uint32_t)n_fds - 1 &&
	    (uint64_t)end == afxdp_umem_size(t) + sizeof(*t))
		return 0;
	errno = EPROTO;
	return -1;
}

static int port_open(int ifindex, const int fds[], int n_fds, struct nic_port **out, char *why,
		     size_t why_size)
{
	struct nic_port *port = calloc(1, sizeof(*port));
	const char *step = "reading control's terms";
	int err = 0;

	if (!port)
		return -ENOMEM;
	if (n_fds < 2) {
		free(port);
		return -EPROTO;
	}
	port->ifindex = ifindex;
	if (read_terms(port, fds, n_fds))
		err = fail(why, why_size, step);
	step = "mapping the UMEM";
	port->n_queues = n_fds - 1; /* the first is the memory */
	port->n_chunks = afxdp_n_chunks(&port->terms);
	memcpy(port->fd, fds + 1, (size_t)port->n_queues * sizeof(*fds));
	if (!err && make_packets(port, fds[0]))
		err = fail(why, why_size, step);
	for (int i = 0; !err && i < port->n_queues; i++)
		if (open_queue(port, i, &step))
			err = fail(why, why_size, step);
	if (err) {
		port->n_queues = 0; /* the fds stay the caller's */
		port_close(port);
		return err;
	}
	for (int i = 0; i < port->n_queues; i++)
		refill(port, i);
	close(fds[0]);
	*out = port;
	return 0;
}

/* ---- places ---- */

/* The packet a descriptor names, or NULL: no frame of the UMEM. */
static struct packet *packet_of(struct nic_port *port, const struct xdp_desc *d)
{
	uint64_t chunk = d->addr / CHUNK, offset = d->addr % CHUNK;
	struct packet *p;

	if (chunk >= port->n_chunks || offset < PACKET_VNET_SIZE || d->len > CHUNK - offset)
		return NULL;
	p = &port->all[chunk];
	p->frame = port->memory + d->addr;
	p->size = d->len;
	p->next = NULL;
	memset(packet_vnet(p), 0, PACKET_VNET_SIZE);
	return p;
}

static uint32_t receive_queue(struct nic_place *place, int queue, struct packet *out[], uint32_t n)
{
	struct xsk_ring_cons *rx = &place->rx[queue];
	uint32_t at, got = 0, n_ready = xsk_ring_cons__peek(rx, n, &at);

	for (uint32_t i = 0; i < n_ready; i++) {
		struct packet *p = packet_of(place->port, xsk_ring_cons__rx_desc(rx, at + i));

		if (p)
			out[got++] = p;
	}
	if (n_ready)
		xsk_ring_cons__release(rx, n_ready);
	return got;
}

static uint32_t receive(struct nic_place *place, struct packet *out[], uint32_t n)
{
	struct nic_port *port = place->port;
	uint32_t got = 0;

	for (int i = 0; i < place->n_queues && got < n; i++) {
		int at = (place->next + i) % place->n_queues;

		got += receive_queue(place, at, out + got, n - got);
		refill(port, place->first + at);
	}
	place->next = (place->next + 1) % place->n_queues;
	return got;
}

/* What still waits goes back to the port first: nobody else would. */
static void leave(struct nic_place *place)
{
	struct packet *p[64];
	struct nic_port *port;
	uint32_t n;

	if (!place)
		return;
	port = place->port;
	while ((n = receive(place, p, ARRAY_SIZE(p))))
		while (n)
			give_back(port, p[--n]);
	if (place->n_queues > 1 && place->poll_fd >= 0)
		close(place->poll_fd);
	for (int i = 0; i < place->n_queues; i++) {
		munmap(place->rx_map[i], place->rx_size[i]);
		close(place->fd[i]);
	}
	free(place);
}

static int open_poll(struct nic_place *place)
{
	struct epoll_event event = { .events = EPOLLIN };
	int n = place->n_queues;

	place->poll_fd = n > 1 ? epoll_create1(EPOLL_CLOEXEC) : place->fd[0];
	if (place->poll_fd < 0)
		return -1;
	for (int i = 0; n > 1 && i < n; i++)
		if (epoll_ctl(place->poll_fd, EPOLL_CTL_ADD, place->fd[i], &event))
			return -1;
	return 0;
}

/* join() failed: what it made goes, the fds stay the caller's. */
static void abandon(struct nic_place *place)
{
	for (int i = 0; i < place->n_queues; i++)
		if (place->rx_map[i])
			munmap(place->rx_map[i], place->rx_size[i]);
	if (place->n_queues > 1 && place->poll_fd >= 0)
		close(place->poll_fd);
	free(place);
}

static int join(struct nic_port *port, uint32_t number, const int fds[], int n_fds,
		const struct nic_memory *lent, struct nic_place **out, char *why, size_t why_size)
{
	struct nic_place *place = calloc(1, sizeof(*place));
	const char *step = "a socket for each of its queues";
	int err = 0;

	assert(!lent);
	if (!place)
		return -ENOMEM;
	place->port = port;
	place->poll_fd = -1;
	place->first = port->terms.by_device ? (int)number : 0;
	place->n_queues = port->terms.by_device ? 1 : port->n_queues;
	if (n_fds != place->n_queues || number >= NIC_PLACES_MAX ||
	    place->first >= port->n_queues) {
		errno = EPROTO;
		err = fail(why, why_size, step);
	}
	for (int i = 0; !err && i < n_fds; i++) {
		place->fd[i] = fds[i];
		step = "joining the device's queue";
		if (afxdp_set_size(fds[i], XDP_RX_RING, RX_FRAMES) || map_rx(place, i) ||
		    bind_to(port, fds[i], place->first + i, port->fd[place->first + i]))
			err = fail(why, why_size, step);
	}
	if (!err && open_poll(place))
		err = fail(why, why_size, "epoll");
	if (err) {
		abandon(place);
		return err;
	}
	*out = place;
	return 0;
}

static int poll_fd(const struct nic_place *place)
{
	return place->poll_fd;
}

static void stats(const struct nic_place *place, struct nic_place_stats *out)
{
	*out = (struct nic_place_stats){ 0 };
	for (int i = 0; i < place->n_queues; i++) {
		struct xdp_statistics s;
		socklen_t size = sizeof(s);

		memset(&s, 0, sizeof(s));
		if (!getsockopt(place->fd[i], SOL_XDP, XDP_STATISTICS, &s, &size))
			out->lost += s.rx_dropped + s.rx_ring_full + s.rx_invalid_descs;
	}
}

/* ---- transmit ---- */

static uint32_t transmit(struct nic_port *port, struct packet *const p[], uint32_t n)
{
	return afxdp_transmit(&port->transmit, p, n);
}

static bool kick(struct nic_port *port)
{
	return afxdp_transmit_kick(&port->transmit);
}

static void sent(struct nic_port *port, struct nic_sent *out)
{
	afxdp_transmit_sent(&port->transmit, out);
}

const struct nic_port_ops afxdp_port_ops = {
	.open = port_open,
	.close = port_close,
	.join = join,
	.leave = leave,
	.poll_fd = poll_fd,
	.receive = receive,
	.is_of = is_of,
	.give_back = give_back,
	.stats = stats,
	.transmit = transmit,
	.kick = kick,
	.sent = sent,
};
