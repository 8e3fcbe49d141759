/* SPDX-License-Identifier: MIT */
/*
 * The commands of the operator's socket: list, show, stats. They read and change
 * nothing. Strings come from our own tables, or were checked when they were read
 * from xenstore; jansson escapes what it is given.
 */
#include "backend/control/view.h"

#include <net/if.h>
#include <string.h>

#include "backend/control/control.h"
#include "features.h"

#define FROM_GUEST "from_guest_"
#define TO_GUEST   "to_guest_"

static json_t *view_features(uint32_t features)
{
	json_t *list = json_array();

	for (const struct feature_name *f = feature_names; f->name; f++)
		if (features & f->bit)
			json_array_append_new(list, json_string(f->name));
	return list;
}

/* Each queue that the datapath has or is to have, with what 'add' adds; NULL: nothing. */
static json_t *view_queues(const struct control *c, const struct vif *v,
			   void (*add)(json_t *o, const struct queue_counters *n))
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < v->n_queues; i++) {
		const struct slot *slot = &c->workers.slot[v->queue[i].slot];
		struct queue_counters n;
		json_t *o;

		if (v->queue[i].state == VIF_QUEUE_NONE)
			continue;
		o = json_pack("{s:i, s:i, s:b, s:b, s:I}", "queue", (int)i, "worker",
			      (int)slot->worker, "attached", slot->state == SLOT_ATTACHED, "stalled",
			      v->queue[i].stalled, "waiting_bytes",
			      (json_int_t)vif_queue_waiting(v, i));
		vif_queue_counters(c, v, i, &n);
		if (add)
			add(o, &n);
		json_array_append_new(list, o);
	}
	return list;
}

/* As the guest was told. */
/* What the toolstack wrote for the hotplug script and others, as it stands there now. */
static json_t *view_settings(struct control *c, const struct vif *v)
{
	static const char *const names[] = { "bridge", "gatewaydev", "ip",	"mtu",	   "model",
					     "script", "type",	     "vifname", "vlan" };
	json_t *o = json_object();
	char value[256];

	for (size_t i = 0; !c->store_lost && i < ARRAY_SIZE(names); i++)
		if (!store_read(&c->store, XBT_NULL, value, sizeof(value), "%s/%s", v->path, names[i]))
			json_object_set_new(o, names[i], json_string(value));
	if (!c->store_lost && v->keys_read &&
	    !store_read(&c->store, XBT_NULL, value, sizeof(value), "%s/trusted", v->keys.frontend))
		json_object_set_new(o, "trusted", json_string(value));
	return o;
}

static json_t *view_carrier(const struct vif *v)
{
	return json_pack("{s:b, s:s?}", "told", (int)v->carrier_told, "lost_because",
			 v->carrier_told ? NULL : vif_link_reason(v));
}

static json_t *view_multicast(const struct control *c, const struct vif *v)
{
	const struct shared_vif *shared;

	if (v->vif_slot < 0)
		return json_null();
	shared = &c->workers.shared->vif[v->vif_slot];
	return json_pack("{s:b, s:i}", "filter",
			 (int)__atomic_load_n(&shared->multicast_filter, __ATOMIC_RELAXED),
			 "addresses", (int)multicast_count(&shared->multicast));
}

/* What the guest has set on its control ring, if it has one. */
static json_t *view_ctrl(const struct control *c, const struct vif *v)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} types[] = {
		{ XEN_NETIF_CTRL_HASH_TYPE_IPV4, "ipv4" },
		{ XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP, "ipv4-tcp" },
		{ XEN_NETIF_CTRL_HASH_TYPE_IPV6, "ipv6" },
		{ XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP, "ipv6-tcp" },
	};
	const struct ctrl_memory *memory;
	const struct rss *rss;
	json_t *list;
	json_int_t n_grants = 0;

	if (v->vif_slot < 0 || !(v->features & VIF_CTRL_RING))
		return json_null();
	memory = &c->workers.shared->vif[v->vif_slot].ctrl;
	rss = ctrl_rss(memory);
	list = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (rss->flags & types[i].bit)
			json_array_append_new(list, json_string(types[i].name));
	for (uint32_t i = 0; i < v->n_queues; i++)
		n_grants += static_lists_active(&memory->grants[i])->n;
	return json_pack("{s:s, s:o, s:I, s:I}", "hash",
			 rss->algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_NONE ? "none" : "toeplitz",
			 "hash_types", list, "mapping_size", (json_int_t)rss->mapping_size,
			 "static_grants", n_grants);
}

/* What spreads frames over the guest's queues. */
static const char *view_steering(const struct vif *v)
{
	if (v->n_queues < 2)
		return NULL;
	return v->netdev.steering_fd >= 0 ? "program" : "kernel";
}

static json_t *view_summary(const struct vif *v)
{
	return json_pack("{s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:s?, s:s, s:i}", "vif", v->name,
			 "domid", (int)v->id.domid, "devid", (json_int_t)v->id.devid, "state",
			 xenbus_state_name(v->state), "frontend_state", xenbus_state_name(v->frontend),
			 "hotplug", vif_hotplug_name(v->hotplug), "model",
			 placement_state_name(v->placement.state), "error",
			 v->failed ? v->error : NULL, "backend_path", v->path, "queues",
			 (int)v->n_queues);
}

/* Why the vif is where it is. */
static json_t *view_placement(const struct control *c, const struct vif *v)
{
	const struct placement *p = &v->placement;
	const struct shared_queue *q = &c->workers.shared->queue[v->queue[p->queue].slot];
	const char *buffers = NULL;

	if (p->nic)
		buffers = ipc_buffers_name(__atomic_load_n(&q->buffers, __ATOMIC_RELAXED));

	return json_pack("{s:s, s:s?, s:i, s:i, s:i, s:b, s:s?, s:s?, s:s?, s:I}", "wish",
			 placement_wish_name(p->wish), "nic", p->nic ? p->nic->config.name : NULL,
			 "queue", p->nic ? (int)p->queue : 0, "vlan", p->nic ? p->form.vlan : 0, "wire_vlan",
			 p->nic ? p->form.on_wire : 0, "transmit", p->nic && p->transmit, "buffers",
			 buffers, "why_not",
			 p->state == PLACED_BRIDGE ? p->why_not : NULL, "failure",
			 p->failure[0] ? p->failure : NULL, "moves", (json_int_t)p->n_moves);
}

/* What the device says of itself; NULL: it says nothing. */
static json_t *view_device(const struct nic *n)
{
	struct nic_status s;

	if (!n->device || !n->ops->status)
		return NULL;
	n->ops->status(n->device, &s);
	return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "link", s.link, "from_wire",
			 (json_int_t)s.from_wire, "to_places", (json_int_t)s.to_places, "lost",
			 (json_int_t)s.lost, "faults", (json_int_t)s.faults, "to_host",
			 (json_int_t)s.to_host, "from_host", (json_int_t)s.from_host);
}

/* What the NIC's device is in, a bridge if anything is to come of it; NULL: nothing. */
static const char *master_of(const struct nic *n, char name[IF_NAMESIZE])
{
	return n->device && n->heard && n->host.master ?
		       if_indextoname((unsigned)n->host.master, name) :
		       NULL;
}

static json_t *view_nic(const struct nic *n)
{
	struct nic_caps caps = { .n_places = 0 };
	char master[IF_NAMESIZE];
	json_t *vifs = json_array(), *lent = json_array();

	if (n->device)
		caps = n->ops->caps(n->device);
	for (uint32_t i = 0; i < NIC_PLACES_MAX; i++) {
		if (n->place[i])
			json_array_append_new(vifs, json_string(n->place[i]->name));
		if (n->place[i] && n->place[i]->placement.lent)
			json_array_append_new(lent, json_string(n->place[i]->name));
	}
	return json_pack("{s:s, s:s, s:b, s:s?, s:i, s:i, s:s, s:s?, s:s?, s:b, s:b, s:o, s:o, s:o?, s:s?}", "nic",
			 n->config.name, "provider", config_nic_provider(&n->config), "open", n->state == NIC_OPEN, "error",
			 n->why[0] ? n->why : NULL, "worker", (int)n->worker, "filters",
			 (int)caps.n_places, "policy", config_nic_policy(&n->config), "steering", caps.steering, "receive", caps.receive,
			 "transmit", nic_transmits(n), "untested_on_hardware", caps.untested, "vifs", vifs, "lent", lent,
			 "device", view_device(n), "bridge", master_of(n, master));
}

static bool read_netdev(struct control *c, const struct vif *v, struct netdev_stats *out)
{
	return v->netdev_ready && !c->env.netdev_ops->stats(c->env.netdev_ctx, &v->netdev, out);
}

static json_t *view_show(struct control *c, const struct vif *v)
{
	json_t *o = view_summary(v);
	struct netdev_stats nd;
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", v->keys.mac[0], v->keys.mac[1],
		 v->keys.mac[2], v->keys.mac[3], v->keys.mac[4], v->keys.mac[5]);
	json_object_set_new(o, "online", json_boolean(v->online));
	json_object_set_new(o, "frontend_path",
			    v->keys_read ? json_string(v->keys.frontend) : json_null());
	json_object_set_new(o, "mac", v->keys_read ? json_string(mac) : json_null());
	json_object_set_new(o, "rate",
			    v->rate.usec ? json_pack("{s:I, s:I}", "bytes", (json_int_t)v->rate.bytes,
						     "usec", (json_int_t)v->rate.usec) :
					   json_null());
	json_object_set_new(o, "features", view_features(v->features));
	json_object_set_new(o, "offered", view_features(v->offer.features));
	json_object_set_new(o, "settings", view_settings(c, v));
	json_object_set_new(o, "carrier", view_carrier(v));
	json_object_set_new(o, "multicast", view_multicast(c, v));
	json_object_set_new(o, "control_ring", view_ctrl(c, v));
	json_object_set_new(o, "xdp_headroom", json_integer(v->wishes.xdp_headroom));
	json_object_set_new(o, "placement", view_placement(c, v));
	json_object_set_new(o, "queues", view_queues(c, v, NULL));
	json_object_set_new(o, "steering",
			    view_steering(v) ? json_string(view_steering(v)) : json_null());
	json_object_set_new(o, "netdev",
			    read_netdev(c, v, &nd) ?
				    json_pack("{s:s, s:i, s:b, s:b, s:i}", "name", nd.name, "ifindex",
					      v->netdev.ifindex, "up", nd.up, "carrier", nd.carrier,
					      "mtu", (int)v->link.mtu) :
				    json_null());
	return o;
}

static void set_count(json_t *o, const char *key, uint64_t value)
{
	json_object_set_new(o, key, json_integer((json_int_t)value));
}

/* The counters of one direction or of the control ring, without its name in front. */
static json_t *view_direction(const struct queue_counters *n, const char *prefix)
{
	static const struct {
		const char *name;
		size_t offset;
	} field[] = {
#define X(name) { #name, offsetof(struct queue_counters, name) },
		QUEUE_COUNTERS(X)
#undef X
	};
	json_t *o = json_object();
	size_t size = strlen(prefix);

	for (size_t i = 0; i < ARRAY_SIZE(field); i++)
		if (!strncmp(field[i].name, prefix, size))
			set_count(o, field[i].name + size,
				  *(const uint64_t *)((const char *)n + field[i].offset));
	return o;
}

static json_t *view_from_guest(const struct queue_counters *n)
{
	json_t *o = view_direction(n, FROM_GUEST), *drops = json_object();

	/* Frames that came whole and were not handed on are drops like the others. */
	json_object_del(o, "tap_full");
	json_object_del(o, "tap_error");
	set_count(drops, "tap-full", n->from_guest_tap_full);
	set_count(drops, "tap-error", n->from_guest_tap_error);
	for (int i = FROM_GUEST_FINE + 1; i < FROM_GUEST_N_FAULTS; i++)
		set_count(drops, from_guest_fault_name(i), n->from_guest_drops[i]);
	json_object_set_new(o, "drops", drops);
	return o;
}

static json_t *view_to_guest(const struct queue_counters *n)
{
	json_t *o = view_direction(n, TO_GUEST), *drops = json_object();

	for (int i = TO_GUEST_FINE + 1; i < TO_GUEST_N_FAULTS; i++)
		set_count(drops, to_guest_fault_name(i), n->to_guest_drops[i]);
	json_object_set_new(o, "drops", drops);
	return o;
}

static void add_directions(json_t *o, const struct queue_counters *n)
{
	json_object_set_new(o, "from_guest", view_from_guest(n));
	json_object_set_new(o, "to_guest", view_to_guest(n));
}

static json_t *view_netdev_stats(const struct netdev_stats *nd)
{
	json_t *from = json_object(), *to = json_object();

	set_count(from, "frames", nd->from_guest_frames);
	set_count(from, "bytes", nd->from_guest_bytes);
	set_count(from, "dropped", nd->from_guest_dropped);
	set_count(from, "errors", nd->from_guest_errors);
	set_count(to, "frames", nd->to_guest_frames);
	set_count(to, "bytes", nd->to_guest_bytes);
	set_count(to, "dropped", nd->to_guest_dropped);
	set_count(to, "errors", nd->to_guest_errors);
	return json_pack("{s:s, s:o, s:o}", "name", nd->name, "from_guest", from, "to_guest", to);
}

static json_t *view_stats(struct control *c, const struct vif *v)
{
	struct queue_counters n;
	struct netdev_stats nd;
	json_t *o;

	vif_counters(c, v, &n);
	o = json_pack("{s:s, s:s}", "vif", v->name, "state", xenbus_state_name(v->state));
	add_directions(o, &n);
	json_object_set_new(o, "control_ring", view_direction(&n, "ctrl_"));
	json_object_set_new(o, "queues", view_queues(c, v, add_directions));
	json_object_set_new(o, "netdev",
			    read_netdev(c, v, &nd) ? view_netdev_stats(&nd) : json_null());
	return o;
}

static json_t *view_datapath(const struct control *c)
{
	const struct supervisor *s = &c->supervisor;

	return json_pack("{s:i, s:b, s:i, s:i}", "pid", (int)s->ops->pid(s->ctx), "ready",
			 s->state == SUPERVISE_UP, "workers", (int)c->workers.n_workers, "deaths",
			 (int)s->n_deaths);
}

static json_t *ok_with(const char *key, json_t *value)
{
	return json_pack("{s:b, s:o}", "ok", 1, key, value);
}

static json_t *answer_list(struct control *c, struct vif *v, const json_t *request)
{
	(void)request;
	json_t *list = json_array(), *o;

	(void)v;
	for (uint32_t i = 0; i < c->n_vifs; i++)
		json_array_append_new(list, view_summary(c->vif[i]));
	o = ok_with("vifs", list);
	json_object_set_new(o, "version", json_string(VIFD_VERSION));
	json_object_set_new(o, "datapath", view_datapath(c));
	return o;
}

static json_t *answer_show(struct control *c, struct vif *v, const json_t *request)
{
	(void)request;
	if (!v)
		return api_error("bad-request", "show needs a \"vif\"");
	return ok_with("vif", view_show(c, v));
}

static json_t *answer_stats(struct control *c, struct vif *v, const json_t *request)
{
	(void)request;
	json_t *list = json_array();

	for (uint32_t i = 0; i < c->n_vifs; i++)
		if (!v || v == c->vif[i])
			json_array_append_new(list, view_stats(c, c->vif[i]));
	return ok_with("vifs", list);
}

static json_t *answer_nic(struct control *c, struct vif *v, const json_t *request)
{
	json_t *list = json_array();

	(void)v;
	(void)request;
	for (uint32_t i = 0; i < c->nics.n; i++)
		json_array_append_new(list, view_nic(&c->nics.nic[i]));
	return ok_with("nics", list);
}

/* Which model the operator wants for a vif; control takes it there in its next steps. */
static json_t *answer_model(struct control *c, struct vif *v, const json_t *request)
{
	const char *text = json_string_value(json_object_get(request, "model"));
	enum placement_wish wish;

	if (!v)
		return api_error("bad-request", "model needs a vif");
	if (!text || !placement_parse_wish(text, &wish))
		return api_error("bad-request", "\"model\" must be auto, bridge or mq");
	v->placement.why_not = placement_want(c, v, wish);
	vif_keep_wish(c, v);
	return ok_with("placement", view_placement(c, v));
}

/* A fault on demand, for tests. */
static json_t *answer_fault(struct control *c, struct vif *v, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "nic"));
	const char *fault = json_string_value(json_object_get(request, "fault"));
	const json_t *value = json_object_get(request, "value");
	json_int_t number = json_integer_value(value);
	struct nic *n = NULL;

	(void)v;
	for (uint32_t i = 0; name && i < c->nics.n; i++)
		if (!strcmp(c->nics.nic[i].config.name, name))
			n = &c->nics.nic[i];
	if (!n || !n->device || !n->ops->fault)
		return api_error("bad-request", "there is no model NIC of that name that is open");
	if (!fault || !json_is_integer(value) || number < 0 || number > UINT32_MAX ||
	    n->ops->fault(n->device, fault, (uint32_t)number))
		return api_error("bad-request", "the faults are pulled 0 or 1, stuck, stray, filter-refused and table-full, each with a number");
	return ok_with("nic", view_nic(n));
}

static const struct command {
	const char *name;
	json_t *(*answer)(struct control *c, struct vif *v, const json_t *request);
} commands[] = {
	{ "list", answer_list },   { "show", answer_show }, { "stats", answer_stats },
	{ "model", answer_model }, { "nic", answer_nic },   { "fault", answer_fault },
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* By its own name or by what its netdev was renamed to. */
static struct vif *find_vif(struct control *c, const char *name)
{
	for (uint32_t i = 0; i < c->n_vifs; i++)
		if (!strcmp(c->vif[i]->name, name) || !strcmp(c->vif[i]->keys.vifname, name))
			return c->vif[i];
	return NULL;
}

json_t *view_answer(void *ctx, const json_t *request)
{
	const struct command *command = find_command(json_string_value(json_object_get(request, "command")));
	const json_t *name = json_object_get(request, "vif");
	struct control *c = ctx;
	struct vif *v = NULL;

	if (!command)
		return api_error("bad-request", "\"command\" must be list, show, stats, model, nic or fault");
	if (name && !json_is_string(name))
		return api_error("bad-request", "\"vif\" must be a string");
	if (name) {
		v = find_vif(c, json_string_value(name));
		if (!v)
			return api_error("no-such-vif", "there is no vif of that name");
	}
	return command->answer(c, v, request);
}
