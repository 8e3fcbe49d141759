/* SPDX-License-Identifier: MIT */
/*
 * vif-lab's command line. What a lab is: lab.h.
 */
#include <err.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frontend-compat/dialect.h"
#include "guest.h"
#include "process.h"
#include "record.h"
#include "toolstack.h"

#define STOP_WAIT_MS 15000
#define WORKERS_MAX  16 /* vifd.conf(5) "workers" */
#define FILTERS_MAX  16 /* vifd.conf(5) "nics" */

static const char usage[] =
    "vif-lab: a Xen host with guests and a wire, on a machine without Xen\n"
    "\n"
    "  vif-lab run [--name lab] [--guests 2] [--frontend NAME] [--queues N]\n"
    "              [--without FEATURE,...] [--model bridge|mq] [--nic afxdp|model]\n"
    "              [--filters M] [--steering program|device|auto] [--workers N]\n"
    "              [--datapath-nice N] [--keep] [--logs DIR] -- COMMAND...\n"
    "      Starts a lab, runs COMMAND in its dom0 and exits with COMMAND's status,\n"
    "      or 125 when the lab itself failed. Hosts to use with 'ip netns exec':\n"
    "      NAME-wire (10.77.0.1, fd77::1), NAME-g1 (10.77.0.11, fd77::11),\n"
    "      NAME-g2 (10.77.0.12, fd77::12), ...; the bridge is NAMEbr0. COMMAND finds\n"
    "      the lab's name in VIF_LAB_NAME and its logs in the folder VIF_LAB_DIR.\n"
    "      --workers and --datapath-nice are vifd's (vifd.conf(5)).\n"
    "      With --model mq the wire is a NIC with room for M guests (16), which get their\n"
    "      frames past the bridge: --nic afxdp, the device NAMEw0 with an XDP program, or\n"
    "      model, a multi-queue NIC in software, NAMEmq0, whose cable NAMEw0 is.\n"
    "      With --steering device or auto NAMEw0 has M + 5 (8) queues and M + 2 (5) filters\n"
    "      of its own: a switch on the way there, and 'ethtool -n' of its driver with\n"
    "      LD_PRELOAD=lab-nic.so.\n"
    "  vif-lab exec [--name lab] -- COMMAND...   runs COMMAND in a running lab\n"
    "  vif-lab list                              the labs that run\n"
    "  vif-lab stop [--name lab]                 ends a lab\n"
    "  vif-lab --help, --version\n"
    "\n"
    "Inside a lab:\n"
    "  vif-lab guest start N                     as 'xl create'\n"
    "  vif-lab guest stop [--destroy] N          as 'xl shutdown' or 'xl destroy'\n"
    "  vif-lab guest tell N COMMAND...           a command for vif-guest, as\n"
    "                                            'connect without=sg,csum-v4' (vif-guest(1))\n"
    "  vif-lab vifd restart [FLAG...]            as 'systemctl restart vifd', with these\n"
    "                                            flags of vifd's\n"
    "  vif-lab attach --domid D [--devid N] [--mac M] [--bridge B] [--script S]\n"
    "                 [--key KEY[=VALUE]]...     as 'xl network-attach'; KEY alone is\n"
    "                                            left out of the backend's directory\n"
    "  vif-lab detach --domid D [--devid N] [--destroy]\n"
    "\n"
    "Exit status: COMMAND's; else 0, 1 (it failed, and said why) or 125 (wrong use, no\n"
    "such lab, or the lab itself failed). vif-lab(1) tells more.\n";

static void __attribute__((noreturn)) fail(const char *why, const char *what)
{
	warnx("%s%s%s ('vif-lab --help' tells more)", why, what ? " " : "", what ? what : "");
	exit(LAB_EXIT_FAILED);
}

/* getopt_long() has said what is wrong. */
static void __attribute__((noreturn)) bad_option(void)
{
	fputs("vif-lab: 'vif-lab --help' tells more\n", stderr);
	exit(LAB_EXIT_FAILED);
}

/* What stands behind the options is nothing this verb takes: not to be passed over, as it may
 * be the name of another lab than the one that would be stopped. */
static void no_more(const char *verb, const char *word)
{
	if (!word)
		return;
	fprintf(stderr, "%s: takes no '%s' ('vif-lab --help' tells more)\n", verb, word);
	exit(LAB_EXIT_FAILED);
}

static uint32_t number(const char *option, const char *text, uint32_t min, uint32_t max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text >= '0' && *text <= '9' && !*end && n >= min && n <= max)
		return (uint32_t)n;
	errx(LAB_EXIT_FAILED, "%s takes a number from %u to %u, not '%s'", option, min, max, text);
}

/* vifd.conf(5) "datapath_nice" */
static void set_nice(struct lab *lab, const char *value)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (end == value || *end || n < -20 || n > 19)
		errx(LAB_EXIT_FAILED, "--datapath-nice takes a number from -20 to 19, not '%s'",
		     value);
	snprintf(lab->nice, sizeof(lab->nice), "%ld", n);
}

static void set_name(struct lab *lab, const char *name)
{
	if (!lab_name_valid(name))
		errx(LAB_EXIT_FAILED,
		     "--name takes a letter and up to %d letters, digits and dashes, not '%s'",
		     LAB_NAME_MAX - 1, name);
	strcpy(lab->name, name);
}

static void need_root(void)
{
	if (geteuid())
		errx(LAB_EXIT_FAILED, "a lab makes network namespaces: run it as root");
}

static void need_file(const char *path, const char *advice)
{
	if (access(path, X_OK))
		errx(LAB_EXIT_FAILED, "there is no %s: %s", path, advice);
}

/* The NIC with filters of its own: hardware and driver. */
static void need_switch(const struct lab *lab)
{
	static const char *const ours[] = { "lab-nic.bpf.o", "lab-nic.so" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		snprintf(path, sizeof(path), "%s/%s", lab->bin_dir, ours[i]);
		if (access(path, R_OK))
			errx(LAB_EXIT_FAILED, "there is no %s: run 'make'", path);
	}
}

/* What a lab runs must be there before anything of it is. */
static void need_programs(const struct lab *lab)
{
	static const char *const ours[] = { "hosted-xen", "vifd", "vif-guest" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		snprintf(path, sizeof(path), "%s/%s", lab->bin_dir, ours[i]);
		need_file(path, "run 'make'");
	}
	if (lab_has_switch(lab))
		need_switch(lab);
	need_file(LAB_VIF_SCRIPT, "install Debian's xen-utils-common");
	need_file("/usr/lib/xen-4.17/bin/xenstored", "install Debian's xen-utils-4.17");
	need_file("/sbin/ip", "install Debian's iproute2");
	need_file("/usr/bin/xenstore-read", "install Debian's xenstore-utils");
	if (access("/dev/net/tun", R_OK | W_OK))
		errx(LAB_EXIT_FAILED, "there is no /dev/net/tun: 'modprobe tun'");
}

enum run_option {
	RUN_NAME,
	RUN_GUESTS,
	RUN_FRONTEND,
	RUN_QUEUES,
	RUN_WITHOUT,
	RUN_MODEL,
	RUN_NIC,
	RUN_FILTERS,
	RUN_STEERING,
	RUN_NICE,
	RUN_WORKERS,
	RUN_KEEP,
	RUN_LOGS
};

static void take_run_option(struct lab *lab, struct lab_run *run, int option, const char *value)
{
	switch (option) {
	case RUN_NAME:
		set_name(lab, value);
		break;
	case RUN_GUESTS:
		lab->n_guests = number("--guests", value, 0, LAB_GUESTS_MAX);
		break;
	case RUN_FRONTEND:
		guest_set_frontend(lab, value);
		break;
	case RUN_QUEUES:
		lab->n_queues = number("--queues", value, 1, NETFRONT_QUEUES_MAX);
		break;
	case RUN_WITHOUT:
		guest_set_without(lab, value);
		break;
	case RUN_MODEL:
		if (strcmp(value, "bridge") && strcmp(value, "mq"))
			errx(LAB_EXIT_FAILED, "--model is bridge or mq, not '%s'", value);
		lab->mq = !strcmp(value, "mq");
		break;
	case RUN_NIC:
		if (strcmp(value, "afxdp") && strcmp(value, "model"))
			errx(LAB_EXIT_FAILED, "--nic is afxdp or model, not '%s'", value);
		lab->model_nic = !strcmp(value, "model");
		break;
	case RUN_FILTERS:
		lab->n_filters = number("--filters", value, 1, FILTERS_MAX);
		break;
	case RUN_STEERING:
		if (strcmp(value, "program") && strcmp(value, "device") && strcmp(value, "auto"))
			errx(LAB_EXIT_FAILED, "--steering is program, device or auto, not '%s'",
			     value);
		strcpy(lab->steering, value);
		break;
	case RUN_NICE:
		set_nice(lab, value);
		break;
	case RUN_WORKERS:
		lab->n_workers = number("--workers", value, 1, WORKERS_MAX);
		break;
	case RUN_KEEP:
		run->keep = true;
		break;
	case RUN_LOGS:
		run->logs = value;
		break;
	default:
		bad_option();
	}
}

static int run_main(struct lab *lab, int argc, char **argv)
{
	static const struct option options[] = {
		{ "name", 1, NULL, RUN_NAME },	       { "guests", 1, NULL, RUN_GUESTS },
		{ "frontend", 1, NULL, RUN_FRONTEND }, { "queues", 1, NULL, RUN_QUEUES },
		{ "without", 1, NULL, RUN_WITHOUT },   { "model", 1, NULL, RUN_MODEL },
		{ "nic", 1, NULL, RUN_NIC },	       { "filters", 1, NULL, RUN_FILTERS },
		{ "steering", 1, NULL, RUN_STEERING }, { "datapath-nice", 1, NULL, RUN_NICE },
		{ "workers", 1, NULL, RUN_WORKERS },   { "keep", 0, NULL, RUN_KEEP },
		{ "logs", 1, NULL, RUN_LOGS },	       { 0 },
	};
	struct lab_run run = { 0 };
	int o;

	lab->n_guests = 2;
	guest_set_frontend(lab, NULL);
	while ((o = getopt_long(argc, argv, "+", options, NULL)) != -1)
		take_run_option(lab, &run, o, optarg);
	run.command = argv + optind;
	if (!*run.command)
		fail("run needs a COMMAND", NULL);
	if (!lab->mq && (lab->model_nic || lab->n_filters || lab->steering[0]))
		fail("--nic, --filters and --steering are of --model mq", NULL);
	if (lab->model_nic && lab->steering[0] && strcmp(lab->steering, "program") != 0)
		fail("a model NIC has --steering program alone", NULL);
	need_root();
	need_programs(lab);
	if (run.logs && mkdir(run.logs, 0755) && errno != EEXIST)
		err(LAB_EXIT_FAILED, "--logs %s", run.logs);
	return lab_run(lab, &run);
}

/* --name alone, for exec and stop. */
static void name_option(struct lab *lab, int argc, char **argv)
{
	static const struct option options[] = { { "name", 1, NULL, 'n' }, { 0 } };
	int o;

	while ((o = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (o != 'n')
			bad_option();
		set_name(lab, optarg);
	}
	need_root();
}

static int open_or_say(struct lab *lab)
{
	char name[LAB_NAME_MAX + 1];
	int fd;

	strcpy(name, lab->name);
	fd = record_open(name, lab);
	if (fd == -ENOENT)
		errx(LAB_EXIT_FAILED, "no lab named %s runs ('vif-lab list' shows those that do)",
		     name);
	if (fd < 0)
		errx(LAB_EXIT_FAILED, "lab %s: %s", name, strerror(-fd));
	return fd;
}

static int exec_main(struct lab *lab, int argc, char **argv)
{
	char cwd[PATH_MAX] = "/";
	int record, init, status;
	pid_t pid;

	name_option(lab, argc, argv);
	if (!argv[optind])
		fail("exec needs a COMMAND", NULL);
	record = open_or_say(lab);
	init = record_holder(record, RECORD_INIT);
	if (init < 0)
		errx(LAB_EXIT_FAILED, "lab %s is about to end", lab->name);
	if (!getcwd(cwd, sizeof(cwd)) || setns(init, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET))
		err(LAB_EXIT_FAILED, "entering lab %s", lab->name);
	if (chdir(cwd) && chdir("/"))
		err(LAB_EXIT_FAILED, "/");
	lab_export(lab);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[optind], argv + optind);
		err(errno == ENOENT ? 127 : 126, "%s", argv[optind]);
	}
	/* a terminal's Ctrl-C reaches COMMAND itself */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		err(LAB_EXIT_FAILED, "running %s", argv[optind]);
	/* No exit handlers (LeakSanitizer's): they could no longer make a thread here, now
	 * that our children belong to another PID namespace. */
	_exit(process_exit_status(status));
}

/* The janitor ends a lab in order; a lab without one has init to ask. */
static int stop_main(struct lab *lab, int argc, char **argv)
{
	uint64_t deadline = process_now_ms() + STOP_WAIT_MS;
	int record, pidfd;

	name_option(lab, argc, argv);
	no_more(argv[0], argv[optind]);
	record = open_or_say(lab);
	for (;;) {
		struct pollfd p = { .events = POLLIN };

		pidfd = record_holder(record, RECORD_JANITOR);
		if (pidfd < 0)
			pidfd = record_holder(record, RECORD_INIT);
		if (pidfd < 0)
			break;
		syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
		p.fd = pidfd;
		poll(&p, 1, STOP_WAIT_MS);
		close(pidfd);
		if (process_now_ms() > deadline)
			errx(LAB_EXIT_FAILED, "lab %s does not end", lab->name);
	}
	close(record);
	record_sweep_dead();
	return 0;
}

static void show_lab(const struct lab *lab, pid_t user, pid_t init)
{
	printf("%-12s %7u %8d %s\n", lab->name, lab->n_guests, init, user ? "running" : "kept");
}

static int list_main(struct lab *lab, int argc, char **argv)
{
	(void)lab;
	(void)argc;
	need_root();
	no_more(argv[0], argv[1]);
	record_sweep_dead();
	printf("%-12s %7s %8s %s\n", "NAME", "GUESTS", "INIT-PID", "STATE");
	record_each(show_lab);
	return 0;
}

static void need_inside(struct lab *lab)
{
	if (lab_import(lab))
		errx(LAB_EXIT_FAILED, "this is for inside a lab: 'vif-lab run -- ...' or "
				      "'vif-lab exec -- ...'");
}

static int guest_main(struct lab *lab, int argc, char **argv)
{
	static const struct option options[] = { { "destroy", 0, NULL, 'd' }, { 0 } };
	const char *verb = argc > 1 ? argv[1] : "";
	bool destroy = false;
	uint32_t guest;
	int o, rc;

	need_inside(lab);
	if (!strcmp(verb, "tell") && argc > 3)
		return guest_tell(number("guest", argv[2], 1, LAB_GUESTS_MAX), argv + 3) ? 1 : 0;
	if (strcmp(verb, "start") != 0 && strcmp(verb, "stop") != 0)
		fail("guest takes start N, stop N or tell N COMMAND", NULL);
	argc--, argv++;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o != 'd' || strcmp(verb, "stop") != 0)
			bad_option();
		destroy = true;
	}
	if (argc - optind != 1)
		fail("which guest? 'vif-lab guest start 1'", NULL);
	guest = number("guest", argv[optind], 1, MAX(lab->n_guests, 1u));
	rc = !strcmp(verb, "stop") ? guest_stop(lab, guest, destroy) : guest_start(lab, guest);
	return rc ? 1 : 0;
}

struct vif_options {
	struct toolstack_vif vif;
	bool domid, destroy;
};

static void add_key(struct toolstack_vif *vif, const char *key)
{
	if (vif->n_keys == TOOLSTACK_KEYS_MAX)
		errx(LAB_EXIT_FAILED, "at most %d times --key", TOOLSTACK_KEYS_MAX);
	vif->key[vif->n_keys++] = key;
}

static struct vif_options vif_options(int argc, char **argv, const struct option *options)
{
	struct vif_options v = { .vif.script = LAB_VIF_SCRIPT };
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'd') {
			v.vif.id.domid = (uint16_t)number("--domid", optarg, 1, 0x7fef);
			v.domid = true;
		} else if (o == 'n') {
			v.vif.id.devid = number("--devid", optarg, 0, 0xffff);
		} else if (o == 'm') {
			v.vif.mac = optarg;
		} else if (o == 'b') {
			v.vif.bridge = optarg;
		} else if (o == 's') {
			v.vif.script = optarg;
		} else if (o == 'k') {
			add_key(&v.vif, optarg);
		} else if (o == 'D') {
			v.destroy = true;
		} else {
			bad_option();
		}
	}
	no_more(argv[0], argv[optind]);
	if (!v.domid)
		fail("which vif? '--domid D'", NULL);
	return v;
}

static struct store open_store(void)
{
	struct store s;
	int rc = store_open(&s);

	if (rc)
		errx(LAB_EXIT_FAILED, "xenstore: %s", strerror(-rc));
	return s;
}

static int vifd_main(struct lab *lab, int argc, char **argv)
{
	need_inside(lab);
	if (argc < 2 || strcmp(argv[1], "restart") != 0)
		fail("vifd takes restart", NULL);
	return lab_restart_vifd(lab, argv + 2) ? 1 : 0;
}

static int attach_main(struct lab *lab, int argc, char **argv)
{
	static const struct option options[] = {
		{ "domid", 1, NULL, 'd' },
		{ "devid", 1, NULL, 'n' },
		{ "mac", 1, NULL, 'm' },
		{ "bridge", 1, NULL, 'b' },
		{ "script", 1, NULL, 's' },
		{ "key", 1, NULL, 'k' },
		{ 0 },
	};
	struct guest_mac mac;
	struct vif_options v;
	struct lab_name bridge;
	struct store s;
	int rc;

	need_inside(lab);
	v = vif_options(argc, argv, options);
	mac = guest_mac(v.vif.id.domid, v.vif.id.devid);
	bridge = lab_bridge(lab);
	if (!v.vif.mac)
		v.vif.mac = mac.s;
	if (!v.vif.bridge)
		v.vif.bridge = bridge.s;
	s = open_store();
	rc = toolstack_attach(&s, &v.vif);
	store_close(&s);
	return rc ? 1 : 0;
}

static int detach_main(struct lab *lab, int argc, char **argv)
{
	static const struct option options[] = {
		{ "domid", 1, NULL, 'd' },
		{ "devid", 1, NULL, 'n' },
		{ "destroy", 0, NULL, 'D' },
		{ 0 },
	};
	struct vif_options v;
	struct store s;
	int rc;

	need_inside(lab);
	v = vif_options(argc, argv, options);
	s = open_store();
	rc = toolstack_detach(&s, v.vif.id, v.destroy);
	store_close(&s);
	return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *verb;
		int (*main)(struct lab *lab, int argc, char **argv);
	} verbs[] = {
		{ "run", run_main },	   { "exec", exec_main },   { "stop", stop_main },
		{ "list", list_main },	   { "guest", guest_main }, { "attach", attach_main },
		{ "detach", detach_main }, { "vifd", vifd_main },
	};
	const char *verb = argc > 1 ? argv[1] : "";
	struct lab lab;
	int rc = lab_defaults(&lab);

	if (rc)
		errx(LAB_EXIT_FAILED, "/proc/self/exe: %s", strerror(-rc));
	if (!strcmp(verb, "--help") || !strcmp(verb, "-h")) {
		fputs(usage, stdout);
		return 0;
	}
	if (!strcmp(verb, "--version")) {
		puts("vif-lab " VIFD_VERSION);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		char title[32]; /* what getopt_long() puts before its complaints */

		if (strcmp(verb, verbs[i].verb) != 0)
			continue;
		snprintf(title, sizeof(title), "vif-lab %s", verb);
		argv[1] = title;
		return verbs[i].main(&lab, argc - 1, argv + 1);
	}
	fail(*verb ? "there is no" : "what to do?", *verb ? verb : NULL);
}
