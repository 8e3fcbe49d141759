/* SPDX-License-Identifier: MIT */
/* Places of AF_XDP's: see afxdp_port.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend/nic/afxdp_port.h"

/* So often a place's queue may be found to be another's: who asks does so once a millisecond, and
 * a kernel that is busy takes some seconds to let go. */
#define BIND_TRIES 5000u

static bool has_own_umem(const struct nic_place *place)
{
	return place->port->terms.by_device;
}

/* ---- what is received ---- */

uint32_t afxdp_receive_queue(struct nic_place *place, int queue, struct packet *out[], uint32_t n)
{
	struct xsk_ring_cons *rx = &place->rx[queue].ring;
	uint32_t at, got = 0, n_ready = xsk_ring_cons__peek(rx, n, &at);

	for (uint32_t i = 0; i < n_ready; i++) {
		struct packet *p =
		    afxdp_umem_packet(place->umem, xsk_ring_cons__rx_desc(rx, at + i));

		if (p)
			out[got++] = p;
	}
	if (n_ready)
		xsk_ring_cons__release(rx, n_ready);
	place->umem->n_out += got;
	return got;
}

/* Frames that wait in a place, of one of its queues. */
static uint32_t n_waiting(const struct nic_place *place, int queue)
{
	const struct xsk_ring_cons *rx = &place->rx[queue].ring;

	return __atomic_load_n(rx->producer, __ATOMIC_ACQUIRE) - rx->cached_cons;
}

/* The fill rings that places share: as much as any has, and what those may take of it that nobody
 * reads. Without the latter one guest that is paused would empty them, and all others' frames find
 * no chunk: as none of theirs come, nobody would read, and fill. */
static void refill(struct nic_port *port)
{
	for (int i = 0; i < port->n_queues; i++) {
		uint32_t level = AFXDP_FILL_FRAMES;

		for (const struct nic_place *p = port->n_unread ? port->sharing : NULL; p;
		     p = p->next_sharing)
			if (p->unread)
				level += AFXDP_RX_FRAMES - MIN(n_waiting(p, i), AFXDP_RX_FRAMES);
		afxdp_fill(&port->fill[i], &port->umem[0], MIN(level, AFXDP_SHARED_FILL_FRAMES));
	}
}

static void set_unread(struct nic_place *place, bool unread)
{
	place->port->n_unread += (uint32_t)unread - (uint32_t)place->unread;
	place->unread = unread;
}

uint32_t afxdp_receive(struct nic_place *place, struct packet *out[], uint32_t n)
{
	uint32_t got = 0;

	if (place->lent)
		return afxdp_lent_receive(place, out, n);
	for (int i = 0; i < place->n_queues && got < n; i++)
		got += afxdp_receive_queue(place, (place->next + i) % place->n_queues, out + got,
					   n - got);
	place->next = (place->next + 1) % place->n_queues;
	set_unread(place, false);
	if (has_own_umem(place))
		afxdp_fill(&place->own_fill, place->umem, AFXDP_FILL_FRAMES);
	else
		refill(place->port);
	return got;
}

void afxdp_not_read(struct nic_place *place)
{
	if (place->unread || has_own_umem(place))
		return;
	set_unread(place, true);
	refill(place->port);
}

bool afxdp_may_keep(const struct nic_place *place)
{
	const struct nic_port *port = place->port;
	const struct afxdp_umem *u = place->umem;
	const uint32_t promised = AFXDP_FILL_FRAMES + port->n_sharing * AFXDP_RX_FRAMES;

	return has_own_umem(place) ||
	       u->n_out + (uint32_t)port->n_queues * promised + AFXDP_IN_HANDS < u->n_chunks;
}

static void share(struct nic_place *place)
{
	struct nic_port *port = place->port;

	set_unread(place, true); /* not before the queue is told to */
	place->next_sharing = port->sharing;
	port->sharing = place;
	port->n_sharing++;
	refill(port);
}

static void share_no_more(struct nic_place *place)
{
	struct nic_place **at = &place->port->sharing;

	while (*at != place)
		at = &(*at)->next_sharing;
	*at = place->next_sharing;
	place->port->n_sharing--;
	set_unread(place, false);
}

int afxdp_poll_fd(const struct nic_place *place)
{
	return place->poll_fd;
}

void afxdp_stats(const struct nic_place *place, struct nic_place_stats *out)
{
	*out = (struct nic_place_stats){ .lost = 0 };
	if (place->lent)
		*out = (struct nic_place_stats){ .lost = afxdp_lent_lost(place),
						 .waiting = afxdp_lent_waiting(place) };
	for (int i = 0; i < place->n_queues; i++) {
		struct xdp_statistics s;
		socklen_t size = sizeof(s);

		memset(&s, 0, sizeof(s));
		if (!getsockopt(place->rx[i].fd, SOL_XDP, XDP_STATISTICS, &s, &size))
			out->lost += s.rx_dropped + s.rx_ring_full + s.rx_invalid_descs;
	}
}

/* ---- life ---- */

/* All but the fds. */
static void dismantle(struct nic_place *place)
{
	free(place->lent);
	for (int i = 0; i < place->n_queues; i++)
		afxdp_rx_close(&place->rx[i]);
	afxdp_fill_close(&place->own_fill);
	if (place->poll_fd >= 0)
		close(place->poll_fd);
	if (place->umem && has_own_umem(place))
		afxdp_give_up_umem(place->umem);
	free(place);
}

/* What still waits goes back to the port first: nobody else would. */
static void give_back_waiting(struct nic_place *place)
{
	struct packet *p[64];
	uint32_t n;

	while ((n = afxdp_receive(place, p, ARRAY_SIZE(p)))) {
		place->umem->n_out -= n;
		while (n)
			afxdp_umem_put(place->umem, p[--n]);
	}
}

void afxdp_leave(struct nic_place *place)
{
	int fd[NIC_QUEUES_MAX], n;
	struct nic_port *port;

	if (!place)
		return;
	port = place->port;
	if (!has_own_umem(place))
		give_back_waiting(place);
	if (place->lent)
		afxdp_lent_close(place);
	n = place->n_queues;
	for (int i = 0; i < n; i++)
		fd[i] = place->rx[i].fd;
	if (!has_own_umem(place))
		share_no_more(place);
	dismantle(place);
	afxdp_place_gone(port);
	while (n > 0)
		close(fd[--n]);
}

static int open_poll(struct nic_place *place)
{
	struct epoll_event event = { .events = EPOLLIN };

	place->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (place->poll_fd < 0)
		return -1;
	for (int i = 0; i < place->n_queues; i++)
		if (epoll_ctl(place->poll_fd, EPOLL_CTL_ADD, place->rx[i].fd, &event))
			return -1;
	return 0;
}

/* On all queues, with the port's memory. */
static int open_shared(struct nic_place *place, const int fds[], const char **step)
{
	struct nic_port *port = place->port;

	*step = "joining the device's queue";
	place->umem = &port->umem[0];
	for (int i = 0; i < place->n_queues; i++) {
		if (afxdp_rx_open(&place->rx[i], fds[i], AFXDP_RX_FRAMES) ||
		    afxdp_bind(port, fds[i], (uint32_t)i, port->fill[i].fd))
			return -1;
	}
	place->bound = true;
	return 0;
}

/* What control registered. */
static int map_umem(struct nic_place *place, int memfd)
{
	const size_t size = (size_t)AFXDP_PLACE_CHUNKS * AFXDP_CHUNK;
	struct afxdp_umem *u = afxdp_free_umem(place->port);
	void *memory;

	if (!u) {
		errno = ENOBUFS; /* frames of those that left are still in users' hands */
		return -1;
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (memory == MAP_FAILED)
		return -1;
	afxdp_umem_init(u, memory, size, afxdp_packets_of(place->port, u), AFXDP_PLACE_CHUNKS);
	place->umem = u;
	return 0;
}

/* For the queue that is this place's, with memory of its own. */
static int open_alone(struct nic_place *place, uint32_t number, const int fds[],
		      const struct nic_memory *lent, const char **step)
{
	int fd = fds[AFXDP_PLACE_SOCKET];

	*step = lent ? "memory beside the guest's (see LimitMEMLOCK)" : "mapping the UMEM";
	if (lent ? afxdp_lent_open(place, fds, lent) : map_umem(place, fds[AFXDP_PLACE_MEMORY]))
		return -1;
	*step = "making its rings";
	if (afxdp_fill_open(&place->own_fill, fd, AFXDP_FILL_FRAMES) ||
	    afxdp_rx_open(&place->rx[0], fd, lent ? AFXDP_LENT_RX_FRAMES : AFXDP_RX_FRAMES) ||
	    afxdp_set_size(fd, XDP_UMEM_COMPLETION_RING, 64))
		return -1;
	place->queue = place->port->terms.transmit + number;
	return 0;
}

static int open_sockets(struct nic_place *place, uint32_t number, const int fds[], int n_fds,
			const struct nic_memory *lent, const char **step)
{
	const struct afxdp_terms *t = &place->port->terms;
	bool there = t->by_device ? number + t->transmit < t->n_queues : number < NIC_PLACES_MAX;
	int n = t->by_device ? AFXDP_PLACE_FDS : place->n_queues;

	*step = "a socket for each of its queues";
	if (!there || n_fds != n || (lent && !t->by_device)) {
		errno = EPROTO;
		return -1;
	}
	return t->by_device ? open_alone(place, number, fds, lent, step)
			    : open_shared(place, fds, step);
}

int afxdp_join(struct nic_port *port, uint32_t number, const int fds[], int n_fds,
	       const struct nic_memory *lent, struct nic_place **out, char *why, size_t why_size)
{
	struct nic_place *place = calloc(1, sizeof(*place));
	const char *step;
	int err = 0;

	if (!place)
		return -ENOMEM;
	place->port = port;
	place->poll_fd = -1;
	place->n_queues = port->terms.by_device ? 1 : port->n_queues;
	if (open_sockets(place, number, fds, n_fds, lent, &step))
		err = afxdp_fail(why, why_size, step);
	if (!err && open_poll(place))
		err = afxdp_fail(why, why_size, "epoll");
	if (err) {
		dismantle(place); /* the fds stay the caller's */
		return err;
	}
	if (!has_own_umem(place))
		share(place);
	else if (!lent)
		close(fds[AFXDP_PLACE_MEMORY]);
	port->n_places++;
	*out = place;
	return 0;
}

int afxdp_joined(struct nic_place *place, char *why, size_t why_size)
{
	const bool copy = place->port->terms.copy;

	if (place->bound)
		return 0;
	if (afxdp_bind(place->port, place->rx[0].fd, place->queue,
		       copy ? AFXDP_BIND_COPY : AFXDP_BIND_BEST))
		return errno == EBUSY && ++place->n_tries < BIND_TRIES ?
			       -EAGAIN :
			       afxdp_fail(why, why_size, AFXDP_BIND_STEP);
	place->bound = true;
	if (place->lent)
		afxdp_lent_start(place);
	else
		afxdp_fill(&place->own_fill, place->umem, AFXDP_FILL_FRAMES);
	return 0;
}
