/* SPDX-License-Identifier: MIT */
/* See config_nic.h: NAME[,OPTION=VALUE]... */
#include "backend/control/config_nic.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int config_uint(const char *value, uint32_t min, uint32_t max, uint32_t *out)
{
	char *end;
	unsigned long n;

	if (!isdigit((unsigned char)value[0]))
		return -EINVAL;
	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno || *end || n < min || n > max)
		return -EINVAL;
	*out = (uint32_t)n;
	return 0;
}

/* ---- words ---- */

static const char *const providers[NIC_PROVIDERS + 1] = {
	[NIC_PROVIDER_AFXDP] = "afxdp",
	[NIC_PROVIDER_MODEL] = "model",
};

static const char *const policies[] = {
	[NIC_POLICY_ALL] = "all",
	[NIC_POLICY_NAMED] = "named",
	[NIC_POLICY_BUSIEST] = "busiest",
	NULL,
};

static const char *const steerings[] = {
	[NIC_STEERING_PROGRAM] = "program",
	[NIC_STEERING_DEVICE] = "device",
	[NIC_STEERING_AUTO] = "auto",
	NULL,
};

static const char *const answers[] = { "no", "yes", NULL };

const char *config_nic_provider(const struct nic_config *n)
{
	return providers[n->provider];
}

const char *config_nic_policy(const struct nic_config *n)
{
	return policies[n->policy];
}

/* ---- options ---- */

static int set_filters(struct nic_config *n, const char *value)
{
	return config_uint(value, 1, NIC_PLACES_MAX, &n->filters);
}

/* Linux net/core/dev.c:dev_valid_name(), but for blanks, which part devices here. */
static bool valid_name(const char *name)
{
	return *name && strlen(name) < NIC_NAME_SIZE && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0 && !strpbrk(name, "/:");
}

static int set_wire(struct nic_config *n, const char *value)
{
	if (!valid_name(value))
		return -EINVAL;
	strcpy(n->wire, value);
	return 0;
}

static void set_provider(struct nic_config *n, int number)
{
	n->provider = (enum nic_provider)number;
}

static void set_policy(struct nic_config *n, int number)
{
	n->policy = (enum nic_policy)number;
}

static void set_steering(struct nic_config *n, int number)
{
	n->steering = (enum nic_steering)number;
}

static void set_transmit(struct nic_config *n, int number)
{
	n->transmit = (bool)number;
}

/* Either one of words, or what is allowed and how it is read. */
static const struct option {
	const char *name;
	const char *const *words;
	void (*choose)(struct nic_config *n, int number);
	const char *allowed;
	int (*set)(struct nic_config *n, const char *value);
} options[] = {
	{ .name = "filters", .allowed = "a number, 1 to 16", .set = set_filters },
	{ .name = "policy", .words = policies, .choose = set_policy },
	{ .name = "steering", .words = steerings, .choose = set_steering },
	{ .name = "transmit", .words = answers, .choose = set_transmit },
	{ .name = "provider", .words = providers, .choose = set_provider },
	{ .name = "wire", .allowed = "a device", .set = set_wire },
};
static_assert(NIC_PLACES_MAX == 16, "as 'filters' says");

static void printf_like(3, 4) say(char *out, size_t size, const char *fmt, ...)
{
	size_t used = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out + used, size - used, fmt, ap);
	va_end(ap);
}

static int choose(const struct option *o, struct nic_config *n, const char *value)
{
	for (int i = 0; o->words[i]; i++) {
		if (strcmp(value, o->words[i]))
			continue;
		o->choose(n, i);
		return 0;
	}
	return -EINVAL;
}

static const struct option *find_option(const char *text)
{
	size_t size = strcspn(text, "=");

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (size == strlen(options[i].name) && !memcmp(text, options[i].name, size) &&
		    text[size] == '=')
			return &options[i];
	return NULL;
}

/* 'seen': a bit for each option. */
static int set_option(struct nic_config *n, const char *text, unsigned *seen, char *why,
		      size_t why_size)
{
	const struct option *o = find_option(text);

	if (!o) {
		say(why, why_size, "'%.40s': no such option; known are", text);
		for (size_t i = 0; i < ARRAY_SIZE(options); i++)
			say(why, why_size, "%s %s=", i ? "," : "", options[i].name);
		return -EINVAL;
	}
	if (*seen & 1u << (o - options)) {
		say(why, why_size, "%s= is there twice", o->name);
		return -EINVAL;
	}
	*seen |= 1u << (o - options);
	text = strchr(text, '=') + 1;
	if (!(o->words ? choose(o, n, text) : o->set(n, text)))
		return 0;
	say(why, why_size, "%s = '%.40s': must be %s", o->name, text,
	    o->words ? o->words[0] : o->allowed);
	for (int i = 1; o->words && o->words[i]; i++)
		say(why, why_size, "%s%s", o->words[i + 1] ? ", " : " or ", o->words[i]);
	return -EINVAL;
}

/* Options that do not go together: a device of the kernel's has its own wire, a model is always
 * steered by its filters. */
static int fit(const struct nic_config *n, char *why, size_t why_size)
{
	bool is_model = n->provider == NIC_PROVIDER_MODEL;

	if (is_model && !n->wire[0])
		say(why, why_size, "provider=model needs wire=, the device behind it");
	else if (!is_model && n->wire[0])
		say(why, why_size, "wire= goes with provider=model only");
	else if (is_model && !strcmp(n->name, n->wire))
		say(why, why_size, "wire= is another device, the one behind it");
	else if (is_model && n->steering != NIC_STEERING_PROGRAM)
		say(why, why_size, "steering= does not go with provider=model");
	else
		return 0;
	return -EINVAL;
}

int config_nic_parse(struct nic_config *n, const char *text, char *why, size_t why_size)
{
	char *copy = strdup(text), *rest = copy, *name = strsep(&rest, ",");
	unsigned seen = 0;
	int rc = 0;

	*n = (struct nic_config){ .filters = 0 };
	why[0] = '\0';
	if (name && *name == '#') {
		say(why, why_size, "a comment has a line of its own");
		rc = -EINVAL;
	} else if (!name || !valid_name(name)) {
		say(why, why_size, "'%.40s': a device's name has 1 to %d characters, no '/' or ':'",
		    name ? name : "", NIC_NAME_SIZE - 1);
		rc = -EINVAL;
	} else {
		strcpy(n->name, name);
	}
	while (rest && !rc)
		rc = set_option(n, strsep(&rest, ","), &seen, why, why_size);
	free(copy);
	return rc ? rc : fit(n, why, why_size);
}

/* What is not the default. */
void config_nic_print(const struct nic_config *n, FILE *out)
{
	fputs(n->name, out);
	if (n->filters)
		fprintf(out, ",filters=%u", n->filters);
	if (n->provider)
		fprintf(out, ",provider=%s", providers[n->provider]);
	if (n->wire[0])
		fprintf(out, ",wire=%s", n->wire);
	if (n->steering != NIC_STEERING_PROGRAM)
		fprintf(out, ",steering=%s", steerings[n->steering]);
	if (n->policy)
		fprintf(out, ",policy=%s", policies[n->policy]);
	if (n->transmit)
		fprintf(out, ",transmit=%s", answers[n->transmit]);
}
