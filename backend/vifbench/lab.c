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
#include "backend/vifbench/floor.h"
#include "backend/vifbench/plumb.h"
#include "backend/vifbench/rings.h"
#include "backend/vifbench/rows.h"

#define ROUND_TRIPS	 20000u
#define ROUND_TRIPS_FEW	 4000u
#define LATENCY_LIMIT_MS 10000u

static const uint32_t sizes[] = { 64, 576, 1500 };

/* ---- loads ---- */

static int measure_datagrams(struct rows *r, uint32_t guests)
{
	static const uint32_t bursts[] = { 1, 8, 64 };
	bool quick = r->o->quick;
	int err = 0;

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s += quick ? 2 : 1)
		for (size_t b = 0; b < ARRAY_SIZE(bursts); b += quick ? 2 : 1)
			for (int d = RECEIVE; !err && d <= (quick ? SEND : BOTH); d++)
				err = rows_measure(r, &(struct load){ sizes[s], bursts[b], guests,
								      (enum direction)d });
	return err;
}

static int measure_loads(struct rows *r)
{
	bool quick = r->o->quick, peers = r->o->peers;
	int err = 0;

	for (uint32_t guests = 1; !err && guests <= (quick || peers ? 1 : PATH_GUESTS_MAX);
	     guests += PATH_GUESTS_MAX - 1) {
		err = measure_datagrams(r, guests);
		/* What a stream costs depends on GSO, which the peers' TAPs do not have. */
		for (int d = RECEIVE; !err && !peers && d <= (quick ? SEND : BOTH); d++)
			err = rows_measure(
			    r, &(struct load){ LOAD_STREAM, 1, guests, (enum direction)d });
	}
	return err;
}

/* ---- floors and latency ---- */

static void measure_floors(struct rows *r)
{
	const uint32_t n = 64 * 1000;

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		double values[3][MEASURE_RUNS_MAX];
		uint32_t frame = sizes[s] + 14;

		for (uint32_t run = 0; run < r->o->n_runs; run++) {
			values[0][run] = (double)floor_ring_receive(frame, 64, n) / n;
			values[1][run] = (double)floor_ring(frame, 64, n) / n;
			values[2][run] = (double)floor_memcpy(frame, n) / n;
		}
		rows_add(r, "ring-floor", &(struct load){ sizes[s], 64, 1, RECEIVE }, values[0],
			 false);
		rows_add(r, "ring-floor", &(struct load){ sizes[s], 64, 1, SEND }, values[1],
			 false);
		rows_add(r, "memcpy-floor", &(struct load){ sizes[s], 64, 1, SEND }, values[2],
			 false);
	}
}

static json_t *json_latency(enum path_kind kind, const struct histogram *h)
{
	double us = tsc_hz() / 1e6;

	return json_pack("{s:s, s:i, s:{s:f, s:f, s:f}}", "name", path_name(kind), "round_trips",
			 (int)h->n, "us", "p50", (double)histogram_at(h, .5) / us, "p99",
			 (double)histogram_at(h, .99) / us, "p99.9",
			 (double)histogram_at(h, .999) / us);
}

static int measure_latency(struct rows *r, json_t *out)
{
	uint32_t n = r->o->quick ? ROUND_TRIPS_FEW : ROUND_TRIPS;
	struct histogram *h = calloc(1, sizeof(*h));
	int err = h ? 0 : -ENOMEM, end;

	for (int k = PATH_NATIVE; !err && k < PATH_N; k++) {
		if (!r->open[k])
			continue;
		memset(h, 0, sizeof(*h));
		err = path_begin(&r->path[k]);
		if (!err)
			err = load_round_trips(&r->path[k], n, LATENCY_LIMIT_MS, h);
		end = path_end(&r->path[k]);
		err = err ? err : end;
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
	err = sampler_open(&r->sampler, r->cpu);
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
	int err;

	r->cpu = choose_cpu(r->o->cpu);
	if (r->cpu < 0) {
		snprintf(why, why_size, "processor %d is not ours to use", r->o->cpu);
		return r->cpu;
	}
	if (r->o->peers && !peer_has_huge_pages())
		rows_miss(r, "no huge pages (sysctl vm.nr_hugepages=200): testpmd has pages of 4 KiB");
	err = open_all(r, why, why_size);
	if (err)
		return err;
	if (r->o->peers)
		err = rings_measure(r, why, why_size);
	else if (path_set_here() == PATHS_BRIDGE)
		measure_floors(r); /* once is enough for all labs */
	if (err)
		return err;
	err = measure_loads(r);
	if (err)
		return plumb_say(why, why_size, err, "a socket failed");
	err = measure_latency(r, latency);
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

json_t *lab_measure(const struct lab_options *o, char *why, size_t why_size)
{
	struct rows r = { .o = o, .quiet = UINT64_MAX, .sampler = { .fd = -1 } };
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
