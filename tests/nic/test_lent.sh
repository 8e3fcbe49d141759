#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A guest whose memory is lent to a NIC of the kernel's: what arrives is written there by the
# kernel, and copied by nobody of ours. What becomes of that when guest, NIC or vifd change.
#
#	SWAPS=20 tests/nic/test_lent.sh		more changes of the path
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "e$$" --guests 2 --queues 2 --frontend static-grants --model mq \
	--nic afxdp --steering device --workers 2 -- "$0"

is_lent() { [ "$(placement 1 buffers)" = lent ] && model_is 1 mq; }
flow() { "$build/flows" udp "$n-$1" "$n-g1" 10.77.0.11 "$2" 8 "$3" "$4"; }
stats() { vifctl stats vif1.0 --json | jq '.vifs[0]'; }

# Of guest 1 while $@ runs, into the variable 'd': each counter's difference.
counted()
{
	local before
	before=$(stats)
	"$@"
	d=$(stats | jq --argjson b "$before" '. as $a |
		($a.to_guest | del(.drops) | with_entries(.value -= $b.to_guest[.key])) +
		{tap_bytes: ($a.netdev.to_guest.bytes - $b.netdev.to_guest.bytes)}')
	echo "$d" | jq -c .
}
shows() { echo "$d" | jq -e "$1"; }

# 1,496 frames of 8 flows, and the questions of neighbours, which come over the bridge. There is room for half
# a second of them: a machine may be busy, and what finds none is lost.
nothing_is_copied()
{
	is_lent
	flow wire 7001 500 1 # past the first, for which there is memory of ours
	counted flow wire 7001 500 3
	shows '.nic_frames >= 1400 and .nic_written == .nic_frames'
	shows '.copied_bytes <= .tap_bytes and .summed_bytes == 0 and .grant_ops == 0'
}

# However fast: a guest that is late finds what came in memory of ours.
much_is_carried()
{
	guest 1 iperf3 -s -1 -D
	await 5 listens
	counted wire iperf3 -c 10.77.0.11 -t 2
	shows '.nic_frames >= 5000 and .grant_ops == 0'
	shows '.nic_lost * 10 < .nic_frames' # one of a hundred, mostly
	is_lent
}
listens() { guest 1 ss -tlnH | grep :5201; }

# None of it by the queue that is the NIC's.
by_the_other_queue()
{
	local before
	before=$(tap_frames)
	counted flow g2 7002 500 3
	shows '.frames >= 1400 and .nic_frames < 100 and .copied_bytes > 0'
	echo "its queue had $before, has $(tap_frames)"
	[ "$(tap_frames)" = "$before" ]
	is_lent
}
# What that queue got that did not come by the NIC.
tap_frames()
{
	stats | jq --argjson q "$(placement 1 queue)" '.queues[$q].to_guest | .frames - .nic_frames'
}

# To the bridge, to an ordinary place, and lent again.
there_and_back()
{
	local i out=$work/flows in back seconds=$((6 + 4 * ${SWAPS:-3}))
	flow wire 7001 500 "$seconds" >"$out.in" &
	in=$!
	flow g2 7002 500 "$seconds" >"$out.back" &
	back=$!
	for ((i = 0; i < ${SWAPS:-3}; i++)); do
		set_model 1 bridge
		set_model 1 mq
		await 90 is_lent
	done
	wait "$in" || { cat "$out.in"; return 1; }
	wait "$back" || { cat "$out.back"; return 1; }
	is_lent
}

# Its new connection grants anew; the device had the pages of the one before.
another_connection()
{
	vif-lab guest tell 1 connect
	await 10 pings 1
	await 90 is_lent
	nothing_is_copied
}

# What comes while it has no buffers waits in memory of vifd's, as far as there is room, until it is
# too old; lent it is for a second of that at most.
guest_frozen()
{
	local pid
	pid=$(pgrep -f 'vif-guest --domid 1 ')
	kill -STOP "$pid"
	flow wire 7001 2000 2 >"$work/lost" 2>&1 || true
	await 20 is_lent_no_more || { kill -CONT "$pid"; return 1; }
	kill -CONT "$pid"
	await 20 pings 1
	await 90 is_lent
	nothing_is_copied
}
is_lent_no_more() { ! is_lent; }

# What it sends leaves by the device as well, by a queue of vifd's own.
it_sends_by_it()
{
	local before
	vif-lab vifd restart --workers 2 --nics "${n}w0,steering=device,transmit=yes"
	await 20 pings 1
	await 90 is_lent
	before=$(sent_by_nic)
	pings 1
	[ "$(sent_by_nic)" -gt "$before" ]
	nothing_is_copied
}
sent_by_nic() { stats | jq .from_guest.nic_frames; }

# In the middle of it all.
guest_destroyed()
{
	flow wire 7001 2000 4 >"$work/lost" 2>&1 &
	local sender=$!
	sleep_a_little
	vif-lab guest stop --destroy 1
	wait "$sender" || true
	vif-lab guest start 1
	await 20 pings 1
	await 90 is_lent
	nothing_is_copied
}
sleep_a_little() { await 5 frames_come "$(by_nic 1)"; }
frames_come() { [ "$(by_nic 1)" -gt "$1" ]; }

datapath_killed()
{
	kill -9 "$(pgrep -f '^vifd-datapath')"
	await 10 pings 1
	await 90 is_lent
	nothing_is_copied
}

vifd_restarted()
{
	vif-lab vifd restart
	await 20 pings 1
	await 90 is_lent
	nothing_is_copied
	by_the_other_queue
}

# One guest's memory may be all that a limit of locked memory allows, where that cannot be raised:
# the other does without. It is of all of root's processes, and what was pinned is let go of in the
# kernel's own time: then it is tried again, after up to 64 s.
vif-lab guest tell 2 connect frontend=linux
await 20 pings 2
await 90 is_lent
pings 1
ok "no byte of what the wire sends is copied" nothing_is_copied
ok "a stream of TCP's: no grant operation, and few frames are lost" much_is_carried
ok "what comes over the bridge comes by the other queue" by_the_other_queue
ok "there and back ${SWAPS:-3} times: nothing lost, doubled, reordered" there_and_back
ok "the guest connects anew" another_connection
ok "the guest is frozen: it is lent no more, and again" guest_frozen
ok "the guest is destroyed" guest_destroyed
ok "the datapath killed: again after that" datapath_killed
ok "vifd restarted: again after that" vifd_restarted
ok "what it sends leaves by the same device" it_sends_by_it
exit "$failed"
