/* SPDX-License-Identifier: MIT */
/* See fault.h. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "fault.h"
#include "hosted.h"

static const char *const names[HX_N_FAULTS] = { "map", "copy", "event-drop", "event-dup",
						"event-delay" };

static struct {
	uint64_t nth; /* 0: never */
	bool repeat;
	_Atomic uint64_t count;
} faults[HX_N_FAULTS];

static _Atomic bool planned;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int parse_one(char *item)
{
	char *value = strchr(item, ':');
	char *end;

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	for (int i = 0; i < HX_N_FAULTS; i++) {
		if (strcmp(item, names[i]))
			continue;
		faults[i].repeat = *value == '*';
		value += faults[i].repeat;
		faults[i].nth = strtoull(value, &end, 10);
		if (!faults[i].nth || *end)
			return -EINVAL;
		atomic_store(&planned, true);
		return 0;
	}
	return -EINVAL;
}

static int set_plan(const char *plan)
{
	char *copy = strdup(plan), *save = NULL;
	int rc = copy ? 0 : -ENOMEM;

	atomic_store(&planned, false);
	for (int i = 0; i < HX_N_FAULTS; i++) {
		faults[i].nth = 0;
		atomic_store(&faults[i].count, 0);
	}
	for (char *item = copy ? strtok_r(copy, ",", &save) : NULL; item && !rc;
	     item = strtok_r(NULL, ",", &save))
		rc = parse_one(item);
	free(copy);
	return rc;
}

/* A plan that cannot be read must not pass for a run without faults. */
static void read_env(void)
{
	const char *plan = getenv(HOSTED_ENV_FAULTS);

	if (plan && set_plan(plan))
		abort();
}

int hosted_fault_plan(const char *plan)
{
	pthread_once(&once, read_env);
	return set_plan(plan ? plan : "");
}

bool hx_faults_planned(void)
{
	pthread_once(&once, read_env);
	return atomic_load_explicit(&planned, memory_order_relaxed);
}

bool hx_fault(enum hx_fault kind)
{
	uint64_t n;

	if (!hx_faults_planned() || !faults[kind].nth)
		return false;
	n = atomic_fetch_add(&faults[kind].count, 1) + 1;
	return faults[kind].repeat ? n % faults[kind].nth == 0 : n == faults[kind].nth;
}
