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

TRANSFER=$((1 << 20)) # bytes

no_netback() { dom0 '! lsmod | grep ^xen_netback && ! test -e /sys/bus/xen-backend/drivers/vif'; }

attach()
{
	dom0 "xl network-attach $1 mac=$(mac_of "$1") bridge=xenbr0"
	guest "$1" "until test -e /sys/class/net/eth0; do sleep 0.1; done; $(configuration_of "$1")"
}

# Greps run in dom0, on what they judge: a failure then shows all of it.
bridged() { shows "bridge link show dev $(netdev_of "$1")" 'master xenbr0 state forwarding'; }
listed() { shows "xl network-list $1" "^0 .* $(mac_of "$1") .* 4 "; }
shown() { shows 'vifctl list' "^$(netdev_of "$1") +Connected +Connected .* connected +bridge"; }
pings() { shows "ping -c 3 -i 0.2 -W 5 $1" ' 0% packet loss'; }
guest_pings() { shows "guest-run $1 'ping -c 3 -i 0.2 -W 5 $2'" ' 0% packet loss'; }
shows() { dom0 "$1 >/run/shown 2>&1; cat /run/shown; grep -qE '$2' /run/shown"; }

# server PORT COMMAND: a guest's commands that start one and return when it listens. It
# serves one connection, which the command has as its input and output.
server() { echo "nc -l -p $1 -e $2 >/dev/null 2>&1 & until netstat -ltn | grep -q :$1; do sleep 0.1; done"; }
random_data() { echo "head -c $TRANSFER /dev/urandom >/run/data; sha256sum </run/data"; }
same_sum() { echo "$1 / $2" && [ "${1%% *}" = "${2%% *}" ] && [[ $1 =~ ^[0-9a-f]{64} ]]; }

# What one side sends, the other has the sum of: dom0 to guest, guest to dom0, and
# between guests.
send_to()
{
	local sums
	guest "$1" "$(server 5001 sha256sum)"
	mapfile -t sums < <(dom0 "$(random_data); nc $2 5001 </run/data")
	same_sum "${sums[@]}"
}

fetch_from()
{
	local sum
	sum=$(guest "$1" "$(random_data); $(server 5002 'cat /run/data')")
	same_sum "$sum" "$(dom0 "nc $2 5002 </dev/null | sha256sum")"
}

between()
{
	local sums
	guest "$2" "$(server 5003 sha256sum)"
	mapfile -t sums < <(guest "$1" "$(random_data); nc $3 5003 </run/data")
	same_sum "${sums[@]}"
}

nothing_lost()
{
	dom0 'vifctl stats | tee /run/stats
		! grep -E "dropped:|netdev:" /run/stats | grep -vE "dropped: none|dropped 0 +errors 0"'
}

# libxl returns before all of it is gone.
detach()
{
	local domid=${domid_of[$1]}
	dom0 "xl network-detach $1 0
		for i in \$(seq 50); do
			test -e /sys/class/net/vif$domid.0 || xenstore-exists backend/vif/$domid/0 || break
			sleep 0.2
		done
		xl network-list $1
		ls /sys/class/net
		xenstore-ls -f | grep vif/$domid
		! test -e /sys/class/net/vif$domid.0 && ! xl network-list $1 | grep ^[0-9] &&
			! xenstore-exists backend/vif/$domid/0 && ! xenstore-exists /libxl/$domid/device/vif/0 &&
			! xenstore-exists /local/domain/$domid/device/vif/0"
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
