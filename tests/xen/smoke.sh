#!/bin/bash
# SPDX-License-Identifier: MIT
#
# 'make check-xen': vifd as built serves two stock guests on real Xen, over the path an
# operator takes: xl network-attach, the stock vif-bridge, real traffic, detach.
#
#	tests/xen/smoke.sh [KERNEL [GUEST-KERNEL]]
#
# shellcheck disable=SC2317 # 'check' calls them
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/traffic.bash"

no_netback() { dom0 '! lsmod | grep ^xen_netback && ! test -e /sys/bus/xen-backend/drivers/vif'; }

attach()
{
	dom0 "xl network-attach $1 mac=$(mac_of "$1") bridge=xenbr0"
	guest "$1" "until test -e /sys/class/net/eth0; do sleep 0.1; done; $(configuration_of "$1")"
}

bridged() { shows "bridge link show dev $(netdev_of "$1")" 'master xenbr0 state forwarding'; }
listed() { shows "xl network-list $1" "^0 .* $(mac_of "$1") .* 4 "; }
shown() { shows 'vifctl list' "^$(netdev_of "$1") +Connected +Connected .* connected +bridge"; }

detach()
{
	dom0 "xl network-detach $1 0"
	gone "${domid_of[$1]}" 0
	guest "$1" '! test -e /sys/class/net/eth0'
}

begin "$@"
know_domids
check "no xen-netback in dom0" no_netback
check "vifd starts" dom0 "start-vifd --workers=2"
for g in u1 u2; do
	check "xl network-attach $g" attach "$g"
	check "$g: netdev in the bridge" bridged "$g"
	check "$g: xl network-list" listed "$g"
	check "$g: vifctl list" shown "$g"
	check "$g: ping" pings "$(address_of "$g")"
	check "$g: ping over IPv6" pings "$(address6_of "$g")"
done
check "TCP to a guest, checksummed" send_to u1 "$(address_of u1)"
check "TCP from a guest, checksummed" fetch_from u1 "$(address_of u1)"
check "TCP to a guest over IPv6" send_to u2 "$(address6_of u2)"
check "TCP from a guest over IPv6" fetch_from u2 "$(address6_of u2)"
check "guest to guest: ping" guest_pings u1 "$(address_of u2)"
check "guest to guest: ping over IPv6" guest_pings u2 "$(address6_of u1)"
check "guest to guest: TCP" between u1 u2 "$(address_of u2)"
check "guest to guest: TCP over IPv6" between u2 u1 "$(address6_of u1)"
check "no frame was dropped" nothing_lost
check "vifd restarts under the guests" dom0 'stop-vifd; start-vifd --workers=2'
check "u1: ping after the restart" pings "$(address_of u1)"
for g in u1 u2; do
	check "xl network-detach $g leaves nothing" detach "$g"
done
check "u1 attached again" attach u1
check "u1: ping once more" pings "$(address_of u1)"
check "no xen-netback was loaded" no_netback
check "vifd stops" dom0 stop-vifd
finish
