/* SPDX-License-Identifier: MIT */
/* See config_nic.h: NAME[,OPTION=VALUE]... */
#include "backend/control/config_nic.h"

#include <ctype.h>
#include <errno.h>
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

static const char *const providers[NIC_PROVIDERS] = {
	[NIC_PROVIDER_AFXDP] = "afxdp",
	[NIC_PROVIDER_MODEL] = "model",
};

static const char *const policies[] = {
	[NIC_POLICY_ALL] = "all",
	[NIC_POLICY_NAMED] = "named",
	[NIC_POLICY_BUSIEST] = "busiest",
};

static const char *const steerings[] = {
	[NIC_STEERING_PROGRAM] = "program",
	[NIC_STEERING_DEVICE] = "device",
	[NIC_STEERING_AUTO] = "auto",
};

static const char *const answers[] = { "no", "yes" };

const char *config_nic_provider(const struct nic_config *n)
{
	return providers[n->provider];
}

const char *config_nic_policy(const struct nic_config *n)
{
	return policies[n->policy];
}

/* The number of a word among n, or -EINVAL. */
static int number_of(const char *value, const char *const words[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(value, words[i]))
			return (int)i;
	return -EINVAL;
}

/* ---- options ---- */

static int set_filters(struct nic_config *n, const char *value)
{
	return config_uint(value, 1, NIC_PLACES_MAX, &n->filters);
}

static int set_provider(struct nic_config *n, const char *value)
{
	int number = number_of(value, providers, ARRAY_SIZE(providers));

	if (number < 0)
		return number;
	n->provider = (enum nic_provider)number;
	return 0;
}

static int set_policy(struct nic_config *n, const char *value)
{
	int number = number_of(value, policies, ARRAY_SIZE(policies));

	if (number < 0)
		return number;
	n->policy = (enum nic_policy)number;
	return 0;
}

static int set_steering(struct nic_config *n, const char *value)
{
	int number = number_of(value, steerings, ARRAY_SIZE(steerings));

	if (number < 0)
		return number;
	n->steering = (enum nic_steering)number;
	return 0;
}

static int set_transmit(struct nic_config *n, const char *value)
{
	int number = number_of(value, answers, ARRAY_SIZE(answers));

	if (number < 0)
		return number;
	n->transmit = (bool)number;
	return 0;
}

static int set_wire(struct nic_config *n, const char *value)
{
	if (!value[0] || strlen(value) >= sizeof(n->wire))
		return -EINVAL;
	strcpy(n->wire, value);
	return 0;
}

static const struct option {
	const char *name;
	int (*set)(struct nic_config *n, const char *value);
} options[] = {
	{ "filters", set_filters },   { "policy", set_policy },	    { "steering", set_steering },
	{ "transmit", set_transmit }, { "provider", set_provider }, { "wire", set_wire },
};

static int set_option(struct nic_config *n, const char *text)
{
	size_t size = strcspn(text, "=");

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (size == strlen(options[i].name) && !memcmp(text, options[i].name, size) &&
		    text[size] == '=')
			return options[i].set(n, text + size + 1);
	return -EINVAL;
}

/* Options that do not go together. */
static bool fits(const struct nic_config *n)
{
	bool is_model = n->provider == NIC_PROVIDER_MODEL;

	/* A device of the kernel's has its own wire; a model is always steered by its filters. */
	return is_model == (n->wire[0] != '\0') &&
	       (!is_model || n->steering == NIC_STEERING_PROGRAM);
}

int config_nic_parse(struct nic_config *n, const char *text)
{
	char *copy = strdup(text), *rest = copy, *name = strsep(&rest, ",");
	int rc = 0;

	*n = (struct nic_config){ .filters = 0 };
	if (!name || !*name || strlen(name) >= sizeof(n->name))
		rc = -EINVAL;
	else
		strcpy(n->name, name);
	while (rest && !rc)
		rc = set_option(n, strsep(&rest, ","));
	free(copy);
	return rc ? rc : fits(n) ? 0 : -EINVAL;
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
