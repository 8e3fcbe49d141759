/* SPDX-License-Identifier: MIT */
/*
 * The worker and its real io_uring loop; sockets stand in for TAPs. When control is gone
 * under full traffic it must end cleanly, with what it took from the guest sent on. When
 * queues come and go under guests that send, receive, lend pages for long and break the
 * rules, every message is answered once and nothing is held in the end.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/datapath/uring.h"
#include "libvif/hosted/hosted.h"

#define N_FRAMES QUEUE_BATCH
#define N_STATIC 64u

struct guest {
	xengntshr_handle *gntshr;
	xenevtchn_handle *events;
	netif_tx_sring_t *tx;
	netif_rx_sring_t *rx;
	grant_ref_t tx_gref, rx_gref, page_gref;
	uint32_t domid;
	int port;

	xen_netif_ctrl_sring_t *ctrl;
	struct xen_netif_gref *list; /* a page */
	grant_ref_t ctrl_gref, list_gref, static_gref[N_STATIC];
	int ctrl_port;
};

static void guest_open(struct guest *g, uint32_t domid)
{
	g->domid = domid;
	assert_int_equal(hosted_domain_create(domid), 0);
	hosted_set_domid(domid);
	g->gntshr = xengntshr_open(NULL, 0);
	g->events = xenevtchn_open(NULL, 0);
	assert_true(g->gntshr && g->events);
	g->tx = xengntshr_share_pages(g->gntshr, 0, 1, &g->tx_gref, 1);
	g->rx = xengntshr_share_pages(g->gntshr, 0, 1, &g->rx_gref, 1);
	assert_true(g->tx && g->rx);
	assert_non_null(xengntshr_share_pages(g->gntshr, 0, 1, &g->page_gref, 1));
	g->port = xenevtchn_bind_unbound_port(g->events, 0);
	g->ctrl = xengntshr_share_pages(g->gntshr, 0, 1, &g->ctrl_gref, 1);
	g->list = xengntshr_share_pages(g->gntshr, 0, 1, &g->list_gref, 1);
	assert_true(g->ctrl && g->list);
	assert_non_null(xengntshr_share_pages(g->gntshr, 0, N_STATIC, g->static_gref, 1));
	g->ctrl_port = xenevtchn_bind_unbound_port(g->events, 0);
	assert_true(g->port > 0 && g->ctrl_port > 0);
}

/* Rings as a frontend makes them, with every slot a frame of 60 bytes or a buffer. */
static void guest_fill(struct guest *g)
{
	memset(g->tx, 0, XEN_PAGE);
	memset(g->rx, 0, XEN_PAGE);
	memset(g->ctrl, 0, XEN_PAGE);
	for (unsigned i = 0; i < RING_SLOTS; i++) {
		g->tx->ring[i].req = (netif_tx_request_t){ .gref = g->page_gref, .size = 60 };
		g->rx->ring[i].req = (netif_rx_request_t){ .gref = g->page_gref };
	}
}

static void guest_close(struct guest *g)
{
	xengntshr_close(g->gntshr);
	xenevtchn_close(g->events);
}

/* As control would make it: pages come as they are touched. */
static struct ipc_shared *shared_new(uint32_t n_vifs)
{
	struct ipc_shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(shared != MAP_FAILED);
	for (uint32_t i = 0; i < n_vifs; i++)
		shared->vif[i].id.domid = (uint16_t)(i + 1);
	return shared;
}

static struct ipc_msg attach_message(const struct guest *g, uint32_t slot)
{
	return (struct ipc_msg){ .type = IPC_QUEUE_ATTACH,
				 .slot = slot,
				 .queue = { .vif = { .domid = (uint16_t)g->domid },
					    .vif_slot = g->domid - 1,
					    .features = VIF_SG,
					    .offered = VIF_SG,
					    .tx_gref = g->tx_gref,
					    .rx_gref = g->rx_gref,
					    .tx_port = (uint32_t)g->port,
					    .rx_port = (uint32_t)g->port,
					    .n_queues = 2,
					    .ctrl_gref = g->ctrl_gref,
					    .ctrl_port = (uint32_t)g->ctrl_port } };
}

/* Everything control says waits in the socket when the worker begins; then control dies. */
static void say_and_die(int sock, const struct guest *g, int tap)
{
	const struct ipc_msg msg = attach_message(g, 0);

	assert_int_equal(ipc_send(sock, &msg, &tap, 1), 0);
	close(sock);
	close(tap);
}

static void control_dies_under_traffic(void **state)
{
	struct ipc_shared *shared = shared_new(1);
	struct uring_loop *loop;
	struct guest g;
	struct worker w;
	char why[128], frame[256];
	int sock[2], tap[2];

	(void)state;
	assert_int_equal(hosted_inproc_start(0), 0);
	guest_open(&g, 1);
	guest_fill(&g);
	g.tx->req_prod = N_FRAMES;
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
	assert_int_equal(shared->queue[0].counters.from_guest_tap_full, 0);
	for (unsigned i = 0; i < N_FRAMES; i++)
		assert_int_equal(recv(tap[0], frame, sizeof(frame), 0), PACKET_VNET_SIZE + 60);
	assert_int_equal(shared->queue[0].counters.from_guest_frames, N_FRAMES);
	/* Closed, as soon as the kernel has let go of the ring. */
	assert_int_equal(poll(&(struct pollfd){ .fd = tap[0], .events = POLLIN }, 1, 5000), 1);
	assert_int_equal(recv(tap[0], frame, sizeof(frame), 0), 0);
	close(tap[0]);
	guest_close(&g);
	hosted_inproc_stop();
	munmap(shared, sizeof(*shared));
}

/* ---- queues that come and go ---- */

#define N_GUESTS 4u
#define N_ACTS	 6000u

struct churn {
	struct worker worker;
	struct ipc_shared *shared;
	int sock; /* control's */
	struct guest guest[N_GUESTS];
	int tap[N_GUESTS][2]; /* ours, the worker's */
	int steering;	      /* a map's stand-in, which comes with some of the queues */
	enum { AWAY, COMING, THERE, GOING } state[N_GUESTS];
	bool broken[N_GUESTS];
	bool twins; /* guest 1 is guest 0 once more: another queue with the same rings */
	uint32_t n_attached, n_fatal, n_passes;
	uint32_t random;
};

static uint32_t draw(struct churn *c, uint32_t n)
{
	c->random = c->random * 1664525 + 1013904223;
	return (c->random >> 8) % n;
}

static void say_done(struct churn *c, uint32_t slot)
{
	const struct ipc_msg msg = { .type = IPC_GRANTS_DONE,
				     .slot = slot,
				     .status = draw(c, 2) ? 0 : -ENOSPC };

	assert_int_equal(ipc_send(c->sock, &msg, NULL, 0), 0);
}

/* A twin's answers break the other's ring. */
static bool is_broken(const struct churn *c, uint32_t slot)
{
	return c->broken[slot] || (c->twins && slot < 2);
}

static void take_answers(struct churn *c)
{
	struct ipc_msg msg;
	int fds[IPC_FDS_MAX];
	uint32_t n_fds;

	while (!ipc_recv(c->sock, &msg, fds, &n_fds)) {
		switch (msg.type) {
		case IPC_QUEUE_ATTACHED:
			/* the guest was quicker: refused, and nothing is held */
			assert_true(!msg.status || (msg.status == -EPROTO && is_broken(c, msg.slot)));
			c->n_attached += !msg.status;
			if (c->state[msg.slot] == COMING)
				c->state[msg.slot] = msg.status ? AWAY : THERE;
			break;
		case IPC_QUEUE_DETACHED:
			assert_int_equal(c->state[msg.slot], GOING);
			c->state[msg.slot] = AWAY;
			break;
		case IPC_QUEUE_FATAL:
			assert_true(is_broken(c, msg.slot));
			c->n_fatal++;
			break;
		case IPC_GRANTS_STAGED: /* for a queue there is not here */
			say_done(c, msg.slot);
			break;
		default:
			fail();
		}
	}
}

static void attach(struct churn *c, uint32_t i)
{
	struct ipc_msg msg = attach_message(&c->guest[i], i);
	const int fds[] = { c->tap[i][1], c->steering };
	uint32_t n_maps = draw(c, 2);

	if (c->state[i] != AWAY)
		return;
	guest_fill(&c->guest[i]);
	c->broken[i] = false;
	memset(&c->shared->vif[i].ctrl, 0, sizeof(c->shared->vif[i].ctrl));
	msg.queue.has_ctrl = draw(c, 4) > 0 && !(c->twins && i == 1);
	msg.queue.maps = n_maps ? IPC_MAP_STEERING : 0;
	assert_int_equal(ipc_send(c->sock, &msg, fds, 1 + n_maps), 0);
	c->state[i] = COMING;
}

static void detach(struct churn *c, uint32_t i)
{
	const struct ipc_msg msg = { .type = IPC_QUEUE_DETACH, .slot = i };

	if (c->state[i] != COMING && c->state[i] != THERE)
		return;
	assert_int_equal(ipc_send(c->sock, &msg, NULL, 0), 0);
	c->state[i] = GOING;
}

/* As much as the rings hold, whatever was answered. */
static void traffic(struct churn *c, uint32_t i)
{
	static const uint8_t frame[PACKET_VNET_SIZE + 5000];
	struct guest *g = &c->guest[i];
	uint8_t sink[256];

	g->tx->req_prod = g->tx->rsp_prod + draw(c, RING_SLOTS);
	g->rx->req_prod = g->rx->rsp_prod + draw(c, RING_SLOTS);
	for (unsigned n = draw(c, 40); n; n--)
		(void)!write(c->tap[i][0], frame, PACKET_VNET_SIZE + 60 + draw(c, 4900));
	for (unsigned n = draw(c, 80); n && recv(c->tap[i][0], sink, sizeof(sink), 0) > 0; n--)
		;
	/* Behind what was taken already: as bad as ahead. */
	c->broken[i] = true;
}

/* Lends its pages, or asks them back, all in one request. */
static void asks(struct churn *c, uint32_t i)
{
	struct guest *g = &c->guest[i];
	struct xen_netif_ctrl_request req = {
		.type = (uint16_t)(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING + draw(c, 2)),
		.data = { draw(c, 8) == 0, g->list_gref, N_STATIC }
	};

	if (g->ctrl->req_prod - g->ctrl->rsp_prod == CTRL_RING_SLOTS)
		return;
	for (unsigned k = 0; k < N_STATIC; k++)
		g->list[k] = (struct xen_netif_gref){ .ref = g->static_gref[k] };
	g->ctrl->ring[g->ctrl->req_prod % CTRL_RING_SLOTS].req = req;
	__atomic_store_n(&g->ctrl->req_prod, g->ctrl->req_prod + 1, __ATOMIC_RELEASE);
	(void)xenevtchn_notify(g->events, (evtchn_port_t)g->ctrl_port);
}

static void breaks(struct churn *c, uint32_t i)
{
	c->broken[i] = true;
	if (draw(c, 2))
		c->guest[i].tx->req_prod = draw(c, 1u << 24);
	else
		c->guest[i].rx->req_prod = draw(c, 1u << 24);
}

static void act(struct churn *c)
{
	uint32_t i = draw(c, N_GUESTS), what = draw(c, 20);

	if (what < 2)
		detach(c, i);
	else if (what < 6)
		attach(c, i);
	else if (what < 7)
		breaks(c, i);
	else if (what < 11)
		asks(c, i);
	else
		traffic(c, i);
	(void)xenevtchn_notify(c->guest[i].events, (evtchn_port_t)c->guest[i].port);
}

/* Takes all queues back, and then tells the worker to stop. */
static void finish(struct churn *c)
{
	const struct ipc_msg stop = { .type = IPC_STOP };
	bool all_away = true;

	for (uint32_t i = 0; i < N_GUESTS; i++) {
		detach(c, i);
		all_away &= c->state[i] == AWAY;
	}
	if (all_away)
		assert_int_equal(ipc_send(c->sock, &stop, NULL, 0), 0);
	assert_true(c->n_passes < N_ACTS + 10000);
}

/* Between any two passes of the loop somebody does something. */
static struct churn *churn;

bool __real_worker_pass(struct worker *w);
bool __wrap_worker_pass(struct worker *w);
bool __wrap_worker_pass(struct worker *w)
{
	bool due = __real_worker_pass(w);

	if (!churn)
		return due;
	take_answers(churn);
	if (churn->n_passes++ < N_ACTS)
		act(churn);
	else
		finish(churn);
	return true;
}

/* How often the stand-in is open or mapped in this process. */
static unsigned steering_held(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], path[64];
	unsigned n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:test-steering") != NULL;
	fclose(maps);
	for (int fd = 0; fd < 256; fd++) {
		ssize_t size;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		size = readlink(path, line, sizeof(line) - 1);
		line[MAX(size, 0)] = '\0';
		n += strstr(line, "memfd:test-steering") != NULL;
	}
	return n;
}

/* The same pages and another port of the same domain. */
static void guest_twin(struct guest *twin, const struct guest *g)
{
	*twin = *g;
	hosted_set_domid(g->domid);
	twin->port = xenevtchn_bind_unbound_port(g->events, 0);
	assert_true(twin->port > 0);
}

static void come_and_go(bool twins)
{
	struct churn *c = calloc(1, sizeof(*c));
	struct uring_loop *loop;
	char why[128];
	int sock[2];

	assert_non_null(c);
	c->random = 7;
	c->twins = twins;
	c->shared = shared_new(N_GUESTS);
	c->steering = memfd_create("test-steering", MFD_CLOEXEC);
	assert_int_equal(ftruncate(c->steering, sizeof(struct steering)), 0);
	assert_int_equal(hosted_inproc_start(0), 0);
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		guest_open(&c->guest[i], i + 1);
		if (twins && i == 1) {
			guest_close(&c->guest[1]);
			guest_twin(&c->guest[1], &c->guest[0]);
		}
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, c->tap[i]),
				 0);
	}
	hosted_set_domid(0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sock), 0);
	assert_int_equal(worker_open(&c->worker, 0, sock[0], c->shared, why, sizeof(why)), 0);
	c->worker.tap_nowait = true;
	c->sock = sock[1];
	assert_int_equal(uring_open(&c->worker, &loop, why, sizeof(why)), 0);
	attach(c, 0); /* wakes the loop; then a pass follows a pass */
	churn = c;
	assert_int_equal(uring_run(loop), 0);
	churn = NULL;
	assert_true(c->n_attached > 100 && c->n_fatal > 10);
	uring_close(loop);
	worker_close(&c->worker);
	close(c->sock);
	assert_int_equal(steering_held(), 1);
	close(c->steering);
	for (uint32_t i = 0; i < N_GUESTS; i++) {
		struct hosted_stats stats[N_GUESTS + 1];

		assert_int_equal(hosted_stats(stats, N_GUESTS + 1), N_GUESTS + 1);
		assert_int_equal(stats[i + 1].maps_suffered, 0);
		if (!twins || i != 1)
			guest_close(&c->guest[i]);
		close(c->tap[i][0]);
		close(c->tap[i][1]);
	}
	hosted_inproc_stop();
	munmap(c->shared, sizeof(*c->shared));
	free(c);
}

static void queues_come_and_go(void **state)
{
	(void)state;
	come_and_go(false);
}

static void two_queues_with_the_same_rings_come_and_go(void **state)
{
	(void)state;
	come_and_go(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_dies_under_traffic),
		cmocka_unit_test(queues_come_and_go),
		cmocka_unit_test(two_queues_with_the_same_rings_come_and_go),
	};

	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
