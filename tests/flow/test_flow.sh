#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What vifd does over time, on a real clock: the rate a guest may send at, with iperf3.
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/../life/life.bash"
in_lab 2 "$0"

await 10 eval 'reaches_wire 1 && reaches_wire 2' >/dev/null
wire iperf3 -s -B 10.77.0.1 -D -I "$work/iperf.pid" >/dev/null
sent() { vifctl stats vif1.0 --json | jq '.vifs[0].from_guest.bytes'; }
waits() { vifctl stats vif1.0 --json | jq '.vifs[0].from_guest.credit_waits'; }

# speed [IPERF3-OPTION...]: bytes a second that vif1.0 takes from its guest, in the middle
# of a run: under TCP, or whatever the options say.
speed()
{
	local before begun after ended
	guest 1 iperf3 -c 10.77.0.1 -t 4 "$@" >"$work/iperf" 2>&1 &
	sleep 0.7
	before=$(sent) begun=$EPOCHREALTIME
	sleep 2.5
	after=$(sent) ended=$EPOCHREALTIME
	wait $! || { cat "$work/iperf"; return 1; }
	awk "BEGIN { printf \"%d\n\", ($after - $before) / ($ended - $begun) }"
}

# within PERCENT WANTED GOT: no more than 6 % above (a window at the edge, a clock read late),
# and on a busy machine PERCENT below.
within()
{
	awk "BEGIN { exit !($3 > $2 * (1 - $1 / 100) && $3 < $2 * 1.06) }" ||
		{ echo "$3 bytes a second, not $2"; return 1; }
}

rated()
{
	local before
	before=$(waits)
	xenstore-write "$(backend)/rate" 625000,50000 # 100 Mbit/s
	within 10 12500000 "$(speed -u -b 300M)"
	[ "$(waits)" -gt $((before + 40)) ]
	vifctl show vif1.0 | grep 'rate .* 625000 bytes in 50000 us'
	reaches_wire 2
}
ok "rate 625000,50000 lets a guest send 12.5 MB a second" rated

changed()
{
	xenstore-write "$(backend)/rate" 200000,20000
	within 10 10000000 "$(speed -u -b 300M)"
}
ok "a new rate counts without reconnecting" changed

survives()
{
	local pid
	pid=$(datapath_pid)
	kill -9 "$pid"
	await 10 eval '[ "$(datapath_pid)" != '"$pid"' ] && reaches_wire 1'
	within 25 10000000 "$(speed)" # TCP does not use each window up
}
ok "the rate outlives the datapath" survives

unlimited()
{
	xenstore-write "$(backend)/rate" "100Mb/s" # what xl would have turned into numbers
	[ "$(speed)" -gt 25000000 ]
	refused eval 'vifctl show vif1.0 | grep "rate "'
}
ok "a rate that is none is no limit" unlimited

kill "$(tr -d '\0' <"$work/iperf.pid")"
exit $failed
