/* SPDX-License-Identifier: MIT */
/*
 * What the lab's parts share: names, the environment, the messages between lab
 * init and its user. See lab.h.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nic_switch.h"

static struct lab_name name_of(const struct lab *lab, const char *suffix)
{
	struct lab_name n;

	snprintf(n.s, sizeof(n.s), "%s%s", lab->name, suffix);
	return n;
}

struct lab_name lab_wire(const struct lab *lab)
{
	return name_of(lab, "-wire");
}

struct lab_name lab_dom0(const struct lab *lab)
{
	return name_of(lab, "-dom0");
}

struct lab_name lab_guest(const struct lab *lab, uint32_t guest)
{
	char suffix[16];

	snprintf(suffix, sizeof(suffix), "-g%u", guest);
	return name_of(lab, suffix);
}

struct lab_name lab_bridge(const struct lab *lab)
{
	return name_of(lab, "br0");
}

struct lab_name lab_cable(const struct lab *lab)
{
	return name_of(lab, "w0");
}

struct lab_name lab_uplink(const struct lab *lab)
{
	return name_of(lab, lab->mq && lab->model_nic ? "mq0" : "w0");
}

struct lab_name lab_switch(const struct lab *lab)
{
	return name_of(lab, "-switch");
}

bool lab_has_switch(const struct lab *lab)
{
	return lab->mq && !lab->model_nic && lab->steering[0] && strcmp(lab->steering, "program");
}

int lab_defaults(struct lab *lab)
{
	ssize_t n;
	char *slash;

	memset(lab, 0, sizeof(*lab));
	strcpy(lab->name, "lab");
	lab->n_queues = 1;
	n = readlink("/proc/self/exe", lab->bin_dir, sizeof(lab->bin_dir) - 1);
	if (n < 0)
		return -errno;
	slash = strrchr(lab->bin_dir, '/');
	if (!slash)
		return -EINVAL;
	*slash = '\0';
	return 0;
}

bool lab_name_valid(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > LAB_NAME_MAX || !isalpha((unsigned char)s[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '-')
			return false;
	return true;
}

/* NAME=first, and what NAME was before behind a colon. */
static void export_path(const char *name, const char *first)
{
	const char *old = getenv(name);
	char *value;

	if (asprintf(&value, "%s%s%s", first, old && *old ? ":" : "", old ? old : "") < 0)
		return;
	setenv(name, value, 1);
	free(value);
}

/* ---- what it was told ---- */

static struct lab_word number(const char *key, uint32_t value)
{
	struct lab_word w = { .key = key };

	snprintf(w.value, sizeof(w.value), "%u", value);
	return w;
}

static struct lab_word text(const char *key, const char *value)
{
	struct lab_word w = { .key = key };

	snprintf(w.value, sizeof(w.value), "%s", value);
	return w;
}

void lab_words(const struct lab *lab, struct lab_word out[LAB_WORDS])
{
	const struct lab_word words[] = {
		number("GUESTS", lab->n_guests),
		number("QUEUES", lab->n_queues),
		number("WORKERS", lab->n_workers),
		number("FILTERS", lab->n_filters),
		text("MODEL", lab->mq ? "mq" : "bridge"),
		text("NIC", lab->model_nic ? "model" : "afxdp"),
		text("STEERING", lab->steering),
		text("NICE", lab->nice),
		text("FRONTEND", lab->frontend),
		text("WITHOUT", lab->without),
	};

	static_assert(sizeof(words) == LAB_WORDS * sizeof(*words), "all");
	memcpy(out, words, sizeof(words));
}

static bool take_number(uint32_t *to, const char *value)
{
	char *end;

	*to = (uint32_t)strtoul(value, &end, 10);
	return end != value && !*end;
}

static bool take_text(char *to, size_t size, const char *value)
{
	return (size_t)snprintf(to, size, "%s", value) < size;
}

bool lab_take_word(struct lab *lab, const char *key, const char *value)
{
	if (!strcmp(key, "GUESTS"))
		return take_number(&lab->n_guests, value) && lab->n_guests <= LAB_GUESTS_MAX;
	if (!strcmp(key, "QUEUES"))
		return take_number(&lab->n_queues, value);
	if (!strcmp(key, "WORKERS"))
		return take_number(&lab->n_workers, value);
	if (!strcmp(key, "FILTERS"))
		return take_number(&lab->n_filters, value);
	if (!strcmp(key, "STEERING"))
		return take_text(lab->steering, sizeof(lab->steering), value);
	if (!strcmp(key, "NICE"))
		return take_text(lab->nice, sizeof(lab->nice), value);
	if (!strcmp(key, "FRONTEND"))
		return take_text(lab->frontend, sizeof(lab->frontend), value);
	if (!strcmp(key, "WITHOUT"))
		return take_text(lab->without, sizeof(lab->without), value);
	if (!strcmp(key, "MODEL"))
		lab->mq = !strcmp(value, "mq");
	else if (!strcmp(key, "NIC"))
		lab->model_nic = !strcmp(value, "model");
	else
		return false;
	return true;
}

static void variable_of(const struct lab_word *w, char out[32])
{
	snprintf(out, 32, "VIF_LAB_%s", w->key);
}

void lab_export(const struct lab *lab)
{
	struct lab_word words[LAB_WORDS];
	char name[32], hosted[PATH_MAX];

	lab_words(lab, words);
	for (uint32_t i = 0; i < LAB_WORDS; i++) {
		variable_of(&words[i], name);
		setenv(name, words[i].value, 1);
	}
	setenv("VIF_LAB_NAME", lab->name, 1);
	setenv("VIF_LAB_DIR", LAB_LOGS, 1);
	if (lab_has_switch(lab)) { /* for nic_preload.c */
		setenv("VIF_LAB_NIC_DEVICE", lab_uplink(lab).s, 1);
		setenv("VIF_LAB_NIC_TABLE", NIC_SWITCH_TABLE, 1);
	}
	setenv("XENSTORED_RUNDIR", LAB_STORE, 1);
	setenv("XEN_HOSTED_DIR", LAB_XEN, 1);
	unsetenv("XEN_HOSTED_DOMID");
	snprintf(hosted, sizeof(hosted), "%s/hosted", lab->bin_dir);
	export_path("LD_LIBRARY_PATH", hosted);
	export_path("PATH", lab->bin_dir);
}

int lab_import(struct lab *lab)
{
	const char *name = getenv("VIF_LAB_NAME");
	struct lab_word words[LAB_WORDS];
	int err = lab_defaults(lab);

	if (err)
		return err;
	if (!name || !lab_name_valid(name) || access(LAB_PIDS, F_OK))
		return -ENOENT;
	strcpy(lab->name, name);
	lab_words(lab, words); /* for the keys */
	for (uint32_t i = 0; i < LAB_WORDS; i++) {
		char variable[32];
		const char *value;

		variable_of(&words[i], variable);
		value = getenv(variable);
		if (!value || !lab_take_word(lab, words[i].key, value))
			return -ENOENT;
	}
	return 0;
}

int lab_send(int fd, enum lab_message_kind kind, int value)
{
	struct lab_message m = { .kind = kind, .value = value };

	return send(fd, &m, sizeof(m), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int lab_receive(int fd, struct lab_message *out)
{
	ssize_t n = recv(fd, out, sizeof(*out), 0);

	if (n < 0)
		return -errno;
	return n == sizeof(*out) ? 0 : -EPIPE;
}
