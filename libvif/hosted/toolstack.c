/* SPDX-License-Identifier: MIT */
/* The toolstack's calls of hosted.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "client.h"

/* One operation on a connection of its own; 'msg' is its request and then its reply,
 * without the words. */
static int ctl(struct hx_msg *msg, struct hosted_stats *stats, int *fd)
{
	struct hx_client *c = malloc(sizeof(*c));
	int rc = c ? hx_client_open(c, HX_KIND_CTL, NULL) : -ENOMEM;

	if (rc) {
		free(c);
		return rc;
	}
	memcpy(&c->msg, msg, HX_MSG_HEAD);
	rc = hx_client_call(c, -1, fd);
	memcpy(msg, &c->msg, HX_MSG_HEAD);
	if (!rc && stats)
		memcpy(stats, c->msg.v, c->msg.n_words * sizeof(c->msg.v[0]));
	hx_client_close(c);
	free(c);
	return rc;
}

int hosted_domain_create(uint32_t domid)
{
	struct hx_msg msg = { .op = HX_DOMAIN_CREATE, .domid = domid };

	return ctl(&msg, NULL, NULL);
}

int hosted_domain_destroy(uint32_t domid)
{
	struct hx_msg msg = { .op = HX_DOMAIN_DESTROY, .domid = domid };

	return ctl(&msg, NULL, NULL);
}

int hosted_domain_shutdown(uint32_t domid, unsigned int reason)
{
	struct hx_msg msg = { .op = HX_DOMAIN_SHUTDOWN, .domid = domid, .id = reason };

	return ctl(&msg, NULL, NULL);
}

int hosted_store_setup(uint32_t domid, uint32_t *frame, uint32_t *port)
{
	struct hx_msg msg = { .op = HX_STORE_SETUP, .domid = domid };
	int rc = ctl(&msg, NULL, NULL);

	*frame = msg.id;
	*port = msg.port;
	return rc;
}

int hosted_domain_list(uint32_t first, struct hosted_stats *stats, size_t max)
{
	struct hx_msg msg = { .op = HX_DOMAIN_INFO,
			      .domid = first,
			      .n = max < HX_MAX_DOMAINS ? (uint32_t)max : HX_MAX_DOMAINS };
	int rc = ctl(&msg, stats, NULL);

	return rc ? rc : (int)msg.n;
}

int hosted_stats(struct hosted_stats *stats, size_t max)
{
	return hosted_domain_list(0, stats, max);
}

int hosted_memory_fd(uint32_t domid)
{
	struct hx_msg msg = { .op = HX_MEMORY, .domid = domid };
	int fd;
	int rc = ctl(&msg, NULL, &fd);

	return rc ? rc : fd;
}
