#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vifbench beside DPDK, and where something it would use is not to be had: it says so and
# does the rest. What the figures are does not matter here.
#
#	tests/bench/test_lacking.sh [BUILD]
# shellcheck disable=SC2317 # 'check' calls them
set -uo pipefail

# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

# peers WORDS...: a short run of one lab, started by WORDS.
peers() { timeout 200 "$@" "$build/vifbench" peers --quick --runs 1 --limit 10 --output "$dir/report.json"; }
# As if DPDK was not installed, and so a shorter one.
without_dpdk() { unshare -m bash -c '[ ! -e /usr/bin/dpdk-testpmd ] || mount --bind /dev/null /usr/bin/dpdk-testpmd; exec "$@"' - "$@"; }
says_missing()
{
	report_of '.missing | map(select(test("install Debian.s dpdk-dev"))) | length == 1' &&
		every '.name == "vifd-bridge"' '.cycles_per_packet.median > 0' &&
		report_of '[.rows[] | select(.name == "ring-floor")] | length == 8' &&
		report_of '[.rows[] | select(.name == "vhost-user")] | length == 0'
}
# strace answers for the kernel; vifd's threads are then its, and nobody counts their calls.
no_perf()
{
	peers strace -f -qq --seccomp-bpf -o /dev/null -e trace=perf_event_open -e inject=perf_event_open:error=EACCES &&
		report_of '.missing | tostring | test("no perf events.*denied")' &&
		report_of '[.rows[] | select(.in_kernel != null)] | length == 0'
}
# Somebody wants the processor that is measured on, several times in each slice of 1 ms, and
# before all others: who wants it always may be kept waiting for as long as a slice takes.
noisy()
{
	local cpu burner status
	cpu=$(($(nproc) - 1))
	timeout 100 nice -n -20 taskset -c "$cpu" \
		perl -e 'for (;;) { select(undef, undef, undef, 0.0002); $i++ for 1 .. 3000 }' &
	burner=$!
	peers env
	status=$?
	kill "$burner"
	wait "$burner"
	[ "$status" = 0 ] && report_of '[.rows[] | select(.name == "vifd-bridge") | .quiet_runs] | (map(select(. == 0)) | length) * 2 >= length'
}
# Where others want the processor a peer, which has what they leave, may not be ready in time, which
# the report says: another time then, three in all.
with_dpdk()
{
	for _ in 1 2 3; do
		peers taskset -c 0 || return
		! report_of '.missing | tostring | test("vhost-user|memif")' || continue
		return 0
	done
	return 1
}
export -f peers
export build dir

check "DPDK is not installed" without_dpdk bash -c 'peers env'
check "then says what to install, and does the rest" says_missing
check "no perf events: said, the rest is there" without_dpdk bash -c "$(declare -f no_perf report_of); no_perf"
check "a noisy machine: disturbed" without_dpdk bash -c "$(declare -f noisy report_of every); noisy"
if [ -x /usr/bin/dpdk-testpmd ]; then
	check "one processor, and DPDK" with_dpdk
	for name in vhost-ring memif-ring vhost-user memif; do
		check "$name beside vifd's" every ".name == \"$name\"" '.cycles_per_packet.median > 0'
	done
	check "the rings' ratio to a netif ring" every '.name == "vhost-ring"' '.ratio_ring > 0 and .working > 0'
	# Where nobody has time for it a datagram comes too late; one without room never comes.
	for name in vhost-user memif; do
		check "$name between TAPs has room for all of a burst" \
			report_of "[.rows[] | select(.name == \"$name\" and .burst == 64) | .lost] | length > 0 and any(. == 0)"
	done
else
	echo "skip - DPDK: no dpdk-testpmd here"
fi
check "nothing is left" bash -c '! ip netns list | grep -q "^vb.*-\(bsink\|bvhost\|bmemif\)"'
exit $failed
