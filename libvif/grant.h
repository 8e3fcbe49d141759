/* SPDX-License-Identifier: MIT */
/*
 * Rank 2: guests' memory, through the grants they gave us.
 *
 * Pages that live as long as the vif (the rings) are mapped, and those a guest asks to
 * (static_grants.h), the latter in one piece too where a device is to write to them; other
 * frames are copied, many in one call. Further strategies
 * (architecture.md, "Getting at guest memory") will join behind these functions.
 *
 * A struct grants is one gntdev handle; owner: one worker thread. Never use one
 * that was opened before a fork.
 */
#ifndef VIF_GRANT_H
#define VIF_GRANT_H

#include <xengnttab.h>

#include "base.h"

struct grants {
	xengnttab_handle *handle;
	uint64_t n_copy_calls;
	uint64_t n_copy_ops;
	uint32_t static_budget; /* static grants that may still be mapped */
};

/* Unless told otherwise. */
#define GRANTS_STATIC_BUDGET 32768u

/* 0 or -errno (ENOENT, EACCES: no gntdev). */
int grants_open(struct grants *g) must_check;
void grants_close(struct grants *g);

/* Maps one granted page, readable and writable. The page is the guest's memory:
 * nothing in it may be trusted or read twice. 0 or -errno. */
int grant_map(struct grants *g, uint16_t domid, uint32_t gref, void **out) must_check;
void grant_unmap(struct grants *g, void *page);

/* The same for one more static grant, for reading only if so wished. -ENOSPC: the budget is
 * used up, which is all guests' together: the rings of others must find room. */
int grant_map_static(struct grants *g, uint16_t domid, uint32_t gref, bool readonly, void **out)
	must_check;
void grant_unmap_static(struct grants *g, void *page);

/* Maps n of a guest's pages as one piece of memory, in this order, readable and writable: for
 * whoever needs them so, a device. All or none; a page may be mapped otherwise as well. Counts
 * as n static grants. Below it there are 'room' bytes of addresses nobody has, as far as other
 * threads let that be. 0 or -errno, -ENOSPC as above. To be unmapped as one. */
int grant_map_many(struct grants *g, uint16_t domid, const uint32_t grefs[], uint32_t n,
		   size_t room, void **out) must_check;
void grant_unmap_many(struct grants *g, void *pages, uint32_t n);

/* A copy between our memory and a guest's page. One side has
 * GNTCOPY_source_gref or GNTCOPY_dest_gref set in flags. */
typedef xengnttab_grant_copy_segment_t grant_op;

static inline void grant_op_from_guest(grant_op *op, uint16_t domid, uint32_t gref, uint16_t offset,
				       void *to, uint16_t n_bytes)
{
	*op = (grant_op){ .source.foreign = { .ref = gref, .offset = offset, .domid = domid },
			  .dest.virt = to,
			  .len = n_bytes,
			  .flags = GNTCOPY_source_gref };
}

static inline void grant_op_to_guest(grant_op *op, uint16_t domid, uint32_t gref, uint16_t offset,
				     const void *from, uint16_t n_bytes)
{
	*op = (grant_op){ .source.virt = (void *)(uintptr_t)from,
			  .dest.foreign = { .ref = gref, .offset = offset, .domid = domid },
			  .len = n_bytes,
			  .flags = GNTCOPY_dest_gref };
}

/* Performs n copies in one batch; ops[i].status is GNTST_* for each. Always
 * returns with every status set: when the call itself fails, the operations not
 * known to have run are marked GNTST_general_error and -errno is returned. */
int grant_copy(struct grants *g, grant_op ops[], uint32_t n);

#endif
