#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A vif's whole life with real xenstored, the real vif-bridge and a conforming
# frontend: connect, detach, attach again, a driver reload, destroy, crashes, and
# what a guest or an operator can get wrong. The other guest must never notice.
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/life.bash"
in_lab 2 "$0"

offers_features()
{
	local k
	for k in feature-sg feature-gso-tcpv4 feature-gso-tcpv6 feature-ipv6-csum-offload \
		feature-rx-copy feature-split-event-channels feature-ctrl-ring; do
		[ "$(key "$(backend)/$k")" = 1 ]
	done
	[ "$(key "$(backend)/feature-rx-flip")" = 0 ]
	[ "$(key "$(backend)/multi-queue-max-queues")" -ge 1 ]
}
ok "both vifs connect" eval 'connected 1 && connected 2 && reaches_wire 1 && reaches_wire 2'
ok "the backend's keys are there" offers_features
ok "the netdev is in the bridge" test -e "/sys/class/net/${VIF_LAB_NAME}br0/brif/vif1.0"

detach()
{
	"$lab" detach --domid 1
	await 5 no_netdev vif1.0
	await 5 no_key "$(backend)"
	refused vifctl show vif1.0
	reaches_wire 2
}
ok "detach takes netdev, keys and vif" detach

attach()
{
	"$lab" attach --domid 1
	await 10 connected 1
	await 10 reaches_wire 1
}
ok "attach brings them back" attach

cycles()
{
	local i
	for ((i = 0; i < 20; i++)); do
		"$lab" detach --domid 1 # at once: the guest may still be connecting
		"$lab" attach --domid 1
	done
	await 10 reaches_wire 1
}
ok "20 times detach and attach without a pause" cycles

reload()
{
	local ifindex before
	ifindex=$(cat /sys/class/net/vif1.0/ifindex)
	before=$(connects 1)
	pkill -HUP -f "^$build/vif-guest --domid 1 "
	await 10 eval "[ \"\$(connects 1)\" -gt $before ]"
	await 10 connected 1
	await 10 reaches_wire 1
	[ "$(cat /sys/class/net/vif1.0/ifindex)" = "$ifindex" ]
}
ok "a driver reload reconnects on the same netdev" reload

vanishes()
{
	"$lab" attach --domid 1 --devid 7
	await 5 state_is "$(backend 1 7)" 2
	xenstore-rm "$(frontend 1 7)"
	await 5 eval '! vifctl show vif1.7 | grep >/dev/null Connected'
	"$lab" detach --domid 1 --devid 7 --destroy
	await 5 no_netdev vif1.7
	reaches_wire 1
	reaches_wire 2
}
ok "a frontend that vanishes mid-handshake" vanishes

# Plays a guest that writes keys and says Connected: as_guest DEVID KEY=VALUE...
as_guest()
{
	local devid=$1 pair
	shift
	for pair; do
		xenstore-write -- "$(frontend 1 "$devid")/${pair%%=*}" "${pair#*=}"
	done
	xenstore-write "$(frontend 1 "$devid")/state" 4
}

error_node() { key "/local/domain/0/error/backend/vif/1/$1/error"; }

# A vif whose guest writes the given keys ends Closed with an error; nobody else notices.
nonsense()
{
	local text=$1
	shift
	"$lab" detach --domid 1 --devid 5 --destroy 2>/dev/null || true # of a case that failed
	"$lab" attach --domid 1 --devid 5
	await 5 state_is "$(backend 1 5)" 2
	as_guest 5 "$@"
	await 5 state_is "$(backend 1 5)" 6
	error_node 5 | grep -E "$text"
	vifctl show vif1.5 | grep -E "error +.*$text"
	connected 1
	connected 2
	reaches_wire 2
	"$lab" detach --domid 1 --devid 5 --destroy
	await 5 no_netdev vif1.5
}
good=(request-rx-copy=1 tx-ring-ref=9 rx-ring-ref=10 event-channel=3)
ok "no ring references" nonsense tx-ring-ref request-rx-copy=1
ok "a ring reference that is no number" nonsense tx-ring-ref "${good[@]}" tx-ring-ref=12x
ok "a ring reference never granted" nonsense tx-ring-ref "${good[@]}" tx-ring-ref=99999
ok "no event channel" nonsense event-channel request-rx-copy=1 tx-ring-ref=9 rx-ring-ref=10
ok "no request-rx-copy" nonsense request-rx-copy tx-ring-ref=9 rx-ring-ref=10 event-channel=3
ok "zero queues" nonsense "requested 0 queues" "${good[@]}" multi-queue-num-queues=0
ok "too many queues" nonsense "4096|multi-queue" "${good[@]}" multi-queue-num-queues=4096
ok "a negative reference" nonsense rx-ring-ref "${good[@]}" rx-ring-ref=-1

bad_backend()
{
	local text=$1
	shift
	# libxl would wait 10 s for state 2; the answer is there at once.
	"$lab" attach --domid 1 --devid 4 "$@" &
	await 5 state_is "$(backend 1 4)" 6
	kill $! && wait $! || true
	error_node 4 | grep -E "$text"
	vifctl list | grep -E "^vif1.4 .*$text"
	reaches_wire 1
	"$lab" detach --domid 1 --devid 4 --destroy
	await 5 no_key "$(backend 1 4)"
}
ok "no mac" bad_backend mac --key mac
ok "a mac that is none" bad_backend mac --key mac=00:16:3e
ok "a multicast mac" bad_backend mac --key mac=01:16:3e:00:00:01
ok "a handle that is no number" bad_backend handle --key handle=x
ok "the same vif twice" bad_backend "vif/1/0" --key handle=0

script_fails()
{
	printf '#!/bin/sh\nxenstore-write "$XENBUS_PATH/hotplug-error" "no such bridge" "$XENBUS_PATH/hotplug-status" error\nexit 1\n' >"$work/fails"
	chmod +x "$work/fails"
	refused "$lab" attach --domid 1 --devid 3 --script "$work/fails"
	reaches_wire 1
	"$lab" detach --domid 1 --devid 3 --destroy || true
	await 5 no_netdev vif1.3
}
ok "a hotplug script that fails" script_fails

# The guest's rings wait with what it sends meanwhile: its netdev is not up yet.
script_is_slow()
{
	local attached
	printf '#!/bin/sh\nwhile [ -e %s ]; do sleep 0.05; done\nexec /etc/xen/scripts/vif-bridge "$@"\n' \
		"$work/hold" >"$work/slow"
	chmod +x "$work/slow"
	"$lab" detach --domid 1
	touch "$work/hold"
	"$lab" attach --domid 1 --script "$work/slow" &
	attached=$!
	await 10 eval 'vifctl list | grep -E "^vif1.0 +InitWait +Connected"'
	vifctl list | grep -E "^vif1.0 +InitWait +Connected +0 +waiting"
	rm "$work/hold"
	wait "$attached"
	await 10 eval 'vifctl list | grep -E "^vif1.0 +Connected +Connected +1 +connected"'
	await 10 reaches_wire 1
}
ok "no queue is served before a slow hotplug script is done" script_is_slow

destroy()
{
	"$lab" guest stop --destroy 2
	await 5 no_netdev vif2.0
	await 5 eval '! vifctl show vif2.0'
	reaches_wire 1
}
ok "destroy" destroy

again()
{
	"$lab" guest start 2
	await 10 connected 2
	await 10 reaches_wire 2
}
ok "the same domid again" again

datapath_dies()
{
	local pid before
	pid=$(datapath_pid)
	before=$(key "$(frontend 1)/state")
	kill -9 "$pid"
	await 10 eval "[ -n \"\$(datapath_pid)\" ] && [ \"\$(datapath_pid)\" != $pid ]"
	await 10 reaches_wire 1
	await 10 reaches_wire 2
	[ "$(key "$(frontend 1)/state")" = "$before" ]
	connected 1
}
ok "kill -9 of the datapath: guests go on" datapath_dies

nothing_held()
{
	"$lab" guest stop 1
	"$lab" guest stop --destroy 2
	await 5 eval '[ "$(dom0_holds | cut -d" " -f1)" = 0 ]'
	await 5 eval '[ -z "$(vifctl list | tail -n +2)" ]'
	await 5 eval '! ip -o link | grep >/dev/null " vif"'
}
ok "nothing is held in the end" nothing_held
exit $failed
