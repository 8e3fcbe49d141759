/* SPDX-License-Identifier: MIT */
/*
 * The worker and its real io_uring loop, when control is gone under full traffic: it
 * must end cleanly, with what it took from the guest sent on. A socket stands in for
 * the TAP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/datapath/uring.h"
#include "libvif/hosted/hosted.h"

#define N_FRAMES QUEUE_BATCH

struct guest {
	xengntshr_handle *gntshr;
	xenevtchn_handle *events;
	netif_tx_sring_t *tx;
	netif_rx_sring_t *rx;
	grant_ref_t tx_gref, rx_gref, page_gref;
	int port;
};

static void guest_open(struct guest *g)
{
	assert_int_equal(hosted_domain_create(1), 0);
	hosted_set_domid(1);
	g->gntshr = xengntshr_open(NULL, 0);
	g->events = xenevtchn_open(NULL, 0);
	assert_true(g->gntshr && g->events);
	g->tx = xengntshr_share_pages(g->gntshr, 0, 1, &g->tx_gref, 1);
	g->rx = xengntshr_share_pages(g->gntshr, 0, 1, &g->rx_gref, 1);
	assert_true(g->tx && g->rx);
	assert_non_null(xengntshr_share_pages(g->gntshr, 0, 1, &g->page_gref, 0));
	g->port = xenevtchn_bind_unbound_port(g->events, 0);
	assert_true(g->port > 0);
	for (unsigned i = 0; i < N_FRAMES; i++)
		g->tx->ring[i].req = (netif_tx_request_t){ .gref = g->page_gref, .size = 60 };
	g->tx->req_prod = N_FRAMES;
	g->rx->req_prod = 0;
}

static void guest_close(struct guest *g)
{
	xengntshr_close(g->gntshr);
	xenevtchn_close(g->events);
}

/* Everything control says waits in the socket when the worker begins; then control dies. */
static void say_and_die(int sock, const struct guest *g, int tap)
{
	const struct ipc_msg msg = { .type = IPC_QUEUE_ATTACH,
				     .queue = { .vif = { .domid = 1 },
						.tx_gref = g->tx_gref,
						.rx_gref = g->rx_gref,
						.tx_port = (uint32_t)g->port,
						.rx_port = (uint32_t)g->port } };

	assert_int_equal(ipc_send(sock, &msg, &tap, 1), 0);
	close(sock);
	close(tap);
}

static void control_dies_under_traffic(void **state)
{
	struct shared_queue *shared = calloc(1, sizeof(*shared));
	struct uring_loop *loop;
	struct guest g;
	struct worker w;
	char why[128], frame[256];
	int sock[2], tap[2];

	(void)state;
	assert_int_equal(hosted_inproc_start(0), 0);
	guest_open(&g);
	hosted_set_domid(0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sock), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, tap), 0);
	assert_int_equal(worker_open(&w, 0, sock[0], shared, why, sizeof(why)), 0);
	w.tap_nowait = true;
	assert_int_equal(uring_open(&w, &loop, why, sizeof(why)), 0);
	say_and_die(sock[1], &g, tap[1]);
	assert_int_equal(uring_run(loop), 0);
	uring_close(loop);
	worker_close(&w);

	assert_int_equal(g.tx->rsp_prod, N_FRAMES);
	for (unsigned i = 0; i < N_FRAMES; i++)
		assert_int_equal(recv(tap[0], frame, sizeof(frame), 0), PACKET_VNET_SIZE + 60);
	assert_int_equal(shared->counters.from_guest_frames, N_FRAMES);
	assert_int_equal(recv(tap[0], frame, sizeof(frame), 0), 0); /* closed */
	close(tap[0]);
	guest_close(&g);
	hosted_inproc_stop();
	free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(control_dies_under_traffic) };

	return cmocka_run_group_tests_name("end", tests, NULL, NULL);
}
