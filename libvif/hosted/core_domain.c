/* SPDX-License-Identifier: MIT */
/*
 * Domains: their memory, their life from creation to the last unmapped page,
 * and the xenstore ring that a toolstack gives them.
 *
 * A destroyed domain whose pages others still map stays as a zombie (dying), as
 * under Xen; its domid is free again when the last mapping goes.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "core_internal.h"

#define N_RESERVED_GREFS 8 /* GNTTAB_NR_RESERVED_ENTRIES */

struct hx_dom *hx_dom_find(struct hx_core *core, const struct hx_dom *self, uint32_t domid)
{
	int slot;

	if (domid == HX_SELF && self)
		return &core->doms[self->slot];
	slot = hx_slot_of(core->m, domid);
	return slot < 0 ? NULL : &core->doms[slot];
}

/* Small and different for every seed: how far the first number is from the lowest. */
static uint32_t seeded(uint64_t seed, uint32_t domid, uint32_t range)
{
	uint64_t x = seed + domid * 0x9e3779b97f4a7c15ull;

	if (!seed)
		return 0;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)(x >> 33) % range;
}

static int dom_alloc(struct hx_core *core, struct hx_dom *dom, uint32_t domid)
{
	uint32_t slot = dom->slot;
	uint32_t port_base = 1 + seeded(core->seed, domid, HX_PORTS / 4);
	uint32_t gref_base = N_RESERVED_GREFS + seeded(core->seed + 1, domid, HX_GREFS / 4);

	*dom = (struct hx_dom){ .slot = slot, .mem_fd = -1, .mem = MAP_FAILED };
	dom->page_refs = calloc(HX_DOM_PAGES, sizeof(*dom->page_refs));
	dom->gref = calloc(HX_GREFS, sizeof(*dom->gref));
	dom->port = calloc(HX_PORTS, sizeof(*dom->port));
	if (!dom->page_refs || !dom->gref || !dom->port ||
	    hx_pool_init(&dom->pages, HX_DOM_PAGES, 0) ||
	    hx_pool_init(&dom->grefs, HX_GREFS, gref_base) ||
	    hx_pool_init(&dom->ports, HX_PORTS, port_base))
		return -ENOMEM;
	hx_pool_take(&dom->ports, 0);
	for (uint32_t i = 0; i < N_RESERVED_GREFS; i++)
		hx_pool_take(&dom->grefs, i);
	dom->mem_fd = memfd_create("hosted-xen memory", MFD_CLOEXEC);
	if (dom->mem_fd < 0 || ftruncate(dom->mem_fd, HX_DOM_BYTES))
		return -errno;
	dom->mem = mmap(NULL, HX_DOM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			dom->mem_fd, 0);
	return dom->mem == MAP_FAILED ? -errno : 0;
}

void hx_dom_release(struct hx_dom *dom)
{
	uint32_t slot = dom->slot;

	if (dom->mem != MAP_FAILED)
		munmap(dom->mem, HX_DOM_BYTES);
	if (dom->mem_fd >= 0)
		close(dom->mem_fd);
	hx_pool_fini(&dom->pages);
	hx_pool_fini(&dom->grefs);
	hx_pool_fini(&dom->ports);
	free(dom->page_refs);
	free(dom->gref);
	free(dom->port);
	*dom = (struct hx_dom){ .slot = slot };
}

int hx_dom_new(struct hx_core *core, uint32_t domid)
{
	struct hx_domain *pub;
	uint32_t slot = 0;
	int rc;

	if (hx_slot_of(core->m, domid) >= 0)
		return -EEXIST;
	while (slot < HX_MAX_DOMAINS && core->doms[slot].pub)
		slot++;
	if (slot == HX_MAX_DOMAINS)
		return -ENOSPC;
	rc = dom_alloc(core, &core->doms[slot], domid);
	if (rc) {
		hx_dom_release(&core->doms[slot]);
		return rc;
	}
	pub = core->doms[slot].pub = &core->m->domains[slot];
	pub->domid = domid;
	atomic_store(&pub->generation, ++core->generation);
	atomic_store(&pub->state, HX_LIVING);
	atomic_store(&core->m->slot_of[domid], (uint16_t)(slot + 1));
	return 0;
}

int64_t hx_page_get(struct hx_dom *dom)
{
	int64_t frame = hx_pool_get(&dom->pages);

	if (frame >= 0)
		dom->page_refs[frame] = 1;
	return frame;
}

void hx_page_put(struct hx_dom *dom, uint32_t frame)
{
	if (--dom->page_refs[frame])
		return;
	/* The next owner must find zeroes, and the host its memory back. */
	if (fallocate(dom->mem_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)frame << HX_PAGE_SHIFT, HX_PAGE_SIZE))
		memset(dom->mem + ((size_t)frame << HX_PAGE_SHIFT), 0, HX_PAGE_SIZE);
	hx_pool_put(&dom->pages, frame);
}

/* Ends a zombie that nothing holds any more. */
void hx_dom_maybe_free(struct hx_core *core, struct hx_dom *dom)
{
	uint32_t domid;

	if (!dom->torn_down || dom->maps_suffered || dom->n_draining)
		return;
	domid = dom->pub->domid;
	atomic_store(&core->m->slot_of[domid], 0);
	atomic_store(&dom->pub->state, HX_NO_DOMAIN);
	hx_dom_release(dom);
	hx_virq_send(core, 0, VIRQ_DOM_EXC);
}

int hx_op_memory(struct hx_call *call)
{
	struct hx_dom *dom = hx_dom_find(call->core, call->handle->dom, call->msg->domid);

	if (!dom)
		return -ESRCH;
	call->msg->id = dom->slot;
	call->msg->generation = atomic_load(&dom->pub->generation);
	call->fds[call->n_fds++] = dom->mem_fd;
	return 0;
}

static void dom_stats(const struct hx_dom *dom, struct hosted_stats *s)
{
	*s = (struct hosted_stats){
		.domid = dom->pub->domid,
		.dying = atomic_load(&dom->pub->state) == HX_DYING,
		.shutdown = dom->shutdown,
		.handles = dom->n_handles,
		.ports = dom->ports.n_used - 1,
		.grants = dom->n_grants,
		.grants_deferred = dom->n_deferred + dom->n_draining,
		.maps_held = dom->maps_held,
		.maps_suffered = dom->maps_suffered,
		.pages = dom->pages.n_used,
	};
}

/* The domains from a domid on, in rising order, as Xen's getdomaininfolist. */
int hx_op_domain_info(struct hx_call *call)
{
	const uint32_t words = sizeof(struct hosted_stats) / sizeof(uint32_t);
	struct hx_msg *msg = call->msg;
	uint32_t max = msg->n;

	msg->n = 0;
	for (uint32_t domid = msg->domid; domid < HX_FIRST_RESERVED_DOMID && msg->n < max;
	     domid++) {
		int slot = hx_slot_of(call->core->m, domid);

		if (slot < 0)
			continue;
		dom_stats(&call->core->doms[slot],
			  (struct hosted_stats *)&msg->v[(size_t)msg->n++ * words]);
	}
	msg->n_words = msg->n * words;
	return 0;
}

int hx_op_domain_create(struct hx_call *call)
{
	uint32_t domid = call->msg->domid;

	if (!domid || domid >= HX_FIRST_RESERVED_DOMID)
		return -EINVAL;
	return hx_dom_new(call->core, domid);
}

int hx_op_domain_destroy(struct hx_call *call)
{
	struct hx_core *core = call->core;
	struct hx_dom *dom = hx_dom_find(core, NULL, call->msg->domid);

	if (!call->msg->domid)
		return -EINVAL;
	if (!dom)
		return -ESRCH;
	if (atomic_load(&dom->pub->state) == HX_DYING)
		return 0;
	atomic_store(&dom->pub->state, HX_DYING);
	for (uint32_t i = 0; i < core->handles_end; i++)
		if (core->handles[i] && core->handles[i]->dom == dom)
			hx_handle_release(core, core->handles[i]);
	hx_ports_destroy(core, dom);
	hx_grants_destroy(core, dom);
	dom->torn_down = true;
	hx_virq_send(core, 0, VIRQ_DOM_EXC);
	hx_dom_maybe_free(core, dom);
	return 0;
}

int hx_op_domain_shutdown(struct hx_call *call)
{
	struct hx_dom *dom = hx_dom_find(call->core, NULL, call->msg->domid);

	if (!call->msg->domid || call->msg->id > 255)
		return -EINVAL;
	if (!dom || atomic_load(&dom->pub->state) == HX_DYING)
		return -ESRCH;
	dom->shutdown = 1 + call->msg->id;
	hx_virq_send(call->core, 0, VIRQ_DOM_EXC);
	return 0;
}

int hx_op_store_setup(struct hx_call *call)
{
	struct hx_dom *dom = hx_dom_find(call->core, NULL, call->msg->domid);
	int64_t frame;
	int port;

	if (!dom || atomic_load(&dom->pub->state) == HX_DYING)
		return -ESRCH;
	if (!dom->store_port) {
		frame = hx_page_get(dom);
		if (frame < 0)
			return -ENOMEM;
		port = hx_port_unbound(call->core, dom, NULL, 0);
		if (port < 0) {
			hx_page_put(dom, (uint32_t)frame);
			return port;
		}
		hx_grant_at(dom, GNTTAB_RESERVED_XENSTORE, 0, true, (uint32_t)frame);
		dom->store_port = (uint32_t)port;
		dom->store_frame = (uint32_t)frame;
	}
	call->msg->id = dom->store_frame;
	call->msg->port = dom->store_port;
	return 0;
}
