/* SPDX-License-Identifier: MIT */
/* See labs.h. */
#include "backend/vifbench/labs.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/vifbench/path.h"

extern char **environ;

/* Each with rows of its own, beside native Linux. The first is all that the peers need. */
static const struct {
	const char *what;
	const char *options[7];
} kinds[] = {
	{ "the software bridge", { "--model", "bridge" } },
	{ "the software bridge and guests with static grants",
	  { "--model", "bridge", "--frontend", "static-grants" } },
	{ "AF_XDP", { "--model", "mq", "--nic", "afxdp" } },
	{ "the model NIC", { "--model", "mq", "--nic", "model" } },
	{ "the model NIC and guests with static grants",
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

static int command_line(struct command *c, char **argv, const struct lab_options *o, size_t which,
			const char *file)
{
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
	for (char **arg = argv + 1; *arg && c->n < ARRAY_SIZE(c->argv) - 3; arg++)
		word(c, *arg);
	word(c, "--output"); /* the last one counts */
	word(c, file);
	return 0;
}

/* Its report comes back through 'file'. NULL: it failed, and said why. */
static json_t *run_lab(char **argv, const struct lab_options *o, size_t which, const char *file)
{
	static struct command c;
	posix_spawn_file_actions_t quiet;
	json_t *report = NULL;
	int status = -1;
	pid_t pid;

	if (command_line(&c, argv, o, which, file))
		return NULL;
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&pid, c.lab, &quiet, NULL, c.argv, environ))
		fprintf(stderr,
			"vifbench: %s: %s (the lab comes with vifd's sources: 'make all')\n", c.lab,
			strerror(errno));
	else if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status))
		report = json_load_file(file, 0, NULL);
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
	json_t *report, *more;
	int fd = mkstemp(file);

	if (fd < 0)
		return NULL;
	close(fd);
	report = run_lab(argv, o, 0, file);
	for (size_t i = 1; report && !o->peers && i < ARRAY_SIZE(kinds); i++) {
		fprintf(stderr, "vifbench: %s\n", kinds[i].what);
		more = run_lab(argv, o, i, file);
		if (more)
			merge(report, more);
		else
			json_array_append_new(
			    json_object_get(report, "missing"),
			    json_sprintf("no rows of %s: its lab failed", kinds[i].what));
		json_decref(more);
	}
	unlink(file);
	return report;
}
