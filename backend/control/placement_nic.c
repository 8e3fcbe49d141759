/* SPDX-License-Identifier: MIT */
/*
 * The NICs of vifd.conf: both halves of each are opened as soon as the device and the
 * datapath are there, and tried again if that fails: later, or soon after the host's links
 * changed. A device that was taken away is closed.
 */
#include "backend/control/placement_parts.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/control/control.h"

/* What failed is not tried again earlier, whatever changes. */
#define TRY_AGAIN_NS (1 * NS_PER_S)

/* Vifs that leave a NIC that is to be opened anew are waited for no longer. */
#define LEAVE_NS (5 * NS_PER_S)

/* A link that comes and goes moves nobody until it stays. */
#define LINK_STAYS_NS (1 * NS_PER_S)

/* ---- fds of places ---- */

/*
 * Whoever closes the last copy of a socket that was bound to a device waits until the kernel has
 * nothing to do with it any more (net/xdp/xsk.c xsk_unbind_dev(): synchronize_net()), some 10 ms
 * a socket, and many times that on a busy machine. A worker would keep all its guests waiting, as
 * often as any of them connects anew; control can wait.
 */
#define PARTED_NS (100 * NS_PER_MS)

static void close_fds(int fds[], int *n)
{
	while (*n > 0)
		close(fds[--*n]);
}

void placement_close_lent(struct placement *p)
{
	if (p->lent)
		close_fds(p->fds, &p->n_fds);
}

void placement_close_parted(struct nic *n, uint32_t place)
{
	close_fds(n->parted[place].fds, &n->parted[place].n_fds);
}

void placement_part_fds(struct placement *p)
{
	struct nic *n = p->nic;

	placement_close_parted(n, p->place);
	memcpy(n->parted[p->place].fds, p->fds, sizeof(p->fds));
	n->parted[p->place].n_fds = p->n_fds;
	n->parted_ns = 0;
	p->n_fds = 0;
}

static void close_all_parted(struct nic *n)
{
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		placement_close_parted(n, i);
}

static bool has_parted(const struct nic *n)
{
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		if (n->parted[i].n_fds > 0)
			return true;
	return false;
}

/* Returns when to come again. */
static uint64_t step_parted(struct nic *n, uint64_t now_ns)
{
	if (!has_parted(n))
		return UINT64_MAX;
	if (!n->parted_ns)
		n->parted_ns = now_ns;
	if (now_ns - n->parted_ns < PARTED_NS)
		return n->parted_ns + PARTED_NS;
	close_all_parted(n);
	return UINT64_MAX;
}

/* ---- open, and closed again ---- */

static void fail(struct nic *n, uint64_t now_ns, const char *why)
{
	if (strcmp(n->why, why))
		log_warning(LOG_NOBODY, "NIC %s: %s: its guests are on the bridge", n->config.name, why);
	snprintf(n->why, sizeof(n->why), "%s", why);
	n->state = NIC_CLOSED;
	n->retry_ns = now_ns + PLACEMENT_RETRY_NS;
}

/* What was renamed may have the name of another NIC of vifd.conf, and be in use as it was yet:
 * whoever opens it would take for a leftover what is on it. */
static bool in_use(const struct control *c, const struct nic *n)
{
	int ifindex = c->env.netdev_ops->index_of(c->env.netdev_ctx, n->config.name);

	for (uint32_t i = 0; i < c->nics.n; i++) {
		const struct nic *other = &c->nics.nic[i];

		if (other != n && other->device && other->ops->ifindex(other->device) == ifindex)
			return true;
	}
	return false;
}

/* Opens both halves, as far as that goes now. */
static void open_nic(struct control *c, struct nic *n, uint64_t now_ns)
{
	struct ipc_msg msg = { .type = IPC_NIC_OPEN, .slot = n->number };
	int fds[NIC_FDS_MAX], n_fds, rc;
	char why[sizeof(n->why)] = "";

	if (!n->device && in_use(c, n)) {
		n->retry_ns = now_ns + TRY_AGAIN_NS;
		return;
	}
	if (!n->device && (rc = n->ops->open(&n->config, &n->device, why, sizeof(why)))) {
		n->away &= rc == -ENODEV;
		if (n->away)
			n->retry_ns = now_ns + PLACEMENT_RETRY_NS;
		else
			fail(n, now_ns, why);
		return;
	}
	n->away = false;
	n_fds = n->ops->port_fds(n->device, fds);
	rc = MIN(n_fds, 0);
	msg.nic.ifindex = n->ops->ifindex(n->device);
	msg.nic.provider = n->config.provider;
	fdb_nic_opens(c, n);
	if (!rc)
		rc = workers_say(&c->workers, n->worker, &msg, fds, (uint32_t)n_fds);
	close_fds(fds, &n_fds);
	if (rc)
		fail(n, now_ns, strerror(-rc));
	else
		n->state = NIC_OPENING;
	n->n_asked += n->state == NIC_OPENING;
}

void placement_nic_lost(struct nic *n)
{
	close_all_parted(n);
	n->state = NIC_CLOSED;
	n->n_asked = 0;
}

void placement_on_links(struct control *c, uint64_t now_ns)
{
	for (uint32_t i = 0; i < c->nics.n; i++) {
		struct nic *n = &c->nics.nic[i];

		n->retry_ns = MIN(n->retry_ns, now_ns + TRY_AGAIN_NS);
		n->left_due = true;
	}
}

void placement_nic_opened(struct nic *n, const struct worker_event *e, uint64_t now_ns)
{
	/* Of the last time it was asked: it may have been closed and opened again since. */
	if (!n->n_asked || --n->n_asked || n->state != NIC_OPENING)
		return;
	if (e->status) {
		fail(n, now_ns, e->why[0] ? e->why : strerror(-e->status));
		return;
	}
	n->state = NIC_OPEN;
	n->checked_ns = now_ns;
	n->why[0] = '\0';
	log_info(LOG_NOBODY, "NIC %s: %u places for guests, by worker %u", n->config.name,
		 n->ops->caps(n->device).n_places, n->worker);
}

/* ---- what becomes of the device ---- */

/* Returns whether it is closed now: not while its worker's socket is full. 'gone': nothing can be
 * done about the device any more. */
static bool close_nic(struct control *c, struct nic *n, uint64_t now_ns, const char *why, bool gone)
{
	const struct ipc_msg msg = { .type = IPC_NIC_CLOSE, .slot = n->number };

	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++)
		if (n->place[i])
			placement_close_lent(&n->place[i]->placement);
	if (n->state != NIC_CLOSED && workers_ready(&c->workers) &&
	    workers_say(&c->workers, n->worker, &msg, NULL, 0))
		return false;
	placement_nic_gone(c, n);
	close_all_parted(n);
	n->ops->close(n->device, gone);
	n->device = NULL;
	n->heard = false;
	n->amiss_ns = 0;
	fail(n, now_ns, why);
	n->retry_ns = now_ns + TRY_AGAIN_NS; /* another may be there already */
	return true;
}

static void follow_link(struct nic *n, const struct netdev_host *now, uint64_t now_ns)
{
	if (!now->carrier)
		n->link_ns = UINT64_MAX;
	else if (!n->heard)
		n->link_ns = now_ns;
	else if (!n->host.carrier)
		n->link_ns = now_ns + LINK_STAYS_NS;
	if (n->heard && n->host.carrier != now->carrier)
		log_info(LOG_NOBODY, "NIC %s: its link is %s", n->config.name,
			 now->carrier ? "up" : "down");
}

/* What is in no bridge is of no use to anybody, and nothing else would say so. */
static void follow_master(const struct nic *n, const struct netdev_host *now)
{
	if (!now->master && (!n->heard || n->host.master))
		log_warning(LOG_NOBODY, "NIC %s: it is in no bridge: it serves no guest until it is",
			    n->config.name);
}

/* vifd.conf means whoever has the name, so who lost it is left in order, as it still works. But a
 * bridge is not cut off for a name. */
static void follow_name(struct control *c, struct nic *n, const struct netdev_host *now,
			uint64_t now_ns)
{
	int ifindex = n->ops->ifindex(n->device);

	if (n->amiss_ns || (n->heard && !strcmp(n->host.name, now->name)) ||
	    c->env.netdev_ops->index_of(c->env.netdev_ctx, n->config.name) == ifindex)
		return;
	if (n->ops->caps(n->device).own_wire) {
		log_warning(LOG_NOBODY,
			    "NIC %s: it was renamed to %s, and will not be found under "
			    "that name once vifd is started anew",
			    n->config.name, now->name);
		return;
	}
	snprintf(n->amiss, sizeof(n->amiss), "it was renamed to %s", now->name);
	n->amiss_ns = now_ns;
	n->away = true;
}

/* It is gone, or in another namespace with what was put on it: harmless there, as it has no
 * socket to give frames to. Returns as close_nic(). */
static bool lose(struct control *c, struct nic *n, uint64_t now_ns)
{
	const bool moved = c->env.netdev_ops->moved(c->env.netdev_ctx, n->host.born);
	const uint32_t mark = moved ? n->ops->mark(n->device) : 0;
	const char *why = "the device is gone";

	if (moved)
		why = mark ? "it was moved to another network namespace: what vifd put on it is "
			     "taken off when it is back" :
			     "it was moved to another network namespace";
	if (!close_nic(c, n, now_ns, why, true))
		return false;
	n->away = moved;
	n->left_mark = mark;
	n->left_due = true;
	return true;
}

/* What went with the device is taken off as soon as it is back, whatever its name is by now. */
static void clear_left(struct control *c, struct nic *n)
{
	const struct netdev_ops *ops = c->env.netdev_ops;
	char why[sizeof(n->why)] = "";
	struct netdev_host host;
	int ifindex;

	if (!n->left_mark || !n->left_due)
		return;
	n->left_due = false;
	ifindex = ops->with_program(c->env.netdev_ctx, n->left_mark);
	if (!ifindex || !ops->host(c->env.netdev_ctx, ifindex, &host))
		return;
	n->left_mark = 0;
	if (n->ops->remove_left(ifindex, why, sizeof(why)))
		log_warning(LOG_NOBODY, "NIC %s: it is back, as %s, with what vifd put on it: %s",
			    n->config.name, host.name, why);
	else
		log_info(LOG_NOBODY, "NIC %s: it is back, as %s: what vifd put on it is taken off",
			 n->config.name, host.name);
}

/* Looks at an open device. Returns when to look again, if no news of links come first. */
static uint64_t look_at(struct control *c, struct nic *n, uint64_t now_ns)
{
	struct netdev_host now;
	bool found = c->env.netdev_ops->host(c->env.netdev_ctx, n->ops->ifindex(n->device), &now);

	if (n->heard && (!found || now.born != n->host.born))
		return lose(c, n, now_ns) ? UINT64_MAX : now_ns + NS_PER_MS;
	if (!found)
		return UINT64_MAX;
	follow_name(c, n, &now, now_ns);
	follow_link(n, &now, now_ns);
	follow_master(n, &now);
	n->host = now;
	n->heard = true;
	return n->link_ns > now_ns ? n->link_ns : UINT64_MAX;
}

uint64_t placement_step_nics(struct control *c, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < c->nics.n; i++) {
		struct nic *n = &c->nics.nic[i];

		next = MIN(next, step_parted(n, now_ns));
		if (n->device)
			next = MIN(next, look_at(c, n, now_ns));
		clear_left(c, n);
		if (n->state == NIC_CLOSED && now_ns >= n->retry_ns && workers_ready(&c->workers))
			open_nic(c, n, now_ns);
		if (n->state == NIC_CLOSED)
			next = MIN(next, MAX(n->retry_ns, now_ns + NS_PER_MS));
	}
	return next;
}

/* ---- what others change on it ---- */

static void check(struct nic *n, uint64_t now_ns)
{
	n->checked_ns = now_ns;
	if (!n->ops->check)
		return;
	if (n->ops->check(n->device, n->amiss, sizeof(n->amiss)))
		n->amiss_ns = now_ns;
	else
		placement_check_filters(n, now_ns);
}

uint64_t placement_keep_right(struct control *c, struct nic *n, uint64_t now_ns)
{
	if (n->state != NIC_OPEN || !n->heard)
		return UINT64_MAX;
	if (!n->amiss_ns && now_ns - n->checked_ns >= PLACEMENT_CHECK_NS) {
		check(n, now_ns);
		return now_ns;
	}
	if (!n->amiss_ns)
		return n->checked_ns + PLACEMENT_CHECK_NS;
	if (n->n_places && now_ns - n->amiss_ns < LEAVE_NS)
		return n->amiss_ns + LEAVE_NS;
	return close_nic(c, n, now_ns, n->amiss, false) ? n->retry_ns : now_ns + NS_PER_MS;
}

void placement_init(struct control *c)
{
	c->nics.n = c->config.n_nics;
	for (uint32_t i = 0; i < c->nics.n; i++) {
		struct nic *n = &c->nics.nic[i];

		n->config = c->config.nic[i];
		n->ops = c->env.nic_ops[n->config.provider];
		n->number = i;
		n->worker = i % c->config.n_workers;
	}
}

void placement_fini(struct control *c)
{
	for (uint32_t i = 0; i < c->nics.n; i++) {
		struct nic *n = &c->nics.nic[i];

		close_all_parted(n);
		if (n->device)
			n->ops->close(n->device, false);
	}
}
