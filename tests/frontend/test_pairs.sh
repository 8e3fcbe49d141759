#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Guests of different frontends talk to each other: each with the next in the list, or,
# with PAIRS=all, with every other and itself. What one sends offloaded the other may
# not take so: the bytes arrive, and no frame uses what a guest did not ask for.
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/../life/life.bash"
if [ -z "${VIF_LAB_NAME:-}" ]; then
	become_lab --name "p$$" --guests 2 --workers 2 --queues 2 -- "$0"
fi

mapfile -t frontend < <(frontends)
head -c 1M /dev/urandom >"$work/sent"
for i in 1 2; do
	guest "$i" busybox httpd -p 8000 -h "$work"
done

be() { [ "$("$lab" guest tell "$1" connect frontend="$2")" = ok ]; }

healthy()
{
	local key
	"$lab" guest tell "$1" stats >"$work/stats"
	for key in to_guest_errors to_guest_unasked to_guest_stack_drops to_guest_wrong_hash \
		from_guest_drops from_guest_error_responses ctrl_errors disabled; do
		[ "$(jq ".$key" "$work/stats")" = 0 ] || { echo "guest $1: $key"; cat "$work/stats"; return 1; }
	done
}

fetch()
{
	guest "$1" curl -sS --fail --max-time 20 "http://$2:8000/sent" >"$work/got"
	cmp "$work/sent" "$work/got"
}

both_ways()
{
	fetch 1 10.77.0.12
	fetch 2 10.77.0.11
	fetch 1 '[fd77::12]'
	fetch 2 '[fd77::11]'
	guest 1 ping -q -c 2 -i 0.01 -W 2 -s 9000 10.77.0.12 >/dev/null
}

# pairs_of N: the Nth frontend with those it is to meet.
pairs_of()
{
	local k
	be 1 "${frontend[$1]}"
	for ((k = 0; k < ${#frontend[@]}; k++)); do
		[ "${PAIRS:-}" = all ] || [ "$k" = $((($1 + 1) % ${#frontend[@]})) ] || continue
		be 2 "${frontend[k]}"
		echo "with ${frontend[k]}"
		both_ways
	done
	healthy 1
	healthy 2
}

for ((i = 0; i < ${#frontend[@]}; i++)); do
	ok "${frontend[i]} talks to others" pairs_of "$i"
done
exit "$failed"
