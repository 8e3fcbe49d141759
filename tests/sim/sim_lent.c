/* SPDX-License-Identifier: MIT */
/* See sim_lent.h. */
#include "tests/sim/sim_lent.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096u

static enum sim_lent_failure failure;
static uint32_t n_looks = SIM_LENT_LOOKS;
static bool stuck;

void sim_lent_fail(enum sim_lent_failure how)
{
	failure = how;
}

void sim_lent_init(struct sim_lent *l, const struct nic_memory *memory)
{
	memset(l, 0, sizeof(*l));
	if (!memory)
		return;
	assert(memory->start && (uintptr_t)memory->start % PAGE == 0);
	assert(memory->n_pages > 0 && memory->n_pages <= SIM_LENT_PAGES);
	l->start = memory->start;
	l->n_pages = memory->n_pages;
	for (uint32_t i = 0; i < l->n_pages; i++) /* it is there, and can be written to */
		__atomic_fetch_or(l->start + (size_t)i * PAGE, 0, __ATOMIC_RELAXED);
}

void sim_lent_fini(const struct sim_lent *l)
{
	assert(!l->start || (l->over && !l->n_looks));
	assert(!l->begun || l->n_reaped == MIN(l->n_filled, l->n_posted));
}

bool sim_lent_has(const struct sim_lent *l, const void *page)
{
	const uint8_t *at = page;

	return l->start && at >= l->start && at < l->start + (size_t)l->n_pages * PAGE;
}

void sim_lent_begin(struct sim_lent *l)
{
	assert(l->start && !l->begun);
	l->begun = true;
}

uint32_t sim_lent_post(struct sim_lent *l, const struct nic_buffer buffers[], uint32_t n)
{
	assert(l->begun && !l->over && n > 0);
	for (uint32_t i = 0; i < n; i++) {
		assert(buffers[i].page < l->n_pages && !l->posted[buffers[i].page]);
		assert(!buffers[i].offset && buffers[i].size == PAGE);
		l->posted[buffers[i].page] = true;
		l->page[l->n_posted++ % SIM_LENT_PAGES] = (uint16_t)buffers[i].page;
	}
	return n;
}

static uint8_t *page_at(const struct sim_lent *l, uint32_t i)
{
	return l->start + (size_t)l->page[i % SIM_LENT_PAGES] * PAGE;
}

bool sim_lent_fill(struct sim_lent *l, const uint8_t *frame, size_t size)
{
	uint32_t i = l->n_filled, at = i % SIM_LENT_PAGES;
	bool ours = i < SIM_LENT_OWN || i >= l->n_posted;

	assert(l->begun);
	if (l->over || size > SIM_LENT_MAX || (ours && i >= l->n_posted + SIM_LENT_OWN))
		return false;
	memcpy(ours ? l->own[at] : page_at(l, i) + SIM_LENT_OFFSET, frame, size);
	l->size[at] = (uint32_t)size;
	l->ours[at] = ours;
	l->n_filled++;
	return true;
}

void sim_lent_show(struct sim_lent *l, uint32_t n)
{
	l->n_shown += MIN(n, l->n_filled - l->n_shown);
}

bool sim_lent_is_done(const struct sim_lent *l)
{
	return l->n_reaped < MIN(l->n_shown, l->n_posted);
}

static void end(struct sim_lent *l)
{
	l->n_looks = l->over ? l->n_looks : MAX(n_looks, (uint32_t)stuck);
	l->over = true;
	sim_lent_show(l, UINT32_MAX);
}

uint32_t sim_lent_reap(struct sim_lent *l, struct nic_completion out[], uint32_t n)
{
	uint32_t got = 0;

	if (l->n_looks)
		return 0;
	for (; got < n && l->n_reaped < MIN(l->n_shown, l->n_posted); got++) {
		uint32_t i = l->n_reaped, n_of = i % SIM_LENT_PAGES, size = l->size[n_of];
		uint8_t *at = page_at(l, i) + SIM_LENT_OFFSET;

		if (failure == SIM_LENT_SKIPS) {
			failure = SIM_LENT_WORKS;
			l->skipped = true;
			end(l);
			break;
		}
		l->n_reaped++;
		if (l->ours[n_of])
			memcpy(at, l->own[n_of], size);
		out[got] = (struct nic_completion){ .size = size,
						    .offset = SIM_LENT_OFFSET,
						    .copied = l->ours[n_of] };
		memcpy(out[got].source, at + 6, sizeof(out[got].source));
		if (failure == SIM_LENT_LIES)
			out[got].offset = (uint16_t)(PAGE - size + 1);
		if (l->skipped)
			out[got] = (struct nic_completion){ .status = -ECANCELED };
		l->skipped = false;
		failure = SIM_LENT_WORKS;
		l->posted[l->page[i % SIM_LENT_PAGES]] = false;
	}
	return got;
}

void sim_lent_recall(struct sim_lent *l)
{
	assert(l->start);
	end(l);
}

void sim_lent_take_looks(uint32_t n)
{
	n_looks = n;
}

void sim_lent_get_stuck(bool on)
{
	stuck = on;
}

enum nic_hold sim_lent_hold(struct sim_lent *l)
{
	if (!l->over)
		return NIC_HOLDS;
	if (!l->n_looks)
		return NIC_LET_GO;
	l->n_looks -= !stuck;
	for (uint32_t i = l->n_filled; i < l->n_posted; i++)
		memset(page_at(l, i), 0xee, PAGE);
	return NIC_LETS_GO;
}

uint32_t sim_lent_left(const struct sim_lent *l, uint32_t i, uint8_t *to)
{
	const uint32_t at = i % SIM_LENT_PAGES;

	assert(l->over && i >= l->n_posted && l->ours[at]);
	memcpy(to, l->own[at], l->size[at]);
	return l->size[at];
}
