/* SPDX-License-Identifier: MIT */
/*
 * poll(2) over everything control listens to. Who became readable does not matter:
 * control_step() asks each of them, without waiting.
 */
#include "backend/control/loop.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <xenstore_lib.h>

#include "backend/control/notify.h"

enum { AT_SIGNAL, AT_STORE, AT_XENSTORED, AT_LINKS, AT_NEIGHBOURS, AT_REST };

#define FDS_MAX (AT_REST + 1 + IPC_WORKERS_MAX + API_CLIENTS_MAX)

static uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

int loop_take_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/*
 * A connection to xenstored's socket that says nothing and is hung up when xenstored ends:
 * libxenstore's own descriptor would stay silent until the next request failed. -1 where
 * there is no socket (a driver domain): there xenstored ends with the host.
 */
static int connect_to_xenstored(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = xs_daemon_socket();
	int fd;

	if (!path || strlen(path) >= sizeof(addr.sun_path))
		return -1;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

static nfds_t collect(const struct control *c, int signal_fd, int xenstored_fd, struct pollfd p[])
{
	nfds_t n = AT_REST;

	p[AT_SIGNAL] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
	p[AT_STORE] = (struct pollfd){ .fd = c->store_lost ? -1 : store_fd(&c->store),
				       .events = POLLIN };
	p[AT_XENSTORED] = (struct pollfd){ .fd = c->store_lost ? -1 : xenstored_fd,
					   .events = POLLIN };
	p[AT_LINKS] = (struct pollfd){ .fd = c->env.netdev_ops->links_fd(c->env.netdev_ctx),
				       .events = POLLIN };
	p[AT_NEIGHBOURS] = (struct pollfd){
		.fd = c->env.netdev_ops->neighbours_fd(c->env.netdev_ctx), .events = POLLIN
	};
	if (api_has_room(&c->api))
		p[n++] = (struct pollfd){ .fd = c->api.listener, .events = POLLIN };
	for (uint32_t i = 0; i < c->workers.n_workers; i++)
		p[n++] = (struct pollfd){ .fd = c->workers.worker[i].sock,
					  .events = c->workers.worker[i].blocked ? POLLIN | POLLOUT :
										   POLLIN };
	for (size_t i = 0; i < API_CLIENTS_MAX; i++)
		p[n++] = (struct pollfd){ .fd = c->api.client[i].fd,
					  .events = c->api.client[i].out ? POLLOUT : POLLIN };
	return n;
}

/* Milliseconds until then, rounded up; -1: for ever. */
static int timeout_ms(uint64_t next_ns, uint64_t now_ns)
{
	if (next_ns == UINT64_MAX)
		return -1;
	if (next_ns <= now_ns)
		return 0;
	return (int)MIN(DIV_ROUND_UP(next_ns - now_ns, NS_PER_MS), 3600u * 1000u);
}

static void on_signal(struct control *c, int signal_fd)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue; /* supervise_step() looks */
		if (!c->stopping) {
			log_info(LOG_NOBODY, "stopping: %s", strsignal((int)info.ssi_signo));
			notify_manager("STOPPING=1\nSTATUS=Giving the queues back");
		}
		control_stop(c, clock_now());
	}
}

static void announce(const struct control *c, bool *up)
{
	char text[128];

	if (*up || !control_is_up(c))
		return;
	*up = true;
	snprintf(text, sizeof(text), "READY=1\nSTATUS=Serving; %u vifs found, %u workers", c->n_vifs,
		 c->workers.n_workers);
	notify_manager(text);
	log_info(LOG_NOBODY, "vifd " VIFD_VERSION " is up: %u vifs found", c->n_vifs);
}

void loop_run(struct control *c, int signal_fd)
{
	struct pollfd p[FDS_MAX];
	int xenstored_fd = connect_to_xenstored();
	bool up = false;

	while (!control_is_over(c)) {
		uint64_t next = control_step(c, clock_now());
		nfds_t n = collect(c, signal_fd, xenstored_fd, p);

		announce(c, &up);
		if (control_is_over(c))
			break;
		if (poll(p, n, timeout_ms(next, clock_now())) < 0)
			continue; /* EINTR, or no memory for a moment */
		if (p[AT_XENSTORED].revents || p[AT_STORE].revents & (POLLHUP | POLLERR | POLLNVAL))
			control_store_lost(c);
		if (p[AT_SIGNAL].revents)
			on_signal(c, signal_fd);
	}
	if (xenstored_fd >= 0)
		close(xenstored_fd);
}
