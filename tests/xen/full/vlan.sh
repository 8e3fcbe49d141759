#!/bin/bash
# SPDX-License-Identifier: MIT
#
# VLANs as an operator builds them in dom0: a bridge with vlan_filtering and access and
# trunk ports, a bridge for each VLAN, an 802.1q device on a vif, QinQ. What must arrive is
# compared byte by byte, and so is that nothing else does.
#
#	u1 eth0: access port, VLAN 10	\
#	u2 eth0: trunk, VLANs 30, 40	 > vlanbr - uplink | nic: the wire, a namespace
#	u2 eth1: access port, VLAN 20	/
#
# shellcheck disable=SC2317 # 'check' calls them
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"
# shellcheck source=tests/xen/vlans.bash
. "$(dirname "$0")/../vlans.bash"

WIRE=wire:nic ACCESS=u1:eth0 TRUNK=u2:eth0 OTHER=u2:eth1

# sentinels: the last frame for each guest, from the wire; all but VLAN 10's are tagged
# there as they leave.
send_last()
{
	send "$WIRE" "$(frame "$WIRE" "$(tag 10)" last)" "$(frame "$WIRE" "$(tag 20)" last)" \
		"$(frame "$WIRE" "$(tag 30)" last)"
}
LAST=$(frame "$WIRE" '' last)
LAST_30=$(frame "$WIRE" "$(tag 30)" last)

from_access_port()
{
	listen "$WIRE" "$ACCESS" "$TRUNK" "$OTHER"
	send "$ACCESS" "$(frame "$ACCESS" '' untagged)" "$(frame "$ACCESS" "$(tag 20)" foreign)" \
		"$(frame "$ACCESS" "$(tag "$PRIORITY_5")" urgent)" "$(frame "$ACCESS" "$(tag 10)" 'its own')"
	got "$WIRE" "$(frame "$ACCESS" "$(tag 10)" untagged)" \
		"$(frame "$ACCESS" "$(tag $((PRIORITY_5 | 10)))" urgent)" \
		"$(frame "$ACCESS" "$(tag 10)" 'its own')"
	send_last
	got "$ACCESS" "$LAST"
	got "$OTHER" "$LAST"
	got "$TRUNK" "$LAST_30"
}

from_trunk()
{
	listen "$WIRE" "$ACCESS" "$TRUNK" "$OTHER"
	send "$TRUNK" "$(frame "$TRUNK" "$(tag 30)" first)" "$(frame "$TRUNK" "$(tag 10)" foreign)" \
		"$(frame "$TRUNK" '' untagged)" "$(frame "$TRUNK" "$(tag $((PRIORITY_5 | 40)))" second)"
	got "$WIRE" "$(frame "$TRUNK" "$(tag 30)" first)" "$(frame "$TRUNK" "$(tag $((PRIORITY_5 | 40)))" second)"
	send_last
	got "$ACCESS" "$LAST"
	got "$OTHER" "$LAST"
	got "$TRUNK" "$LAST_30"
}

from_wire()
{
	listen "$ACCESS" "$TRUNK" "$OTHER"
	send "$WIRE" "$(frame "$WIRE" "$(tag 10)" ten)" "$(frame "$WIRE" "$(tag 20)" twenty)" \
		"$(frame "$WIRE" "$(tag 30)" thirty)" "$(frame "$WIRE" "$(tag $((PRIORITY_5 | 40)))" forty)" \
		"$(frame "$WIRE" "$(tag 50)" 'of no port')" "$(frame "$WIRE" '' untagged)"
	send_last
	got "$ACCESS" "$(frame "$WIRE" '' ten)" "$LAST"
	got "$OTHER" "$(frame "$WIRE" '' twenty)" "$LAST"
	got "$TRUNK" "$(frame "$WIRE" "$(tag 30)" thirty)" \
		"$(frame "$WIRE" "$(tag $((PRIORITY_5 | 40)))" forty)" "$LAST_30"
}

# A tag does not count towards the MTU.
full_size()
{
	listen "$WIRE" "$ACCESS" "$TRUNK"
	send "$TRUNK" "$(frame "$TRUNK" "$(tag 30)" full 1500)"
	send "$ACCESS" "$(frame "$ACCESS" '' full 1500)"
	got "$WIRE" "$(frame "$TRUNK" "$(tag 30)" full 1500)" "$(frame "$ACCESS" "$(tag 10)" full 1500)"
	send "$WIRE" "$(frame "$WIRE" "$(tag 30)" full 1500)" "$(frame "$WIRE" "$(tag 10)" full 1500)"
	got "$TRUNK" "$(frame "$WIRE" "$(tag 30)" full 1500)"
	got "$ACCESS" "$(frame "$WIRE" '' full 1500)"
}

moves()
{
	local vif
	vif=$(netdev_of u1)
	dom0 "bridge vlan del dev $vif vid 10; bridge vlan add dev $vif vid 20 pvid untagged"
	addresses u1 eth0 20
	pings 10.20.0.11
	guest_pings u2 10.20.0.11
	dom0 "! $dom0_net ping -c 2 -i 0.2 -W 1 10.10.0.11"
}

# ---- without vlan_filtering ----

bridge_of_a_vlan()
{
	wire_to '' trunk0 nic1
	tagged wire nic1 60
	dom0 'ip link add link trunk0 name trunk0.60 type vlan id 60
		ip link set trunk0.60 up
		ip link add br60 type bridge
		ip link set br60 up
		ip link set trunk0.60 master br60'
	attach u1 1 br60
	addresses u1 eth1 60
	carries u1 60
}

bridge_of_a_vlan_frames()
{
	listen wire:nic1 u1:eth1
	send u1:eth1 "$(frame u1:eth1 '' untagged)"
	got wire:nic1 "$(frame u1:eth1 "$(tag 60)" untagged)"
	send wire:nic1 "$(frame wire:nic1 "$(tag 61)" foreign)" "$(frame wire:nic1 '' untagged)" \
		"$(frame wire:nic1 "$(tag 60)" last)"
	got u1:eth1 "$(frame wire:nic1 '' last)"
}

device_on_the_vif()
{
	local dom0_net=''
	tagged '' "$(netdev_of u2)" 70
	vlan_in_guest u2 eth0 70
	carries u2 70
}

# Stacked tags: the outer one a service provider's.
build_qinq()
{
	dom0 'ip link add plainbr type bridge
		ip link set plainbr up'
	wire_to plainbr uplink2 nic2
	attach u1 2 plainbr
	dom0 'ip -n wire link add link nic2 name nic2.100 type vlan proto 802.1ad id 100
		ip -n wire link set nic2.100 up'
	tagged wire nic2.100 80
	guest u1 'modprobe 8021q
		ip link add link eth2 name eth2.100 type vlan proto 802.1ad id 100
		ip link set eth2.100 up'
	vlan_in_guest u1 eth2.100 80
}

qinq_frames()
{
	local tags three
	tags=$(service_tag 100)$(tag 80) three=$(service_tag 7)$(tag 8)$(tag 9)
	listen wire:nic2 u1:eth2
	send u1:eth2 "$(frame u1:eth2 "$tags" stacked)" "$(frame u1:eth2 "$three" three)"
	got wire:nic2 "$(frame u1:eth2 "$tags" stacked)" "$(frame u1:eth2 "$three" three)"
	send wire:nic2 "$(frame wire:nic2 "$tags" stacked)" "$(frame wire:nic2 "$three" three)"
	got u1:eth2 "$(frame wire:nic2 "$tags" stacked)" "$(frame wire:nic2 "$three" three)"
}

begin
machine_load "$build/xen-frames"
know_domids
check "vifd starts" dom0 start-vifd
check "a bridge with vlan_filtering, a trunk to the wire" build_vlans
check "access port, VLAN 10" eval "attach u1 0 vlanbr 'vid 10 pvid untagged'; addresses u1 eth0 10"
check "access port: traffic" carries u1 10
check "trunk port, VLANs 30 and 40" attach u2 0 vlanbr 'vid 30' 'vid 40'
check "trunk port: 802.1q devices in the guest" eval 'vlan_in_guest u2 eth0 30; vlan_in_guest u2 eth0 40'
check "trunk port: traffic, VLAN 30" carries u2 30
check "trunk port: ping, VLAN 40" pings 10.40.0.12
check "another access port, VLAN 20" eval "attach u2 1 vlanbr 'vid 20 pvid untagged'; addresses u2 eth1 20"
check "VLAN 20: ping" pings 10.20.0.12
check "a program for single frames reaches the guests" eval 'give_program u1 10.10.0.11; give_program u2 10.20.0.12'
((failed == 0)) || finish
check "frames from the access port: tagged on the wire, nowhere else" from_access_port
check "frames from the trunk: only in its VLANs" from_trunk
check "frames from the wire: each to its VLAN's guest" from_wire
check "tagged frames of the MTU's full size" full_size
check "a port moves to another VLAN" moves
check "802.1q device on the vif in dom0: traffic" device_on_the_vif
check "a bridge for one VLAN, on an 802.1q uplink: traffic" bridge_of_a_vlan
check "a bridge for one VLAN: frames" bridge_of_a_vlan_frames
check "QinQ: 802.1ad devices in guest and wire" build_qinq
check "QinQ: traffic" carries u1 80
check "QinQ: frames with two and three tags" qinq_frames
check "no frame was dropped" nothing_lost
check "vifd stops" dom0 stop-vifd
finish
