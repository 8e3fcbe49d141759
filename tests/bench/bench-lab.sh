#!/bin/bash
# SPDX-License-Identifier: MIT
#
# iperf3 TCP through vifd (guest <-> wire) beside the same iperf3 through a plain
# TAP pump (tests/bench/tap-pump.c), interleaved in one run on one machine.
#
#	tests/bench/bench-lab.sh [BUILD]	BENCH_RUNS=5 BENCH_SECONDS=3
#
# Prints min/median/max of each in Mbit/s and the ratios of the medians.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "${1:-build}")
runs=${BENCH_RUNS:-5} seconds=${BENCH_SECONDS:-3}

if [ "${BENCH_INSIDE:-}" = "" ]; then
	exec env BENCH_INSIDE=1 "$build/vif-lab" run --name "bench$$" --guests 1 -- "$here/bench-lab.sh" "$build"
fi

name=$VIF_LAB_NAME
a=$name-pa b=$name-pb
cleanup()
{
	[ -z "${pump:-}" ] || kill "$pump" 2>/dev/null || true
	ip netns del "$a" 2>/dev/null || true
	ip netns del "$b" 2>/dev/null || true
}
trap cleanup EXIT

ip netns add "$a"
ip netns add "$b"
coproc PUMP { exec "$build/tap-pump" "/run/netns/$a" eth0 "/run/netns/$b" eth0; }
pump=$PUMP_PID
read -r -t 5 _ <&"${PUMP[0]}"
for side in "$a 10.78.0.11" "$b 10.78.0.1"; do
	# shellcheck disable=SC2086 # two words
	set -- $side
	ip -n "$1" addr add "$2/24" dev eth0
	ip -n "$1" link set eth0 up
	# vif-guest limits itself the same way: netif's sizes are 16 bits.
	ip -n "$1" link set eth0 gso_max_size 65400 2>/dev/null || true
done

# One iperf3 run from namespace $1 to address $3 in namespace $2; prints Mbit/s.
tcp()
{
	ip netns exec "$2" iperf3 -s -1 -B "$3" >/dev/null 2>&1 &
	local server=$! i
	for ((i = 0; i < 100; i++)); do
		ip netns exec "$2" ss -Hltn "sport = :5201" | grep >/dev/null . && break
		read -r -t 0.05 _ <> <(:) || true
	done
	ip netns exec "$1" iperf3 -c "$3" -t "$seconds" -J 2>/dev/null |
		jq -r '.end.sum_received.bits_per_second / 1e6 | floor'
	wait "$server" || true
}

declare -A got
for ((run = 1; run <= runs; run++)); do
	got[pump]+=" $(tcp "$a" "$b" 10.78.0.1)"
	got[guest_to_wire]+=" $(tcp "$name-g1" "$name-wire" 10.77.0.1)"
	got[pump_back]+=" $(tcp "$b" "$a" 10.78.0.11)"
	got[wire_to_guest]+=" $(tcp "$name-wire" "$name-g1" 10.77.0.11)"
	echo "run $run/$runs: pump ${got[pump]##* } vifd guest->wire ${got[guest_to_wire]##* }" \
		"| pump ${got[pump_back]##* } vifd wire->guest ${got[wire_to_guest]##* } Mbit/s"
done

stats()
{
	tr ' ' '\n' <<<"$1" | grep . | sort -n |
		awk '{ v[NR] = $1 } END { print v[1], v[int((NR + 1) / 2)], v[NR] }'
}

printf '\n%-28s %8s %8s %8s  Mbit/s\n' "iperf3 TCP, ${seconds}s x $runs" min median max
for key in pump guest_to_wire pump_back wire_to_guest; do
	read -r lo mid hi <<<"$(stats "${got[$key]}")"
	printf '%-28s %8s %8s %8s\n' "$key" "$lo" "$mid" "$hi"
	eval "med_$key=$mid"
done
# shellcheck disable=SC2154 # set by eval above
awk -v a="$med_guest_to_wire" -v b="$med_pump" -v c="$med_wire_to_guest" -v d="$med_pump_back" \
	'BEGIN { printf "ratio guest->wire %.2f, wire->guest %.2f of the TAP pump\n", a / b, c / d }'
