/* SPDX-License-Identifier: MIT */
/*
 * Messages between control and the datapath. Control is the more privileged end and
 * the datapath the one guests attack, so what control receives is checked for its
 * shape here, and an fd that comes with it never outlives a refused message.
 */
#include "ipc.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Control data for IPC_FDS_MAX fds, aligned as cmsg(3) wants. */
union ipc_control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))];
};

int ipc_send(int sock, const struct ipc_msg *msg, const int fds[], uint32_t n_fds)
{
	union ipc_control control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)msg, .iov_len = sizeof(*msg) };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	assert(n_fds <= IPC_FDS_MAX);
	if (n_fds > 0) {
		hdr.msg_control = &control;
		hdr.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
	}
	do
		n = sendmsg(sock, &hdr, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Collects the fds of a received message. There are never more than fds[] holds: the
 * kernel drops what does not fit the control buffer and sets MSG_CTRUNC. */
static uint32_t take_fds(struct msghdr *hdr, int fds[])
{
	uint32_t n_fds = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		uint32_t n = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		memcpy(fds + n_fds, CMSG_DATA(c), n * sizeof(int));
		n_fds += n;
	}
	return n_fds;
}

static void close_fds(const int fds[], uint32_t n_fds)
{
	for (uint32_t i = 0; i < n_fds; i++)
		close(fds[i]);
}

int ipc_recv(int sock, struct ipc_msg *msg, int fds[], uint32_t *n_fds)
{
	union ipc_control control;
	struct iovec iov = { .iov_base = msg, .iov_len = sizeof(*msg) };
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		/* Not CMSG_SPACE: its padding has room for one fd more than fds[]. */
		.msg_controllen = CMSG_LEN(IPC_FDS_MAX * sizeof(int)),
	};
	ssize_t n;

	*n_fds = 0;
	do
		n = recvmsg(sock, &hdr, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*n_fds = take_fds(&hdr, fds);
	if (n == sizeof(*msg) && !(hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return 0;
	close_fds(fds, *n_fds);
	*n_fds = 0;
	return n == 0 ? -ECONNRESET : -EPROTO;
}

const char *ipc_buffers_name(uint32_t buffers)
{
	static const char *const name[IPC_BUFFERS_N] = {
		[IPC_BUFFERS_POSTED] = "posted",
		[IPC_BUFFERS_LENDABLE] = "to be lent",
		[IPC_BUFFERS_LENT] = "lent",
		[IPC_BUFFERS_NOT_GRANTED] = "none is a static grant",
		[IPC_BUFFERS_GRANTS_CHANGE] = "its static grants change",
		[IPC_BUFFERS_SMALL] = "its MTU is more than a buffer holds",
		[IPC_BUFFERS_TAG] = "its frames have a tag to be taken off",
		[IPC_BUFFERS_NO_NOTIFY] = "it does not tell of new ones",
		[IPC_BUFFERS_HEADROOM] = "it asks for headroom",
		[IPC_BUFFERS_HASHES] = "it asks for hashes",
		[IPC_BUFFERS_SLOW] = "it has too few",
		[IPC_BUFFERS_NEIGHBOURS] = "it gets more from other guests than from the wire",
		[IPC_BUFFERS_BRIDGED] = "a frame for its queue came over the bridge",
		[IPC_BUFFERS_REFUSED] = "the NIC could not use them",
	};

	return buffers < IPC_BUFFERS_N ? name[buffers] : NULL;
}
