/* SPDX-License-Identifier: MIT */
/*
 * vif-guest's command line (options.h).
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend-compat/options.h"

static const char help[] =
    "usage: vif-guest [OPTION]...\n"
    "A Xen network frontend in one process, joined to a network interface, so that\n"
    "ordinary programs run \"inside the guest\".\n"
    "\n"
    "  --domid N          this domain's number, if xenstore does not tell\n"
    "  --vif N            which of the domain's vifs [0]\n"
    "  --frontend NAME    which frontend to behave like (below)\n"
    "  --queues N         most queues to use, 1..16 [1]\n"
    "  --without LIST     features switched off both ways, of: sg,gso-tcpv4,gso-tcpv6,\n"
    "                     csum-v4,csum-v6,split-event-channels,multicast-control\n"
    "  --netns NS         network namespace of the interface: a name or a path [this one]\n"
    "  --ifname NAME      name of the interface [eth0]\n"
    "  --ip ADDR/LEN      IPv4 address of the interface; may be repeated\n"
    "  --ip6 ADDR/LEN     IPv6 address of the interface; may be repeated\n"
    "  --stats-file FILE  counters in JSON, at exit and at most once a second on change\n"
    "  --control SOCKET   take commands at this unix socket (below)\n"
    "  --ready-fd N       write a line to this descriptor when first connected\n"
    "  --log-level LEVEL  error, warning, info [info] or debug\n"
    "  --help, --version\n"
    "\n"
    "MAC address and MTU come from xenstore (device/vif/N/mac, mtu).\n"
    "SIGTERM, SIGINT: close as a guest that shuts down, then exit; a second one: at once.\n"
    "SIGHUP: close and connect anew, as a guest that reloads its driver.\n"
    "SIGUSR1: counters to the stats file, or to standard output without one.\n"
    "Exit status: 0 asked to stop, 1 failed, 2 usage.\n"
    "\n"
    "Commands, a line each; the answer is a line:\n"
    "  connect [frontend=NAME] [queues=N] [without=LIST]\n"
    "                     close and connect anew as that; 'ok' once connected\n"
    "  headroom N         ask the connected backend for so much before each frame\n"
    "  stats              counters in JSON\n"
    "\n"
    "Frontends:\n";

enum option_key {
	OPT_DOMID = 256,
	OPT_VIF,
	OPT_FRONTEND,
	OPT_QUEUES,
	OPT_WITHOUT,
	OPT_NETNS,
	OPT_IFNAME,
	OPT_IP,
	OPT_IP6,
	OPT_STATS_FILE,
	OPT_CONTROL,
	OPT_READY_FD,
	OPT_LOG_LEVEL,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "domid", required_argument, NULL, OPT_DOMID },
	{ "vif", required_argument, NULL, OPT_VIF },
	{ "frontend", required_argument, NULL, OPT_FRONTEND },
	{ "queues", required_argument, NULL, OPT_QUEUES },
	{ "without", required_argument, NULL, OPT_WITHOUT },
	{ "netns", required_argument, NULL, OPT_NETNS },
	{ "ifname", required_argument, NULL, OPT_IFNAME },
	{ "ip", required_argument, NULL, OPT_IP },
	{ "ip6", required_argument, NULL, OPT_IP6 },
	{ "stats-file", required_argument, NULL, OPT_STATS_FILE },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "ready-fd", required_argument, NULL, OPT_READY_FD },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static void print_help(void)
{
	fputs(help, stdout);
	for (const struct frontend_dialect *d = frontend_dialects; d->name; d++)
		printf("  %-20s %s%s\n", d->name, d->about,
		       d == frontend_dialects ? " [default]" : "");
}

static int complain(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "vif-guest: --%s %s: expected %s\n", option, value, expected);
	return -EINVAL;
}

static int parse_number(const char *option, const char *text, long min, long max, long *out)
{
	char expected[64], *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	if (!*text || *end || errno || *out < min || *out > max) {
		snprintf(expected, sizeof(expected), "a number, %ld to %ld", min, max);
		return complain(option, text, expected);
	}
	return 0;
}

static int parse_address(struct options *o, const char *option, const char *text, int family)
{
	if (o->n_addresses == ADDRESSES_MAX)
		return complain(option, text, "no more than 8 addresses");
	if (tap_address_parse(text, family, &o->address[o->n_addresses]) < 0)
		return complain(option, text,
				family == AF_INET ? "an IPv4 address and prefix, as 10.77.0.11/24"
						  : "an IPv6 address and prefix, as fd77::11/64");
	o->n_addresses++;
	return 0;
}

static int parse_frontend(struct options *o, const char *text)
{
	o->choice.dialect = dialect_find(text);
	if (o->choice.dialect)
		return 0;
	fprintf(stderr, "vif-guest: --frontend %s: expected one of:", text);
	for (const struct frontend_dialect *d = frontend_dialects; d->name; d++)
		fprintf(stderr, " %s", d->name);
	fputc('\n', stderr);
	return -EINVAL;
}

static int parse_ready_fd(struct options *o, const char *text)
{
	long n;

	if (parse_number("ready-fd", text, 0, 1 << 20, &n) < 0)
		return -EINVAL;
	if (fcntl((int)n, F_GETFD) < 0)
		return complain("ready-fd", text, "an open file descriptor");
	o->ready_fd = (int)n;
	return 0;
}

static int parse_one(struct options *o, int key, const char *arg)
{
	long n = 0;
	int err = 0;

	switch (key) {
	case OPT_DOMID: /* xen.h DOMID_FIRST_RESERVED */
		err = parse_number("domid", arg, 0, 0x7fef, &n);
		o->domid = (int)n;
		return err;
	case OPT_VIF:
		err = parse_number("vif", arg, 0, UINT16_MAX, &n);
		o->vif = (uint32_t)n;
		return err;
	case OPT_QUEUES:
		err = parse_number("queues", arg, 1, NETFRONT_QUEUES_MAX, &n);
		o->choice.n_queues = (uint32_t)n;
		return err;
	case OPT_WITHOUT:
		if (choice_parse_without(arg, &o->choice.without) < 0)
			return complain("without", arg,
					"some of sg,gso-tcpv4,gso-tcpv6,csum-v4,csum-v6,"
					"split-event-channels,multicast-control");
		return 0;
	case OPT_FRONTEND:
		return parse_frontend(o, arg);
	case OPT_NETNS:
		o->netns = arg;
		return 0;
	case OPT_IFNAME:
		o->ifname = arg;
		return 0;
	case OPT_IP:
		return parse_address(o, "ip", arg, AF_INET);
	case OPT_IP6:
		return parse_address(o, "ip6", arg, AF_INET6);
	case OPT_STATS_FILE:
		o->stats_file = arg;
		return 0;
	case OPT_CONTROL:
		o->control = arg;
		return 0;
	case OPT_READY_FD:
		return parse_ready_fd(o, arg);
	case OPT_LOG_LEVEL:
		if (log_level_parse(arg, &o->log_level) < 0)
			return complain("log-level", arg, "error, warning, info or debug");
		return 0;
	default: /* getopt_long() said what is wrong */
		return -EINVAL;
	}
}

int options_parse(int argc, char **argv, struct options *out)
{
	int key;

	*out = (struct options){ .domid = -1,
				 .choice = { .dialect = frontend_dialects, .n_queues = 1 },
				 .ifname = "eth0",
				 .ready_fd = -1,
				 .log_level = LOG_LVL_INFO };
	while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (key == OPT_HELP) {
			print_help();
			return 0;
		}
		if (key == OPT_VERSION) {
			puts("vif-guest " VIFD_VERSION);
			return 0;
		}
		if (parse_one(out, key, optarg) < 0)
			goto usage;
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "vif-guest: unexpected argument '%s'\n", argv[optind]);
usage:
	fputs("Try 'vif-guest --help'.\n", stderr);
	return 2;
}
