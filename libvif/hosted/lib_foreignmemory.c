/* SPDX-License-Identifier: MIT */
/*
 * libxenforeignmemory on the hosted Xen, for domain 0. Frames are those of the
 * domain's hosted memory; resources are not provided (EOPNOTSUPP), a fixed
 * address neither.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenforeignmemory.h>
#include "client.h"

struct xenforeignmemory_handle {
	struct hx_client client;
	struct hx_region *regions;
};

static int fail(int rc)
{
	errno = -rc;
	return -1;
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
					       unsigned int open_flags)
{
	struct xenforeignmemory_handle *h = calloc(1, sizeof(*h));
	int rc = h ? hx_client_open(&h->client, HX_KIND_FOREIGN, NULL) : -ENOMEM;

	(void)logger;
	(void)open_flags;
	if (!rc)
		return h;
	free(h);
	errno = -rc;
	return NULL;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
	if (!fmem)
		return 0;
	hx_regions_unmap(&fmem->client, fmem->regions);
	hx_client_close(&fmem->client);
	free(fmem);
	return 0;
}

static int map_chunk(struct xenforeignmemory_handle *h, struct hx_region *r, uint32_t dom, int prot,
		     uint32_t done, uint32_t n, const xen_pfn_t arr[], int err[])
{
	struct hx_msg *msg = hx_client_begin(&h->client, HX_FOREIGN_MAP);
	int mem_fd, rc;

	msg->domid = dom;
	msg->n = msg->n_words = n;
	for (uint32_t i = 0; i < n; i++)
		msg->v[i] = arr[done + i] > UINT32_MAX ? UINT32_MAX : (uint32_t)arr[done + i];
	rc = hx_client_call(&h->client, -1, &mem_fd);
	if (!rc) {
		r->ids[r->n_ids++] = msg->id;
		for (uint32_t i = 0; i < n && !rc; i++) {
			uint32_t frame = (uint32_t)arr[done + i];

			err[done + i] = (int)msg->v[i];
			if (!msg->v[i])
				rc = hx_region_fill(r, done + i, mem_fd, &frame, 1, prot);
		}
		close(mem_fd);
	}
	hx_client_end(&h->client);
	return rc;
}

/* Per-page errors into err[]; 0 or -errno for the whole. */
static int map_all(struct xenforeignmemory_handle *h, struct hx_region *r, uint32_t dom, int prot,
		   const xen_pfn_t arr[], int err[])
{
	for (uint32_t done = 0, n; done < r->n; done += n) {
		int rc;

		n = r->n - done < HX_CHUNK ? r->n - done : HX_CHUNK;
		rc = map_chunk(h, r, dom, prot, done, n, arr, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int first_error(const int err[], size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		if (err[i])
			return -err[i];
	return 0;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom, void *addr, int prot,
			    int flags, size_t pages, const xen_pfn_t arr[], int err[])
{
	int *errs = err ? err : calloc(pages ? pages : 1, sizeof(*errs));
	struct hx_region *r = NULL;
	int rc = 0;

	(void)addr; /* a hint */
	if (!pages || pages > HX_DOM_PAGES)
		rc = -EINVAL;
	else if (flags & MAP_FIXED)
		rc = -EOPNOTSUPP;
	else if (errs)
		r = hx_region_new((uint32_t)pages, (uint32_t)(pages + HX_CHUNK - 1) / HX_CHUNK);
	if (!rc)
		rc = r ? map_all(fmem, r, dom, prot, arr, errs) : -ENOMEM;
	if (!rc && !err)
		rc = first_error(errs, pages);
	if (!err)
		free(errs);
	if (rc) {
		if (r)
			hx_region_close(&fmem->client, r, HX_FOREIGN_UNMAP);
		errno = -rc;
		return NULL;
	}
	pthread_mutex_lock(&fmem->client.lock);
	r->next = fmem->regions;
	fmem->regions = r;
	pthread_mutex_unlock(&fmem->client.lock);
	return r->addr;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
			   const xen_pfn_t arr[], int err[])
{
	return xenforeignmemory_map2(fmem, dom, NULL, prot, 0, pages, arr, err);
}

/* Whole mappings only. */
int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
	struct hx_region *r;
	int rc;

	pthread_mutex_lock(&fmem->client.lock);
	r = hx_region_find(&fmem->regions, addr);
	if (r && r->n != pages) {
		r->next = fmem->regions;
		fmem->regions = r;
		r = NULL;
	}
	pthread_mutex_unlock(&fmem->client.lock);
	if (!r)
		return fail(-EINVAL);
	rc = hx_region_close(&fmem->client, r, HX_FOREIGN_UNMAP);
	return rc ? fail(rc) : 0;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid)
{
	struct hx_msg *msg = hx_client_begin(&fmem->client, HX_RESTRICT);
	int rc;

	msg->domid = domid;
	rc = hx_client_call(&fmem->client, -1, NULL);
	hx_client_end(&fmem->client);
	return rc ? fail(rc) : 0;
}

xenforeignmemory_resource_handle *
xenforeignmemory_map_resource(xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
			      unsigned int id, unsigned long frame, unsigned long nr_frames,
			      void **paddr, int prot, int flags)
{
	(void)fmem, (void)domid, (void)type, (void)id, (void)frame, (void)nr_frames;
	(void)paddr, (void)prot, (void)flags;
	errno = EOPNOTSUPP;
	return NULL;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
				    xenforeignmemory_resource_handle *fres)
{
	(void)fmem, (void)fres;
	return fail(-EOPNOTSUPP);
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
				   unsigned int id, size_t *size)
{
	(void)fmem, (void)domid, (void)type, (void)id, (void)size;
	return fail(-EOPNOTSUPP);
}
