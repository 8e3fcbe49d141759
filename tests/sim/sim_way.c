/* SPDX-License-Identifier: MIT */
/* See sim_way.h. */
#include "tests/sim/sim_way.h"

#include <stdlib.h>
#include <string.h>

#include "backend/nic/nic.h"

static struct sim_way_frame *first, **last = &first;

void sim_way_enter(uint32_t domid, uint32_t queue, ino_t place, bool tag_off, const uint8_t *frame,
		   size_t size)
{
	struct sim_way_frame *f = malloc(sizeof(*f) + size);

	assert(f);
	*f = (struct sim_way_frame){ .domid = domid,
				     .queue = queue,
				     .place = place,
				     .tag_off = tag_off,
				     .due_ns = UINT64_MAX,
				     .size = size };
	memcpy(f->bytes, frame, size);
	*last = f;
	last = &f->next;
}

uint32_t sim_way_n(uint32_t domid)
{
	uint32_t n = 0;

	for (const struct sim_way_frame *f = first; f; f = f->next)
		n += f->domid == domid;
	return n;
}

void sim_way_settled(uint64_t now_ns)
{
	for (struct sim_way_frame *f = first; f; f = f->next)
		f->due_ns = MIN(f->due_ns, now_ns + NIC_SETTLE_NS);
}

static struct sim_way_frame *take(struct sim_way_frame **at)
{
	struct sim_way_frame *f = *at;

	*at = f->next;
	if (!*at)
		last = at;
	return f;
}

/* Nothing sorted the same way is before it: it is the first of its way. */
static bool is_first(const struct sim_way_frame *f)
{
	const struct sim_way_frame *before = first;

	while (before != f && (before->domid != f->domid || before->place != f->place))
		before = before->next;
	return before == f;
}

struct sim_way_frame *sim_way_leave(uint64_t now_ns, bool any)
{
	struct sim_way_frame **picked = NULL;
	uint32_t n = 0;

	for (struct sim_way_frame **at = &first; *at; at = &(*at)->next) {
		if ((*at)->due_ns <= now_ns)
			return take(at); /* what is before it on its way was due before */
		if (any && is_first(*at) && (uint32_t)random() % ++n == 0)
			picked = at;
	}
	return picked ? take(picked) : NULL;
}

void sim_way_clear(void)
{
	while (first)
		free(take(&first));
}
