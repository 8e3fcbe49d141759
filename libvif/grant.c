/* SPDX-License-Identifier: MIT */
/*
 * Guests' memory through libxengnttab. What a grant allows, Xen checks; what a
 * mapped or copied byte means is the caller's to distrust.
 */
#include "grant.h"
#include "log.h"

#include <string.h>
#include <sys/mman.h>

int grants_open(struct grants *g)
{
	*g = (struct grants){ .handle = xengnttab_open(NULL, 0),
			      .static_budget = GRANTS_STATIC_BUDGET };
	return g->handle ? 0 : -errno;
}

void grants_close(struct grants *g)
{
	if (g->handle)
		xengnttab_close(g->handle);
	g->handle = NULL;
}

int grant_map(struct grants *g, uint16_t domid, uint32_t gref, void **out)
{
	*out = xengnttab_map_grant_ref(g->handle, domid, gref, PROT_READ | PROT_WRITE);
	return *out ? 0 : -errno;
}

static void unmap(struct grants *g, void *pages, uint32_t n)
{
	if (xengnttab_unmap(g->handle, pages, n) != 0)
		log_error(LOG_NOBODY, "cannot unmap %u granted pages: %s", n, strerror(errno));
}

void grant_unmap(struct grants *g, void *page)
{
	unmap(g, page, 1);
}

int grant_map_static(struct grants *g, uint16_t domid, uint32_t gref, bool readonly, void **out)
{
	if (!g->static_budget)
		return -ENOSPC;
	*out = xengnttab_map_grant_ref(g->handle, domid, gref,
				       readonly ? PROT_READ : PROT_READ | PROT_WRITE);
	if (!*out)
		return -errno;
	g->static_budget--;
	return 0;
}

void grant_unmap_static(struct grants *g, void *page)
{
	grant_unmap(g, page);
	g->static_budget++;
}

/*
 * Where a mapping comes is the kernel's choice: at the top of the highest gap that fits it. So a
 * piece of addresses that has the room is looked for, and all that is higher and fits the mapping
 * occupied meanwhile. The kernel may go further down than it has to, for huge pages.
 */
#define GAPS_MAX 256u
#define ALIGNED	 (2ul << 20)

struct gap {
	uint8_t *start;
	size_t size;
};

static bool take(struct gap *out, uint8_t *at, size_t size)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *p = mmap(at, size, PROT_NONE, at ? flags | MAP_FIXED_NOREPLACE : flags, -1, 0);

	if (p == MAP_FAILED)
		return false;
	*out = (struct gap){ p, size };
	return true;
}

static void give(const struct gap *g)
{
	munmap(g->start, g->size);
}

/* What is free right below g is g's as well: the largest pieces first. */
static void take_below(struct gap *g)
{
	struct gap below;

	for (size_t size = ALIGNED; size >= XEN_PAGE;) {
		if (take(&below, g->start - size, size))
			*g = (struct gap){ below.start, g->size + size };
		else
			size /= 2;
	}
}

/* Returns how many. */
static uint32_t occupy_gaps(size_t size, size_t room, struct gap gap[GAPS_MAX])
{
	const size_t least = MIN(size, ALIGNED - XEN_PAGE); /* no huge pages for these */
	struct gap piece;
	uint32_t n = 0;

	if (!room || !take(&piece, NULL, size + room + ALIGNED))
		return 0;
	while (n < GAPS_MAX && take(&gap[n], NULL, least)) {
		if (gap[n].start < piece.start) {
			give(&gap[n]);
			break;
		}
		take_below(&gap[n++]);
	}
	give(&piece);
	return n;
}

int grant_map_many(struct grants *g, uint16_t domid, const uint32_t grefs[], uint32_t n,
		   size_t room, void **out)
{
	const size_t size = (size_t)n * XEN_PAGE;
	struct gap gap[GAPS_MAX];
	uint32_t n_gaps;
	int err = 0;

	*out = NULL;
	if (n > g->static_budget)
		return -ENOSPC;
	n_gaps = occupy_gaps(size, room, gap);
	/* One request is one mapping; it only reads the references (xengnttab.h). */
	*out = xengnttab_map_domain_grant_refs(g->handle, n, domid, (uint32_t *)(uintptr_t)grefs,
					       PROT_READ | PROT_WRITE);
	if (!*out)
		err = -errno;
	while (n_gaps)
		give(&gap[--n_gaps]);
	if (!err)
		g->static_budget -= n;
	return err;
}

void grant_unmap_many(struct grants *g, void *pages, uint32_t n)
{
	unmap(g, pages, n);
	g->static_budget += n;
}

int grant_copy(struct grants *g, grant_op ops[], uint32_t n)
{
	/* The library sets the statuses only of what the kernel got to. */
	for (uint32_t i = 0; i < n; i++)
		ops[i].status = GNTST_general_error;
	g->n_copy_calls++;
	g->n_copy_ops += n;
	return xengnttab_grant_copy(g->handle, n, ops) == 0 ? 0 : -errno;
}
