/* SPDX-License-Identifier: MIT */
/*
 * 'vifbench lab' and 'vifbench peers', inside a lab: which loads are measured on which
 * paths (rows.h), the floors, round trips.
 *
 * A run's cycles are everybody's (load.h), less the generator's, which the path into a
 * sink tells.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "backend/vifbench/bench.h"
#include "backend/vifbench/floors.h"
#include "backend/vifbench/plumb.h"
#include "backend/vifbench/rings.h"
#include "backend/vifbench/rows.h"

#define ROUND_TRIPS	20000u
#define ROUND_TRIPS_FEW 4000u
/* However late it is. */
#define ROUND_TRIPS_MS_MIN 200u

static const uint32_t sizes[] = { 64, 576, 1500 };

/* ---- loads ---- */

#define LOADS_MAX 64u

struct loads {
	struct load load[LOADS_MAX];
	uint32_t n;
};

static void list(struct loads *all, const struct load *l)
{
	assert(all->n < LOADS_MAX);
	all->load[all->n++] = *l;
}

static void list_datagrams(struct loads *all, const struct rows *r, uint32_t guests)
{
	static const uint32_t bursts[] = { 1, 8, 64 };
	bool quick = r->o->quick;

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s += quick ? 2 : 1)
		for (size_t b = 0; b < ARRAY_SIZE(bursts); b += quick ? 2 : 1)
			for (int d = RECEIVE; d <= (quick ? SEND : BOTH); d++)
				list(all, &(struct load){ sizes[s], bursts[b], guests,
							  (enum direction)d });
}

static void list_loads(struct loads *all, const struct rows *r)
{
	bool quick = r->o->quick, peers = r->o->peers;

	for (uint32_t guests = 1; guests <= (quick || peers ? 1 : PATH_GUESTS_MAX);
	     guests += PATH_GUESTS_MAX - 1) {
		list_datagrams(all, r, guests);
		/* What a stream costs depends on GSO, which the peers' TAPs do not have. */
		for (int d = RECEIVE; !peers && d <= (quick ? SEND : BOTH); d++)
			list(all, &(struct load){ LOAD_STREAM, 1, guests, (enum direction)d });
	}
}

/* What one of n that are still to be done may take, now. */
static uint64_t share_of(uint64_t end, uint32_t n)
{
	uint64_t now = tsc_now();

	return end > now ? (end - now) / n : 0;
}

/* Each has its share of the time that is left, and what it does not need is the others'. The
 * round trips are one more. */
static int measure_loads(struct rows *r, uint64_t end)
{
	struct loads all = { .n = 0 };
	int err = 0;

	list_loads(&all, r);
	for (uint32_t i = 0; !err && i < all.n; i++)
		err = rows_measure(r, &all.load[i], tsc_now() + share_of(end, all.n - i + 1));
	return err;
}

/* ---- latency ---- */

static json_t *json_latency(enum path_kind kind, const struct histogram *h)
{
	double us = tsc_hz() / 1e6;

	return json_pack("{s:s, s:i, s:{s:f, s:f, s:f}}", "name", path_name(kind), "round_trips",
			 (int)h->n, "us", "p50", (double)histogram_at(h, .5) / us, "p99",
			 (double)histogram_at(h, .99) / us, "p99.9",
			 (double)histogram_at(h, .999) / us);
}

static int measure_latency(struct rows *r, uint64_t end, json_t *out)
{
	uint32_t n = r->o->quick ? ROUND_TRIPS_FEW : ROUND_TRIPS, left = 0;
	struct histogram *h = calloc(1, sizeof(*h));
	int err = h ? 0 : -ENOMEM, over;

	for (int k = PATH_NATIVE; k < PATH_N; k++)
		left += r->open[k];
	for (int k = PATH_NATIVE; !err && k < PATH_N; k++) {
		uint32_t ms;

		if (!r->open[k])
			continue;
		ms = (uint32_t)((double)share_of(end, left--) / tsc_hz() * 1e3);
		memset(h, 0, sizeof(*h));
		err = path_begin(&r->path[k]);
		if (!err)
			err = load_round_trips(&r->path[k], n, MAX(ms, ROUND_TRIPS_MS_MIN), h);
		over = path_end(&r->path[k]);
		err = err ? err : over;
		json_array_append_new(out, json_latency((enum path_kind)k, h));
	}
	free(h);
	return err;
}

/* ---- the whole ---- */

static int choose_cpu(int wanted)
{
	cpu_set_t set;
	int last = -1;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -errno;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			last = i;
	if (wanted < 0)
		return last;
	return wanted < CPU_SETSIZE && CPU_ISSET(wanted, &set) ? wanted : -EINVAL;
}

/* A path that needs what is not installed is left out. */
static int open_paths(struct rows *r, char *why, size_t why_size)
{
	struct path_wish wish = { .n_guests = r->o->quick || r->o->peers ? 1 : PATH_GUESTS_MAX,
				  .cpu = r->cpu };
	enum path_set set = r->o->peers ? PATHS_PEERS : path_set_here();
	int err = 0;

	for (int k = 0; !err && k < PATH_N; k++) {
		wish.kind = (enum path_kind)k;
		if (!path_in_set(wish.kind, set))
			continue;
		err = path_open(&r->path[k], &wish, why, why_size);
		r->open[k] = !err;
		if (err && path_is_peer(wish.kind)) {
			rows_miss(r, why);
			err = 0;
		}
	}
	return err;
}

static int open_all(struct rows *r, char *why, size_t why_size)
{
	char words[128];
	int err = open_paths(r, why, why_size);
	if (!err && (err = who_open(&r->who, r->cpu)))
		plumb_say(why, why_size, err, "tying the lab to processor %d", r->cpu);
	if (err)
		return err;
	err = r->part->again ? 0 : sampler_open(&r->sampler, r->cpu);
	if (err) {
		plumb_say(words, sizeof(words), err,
			  "no perf events: what was spent in the kernel "
			  "is not told apart");
		rows_miss(r, words);
	}
	return 0;
}

static int measure_all(struct rows *r, json_t *latency, char *why, size_t why_size)
{
	uint64_t end = tsc_now() + (uint64_t)(tsc_hz() / 1e3 * r->part->limit_ms);
	int err;

	r->cpu = choose_cpu(r->o->cpu);
	if (r->cpu < 0) {
		snprintf(why, why_size, "processor %d is not ours to use", r->o->cpu);
		return r->cpu;
	}
	if (r->o->peers && !peer_has_huge_pages())
		rows_miss(r,
			  "no huge pages (sysctl vm.nr_hugepages=200): testpmd has pages of 4 KiB");
	err = open_all(r, why, why_size);
	if (err)
		return err;
	rows_calibrate(r);
	if (r->part->again)
		err = 0;
	else if (r->o->peers)
		err = rings_measure(r, why, why_size);
	else if (path_set_here() == PATHS_BRIDGE)
		floors_measure(r); /* once is enough for all labs */
	if (err)
		return err;
	err = measure_loads(r, end);
	if (err)
		return plumb_say(why, why_size, err, "a socket failed");
	err = r->part->again ? 0 : measure_latency(r, end, latency);
	return err ? plumb_say(why, why_size, err, "round trips") : 0;
}

json_t *machine_describe(void)
{
	char model[128] = "unknown", line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");
	struct utsname u;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "model name : %127[^\n]", model) == 1)
			break;
	if (f)
		fclose(f);
	uname(&u);
	return json_pack("{s:s, s:s, s:f, s:i, s:s}", "cpu", model, "kernel", u.release, "hz",
			 tsc_hz(), "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN), "vifd",
			 VIFD_VERSION);
}

json_t *lab_measure(const struct lab_options *o, const struct lab_part *part, char *why,
		    size_t why_size)
{
	struct rows r = { .o = o, .part = part, .sampler = { .fd = -1 } };
	json_t *latency = json_array(), *report = NULL;

	r.rows = json_array();
	r.missing = json_array();
	if (!measure_all(&r, latency, why, why_size))
		report = json_pack("{s:s, s:o, s:O, s:O, s:O}", "bench", o->peers ? "peers" : "lab",
				   "machine", machine_describe(), "rows", r.rows, "latency",
				   latency, "missing", r.missing);
	sampler_close(&r.sampler);
	who_close(&r.who);
	for (int k = 0; k < PATH_N; k++)
		if (r.open[k])
			path_close(&r.path[k]);
	json_decref(r.rows);
	json_decref(r.missing);
	json_decref(latency);
	return report;
}
