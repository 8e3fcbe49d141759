#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What vifd does over time, on a real clock and real TAPs: the rate a guest may send at,
# with iperf3; what waits for a guest that is stopped, and how it loses its carrier.
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/../life/life.bash"
in_lab 2 "$0"

await 10 eval 'reaches_wire 1 && reaches_wire 2' >/dev/null
wire iperf3 -s -B 10.77.0.1 -D -I "$work/iperf.pid" >/dev/null
sent() { vifctl stats vif1.0 --json | jq '.vifs[0].from_guest.bytes'; }
waits() { vifctl stats vif1.0 --json | jq '.vifs[0].from_guest.credit_waits'; }

# speed [IPERF3-OPTION...]: bytes a second that vif1.0 takes from its guest, in the middle
# of a run: under TCP, or whatever the options say. At least and at most: on a busy machine
# it takes a while to read a counter.
speed()
{
	local first last t0 t1 t2 t3
	guest 1 iperf3 -c 10.77.0.1 -t 4 "$@" >"$work/iperf" 2>&1 &
	sleep 0.7
	t0=$EPOCHREALTIME first=$(sent) t1=$EPOCHREALTIME
	sleep 2.5
	t2=$EPOCHREALTIME last=$(sent) t3=$EPOCHREALTIME
	wait $! || { cat "$work/iperf"; return 1; }
	awk "BEGIN { n = $last - $first; printf \"%d %d\n\", n / ($t3 - $t0), n / ($t2 - $t1) }"
}

# sends_at WANTED PERCENT [IPERF3-OPTION...]: never more than 3 % above (a window at the
# edge), and no more than PERCENT below, unless the machine is too busy for the sender: then
# it may try again.
sends_at()
{
	local try low high wanted=$1 least=$(($1 * (100 - $2) / 100))
	shift 2
	for try in 1 2 3 4; do
		read -r low high <<<"$(speed "$@")"
		echo "try $try: $low to $high bytes a second of $wanted"
		[ "$low" -lt $((wanted * 103 / 100)) ]
		[ "$high" -lt "$least" ] || return 0
	done
	return 1
}

rated()
{
	local before
	before=$(waits)
	xenstore-write "$(backend)/rate" 625000,50000 # 100 Mbit/s
	sends_at 12500000 10 -u -b 300M
	[ "$(waits)" -gt $((before + 40)) ]
	vifctl show vif1.0 | grep 'rate .* 625000 bytes in 50000 us'
	reaches_wire 2
}
ok "rate 625000,50000 lets a guest send 12.5 MB a second" rated

changed()
{
	xenstore-write "$(backend)/rate" 200000,20000
	sends_at 10000000 10 -u -b 300M
}
ok "a new rate counts without reconnecting" changed

survives()
{
	local pid
	pid=$(datapath_pid)
	kill -9 "$pid"
	await 10 eval '[ "$(datapath_pid)" != '"$pid"' ] && reaches_wire 1'
	sends_at 10000000 25 # TCP does not use each window up
}
ok "the rate outlives the datapath" survives

unlimited()
{
	xenstore-write "$(backend)/rate" "100Mb/s" # what xl would have turned into numbers
	speed >"$work/speed"
	[ "$(cut -d' ' -f2 "$work/speed")" -gt 25000000 ]
	refused eval 'vifctl show vif1.0 | grep "rate "'
}
ok "a rate that is none is no limit" unlimited

kill "$(tr -d '\0' <"$work/iperf.pid")"

# ---- guests that take nothing ----

guest_pid() { pgrep -f "^$build/vif-guest --domid $1 "; }
to_guest() { vifctl stats "vif$1.0" --json | jq ".vifs[0].to_guest.$2"; }
refused() { to_guest 1 'drops["queue-full"]'; }
lost() { to_guest 1 'drops | add'; }
waiting() { vifctl show vif1.0 --json | jq '.vif.queues[0].waiting_bytes'; }
carrier() { [ "$(cat "/sys/class/net/vif$1.0/carrier")" = "$2" ]; }
# Datagrams for port 9 that guest 1's kernel has had.
had() { guest 1 nstat -asz UdpNoPorts | awk '/UdpNoPorts/ { print $2 }'; }

# N frames of 60 bytes each, as fast as the wire can.
flood()
{
	wire bash -c 'exec 9>/dev/udp/10.77.0.11/9
		for ((i = 0; i < '"$1"'; i++)); do printf 0123456789abcdefgh >&9 || true; done' 2>/dev/null
}
know_guest()
{
	local mac
	mac=$(vifctl show vif1.0 --json | jq -r .vif.mac)
	wire ip neigh replace 10.77.0.11 lladdr "$mac" nud permanent \
		dev "$(wire ip -o route get 10.77.0.11 | sed 's/.* dev \([^ ]*\) .*/\1/')"
}

# What the kernel's netback takes: 8,738 of them in 512 KiB; then, and not before, they are
# refused and counted. What was taken arrives, all of it.
burst()
{
	local before begun
	know_guest
	begun=$(lost) before=$(had)
	kill -STOP "$(guest_pid 1)"
	flood 8738
	[ "$(lost)" = "$begun" ] || { echo "$(lost) lost"; return 1; }
	flood 4000
	[ "$(waiting)" -le 524288 ] && [ "$(waiting)" -gt $((524288 - 60)) ]
	[ "$(refused)" -ge 3000 ]
	kill -CONT "$(guest_pid 1)"
	await 5 eval '[ "$(waiting)" = 0 ]'
	[ "$(lost)" = "$(refused)" ]
	await 5 eval '[ "$(($(had) - '"$before"'))" = "$((12738 - $(refused)))" ]'
}
ok "8,738 small frames at once wait for a guest, the rest is refused and counted" burst

# GSO frames: the bytes count.
gso()
{
	local begun most=0 n i
	begun=$(refused)
	guest 1 iperf3 -s -D -I "$work/iperf.pid" >/dev/null
	await 5 eval 'guest 1 ss -Hltn "sport = :5201" | grep >/dev/null .'
	wire timeout 8 iperf3 -c 10.77.0.11 -P 8 -t 4 >/dev/null 2>&1 &
	await 5 eval '[ "$(to_guest 1 gso_frames)" -gt $(('"$(to_guest 1 gso_frames)"' + 500)) ]'
	for ((i = 0; i < 40; i++)); do
		n=$(waiting)
		most=$((n > most ? n : most))
	done
	wait
	kill "$(tr -d '\0' <"$work/iperf.pid")"
	echo "at most $most bytes waited, $(refused) refused after $begun"
	[ "$most" -gt 0 ] && [ "$most" -le 524288 ]
	[ "$(refused)" -gt "$begun" ]
}
ok "under TCP no more than 512 KiB wait for a guest" gso

stalls()
{
	local i
	"$lab" vifd restart --rx-drain-timeout-ms 300 --rx-stall-timeout-ms 1000
	await 10 eval 'reaches_wire 1 && reaches_wire 2'
	for i in 1 2 3; do
		kill -STOP "$(guest_pid 1)"
		flood 500
		while carrier 1 1; do
			flood 10
			((SECONDS < 200)) || return 1
		done
		reaches_wire 2
		vifctl show vif1.0 | grep 'the guest is stalled'
		[ "$(waiting)" = 0 ]
		flood 100 # the bridge does not even try
		kill -CONT "$(guest_pid 1)"
		await 5 carrier 1 1
		await 5 reaches_wire 1
	done
	[ "$(to_guest 1 stalls)" = 3 ]
	[ "$(to_guest 1 'drops.expired')" -gt 0 ]
}
ok "a stopped guest loses its carrier, three times, and has it back" stalls

nice_of_workers() { ps -L -o ni= -p "$(datapath_pid)" 2>/dev/null | sort -u | tr -d ' '; }
priority()
{
	[ "$(nice_of_workers)" = -10 ]
	"$lab" vifd restart --datapath-nice 3
	await 10 eval '[ "$(nice_of_workers)" = 3 ]'
	await 10 reaches_wire 1
}
ok "the workers' priority is as it was set" priority

qdisc()
{
	tc qdisc add dev vif1.0 root tbf rate 100mbit burst 100k latency 50ms # as ever
	reaches_wire 1
	tc qdisc del dev vif1.0 root
	reaches_wire 1
}
ok "an operator's qdisc finds nothing in its way" qdisc
exit $failed
