/* SPDX-License-Identifier: MIT */
/*
 * libxl's part in a vif's life; see toolstack.h.
 *
 * Three directories describe a vif: the backend's (dom0 owns, the guest reads),
 * the frontend's (the guest owns, the backend reads) and the toolstack's own
 * mirror of the backend's under /libxl. All three change in one transaction.
 */
#include <err.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "toolstack.h"
#include "xenbus.h"

#define VALUE_MAX 256

struct vif_paths {
	char backend[96], frontend[96], libxl[96];
};

static struct vif_paths paths_of(struct vif_id id)
{
	struct vif_paths p;

	snprintf(p.backend, sizeof(p.backend), "/local/domain/0/backend/vif/%u/%u", id.domid,
		 id.devid);
	snprintf(p.frontend, sizeof(p.frontend), "/local/domain/%u/device/vif/%u", id.domid,
		 id.devid);
	snprintf(p.libxl, sizeof(p.libxl), "/libxl/%u/device/vif/%u", id.domid, id.devid);
	return p;
}

/* Sets who owns a node, and the one other domain that may read it. */
static int grant_read(struct store *s, xs_transaction_t t, const char *path, uint16_t owner,
		      uint16_t reader)
{
	struct xs_permissions perms[2] = { { .id = owner, .perms = XS_PERM_NONE },
					   { .id = reader, .perms = XS_PERM_READ } };

	return xs_set_permissions(s->handle, t, path, perms, 2) ? 0 : -errno;
}

/* Writes a key of a directory and its permissions. */
static int write_key(struct store *s, xs_transaction_t t, const char *dir, const char *key,
		     uint16_t owner, uint16_t reader, const char *value)
{
	char path[XENSTORE_ABS_PATH_MAX];
	int err;

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	err = store_write(s, t, value, "%s", path);
	return err ? err : grant_read(s, t, path, owner, reader);
}

static int make_dir(struct store *s, xs_transaction_t t, const char *path, uint16_t owner,
		    uint16_t reader)
{
	if (store_exists(s, t, "%s", path)) {
		int err = store_remove(s, t, "%s", path);

		if (err)
			return err;
	}
	if (!xs_mkdir(s->handle, t, path))
		return -errno;
	return grant_read(s, t, path, owner, reader);
}

/* What the caller wants in place of a key's default: the value, NULL to leave the key
 * out, or the default itself. */
static const char *overridden(const struct toolstack_vif *vif, const char *key, const char *value)
{
	size_t n = strlen(key);

	for (uint32_t i = 0; i < vif->n_keys; i++) {
		if (strncmp(vif->key[i], key, n) != 0)
			continue;
		if (vif->key[i][n] == '=')
			return vif->key[i] + n + 1;
		if (vif->key[i][n] == '\0')
			return NULL;
	}
	return value;
}

struct entry {
	const char *key;
	const char *value;
};

static int add_frontend(struct store *s, xs_transaction_t t, const struct toolstack_vif *vif,
			const struct vif_paths *p)
{
	char handle[12];
	const struct entry entries[] = {
		{ "backend", p->backend }, { "backend-id", "0" }, { "state", "1" },
		{ "handle", handle },	   { "mac", vif->mac },	  { "trusted", "1" },
	};
	uint16_t guest = vif->id.domid;
	int err = make_dir(s, t, p->frontend, guest, 0);

	snprintf(handle, sizeof(handle), "%u", vif->id.devid);
	for (size_t i = 0; i < ARRAY_SIZE(entries) && !err; i++)
		err = write_key(s, t, p->frontend, entries[i].key, guest, 0, entries[i].value);
	return err ? err : write_key(s, t, p->frontend, "mtu", 0, guest, "1500");
}

/* The backend's directory or the toolstack's mirror of it. */
static int add_backend(struct store *s, xs_transaction_t t, const struct toolstack_vif *vif,
		       const struct vif_paths *p, const char *dir)
{
	char domid[12], handle[12], key[VALUE_MAX];
	const struct entry entries[] = {
		{ "frontend", p->frontend }, { "frontend-id", domid },
		{ "online", "1" },	     { "state", "1" },
		{ "script", vif->script },   { "mac", vif->mac },
		{ "bridge", vif->bridge },   { "handle", handle },
		{ "type", "vif" },	     { "hotplug-status", "" },
	};
	uint16_t reader = dir == p->backend ? vif->id.domid : 0;
	int err = make_dir(s, t, dir, 0, reader);

	snprintf(domid, sizeof(domid), "%u", vif->id.domid);
	snprintf(handle, sizeof(handle), "%u", vif->id.devid);
	for (size_t i = 0; i < ARRAY_SIZE(entries) && !err; i++) {
		const char *value = overridden(vif, entries[i].key, entries[i].value);

		if (value)
			err = write_key(s, t, dir, entries[i].key, 0, reader, value);
	}
	for (uint32_t i = 0; i < vif->n_keys && !err; i++) {
		const char *equals = strchr(vif->key[i], '=');

		if (!equals)
			continue;
		snprintf(key, sizeof(key), "%.*s", (int)(equals - vif->key[i]), vif->key[i]);
		err = write_key(s, t, dir, key, 0, reader, equals + 1);
	}
	return err;
}

static int add_vif(struct store *s, xs_transaction_t t, void *arg)
{
	const struct toolstack_vif *vif = arg;
	struct vif_paths p = paths_of(vif->id);
	int err = add_frontend(s, t, vif, &p);

	if (!err)
		err = add_backend(s, t, vif, &p, p.backend);
	/* the mirror is the toolstack's alone, and says where its subject is */
	if (!err)
		err = add_backend(s, t, vif, &p, p.libxl);
	return err ? err : store_write(s, t, p.backend, "%s/backend", p.libxl);
}

/* Removes a directory and those above it that become empty, as libxl does. */
static int remove_up(struct store *s, xs_transaction_t t, const char *path)
{
	char parent[XENSTORE_ABS_PATH_MAX];
	int err = store_remove(s, t, "%s", path);

	if (err)
		return err == -ENOENT ? 0 : err;
	snprintf(parent, sizeof(parent), "%s", path);
	for (;;) {
		char *slash = strrchr(parent, '/');
		char **children;
		unsigned n;

		*slash = '\0';
		if (slash == parent || store_list(s, t, &children, &n, "%s", parent))
			return 0;
		free(children);
		if (n)
			return 0;
		err = store_remove(s, t, "%s", parent);
		if (err)
			return err;
	}
}

static int remove_frontend(struct store *s, xs_transaction_t t, void *arg)
{
	struct vif_paths p = paths_of(*(struct vif_id *)arg);

	return remove_up(s, t, p.frontend);
}

static int remove_vif(struct store *s, xs_transaction_t t, void *arg)
{
	struct vif_paths p = paths_of(*(struct vif_id *)arg);
	int err = remove_up(s, t, p.frontend);

	if (!err)
		err = remove_up(s, t, p.libxl);
	return err ? err : remove_up(s, t, p.backend);
}

/* As libxl asks a backend to let go: it writes the backend's own state. */
static int ask_to_close(struct store *s, xs_transaction_t t, void *arg)
{
	struct vif_paths p = paths_of(*(struct vif_id *)arg);
	int err = store_write(s, t, "0", "%s/online", p.backend);

	return err ? err : store_write(s, t, "5", "%s/state", p.backend);
}

/* The backend's state; -ENOENT without one. */
static int backend_state(struct store *s, const struct vif_paths *p, uint32_t *state)
{
	return store_read_uint(s, XBT_NULL, XENBUS_N_STATES, state, "%s/state", p->backend);
}

/* Consumes watch events until one waits no more. */
static int next_change(struct store *s, uint64_t deadline)
{
	struct pollfd p = { .fd = store_fd(s), .events = POLLIN };
	struct store_event event;
	uint64_t now = process_now_ms();
	int err;

	if (now >= deadline)
		return -ETIMEDOUT;
	if (poll(&p, 1, (int)(deadline - now)) < 0)
		return -errno;
	do
		err = store_next_event(s, &event);
	while (!err);
	return err == -EAGAIN ? 0 : err;
}

/* Waits for the backend to say 'wanted', or with 'or_gone' to have no state at all. */
static int await_state(struct store *s, struct vif_id id, enum xenbus_state wanted, bool or_gone)
{
	struct vif_paths p = paths_of(id);
	uint64_t deadline = process_now_ms() + TOOLSTACK_BACKEND_WAIT_MS;
	uint32_t state = 0;
	int err = store_watch(s, "await-state", "%s/state", p.backend);

	while (!err) {
		err = backend_state(s, &p, &state);
		if ((!err && state == wanted) || (err == -ENOENT && or_gone))
			break;
		if (!err || err == -ENOENT)
			err = next_change(s, deadline);
	}
	store_unwatch(s, "await-state", "%s/state", p.backend);
	if (err == -ENOENT && or_gone)
		return 0;
	if (err == -ETIMEDOUT)
		warnx("vif%u.%u: backend is in state %u (%s) and not in %u (%s) after %u s",
		      id.domid, id.devid, state, xenbus_state_name(state), wanted,
		      xenbus_state_name(wanted), TOOLSTACK_BACKEND_WAIT_MS / 1000);
	return err;
}

/* Runs the hotplug script as libxl does: arguments, environment, relative XENBUS_PATH. */
static int run_script(struct store *s, struct vif_id id, const char *script, const char *what)
{
	const char *const argv[] = { "env",
				     NULL,
				     NULL,
				     NULL,
				     "XENBUS_TYPE=vif",
				     "XENBUS_BASE_PATH=backend",
				     "netdev=",
				     script,
				     what,
				     "type_if=vif",
				     NULL };
	const char *args[ARRAY_SIZE(argv)];
	char script_is[VALUE_MAX + 8], path_is[64], vif_is[32], error[VALUE_MAX];
	struct vif_paths p = paths_of(id);
	int status;

	snprintf(script_is, sizeof(script_is), "script=%s", script);
	snprintf(path_is, sizeof(path_is), "XENBUS_PATH=backend/vif/%u/%u", id.domid, id.devid);
	snprintf(vif_is, sizeof(vif_is), "vif=vif%u.%u", id.domid, id.devid);
	memcpy(args, argv, sizeof(args));
	args[1] = script_is;
	args[2] = path_is;
	args[3] = vif_is;
	status = process_run(args, NULL, TOOLSTACK_SCRIPT_WAIT_MS);
	if (!status)
		return 0;
	if (status == -ETIMEDOUT)
		warnx("vif%u.%u: %s %s did not end within %u s and was killed", id.domid, id.devid,
		      script, what, TOOLSTACK_SCRIPT_WAIT_MS / 1000);
	else if (store_read(s, XBT_NULL, error, sizeof(error), "%s/hotplug-error", p.backend))
		warnx("vif%u.%u: %s %s exited with %d", id.domid, id.devid, script, what, status);
	else
		warnx("vif%u.%u: %s %s: %s", id.domid, id.devid, script, what, error);
	return status < 0 ? status : -EIO;
}

int toolstack_attach(struct store *s, const struct toolstack_vif *vif)
{
	struct toolstack_vif copy = *vif;
	int err;

	if (!store_exists(s, XBT_NULL, "/local/domain/%u", vif->id.domid)) {
		warnx("there is no domain %u", vif->id.domid);
		return -ESRCH;
	}
	if (store_exists(s, XBT_NULL, "%s", paths_of(vif->id).libxl)) {
		warnx("vif%u.%u exists", vif->id.domid, vif->id.devid);
		return -EEXIST;
	}
	err = store_transact(s, add_vif, &copy);
	if (err) {
		warnx("vif%u.%u: xenstore: %s", vif->id.domid, vif->id.devid, strerror(-err));
		return err;
	}
	err = await_state(s, vif->id, XenbusStateInitWait, false);
	return err ? err : run_script(s, vif->id, vif->script, "online");
}

int toolstack_detach(struct store *s, struct vif_id id, bool destroy)
{
	struct vif_paths p = paths_of(id);
	char script[VALUE_MAX];
	uint32_t state;
	int err, wait_err = 0, script_err = 0;

	if (!store_exists(s, XBT_NULL, "%s", p.libxl)) {
		warnx("there is no vif%u.%u", id.domid, id.devid);
		return -ENOENT;
	}
	err = destroy ? store_transact(s, remove_frontend, &id) : 0;
	if (!err && !backend_state(s, &p, &state)) {
		err = store_transact(s, ask_to_close, &id);
		if (!err)
			wait_err = await_state(s, id, XenbusStateClosed, true);
	}
	if (!err && !store_read(s, XBT_NULL, script, sizeof(script), "%s/script", p.libxl))
		script_err = run_script(s, id, script, "offline");
	/* Whatever the backend and the script made of it, the vif goes. */
	if (!err)
		err = store_transact(s, remove_vif, &id);
	if (err)
		warnx("vif%u.%u: xenstore: %s", id.domid, id.devid, strerror(-err));
	return err ? err : wait_err ? wait_err : script_err;
}

int toolstack_forget_domain(struct store *s, uint16_t domid)
{
	static const char *const roots[] = { "/local/domain/%u", "/vm/hosted-%u", "/libxl/%u" };
	char path[64];
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		int err;

		snprintf(path, sizeof(path), roots[i], domid);
		err = store_remove(s, XBT_NULL, "%s", path);
		if (!err || err == -ENOENT)
			continue;
		warnx("xenstore: removing %s: %s", path, strerror(-err));
		result = err;
	}
	return result;
}
