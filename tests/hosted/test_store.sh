#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Debian's own xenstored on the hosted Xen, domains connected over their rings.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/hosted/host.sh
need_root

start_host "$tmp/host"
start_store
proxy_pid_1='' proxy_pid_2='' # set by start_domain
start_domain 1
start_domain 2
dom0=$XEN_HOSTED_DIR/store-0

CMOCKA_MESSAGE_OUTPUT=TAP as 1 timeout 60 "$build/hosted-store-test" "$dom0" || failed=1

dom0_store()
{
	XENSTORED_RUNDIR=$dom0 "$@"
}

# What libxl makes (xen-rig's listing of a real host): owner and readers.
nodes_like_libxl()
{
	dom0_store xenstore-ls -fp >"$tmp/ls"
	grep -qE '^/local/domain/2 = .*\(n0,r2\)' "$tmp/ls"
	grep -qE '^/local/domain/2/device = .*\(n0,r2\)' "$tmp/ls"
	grep -qE '^/local/domain/2/data = .*\(n2\)' "$tmp/ls"
	grep -qE '^/local/domain/2/control/shutdown = .*\(n2\)' "$tmp/ls"
	grep -qE '^/local/domain/2/domid = "2" .*\(n0,r2\)' "$tmp/ls"
	grep -qE '^/libxl/2 = .*\(n0\)' "$tmp/ls"
}

one_proxy_a_domain()
{
	local status=0
	hx store-proxy --domid 1 --rundir "$tmp/second" 2>"$tmp/err" || status=$?
	((status == 1))
	grep -q 'another store-proxy has it' "$tmp/err"
	hx create 9
	status=0
	hx store-proxy --domid 9 --rundir "$tmp/second" 2>"$tmp/err" || status=$?
	((status == 1))
	grep -q 'introduce the domain first' "$tmp/err"
	hx destroy 9
}

# A domain's end: xenstored says so, drops its nodes, lets its page go; its proxy
# ends; the domid can be used again.
destroy()
{
	dom0_store timeout 10 xenstore-watch -n 2 @releaseDomain >"$tmp/watch" &
	local watcher=$!
	until_ 5 test -s "$tmp/watch" # the first event is the watch itself
	as 2 xenstore-write data/key value
	hx destroy 2
	wait "$watcher"
	until_ 5 holds_is 2 pages ""
	wait "$proxy_pid_2"
	[[ ! -e $XEN_HOSTED_DIR/store-2/socket ]]
	if dom0_store xenstore-exists /local/domain/2/data; then
		return 1
	fi
	start_domain 2
	as 2 xenstore-write data/key again
	[[ $(dom0_store xenstore-read /local/domain/2/data/key) == again ]]
}

shutdown_is_seen()
{
	dom0_store timeout 10 xenstore-watch -n 2 @releaseDomain >"$tmp/watch2" &
	local watcher=$!
	until_ 5 test -s "$tmp/watch2"
	hx shutdown 1 --reason reboot
	wait "$watcher"
	as 1 xenstore-write data/key value # it may still talk
}

sigterm()
{
	as_exec 1 xenstore-watch -n 100 data >"$tmp/watch3" &
	local watcher=$!
	until_ 5 test -s "$tmp/watch3"
	kill -TERM "$proxy_pid_1"
	wait "$proxy_pid_1"
	[[ ! -e $XEN_HOSTED_DIR/store-1/socket ]]
	# a quiet ring can be taken over
	ready_background proxy_pid_1 "$build/hosted-xen" store-proxy --domid 1 \
		--rundir "$XEN_HOSTED_DIR/store-1"
	as 1 xenstore-write data/key anew
	# the old client's watch is gone: all of the domain's quota is there
	kill "$watcher" 2>/dev/null || true
	wait "$watcher" || true
	CMOCKA_MESSAGE_OUTPUT=TAP as 1 timeout 60 "$build/hosted-store-test" "$dom0"
}

eight_stores()
{
	local i begun=$SECONDS
	for i in {1..8}; do
		start_host "$tmp/many$i"
		background "many_store_$i" "$build/hosted-xen" xenstored --rundir "$XEN_HOSTED_DIR/store-0"
	done
	for i in {1..8}; do
		XEN_HOSTED_DIR=$tmp/many$i
		until_ 10 env XENSTORED_RUNDIR="$XEN_HOSTED_DIR/store-0" xenstore-exists /tool
		start_domain 1
		as 1 xenstore-write data/host "$i"
	done
	for i in {1..8}; do
		XEN_HOSTED_DIR=$tmp/many$i
		[[ $(as 1 xenstore-read data/host) == "$i" ]]
	done
	((SECONDS - begun < 30))
}

case_ "introduce: the nodes and owners libxl makes" nodes_like_libxl
case_ "store-proxy: one a domain, which must be introduced" one_proxy_a_domain
case_ "a shutdown is @releaseDomain" shutdown_is_seen
case_ "destroyed: @releaseDomain, nodes dropped, the domid free again" destroy
case_ "store-proxy: SIGTERM ends it, another takes over" sigterm
case_ "eight hosts with a xenstored each" eight_stores
exit $failed
