/* SPDX-License-Identifier: MIT */
/*
 * The messages between control and datapath over a real socket with real fds, and
 * what a datapath taken over by a guest could send instead.
 */
#include "tests/unit/unit.h"

#include "backend/ipc.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct link {
	int here, there;
	unsigned n_fds_before;
};

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	static struct link link;
	int pair[2];

	link.n_fds_before = count_fds();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	link.here = pair[0];
	link.there = pair[1];
	*state = &link;
	return 0;
}

static int teardown(void **state)
{
	struct link *link = *state;

	close(link->here);
	if (link->there >= 0)
		close(link->there);
	return count_fds() == link->n_fds_before ? 0 : -1;
}

static struct ipc_msg sample(void)
{
	struct ipc_msg msg;

	memset(&msg, 0, sizeof(msg));
	msg.type = IPC_QUEUE_ATTACH;
	msg.slot = 17;
	msg.queue.vif = (struct vif_id){ .domid = 3, .devid = 70000 };
	msg.queue.tx_gref = 0xdeadbeef;
	msg.queue.resume = 1;
	return msg;
}

static void carries_a_message(void **state)
{
	struct link *link = *state;
	struct ipc_msg sent = sample(), got;
	int fds[IPC_FDS_MAX];
	uint32_t n_fds = 99;

	assert_int_equal(ipc_send(link->here, &sent, NULL, 0), 0);
	assert_int_equal(ipc_recv(link->there, &got, fds, &n_fds), 0);
	assert_memory_equal(&got, &sent, sizeof(sent));
	assert_int_equal(n_fds, 0);
}

static void carry_fds(struct link *link, unsigned n)
{
	int sent[IPC_FDS_MAX], got[IPC_FDS_MAX];
	struct ipc_msg msg = sample();
	uint32_t n_fds;
	char c;

	for (unsigned i = 0; i < n; i++) {
		sent[i] = memfd_create("ipc", MFD_CLOEXEC);
		assert_true(sent[i] >= 0);
		c = (char)('a' + i);
		assert_int_equal(pwrite(sent[i], &c, 1, 0), 1);
	}
	assert_int_equal(ipc_send(link->here, &msg, sent, n), 0);
	for (unsigned i = 0; i < n; i++)
		close(sent[i]); /* still ours to close: the message has its own */
	assert_int_equal(ipc_recv(link->there, &msg, got, &n_fds), 0);
	assert_int_equal(n_fds, n);
	for (unsigned i = 0; i < n; i++) {
		assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
		assert_int_equal(pread(got[i], &c, 1, 0), 1);
		assert_int_equal(c, 'a' + (int)i);
		close(got[i]);
	}
}

static void carries_fds_in_order(void **state)
{
	for (unsigned n = 1; n <= IPC_FDS_MAX; n++)
		carry_fds(*state, n);
}

static void never_blocks(void **state)
{
	struct link *link = *state;
	struct ipc_msg msg = sample();
	int fds[IPC_FDS_MAX], err = 0;
	uint32_t n_fds = 99;
	unsigned n = 0;

	assert_int_equal(ipc_recv(link->there, &msg, fds, &n_fds), -EAGAIN);
	assert_int_equal(n_fds, 0);
	while (n < 100000 && (err = ipc_send(link->here, &msg, NULL, 0)) == 0)
		n++;
	assert_int_equal(err, -EAGAIN);
	while (n-- > 0)
		assert_int_equal(ipc_recv(link->there, &msg, fds, &n_fds), 0);
	assert_int_equal(ipc_recv(link->there, &msg, fds, &n_fds), -EAGAIN);
}

static void tells_that_the_peer_is_gone(void **state)
{
	struct link *link = *state;
	struct ipc_msg msg = sample();
	int fds[IPC_FDS_MAX];
	uint32_t n_fds;

	close(link->there);
	link->there = -1;
	assert_int_equal(ipc_recv(link->here, &msg, fds, &n_fds), -ECONNRESET);
	assert_int_equal(ipc_send(link->here, &msg, NULL, 0), -EPIPE); /* and no SIGPIPE */
}

/* Sends anything, as a stranger with our socket might. */
static void send_raw(int sock, const void *bytes, size_t size, unsigned n_fds, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(250 * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		hdr.msg_control = &control;
		hdr.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (unsigned i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(&control.header) + i * sizeof(fd), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(sock, &hdr, 0), size);
}

static void refuses_messages_of_another_size(void **state)
{
	static const size_t sizes[] = { 1, 4, sizeof(struct ipc_msg) - 1,
					sizeof(struct ipc_msg) + 1, 3 * sizeof(struct ipc_msg) };
	static const uint8_t bytes[3 * sizeof(struct ipc_msg)];
	struct link *link = *state;
	int fds[IPC_FDS_MAX];
	struct ipc_msg msg;
	uint32_t n_fds;
	unsigned n_open = count_fds();

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		send_raw(link->here, bytes, sizes[i], 2, link->here);
		assert_int_equal(ipc_recv(link->there, &msg, fds, &n_fds), -EPROTO);
		assert_int_equal(n_fds, 0);
		assert_int_equal(count_fds(), n_open);
	}
}

static void refuses_more_fds_than_it_holds(void **state)
{
	struct link *link = *state;
	struct ipc_msg msg = sample();
	int fds[IPC_FDS_MAX + 8];
	uint32_t n_fds;
	unsigned n_open = count_fds();

	for (unsigned n = IPC_FDS_MAX + 1; n <= 250; n++) {
		memset(fds, 0x55, sizeof(fds));
		send_raw(link->here, &msg, sizeof(msg), n, link->here);
		assert_int_equal(ipc_recv(link->there, &msg, fds, &n_fds), -EPROTO);
		assert_int_equal(n_fds, 0);
		assert_int_equal(count_fds(), n_open);
		for (unsigned i = IPC_FDS_MAX; i < ARRAY_SIZE(fds); i++)
			assert_int_equal(fds[i], 0x55555555);
	}
}

#define IPC_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IPC_TEST(carries_a_message),
		IPC_TEST(carries_fds_in_order),
		IPC_TEST(never_blocks),
		IPC_TEST(tells_that_the_peer_is_gone),
		IPC_TEST(refuses_messages_of_another_size),
		IPC_TEST(refuses_more_fds_than_it_holds),
	};

	return cmocka_run_group_tests_name("ipc", tests, NULL, NULL);
}
