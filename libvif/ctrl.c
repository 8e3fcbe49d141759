/* SPDX-License-Identifier: MIT */
/*
 * One function a request, in tables by its type. See ctrl.h.
 */
#include "ctrl.h"

#include <string.h>

static_assert(sizeof(((struct ctrl_server *)NULL)->page) == XEN_PAGE, "a granted page");
static_assert(RSS_FLAGS == (XEN_NETIF_CTRL_HASH_TYPE_IPV4 | XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP |
			    XEN_NETIF_CTRL_HASH_TYPE_IPV6 | XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP),
	      "netif.h's hash types");

static enum ctrl_need answer(struct ctrl_server *c, uint32_t status, uint32_t data)
{
	c->rsp.status = status;
	c->rsp.data = data;
	return CTRL_ANSWER;
}

static enum ctrl_need succeed(struct ctrl_server *c)
{
	return answer(c, XEN_NETIF_CTRL_STATUS_SUCCESS, 0);
}

static enum ctrl_need refuse(struct ctrl_server *c)
{
	return answer(c, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER, 0);
}

/* n_bytes <= XEN_PAGE */
static enum ctrl_need fetch(struct ctrl_server *c, uint32_t gref, uint32_t n_bytes)
{
	c->gref = gref;
	c->n_bytes = n_bytes;
	return CTRL_FETCH;
}

/* ---- hashing ---- */

/* A copy of the settings to change; rss_commit_next() makes it count. */
static struct rss *rss_next(struct ctrl_server *c)
{
	struct rss *next = &c->memory->rss[!c->memory->rss_active];

	*next = *ctrl_rss(c->memory);
	return next;
}

static enum ctrl_need rss_commit_next(struct ctrl_server *c)
{
	__atomic_store_n(&c->memory->rss_active, !c->memory->rss_active, __ATOMIC_RELEASE);
	c->rss_changed = true;
	return succeed(c);
}

static enum ctrl_need set_algorithm(struct ctrl_server *c)
{
	uint32_t algorithm = c->req.data[0];

	if (algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_NONE &&
	    algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ)
		return refuse(c);
	rss_next(c)->algorithm = algorithm;
	return rss_commit_next(c);
}

/* "A valid hash algorithm must be selected before this operation can succeed": Linux answers
 * the query with NOT_SUPPORTED then, and SET_HASH_FLAGS with INVALID_PARAMETER. */
static bool has_algorithm(const struct ctrl_server *c)
{
	return ctrl_rss(c->memory)->algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_NONE;
}

static enum ctrl_need get_flags(struct ctrl_server *c)
{
	if (!has_algorithm(c))
		return answer(c, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED, 0);
	return answer(c, XEN_NETIF_CTRL_STATUS_SUCCESS, RSS_FLAGS);
}

static enum ctrl_need set_flags(struct ctrl_server *c)
{
	uint32_t flags = c->req.data[0];

	if ((flags & ~RSS_FLAGS) || !has_algorithm(c))
		return refuse(c);
	rss_next(c)->flags = flags;
	return rss_commit_next(c);
}

/* An empty key is a request without a page; one that is shorter is padded with zeroes. */
static enum ctrl_need take_key(struct ctrl_server *c)
{
	uint32_t size = c->req.data[1];
	struct rss *next = rss_next(c);

	memcpy(next->key, c->page.bytes, size);
	memset(next->key + size, 0, sizeof(next->key) - size);
	return rss_commit_next(c);
}

static enum ctrl_need set_key(struct ctrl_server *c)
{
	uint32_t size = c->req.data[1];

	if (size > STEER_KEY_SIZE)
		return answer(c, XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW, 0);
	return size ? fetch(c, c->req.data[0], size) : take_key(c);
}

static enum ctrl_need get_mapping_size(struct ctrl_server *c)
{
	return answer(c, XEN_NETIF_CTRL_STATUS_SUCCESS, STEER_MAPPING_MAX);
}

/* 0: no mapping, the queue is the hash modulo their number. A new mapping is all zeroes. */
static enum ctrl_need set_mapping_size(struct ctrl_server *c)
{
	uint32_t size = c->req.data[0];
	struct rss *next;

	if (size > STEER_MAPPING_MAX)
		return refuse(c);
	next = rss_next(c);
	next->mapping_size = size;
	memset(next->mapping, 0, sizeof(next->mapping));
	return rss_commit_next(c);
}

static enum ctrl_need set_mapping(struct ctrl_server *c)
{
	uint32_t n = c->req.data[1], offset = c->req.data[2];
	uint32_t size = ctrl_rss(c->memory)->mapping_size;

	if (n > STEER_MAPPING_MAX || offset > STEER_MAPPING_MAX - n)
		return answer(c, XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW, 0);
	if (offset + n > size)
		return refuse(c);
	return n ? fetch(c, c->req.data[0], n * (uint32_t)sizeof(uint32_t)) : succeed(c);
}

static enum ctrl_need take_mapping(struct ctrl_server *c)
{
	uint32_t n = c->req.data[1], offset = c->req.data[2];

	for (uint32_t i = 0; i < n; i++)
		if (c->page.mapping[i] >= c->n_queues)
			return refuse(c);
	memcpy(rss_next(c)->mapping + offset, c->page.mapping, n * sizeof(uint32_t));
	return rss_commit_next(c);
}

/* ---- static grants ---- */

static bool takes_queue(struct ctrl_server *c)
{
	c->queue = c->req.data[0];
	return c->queue < c->n_queues;
}

static enum ctrl_need get_grants_size(struct ctrl_server *c)
{
	if (!takes_queue(c))
		return refuse(c);
	return answer(c, XEN_NETIF_CTRL_STATUS_SUCCESS, STATIC_GRANTS_MAX);
}

/* ADD or DEL. An earlier process may have done it and died before it answered. */
static enum ctrl_need change_grants(struct ctrl_server *c)
{
	const struct static_list *active;
	uint32_t n = c->req.data[2];

	if (!takes_queue(c))
		return refuse(c);
	active = static_lists_active(&c->memory->grants[c->queue]);
	if (c->resumed && active->made == c->req.type && active->request == c->index)
		return answer(c, XEN_NETIF_CTRL_STATUS_SUCCESS, active->data);
	if (n > STATIC_GRANTS_MAX)
		return refuse(c);
	return n ? fetch(c, c->req.data[1], n * (uint32_t)sizeof(struct xen_netif_gref))
		 : succeed(c);
}

/* The list to change, beside the one that counts; ix finds in it. */
static struct static_list *grants_next(struct ctrl_server *c, struct static_index *ix)
{
	struct static_lists *lists = &c->memory->grants[c->queue];
	struct static_list *next = static_lists_next(lists);

	*next = *static_lists_active(lists);
	next->made = c->req.type;
	next->request = c->index;
	next->data = 0;
	static_index_init(ix);
	for (uint32_t i = 0; i < STATIC_GRANTS_MAX; i++)
		if (next->entry[i])
			static_index_insert(ix, next->entry, i);
	return next;
}

static enum ctrl_need apply(struct ctrl_server *c)
{
	static_lists_stage(&c->memory->grants[c->queue]);
	return CTRL_APPLY;
}

/* One grant in two places of a list is a mistake; netif.h knows one flag. */
static enum ctrl_need take_additions(struct ctrl_server *c)
{
	uint32_t n = c->req.data[2], at = 0;
	struct static_index ix;
	struct static_list *next = grants_next(c, &ix);

	if (n > STATIC_GRANTS_MAX - next->n)
		return refuse(c);
	for (uint32_t i = 0; i < n; i++) {
		const struct xen_netif_gref *g = &c->page.grants[i];

		if ((g->flags & ~XEN_NETIF_CTRLF_GREF_readonly) ||
		    static_index_find(&ix, next->entry, g->ref) >= 0)
			return refuse(c);
		while (next->entry[at])
			at++;
		next->entry[at] = STATIC_GRANT_USED | g->ref;
		if (g->flags & XEN_NETIF_CTRLF_GREF_readonly)
			next->entry[at] |= STATIC_GRANT_READONLY;
		static_index_insert(&ix, next->entry, at);
	}
	next->n += n;
	return apply(c);
}

/* What was not added before, or is named twice, gets an error of its own. The statuses go
 * back before anything is unmapped: then a page that cannot be written refuses the whole. */
static enum ctrl_need take_deletions(struct ctrl_server *c)
{
	uint32_t n = c->req.data[2];
	struct static_index ix;
	struct static_list *next = grants_next(c, &ix);

	for (uint32_t i = 0; i < n; i++) {
		struct xen_netif_gref *g = &c->page.grants[i];
		int at = static_index_find(&ix, next->entry, g->ref);

		g->status = at < 0 ? XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER
				   : XEN_NETIF_CTRL_STATUS_SUCCESS;
		if (at < 0)
			continue;
		static_index_remove(&ix, next->entry, (uint32_t)at);
		next->entry[at] = 0;
		next->n--;
		next->data++;
	}
	return CTRL_STORE;
}

/* ---- what comes when ---- */

typedef enum ctrl_need (*ctrl_fn)(struct ctrl_server *c);

struct ctrl_handler {
	ctrl_fn begin;
	ctrl_fn fetched; /* NULL: begin never answers CTRL_FETCH */
	bool hashes;
};

static const struct ctrl_handler handlers[] = {
	[XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS] = { get_flags, NULL, true },
	[XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS] = { set_flags, NULL, true },
	[XEN_NETIF_CTRL_TYPE_SET_HASH_KEY] = { set_key, take_key, true },
	[XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE] = { get_mapping_size, NULL, true },
	[XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE] = { set_mapping_size, NULL, true },
	[XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING] = { set_mapping, take_mapping, true },
	[XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM] = { set_algorithm, NULL, true },
	[XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE] = { get_grants_size, NULL, false },
	[XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING] = { change_grants, take_additions, false },
	[XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING] = { change_grants, take_deletions, false },
};

void ctrl_init(struct ctrl_server *c, struct ctrl_memory *memory, uint32_t n_queues, bool can_hash,
	       bool resume)
{
	memset(c, 0, sizeof(*c));
	c->memory = memory;
	c->n_queues = n_queues;
	c->can_hash = can_hash;
	c->resumed = resume;
}

enum ctrl_need ctrl_begin(struct ctrl_server *c, uint32_t index,
			  const struct xen_netif_ctrl_request *req)
{
	const struct ctrl_handler *h;
	enum ctrl_need need;

	c->index = index;
	c->req = *req;
	c->rsp = (struct xen_netif_ctrl_response){ .id = req->id, .type = req->type };
	c->rss_changed = false;
	h = req->type < ARRAY_SIZE(handlers) ? &handlers[req->type] : NULL;
	if (!h || !h->begin || (h->hashes && !c->can_hash))
		need = answer(c, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED, 0);
	else
		need = h->begin(c);
	c->resumed = false;
	return need;
}

enum ctrl_need ctrl_fetched(struct ctrl_server *c, bool done)
{
	return done ? handlers[c->req.type].fetched(c) : refuse(c);
}

enum ctrl_need ctrl_stored(struct ctrl_server *c, bool done)
{
	return done ? apply(c) : refuse(c);
}

enum ctrl_need ctrl_applied(struct ctrl_server *c, bool done)
{
	struct static_lists *lists = &c->memory->grants[c->queue];

	static_lists_end(lists);
	if (!done)
		return refuse(c);
	return answer(c, XEN_NETIF_CTRL_STATUS_SUCCESS, static_lists_active(lists)->data);
}
