#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The bridge beside a NIC: frames that come by a place pass it by, and it must not forget who
# sent them, or what a guest answers is flooded to every other guest.
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "b$$" --guests 2 --model mq --workers 1 -- "$0"

placed() { [ "$(vifctl list --json | jq -r '[.vifs[] | select(.model == "mq")] | length')" = 2 ]; }
to_guest() { vifctl stats "vif$1.0" --json | jq ".vifs[0]$2"; }
wire_mac() { wire cat /sys/class/net/eth0/address; }
knows_wire() { bridge fdb show dev "${n}w0" | grep "^$(wire_mac) " | grep -v permanent; }
ageing() { ip link set "${n}br0" type bridge ageing_time "$1"; }

# Frames of guest 1 to the wire, and their answers, for far longer than the bridge remembers.
not_flooded()
{
	local before after
	guest 1 ping -q -c 3 -i 0.02 -w 5 10.77.0.1
	ageing 300 # in 1/100 s
	before=$(to_guest 2 .netdev.to_guest.frames)
	guest 1 ping -q -c 100 -i 0.08 -w 20 10.77.0.1
	after=$(to_guest 2 .netdev.to_guest.frames)
	[ "$(to_guest 1 .to_guest.nic_frames)" -ge 90 ]
	echo "the other guest: $before frames, then $after"
	((after - before <= 10)) # somebody's question to all may be among them
	knows_wire
}

# Who has not sent for that long is forgotten as ever.
forgets_wire() { ! knows_wire; }
forgotten() { await 10 forgets_wire; }

# Not by the time it is due again, but by its first frame, and not for ever.
told_at_once()
{
	ageing 30000
	wire ip link set eth0 address 02:00:00:00:00:99
	refused knows_wire
	guest 1 ip neigh replace 10.77.0.1 lladdr "$(wire_mac)" dev eth0
	wire ip neigh replace 10.77.0.11 lladdr 00:16:3e:77:00:01 dev eth0 # no question to all
	wire ping -q -c 3 -i 0.02 -w 5 10.77.0.11
	await 2 knows_wire
	knows_wire | grep -v static
}

# The same when the bridge was made to forget it.
told_anew()
{
	bridge fdb del "$(wire_mac)" dev "${n}w0" master
	refused knows_wire
	wire ping -q -c 20 -i 0.02 -w 5 10.77.0.11
	await 2 knows_wire
}

model_is() { [ "$(vifctl list --json | jq -r ".vifs[] | select(.vif == \"vif$1.0\").model")" = "$2" ]; }
why_not() { vifctl show "vif$1.0" --json | jq -r .vif.placement.why_not; }
port() { bridge link set dev "$@"; }
pings() { wire ping -q -c 3 -i 0.02 -w 5 "10.77.0.1$1"; }
no_pings() { refused wire ping -q -c 1 -w 1 "10.77.0.1$1"; }

# What the bridge would not pass on between two ports does not pass by a place.
isolated()
{
	wire ip neigh replace 10.77.0.11 lladdr 00:16:3e:77:00:01 dev eth0
	port vif1.0 isolated on
	model_is 1 mq
	pings 1
	port "${n}w0" isolated on
	await 10 model_is 1 bridge
	why_not 1 | grep 'both isolated'
	no_pings 1
	model_is 2 mq
	pings 2
	port vif1.0 isolated off
	await 10 model_is 1 mq
	pings 1
	port "${n}w0" isolated off
}

locked_port()
{
	port "${n}w0" locked on
	await 10 model_is 1 bridge
	await 10 model_is 2 bridge
	why_not 1 | grep 'locked'
	port "${n}w0" locked off
	await 10 placed
	pings 1
}

# A guest whose port learns nothing and gets nothing unknown: with a static entry it is served.
static_entry()
{
	guest 1 ip link set eth0 arp off # it is silent, and so it stays
	port vif1.0 learning off
	port vif1.0 flood off
	bridge fdb del 00:16:3e:77:00:01 dev vif1.0 master || true
	await 10 model_is 1 bridge
	why_not 1 | grep 'its bridge does not know its address there'
	no_pings 1
	bridge fdb add 00:16:3e:77:00:01 dev vif1.0 master static
	await 10 model_is 1 mq
	guest 1 ip link set eth0 arp on
	pings 1
	vif-lab vifd restart
	await 20 placed
	bridge fdb del 00:16:3e:77:00:01 dev vif1.0 master
	await 10 model_is 1 bridge
	port vif1.0 learning on
	port vif1.0 flood on
	await 10 placed
	pings 1
}

await 20 placed || true
ok "what a guest sends to the wire is not flooded once the bridge's memory is over" not_flooded
ok "a station that is silent is forgotten" forgotten
ok "a station that speaks by the place is known at once" told_at_once
ok "a station the bridge was made to forget is known again by its next frame" told_anew
ok "isolated ports: nothing passes between them by a place" isolated
ok "a locked port of the NIC: the bridge looks who sends" locked_port
ok "a port without flooding: a place as long as the bridge knows the guest there, vifd restarted or not" static_entry
exit $failed
