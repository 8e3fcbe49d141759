/* SPDX-License-Identifier: MIT */
/* Somebody else's XDP program, for tests/nic/test_changed.sh: all may pass. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int somebodys(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
