/* SPDX-License-Identifier: MIT */
/*
 * Reading the keys of protocol.md 1. Numbers are parsed strictly and bounded; a key
 * that is there with nonsense in it is an error, never a default.
 */
#include "backend/control/keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features.h"

/* Grant references and event channels are 32-bit numbers; those above cannot exist. */
#define GREF_MAX UINT32_MAX
#define PORT_MAX ((1u << 17) - 1) /* FIFO ABI */

static int printf_like(3, 4) fail(struct keys_error *err, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return rc;
}

/* A key's name and which directory it stands in, for the error's words. */
static int bad_key(struct keys_error *err, int rc, const char *side, const char *key)
{
	if (rc == -ENOENT)
		return fail(err, rc, "reading %s: missing in the %s directory", key, side);
	if (rc == -EINVAL || rc == -ERANGE || rc == -EILSEQ || rc == -ENAMETOOLONG)
		return fail(err, -EINVAL, "parsing %s in the %s directory", key, side);
	return fail(err, rc, "reading %s in the %s directory: %s", key, side, strerror(-rc));
}

static int parse_mac(const char *text, uint8_t mac[6])
{
	int used = 0;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5], &used) != 6 ||
	    used != 17 || text[used])
		return -EINVAL;
	return mac[0] & 1 ? -EINVAL : 0; /* a multicast address */
}

/* 'frontend' names the directory we watch and read: it must be that domain's, so that
 * one guest's vif cannot be led to another's keys. */
static int read_frontend_path(struct store *s, const char *path, struct vif_id id,
			      struct backend_keys *out, struct keys_error *err)
{
	char prefix[48];
	uint32_t domid;
	int rc, n;

	rc = store_read_uint(s, XBT_NULL, UINT16_MAX, &domid, "%s/frontend-id", path);
	if (rc)
		return bad_key(err, rc, "backend", "frontend-id");
	if (domid != id.domid)
		return fail(err, -EINVAL, "frontend-id is %u in the backend directory of domain %u",
			    domid, id.domid);
	rc = store_read(s, XBT_NULL, out->frontend, sizeof(out->frontend), "%s/frontend", path);
	if (rc)
		return bad_key(err, rc, "backend", "frontend");
	n = snprintf(prefix, sizeof(prefix), "/local/domain/%u/", id.domid);
	if (strncmp(out->frontend, prefix, (size_t)n) || !out->frontend[n])
		return fail(err, -EINVAL, "frontend is not a directory of domain %u", id.domid);
	return 0;
}

int keys_read_backend(struct store *s, const char *path, struct vif_id id, struct backend_keys *out,
		      struct keys_error *err)
{
	char mac[32], name[32];
	int rc;

	*out = (struct backend_keys){ .handle = 0 };
	rc = read_frontend_path(s, path, id, out, err);
	if (rc)
		return rc;
	rc = store_read_uint(s, XBT_NULL, UINT32_MAX, &out->handle, "%s/handle", path);
	if (rc)
		return bad_key(err, rc, "backend", "handle");
	if (snprintf(name, sizeof(name), "vif%u.%u", id.domid, out->handle) >= IFNAMSIZ)
		return fail(err, -EINVAL, "handle %u makes a device name longer than %d characters",
			    out->handle, IFNAMSIZ - 1);
	rc = store_read(s, XBT_NULL, mac, sizeof(mac), "%s/mac", path);
	if (!rc)
		rc = parse_mac(mac, out->mac);
	if (rc)
		return bad_key(err, rc, "backend", "mac");
	rc = store_read(s, XBT_NULL, out->vifname, sizeof(out->vifname), "%s/vifname", path);
	/* One that no device can have is for the script to complain of. */
	if (rc)
		out->vifname[0] = '\0';
	return 0;
}

int keys_read_offer(struct store *s, const char *path, struct backend_offer *out,
		    struct keys_error *err)
{
	int rc = store_read_uint_or(s, XBT_NULL, UINT32_MAX, 1, &out->max_queues,
				    "%s/multi-queue-max-queues", path);

	if (rc)
		return bad_key(err, rc, "backend", "multi-queue-max-queues");
	/* The kernel's netback, whose vif this may have been, offers one a processor. */
	out->max_queues = MIN(out->max_queues, NETDEV_QUEUES_MAX);
	out->features = 0;
	for (const struct offered_key *k = backend_features; k->key; k++) {
		uint32_t value;

		rc = store_read_uint_or(s, XBT_NULL, 1, k->if_absent != k->inverted, &value, "%s/%s",
					path, k->key);
		if (rc)
			return bad_key(err, rc, "backend", k->key);
		if (value != k->inverted)
			out->features |= k->bit;
	}
	return 0;
}

/* A decimal of 64 bits and what follows it. */
static bool parse_decimal(const char *text, uint64_t *out, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &stop, 10);
	*end = stop;
	return !errno;
}

int keys_parse_rate(const char *text, struct rate *out)
{
	uint64_t bytes, usec;
	const char *rest;

	*out = (struct rate){ 0 };
	if (!parse_decimal(text, &bytes, &rest) || *rest != ',' ||
	    !parse_decimal(rest + 1, &usec, &rest) || *rest || usec > UINT32_MAX)
		return -EINVAL;
	if (usec)
		*out = (struct rate){ bytes, (uint32_t)usec };
	return 0;
}

static int read_features(struct store *s, const char *frontend, uint32_t *out, struct keys_error *err)
{
	*out = 0;
	for (const struct feature_key *f = frontend_features; f->key; f++) {
		uint32_t value;
		int rc = store_read_uint(s, XBT_NULL, UINT32_MAX, &value, "%s/%s", frontend, f->key);

		if (rc && rc != -ENOENT)
			return bad_key(err, rc, "frontend", f->key);
		if (rc ? f->if_absent : !value == f->inverted)
			*out |= f->bit;
	}
	if (!(*out & VIF_RX_COPY))
		return fail(err, -EINVAL, "request-rx-copy is not 1: only copying is supported");
	return 0;
}

static int read_ports(struct store *s, const char *dir, struct frontend_queue *q,
		      struct keys_error *err)
{
	int rc = store_read_uint(s, XBT_NULL, PORT_MAX, &q->tx_port, "%s/event-channel-tx", dir);

	if (rc == -ENOENT) {
		rc = store_read_uint(s, XBT_NULL, PORT_MAX, &q->tx_port, "%s/event-channel", dir);
		q->rx_port = q->tx_port;
		return rc ? bad_key(err, rc, "frontend", "event-channel(-tx)") : 0;
	}
	if (rc)
		return bad_key(err, rc, "frontend", "event-channel-tx");
	rc = store_read_uint(s, XBT_NULL, PORT_MAX, &q->rx_port, "%s/event-channel-rx", dir);
	if (rc)
		return bad_key(err, rc, "frontend", "event-channel-rx");
	if (q->rx_port == q->tx_port)
		return fail(err, -EINVAL, "event-channel-tx and -rx are the same");
	return 0;
}

static int read_queue(struct store *s, const char *dir, struct frontend_queue *q,
		      struct keys_error *err)
{
	int rc = store_read_uint(s, XBT_NULL, GREF_MAX, &q->tx_gref, "%s/tx-ring-ref", dir);

	if (rc)
		return bad_key(err, rc, "frontend", "tx-ring-ref");
	rc = store_read_uint(s, XBT_NULL, GREF_MAX, &q->rx_gref, "%s/rx-ring-ref", dir);
	if (rc)
		return bad_key(err, rc, "frontend", "rx-ring-ref");
	if (q->rx_gref == q->tx_gref)
		return fail(err, -EINVAL, "tx-ring-ref and rx-ring-ref are the same");
	return read_ports(s, dir, q, err);
}

/* Both keys or neither. Linux looks for the event channel only where there is a ring
 * (xenbus.c:connect_ctrl_ring()); half a ring is a mistake either way. */
static int read_ctrl(struct store *s, const char *frontend, struct frontend_keys *out,
		     struct keys_error *err)
{
	int ring = store_read_uint(s, XBT_NULL, GREF_MAX, &out->ctrl_gref, "%s/ctrl-ring-ref",
				   frontend);
	int port = store_read_uint(s, XBT_NULL, PORT_MAX, &out->ctrl_port, "%s/event-channel-ctrl",
				   frontend);

	if (ring == -ENOENT && port == -ENOENT)
		return 0;
	if (ring)
		return bad_key(err, ring, "frontend", "ctrl-ring-ref");
	if (port)
		return bad_key(err, port, "frontend", "event-channel-ctrl");
	out->has_ctrl = true;
	return 0;
}

static bool same_gref(const struct frontend_queue *a, const struct frontend_queue *b)
{
	return a->tx_gref == b->tx_gref || a->tx_gref == b->rx_gref || a->rx_gref == b->tx_gref ||
	       a->rx_gref == b->rx_gref;
}

static bool same_port(const struct frontend_queue *a, const struct frontend_queue *b)
{
	return a->tx_port == b->tx_port || a->tx_port == b->rx_port || a->rx_port == b->tx_port ||
	       a->rx_port == b->rx_port;
}

/* Two workers on one ring would harm that guest alone, and puzzle whoever looks for why. */
static int check_distinct(const struct frontend_queue queue[], uint32_t n, struct keys_error *err)
{
	for (uint32_t i = 0; i < n; i++)
		if (same_gref(&queue[i], &queue[n]) || same_port(&queue[i], &queue[n]))
			return fail(err, -EINVAL, "queue-%u and queue-%u: a %s is used twice", i, n,
				    same_gref(&queue[i], &queue[n]) ? "ring reference" :
									    "event channel");
	return 0;
}

int keys_read_frontend(struct store *s, const char *frontend, uint32_t max_queues,
		       struct frontend_keys *out, struct keys_error *err)
{
	char dir[96];
	int rc;

	*out = (struct frontend_keys){ .n_queues = 0 };
	rc = store_read_uint_or(s, XBT_NULL, UINT32_MAX, 1, &out->n_queues,
				"%s/multi-queue-num-queues", frontend);
	if (rc)
		return bad_key(err, rc, "frontend", "multi-queue-num-queues");
	/* CVE-2026-45890 */
	if (out->n_queues < 1 || out->n_queues > max_queues)
		return fail(err, -EINVAL, "frontend requested %u queues, offered are 1 to %u",
			    out->n_queues, max_queues);
	rc = read_features(s, frontend, &out->features, err);
	if (!rc)
		rc = read_ctrl(s, frontend, out, err);
	if (!rc && out->n_queues == 1)
		return read_queue(s, frontend, &out->queue[0], err);
	for (uint32_t i = 0; !rc && i < out->n_queues; i++) {
		snprintf(dir, sizeof(dir), "%s/queue-%u", frontend, i);
		rc = read_queue(s, dir, &out->queue[i], err);
		if (!rc)
			rc = check_distinct(out->queue, i, err);
	}
	return rc;
}

static const char *const wishes[] = { "request-multicast-control", "xdp-headroom" };

bool keys_is_wish(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++)
		if (!strcmp(key, wishes[i]))
			return true;
	return false;
}

void keys_read_wishes(struct store *s, const char *frontend, struct frontend_wishes *out)
{
	uint32_t value;

	*out = (struct frontend_wishes){ .multicast_control = false };
	if (!store_read_uint(s, XBT_NULL, UINT32_MAX, &value, "%s/request-multicast-control", frontend))
		out->multicast_control = value;
	if (!store_read_uint(s, XBT_NULL, UINT32_MAX, &value, "%s/xdp-headroom", frontend))
		out->xdp_headroom = value;
}
