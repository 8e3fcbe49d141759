# SPDX-License-Identifier: MIT
#
# Series of runs on a counted machine (counted.bash): sourced by 'run'. A series is one
# traffic on one system, BENCH_REPEATS times with each of BENCH_COUNTS packets; each run
# is one line of the plugin's. A series becomes one line of JSON in $results:
#
#	{"system", "direction", "bytes", "gap_us", "packets": [a run's...],
#	 "arrived": [a run's...], "counted": [...], "vifd": {"before", "after"}}
#
# 'arrived' is empty if not counted, and one number if only in sum, with the warm-up.
#
# Directions: to_guest, from_guest, tcp_to_guest, tcp_from_guest (packets: MiB), and what
# is to be subtracted: sender (to_guest's, into a device that drops all) and pacer
# (from_guest's sender, sleeping as ever but sending nothing).
# Given by the sourcing script: system, repeats, counts, results.
# shellcheck shell=bash disable=SC2154

GUEST_MAC=00:16:3e:00:00:11 GUEST_ADDRESS=10.0.0.11
UDP_PORT=5000 TCP_PORT=5001
HEADERS=42 # Ethernet, IPv4, UDP: a frame's bytes less its payload's
NATIVE_MAC=00:16:3e:00:00:20 NATIVE_FAR_MAC=00:16:3e:00:00:21
WIRE_MAC=00:16:3e:00:00:50 WIRE_ADDRESS=10.0.0.50 SINK_ADDRESS=10.9.0.2

# begin_counting: what follows in the plugin's file belongs to the next series.
begin_counting() { counted_before=$(wc -l <"$machine/counts"); }

# add_series SYSTEM DIRECTION BYTES GAP ARRIVED-OR-EMPTY [VIFD-BEFORE VIFD-AFTER]
add_series()
{
	all_counted || { say "runs are missing"; return 1; }
	tail -n +$((counted_before + 1)) "$machine/counts" | jq -s -c \
		--arg system "$1" --arg direction "$2" --argjson bytes "$3" --argjson gap "$4" \
		--argjson arrived "$(jq -s -c . <<<"$5")" --argjson before "${6:-null}" --argjson after "${7:-null}" \
		--argjson counts "$(jq -s -c . <<<"${counts[*]}")" '
		{ system: $system, direction: $direction, bytes: $bytes, gap_us: $gap,
		  packets: [range(length) | $counts[. % ($counts | length)]], arrived: $arrived, counted: .,
		  vifd: (if $before then { before: $before, after: $after } else null end) }' >>"$results"
}

# vifd's own counters, or nothing where it does not run.
vifd_stats()
{
	[ "$system" != vifd ] || dom0 'vifctl stats --json' | jq -c '.vifs[0] | { from_guest, to_guest, netdev }'
}

all_counted() { [ $(($(wc -l <"$machine/counts") - counted_before)) = "$(runs)" ]; }
runs() { echo $((repeats * ${#counts[@]})); }

# ---- dom0 and u1 ----

# prepare_dom0: a device in the bridge that swallows what the guest sends (the wire), and
# one outside for the sender alone. Nothing speaks unasked.
prepare_dom0()
{
	dom0 "modprobe dummy numdummies=0
		for name in wire sink; do
			ip link add \$name type dummy
			echo 1 >/proc/sys/net/ipv6/conf/\$name/disable_ipv6
		done
		echo 1 >/proc/sys/net/ipv6/conf/xenbr0/disable_ipv6
		ip link set xenbr0 type bridge mcast_snooping 0
		ip link set wire up master xenbr0
		bridge fdb replace $WIRE_MAC dev wire master static
		ip link set sink up
		ip addr add 10.9.0.1/24 dev sink
		ip neigh replace $SINK_ADDRESS lladdr $WIRE_MAC dev sink nud permanent
		ip neigh replace $GUEST_ADDRESS lladdr $GUEST_MAC dev xenbr0 nud permanent"
}

# connect_guest: u1 attached and configured, its programs fetched over the vif.
connect_guest()
{
	local bridge_mac
	dom0 "xl network-attach u1 mac=$GUEST_MAC bridge=xenbr0" >&2
	await 20 guest u1 'test -e /sys/class/net/eth0'
	bridge_mac=$(dom0 'cat /sys/class/net/xenbr0/address')
	guest u1 "echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6
		ip link set eth0 up
		ip addr add $GUEST_ADDRESS/24 dev eth0
		arp -s 10.0.0.1 $bridge_mac
		arp -s $WIRE_ADDRESS $WIRE_MAC"
	await 20 dom0 "ping -q -c 1 -W 1 $GUEST_ADDRESS" >&2
	await 20 fetch_program
	dom0 "bridge fdb replace $GUEST_MAC dev vif$(dom0 'xl domid u1').0 master static"
}

fetch_program()
{
	local sum
	sum=$(dom0 'nc -l -p 7000 -e cat /usr/local/sbin/bench-load >/dev/null 2>&1 &
		sha256sum </usr/local/sbin/bench-load')
	guest u1 "cd /run; [ -x bench-load ] || {
		nc 10.0.0.1 7000 </dev/null >fetched; chmod +x fetched
		[ \"\$(sha256sum <fetched)\" = '$sum' ] && mv fetched bench-load; }"
}

# guest_runs BENCH-LOAD'S ARGUMENTS: in u1, with nobody waiting for it in dom0, which would
# be counted. When it has ended is seen from outside, by what the plugin has written.
guest_runs()
{
	guest u1 "/run/bench-load $1 >/dev/null 2>&1 &"
	await 300 all_counted
}

from_guest()
{
	local before sent
	before=$(vifd_stats)
	sent=$(dom0 'cat /sys/class/net/wire/statistics/tx_packets')
	begin_counting
	guest_runs "send $WIRE_ADDRESS $UDP_PORT $(($1 - HEADERS)) $2 $repeats ${counts[*]}"
	sent=$(($(dom0 'cat /sys/class/net/wire/statistics/tx_packets') - sent))
	add_series "$system" from_guest "$1" "$2" "$sent" "$before" "$(vifd_stats)"
}

to_guest()
{
	local before arrived
	await 60 guest -t 5 u1 "[ ! -e /run/receiver ] || kill \$(cat /run/receiver)
		/run/bench-load receive $UDP_PORT /run/arrived >/dev/null 2>&1 &
		echo \$! >/run/receiver"
	before=$(vifd_stats)
	begin_counting
	dom0 -t 300 "bench-load send $GUEST_ADDRESS $UDP_PORT $(($1 - HEADERS)) $2 $repeats ${counts[*]}" >&2
	arrived=$(await 60 guest -t 5 u1 "/run/bench-load arrived /run/arrived $(runs)" | grep -x '[0-9]*')
	add_series "$system" to_guest "$1" "$2" "$arrived" "$before" "$(vifd_stats)"
}

# The sender of to_guest alone.
sender()
{
	begin_counting
	dom0 -t 300 "bench-load send $SINK_ADDRESS $UDP_PORT $(($1 - HEADERS)) $2 $repeats ${counts[*]}" >&2
	add_series "$system" sender "$1" "$2" ""
}

# pacer - GAP
pacer()
{
	begin_counting
	guest_runs "send $WIRE_ADDRESS $UDP_PORT 0 $2 $repeats ${counts[*]}"
	add_series "$system" pacer 0 "$2" ""
}

# ---- a stream ----

tcp_to_guest()
{
	await 60 guest -t 5 u1 "[ ! -e /run/swallower ] || kill \$(cat /run/swallower)
		/run/bench-load swallow $TCP_PORT >/dev/null 2>&1 &
		echo \$! >/run/swallower"
	begin_counting
	dom0 -t 300 "bench-load stream $GUEST_ADDRESS $TCP_PORT $repeats ${counts[*]}" >&2
	add_series "$system" tcp_to_guest 0 0 ""
}

tcp_from_guest()
{
	dom0 "[ ! -e /run/swallower ] || kill \$(cat /run/swallower)
		bench-load swallow $TCP_PORT >/dev/null 2>&1 &
		echo \$! >/run/swallower"
	begin_counting
	guest_runs "stream 10.0.0.1 $TCP_PORT $repeats ${counts[*]}"
	add_series "$system" tcp_from_guest 0 0 ""
}

# ---- without Xen ----
#
# Two NICs on a wire, the far one in a network namespace of its own. Sending is measured
# with the far end's link down; receiving is sending with the far end up, less that.

prepare_native()
{
	dom0 "ip netns add far
		ip link set eth1 netns far
		for n in '' 'ip netns exec far'; do
			\$n sh -c 'for i in /proc/sys/net/ipv6/conf/*; do echo 1 >\$i/disable_ipv6; done'
		done
		ip link set eth0 up
		ip addr add 10.0.0.1/24 dev eth0
		ip netns exec far ip addr add 10.0.0.2/24 dev eth1
		ip neigh replace 10.0.0.2 lladdr $NATIVE_FAR_MAC dev eth0 nud permanent
		ip netns exec far ip neigh replace 10.0.0.1 lladdr $NATIVE_MAC dev eth1 nud permanent" >&2
	far_down
}

far_up()
{
	dom0 "ip netns exec far ip link set eth1 up
		ip netns exec far ip neigh replace 10.0.0.1 lladdr $NATIVE_MAC dev eth1 nud permanent"
	await 30 dom0 'ping -q -c 1 -W 1 10.0.0.2' >&2
}

far_down() { dom0 'ip netns exec far ip link set eth1 down'; }

native_send() { dom0 -t 300 "bench-load send 10.0.0.2 $UDP_PORT $(($1 - HEADERS)) $2 $repeats ${counts[*]}" >&2; }

native_from_guest()
{
	begin_counting
	native_send "$1" "$2"
	add_series "$system" from_guest "$1" "$2" ""
	add_series "$system" sender "$1" "$2" ""
}

native_pacer()
{
	begin_counting
	dom0 -t 300 "bench-load send 10.0.0.2 $UDP_PORT 0 $2 $repeats ${counts[*]}" >&2
	add_series "$system" pacer 0 "$2" ""
}

native_to_guest()
{
	local arrived
	dom0 "[ ! -e /run/receiver ] || kill \$(cat /run/receiver)
		ip netns exec far bench-load receive $UDP_PORT /run/arrived >/dev/null 2>&1 &
		echo \$! >/run/receiver"
	begin_counting
	native_send "$1" "$2"
	arrived=$(dom0 "bench-load arrived /run/arrived $(runs)")
	add_series "$system" to_guest "$1" "$2" "$arrived"
}

# Both directions are the same here.
native_tcp()
{
	dom0 "ip netns exec far bench-load swallow $TCP_PORT >/dev/null 2>&1 &"
	begin_counting
	dom0 -t 300 "bench-load stream 10.0.0.2 $TCP_PORT $repeats ${counts[*]}" >&2
	add_series "$system" tcp_to_guest 0 0 ""
	add_series "$system" tcp_from_guest 0 0 ""
}
