#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Where a vif's netdev stands, on the kernel's own bridge: the carrier its guest is told
# of, its MTU and that of the frames it gets.
# shellcheck disable=SC2317,SC2086 # cases are called through "here" and "case_"; $tmp has no blanks
set -euo pipefail
# shellcheck source=tests/control/lib.sh
. "$(dirname "$0")/lib.sh"

carrier_is() { [[ $(xenstore-read "$(be 7)/carrier") == "$1" ]]; }
says_carrier() { ctl show vif7.0 | grep "carrier told *$1"; }
told_mtu_is() { [[ $(xenstore-read "$(fe 7)/mtu") == "$1" ]]; }
netdev_mtu_is() { ip -o link show vif7.0 | grep " mtu $1 "; }
guest_sees() { ip netns exec g7 ping -q -c 1 -W 2 -M "do" -s "$1" 10.99.0.1; }

no_carrier() { ip -o link show "$1" | grep "NO-CARRIER"; }

# Control's own look at links is over: it answers, and takes news before it does.
settled() { ctl list >/dev/null; }

# up0 is the bridge's uplink, up1 the switch's end of its cable.
bridge_with_uplink()
{
	ip link add br0 type bridge
	ip link add up0 type veth peer name up1
	ip link set up0 mtu 65535 up
	ip link set up1 mtu 65535 up
	ip link set br0 mtu 65535
	ip link set up0 master br0
	ip link set br0 up
	ip addr add 10.99.0.1/24 dev br0
}

connected()
{
	start_xen
	bridge_with_uplink
	start_vifd --carrier uplink
	start_guest 7
	attach 7
	until_ 10 state_is 7 2
	carrier_is 1
	ip link set vif7.0 master br0 up
	hotplug_done 7
	until_ 10 state_is 7 4
	until_ 10 guest_sees 56
	settled
	carrier_is 1
	says_carrier up
	no_carrier_lost
}
# Not for a moment: what a script does to the netdev is over when it says so.
no_carrier_lost() { ! grep "carrier lost" $tmp/vifd.log; }
here "a guest in a bridge with an uplink has a carrier" connected

# goes_away WORDS COMMAND -- COMMAND: off with the first, on again with the second.
goes_away()
{
	local words=$1 off=()
	shift
	while [[ $1 != -- ]]; do
		off+=("$1")
		shift
	done
	shift
	"${off[@]}"
	until_ 5 carrier_is 0
	says_carrier "down: $words"
	"$@"
	until_ 5 carrier_is 1
	until_ 10 guest_sees 56
}
case_ "the netdev is set down" goes_away "the netdev is set down" \
	ip link set vif7.0 down -- ip link set vif7.0 up
case_ "the bridge is set down" goes_away "its bridge is set down" \
	ip link set br0 down -- ip link set br0 up
case_ "the port is disabled" goes_away "its bridge port is disabled" \
	bridge link set dev vif7.0 state 0 -- bridge link set dev vif7.0 state 3
case_ "out of the bridge" goes_away "it was taken out of its bridge" \
	ip link set vif7.0 nomaster -- ip link set vif7.0 master br0
case_ "the uplink's cable is pulled" goes_away "no uplink of its bridge has a carrier" \
	ip link set up1 down -- ip link set up1 up

second_uplink()
{
	ip link add up2 type veth peer name up3
	ip link set up3 up
	ip link set up2 master br0 up
	ip link set up1 down
	settled
	until_ 5 no_carrier up0
	settled
	carrier_is 1
	ip link set up3 down
	until_ 5 carrier_is 0
	ip link del up2
	ip link set up1 up
	until_ 5 carrier_is 1
}
case_ "one uplink of two is enough" second_uplink

# What is told ends as it is; how often it is told in between is rationed.
storm()
{
	local before after i
	for ((i = 0; i < 1500; i++)); do
		echo "link set br0 down"
		echo "link set br0 up"
	done >$tmp/storm
	echo "link set vif7.0 down" >>$tmp/storm
	grep -c 'carrier' $tmp/vifd.log >$tmp/before || true
	ip -batch $tmp/storm
	until_ 10 carrier_is 0
	until_ 5 says_carrier "down: the netdev is set down"
	ip link set vif7.0 up
	until_ 5 carrier_is 1
	until_ 10 guest_sees 56
	before=$(cat $tmp/before) after=$(grep -c carrier $tmp/vifd.log)
	((after - before < 200)) || { echo "$before $after lines"; false; }
}
case_ "3000 changes at once" storm

# More than the socket holds: the kernel drops the rest, and all links are read anew.
news_lost()
{
	kill -STOP "$vifd_pid"
	ip -batch $tmp/storm
	ip -batch $tmp/storm
	kill -CONT "$vifd_pid"
	until_ 10 carrier_is 0
	until_ 5 says_carrier "down: the netdev is set down"
	ip link set vif7.0 up
	until_ 5 carrier_is 1
	until_ 10 guest_sees 56
}
case_ "6000 changes unheard" news_lost

# An index that comes again under another name is another device.
other_devices()
{
	local i
	for ((i = 0; i < 100; i++)); do
		echo "link add d$i type bridge"
	done >$tmp/batch
	ip -batch $tmp/batch
	for ((i = 0; i < 100; i++)); do
		ip link del d$i
	done
	settled
	carrier_is 1
}
case_ "devices that come and go are nobody's business" other_devices

told()
{
	ip link set vif7.0 mtu 9000
	until_ 5 told_mtu_is 9000
	ip link set vif7.0 mtu 1500
	until_ 5 told_mtu_is 1500
}
case_ "the guest is told of a new MTU" told

# 65517 is what Linux' netback allows: 65535 without an Ethernet and a VLAN header.
large()
{
	local mtu before
	before=$(dropped)
	for mtu in 9000 65517; do
		ip link set vif7.0 mtu $mtu
		ip netns exec g7 ip link set eth0 mtu $mtu
		ip link set br0 mtu $mtu
		guest_sees $((mtu - 28))
		each_answered g7 3 -i 0.05 -W 5 -s $((mtu - 28)) 10.99.0.1
	done
	[[ $(dropped) == "$before" ]]
}
dropped() { ctl stats vif7.0 | grep 'dropped: '; }
case_ "pings of 9000 and of 65517 bytes, whole" large

# As Linux' netback has it, but for what follows.
too_big()
{
	ip link set vif7.0 mtu 9000
	until_ 5 told_mtu_is 9000
	kill "$guest_pid_7"
	wait "$guest_pid_7" || true
	start_frontend 7 --without sg
	until_ 10 state_is 7 4
	until_ 5 netdev_mtu_is 1500
	told_mtu_is 9000 # what a driver that can do more is to find
	until_ 10 guest_sees 56
	kill "$guest_pid_7"
	wait "$guest_pid_7" || true
}
here "without scatter-gather no more than 1500" too_big

again()
{
	start_frontend 7
	until_ 10 state_is 7 4
	until_ 5 netdev_mtu_is 9000
	told_mtu_is 9000
}
here "and with it what it was" again

# The successor reads the links anew and says what changed meanwhile.
restarted()
{
	stop_vifd
	ip link set br0 down
	start_vifd
	until_ 5 carrier_is 0
	kill -9 "$vifd_pid"
	wait "$vifd_pid" || true
	ip link set br0 up
	start_vifd
	until_ 5 carrier_is 1
	ip link set up1 down
	until_ 5 no_carrier up0
	settled
	carrier_is 1 # an uplink does not count unless asked for
}
here "a restarted vifd says what changed meanwhile" restarted

always()
{
	stop_vifd
	start_vifd --carrier always
	until_ 10 state_is 7 4
	ip link set br0 down
	settled
	says_carrier up
	carrier_is 1
	ip link set br0 up
}
here "carrier = always" always
stop_vifd
exit $failed
