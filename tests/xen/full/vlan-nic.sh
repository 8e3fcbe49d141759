#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Guests in a bridge that filters VLANs, with places on its uplink, the NIC: each gets what
# it would get by the bridge, byte by byte, and nothing else; what it sends past the bridge is on
# the wire what the bridge would have sent; and that goes on while the VLANs are changed.
#
#	u1 eth0: access port, VLAN 10			\
#	u2 eth0: trunk, VLANs 30, 40			 > vlanbr - uplink | nic: the wire
#	u2 eth1: access port, VLAN 20, u1's address	/
#
# shellcheck disable=SC2317,SC2034 # 'check' calls them; 'to', 'from' and others are for vlans.bash
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"
# shellcheck source=tests/xen/vlans.bash
. "$(dirname "$0")/../vlans.bash"

WIRE=wire:nic ACCESS=u1:eth0 TRUNK=u2:eth0 OTHER=u2:eth1
MAC=00:16:3e:00:00:11

# A real wire has checksums and tags in the frame.
build()
{
	build_vlans
	dom0 "$dom0_net ethtool -K nic tx off txvlan off"
}

# shown GUEST DEVID TEXT: 'vifctl show' says so, or comes to.
shown()
{
	dom0 "for i in \$(seq 100); do
			vifctl show $(netdev_of "$1" "$2") >/run/shown
			! grep -qE '$3' /run/shown || exit 0
			sleep 0.1
		done
		cat /run/shown; exit 1"
}

# by_nic N GUEST DEVID COMMAND...: meanwhile at least so many frames to it pass the bridge by;
# 0: none does. sent_by_nic: alike, of those it sends.
count_by_nic() { dom0 "vifctl stats $(netdev_of "$1" "$2") | sed -n 's/.*by the NIC: frames \([0-9]*\)  $3 .*/\1/p'"; }
counted()
{
	local before after
	before=$(count_by_nic "$3" "$4" "$1")
	"${@:5}"
	after=$(count_by_nic "$3" "$4" "$1")
	echo "by the NIC: ${before:-0} frames, then ${after:-0}"
	if (($2)); then
		((after - before >= $2))
	else
		((after == before))
	fi
}
by_nic() { counted lost "$@"; }
sent_by_nic() { counted 'no room' "$@"; }
# both_by_nic TO FROM GUEST DEVID COMMAND...
both_by_nic() { by_nic "$1" "$3" "$4" sent_by_nic "${@:2}"; }

# Both have the same address: only the tag tells whose a frame is. In VLAN 30 nobody has it:
# there the bridge asks everywhere.
from_wire()
{
	local to=${MAC//:/} in_any_order=yes all
	listen "$ACCESS" "$TRUNK" "$OTHER"
	all=$(to='' frame "$WIRE" "$(tag 30)" last)
	send "$WIRE" "$(frame "$WIRE" "$(tag 10)" ten)" "$(frame "$WIRE" "$(tag 20)" twenty)" \
		"$(frame "$WIRE" "$(tag 30)" thirty)" "$(frame "$WIRE" '' untagged)" \
		"$(frame "$WIRE" "$(tag "$PRIORITY_5")" 'a priority only')" \
		"$(frame "$WIRE" "$(tag $((PRIORITY_5 | 10)))" urgent)" \
		"$(frame "$WIRE" "$(tag 10)$(tag 20)" stacked)" \
		"$(frame "$WIRE" "$(service_tag 10)" 'a service tag')" \
		"$(frame "$WIRE" "$(tag 10)" full 1500)" \
		"$(frame "$WIRE" "$(tag 10)" last)" "$(frame "$WIRE" "$(tag 20)" last)" "$all"
	got "$ACCESS" "$(frame "$WIRE" '' ten)" "$(frame "$WIRE" '' urgent)" \
		"$(frame "$WIRE" "$(tag 20)" stacked)" "$(frame "$WIRE" '' full 1500)" \
		"$(frame "$WIRE" '' last)"
	got "$OTHER" "$(frame "$WIRE" '' twenty)" "$(frame "$WIRE" '' last)"
	got "$TRUNK" "$(frame "$WIRE" "$(tag 30)" thirty)" "$all"
}

# sends_by_nic VLAN TAGS GUEST DEVID: what the guest sends to this station of the wire's leaves by
# the NIC, once the bridge has heard of the station in that VLAN, by a frame with those tags, and
# vifd of that.
STATION=020000000001
sends_by_nic()
{
	local try
	send "$WIRE" "$(frame "$WIRE" "$2" here)"
	dom0 "for i in \$(seq 50); do
			bridge fdb show dev uplink | grep '02:00:00:00:00:01 vlan $1 .*master' && exit 0
			sleep 0.1
		done
		bridge fdb show dev uplink; exit 1"
	for try in {1..20}; do
		! sent_by_nic 1 "$3" "$4" probe "$3:eth$4" "${5:-}" || return 0
	done
	return 1
}
probe()
{
	local to=$STATION from=${MAC//:/}
	[ "$1" != "$TRUNK" ] || from=
	send "$1" "$(frame "$1" "$2" probe)"
}

# on_wire PLACE TAGS: frames of the guest's to the wire's station, of an access port, come with
# these, short and full.
on_wire()
{
	local to=$STATION from=${MAC//:/}
	listen "$WIRE"
	send "$1" "$(frame "$1" '' first)" "$(frame "$1" '' full 1500)" "$(frame "$1" '' last)"
	got "$WIRE" "$(frame "$1" "$2" first)" "$(frame "$1" "$2" full 1500)" "$(frame "$1" "$2" last)"
}

# Both have the same address: the wire tells them apart by the tag only.
to_wire()
{
	sends_by_nic 10 "$(tag 10)" u1 0
	sent_by_nic 3 u1 0 on_wire "$ACCESS" "$(tag 10)"
	sends_by_nic 20 "$(tag 20)" u2 1
	sent_by_nic 3 u2 1 on_wire "$OTHER" "$(tag 20)"
}

# Tagged by the guest: what the bridge makes of it, and nothing in a VLAN that is not its own.
by_the_guest()
{
	local to=$STATION from=${MAC//:/} in_any_order=yes
	listen "$WIRE"
	send "$ACCESS" "$(frame "$ACCESS" "$(tag 10)" 'its own')" \
		"$(frame "$ACCESS" "$(tag 20)" "another's")" \
		"$(frame "$ACCESS" "$(tag "$PRIORITY_5")" 'a priority only')" \
		"$(frame "$ACCESS" "$(tag $((PRIORITY_5 | 20)))" "another's, urgent")" \
		"$(frame "$ACCESS" "$(tag 10)$(tag 20)" stacked)" \
		"$(frame "$ACCESS" "$(tag 20)$(tag 10)" "stacked, another's")" \
		"$(frame "$ACCESS" "$(service_tag 20)" 'a service tag')" \
		"$(from=00163e000099 frame "$ACCESS" '' 'another source')" \
		"$(frame "$ACCESS" '' last)"
	got "$WIRE" "$(frame "$ACCESS" "$(tag 10)" 'its own')" \
		"$(frame "$ACCESS" "$(tag $((PRIORITY_5 | 10)))" 'a priority only')" \
		"$(frame "$ACCESS" "$(tag 10)$(tag 20)" stacked)" \
		"$(frame "$ACCESS" "$(tag 10)$(service_tag 20)" 'a service tag')" \
		"$(from=00163e000099 frame "$ACCESS" "$(tag 10)" 'another source')" \
		"$(frame "$ACCESS" "$(tag 10)" last)"
}

# model MODEL: of both.
model() { dom0 "vifctl model $(netdev_of u1) $1; vifctl model $(netdev_of u2 1) $1"; }
both_shown() { shown u1 0 "$1"; shown u2 1 "$1"; }

the_same_by_the_bridge()
{
	model bridge
	both_shown 'on the bridge: the operator'
	by_nic 0 u1 0 from_wire
	sent_by_nic 0 u1 0 on_wire "$ACCESS" "$(tag 10)"
	sent_by_nic 0 u2 1 on_wire "$OTHER" "$(tag 20)"
	by_the_guest
	model auto
	both_shown 'on NIC uplink'
}

have_places()
{
	shown u1 0 'on NIC uplink for VLAN 10, tagged on the wire, sends by it'
	shown u2 1 'on NIC uplink for VLAN 20, tagged on the wire, sends by it'
}

# A ping each 50 ms meanwhile: each answered, once.
swapped()
{
	local vif
	vif=$(netdev_of u1)
	dom0 "move()
		{
			vifctl model $vif \$1
			for i in \$(seq 100); do
				! vifctl show $vif | grep -qE \"^ *model +\$1\\$\" || return 0
				sleep 0.1
			done
			return 1
		}
		$dom0_net ping -q -c 100 -i 0.05 -W 5 10.10.0.11 >/run/shown &
		for swap in 1 2 3 4; do
			move bridge && move mq || exit 1
		done
		wait
		cat /run/shown
		grep -q '100 received, 0% packet loss' /run/shown"
}

# The wire is heard of by its frames past the bridge only.
learned()
{
	dom0 "mac=\$($dom0_net cat /sys/class/net/nic/address)
		bridge fdb del \$mac dev uplink master vlan 10
		$dom0_net ping -q -c 3 -i 0.1 -W 5 10.10.0.11
		for i in \$(seq 50); do
			bridge fdb show dev uplink | grep \"^\$mac vlan 10 .*master\" && exit 0
			sleep 0.1
		done
		bridge fdb show dev uplink; exit 1"
}

changes_vlan()
{
	dom0 "bridge vlan add dev $(netdev_of u1) vid 40 pvid untagged
		bridge vlan del dev $(netdev_of u1) vid 10"
	shown u1 0 'on NIC uplink for VLAN 40, tagged'
	addresses u1 eth0 40
	pings 10.40.0.11
	sends_by_nic 40 "$(tag 40)" u1 0
	sent_by_nic 3 u1 0 on_wire "$ACCESS" "$(tag 40)"
	dom0 "! $dom0_net ping -c 2 -i 0.2 -W 1 10.10.0.11"
	dom0 "bridge vlan add dev $(netdev_of u1) vid 10 pvid untagged
		bridge vlan del dev $(netdev_of u1) vid 40"
	shown u1 0 'on NIC uplink for VLAN 10, tagged'
	pings 10.10.0.11
}

# The NIC's own untagged VLAN: 10, which was tagged before.
becomes_native()
{
	dom0 "bridge vlan add dev uplink vid 10 pvid untagged
		ip -n wire link del nic.10
		ip -n wire addr add 10.10.0.1/24 dev nic"
	shown u1 0 'on NIC uplink for VLAN 10, untagged'
	shown u2 1 'on NIC uplink for VLAN 20, tagged'
	both_by_nic 3 2 u1 0 pings 10.10.0.11
	both_by_nic 3 2 u2 1 pings 10.20.0.12
	sends_by_nic 10 '' u1 0
	sends_by_nic 20 "$(tag 20)" u2 1
	sent_by_nic 3 u1 0 on_wire "$ACCESS" ''
	sent_by_nic 3 u2 1 on_wire "$OTHER" "$(tag 20)"
}

one_way()
{
	dom0 'bridge vlan add dev uplink vid 10 pvid'
	shown u1 0 'on the bridge: .*VLAN is tagged one way'
	dom0 'bridge vlan add dev uplink vid 10 pvid untagged'
	shown u1 0 'on NIC uplink'
}

# Frames come and go as they are then, and filters are for untagged ones. An address that two
# have would be the first one's.
filters_no_more()
{
	dom0 "vifctl model $(netdev_of u2 1) bridge"
	dom0 'ip link set vlanbr type bridge vlan_filtering 0'
	shown u1 0 'on NIC uplink, sends by it$'
	pings 10.10.0.11
	dom0 'ip link set vlanbr type bridge vlan_filtering 1'
	shown u1 0 'on NIC uplink for VLAN 10, untagged'
	pings 10.10.0.11
	dom0 "vifctl model $(netdev_of u2 1) auto"
	shown u2 1 'on NIC uplink for VLAN 20, tagged'
	pings 10.20.0.12
}

one_vlan_left()
{
	dom0 "bridge vlan del dev $(netdev_of u2) vid 40"
	shown u2 0 'on NIC uplink for VLAN 30, tagged'
	both_by_nic 3 2 u2 0 pings 10.30.0.12
	sends_by_nic 30 "$(tag 30)" u2 0 "$(tag 30)"
	sent_by_nic 2 u2 0 its_only_vlan
}

# The guest's own tag is the wire's; other frames are none of a port's that is in that VLAN only.
its_only_vlan()
{
	local to=$STATION in_any_order=yes urgent
	urgent=$(frame "$TRUNK" "$(tag $((PRIORITY_5 | 30)))" urgent)
	listen "$WIRE"
	send "$TRUNK" "$(frame "$TRUNK" "$(tag 30)" first)" "$urgent"
	send "$TRUNK" "$(frame "$TRUNK" '' untagged)" "$(frame "$TRUNK" "$(tag 40)" "another's")" \
		"$(frame "$TRUNK" "$(tag "$PRIORITY_5")" 'a priority only')" \
		"$(frame "$TRUNK" "$(tag 30)$(tag 40)" stacked)" "$(frame "$TRUNK" "$(tag 30)" last)"
	got "$WIRE" "$(frame "$TRUNK" "$(tag 30)" first)" "$urgent" \
		"$(frame "$TRUNK" "$(tag 30)$(tag 40)" stacked)" "$(frame "$TRUNK" "$(tag 30)" last)"
}

# Without a PVID the bridge drops what has no tag, though it takes the tag off what it delivers: so
# nothing of that guest's leaves by the NIC.
untagged_one_way()
{
	local to=$STATION
	dom0 "bridge vlan add dev $(netdev_of u2) vid 30 untagged"
	shown u2 0 'on NIC uplink for VLAN 30, tagged on the wire$'
	listen "$WIRE"
	sent_by_nic 0 u2 0 send "$TRUNK" "$(frame "$TRUNK" '' untagged)" "$(frame "$TRUNK" "$(tag 30)" last)"
	got "$WIRE" "$(frame "$TRUNK" "$(tag 30)" last)"
	dom0 "bridge vlan add dev $(netdev_of u2) vid 30"
	shown u2 0 'on NIC uplink for VLAN 30, tagged on the wire, sends by it'
}

service_bridge()
{
	dom0 'ip link set vlanbr type bridge vlan_protocol 802.1ad'
	shown u1 0 'on the bridge: .*802.1ad'
	dom0 'ip link set vlanbr type bridge vlan_protocol 802.1Q'
	shown u1 0 'on NIC uplink for VLAN 10'
	pings 10.10.0.11
}

begin
machine_load "$build/xen-frames"
know_domids
need "a bridge with vlan_filtering, a trunk to the wire" build
check "vifd starts" dom0 "start-vifd --nics=uplink,transmit=yes"
need "access port, VLAN 10" eval "attach u1 0 vlanbr 'vid 10 pvid untagged'; addresses u1 eth0 10"
need "trunk port, VLANs 30 and 40" eval "attach u2 0 vlanbr 'vid 30' 'vid 40'; vlan_in_guest u2 eth0 30"
need "access port, VLAN 20, the other's address" eval "mac=$MAC attach u2 1 vlanbr 'vid 20 pvid untagged'; addresses u2 eth1 20"
check "access ports have places, by their VLANs" have_places
check "the trunk port has none, and it is said why" shown u2 0 'on the bridge: its bridge port is in several VLANs'
check "traffic past the bridge, both ways, VLAN 10" both_by_nic 500 50 u1 0 carries u1 10
check "traffic past the bridge, both ways, VLAN 20" both_by_nic 500 50 u2 1 carries u2 20
check "traffic by the bridge, VLAN 30" carries u2 30
check "a program for single frames reaches the guests" eval 'give_program u1 10.10.0.11; give_program u2 10.20.0.12'
((failed == 0)) || finish
check "frames from the wire: each to its VLAN's guest, without its tag" by_nic 4 u1 0 from_wire
check "frames to the wire: each with its VLAN's tag, by the NIC" to_wire
check "with tags of the guest's: as the bridge says, and in no VLAN but its own" by_the_guest
check "by the bridge they are the same, both ways" the_same_by_the_bridge
check "there and back four times: no ping lost or doubled" swapped
check "the bridge learns of the wire in its VLAN" learned
check "a port moves to another VLAN and back" changes_vlan
check "the VLAN becomes the NIC's untagged one" becomes_native
check "tagged one way: on the bridge, and it is said why" one_way
check "the bridge filters no more, and again" filters_no_more
check "802.1ad: on the bridge, and it is said why" service_bridge
check "a trunk of one VLAN: past the bridge, both ways, tagged" one_vlan_left
check "untagged for the guest only: what it sends takes the bridge" untagged_one_way
check "no frame was dropped" nothing_lost
check "vifd stops" dom0 stop-vifd
finish
