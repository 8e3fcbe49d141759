/* SPDX-License-Identifier: MIT */
/*
 * The NICs of vifd.conf: both halves of each are opened as soon as the device and the
 * datapath are there, and tried again later if that fails.
 */
#include "backend/control/placement_parts.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/control/control.h"

void placement_close_fds(int fds[], int n)
{
	while (n > 0)
		close(fds[--n]);
}

static void fail(struct nic *n, uint64_t now_ns, const char *why)
{
	if (strcmp(n->why, why))
		log_warning(LOG_NOBODY, "NIC %s: %s: its guests are on the bridge", n->config.name, why);
	snprintf(n->why, sizeof(n->why), "%s", why);
	n->state = NIC_CLOSED;
	n->retry_ns = now_ns + PLACEMENT_RETRY_NS;
}

/* Opens both halves, as far as that goes now. */
static void open_nic(struct control *c, struct nic *n, uint64_t now_ns)
{
	struct ipc_msg msg = { .type = IPC_NIC_OPEN, .slot = n->number };
	int fds[NIC_FDS_MAX], n_fds, rc;
	char why[sizeof(n->why)] = "";

	if (!n->device && n->ops->open(&n->config, &n->device, why, sizeof(why))) {
		fail(n, now_ns, why);
		return;
	}
	n_fds = n->ops->port_fds(n->device, fds);
	rc = MIN(n_fds, 0);
	msg.nic.ifindex = n->ops->ifindex(n->device);
	msg.nic.provider = n->config.provider;
	fdb_nic_opens(c, n);
	if (!rc)
		rc = workers_say(&c->workers, n->worker, &msg, fds, (uint32_t)n_fds);
	placement_close_fds(fds, n_fds);
	if (rc)
		fail(n, now_ns, strerror(-rc));
	else
		n->state = NIC_OPENING;
}

void placement_nic_opened(struct nic *n, const struct worker_event *e, uint64_t now_ns)
{
	if (n->state != NIC_OPENING)
		return;
	if (e->status) {
		fail(n, now_ns, e->why[0] ? e->why : strerror(-e->status));
		return;
	}
	n->state = NIC_OPEN;
	n->why[0] = '\0';
	log_info(LOG_NOBODY, "NIC %s: %u places for guests, by worker %u", n->config.name,
		 n->ops->caps(n->device).n_places, n->worker);
}

uint64_t placement_step_nics(struct control *c, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < c->nics.n; i++) {
		struct nic *n = &c->nics.nic[i];

		if (n->state == NIC_CLOSED && now_ns >= n->retry_ns && workers_ready(&c->workers))
			open_nic(c, n, now_ns);
		if (n->state == NIC_CLOSED)
			next = MIN(next, MAX(n->retry_ns, now_ns + NS_PER_MS));
	}
	return next;
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
	for (uint32_t i = 0; i < c->nics.n; i++)
		if (c->nics.nic[i].device)
			c->nics.nic[i].ops->close(c->nics.nic[i].device);
}
