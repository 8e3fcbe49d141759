/* SPDX-License-Identifier: MIT */
/* See static_grants.h. */
#include "static_grants.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_GREF(e) ((uint32_t)(e))

/* ---- finding ---- */

static uint32_t bucket_of(uint32_t gref)
{
	static_assert(STATIC_GRANTS_MAX == 1u << 9, "a bucket's number has 9 bits");
	return (gref * 0x9e3779b1u) >> (32 - 9); /* Knuth's multiplicative hash */
}

void static_index_init(struct static_index *ix)
{
	memset(ix, 0, sizeof(*ix));
}

int static_index_find(const struct static_index *ix, const uint64_t entry[], uint32_t gref)
{
	uint16_t i = ix->bucket[bucket_of(gref)];

	while (i && ENTRY_GREF(entry[i - 1]) != gref)
		i = ix->next[i - 1];
	return (int)i - 1;
}

void static_index_insert(struct static_index *ix, const uint64_t entry[], uint32_t i)
{
	uint16_t *first = &ix->bucket[bucket_of(ENTRY_GREF(entry[i]))];

	ix->next[i] = *first;
	*first = (uint16_t)(i + 1);
}

void static_index_remove(struct static_index *ix, const uint64_t entry[], uint32_t i)
{
	uint16_t *at = &ix->bucket[bucket_of(ENTRY_GREF(entry[i]))];

	while (*at != i + 1)
		at = &ix->next[*at - 1];
	*at = ix->next[i];
}

/* ---- in words ---- */

static uint32_t run_length(const struct static_list *l, uint32_t i)
{
	uint32_t n = 1;

	while (i + n < STATIC_GRANTS_MAX && ENTRY_GREF(l->entry[i]) <= UINT32_MAX - n &&
	       l->entry[i + n] == l->entry[i] + n)
		n++;
	return n;
}

bool static_list_print(const struct static_list *l, char text[STATIC_TEXT_SIZE])
{
	size_t size;
	int n;

	size = (size_t)snprintf(text, STATIC_TEXT_SIZE, "@%u,%u,%u ", l->made, l->request, l->data);
	for (uint32_t i = 0, run; i < STATIC_GRANTS_MAX; i += run) {
		uint32_t first = ENTRY_GREF(l->entry[i]);

		run = run_length(l, i);
		if (!l->entry[i])
			continue;
		n = snprintf(text + size, STATIC_TEXT_SIZE - size, run > 1 ? "%s%u-%u " : "%s%u ",
			     l->entry[i] & STATIC_GRANT_READONLY ? "r" : "", first,
			     first + run - 1);
		if (n < 0 || (size_t)n >= STATIC_TEXT_SIZE - size)
			return false;
		size += (size_t)n;
	}
	return true;
}

static bool parse_uint(const char **at, uint32_t *out)
{
	unsigned long value;
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	value = strtoul(*at, &end, 10);
	*at = end;
	*out = (uint32_t)value;
	return value <= UINT32_MAX;
}

static bool parse_number(const char **at, char end, uint32_t *out)
{
	return parse_uint(at, out) && *(*at)++ == end;
}

static bool parse_run(struct static_list *l, const char **at, struct static_index *ix)
{
	uint64_t flags = STATIC_GRANT_USED;
	uint32_t first, last;

	if (**at == 'r') {
		flags |= STATIC_GRANT_READONLY;
		(*at)++;
	}
	if (!parse_uint(at, &first))
		return false;
	last = first;
	if (**at == '-') {
		(*at)++;
		if (!parse_uint(at, &last))
			return false;
	}
	if (*(*at)++ != ' ' || last < first || last - first >= STATIC_GRANTS_MAX - l->n)
		return false;
	for (uint32_t k = 0; k <= last - first; k++) {
		if (static_index_find(ix, l->entry, first + k) >= 0)
			return false;
		l->entry[l->n] = flags | (first + k);
		static_index_insert(ix, l->entry, l->n++);
	}
	return true;
}

bool static_list_parse(struct static_list *l, const char *text)
{
	struct static_index ix;
	bool ok = *text++ == '@' && parse_number(&text, ',', &l->made) &&
		  parse_number(&text, ',', &l->request) && parse_number(&text, ' ', &l->data);

	static_index_init(&ix);
	while (ok && *text)
		ok = parse_run(l, &text, &ix);
	if (!ok)
		memset(l, 0, sizeof(*l));
	return ok;
}

/* ---- mapping ---- */

void static_grants_init(struct static_grants *s, struct grants *grants, uint16_t domid,
			struct static_lists *lists, bool resume)
{
	memset(s, 0, sizeof(*s));
	s->grants = grants;
	s->domid = domid;
	s->lists = lists;
	s->phase = resume && static_lists_active(lists)->n ? STATIC_RESUME : STATIC_IDLE;
	static_index_init(&s->index);
}

static int map_entry(struct static_grants *s, uint32_t i, uint64_t entry)
{
	void *page;
	int err = grant_map_static(s->grants, s->domid, ENTRY_GREF(entry),
				   entry & STATIC_GRANT_READONLY, &page);

	if (err)
		return err;
	s->entry[i] = entry;
	s->page[i] = page;
	static_index_insert(&s->index, s->entry, i);
	s->n_mapped++;
	s->n_writable += !(entry & STATIC_GRANT_READONLY);
	return 0;
}

static void unmap_entry(struct static_grants *s, uint32_t i)
{
	if (!s->entry[i])
		return;
	if (s->on_unmap)
		s->on_unmap(s->on_unmap_arg, i);
	s->n_writable -= !(s->entry[i] & STATIC_GRANT_READONLY);
	static_index_remove(&s->index, s->entry, i);
	grant_unmap_static(s->grants, s->page[i]);
	s->entry[i] = 0;
	s->page[i] = NULL;
	s->n_mapped--;
}

bool static_grants_release(struct static_grants *s)
{
	s->phase = STATIC_IDLE;
	s->apply_due = false;
	for (uint32_t i = 0, n = 0; s->n_mapped && i < STATIC_GRANTS_MAX; i++) {
		if (s->entry[i] && n++ == STATIC_GRANTS_STEP)
			return true;
		unmap_entry(s, i);
	}
	return false;
}

void static_grants_fini(struct static_grants *s)
{
	while (static_grants_release(s))
		;
}

void static_grants_apply(struct static_grants *s)
{
	s->apply_due = true;
}

static void begin(struct static_grants *s, enum static_phase phase)
{
	s->phase = phase;
	s->at = 0;
}

/* What the phase does about entry i. Returns whether it took a call to Xen. */
static bool step_entry(struct static_grants *s, uint32_t i)
{
	uint64_t active = static_lists_active(s->lists)->entry[i];
	uint64_t next;

	switch (s->phase) {
	case STATIC_RESUME:
		return active && (map_entry(s, i, active), true);
	case STATIC_MAP: /* only now is the next list complete */
		next = static_lists_next(s->lists)->entry[i];
		if (active || !next)
			return false;
		s->error = map_entry(s, i, next);
		return true;
	case STATIC_UNDO:
	case STATIC_RELEASE:
		if (active || !s->entry[i])
			return false;
		unmap_entry(s, i);
		return true;
	default:
		return false;
	}
}

/* The phase is through all entries: goes on with the next one. Returns whether the list
 * that was to be applied is, or has failed to be. */
static bool end_phase(struct static_grants *s)
{
	switch (s->phase) {
	case STATIC_MAP:
		__atomic_store_n(&s->lists->active, !s->lists->active, __ATOMIC_RELEASE);
		begin(s, STATIC_RELEASE);
		return false;
	case STATIC_UNDO:
	case STATIC_RELEASE:
		s->phase = STATIC_IDLE;
		__atomic_fetch_add(&s->lists->n_ended, 1, __ATOMIC_RELEASE);
		return true;
	default:
		s->phase = STATIC_IDLE;
		return false;
	}
}

bool static_grants_step(struct static_grants *s, int *status)
{
	uint32_t n = 0;

	if (s->phase == STATIC_IDLE && s->apply_due) {
		s->apply_due = false;
		s->error = 0;
		(void)__atomic_load_n(&s->lists->n_staged, __ATOMIC_ACQUIRE);
		begin(s, STATIC_MAP);
	}
	while (s->phase != STATIC_IDLE && n < STATIC_GRANTS_STEP) {
		if (s->at == STATIC_GRANTS_MAX) {
			if (end_phase(s)) {
				*status = s->error;
				return true;
			}
			continue;
		}
		n += step_entry(s, s->at++);
		if (s->phase == STATIC_MAP && s->error)
			begin(s, STATIC_UNDO);
	}
	return false;
}

/* ---- using ---- */

int static_grants_writable(const struct static_grants *s, uint32_t gref)
{
	int i = static_index_find(&s->index, s->entry, gref);

	return i >= 0 && !(s->entry[i] & STATIC_GRANT_READONLY) ? i : -1;
}

/* GNTST_* of a copy of op->len bytes at 'offset' of entry i's page. */
static int16_t copy_page(const struct static_grants *s, uint32_t i, const grant_op *op,
			 bool to_guest)
{
	uint16_t offset = to_guest ? op->dest.foreign.offset : op->source.foreign.offset;

	if (offset + (uint32_t)op->len > XEN_PAGE)
		return GNTST_bad_copy_arg;
	if (!to_guest)
		memcpy(op->dest.virt, s->page[i] + offset, op->len);
	else if (s->entry[i] & STATIC_GRANT_READONLY)
		return GNTST_permission_denied;
	else
		memcpy(s->page[i] + offset, op->source.virt, op->len);
	return GNTST_okay;
}

uint32_t static_grants_copy(const struct static_grants *s, grant_op ops[], uint32_t n,
			    uint16_t rest[])
{
	uint32_t n_rest = 0;

	for (uint32_t k = 0; k < n; k++) {
		bool to_guest = ops[k].flags & GNTCOPY_dest_gref;
		uint32_t gref = to_guest ? ops[k].dest.foreign.ref : ops[k].source.foreign.ref;
		int i = static_index_find(&s->index, s->entry, gref);

		if (i < 0)
			rest[n_rest++] = (uint16_t)k;
		else
			ops[k].status = copy_page(s, (uint32_t)i, &ops[k], to_guest);
	}
	return n_rest;
}
