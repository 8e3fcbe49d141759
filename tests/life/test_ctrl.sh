#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Guests with a control ring and two queues on two workers: static grants, through which
# no frame takes a grant operation, and hashes, which the guest checks frame by frame. The
# datapath is killed under traffic of each.
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/life.bash"
if [ -z "${VIF_LAB_NAME:-}" ]; then
	for VIF_FRONTEND in static-grants hashing; do
		export VIF_FRONTEND
		"$lab" run --name "c$$" --guests 1 --frontend "$VIF_FRONTEND" --queues 2 --workers 2 \
			-- "$0" || failed=1
	done
	exit "$failed"
fi

stat_() { vifctl stats vif1.0 --json | jq ".vifs[0] | $1"; }
show_() { vifctl show vif1.0 --json | jq -r ".vif.control_ring | $1"; }
guest_() { "$lab" guest tell 1 stats | jq ".$1"; }
told_right() { [ "$(guest_ ctrl_errors)" = 0 ] && [ "$(stat_ .control_ring.refused)" = 0 ]; }

# Both ways at once, several flows.
traffic() { guest 1 iperf3 -c 10.77.0.1 -t "$1" -P 4 --bidir >"$work/iperf" 2>&1 || { cat "$work/iperf"; return 1; }; }

has_got() { [ "$(stat_ .to_guest.frames)" -ge "$1" ]; }

# Kills the datapath under traffic; the guest sees no new connection.
killed()
{
	local pid before frames
	before=$(guest_ connects)
	pid=$(datapath_pid)
	frames=$(stat_ .to_guest.frames)
	traffic 3 &
	await 10 has_got $((frames + 1000))
	kill -9 "$pid"
	wait $!
	[ "$(datapath_pid)" != "$pid" ]
	[ "$(guest_ connects)" = "$before" ]
}

await 10 reaches_wire 1 >/dev/null
wire iperf3 -s -B 10.77.0.1 -D -I "$work/iperf.pid" >/dev/null

# ---- static grants ----

all_mapped() { [ "$(show_ .static_grants)" = 1024 ]; }

without_grant_operations()
{
	local before after
	before=$(stat_ '.from_guest.grant_ops + .to_guest.grant_ops')
	traffic 1
	after=$(stat_ '.from_guest.grant_ops + .to_guest.grant_ops')
	[ "$before" = "$after" ] || { echo "$((after - before)) grant operations"; return 1; }
	[ "$(stat_ .from_guest.static_copies)" -gt 1000 ]
	[ "$(stat_ .to_guest.static_copies)" -gt 1000 ]
	[ "$(stat_ '[.queues[].from_guest.static_copies] | min')" -gt 0 ]
}

mapped_again() { all_mapped && without_grant_operations; }

given_back()
{
	[ "$("$lab" guest tell 1 connect)" = ok ]
	await 10 reaches_wire 1
	told_right
	all_mapped
	without_grant_operations
}

holds_nothing() { [[ "$(dom0_holds)" == "0 "* ]]; }
death_releases()
{
	"$lab" guest stop --destroy 1
	await 5 no_netdev vif1.0
	await 5 holds_nothing
}

# ---- hashes ----

hash_is_set()
{
	[ "$(show_ .hash)" = toeplitz ]
	[ "$(show_ .mapping_size)" = 128 ]
	[ "$(show_ '.hash_types | join(" ")')" = "ipv4 ipv4-tcp ipv6 ipv6-tcp" ]
	told_right
}

hashes_agree()
{
	local before
	before=$(guest_ to_guest_hash_extras)
	traffic 1
	[ "$(guest_ to_guest_hash_extras)" -gt $((before + 100)) ]
	[ "$(guest_ to_guest_wrong_hash)" = 0 ]
	[ "$(guest_ to_guest_wrong_queue)" = 0 ]
	[ "$(stat_ '[.queues[].to_guest.frames] | min')" -gt 0 ]
}

if [ "$VIF_FRONTEND" = static-grants ]; then
	ok "static grants: 512 of each queue" all_mapped
	ok "static grants: no grant operation under iperf3, both ways" without_grant_operations
	ok "static grants: the datapath dies under traffic" killed
	ok "static grants: mapped again, and no grant operation" mapped_again
	ok "static grants: given back and lent anew by a driver's reload" given_back
	ok "static grants: nothing holds a dead domain" death_releases
else
	ok "hashes: as the guest set them" hash_is_set
	ok "hashes: every frame's is the guest's own, on the queue it mapped it to" hashes_agree
	ok "hashes: the datapath dies under traffic" killed
	ok "hashes: they survive it" eval 'hash_is_set && hashes_agree'
fi
exit "$failed"
