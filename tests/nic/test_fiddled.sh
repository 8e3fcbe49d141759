#!/bin/bash
# SPDX-License-Identifier: MIT
#
# An operator's hand at the uplink of guests that have places there, beside traffic with sequence
# numbers: what is no business of vifd's costs no frame; what cuts the guests off is told, and they
# have their places again when it is undone. Two guests, two filters.
#
#	STEERING=device tests/nic/test_fiddled.sh	the uplink's own filters pick the queue
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "i$$" --guests 2 --model mq --nic afxdp \
	--steering "${STEERING:-program}" --filters 2 --workers 1 -- "$0"

uplink=${n}w0
bridge=${n}br0
# Of the NIC, which says little; what is said of vifs may be too much for the log.
is_told() { grep "$1" "$VIF_LAB_DIR/vifd.log"; }
moves() { placement "$1" moves; }

# Frames to and from guest 1 meanwhile, 500 a second each way: none lost, doubled or reordered.
beside()
{
	local pids=() pid failed=0 before
	before=$(by_nic 1)
	"$build/flows" udp "$n-wire" "$n-g1" 10.77.0.11 7001 4 500 60 >"$work/flow.in" &
	pids+=($!)
	"$build/flows" udp "$n-g1" "$n-wire" 10.77.0.1 7003 4 500 60 >"$work/flow.out" &
	pids+=($!)
	await 10 has_come $((before + 100))
	"$@"
	await 10 has_come $(($(by_nic 1) + 100))
	kill "${pids[@]}"
	for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
	cat "$work/flow.in" "$work/flow.out"
	[ "$failed" = 0 ] || tell_losses
}
has_come() { [ "$(by_nic 1)" -ge "$1" ]; }

# No guest moves for it.
harmless()
{
	local before
	before=$(moves 1)
	beside "$@"
	[ "$(moves 1)" = "$before" ]
	n_placed_is 2
}
there_and_back()
{
	ip link set "$1" "${@:2:2}"
	await 10 has_come $(($(by_nic 1) + 100))
	ip link set "$1" "${@:4:2}"
}
another_mac() { there_and_back "$uplink" address 02:76:69:66:00:99 address "$(cat "/sys/class/net/$uplink/address")"; }

# Guests that were cut off have their places again.
served_again()
{
	local g before
	await 15 n_placed_is 2
	for g in 1 2; do
		before=$(by_nic "$g")
		await 10 pings "$g"
		[ "$(by_nic "$g")" -ge $((before + 3)) ]
	done
}
lost_because() { [ "$(vifctl show "vif$1.0" --json | jq -r .vif.carrier.lost_because)" = "$2" ]; }
neighbours() { guest 1 ping -q -c 3 -i 0.02 -w 5 10.77.0.12; }

set_down()
{
	ip link set "$uplink" down
	await 10 model_is 1 bridge
	await 10 is_told "$uplink: its link is down"
	await 10 neighbours
	ip link set "$uplink" up
	served_again
}

out_of_its_bridge()
{
	ip link set "$uplink" nomaster
	await 10 model_is 1 bridge
	await 10 is_told "$uplink: it is in no bridge"
	neighbours
	ip link set "$uplink" master "$bridge"
	served_again
}

into_another_bridge()
{
	ip link add "${n}br9" type bridge
	ip link set "${n}br9" up
	ip link set "$uplink" master "${n}br9"
	await 10 model_is 1 bridge
	await 10 model_is 2 bridge
	[ "$(placement 1 why_not)" = "no open NIC of vifd.conf is in its bridge: see vifctl nic" ]
	nic_is bridge "${n}br9"
	neighbours
	ip link set "$uplink" master "$bridge"
	served_again
	ip link del "${n}br9"
}

# And the guests' ports with it.
bridge_deleted()
{
	ip link del "$bridge"
	await 10 model_is 1 bridge
	await 10 lost_because 1 "it was taken out of its bridge"
	ip link add "$bridge" type bridge
	ip link set "$bridge" up
	for port in "$uplink" vif1.0 vif2.0; do ip link set "$port" master "$bridge"; done
	served_again
}

await 20 n_placed_is 2 || true
ok "its MTU is changed, and back" harmless there_and_back "$uplink" mtu 2000 mtu 1500
ok "it gets another address, and its own" harmless another_mac
ok "it is promiscuous for a while" harmless there_and_back "$uplink" promisc on promisc off
ok "it is set down, and up" set_down
ok "it is taken out of its bridge, and put back" out_of_its_bridge
ok "it is put into another bridge, and back" into_another_bridge
ok "its bridge is deleted, and made anew" bridge_deleted
exit "$failed"
