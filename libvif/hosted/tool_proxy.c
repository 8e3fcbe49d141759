/* SPDX-License-Identifier: MIT */
/*
 * hosted-xen store-proxy: plays the xenbus driver of a domain's kernel. It owns
 * the domain's xenstore ring and lets any number of local clients share it
 * through a unix socket, so that an unmodified libxenstore is that domain.
 *
 * What it changes in passing: request ids, which are its own on the ring, and
 * watch tokens, which get the client's number in front. What it remembers: each
 * client's watches and transactions, ended when the client goes. xenstored's
 * quotas are those of the domain and thus shared by its clients.
 *
 * Trust boundary: clients are programs under test. A malformed message costs the
 * client its connection; a client that does not read loses it too.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xen/io/xs_wire.h>
#include "hosted.h"
#include "tool.h"

#define MAX_CLIENTS  256
#define MAX_PENDING  256
#define MAX_QUEUE    (64 * 1024)   /* towards xenstored; clients wait above it */
#define MAX_UNREAD   (1024 * 1024) /* towards a client */
#define TOKEN_PREFIX 9		   /* "%08x:" */
#define MSG_MAX	     (sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX)

struct message {
	struct xsd_sockmsg head;
	char body[XENSTORE_PAYLOAD_MAX];
};

struct buffer {
	char *data;
	size_t start, end, size;
};

struct watch {
	struct watch *next;
	size_t len;
	char body[]; /* path and token as xenstored knows them */
};

struct client {
	uint32_t id; /* never reused */
	int fd;
	struct message in;
	size_t n_in;
	struct buffer out;
	struct watch *watches;
	uint32_t *tx;
	size_t n_tx;
};

/* A request on its way; its index is its request id on the ring. */
struct pending {
	bool used;
	uint32_t client; /* 0: the proxy's own, nobody wants the answer */
	uint32_t type, req_id, tx_id;
	struct watch *watch; /* for XS_WATCH and XS_UNWATCH */
};

struct proxy {
	struct xenstore_domain_interface *ring;
	xenevtchn_handle *xce;
	xengntshr_handle *alive; /* its connection ends with the domain */
	uint32_t port;
	int listener, signals;
	struct sockaddr_un addr;
	struct client *clients[MAX_CLIENTS];
	uint32_t next_id;
	struct pending pending[MAX_PENDING];
	uint32_t n_pending, next_pending;
	struct buffer queue;
	struct message in;
	size_t n_in;
	bool moved; /* the ring changed: xenstored must be told */
};

static bool buffer_add(struct buffer *b, const void *data, size_t n)
{
	if (b->start == b->end)
		b->start = b->end = 0;
	if (b->end + n > b->size) {
		char *more;

		if (b->start)
			memmove(b->data, b->data + b->start, b->end - b->start);
		b->end -= b->start;
		b->start = 0;
		more = realloc(b->data, b->end + n);
		if (!more)
			return false;
		b->data = more;
		b->size = b->end + n;
	}
	memcpy(b->data + b->end, data, n);
	b->end += n;
	return true;
}

static size_t buffer_used(const struct buffer *b)
{
	return b->end - b->start;
}

static void *must(void *p)
{
	if (p)
		return p;
	tool_error("store-proxy: out of memory");
	exit(1);
}

static struct watch *watch_new(const char *body, size_t len)
{
	struct watch *w = must(malloc(sizeof(*w) + len));

	w->next = NULL;
	w->len = len;
	memcpy(w->body, body, len);
	return w;
}

static struct client *client_find(struct proxy *p, uint32_t id)
{
	for (int i = 0; id && i < MAX_CLIENTS; i++)
		if (p->clients[i] && p->clients[i]->id == id)
			return p->clients[i];
	return NULL;
}

/* Puts a request on its way. The caller has seen that there is room. */
static void submit(struct proxy *p, uint32_t client, struct xsd_sockmsg head, const char *body,
		   struct watch *watch)
{
	struct pending *req;

	while (p->pending[p->next_pending].used)
		p->next_pending = (p->next_pending + 1) % MAX_PENDING;
	req = &p->pending[p->next_pending];
	*req = (struct pending){ .used = true,
				 .client = client,
				 .type = head.type,
				 .req_id = head.req_id,
				 .tx_id = head.tx_id,
				 .watch = watch };
	p->n_pending++;
	head.req_id = p->next_pending;
	if (!buffer_add(&p->queue, &head, sizeof(head)) || !buffer_add(&p->queue, body, head.len))
		must(NULL);
}

/* Requests of the proxy's own are few: what a client held when it went. */
static bool room(const struct proxy *p)
{
	return p->n_pending < MAX_PENDING / 2 && buffer_used(&p->queue) < MAX_QUEUE;
}

static void own_unwatch(struct proxy *p, const struct watch *w)
{
	struct xsd_sockmsg head = { .type = XS_UNWATCH, .len = (uint32_t)w->len };

	submit(p, 0, head, w->body, NULL);
}

static void own_abort(struct proxy *p, uint32_t tx)
{
	struct xsd_sockmsg head = { .type = XS_TRANSACTION_END, .tx_id = tx, .len = 2 };

	submit(p, 0, head, "F", NULL);
}

/* Ends what the client holds in the store. xenstored allows a domain 128 watches
 * and 10 transactions, but that is its configuration: keep within the table. */
static bool client_forget(struct proxy *p, struct client *c)
{
	while (c->watches || c->n_tx) {
		struct watch *w = c->watches;

		if (p->n_pending == MAX_PENDING)
			return false;
		if (w) {
			c->watches = w->next;
			own_unwatch(p, w);
			free(w);
		} else {
			own_abort(p, c->tx[--c->n_tx]);
		}
	}
	return true;
}

/* Gone to the outside at once; the slot is kept until the store has been told. */
static void client_hangup(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void client_free(struct proxy *p, int slot)
{
	struct client *c = p->clients[slot];

	if (!client_forget(p, c))
		return; /* again when answers have made room */
	free(c->out.data);
	free(c->tx);
	free(c);
	p->clients[slot] = NULL;
}

static void client_flush(struct client *c)
{
	while (c->fd >= 0 && buffer_used(&c->out)) {
		ssize_t n = send(c->fd, c->out.data + c->out.start, buffer_used(&c->out),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			c->out.start += (size_t)n;
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			client_hangup(c);
	}
}

static void deliver(struct client *c, const struct xsd_sockmsg *head, const char *body)
{
	if (c->fd < 0)
		return;
	if (buffer_used(&c->out) > MAX_UNREAD || !buffer_add(&c->out, head, sizeof(*head)) ||
	    !buffer_add(&c->out, body, head->len))
		client_hangup(c);
}

static void answer(struct client *c, const struct xsd_sockmsg *request, uint32_t type,
		   const char *text)
{
	struct xsd_sockmsg head = { .type = type,
				    .req_id = request->req_id,
				    .tx_id = request->tx_id,
				    .len = (uint32_t)strlen(text) + 1 };

	deliver(c, &head, text);
}

/* path, token -> path, "client:token". NULL if that is not what body holds. */
static struct watch *rewrite(const struct client *c, const struct message *m)
{
	size_t path = strnlen(m->body, m->head.len) + 1;
	char body[XENSTORE_PAYLOAD_MAX + TOKEN_PREFIX];
	size_t len = m->head.len + TOKEN_PREFIX;

	if (path >= m->head.len || m->body[m->head.len - 1] || len > XENSTORE_PAYLOAD_MAX)
		return NULL;
	memcpy(body, m->body, path);
	snprintf(body + path, TOKEN_PREFIX + 1, "%08x:", c->id);
	memcpy(body + path + TOKEN_PREFIX, m->body + path, m->head.len - path);
	return watch_new(body, len);
}

static void request(struct proxy *p, struct client *c)
{
	struct message *m = &c->in;
	struct watch *w;

	switch (m->head.type) {
	case XS_WATCH:
	case XS_UNWATCH:
		w = rewrite(c, m);
		if (!w) {
			answer(c, &m->head, XS_ERROR, "EINVAL");
			return;
		}
		m->head.len = (uint32_t)w->len;
		submit(p, c->id, m->head, w->body, w);
		return;
	case XS_RESET_WATCHES: /* the domain's other clients keep theirs */
		if (client_forget(p, c))
			answer(c, &m->head, m->head.type, "OK");
		else
			answer(c, &m->head, XS_ERROR, "EBUSY");
		return;
	default:
		submit(p, c->id, m->head, m->body, NULL);
	}
}

static void client_read(struct proxy *p, struct client *c)
{
	while (room(p)) {
		size_t want = sizeof(c->in.head);
		ssize_t n;

		if (c->n_in >= want)
			want += c->in.head.len;
		if (want > MSG_MAX) {
			client_hangup(c);
			return;
		}
		if (c->n_in == want && want >= sizeof(c->in.head)) {
			request(p, c);
			c->n_in = 0;
			continue;
		}
		n = recv(c->fd, (char *)&c->in + c->n_in, want - c->n_in, MSG_DONTWAIT);
		if (n > 0) {
			c->n_in += (size_t)n;
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			client_hangup(c);
			return;
		} else {
			return;
		}
	}
}

static void watch_remove(struct client *c, const struct watch *gone)
{
	for (struct watch **at = &c->watches; *at; at = &(*at)->next) {
		struct watch *w = *at;

		if (w->len != gone->len || memcmp(w->body, gone->body, w->len))
			continue;
		*at = w->next;
		free(w);
		return;
	}
}

static void tx_remove(struct client *c, uint32_t tx)
{
	for (size_t i = 0; i < c->n_tx; i++)
		if (c->tx[i] == tx)
			c->tx[i--] = c->tx[--c->n_tx];
}

/* What an answer means for what the client holds; c is NULL if it has gone. */
static void account(struct proxy *p, struct client *c, struct pending *req, const struct message *m)
{
	char number[16] = "";

	switch (m->head.type) {
	case XS_WATCH:
		if (c) {
			req->watch->next = c->watches;
			c->watches = req->watch;
			req->watch = NULL;
		} else if (req->client) {
			own_unwatch(p, req->watch);
		}
		break;
	case XS_UNWATCH:
		if (c)
			watch_remove(c, req->watch);
		break;
	case XS_TRANSACTION_START:
		memcpy(number, m->body, m->head.len < sizeof(number) ? m->head.len : 15);
		if (c) {
			c->tx = must(realloc(c->tx, (c->n_tx + 1) * sizeof(*c->tx)));
			c->tx[c->n_tx++] = (uint32_t)strtoul(number, NULL, 10);
		} else {
			own_abort(p, (uint32_t)strtoul(number, NULL, 10));
		}
		break;
	}
}

static void event(struct proxy *p, struct message *m)
{
	size_t path = strnlen(m->body, m->head.len) + 1;
	char *token = m->body + path;
	struct client *c;

	if (path + TOKEN_PREFIX > m->head.len)
		return;
	c = client_find(p, (uint32_t)strtoul(token, NULL, 16));
	if (!c)
		return;
	m->head.len -= TOKEN_PREFIX;
	memmove(token, token + TOKEN_PREFIX, m->head.len - path);
	deliver(c, &m->head, m->body);
}

static void response(struct proxy *p, struct message *m)
{
	struct pending *slot, req;
	struct client *c;

	if (m->head.type == XS_WATCH_EVENT) {
		event(p, m);
		return;
	}
	if (m->head.req_id >= MAX_PENDING || !p->pending[m->head.req_id].used)
		return;
	slot = &p->pending[m->head.req_id];
	req = *slot;
	slot->used = false;
	p->n_pending--;
	c = client_find(p, req.client);
	if (c && c->fd < 0)
		c = NULL;
	account(p, c, &req, m);
	/* Committed, or failed and thereby over: gone from xenstored either way. */
	if (c && req.type == XS_TRANSACTION_END)
		tx_remove(c, req.tx_id);
	m->head.req_id = req.req_id;
	if (c)
		deliver(c, &m->head, m->body);
	free(req.watch);
}

/* False: the indices make no sense. */
static bool ring_write(struct proxy *p)
{
	struct xenstore_domain_interface *r = p->ring;

	while (buffer_used(&p->queue)) {
		XENSTORE_RING_IDX cons = __atomic_load_n(&r->req_cons, __ATOMIC_ACQUIRE);
		XENSTORE_RING_IDX prod = r->req_prod;
		uint32_t at = MASK_XENSTORE_IDX(prod), n = XENSTORE_RING_SIZE - (prod - cons);

		if (prod - cons > XENSTORE_RING_SIZE)
			return false;
		if (n > XENSTORE_RING_SIZE - at)
			n = XENSTORE_RING_SIZE - at;
		if (n > buffer_used(&p->queue))
			n = (uint32_t)buffer_used(&p->queue);
		if (!n)
			break;
		memcpy(r->req + at, p->queue.data + p->queue.start, n);
		p->queue.start += n;
		__atomic_store_n(&r->req_prod, prod + n, __ATOMIC_RELEASE);
		p->moved = true;
	}
	return true;
}

static bool ring_read(struct proxy *p)
{
	struct xenstore_domain_interface *r = p->ring;

	for (;;) {
		XENSTORE_RING_IDX prod = __atomic_load_n(&r->rsp_prod, __ATOMIC_ACQUIRE);
		XENSTORE_RING_IDX cons = r->rsp_cons;
		uint32_t at = MASK_XENSTORE_IDX(cons), n = prod - cons;
		size_t want = sizeof(p->in.head);

		if (p->n_in >= want)
			want += p->in.head.len;
		if (n > XENSTORE_RING_SIZE || want > MSG_MAX)
			return false;
		if (p->n_in == want) {
			response(p, &p->in);
			p->n_in = 0;
			continue;
		}
		if (n > XENSTORE_RING_SIZE - at)
			n = XENSTORE_RING_SIZE - at;
		if (n > want - p->n_in)
			n = (uint32_t)(want - p->n_in);
		if (!n)
			return true;
		memcpy((char *)&p->in + p->n_in, r->rsp + at, n);
		p->n_in += n;
		__atomic_store_n(&r->rsp_cons, cons + n, __ATOMIC_RELEASE);
		p->moved = true;
	}
}

static void client_accept(struct proxy *p)
{
	int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

	for (int i = 0; fd >= 0 && i < MAX_CLIENTS; i++) {
		if (p->clients[i])
			continue;
		p->clients[i] = must(calloc(1, sizeof(struct client)));
		p->clients[i]->fd = fd;
		p->clients[i]->id = ++p->next_id;
		return;
	}
	if (fd >= 0)
		close(fd);
}

static int wait_for_work(struct proxy *p, struct pollfd *pfd)
{
	short in = room(p) ? POLLIN : 0;

	pfd[0] = (struct pollfd){ p->signals, POLLIN, 0 };
	pfd[1] = (struct pollfd){ xenevtchn_fd(p->xce), POLLIN, 0 };
	pfd[2] = (struct pollfd){ xengntshr_fd(p->alive), POLLIN, 0 };
	pfd[3] = (struct pollfd){ p->listener, POLLIN, 0 };
	for (int i = 0; i < MAX_CLIENTS; i++) {
		struct client *c = p->clients[i];
		short out = c && buffer_used(&c->out) ? POLLOUT : 0;

		pfd[4 + i] = (struct pollfd){ c ? c->fd : -1, in | out, 0 };
	}
	return poll(pfd, 4 + MAX_CLIENTS, -1);
}

static bool step(struct proxy *p, const struct pollfd *pfd)
{
	if (pfd[1].revents)
		xenevtchn_unmask(p->xce, (evtchn_port_t)xenevtchn_pending(p->xce));
	if (pfd[3].revents)
		client_accept(p);
	for (int i = 0; i < MAX_CLIENTS; i++)
		if (p->clients[i] && p->clients[i]->fd >= 0 && pfd[4 + i].revents)
			client_read(p, p->clients[i]);
	p->moved = false;
	if (!ring_read(p))
		return false;
	for (int i = 0; i < MAX_CLIENTS; i++) {
		if (p->clients[i])
			client_flush(p->clients[i]);
		if (p->clients[i] && p->clients[i]->fd < 0)
			client_free(p, i);
	}
	if (!ring_write(p))
		return false;
	if (p->moved)
		xenevtchn_notify(p->xce, p->port);
	return true;
}

/* Ends with 0 on a signal, or when the domain or the hypervisor is gone. */
static int serve(struct proxy *p)
{
	struct pollfd pfd[4 + MAX_CLIENTS];

	for (;;) {
		if (wait_for_work(p, pfd) < 0) {
			if (errno == EINTR)
				continue;
			return tool_error("poll: %s", strerror(errno));
		}
		if (pfd[0].revents || pfd[2].revents)
			return 0;
		if (!step(p, pfd))
			return tool_error("store-proxy: the ring's indices make no sense");
	}
}

static int listen_at(struct proxy *p, const char *rundir)
{
	int n = snprintf(p->addr.sun_path, sizeof(p->addr.sun_path), "%s/socket", rundir);

	if (n >= (int)sizeof(p->addr.sun_path))
		return tool_error("%s: too long a path for a socket", rundir);
	if (mkdir(rundir, 0755) && errno != EEXIST)
		return tool_error("%s: %s", rundir, strerror(errno));
	p->addr.sun_family = AF_UNIX;
	unlink(p->addr.sun_path);
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&p->addr, sizeof(p->addr)) ||
	    listen(p->listener, 64))
		return tool_error("%s: %s", p->addr.sun_path, strerror(errno));
	return 0;
}

static int join_domain(struct proxy *p, uint32_t domid)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p->signals = signalfd(-1, &set, SFD_CLOEXEC);
	hosted_set_domid(domid);
	p->xce = xenevtchn_open(NULL, 0);
	p->alive = xengntshr_open(NULL, 0);
	if (p->signals < 0 || !p->xce || !p->alive)
		return tool_error("domain %u: %s", domid, strerror(errno));
	p->ring = hosted_bind_store(p->xce, &p->port);
	if (!p->ring)
		return tool_error("domain %u's xenstore ring: %s", domid,
				  errno == ENOENT  ? "none, introduce the domain first"
				  : errno == EBUSY ? "another store-proxy has it"
						   : strerror(errno));
	return 0;
}

static int run(struct proxy *p, uint32_t domid, const char *rundir, int ready_fd)
{
	/* What a predecessor's clients left, as a kernel does that boots anew. */
	struct xsd_sockmsg reset = { .type = XS_RESET_WATCHES, .len = 1 };
	int rc;

	if (join_domain(p, domid) || listen_at(p, rundir))
		return -1;
	submit(p, 0, reset, "", NULL);
	if (ready_fd >= 0) {
		if (write(ready_fd, "\n", 1) != 1)
			tool_error("ready fd %d: %s", ready_fd, strerror(errno));
		close(ready_fd);
	}
	rc = serve(p);
	unlink(p->addr.sun_path);
	return rc;
}

/* Watches and transactions of clients still there go with the domain's ring. */
static void finish(struct proxy *p)
{
	for (int i = 0; i < MAX_CLIENTS; i++) {
		struct client *c = p->clients[i];

		if (!c)
			continue;
		for (struct watch *w = c->watches, *next; w; w = next) {
			next = w->next;
			free(w);
		}
		client_hangup(c);
		free(c->out.data);
		free(c->tx);
		free(c);
	}
	for (int i = 0; i < MAX_PENDING; i++)
		if (p->pending[i].used)
			free(p->pending[i].watch);
	free(p->queue.data);
	xengntshr_close(p->alive);
	xenevtchn_close(p->xce);
	if (p->ring)
		munmap(p->ring, 4096);
}

int tool_store_proxy(uint32_t domid, const char *rundir, int ready_fd)
{
	struct proxy *p = must(calloc(1, sizeof(*p)));
	int rc = run(p, domid, rundir, ready_fd);

	finish(p);
	free(p);
	return rc;
}
