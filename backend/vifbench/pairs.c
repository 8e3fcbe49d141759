/* SPDX-License-Identifier: MIT */
/* See pairs.h. */
#include "backend/vifbench/pairs.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "backend/vifbench/plumb.h"

#define RECEIVE_BYTES (4 << 20)

static struct sockaddr_in address_of(const char *address, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, address, &a.sin_addr);
	return a;
}

static int bind_and_connect(int s, const char *own, uint16_t own_port, const char *other,
			    uint16_t other_port)
{
	struct sockaddr_in a = address_of(own, own_port), b = address_of(other, other_port);
	struct timeval patience = { .tv_usec = 500000 };
	int size = RECEIVE_BYTES;

	if (setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    bind(s, (struct sockaddr *)&a, sizeof(a)) ||
	    connect(s, (struct sockaddr *)&b, sizeof(b)))
		return -errno;
	return 0;
}

int pair_open_udp(const struct ends *e, struct pair *out)
{
	int err;

	out->wire = plumb_socket(e->wire_ns, SOCK_DGRAM);
	if (out->wire < 0)
		return out->wire;
	err = bind_and_connect(out->wire, e->wire, e->port, e->guest, e->port);
	if (err || e->sink)
		return err;
	out->guest = plumb_socket(e->guest_ns, SOCK_DGRAM);
	return out->guest < 0 ? out->guest
			      : bind_and_connect(out->guest, e->guest, e->port, e->wire, e->port);
}

int pair_open_tcp(const struct ends *e, struct pair *out)
{
	struct sockaddr_in a = address_of(e->guest, e->port);
	int listener = plumb_socket(e->guest_ns, SOCK_STREAM), size = 1 << 20, one = 1, err = 0;

	if (listener < 0)
		return listener;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	out->wire = plumb_socket(e->wire_ns, SOCK_STREAM);
	if (out->wire < 0 || bind(listener, (struct sockaddr *)&a, sizeof(a)) ||
	    listen(listener, 1) || connect(out->wire, (struct sockaddr *)&a, sizeof(a)))
		err = out->wire < 0 ? out->wire : -errno;
	if (!err && (out->guest = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		err = -errno;
	close(listener);
	/* A whole chunk fits both ways: send() never waits for a reader, who is us. */
	for (int i = 0; !err && i < 2; i++) {
		int s = i ? out->guest : out->wire;

		if (setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
			err = -errno;
	}
	return err;
}

void pair_close(struct pair *pair)
{
	if (pair->wire >= 0)
		close(pair->wire);
	if (pair->guest >= 0)
		close(pair->guest);
	*pair = (struct pair){ -1, -1 };
}
