# SPDX-License-Identifier: MIT
#
# For tests of guests' places on NICs: sourced by scripts that run inside a lab's dom0, as
# tests/lab/helpers.bash has it. Guests are 1, 2, ...; vifctl is asked.
# shellcheck shell=bash

# shellcheck source=tests/lab/helpers.bash
. "$(dirname "${BASH_SOURCE[0]}")/../lab/helpers.bash"
n=${VIF_LAB_NAME:-}

# Where guest $1 is: mq, bridge, or a step between.
model() { vifctl list --json | jq -r ".vifs[] | select(.vif == \"vif$1.0\").model"; }
model_is() { [ "$(model "$1")" = "$2" ]; }
# Has guest $1 go to $2, and waits until it is there.
set_model() { vifctl model "vif$1.0" "$2" && await 10 model_is "$1" "$2"; }
# What 'vifctl show' says of its place, and 'vifctl nic' of the NIC: a member.
placement() { vifctl show "vif$1.0" --json | jq -r ".vif.placement.$2"; }
nic() { vifctl nic --json | jq -r ".nics[0].$1"; }
nic_is() { [ "$(nic "$1")" = "$2" ]; }
# So many have their place: with its filter, which those that 'vifctl nic' has on the way may lack.
n_placed_is() { [ "$(vifctl list --json | jq '[.vifs[] | select(.model == "mq")] | length')" = "$1" ]; }
# Frames of guest $1 that came by its place.
by_nic() { vifctl stats "vif$1.0" --json | jq '.vifs[0].to_guest.nic_frames'; }
# All answered, within the time: with -W instead ping would wait for two round trips only.
pings() { wire ping -q -c 3 -i 0.02 -w 5 "10.77.0.1$1"; }
# vifd's XDP program is on the wire.
has_program() { ip -d link show "${n}w0" | grep -q vifd_nic; }
no_program() { ! has_program; }

# Where frames may have been lost, for whoever looks at a failure. Fails.
tell_losses()
{
	local netns
	vifctl stats | grep -E '^vif|NIC|dropped|netdev'
	vifctl nic
	ip -s -s link show "${n}w0" | sed -n '3,8p'
	[ "${uplink:-${n}w0}" = "${n}w0" ] || ip -s -s link show "$uplink" | sed -n '3,8p'
	wire ip -s -s link show eth0 | sed -n '3,8p'
	for netns in wire g1 g2; do
		echo "$netns:"
		ip netns exec "$n-$netns" cat /proc/net/snmp | grep -E '^(Ip|Udp):'
	done
	cat /proc/net/softnet_stat
	return 1
}
