#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Guests with several queues: every number of them, spread over the workers; flows stay
# on a queue and in order, with all queues at work, while the datapath is killed too;
# connecting over and over leaves nothing behind; what a guest can get wrong.
#
# Order is judged between two guests: a frame goes from worker to bridge to TAP in one
# call there, while a veth's backlog may reorder flows without us.
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/life.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "q$$" --guests 2 --queues 16 --workers 2 -- "$0"

connect_with() { [ "$("$lab" guest tell "$1" connect "queues=$2")" = ok ]; }
# How often guest N's frontend connected, as of now.
connections() { "$lab" guest tell "$1" stats | jq .connects; }
reaches_other() { guest 1 ping -q -c 2 -i 0.05 -W 1 10.77.0.12; }
shown() { vifctl show "$1" --json | jq -r ".vif | $2"; }
attached() { [ "$(shown "$1" '[.queues[] | select(.attached)] | length')" = "$2" ]; }

each_number()
{
	local n spread
	for ((n = 1; n <= 16; n++)); do
		connect_with 1 "$n"
		attached vif1.0 "$n"
		ip -d link show vif1.0 | grep >/dev/null "numqueues $n "
		# As many for one worker as for the other, or one more.
		spread=$(shown vif1.0 '[.queues[].worker] | map(select(. == 0)) | length')
		((2 * spread == n || 2 * spread == n + 1 || 2 * spread == n - 1))
		[ "$(shown vif1.0 .steering)" = "$( ((n > 1)) && echo program || echo null)" ]
		reaches_other
	done
}
ok "1 to 16 queues, evenly spread over two workers" each_number

# iperf3 SERVER-GUEST CLIENT-GUEST ARGUMENT...: its report in JSON
iperf()
{
	local from=$2 to=$1 server
	shift 2
	guest "$to" iperf3 -s -1 >/dev/null 2>&1 &
	server=$!
	await 5 eval "guest $to ss -Hltn 'sport = :5201' | grep >/dev/null ."
	guest "$from" timeout 30 iperf3 -c "10.77.0.1$to" -J "$@"
	wait "$server"
}

# Frames each queue of vif $1 moved in direction $2, one line a queue.
by_queue() { vifctl stats "$1" --json | jq -r ".vifs[0].queues[].$2.frames"; }
# Of reordering, what a guest's kernel noticed since its last 'nstat -n'.
reordered()
{
	guest "$1" nstat -as 2>/dev/null | awk '/TCP(SACK|TS|Reno)Reorder|TCPOFOQueue/ { n += $2 } END { print n + 0 }'
}

# Every queue of both vifs moved at least $1 frames either way.
all_at_work()
{
	local v d
	for v in vif1.0 vif2.0; do
		for d in from_guest to_guest; do
			by_queue "$v" "$d" | awk -v least="$1" '$1 < least { bad = 1 } END { exit bad || NR != 4 }' ||
				{ echo "$v $d: $(by_queue "$v" "$d" | tr '\n' ' ')"; return 1; }
		done
	done
}

udp_flows()
{
	local way
	connect_with 1 4
	connect_with 2 4
	for way in "" -R; do
		# shellcheck disable=SC2086 # no word is no argument
		iperf 2 1 -u -l 1000 -b 5M -P 40 -t 1 $way >"$work/udp"
		[ "$(jq '[.end.streams[].udp.out_of_order] | add' "$work/udp")" = 0 ]
		[ "$(jq '.end.sum.packets' "$work/udp")" -gt 10000 ]
	done
	all_at_work 150
}
ok "40 numbered UDP flows each way: in order, on all queues" udp_flows

tcp_flows()
{
	local q
	for q in 4 8; do
		connect_with 1 "$q"
		connect_with 2 "$q"
		guest 1 nstat -n
		guest 2 nstat -n
		iperf 2 1 -P 16 -t 2 -b 6M -l 4K --bidir >"$work/tcp" # none is lost, so none is sent again
		[ "$(jq '.end.sum_received.bytes' "$work/tcp")" -gt 10000000 ]
		[ "$(jq '.end.sum_received_bidir_reverse.bytes' "$work/tcp")" -gt 10000000 ]
		echo "$q queues: reordered at 1: $(reordered 1), at 2: $(reordered 2)"
		guest 1 nstat -as | grep -E 'Reorder|OFO|Retrans|SynRetrans' || true
		[ "$(reordered 1)" = 0 ]
		[ "$(reordered 2)" = 0 ]
	done
	connect_with 1 4
	connect_with 2 4
}
ok "16 TCP flows both ways at once, 4 and 8 queues: none reordered" tcp_flows

datapath_dies()
{
	local pid connects_before before load
	before=$(vifctl stats vif2.0 --json | jq .vifs[0].to_guest.frames)
	connects_before=$(connections 1)
	iperf 2 1 -u -l 1000 -b 4M -P 16 -t 3 >"$work/udp" &
	load=$!
	await 5 eval '[ "$(vifctl stats vif2.0 --json | jq .vifs[0].to_guest.frames)" -gt "$((before + 2000))" ]'
	pid=$(datapath_pid)
	kill -9 "$pid"
	await 10 eval "[ -n \"\$(datapath_pid)\" ] && [ \"\$(datapath_pid)\" != $pid ]"
	await 10 eval 'attached vif1.0 4 && attached vif2.0 4'
	wait "$load"
	[ "$(jq '[.end.streams[].udp.out_of_order] | add' "$work/udp")" = 0 ]
	[ "$(connections 1)" = "$connects_before" ]
	connected 1
	iperf 1 2 -P 8 -t 1 -b 6M -l 4K >/dev/null
}
ok "kill -9 of the datapath under 16 flows: none reordered or doubled" datapath_dies

vifd_restarts()
{
	local before
	before=$(connections 1)
	"$lab" vifd restart --max-queues 16 --workers 2
	await 10 eval 'attached vif1.0 4 && attached vif2.0 4'
	[ "$(shown vif1.0 .steering)" = program ]
	[ "$(connections 1)" = "$before" ]
	await 10 reaches_other
	guest 1 nstat -n
	guest 2 nstat -n
	iperf 2 1 -P 16 -t 1 -b 6M -l 4K --bidir >/dev/null
	[ "$(reordered 1)" = 0 ]
	[ "$(reordered 2)" = 0 ]
	all_at_work 50
}
ok "a vifd started anew takes the queues over, and steers again" vifd_restarts

# A field of what guest 1 counts.
counted() { "$lab" guest tell 1 stats | jq ".$1"; }

# Guest 1 gets what its mapping says, each frame on its queue and with its hash; $1 frames more.
mapped_as_wished()
{
	local hashed extras
	hashed=$(counted to_guest_hashed) extras=$(counted to_guest_hash_extras)
	iperf 1 2 -P 8 -t 1 >/dev/null
	echo "hashed $hashed -> $(counted to_guest_hashed), wrong queue $(counted to_guest_wrong_queue)"
	(($(counted to_guest_hashed) > hashed + $1))
	(($(counted to_guest_hash_extras) > extras + $1))
	[ "$(counted to_guest_wrong_queue)" = 0 ]
	[ "$(counted to_guest_wrong_hash)" = 0 ]
}

wishes_last()
{
	local pid before
	[ "$("$lab" guest tell 1 connect frontend=hashing queues=4)" = ok ]
	before=$(connections 1)
	mapped_as_wished 100
	pid=$(datapath_pid)
	kill -9 "$pid"
	await 10 eval "[ -n \"\$(datapath_pid)\" ] && [ \"\$(datapath_pid)\" != $pid ]"
	await 10 eval 'attached vif1.0 4 && attached vif2.0 4'
	mapped_as_wished 100
	"$lab" vifd restart --max-queues 16 --workers 2
	await 10 eval 'attached vif1.0 4 && attached vif2.0 4'
	mapped_as_wished 100
	[ "$(connections 1)" = "$before" ]
	[ "$("$lab" guest tell 1 connect frontend=linux queues=4)" = ok ]
}
ok "a guest's hash mapping outlives the datapath, and vifd" wishes_last

holdings() { echo "$(n_fds "$(control_pid)") $(n_fds "$(datapath_pid)") fds, $(dom0_holds) maps and ports"; }

over_and_over()
{
	local control datapath before rss i
	connect_with 1 8
	reaches_other
	control=$(control_pid) datapath=$(datapath_pid)
	before=$(holdings)
	rss=$(($(rss_kb "$control") + $(rss_kb "$datapath")))
	for ((i = 0; i < 8; i++)); do
		connect_with 1 1
		connect_with 1 8
	done
	reaches_other
	[ "$(datapath_pid)" = "$datapath" ]
	echo "before: $before; after: $(holdings)"
	await 2 eval "[ '$before' = \"\$(holdings)\" ]"
	echo "$rss kB before, $(($(rss_kb "$control") + $(rss_kb "$datapath"))) kB after"
	(($(rss_kb "$control") + $(rss_kb "$datapath") < rss + 2000))
}
ok "8 times 1 queue and 8 again: no fd, grant, port or memory is lost" over_and_over

# Starts TCP from guest 1 that outlasts whatever happens to its vif, and waits until it runs.
# 'timeout' passes on the signal that ends it.
load()
{
	local before
	ip netns exec "$VIF_LAB_NAME-g2" timeout 30 iperf3 -s >/dev/null 2>&1 &
	server=$!
	await 5 eval "guest 2 ss -Hltn 'sport = :5201' | grep >/dev/null ."
	before=$(vifctl stats vif2.0 --json | jq .vifs[0].to_guest.frames)
	ip netns exec "$VIF_LAB_NAME-g1" timeout 30 iperf3 -c 10.77.0.12 -P 16 -t 60 >/dev/null 2>&1 &
	client=$!
	await 5 eval '[ "$(vifctl stats vif2.0 --json | jq .vifs[0].to_guest.frames)" -gt "$((before + 1000))" ]'
}
unload()
{
	kill "$client" "$server"
	wait "$client" "$server" || true
}

torn_from_load()
{
	local client server
	connect_with 1 16
	load
	"$lab" detach --domid 1
	await 5 no_netdev vif1.0
	unload
	"$lab" attach --domid 1
	await 10 reaches_other
	connect_with 1 16
	load
	"$lab" guest stop --destroy 1
	await 5 no_netdev vif1.0
	unload
	"$lab" guest start 1
	await 10 reaches_other
	[ "$(vifctl list --json | jq .datapath.deaths)" = "$1" ]
}
ok "16 queues under load: detached, and destroyed" torn_from_load "$(vifctl list --json | jq .datapath.deaths)"

# A queue that carries pings is not to have touched the whole of its 96 packets of 68 KiB. Frames that
# happen to wait at once touch some more: what is so each time is the queue's.
little_memory()
{
	local rss _
	for _ in 1 2 3; do
		connect_with 1 1
		rss=$(rss_kb "$(datapath_pid)")
		connect_with 1 16
		reaches_wire 1
		echo "$rss kB with 1 queue, $(rss_kb "$(datapath_pid)") kB with 16"
		(($(rss_kb "$(datapath_pid)") >= rss + 16 * 256)) || return 0
	done
	return 1
}
ok "an idle queue takes less than 256 kB" little_memory

# ---- what a guest can get wrong ----

queue_keys() { echo "queue-$1/tx-ring-ref=$2 queue-$1/rx-ring-ref=$3 queue-$1/event-channel=$4"; }

# refuses TEXT KEY=VALUE...: a vif whose guest writes these keys is closed; nobody notices.
refuses()
{
	local text=$1 pair before
	shift
	before=$(connections 2)
	"$lab" attach --domid 1 --devid 5
	await 5 state_is "$(backend 1 5)" 2
	xenstore-write "$(frontend 1 5)/request-rx-copy" 1
	for pair; do
		xenstore-write -- "$(frontend 1 5)/${pair%%=*}" "${pair#*=}"
	done
	xenstore-write "$(frontend 1 5)/state" 4
	await 5 state_is "$(backend 1 5)" 6
	key "/local/domain/0/error/backend/vif/1/5/error" | grep -E "$text"
	"$lab" detach --domid 1 --devid 5 --destroy
	await 5 no_netdev vif1.5
	connected 1
	reaches_other
	[ "$(connections 2)" = "$before" ]
}
one=(tx-ring-ref=9 rx-ring-ref=10 event-channel=3)
ok "0 queues" refuses "requested 0 queues" "${one[@]}" multi-queue-num-queues=0
ok "17 queues, where 16 are offered" refuses "requested 17 queues" "${one[@]}" multi-queue-num-queues=17
ok "4294967295 queues" refuses "requested 4294967295 queues" "${one[@]}" multi-queue-num-queues=4294967295
ok "4294967296 queues" refuses "multi-queue-num-queues" "${one[@]}" multi-queue-num-queues=4294967296
ok "-1 queues" refuses "multi-queue-num-queues" "${one[@]}" multi-queue-num-queues=-1
# shellcheck disable=SC2046 # words
ok "a queue without a directory" refuses "tx-ring-ref" multi-queue-num-queues=3 \
	$(queue_keys 0 9 10 3) $(queue_keys 2 13 14 5)
# shellcheck disable=SC2046
ok "queues in the way of one queue" refuses "tx-ring-ref" multi-queue-num-queues=2 "${one[@]}"
# shellcheck disable=SC2046
ok "one ring for two queues" refuses "queue-1.*twice" multi-queue-num-queues=2 \
	$(queue_keys 0 9 10 3) $(queue_keys 1 9 12 4)
# shellcheck disable=SC2046
ok "one queue's rx ring is another's tx ring" refuses "queue-1.*twice" multi-queue-num-queues=2 \
	$(queue_keys 0 9 10 3) $(queue_keys 1 11 9 4)
# shellcheck disable=SC2046
ok "one event channel for two queues" refuses "queue-2.*twice" multi-queue-num-queues=3 \
	$(queue_keys 0 9 10 3) $(queue_keys 1 11 12 4) $(queue_keys 2 13 14 3)

nothing_held()
{
	"$lab" guest stop 1
	"$lab" guest stop --destroy 2
	await 5 eval '[ "$(dom0_holds | cut -d" " -f1)" = 0 ]'
	await 5 eval '! ip -o link | grep >/dev/null " vif"'
}
ok "nothing is held in the end" nothing_held
exit $failed
