/* SPDX-License-Identifier: MIT */
/*
 * The table of vifs, and what moves them: xenstore's watches, the datapath's answers,
 * deadlines. Each only marks a vif as due; step_vifs() looks at those that are.
 *
 * A storm of watches costs one mark each and no memory of ours (XSA-349): events are
 * taken off before each round of passes, and a vif's passes are rationed (vif.h).
 */
#include "backend/control/control.h"

#include <stdlib.h>
#include <string.h>

#include "backend/control/view.h"

#define BACKEND_DIR	"backend/vif" /* relative: our own domain's, whichever it is */
#define EVENTS_PER_STEP 4096
#define ANSWERS_PER_STEP 4096
#define PASSES_PER_STEP 64
#define STOP_NS		(5 * NS_PER_S)
#define LINKS_EVERY_NS	(20 * NS_PER_MS) /* between two looks of all vifs at their links */

/* ---- the table ---- */

static int id_compare(struct vif_id a, struct vif_id b)
{
	if (a.domid != b.domid)
		return a.domid < b.domid ? -1 : 1;
	return (a.devid > b.devid) - (a.devid < b.devid);
}

/* Where id is, or would go. */
static uint32_t table_position(const struct control *c, struct vif_id id)
{
	uint32_t low = 0, high = c->n_vifs;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (id_compare(c->vif[middle]->id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct vif *control_find(struct control *c, struct vif_id id)
{
	uint32_t i = table_position(c, id);

	return i < c->n_vifs && !id_compare(c->vif[i]->id, id) ? c->vif[i] : NULL;
}

static int table_grow(struct control *c)
{
	uint32_t size = MAX(2 * c->vifs_size, 16u);
	struct vif **grown;

	if (c->n_vifs < c->vifs_size)
		return 0;
	if (c->n_vifs >= CONTROL_VIFS_MAX)
		return -ENOSPC;
	grown = realloc(c->vif, size * sizeof(struct vif *));
	if (!grown)
		return -ENOMEM;
	c->vif = grown;
	c->vifs_size = size;
	return 0;
}

static void table_insert(struct control *c, struct vif *v)
{
	uint32_t i = table_position(c, v->id);

	memmove(&c->vif[i + 1], &c->vif[i], (c->n_vifs - i) * sizeof(struct vif *));
	c->vif[i] = v;
	c->n_vifs++;
}

static void table_remove(struct control *c, uint32_t i)
{
	c->n_vifs--;
	memmove(&c->vif[i], &c->vif[i + 1], (c->n_vifs - i) * sizeof(struct vif *));
}

/* ---- discovery ---- */

/* The kernel's netback, loaded while we run, serves what is new before we can: two
 * backends for one vif would fight over each key. */
static bool is_netbacks(struct control *c)
{
	if (!c->env.netback_loaded || !c->env.netback_loaded()) {
		c->netback_refused = false;
		return false;
	}
	if (!c->netback_refused)
		log_error(LOG_NOBODY, "the kernel's xen-netback was loaded: new vifs are left to it "
			  "until it is gone (rmmod xen-netback)");
	c->netback_refused = true;
	return true;
}

static void discover(struct control *c, struct vif_id id, uint64_t now_ns)
{
	struct vif *v = control_find(c, id);
	int rc;

	if (v) {
		v->due = true;
		return;
	}
	if (is_netbacks(c))
		return;
	rc = table_grow(c);
	if (!rc)
		rc = vif_new(c, id, now_ns, &v);
	if (!rc)
		table_insert(c, v);
	else if (rc != -ENOENT)
		log_error((&(const struct log_scope){ &id, -1 }), "not served: %s", strerror(-rc));
}

/* A path's component that is a number and nothing else. */
static bool parse_id(const char *text, uint32_t max, uint32_t *out, const char **end)
{
	char *stop;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoul(text, &stop, 10);
	if (errno || n > max || (*stop && *stop != '/'))
		return false;
	*out = (uint32_t)n;
	*end = stop;
	return true;
}

static void scan_domain(struct control *c, const char *name, uint64_t now_ns)
{
	char **devids;
	const char *end;
	unsigned n;
	uint32_t domid, devid;

	if (!parse_id(name, DOMID_FIRST_RESERVED - 1, &domid, &end) || *end)
		return;
	if (store_list(&c->store, XBT_NULL, &devids, &n, BACKEND_DIR "/%u", domid))
		return;
	for (unsigned i = 0; i < n; i++)
		if (parse_id(devids[i], UINT32_MAX, &devid, &end) && !*end)
			discover(c, (struct vif_id){ (uint16_t)domid, devid }, now_ns);
	free(devids);
}

static void scan(struct control *c, uint64_t now_ns)
{
	char **domids;
	unsigned n;

	c->scan_due = false;
	for (uint32_t i = 0; i < c->n_vifs; i++)
		c->vif[i]->due = true;
	if (store_list(&c->store, XBT_NULL, &domids, &n, BACKEND_DIR))
		return; /* no vif was ever made here */
	for (unsigned i = 0; i < n; i++)
		scan_domain(c, domids[i], now_ns);
	free(domids);
}

/* ---- what happened ---- */

static void on_backend_event(struct control *c, const char *path, uint64_t now_ns)
{
	uint32_t domid, devid;
	const char *rest = strstr(path, BACKEND_DIR "/");

	if (!rest) {
		c->scan_due = true;
		return;
	}
	rest += strlen(BACKEND_DIR "/");
	if (!parse_id(rest, DOMID_FIRST_RESERVED - 1, &domid, &rest))
		return;
	if (!*rest)
		c->scan_due = true;
	else if (parse_id(rest + 1, UINT32_MAX, &devid, &rest))
		discover(c, (struct vif_id){ (uint16_t)domid, devid }, now_ns);
}

/* Our own token, "f/D/N", says which vif it is. */
static void on_frontend_event(struct control *c, const char *token, const char *path)
{
	uint32_t domid, devid;
	const char *rest;
	struct vif *v;

	if (!parse_id(token + 2, UINT16_MAX, &domid, &rest) || !*rest ||
	    !parse_id(rest + 1, UINT32_MAX, &devid, &rest))
		return;
	v = control_find(c, (struct vif_id){ (uint16_t)domid, devid });
	if (v)
		vif_on_frontend(v, path);
}

/* Returns whether more may be waiting. */
static bool step_store(struct control *c, uint64_t now_ns)
{
	struct store_event e;
	int rc;

	if (c->store_lost)
		return false;
	for (int i = 0; i < EVENTS_PER_STEP; i++) {
		rc = store_next_event(&c->store, &e);
		if (rc && rc != -EAGAIN)
			control_store_lost(c);
		if (rc)
			return false;
		if (e.token[0] == 'f')
			on_frontend_event(c, e.token, e.path);
		else
			on_backend_event(c, e.path, now_ns);
	}
	return true;
}

/* A storm of changes on the host costs the table's upkeep, and the vifs' looks a share of the
 * time. Returns when to come again. */
static uint64_t step_links(struct control *c, uint64_t now_ns)
{
	bool more = false;

	c->links_due |= c->env.netdev_ops->links_news(c->env.netdev_ctx, &more);
	if (c->links_due && now_ns >= c->links_not_before_ns) {
		c->links_due = false;
		c->links_not_before_ns = now_ns + LINKS_EVERY_NS;
		for (uint32_t i = 0; i < c->n_vifs; i++)
			vif_on_links(c, c->vif[i]);
		placement_on_links(c, now_ns);
	}
	if (more)
		return now_ns;
	return c->links_due ? c->links_not_before_ns : UINT64_MAX;
}

/* Gets rid of a datapath that is not to be trusted with anything any more. */
static void replace_datapath(struct control *c, uint64_t now_ns, const char *why)
{
	log_error(LOG_NOBODY, "the datapath %s: killed", why);
	c->env.process_ops->kill(c->env.process_ctx);
	workers_disconnect(&c->workers);
	supervise_broken(&c->supervisor, now_ns, NULL);
}

static void step_workers(struct control *c, uint64_t now_ns)
{
	struct worker_event e;
	int rc = 0;

	for (int i = 0; i < ANSWERS_PER_STEP && !rc; i++) {
		rc = workers_next(&c->workers, &e);
		if (rc)
			break;
		if (e.type == WORKER_FAILED)
			supervise_broken(&c->supervisor, now_ns, e.why);
		else if (e.type == WORKER_NIC_OPENED || e.type == WORKER_PLACE)
			placement_on_worker(c, &e, now_ns);
		else if (e.type == WORKER_NIC_STATIONS)
			fdb_on_worker(c, e.slot);
		else if (c->slot_owner[e.slot])
			vif_on_worker(c, c->slot_owner[e.slot], &e, now_ns);
	}
	if (rc == -EPROTO) {
		replace_datapath(c, now_ns, "speaks nonsense");
	} else if (rc && rc != -EAGAIN) {
		workers_disconnect(&c->workers);
		supervise_broken(&c->supervisor, now_ns, NULL);
	} else if (now_ns >= workers_deadline(&c->workers)) {
		replace_datapath(c, now_ns, "does not answer");
	}
}

/* Looks at vifs that are due, a bounded number. Returns when the next one is. */
static uint64_t step_vifs(struct control *c, uint64_t now_ns)
{
	uint32_t i = c->next_vif, passes = 0;
	uint64_t next = UINT64_MAX;

	if (c->stopping || c->store_lost)
		return next;
	for (uint32_t left = c->n_vifs; left; left--, i++) {
		struct vif *v;

		i = i < c->n_vifs ? i : 0;
		v = c->vif[i];
		if (v->hotplug_deadline_ns && now_ns >= v->hotplug_deadline_ns)
			v->due = true;
		if (v->due && now_ns >= v->not_before_ns) {
			if (passes++ == PASSES_PER_STEP) {
				c->next_vif = i;
				return now_ns;
			}
			if (vif_pass(c, v, now_ns)) {
				c->scan_due |= v->replaced;
				table_remove(c, i--);
				vif_free(c, v, true);
				continue;
			}
		}
		if (v->due)
			next = MIN(next, MAX(now_ns, v->not_before_ns));
		if (v->hotplug_deadline_ns)
			next = MIN(next, v->hotplug_deadline_ns);
	}
	return next;
}

/* ---- stopping ---- */

void control_stop(struct control *c, uint64_t now_ns)
{
	if (c->stopping)
		return;
	c->stopping = true;
	c->stop_deadline_ns = now_ns + STOP_NS;
	for (uint32_t i = 0; i < c->n_vifs; i++)
		vif_detach(c, c->vif[i]);
}

/* The datapath ends once it holds no queue any more, or takes too long. */
static uint64_t step_stop(struct control *c, uint64_t now_ns)
{
	if (!c->stopping || c->supervisor.stopping)
		return UINT64_MAX;
	for (uint32_t i = 0; i < c->n_vifs; i++)
		if (vif_has_queues(c->vif[i]) && now_ns < c->stop_deadline_ns)
			return c->stop_deadline_ns;
	supervise_stop(&c->supervisor, now_ns);
	return now_ns;
}

bool control_is_up(const struct control *c)
{
	return c->supervisor.was_ready && c->scanned;
}

bool control_is_over(const struct control *c)
{
	return c->supervisor.state == SUPERVISE_OVER;
}

void control_store_lost(struct control *c)
{
	if (c->store_lost)
		return;
	c->store_lost = true;
	log_error(LOG_NOBODY, "lost the connection to xenstored: connected vifs go on, but none can "
		  "come or go until vifd is started again");
}

/* ---- the step ---- */

uint64_t control_step(struct control *c, uint64_t now_ns)
{
	uint64_t next, links;
	bool more;

	supervise_step(&c->supervisor, now_ns);
	step_workers(c, now_ns);
	links = step_links(c, now_ns);
	more = step_store(c, now_ns);
	if (c->scan_due && !c->store_lost && !c->stopping) {
		scan(c, now_ns);
		c->scanned = true;
	}
	next = MIN(links, step_vifs(c, now_ns));
	next = MIN(next, placement_step(c, now_ns));
	next = MIN(next, fdb_step(c, now_ns));
	workers_flush(&c->workers, now_ns);
	next = MIN(next, workers_deadline(&c->workers));
	next = MIN(next, step_stop(c, now_ns));
	next = MIN(next, supervise_step(&c->supervisor, now_ns));
	next = MIN(next, api_step(&c->api, now_ns));
	if (more || c->workers.n_detached || (c->scan_due && !c->stopping && !c->store_lost))
		next = now_ns;
	return next;
}

int control_init(struct control *c, const struct config *config, const struct control_env *env)
{
	int rc;

	c->config = *config;
	c->env = *env;
	c->env.hello.version = IPC_VERSION;
	c->env.hello.n_workers = config->n_workers;
	c->env.hello.log_level = config->log_level;
	c->env.hello.nice = config->datapath_nice;
	c->env.hello.rx_drain_ms = config->rx_drain_timeout_ms;
	c->env.hello.rx_stall_ms = config->rx_stall_timeout_ms;
	rc = store_open(&c->store);
	if (rc)
		return rc;
	rc = workers_init(&c->workers, config->n_workers);
	if (rc)
		goto fail_store;
	rc = store_watch(&c->store, "b", BACKEND_DIR);
	if (rc)
		goto fail_workers;
	c->scan_due = true;
	placement_init(c);
	supervise_init(&c->supervisor, env->process_ops, env->process_ctx, &c->workers, &c->env.hello);
	api_init(&c->api, env->api_listener, view_answer, c);
	return 0;
fail_workers:
	workers_fini(&c->workers);
fail_store:
	store_close(&c->store);
	return rc;
}

void control_fini(struct control *c)
{
	while (c->n_vifs)
		vif_free(c, c->vif[--c->n_vifs], false);
	free(c->vif);
	placement_fini(c);
	api_fini(&c->api);
	workers_fini(&c->workers);
	store_close(&c->store);
}
