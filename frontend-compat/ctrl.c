/* SPDX-License-Identifier: MIT */
/*
 * The requests of the control ring (ctrl.h), in the order of win-xenvif's
 * src/xenvif/frontend.c __FrontendUpdateHash(), and netif.h "Static Grants".
 */
#include <inttypes.h>
#include <string.h>

#include "frontend-compat/netfront.h"

#define HASH_FLAGS                                                                                 \
	(XEN_NETIF_CTRL_HASH_TYPE_IPV4 | XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP |                       \
	 XEN_NETIF_CTRL_HASH_TYPE_IPV6 | XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP)

/* All pages of a queue that carry frames; a list of them fills the table exactly. */
#define STATIC_PAGES (2 * RING_SLOTS)
static_assert(STATIC_PAGES * sizeof(struct xen_netif_gref) <= XEN_PAGE, "a list is a page");
static_assert(HASH_MAPPING_MAX * sizeof(uint32_t) <= XEN_PAGE, "so is a mapping");
static_assert(ARRAY_SIZE(((struct ctrl *)0)->n_static) == NETFRONT_QUEUES_MAX, "one a queue");

/* The key of Microsoft's "Verifying the RSS hash calculation". */
static const uint8_t key[HASH_KEY_SIZE] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static void fill_algorithm(struct netfront *nf, uint32_t data[3])
{
	nf->ctrl.wanted = (struct hash_setup){ 0 };
	memcpy(nf->ctrl.wanted.key, key, sizeof(key));
	data[0] = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
}

static void took_types(struct netfront *nf, uint32_t data)
{
	nf->ctrl.wanted.flags = data & HASH_FLAGS;
}

/* Not what modular arithmetic would give: the table must be seen to count. */
static void took_mapping_max(struct netfront *nf, uint32_t data)
{
	struct hash_setup *w = &nf->ctrl.wanted;

	w->mapping_size = MIN(data, HASH_MAPPING_MAX);
	for (uint32_t i = 0; i < w->mapping_size; i++)
		w->mapping[i] = nf->n_queues - 1 - i % nf->n_queues;
}

static void fill_mapping_size(struct netfront *nf, uint32_t data[3])
{
	data[0] = nf->ctrl.wanted.mapping_size;
}

static void fill_mapping(struct netfront *nf, uint32_t data[3])
{
	struct ctrl *c = &nf->ctrl;

	data[0] = c->ring.table_gref;
	data[1] = c->wanted.mapping_size;
	memcpy(c->ring.table, c->wanted.mapping, data[1] * sizeof(uint32_t));
}

static void fill_key(struct netfront *nf, uint32_t data[3])
{
	data[0] = nf->ctrl.ring.table_gref;
	data[1] = sizeof(key);
	memcpy(nf->ctrl.ring.table, key, sizeof(key));
}

static void fill_flags(struct netfront *nf, uint32_t data[3])
{
	data[0] = nf->ctrl.wanted.flags;
}

/* The last of the hash: now it counts. */
static void took_flags(struct netfront *nf, uint32_t data)
{
	(void)data;
	nf->ctrl.hash = nf->ctrl.wanted;
}

static void fill_queue(struct netfront *nf, uint32_t data[3])
{
	data[0] = nf->ctrl.queue;
}

static void took_gref_size(struct netfront *nf, uint32_t data)
{
	nf->ctrl.gref_size = MIN(data, STATIC_PAGES);
}

/* Lists the first n pages of the queue, receive buffers before what we send from. */
static void fill_grefs(struct netfront *nf, uint32_t n, uint32_t data[3])
{
	struct ctrl *c = &nf->ctrl;
	const struct netfront_queue *q = &nf->queue[c->queue];
	struct xen_netif_gref *list = c->ring.table;

	data[0] = c->queue;
	data[1] = c->ring.table_gref;
	data[2] = n;
	for (uint32_t i = 0; i < n; i++) {
		bool receive = i < RING_SLOTS;

		list[i] = (struct xen_netif_gref){
			.ref = receive ? q->rx_gref[i] : q->tx_page[i - RING_SLOTS].gref,
			.flags = receive ? 0 : XEN_NETIF_CTRLF_GREF_readonly,
		};
	}
}

static void fill_add(struct netfront *nf, uint32_t data[3])
{
	fill_grefs(nf, nf->ctrl.gref_size, data);
}

static void took_add(struct netfront *nf, uint32_t data)
{
	(void)data;
	nf->ctrl.n_static[nf->ctrl.queue] = nf->ctrl.gref_size;
	nf->counters.static_pages += nf->ctrl.gref_size;
}

static void fill_del(struct netfront *nf, uint32_t data[3])
{
	fill_grefs(nf, nf->ctrl.n_static[nf->ctrl.queue], data);
}

static void took_del(struct netfront *nf, uint32_t data)
{
	struct ctrl *c = &nf->ctrl;
	uint32_t n = c->n_static[c->queue], n_bad = data != n;

	for (uint32_t i = 0; i < n; i++) {
		const struct xen_netif_gref *list = c->ring.table;

		n_bad += list[i].status != XEN_NETIF_CTRL_STATUS_SUCCESS;
	}
	if (n_bad)
		log_warning(&nf->log, "%" PRIu32 " static grants given back of %" PRIu32, data, n);
	nf->counters.ctrl_errors += n_bad != 0;
	nf->counters.static_pages -= n;
}

static const struct {
	uint16_t type;
	void (*fill)(struct netfront *nf, uint32_t data[3]); /* NULL: no data */
	void (*took)(struct netfront *nf, uint32_t data);    /* on success; NULL: nothing */
} steps[] = {
	[CTRL_HASH_ALGORITHM] = { XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, fill_algorithm, NULL },
	[CTRL_HASH_TYPES] = { XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, NULL, took_types },
	[CTRL_HASH_MAPPING_MAX] = { XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, NULL,
				    took_mapping_max },
	[CTRL_HASH_MAPPING_SIZE] = { XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, fill_mapping_size,
				     NULL },
	[CTRL_HASH_MAPPING] = { XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, fill_mapping, NULL },
	[CTRL_HASH_KEY] = { XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, fill_key, NULL },
	[CTRL_HASH_FLAGS] = { XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, fill_flags, took_flags },
	[CTRL_GREF_SIZE] = { XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, fill_queue,
			     took_gref_size },
	[CTRL_GREF_ADD] = { XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, fill_add, took_add },
	[CTRL_GREF_DEL] = { XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, fill_del, took_del },
};

static bool is_request(enum ctrl_phase phase)
{
	return phase < ARRAY_SIZE(steps) && steps[phase].type;
}

static bool is_hash(enum ctrl_phase phase)
{
	return phase >= CTRL_HASH_ALGORITHM && phase <= CTRL_HASH_FLAGS;
}

static void ask(struct netfront *nf)
{
	struct ctrl *c = &nf->ctrl;
	uint32_t data[3] = { 0 };

	if (!is_request(c->phase))
		return;
	if (steps[c->phase].fill)
		steps[c->phase].fill(nf, data);
	nf->counters.ctrl_requests++;
	if (ctrl_ring_ask(&c->ring, steps[c->phase].type, data))
		event_send(&nf->events, c->port);
}

static enum ctrl_phase first_of_grefs(const struct netfront *nf)
{
	return nf->choice.dialect->static_grants ? CTRL_GREF_SIZE : CTRL_READY;
}

/* The next phase when a request succeeded, or when it did not. */
static enum ctrl_phase phase_after(struct netfront *nf, bool success)
{
	struct ctrl *c = &nf->ctrl;

	if (is_hash(c->phase)) {
		if (!success || c->phase == CTRL_HASH_FLAGS)
			return first_of_grefs(nf);
		return c->phase + 1;
	}
	switch (c->phase) {
	case CTRL_GREF_SIZE:
		return success && c->gref_size ? CTRL_GREF_ADD : CTRL_READY;
	case CTRL_GREF_ADD:
		if (success && ++c->queue < nf->n_queues)
			return CTRL_GREF_SIZE;
		return CTRL_READY;
	default: /* CTRL_GREF_DEL */
		c->n_static[c->queue] = 0;
		while (c->queue && !c->n_static[c->queue])
			c->queue--;
		return c->n_static[c->queue] ? CTRL_GREF_DEL : CTRL_DONE;
	}
}

static void answered(struct netfront *nf, const struct xen_netif_ctrl_response *rsp)
{
	struct ctrl *c = &nf->ctrl;
	bool success = rsp->status == XEN_NETIF_CTRL_STATUS_SUCCESS;

	if (success && steps[c->phase].took)
		steps[c->phase].took(nf, rsp->data);
	if (!success)
		log_info(&nf->log, "control request %u: status %" PRIu32, rsp->type, rsp->status);
	if (!success && rsp->status != XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED)
		nf->counters.ctrl_errors++;
	c->phase = phase_after(nf, success);
}

void ctrl_start(struct netfront *nf)
{
	struct ctrl *c = &nf->ctrl;

	assert(c->phase == CTRL_WAITING);
	c->phase = nf->choice.dialect->hashing ? CTRL_HASH_ALGORITHM : first_of_grefs(nf);
	ask(nf);
}

bool ctrl_is_lending(const struct ctrl *c)
{
	if (c->phase == CTRL_GREF_ADD || c->phase == CTRL_GREF_DEL)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(c->n_static); i++)
		if (c->n_static[i])
			return true;
	return false;
}

/* Begins to ask pages back, from the last queue to the first. */
static void begin_del(struct netfront *nf)
{
	struct ctrl *c = &nf->ctrl;

	c->queue = nf->n_queues - 1;
	while (c->queue && !c->n_static[c->queue])
		c->queue--;
	c->phase = c->n_static[c->queue] ? CTRL_GREF_DEL : CTRL_DONE;
}

void ctrl_withdraw(struct netfront *nf)
{
	struct ctrl *c = &nf->ctrl;

	c->released = true;
	if (c->phase != CTRL_READY) /* once it gets there */
		return;
	begin_del(nf);
	ask(nf);
}

bool ctrl_step(struct netfront *nf)
{
	struct ctrl *c = &nf->ctrl;
	struct xen_netif_ctrl_response rsp;
	bool arrived = false;
	int err = 0;

	while (is_request(c->phase)) {
		err = ctrl_ring_answer(&c->ring, &rsp);
		if (err < 0)
			break;
		answered(nf, &rsp);
		if (c->phase == CTRL_READY && c->released)
			begin_del(nf);
		arrived |= c->phase == CTRL_READY || c->phase == CTRL_DONE;
		ask(nf);
	}
	if (err < 0 && err != -EAGAIN) {
		log_error(&nf->log, "the backend broke the control ring's protocol");
		nf->counters.disabled++;
		c->phase = CTRL_DONE;
		memset(c->n_static, 0, sizeof(c->n_static));
		arrived = true;
	}
	return arrived;
}
