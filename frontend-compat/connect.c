/* SPDX-License-Identifier: MIT */
/*
 * Connecting: what the backend offers, what we take, and the keys that tell it so.
 * Source: xen-netfront.c xennet_connect() and talk_to_netback(); the keys a Linux guest
 * was seen to write are in the order and form found there.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "frontend-compat/netfront.h"

#define ETH_MTU	      1500u
#define MTU_MAX	      65535u
#define MAC_TEXT_SIZE 18

/* A backend's key that is a flag. Absent or nonsense is no, as for xenbus_read_unsigned(). */
static bool offered(struct netfront *nf, const char *key)
{
	uint32_t value;

	return store_read_uint(&nf->store, XBT_NULL, UINT32_MAX, &value, "%s/%s", nf->backend_path,
			       key) == 0 &&
	       value;
}

static uint32_t usable_features(struct netfront *nf)
{
	/* feature-no-csum-offload is ignored: Linux netfront does */
	uint32_t f = VIF_CSUM_V4;

	if (offered(nf, "feature-ipv6-csum-offload"))
		f |= VIF_CSUM_V6;
	if (offered(nf, "feature-sg"))
		f |= VIF_SG;
	if (offered(nf, "feature-gso-tcpv4"))
		f |= VIF_GSO_TCPV4;
	if (offered(nf, "feature-gso-tcpv6"))
		f |= VIF_GSO_TCPV6;
	return features_usable(f & nf->choice.dialect->offloads & ~nf->choice.without);
}

static int read_device(struct netfront *nf)
{
	unsigned devid = nf->config.vif.devid;
	char text[MAC_TEXT_SIZE];
	uint8_t *m = nf->mac;
	int err, end = 0;

	err = store_read(&nf->store, XBT_NULL, text, sizeof(text), "device/vif/%u/mac", devid);
	if (err == -ENOENT && nf->choice.dialect->mac_of_backend)
		err = store_read(&nf->store, XBT_NULL, text, sizeof(text), "%s/mac",
				 nf->backend_path);
	if (err < 0)
		return err;
	if (sscanf(text,
		   "%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 "%n",
		   &m[0], &m[1], &m[2], &m[3], &m[4], &m[5], &end) != 6 ||
	    text[end])
		return -EINVAL;
	return netfront_read_mtu(nf);
}

int netfront_read_mtu(struct netfront *nf)
{
	uint32_t mtu = ETH_MTU;
	int err = 0;

	if (!nf->choice.dialect->mtu_ignored)
		err = store_read_uint_or(&nf->store, XBT_NULL, MTU_MAX, ETH_MTU, &mtu,
					 "device/vif/%u/mtu", nf->config.vif.devid);
	if (err < 0)
		return err;
	if (!(nf->features & VIF_SG)) /* xennet_change_mtu() */
		mtu = MIN(mtu, ETH_MTU);
	nf->mtu = mtu;
	return 0;
}

static void choose_queues(struct netfront *nf)
{
	uint32_t max, want = MIN(nf->choice.n_queues, nf->choice.dialect->n_queues_max);

	if (store_read_uint_or(&nf->store, XBT_NULL, UINT32_MAX, 1, &max, "%s/%s", nf->backend_path,
			       "multi-queue-max-queues") < 0)
		max = 1;
	nf->n_queues = MAX(MIN(want, max), 1u);
}

/* Where in the transaction we are; the first error stays. */
struct key_writer {
	struct netfront *nf;
	xs_transaction_t t;
	int err;
};

static void put_text(struct key_writer *w, const char *dir, const char *key, const char *value)
{
	if (!w->err)
		w->err = store_write(&w->nf->store, w->t, value, "device/vif/%u/%s%s",
				     w->nf->config.vif.devid, dir, key);
}

static void put_number(struct key_writer *w, const char *dir, const char *key, uint32_t value)
{
	char text[12];

	snprintf(text, sizeof(text), "%" PRIu32, value);
	put_text(w, dir, key, text);
}

static void drop(struct key_writer *w, const char *dir, const char *key)
{
	int err = 0;

	if (!w->err)
		err = store_remove(&w->nf->store, w->t, "device/vif/%u/%s%s",
				   w->nf->config.vif.devid, dir, key);
	if (err < 0 && err != -ENOENT)
		w->err = err;
}

static void write_queue(struct key_writer *w, uint32_t i)
{
	const struct netfront_queue *q = &w->nf->queue[i];
	char dir[16] = "";

	if (w->nf->n_queues > 1)
		snprintf(dir, sizeof(dir), "queue-%" PRIu32 "/", i);
	put_number(w, dir, "tx-ring-ref", q->tx_ring_gref);
	put_number(w, dir, "rx-ring-ref", q->rx_ring_gref);
	if (q->tx_port == q->rx_port) {
		put_number(w, dir, "event-channel", q->tx_port);
		return;
	}
	put_number(w, dir, "event-channel-tx", q->tx_port);
	put_number(w, dir, "event-channel-rx", q->rx_port);
}

/* Keys of an earlier life, written by another dialect, would be believed: Linux netback
 * looks for event-channel-tx first. */
static void drop_stale(struct key_writer *w)
{
	static const char *const per_queue[] = { "tx-ring-ref", "rx-ring-ref", "event-channel",
						 "event-channel-tx", "event-channel-rx" };
	char dir[16];

	for (size_t i = 0; i < ARRAY_SIZE(per_queue); i++)
		drop(w, "", per_queue[i]);
	drop(w, "", "ctrl-ring-ref");
	drop(w, "", "event-channel-ctrl");
	for (uint32_t i = 0; i < NETFRONT_QUEUES_MAX; i++) {
		snprintf(dir, sizeof(dir), "queue-%" PRIu32, i);
		drop(w, dir, "");
	}
	drop(w, "", "multi-queue-num-queues");
	for (const struct frontend_dialect *d = frontend_dialects; d->name; d++)
		for (const struct dialect_key *k = d->keys; k->key; k++)
			drop(w, "", k->key);
}

static bool writes_n_queues(struct netfront *nf)
{
	switch (nf->choice.dialect->queues_key) {
	case QUEUES_IF_OFFERED:
		return store_exists(&nf->store, XBT_NULL, "%s/multi-queue-max-queues",
				    nf->backend_path);
	case QUEUES_IF_SEVERAL:
		return nf->n_queues > 1;
	case QUEUES_ALWAYS:
		return true;
	case QUEUES_NEVER:
		break;
	}
	return false;
}

static int write_keys(struct store *s, xs_transaction_t t, void *arg)
{
	struct netfront *nf = arg;
	struct key_writer w = { .nf = nf, .t = t };

	drop_stale(&w);
	(void)s;
	if (writes_n_queues(nf))
		put_number(&w, "", "multi-queue-num-queues", nf->n_queues);
	for (uint32_t i = 0; i < nf->n_queues; i++)
		write_queue(&w, i);
	if (nf->ctrl.phase != CTRL_ABSENT) {
		put_number(&w, "", "ctrl-ring-ref", nf->ctrl.ring.ring_gref);
		put_number(&w, "", "event-channel-ctrl", nf->ctrl.port);
	}
	for (const struct dialect_key *k = nf->choice.dialect->keys; k->key; k++) {
		const char *value = dialect_key_value(&nf->choice, k);

		if (!value || (k->if_offered && !offered(nf, k->if_offered)))
			continue;
		put_text(&w, "", k->key, value);
		nf->filters |= k->feature == VIF_MULTICAST;
	}
	return w.err;
}

/* As xenbus_dev_fatal(): says why where the toolstack's operator looks. */
static int refuse(struct netfront *nf, int err, const char *what)
{
	char text[160];

	snprintf(text, sizeof(text), "%d %s", err, what);
	store_write(&nf->store, XBT_NULL, text, "error/device/vif/%u/error", nf->config.vif.devid);
	log_error(&nf->log, "cannot connect: %s: %s", what, strerror(-err));
	return err;
}

int netfront_connect(struct netfront *nf)
{
	const struct frontend_dialect *d = nf->config.choice.dialect;
	bool split, ctrl_ring;
	int err;

	nf->choice = nf->config.choice;
	split = d->split_events && !(nf->choice.without & VIF_SPLIT_EVENTS) &&
		offered(nf, "feature-split-event-channels");
	ctrl_ring = (d->hashing || d->static_grants) && offered(nf, "feature-ctrl-ring");
	if (!nf->bus.impatient && !offered(nf, "feature-rx-copy"))
		return refuse(nf, -ENODEV, "the backend does not copy into our pages");
	nf->features = usable_features(nf);
	nf->accepts = dialect_accepts(&nf->choice);
	nf->filters = false;
	nf->has_headroom = offered(nf, "feature-xdp-headroom");
	nf->headroom = nf->headroom_before = nf->has_headroom ? d->headroom : 0;
	nf->bus.reconfiguring = false;
	err = read_device(nf);
	if (err < 0)
		return refuse(nf, err, "reading mac and mtu");
	choose_queues(nf);
	err = netfront_share(nf, split, ctrl_ring);
	if (err < 0)
		return refuse(nf, err, "granting pages and event channels");
	err = store_transact(&nf->store, write_keys, nf);
	if (err < 0)
		return refuse(nf, err, "writing our keys");
	return 0;
}
