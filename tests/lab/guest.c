/* SPDX-License-Identifier: MIT */
/*
 * A guest's life: domain, store proxy, vif, vif-guest; see guest.h. The order is
 * xl's: the domain exists and its vif waits before the guest runs at all.
 */
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "frontend-compat/dialect.h"
#include "guest.h"
#include "process.h"
#include "toolstack.h"

#define TOOL_WAIT_MS	 10000
#define CONNECT_WAIT_MS	 20000
#define SHUTDOWN_WAIT_MS 10000
#define TELL_WAIT_MS	 20000

#define CONTROL_SOCKET LAB_DIR "/guest-%u.sock"

/* The names and addresses of one guest. */
struct guest {
	uint32_t n;
	char domid[12], queues[12], store[64], ip[24], ip6[24], stats[64], control[64];
	char proxy_name[32], name[32];
	struct lab_name netns;
	char hosted_xen[PATH_MAX], vif_guest[PATH_MAX];
};

static struct guest guest_of(const struct lab *lab, uint32_t n)
{
	struct guest g = { .n = n, .netns = lab_guest(lab, n) };

	snprintf(g.domid, sizeof(g.domid), "%u", n);
	snprintf(g.queues, sizeof(g.queues), "%u", lab->n_queues);
	snprintf(g.store, sizeof(g.store), LAB_DIR "/store-%u", n);
	snprintf(g.ip, sizeof(g.ip), "10.77.0.%u/24", 10 + n);
	snprintf(g.ip6, sizeof(g.ip6), "fd77::%u/64", 10 + n);
	snprintf(g.stats, sizeof(g.stats), LAB_LOGS "/guest-%u.stats", n);
	snprintf(g.control, sizeof(g.control), CONTROL_SOCKET, n);
	snprintf(g.proxy_name, sizeof(g.proxy_name), "store-proxy-%u", n);
	snprintf(g.name, sizeof(g.name), "guest-%u", n);
	snprintf(g.hosted_xen, sizeof(g.hosted_xen), "%s/hosted-xen", lab->bin_dir);
	snprintf(g.vif_guest, sizeof(g.vif_guest), "%s/vif-guest", lab->bin_dir);
	return g;
}

void guest_set_frontend(struct lab *lab, const char *name)
{
	if (!name)
		name = frontend_dialects[0].name;
	if (!dialect_find(name)) {
		fprintf(stderr, "vif-lab: --frontend is not '%s' but one of\n", name);
		for (const struct frontend_dialect *d = frontend_dialects; d->name; d++)
			fprintf(stderr, "  %-16s %s\n", d->name, d->about);
		exit(LAB_EXIT_FAILED);
	}
	snprintf(lab->frontend, sizeof(lab->frontend), "%s", name);
}

void guest_set_without(struct lab *lab, const char *list)
{
	uint32_t features;

	if (choice_parse_without(list, &features) ||
	    snprintf(lab->without, sizeof(lab->without), "%s", list) >= (int)sizeof(lab->without)) {
		fprintf(stderr,
			"vif-lab: --without is not '%s' but some of sg,gso-tcpv4,"
			"gso-tcpv6,csum-v4,csum-v6,split-event-channels,multicast-control\n",
			list);
		exit(LAB_EXIT_FAILED);
	}
}

struct guest_mac guest_mac(uint32_t guest, uint32_t devid)
{
	struct guest_mac m;

	snprintf(m.s, sizeof(m.s), "00:16:3e:77:%02x:%02x", devid & 0xff, guest & 0xff);
	return m;
}

static int hosted_xen(const struct guest *g, const char *const words[])
{
	const char *argv[8] = { g->hosted_xen };
	int status;

	for (size_t i = 0; words[i]; i++)
		argv[1 + i] = words[i];
	status = process_run(argv, NULL, TOOL_WAIT_MS);
	if (status)
		warnx("guest %u: hosted-xen %s failed", g->n, words[0]);
	return status < 0 ? status : status ? -EIO : 0;
}

static int create_domain(const struct guest *g)
{
	const char *const create[] = { "create", g->domid, NULL };
	const char *const introduce[] = { "introduce", g->domid, "--store-rundir",
					  LAB_STORE,   "--name", g->netns.s,
					  NULL };
	int err = hosted_xen(g, create);

	return err ? err : hosted_xen(g, introduce);
}

static int attach_vif(const struct lab *lab, const struct guest *g)
{
	struct lab_name bridge = lab_bridge(lab);
	struct guest_mac mac = guest_mac(g->n, 0);
	struct toolstack_vif vif = { .id.domid = (uint16_t)g->n,
				     .mac = mac.s,
				     .bridge = bridge.s,
				     .script = LAB_VIF_SCRIPT };
	struct store s;
	int err = store_open(&s);

	if (err) {
		warnx("guest %u: xenstore: %s", g->n, strerror(-err));
		return err;
	}
	err = toolstack_attach(&s, &vif);
	store_close(&s);
	return err;
}

static int start_daemon(const struct guest *g, const struct daemon *d)
{
	int err = process_start_daemon(d);

	if (err == -ETIMEDOUT)
		warnx("guest %u: %s is not ready after %u s", g->n, d->name, d->ready_ms / 1000);
	else if (err)
		warnx("guest %u: %s did not start; its log is " LAB_LOGS "/%s.log", g->n, d->name,
		      d->name);
	return err;
}

static int start_proxy(const struct guest *g)
{
	const struct daemon proxy = { .name = g->proxy_name,
				      .domid = g->n,
				      .argv = { g->hosted_xen, "store-proxy", "--domid", g->domid,
						"--rundir", g->store, "--ready-fd",
						PROCESS_READY_FD },
				      .ready_ms = TOOL_WAIT_MS };

	if (mkdir(g->store, 0755) && errno != EEXIST)
		return -errno;
	return start_daemon(g, &proxy);
}

static int start_vif_guest(const struct lab *lab, const struct guest *g)
{
	const struct daemon d = {
		.name = g->name,
		.domid = g->n,
		.store = g->store,
		.argv = { g->vif_guest, "--domid",    g->domid,	       "--netns",  g->netns.s,
			  "--ifname",	"eth0",	      "--ip",	       g->ip,	   "--ip6",
			  g->ip6,	"--frontend", lab->frontend,   "--queues", g->queues,
			  "--without",	lab->without, "--stats-file",  g->stats,   "--control",
			  g->control,	"--ready-fd", PROCESS_READY_FD },
		.ready_ms = CONNECT_WAIT_MS
	};

	return start_daemon(g, &d);
}

int guest_start(const struct lab *lab, uint32_t n)
{
	struct guest g = guest_of(lab, n);
	int err;

	if (process_find(g.proxy_name) > 0) {
		warnx("guest %u runs already", n);
		return -EEXIST;
	}
	err = create_domain(&g);
	if (!err)
		err = start_proxy(&g);
	if (!err)
		err = attach_vif(lab, &g);
	return err ? err : start_vif_guest(lab, &g);
}

/* Removes the domain's vifs, then the domain: libxl's order. */
static int destroy_domain(const struct guest *g)
{
	const char *const destroy[] = { "destroy", g->domid, NULL };
	struct vif_id id = { .domid = (uint16_t)g->n };
	char **devids;
	unsigned n_vifs;
	struct store s;
	int err = store_open(&s), vif_err = 0;

	if (err) {
		warnx("guest %u: xenstore: %s", g->n, strerror(-err));
		return err;
	}
	if (!store_list(&s, XBT_NULL, &devids, &n_vifs, "/libxl/%u/device/vif", g->n)) {
		for (unsigned i = 0; i < n_vifs; i++) {
			id.devid = (uint32_t)strtoul(devids[i], NULL, 10);
			err = toolstack_detach(&s, id, true);
			vif_err = vif_err ? vif_err : err;
		}
		free(devids);
	}
	process_stop(g->proxy_name, SIGTERM, TOOL_WAIT_MS);
	err = hosted_xen(g, destroy);
	if (!err)
		err = toolstack_forget_domain(&s, id.domid);
	store_close(&s);
	return vif_err ? vif_err : err;
}

int guest_stop(const struct lab *lab, uint32_t n, bool destroy)
{
	struct guest g = guest_of(lab, n);
	int err, stop_err = 0;

	if (process_find(g.proxy_name) <= 0) {
		warnx("guest %u does not run", n);
		return -ESRCH;
	}
	if (destroy)
		process_stop(g.name, SIGKILL, SHUTDOWN_WAIT_MS);
	else
		stop_err = process_stop(g.name, SIGTERM, SHUTDOWN_WAIT_MS);
	if (stop_err == -ETIMEDOUT)
		warnx("guest %u did not shut down within %u s", n, SHUTDOWN_WAIT_MS / 1000);
	err = destroy_domain(&g);
	return err ? err : stop_err;
}

static int open_control(uint32_t n)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	snprintf(a.sun_path, sizeof(a.sun_path), CONTROL_SOCKET, n);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Waits for a line. */
static int hear(int fd, char *line, size_t size)
{
	uint64_t deadline = process_now_ms() + TELL_WAIT_MS;
	size_t n = 0;

	while (!n || line[n - 1] != '\n') {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = process_now_ms();
		ssize_t got;

		if (now >= deadline || poll(&p, 1, (int)(deadline - now)) <= 0)
			return -ETIMEDOUT;
		got = recv(fd, line + n, size - 1 - n, 0);
		if (got <= 0)
			return got ? -errno : -EPIPE;
		n += (size_t)got;
	}
	line[n] = 0;
	return 0;
}

int guest_tell(uint32_t n, char *const words[])
{
	char line[4096] = "";
	size_t size = 0;
	int fd = open_control(n), err = 0;

	if (fd < 0) {
		warnx("guest %u: " CONTROL_SOCKET ": %s", n, n, strerror(-fd));
		return fd;
	}
	for (size_t i = 0; words[i] && size < sizeof(line); i++)
		size += (size_t)snprintf(line + size, sizeof(line) - size, "%s%s", i ? " " : "",
					 words[i]);
	if (size >= sizeof(line) - 1)
		err = -E2BIG;
	strcpy(line + MIN(size, sizeof(line) - 2), "\n");
	if (!err && send(fd, line, size + 1, MSG_NOSIGNAL) < 0)
		err = -errno;
	if (!err)
		err = hear(fd, line, sizeof(line));
	close(fd);
	if (err) {
		warnx("guest %u: no answer: %s", n, strerror(-err));
		return err;
	}
	fputs(line, stdout);
	return strncmp(line, "error", 5) ? 0 : -EREMOTEIO;
}
