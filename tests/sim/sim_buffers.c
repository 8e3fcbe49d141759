/* SPDX-License-Identifier: MIT */
/* See sim_buffers.h. */
#include "tests/sim/sim_buffers.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096u

/* A page's name: its index, and how often that was used before. */
#define NAME(index, generation) ((nic_page)((generation) << 16 | (index)))

int sim_buffers_authorise(struct sim_buffers *b, uint32_t n_max, void *page, nic_page *out)
{
	assert((uintptr_t)page % PAGE == 0 && !sim_buffers_has(b, page));
	for (uint32_t i = 0; i < n_max; i++) {
		if (b->page[i].at)
			continue;
		b->page[i].at = page;
		*out = NAME(i, b->page[i].generation);
		return 0;
	}
	return -ENOSPC;
}

static uint8_t *page_of(const struct sim_buffers *b, nic_page name)
{
	uint32_t i = name & 0xffff;

	return i < NIC_PAGES && b->page[i].generation == name >> 16 ? b->page[i].at : NULL;
}

void sim_buffers_revoke(struct sim_buffers *b, nic_page page)
{
	assert(page_of(b, page));
	b->page[page & 0xffff].at = NULL;
	b->page[page & 0xffff].generation++;
}

bool sim_buffers_has(const struct sim_buffers *b, const void *page)
{
	for (uint32_t i = 0; i < NIC_PAGES; i++)
		if (b->page[i].at && b->page[i].at == page)
			return true;
	return false;
}

bool sim_buffers_is_empty(const struct sim_buffers *b)
{
	for (uint32_t i = 0; i < NIC_PAGES; i++)
		if (b->page[i].at)
			return false;
	return true;
}

uint32_t sim_buffers_post(struct sim_buffers *b, const struct nic_buffer buffers[], uint32_t n)
{
	n = MIN(n, SIM_POSTS - b->n_posted);
	for (uint32_t i = 0; i < n; i++)
		b->posted[(b->first + b->n_posted++) % SIM_POSTS] = buffers[i];
	return n;
}

uint32_t sim_buffers_reap(struct sim_buffers *b, struct nic_completion out[], uint32_t n)
{
	n = MIN(n, b->n_done);
	for (uint32_t i = 0; i < n; i++, b->n_done--)
		out[i] = b->done[b->first_done++ % ARRAY_SIZE(b->done)];
	return n;
}

void sim_buffers_recall(struct sim_buffers *b)
{
	b->n_posted = 0;
}

static struct nic_completion fill(struct sim_buffers *b, const struct nic_buffer *to,
				  const struct packet *p)
{
	uint8_t *page = page_of(b, to->page);

	if (!page || to->offset + (uint32_t)to->size > PAGE) {
		b->n_faults++;
		return (struct nic_completion){ .status = -EFAULT };
	}
	if (p->size > to->size)
		return (struct nic_completion){ .status = -EMSGSIZE };
	memcpy(page + to->offset, p->frame, p->size);
	return (struct nic_completion){ .size = p->size };
}

bool sim_buffers_write(struct sim_buffers *b, const struct packet *p, bool injected)
{
	struct nic_completion *done;

	if (!b->n_posted)
		return false;
	assert(b->n_done < ARRAY_SIZE(b->done));
	done = &b->done[(b->first_done + b->n_done++) % ARRAY_SIZE(b->done)];
	*done = fill(b, &b->posted[b->first], p);
	b->first = (b->first + 1) % SIM_POSTS;
	b->n_posted--;
	if (!injected)
		memcpy(done->source, p->frame + 6, sizeof(done->source));
	return true;
}
