/* SPDX-License-Identifier: MIT */
/*
 * Grant tables: pages a domain shares (gntalloc), pages a handle maps (gntdev),
 * and foreign mappings by the toolstack's domain (privcmd).
 *
 * A grant given up while a peer maps it stays valid until the last mapping goes,
 * as in Linux (gnttab_end_foreign_access defers). A copy that began before is
 * seen as a hazard of some handle: the entry is already revoked then, only the
 * page waits ("draining").
 */
#include <string.h>
#include <unistd.h>
#include "core_internal.h"

#define IN_USE (GTF_reading | GTF_writing)

static_assert(GNTTAB_NR_RESERVED_ENTRIES == 8, "grefs 0 to 7 are not handed out");

/* Grants 'frame' under a reference the caller took; the page's allocation
 * becomes the grant's, and is dropped with it. */
int hx_grant_at(struct hx_dom *dom, uint32_t gref, uint32_t domid, bool writable, uint32_t frame)
{
	uint16_t flags = GTF_permit_access | (writable ? 0 : GTF_readonly);

	dom->gref[gref] = (struct hx_gref){ .frame = frame, .state = HX_GREF_GRANTED };
	dom->n_grants++;
	atomic_store(&dom->pub->grants[gref], HX_GRANT(flags, domid, frame));
	return 0;
}

static void gref_free(struct hx_core *core, struct hx_dom *dom, uint32_t gref)
{
	struct hx_gref *g = &dom->gref[gref];

	if (g->state == HX_GREF_DRAINING)
		dom->n_draining--;
	g->state = HX_GREF_FREE;
	dom->n_grants--;
	if (gref >= GNTTAB_NR_RESERVED_ENTRIES)
		hx_pool_put(&dom->grefs, gref);
	hx_page_put(dom, g->frame);
	hx_dom_maybe_free(core, dom);
}

static bool being_copied(struct hx_core *core, uint32_t slot, uint32_t gref)
{
	uint64_t hazard = HX_HAZARD(slot, gref);

	for (uint32_t i = 0; i < core->handles_end; i++) {
		struct hx_handle_pub *pub = &core->m->handles[i];

		if (atomic_load(&pub->copying[0]) == hazard ||
		    atomic_load(&pub->copying[1]) == hazard)
			return true;
	}
	return false;
}

/* The entry is revoked and nothing maps it: free it, now or when copies end. */
static void gref_drain(struct hx_core *core, struct hx_dom *dom, uint32_t gref)
{
	struct hx_draining *more;

	if (!being_copied(core, dom->slot, gref)) {
		gref_free(core, dom, gref);
		return;
	}
	if (core->n_draining == core->max_draining) {
		size_t max = 2 * core->max_draining + 64;

		more = realloc(core->draining, max * sizeof(*more));
		if (!more)
			return; /* the page is lost, never reused while it is written to */
		core->draining = more;
		core->max_draining = max;
	}
	dom->gref[gref].state = HX_GREF_DRAINING;
	dom->n_draining++;
	core->draining[core->n_draining++] = (struct hx_draining){ dom->slot, gref };
}

bool hx_core_reap(struct hx_core *core)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->n_draining; i++) {
		struct hx_draining d = core->draining[i];

		if (being_copied(core, d.slot, d.gref))
			core->draining[kept++] = d;
		else
			gref_free(core, &core->doms[d.slot], d.gref);
	}
	core->n_draining = kept;
	return kept;
}

/* gnttab_end_foreign_access_ref(): fails while the entry is in use. */
static bool end_access(struct hx_dom *dom, uint32_t gref)
{
	uint64_t entry = atomic_load(&dom->pub->grants[gref]);

	do {
		if (HX_GRANT_FLAGS(entry) & IN_USE)
			return false;
	} while (!atomic_compare_exchange_weak(&dom->pub->grants[gref], &entry, 0));
	return true;
}

static void give_up(struct hx_core *core, struct hx_dom *dom, uint32_t gref)
{
	struct hx_gref *g = &dom->gref[gref];

	if (end_access(dom, gref)) {
		if (g->state == HX_GREF_DEFERRED)
			dom->n_deferred--;
		gref_drain(core, dom, gref);
	} else if (g->state == HX_GREF_GRANTED) {
		g->state = HX_GREF_DEFERRED;
		dom->n_deferred++;
	}
}

/* A dying domain has no grant table any more: what is mapped stays mapped, and
 * nothing can be mapped or copied anew. */
void hx_grants_destroy(struct hx_core *core, struct hx_dom *dom)
{
	for (uint32_t gref = 0; gref < HX_GREFS; gref++) {
		struct hx_gref *g = &dom->gref[gref];

		if (g->state != HX_GREF_GRANTED && g->state != HX_GREF_DEFERRED)
			continue;
		atomic_store(&dom->pub->grants[gref], 0);
		if (g->state == HX_GREF_GRANTED) {
			g->state = HX_GREF_DEFERRED;
			dom->n_deferred++;
		}
		if (!g->readers && !g->writers)
			give_up(core, dom, gref);
	}
}

static int pin(struct hx_dom *dom, uint32_t gref, uint32_t domid, bool writable)
{
	_Atomic uint64_t *shared;
	uint64_t entry;
	uint16_t use = GTF_reading | (writable ? GTF_writing : 0);

	if (gref >= HX_GREFS)
		return GNTST_bad_gntref;
	shared = &dom->pub->grants[gref];
	entry = atomic_load(shared);
	do {
		uint16_t flags = HX_GRANT_FLAGS(entry);

		if ((flags & GTF_type_mask) != GTF_permit_access ||
		    HX_GRANT_DOMID(entry) != domid || (writable && (flags & GTF_readonly)))
			return GNTST_general_error;
	} while (!atomic_compare_exchange_weak(shared, &entry, entry | use));
	dom->gref[gref].readers++;
	dom->gref[gref].writers += writable;
	dom->page_refs[dom->gref[gref].frame]++;
	return GNTST_okay;
}

static void unpin(struct hx_core *core, struct hx_dom *dom, uint32_t gref, bool writable)
{
	struct hx_gref *g = &dom->gref[gref];
	uint16_t unused = 0;

	g->readers--;
	g->writers -= writable;
	if (!g->writers)
		unused |= GTF_writing;
	if (!g->readers)
		unused |= GTF_reading;
	atomic_fetch_and(&dom->pub->grants[gref], ~(uint64_t)unused);
	hx_page_put(dom, g->frame);
	if (g->state == HX_GREF_DEFERRED && !g->readers)
		give_up(core, dom, gref);
}

/* The unmap notifications of gntdev and gntalloc: a byte cleared, an event sent. */
static void extent_notify(struct hx_core *core, struct hx_handle *h, struct hx_extent *e)
{
	struct hx_dom *owner = &core->doms[e->slot];

	if (e->notify_offset != HX_NO_NOTIFY)
		owner->mem[((size_t)e->frames[0] << HX_PAGE_SHIFT) + e->notify_offset] = 0;
	if (e->notify_port != HX_NO_NOTIFY) {
		hx_event_send(core, h->dom, e->notify_port);
		hx_port_put(core, h->dom, e->notify_port);
	}
}

static void extent_release(struct hx_core *core, struct hx_handle *h, struct hx_extent *e)
{
	struct hx_dom *owner = &core->doms[e->slot];

	extent_notify(core, h, e);
	h->n_pages -= e->n;
	for (uint32_t i = 0; i < e->n; i++) {
		if (e->kind == HX_KIND_GNTSHR) {
			give_up(core, owner, e->refs[i]);
			continue;
		}
		if (e->kind == HX_KIND_GNTTAB)
			unpin(core, owner, e->refs[i], e->flags & HX_WRITABLE);
		else
			hx_page_put(owner, e->frames[i]);
		owner->maps_suffered--;
		h->dom->maps_held--;
	}
	free(e);
	hx_dom_maybe_free(core, owner);
}

static int extent_close(struct hx_call *call)
{
	struct hx_extent **at = &call->handle->extents;

	for (; *at; at = &(*at)->next) {
		struct hx_extent *e = *at;

		if (e->id != call->msg->id)
			continue;
		*at = e->next;
		extent_release(call->core, call->handle, e);
		return 0;
	}
	return -ENOENT;
}

void hx_extents_close(struct hx_core *core, struct hx_handle *h)
{
	while (h->extents) {
		struct hx_extent *e = h->extents;

		h->extents = e->next;
		extent_release(core, h, e);
	}
}

/* Checks and takes the notification, so that an extent once made can only be
 * released. */
static int extent_new(struct hx_call *call, struct hx_dom *owner, uint32_t n,
		      struct hx_extent **out)
{
	struct hx_msg *msg = call->msg;
	struct hx_handle *h = call->handle;
	struct hx_extent *e;

	if (!n || n > HX_CHUNK)
		return -EINVAL;
	if (msg->notify_offset != HX_NO_NOTIFY && msg->notify_offset >= HX_PAGE_SIZE)
		return -EINVAL;
	e = calloc(1, sizeof(*e) + 2 * n * sizeof(e->refs[0]));
	if (!e)
		return -ENOMEM;
	if (msg->notify_port != HX_NO_NOTIFY && !hx_port_ref(h->dom, msg->notify_port)) {
		free(e);
		return -EINVAL;
	}
	e->id = h->next_id++;
	e->kind = h->kind;
	e->slot = owner->slot;
	e->flags = msg->flags;
	e->notify_offset = msg->notify_offset;
	e->notify_port = msg->notify_port;
	e->frames = &e->refs[n];
	*out = e;
	return 0;
}

/* Nothing of it became visible: released without its notification. */
static void extent_undo(struct hx_call *call, struct hx_extent *e)
{
	if (e->notify_port != HX_NO_NOTIFY)
		hx_port_put(call->core, call->handle->dom, e->notify_port);
	e->notify_port = e->notify_offset = HX_NO_NOTIFY;
	extent_release(call->core, call->handle, e);
}

static void extent_publish(struct hx_call *call, struct hx_dom *owner, struct hx_extent *e)
{
	e->next = call->handle->extents;
	call->handle->extents = e;
	call->msg->id = e->id;
	call->fds[call->n_fds++] = owner->mem_fd;
}

int hx_op_grant_map(struct hx_call *call)
{
	struct hx_msg *msg = call->msg;
	struct hx_handle *h = call->handle;
	struct hx_dom *owner = hx_dom_find(call->core, h->dom, msg->domid);
	bool writable = msg->flags & HX_WRITABLE;
	struct hx_extent *e;
	int rc;

	/* gntdev turns every failed status into EINVAL */
	if (!owner || (!writable && msg->notify_offset != HX_NO_NOTIFY) || msg->n != msg->n_words ||
	    h->dom->maps_held + msg->n > HX_MAPTRACK)
		return -EINVAL;
	if (h->max_pages && h->n_pages + msg->n > h->max_pages)
		return -ENOMEM;
	rc = extent_new(call, owner, msg->n, &e);
	if (rc)
		return rc;
	for (; e->n < msg->n; e->n++) {
		uint32_t ref = msg->v[e->n];

		if (pin(owner, ref, h->dom->pub->domid, writable) != GNTST_okay) {
			extent_undo(call, e);
			return -EINVAL;
		}
		e->refs[e->n] = ref;
		e->frames[e->n] = owner->gref[ref].frame;
		owner->maps_suffered++;
		h->dom->maps_held++;
		h->n_pages++;
	}
	memcpy(msg->v, e->frames, e->n * sizeof(msg->v[0]));
	extent_publish(call, owner, e);
	return 0;
}

int hx_op_grant_unmap(struct hx_call *call)
{
	return extent_close(call);
}

int hx_op_grant_limit(struct hx_call *call)
{
	call->handle->max_pages = call->msg->n;
	return 0;
}

int hx_op_share(struct hx_call *call)
{
	struct hx_msg *msg = call->msg;
	struct hx_dom *dom = call->handle->dom;
	struct hx_extent *e;
	int rc = extent_new(call, dom, msg->n, &e);

	if (rc)
		return rc;
	for (; e->n < msg->n; e->n++) {
		int64_t frame = hx_page_get(dom);
		int64_t gref = frame < 0 ? -1 : hx_pool_get(&dom->grefs);

		if (gref < 0) {
			if (frame >= 0)
				hx_page_put(dom, (uint32_t)frame);
			extent_undo(call, e);
			return frame < 0 ? -ENOMEM : -ENOSPC;
		}
		hx_grant_at(dom, (uint32_t)gref, msg->domid, msg->flags & HX_WRITABLE,
			    (uint32_t)frame);
		e->refs[e->n] = (uint32_t)gref;
		e->frames[e->n] = (uint32_t)frame;
		call->handle->n_pages++;
	}
	msg->n_words = 2 * e->n;
	memcpy(msg->v, e->refs, e->n * sizeof(msg->v[0]));
	memcpy(msg->v + e->n, e->frames, e->n * sizeof(msg->v[0]));
	extent_publish(call, dom, e);
	return 0;
}

int hx_op_unshare(struct hx_call *call)
{
	return extent_close(call);
}

/* Frames that are not there are reported one by one and not held. */
int hx_op_foreign_map(struct hx_call *call)
{
	struct hx_msg *msg = call->msg;
	struct hx_handle *h = call->handle;
	struct hx_dom *owner = hx_dom_find(call->core, h->dom, msg->domid);
	struct hx_extent *e;
	int rc;

	if (h->restricted && msg->domid != h->restrict_domid)
		return -EPERM;
	if (!owner)
		return -ESRCH;
	if (msg->n != msg->n_words)
		return -EINVAL;
	msg->notify_offset = msg->notify_port = HX_NO_NOTIFY;
	rc = extent_new(call, owner, msg->n, &e);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < msg->n; i++) {
		uint32_t frame = msg->v[i];

		msg->v[i] = hx_pool_has(&owner->pages, frame) ? 0 : EINVAL;
		if (msg->v[i])
			continue;
		owner->page_refs[frame]++;
		owner->maps_suffered++;
		h->dom->maps_held++;
		h->n_pages++;
		e->frames[e->n++] = frame;
	}
	extent_publish(call, owner, e);
	return 0;
}

int hx_op_foreign_unmap(struct hx_call *call)
{
	return extent_close(call);
}
