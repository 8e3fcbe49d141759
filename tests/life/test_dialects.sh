#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The life of test_life.sh in short, with every frontend there is: each in a lab of
# its own, which this script starts itself in; two queues for those that can.
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/life.bash"
if [ -z "${VIF_LAB_NAME:-}" ]; then
	n=0
	for VIF_FRONTEND in $(frontends); do
		export VIF_FRONTEND
		# they wait more than they work: some at a time
		((n++ < 3)) || wait -n || true
		{
			"$lab" run --name "d$n-$$" --guests 2 --workers 2 --queues 2 \
				--frontend "$VIF_FRONTEND" -- "$0" || echo "not ok - $VIF_FRONTEND: its lab"
		} >"$work/$VIF_FRONTEND.out" 2>&1 &
	done
	wait
	cat "$work"/*.out
	if grep -q '^not ok' "$work"/*.out; then
		exit 1
	fi
	exit 0
fi

ok_() { ok "$VIF_FRONTEND: $1" "${@:2}"; }

healthy()
{
	local key
	"$lab" guest tell "$1" stats >"$work/stats"
	for key in to_guest_errors to_guest_unasked from_guest_drops from_guest_error_responses \
		ctrl_errors disabled; do
		[ "$(jq ".$key" "$work/stats")" = 0 ] || { echo "$key"; cat "$work/stats"; return 1; }
	done
}
both_talk() { connected 1 && connected 2 && reaches_wire 1 && reaches_wire 2 && healthy 1; }

reattaches()
{
	"$lab" detach --domid 1
	await 5 no_netdev vif1.0
	await 5 no_key "$(backend)"
	reaches_wire 2
	"$lab" attach --domid 1
	await 10 reaches_wire 1
	for _ in {1..5}; do
		"$lab" detach --domid 1 # at once: the guest may still be connecting
		"$lab" attach --domid 1
	done
	await 10 reaches_wire 1
	healthy 1
}

reloads()
{
	local ifindex
	ifindex=$(cat /sys/class/net/vif1.0/ifindex)
	for _ in {1..5}; do
		[ "$("$lab" guest tell 1 connect)" = ok ]
		reaches_wire 1
	done
	[ "$(cat /sys/class/net/vif1.0/ifindex)" = "$ifindex" ]
	healthy 1
}

survives_the_datapath()
{
	local pid before
	before=$("$lab" guest tell 1 stats | jq .connects)
	pid=$(datapath_pid)
	kill -9 "$pid"
	await 10 eval "[ -n \"\$(datapath_pid)\" ] && [ \"\$(datapath_pid)\" != $pid ]"
	await 10 reaches_wire 1
	await 10 reaches_wire 2
	[ "$("$lab" guest tell 1 stats | jq .connects)" = "$before" ]
	healthy 1
}

lives_again()
{
	"$lab" guest stop --destroy 2
	await 5 no_netdev vif2.0
	"$lab" guest start 2
	await 10 reaches_wire 2
	healthy 2
}

leaves_nothing()
{
	"$lab" guest stop 1
	"$lab" guest stop --destroy 2
	await 5 eval '[ "$(dom0_holds | cut -d" " -f1)" = 0 ]'
	await 5 eval '[ -z "$(vifctl list | tail -n +2)" ]'
	await 5 eval '! ip -o link | grep >/dev/null " vif"'
}

ok_ "connects and talks" both_talk
ok_ "detach, attach, again and again" reattaches
ok_ "five driver reloads on the same netdev" reloads
ok_ "kill -9 of the datapath: it goes on" survives_the_datapath
ok_ "destroy, and the same domid again" lives_again
ok_ "nothing is held in the end" leaves_nothing
exit "$failed"
