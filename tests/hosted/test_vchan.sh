#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Debian's unmodified libxenvchan between two domains: 100 MB, checksummed at both
# ends, and the death of either side.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/hosted/host.sh
need_root

bytes=100000000
path=/local/domain/1/data/vchan

start_host "$tmp/host"
start_store
start_domain 1
start_domain 2

server_is_up()
{
	as 2 xenstore-exists "$path/event-channel"
}

is_debians()
{
	ldd "$build/vchan-pipe" >"$tmp/ldd"
	grep -E '=> (/usr)?/lib/.*/libxenvchan' "$tmp/ldd"
}

move()
{
	local sent received server
	as 1 xenstore-rm "$path" 2>/dev/null || true
	head -c "$bytes" /dev/urandom | tee >(sha256sum >"$tmp/sent") |
		as 1 "$build/vchan-pipe" server 2 "$path" &
	server=$!
	until_ 10 server_is_up
	received=$(as 2 timeout 60 "$build/vchan-pipe" client 1 "$path" "$bytes" | sha256sum)
	wait "$server"
	until_ 5 test -s "$tmp/sent"
	sent=$(cat "$tmp/sent")
	echo "$sent / $received"
	[[ $sent && $sent == "$received" ]]
}

clean()
{
	local domid
	for domid in 1 2; do
		# what is left is the xenstore ring: a page, its grant, its port
		until_ 5 holds_is "$domid" grants 1
		until_ 5 holds_is "$domid" pages 1
		until_ 5 holds_is "$domid" ports 1
		until_ 5 holds_is "$domid" maps_held 0
		until_ 5 holds_is "$domid" handles 2
	done
}

# One side is killed in the middle; the other notices and ends with status 3.
kill_one()
{
	local victim=$1 server client status=0 survivor
	as 1 xenstore-rm "$path" 2>/dev/null || true
	as_exec 1 "$build/vchan-pipe" server 2 "$path" </dev/zero &
	server=$!
	until_ 10 server_is_up
	as_exec 2 "$build/vchan-pipe" client 1 "$path" 1000000000000 >"$tmp/out" &
	client=$!
	until_ 10 test -s "$tmp/out"
	if [[ $victim == server ]]; then
		kill -KILL "$server"
		survivor="$client"
	else
		kill -KILL "$client"
		survivor="$server"
	fi
	timeout 10 tail --pid="$survivor" -f /dev/null || kill -KILL "$survivor"
	wait "$survivor" || status=$?
	wait "$server" "$client" || true
	rm "$tmp/out"
	echo "survivor ended with $status"
	((status == 3))
}

case_ "vchan: the program runs on Debian's libxenvchan" is_debians
case_ "vchan: 100 MB between two domains, same SHA-256" move
case_ "vchan: nothing left over" clean
case_ "vchan: the server killed, the client notices" kill_one server
case_ "vchan: nothing left over after that" clean
case_ "vchan: the client killed, the server notices" kill_one client
case_ "vchan: nothing left over after that either" clean
case_ "vchan: and it works again" move
exit $failed
