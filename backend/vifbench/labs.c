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

#include "backend/vifbench/natives.h"
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
	  1, { "--model", "bridge", "--frontend", "static-grants" } },
	{ "AF_XDP", 1, { "--model", "mq", "--nic", "afxdp" } },
	{ "AF_XDP steered by its device, and a guest with static grants",
	  1,
	  { "--model", "mq", "--nic", "afxdp", "--steering", "device", "--queues", "2",
	    "--frontend", "static-grants", "--guests", "1" } },
	{ "the model NIC", 1, { "--model", "mq", "--nic", "model" } },
	{ "the model NIC and guests with static grants",
	  1, { "--model", "mq", "--nic", "model", "--frontend", "static-grants" } },
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
	char self[PATH_MAX + 16], lab[PATH_MAX + 16], name[32], guests[8], limit[16];
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
	time_t began;
};

/* What lab 'which' may take, in seconds: its share of what is left. */
static uint32_t limit_of(const struct order *order, size_t which)
{
	uint32_t limit = order->o->limit_s, gone = (uint32_t)(time(NULL) - order->began);
	uint32_t shares = 0;

	if (order->o->peers)
		return limit;
	for (size_t i = which; i < ARRAY_SIZE(kinds); i++)
		shares += kinds[i].share;
	assert(shares); /* each has one */
	return (limit - MIN(gone, limit)) * kinds[which].share / shares;
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
					"--workers", "1", NULL };
	     *w; w++)
		word(c, *w);
	for (const char *const *w = kinds[which].options; *w; w++)
		word(c, *w);
	word(c, "--");
	word(c, c->self);
	for (char **arg = order->argv + 1; *arg && c->n < ARRAY_SIZE(c->argv) - 5; arg++)
		word(c, *arg);
	/* The last ones count. */
	snprintf(c->limit, sizeof(c->limit), "%u", MAX(limit_of(order, which), 1u));
	word(c, "--limit");
	word(c, c->limit);
	word(c, "--output");
	word(c, order->file);
	return 0;
}

/* Its report comes back through a file. NULL: it failed, and said why. */
static json_t *run_lab(const struct order *order, size_t which)
{
	static struct command c;
	posix_spawn_file_actions_t quiet;
	json_t *report = NULL;
	int status = -1;
	pid_t pid;

	if (command_line(&c, order, which))
		return NULL;
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&pid, c.lab, &quiet, NULL, c.argv, environ))
		fprintf(stderr,
			"vifbench: %s: %s (the lab comes with vifd's sources: 'make all')\n", c.lab,
			strerror(errno));
	else if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status))
		report = json_load_file(order->file, 0, NULL);
	posix_spawn_file_actions_destroy(&quiet);
	return report;
}

static bool array_has(const json_t *array, const json_t *value)
{
	const json_t *item;
	size_t i;

	json_array_foreach(array, i, item) if (json_equal(item, value)) return true;
	return false;
}

static void merge_array(json_t *to, const json_t *from, bool vifd_only)
{
	json_t *item;
	size_t i;

	json_array_foreach(from, i, item) {
		const char *name = json_string_value(json_object_get(item, "name"));

		if (vifd_only ? name && !strncmp(name, "vifd-", 5) : !array_has(to, item))
			json_array_append(to, item);
	}
}

/* Native, to which each lab compares its own rows, and the floors are in all. */
static void merge(json_t *report, const json_t *more)
{
	merge_array(json_object_get(report, "rows"), json_object_get(more, "rows"), true);
	merge_array(json_object_get(report, "latency"), json_object_get(more, "latency"), true);
	merge_array(json_object_get(report, "missing"), json_object_get(more, "missing"), false);
}

json_t *labs_measure(char **argv, const struct lab_options *o)
{
	char file[] = "/tmp/vifbench-XXXXXX";
	struct order order = { argv, o, file, time(NULL) };
	json_t *report, *more;
	int fd = mkstemp(file);

	if (fd < 0)
		return NULL;
	close(fd);
	report = run_lab(&order, 0);
	if (report)
		natives_note(report);
	for (size_t i = 1; report && !o->peers && i < ARRAY_SIZE(kinds); i++) {
		fprintf(stderr, "vifbench: %s\n", kinds[i].what);
		more = run_lab(&order, i);
		if (more) {
			natives_note(more);
			merge(report, more);
		} else {
			json_array_append_new(
			    json_object_get(report, "missing"),
			    json_sprintf("no rows of %s: its lab failed", kinds[i].what));
		}
		json_decref(more);
	}
	unlink(file);
	if (report)
		natives_compare(report);
	return report;
}
