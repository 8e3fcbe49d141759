/* SPDX-License-Identifier: MIT */
/*
 * See host.h. libxenctrl is loaded when asked for: its soname carries Xen's version, and
 * vifbench's other commands work without it.
 */
#include "backend/vifbench/host.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xenctrl.h>

#include "backend/client.h"
#include "backend/vifbench/tally.h"

#define BACKEND_DOMID 0 /* who may ask Xen all this is dom0 */

/* ---- Xen ---- */

static struct {
	void *library;
	xc_interface *handle;
	__typeof__(xc_interface_open) *open;
	__typeof__(xc_interface_close) *close;
	__typeof__(xc_physinfo) *physinfo;
	__typeof__(xc_getcpuinfo) *getcpuinfo;
	__typeof__(xc_domain_getinfolist) *getinfolist;
} xen;

static int load_symbols(void)
{
	const struct {
		void **to;
		const char *name;
	} symbols[] = {
		{ (void **)&xen.open, "xc_interface_open" },
		{ (void **)&xen.close, "xc_interface_close" },
		{ (void **)&xen.physinfo, "xc_physinfo" },
		{ (void **)&xen.getcpuinfo, "xc_getcpuinfo" },
		{ (void **)&xen.getinfolist, "xc_domain_getinfolist" },
	};

	xen.library = dlopen(XENCTRL_SONAME, RTLD_NOW);
	if (!xen.library) {
		fprintf(stderr, "vifbench: %s: this vifbench asks Xen through " XENCTRL_SONAME
				", the library of the Xen it was built for\n", dlerror());
		return -ENOENT;
	}
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		*symbols[i].to = dlsym(xen.library, symbols[i].name);
		if (!*symbols[i].to) {
			fprintf(stderr, "vifbench: %s\n", dlerror());
			return -ENOSYS;
		}
	}
	return 0;
}

/* Opens Xen; *hz is its processors'. 0 or -errno, said why. */
static int xen_open(double *hz)
{
	xc_physinfo_t info;
	int err = load_symbols();

	if (err)
		return err;
	xen.handle = xen.open(NULL, NULL, 0);
	if (!xen.handle || xen.physinfo(xen.handle, &info)) {
		err = -errno;
		fprintf(stderr, "vifbench: asking Xen for its processors: %s (host runs as root in "
				"dom0 of a Xen host)\n", strerror(errno));
		return err ? err : -EIO;
	}
	*hz = info.cpu_khz * 1e3;
	return 0;
}

static void xen_close(void)
{
	if (xen.handle)
		xen.close(xen.handle);
	if (xen.library)
		dlclose(xen.library);
}

/* ---- samples ---- */

static int sample_xen(struct host_sample *s)
{
	static xc_cpuinfo_t cpu[HOST_CPUS_MAX];
	static xc_domaininfo_t domain[HOST_DOMAINS_MAX];
	int n_cpus, n_domains;

	if (xen.getcpuinfo(xen.handle, HOST_CPUS_MAX, cpu, &n_cpus))
		return -errno;
	n_domains = xen.getinfolist(xen.handle, 0, HOST_DOMAINS_MAX, domain);
	if (n_domains < 0)
		return -errno;
	s->n_cpus = (uint32_t)n_cpus;
	for (int i = 0; i < n_cpus; i++)
		s->idle_ns[i] = cpu[i].idletime;
	s->n_domains = (uint32_t)n_domains;
	for (int i = 0; i < n_domains; i++)
		s->domain[i] = (struct host_domain){ domain[i].domain, domain[i].cpu_time };
	return 0;
}

static int sample_vifd(struct host_sample *s, const char *socket_path)
{
	char why[256];

	s->vifs = client_ask(socket_path, json_pack("{s:s}", "command", "list"), why, sizeof(why));
	if (s->vifs)
		s->stats = client_ask(socket_path, json_pack("{s:s}", "command", "stats"), why,
				      sizeof(why));
	if (s->stats)
		return 0;
	fprintf(stderr, "vifbench: %s\n", why);
	return -EIO;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Its time is when Xen was asked, not what vifd took to answer. */
static int take_sample(struct host_sample *s, const char *socket_path)
{
	uint64_t begin = clock_ns();
	int err;

	memset(s, 0, sizeof(*s));
	err = sample_xen(s);
	s->at_ns = begin + (clock_ns() - begin) / 2;
	if (err) {
		fprintf(stderr, "vifbench: asking Xen: %s\n", strerror(-err));
		return err;
	}
	err = sample_vifd(s, socket_path);
	if (err)
		host_sample_free(s);
	return err;
}

void host_sample_free(struct host_sample *s)
{
	json_decref(s->vifs);
	json_decref(s->stats);
	s->vifs = s->stats = NULL;
}

/* ---- readings ---- */

/* A domain that was not there before has spent all it has. */
static double domain_ns(const struct host_sample *before, const struct host_sample *after,
			uint16_t domid)
{
	uint64_t was = 0, is = 0;

	for (uint32_t i = 0; i < before->n_domains; i++)
		if (before->domain[i].domid == domid)
			was = before->domain[i].cpu_ns;
	for (uint32_t i = 0; i < after->n_domains; i++)
		if (after->domain[i].domid == domid)
			is = after->domain[i].cpu_ns;
	return is > was ? (double)(is - was) : 0;
}

static const json_t *vif_in(const json_t *answer, const char *name)
{
	const json_t *vif;
	size_t i;

	json_array_foreach(json_object_get(answer, "vifs"), i, vif) {
		const char *n = json_string_value(json_object_get(vif, "vif"));

		if (n && !strcmp(n, name))
			return vif;
	}
	return NULL;
}

static json_int_t frames_of(const json_t *vif)
{
	return json_integer_value(json_object_get(json_object_get(vif, "from_guest"), "frames")) +
	       json_integer_value(json_object_get(json_object_get(vif, "to_guest"), "frames"));
}

static json_t *per_packet(double ns, double hz, double packets)
{
	return packets > 0 ? json_real(ns * hz / 1e9 / packets) : json_null();
}

static void add_to_model(json_t *models, const char *model, double packets, double all)
{
	double sum = packets + json_number_value(
				   json_object_get(json_object_get(models, model), "packets"));

	json_object_set_new(models, model,
			    json_pack("{s:f, s:f}", "packets", sum, "share", all > 0 ? sum / all : 0));
}

struct totals {
	double packets, guests_ns;
};

/* Adds a row for each vif that is there now; the domains they belong to, each once. */
static json_t *read_vifs(const struct host_sample *before, const struct host_sample *after,
			 double hz, double seconds, struct totals *t)
{
	json_t *rows = json_array();
	const json_t *vif;
	uint16_t last = UINT16_MAX;
	size_t i;

	json_array_foreach(json_object_get(after->stats, "vifs"), i, vif) {
		const char *name = json_string_value(json_object_get(vif, "vif"));
		const json_t *was = name ? vif_in(before->stats, name) : NULL;
		const json_t *what = name ? vif_in(after->vifs, name) : NULL;
		uint16_t domid = (uint16_t)json_integer_value(json_object_get(what, "domid"));
		double packets = (double)(frames_of(vif) - frames_of(was));
		double ns = domain_ns(before, after, domid);

		if (!what)
			continue;
		packets = MAX(packets, 0); /* vifd was restarted: its counters began anew */
		json_array_append_new(
		    rows, json_pack("{s:s, s:i, s:s, s:f, s:f, s:o}", "vif", name, "domid", domid,
				    "model", json_string_value(json_object_get(what, "model")),
				    "packets", packets, "packets_per_s", packets / seconds,
				    "guest_cycles_per_packet", per_packet(ns, hz, packets)));
		t->packets += packets;
		t->guests_ns += domid == last ? 0 : ns;
		last = domid;
	}
	return rows;
}

json_t *host_reading(const struct host_sample *before, const struct host_sample *after, double hz,
		     uint16_t backend)
{
	double elapsed = (double)(after->at_ns - before->at_ns), busy = 0, domains = 0;
	json_t *cpus = json_array(), *models = json_object(), *rows;
	struct totals t = { 0 };
	const json_t *row;
	size_t k;

	for (uint32_t i = 0; i < after->n_cpus; i++) {
		double idle = (double)(after->idle_ns[i] - before->idle_ns[i]);
		double ns = MAX(elapsed - idle, 0);

		busy += ns;
		json_array_append_new(cpus, json_real(ns / elapsed));
	}
	for (uint32_t i = 0; i < after->n_domains; i++)
		domains += domain_ns(before, after, after->domain[i].domid);
	rows = read_vifs(before, after, hz, elapsed / 1e9, &t);
	json_array_foreach(rows, k, row)
		add_to_model(models, json_string_value(json_object_get(row, "model")),
			     json_number_value(json_object_get(row, "packets")), t.packets);
	return json_pack("{s:f, s:o, s:f, s:{s:o, s:o, s:o, s:o}, s:o, s:o, s:o}", "seconds",
			 elapsed / 1e9, "cpus_busy", cpus, "packets", t.packets, "cycles_per_packet",
			 "all", per_packet(busy, hz, t.packets), "backend",
			 per_packet(domain_ns(before, after, backend), hz, t.packets), "guests",
			 per_packet(t.guests_ns, hz, t.packets), "xen",
			 per_packet(MAX(busy - domains, 0), hz, t.packets), "counts",
			 tally_between(before->stats, after->stats, t.packets, 0), "models", models,
			 "vifs", rows);
}

/* ---- showing ---- */

static void print_cycles(const char *what, const json_t *value)
{
	if (json_is_number(value))
		printf("  %s %.0f", what, json_number_value(value));
	else
		printf("  %s -", what);
}

static void print_reading(const json_t *r)
{
	const json_t *c = json_object_get(r, "cycles_per_packet"), *vif;
	double packets = json_number_value(json_object_get(r, "packets"));
	size_t i;

	printf("%.0f packets/s; cycles per packet:",
	       packets / json_number_value(json_object_get(r, "seconds")));
	print_cycles("all", json_object_get(c, "all"));
	print_cycles("backend", json_object_get(c, "backend"));
	print_cycles("guests", json_object_get(c, "guests"));
	print_cycles("xen", json_object_get(c, "xen"));
	json_array_foreach(json_object_get(r, "vifs"), i, vif) {
		printf(" | %s %s %.0f/s", json_string_value(json_object_get(vif, "vif")),
		       json_string_value(json_object_get(vif, "model")),
		       json_number_value(json_object_get(vif, "packets_per_s")));
		print_cycles("guest", json_object_get(vif, "guest_cycles_per_packet"));
	}
	putchar('\n');
}

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

static void rest(double seconds)
{
	struct timespec t = { .tv_sec = (time_t)seconds,
			      .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };

	nanosleep(&t, NULL);
}

/* Samples are large: two, used in turn. */
static int read_on(const struct host_options *o, double hz)
{
	static struct host_sample sample[2];
	int err = take_sample(&sample[0], o->socket_path), at = 0;

	for (uint32_t n = 0; !err && !interrupted && (!o->n_readings || n < o->n_readings); n++) {
		json_t *reading;

		rest(o->interval_s);
		if (interrupted)
			break;
		err = take_sample(&sample[!at], o->socket_path);
		if (err)
			break;
		reading = host_reading(&sample[at], &sample[!at], hz, BACKEND_DOMID);
		if (o->json) {
			json_dumpf(reading, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
			putchar('\n');
		} else {
			print_reading(reading);
		}
		fflush(stdout);
		json_decref(reading);
		host_sample_free(&sample[at]);
		at = !at;
	}
	if (!err)
		host_sample_free(&sample[at]);
	return err;
}

int host_run(const struct host_options *o)
{
	struct sigaction on = { .sa_handler = on_signal };
	double hz;
	int err = xen_open(&hz);

	sigaction(SIGINT, &on, NULL);
	sigaction(SIGTERM, &on, NULL);
	if (!err)
		err = read_on(o, hz);
	xen_close();
	return err ? 1 : 0;
}
