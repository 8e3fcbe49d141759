#!/bin/bash
# SPDX-License-Identifier: MIT
#
# AF_XDP steered by the device's own filters, on the lab's NIC (tests/lab/nic_switch.h): what
# vifd sets on a device and takes back, seen by ethtool(8), and what frames it gets by that.
# Three guests, two filters.
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "s$$" --guests 3 --model mq --nic afxdp --steering device \
	--filters 2 --workers 1 -- "$0"

uplink=${n}w0
driver() { LD_PRELOAD=$build/lab-nic.so ethtool "$@"; } # of the NIC
mac() { echo "00:16:3E:77:00:0$1"; }
# Our rules: "MAC queue" a line.
rules() { driver -n "$uplink" | awk '/Dest MAC/ { m = $4 } /Direct to queue/ { print m, $5 }' | sort; }
queue_of() { rules | awk -v m="$(mac "$1")" '$1 == m { print $2 }'; }
n_rules_is() { [ "$(rules | wc -l)" = "$1" ]; }
# The queues that others' frames are spread over.
spread() { driver -x "$uplink" | awk '/^ *[0-9]+:/ { for (i = 2; i <= NF; i++) print $i }' | sort -nu | xargs; }
spread_is() { [ "$(spread)" = "$1" ]; }
rxvlan() { ethtool -k "$uplink" | awk '/^rx-vlan-offload/ { print $2 }'; }
redirected() { ethtool -S "$uplink" | awk -v q="rx_queue_$1_xdp_redirect:" '$1 == q { print $2 }'; }

steered()
{
	vifctl nic
	nic_is steering ntuple
	nic_is receive copy # veth has no zero-copy
	nic_is filters 2
	vifctl nic | grep 'untested on hardware'
}

# Each to a queue of its own, the last two of seven; nothing else goes there.
rules_and_spread()
{
	rules
	n_rules_is 2
	[ "$(rules | awk '{ print $2 }' | sort | xargs)" = "5 6" ]
	spread_is "0 1 2 3 4"
	[ "$(rxvlan)" = off ]
}

third_on_the_bridge()
{
	model_is "$c" bridge
	placement "$c" why_not | grep 'every filter of the NIC is taken'
	pings "$c"
	[ "$(by_nic "$c")" = 0 ]
}

by_its_queue()
{
	local q before other
	pings "$a"
	q=$(queue_of "$a")
	before=$(redirected "$q") other=$(redirected $((11 - q)))
	wire ping -q -c 50 -i 0.002 -w 5 "10.77.0.1$a"
	echo "queue $q: $before, then $(redirected "$q")"
	[ $(($(redirected "$q") - before)) -ge 50 ]
	[ "$(redirected $((11 - q)))" = "$other" ]
}

# A rule of somebody's that brings a guest's frames to another guest's queue: before ours, as its
# location is lower.
wrong_queue()
{
	local stolen before
	stolen=$(by_nic "$b") before=$(by_nic "$a")
	driver -N "$uplink" flow-type ether dst "$(mac "$a")" action "$(queue_of "$b")" loc 0
	pings "$a" # by the bridge
	[ "$(by_nic "$b")" = "$stolen" ]
	[ "$(by_nic "$a")" = "$before" ]
	driver -N "$uplink" delete 0
	pings "$a"
	[ "$(by_nic "$a")" -gt "$before" ]
}

next_in_line()
{
	vifctl model "vif$a.0" bridge
	await 10 model_is "$a" bridge
	await 20 model_is "$c" mq
	[ -z "$(queue_of "$a")" ]
	[ -n "$(queue_of "$c")" ]
	n_rules_is 2
	pings "$a"
	pings "$c"
	vifctl model "vif$c.0" bridge
	vifctl model "vif$a.0" auto
	await 20 model_is "$a" mq
	vifctl model "vif$c.0" auto
}

# One of the operator's, at a location.
others_rule() { driver -N "$uplink" flow-type ether dst 02:00:00:00:00:99 action 1 loc "$1"; }

table_full()
{
	local i taken
	vifctl model "vif$a.0" bridge
	vifctl model "vif$c.0" bridge
	await 10 model_is "$a" bridge
	n_rules_is 1
	taken=$(driver -n "$uplink" | awk '/^Filter/ { print $2 }')
	for i in 0 1 2 3; do
		[ "$i" = "$taken" ] || others_rule "$i"
	done
	n_rules_is 4
	vifctl model "vif$a.0" auto
	await 10 refusal_told
	model_is "$a" bridge
	pings "$a"
	pings "$b"
	for i in 0 1 2 3; do
		[ "$i" = "$taken" ] || driver -N "$uplink" delete "$i"
	done
	await 20 model_is "$a" mq # it is tried again after 10 s
	vifctl model "vif$c.0" auto
}
refusal_told() { placement "$a" failure | grep 'adding its filter: No space left on device'; }

# One queue more, before guests', that no rule leads to: what guests send leaves by it.
sends()
{
	local before
	vif-lab vifd restart --workers 1 --nics "$uplink,steering=device,filters=2,transmit=yes"
	await 20 n_placed_is 2
	rules
	[ "$(rules | awk '{ print $2 }' | sort | xargs)" = "5 6" ]
	spread_is "0 1 2 3"
	nic_is transmit true
	await 10 model_is "$a" mq
	pings "$a"
	before=$(sent_by_nic "$a")
	wire ping -q -c 50 -i 0.002 -w 5 "10.77.0.1$a"
	[ $(($(sent_by_nic "$a") - before)) -ge 50 ]
	[ "$(redirected 4)" = 0 ]
	vif-lab vifd restart --workers 1
	await 20 n_placed_is 2
	spread_is "0 1 2 3 4"
}
sent_by_nic() { vifctl stats "vif$1.0" --json | jq '.vifs[0].from_guest.nic_frames'; }

# Both processes at once: rules and spreading stay as they were, the next vifd finds them by its
# program's record. The guests meanwhile have the bridge.
crashed()
{
	local pid
	pid=$(cat /run/vif-lab/pids/vifd)
	rm /run/vif-lab/pids/vifd # wanted: the lab lives on
	kill -9 "$pid"
	await 10 dead "$pid"
	n_rules_is 2
	spread_is "0 1 2 3 4"
	has_program
	"$@"
}

taken_over()
{
	vif-lab vifd restart --workers 1
	await 20 n_placed_is 2
	rules
	n_rules_is 2
	spread_is "0 1 2 3 4"
	pings "$a"
	pings "$b"
	pings "$c"
}

# With another choice of queues; and what was before is what the first vifd found.
taken_over_otherwise()
{
	vif-lab vifd restart --workers 1 --nics "$uplink,steering=device,filters=1"
	await 20 n_placed_is 1
	n_rules_is 1
	spread_is "0 1 2 3 4 5"
	put_back
}

put_back()
{
	vif-lab vifd restart --workers 1 --nics none
	await 10 no_program
	n_rules_is 0
	spread_is "0 1 2 3 4 5 6"
	[ "$(rxvlan)" = on ]
	pings "$a"
	pings "$c"
}

# Without the driver: the device is a veth, which has no filters.
no_filters()
{
	ethtool -L "$uplink" rx 2 # each takes 68 MiB with a program
	VIF_LAB_STEERING=program vif-lab vifd restart --workers 1 --nics "$uplink,steering=device"
	await 10 says_no_filters
	nic_is open false
	model_is "$a" bridge
	pings "$a"
	no_program
	refused grep clsact <<<"$(tc qdisc show dev "$uplink")"
	VIF_LAB_STEERING=program vif-lab vifd restart --workers 1 --nics "$uplink,steering=auto"
	await 20 nic_is steering "XDP program"
	await 20 model_is "$c" mq
	pings "$c"
}
says_no_filters() { nic error | grep 'no ntuple filters (ethtool -N): Operation not supported; no flower in hardware'; }

await 20 n_placed_is 2 || true
# Two have a place, who came first.
a='' b='' c=''
for i in 1 2 3; do
	if model_is $i bridge; then c=$i; elif [ -z "$a" ]; then a=$i; else b=$i; fi
done
ok "vifctl nic: who steers, whether zero-copy, and that no hardware has tried it" steered
ok "a rule each, to a queue of its own, the spreading off those" rules_and_spread
ok "M + 1 guests: one is on the bridge" third_on_the_bridge
ok "frames come by the guest's queue" by_its_queue
ok "at another guest's queue they pass to the bridge" wrong_queue
ok "a filter that becomes free is the next guest's" next_in_line
ok "a table that others filled: the guest stays on the bridge, until there is room" table_full
ok "transmit=yes: by a queue of its own" sends
ok "kill -9 of vifd: the next one takes over, no rule stays or doubles" crashed taken_over
ok "kill -9 again: a vifd that is told otherwise puts all of it back" crashed taken_over_otherwise
ok "a device without filters: steering=device says why, =auto has the program" no_filters
exit $failed
