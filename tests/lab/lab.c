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

void lab_export(const struct lab *lab)
{
	char value[PATH_MAX];

	setenv("VIF_LAB_NAME", lab->name, 1);
	setenv("VIF_LAB_DIR", LAB_LOGS, 1);
	snprintf(value, sizeof(value), "%u", lab->n_guests);
	setenv("VIF_LAB_GUESTS", value, 1);
	snprintf(value, sizeof(value), "%u", lab->n_queues);
	setenv("VIF_LAB_QUEUES", value, 1);
	setenv("VIF_LAB_MODEL", lab->mq ? "mq" : "bridge", 1);
	setenv("VIF_LAB_NIC", lab->model_nic ? "model" : "afxdp", 1);
	snprintf(value, sizeof(value), "%u", lab->n_filters);
	setenv("VIF_LAB_FILTERS", value, 1);
	setenv("VIF_LAB_STEERING", lab->steering, 1);
	if (lab_has_switch(lab)) { /* for nic_preload.c */
		setenv("VIF_LAB_NIC_DEVICE", lab_uplink(lab).s, 1);
		setenv("VIF_LAB_NIC_TABLE", NIC_SWITCH_TABLE, 1);
	}
	setenv("VIF_LAB_FRONTEND", lab->frontend, 1);
	setenv("VIF_LAB_WITHOUT", lab->without, 1);
	setenv("XENSTORED_RUNDIR", LAB_STORE, 1);
	setenv("XEN_HOSTED_DIR", LAB_XEN, 1);
	unsetenv("XEN_HOSTED_DOMID");
	snprintf(value, sizeof(value), "%s/hosted", lab->bin_dir);
	export_path("LD_LIBRARY_PATH", value);
	export_path("PATH", lab->bin_dir);
}

int lab_import(struct lab *lab)
{
	const char *name = getenv("VIF_LAB_NAME"), *guests = getenv("VIF_LAB_GUESTS");
	const char *frontend = getenv("VIF_LAB_FRONTEND"), *queues = getenv("VIF_LAB_QUEUES");
	const char *without = getenv("VIF_LAB_WITHOUT"), *model = getenv("VIF_LAB_MODEL");
	const char *nic = getenv("VIF_LAB_NIC"), *filters = getenv("VIF_LAB_FILTERS");
	const char *steering = getenv("VIF_LAB_STEERING");
	int err = lab_defaults(lab);

	if (err)
		return err;
	if (!name || !guests || !frontend || !queues || !without || !model ||
	    !nic || !filters || !steering || !lab_name_valid(name) || access(LAB_PIDS, F_OK))
		return -ENOENT;
	strcpy(lab->name, name);
	lab->n_guests = (uint32_t)strtoul(guests, NULL, 10);
	lab->n_queues = (uint32_t)strtoul(queues, NULL, 10);
	lab->mq = !strcmp(model, "mq");
	lab->model_nic = !strcmp(nic, "model");
	lab->n_filters = (uint32_t)strtoul(filters, NULL, 10);
	snprintf(lab->steering, sizeof(lab->steering), "%s", steering);
	snprintf(lab->frontend, sizeof(lab->frontend), "%s", frontend);
	snprintf(lab->without, sizeof(lab->without), "%s", without);
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
