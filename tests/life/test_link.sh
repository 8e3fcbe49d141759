#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Carrier and MTU all the way: from the bridge the real vif-bridge put the netdev in, to the
# guest's own interface.
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/life.bash"
in_lab 2 "$0"

bridge=${VIF_LAB_NAME}br0
link_of() { ip -n "$VIF_LAB_NAME-g$1" -o link show dev eth0; }
link_is_down() { link_of "$1" | grep >/dev/null NO-CARRIER; }
link_is_up() { link_of "$1" | grep >/dev/null LOWER_UP; }
mtu_is() { link_of "$1" | grep >/dev/null " mtu $2 "; }
netdev_mtu_is() { ip -o link show dev "vif$1.0" | grep >/dev/null " mtu $2 "; }

bridge_down()
{
	connected 1 && connected 2 && link_is_up 1 && link_is_up 2
	ip link set "$bridge" down
	await 5 link_is_down 1
	await 5 link_is_down 2
	ip link set "$bridge" up
	await 5 link_is_up 1
	await 5 link_is_up 2
	await 10 reaches_wire 1
	await 10 reaches_wire 2
}
ok "the bridge goes down, and guests' cables with it" bridge_down

one_port()
{
	bridge link set dev vif1.0 state 0
	await 5 link_is_down 1
	link_is_up 2
	reaches_wire 2
	bridge link set dev vif1.0 state 3
	await 5 link_is_up 1
	await 10 reaches_wire 1
}
ok "one port goes down, one guest notices" one_port

the_uplink()
{
	local device
	device=$(wire ip -o link show type veth | sed 's/^[0-9]*: \([^@:]*\).*/\1/;q')
	"$lab" vifd restart --carrier uplink
	await 10 reaches_wire 1
	wire ip link set "$device" down
	await 5 link_is_down 1
	await 5 link_is_down 2
	vifctl show vif1.0 | grep "carrier told down: no uplink"
	wire ip link set "$device" up
	await 5 link_is_up 1
	await 10 reaches_wire 1
	"$lab" vifd restart
	await 10 reaches_wire 1
}
ok "carrier = uplink: the switch goes down" the_uplink

vifd_dies()
{
	ip link set "$bridge" down
	await 5 link_is_down 1
	kill -9 "$(datapath_pid)"
	await 10 eval 'vifctl list --json | grep >/dev/null "\"ready\": true"'
	link_is_down 1
	"$lab" vifd restart
	link_is_down 1
	ip link set "$bridge" up
	await 5 link_is_up 1
	await 10 reaches_wire 1
}
ok "who died meanwhile makes no difference" vifd_dies

# mtu=9000 in the guest's configuration: vif-bridge sets it and tells the guest.
configured()
{
	local n
	for n in 1 2; do
		"$lab" detach --domid "$n"
		await 5 no_netdev "vif$n.0"
		"$lab" attach --domid "$n" --key mtu="$1"
		await 10 connected "$n"
		await 5 netdev_mtu_is "$n" "$1"
		await 5 mtu_is "$n" "$1"
	done
	await 10 guest 1 ping -q -c 1 -W 1 10.77.0.12
	guest 1 ping -q -c 5 -i 0.05 -w 10 -M "do" -s $(($1 - 28)) 10.77.0.12 | grep ' 5 received'
	guest 2 ping -q -c 5 -i 0.05 -w 10 -M "do" -s $(($1 - 28)) 10.77.0.11 | grep ' 5 received'
	[ "$(vifctl stats --json | jq '[.vifs[].to_guest.drops["too-big"]] | add')" = 0 ]
}
ok "mtu=9000: whole pings from guest to guest" configured 9000
ok "mtu=65517: whole pings from guest to guest" configured 65517

live()
{
	ip link set vif1.0 mtu 4000
	await 5 mtu_is 1 4000
	mtu_is 2 65517
	ip link set vif1.0 mtu 65517
	await 5 mtu_is 1 65517
	guest 1 ping -q -c 1 -W 2 -M "do" -s 65489 10.77.0.12
}
ok "a new MTU reaches the guest's interface" live

without_sg()
{
	[ "$("$lab" guest tell 1 connect without=sg)" = ok ]
	await 5 netdev_mtu_is 1 1500
	await 10 guest 1 ping -q -c 1 -W 1 10.77.0.12
	[ "$("$lab" guest tell 1 connect without=)" = ok ]
	await 5 netdev_mtu_is 1 65517
	await 10 guest 1 ping -q -c 1 -W 2 -M "do" -s 65489 10.77.0.12
}
ok "without scatter-gather 1500, and back" without_sg
exit $failed
