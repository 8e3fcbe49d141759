#!/bin/bash
# SPDX-License-Identifier: MIT
#
# 64 guests at once: every one reachable, and while no frame is on the bridge the
# datapath makes no system call at all for 10 seconds.
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/life.bash"
in_lab 64 "$0"

all_reachable()
{
	local i missing=
	for i in {1..64}; do
		wire ping -q -c 1 -W 2 "10.77.0.$((10 + i))" >/dev/null || missing+=" $i"
	done
	[ -z "$missing" ] || { echo "not reachable:$missing"; return 1; }
}
ok "64 guests are all reachable" all_reachable

# Frames vifd moved, both ways.
frames()
{
	vifctl stats --json |
		jq '[.. | objects | select(has("from_guest")) | .from_guest.frames?, .to_guest.frames? | numbers] | add'
}

# Neighbours that were just used get probed again; forgotten ones do not.
still()
{
	local ns before after
	for ns in $(ip netns list | awk '{ print $1 }'); do
		ip -n "$ns" neigh flush all
	done
	before=$(frames)
	sleep 2
	after=$(frames)
	[ "$before" = "$after" ]
}

idle()
{
	local before after
	await 60 still
	before=$(frames)
	timeout 10 strace -f -qq -o "$work/calls" -p "$(datapath_pid)" || [ $? = 124 ]
	after=$(frames)
	[ "$before" = "$after" ] || { echo "the bridge was not quiet: $before, then $after frames"; return 1; }
	grep -vE 'unfinished|detached' "$work/calls" >"$work/whole" || true
	if [ -s "$work/whole" ]; then
		head "$work/whole"
		return 1
	fi
}
if [ "${VIF_SAN:-}" = thread ]; then
	echo "skip - the thread sanitizer makes system calls of its own"
elif command -v strace >/dev/null; then
	ok "64 idle guests: the datapath makes no system call in 10 s" idle
else
	echo "skip - no strace"
fi
exit $failed
