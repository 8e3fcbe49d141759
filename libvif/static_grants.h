/* SPDX-License-Identifier: MIT */
/*
 * Rank 2: static grants: pages a guest asked to keep mapped for one of its queues, through
 * which copies need no grant operation. netif.h "Static Grants".
 *
 * Which pages stands in two lists that take turns, in memory that outlives the process.
 * Whoever serves the control ring checks a request and writes the list it wants into the
 * one not in use; the queue's owner maps what is new, makes that list the active one with
 * a single store, and only then unmaps what is gone. So a kill at any instant leaves the
 * old list or the new one, and a request that fails leaves the old.
 *
 * Trust: grant references are the guest's word, Xen judges them when they are mapped. The
 * pages stay the guest's: they change at any instant, so what is read from them is copied
 * once, to where nobody else writes, and checked there. The lists are ours.
 */
#ifndef VIF_STATIC_GRANTS_H
#define VIF_STATIC_GRANTS_H

#include "base.h"
#include "grant.h"

/* Of one queue: as many as a list page of the guest's names, struct xen_netif_gref. */
#define STATIC_GRANTS_MAX 512u

/* An entry in use: the grant reference and these bits. Free: 0. */
#define STATIC_GRANT_USED     (1ull << 63)
#define STATIC_GRANT_READONLY (1ull << 32)

struct static_list {
	uint32_t n; /* entries in use */
	/* The request that made the list, and what to answer it: for whoever finds it done
	 * and not yet answered. */
	uint32_t made;	  /* its type; 0: none did */
	uint32_t request; /* its index on the control ring */
	uint32_t data;
	uint64_t entry[STATIC_GRANTS_MAX];
};

struct static_lists {
	uint32_t active; /* index into list[] */
	/* How often a next list was complete, and how often one was done with: the two threads
	 * see each other's lists by these, since the word between them goes another way. */
	uint32_t n_staged, n_ended;
	struct static_list list[2];
};

static inline const struct static_list *static_lists_active(const struct static_lists *l)
{
	return &l->list[__atomic_load_n(&l->active, __ATOMIC_ACQUIRE)];
}

/* The one to write, while nobody applies it. */
static inline struct static_list *static_lists_next(struct static_lists *l)
{
	return &l->list[!__atomic_load_n(&l->active, __ATOMIC_ACQUIRE)];
}

/* The next list is complete: for its owner to apply. */
static inline void static_lists_stage(struct static_lists *l)
{
	__atomic_fetch_add(&l->n_staged, 1, __ATOMIC_RELEASE);
}

/* Its owner said that it is done with it. */
static inline void static_lists_end(struct static_lists *l)
{
	(void)__atomic_load_n(&l->n_ended, __ATOMIC_ACQUIRE);
}

/* A list in words, for another process: made, request and data, then runs of references in
 * order, "r" before those that are read-only: "@9,77,0 700-955 r956-1211 9 ". */
#define STATIC_TEXT_SIZE 4000u

/* False: it does not fit. */
bool static_list_print(const struct static_list *l, char text[STATIC_TEXT_SIZE]) must_check;
/* Into a zeroed list, which stays so if the text is not such a list (false). */
bool static_list_parse(struct static_list *l, const char *text) must_check;

/* Finds entries by grant reference. A guest can choose references that all fall into one
 * bucket: a look-up then costs it about a microsecond. */
struct static_index {
	uint16_t bucket[STATIC_GRANTS_MAX]; /* 1 + its first entry; 0: empty */
	uint16_t next[STATIC_GRANTS_MAX];   /* alike */
};

void static_index_init(struct static_index *ix);
/* The entry's number, or -1. */
int static_index_find(const struct static_index *ix, const uint64_t entry[], uint32_t gref);
/* Precondition: entry[i] is in use and its reference not found. */
void static_index_insert(struct static_index *ix, const uint64_t entry[], uint32_t i);
void static_index_remove(struct static_index *ix, const uint64_t entry[], uint32_t i);

/* Mapped or unmapped in one go: some 100 us of a worker's time on Xen. */
#define STATIC_GRANTS_STEP 16u

enum static_phase {
	STATIC_IDLE,
	STATIC_RESUME,	/* mapping again what an earlier process had mapped */
	STATIC_MAP,	/* mapping what the next list has and the active one has not */
	STATIC_UNDO,	/* that failed: unmapping it */
	STATIC_RELEASE, /* unmapping what the list before had and the active one has not */
};

/* One queue's mapped pages. Owner: the queue's worker. */
struct static_grants {
	struct grants *grants;
	uint16_t domid;
	struct static_lists *lists;
	enum static_phase phase;
	uint32_t at;	/* where the phase stands */
	int error;	/* of STATIC_UNDO */
	bool apply_due; /* the next list is to be applied */
	uint32_t n_mapped, n_writable;
	/* Called before entry i's page is unmapped: whoever else uses it is to let go of it. */
	void (*on_unmap)(void *arg, uint32_t i);
	void *on_unmap_arg;
	struct static_index index;
	uint64_t entry[STATIC_GRANTS_MAX]; /* 0: not mapped */
	uint8_t *page[STATIC_GRANTS_MAX];
};

/* 'resume': the active list is to be mapped again, by and by. What cannot be mapped then
 * is copied like any other grant. on_unmap is the caller's to set. */
void static_grants_init(struct static_grants *s, struct grants *grants, uint16_t domid,
			struct static_lists *lists, bool resume);

/* The entry whose page 'gref' names, if that is mapped and writable; else -1. */
int static_grants_writable(const struct static_grants *s, uint32_t gref) must_check;

/* Unmaps some. Returns whether any are left: then call it again, or static_grants_fini(). */
bool static_grants_release(struct static_grants *s) must_check;

/* Unmaps all. The lists stay. */
void static_grants_fini(struct static_grants *s);

/* The next list is staged: to be applied. */
void static_grants_apply(struct static_grants *s);

static inline bool static_grants_busy(const struct static_grants *s)
{
	return s->phase != STATIC_IDLE || s->apply_due;
}

/*
 * Does a part of what is to be done. Returns whether it has come to the end of a list that
 * was to be applied, with *status 0 or -errno (then the active list and what is mapped are
 * as before).
 */
bool static_grants_step(struct static_grants *s, int *status) must_check;

/*
 * Performs those of the n copies that a mapped page allows, with a status for each. The
 * numbers of the others go to rest[]: those are for grant_copy(). Returns how many.
 */
uint32_t static_grants_copy(const struct static_grants *s, grant_op ops[], uint32_t n,
			    uint16_t rest[]) must_check;

#endif
