#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A host goes from the kernel's netback to vifd and back, under its guests, by the README's
# commands; and xen-netback is loaded where it must not be.
#
# shellcheck disable=SC2317 # 'check' calls them
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"
# shellcheck source=tests/xen/full/readme.bash
. "$(dirname "$0")/readme.bash"

SECTION="From the kernel's netback and back"

attach()
{
	dom0 "xl network-attach $1 mac=$(mac_of "$1") bridge=xenbr0"
	guest "$1" "until test -e /sys/class/net/eth0; do sleep 0.1; done; $(configuration_of "$1")"
}

netback_serves()
{
	dom0 'modprobe xen-netback'
	attach u1
	attach u2
	dom0 'ls -d /sys/bus/xen-backend/drivers/vif/vif-*-0'
	pings "$(address_of u1)"
}

refuses_to_start()
{
	dom0 'status=0
		vifd >/run/refused 2>&1 || status=$?
		cat /run/refused
		[ $status = 4 ] || { echo "exit status $status"; exit 1; }
		grep "rmmod xen-netback" /run/refused && grep "install xen-netback" /run/refused
		[ $(wc -l </run/refused) = 1 ]'
}

# A connection that waits in the middle of what it sends, for the switches.
open_connection()
{
	dom0 "$(server 6001 sha256sum)"
	guest u1 "head -c 100000 /dev/urandom >/run/long
		{
			head -c 50000 /run/long
			until test -e /run/go; do sleep 0.2; done
			tail -c +50001 /run/long
		} | nc 10.0.0.1 6001 >/run/answer 2>/dev/null &
		until netstat -tn | grep ':6001 *ESTABLISHED'; do sleep 0.1; done"
}

connection_lived()
{
	local sums
	mapfile -t sums < <(guest u1 'touch /run/go
		for i in $(seq 200); do [ ! -s /run/answer ] || break; sleep 0.2; done
		cat /run/answer
		sha256sum </run/long')
	same_sum "${sums[@]}"
}

# Netfront numbers a card anew when it is plugged in again.
card() { guest "$1" 'cat /sys/class/net/eth0/ifindex'; }
not_replugged() { [ "$(card u1) $(card u2)" = "$cards" ]; }

to_vifd()
{
	dom0 -t 180 "$(readme "$SECTION" unbind)"
	dom0 -t 180 "$(readme "$SECTION" vif-bridge)"
	dom0 '! test -e /sys/bus/xen-backend/drivers/vif && vifctl list'
	served u1
	served u2
	not_replugged
}

served()
{
	shows 'vifctl list' "^$(netdev_of "$1") +Connected +Connected +1 +connected +bridge +-"
	shows "bridge link show dev $(netdev_of "$1")" 'master xenbr0 state forwarding'
}

to_netback()
{
	dom0 -t 180 "$(readme "$SECTION" disable)"
	dom0 -t 180 "$(readme "$SECTION" vif-bridge)"
	for g in u1 u2; do
		dom0 "test -e /sys/bus/xen-backend/drivers/vif/vif-${domid_of[$g]}-0"
		shows "xenstore-read backend/vif/${domid_of[$g]}/0/state" '^4$'
		shows "bridge link show dev $(netdev_of "$g")" 'master xenbr0 state forwarding'
	done
	not_replugged
}

traffic()
{
	pings "$(address_of u1)"
	guest_pings u2 "$(address6_of u1)"
	send_to u1 "$(address_of u1)"
	fetch_from u2 "$(address6_of u2)"
}

# By name as well as by what udev asks for when a vif appears.
kept_away()
{
	dom0 '! modprobe xen-netback && ! modprobe xen-backend:vif && ! lsmod | grep ^xen_netback'
	served u1
	pings "$(address_of u1)"
}

forced()
{
	dom0 'modprobe --ignore-install xen-netback
		for i in $(seq 100); do
			[ $(vifctl list | grep -c "Closed .*xen-netback was loaded") != 2 ] || break
			sleep 0.1
		done
		vifctl list
		[ $(vifctl list | grep -c "Closed .*xen-netback was loaded") = 2 ]
		grep "given up: the kernel.s xen-netback was loaded" /var/log/vifd.log'
}

# Two backends must not fight over one vif.
left_to_the_kernel()
{
	dom0 "xl network-attach u1 bridge=xenbr0
		test -e /sys/bus/xen-backend/drivers/vif/vif-${domid_of[u1]}-1
		grep 'new vifs are left to it' /var/log/vifd.log
		! vifctl list | grep ^$(netdev_of u1 1)
		xl network-detach u1 1"
}

recovers()
{
	dom0 'rmmod xen-netback
		xl network-detach u1 0
		xl network-detach u2 0'
	gone "${domid_of[u1]}" 0
	gone "${domid_of[u2]}" 0
	attach u1
	attach u2
	served u1
	served u2
}

begin
know_domids
check "the kernel's netback serves two guests" netback_serves
check "vifd refuses to start: exit status 4, and what to do" refuses_to_start
check "a TCP connection is open" open_connection
cards="$(card u1) $(card u2)"
check "the README's commands: vifd serves the same vifs" to_vifd
((failed == 0)) || finish # the rest stands on it
check "traffic, checksummed" traffic
check "modprobe cannot load xen-netback" kept_away
check "the README's commands: the kernel's netback again" to_netback
check "traffic through it" traffic
check "the README's commands once more: vifd" to_vifd
check "the TCP connection has lived through it all" connection_lived
check "traffic after that" traffic
check "xen-netback forced in: the vifs' errors say so" forced
check "a new vif is left to it" left_to_the_kernel
check "rmmod, detach and attach: vifd serves again" recovers
check "traffic in the end" traffic
check "no frame was dropped since" nothing_lost
check "vifd stops" dom0 stop-vifd
finish
