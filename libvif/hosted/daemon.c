/* SPDX-License-Identifier: MIT */
/*
 * hosted-xen run: the hypervisor as a process. One epoll loop; each connection
 * is one handle, and its hangup releases what the handle owned. No client can
 * make it wait: replies are sent without blocking, and who does not read them is
 * disconnected.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <fcntl.h>
#include <unistd.h>
#include "core.h"
#include "tool.h"

#define REAP_MS 2

struct conn {
	struct conn *next, **at;
	int sock;
	struct hx_handle *handle;
};

struct daemon {
	struct hx_core *core;
	int epoll, listener, signals, lock;
	int spare; /* given up for a moment when descriptors run out */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct conn accept_conn, signal_conn; /* mark the two other descriptors */
	struct conn *conns;
	struct hx_msg msg;
};

static void conn_close(struct daemon *d, struct conn *conn)
{
	*conn->at = conn->next;
	if (conn->next)
		conn->next->at = conn->at;
	hx_core_close(d->core, conn->handle);
	close(conn->sock);
	free(conn);
}

static int reply(int sock, const struct hx_msg *msg, const int fds[], size_t n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(HX_MAX_FDS * sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { (void *)msg, HX_MSG_HEAD + msg->n_words * sizeof(msg->v[0]) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		ctl.align = (struct cmsghdr){ .cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
					      .cmsg_level = SOL_SOCKET,
					      .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&ctl.align), fds, n_fds * sizeof(int));
	}
	return sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* A destroyed domain's programs see their connections end. */
static void hang_up_dead(struct daemon *d)
{
	for (struct conn *conn = d->conns; conn; conn = conn->next)
		if (conn->handle && hx_core_is_dead(conn->handle))
			shutdown(conn->sock, SHUT_RDWR);
}

/* Reads one message with at most one descriptor. Its length, 0 at the end. */
static ssize_t receive(struct daemon *d, int sock, int fds[HX_MAX_FDS], size_t *n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct iovec iov = { &d->msg, sizeof(d->msg) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ctl.buf,
			     .msg_controllen = sizeof(ctl.buf) };
	ssize_t n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&mh) : NULL;

	*n_fds = 0;
	if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
		memcpy(fds, CMSG_DATA(c), sizeof(int));
		*n_fds = 1;
	}
	return n;
}

/* False: the connection is over. */
static bool conn_serve(struct daemon *d, struct conn *conn)
{
	int fds[HX_MAX_FDS], received = -1;
	size_t n_fds;
	ssize_t n = receive(d, conn->sock, fds, &n_fds);
	bool destroy;
	int rc;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n_fds)
		received = fds[0];
	if (n < (ssize_t)HX_MSG_HEAD ||
	    (size_t)n != HX_MSG_HEAD + (size_t)d->msg.n_words * sizeof(d->msg.v[0])) {
		if (received >= 0)
			close(received);
		return false;
	}
	destroy = d->msg.op == HX_DOMAIN_DESTROY;
	hx_core_call(d->core, &conn->handle, &d->msg, fds, &n_fds);
	if (destroy)
		hang_up_dead(d);
	rc = reply(conn->sock, &d->msg, fds, n_fds);
	if (received >= 0)
		close(received);
	return !rc;
}

static int watch(struct daemon *d, int fd, struct conn *conn)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = conn };

	return epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/* Out of descriptors, the caller is turned away: it must not stay in the queue and
 * keep the loop spinning. */
static void turn_away(struct daemon *d)
{
	close(d->spare);
	close(accept4(d->listener, NULL, NULL, SOCK_CLOEXEC));
	d->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void conn_accept(struct daemon *d)
{
	int sock = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC);
	struct conn *conn = sock < 0 ? NULL : calloc(1, sizeof(*conn));

	if (!conn) {
		if (sock >= 0)
			close(sock);
		else if (errno == EMFILE || errno == ENFILE)
			turn_away(d);
		return;
	}
	conn->sock = sock;
	conn->next = d->conns;
	conn->at = &d->conns;
	if (conn->next)
		conn->next->at = &conn->next;
	d->conns = conn;
	if (watch(d, sock, conn))
		conn_close(d, conn);
}

static int serve(struct daemon *d)
{
	struct epoll_event ev[64];

	for (;;) {
		int n = epoll_wait(d->epoll, ev, 64, hx_core_reap(d->core) ? REAP_MS : -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++) {
			struct conn *conn = ev[i].data.ptr;

			if (conn == &d->signal_conn)
				return 0;
			if (conn == &d->accept_conn)
				conn_accept(d);
			else if (!conn_serve(d, conn))
				conn_close(d, conn);
		}
	}
}

/* One daemon a directory: the lock tells a stale socket from a living one. */
static int bind_socket(struct daemon *d, const char *dir)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char lock[sizeof(addr.sun_path) + 8];
	int n;

	if (mkdir(dir, 0755) && errno != EEXIST)
		return tool_error("%s: %s", dir, strerror(errno));
	n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", dir, HOSTED_SOCKET);
	if (n >= (int)sizeof(addr.sun_path))
		return tool_error("%s: too long a path for a socket", dir);
	snprintf(lock, sizeof(lock), "%s.lock", addr.sun_path);
	d->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (d->lock < 0)
		return tool_error("%s: %s", lock, strerror(errno));
	if (flock(d->lock, LOCK_EX | LOCK_NB))
		return tool_error("%s: another hypervisor runs there", dir);
	unlink(addr.sun_path);
	d->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (d->listener < 0 || bind(d->listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(d->listener, 256))
		return tool_error("%s: %s", addr.sun_path, strerror(errno));
	/* A process that has given up its privileges still opens its handles. */
	if (chmod(addr.sun_path, 0666))
		return tool_error("%s: %s", addr.sun_path, strerror(errno));
	memcpy(d->path, addr.sun_path, sizeof(d->path));
	return 0;
}

static int catch_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals = signalfd(-1, &set, SFD_CLOEXEC);
	return d->signals < 0 ? tool_error("signalfd: %s", strerror(errno)) : 0;
}

/* Domain 0's xenstore page is the first page of its memory: hosted-xen xenstored
 * relies on it. */
static int setup_dom0(struct daemon *d)
{
	struct hx_handle *ctl = NULL;
	int fds[HX_MAX_FDS];
	size_t n_fds = 0;

	d->msg = (struct hx_msg){ .op = HX_HELLO, .id = HX_KIND_CTL };
	hx_core_call(d->core, &ctl, &d->msg, fds, &n_fds);
	n_fds = 0;
	d->msg = (struct hx_msg){ .op = HX_STORE_SETUP };
	hx_core_call(d->core, &ctl, &d->msg, fds, &n_fds);
	hx_core_close(d->core, ctl);
	return d->msg.result;
}

static void announce(int ready_fd)
{
	if (ready_fd < 0)
		return;
	if (write(ready_fd, "\n", 1) != 1)
		tool_error("ready fd %d: %s", ready_fd, strerror(errno));
	close(ready_fd);
}

static int run(struct daemon *d, const char *dir, int ready_fd)
{
	int rc = setup_dom0(d);

	if (rc)
		return tool_error("domain 0: %s", strerror(-rc));
	d->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (catch_signals(d) || bind_socket(d, dir))
		return -1;
	rc = watch(d, d->listener, &d->accept_conn);
	if (!rc)
		rc = watch(d, d->signals, &d->signal_conn);
	if (!rc) {
		announce(ready_fd);
		rc = serve(d);
	}
	unlink(d->path);
	return rc ? tool_error("epoll: %s", strerror(-rc)) : 0;
}

int tool_run(const char *dir, int ready_fd, uint64_t seed)
{
	struct daemon d = { .core = hx_core_new(seed) };
	struct rlimit files;
	int rc;

	if (!d.core)
		return tool_error("no memory for a machine: %s", strerror(errno));
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	rc = run(&d, dir, ready_fd);
	for (struct conn *conn = d.conns, *next; conn; conn = next) {
		next = conn->next;
		conn_close(&d, conn);
	}
	hx_core_free(d.core);
	return rc;
}
