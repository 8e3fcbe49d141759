#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What a guest has lent for long (static grants) when vifd itself ends: kept for the next
# one where it could, and never in the guest's way.
# shellcheck disable=SC2317,SC2086,SC2154 # as lib.sh
set -euo pipefail
# shellcheck source=tests/control/lib.sh
. "$(dirname "$0")/lib.sh"

lent() { [[ $(ctl show vif7.0 --json | jq .vif.control_ring.static_grants) == "$1" ]]; }
grant_ops() { ctl stats vif7.0 --json | jq '.vifs[0] | .from_guest.grant_ops + .to_guest.grant_ops'; }
pings_without_grant_operations()
{
	local before
	before=$(grant_ops)
	[[ -n $before ]]
	pings 5
	[[ $(grant_ops) == "$before" ]]
}

n_connected() { grep -c 'vif=7.0: connected' $tmp/vifd.log; }
connects_anew()
{
	local n
	n=$(n_connected)
	kill -HUP "$guest_pid_7"
	until_ 10 eval "[[ \$(n_connected) -gt $n ]]"
	until_ 10 lent 512
	until_ 10 pings 1
}

connected()
{
	start_xen
	start_vifd
	start_guest 7 --frontend static-grants
	attach 7
	until_ 10 state_is 7 2
	ip addr add 10.99.0.1/24 dev vif7.0
	ip link set vif7.0 up
	hotplug_done 7
	until_ 10 state_is 7 4
	until_ 10 lent 512
	until_ 10 pings 1
	pings_without_grant_operations
}
here "a guest lends 512 pages" connected

restarted()
{
	stop_vifd
	xenstore-exists "$(be 7)/vifd-grants/0"
	start_vifd
	until_ 10 lent 512
	until_ 1 eval '! xenstore-exists "$(be 7)/vifd-grants"'
	until_ 10 pings 1
	until_ 10 pings_without_grant_operations
	state_is 7 4
}
here "stop and start: the next vifd maps them again" restarted

given_back()
{
	connects_anew
	ctl stats vif7.0 --json | grep '"refused": 0'
}
here "they can be given back to it" given_back

killed()
{
	kill -9 "$vifd_pid"
	wait "$vifd_pid" || true
	start_vifd
	until_ 10 pings 5
	lent 0
	state_is 7 4
	connects_anew
	pings_without_grant_operations
}
here "kill -9 of control: copied like others until it connects anew" killed
stop_vifd
exit $failed
