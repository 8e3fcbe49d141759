/* SPDX-License-Identifier: MIT */
/* See slices.h. */
#include "backend/vifbench/slices.h"

#include <string.h>
#include <time.h>

#define SLICE_MS 1.0

/* On a busy machine, or where packets are lost, fewer rounds must do. */
#define LIMIT_MS 260

/* How often a slice is taken at once until it is quiet. */
#define TRIES 3

/*
 * Before a slice its path comes to what it is when it is used without end. A pause lets run what
 * else is due, and takes from us the scheduler's memory of what we did on the path before; who
 * carries packets has slept meanwhile, and would be let run at each packet until the balance is
 * even. So other threads' paths are warmed up as long as the slice lasts; where there are none
 * but us, an eighth brings back the caches.
 */
#define PAUSE_NS   50000
#define WARM_ALONE 8u

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

static int load_it(struct path *p, const struct load *l, uint32_t n_rounds,
		   struct load_result *out)
{
	int err = path_begin(p), end;

	if (!err)
		err = load_run(p, l, n_rounds, LIMIT_MS, out);
	end = path_end(p);
	return err ? err : end;
}

/* How many rounds fill a slice if nobody disturbs: by the quickest of some tries, the first of
 * which warm up. */
static uint32_t rounds_for(struct path *p, const struct load *l)
{
	double wanted = tsc_hz() / 1e3 * SLICE_MS, least = 0;
	uint32_t n = 1;

	for (int i = 0; i < 12; i++) {
		struct load_result got;

		if (load_it(p, l, n, &got) || got.n_lost)
			break;
		if (!least || (double)got.cycles / n < least)
			least = (double)got.cycles / n;
		if (least * n < wanted / 2)
			n *= 2;
	}
	return least > 0 ? (uint32_t)MAX(MIN(wanted / least, 1e6), 1.0) : 1;
}

static double cycles_of(const struct who_spent *s)
{
	double ns = 0;

	for (enum part i = 0; i < PART_N; i++)
		ns += (double)s->ns[i];
	return ns * tsc_hz() / 1e9;
}

static int measure(struct rows *r, struct path *p, const struct load *l, uint32_t n_rounds,
		   struct slice *out)
{
	uint64_t quiet_before = calibration(), quiet_after;
	struct who_spent before, after;
	double all, nic;
	int err;

	who_read(&r->who, &before);
	err = load_run(p, l, n_rounds, LIMIT_MS, &out->result);
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
	/* What hardware would do is told, and costs nobody. */
	nic = (double)out->spent.ns[PART_NIC] * tsc_hz() / 1e9;
	out->result.cycles -= (uint64_t)MIN(nic, (double)out->result.cycles);
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

static int take_slice(struct rows *r, const struct slices *s, enum path_kind kind,
		      struct slice *out)
{
	struct path *p = &r->path[kind];
	uint32_t n = s->n_rounds[kind];
	uint32_t n_warm = 1 + (kind <= PATH_NATIVE ? n / WARM_ALONE : n);
	struct load_result warm;
	int err = path_begin(p), end;

	*out = (struct slice){ .quiet = false };
	await_quiet(r);
	if (!err)
		err = load_run(p, &s->load[kind], n_warm, LIMIT_MS, &warm);
	if (!err)
		err = measure(r, p, &s->load[kind], n, out);
	end = path_end(p);
	return err ? err : end;
}

static void keep_slice(struct measured *m, const struct slice *slice)
{
	struct pile *pile = &m->pile[slice->quiet];
	struct sums *sums = slice->quiet ? &m->quiet : &m->loud;

	if (pile->n < SLICES_MAX)
		pile->cycles[pile->n++] =
		    (double)slice->result.cycles / (double)MAX(slice->result.n_packets, 1);
	sums->n_packets += slice->result.n_packets;
	sums->cycles += slice->result.cycles;
	sums->hidden += slice->hidden;
	for (enum part i = 0; i < PART_N; i++)
		sums->spent.ns[i] += slice->spent.ns[i];
	m->n_lost += slice->result.n_lost;
}

/* Until one is quiet, or it has been tried often enough. */
static int take_quiet(struct slices *s, struct rows *r, enum path_kind kind)
{
	struct slice slice = { .quiet = false };

	if (!s->wanted[kind])
		return 0;
	for (int i = 0; i < TRIES && !slice.quiet && (!i || r->patience); i++) {
		int err = take_slice(r, s, kind, &slice);

		if (err)
			return err;
		keep_slice(&s->path[kind], &slice);
	}
	return 0;
}

/* ---- all paths ---- */

static int take_references(struct slices *s, struct rows *r)
{
	int err = take_quiet(s, r, PATH_SINK);

	return err ? err : take_quiet(s, r, PATH_NATIVE);
}

static int take_turn(struct slices *s, struct rows *r)
{
	int err = 0;

	for (int k = PATH_NATIVE + 1; !err && k < PATH_N; k++) {
		if (!s->wanted[k])
			continue;
		err = take_references(s, r);
		if (!err)
			err = take_quiet(s, r, (enum path_kind)k);
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

double slices_cost(const struct slices *s, enum path_kind kind, bool *quiet)
{
	const struct measured *m = &s->path[kind];
	struct pile pile;

	*quiet = m->pile[true].n >= SLICES_QUIET_MIN;
	pile = m->pile[m->pile[true].n > 0];
	return centre_of(pile.cycles, pile.n);
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
	for (int k = 0; any && k < PATH_N; k++)
		if (s->wanted[k])
			s->n_rounds[k] = rounds_for(&r->path[k], &s->load[k]);
	return any;
}

int slices_sample(struct slices *s, struct rows *r, enum path_kind kind, struct sampler_split *out)
{
	struct path *p = &r->path[kind];
	struct load_result got;
	int err = path_begin(p), end;

	sampler_begin(&r->sampler);
	if (!err)
		err = load_run(p, &s->load[kind], s->n_rounds[kind] * SLICES_SAMPLED, LIMIT_MS,
			       &got);
	sampler_end(&r->sampler, &r->who, out);
	end = path_end(p);
	return err ? err : end;
}
