#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A NIC with guests on it that somebody else changes, by ethtool(8) and ip(8): vifd looks after
# what it put there every 10 s, says what it found, and puts it right. Guests have the bridge
# meanwhile. Two guests, two filters of the lab's NIC (tests/lab/nic_switch.h).
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "h$$" --guests 2 --model mq --nic afxdp --steering device \
	--filters 2 --workers 1 -- "$0"

uplink=${n}w0
driver() { LD_PRELOAD=$build/lab-nic.so ethtool "$@"; } # of the NIC
told() { nic error | grep "$1"; }
n_rules() { driver -n "$uplink" | grep -c '^Filter'; }
location_of() { driver -n "$uplink" | awk -v m="00:16:3E:77:00:0$1" '/^Filter/ { l = $2 } $3 == m || $4 == m { print l }'; }
spread() { driver -x "$uplink" | awk '/^ *[0-9]+:/ { for (i = 2; i <= NF; i++) print $i }' | sort -nu | xargs; }
program() { ip -d link show "$uplink" | awk '$1 == "prog/xdp" { for (i = 1; i < NF; i++) if ($i == "name") print $(i + 1) }'; }

# Guest $1 has its frames by its place.
by_its_place()
{
	local before
	before=$(by_nic "$1")
	pings "$1"
	[ "$(by_nic "$1")" -ge $((before + 3)) ]
}
by_their_places() { by_its_place 1 && by_its_place 2; }

# Both have the bridge, at once.
by_the_bridge()
{
	local before
	before=$(by_nic 1)
	pings 1
	pings 2
	[ "$(by_nic 1)" = "$before" ]
}

rule_deleted()
{
	local moves
	by_their_places
	moves=$(placement 2 moves)
	driver -N "$uplink" delete "$(location_of 1)"
	by_the_bridge
	await 15 model_is 1 bridge
	placement 1 failure | grep 'its filter was taken away: No such file or directory'
	pings 1
	model_is 2 mq
	await 15 model_is 1 mq
	by_their_places
	[ "$(n_rules)" = 2 ]
	[ "$(placement 2 moves)" = "$moves" ]
}

spread_anew()
{
	driver -X "$uplink" default
	[ "$(spread)" = "0 1 2 3 4 5 6" ]
	await 15 told 'others. frames are spread over guests. queues again'
	pings 1
	await 5 n_placed_is 2
	[ "$(spread)" = "0 1 2 3 4" ]
	by_their_places
}

# Without -force: in this the kernel has no say of whose it is.
xdp_off()
{
	ip link set dev "$uplink" xdp off
	[ -z "$(program)" ]
	by_the_bridge
	await 15 told 'its XDP program was taken off'
	await 5 n_placed_is 2
	[ "$(program)" = vifd_nic ]
	by_their_places
}

# Another's program stays, whatever of vifd's is taken back.
xdp_replaced()
{
	ip -force link set dev "$uplink" xdp obj "$build/other-xdp.bpf.o" sec xdp
	[ "$(program)" = somebodys ]
	by_the_bridge
	await 15 told "another XDP program is on it: somebodys"
	[ "$(program)" = somebodys ]
	[ "$(n_rules)" = 0 ]
	[ "$(spread)" = "0 1 2 3 4 5 6" ]
	pings 1
	ip link set dev "$uplink" xdp off
	await 15 n_placed_is 2
	by_their_places
}

await 20 n_placed_is 2 || true
ok "a guest's rule is deleted: the bridge, its end is told, and a place again" rule_deleted
ok "the spreading is set back: it is taken anew" spread_anew
ok "the XDP program is taken off: it is put there again" xdp_off
ok "another XDP program takes its place: that stays, with the reason, until it is gone" xdp_replaced
exit $failed
