/* SPDX-License-Identifier: MIT */
/*
 * The shared rings. The guest's side is played with Xen's own macros (xen/io/ring.h),
 * so that what is proved is agreement with them and not with ourselves.
 *
 * The journal is proved by killing: a child answers frames while it is single-stepped,
 * and after every instruction that changed memory a successor takes over a copy.
 */
#include "tests/unit/unit.h"

#include "ring.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* What xen/io/ring.h leaves to its user. Not fences: the thread sanitizer knows none. */
static int barrier_word;

#define xen_mb()  ((void)__atomic_fetch_add(&barrier_word, 0, __ATOMIC_SEQ_CST))
#define xen_wmb() xen_mb()

/* Xen's macros access the page plainly, which is right and yet a race to a sanitizer. */
#define PLAYS_GUEST __attribute__((no_sanitize("thread")))

/* Where the indices start: fresh, in the middle, across the slots' end, across 2^32. */
static const RING_IDX starts[] = { 0, 77, 250, 0x7ffffffe, 0xfffffffa, 0xffffff80 };

/* Both ends of both rings, in one piece so that it can be copied whole. */
struct shared {
	uint8_t tx_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
	uint8_t rx_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
	struct ring_journal tx_journal, rx_journal;
};

struct ends {
	struct shared *mem;
	netif_tx_front_ring_t tx_front;
	netif_rx_front_ring_t rx_front;
	struct ring tx, rx;
};

static void front_init(struct ends *e, RING_IDX start)
{
	netif_tx_sring_t *tx = (void *)e->mem->tx_page;
	netif_rx_sring_t *rx = (void *)e->mem->rx_page;

	memset(e->mem, 0xee, sizeof(*e->mem));
	SHARED_RING_INIT(tx);
	SHARED_RING_INIT(rx);
	tx->req_prod = tx->rsp_prod = rx->req_prod = rx->rsp_prod = start;
	tx->req_event = tx->rsp_event = rx->req_event = rx->rsp_event = start + 1;
	FRONT_RING_ATTACH(&e->tx_front, tx, start, XEN_PAGE);
	FRONT_RING_ATTACH(&e->rx_front, rx, start, XEN_PAGE);
}

static void ends_init(struct ends *e, RING_IDX start)
{
	front_init(e, start);
	assert_int_equal(from_guest_ring_attach(&e->tx, e->mem->tx_page, &e->mem->tx_journal, 0),
			 0);
	assert_int_equal(to_guest_ring_attach(&e->rx, e->mem->rx_page, &e->mem->rx_journal, 0), 0);
}

static int setup(void **state)
{
	static struct ends ends;
	static struct shared mem;

	ends.mem = &mem;
	*state = &ends;
	return 0;
}

/* The request a guest puts into the slot of index idx: different for each. */
static netif_tx_request_t tx_request(RING_IDX idx)
{
	return (netif_tx_request_t){ .gref = idx * 3,
				     .offset = (uint16_t)(idx % 4096),
				     .flags = (uint16_t)(idx % 16),
				     .id = (uint16_t)(idx * 7),
				     .size = (uint16_t)(idx * 11) };
}

static netif_rx_request_t rx_request(RING_IDX idx)
{
	return (netif_rx_request_t){ .id = (uint16_t)(idx * 5), .gref = idx * 13 };
}

/* Returns whether the backend wants an event. */
PLAYS_GUEST static bool guest_sends(struct ends *e, uint32_t n)
{
	int notify;

	for (uint32_t i = 0; i < n; i++) {
		RING_IDX idx = e->tx_front.req_prod_pvt++;

		*RING_GET_REQUEST(&e->tx_front, idx) = tx_request(idx);
	}
	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&e->tx_front, notify);
	return notify;
}

static void guest_posts(struct ends *e, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		RING_IDX idx = e->rx_front.req_prod_pvt++;

		*RING_GET_REQUEST(&e->rx_front, idx) = rx_request(idx);
	}
	RING_PUSH_REQUESTS(&e->rx_front);
}

/* ---- attaching and the producer's bounds ---- */

static void attaches_where_the_ring_stands(void **state)
{
	struct ends *e = *state;

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		ends_init(e, starts[i]);
		assert_int_equal(e->tx.req_cons, starts[i]);
		assert_int_equal(e->tx.rsp_prod, starts[i]);
		assert_int_equal(ring_pending(&e->tx), 0);
		assert_int_equal(ring_pending(&e->rx), 0);
		guest_sends(e, 5);
		guest_posts(e, RING_SLOTS);
		assert_int_equal(ring_pending(&e->tx), 5);
		assert_int_equal(ring_pending(&e->rx), RING_SLOTS);
	}
}

static void attach_refuses_impossible_indices(void **state)
{
	static const struct {
		uint32_t ahead;
		int expected;
	} cases[] = {
		{ 0, 0 },
		{ 1, 0 },
		{ RING_SLOTS, 0 },
		{ RING_SLOTS + 1, -EPROTO },
		{ 1u << 31, -EPROTO },
		{ (uint32_t)-1, -EPROTO },
		{ (uint32_t)-256, -EPROTO },
	};
	struct ends *e = *state;

	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			front_init(e, starts[s]);
			((netif_tx_sring_t *)(void *)e->mem->tx_page)->req_prod += cases[i].ahead;
			assert_int_equal(from_guest_ring_attach(&e->tx, e->mem->tx_page,
								&e->mem->tx_journal, false),
					 cases[i].expected);
		}
	}
}

/* XSA-39: the producer jumps, or goes back behind what was consumed. */
static void a_wild_producer_is_noticed(void **state)
{
	struct ends *e = *state;
	netif_tx_sring_t *sring = (void *)e->mem->tx_page;

	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		ends_init(e, starts[s]);
		guest_sends(e, 10);
		assert_int_equal(ring_pending(&e->tx), 10);
		ring_consume(&e->tx, 4);
		for (RING_IDX offset = 0; offset < 1024; offset++) {
			bool sane = offset >= 4 && offset <= RING_SLOTS;

			sring->req_prod = starts[s] + offset;
			assert_int_equal(ring_pending(&e->tx), sane ? (int)offset - 4 : -EPROTO);
			assert_int_equal(ring_arm(&e->tx, 1), sane ? (int)offset - 4 : -EPROTO);
			sring->req_prod = starts[s] - offset - 1;
			assert_int_equal(ring_pending(&e->tx), -EPROTO);
		}
	}
}

/* Responses written and not published do not give the guest room. */
static void unpublished_responses_do_not_widen_the_bound(void **state)
{
	static const netif_tx_response_t rsp[8];
	struct ends *e = *state;

	ends_init(e, 0xfffffff0);
	guest_sends(e, RING_SLOTS);
	ring_consume(&e->tx, 8);
	from_guest_respond(&e->tx, rsp, 8);
	((netif_tx_sring_t *)(void *)e->mem->tx_page)->req_prod += 1;
	assert_int_equal(ring_pending(&e->tx), -EPROTO);
	assert_true(ring_publish(&e->tx));
	assert_int_equal(ring_pending(&e->tx), RING_SLOTS - 8 + 1);
}

/* ---- slots ---- */

static void peeks_in_order_without_consuming(void **state)
{
	union from_guest_slot tx[RING_SLOTS];
	netif_rx_request_t rx[RING_SLOTS];
	struct ends *e = *state;

	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		ends_init(e, starts[s]);
		guest_sends(e, RING_SLOTS);
		guest_posts(e, RING_SLOTS);
		from_guest_peek(&e->tx, RING_SLOTS, tx);
		to_guest_peek(&e->rx, RING_SLOTS, rx);
		for (RING_IDX i = 0; i < RING_SLOTS; i++) {
			netif_tx_request_t tx_expected = tx_request(starts[s] + i);
			netif_rx_request_t rx_expected = rx_request(starts[s] + i);

			assert_memory_equal(&tx[i].req, &tx_expected, sizeof(tx_expected));
			assert_memory_equal(&rx[i], &rx_expected, sizeof(rx_expected));
		}
		assert_int_equal(ring_pending(&e->tx), RING_SLOTS);
		ring_consume(&e->tx, 100);
		from_guest_peek(&e->tx, 1, tx);
		assert_int_equal(tx[0].req.gref, tx_request(starts[s] + 100).gref);
	}
}

/* Consumed, and thought better of: they are there again, as they stand by then. */
static void gives_back_what_it_consumed(void **state)
{
	struct ends *e = *state;
	netif_rx_request_t rx[RING_SLOTS];
	union to_guest_slot rsp[3];

	for (size_t k = 0; k < ARRAY_SIZE(starts); k++) {
		ends_init(e, starts[k]);
		guest_posts(e, 100);
		ring_consume(&e->rx, 100);
		assert_int_equal(ring_pending(&e->rx), 0);
		memset(rsp, 0, sizeof(rsp));
		to_guest_respond(&e->rx, rsp, 3);
		ring_give_back(&e->rx, 97);
		assert_int_equal(ring_pending(&e->rx), 97);
		to_guest_peek(&e->rx, 97, rx);
		for (uint32_t i = 0; i < 97; i++) {
			netif_rx_request_t expected = rx_request(starts[k] + 3 + i);

			assert_memory_equal(&rx[i], &expected, sizeof(expected));
		}
	}
}

static void responses_fill_their_slot_and_nothing_else(void **state)
{
	static const uint8_t zeroes[12];
	struct ends *e = *state;
	const uint8_t *slots = e->mem->tx_page + offsetof(netif_tx_sring_t, ring);
	netif_tx_response_t rsp[3] = { { 11, 0 }, { 12, NETIF_RSP_NULL }, { 13, NETIF_RSP_ERROR } };
	netif_tx_request_t untouched;

	ends_init(e, 0);
	guest_sends(e, 5);
	ring_consume(&e->tx, 5);
	from_guest_respond(&e->tx, rsp, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_memory_equal(slots + 12 * i, &rsp[i], 4);
		assert_memory_equal(slots + 12 * i + 4, zeroes, 8);
	}
	untouched = tx_request(3);
	assert_memory_equal(slots + 12 * 3, &untouched, 12);
	assert_false(RING_HAS_UNCONSUMED_RESPONSES(&e->tx_front));
	assert_true(ring_publish(&e->tx));
	assert_int_equal(RING_HAS_UNCONSUMED_RESPONSES(&e->tx_front), 3);
}

static void receive_responses_keep_every_byte(void **state)
{
	union to_guest_slot rsp[2] = {
		{ .rsp = { .id = 1, .offset = 0, .flags = NETRXF_extra_info, .status = 1514 } },
		{ .extra = { .type = XEN_NETIF_EXTRA_TYPE_GSO, .u.gso = { .size = 1448 } } },
	};
	struct ends *e = *state;

	ends_init(e, 0xffffffff);
	guest_posts(e, 3);
	ring_consume(&e->rx, 2);
	to_guest_respond(&e->rx, rsp, 2);
	assert_true(ring_publish(&e->rx));
	assert_memory_equal(RING_GET_RESPONSE(&e->rx_front, 0xffffffff), &rsp[0], 8);
	assert_memory_equal(RING_GET_RESPONSE(&e->rx_front, 0), &rsp[1], 8);
}

/* ---- events ---- */

/* ring_publish() says what RING_PUSH_RESPONSES_AND_CHECK_NOTIFY says, for each way an
 * event threshold can lie to the responses published. */
static void notifies_exactly_when_xen_would(void **state)
{
	netif_tx_response_t rsp[8] = { { 0, 0 } };
	struct ends *e = *state;
	netif_tx_sring_t *sring = (void *)e->mem->tx_page;

	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		for (RING_IDX n = 0; n <= 8; n++) {
			for (int event = -20; event <= 20; event++) {
				netif_tx_back_ring_t xen;
				int expected;

				ends_init(e, starts[s]);
				guest_sends(e, 16);
				sring->rsp_event = starts[s] + (RING_IDX)event;
				ring_consume(&e->tx, 16);
				from_guest_respond(&e->tx, rsp, n);

				BACK_RING_ATTACH(&xen, sring, starts[s], XEN_PAGE);
				xen.rsp_prod_pvt += n;
				RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&xen, expected);
				sring->rsp_prod = starts[s];
				assert_int_equal(ring_publish(&e->tx), expected);
				assert_int_equal(sring->rsp_prod, starts[s] + n);
			}
		}
	}
}

static void each_threshold_is_crossed_once(void **state)
{
	netif_tx_response_t rsp = { 0, 0 };
	struct ends *e = *state;
	unsigned n_notifies = 0;

	ends_init(e, 0xfffffff8);
	((netif_tx_sring_t *)(void *)e->mem->tx_page)->rsp_event = 3;
	guest_sends(e, 32);
	ring_consume(&e->tx, 32);
	for (unsigned i = 0; i < 32; i++) {
		from_guest_respond(&e->tx, &rsp, 1);
		n_notifies += ring_publish(&e->tx);
		assert_false(ring_publish(&e->tx)); /* nothing new */
		assert_int_equal(n_notifies, i + 1 >= 8 + 3);
	}
}

static void arms_for_as_many_as_asked(void **state)
{
	struct ends *e = *state;

	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		ends_init(e, starts[s]);
		assert_int_equal(ring_arm(&e->tx, 1), 0);
		assert_true(guest_sends(e, 1));
		assert_false(guest_sends(e, 1)); /* parked while we are busy */
		assert_int_equal(ring_arm(&e->tx, 4), 2);
		assert_false(guest_sends(e, 1));
		assert_true(guest_sends(e, 1));
		ring_consume(&e->tx, 4);
		assert_int_equal(ring_arm(&e->tx, 1), 0);
		guest_sends(e, 3);
		assert_int_equal(ring_arm(&e->tx, 1), 3); /* came before: must not sleep */
	}
}

PLAYS_GUEST static uint32_t guest_collects(struct ends *e)
{
	uint32_t n = 0;

	for (; RING_HAS_UNCONSUMED_RESPONSES(&e->tx_front); n++) {
		RING_IDX idx = e->tx_front.rsp_cons++;

		assert_int_equal(RING_GET_RESPONSE(&e->tx_front, idx)->id, tx_request(idx).id);
	}
	return n;
}

/* The backend consumes n requests and answers them. */
static void echo(struct ends *e, uint32_t n)
{
	union from_guest_slot slots[RING_SLOTS];
	netif_tx_response_t rsp[RING_SLOTS];

	from_guest_peek(&e->tx, n, slots);
	ring_consume(&e->tx, n);
	for (uint32_t i = 0; i < n; i++)
		rsp[i] = (netif_tx_response_t){ .id = slots[i].req.id };
	from_guest_respond(&e->tx, rsp, n);
}

/* ---- what the guest has taken ---- */

/* A frame for the guest, shown to it. */
static void show(struct ends *e)
{
	const union to_guest_slot slot = { .rsp = { .status = 60 } };

	ring_consume(&e->rx, 1);
	to_guest_respond(&e->rx, &slot, 1);
	(void)!ring_publish(&e->rx);
}

/* By an empty ring, or by one filled up again: each alone is proof, and of no more than that. */
static void shows_what_it_has_taken(void **state)
{
	struct ends *e = *state;

	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		const RING_IDX start = starts[s];
		int more;

		ends_init(e, start);
		guest_posts(e, RING_SLOTS);
		assert_true(ring_is_taken(&e->rx, start));
		show(e);
		show(e);
		assert_false(ring_is_taken(&e->rx, start + 1));
		e->rx_front.rsp_cons += 2; /* which nobody can see */
		assert_false(ring_is_taken(&e->rx, start + 1));
		RING_FINAL_CHECK_FOR_RESPONSES(&e->rx_front, more);
		assert_false(more);
		assert_true(ring_is_taken(&e->rx, start + 2));
		show(e);
		show(e);
		assert_false(ring_is_taken(&e->rx, start + 3));
		e->rx_front.rsp_cons += 1;
		guest_posts(e, 2);
		assert_false(ring_is_taken(&e->rx, start + 3));
		guest_posts(e, 1);
		assert_true(ring_is_taken(&e->rx, start + 3));
		assert_false(ring_is_taken(&e->rx, start + 4));
	}
}

/* The guest takes what was shown, keeps half of its slots free, and wants no event soon. */
static void take_in_silence(struct ends *e)
{
	show(e);
	e->rx_front.rsp_cons++;
	e->rx_front.sring->rsp_event = e->rx_front.rsp_cons + RING_SLOTS / 4;
	guest_posts(e, 1);
}

static void is_known_never_to_show_it(void **state)
{
	struct ends *e = *state;
	int more;

	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		for (unsigned how = 0; how < 2; how++) {
			ends_init(e, starts[s]);
			guest_posts(e, RING_SLOTS / 2);
			for (unsigned i = 0; i <= RING_SLOTS; i++) {
				assert_true(ring_tells_taken(&e->rx)); /* it may yet */
				take_in_silence(e);
			}
			assert_false(ring_tells_taken(&e->rx));
			if (how)
				guest_posts(e, RING_SLOTS / 2);
			else
				RING_FINAL_CHECK_FOR_RESPONSES(&e->rx_front, more);
			show(e);
			assert_true(ring_tells_taken(&e->rx));
			for (unsigned i = 0; i < 2 * RING_SLOTS; i++)
				take_in_silence(e);
			assert_true(ring_tells_taken(&e->rx));
		}
	}
}

/* Two sleepers that only wake by events, over several times 2^32's neighbourhood:
 * nothing is lost and nobody is left asleep. */
static void nobody_sleeps_through_work(void **state)
{
	struct random random = { 0x5eed };
	struct ends *e = *state;
	RING_IDX sent = 0, answered = 0;
	bool back_awake = true, front_awake = true;
	int more;
	const RING_IDX total = 20000, begin = (RING_IDX)-10000;

	ends_init(e, begin);
	for (unsigned step = 0; answered < total; step++) {
		uint32_t n = random_below(&random, 64);

		assert_true(step < 1000000);
		assert_true(back_awake || front_awake);
		if (front_awake && (!back_awake || random_below(&random, 2))) {
			n = MIN(n, RING_FREE_REQUESTS(&e->tx_front));
			n = MIN(n, total - sent);
			sent += n;
			back_awake |= guest_sends(e, n);
			answered += guest_collects(e);
			RING_FINAL_CHECK_FOR_RESPONSES(&e->tx_front, more);
			front_awake = more || (sent < total && !RING_FULL(&e->tx_front));
		} else if (back_awake) {
			int pending = ring_pending(&e->tx);

			assert_true(pending >= 0);
			echo(e, MIN(n + 1, (uint32_t)pending));
			front_awake |= ring_publish(&e->tx);
			back_awake = ring_arm(&e->tx, 1) > 0;
		}
	}
	assert_int_equal(e->tx.rsp_prod, begin + total);
}

/* ---- two threads ---- */

#define DUEL_FRAMES 100000u

struct duel {
	struct ends *ends;
	int wake_back, wake_front; /* eventfds */
};

static void wake(int fd)
{
	static const uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

/* Looks a while before it sleeps, so that the two meet in narrow places. */
static bool woken(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;

	for (unsigned i = 0; i < 100; i++) {
		if (read(fd, &n, sizeof(n)) == sizeof(n))
			return true;
	}
	return poll(&p, 1, 10000) == 1 && read(fd, &n, sizeof(n)) == sizeof(n);
}

static void *back_thread(void *arg)
{
	struct duel *d = arg;
	struct ring *tx = &d->ends->tx;
	RING_IDX end = tx->req_cons + DUEL_FRAMES;

	while (tx->req_cons != end) {
		int pending = ring_pending(tx);

		if (pending < 0 || (pending == 0 && ring_arm(tx, 1) == 0 && !woken(d->wake_back)))
			return d; /* nobody came: the guest believes we are awake */
		if (pending <= 0)
			continue;
		echo(d->ends, (uint32_t)pending);
		if (ring_publish(tx))
			wake(d->wake_front);
	}
	return NULL;
}

PLAYS_GUEST static bool guest_may_sleep(struct ends *e)
{
	int more;

	RING_FINAL_CHECK_FOR_RESPONSES(&e->tx_front, more);
	return !more;
}

/* The barriers: two threads that sleep whenever they may. A lost wake-up shows as a
 * sleep that nobody ends. */
static void two_threads_never_both_sleep(void **state)
{
	struct duel d = { *state, eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
	struct random random = { 0xd0e1 };
	uint32_t sent = 0, answered = 0;
	pthread_t thread;
	void *slept;

	ends_init(d.ends, (RING_IDX) - (int)DUEL_FRAMES / 2);
	assert_int_equal(pthread_create(&thread, NULL, back_thread, &d), 0);
	while (answered < DUEL_FRAMES) {
		uint32_t n = 1 + random_below(&random, 3);

		if (sent == answered) {
			n = MIN(n, DUEL_FRAMES - sent);
			sent += n;
			if (guest_sends(d.ends, n))
				wake(d.wake_back);
		}
		answered += guest_collects(d.ends);
		if (answered < sent && guest_may_sleep(d.ends) && !woken(d.wake_front))
			break;
	}
	wake(d.wake_back);
	pthread_join(thread, &slept);
	assert_null(slept);
	assert_int_equal(answered, DUEL_FRAMES);
	close(d.wake_back);
	close(d.wake_front);
}

/* ---- the journal ---- */

static void begins_anew_unless_told_to_resume(void **state)
{
	netif_tx_response_t rsp[4] = { { 1, 0 } };
	struct ends *e = *state;

	ends_init(e, 50);
	guest_sends(e, 8);
	ring_consume(&e->tx, 4);
	from_guest_respond(&e->tx, rsp, 4);
	assert_int_equal(
	    from_guest_ring_attach(&e->tx, e->mem->tx_page, &e->mem->tx_journal, false), 0);
	assert_int_equal(e->tx.req_cons, 50);
	assert_int_equal(e->mem->tx_journal.rsp_prod, 50);
	e->mem->tx_journal.rsp_prod = 54;
	e->mem->tx_journal.valid = 0;
	assert_int_equal(from_guest_ring_attach(&e->tx, e->mem->tx_page, &e->mem->tx_journal, true),
			 0);
	assert_int_equal(e->tx.req_cons, 50);
}

static void resume_refuses_a_journal_of_another_ring(void **state)
{
	struct ends *e = *state;

	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		for (int noted = -300; noted <= 300; noted++) {
			bool sane = noted >= 0 && noted <= 20;

			ends_init(e, starts[s]);
			guest_sends(e, 20);
			e->mem->tx_journal.rsp_prod = starts[s] + (RING_IDX)noted;
			assert_int_equal(from_guest_ring_attach(&e->tx, e->mem->tx_page,
								&e->mem->tx_journal, true),
					 sane ? 0 : -EPROTO);
		}
	}
}

/* The frames the mortal process answers: how many slots each, and where it publishes. */
static const struct {
	uint32_t n_slots;
	bool publish;
} life[] = { { 1, false }, { 5, false }, { 3, true }, { 1, true }, { 18, false }, { 2, true } };

#define LIFE_SLOTS 30u

static netif_tx_response_t tx_answer(RING_IDX idx)
{
	return (netif_tx_response_t){ .id = tx_request(idx).id, .status = (int16_t)(idx % 3 - 2) };
}

static union to_guest_slot rx_answer(RING_IDX idx)
{
	return (union to_guest_slot){ .rsp = { .id = rx_request(idx).id,
					       .flags = (uint16_t)(idx % 16),
					       .status = (int16_t)(idx % 4096) } };
}

static bool at_frame_end(uint32_t n_answered)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(life) && sum < n_answered; i++)
		sum += life[i].n_slots;
	return sum == n_answered;
}

static void answer_tx(struct ring *r, uint32_t n)
{
	netif_tx_response_t rsp[RING_SLOTS];

	for (uint32_t i = 0; i < n; i++)
		rsp[i] = tx_answer(r->rsp_prod + i);
	ring_consume(r, n);
	from_guest_respond(r, rsp, n);
}

static void answer_rx(struct ring *r, uint32_t n)
{
	union to_guest_slot rsp[RING_SLOTS];

	for (uint32_t i = 0; i < n; i++)
		rsp[i] = rx_answer(r->rsp_prod + i);
	ring_consume(r, n);
	to_guest_respond(r, rsp, n);
}

/* Answers the frames of its life that are not answered yet. */
static void live(struct ends *e, RING_IDX start, bool resume)
{
	RING_IDX end = start;

	if (from_guest_ring_attach(&e->tx, e->mem->tx_page, &e->mem->tx_journal, resume) ||
	    to_guest_ring_attach(&e->rx, e->mem->rx_page, &e->mem->rx_journal, resume))
		_exit(1);
	for (size_t i = 0; i < ARRAY_SIZE(life); i++) {
		end += life[i].n_slots;
		if (end - e->tx.rsp_prod <= LIFE_SLOTS)
			answer_tx(&e->tx, end - e->tx.rsp_prod);
		if (end - e->rx.rsp_prod <= LIFE_SLOTS)
			answer_rx(&e->rx, end - e->rx.rsp_prod);
		if (life[i].publish && ring_publish(&e->tx) + ring_publish(&e->rx) > 2)
			_exit(1);
	}
}

/* Takes over a copy of what the dead process left, finishes its work, and looks at it
 * with the guest's eyes. */
static void succeed(const struct shared *left, RING_IDX start)
{
	static struct shared mem;
	struct ends heir = { .mem = &mem };
	union from_guest_slot tx_slot;
	netif_rx_request_t rx_slot, rx_expected;
	netif_tx_request_t tx_expected;

	memcpy(&mem, left, sizeof(mem));
	FRONT_RING_ATTACH(&heir.tx_front, (netif_tx_sring_t *)(void *)mem.tx_page, start, XEN_PAGE);
	FRONT_RING_ATTACH(&heir.rx_front, (netif_rx_sring_t *)(void *)mem.rx_page, start, XEN_PAGE);
	assert_int_equal(from_guest_ring_attach(&heir.tx, mem.tx_page, &mem.tx_journal, true), 0);
	assert_int_equal(to_guest_ring_attach(&heir.rx, mem.rx_page, &mem.rx_journal, true), 0);
	assert_true(at_frame_end(heir.tx.rsp_prod - start));
	assert_true(at_frame_end(heir.rx.rsp_prod - start));

	for (RING_IDX idx = heir.tx.rsp_prod; idx != start + LIFE_SLOTS; idx++) {
		from_guest_peek(&heir.tx, 1, &tx_slot);
		tx_expected = tx_request(idx);
		assert_memory_equal(&tx_slot.req, &tx_expected, sizeof(tx_expected));
		answer_tx(&heir.tx, 1);
	}
	for (RING_IDX idx = heir.rx.rsp_prod; idx != start + LIFE_SLOTS; idx++) {
		to_guest_peek(&heir.rx, 1, &rx_slot);
		rx_expected = rx_request(idx);
		assert_memory_equal(&rx_slot, &rx_expected, sizeof(rx_expected));
		answer_rx(&heir.rx, 1);
	}
	(void)!ring_publish(&heir.tx);
	(void)!ring_publish(&heir.rx);
	assert_int_equal(RING_HAS_UNCONSUMED_RESPONSES(&heir.tx_front), LIFE_SLOTS);
	assert_int_equal(RING_HAS_UNCONSUMED_RESPONSES(&heir.rx_front), LIFE_SLOTS);
	for (RING_IDX idx = start; idx != start + LIFE_SLOTS; idx++) {
		netif_tx_response_t tx = tx_answer(idx);
		union to_guest_slot rx = rx_answer(idx);

		assert_memory_equal(RING_GET_RESPONSE(&heir.tx_front, idx), &tx, sizeof(tx));
		assert_memory_equal(RING_GET_RESPONSE(&heir.rx_front, idx), &rx, sizeof(rx));
	}
}

static bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

/* Runs live() in a child one instruction at a time. Returns how many different states
 * of the shared memory a kill could have left. */
static unsigned die_at_every_instruction(struct ends *e, RING_IDX start, bool resume)
{
	static struct shared last;
	unsigned n_states = 0;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		live(e, start, resume);
		_exit(0);
	}
	memcpy(&last, e->mem, sizeof(last));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (unsigned step = 0; WIFSTOPPED(status); step++) {
		assert_true(step < 1000000);
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (memcmp((const uint8_t *)&last, (const uint8_t *)e->mem, sizeof(last)) == 0)
			continue;
		memcpy(&last, e->mem, sizeof(last));
		succeed(&last, start);
		n_states++;
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return n_states;
}

static struct shared *map_shared(void)
{
	void *mem = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(mem, MAP_FAILED);
	return mem;
}

static void a_kill_at_any_instruction_loses_nothing(void **state)
{
	struct ends e = { .mem = map_shared() };

	(void)state;
	if (under_valgrind())
		skip();
	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		front_init(&e, starts[s]);
		guest_sends(&e, LIFE_SLOTS);
		guest_posts(&e, LIFE_SLOTS);
		assert_true(die_at_every_instruction(&e, starts[s], false) > 4 * LIFE_SLOTS);
	}
	munmap(e.mem, sizeof(*e.mem));
}

/* The first process noted answers and died before any reached the page. */
static void a_kill_while_taking_over_loses_nothing(void **state)
{
	struct ends e = { .mem = map_shared() };
	static struct shared pristine;

	(void)state;
	if (under_valgrind())
		skip();
	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		ends_init(&e, starts[s]);
		guest_sends(&e, LIFE_SLOTS);
		guest_posts(&e, LIFE_SLOTS);
		memcpy(&pristine, e.mem, sizeof(pristine));
		answer_tx(&e.tx, life[0].n_slots + life[1].n_slots);
		answer_rx(&e.rx, life[0].n_slots);
		memcpy(e.mem->tx_page, pristine.tx_page, XEN_PAGE);
		memcpy(e.mem->rx_page, pristine.rx_page, XEN_PAGE);
		assert_true(die_at_every_instruction(&e, starts[s], true) > 4 * LIFE_SLOTS);
	}
	munmap(e.mem, sizeof(*e.mem));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attaches_where_the_ring_stands),
		cmocka_unit_test(attach_refuses_impossible_indices),
		cmocka_unit_test(a_wild_producer_is_noticed),
		cmocka_unit_test(unpublished_responses_do_not_widen_the_bound),
		cmocka_unit_test(peeks_in_order_without_consuming),
		cmocka_unit_test(gives_back_what_it_consumed),
		cmocka_unit_test(responses_fill_their_slot_and_nothing_else),
		cmocka_unit_test(receive_responses_keep_every_byte),
		cmocka_unit_test(notifies_exactly_when_xen_would),
		cmocka_unit_test(each_threshold_is_crossed_once),
		cmocka_unit_test(arms_for_as_many_as_asked),
		cmocka_unit_test(shows_what_it_has_taken),
		cmocka_unit_test(is_known_never_to_show_it),
		cmocka_unit_test(nobody_sleeps_through_work),
		cmocka_unit_test(two_threads_never_both_sleep),
		cmocka_unit_test(begins_anew_unless_told_to_resume),
		cmocka_unit_test(resume_refuses_a_journal_of_another_ring),
		cmocka_unit_test(a_kill_at_any_instruction_loses_nothing),
		cmocka_unit_test(a_kill_while_taking_over_loses_nothing),
	};

	return cmocka_run_group_tests_name("ring", tests, setup, NULL);
}
