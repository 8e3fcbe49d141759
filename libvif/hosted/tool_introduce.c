/* SPDX-License-Identifier: MIT */
/*
 * hosted-xen introduce: what libxl does for a new domain in xenstore. Nodes and
 * owners are those libxl 4.17 creates (libxl__domain_make, libxl__build_post),
 * without the parts about a kernel's image and memory.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>
#include "hosted.h"
#include "tool.h"

enum access { DOM0_ONLY, GUEST_READS, GUEST_OWNS };

struct node {
	enum access access;
	const char *path; /* %u: the domid */
};

static const struct node nodes[] = {
	{ GUEST_READS, "/local/domain/%u" },
	{ GUEST_READS, "/vm/hosted-%u" },
	{ DOM0_ONLY, "/libxl/%u" },
	{ DOM0_ONLY, "/libxl/%u/device" },
	{ GUEST_READS, "/local/domain/%u/cpu" },
	{ GUEST_READS, "/local/domain/%u/memory" },
	{ GUEST_READS, "/local/domain/%u/device" },
	{ GUEST_READS, "/local/domain/%u/control" },
	{ GUEST_OWNS, "/local/domain/%u/control/shutdown" },
	{ GUEST_OWNS, "/local/domain/%u/control/feature-poweroff" },
	{ GUEST_OWNS, "/local/domain/%u/control/feature-reboot" },
	{ GUEST_OWNS, "/local/domain/%u/control/feature-suspend" },
	{ GUEST_OWNS, "/local/domain/%u/control/sysrq" },
	{ GUEST_OWNS, "/local/domain/%u/device/suspend/event-channel" },
	{ GUEST_OWNS, "/local/domain/%u/data" },
	{ GUEST_OWNS, "/local/domain/%u/drivers" },
	{ GUEST_OWNS, "/local/domain/%u/feature" },
	{ GUEST_OWNS, "/local/domain/%u/attr" },
	{ GUEST_OWNS, "/local/domain/%u/error" },
};

static bool make_node(struct xs_handle *xs, xs_transaction_t t, uint32_t domid,
		      const struct node *node)
{
	struct xs_permissions perms[2] = {
		{ .id = node->access == GUEST_OWNS ? domid : 0, .perms = XS_PERM_NONE },
		{ .id = domid, .perms = XS_PERM_READ },
	};
	char path[128];

	snprintf(path, sizeof(path), node->path, domid);
	return xs_mkdir(xs, t, path) &&
	       xs_set_permissions(xs, t, path, perms, node->access == GUEST_READS ? 2 : 1);
}

static bool put(struct xs_handle *xs, xs_transaction_t t, uint32_t domid, const char *key,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static bool put(struct xs_handle *xs, xs_transaction_t t, uint32_t domid, const char *key,
		const char *fmt, ...)
{
	char path[128], value[128];
	va_list ap;
	int n;

	snprintf(path, sizeof(path), "/local/domain/%u/%s", domid, key);
	va_start(ap, fmt);
	n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	return n < (int)sizeof(value) && xs_write(xs, t, path, value, (unsigned int)n);
}

static bool remove_old(struct xs_handle *xs, xs_transaction_t t, uint32_t domid)
{
	static const char *const roots[] = { "/local/domain/%u", "/vm/hosted-%u", "/libxl/%u" };
	char path[64];

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		snprintf(path, sizeof(path), roots[i], domid);
		if (!xs_rm(xs, t, path) && errno != ENOENT)
			return false;
	}
	return true;
}

static bool fill(struct xs_handle *xs, xs_transaction_t t, uint32_t domid, const char *name,
		 uint32_t frame, uint32_t port)
{
	if (!remove_old(xs, t, domid))
		return false;
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		if (!make_node(xs, t, domid, &nodes[i]))
			return false;
	return put(xs, t, domid, "vm", "/vm/hosted-%u", domid) &&
	       put(xs, t, domid, "name", "%s", name) && put(xs, t, domid, "domid", "%u", domid) &&
	       put(xs, t, domid, "store/ring-ref", "%u", frame) &&
	       put(xs, t, domid, "store/port", "%u", port);
}

static int populate(struct xs_handle *xs, uint32_t domid, const char *name, uint32_t frame,
		    uint32_t port)
{
	for (int attempt = 0; attempt < 100; attempt++) {
		xs_transaction_t t = xs_transaction_start(xs);

		if (!t)
			break;
		if (!fill(xs, t, domid, name, frame, port)) {
			int saved = errno;

			xs_transaction_end(xs, t, true);
			errno = saved;
			break;
		}
		if (xs_transaction_end(xs, t, false))
			return 0;
		if (errno != EAGAIN)
			break;
	}
	return tool_error("xenstore nodes of domain %u: %s", domid, strerror(errno));
}

int tool_introduce(uint32_t domid, const char *name, const char *store_rundir)
{
	char fallback[32];
	uint32_t frame, port;
	struct xs_handle *xs;
	int rc = hosted_store_setup(domid, &frame, &port);

	if (rc)
		return tool_error("domain %u: %s", domid,
				  rc == -ESRCH ? "does not exist" : strerror(-rc));
	setenv("XENSTORED_RUNDIR", store_rundir, 1);
	xs = xs_open(0);
	if (!xs)
		return tool_error("no xenstored at %s/socket: %s", store_rundir, strerror(errno));
	snprintf(fallback, sizeof(fallback), "domain-%u", domid);
	rc = populate(xs, domid, name ? name : fallback, frame, port);
	if (!rc && !xs_introduce_domain(xs, domid, frame, port))
		rc = tool_error("xenstored does not take domain %u: %s", domid, strerror(errno));
	xs_close(xs);
	return rc;
}
