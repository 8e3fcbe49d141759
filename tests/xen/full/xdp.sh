#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A stock guest attaches an XDP program to its netfront and takes it off again: headroom,
# asked for and granted while it is connected.
#
#	tests/xen/full/xdp.sh [KERNEL [GUEST-KERNEL]]
#
# shellcheck disable=SC2317,SC2016 # 'check' calls them; guests expand
set -euo pipefail
# shellcheck source=tests/xen/cases.bash
. "$(dirname "$0")/../cases.bash"
# shellcheck source=tests/xen/traffic.bash
. "$(dirname "$0")/../traffic.bash"

here=$(dirname "$0")

# Over the network, into a guest that has no other way.
bring_program()
{
	local size
	size=$(stat -c %s "$machine/xdp-pass")
	guest u1 "echo 'exec cat >/run/xdp-pass' >/run/take; $(server 5009 'sh /run/take')"
	dom0 "nc $(address_of u1) 5009 </usr/local/sbin/xdp-pass"
	guest u1 "until [ \$(wc -c </run/xdp-pass) = $size ]; do sleep 0.1; done; chmod +x /run/xdp-pass"
}

attach()
{
	dom0 "xl network-attach u1 mac=$(mac_of u1) bridge=xenbr0"
	guest u1 "until test -e /sys/class/net/eth0; do sleep 0.1; done; $(configuration_of u1)"
}

state() { dom0 "xenstore-read /local/domain/0/backend/vif/${domid_of[u1]}/0/state"; }
headroom_is() { shows "vifctl show $(netdev_of u1) --json" "\"xdp_headroom\": $1,"; }

# netfront waits for us in this; Connected again afterwards, so that it waits the next time too.
turn()
{
	guest u1 "/run/xdp-pass eth0 $1"
	headroom_is "$2"
	await_connected
}
await_connected() { dom0 "for i in \$(seq 50); do [ \$(xenstore-read /local/domain/0/backend/vif/${domid_of[u1]}/0/state) = 4 ] && exit 0; sleep 0.1; done; exit 1"; }

# Ten echo requests of 1000 bytes are ten frames of 1042, and nothing else comes: frames that
# are longer than they were sent, by a headroom for instance, show here. netfront counts
# without the Ethernet header.
exact()
{
	local before after
	dom0 "ping -c 1 -W 5 $(address_of u1)" >/dev/null
	before=$(guest u1 'cat /sys/class/net/eth0/statistics/rx_bytes /sys/class/net/eth0/statistics/rx_packets')
	dom0 "ping -q -c 10 -i 0.1 -W 5 -s 1000 $(address_of u1) >/dev/null"
	after=$(guest u1 'cat /sys/class/net/eth0/statistics/rx_bytes /sys/class/net/eth0/statistics/rx_packets')
	echo "$before" / "$after"
	awk -v a="${before//$'\n'/ }" -v b="${after//$'\n'/ }" 'BEGIN {
		split(a, x); split(b, y); bytes = y[1] - x[1]; frames = y[2] - x[2]
		print bytes, "bytes in", frames, "frames"
		# ARP and IPv6 may join in, with small ones
		exit !(frames >= 10 && bytes >= 10 * 1028 && bytes <= 10 * 1042 + (frames - 10) * 120)
	}'
}

begin "$@"
know_domids
"${CC:-cc}" -O2 -Wall -static-pie -o "$machine/xdp-pass" "$here/xdp-pass.c"
machine_load "$machine/xdp-pass"
check "vifd starts" dom0 "start-vifd --workers=2"
need "xl network-attach u1" attach
check "u1: ping" pings "$(address_of u1)"
check "frames are as long as they were sent" exact
need "a program for the guest" bring_program
check "XDP on: headroom granted" turn on 256
check "u1: ping behind it" pings "$(address_of u1)"
check "frames are as long as they were sent, behind it" exact
check "TCP from the guest" fetch_from u1 "$(address_of u1)"
check "vifd restarts" dom0 'stop-vifd; start-vifd --workers=2'
check "the headroom is known" headroom_is 256
check "u1: ping after the restart" pings "$(address_of u1)"
check "XDP off" turn off 0
check "TCP to the guest" send_to u1 "$(address_of u1)"
check "XDP on again" turn on 256
check "u1: ping behind it again" pings "$(address_of u1)"
check "XDP off again" turn off 0
check "frames are as long as they were sent, without it" exact
check "no frame was dropped" nothing_lost
finish
