/* SPDX-License-Identifier: MIT */
/*
 * vifd: flags, configuration, the environment's checks, and then either of the two
 * processes. With --datapath, which only control passes, it is the datapath.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "backend/control/config.h"
#include "backend/control/control.h"
#include "backend/control/environment.h"
#include "backend/control/loop.h"
#include "backend/datapath/datapath.h"
#include "log.h"

#define OPTIONS_MAX	 16
#define OPEN_FILES_MIN	 256
#define LOCK_FILE	 "/run/vifd/vifd.lock"
#define LOCK_PATIENCE_NS (5 * NS_PER_S)

enum { OPT_CONFIG = 256, OPT_CHECK, OPT_HELP, OPT_VERSION, OPT_KEYS };

struct options {
	const char *config_file; /* NULL: the default one, if it is there */
	bool check_only;
	const char *value[OPTIONS_MAX]; /* flags for keys of vifd.conf, by the key's index */
};

static void print_help(void)
{
	const char *allowed, *key;

	printf("Usage: vifd [--config FILE] [--check-config] [--KEY=VALUE ...]\n\n"
	       "The userspace network backend for Xen: serves the vifs of this domain's\n"
	       "guests, in place of the kernel's xen-netback. Stays in the foreground.\n\n"
	       "  --config=FILE             instead of " CONFIG_DEFAULT_FILE "\n"
	       "  --check-config            say what the settings are, or what is wrong; then exit\n"
	       "  --help, --version\n\n"
	       "Each key of vifd.conf(5) is also a flag, and overrides the file:\n");
	for (size_t i = 0; (key = config_key(i, &allowed)); i++)
		printf("  %-24s  %s\n", key, allowed);
	printf("\nExit status: 0 stopped as asked; 1 failed while running; 2 bad flag or\n"
	       "configuration; 3 no root, xenstored, /dev/net/tun or Xen devices; 4 the kernel's\n"
	       "xen-netback is in the way.\n");
}

/* Keys have '_', flags may have '-' in its place as well. */
static size_t build_options(struct option out[], char names[][32])
{
	static const struct option fixed[] = {
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "check-config", no_argument, NULL, OPT_CHECK },
		{ "help", no_argument, NULL, OPT_HELP },
		{ "version", no_argument, NULL, OPT_VERSION },
	};
	const char *allowed, *key;
	size_t n = ARRAY_SIZE(fixed);

	memcpy(out, fixed, sizeof(fixed));
	for (size_t i = 0; (key = config_key(i, &allowed)); i++) {
		snprintf(names[i], sizeof(names[i]), "%s", key);
		for (char *p = names[i]; *p; p++)
			if (*p == '_')
				*p = '-';
		out[n++] = (struct option){ names[i], required_argument, NULL, OPT_KEYS + (int)i };
		if (strcmp(names[i], key))
			out[n++] = (struct option){ key, required_argument, NULL, OPT_KEYS + (int)i };
	}
	out[n] = (struct option){ NULL, 0, NULL, 0 };
	return n;
}

/* Returns -1 to go on, or the status to exit with. */
static int parse_options(int argc, char *argv[], struct options *o)
{
	struct option table[2 * OPTIONS_MAX + 5];
	char names[OPTIONS_MAX][32];
	int opt;

	build_options(table, names);
	while ((opt = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (opt) {
		case OPT_CONFIG:
			o->config_file = optarg;
			break;
		case OPT_CHECK:
			o->check_only = true;
			break;
		case OPT_HELP:
			print_help();
			return VIFD_EXIT_OK;
		case OPT_VERSION:
			printf("vifd " VIFD_VERSION "\n");
			return VIFD_EXIT_OK;
		case '?':
			fprintf(stderr, "vifd: see vifd --help\n");
			return VIFD_EXIT_USAGE;
		default:
			o->value[opt - OPT_KEYS] = optarg;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "vifd: '%s' is not a flag; see vifd --help\n", argv[optind]);
		return VIFD_EXIT_USAGE;
	}
	return -1;
}

static int load_config(const struct options *o, struct config *c)
{
	const char *file = o->config_file ? o->config_file : CONFIG_DEFAULT_FILE, *key, *allowed;
	struct config_error err = { "" };
	int rc;

	config_defaults(c);
	rc = config_read(c, file, &err);
	if (rc && (rc != -ENOENT || o->config_file)) {
		fprintf(stderr, "vifd: %s\n", err.text);
		return rc;
	}
	for (size_t i = 0; (key = config_key(i, &allowed)); i++) {
		if (o->value[i] && config_set(c, key, o->value[i], &err)) {
			fprintf(stderr, "vifd: --%s\n", err.text);
			return -EINVAL;
		}
	}
	return 0;
}

/* A TAP queue and a socket's share for each queue of each vif. Returns whether that leaves
 * anything for vifs: what poll(2) waits for is more than a few, and it refuses more than may
 * be open. */
static bool raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return true;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max >= OPEN_FILES_MIN)
		return true;
	log_error(LOG_NOBODY, "only %llu files may be open: vifd needs %d, and two for each queue of a "
		  "vif (ulimit -n, LimitNOFILE= of systemd)", (unsigned long long)limit.rlim_max,
		  OPEN_FILES_MIN);
	return false;
}

/* Two would take each other's guests, whatever their sockets. */
static int lock_others_out(void)
{
	long holder = 0;
	int fd = api_lock(LOCK_FILE, LOCK_PATIENCE_NS, &holder);

	if (fd == -EBUSY)
		log_error(LOG_NOBODY, "another vifd serves this domain's guests (pid %ld): stop it first",
			  holder);
	else if (fd < 0)
		log_error(LOG_NOBODY, LOCK_FILE ": %s", strerror(-fd));
	return fd;
}

static int listen_for_operator(const struct config *c)
{
	int fd = api_listen(c->socket_path);

	if (fd < 0)
		log_error(LOG_NOBODY, "socket %s: %s%s", c->socket_path, strerror(-fd),
			  fd == -EEXIST ? ", and is no socket" : "");
	return fd;
}

static enum vifd_exit run_control(struct control *c, const struct config *config,
				  const struct control_env *env, int signal_fd)
{
	struct environment_error err = { "" };
	enum vifd_exit status = VIFD_EXIT_OK;
	int rc = control_init(c, config, env);

	if (rc) {
		environment_explain_store(rc, &err);
		log_error(LOG_NOBODY, "%s", err.text);
		return VIFD_EXIT_ENVIRONMENT;
	}
	loop_run(c, signal_fd);
	if (c->supervisor.gave_up) {
		status = c->supervisor.was_ready ? VIFD_EXIT_RUNTIME : VIFD_EXIT_ENVIRONMENT;
		log_error(LOG_NOBODY, "%s", c->supervisor.why);
	}
	control_fini(c);
	return status;
}

/* Gathers what control needs from the outside, and runs it. */
static enum vifd_exit serve(const struct config *config, uint32_t uid, uint32_t gid, int signal_fd)
{
	struct process process = { .keep_fd = -1 };
	struct netdev_kernel kernel;
	struct control_env env = { .netdev_ops = &netdev_kernel_ops,
				   .nic_ops = { [NIC_PROVIDER_AFXDP] = &afxdp_device_ops,
						[NIC_PROVIDER_MODEL] = &model_device_ops },
				   .netdev_ctx = &kernel,
				   .process_ops = &process_exec_ops,
				   .process_ctx = &process,
				   .netback_loaded = environment_netback,
				   .hello = { .sd_daemon = environment_stderr_is_journal(),
					      .tap_nowait = environment_tap_nowait(),
					      .uid = uid,
					      .gid = gid } };
	struct control *c = calloc(1, sizeof(*c));
	enum vifd_exit status = VIFD_EXIT_RUNTIME;
	int rc = c ? netdev_kernel_init(&kernel) : -ENOMEM;

	if (rc) {
		log_error(LOG_NOBODY, "rtnetlink: %s", strerror(-rc));
		free(c);
		return VIFD_EXIT_ENVIRONMENT;
	}
	process.keep_fd = lock_others_out();
	env.api_listener = process.keep_fd < 0 ? -1 : listen_for_operator(config);
	if (env.api_listener >= 0) {
		status = run_control(c, config, &env, signal_fd);
		unlink(config->socket_path);
	}
	if (process.keep_fd >= 0)
		close(process.keep_fd);
	netdev_kernel_fini(&kernel);
	free(c);
	return status;
}

int main(int argc, char *argv[])
{
	struct options options = { .config_file = NULL };
	struct environment_error env_err = { "" };
	struct config_error conf_err = { "" };
	struct config config;
	uint32_t uid, gid;
	int rc;

	if (argc == 2 && !strcmp(argv[1], "--datapath"))
		return datapath_main();
	rc = parse_options(argc, argv, &options);
	if (rc >= 0)
		return rc;
	if (load_config(&options, &config))
		return VIFD_EXIT_USAGE;
	if (config_lookup_user(&config, &uid, &gid, &conf_err)) {
		fprintf(stderr, "vifd: %s\n", conf_err.text);
		return VIFD_EXIT_USAGE;
	}
	if (options.check_only) {
		config_print(&config, stdout);
		return VIFD_EXIT_OK;
	}
	log_init("vifd", config.log_level, environment_stderr_is_journal());
	rc = environment_check("/sys", &env_err);
	if (rc) {
		log_error(LOG_NOBODY, "%s", env_err.text);
		return rc;
	}
	if (!raise_fd_limit())
		return VIFD_EXIT_ENVIRONMENT;
	rc = loop_take_signals();
	if (rc < 0) {
		log_error(LOG_NOBODY, "signals: %s", strerror(-rc));
		return VIFD_EXIT_RUNTIME;
	}
	return serve(&config, uid, gid, rc);
}
