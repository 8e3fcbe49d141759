/* SPDX-License-Identifier: MIT */
/* See fdb.h. */
#include "backend/control/fdb.h"

#include <string.h>

#include "backend/control/control.h"

/* Between two looks for new stations. */
#define LOOK_EVERY_NS (20 * NS_PER_MS)

/* Told in a look for new ones, some 10 us each: whoever floods the wire with addresses gets no
 * more of control's time. */
#define LOOK_MOST 256

/* Four times in the time a bridge remembers: it does not forget, whatever is late. */
#define PARTS 4

struct telling {
	struct control *c;
	struct nic *nic;
	int ifindex, failed;
};

static void tell(void *arg, const uint8_t mac[6], uint16_t vlan)
{
	struct telling *t = arg;
	const struct control_env *env = &t->c->env;
	int rc = env->netdev_ops->learn(env->netdev_ctx, t->ifindex, mac, vlan);

	if (rc)
		t->failed = rc;
}

/* The same about the guests themselves: what they send by the NIC passes by the bridge, too. */
static void tell_of_guests(struct control *c, struct telling *t)
{
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++) {
		struct vif *v = t->nic->place[i];
		uint64_t n_sent;

		if (!v || v->link.no_learning)
			continue;
		n_sent = counter_read(&c->workers.shared->queue[v->queue[v->placement.queue].slot]
					       .counters.from_guest_nic_frames);
		if (n_sent == v->placement.n_sent_told)
			continue;
		v->placement.n_sent_told = n_sent;
		t->ifindex = v->netdev.ifindex;
		tell(t, v->keys.mac, v->placement.form.vlan);
	}
}

static uint64_t step(struct control *c, struct nic *n, uint64_t now_ns)
{
	struct stations *heard = &c->workers.shared->nic[n->number].heard;
	struct telling t = { .c = c, .nic = n };
	uint64_t every_ns;
	bool all;

	if (n->state != NIC_OPEN || !n->n_places)
		return UINT64_MAX;
	t.ifindex = n->ops->ifindex(n->device);
	every_ns = c->env.netdev_ops->remembers_ns(c->env.netdev_ctx, t.ifindex) / PARTS;
	if (!every_ns)
		return UINT64_MAX;
	all = now_ns - n->fdb.told_ns >= every_ns;
	if (all || (n->fdb.news && now_ns - n->fdb.looked_ns >= LOOK_EVERY_NS)) {
		n->fdb.looked_ns = now_ns;
		n->fdb.news = stations_look(heard, all ? n->fdb.told_ns : UINT64_MAX, &n->fdb.from,
					    all ? UINT32_MAX : LOOK_MOST, tell, &t);
		if (all) {
			n->fdb.told_ns = now_ns;
			tell_of_guests(c, &t);
		}
	}
	if (t.failed)
		log_limited(&n->log_limit, now_ns, LOG_LVL_WARNING, LOG_NOBODY,
			    "NIC %s: telling its bridge who is behind it: %s", n->config.name,
			    strerror(-t.failed));
	return n->fdb.news ? n->fdb.looked_ns + LOOK_EVERY_NS : n->fdb.told_ns + every_ns;
}

/* ---- what bridges know ---- */

struct hearing {
	struct control *c;
	bool moved; /* somebody whose place depends on it */
};

/* A vif's own address, behind its port or not any more. */
static void note_vifs(struct hearing *h, const struct neighbour *news)
{
	for (uint32_t i = 0; i < h->c->n_vifs; i++) {
		struct vif *v = h->c->vif[i];
		bool here = news->port && news->port == v->netdev.ifindex;

		if (news->vlan || memcmp(news->mac, v->keys.mac, sizeof(news->mac)) ||
		    (!here && v->placement.known_in != news->bridge))
			continue;
		v->placement.known_in = here ? news->bridge : 0;
		h->moved |= v->link.known_only;
	}
}

static void on_news(void *arg, const struct neighbour *news)
{
	struct hearing *h = arg;
	struct control *c = h->c;

	note_vifs(h, news);
	for (uint32_t i = 0; i < c->nics.n; i++) {
		const struct nic *n = &c->nics.nic[i];
		struct shared_nic *shared = &c->workers.shared->nic[i];
		int ifindex = n->device ? n->ops->ifindex(n->device) : 0;

		if (!ifindex || news->bridge != n->fdb.bridge)
			continue;
		if (news->port == ifindex) {
			stations_put(&shared->behind, news->mac, news->vlan);
		} else {
			stations_take(&shared->behind, news->mac, news->vlan);
			stations_forget(&shared->heard, news->mac, news->vlan);
		}
	}
}

/* All that was said about the NIC is void: it is said again, or nothing more is. */
static void start_over(struct control *c, struct nic *n, int bridge)
{
	const struct netdev_ops *ops = c->env.netdev_ops;

	stations_nobody_behind(&c->workers.shared->nic[n->number].behind);
	if (n->fdb.port)
		ops->neighbours_of_port(c->env.netdev_ctx, n->fdb.port, false);
	n->fdb.bridge = bridge;
	n->fdb.port = bridge ? n->ops->ifindex(n->device) : 0;
	if (n->fdb.port)
		ops->neighbours_of_port(c->env.netdev_ctx, n->fdb.port, true);
}

static uint64_t hear(struct control *c, uint64_t now_ns)
{
	struct hearing h = { .c = c };
	uint64_t next;

	if (c->env.netdev_ops->neighbours_news(c->env.netdev_ctx, now_ns, on_news, &h, &next))
		return h.moved ? now_ns : next;
	for (uint32_t i = 0; i < c->nics.n; i++)
		stations_nobody_behind(&c->workers.shared->nic[i].behind);
	for (uint32_t i = 0; i < c->n_vifs; i++)
		c->vif[i]->placement.known_in = 0;
	return next;
}

void fdb_nic_opens(struct control *c, struct nic *n)
{
	stations_init(&c->workers.shared->nic[n->number].heard);
	start_over(c, n, 0);
	n->fdb = (struct fdb){ .bridge = 0 };
}

/* What the NIC may be given to transmit, if it may at all. */
static void allow_transmit(struct control *c, const struct nic *n)
{
	uint32_t most = 0;

	if (n->state == NIC_OPEN && nic_transmits(n))
		most = c->env.netdev_ops->forwards(c->env.netdev_ctx, n->ops->ifindex(n->device));
	__atomic_store_n(&c->workers.shared->nic[n->number].frame_max, most, __ATOMIC_RELAXED);
}

uint64_t fdb_step(struct control *c, uint64_t now_ns)
{
	uint64_t next = c->nics.n ? hear(c, now_ns) : UINT64_MAX;

	for (uint32_t i = 0; i < c->nics.n; i++) {
		struct nic *n = &c->nics.nic[i];
		int bridge = n->state == NIC_OPEN && n->heard ? n->host.master : 0;

		if (bridge != n->fdb.bridge) {
			start_over(c, n, bridge);
			next = now_ns;
		}
		allow_transmit(c, n);
		next = MIN(next, step(c, n, now_ns));
	}
	return next;
}

void fdb_on_worker(struct control *c, uint32_t nic)
{
	if (nic < c->nics.n)
		c->nics.nic[nic].fdb.news = true;
}
