/* SPDX-License-Identifier: MIT */
/*
 * vifd.conf(5): the table of keys, and an inih reader that knows line numbers
 * (Debian's build of inih does not pass them to the handler).
 */
#include "backend/control/config.h"

#include <ini.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "backend/ipc.h"
#include "features.h"

#define DEFAULT_WORKERS_MAX 4

struct key {
	const char *name;
	const char *allowed;
	int (*set)(struct config *c, const char *value);
	void (*print)(const struct config *c, FILE *out);
	/* What is wrong with a value that could not be set, where 'allowed' is long. */
	void (*blame)(const char *value, struct config_error *err);
};

static int set_workers(struct config *c, const char *value)
{
	return config_uint(value, 1, IPC_WORKERS_MAX, &c->n_workers);
}

static void print_workers(const struct config *c, FILE *out)
{
	fprintf(out, "%u", c->n_workers);
}

static int set_max_queues(struct config *c, const char *value)
{
	return config_uint(value, 1, CONFIG_MAX_QUEUES, &c->max_queues);
}

static void print_max_queues(const struct config *c, FILE *out)
{
	fprintf(out, "%u", config_max_queues(c));
}

static int set_withhold(struct config *c, const char *value)
{
	return features_parse_names(strcmp(value, "none") ? value : "", &c->withheld);
}

static void print_withhold(const struct config *c, FILE *out)
{
	const char *before = "";

	for (const struct feature_name *f = feature_names; f->name; f++) {
		if (!(c->withheld & f->bit))
			continue;
		fprintf(out, "%s%s", before, f->name);
		before = " ";
	}
	if (!c->withheld)
		fputs("none", out);
}

static const char *const carrier_rules[] = {
	[CARRIER_ALWAYS] = "always",
	[CARRIER_BRIDGE] = "bridge",
	[CARRIER_UPLINK] = "uplink",
};

static int set_carrier(struct config *c, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(carrier_rules); i++) {
		if (strcmp(value, carrier_rules[i]))
			continue;
		c->carrier = (enum carrier_rule)i;
		return 0;
	}
	return -EINVAL;
}

static void print_carrier(const struct config *c, FILE *out)
{
	fputs(carrier_rules[c->carrier], out);
}

static bool has_nic(const struct config *c, const char *name)
{
	for (uint32_t i = 0; i < c->n_nics; i++)
		if (!strcmp(c->nic[i].name, name))
			return true;
	return false;
}

/* One more of them. */
static int add_nic(struct config *c, const char *word, char *why, size_t why_size)
{
	struct nic_config *n = &c->nic[c->n_nics], wanted;
	int rc = config_nic_parse(&wanted, word, why, why_size);

	if (rc)
		return rc;
	if (has_nic(c, wanted.name))
		snprintf(why, why_size, "%s is there twice", wanted.name);
	else if (c->n_nics == CONFIG_NICS_MAX)
		snprintf(why, why_size, "at most %u devices", CONFIG_NICS_MAX);
	if (why[0])
		return -EINVAL;
	*n = wanted;
	c->n_nics++;
	return 0;
}

static int read_nics(struct config *c, const char *value, char *why, size_t why_size)
{
	char *text = strdup(strcmp(value, "none") ? value : ""), *rest = text, *word;
	int rc = text ? 0 : -ENOMEM;

	c->n_nics = 0;
	while (!rc && (word = strsep(&rest, " \t")))
		if (*word)
			rc = add_nic(c, word, why, why_size);
	free(text);
	return rc;
}

static int set_nics(struct config *c, const char *value)
{
	char why[256] = "";

	return read_nics(c, value, why, sizeof(why));
}

static void blame_nics(const char *value, struct config_error *err)
{
	struct config scratch;

	if (!read_nics(&scratch, value, err->text, sizeof(err->text)))
		err->text[0] = '\0';
}

/* A line each: one has an end that all of them may be beyond. */
static void print_nics(const struct config *c, FILE *out)
{
	for (uint32_t i = 0; i < c->n_nics; i++) {
		fputs(i ? "\n\t" : "", out);
		config_nic_print(&c->nic[i], out);
	}
	if (!c->n_nics)
		fputs("none", out);
}

static int set_hotplug_timeout(struct config *c, const char *value)
{
	return config_uint(value, 1, 3600, &c->hotplug_timeout_s);
}

static void print_hotplug_timeout(const struct config *c, FILE *out)
{
	fprintf(out, "%u", c->hotplug_timeout_s);
}

static int set_datapath_nice(struct config *c, const char *value)
{
	uint32_t n;
	bool below = value[0] == '-';
	int rc = config_uint(value + below, 0, below ? 20 : 19, &n);

	if (!rc)
		c->datapath_nice = below ? -(int)n : (int)n;
	return rc;
}

static void print_datapath_nice(const struct config *c, FILE *out)
{
	fprintf(out, "%d", c->datapath_nice);
}

static int set_rx_drain_timeout(struct config *c, const char *value)
{
	return config_uint(value, 10, 3600000, &c->rx_drain_timeout_ms);
}

static void print_rx_drain_timeout(const struct config *c, FILE *out)
{
	fprintf(out, "%u", c->rx_drain_timeout_ms);
}

static int set_rx_stall_timeout(struct config *c, const char *value)
{
	return config_uint(value, 0, 3600000, &c->rx_stall_timeout_ms);
}

static void print_rx_stall_timeout(const struct config *c, FILE *out)
{
	fprintf(out, "%u", c->rx_stall_timeout_ms);
}

static int set_log_level(struct config *c, const char *value)
{
	return log_level_parse(value, &c->log_level);
}

static void print_log_level(const struct config *c, FILE *out)
{
	fputs(log_level_name(c->log_level), out);
}

static int set_user(struct config *c, const char *value)
{
	if (!value[0] || strlen(value) >= sizeof(c->user))
		return -EINVAL;
	strcpy(c->user, value);
	return 0;
}

static void print_user(const struct config *c, FILE *out)
{
	fputs(c->user, out);
}

static int set_socket(struct config *c, const char *value)
{
	if (value[0] != '/' || strlen(value) >= sizeof(c->socket_path))
		return -EINVAL;
	strcpy(c->socket_path, value);
	return 0;
}

static void print_socket(const struct config *c, FILE *out)
{
	fputs(c->socket_path, out);
}

static const struct key keys[] = {
	{ "workers", "a number, 1 to 16", set_workers, print_workers, NULL },
	{ "user", "the name of a user", set_user, print_user, NULL },
	{ "socket", "an absolute path of at most 103 characters", set_socket, print_socket, NULL },
	{ "log_level", "error, warning, info or debug", set_log_level, print_log_level, NULL },
	{ "max_queues", "a number, 1 to 16", set_max_queues, print_max_queues, NULL },
	{ "withhold", "none, or some of sg, gso-tcpv4, gso-tcpv6, csum-v4, csum-v6, split-event-channels, multicast-control, ctrl-ring, xdp-headroom",
	  set_withhold, print_withhold, NULL },
	{ "nics", "none, or up to 8 different " CONFIG_NIC_SYNTAX, set_nics, print_nics, blame_nics },
	{ "carrier", "always, bridge or uplink", set_carrier, print_carrier, NULL },
	{ "hotplug_timeout_s", "seconds, 1 to 3600", set_hotplug_timeout, print_hotplug_timeout, NULL },
	{ "datapath_nice", "a number, -20 to 19", set_datapath_nice, print_datapath_nice, NULL },
	{ "rx_drain_timeout_ms", "milliseconds, 10 to 3600000", set_rx_drain_timeout,
	  print_rx_drain_timeout, NULL },
	{ "rx_stall_timeout_ms", "milliseconds, 0 to 3600000", set_rx_stall_timeout,
	  print_rx_stall_timeout, NULL },
};

const char *config_key(size_t i, const char **allowed)
{
	if (i >= ARRAY_SIZE(keys))
		return NULL;
	*allowed = keys[i].allowed;
	return keys[i].name;
}

static uint32_t default_workers(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return 1;
	return MIN((uint32_t)CPU_COUNT(&cpus), DEFAULT_WORKERS_MAX);
}

uint32_t config_max_queues(const struct config *c)
{
	return c->max_queues ? c->max_queues : c->n_workers;
}

void config_defaults(struct config *c)
{
	*c = (struct config){
		.n_workers = default_workers(),
		.hotplug_timeout_s = 40, /* libxl's own patience with the script */
		.datapath_nice = -10,
		.rx_drain_timeout_ms = 10000, /* these two as xen-netback's parameters */
		.rx_stall_timeout_ms = 60000,
		.log_level = LOG_LVL_INFO,
		.carrier = CARRIER_BRIDGE,
		.socket_path = "/run/vifd/vifd.sock",
	};
	strcpy(c->user, getpwnam("vifd") ? "vifd" : "nobody");
}

static void printf_like(2, 3) error_set(struct config_error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
}

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].name, name))
			return &keys[i];
	return NULL;
}

static void error_unknown_key(const char *name, struct config_error *err)
{
	size_t used;

	error_set(err, "unknown key '%.40s'; known are", name);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		used = strlen(err->text);
		snprintf(err->text + used, sizeof(err->text) - used, "%s %s", i ? "," : "",
			 keys[i].name);
	}
}

int config_set(struct config *c, const char *key, const char *value, struct config_error *err)
{
	const struct key *k = find_key(key);
	struct config_error why;

	if (!k) {
		error_unknown_key(key, err);
		return -EINVAL;
	}
	if (!k->set(c, value))
		return 0;
	why.text[0] = '\0';
	if (k->blame)
		k->blame(value, &why);
	error_set(err, "%s = '%.80s': %s%s", key, value, why.text[0] ? "" : "must be ",
		  why.text[0] ? why.text : k->allowed);
	return -EINVAL;
}

/* Where the reader is in the file, and the first thing that was wrong. */
struct reading {
	struct config *config;
	FILE *file;
	unsigned line;
	bool continues; /* the line: it begins with a blank, and goes on with the value before */
	char value[4096]; /* of the key before */
	unsigned set_on[ARRAY_SIZE(keys)]; /* line, 0: not set */
	unsigned error_line;
	struct config_error error;
	int read_error; /* errno */
};

static char *read_line(char *str, int num, void *stream)
{
	struct reading *r = stream;

	if (!fgets(str, num, r->file)) {
		r->read_error = ferror(r->file) ? errno : 0;
		return NULL;
	}
	r->line++;
	r->continues = str[0] == ' ' || str[0] == '\t';
	if (!strchr(str, '\n') && !feof(r->file) && !r->error_line) {
		r->error_line = r->line;
		error_set(&r->error, "line too long: at most %d characters (a line that begins "
				     "with a blank goes on with the value before)", num - 3);
	}
	return str;
}

static int take_value(struct reading *r, const char *section, const char *name, const char *value)
{
	const struct key *k = find_key(name);
	size_t used;

	if (strcmp(section, "vifd")) {
		if (section[0])
			error_set(&r->error, "unknown section [%.40s]; known is [vifd]", section);
		else
			error_set(&r->error, "'%.40s' stands before any section; begin with [vifd]",
				  name);
		return -EINVAL;
	}
	if (k && r->set_on[k - keys] && !r->continues) {
		error_set(&r->error, "%s is set twice, first on line %u", name, r->set_on[k - keys]);
		return -EINVAL;
	}
	if (k && !r->continues)
		r->set_on[k - keys] = r->line;
	used = r->continues ? strlen(r->value) : 0;
	if ((size_t)snprintf(r->value + used, sizeof(r->value) - used, "%s%s", used ? " " : "",
			     value) >= sizeof(r->value) - used) {
		error_set(&r->error, "%s: more than %zu characters", name, sizeof(r->value) - 1);
		return -EINVAL;
	}
	return config_set(r->config, name, r->value, &r->error);
}

static int on_value(void *user, const char *section, const char *name, const char *value)
{
	struct reading *r = user;

	if (!r->error_line && take_value(r, section, name, value))
		r->error_line = r->line;
	return 1;
}

int config_read(struct config *c, const char *file, struct config_error *err)
{
	struct reading r = { .config = c, .file = fopen(file, "re") };
	int bad_line, rc = 0;

	if (!r.file) {
		rc = -errno;
		error_set(err, "%s: %s", file, strerror(-rc));
		return rc;
	}
	bad_line = ini_parse_stream(read_line, &r, on_value, &r);
	if (r.error_line && (bad_line <= 0 || r.error_line <= (unsigned)bad_line)) {
		error_set(err, "%.255s:%u: %.700s", file, r.error_line, r.error.text);
		rc = -EINVAL;
	} else if (bad_line > 0) {
		error_set(err, "%.255s:%d: neither '[section]', 'key = value' nor a # comment", file,
			  bad_line);
		rc = -EINVAL;
	} else if (r.read_error) {
		error_set(err, "%s: %s", file, strerror(r.read_error));
		rc = -r.read_error;
	} else if (bad_line < 0) { /* inih's own memory */
		error_set(err, "%s: cannot be read", file);
		rc = -ENOMEM;
	}
	fclose(r.file);
	return rc;
}

void config_print(const struct config *c, FILE *out)
{
	fputs("[vifd]\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		fprintf(out, "%s = ", keys[i].name);
		keys[i].print(c, out);
		fputc('\n', out);
	}
}

int config_lookup_user(const struct config *c, uint32_t *uid, uint32_t *gid,
		       struct config_error *err)
{
	const struct passwd *pw = getpwnam(c->user);

	if (!pw) {
		error_set(err, "user = '%s': there is no such user; name another in vifd.conf", c->user);
		return -EINVAL;
	}
	if (!pw->pw_uid) {
		error_set(err, "user = '%s': who touches guests' memory must not be root", c->user);
		return -EINVAL;
	}
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}
