#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Two guests behind a NIC with one filter: one is offloaded, the other on the bridge, and
# they change places under load, UDP and TCP both ways. Nothing is lost, doubled or reordered.
#
#	SWAPS=100 tests/nic/test_swaps.sh	at half of what the slower path carries here
#	NIC=model tests/nic/test_swaps.sh	the NIC in software
#
# With SWAPS the load is measured first: the most datagrams a second each way, to and from
# both guests at once, of which none is lost in three; without, it is one that any machine
# carries, and there are a few swaps.
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
[ -n "${VIF_LAB_NAME:-}" ] ||
	become_lab --name "s$$" --guests 2 --model mq --filters 1 --workers "${WORKERS:-1}" --nic "${NIC:-afxdp}" \
		--queues "${QUEUES:-1}" -- "$0"

moves() { vifctl show "vif$1.0" --json | jq .vif.placement.moves; }
one_placed() { [ "$(model 1) $(model 2)" = "mq bridge" ] || [ "$(model 1) $(model 2)" = "bridge mq" ]; }
placed() { if model_is 1 mq; then echo 1; else echo 2; fi; }

# A retransmission for mere impatience would hide whether anything was lost.
for netns in "$n-wire" "$n-g1" "$n-g2"; do
	ip netns exec "$netns" sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_early_retrans'
done

# The guest that has the place gives it up, so the other one gets it.
swap()
{
	local from to
	from=$(placed)
	to=$((3 - from))
	vifctl model "vif$to.0" auto
	vifctl model "vif$from.0" bridge
	await 10 model_is "$to" mq
	await 10 model_is "$from" bridge
}

# load RATE SECONDS: to and from each guest at once; UDP, and TCP at an eighth of it. Until
# there is a file 'enough' at the latest.
load()
{
	local rate=$1 seconds=$2 g pids=() failed=0 pid
	for g in 1 2; do
		"$build/flows" udp "$n-wire" "$n-g$g" "10.77.0.1$g" 7001 4 "$rate" "$seconds" >"$work/udp.in.$g" &
		pids+=($!)
		"$build/flows" udp "$n-g$g" "$n-wire" 10.77.0.1 "700$((2 + g))" 4 "$rate" "$seconds" >"$work/udp.out.$g" &
		pids+=($!)
		"$build/flows" tcp "$n-wire" "$n-g$g" "10.77.0.1$g" 7002 4 $((rate / 8)) "$seconds" >"$work/tcp.in.$g" &
		pids+=($!)
		"$build/flows" tcp "$n-g$g" "$n-wire" 10.77.0.1 "710$((2 + g))" 4 $((rate / 8)) "$seconds" >"$work/tcp.out.$g" &
		pids+=($!)
	done
	while [ ! -e "$work/enough" ] && kill -0 "${pids[@]}" 2>/dev/null; do sleep 0.1; done
	kill "${pids[@]}" 2>/dev/null || true
	for pid in "${pids[@]}"; do
		wait "$pid" || failed=1
	done
	return $failed
}

# What each of the two carries in each direction with nothing lost, and not one more step.
capacity()
{
	local rate=500
	while [ "$rate" -lt 2000000 ] && load $((rate * 3 / 2)) 3; do
		rate=$((rate * 3 / 2))
	done
	echo $rate
}

# Where frames may have been lost, for whoever looks at a failure.
tell()
{
	local f
	for f in "$work"/{udp,tcp}.{in,out}.{1,2}; do echo "${f##*/} $(cat "$f")"; done
	tell_losses
}

# Frames that the guest with the fewest has got.
received() { vifctl stats --json | jq '[.vifs[].to_guest.frames] | min'; }
has_received() { [ "$(received)" -ge "$1" ]; }

swapped()
{
	local i begun=$SECONDS loader before
	before=$(received)
	load "$rate" $((${SWAPS:-6} * 10)) &
	loader=$!
	await 10 has_received $((before + 100)) # a load before the first
	for ((i = 0; i < ${SWAPS:-6}; i++)); do swap; done
	echo "$i swaps in $((SECONDS - begun)) seconds"
	touch "$work/enough"
	wait "$loader" || tell
	[ "$(moves 1)" -ge "${SWAPS:-6}" ]
	[ "$(moves 2)" -ge "${SWAPS:-6}" ]
	for f in "$work"/{udp,tcp}.{in,out}.{1,2}; do echo "${f##*/} $(cat "$f")"; done >"${RESULT:-/dev/null}"
}

await 20 one_placed
rate=${RATE:-$([ -z "${SWAPS:-}" ] && echo 500 || echo $(($(capacity) / 2)))}
echo "# each guest, each way: $rate datagrams and $((rate / 8)) messages by TCP a second"
ok "two guests, one filter: swapped ${SWAPS:-6} times, nothing lost, doubled, reordered" swapped
exit $failed
