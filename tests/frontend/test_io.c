/* SPDX-License-Identifier: MIT */
/*
 * The frontend's data path on a machine in this process: netfront as domain 1, this
 * test as the backend that writes the ring pages, right and wrong, and as the guest's
 * stack.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend-compat/netfront.h"
#include "libvif/hosted/hosted.h"

#define GUEST 1

struct bench {
	struct netfront nf;
	struct netfront_queue *q;
	netif_tx_sring_t *tx;
	netif_rx_sring_t *rx;
	/* the stack: frames it still wants to send, all alike, and the last one it got */
	uint32_t to_send, size;
	struct virtio_net_hdr vnet;
	uint32_t n_got;
	struct virtio_net_hdr got_vnet;
	uint8_t got[70000];
	size_t got_size;
	ssize_t give_error;
};

static ssize_t take(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	struct bench *b = stack;
	uint32_t at = 0;

	(void)queue;
	if (!b->to_send)
		return -EAGAIN;
	b->to_send--;
	memcpy(iov[0].iov_base, &b->vnet, sizeof(b->vnet));
	for (int i = 1; i < n && at < b->size; i++) {
		size_t part = MIN(iov[i].iov_len, b->size - at);

		for (size_t k = 0; k < part; k++)
			((uint8_t *)iov[i].iov_base)[k] = (uint8_t)(at++ % 251);
	}
	return (ssize_t)(sizeof(b->vnet) + b->size);
}

static ssize_t give(void *stack, uint32_t queue, const struct iovec iov[], int n)
{
	struct bench *b = stack;

	(void)queue;
	if (b->give_error)
		return b->give_error;
	b->n_got++;
	b->got_size = 0;
	memcpy(&b->got_vnet, iov[0].iov_base, sizeof(b->got_vnet));
	for (int i = 1; i < n; i++) {
		memcpy(b->got + b->got_size, iov[i].iov_base, iov[i].iov_len);
		b->got_size += iov[i].iov_len;
	}
	return (ssize_t)b->got_size;
}

static const struct guest_stack_ops stack_ops = { .take = take, .give = give };

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_int_equal(hosted_inproc_start(0), 0);
	assert_int_equal(hosted_domain_create(GUEST), 0);
	hosted_set_domid(GUEST);
	b->nf.config =
	    (struct netfront_config){ .vif = { .domid = GUEST },
				      .choice = { .dialect = dialect_find("linux"), .n_queues = 1 },
				      .stack_ops = &stack_ops,
				      .stack = b };
	assert_int_equal(events_open(&b->nf.events), 0);
	b->nf.gntshr = xengntshr_open(NULL, 0);
	assert_non_null(b->nf.gntshr);
	b->nf.n_queues = 1;
	b->nf.choice = b->nf.config.choice;
	b->nf.features = b->nf.choice.dialect->offloads;
	b->nf.accepts = dialect_accepts(&b->nf.choice);
	assert_int_equal(netfront_share(&b->nf, true, false), 0);
	b->nf.running = true;
	b->q = &b->nf.queue[0];
	b->tx = b->q->tx.page;
	b->rx = b->q->rx.page;
	b->size = 1514;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	netfront_release(&b->nf);
	xengntshr_close(b->nf.gntshr);
	events_close(&b->nf.events);
	hosted_inproc_stop();
	free(b);
	return 0;
}

/* Answers the next n transmit requests, as the backend would. */
static void answer(struct bench *b, uint32_t n, int16_t status)
{
	bool extra = false;

	for (uint32_t i = 0; i < n; i++) {
		union netif_tx_sring_entry *e = &b->tx->ring[(b->tx->rsp_prod + i) % RING_SLOTS];
		netif_tx_response_t rsp = { .id = e->req.id, .status = status };

		if (extra)
			rsp.status = NETIF_RSP_NULL;
		extra = !extra && (e->req.flags & NETTXF_extra_info);
		e->rsp = rsp;
	}
	b->tx->rsp_prod += n;
}

/* Puts one response into the receive ring without publishing it. */
static void respond(struct bench *b, uint32_t ahead, uint16_t flags, int16_t status)
{
	uint32_t i = (b->rx->rsp_prod + ahead) % RING_SLOTS;

	b->rx->ring[i].rsp =
	    (netif_rx_response_t){ .id = (uint16_t)i, .flags = flags, .status = status };
	if (status > 0)
		memset(b->q->rx_memory + i * XEN_PAGE, (int)(ahead + 1), (size_t)status);
}

static void fills_the_receive_ring(void **state)
{
	struct bench *b = *state;

	assert_false(netfront_step(&b->nf));
	assert_int_equal(b->rx->req_prod, RING_SLOTS);
	for (uint32_t i = 0; i < RING_SLOTS; i++) {
		assert_int_equal(b->rx->ring[i].req.id, i);
		assert_int_equal(b->rx->ring[i].req.gref, b->q->rx_gref[i]);
	}
	assert_int_equal(b->rx->rsp_event, 1);
	assert_int_equal(b->nf.counters.to_guest_notifies, 1);
	/* nothing changed: nothing is done */
	assert_false(netfront_step(&b->nf));
	assert_int_equal(b->nf.counters.to_guest_notifies, 1);
}

static void sends_until_the_ring_is_full(void **state)
{
	struct bench *b = *state;

	b->to_send = 1000;
	while (netfront_step(&b->nf))
		;
	/* room is kept for the largest frame */
	assert_int_equal(b->tx->req_prod, RING_SLOTS - TX_SLOTS_MAX + 1);
	assert_false(netfront_has_room(&b->nf, 0));
	assert_int_equal(b->nf.counters.from_guest_notifies, 1);
	assert_int_equal(b->nf.counters.from_guest_waits, 1);
	assert_int_equal(b->tx->rsp_event, 1); /* Linux: of the first response */
	assert_int_equal(b->to_send, 1000 - b->tx->req_prod);

	answer(b, 100, NETIF_RSP_OKAY);
	while (netfront_step(&b->nf))
		;
	assert_int_equal(b->tx->req_prod, RING_SLOTS - TX_SLOTS_MAX + 1 + 100);
	assert_int_equal(b->nf.counters.from_guest_frames, b->tx->req_prod);
	assert_int_equal(b->nf.counters.from_guest_bytes, b->tx->req_prod * 1514);
}

static void sends_the_largest_frame(void **state)
{
	const uint32_t n_slots = DIV_ROUND_UP(XEN_NETIF_MAX_TX_SIZE, XEN_PAGE) + 1;
	struct bench *b = *state;
	uint32_t at = 0;

	b->to_send = 1;
	b->size = XEN_NETIF_MAX_TX_SIZE;
	b->vnet = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					   .gso_size = 1448 };
	netfront_step(&b->nf);
	assert_int_equal(b->tx->req_prod, n_slots);
	for (uint32_t i = 0; i < n_slots; i++) {
		const netif_tx_request_t *req = &b->tx->ring[i].req;
		uint32_t n = MIN(b->size - at, XEN_PAGE);

		if (i == 1) /* the extra info */
			continue;
		assert_int_equal(req->gref, b->q->tx_page[req->id].gref);
		for (uint32_t k = 0; k < n; k++, at++)
			assert_int_equal(b->q->tx_memory[req->id * XEN_PAGE + k], at % 251);
	}
	answer(b, n_slots, NETIF_RSP_OKAY);
	netfront_step(&b->nf);
	assert_int_equal(b->q->n_tx_free, RING_SLOTS);
	assert_int_equal(b->nf.counters.from_guest_gso_frames, 1);
}

static void drops_what_netif_cannot_say(void **state)
{
	struct bench *b = *state;

	b->to_send = 1;
	b->size = XEN_NETIF_MAX_TX_SIZE + 1;
	netfront_step(&b->nf);
	b->to_send = 1;
	b->size = 1514;
	b->vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	b->vnet.gso_size = 100;
	netfront_step(&b->nf);
	assert_int_equal(b->nf.counters.from_guest_drops, 2);
	assert_int_equal(b->tx->req_prod, 0);
	assert_int_equal(b->q->n_tx_free, RING_SLOTS);
}

static void counts_error_responses(void **state)
{
	struct bench *b = *state;

	b->to_send = 3;
	netfront_step(&b->nf);
	answer(b, 3, NETIF_RSP_DROPPED);
	netfront_step(&b->nf);
	assert_int_equal(b->nf.counters.from_guest_error_responses, 3);
	assert_int_equal(b->q->n_tx_free, RING_SLOTS);
	assert_true(b->nf.running);
}

/* A backend that answers wrongly is not listened to again, and nothing is lost of ours. */
static void expect_disabled(struct bench *b)
{
	assert_false(netfront_step(&b->nf));
	assert_false(b->nf.running);
	assert_int_equal(b->nf.counters.disabled, 1);
	b->to_send = 1;
	assert_false(netfront_step(&b->nf));
	assert_int_equal(b->to_send, 1);
	assert_int_equal(b->nf.counters.disabled, 1);
	assert_false(netfront_has_room(&b->nf, 0));
}

static void tx_response_id_out_of_range(void **state)
{
	struct bench *b = *state;

	b->to_send = 1;
	netfront_step(&b->nf);
	b->tx->ring[0].rsp = (netif_tx_response_t){ .id = RING_SLOTS };
	b->tx->rsp_prod = 1;
	expect_disabled(b);
}

static void tx_response_twice(void **state)
{
	struct bench *b = *state;
	uint16_t id;

	b->to_send = 2;
	netfront_step(&b->nf);
	id = b->tx->ring[0].req.id;
	b->tx->ring[0].rsp = b->tx->ring[1].rsp = (netif_tx_response_t){ .id = id };
	b->tx->rsp_prod = 2;
	expect_disabled(b);
}

static void tx_responses_beyond_requests(void **state)
{
	struct bench *b = *state;

	b->to_send = 1;
	netfront_step(&b->nf);
	b->tx->rsp_prod = 2;
	expect_disabled(b);
}

static void rx_responses_beyond_requests(void **state)
{
	struct bench *b = *state;

	netfront_step(&b->nf);
	b->rx->rsp_prod = RING_SLOTS + 1;
	expect_disabled(b);
}

static void rx_response_out_of_slot(void **state)
{
	struct bench *b = *state;

	netfront_step(&b->nf);
	respond(b, 0, 0, 60);
	b->rx->ring[0].rsp.id = 1;
	b->rx->rsp_prod = 1;
	expect_disabled(b);
}

static void receives_and_posts_again(void **state)
{
	struct bench *b = *state;

	netfront_step(&b->nf);
	respond(b, 0, NETRXF_more_data | NETRXF_data_validated, 4096);
	respond(b, 1, 0, 100);
	respond(b, 2, 0, 60);
	b->rx->rsp_prod += 3;
	assert_false(netfront_step(&b->nf));
	assert_int_equal(b->n_got, 2);
	assert_int_equal(b->got_size, 60);
	assert_int_equal(b->got[0], 3);
	assert_int_equal(b->nf.counters.to_guest_bytes, 4096 + 100 + 60);
	assert_int_equal(b->rx->req_prod, RING_SLOTS + 3);
	assert_int_equal(b->rx->ring[2].req.gref, b->q->rx_gref[2]);
	assert_int_equal(b->rx->rsp_event, 4);
}

/* What our keys do not grant is delivered as Linux does, and counted. */
static void counts_what_was_not_asked_for(void **state)
{
	struct bench *b = *state;

	b->nf.accepts = VIF_CSUM_V4;
	netfront_step(&b->nf);
	respond(b, 0, NETRXF_more_data, 4096);
	respond(b, 1, 0, 100);
	respond(b, 2, 0, 60);
	b->rx->rsp_prod += 3;
	assert_false(netfront_step(&b->nf));
	assert_int_equal(b->n_got, 2);
	assert_int_equal(b->nf.counters.to_guest_unasked, 1);
}

/* Addresses go out once, in requests that name no page; their answers give the ids back. */
static void tells_of_multicast(void **state)
{
	struct bench *b = *state;
	const struct multicast_address address[] = { { { 1, 0, 0x5e, 1, 2, 3 } },
						     { { 0x33, 0x33, 0, 0, 0, 1 } } };

	b->nf.bus.ours = b->nf.bus.theirs = XenbusStateConnected;
	multicast_want(&b->nf.multicast, address, 2);
	netfront_step(&b->nf);
	assert_int_equal(b->tx->req_prod, 0); /* the backend does not filter */
	b->nf.filters = true;
	netfront_step(&b->nf);
	netfront_step(&b->nf);
	assert_int_equal(b->tx->req_prod, 4);
	for (uint32_t i = 0; i < 4; i += 2) {
		const netif_tx_request_t *req = &b->tx->ring[i].req;
		/* an extra info takes the place of a request */
		const netif_extra_info_t *extra = (const void *)&b->tx->ring[i + 1];

		assert_int_equal(req->flags, NETTXF_extra_info);
		assert_int_equal(req->gref, 0);
		assert_int_equal(req->size, 0);
		assert_int_equal(extra->type, XEN_NETIF_EXTRA_TYPE_MCAST_ADD);
		assert_memory_equal(extra->u.mcast.addr, address[i / 2].byte, 6);
	}
	assert_int_equal(b->nf.counters.from_guest_multicast, 2);
	assert_int_equal(b->nf.counters.from_guest_frames, 0);
	answer(b, 4, NETIF_RSP_OKAY);
	netfront_step(&b->nf);
	assert_int_equal(b->q->n_tx_free, RING_SLOTS);
	assert_true(b->nf.running);
}

/* A whole ring of frames at once: handed over in order, over more than one step. */
static void receives_a_full_ring(void **state)
{
	struct bench *b = *state;
	uint32_t steps = 1;

	netfront_step(&b->nf);
	for (uint32_t i = 0; i < RING_SLOTS; i++)
		respond(b, i, 0, 60);
	b->rx->rsp_prod += RING_SLOTS;
	while (netfront_step(&b->nf))
		steps++;
	assert_int_equal(b->n_got, RING_SLOTS);
	assert_int_equal(steps, RING_SLOTS / NETFRONT_BATCH);
	assert_int_equal(b->rx->req_prod, 2 * RING_SLOTS);
}

static void receive_errors_cost_a_frame(void **state)
{
	struct bench *b = *state;

	netfront_step(&b->nf);
	respond(b, 0, 0, NETIF_RSP_ERROR);
	respond(b, 1, 0, 60);
	b->rx->rsp_prod += 2;
	netfront_step(&b->nf);
	assert_int_equal(b->nf.counters.to_guest_errors, 1);
	assert_int_equal(b->n_got, 1);
	respond(b, 0, 0, 60);
	b->rx->rsp_prod++;
	b->give_error = -EIO;
	netfront_step(&b->nf);
	assert_int_equal(b->nf.counters.to_guest_stack_drops, 1);
	assert_int_equal(b->nf.counters.to_guest_frames, 1);
	assert_int_equal(b->rx->req_prod, RING_SLOTS + 3);
}

/* Frames over thousands of laps: every page comes back, indices wrap. */
static void many_laps(void **state)
{
	struct bench *b = *state;

	for (uint32_t i = 0; i < 20000; i++) {
		b->to_send = 7;
		b->size = 60 + i % 9000;
		netfront_step(&b->nf);
		answer(b, b->tx->req_prod - b->tx->rsp_prod, NETIF_RSP_OKAY);
		respond(b, 0, 0, 60);
		b->rx->rsp_prod++;
	}
	while (netfront_step(&b->nf))
		;
	assert_true(b->nf.running);
	assert_int_equal(b->nf.counters.from_guest_frames, 7 * 20000);
	assert_int_equal(b->nf.counters.to_guest_frames, 20000);
	assert_int_equal(b->q->n_tx_free, RING_SLOTS);
}

#define io_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		io_test(fills_the_receive_ring),
		io_test(sends_until_the_ring_is_full),
		io_test(sends_the_largest_frame),
		io_test(drops_what_netif_cannot_say),
		io_test(counts_error_responses),
		io_test(tx_response_id_out_of_range),
		io_test(tx_response_twice),
		io_test(tx_responses_beyond_requests),
		io_test(rx_responses_beyond_requests),
		io_test(rx_response_out_of_slot),
		io_test(receives_and_posts_again),
		io_test(tells_of_multicast),
		io_test(counts_what_was_not_asked_for),
		io_test(receives_a_full_ring),
		io_test(receive_errors_cost_a_frame),
		io_test(many_laps),
	};

	log_init("test-frontend-io", LOG_LVL_ERROR, false);
	return cmocka_run_group_tests_name("frontend: data path", tests, NULL, NULL);
}
