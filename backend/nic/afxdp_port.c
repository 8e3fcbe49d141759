/* SPDX-License-Identifier: MIT */
/* AF_XDP in the datapath: see afxdp_port.h. Here is the port, its places are in afxdp_place.c. */
#include "backend/nic/afxdp_port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BIND_TRIES  200
#define BIND_NAP_NS NS_PER_MS

int afxdp_fail(char *why, size_t size, const char *step)
{
	int err = -errno;

	snprintf(why, size, "AF_XDP: %s: %s", step, strerror(-err));
	return err;
}

struct sockaddr_xdp afxdp_address(const struct nic_port *port, uint32_t queue)
{
	return (struct sockaddr_xdp){ .sxdp_family = AF_XDP,
				      .sxdp_ifindex = (uint32_t)port->ifindex,
				      .sxdp_queue_id = port->terms.first_queue + queue };
}

/*
 * Without XDP_COPY the kernel tries zero-copy first and copies where the driver has none
 * (net/xdp/xsk_buff_pool.c xp_assign_dev()), and every socket that shares the memory follows.
 */
int afxdp_bind(const struct nic_port *port, int fd, uint32_t queue, int umem_fd)
{
	struct sockaddr_xdp addr = afxdp_address(port, queue);

	if (umem_fd >= 0) {
		addr.sxdp_flags = XDP_SHARED_UMEM;
		addr.sxdp_shared_umem_fd = (uint32_t)umem_fd;
	} else {
		addr.sxdp_flags = umem_fd == AFXDP_BIND_COPY ? AFXDP_BIND_FLAGS_COPY :
							       XDP_USE_NEED_WAKEUP;
	}
	return bind(fd, (struct sockaddr *)&addr, sizeof(addr));
}

/* A port waits, for who was there before a vifd that died. */
static int bind_patiently(const struct nic_port *port, int fd, uint32_t queue, int umem_fd)
{
	const struct timespec nap = { .tv_nsec = BIND_NAP_NS };
	int rc = afxdp_bind(port, fd, queue, umem_fd);

	for (int i = 1; rc && errno == EBUSY && i < BIND_TRIES; i++) {
		nanosleep(&nap, NULL);
		rc = afxdp_bind(port, fd, queue, umem_fd);
	}
	return rc;
}

/* ---- memory ---- */

struct packet *afxdp_packets_of(struct nic_port *port, const struct afxdp_umem *u)
{
	return port->all + (size_t)(u - port->umem) * port->max_chunks;
}

struct afxdp_umem *afxdp_free_umem(struct nic_port *port)
{
	for (uint32_t i = 1; i < AFXDP_UMEMS; i++)
		if (!port->umem[i].memory)
			return &port->umem[i];
	return NULL;
}

static void unmap(struct afxdp_umem *u)
{
	if (u->memory)
		munmap(u->memory, u->size);
	u->memory = NULL;
}

void afxdp_give_up_umem(struct afxdp_umem *u)
{
	u->orphan = true;
	if (!u->n_out)
		unmap(u);
}

static bool is_of(const struct nic_port *port, const struct packet *p)
{
	return p >= port->all && p < port->all + (size_t)AFXDP_UMEMS * port->max_chunks;
}

static void give_back(struct nic_port *port, struct packet *p)
{
	struct afxdp_umem *u = &port->umem[(size_t)(p - port->all) / port->max_chunks];

	assert(u->n_out);
	afxdp_umem_put(u, p);
	u->n_out--;
	if (u->orphan && !u->n_out)
		unmap(u);
}

/* The packets, and what control registered. A calloc() that large is touched only as used. */
static int make_packets(struct nic_port *port, int memfd)
{
	const struct afxdp_terms *t = &port->terms;
	size_t size = afxdp_umem_size(t);
	void *memory;

	port->max_chunks = t->by_device ? AFXDP_PLACE_CHUNKS : afxdp_n_chunks(t);
	assert(port->max_chunks >= afxdp_n_chunks(t) && port->max_chunks);
	port->all = calloc((size_t)AFXDP_UMEMS * port->max_chunks, sizeof(*port->all));
	if (!port->all)
		return -1;
	if (!size)
		return 0;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (memory == MAP_FAILED)
		return -1;
	afxdp_umem_init(&port->umem[0], memory, size, port->all, afxdp_n_chunks(t));
	return 0;
}

/* ---- life ---- */

static void free_port(struct nic_port *port)
{
	for (uint32_t i = 0; i < AFXDP_UMEMS; i++)
		unmap(&port->umem[i]);
	free(port->all);
	free(port);
}

/* Of its own sockets; the fds stay. */
static void unmap_rings(struct nic_port *port)
{
	for (int i = 0; i < port->n_queues; i++)
		afxdp_fill_close(&port->fill[i]);
	afxdp_transmit_close(&port->transmit);
}

static void port_close(struct nic_port *port)
{
	int fd[NIC_QUEUES_MAX], n;

	if (!port)
		return;
	n = port->n_queues;
	for (int i = 0; i < n; i++)
		fd[i] = port->fill[i].fd;
	unmap_rings(port);
	port->closed = true;
	if (!port->n_places)
		free_port(port);
	while (n > 0)
		close(fd[--n]);
}

void afxdp_place_gone(struct nic_port *port)
{
	port->n_places--;
	if (port->closed && !port->n_places)
		free_port(port);
}

/* The first queue's socket has the UMEM, every one has fill and completion rings of its own, and
 * a receive ring because the kernel wants one; nothing is ever directed there. */
static int open_queue(struct nic_port *port, int queue, int fd, const char **step)
{
	struct afxdp_umem *u = &port->umem[0];
	bool sends = queue == 0 && port->terms.transmit;
	uint64_t behind = (uint64_t)u->n_chunks * AFXDP_CHUNK;

	*step = "making its rings";
	if (afxdp_fill_open(&port->fill[queue], fd,
			    port->terms.by_device ? AFXDP_FILL_FRAMES : AFXDP_SHARED_FILL_FRAMES) ||
	    afxdp_set_size(fd, XDP_UMEM_COMPLETION_RING, sends ? AFXDP_TX_FRAMES : 64) ||
	    afxdp_set_size(fd, XDP_RX_RING, 64))
		return -1;
	if (sends && afxdp_transmit_open(&port->transmit, fd, u->memory + behind, behind))
		return -1;
	*step = AFXDP_BIND_STEP;
	if (queue)
		return bind_patiently(port, fd, (uint32_t)queue, port->fill[0].fd);
	return bind_patiently(port, fd, 0, port->terms.copy ? AFXDP_BIND_COPY : AFXDP_BIND_BEST);
}

/* What control wrote behind the memory. */
static int read_terms(struct nic_port *port, const int fds[], int n_fds)
{
	struct afxdp_terms *t = &port->terms;
	off_t end = lseek(fds[0], 0, SEEK_END);
	bool whole = end >= (off_t)sizeof(*t) &&
		     pread(fds[0], t, sizeof(*t), end - (off_t)sizeof(*t)) == sizeof(*t);

	if (whole && t->n_queues > t->by_device * t->transmit && t->n_queues <= NIC_QUEUES_MAX &&
	    afxdp_n_port_queues(t) == (uint32_t)n_fds - 1 &&
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
	port->ifindex = ifindex;
	if (n_fds < 1 || read_terms(port, fds, n_fds))
		err = afxdp_fail(why, why_size, step);
	step = "mapping the UMEM";
	if (!err && make_packets(port, fds[0]))
		err = afxdp_fail(why, why_size, step);
	for (port->n_queues = 0; !err && port->n_queues < n_fds - 1; port->n_queues++)
		if (open_queue(port, port->n_queues, fds[1 + port->n_queues], &step))
			err = afxdp_fail(why, why_size, step);
	if (err) {
		unmap_rings(port); /* the fds stay the caller's */
		free_port(port);
		return err;
	}
	for (int i = 0; i < port->n_queues; i++)
		afxdp_fill(&port->fill[i], &port->umem[0], AFXDP_FILL_FRAMES);
	close(fds[0]);
	*out = port;
	return 0;
}

/* ---- transmit ---- */

static uint32_t transmit(struct nic_port *port, struct packet *const p[], uint32_t n, uint16_t vlan)
{
	return afxdp_transmit(&port->transmit, p, n, vlan);
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
	.join = afxdp_join,
	.joined = afxdp_joined,
	.leave = afxdp_leave,
	.poll_fd = afxdp_poll_fd,
	.receive = afxdp_receive,
	.not_read = afxdp_not_read,
	.may_keep = afxdp_may_keep,
	.is_of = is_of,
	.give_back = give_back,
	.stats = afxdp_stats,
	.begin = afxdp_begin,
	.post = afxdp_post,
	.reap = afxdp_reap,
	.recall = afxdp_recall,
	.hold = afxdp_hold,
	.transmit = transmit,
	.kick = kick,
	.sent = sent,
};
