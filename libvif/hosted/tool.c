/* SPDX-License-Identifier: MIT */
/* hosted-xen: the hypervisor of a host, and its control tool. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "abi.h"
#include "hosted.h"
#include "tool.h"

static const char usage[] =
    "Usage: hosted-xen COMMAND ...\n"
    "\n"
    "Xen's library ABI on a machine without Xen. A host is a directory, named by\n"
    "XEN_HOSTED_DIR or --dir; programs join it with LD_LIBRARY_PATH=build/hosted\n"
    "and are the domain that XEN_HOSTED_DOMID says (default 0).\n"
    "\n"
    "  run [--ready-fd N] [--seed N]     the hypervisor, in the foreground until SIGTERM\n"
    "  create DOMID                      a new domain\n"
    "  destroy DOMID                     ends it: its handles, ports and grants are gone\n"
    "  shutdown DOMID [--reason poweroff|reboot|suspend|crash]\n"
    "  dump [--json]                     what each domain holds\n"
    "  xenstored --rundir DIR [-- ARG..] Debian's xenstored, in the foreground (root)\n"
    "  introduce DOMID --store-rundir DIR [--name NAME]\n"
    "                                    makes the domain known to that xenstored\n"
    "  store-proxy --domid N --rundir DIR [--ready-fd N]\n"
    "                                    with XENSTORED_RUNDIR=DIR, libxenstore is domain N\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.\n";

int tool_error(const char *fmt, ...)
{
	va_list ap;

	fputs("hosted-xen: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -1;
}

struct args {
	const char *command, *dir, *rundir, *store_rundir, *name;
	uint32_t domid;
	bool has_domid, json;
	int ready_fd;
	unsigned int reason;
	uint64_t seed;
	char **rest;
};

static void bad_usage(const char *what, const char *value)
{
	tool_error("%s%s%s; try hosted-xen --help", what, value ? ": " : "", value ? value : "");
	exit(2);
}

static uint64_t number(const char *text, uint64_t max)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || !*text || *end || *text == '-' || n > max)
		bad_usage("not a number in range", text);
	return n;
}

static unsigned int parse_reason(const char *text)
{
	static const char *const reasons[] = { "poweroff", "reboot", "suspend", "crash" };

	for (unsigned int i = 0; i < 4; i++)
		if (!strcmp(text, reasons[i]))
			return i;
	bad_usage("--reason is poweroff, reboot, suspend or crash, not", text);
	return 0;
}

static const struct option options[] = {
	{ "dir", required_argument, NULL, 'd' },
	{ "ready-fd", required_argument, NULL, 'f' },
	{ "seed", required_argument, NULL, 's' },
	{ "reason", required_argument, NULL, 'r' },
	{ "json", no_argument, NULL, 'j' },
	{ "rundir", required_argument, NULL, 'R' },
	{ "store-rundir", required_argument, NULL, 'S' },
	{ "domid", required_argument, NULL, 'D' },
	{ "name", required_argument, NULL, 'n' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void set_domid(struct args *a, const char *text)
{
	a->domid = (uint32_t)number(text, 0x7fef);
	a->has_domid = true;
}

static void parse_option(struct args *a, int c)
{
	switch (c) {
	case 'd':
		a->dir = optarg;
		break;
	case 'f':
		a->ready_fd = (int)number(optarg, 1 << 20);
		break;
	case 's':
		a->seed = number(optarg, UINT64_MAX);
		break;
	case 'r':
		a->reason = parse_reason(optarg);
		break;
	case 'j':
		a->json = true;
		break;
	case 'R':
		a->rundir = optarg;
		break;
	case 'S':
		a->store_rundir = optarg;
		break;
	case 'D':
		set_domid(a, optarg);
		break;
	case 'n':
		a->name = optarg;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		exit(2);
	}
}

static struct args parse(int argc, char **argv)
{
	struct args a = { .ready_fd = -1 };
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		parse_option(&a, c);
	if (optind == argc)
		bad_usage("no command", NULL);
	a.command = argv[optind++];
	if (optind < argc && !a.has_domid && strcmp(a.command, "xenstored"))
		set_domid(&a, argv[optind++]);
	a.rest = argv + optind;
	if (*a.rest && strcmp(a.command, "xenstored"))
		bad_usage("unexpected argument", *a.rest);
	if (a.dir)
		setenv(HOSTED_ENV_DIR, a.dir, 1);
	a.dir = getenv(HOSTED_ENV_DIR);
	if (!a.dir)
		bad_usage("which host? --dir or " HOSTED_ENV_DIR " says", NULL);
	return a;
}

static int report(uint32_t domid, int rc)
{
	static const struct {
		int rc;
		const char *text;
	} texts[] = { { -EEXIST, "exists already (a destroyed domain exists until its last page "
				 "is unmapped)" },
		      { -ESRCH, "does not exist" },
		      { -ENOSPC, "no room for another domain" },
		      { -EINVAL, "not a domid that can be created, destroyed or shut down" } };

	for (size_t i = 0; rc && i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].rc == rc)
			return tool_error("domain %u: %s", domid, texts[i].text);
	return rc ? tool_error("domain %u: %s", domid, strerror(-rc)) : 0;
}

static int dump(bool json)
{
	static struct hosted_stats stats[HX_MAX_DOMAINS];
	int n = hosted_stats(stats, HX_MAX_DOMAINS);

	if (n < 0)
		return tool_error("dump: %s", strerror(-n));
	if (json)
		puts("[");
	else
		puts("domid state    handles ports grants deferred maps-held maps-suffered pages");
	for (int i = 0; i < n; i++) {
		const struct hosted_stats *s = &stats[i];
		const char *state = s->dying ? "dying" : s->shutdown ? "shutdown" : "running";

		printf(json ? " {\"domid\": %u, \"state\": \"%s\", \"handles\": %u, \"ports\": %u, "
			      "\"grants\": %u, \"grants_deferred\": %u, \"maps_held\": %u, "
			      "\"maps_suffered\": %u, \"pages\": %u}"
			    : "%5u %-8s %7u %5u %6u %8u %9u %13u %5u",
		       s->domid, state, s->handles, s->ports, s->grants, s->grants_deferred,
		       s->maps_held, s->maps_suffered, s->pages);
		puts(json && i + 1 < n ? "," : "");
	}
	if (json)
		puts("]");
	return 0;
}

static const char *need(const char *value, const char *option)
{
	if (!value)
		bad_usage("missing", option);
	return value;
}

static int execute(const struct args *a)
{
	if (!strcmp(a->command, "run"))
		return tool_run(a->dir, a->ready_fd, a->seed);
	if (!strcmp(a->command, "dump"))
		return dump(a->json);
	if (!strcmp(a->command, "xenstored"))
		return tool_xenstored(need(a->rundir, "--rundir"), a->rest);
	if (!a->has_domid)
		bad_usage("no domid for command, or unknown command", a->command);
	if (!strcmp(a->command, "create"))
		return report(a->domid, hosted_domain_create(a->domid));
	if (!strcmp(a->command, "destroy"))
		return report(a->domid, hosted_domain_destroy(a->domid));
	if (!strcmp(a->command, "shutdown"))
		return report(a->domid, hosted_domain_shutdown(a->domid, a->reason));
	if (!strcmp(a->command, "introduce"))
		return tool_introduce(a->domid, a->name, need(a->store_rundir, "--store-rundir"));
	if (!strcmp(a->command, "store-proxy"))
		return tool_store_proxy(a->domid, need(a->rundir, "--rundir"), a->ready_fd);
	bad_usage("unknown command", a->command);
	return -1;
}

int main(int argc, char **argv)
{
	struct args a = parse(argc, argv);

	return execute(&a) ? 1 : 0;
}
