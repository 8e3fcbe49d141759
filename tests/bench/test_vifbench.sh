#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vifbench as its user has it: words it refuses, a whole (very short) run, its JSON, the
# report made of it. What the figures are does not matter here.
#
#	tests/bench/test_vifbench.sh [BUILD]
# shellcheck disable=SC2317 # 'check' calls them
set -uo pipefail

# shellcheck source=tests/bench/bench.bash
. "$(dirname "$0")/bench.bash"

# refuses STATUS WORDS ARGUMENTS...: exits with STATUS and says WORDS.
refuses()
{
	local status=$1 words=$2
	shift 2
	"$build/vifbench" "$@" >"$dir/said" 2>&1
	local got=$?
	cat "$dir/said"
	[ "$got" = "$status" ] && grep -q -- "$words" "$dir/said"
}

run() { timeout 150 "$build/vifbench" lab --quick --runs 2 --limit 25 --output "$dir/report.json" 2>"$dir/labs" || { cat "$dir/labs"; return 1; }; }
all_labs_told() { every '.name == "vifd-bridge"' ".runs == $(grep -c 'the software bridge, lab' "$dir/labs")"; }
writes_page()
{
	"$build/vifbench" report "$dir/report.json" --directory "$dir/page" || return 1
	grep -q '| software bridge | more than 5x native | `vifd-bridge` |' "$dir/page/performance.md" &&
		grep -q '^vifd-bridge' "$dir/page/performance.md" && grep -q '<svg' "$dir/page/size.svg"
}

# Sampling may be refused (perf_event_paranoid, a kernel without): then that is said.
kernel_told()
{
	every '.name == "vifd-bridge"' '(.in_kernel.vifd >= 0 and .in_kernel.vifd <= 1) or .in_kernel == null' &&
		report_of '([.rows[] | select(.in_kernel.vifd > 0)] | length > 0) or (.missing | tostring | test("no perf events"))'
}
nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$build/vifbench" "$1" >"$dir/said" 2>&1; [ $? = 1 ] && grep -q "$1 makes network namespaces and needs root" "$dir/said"; }
no_sources()
{
	cp "$build/vifbench" "$dir/alone"
	"$dir/alone" lab --quick >"$dir/said" 2>&1
	[ $? = 1 ] && grep -q "the lab comes with vifd's sources" "$dir/said"
}

full()
{
	"$build/vifbench" xen "$dir/empty.json" >/dev/full 2>"$dir/said"
	[ $? = 1 ] && grep -q "standard output: No space left" "$dir/said"
}

check "no command" refuses 2 "what to measure"
check "an unknown command" refuses 2 "no such command: moon" moon
check "an unknown option" refuses 2 "unrecognized option" lab --moon
check "0 runs" refuses 2 "1..16" lab --runs 0
check "no time" refuses 2 "takes 1..86400 seconds" lab --limit 0
check "an option without a value" refuses 2 "'vifbench --help' tells more" lab --runs
check "another command's option: lab" refuses 2 "lab takes no --interval" lab --interval 2
check "another command's option: host" refuses 2 "host takes no --quick" host --quick
check "another command's option: report" refuses 2 "report takes no --json" report --json x
check "words for lab" refuses 2 "lab takes options only" lab 64
check "no words for report" refuses 2 "report takes 1 to 16 FILEs" report
check "an output that cannot be written, before anything is measured" refuses 1 "$dir/no/out: No such file" lab --output "$dir/no/out"
check "an output that is a folder" refuses 1 "$dir: Is a directory" peers --output "$dir"
check "a report of nothing" refuses 1 "moon.json" report "$dir/moon.json"
echo '{"a": 1}' >"$dir/odd.json"
check "a report of something else" refuses 1 "not a report" report "$dir/odd.json"
check "no Xen" refuses 1 "in dom0 of a Xen host" host --count 1
echo '{"rows": []}' >"$dir/empty.json"
check "a table that finds no room" full
check "xen of something else" refuses 1 "not what make bench-xen writes" xen "$dir/odd.json"
check "an odd interval" refuses 2 "0.01 to 3600" host --interval soon
check "not root: lab" nobody lab
check "not root: peers" nobody peers
check "installed without the lab" no_sources
check "a processor that is not there" refuses 1 "processor 4095 is not there, or not ours to use" lab --quick --cpu 4095
check "--help" refuses 0 "Usage: vifbench" --help

check "a lab measured" run
for name in native tap-loop vifd-bridge vifd-guest-guest vifd-bridge-static vifd-mq-afxdp vifd-mq-afxdp-static vifd-mq-model \
	vifd-mq-model-static; do
	check "$name: both ways, all loads" every ".name == \"$name\"" '.cycles_per_packet.median > 0 or .disturbed'
	check "$name: nothing lost" every ".name == \"$name\"" '.lost == 0'
done
check "a run is a lab, and all are told of" all_labs_told
check "of two labs no ratio is known" every '.ratio_native != null' '.disturbed'
check "floors" report_of '[.rows[] | select(.name | endswith("-floor"))] | length == 9'
check "vifd's cost is told apart" every '.name == "vifd-bridge"' '.split.vifd > 0 and .split.guest > 0'
check "and who of them is in the kernel" kernel_told
check "a ratio has a range" every '.name == "vifd-bridge"' \
	'.ratio_range[0] <= .ratio_native and .ratio_native <= .ratio_range[1]'
# A frame in one page is one operation; vifd has no system call of its own for each packet
# when there are many.
check "one grant operation a datagram" every '.name == "vifd-bridge" and .size > 0' \
	'.counts.grant_ops > 0.99 and .counts.grant_ops < 1.1'
check "one copy a datagram, told by its way" every '.name == "vifd-bridge" and .size > 0 and .direction == "receive"' \
	'.counts.to_guest.copies > 0.99 and .counts.to_guest.copies < 1.1 and .counts.from_guest == null'
check "none a grant operation with static grants" every '.name == "vifd-bridge-static" and .size > 0' \
	'.counts.copies > 0.99 and .counts.copies < 1.1 and .counts.grant_ops < 0.1'
check "what stands for hardware is told and not counted" every '.name == "vifd-mq-model" and .direction == "receive"' \
	'.split.nic > 0'
check "no copy from the model NIC to static grants" every '.name == "vifd-mq-model-static" and .size == 1500 and .direction == "receive" and .burst == 64' \
	'.counts.copies < 0.1 and .counts.nic_written > 0.9'
check "nor from AF_XDP that was lent their memory" every '.name == "vifd-mq-afxdp-static" and .size == 1500 and .direction == "receive" and .burst == 64' \
	'.counts.copies < 0.1 and .counts.nic_written > 0.9'
check "from guest to guest two" every '.name == "vifd-guest-guest" and .size > 0' '.counts.copies > 1.99 and .counts.copies < 2.2'
# 0.1 to 0.3 where nothing else runs: a busy moment is measured anew.
few_wakes() { every '.name == "vifd-bridge" and .burst == 64' '.counts.notifies < 0.5'; }
check "at saturation a burst wakes nobody twice" eval 'few_wakes || { run && few_wakes; }'
check "fewer system calls than packets at saturation" every '.name == "vifd-bridge" and .burst == 64' \
	'.counts.syscalls == null or (.counts.syscalls > 0 and .counts.syscalls < 1)'
check "latency: p50 <= p99 <= p99.9" report_of '.latency | length == 9 and all(.us.p50 > 0 and .us.p50 <= .us.p99 and .us.p99 <= .us."p99.9")'
check "a page of it" writes_page
cat >"$dir/result.json" <<'E'
{"rows": [{"system": "netback", "direction": "tcp_to_guest", "bytes": 0, "gap_us": 0, "unit": "MiB",
 "lost_percent": 0, "per_unit": {"total": {"median": 724153.4, "min": 1, "max": 2}}, "ratio": {"native": 2}},
 {"system": "vifd", "direction": "from_guest", "bytes": 60, "gap_us": 200, "unit": "packet", "lost_percent": 1,
 "per_unit": {"total": {"median": 7, "min": 6, "max": 8}, "guest_kernel": {"median": 3}, "guest_user": {"median": 1}},
 "vifd": {"grant_ops": 1}, "ratio": {"native": 2, "netback": 3}}]}
E
converted()
{
	"$build/vifbench" xen "$dir/result.json" --json --output "$dir/xen.json" &&
		jq -e '.rows[0] | .name == "xen-netback" and .size == 0 and .direction == "receive" and
			(.instructions_per_packet.median - 1000 | fabs < 1)' "$dir/xen.json" &&
		jq -e '.rows[1] | .name == "vifd-bridge" and .size == 46 and .burst == 1 and .direction == "send" and
			.split.guest == 4 and .counts.grant_ops == 1 and .ratio_netback == 3' "$dir/xen.json"
}
check "xen: bench-xen's rows in the lab's" converted
twice()
{
	"$build/vifbench" report "$dir/report.json" "$dir/report.json" --directory "$dir/twice" &&
		grep -q ', 0 differ by more than$' "$dir/twice/performance.md"
}
check "a page of the same twice" twice
# The same, all quiet, but for one ratio: 10 and 12.
twice_apart()
{
	local file row='.name == "tap-loop" and .size == 1500 and .burst == 64 and .direction == "send"'
	for file in 10 12; do
		jq ".rows |= map(.disturbed = false | if $row then .ratio_native = $file else . end)" \
			"$dir/report.json" >"$dir/$file.json" || return 1
	done
	"$build/vifbench" report "$dir/10.json" "$dir/12.json" --directory "$dir/twice" &&
		grep -q ', 1 differ by more than$' "$dir/twice/performance.md" &&
		grep -q 'the worst by 1[67]\.[0-9] %' "$dir/twice/performance.md" &&
		[ "$(grep -c '^[a-z-]* .* disturbed$' "$dir/twice/performance.md")" = 1 ] &&
		grep -q '^tap-loop  *1500 send  *64 .* disturbed$' "$dir/twice/performance.md"
}
check "a page of two that differ" twice_apart
counts_told() { grep -q '^| `vifd-bridge` | receive | 1\.0' "$dir/page/performance.md" && grep -q '^| `vifd-bridge` | .* / .* |$' "$dir/page/performance.md"; }
check "the page tells counts, and who spends what" counts_told
both() { "$build/vifbench" report "$dir/report.json" "$dir/xen.json" --directory "$dir/both" && grep -q '^xen-netback' "$dir/both/performance.md"; }
check "a page of both" both
check "nothing is left" bash -c '! ip netns list | grep -q "^vb.*-\(bsink\|bnative\|bloop\)"'
exit $failed
