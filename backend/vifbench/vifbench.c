/* SPDX-License-Identifier: MIT */
/*
 * vifbench: cycles per packet of vifd's I/O models, beside native Linux's. See vifbench(1).
 */
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/client.h"
#include "backend/vifbench/bench.h"
#include "backend/vifbench/host.h"
#include "backend/vifbench/labs.h"
#include "backend/vifbench/measure.h"

#define EXIT_USAGE 2

static const char usage[] =
	"vifbench: cycles per packet, beside native Linux\n\n"
	"Usage: vifbench lab [--quick] [--runs N] [--limit S]\n"
	"                    [--cpu N] [--json] [--output FILE]\n"
	"       vifbench peers [--quick] [--runs N] [--limit S]\n"
	"                    [--cpu N] [--json] [--output FILE]\n"
	"       vifbench xen [FILE] [--json] [--output FILE]\n"
	"       vifbench host [--interval S] [--count N] [--json] [--socket PATH]\n"
	"       vifbench report FILE... [--directory DIR]\n\n"
	"  lab     in a lab without Xen: native Linux, a TAP loop, vifd, and the floors,\n"
	"          interleaved on one processor (root; minutes)\n"
	"  peers   in such a lab: DPDK's vhost-user and memif (testpmd) beside vifd's rings\n"
	"          and its bridge (root; dpdk-dev; minutes)\n"
	"  xen     instructions beside the kernel's netback, under emulated Xen: of a FILE\n"
	"          that 'make bench-xen' wrote, or measured now (minutes; vifd's sources)\n"
	"  host    on a Xen host: cycles per packet of its traffic, a line each interval\n"
	"          (dom0, root)\n"
	"  report  a page (Markdown, SVG) of FILEs that lab, peers or xen\n"
	"          --output wrote\n\n"
	"  --quick        two sizes, two bursts, one guest\n"
	"  --runs N       runs of each row, each in a lab made anew, 1..16 (default 8)\n"
	"  --limit S      seconds for all of it, 1..86400 (default 560, with --quick 105)\n"
	"  --cpu N        the processor everything runs on (default: the last)\n"
	"  --json         the report as JSON instead of a table\n"
	"  --output FILE  the JSON there as well\n"
	"  --interval S   seconds between lines (default 1)\n"
	"  --count N      lines to print (default: until interrupted)\n"
	"  --socket PATH  vifd's, instead of " CLIENT_DEFAULT_SOCKET "\n"
	"  --directory D  where performance.md goes (default .)\n"
	"  --help, --version\n";

enum { OPT_QUICK = 256, OPT_RUNS, OPT_LIMIT, OPT_CPU, OPT_JSON, OPT_OUTPUT, OPT_DIRECTORY, OPT_INTERVAL, OPT_COUNT,
       OPT_SOCKET, OPT_HELP, OPT_VERSION };

static const struct option options[] = {
	{ "quick", no_argument, NULL, OPT_QUICK },
	{ "runs", required_argument, NULL, OPT_RUNS },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "directory", required_argument, NULL, OPT_DIRECTORY },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

struct arguments {
	struct lab_options lab;
	struct host_options host;
	bool json;
	const char *output;
	const char *directory;
	uint32_t given; /* BIT(OPT_*), as below */
	char **argv;	/* all of it, for a vifbench inside a lab */
	char **words;	/* behind the command, NULL-terminated */
};

#define BIT_OF(option) (1u << ((option) - OPT_QUICK))

static __attribute__((noreturn)) void usage_error(const char *what, const char *value)
{
	fprintf(stderr, "vifbench: %s%s%s ('vifbench --help' tells more)\n", what,
		value ? ": " : "", value ? value : "");
	exit(EXIT_USAGE);
}

static uint32_t number_of(const char *text, uint32_t min, uint32_t max, const char *what)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || end == text || *text == '-' || n < min || n > max)
		usage_error(what, text);
	return (uint32_t)n;
}

static double interval_of(const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (*end || end == text || !(s >= 0.01 && s <= 3600))
		usage_error("--interval takes 0.01 to 3600 seconds, not", text);
	return s;
}

static void parse(int argc, char **argv, struct arguments *a)
{
	int c;

	*a = (struct arguments){ .lab = { .n_runs = 8, .cpu = -1 }, .directory = ".",
				 .host = { .interval_s = 1, .socket_path = CLIENT_DEFAULT_SOCKET },
				 .argv = argv };
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c >= OPT_QUICK)
			a->given |= BIT_OF(c);
		switch (c) {
		case OPT_QUICK:
			a->lab.quick = true;
			break;
		case OPT_RUNS:
			a->lab.n_runs = number_of(optarg, 1, LAB_RUNS_MAX, "--runs takes 1..16, not");
			break;
		case OPT_LIMIT:
			a->lab.limit_s = number_of(optarg, 1, 86400, "--limit takes 1..86400 seconds, not");
			break;
		case OPT_CPU:
			a->lab.cpu = (int)number_of(optarg, 0, 4095, "--cpu takes a processor, not");
			break;
		case OPT_JSON:
			a->json = a->host.json = true;
			break;
		case OPT_OUTPUT:
			a->output = optarg;
			break;
		case OPT_DIRECTORY:
			a->directory = optarg;
			break;
		case OPT_INTERVAL:
			a->host.interval_s = interval_of(optarg);
			break;
		case OPT_COUNT:
			a->host.n_readings = number_of(optarg, 1, UINT32_MAX, "--count takes lines, not");
			break;
		case OPT_SOCKET:
			a->host.socket_path = optarg;
			break;
		case OPT_HELP:
			fputs(usage, stdout);
			exit(0);
		case OPT_VERSION:
			puts("vifbench " VIFD_VERSION);
			exit(0);
		default:
			fputs("vifbench: 'vifbench --help' tells more\n", stderr);
			exit(EXIT_USAGE);
		}
	}
}

/* Before minutes are spent on what cannot be written then. 0 or -errno. */
static int can_write(const char *file)
{
	char copy[PATH_MAX];
	struct stat st;

	if (strlen(file) >= sizeof(copy))
		return -ENAMETOOLONG;
	if (!stat(file, &st))
		return S_ISDIR(st.st_mode) ? -EISDIR : access(file, W_OK) ? -errno : 0;
	strcpy(copy, file);
	return errno != ENOENT || access(dirname(copy), W_OK) ? -errno : 0;
}

static bool cpu_is_ours(int cpu)
{
	cpu_set_t set;

	return cpu < CPU_SETSIZE && !sched_getaffinity(0, sizeof(set), &set) && CPU_ISSET(cpu, &set);
}

#define LIMIT_S	      560u
#define LIMIT_QUICK_S 105u

static int give(const json_t *report, const struct arguments *a)
{
	if (a->output && json_dump_file(report, a->output, JSON_INDENT(1) | JSON_REAL_PRECISION(6))) {
		fprintf(stderr, "vifbench: %s: %s\n", a->output, strerror(errno));
		return 1;
	}
	if (!a->json)
		table_print(report, stdout);
	else if (!json_dumpf(report, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)))
		putchar('\n');
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	perror("vifbench: standard output");
	return 1;
}

/* 'lab' and 'peers': from outside, in labs started for it. */
static int command_lab(const struct arguments *a)
{
	struct lab_options o = a->lab;
	char why[256] = "";
	json_t *report;
	int status;

	if (geteuid()) {
		fprintf(stderr, "vifbench: %s makes network namespaces and needs root\n",
			a->lab.peers ? "peers" : "lab");
		return 1;
	}
	if (o.cpu >= 0 && !cpu_is_ours(o.cpu)) {
		fprintf(stderr, "vifbench: processor %d is not there, or not ours to use (nproc, taskset -p $$)\n",
			o.cpu);
		return 1;
	}
	if (!o.limit_s)
		o.limit_s = o.quick ? LIMIT_QUICK_S : LIMIT_S;
	if (!getenv("VIF_LAB_NAME"))
		report = labs_measure(a->argv, &o);
	else if (!(report = labs_measure_part(&o, why, sizeof(why))))
		fprintf(stderr, "vifbench: %s\n", why);
	if (!report)
		return 1;
	status = give(report, a);
	json_decref(report);
	return status;
}

/* Runs the emulated host's bench, which stands in the sources that we were built in.
 * Returns its result's path, or NULL. */
static const char *run_rig(void)
{
	static char result[PATH_MAX + 32];
	char dir[PATH_MAX], command[3 * PATH_MAX];

	if (labs_directory(dir))
		return NULL;
	snprintf(result, sizeof(result), "%s/bench-xen/result.json", dir);
	snprintf(command, sizeof(command), "make -C '%s/..' BUILD='%s' bench-xen >&2", dir, dir);
	return system(command) ? NULL : result;
}

static int command_xen(const struct arguments *a)
{
	const char *file = a->words[0];
	char why[256] = "the bench under emulated Xen failed: it needs vifd's sources, root and "
			"'make bench-xen'";
	json_t *report;
	int status;

	if (!file)
		file = run_rig();
	report = file ? xen_report(file, why, sizeof(why)) : NULL;
	if (!report) {
		fprintf(stderr, "vifbench: %s\n", why);
		return 1;
	}
	status = give(report, a);
	json_decref(report);
	return status;
}

#define REPORTS_MAX 16

static json_t *load_report(const char *file)
{
	json_error_t error;
	json_t *report = json_load_file(file, 0, &error);

	if (json_is_array(json_object_get(report, "rows")) &&
	    json_is_string(json_object_get(report, "bench")))
		return report;
	fprintf(stderr, "vifbench: %s: %s\n", file,
		report ? "not a report of lab, peers or xen --output" : error.text);
	json_decref(report);
	return NULL;
}

static int command_host(const struct arguments *a)
{
	return host_run(&a->host);
}

static int command_report(const struct arguments *a)
{
	char *const *files = a->words;
	json_t *reports[REPORTS_MAX] = { NULL };
	size_t n = 0;
	int err = 0;

	for (; files[n] && !err; n++) {
		reports[n] = load_report(files[n]);
		if (!reports[n])
			err = -EINVAL;
	}
	if (!err && (err = report_write(reports, n, a->directory)))
		fprintf(stderr, "vifbench: %s/performance.md: %s\n", a->directory, strerror(-err));
	for (size_t i = 0; i < n; i++)
		json_decref(reports[i]);
	return err ? 1 : 0;
}

#define OF_LAB                                                                                     \
	(BIT_OF(OPT_QUICK) | BIT_OF(OPT_RUNS) | BIT_OF(OPT_LIMIT) | BIT_OF(OPT_CPU) |              \
	 BIT_OF(OPT_JSON) | BIT_OF(OPT_OUTPUT))

static const struct command {
	const char *name;
	int words_min, words_max;
	const char *takes; /* what they are */
	uint32_t options;
	int (*run)(const struct arguments *a);
} commands[] = {
	{ "lab", 0, 0, "lab takes options only", OF_LAB, command_lab },
	{ "peers", 0, 0, "peers takes options only", OF_LAB, command_lab },
	{ "xen", 0, 1, "xen takes one FILE at most", BIT_OF(OPT_JSON) | BIT_OF(OPT_OUTPUT),
	  command_xen },
	{ "host", 0, 0, "host takes options only",
	  BIT_OF(OPT_INTERVAL) | BIT_OF(OPT_COUNT) | BIT_OF(OPT_JSON) | BIT_OF(OPT_SOCKET),
	  command_host },
	{ "report", 1, REPORTS_MAX, "report takes 1 to 16 FILEs", BIT_OF(OPT_DIRECTORY),
	  command_report },
};
static_assert(REPORTS_MAX == 16, "as it says");

static const struct command *find_command(const char *name)
{
	if (!name)
		usage_error("what to measure?", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	usage_error("no such command", name);
}

/* An option that would do nothing is a mistake. */
static void check_options(const struct command *command, uint32_t given)
{
	for (const struct option *o = options; o->name; o++)
		if (given & BIT_OF(o->val) & ~command->options) {
			fprintf(stderr, "vifbench: %s takes no --%s ('vifbench --help' tells more)\n",
				command->name, o->name);
			exit(EXIT_USAGE);
		}
}

int main(int argc, char **argv)
{
	const struct command *command;
	struct arguments a;
	int n_words, err;

	parse(argc, argv, &a);
	command = find_command(argv[optind]);
	check_options(command, a.given);
	a.words = argv + optind + 1;
	n_words = argc - optind - 1;
	if (n_words < command->words_min || n_words > command->words_max)
		usage_error(command->takes, NULL);
	err = a.output ? can_write(a.output) : 0;
	if (err) {
		fprintf(stderr, "vifbench: %s: %s\n", a.output, strerror(-err));
		return 1;
	}
	a.lab.peers = !strcmp(command->name, "peers");
	return command->run(&a);
}
