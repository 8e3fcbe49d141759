/* SPDX-License-Identifier: MIT */
/*
 * The life of the frontend (netfront.h): handles, watches, and the moves bus.c decides.
 * The data path is io.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "frontend-compat/netfront.h"

/* More moves than any walk through the states has; beyond, the store is playing with us. */
#define MOVES_MAX 16

#define TOKEN_OURS   "ours"
#define TOKEN_THEIRS "theirs"

int netfront_open(struct netfront *nf, const struct netfront_config *config)
{
	int err;

	memset(nf, 0, sizeof(*nf));
	nf->config = *config;
	netfront_choose(nf, &config->choice);
	nf->log = (struct log_scope){ &nf->config.vif, -1 };

	err = store_open(&nf->store);
	if (err < 0) {
		log_error(&nf->log, "xenstore: %s", strerror(-err));
		return err;
	}
	err = events_open(&nf->events);
	if (err < 0) {
		log_error(&nf->log, "event channels (/dev/xen/evtchn): %s", strerror(-err));
		goto close_store;
	}
	nf->gntshr = xengntshr_open(NULL, 0);
	if (!nf->gntshr) {
		err = -errno;
		log_error(&nf->log, "granting memory (/dev/xen/gntalloc): %s", strerror(-err));
		goto close_events;
	}
	err = store_watch(&nf->store, TOKEN_OURS, "device/vif/%u/state", config->vif.devid);
	if (!err)
		err = store_watch(&nf->store, TOKEN_OURS, "device/vif/%u/mtu", config->vif.devid);
	if (err < 0) {
		log_error(&nf->log, "watching the device: %s", strerror(-err));
		goto close_gntshr;
	}
	return 0;

close_gntshr:
	xengntshr_close(nf->gntshr);
close_events:
	events_close(&nf->events);
close_store:
	store_close(&nf->store);
	return err;
}

void netfront_close(struct netfront *nf)
{
	netfront_release(nf);
	xengntshr_close(nf->gntshr);
	events_close(&nf->events);
	store_close(&nf->store);
}

int netfront_bus_fd(const struct netfront *nf)
{
	return store_fd(&nf->store);
}

int netfront_event_fd(const struct netfront *nf)
{
	return nf->events.fd;
}

static int read_state(struct netfront *nf, enum xenbus_state *out, const char *dir)
{
	uint32_t value;
	int err =
	    store_read_uint(&nf->store, XBT_NULL, XENBUS_N_STATES - 1, &value, "%s/state", dir);

	/* a peer's nonsense, or no permission left: as good as no state */
	if (err == -ENOENT || err == -EINVAL || err == -ERANGE || err == -EACCES ||
	    err == -EILSEQ || err == -ENAMETOOLONG)
		value = XenbusStateUnknown;
	else if (err < 0)
		return err;
	*out = value;
	return 0;
}

/* Turns to the backend the device names; another than before is watched instead. */
static int find_backend(struct netfront *nf)
{
	unsigned devid = nf->config.vif.devid;
	char path[sizeof(nf->backend_path)];
	int err;

	err = store_read(&nf->store, XBT_NULL, path, sizeof(path), "device/vif/%u/backend", devid);
	if (err < 0)
		return err;
	if (!nf->bus.shared) { /* while shared it is whom we granted to */
		err = store_read_uint(&nf->store, XBT_NULL, UINT16_MAX, &nf->backend_domid,
				      "device/vif/%u/backend-id", devid);
		if (err < 0)
			return err;
	}
	if (!strcmp(path, nf->backend_path))
		return 0;
	if (nf->backend_path[0]) {
		store_unwatch(&nf->store, TOKEN_THEIRS, "%s/state", nf->backend_path);
		store_unwatch(&nf->store, TOKEN_THEIRS, "%s/carrier", nf->backend_path);
	}
	strcpy(nf->backend_path, path);
	err = store_watch(&nf->store, TOKEN_THEIRS, "%s/state", nf->backend_path);
	if (err < 0)
		return err;
	return store_watch(&nf->store, TOKEN_THEIRS, "%s/carrier", nf->backend_path);
}

/* What both sides may change while connected: netif.h "Carrier" and "MTU". */
static void look_at_link(struct netfront *nf)
{
	uint32_t carrier;

	/* absent or nonsense is as good as none: the link is up, the MTU as it was */
	nf->carrier = store_read_uint(&nf->store, XBT_NULL, 1, &carrier, "%s/carrier",
				      nf->backend_path) < 0 ||
		      carrier;
	if (nf->bus.shared && netfront_read_mtu(nf) < 0)
		log_debug(&nf->log, "the mtu key is nonsense");
}

/* Fills nf->bus from the store. */
static int look(struct netfront *nf)
{
	struct bus_situation *s = &nf->bus;
	enum xenbus_state theirs = s->theirs;
	bool known = s->device;
	char ours[32];
	int err = find_backend(nf);

	s->device = err == 0;
	if (err == -ENOENT)
		return 0;
	if (err < 0)
		return err;
	snprintf(ours, sizeof(ours), "device/vif/%" PRIu32, nf->config.vif.devid);
	err = read_state(nf, &s->ours, ours);
	if (err < 0)
		return err;
	err = read_state(nf, &s->theirs, nf->backend_path);
	if (err < 0)
		return err;
	look_at_link(nf);
	if (theirs != s->theirs)
		log_debug(&nf->log, "backend is %s", xenbus_state_name(s->theirs));
	if (!known) {
		s->failed = false;
		/* a frontend before us left it so: xenbus_reset_frontend() */
		s->restarting |= s->ours > XenbusStateInitialising;
	}
	return 0;
}

static int write_state(struct netfront *nf, enum xenbus_state state)
{
	char text[2] = { (char)('0' + state), 0 };
	int err =
	    store_write(&nf->store, XBT_NULL, text, "device/vif/%u/state", nf->config.vif.devid);

	if (err < 0)
		return err;
	nf->bus.ours = state;
	log_debug(&nf->log, "we are %s", xenbus_state_name(state));
	return 0;
}

static int connect_and_run(struct netfront *nf)
{
	int err = netfront_connect(nf);

	nf->bus.restarting = false;
	if (err < 0) {
		netfront_release(nf);
		nf->bus.failed = true; /* the next move closes */
		return 0;
	}
	nf->running = true;
	if (nf->ctrl.phase == CTRL_WAITING && nf->choice.dialect->ctrl_early)
		ctrl_start(nf);
	netfront_step(nf); /* fills the receive ring, as xennet_connect() does before it says so */
	err = write_state(nf, XenbusStateConnected);
	if (err < 0)
		return err;
	nf->counters.connects++;
	netfront_step(nf); /* for one that posts its buffers only now */
	return 0;
}

/* xennet_xdp_set(), talk_to_netback_xdp(): the key follows the state. */
static int reconfigure(struct netfront *nf)
{
	char text[8];
	int err = write_state(nf, XenbusStateReconfiguring);

	if (err < 0)
		return err;
	snprintf(text, sizeof(text), "%u", nf->headroom);
	return store_write(&nf->store, XBT_NULL, text, "device/vif/%u/xdp-headroom",
			   nf->config.vif.devid);
}

static int make(struct netfront *nf, enum bus_move move)
{
	switch (move) {
	case BUS_START:
		return write_state(nf, XenbusStateInitialising);
	case BUS_CONNECT:
		return connect_and_run(nf);
	case BUS_RECONFIGURE:
		nf->bus.reconfiguring = false;
		return reconfigure(nf);
	case BUS_RESUME:
		return write_state(nf, XenbusStateConnected);
	case BUS_WITHDRAW:
		nf->running = false;
		nf->bus.withdrawing = true;
		ctrl_withdraw(nf);
		return 0;
	case BUS_ENTER_CLOSING:
		nf->running = false;
		return write_state(nf, XenbusStateClosing);
	case BUS_ENTER_CLOSED:
		nf->running = false;
		return write_state(nf, XenbusStateClosed);
	case BUS_RELEASE:
		netfront_release(nf);
		return 0;
	case BUS_STAY:
		break;
	}
	return 0;
}

int netfront_bus_step(struct netfront *nf)
{
	struct store_event event;
	int err;

	/* what a watch says is found by looking; the events only wake us */
	do
		err = store_next_event(&nf->store, &event);
	while (!err);
	if (err != -EAGAIN)
		return err;

	for (int i = 0; i < MOVES_MAX; i++) {
		enum bus_move move;

		err = look(nf);
		if (err < 0)
			return err;
		nf->bus.lent = ctrl_is_lending(&nf->ctrl);
		move = bus_next_move(&nf->bus);
		if (move == BUS_STAY)
			break;
		log_debug(&nf->log, "%s", bus_move_name(move));
		err = make(nf, move);
		if (err < 0)
			return err;
	}
	if (nf->ctrl.phase == CTRL_WAITING && nf->running && bus_is_connected(&nf->bus))
		ctrl_start(nf);
	return 0;
}

void netfront_leave(struct netfront *nf)
{
	nf->bus.leaving = true;
}

void netfront_restart(struct netfront *nf)
{
	nf->bus.restarting = true;
	nf->bus.failed = false;
}

void netfront_choose(struct netfront *nf, const struct frontend_choice *choice)
{
	assert(choice->dialect && choice->n_queues && choice->n_queues <= NETFRONT_QUEUES_MAX);
	assert(!(choice->without & ~FEATURES_SWITCHABLE));
	nf->config.choice = *choice;
	nf->bus.impatient = choice->dialect->impatient;
}

bool netfront_has_left(const struct netfront *nf)
{
	const struct bus_situation *s = &nf->bus;

	return s->leaving && !s->shared &&
	       (!s->device || s->ours == XenbusStateUnknown || s->ours == XenbusStateClosed);
}

bool netfront_is_connected(const struct netfront *nf)
{
	return nf->running && bus_is_connected(&nf->bus) && !ctrl_is_starting(&nf->ctrl);
}

bool netfront_has_link(const struct netfront *nf)
{
	return netfront_is_connected(nf) && nf->carrier;
}

int netfront_set_headroom(struct netfront *nf, uint16_t headroom)
{
	if (!netfront_is_connected(nf) || !nf->has_headroom)
		return -EOPNOTSUPP;
	nf->headroom_before = nf->headroom;
	nf->headroom = headroom;
	nf->bus.reconfiguring = true;
	return 0;
}

bool netfront_filters_multicast(const struct netfront *nf)
{
	return netfront_is_connected(nf) && nf->filters;
}

int netfront_set_multicast(struct netfront *nf, const struct multicast_address address[],
			   uint32_t n)
{
	bool all = n > MULTICAST_MAX;
	int err = 0;

	multicast_want(&nf->multicast, address, MIN(n, MULTICAST_MAX));
	if (all != nf->wants_all)
		err = store_write(&nf->store, XBT_NULL, all ? "0" : "1",
				  "device/vif/%u/request-multicast-control", nf->config.vif.devid);
	if (!err)
		nf->wants_all = all;
	return err;
}
