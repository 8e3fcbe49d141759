/* SPDX-License-Identifier: MIT */
/*
 * Rank 90: 'vifbench host': cycles per packet on a running Xen host, beside its traffic.
 *
 * A sample is what Xen says of its processors and domains, and vifd of its vifs; two of
 * them make a reading. Xen charges a domain with what it does in that domain's name
 * (hypercalls, grant copies), so the domains' times hold Xen's; what is left of the busy
 * time is Xen's own.
 */
#ifndef VIFBENCH_HOST_H
#define VIFBENCH_HOST_H

#include <jansson.h>

#include "base.h"

#define HOST_CPUS_MAX	 1024u
#define HOST_DOMAINS_MAX 1024u

struct host_domain {
	uint16_t domid;
	uint64_t cpu_ns; /* all of its virtual processors' time so far */
};

struct host_sample {
	uint64_t at_ns; /* CLOCK_MONOTONIC */
	uint32_t n_cpus;
	uint64_t idle_ns[HOST_CPUS_MAX];
	uint32_t n_domains;
	struct host_domain domain[HOST_DOMAINS_MAX];
	json_t *vifs; /* of 'list': what each is */
	json_t *stats; /* of 'stats': what each moved */
};

/*
 * What happened between two samples, on processors of 'hz':
 *
 *	{"seconds", "cpus_busy": [share of each], "packets",
 *	 "cycles_per_packet": {"all", "backend", "guests", "xen"},
 *	 "counts": tally_between(), a packet
 *	 "models": {MODEL: {"packets", "share"}},
 *	 "vifs": [{"vif", "domid", "model", "packets", "packets_per_s",
 *		"guest_cycles_per_packet"}]}
 *
 * 'backend' is the domain vifd runs in. Null instead of a figure where no packet moved.
 * A new object; pure.
 */
json_t *host_reading(const struct host_sample *before, const struct host_sample *after, double hz,
		     uint16_t backend);

void host_sample_free(struct host_sample *s);

struct host_options {
	double interval_s;
	uint32_t n_readings; /* 0: until interrupted */
	bool json;
	const char *socket_path;
};

/* Prints a reading each interval. Returns the exit status. */
int host_run(const struct host_options *o);

#endif
