/* SPDX-License-Identifier: MIT */
/* See client.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <fcntl.h>
#include "client.h"

static struct hx_core *inproc;
static int64_t own_domid = -1;

int hosted_inproc_start(uint64_t seed)
{
	if (inproc)
		return -EBUSY;
	inproc = hx_core_new(seed);
	return inproc ? 0 : -errno;
}

void hosted_inproc_stop(void)
{
	if (inproc)
		hx_core_free(inproc);
	inproc = NULL;
}

void hosted_set_domid(uint32_t domid)
{
	own_domid = domid;
}

/* The toolstack's calls are domain 0's, whoever makes them. */
static int parse_domid(enum hx_kind kind, uint32_t *domid)
{
	const char *env = getenv(HOSTED_ENV_DOMID);
	char *end;

	*domid = own_domid < 0 || kind == HX_KIND_CTL ? 0 : (uint32_t)own_domid;
	if (own_domid >= 0 || kind == HX_KIND_CTL || !env)
		return 0;
	*domid = (uint32_t)strtoul(env, &end, 10);
	return *env && !*end ? 0 : -EINVAL;
}

static int connect_daemon(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *dir = getenv(HOSTED_ENV_DIR);
	int fd, n;

	if (!dir)
		return -ENOENT;
	n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", dir, HOSTED_SOCKET);
	if (n >= (int)sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

static int send_msg(int sock, struct hx_msg *msg, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { msg, HX_MSG_HEAD + msg->n_words * sizeof(msg->v[0]) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		mh.msg_control = ctl.buf;
		mh.msg_controllen = sizeof(ctl.buf);
		ctl.align = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
					      .cmsg_level = SOL_SOCKET,
					      .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&ctl.align), &fd, sizeof(fd));
	}
	do
		n = sendmsg(sock, &mh, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -ENODEV : 0;
}

static int recv_msg(int sock, struct hx_msg *msg, int fds[HX_MAX_FDS], size_t *n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(HX_MAX_FDS * sizeof(int))];
	} ctl;
	struct iovec iov = { msg, sizeof(*msg) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ctl.buf,
			     .msg_controllen = sizeof(ctl.buf) };
	struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < (ssize_t)HX_MSG_HEAD)
		return -ENODEV; /* the daemon is gone */
	*n_fds = 0;
	c = CMSG_FIRSTHDR(&mh);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		*n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), *n_fds * sizeof(int));
	}
	return 0;
}

/* In one process descriptors are duplicated, so that both ways the caller owns
 * what it gets. */
static int call_inproc(struct hx_client *c, int send_fd, int fds[HX_MAX_FDS], size_t *n_fds)
{
	*n_fds = send_fd >= 0;
	fds[0] = send_fd;
	hx_core_reap(c->core);
	hx_core_call(c->core, &c->handle, &c->msg, fds, n_fds);
	for (size_t i = 0; i < *n_fds; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (fds[i] >= 0)
			continue;
		while (i--)
			close(fds[i]);
		return -EMFILE;
	}
	return 0;
}

static int call_fds(struct hx_client *c, int send_fd, int fds[HX_MAX_FDS], size_t want)
{
	size_t n_fds = 0;
	int rc;

	if (c->core) {
		rc = call_inproc(c, send_fd, fds, &n_fds);
	} else {
		rc = send_msg(c->sock, &c->msg, send_fd);
		if (!rc)
			rc = recv_msg(c->sock, &c->msg, fds, &n_fds);
	}
	if (!rc)
		rc = c->msg.result;
	if (!rc && n_fds < want)
		rc = -EMFILE; /* the kernel drops descriptors that do not fit */
	for (size_t i = rc ? 0 : want; i < n_fds; i++)
		close(fds[i]);
	return rc;
}

int hx_client_call(struct hx_client *c, int send_fd, int *fd)
{
	int fds[HX_MAX_FDS];
	int rc = call_fds(c, send_fd, fds, fd ? 1 : 0);

	if (!rc && fd)
		*fd = fds[0];
	return rc;
}

static void complain(int err, uint32_t domid)
{
	const char *dir = getenv(HOSTED_ENV_DIR);

	if (!inproc && !dir)
		fprintf(stderr, "hosted Xen: %s is not set\n", HOSTED_ENV_DIR);
	else if (err == -ESRCH)
		fprintf(stderr, "hosted Xen: domain %u does not exist on this host\n", domid);
	else
		fprintf(stderr, "hosted Xen: %s: %s\n", dir ? dir : "in process", strerror(-err));
}

static int hello(struct hx_client *c, enum hx_kind kind, int *ring)
{
	int fds[HX_MAX_FDS];
	int rc;

	c->msg.op = HX_HELLO;
	c->msg.id = kind;
	rc = call_fds(c, -1, fds, ring ? 2 : 1);
	if (rc)
		return rc;
	c->m = mmap(NULL, sizeof(*c->m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fds[0],
		    0);
	rc = c->m == MAP_FAILED ? -errno : c->m->magic != HX_MAGIC ? -EPROTO : 0;
	close(fds[0]);
	if (!rc)
		madvise(c->m, sizeof(*c->m), MADV_DONTDUMP);
	if (rc) {
		if (ring)
			close(fds[1]);
		return rc;
	}
	c->idx = c->msg.id;
	c->slot = c->msg.port;
	if (ring)
		*ring = fds[1];
	return 0;
}

int hx_client_open(struct hx_client *c, enum hx_kind kind, int *ring)
{
	int rc;

	memset(c, 0, offsetof(struct hx_client, msg) + HX_MSG_HEAD);
	c->sock = -1;
	c->m = MAP_FAILED;
	c->core = inproc;
	c->pid = getpid();
	pthread_mutex_init(&c->lock, NULL);
	rc = parse_domid(kind, &c->msg.domid);
	if (!rc && !c->core) {
		c->sock = connect_daemon();
		rc = c->sock < 0 ? c->sock : 0;
	}
	if (!rc)
		rc = hello(c, kind, ring);
	if (rc) {
		complain(rc, c->msg.domid);
		hx_client_close(c);
	}
	return rc;
}

/* False in a forked child, which must leave mappings and messages alone. */
static bool is_mine(const struct hx_client *c)
{
	return c->pid == getpid();
}

void hx_client_close(struct hx_client *c)
{
	/* As close() on a device: whoever looks next sees it done. */
	if (c->m != MAP_FAILED && is_mine(c)) {
		hx_client_msg(c, HX_CLOSE);
		hx_client_call(c, -1, NULL);
	}
	if (c->m != MAP_FAILED)
		munmap(c->m, sizeof(*c->m));
	if (c->core)
		hx_core_close(c->core, c->handle);
	if (c->sock >= 0)
		close(c->sock);
	pthread_mutex_destroy(&c->lock);
}

struct hx_msg *hx_client_msg(struct hx_client *c, enum hx_op op)
{
	memset(&c->msg, 0, HX_MSG_HEAD);
	c->msg.op = op;
	return &c->msg;
}

struct hx_msg *hx_client_begin(struct hx_client *c, enum hx_op op)
{
	pthread_mutex_lock(&c->lock);
	return hx_client_msg(c, op);
}

void hx_client_end(struct hx_client *c)
{
	pthread_mutex_unlock(&c->lock);
}

struct hx_region *hx_region_new(uint32_t n, uint32_t max_ids)
{
	size_t bytes = (size_t)n << HX_PAGE_SHIFT;
	struct hx_region *r = calloc(1, sizeof(*r) + max_ids * sizeof(r->ids[0]));

	if (!r)
		return NULL;
	r->n = n;
	r->addr = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->addr == MAP_FAILED) {
		free(r);
		return NULL;
	}
	return r;
}

int hx_region_fill(struct hx_region *r, uint32_t at, int mem_fd, const uint32_t frames[],
		   uint32_t n, int prot)
{
	for (uint32_t i = 0, run; i < n; i += run) {
		uint8_t *to = r->addr + ((size_t)(at + i) << HX_PAGE_SHIFT);

		for (run = 1; i + run < n && frames[i + run] == frames[i] + run; run++)
			;
		if (mmap(to, (size_t)run << HX_PAGE_SHIFT, prot, MAP_SHARED | MAP_FIXED, mem_fd,
			 (off_t)frames[i] << HX_PAGE_SHIFT) == MAP_FAILED)
			return -errno;
		/* As the real drivers: a forked child does not have it. */
		if (madvise(to, (size_t)run << HX_PAGE_SHIFT, MADV_DONTFORK))
			return -errno;
	}
	return 0;
}

struct hx_region *hx_region_find(struct hx_region **list, const void *addr)
{
	for (; *list; list = &(*list)->next) {
		struct hx_region *r = *list;

		if (r->addr != addr)
			continue;
		*list = r->next;
		r->next = NULL;
		return r;
	}
	return NULL;
}

int hx_region_close(struct hx_client *c, struct hx_region *r, enum hx_op op)
{
	int rc = 0;

	if (munmap(r->addr, (size_t)r->n << HX_PAGE_SHIFT))
		rc = -errno;
	for (uint32_t i = 0; i < r->n_ids; i++) {
		struct hx_msg *msg = hx_client_begin(c, op);
		int err;

		msg->id = r->ids[i];
		err = hx_client_call(c, -1, NULL);
		if (!rc)
			rc = err;
		hx_client_end(c);
	}
	free(r->gone);
	free(r);
	return rc;
}

void hx_regions_unmap(const struct hx_client *c, struct hx_region *list)
{
	while (list) {
		struct hx_region *r = list;

		list = r->next;
		if (is_mine(c))
			munmap(r->addr, (size_t)r->n << HX_PAGE_SHIFT);
		free(r->gone);
		free(r);
	}
}
