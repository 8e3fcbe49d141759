/* SPDX-License-Identifier: MIT */
/*
 * The calls of libxenctrl that a xenstored needs: which domains there are, and
 * whether they have shut down or are dying.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xenctrl.h>
#include "client.h"

struct xc_interface_core {
	unsigned int flags;
};

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
				unsigned int open_flags)
{
	xc_interface *xch = calloc(1, sizeof(*xch));

	(void)logger;
	(void)dombuild_logger;
	if (xch)
		xch->flags = open_flags;
	return xch;
}

int xc_interface_close(xc_interface *xch)
{
	free(xch);
	return 0;
}

static void fill(xc_dominfo_t *info, const struct hosted_stats *s)
{
	*info = (xc_dominfo_t){
		.domid = s->domid,
		.dying = s->dying,
		.shutdown = s->shutdown != 0,
		.shutdown_reason = s->shutdown ? s->shutdown - 1 : 0,
		.running = !s->dying && !s->shutdown,
		.nr_pages = s->pages,
		.max_memkb = HX_DOM_PAGES << (HX_PAGE_SHIFT - 10),
		.nr_online_vcpus = 1,
	};
	info->crashed = info->shutdown && info->shutdown_reason == SHUTDOWN_crash;
}

int xc_domain_getinfo(xc_interface *xch, uint32_t first_domid, unsigned int max_doms,
		      xc_dominfo_t *info)
{
	struct hosted_stats *stats = calloc(HX_MAX_DOMAINS, sizeof(*stats));
	int n = stats ? hosted_domain_list(first_domid, stats, max_doms) : -ENOMEM;

	(void)xch;
	for (int i = 0; i < n; i++)
		fill(&info[i], &stats[i]);
	free(stats);
	if (n < 0)
		errno = -n;
	return n < 0 ? -1 : n;
}
