#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Stock guests with a place on dom0's NIC: AF_XDP, past the bridge. The NIC is a veth, its
# other end a network namespace, the wire.
#
#	tests/xen/full/nic.sh [KERNEL [GUEST-KERNEL]]
#
# shellcheck disable=SC2317,SC2016 # 'check' calls them; dom0 expands
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"

WIRE=10.0.0.200
wire() { dom0 "ip netns exec wire $1"; }

# What comes out of a real wire has its checksums.
make_wire()
{
	dom0 "ip netns add wire
		ip link add nic0 type veth peer name eth0 netns wire
		ip link set nic0 master xenbr0 up
		ip -n wire addr add $WIRE/24 dev eth0
		ip -n wire link set eth0 up
		ip netns exec wire ethtool -K eth0 tx off"
}

attach()
{
	dom0 "xl network-attach $1 mac=$(mac_of "$1") bridge=xenbr0"
	guest "$1" "until test -e /sys/class/net/eth0; do sleep 0.1; done; $(configuration_of "$1")"
}

model_is() { dom0 "for i in \$(seq 100); do vifctl list | grep -qE '^$(netdev_of "$1") .* $2 ' && exit 0; sleep 0.1; done; vifctl list; vifctl show $(netdev_of "$1"); exit 1"; }
model() { dom0 "vifctl model $(netdev_of "$1") $2"; model_is "$1" "$2"; }
wire_pings() { shows "ip netns exec wire ping -c 5 -i 0.2 -W 5 $1" ' 0% packet loss'; }

# The vif's netdev sees none of the wire's frames to the guest but a neighbour's questions.
past_the_bridge()
{
	dom0 "a=\$(cat /sys/class/net/$(netdev_of "$1")/statistics/tx_packets)
		ip netns exec wire ping -q -c 20 -i 0.05 -W 5 $(address_of "$1") >/run/shown
		b=\$(cat /sys/class/net/$(netdev_of "$1")/statistics/tx_packets)
		cat /run/shown; echo \$a \$b
		grep -q ' 0% packet loss' /run/shown && [ \$((b - a)) -le 2 ]"
}

send_from_wire()
{
	local sums
	guest "$1" "$(server 5001 sha256sum)"
	mapfile -t sums < <(dom0 "$(random_data); ip netns exec wire nc $(address_of "$1") 5001 </run/data")
	same_sum "${sums[@]}"
}

fetch_to_wire()
{
	local sum
	sum=$(guest "$1" "$(random_data); $(server 5002 'cat /run/data')")
	same_sum "$sum" "$(dom0 "ip netns exec wire nc $(address_of "$1") 5002 </dev/null | sha256sum")"
}

# A ping each 50 ms meanwhile: each answered, once.
swap_under_pings()
{
	dom0 "ip netns exec wire ping -q -c 100 -i 0.05 -W 5 $(address_of "$1") >/run/shown &
		for i in 1 2 3 4; do
			vifctl model $(netdev_of "$1") bridge; sleep 0.5
			vifctl model $(netdev_of "$1") mq; sleep 0.5
		done
		wait
		cat /run/shown
		grep -q '100 received, 0% packet loss' /run/shown"
}

begin "$@"
know_domids
need "a wire on dom0's NIC" make_wire
check "vifd starts" dom0 "start-vifd --nics=nic0"
for g in u1 u2; do
	need "xl network-attach $g" attach "$g"
	check "$g: has a place on the NIC" model_is "$g" mq
	check "$g: ping from the wire" wire_pings "$(address_of "$g")"
	check "$g: the wire's frames come past the bridge" past_the_bridge "$g"
done
check "TCP from the wire, checksummed" send_from_wire u1
check "TCP to the wire, checksummed" fetch_to_wire u1
check "dom0 itself reaches it" pings "$(address_of u1)"
check "guest to guest: ping" guest_pings u1 "$(address_of u2)"
check "guest to guest: TCP" between u1 u2 "$(address_of u2)"
check "there and back four times: no ping lost or doubled" swap_under_pings u1
check "on the bridge by request" model u1 bridge
check "ping from the wire" wire_pings "$(address_of u1)"
check "TCP from the wire by the bridge" send_from_wire u1
check "on the NIC again" model u1 mq
check "vifd killed: the bridge serves" dom0 'pkill -9 -f ^vifd-datapath; sleep 1'
check "ping from the wire after that" wire_pings "$(address_of u1)"
check "on the NIC by itself" model_is u1 mq
check "vifd restarts without NICs" dom0 'stop-vifd; start-vifd; ! ip -d link show nic0 | grep vifd_nic'
check "ping from the wire without" wire_pings "$(address_of u1)"
finish
