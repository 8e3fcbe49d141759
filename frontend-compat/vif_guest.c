/* SPDX-License-Identifier: MIT */
/*
 * vif-guest: a guest's network in one process. A netfront joined to a TAP in a network
 * namespace; a program started in that namespace runs, for all the network can tell,
 * inside the guest.
 *
 *	program -> TAP eth0 -> netfront -> rings -> the backend in another domain
 *
 * This file is the only place that waits: one poll(2) over signals, xenstore, event
 * channels and the TAP. No timer runs unless a counter changed since the stats file was
 * written, or the vif is being closed: an idle guest uses no CPU.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "frontend-compat/commands.h"
#include "frontend-compat/options.h"
#include "frontend-compat/stats.h"

/* How long the backend has to follow us when we close: XENNET_TIMEOUT. */
#define CLOSE_TIMEOUT_NS (5 * NS_PER_S)

#define STATS_INTERVAL_NS NS_PER_S

/* The kernel tells nobody of multicast addresses: they are looked at this often, if the
 * backend is to know them. */
#define MULTICAST_INTERVAL_NS (250 * NS_PER_MS)

enum {
	POLL_SIGNAL,
	POLL_BUS,
	POLL_EVENT,
	POLL_COMMAND,
	POLL_TAP,
	N_POLL = POLL_TAP + NETFRONT_QUEUES_MAX
};

struct guest {
	struct options options;
	struct netfront nf;
	struct tap tap;
	int signal_fd;
	struct commands commands;
	bool connected, link; /* as the TAP was told */
	uint32_t mtu;
	uint64_t connects; /* of netfront's, the one the TAP was set up for */
	bool store_lost;   /* xenstore hung up: traffic goes on, states do not */
	bool done;
	int status;		   /* what to exit with */
	uint64_t close_by_ns;	   /* 0: not closing */
	uint64_t stats_due_ns;	   /* 0: nothing new */
	uint64_t multicast_due_ns; /* 0: nobody asks */
	struct netfront_counters stats_written;
	bool stats_connected;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void write_stats(struct guest *g)
{
	int err = stats_replace(&g->nf, g->options.stats_file);

	if (err < 0)
		log_error(&g->nf.log, "%s: %s", g->options.stats_file, strerror(-err));
	g->stats_written = g->nf.counters;
	g->stats_connected = g->connected;
	g->stats_due_ns = 0;
}

static void follow_stats(struct guest *g)
{
	if (!g->options.stats_file)
		return;
	if (g->stats_due_ns) {
		if (now_ns() >= g->stats_due_ns)
			write_stats(g);
	} else if (g->connected != g->stats_connected ||
		   memcmp(&g->stats_written, &g->nf.counters, sizeof(g->stats_written))) {
		g->stats_due_ns = now_ns() + STATS_INTERVAL_NS;
	}
}

/* Lets the states move on. */
static void follow_bus(struct guest *g)
{
	int err;

	if (g->store_lost)
		return;
	err = netfront_bus_step(&g->nf);
	if (err < 0)
		log_error(&g->nf.log, "xenstore: %s", strerror(-err));
	if (netfront_has_left(&g->nf))
		g->done = true;
}

static void close_for_good(struct guest *g, int status)
{
	g->status = MAX(g->status, status);
	if (g->close_by_ns || g->store_lost) {
		g->done = true;
		return;
	}
	g->close_by_ns = now_ns() + CLOSE_TIMEOUT_NS;
	netfront_leave(&g->nf);
	follow_bus(g);
}

static int link_up(struct guest *g)
{
	const struct options *o = &g->options;
	int err = tap_set_offloads(&g->tap, g->nf.features);

	if (!err)
		err = tap_use_queues(&g->tap, g->nf.n_queues);
	if (!err)
		err = tap_configure(&g->tap, g->nf.mac, g->nf.mtu);
	if (!err)
		err = tap_up(&g->tap);
	for (uint32_t i = 0; i < o->n_addresses && !err; i++)
		err = tap_add_address(&g->tap, &o->address[i]);
	g->mtu = g->nf.mtu;
	return err;
}

static int set_link(struct guest *g)
{
	g->link = netfront_has_link(&g->nf);
	return tap_set_carrier(&g->tap, g->link);
}

/* What changes while connected. */
static int follow_keys(struct guest *g)
{
	int err = 0;

	if (g->mtu != g->nf.mtu)
		err = tap_configure(&g->tap, g->nf.mac, g->nf.mtu);
	g->mtu = g->nf.mtu;
	if (!err && g->link != netfront_has_link(&g->nf))
		err = set_link(g);
	return err;
}

static void follow_multicast(struct guest *g)
{
	struct multicast_address address[MULTICAST_MAX];
	uint64_t now;
	int n;

	if (!netfront_filters_multicast(&g->nf)) {
		g->multicast_due_ns = 0;
		return;
	}
	now = now_ns();
	if (now < g->multicast_due_ns)
		return;
	g->multicast_due_ns = now + MULTICAST_INTERVAL_NS;
	n = tap_multicast(&g->tap, address, MULTICAST_MAX);
	if (n >= 0)
		n = netfront_set_multicast(&g->nf, address, (uint32_t)n);
	if (n < 0)
		log_error(&g->nf.log, "multicast addresses: %s", strerror(-n));
}

static void say_ready(struct guest *g)
{
	static const char line[] = "ready\n";

	if (g->options.ready_fd < 0)
		return;
	if (write(g->options.ready_fd, line, sizeof(line) - 1) < 0)
		log_warning(&g->nf.log, "--ready-fd: %s", strerror(errno));
	close(g->options.ready_fd);
	g->options.ready_fd = -1;
}

/* Makes the interface follow the vif. */
static void follow_connection(struct guest *g)
{
	bool connected = netfront_is_connected(&g->nf);
	int err;

	/* a backend may let us go and come back within one look at the store */
	if (connected == g->connected && (!connected || g->connects == g->nf.counters.connects)) {
		if (connected && follow_keys(g) < 0)
			log_error(&g->nf.log, "setting up interface %s", g->tap.name);
		return;
	}
	g->connected = connected;
	g->connects = g->nf.counters.connects;
	err = connected ? link_up(g) : 0;
	if (!err)
		err = set_link(g);
	if (err < 0 && !g->nf.stack_error) {
		log_error(&g->nf.log, "setting up interface %s: %s", g->tap.name, strerror(-err));
		close_for_good(g, 1);
		return;
	}
	log_info(&g->nf.log, "%s", connected ? "connected" : "disconnected");
	if (connected)
		say_ready(g);
}

static void follow_interface(struct guest *g)
{
	if (!g->nf.stack_error || g->close_by_ns)
		return;
	log_error(&g->nf.log, "interface %s is gone: %s", g->tap.name,
		  strerror(-g->nf.stack_error));
	close_for_good(g, 1);
}

static void take_signal(struct guest *g)
{
	struct signalfd_siginfo info;
	int err;

	if (read(g->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGHUP:
		netfront_restart(&g->nf);
		follow_bus(g);
		break;
	case SIGUSR1:
		if (g->options.stats_file) {
			write_stats(g);
			break;
		}
		err = stats_write(&g->nf, STDOUT_FILENO);
		if (err < 0)
			log_warning(&g->nf.log, "standard output: %s", strerror(-err));
		break;
	default:
		close_for_good(g, 0);
	}
}

static void lose_store(struct guest *g)
{
	log_error(&g->nf.log, "xenstore hung up: traffic goes on, but nothing can change");
	g->store_lost = true;
	if (g->close_by_ns)
		g->done = true;
}

static int timeout_ms(const struct guest *g, bool again)
{
	uint64_t due = g->close_by_ns, now;

	if (again)
		return 0;
	if (g->stats_due_ns && (!due || g->stats_due_ns < due))
		due = g->stats_due_ns;
	if (g->multicast_due_ns && (!due || g->multicast_due_ns < due))
		due = g->multicast_due_ns;
	if (!due)
		return -1;
	now = now_ns();
	return due <= now ? 0 : (int)((due - now) / NS_PER_MS) + 1;
}

static void fill_poll(const struct guest *g, struct pollfd fds[N_POLL])
{
	fds[POLL_SIGNAL] = (struct pollfd){ g->signal_fd, POLLIN, 0 };
	fds[POLL_BUS] = (struct pollfd){ g->store_lost ? -1 : netfront_bus_fd(&g->nf), POLLIN, 0 };
	fds[POLL_EVENT] = (struct pollfd){ netfront_event_fd(&g->nf), POLLIN, 0 };
	fds[POLL_COMMAND] = (struct pollfd){ commands_fd(&g->commands), POLLIN, 0 };
	for (uint32_t i = 0; i < NETFRONT_QUEUES_MAX; i++) {
		bool wanted =
		    i < g->tap.n_queues && netfront_has_room(&g->nf, i) && !g->nf.stack_error;

		fds[POLL_TAP + i] = (struct pollfd){ wanted ? g->tap.fd[i] : -1, POLLIN, 0 };
	}
}

static void run(struct guest *g)
{
	struct pollfd fds[N_POLL];
	bool again = false;

	follow_bus(g);
	follow_connection(g);
	while (!g->done) {
		fill_poll(g, fds);
		if (poll(fds, N_POLL, timeout_ms(g, again)) < 0 && errno != EINTR) {
			log_error(&g->nf.log, "poll: %s", strerror(errno));
			g->status = 1;
			return;
		}
		if (fds[POLL_SIGNAL].revents)
			take_signal(g);
		if (fds[POLL_BUS].revents)
			follow_bus(g);
		if (fds[POLL_BUS].revents & (POLLHUP | POLLERR | POLLNVAL))
			lose_store(g);
		if (fds[POLL_EVENT].revents && netfront_take_events(&g->nf))
			follow_bus(g);
		if (fds[POLL_COMMAND].revents && commands_take(&g->commands))
			follow_bus(g);
		follow_connection(g);
		commands_follow(&g->commands);
		follow_multicast(g);
		/* until the interface is up, frames for it wait in the ring */
		again = g->connected && netfront_step(&g->nf);
		follow_interface(g);
		follow_stats(g);
		if (g->close_by_ns && now_ns() >= g->close_by_ns) {
			log_warning(&g->nf.log, "the backend did not follow us into Closed");
			g->done = true;
		}
	}
}

static int find_domid(struct options *o)
{
	uint32_t domid = 0;
	struct store s;
	int err;

	if (o->domid >= 0)
		return 0;
	err = store_open(&s);
	if (err < 0) {
		log_error(LOG_NOBODY,
			  "xenstore: %s (is this a Xen domain? is XENSTORED_RUNDIR set?)",
			  strerror(-err));
		return err;
	}
	err = store_read_uint(&s, XBT_NULL, 0x7fef, &domid, "domid");
	store_close(&s);
	if (err < 0)
		log_error(LOG_NOBODY, "xenstore key domid: %s; tell with --domid", strerror(-err));
	o->domid = (int)domid;
	return err;
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	/* before libxenstore starts its thread, which inherits the mask */
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int start(struct guest *g)
{
	const struct options *o = &g->options;
	struct netfront_config config = {
		.vif = { .domid = (uint16_t)o->domid, .devid = o->vif },
		.choice = o->choice,
		.stack_ops = &tap_stack_ops,
		.stack = &g->tap,
	};
	int err = tap_open(&g->tap, o->ifname, o->netns, o->choice.n_queues);

	if (err < 0)
		return err;
	err = commands_open(&g->commands, o->control, &g->nf, o->choice.n_queues);
	if (err < 0)
		goto close_tap;
	err = netfront_open(&g->nf, &config);
	if (err < 0)
		goto close_commands;
	return 0;

close_commands:
	commands_close(&g->commands);
close_tap:
	tap_close(&g->tap);
	return err;
}

int main(int argc, char **argv)
{
	static struct guest g;
	int status = options_parse(argc, argv, &g.options);

	if (status >= 0)
		return status;
	log_init("vif-guest", g.options.log_level, false);
	g.signal_fd = open_signals();
	if (g.signal_fd < 0) {
		log_error(LOG_NOBODY, "signalfd: %s", strerror(errno));
		return 1;
	}
	if (find_domid(&g.options) < 0 || start(&g) < 0)
		return 1;
	run(&g);
	if (g.options.stats_file)
		write_stats(&g);
	commands_close(&g.commands);
	netfront_close(&g.nf);
	tap_close(&g.tap);
	return g.status;
}
