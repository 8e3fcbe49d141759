/* SPDX-License-Identifier: MIT */
/* See model_iommu.h. */
#include "backend/nic/model_iommu.h"

#include <string.h>

#define INDEX_BITS	10
#define GENERATION_BITS (32 - INDEX_BITS)
#define GENERATION_MASK ((1u << GENERATION_BITS) - 1)
static_assert(MODEL_PAGES == 1u << INDEX_BITS, "a page's name is its index and its generation");

static uint64_t entry_of(const void *page, uint32_t generation)
{
	return (uint64_t)(uintptr_t)page / XEN_PAGE << GENERATION_BITS | generation;
}

static uint32_t index_of(nic_page name)
{
	return name & (MODEL_PAGES - 1);
}

/* The page of that name, or NULL. */
static uint8_t *find(const struct model_iommu *m, nic_page name)
{
	uint64_t entry = __atomic_load_n(&m->entry[index_of(name)], __ATOMIC_SEQ_CST);

	if ((entry & GENERATION_MASK) != name >> INDEX_BITS)
		return NULL;
	return (uint8_t *)(uintptr_t)((entry >> GENERATION_BITS) * XEN_PAGE);
}

void model_iommu_init(struct model_iommu *m)
{
	*m = (struct model_iommu){ .n_free = MODEL_PAGES };
	for (uint32_t i = 0; i < MODEL_PAGES; i++)
		m->free[i] = (uint16_t)(MODEL_PAGES - 1 - i);
}

int model_iommu_map(struct model_iommu *m, void *page, nic_page *out)
{
	uint32_t index, generation;

	if (!page || (uintptr_t)page % XEN_PAGE)
		return -EINVAL;
	if (!m->n_free)
		return -ENOSPC;
	index = m->free[--m->n_free];
	generation = (uint32_t)(m->entry[index] + 1) & GENERATION_MASK;
	__atomic_store_n(&m->entry[index], entry_of(page, generation), __ATOMIC_SEQ_CST);
	*out = generation << INDEX_BITS | index;
	return 0;
}

int model_iommu_unmap(struct model_iommu *m, nic_page name)
{
	uint32_t index = index_of(name);

	if (!find(m, name))
		return -ENOENT;
	__atomic_store_n(&m->entry[index], entry_of(NULL, name >> INDEX_BITS), __ATOMIC_SEQ_CST);
	m->free[m->n_free++] = (uint16_t)index;
	return 0;
}

int model_iommu_dma(const struct model_iommu *m, const struct nic_buffer *to, const void *from,
		    uint32_t size)
{
	uint8_t *page = find(m, to->page);

	if (!page || (uint32_t)to->offset + to->size > XEN_PAGE)
		return -EFAULT;
	if (size > to->size)
		return -EMSGSIZE;
	memcpy(page + to->offset, from, size);
	return 0;
}
