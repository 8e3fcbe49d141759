/* SPDX-License-Identifier: MIT */
/*
 * Moves standard input through Debian's libxenvchan to standard output of its
 * peer in another domain. Nothing here knows about the hosted Xen.
 *
 *	vchan-pipe server PEER-DOMID XENSTORE-PATH <data
 *	vchan-pipe client PEER-DOMID XENSTORE-PATH >data
 *
 * A byte of acknowledgement at the end keeps the server's pages up until the
 * client has read everything. Exit status 3: the peer died.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libxenvchan.h>

#define RING_BYTES (1 << 16)

static char buf[1 << 16];

static int serve(struct libxenvchan *ch)
{
	ssize_t n;
	char ack;

	while ((n = read(0, buf, sizeof(buf))) > 0)
		for (ssize_t done = 0; done < n;) {
			int sent = libxenvchan_write(ch, buf + done, (size_t)(n - done));

			if (sent <= 0)
				return 3;
			done += sent;
		}
	if (libxenvchan_send(ch, "", 1) != 1)
		return 3;
	return libxenvchan_recv(ch, &ack, 1) == 1 ? 0 : 3;
}

/* The end is the last byte: the data itself may hold anything. */
static int receive(struct libxenvchan *ch, size_t expected)
{
	while (expected) {
		int n = libxenvchan_read(ch, buf, expected < sizeof(buf) ? expected : sizeof(buf));

		if (n <= 0)
			return 3;
		if (write(1, buf, (size_t)n) != n)
			return 1;
		expected -= (size_t)n;
	}
	if (libxenvchan_recv(ch, buf, 1) != 1)
		return 3;
	return libxenvchan_send(ch, "", 1) == 1 ? 0 : 3;
}

int main(int argc, char **argv)
{
	struct libxenvchan *ch;
	int rc, peer;

	if (argc < 4) {
		fprintf(stderr, "usage: vchan-pipe server|client PEER PATH [BYTES]\n");
		return 2;
	}
	peer = atoi(argv[2]);
	if (!strcmp(argv[1], "server"))
		ch = libxenvchan_server_init(NULL, peer, argv[3], RING_BYTES, RING_BYTES);
	else
		ch = libxenvchan_client_init(NULL, peer, argv[3]);
	if (!ch) {
		perror("vchan-pipe");
		return 1;
	}
	ch->blocking = 1;
	rc = ch->is_server ? serve(ch) : receive(ch, argc > 4 ? strtoull(argv[4], NULL, 10) : 0);
	libxenvchan_close(ch);
	return rc;
}
