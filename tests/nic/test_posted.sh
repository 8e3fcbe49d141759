#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Guests whose buffers the NIC writes to: what is copied, by whom, and what becomes of that
# when the guest, the NIC or vifd changes.
#
#	SWAPS=100 tests/nic/test_posted.sh	more changes of the path
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "b$$" --guests 2 --frontend static-grants --model mq --nic model --workers 1 -- "$0"

to_guest() { vifctl stats "vif$1.0" --json | jq ".vifs[0].to_guest.$2"; }
pings() { wire ping -q -c 5 -i 0.02 -w 5 "10.77.0.1$1"; }

# Of guest $1 while $2... runs, into the variable 'd': each counter's difference.
counted()
{
	local g=$1 before
	before=$(vifctl stats "vif$g.0" --json)
	"${@:2}"
	d=$(vifctl stats "vif$g.0" --json | jq --argjson b "$before" '.vifs[0] as $a | $b.vifs[0] as $b |
		($a.to_guest | del(.drops) | with_entries(.value -= $b.to_guest[.key])) +
		{tap_frames: ($a.netdev.to_guest.frames - $b.netdev.to_guest.frames),
		 tap_bytes: ($a.netdev.to_guest.bytes - $b.netdev.to_guest.bytes)}')
	echo "$d" | jq -c .
}
shows() { echo "$d" | jq -e "$1"; }

buffers_are() { vifctl show "vif$1.0" --json | jq -e --arg w "$2" '.vif.placement.buffers == $w'; }
flow() { "$build/flows" udp "$n-wire" "$n-g$1" "10.77.0.1$1" 7001 8 2000 1; }
posts() { counted "$1" pings "$1" && shows '.nic_written >= 5'; }

# 2,000 frames, and the questions of neighbours, which come over the bridge.
nothing_is_copied()
{
	buffers_are 1 posted
	counted 1 flow 1
	shows '.nic_written >= 2000 and .nic_written == .frames'
	shows '.copied_bytes <= .tap_bytes and .summed_bytes == 0'
	shows '.grant_ops == 0 and .static_copies == 0 and .tap_frames < 20'
}

once_with_another_frontend()
{
	vif-lab guest tell 2 connect frontend=linux
	await 10 pings 2
	await 10 model_is 2 mq
	counted 2 flow 2
	buffers_are 2 'none is a static grant'
	shows '.nic_written == 0 and .copied_bytes == .bytes and .grant_ops >= .frames'
	shows '.nic_frames >= 2000 and .summed_bytes == 0'
	vif-lab guest tell 2 connect frontend=static-grants
	await 10 pings 2
	await 10 model_is 2 mq
	await 10 posts 2
}

# Guest to guest, groups, and what the kernel left to be cut and summed.
by_the_bridge()
{
	guest 2 ip neigh flush all
	guest 1 iperf3 -s -1 -D
	await 5 listens
	counted 1 guest 2 iperf3 -c 10.77.0.11 -n 4M
	# until it is served the ordinary way, as who gets mostly such frames is
	shows '.nic_injected > 20 and .gso_cut > 0 and .summed_bytes > 10000'
	pings 1
}
listens() { guest 1 ss -tlnH | grep :5201; }

there_and_back()
{
	local i out=$work/flows in back
	"$build/flows" udp "$n-wire" "$n-g1" 10.77.0.11 7001 8 1000 "$((3 + ${SWAPS:-10} / 4))" >"$out.in" &
	in=$!
	"$build/flows" udp "$n-g2" "$n-g1" 10.77.0.11 7002 8 1000 "$((3 + ${SWAPS:-10} / 4))" >"$out.back" &
	back=$!
	for ((i = 0; i < ${SWAPS:-10}; i++)); do
		set_model 1 bridge
		set_model 1 mq
	done
	wait "$in" || { echo "from the wire: $(cat "$out.in")"; tell_losses; }
	wait "$back" || { echo "from guest 2: $(cat "$out.back")"; tell_losses; }
	await 5 posts 1
}

# The frame is lost, the page not touched, and all of it told. It may be a neighbour's.
a_stray_write()
{
	local before
	before=$(faults)
	vifctl fault "${n}mq0" stray 3
	await 15 struck $((before + 3))
	[ "$(vifctl nic --json | jq '.nics[0].device.faults')" -ge 3 ]
	pings 1
}
faults() { echo $(($(to_guest 1 nic_faults) + $(to_guest 2 nic_faults))); }
# Frames until there are so many: one that the guest did not get in time is not the NIC's.
struck() { wire ping -q -c 5 -i 0.02 -w 2 10.77.0.11; [ "$(faults)" = "$1" ]; }

# Its guests' buffers are theirs again; after the next change of the path it gets another try.
a_stuck_queue()
{
	local log="$VIF_LAB_DIR/vifd.log"
	await 10 posts 1 # a busy machine may have made a slow guest of it
	vifctl fault "${n}mq0" stuck 65535
	wire ping -q -c 2 -W 1 10.77.0.11 || true
	await 10 grep -q "fills none of the guest's buffers" "$log"
	vifctl fault "${n}mq0" stuck 0
	await 10 pings 1
	counted 1 pings 1
	shows '.nic_written == 0 and .nic_frames >= 5'
	set_model 1 bridge
	set_model 1 mq
	await 10 posts 1
}

datapath_killed()
{
	kill -9 "$(pgrep -f '^vifd-datapath')"
	await 10 pings 1
	await 20 model_is 1 mq
	await 10 posts 1
}

await 20 model_is 1 mq
await 20 model_is 2 mq
await 10 posts 1
await 10 posts 2
ok "no byte of what the wire sends is copied or summed" nothing_is_copied
ok "with a frontend without static grants it is copied once" once_with_another_frontend
ok "what comes over the bridge gets through" by_the_bridge
ok "there and back ${SWAPS:-10} times: nothing lost, doubled, reordered" there_and_back
ok "a write to a page taken back lands nowhere" a_stray_write
ok "a queue that is stuck" a_stuck_queue
ok "the datapath killed: again after that" datapath_killed
exit "$failed"
