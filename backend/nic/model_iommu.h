/* SPDX-License-Identifier: MIT */
/*
 * Rank 61: the pages of one place that the device may write to, and the one function by which
 * it writes to any memory that is not its own.
 *
 * Trust boundary: a descriptor says what it likes. It names a page by number and generation;
 * what is not in the table under just that name is refused, so a page that was revoked stays
 * out of reach though its number be used anew.
 *
 * map and unmap are the worker's, dma the device's. That no write is under way any more after
 * an unmap is for the queue to say (model_hw_quiesce()).
 */
#ifndef VIF_NIC_MODEL_IOMMU_H
#define VIF_NIC_MODEL_IOMMU_H

#include "backend/nic/nic.h"

/* Makes of the name of a page that of another, for as long as names were not used up. */
#define MODEL_PAGE_OTHER BIT(31)

#define MODEL_PAGES 1024u /* of a place: static grants and bounce buffers of a queue */

struct model_iommu {
	uint64_t entry[MODEL_PAGES]; /* number of a page of memory, 0: none; then a generation */
	uint16_t free[MODEL_PAGES];  /* [n_free] */
	uint32_t n_free;
};

void model_iommu_init(struct model_iommu *m);

/* 0, -ENOSPC, or -EINVAL: no page. */
int model_iommu_map(struct model_iommu *m, void *page, nic_page *out) must_check;

/* 0 or -ENOENT: no such page is mapped. */
int model_iommu_unmap(struct model_iommu *m, nic_page name) must_check;

/* Writes 'size' bytes to where 'to' says. 0; -EFAULT: not a page of the table's, or not within
 * it; -EMSGSIZE: they are more than its buffer holds. Nothing was written then. */
int model_iommu_dma(const struct model_iommu *m, const struct nic_buffer *to, const void *from,
		    uint32_t size) must_check;

#endif
