/* SPDX-License-Identifier: MIT */
/*
 * The frontend's use of the control ring, this test being the backend that answers, right
 * and wrong; and the hashes it expects, on Microsoft's vectors.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend-compat/netfront.h"
#include "libvif/hosted/hosted.h"

#define GUEST	 1
#define N_QUEUES 2

struct bench {
	struct netfront nf;
	xen_netif_ctrl_sring_t *ring;
	struct xen_netif_ctrl_request req;
};

static void setup_as(void **state, const char *dialect)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_int_equal(hosted_inproc_start(0), 0);
	assert_int_equal(hosted_domain_create(GUEST), 0);
	hosted_set_domid(GUEST);
	b->nf.config.vif.domid = GUEST;
	b->nf.choice = (struct frontend_choice){ dialect_find(dialect), N_QUEUES, 0 };
	assert_int_equal(events_open(&b->nf.events), 0);
	b->nf.gntshr = xengntshr_open(NULL, 0);
	assert_non_null(b->nf.gntshr);
	b->nf.n_queues = N_QUEUES;
	assert_int_equal(netfront_share(&b->nf, true, true), 0);
	b->ring = b->nf.ctrl.ring.ring.page;
	*state = b;
}

static int setup_static(void **state)
{
	setup_as(state, "static-grants");
	return 0;
}

static int setup_hashing(void **state)
{
	setup_as(state, "hashing");
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

/* The one request that is on the ring, of the given type. */
static const struct xen_netif_ctrl_request *asked(struct bench *b, uint16_t type)
{
	assert_int_equal(b->ring->req_prod - b->ring->rsp_prod, 1);
	assert_int_equal(b->ring->rsp_event - b->ring->rsp_prod, 1); /* its answer is to be told */
	b->req = b->ring->ring[b->ring->rsp_prod % CTRL_RING_SLOTS].req;
	assert_int_equal(b->req.type, type);
	return &b->req;
}

static bool answer(struct bench *b, uint32_t status, uint32_t data)
{
	b->ring->ring[b->ring->rsp_prod % CTRL_RING_SLOTS].rsp = (struct xen_netif_ctrl_response){
		.id = b->req.id, .type = b->req.type, .status = status, .data = data
	};
	b->ring->rsp_prod++;
	return ctrl_step(&b->nf);
}

static bool success(struct bench *b, uint32_t data)
{
	return answer(b, XEN_NETIF_CTRL_STATUS_SUCCESS, data);
}

/* Goes through size and add of each queue. */
static void add_all(struct bench *b, uint32_t size)
{
	ctrl_start(&b->nf);
	for (uint32_t q = 0; q < N_QUEUES; q++) {
		assert_int_equal(asked(b, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE)->data[0], q);
		assert_false(success(b, size));
		asked(b, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING);
		assert_int_equal(b->req.data[0], q);
		assert_int_equal(b->req.data[1], b->nf.ctrl.ring.table_gref);
		assert_int_equal(b->req.data[2], MIN(size, 512u));
		assert_true(ctrl_is_lending(&b->nf.ctrl));
		assert_int_equal(success(b, 0), q + 1 == N_QUEUES);
	}
	assert_int_equal(b->nf.ctrl.phase, CTRL_READY);
}

static void lends_all_pages(void **state)
{
	struct bench *b = *state;
	const struct xen_netif_gref *list = b->nf.ctrl.ring.table;
	const struct netfront_queue *q = &b->nf.queue[1];

	add_all(b, 4096);
	for (uint32_t i = 0; i < RING_SLOTS; i++) {
		assert_int_equal(list[i].ref, q->rx_gref[i]);
		assert_int_equal(list[i].flags, 0);
		assert_int_equal(list[RING_SLOTS + i].ref, q->tx_page[i].gref);
		assert_int_equal(list[RING_SLOTS + i].flags, XEN_NETIF_CTRLF_GREF_readonly);
	}
	assert_int_equal(b->nf.counters.static_pages, N_QUEUES * 512);
	assert_int_equal(b->ring->req_prod, b->ring->rsp_prod); /* no more requests */
}

static void asks_them_back(void **state)
{
	struct bench *b = *state;
	struct xen_netif_gref *list = b->nf.ctrl.ring.table;

	add_all(b, 300);
	ctrl_withdraw(&b->nf);
	for (uint32_t q = N_QUEUES; q-- > 0;) {
		asked(b, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING);
		assert_int_equal(b->req.data[0], q);
		assert_int_equal(b->req.data[2], 300);
		assert_int_equal(list[0].ref, b->nf.queue[q].rx_gref[0]);
		for (uint32_t i = 0; i < 300; i++)
			list[i].status = XEN_NETIF_CTRL_STATUS_SUCCESS;
		assert_true(ctrl_is_lending(&b->nf.ctrl));
		assert_int_equal(success(b, 300), q == 0);
	}
	assert_false(ctrl_is_lending(&b->nf.ctrl));
	assert_int_equal(b->nf.counters.static_pages, 0);
	assert_int_equal(b->nf.counters.ctrl_errors, 0);
}

/* Asked to close while the backend still maps: it is let finish first. */
static void asks_back_what_is_being_lent(void **state)
{
	struct bench *b = *state;

	ctrl_start(&b->nf);
	asked(b, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE);
	success(b, 512);
	ctrl_withdraw(&b->nf);
	asked(b, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING);
	assert_true(answer(b, XEN_NETIF_CTRL_STATUS_SUCCESS, 0) == false);
	asked(b, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE);
	answer(b, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER, 0);
	asked(b, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING);
	assert_int_equal(b->req.data[0], 0);
	assert_true(success(b, 511)); /* one too few: noticed */
	assert_false(ctrl_is_lending(&b->nf.ctrl));
	assert_int_equal(b->nf.counters.ctrl_errors, 2);
}

static void lives_without_static_grants(void **state)
{
	struct bench *b = *state;

	ctrl_start(&b->nf);
	asked(b, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE);
	assert_true(answer(b, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED, 0));
	assert_int_equal(b->nf.ctrl.phase, CTRL_READY);
	assert_false(ctrl_is_lending(&b->nf.ctrl));
	assert_int_equal(b->nf.counters.ctrl_errors, 0);
	assert_int_equal(b->ring->req_prod, 1);
}

static void distrusts_wrong_answers(void **state)
{
	struct bench *b = *state;

	ctrl_start(&b->nf);
	asked(b, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE);
	b->req.id++;
	assert_true(success(b, 512));
	assert_int_equal(b->nf.counters.disabled, 1);
	assert_int_equal(b->nf.ctrl.phase, CTRL_DONE);
	assert_int_equal(b->ring->req_prod, 1);
}

static void sets_up_hashing(void **state)
{
	struct bench *b = *state;
	const uint32_t *mapping = b->nf.ctrl.ring.table;

	ctrl_start(&b->nf);
	assert_int_equal(asked(b, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM)->data[0],
			 XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
	success(b, 0);
	asked(b, XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS);
	success(b, 15);
	asked(b, XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE);
	success(b, 64);
	assert_int_equal(asked(b, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE)->data[0], 64);
	success(b, 0);
	asked(b, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING);
	assert_int_equal(b->req.data[1], 64);
	assert_int_equal(b->req.data[2], 0);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(mapping[i], 1 - i % 2);
	success(b, 0);
	assert_int_equal(asked(b, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY)->data[1], 40);
	assert_memory_equal(b->nf.ctrl.ring.table, "\x6d\x5a\x56\xda", 4);
	success(b, 0);
	assert_int_equal(asked(b, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS)->data[0], 15);
	assert_int_equal(b->nf.ctrl.hash.flags, 0); /* not before the backend knows all of it */
	assert_true(success(b, 0));
	assert_int_equal(b->nf.ctrl.hash.flags, 15);
	assert_int_equal(b->nf.ctrl.hash.mapping_size, 64);
	assert_int_equal(b->nf.ctrl.phase, CTRL_READY);
}

static void lives_without_hashing(void **state)
{
	struct bench *b = *state;

	ctrl_start(&b->nf);
	asked(b, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM);
	assert_true(answer(b, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED, 0));
	assert_int_equal(b->nf.ctrl.phase, CTRL_READY);
	assert_int_equal(b->nf.ctrl.hash.flags, 0);
}

/* "Verifying the RSS hash calculation", learn.microsoft.com: hashes of addresses alone and
 * with ports. */
static const struct vector {
	int family;
	const char *source, *destination;
	uint16_t source_port, destination_port;
	uint32_t ip, tcp;
} vectors[] = {
	{ AF_INET, "66.9.149.187", "161.142.100.80", 2794, 1766, 0x323e8fc2, 0x51ccc178 },
	{ AF_INET, "199.92.111.2", "65.69.140.83", 14230, 4739, 0xd718262a, 0xc626b0ea },
	{ AF_INET, "24.19.198.95", "12.22.207.184", 12898, 38024, 0xd2d0a5de, 0x5c2b394a },
	{ AF_INET6, "3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x2cc18cd5,
	  0x40207d3d },
	{ AF_INET6, "3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739, 0x0f0c461c,
	  0xdde51bbf },
};

static uint32_t make_frame(uint8_t frame[128], const struct vector *v, uint8_t protocol)
{
	static const uint8_t ipv4[] = { 0x08, 0x00, 0x45 }, ipv6[] = { 0x86, 0xdd, 0x60 };
	bool v4 = v->family == AF_INET;
	uint32_t transport = v4 ? 34 : 54;
	uint16_t ports[2] = { htons(v->source_port), htons(v->destination_port) };

	memset(frame, 0, 128);
	memcpy(frame + 12, v4 ? ipv4 : ipv6, sizeof(ipv4));
	frame[v4 ? 23 : 20] = protocol;
	assert_int_equal(inet_pton(v->family, v->source, frame + (v4 ? 26 : 22)), 1);
	assert_int_equal(inet_pton(v->family, v->destination, frame + (v4 ? 30 : 38)), 1);
	memcpy(frame + transport, ports, sizeof(ports));
	return transport + 20;
}

static void hashes_as_published(void **state)
{
	struct hash_setup s = { .flags = 15 };
	uint8_t frame[128];

	(void)state;
	/* the key the frontend sets is that of the vectors */
	memcpy(s.key,
	       "\x6d\x5a\x56\xda\x25\x5b\x0e\xc2\x41\x67\x25\x3d\x43\xa3\x8f\xb0\xd0\xca\x2b\xcb"
	       "\xae\x7b\x30\xb4\x77\xcb\x2d\xa3\x80\x30\xf2\x0c\x6a\x42\xb7\x3b\xbe\xac\x01\xfa",
	       HASH_KEY_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		uint32_t size = make_frame(frame, v, 6);
		struct frame_hash h = hash_frame(&s, frame, size);

		assert_int_equal(h.type, v->family == AF_INET ? _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP
							      : _XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP);
		assert_int_equal(h.value, v->tcp);
		make_frame(frame, v, 17);
		h = hash_frame(&s, frame, size);
		assert_int_equal(h.type, v->family == AF_INET ? _XEN_NETIF_CTRL_HASH_TYPE_IPV4
							      : _XEN_NETIF_CTRL_HASH_TYPE_IPV6);
		assert_int_equal(h.value, v->ip);
	}
	make_frame(frame, &vectors[0], 6);
	frame[21] = 1; /* a later fragment of TCP */
	assert_int_equal(hash_frame(&s, frame, 54).type, HASH_TYPE_NONE);
	frame[12] = 0x81; /* VLAN */
	assert_int_equal(hash_frame(&s, frame, 54).type, HASH_TYPE_NONE);
	make_frame(frame, &vectors[0], 6);
	s.flags = XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP;
	assert_int_equal(hash_frame(&s, frame, 54).type, HASH_TYPE_NONE);
}

static void maps_hashes_to_queues(void **state)
{
	struct hash_setup s = { .flags = 15 };

	(void)state;
	assert_int_equal(hash_queue(&s, 10, 4), 2);
	s.mapping_size = 3;
	s.mapping[1] = 3;
	assert_int_equal(hash_queue(&s, 10, 4), 3);
	assert_int_equal(hash_queue(&s, 11, 4), 0);
}

#define static_test(f)	cmocka_unit_test_setup_teardown(f, setup_static, teardown)
#define hashing_test(f) cmocka_unit_test_setup_teardown(f, setup_hashing, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		static_test(lends_all_pages),
		static_test(asks_them_back),
		static_test(asks_back_what_is_being_lent),
		static_test(lives_without_static_grants),
		static_test(distrusts_wrong_answers),
		hashing_test(sets_up_hashing),
		hashing_test(lives_without_hashing),
		cmocka_unit_test(hashes_as_published),
		cmocka_unit_test(maps_hashes_to_queues),
	};

	return cmocka_run_group_tests_name("frontend: control ring and hashes", tests, NULL, NULL);
}
