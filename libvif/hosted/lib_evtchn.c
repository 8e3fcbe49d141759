/* SPDX-License-Identifier: MIT */
/*
 * libxenevtchn on the hosted Xen: behaves as Debian's library on Linux's
 * /dev/xen/evtchn, errno values included.
 *
 * Binding and unbinding are messages. Notifying raises a bit in the far port
 * and, if it was not masked, writes the port's number into the ring (a pipe) of
 * the handle that owns it; the descriptors of those rings are fetched on first
 * use and kept. Of a sender killed in between the hypervisor finds the hazard
 * 'notifying' and queues the port in its stead.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenevtchn.h>
#include "client.h"
#include "fast.h"
#include "fault.h"

struct ring {
	uint64_t owner; /* port owner word it belongs to, 0: none */
	int fd;
};

struct xenevtchn_handle {
	struct hx_client client;
	int fd;
	struct {
		_Atomic bool owned;
		uint32_t ring; /* 1 + index of the ring it last wrote to; under the lock */
	} ports[HX_PORTS];
	struct ring rings[HX_MAX_HANDLES]; /* by handle index; under the lock */
	uint32_t delayed;		   /* fault plan: a notification held back, or 0 */
};

static int fail(int rc)
{
	errno = -rc;
	return -1;
}

static xenevtchn_handle *handle_open(void)
{
	struct xenevtchn_handle *h = calloc(1, sizeof(*h));
	int rc = h ? hx_client_open(&h->client, HX_KIND_EVTCHN, &h->fd) : -ENOMEM;

	if (!rc)
		return h;
	free(h);
	errno = -rc;
	return NULL;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
	struct xenevtchn_handle *h;

	(void)logger;
	if (flags & ~(unsigned int)XENEVTCHN_NO_CLOEXEC) {
		errno = EINVAL;
		return NULL;
	}
	h = handle_open();
	if (h && flags & XENEVTCHN_NO_CLOEXEC) {
		/* The connection must live on too: it is what holds the ports. */
		fcntl(h->fd, F_SETFD, 0);
		if (h->client.sock >= 0)
			fcntl(h->client.sock, F_SETFD, 0);
	}
	return h;
}

xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd,
				   unsigned int open_flags)
{
	struct xenevtchn_handle *h;
	struct hx_msg *msg;
	int rc;

	(void)logger;
	if (open_flags) {
		errno = EINVAL;
		return NULL;
	}
	h = handle_open();
	if (!h)
		return NULL;
	msg = hx_client_begin(&h->client, HX_ADOPT);
	rc = hx_client_call(&h->client, fd, NULL);
	for (uint32_t i = 0; !rc && i < msg->n_words; i++)
		atomic_store(&h->ports[msg->v[i] % HX_PORTS].owned, true);
	hx_client_end(&h->client);
	if (rc) {
		xenevtchn_close(h);
		errno = -rc;
		return NULL;
	}
	close(h->fd);
	h->fd = fd;
	return h;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
	if (!xce)
		return 0;
	hx_client_close(&xce->client);
	for (uint32_t i = 0; i < HX_MAX_HANDLES; i++)
		if (xce->rings[i].owner)
			close(xce->rings[i].fd);
	close(xce->fd);
	free(xce);
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
	return xce->fd;
}

int xenevtchn_restrict(xenevtchn_handle *xce, domid_t domid)
{
	struct hx_msg *msg = hx_client_begin(&xce->client, HX_RESTRICT);
	int rc;

	msg->domid = domid;
	rc = hx_client_call(&xce->client, -1, NULL);
	hx_client_end(&xce->client);
	return rc ? fail(rc) : 0;
}

static void ring_forget(struct ring *ring)
{
	if (ring->owner)
		close(ring->fd);
	ring->owner = 0;
}

/* The ring of the handle that owns a port, or -1 if that handle is gone. */
static int ring_fd(struct xenevtchn_handle *h, uint64_t owner)
{
	uint32_t idx = (uint32_t)owner - 1;
	struct ring *ring = &h->rings[idx];
	struct hx_msg *msg;

	if (ring->owner == owner)
		return ring->fd;
	ring_forget(ring);
	msg = hx_client_msg(&h->client, HX_RING);
	msg->id = idx;
	msg->generation = owner >> 32;
	if (hx_client_call(&h->client, -1, &ring->fd))
		return -1;
	ring->owner = owner;
	return ring->fd;
}

/* The write cannot raise SIGPIPE and does not block; see hx_ring_open(). */
static void queue(struct xenevtchn_handle *h, struct hx_port *to, uint32_t number, uint32_t via)
{
	uint64_t owner = atomic_load(&to->owner);
	ssize_t n;
	int fd;

	if (!owner)
		return; /* a port only its kernel looks at */
	pthread_mutex_lock(&h->client.lock);
	fd = ring_fd(h, owner);
	if (fd >= 0) {
		n = write(fd, &number, sizeof(number));
		(void)n;
		h->ports[via].ring = (uint32_t)owner;
	}
	pthread_mutex_unlock(&h->client.lock);
}

static void send_event(struct xenevtchn_handle *h, uint32_t port, bool twice)
{
	struct hx_handle_pub *pub = &h->client.m->handles[h->client.idx];
	uint32_t slot, number;
	struct hx_port *peer = hx_port_peer(h->client.m, h->client.slot, port, &slot, &number);

	if (!peer)
		return;
	atomic_store(&pub->notifying, HX_HAZARD(slot, number));
	if (hx_port_raise(peer))
		queue(h, peer, number, port);
	if (twice)
		queue(h, peer, number, port);
	atomic_store_explicit(&pub->notifying, 0, memory_order_release);
}

/* Off the fast path: what the fault plan does to this event. */
static void send_faulty(struct xenevtchn_handle *h, uint32_t port)
{
	uint32_t delayed = h->delayed;

	h->delayed = 0;
	if (delayed)
		send_event(h, delayed, false);
	if (hx_fault(HX_FAULT_DROP))
		return;
	if (hx_fault(HX_FAULT_DELAY))
		h->delayed = port;
	else
		send_event(h, port, hx_fault(HX_FAULT_DUP));
}

static bool owned(const struct xenevtchn_handle *h, uint32_t port)
{
	return port < HX_PORTS && atomic_load_explicit(&h->ports[port].owned, memory_order_acquire);
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	struct hx_domain *me = &xce->client.m->domains[xce->client.slot];

	if (!owned(xce, port))
		return fail(-ENOTCONN);
	if (HX_BINDING_STATE(atomic_load(&me->ports[port].binding)) == HX_VIRQ)
		return fail(-EINVAL);
	if (hx_faults_planned())
		send_faulty(xce, port);
	else
		send_event(xce, port, false);
	return 0;
}

static xenevtchn_port_or_error_t bind(struct xenevtchn_handle *h, enum hx_op op, uint32_t domid,
				      uint32_t port, uint32_t virq)
{
	struct hx_msg *msg = hx_client_begin(&h->client, op);
	int rc;

	msg->domid = domid;
	msg->port = port;
	msg->id = virq;
	rc = hx_client_call(&h->client, -1, NULL);
	port = msg->port;
	if (!rc)
		atomic_store(&h->ports[port].owned, true);
	hx_client_end(&h->client);
	return rc ? fail(rc) : (int)port;
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid)
{
	return bind(xce, HX_BIND_UNBOUND, domid, 0, 0);
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
						     evtchn_port_t remote_port)
{
	return bind(xce, HX_BIND_REMOTE, domid, remote_port, 0);
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
	return bind(xce, HX_BIND_VIRQ, 0, 0, virq);
}

void *hosted_bind_store(xenevtchn_handle *xce, uint32_t *port)
{
	struct hx_msg *msg = &xce->client.msg;
	int rc = bind(xce, HX_BIND_STORE, 0, 0, 0);
	uint32_t frame = msg->id;
	void *page;
	int fd;

	if (rc < 0)
		return NULL;
	*port = (uint32_t)rc;
	msg = hx_client_begin(&xce->client, HX_MEMORY);
	msg->domid = DOMID_SELF;
	rc = hx_client_call(&xce->client, -1, &fd);
	hx_client_end(&xce->client);
	if (rc) {
		errno = -rc;
		return NULL;
	}
	page = mmap(NULL, HX_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)frame << HX_PAGE_SHIFT);
	close(fd);
	return page == MAP_FAILED ? NULL : page;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
	struct hx_msg *msg;
	int rc;

	if (port >= HX_PORTS)
		return fail(-EINVAL);
	if (!owned(xce, port))
		return fail(-ENOTCONN);
	msg = hx_client_begin(&xce->client, HX_UNBIND);
	msg->port = port;
	rc = hx_client_call(&xce->client, -1, NULL);
	if (!rc) {
		atomic_store(&xce->ports[port].owned, false);
		/* The peer is probably done with; another port that still writes to
		 * it fetches the ring anew. */
		if (xce->ports[port].ring)
			ring_forget(&xce->rings[xce->ports[port].ring - 1]);
		xce->ports[port].ring = 0;
	}
	hx_client_end(&xce->client);
	return rc ? fail(rc) : 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
	uint32_t port;
	ssize_t n = read(xce->fd, &port, sizeof(port));

	if (n == sizeof(port))
		return (xenevtchn_port_or_error_t)port;
	return n < 0 ? -1 : fail(-EIO);
}

/* A port of somebody else is ignored, as the driver ignores it. */
int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
	struct hx_port *p;

	if (!owned(xce, port))
		return 0;
	p = &xce->client.m->domains[xce->client.slot].ports[port];
	if (hx_port_unmask(p))
		queue(xce, p, port, port);
	return 0;
}
