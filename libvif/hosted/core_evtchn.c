/* SPDX-License-Identifier: MIT */
/*
 * Event channels: ports, their bindings, and the rings (pipes) through which a
 * handle reads the ports that were raised, as from /dev/xen/evtchn.
 *
 * Closing one end of a channel leaves the other unbound for the same domain, so
 * that a successor can bind it again. A port named by an unmap notification
 * outlives its handle until that notification has been sent (evtchn_get()).
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core_internal.h"

static_assert(NR_VIRQS == HX_VIRQS, "as xen.h");

/*
 * The write end is opened for reading too: a writer then never meets SIGPIPE,
 * whoever dies. A port is queued once until it is unmasked, so the default 64
 * KiB of a pipe hold all of a domain's ports.
 */
int hx_ring_open(struct hx_handle *h)
{
	char path[32];
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[1]);
	h->ring_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	h->ring_rd = fds[0];
	if (h->ring_fd < 0) {
		int rc = -errno;

		close(fds[0]);
		close(fds[1]);
		return rc;
	}
	close(fds[1]);
	return 0;
}

static uint64_t owner_word(const struct hx_handle *h)
{
	return h ? (uint64_t)h->generation << 32 | (h->idx + 1) : 0;
}

/* A full ring holds more stale ports than the domain has: the event is lost, as
 * the real driver loses it with EFBIG. */
static void queue(struct hx_core *core, struct hx_port *p, uint32_t port)
{
	uint32_t idx = (uint32_t)atomic_load(&p->owner);
	ssize_t n;

	if (!idx)
		return;
	n = write(core->handles[idx - 1]->ring_fd, &port, sizeof(port));
	(void)n;
}

static void raise_port(struct hx_core *core, struct hx_port *p, uint32_t port)
{
	if (hx_port_raise(p))
		queue(core, p, port);
}

/* EVTCHNOP_send by the hypervisor in the name of 'dom'. */
void hx_event_send(struct hx_core *core, struct hx_dom *dom, uint32_t port)
{
	uint32_t slot, number;
	struct hx_port *peer = hx_port_peer(core->m, dom->slot, port, &slot, &number);

	if (peer)
		raise_port(core, peer, number);
}

/* The sender died between raising a port and queueing it. Queueing it twice is a
 * spurious event; not queueing it would leave the port masked for ever. */
void hx_event_requeue(struct hx_core *core, uint64_t hazard)
{
	uint32_t slot = (uint32_t)(hazard >> 32) & 0x7fffffff;
	uint32_t number = (uint32_t)hazard;
	struct hx_port *p;

	if (slot >= HX_MAX_DOMAINS || number >= HX_PORTS)
		return;
	p = &core->m->domains[slot].ports[number];
	if (atomic_load(&p->bits) & HX_MASKED)
		queue(core, p, number);
}

void hx_virq_send(struct hx_core *core, uint32_t domid, uint32_t virq)
{
	struct hx_dom *dom = hx_dom_find(core, NULL, domid);
	uint32_t port = dom ? dom->virq_port[virq] : 0;

	if (port)
		raise_port(core, &dom->pub->ports[port], port);
}

static int port_new(struct hx_dom *dom, struct hx_handle *owner, uint64_t binding)
{
	int64_t port = hx_pool_get(&dom->ports);
	struct hx_port *p;

	if (port < 0)
		return -ENOSPC;
	dom->port[port] = (struct hx_port_priv){ .owner = owner, .refs = 1 };
	p = &dom->pub->ports[port];
	atomic_store(&p->bits, 0);
	atomic_store(&p->owner, owner_word(owner));
	atomic_store(&p->binding, binding);
	return (int)port;
}

/* EVTCHNOP_close. */
static void port_close(struct hx_core *core, struct hx_dom *dom, uint32_t port)
{
	struct hx_port *p = &dom->pub->ports[port];
	uint64_t binding = atomic_load(&p->binding);
	uint32_t slot, number;
	struct hx_port *peer = hx_port_peer(core->m, dom->slot, port, &slot, &number);

	if (peer)
		atomic_store(&peer->binding, HX_BINDING(HX_UNBOUND, dom->pub->domid, 0));
	if (HX_BINDING_STATE(binding) == HX_VIRQ)
		dom->virq_port[HX_BINDING_PORT(binding)] = 0;
	atomic_store(&p->binding, 0);
	atomic_store(&p->owner, 0);
	hx_pool_put(&dom->ports, port);
}

bool hx_port_ref(struct hx_dom *dom, uint32_t port)
{
	if (!port || !hx_pool_has(&dom->ports, port))
		return false;
	dom->port[port].refs++;
	return true;
}

void hx_port_put(struct hx_core *core, struct hx_dom *dom, uint32_t port)
{
	if (!--dom->port[port].refs)
		port_close(core, dom, port);
}

/* The handle lets go of its port; the xenstore port goes back to the kernel. */
static void port_detach(struct hx_core *core, struct hx_dom *dom, uint32_t port)
{
	dom->port[port].owner = NULL;
	atomic_store(&dom->pub->ports[port].owner, 0);
	if (port != dom->store_port)
		hx_port_put(core, dom, port);
}

void hx_ports_close(struct hx_core *core, struct hx_handle *h)
{
	if (h->kind != HX_KIND_EVTCHN)
		return;
	for (uint32_t port = 1; port < HX_PORTS; port++)
		if (h->dom->port[port].owner == h)
			port_detach(core, h->dom, port);
}

void hx_ports_destroy(struct hx_core *core, struct hx_dom *dom)
{
	for (uint32_t port = 1; port < HX_PORTS; port++)
		if (hx_pool_has(&dom->ports, port))
			port_close(core, dom, port);
}

/* EVTCHNOP_alloc_unbound; the remote domain need not exist yet. */
int hx_port_unbound(struct hx_core *core, struct hx_dom *dom, struct hx_handle *owner,
		    uint32_t remote)
{
	(void)core;
	if (remote == HX_SELF)
		remote = dom->pub->domid;
	if (remote >= HX_FIRST_RESERVED_DOMID)
		return -EINVAL;
	return port_new(dom, owner, HX_BINDING(HX_UNBOUND, remote, 0));
}

static int port_reply(struct hx_call *call, int port)
{
	if (port < 0)
		return port;
	call->msg->port = (uint32_t)port;
	return 0;
}

static bool forbidden(const struct hx_call *call)
{
	return call->handle->restricted && call->msg->domid != call->handle->restrict_domid;
}

int hx_op_bind_unbound(struct hx_call *call)
{
	if (forbidden(call))
		return -EACCES;
	return port_reply(
	    call, hx_port_unbound(call->core, call->handle->dom, call->handle, call->msg->domid));
}

/* EVTCHNOP_bind_interdomain. */
int hx_op_bind_remote(struct hx_call *call)
{
	struct hx_msg *msg = call->msg;
	struct hx_dom *dom = call->handle->dom;
	struct hx_dom *remote = hx_dom_find(call->core, dom, msg->domid);
	uint32_t number = msg->port;
	int port;

	if (forbidden(call))
		return -EACCES;
	if (!remote)
		return -ESRCH;
	if (number >= HX_PORTS || atomic_load(&remote->pub->ports[number].binding) !=
				      HX_BINDING(HX_UNBOUND, dom->pub->domid, 0))
		return -EINVAL;
	port = port_new(dom, call->handle, HX_BINDING(HX_INTERDOMAIN, remote->slot, number));
	if (port < 0)
		return port;
	atomic_store(&remote->pub->ports[number].binding,
		     HX_BINDING(HX_INTERDOMAIN, dom->slot, port));
	/* Xen: a notification sent to the unbound port was lost, so assume there was one. */
	raise_port(call->core, &dom->pub->ports[port], (uint32_t)port);
	return port_reply(call, port);
}

int hx_op_bind_virq(struct hx_call *call)
{
	struct hx_dom *dom = call->handle->dom;
	uint32_t virq = call->msg->id;
	int port;

	if (call->handle->restricted)
		return -EACCES;
	if (virq >= HX_VIRQS)
		return -EINVAL;
	if (dom->virq_port[virq])
		return -EEXIST;
	port = port_new(dom, call->handle, HX_BINDING(HX_VIRQ, 0, virq));
	if (port > 0)
		dom->virq_port[virq] = (uint32_t)port;
	return port_reply(call, port);
}

/* In a real guest the kernel owns this port; here whoever plays the kernel. */
int hx_op_bind_store(struct hx_call *call)
{
	struct hx_dom *dom = call->handle->dom;
	uint32_t port = dom->store_port;
	struct hx_port *p = &dom->pub->ports[port];

	if (!port)
		return -ENOENT;
	if (dom->port[port].owner)
		return -EBUSY;
	dom->port[port].owner = call->handle;
	atomic_store(&p->owner, owner_word(call->handle));
	atomic_fetch_or(&p->bits, HX_MASKED);
	queue(call->core, p, port);
	call->msg->id = dom->store_frame;
	return port_reply(call, (int)port);
}

int hx_op_unbind(struct hx_call *call)
{
	struct hx_dom *dom = call->handle->dom;
	uint32_t port = call->msg->port;

	if (port >= HX_PORTS)
		return -EINVAL;
	if (dom->port[port].owner != call->handle)
		return -ENOTCONN;
	port_detach(call->core, dom, port);
	return 0;
}

int hx_op_restrict(struct hx_call *call)
{
	struct hx_handle *h = call->handle;

	if (h->restricted)
		return -EACCES;
	h->restricted = true;
	h->restrict_domid = call->msg->domid;
	return 0;
}

int hx_op_ring(struct hx_call *call)
{
	struct hx_msg *msg = call->msg;
	struct hx_handle *h = msg->id < HX_MAX_HANDLES ? call->core->handles[msg->id] : NULL;

	if (!h || h->generation != msg->generation || h->ring_fd < 0)
		return -ESRCH;
	call->fds[call->n_fds++] = h->ring_fd;
	return 0;
}

static struct hx_handle *handle_of_ring(struct hx_core *core, int fd, const struct hx_handle * not )
{
	struct stat want, st;

	if (fd < 0 || fstat(fd, &want))
		return NULL;
	for (uint32_t i = 0; i < core->handles_end; i++) {
		struct hx_handle *h = core->handles[i];

		if (h && h != not &&h->ring_fd >= 0 && h->dom == not ->dom &&
		    !fstat(h->ring_fd, &st) && st.st_dev == want.st_dev && st.st_ino == want.st_ino)
			return h;
	}
	return NULL;
}

/* xenevtchn_fdopen(): a program that replaced itself carries on with its ports.
 * The reply lists them. */
int hx_op_adopt(struct hx_call *call)
{
	struct hx_handle *h = call->handle;
	struct hx_handle *old = handle_of_ring(call->core, call->fds[0], h);
	int fd;

	if (!old)
		return -EINVAL;
	fd = old->ring_fd;
	old->ring_fd = h->ring_fd;
	h->ring_fd = fd;
	call->msg->n_words = 0;
	for (uint32_t port = 1; port < HX_PORTS; port++) {
		if (h->dom->port[port].owner != old)
			continue;
		h->dom->port[port].owner = h;
		atomic_store(&h->dom->pub->ports[port].owner, owner_word(h));
		call->msg->v[call->msg->n_words++] = port;
	}
	h->restricted = old->restricted;
	h->restrict_domid = old->restrict_domid;
	return 0;
}
