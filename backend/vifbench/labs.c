/* SPDX-License-Identifier: MIT */
/* See labs.h. */
#include "backend/vifbench/labs.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/vifbench/merge.h"
#include "backend/vifbench/path.h"

extern char **environ;

/* Each with rows of its own, beside native Linux. The first is all that the peers need. */
static const struct {
	const char *what;
	uint32_t share; /* of the time */
	const char *options[15];
} kinds[] = {
	{ "the software bridge", 2, { "--model", "bridge" } },
	{ "the software bridge and guests with static grants",
	  1,
	  { "--model", "bridge", "--frontend", "static-grants" } },
	{ "AF_XDP", 1, { "--model", "mq", "--nic", "afxdp" } },
	{ "AF_XDP steered by its device, and a guest with static grants",
	  1,
	  { "--model", "mq", "--nic", "afxdp", "--steering", "device", "--queues", "2",
	    "--frontend", "static-grants", "--guests", "1" } },
	{ "the model NIC", 1, { "--model", "mq", "--nic", "model" } },
	{ "the model NIC and guests with static grants",
	  1,
	  { "--model", "mq", "--nic", "model", "--frontend", "static-grants" } },
};

int labs_directory(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

	if (n < 0)
		return -errno;
	out[n] = '\0';
	*strrchr(out, '/') = '\0';
	return 0;
}

/* vif-lab's command line: a name of ours, this lab's options, vifbench as we were called. */
struct command {
	char self[PATH_MAX + 16], lab[PATH_MAX + 16], name[32], guests[8];
	char *argv[64];
	uint32_t n;
};

static void word(struct command *c, const char *text)
{
	if (c->n + 1 < ARRAY_SIZE(c->argv))
		c->argv[c->n++] = (char *)text;
	c->argv[c->n] = NULL;
}

/* What all labs have in common. */
struct order {
	char **argv; /* as vifbench was called */
	const struct lab_options *o;
	const char *file; /* for a lab's report */
	uint64_t end_ms;
	uint64_t beside_ms; /* what the last lab took besides its part */
};

/* How vifbench outside tells the one in the lab its part: milliseconds, and whether it is told
 * nothing but costs ("1") or all ("0"). */
#define PART_VARIABLE "VIFBENCH_LAB_PART"

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / NS_PER_MS;
}

static size_t n_kinds(const struct order *order)
{
	return order->o->peers ? 1 : ARRAY_SIZE(kinds);
}

/* A kind's first lab tells more than its costs. */
static uint32_t share_of(size_t kind, uint32_t round)
{
	return kinds[kind].share * (round ? 1 : 2);
}

static uint64_t left_ms(const struct order *order)
{
	uint64_t now = now_ms();

	return order->end_ms - MIN(now, order->end_ms);
}

/* What the lab of this kind may take in this round: its share of what is left, without what it
 * takes to make it. */
static struct lab_part part_of(const struct order *order, size_t kind, uint32_t round)
{
	uint64_t limit;
	uint32_t shares = 0;

	for (size_t i = 0; i < n_kinds(order); i++)
		shares += share_of(i, 1) * (order->o->n_runs - round - 1) +
			  (i < kind ? 0 : share_of(i, round));
	assert(shares); /* its own */
	limit = left_ms(order) * share_of(kind, round) / shares;
	limit -= MIN(order->beside_ms, limit);
	return (struct lab_part){ .limit_ms = (uint32_t)limit, .again = round > 0 };
}

static int command_line(struct command *c, const struct order *order, size_t which)
{
	const struct lab_options *o = order->o;
	char dir[PATH_MAX];
	int err = labs_directory(dir);

	if (err)
		return err;
	c->n = 0;
	snprintf(c->self, sizeof(c->self), "%s/vifbench", dir);
	snprintf(c->lab, sizeof(c->lab), "%s/vif-lab", dir);
	snprintf(c->name, sizeof(c->name), "vb%d", getpid() % 1000000);
	/* Two: one sends to the other. */
	snprintf(c->guests, sizeof(c->guests), "%u", o->quick || o->peers ? 2 : PATH_GUESTS_MAX);
	for (const char *const *w =
		 (const char *const[]){ c->lab, "run", "--name", c->name, "--guests", c->guests,
					"--workers", "1", "--datapath-nice", "0", NULL };
	     *w; w++)
		word(c, *w);
	for (const char *const *w = kinds[which].options; *w; w++)
		word(c, *w);
	word(c, "--");
	word(c, c->self);
	for (char **arg = order->argv + 1; *arg && c->n < ARRAY_SIZE(c->argv) - 3; arg++)
		word(c, *arg);
	/* The last one counts. */
	word(c, "--output");
	word(c, order->file);
	return 0;
}

/* Runs it. 0, or what vif-lab or vifbench inside ended with: they said why. */
static int run_command(struct command *c)
{
	posix_spawn_file_actions_t quiet;
	int status = -1, err;
	pid_t pid;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	err = posix_spawn(&pid, c->lab, &quiet, NULL, c->argv, environ);
	posix_spawn_file_actions_destroy(&quiet);
	if (err)
		fprintf(stderr,
			"vifbench: %s: %s (the lab comes with vifd's sources: 'make all')\n",
			c->lab, strerror(err));
	else if (waitpid(pid, &status, 0) != pid)
		status = -1;
	return status;
}

/* A lab's report, which comes back through a file. NULL: it failed, and said why. */
static json_t *run_lab(struct order *order, size_t kind, uint32_t round)
{
	struct lab_part part = part_of(order, kind, round);
	uint64_t began = now_ms(), took;
	static struct command c;
	char text[32];

	if (command_line(&c, order, kind))
		return NULL;
	snprintf(text, sizeof(text), "%u %d", part.limit_ms, part.again);
	setenv(PART_VARIABLE, text, 1);
	if (run_command(&c))
		return NULL;
	took = now_ms() - began;
	order->beside_ms = took - MIN(part.limit_ms, took);
	return json_load_file(order->file, 0, NULL);
}

/* What came of a kind's labs. */
struct reports {
	json_t *of[ARRAY_SIZE(kinds)]; /* an array each */
	uint32_t n_failed[ARRAY_SIZE(kinds)];
};

/* A lab of each kind. A kind whose first failed is left out. */
static void run_round(struct order *order, uint32_t round, struct reports *reports)
{
	for (size_t i = 0; i < n_kinds(order); i++) {
		json_t *report;

		if (round && (!json_array_size(reports->of[i]) || !left_ms(order)))
			continue;
		fprintf(stderr, "vifbench: %s, lab %u of %u\n", kinds[i].what, round + 1,
			order->o->n_runs);
		report = run_lab(order, i, round);
		if (report)
			json_array_append_new(reports->of[i], report);
		else
			reports->n_failed[i]++;
		if (!report && !round && !i)
			return;
	}
}

static void tell_failed(const struct reports *reports, json_t *missing)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!reports->n_failed[i])
			continue;
		if (json_array_size(reports->of[i]))
			json_array_append_new(missing,
					      json_sprintf("labs of %s that failed: %u",
							   kinds[i].what, reports->n_failed[i]));
		else
			json_array_append_new(
			    missing, json_sprintf("no rows of %s: its lab failed", kinds[i].what));
	}
}

json_t *labs_measure_part(const struct lab_options *o, char *why, size_t why_size)
{
	const char *text = getenv(PART_VARIABLE);
	struct lab_part part = { .limit_ms = o->limit_s * 1000 };
	int again = 0;

	if (text && sscanf(text, "%u %d", &part.limit_ms, &again) == 2)
		part.again = again;
	return lab_measure(o, &part, why, why_size);
}

json_t *labs_measure(char **argv, const struct lab_options *o)
{
	char file[] = "/tmp/vifbench-XXXXXX";
	struct order order = { argv, o, file, now_ms() + o->limit_s * 1000ull, 0 };
	struct reports reports = { .n_failed = { 0 } };
	json_t *report = NULL;
	int fd = mkstemp(file);

	if (fd < 0)
		return NULL;
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		reports.of[i] = json_array();
	/* Rounds outermost: what drifts drifts for all. */
	for (uint32_t round = 0; round < o->n_runs && (!round || json_array_size(reports.of[0]));
	     round++)
		run_round(&order, round, &reports);
	if (json_array_size(reports.of[0])) {
		report = merge_labs(reports.of, ARRAY_SIZE(kinds));
		tell_failed(&reports, json_object_get(report, "missing"));
	}
	unlink(file);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		json_decref(reports.of[i]);
	return report;
}
