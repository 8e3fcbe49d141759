/* SPDX-License-Identifier: MIT */
/* See slices.h. */
#include "backend/vifbench/slices.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLICE_US 1000

/*
 * Before slices their path comes to what it is when it is used without end. A pause lets run what
 * else is due, and takes from us the scheduler's memory of what we did on the path before; who
 * carries packets has slept meanwhile, and would be let run at each packet until the balance is
 * even, which takes some milliseconds. So other threads' paths are warmed up as long as that, and
 * several slices taken in a row; where there are none but us, a moment brings back the caches.
 */
#define PAUSE_NS      50000
#define WARM_US	      4000
#define WARM_ALONE_US 125
#define IN_A_ROW      4u

/* How long a slice waits for a neighbour to be done: mostly some ten milliseconds. */
#define PATIENCE_MS 50

/* Samples are few a slice: this many together. */
#define SLICES_SAMPLED 32u

struct slice {
	struct load_result result;
	struct who_spent spent;
	double hidden; /* cycles nobody of the lab spent */
	bool quiet;
};

/* ---- one slice ---- */

static double cycles_of(const struct who_spent *s)
{
	double ns = 0;

	for (enum part i = 0; i < PART_N; i++)
		ns += (double)s->ns[i];
	return ns * tsc_hz() / 1e9;
}

static int measure(struct rows *r, struct path *p, const struct load *l, struct slice *out)
{
	uint64_t quiet_before = calibration(), quiet_after;
	struct who_spent before, after;
	double all, free;
	int err;

	who_read(&r->who, &before);
	err = load_run(p, l, UINT32_MAX, SLICE_US, &out->result);
	who_read(&r->who, &after);
	quiet_after = calibration();
	if (err)
		return err;
	for (enum part i = 0; i < PART_N; i++)
		out->spent.ns[i] = after.ns[i] - before.ns[i];
	all = (double)(after.at - before.at);
	out->hidden = MAX(all - cycles_of(&out->spent), 0);
	out->quiet = !out->result.n_lost &&
		     !rows_disturbed(r, MAX(quiet_before, quiet_after), out->hidden / all);
	/* What hardware would do is told, and costs nobody; nor does what nobody did. */
	free = (double)(out->spent.ns[PART_NIC] + out->spent.ns[PART_IDLE]) * tsc_hz() / 1e9;
	out->result.cycles -= (uint64_t)MIN(free, (double)out->result.cycles);
	return 0;
}

/* What would be measured now is thrown away anyhow. A machine that is never quiet is not waited
 * for longer than half of the time there is: then what it has must do. */
static void await_quiet(struct rows *r)
{
	uint64_t most = MIN((uint64_t)(tsc_hz() / 1e3 * PATIENCE_MS), r->patience);
	uint64_t begin = tsc_now(), waited = 0;

	while (waited < most) {
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
		waited = tsc_now() - begin;
		if (!rows_disturbed(r, calibration(), 0))
			break;
	}
	r->patience -= MIN(waited, r->patience);
}

static void keep_slice(struct measured *m, const struct slice *slice)
{
	struct pile *pile = &m->pile[slice->quiet];
	struct sums *sums = slice->quiet ? &m->quiet : &m->loud;
	double n = (double)MAX(slice->result.n_packets, 1);

	if (pile->n < SLICES_MAX)
		pile->slice[pile->n++] = (struct pile_slice){ (double)slice->result.cycles, n };
	sums->n_packets += slice->result.n_packets;
	sums->cycles += slice->result.cycles;
	sums->hidden += slice->hidden;
	for (enum part i = 0; i < PART_N; i++)
		sums->spent.ns[i] += slice->spent.ns[i];
	m->n_lost += slice->result.n_lost;
}

static int take_row(struct slices *s, struct rows *r, enum path_kind kind)
{
	bool alone = kind <= PATH_NATIVE;
	struct load_result warm;
	struct slice slice;
	int err = load_run(&r->path[kind], &s->load[kind], UINT32_MAX,
			   alone ? WARM_ALONE_US : WARM_US, &warm);

	for (uint32_t i = 0; !err && i < (alone ? 1 : IN_A_ROW); i++) {
		err = measure(r, &r->path[kind], &s->load[kind], &slice);
		if (!err)
			keep_slice(&s->path[kind], &slice);
	}
	return err;
}

static int take_some(struct slices *s, struct rows *r, enum path_kind kind)
{
	struct path *p = &r->path[kind];
	int err, end;

	if (!s->wanted[kind])
		return 0;
	err = path_begin(p);
	await_quiet(r);
	if (!err)
		err = take_row(s, r, kind);
	end = path_end(p);
	return err ? err : end;
}

/* ---- all paths ---- */

static int take_references(struct slices *s, struct rows *r)
{
	int err = take_some(s, r, PATH_SINK);

	return err ? err : take_some(s, r, PATH_NATIVE);
}

static int take_turn(struct slices *s, struct rows *r)
{
	int err = 0;

	for (int k = PATH_NATIVE + 1; !err && k < PATH_N; k++) {
		if (!s->wanted[k])
			continue;
		err = take_references(s, r);
		if (!err)
			err = take_some(s, r, (enum path_kind)k);
	}
	return err ? err : take_references(s, r);
}

static bool full(const struct slices *s)
{
	for (int k = 0; k < PATH_N; k++)
		if (s->wanted[k] && s->path[k].pile[true].n < SLICES_MAX)
			return false;
	return true;
}

int slices_take(struct slices *s, struct rows *r)
{
	int err;

	do
		err = take_turn(s, r);
	while (!err && !full(s) && tsc_now() < r->end);
	return err;
}

static int compare(const void *a, const void *b)
{
	const struct pile_slice *x = a, *y = b;
	double left = x->cycles * y->packets, right = y->cycles * x->packets;

	return (left > right) - (left < right);
}

double slices_cost(struct slices *s, enum path_kind kind, bool *quiet)
{
	struct pile *pile = &s->path[kind].pile[true], *loud = &s->path[kind].pile[false];
	double cycles = 0, packets = 0;

	*quiet = pile->n >= SLICES_QUIET_MIN &&
		 pile->n * SLICES_QUIET_OF >= pile->n + loud->n;
	if (!pile->n)
		pile = loud;
	qsort(pile->slice, pile->n, sizeof(*pile->slice), compare);
	for (uint32_t i = 0; i < (pile->n + 1) / 2; i++) {
		cycles += pile->slice[i].cycles;
		packets += pile->slice[i].packets;
	}
	return cycles / packets;
}

bool slices_begin(struct slices *s, struct rows *r, const struct load *l)
{
	bool any = false;

	memset(s, 0, sizeof(*s));
	for (int k = 0; k < PATH_N; k++) {
		s->load[k] = *l;
		if (k == PATH_SINK)
			s->load[k] = (struct load){ l->size, l->burst, 1, RECEIVE };
		s->wanted[k] = r->open[k] && load_possible(&r->path[k], &s->load[k]);
		any |= s->wanted[k] && k > PATH_NATIVE;
	}
	return any;
}

int slices_sample(struct slices *s, struct rows *r, enum path_kind kind, struct sampler_split *out)
{
	struct path *p = &r->path[kind];
	struct load_result got;
	int err = path_begin(p), end;

	sampler_begin(&r->sampler);
	if (!err)
		err = load_run(p, &s->load[kind], UINT32_MAX, SLICES_SAMPLED * SLICE_US,
			       &got);
	sampler_end(&r->sampler, &r->who, out);
	end = path_end(p);
	return err ? err : end;
}
