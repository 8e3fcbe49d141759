/* SPDX-License-Identifier: MIT */
/* See rings.h. */
#include "backend/vifbench/rings.h"

#include <string.h>

#include "backend/vifbench/floors.h"
#include "backend/vifbench/peer.h"
#include "backend/vifbench/plumb.h"

#define ETHERNET_HEADER 14
/* testpmd is let run for so long a turn. */
#define RUN_MS 40

static const char *const names[PEER_N] = {
	[PEER_VHOST] = "vhost-ring", [PEER_MEMIF] = "memif-ring"
};

struct column {
	double cycles[MEASURE_RUNS_MAX];
	double ratio[MEASURE_RUNS_MAX];
	double working; /* of the last run: testpmd's own count */
	uint32_t n_disturbed;
};

struct rings {
	struct rows *rows;
	bool open[PEER_N];
	struct peer peer[PEER_N];
	struct column floor, column[PEER_N];
};

static void floor_turn(struct rings *s, const struct load *l, uint32_t turn)
{
	double receive = 0, send = 0;
	bool quiet = true;

	if (l->direction != SEND)
		quiet &= floors_run(s->rows, floor_ring_receive, l, &receive);
	if (l->direction != RECEIVE)
		quiet &= floors_run(s->rows, floor_ring, l, &send);
	s->floor.cycles[turn] = (receive + send) / (l->direction == BOTH ? 2 : 1);
	s->floor.ratio[turn] = 1;
	s->floor.n_disturbed += !quiet;
}

static int take_turn(struct rings *s, const struct load *l, uint32_t turn)
{
	uint64_t quiet;
	int err = 0;

	floor_turn(s, l, turn);
	for (int k = 0; !err && k < PEER_N; k++) {
		struct column *c = &s->column[k];
		struct peer_run run;

		if (!s->open[k])
			continue;
		err = peer_run(&s->peer[k], RUN_MS, &run);
		if (err)
			break;
		c->cycles[turn] = run.cycles / run.packets;
		c->ratio[turn] = c->cycles[turn] / s->floor.cycles[turn];
		c->working = run.working_cycles / run.packets;
		quiet = calibration();
		c->n_disturbed += rows_disturbed(s->rows, quiet, run.strangers);
	}
	return err;
}

static void add_column(struct rings *s, const char *name, const struct load *l, struct column *c)
{
	uint32_t n = s->rows->o->n_runs;
	json_t *row = rows_add(s->rows, name, l, c->cycles, c->n_disturbed * 2 >= n);
	struct summary ratio = summary_of(c->ratio, n);

	json_object_set_new(row, "ratio_ring", json_real(ratio.median));
	if (c->working > 0)
		json_object_set_new(row, "working", json_real(c->working));
}

static int measure_load(struct rings *s, const struct load *l)
{
	struct peer_load pl = { .size = l->size + ETHERNET_HEADER,
				.burst = l->burst,
				.to_guest = l->direction != SEND,
				.from_guest = l->direction != RECEIVE };
	int err = 0;

	fprintf(stderr, "vifbench: rings, %s, %u B, bursts of %u\n", direction_name(l->direction),
		l->size, l->burst);
	memset(&s->floor, 0, sizeof(s->floor));
	memset(s->column, 0, sizeof(s->column));
	for (int k = 0; !err && k < PEER_N; k++)
		if (s->open[k])
			err = peer_fill(&s->peer[k], &pl);
	for (uint32_t turn = 0; !err && turn < s->rows->o->n_runs; turn++)
		err = take_turn(s, l, turn);
	if (err)
		return err;
	add_column(s, "ring-floor", l, &s->floor);
	for (int k = 0; k < PEER_N; k++)
		if (s->open[k])
			add_column(s, names[k], l, &s->column[k]);
	return 0;
}

static int measure_loads(struct rings *s)
{
	static const uint32_t sizes[] = { 64, 576, 1500 }, bursts[] = { 1, 8, 64 };
	uint32_t step = s->rows->o->quick ? 2 : 1;
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i += step)
		for (size_t b = 0; b < ARRAY_SIZE(bursts); b += step)
			for (int d = RECEIVE; !err && d <= (step > 1 ? SEND : BOTH); d++)
				err = measure_load(
				    s, &(struct load){ sizes[i], bursts[b], 1, (enum direction)d });
	return err;
}

int rings_measure(struct rows *r, char *why, size_t why_size)
{
	struct rings s = { .rows = r };
	int err;

	for (int k = 0; k < PEER_N; k++) {
		s.open[k] = !peer_open(&s.peer[k], (enum peer_kind)k, NULL, r->cpu, why, why_size);
		if (!s.open[k])
			rows_miss(r, why);
	}
	err = measure_loads(&s);
	if (err)
		plumb_say(why, why_size, err, "testpmd");
	for (int k = 0; k < PEER_N; k++)
		if (s.open[k])
			peer_close(&s.peer[k]);
	return err;
}
