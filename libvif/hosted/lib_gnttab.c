/* SPDX-License-Identifier: MIT */
/*
 * libxengnttab on the hosted Xen: behaves as Debian's library on Linux's gntdev
 * and gntalloc, errno values included.
 *
 * grant_copy never asks the hypervisor: it publishes which grant it is about to
 * use (a hazard), checks the entry in the shared grant table as Xen does, and
 * copies. Whoever revokes a grant clears the entry first and looks for hazards
 * afterwards, so one of the two always sees the other. A killed process leaves a
 * hazard, which the hypervisor clears; it leaves no lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xengnttab.h>
#include "client.h"
#include "fast.h"
#include "fault.h"

#define MAX_MAP_PAGES (64 * 1024u) /* gntdev's "limit": pages in one request */

struct xengntdev_handle {
	struct hx_client client;
	struct hx_region *regions;
	struct {
		uint64_t generation; /* 0: not mapped */
		uint8_t *base;
	} memory[HX_MAX_DOMAINS];
};

static struct xengntdev_handle *handle_open(enum hx_kind kind)
{
	struct xengntdev_handle *h = calloc(1, sizeof(*h));
	int rc = h ? hx_client_open(&h->client, kind, NULL) : -ENOMEM;

	if (!rc)
		return h;
	free(h);
	errno = -rc;
	return NULL;
}

static int handle_close(struct xengntdev_handle *h)
{
	if (!h)
		return 0;
	hx_regions_unmap(&h->client, h->regions);
	for (uint32_t i = 0; i < HX_MAX_DOMAINS; i++)
		if (h->memory[i].generation)
			munmap(h->memory[i].base, HX_DOM_BYTES);
	hx_client_close(&h->client);
	free(h);
	return 0;
}

static int fail(int rc)
{
	errno = -rc;
	return -1;
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned int open_flags)
{
	(void)logger;
	(void)open_flags;
	return handle_open(HX_KIND_GNTTAB);
}

int xengnttab_close(xengnttab_handle *xgt)
{
	return handle_close(xgt);
}

int xengnttab_fd(xengnttab_handle *xgt)
{
	return xgt->client.sock;
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants)
{
	struct hx_msg *msg = hx_client_begin(&xgt->client, HX_GRANT_LIMIT);
	int rc;

	msg->n = nr_grants;
	rc = hx_client_call(&xgt->client, -1, NULL);
	hx_client_end(&xgt->client);
	return rc ? fail(rc) : 0;
}

struct map_request {
	uint32_t count;
	const uint32_t *domids;
	bool one_domid; /* domids[0] is for all */
	const uint32_t *refs;
	int prot;
	uint32_t notify_offset, notify_port;
};

/* As many pages as one message takes: of one domain, at most HX_CHUNK. */
static uint32_t chunk_size(const struct map_request *req, uint32_t done)
{
	uint32_t n = 1;

	while (done + n < req->count && n < HX_CHUNK &&
	       (req->one_domid || req->domids[done + n] == req->domids[done]))
		n++;
	return n;
}

static int map_chunk(struct xengntdev_handle *h, struct hx_region *r, const struct map_request *req,
		     uint32_t done, uint32_t n)
{
	struct hx_msg *msg = hx_client_begin(&h->client, HX_GRANT_MAP);
	int mem_fd, rc;

	msg->domid = req->domids[req->one_domid ? 0 : done];
	msg->flags = req->prot & PROT_WRITE ? HX_WRITABLE : 0;
	msg->notify_offset = req->notify_offset;
	msg->notify_port = req->notify_port;
	msg->n = msg->n_words = n;
	memcpy(msg->v, req->refs + done, n * sizeof(msg->v[0]));
	rc = hx_client_call(&h->client, -1, &mem_fd);
	if (!rc) {
		r->ids[r->n_ids++] = msg->id;
		rc = hx_region_fill(r, done, mem_fd, msg->v, n, req->prot);
		close(mem_fd);
	}
	hx_client_end(&h->client);
	return rc;
}

static void *map(struct xengntdev_handle *h, const struct map_request *req)
{
	struct hx_region *r;
	uint32_t n_chunks = 0;
	int rc = 0;

	if (!req->count || req->count > MAX_MAP_PAGES || hx_fault(HX_FAULT_MAP)) {
		errno = EINVAL;
		return NULL;
	}
	for (uint32_t done = 0; done < req->count; done += chunk_size(req, done))
		n_chunks++;
	r = hx_region_new(req->count, n_chunks);
	if (!r)
		return NULL;
	for (uint32_t done = 0; done < req->count && !rc; done += chunk_size(req, done))
		rc = map_chunk(h, r, req, done, chunk_size(req, done));
	if (rc) {
		hx_region_close(&h->client, r, HX_GRANT_UNMAP);
		errno = -rc;
		return NULL;
	}
	pthread_mutex_lock(&h->client.lock);
	r->next = h->regions;
	h->regions = r;
	pthread_mutex_unlock(&h->client.lock);
	return r->addr;
}

void *xengnttab_map_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t *domids,
			       uint32_t *refs, int prot)
{
	struct map_request req = { count, domids, false, refs, prot, HX_NO_NOTIFY, HX_NO_NOTIFY };

	return map(xgt, &req);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid,
				      uint32_t *refs, int prot)
{
	struct map_request req = { count, &domid, true, refs, prot, HX_NO_NOTIFY, HX_NO_NOTIFY };

	return map(xgt, &req);
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
	return xengnttab_map_domain_grant_refs(xgt, 1, domid, &ref, prot);
}

void *xengnttab_map_grant_ref_notify(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot,
				     uint32_t notify_offset, evtchn_port_t notify_port)
{
	struct map_request req = { 1, &domid, true, &ref, prot, notify_offset, notify_port };

	return map(xgt, &req);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count)
{
	struct hx_region *r;
	int rc;

	pthread_mutex_lock(&xgt->client.lock);
	r = hx_region_find(&xgt->regions, start_address);
	if (r && r->n != count) { /* gntdev unmaps a request whole or not at all */
		r->next = xgt->regions;
		xgt->regions = r;
		r = NULL;
	}
	pthread_mutex_unlock(&xgt->client.lock);
	if (!r)
		return fail(-EINVAL);
	rc = hx_region_close(&xgt->client, r, HX_GRANT_UNMAP);
	return rc ? fail(rc) : 0;
}

/* A domain's memory, mapped once for all copies. */
static uint8_t *domain_memory(struct xengntdev_handle *h, uint32_t slot)
{
	struct hx_domain *dom = &h->client.m->domains[slot];
	struct hx_msg *msg;
	void *base;
	int fd;

	if (h->memory[slot].generation == atomic_load(&dom->generation))
		return h->memory[slot].base;
	if (h->memory[slot].generation)
		munmap(h->memory[slot].base, HX_DOM_BYTES);
	h->memory[slot].generation = 0;
	msg = hx_client_msg(&h->client, HX_MEMORY);
	msg->domid = dom->domid;
	if (hx_client_call(&h->client, -1, &fd))
		return NULL;
	base = mmap(NULL, HX_DOM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	close(fd);
	if (base == MAP_FAILED)
		return NULL;
	madvise(base, HX_DOM_BYTES, MADV_DONTFORK);
	madvise(base, HX_DOM_BYTES, MADV_DONTDUMP);
	if (msg->id != slot) { /* another domain by now */
		munmap(base, HX_DOM_BYTES);
		return NULL;
	}
	h->memory[slot].generation = msg->generation;
	h->memory[slot].base = base;
	return base;
}

/* Xen's acquire_grant_for_copy(): GNTST_*, and where the page is. The hazard
 * stays up until the copy is over. */
static int acquire(struct xengntdev_handle *h, _Atomic uint64_t *hazard, uint32_t domid,
		   uint32_t ref, bool writable, uint8_t **page)
{
	struct hx_machine *m = h->client.m;
	int slot = domid == DOMID_SELF ? (int)h->client.slot : hx_slot_of(m, domid);
	uint64_t entry;
	uint16_t flags;
	uint8_t *base;

	if (slot < 0)
		return GNTST_bad_domain;
	if (ref >= HX_GREFS)
		return GNTST_bad_gntref;
	atomic_store(hazard, HX_HAZARD(slot, ref));
	entry = atomic_load(&m->domains[slot].grants[ref]);
	flags = HX_GRANT_FLAGS(entry);
	if ((flags & GTF_type_mask) != GTF_permit_access ||
	    HX_GRANT_DOMID(entry) != m->domains[h->client.slot].domid ||
	    (writable && (flags & GTF_readonly)))
		return GNTST_general_error;
	if (HX_GRANT_FRAME(entry) >= HX_DOM_PAGES)
		return GNTST_bad_page;
	base = domain_memory(h, (uint32_t)slot);
	if (!base)
		return GNTST_general_error;
	*page = base + ((size_t)HX_GRANT_FRAME(entry) << HX_PAGE_SHIFT);
	return GNTST_okay;
}

static int copy_one(struct xengntdev_handle *h, xengnttab_grant_copy_segment_t *seg)
{
	struct hx_handle_pub *pub = &h->client.m->handles[h->client.idx];
	uint8_t *from = seg->source.virt, *to = seg->dest.virt;
	int status = GNTST_okay;

	if (hx_fault(HX_FAULT_COPY))
		return GNTST_general_error;
	if (seg->flags & GNTCOPY_source_gref) {
		status = acquire(h, &pub->copying[0], seg->source.foreign.domid,
				 seg->source.foreign.ref, false, &from);
		from += seg->source.foreign.offset;
	}
	if (seg->flags & GNTCOPY_dest_gref && status == GNTST_okay) {
		status = acquire(h, &pub->copying[1], seg->dest.foreign.domid,
				 seg->dest.foreign.ref, true, &to);
		to += seg->dest.foreign.offset;
	}
	if (status == GNTST_okay)
		memmove(to, from, seg->len);
	atomic_store_explicit(&pub->copying[0], 0, memory_order_release);
	atomic_store_explicit(&pub->copying[1], 0, memory_order_release);
	return status;
}

/* gntdev_grant_copy_seg(): what makes the whole call fail. */
static bool copy_valid(const xengnttab_grant_copy_segment_t *seg)
{
	if (!(seg->flags & (GNTCOPY_source_gref | GNTCOPY_dest_gref)))
		return false;
	if (seg->flags & GNTCOPY_source_gref &&
	    (uint32_t)seg->source.foreign.offset + seg->len > HX_PAGE_SIZE)
		return false;
	if (seg->flags & GNTCOPY_dest_gref &&
	    (uint32_t)seg->dest.foreign.offset + seg->len > HX_PAGE_SIZE)
		return false;
	return true;
}

int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
			 xengnttab_grant_copy_segment_t *segs)
{
	for (uint32_t i = 0; i < count; i++)
		if (!copy_valid(&segs[i]))
			return fail(-EINVAL);
	pthread_mutex_lock(&xgt->client.lock);
	for (uint32_t i = 0; i < count; i++)
		segs[i].status = (int16_t)(segs[i].len ? copy_one(xgt, &segs[i]) : GNTST_okay);
	pthread_mutex_unlock(&xgt->client.lock);
	return 0;
}

/* dma-bufs need the kernel: ENOTTY, as a kernel built without them answers. */
int xengnttab_dmabuf_exp_from_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t flags,
				   uint32_t count, const uint32_t *refs, uint32_t *fd)
{
	(void)xgt, (void)domid, (void)flags, (void)count, (void)refs, (void)fd;
	return fail(-ENOTTY);
}

int xengnttab_dmabuf_exp_wait_released(xengnttab_handle *xgt, uint32_t fd, uint32_t wait_to_ms)
{
	(void)xgt, (void)fd, (void)wait_to_ms;
	return fail(-ENOTTY);
}

int xengnttab_dmabuf_imp_to_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t fd, uint32_t count,
				 uint32_t *refs)
{
	(void)xgt, (void)domid, (void)fd, (void)count, (void)refs;
	return fail(-ENOTTY);
}

int xengnttab_dmabuf_imp_release(xengnttab_handle *xgt, uint32_t fd)
{
	(void)xgt, (void)fd;
	return fail(-ENOTTY);
}

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned int open_flags)
{
	(void)logger;
	(void)open_flags;
	return handle_open(HX_KIND_GNTSHR);
}

int xengntshr_close(xengntshr_handle *xgs)
{
	return handle_close(xgs);
}

int xengntshr_fd(xengntshr_handle *xgs)
{
	return xgs->client.sock;
}

struct share_request {
	uint32_t domid, count;
	uint32_t *refs;
	int writable;
	uint32_t notify_offset, notify_port;
};

static int share_chunk(struct xengntdev_handle *h, struct hx_region *r,
		       const struct share_request *req, uint32_t done, uint32_t n)
{
	struct hx_msg *msg = hx_client_begin(&h->client, HX_SHARE);
	int mem_fd, rc;

	msg->domid = req->domid;
	msg->flags = req->writable ? HX_WRITABLE : 0;
	msg->notify_offset = req->notify_offset;
	msg->notify_port = req->notify_port;
	msg->n = n;
	rc = hx_client_call(&h->client, -1, &mem_fd);
	if (!rc) {
		r->ids[r->n_ids++] = msg->id;
		memcpy(req->refs + done, msg->v, n * sizeof(msg->v[0]));
		rc = hx_region_fill(r, done, mem_fd, msg->v + n, n, PROT_READ | PROT_WRITE);
		close(mem_fd);
	}
	hx_client_end(&h->client);
	return rc;
}

static void *share(struct xengntdev_handle *h, const struct share_request *req)
{
	struct hx_region *r = hx_region_new(req->count, (req->count + HX_CHUNK - 1) / HX_CHUNK);
	int rc = 0;

	if (!r)
		return NULL;
	for (uint32_t done = 0, n; done < req->count && !rc; done += n) {
		n = req->count - done < HX_CHUNK ? req->count - done : HX_CHUNK;
		rc = share_chunk(h, r, req, done, n);
	}
	if (rc) {
		hx_region_close(&h->client, r, HX_UNSHARE);
		errno = -rc;
		return NULL;
	}
	pthread_mutex_lock(&h->client.lock);
	r->next = h->regions;
	h->regions = r;
	pthread_mutex_unlock(&h->client.lock);
	return r->addr;
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs,
			    int writable)
{
	struct share_request req = { domid,    (uint32_t)count, refs,
				     writable, HX_NO_NOTIFY,	HX_NO_NOTIFY };

	if (count <= 0) {
		errno = EINVAL;
		return NULL;
	}
	return share(xgs, &req);
}

void *xengntshr_share_page_notify(xengntshr_handle *xgs, uint32_t domid, uint32_t *ref,
				  int writable, uint32_t notify_offset, evtchn_port_t notify_port)
{
	struct share_request req = { domid, 1, ref, writable, notify_offset, notify_port };

	return share(xgs, &req);
}

/* The region that holds all of [addr, addr + count pages), or NULL. */
static struct hx_region *find_part(struct xengntdev_handle *h, const uint8_t *addr, uint32_t count)
{
	for (struct hx_region *r = h->regions; r; r = r->next)
		if (addr >= r->addr && count <= r->n &&
		    addr + ((size_t)count << HX_PAGE_SHIFT) <=
			r->addr + ((size_t)r->n << HX_PAGE_SHIFT))
			return r;
	return NULL;
}

/* Takes pages away; their address space is kept, so that nothing else comes to
 * lie there before the whole region goes. */
static int remove_part(struct hx_region *r, uint8_t *addr, uint32_t count)
{
	size_t first = (size_t)(addr - r->addr) >> HX_PAGE_SHIFT;

	if (!r->gone)
		r->gone = calloc(r->n, sizeof(*r->gone));
	if (!r->gone)
		return -ENOMEM;
	if (mmap(addr, (size_t)count << HX_PAGE_SHIFT, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -errno;
	for (uint32_t i = 0; i < count; i++) {
		r->n_gone += !r->gone[first + i];
		r->gone[first + i] = true;
	}
	return 0;
}

/* munmap() of a gntalloc mapping: the grants go with its last page. */
int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count)
{
	struct hx_region *r;
	int rc = -EINVAL;

	pthread_mutex_lock(&xgs->client.lock);
	r = count ? find_part(xgs, start_address, count) : NULL;
	if (r)
		rc = remove_part(r, start_address, count);
	if (rc || r->n_gone < r->n)
		r = NULL;
	else
		hx_region_find(&xgs->regions, r->addr);
	pthread_mutex_unlock(&xgs->client.lock);
	if (r)
		rc = hx_region_close(&xgs->client, r, HX_UNSHARE);
	return rc ? fail(rc) : 0;
}
