/* SPDX-License-Identifier: MIT */
/*
 * In a guest: attaches an XDP program that passes everything, in the driver, or takes it
 * off again: netfront then asks the backend for headroom (xennet_xdp_set()).
 *
 *	xdp-pass IFNAME on|off
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int load(void)
{
	const struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uintptr_t)program;
	attr.insn_cnt = 2;
	attr.license = (uintptr_t) "MIT";
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

struct attribute {
	struct rtattr header;
	uint32_t value;
};

int main(int argc, char **argv)
{
	struct {
		struct nlmsghdr nlh;
		struct ifinfomsg ifi;
		struct rtattr xdp;
		struct attribute fd, flags;
	} request;
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr error;
		char rest[512];
	} answer;
	int sock = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	int fd = argc == 3 && !strcmp(argv[2], "on") ? load() : -1;

	if (argc != 3 || sock < 0 || (fd < 0 && !strcmp(argv[2], "on"))) {
		perror("xdp-pass");
		return 1;
	}
	memset(&request, 0, sizeof(request));
	request.nlh = (struct nlmsghdr){ .nlmsg_len = sizeof(request),
					 .nlmsg_type = RTM_SETLINK,
					 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };
	request.ifi.ifi_index = (int)if_nametoindex(argv[1]);
	request.xdp =
	    (struct rtattr){ .rta_len = sizeof(struct rtattr) + 2 * sizeof(struct attribute),
			     .rta_type = IFLA_XDP | NLA_F_NESTED };
	request.fd = (struct attribute){ { 8, IFLA_XDP_FD }, (uint32_t)fd };
	request.flags = (struct attribute){ { 8, IFLA_XDP_FLAGS }, XDP_FLAGS_DRV_MODE };
	if (send(sock, &request, sizeof(request), 0) < 0 ||
	    recv(sock, &answer, sizeof(answer), 0) < 0) {
		perror("xdp-pass: rtnetlink");
		return 1;
	}
	if (answer.error.error)
		fprintf(stderr, "xdp-pass: %s\n", strerror(-answer.error.error));
	return answer.error.error != 0;
}
