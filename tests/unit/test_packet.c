/* SPDX-License-Identifier: MIT */
/*
 * The packet pool and the packet FIFO.
 */
#include "tests/unit/unit.h"

#include "packet.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_PACKETS 8u

static int setup(void **state)
{
	static struct packet_pool pool;

	*state = &pool;
	return packet_pool_init(&pool, N_PACKETS);
}

static int teardown(void **state)
{
	packet_pool_fini(*state);
	return 0;
}

static void takes_and_gives_back_all(void **state)
{
	struct packet_pool *pool = *state;
	struct packet *taken[N_PACKETS];

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < N_PACKETS; i++) {
			taken[i] = packet_get(pool);
			assert_non_null(taken[i]);
			for (unsigned j = 0; j < i; j++)
				assert_ptr_not_equal(taken[i], taken[j]);
		}
		assert_int_equal(pool->n_free, 0);
		assert_null(packet_get(pool));
		for (unsigned i = 0; i < N_PACKETS; i++)
			packet_put(pool, taken[i]);
		assert_int_equal(pool->n_free, N_PACKETS);
	}
}

static void last_put_is_next_got(void **state)
{
	struct packet *a = packet_get(*state), *b = packet_get(*state);

	packet_put(*state, a);
	packet_put(*state, b);
	assert_ptr_equal(packet_get(*state), b);
	assert_ptr_equal(packet_get(*state), a);
	packet_put(*state, a);
	packet_put(*state, b);
}

static void got_is_blank(void **state)
{
	static const uint8_t zeroes[PACKET_VNET_SIZE];
	struct packet *p = packet_get(*state);

	p->size = 1234;
	p->next = p;
	memset(packet_vnet(p), 0xff, PACKET_VNET_SIZE);
	packet_put(*state, p);
	p = packet_get(*state);
	assert_int_equal(p->size, 0);
	assert_null(p->next);
	assert_memory_equal(packet_vnet(p), zeroes, sizeof(zeroes));
	packet_put(*state, p);
}

static void header_ends_where_the_page_of_the_frame_begins(void **state)
{
	struct packet *p = packet_get(*state);

	assert_int_equal((uintptr_t)p->frame % XEN_PAGE, 0);
	assert_ptr_equal((uint8_t *)packet_vnet(p) + PACKET_VNET_SIZE, p->frame);
	packet_put(*state, p);
}

static void frames_do_not_overlap(void **state)
{
	struct packet *taken[N_PACKETS];

	for (unsigned i = 0; i < N_PACKETS; i++) {
		taken[i] = packet_get(*state);
		memset(packet_vnet(taken[i]), (int)i + 1, PACKET_VNET_SIZE);
		memset(taken[i]->frame, (int)i + 1, PACKET_FRAME_MAX);
	}
	for (unsigned i = 0; i < N_PACKETS; i++) {
		const uint8_t *bytes = (uint8_t *)packet_vnet(taken[i]);

		for (size_t at = 0; at < PACKET_VNET_SIZE + PACKET_FRAME_MAX; at++)
			assert_int_equal(bytes[at], i + 1);
		packet_put(*state, taken[i]);
	}
}

static void put_of_nothing_is_nothing(void **state)
{
	packet_put(*state, NULL);
	assert_int_equal(((struct packet_pool *)*state)->n_free, N_PACKETS);
}

static bool put_aborts(struct packet_pool *pool, struct packet *p)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		packet_put(pool, p);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void put_of_a_stranger_aborts(void **state)
{
	struct packet_pool *pool = *state;
	struct packet stranger = { .size = 0 }, *p = packet_get(pool);

	assert_true(put_aborts(pool, &stranger));
	assert_true(put_aborts(pool, pool->all + N_PACKETS));
	assert_false(put_aborts(pool, p));
	packet_put(pool, p);
}

/* In a child, whose address space may end 64 MiB above what it uses now. */
static int init_with_little_memory(void)
{
	struct packet_pool pool;
	unsigned long n_pages;
	FILE *statm = fopen("/proc/self/statm", "r");

	if (!statm || fscanf(statm, "%lu", &n_pages) != 1)
		return 1;
	fclose(statm);
	setrlimit(RLIMIT_AS,
		  &(struct rlimit){ n_pages * 4096 + (64 << 20), n_pages * 4096 + (64 << 20) });
	if (packet_pool_init(&pool, 4096) != -ENOMEM)
		return 2;
	packet_pool_fini(&pool); /* nothing to do, nothing to fall over */
	return 0;
}

static void says_when_there_is_no_memory(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(init_with_little_memory());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void memory_is_touched_only_as_used(void **state)
{
	struct packet_pool pool;
	struct rusage before, after;
	struct packet *p;

	(void)state;
	getrusage(RUSAGE_SELF, &before);
	assert_int_equal(packet_pool_init(&pool, 4096), 0);
	for (unsigned i = 0; i < 10000; i++) {
		p = packet_get(&pool);
		p->frame[0] = 1;
		packet_put(&pool, p);
	}
	getrusage(RUSAGE_SELF, &after);
	/* 4096 packets are 288 MiB; their descriptors and one frame are not. */
	assert_true(after.ru_maxrss - before.ru_maxrss < 16 * 1024);
	packet_pool_fini(&pool);
}

static void fifo_keeps_order_and_counts(void **state)
{
	struct packet_fifo fifo = { .head = NULL };
	struct packet *taken[N_PACKETS];

	for (unsigned round = 0; round < 2; round++) {
		assert_null(packet_fifo_pop(&fifo));
		for (unsigned i = 0; i < N_PACKETS; i++) {
			taken[i] = packet_get(*state);
			taken[i]->size = 100 + i;
			packet_fifo_push(&fifo, taken[i]);
		}
		assert_int_equal(fifo.n_packets, N_PACKETS);
		assert_int_equal(fifo.n_bytes, 100 * N_PACKETS + N_PACKETS * (N_PACKETS - 1) / 2);
		for (unsigned i = 0; i < N_PACKETS; i++) {
			struct packet *p = packet_fifo_pop(&fifo);

			assert_ptr_equal(p, taken[i]);
			assert_null(p->next);
			packet_put(*state, p);
		}
		assert_int_equal(fifo.n_packets, 0);
		assert_int_equal(fifo.n_bytes, 0);
		assert_null(fifo.head);
		assert_null(fifo.tail);
	}
}

static void fifo_is_filled_while_it_empties(void **state)
{
	struct packet_fifo fifo = { .head = NULL };
	struct packet *p;

	for (unsigned i = 0; i < 100; i++) {
		if (i < 99) {
			p = packet_get(*state);
			p->size = i;
			p->next = p; /* a stale link of another list */
			packet_fifo_push(&fifo, p);
		}
		if (fifo.n_packets == 4 || i == 99) {
			p = packet_fifo_pop(&fifo);
			assert_int_equal(p->size, i == 99 ? 96 : i - 3);
			packet_put(*state, p);
		}
	}
	while ((p = packet_fifo_pop(&fifo)))
		packet_put(*state, p);
	assert_int_equal(((struct packet_pool *)*state)->n_free, N_PACKETS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_and_gives_back_all),
		cmocka_unit_test(last_put_is_next_got),
		cmocka_unit_test(got_is_blank),
		cmocka_unit_test(header_ends_where_the_page_of_the_frame_begins),
		cmocka_unit_test(frames_do_not_overlap),
		cmocka_unit_test(put_of_nothing_is_nothing),
		cmocka_unit_test(put_of_a_stranger_aborts),
		cmocka_unit_test(says_when_there_is_no_memory),
		cmocka_unit_test(memory_is_touched_only_as_used),
		cmocka_unit_test(fifo_keeps_order_and_counts),
		cmocka_unit_test(fifo_is_filled_while_it_empties),
	};

	return cmocka_run_group_tests_name("packet", tests, setup, teardown);
}
