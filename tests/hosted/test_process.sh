#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The hosted Xen between processes (hosted-process-test), and its daemon and tool:
# clean ends, clear errors, eight hosts side by side.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/hosted/host.sh

start_host "$tmp/host"
CMOCKA_MESSAGE_OUTPUT=TAP hosted timeout 60 "$build/hosted-process-test" || failed=1

# fails_with STATUS TEXT COMMAND...
fails_with()
{
	local want=$1 text=$2 status=0
	shift 2
	"$@" >"$tmp/out" 2>&1 || status=$?
	cat "$tmp/out"
	((status == want)) && grep -qF -- "$text" "$tmp/out"
}

errors_are_clear()
{
	fails_with 2 "no command" hx &&
		fails_with 2 "unknown command: frob" hx frob &&
		fails_with 2 "missing: --rundir" hx xenstored &&
		fails_with 2 "not a number in range: x" hx create x &&
		fails_with 2 "not a number in range: 40000" hx create 40000 &&
		fails_with 2 "--reason is" hx shutdown 1 --reason boredom &&
		fails_with 1 "domain 4: does not exist" hx destroy 4 &&
		fails_with 1 "domain 0: not a domid" hx destroy 0 &&
		fails_with 1 "no xenstored at" hx introduce 0 --store-rundir "$tmp" &&
		fails_with 1 "another hypervisor runs there" hx run &&
		fails_with 2 "which host" env -u XEN_HOSTED_DIR "$build/hosted-xen" dump &&
		fails_with 1 "No such file" env XEN_HOSTED_DIR=/nonexistent "$build/hosted-xen" dump &&
		fails_with 0 "Usage: hosted-xen" hx --help
}

lifecycle()
{
	hx create 4
	fails_with 1 "exists already" hx create 4
	hx shutdown 4 --reason crash
	hx dump >"$tmp/dump"
	grep -E '^ +4 shutdown' "$tmp/dump"
	[ "$(hx dump --json | jq -c 'map(.domid)')" = "[0,4]" ]
	hx destroy 4
	hx dump >"$tmp/dump"
	if grep -E '^ +4 ' "$tmp/dump"; then
		return 1
	fi
}

stops_cleanly()
{
	local second='' third=''
	kill -TERM "$hypervisor_pid"
	wait "$hypervisor_pid"
	[[ ! -e $XEN_HOSTED_DIR/hypervisor.sock ]]
	# a killed one leaves its socket; that stops nobody
	ready_background second "$build/hosted-xen" run
	kill -KILL "$second"
	wait "$second" || true
	[[ -e $XEN_HOSTED_DIR/hypervisor.sock ]]
	ready_background third "$build/hosted-xen" run
	hx create 5
	kill -TERM "$third"
	wait "$third"
}

eight_hosts()
{
	local i
	for i in {1..8}; do
		start_host "$tmp/many$i"
		hx create 3
		hx create $((100 + i))
	done
	for i in {1..8}; do
		XEN_HOSTED_DIR=$tmp/many$i
		[[ $(hx dump | awk 'NR > 1 { printf "%s ", $1 }') == "0 3 $((100 + i)) " ]]
	done
}

case_ "hosted-xen: bad usage gets a clear error" errors_are_clear
case_ "hosted-xen: a domain's life" lifecycle
case_ "hosted-xen: SIGTERM ends it cleanly, SIGKILL hinders no successor" stops_cleanly
case_ "eight hosts side by side" eight_hosts
exit $failed
