#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What guests wish for and what becomes of it when vifd's processes end: multicast control
# and XDP headroom, with conforming frontends on real TAPs.
# shellcheck disable=SC2317,SC2086,SC2154 # as lib.sh
set -euo pipefail
# shellcheck source=tests/control/lib.sh
. "$(dirname "$0")/lib.sh"

# Frames to a multicast address that IP does not make: the guest's kernel listens to it or
# not, whatever is sent there.
listens() { ip -n g7 maddr add 01:00:5e:77:00:"$1" dev eth0; }
filtered() { ctl show vif7.0 | grep "multicast  *filtered, $1 addresses"; }
unfiltered() { ctl show vif7.0 | grep "multicast  *all"; }
n_filtered() { ctl stats vif7.0 --json | sed -n 's/.*"multicast-filter": \([0-9]*\).*/\1/p'; }

# One packet to 224.<N>.0.1 (01:00:5e:<N & 127>:00:01), which nobody answers.
shout() { ping -q -c 1 -W 0.1 -I vif7.0 "$1" >/dev/null || true; }
# mac_is_heard, is_dropped ADDRESS: a packet to it reaches the guest, or not. Our own kernel
# sends multicast as well, now and then.
not_counted()
{
	local before
	before=$(n_filtered)
	shout "$1"
	ctl list >/dev/null
	[[ $(n_filtered) == "$before" ]]
}
counted_each_time()
{
	! not_counted "$1" && ! not_counted "$1" && ! not_counted "$1"
}
mac_is_heard() { until_ 5 not_counted "$1"; }
is_dropped() { until_ 5 counted_each_time "$1"; }

connected()
{
	start_xen
	start_vifd
	start_guest 7 --frontend multicast --queues 2
	attach 7
	until_ 10 state_is 7 2
	ip addr add 10.99.0.1/24 dev vif7.0
	ip link set vif7.0 up
	hotplug_done 7
	until_ 10 state_is 7 4
	until_ 10 pings 1
}
here "a guest that filters connects" connected

# 224.0.0.1 (all hosts) is joined by every IPv4 host; its IPv6 groups by every IPv6 one.
filter()
{
	until_ 5 eval 'ctl show vif7.0 | grep "multicast  *filtered, [1-9]"'
	mac_is_heard 224.0.0.1
	is_dropped 239.77.1.2
	listens 05
	mac_is_heard 239.119.0.5 # 01:00:5e:77:00:05
	is_dropped 239.119.0.6
	pings 3
}
case_ "what it listens to arrives, the rest is dropped and counted" filter

# IPv6's neighbours are found through a multicast address the guest adds for itself.
neighbours()
{
	local address
	ip -n g7 addr add fd99::7/64 dev eth0 nodad
	ip addr add fd99::1/64 dev vif7.0 nodad
	until_ 10 ping -q -c 1 -W 1 fd99::7
	address=$(ip -n g7 -o -6 addr show dev eth0 scope link | sed -n 's/.*inet6 \([^/]*\).*/\1/p')
	until_ 10 ping -q -c 1 -W 1 "$address%vif7.0"
}
case_ "IPv6 finds its neighbour" neighbours

datapath_killed()
{
	local before n
	n=$(ctl show vif7.0 | sed -n 's/.*multicast  *filtered, \([0-9]*\).*/\1/p')
	before=$(datapath_pid)
	kill -9 "$before"
	until_ 10 eval 'is_up && [[ $(datapath_pid) != '$before' ]]'
	pings 1
	filtered "$n"
	mac_is_heard 239.119.0.5
	is_dropped 239.77.1.2
}
case_ "kill -9 of the datapath: its successor knows" datapath_killed

restarted()
{
	local n
	n=$(ctl show vif7.0 | sed -n 's/.*multicast  *filtered, \([0-9]*\).*/\1/p')
	stop_vifd
	xenstore-exists "$(be 7)/vifd-multicast"
	start_vifd
	until_ 10 filtered "$n"
	pings 1
	mac_is_heard 239.119.0.5
	is_dropped 239.77.1.2
	! xenstore-exists "$(be 7)/vifd-multicast"
}
here "stop and start: the next vifd knows" restarted

killed()
{
	kill -9 "$vifd_pid"
	wait "$vifd_pid" || true
	start_vifd
	until_ 10 unfiltered
	pings 1
	mac_is_heard 239.77.1.2
	kill -HUP "$guest_pid_7"
	until_ 10 eval 'ctl show vif7.0 | grep "multicast  *filtered, [1-9]"'
	mac_is_heard 239.119.0.5
	is_dropped 239.77.1.2
}
here "kill -9 of control: rather too much than too little, until it connects anew" killed

with_headroom()
{
	kill "$guest_pid_7"
	wait "$guest_pid_7" || true
	start_frontend 7 --frontend linux-xdp --stats-file $tmp/stats
	until_ 10 state_is 7 4
	until_ 10 pings 1
	ctl show vif7.0 | grep "xdp headroom *256"
	each_answered g7 3 -i 0.05 -W 5 -s 1472 10.99.0.1
	kill -9 "$(datapath_pid)"
	until_ 10 is_up
	pings 3
	stop_vifd
	start_vifd
	until_ 10 eval 'ctl show vif7.0 | grep "xdp headroom *256"'
	pings 3
}
here "an XDP program's headroom, also in the next datapath and vifd" with_headroom
stop_vifd
exit $failed
