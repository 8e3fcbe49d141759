# SPDX-License-Identifier: MIT
#
# For tests that run labs: sourced, under 'set -euo pipefail'. A test's labs are
# named after its process, so that tests run side by side.
# shellcheck shell=bash

build=$(realpath "${VIF_BUILD:-build}")
lab=$build/vif-lab
work=$(mktemp -d)
failed=0 # a test's exit status
export failed
# Subshells of one test share the name unless they ask for another: 'name x'.
name()
{
	echo "t$1$$"
}

[ "$(id -u)" = 0 ] || { echo "skip - labs need root"; exit 77; }
[ -x /etc/xen/scripts/vif-bridge ] || { echo "skip - no vif-bridge"; exit 77; }

cleanup()
{
	local record name
	for record in /run/vif-lab/t?"$$"; do
		[ ! -e "$record" ] || "$lab" stop --name "${record##*/}" || true
	done
	for name in /run/netns/t?"$$"-*; do
		[ ! -e "$name" ] || ip netns delete "${name##*/}"
	done
	rm -rf "$work"
}
trap cleanup EXIT

# ok NAME COMMAND...: one case, in a subshell that ends at the first failing command.
ok()
{
	local title=$1 status
	shift
	set +e # as the condition of an 'if' the subshell would ignore its own set -e
	(set -e; "$@") >"$work/out" 2>&1
	status=$?
	set -e
	if [ "$status" = 0 ]; then
		echo "ok - $title"
	else
		echo "not ok - $title"
		sed 's/^/#   /' "$work/out"
		failed=1
	fi
}

# become_lab OPTION... -- COMMAND...: this test goes on as COMMAND in a lab.
become_lab()
{
	rm -rf "$work" # it makes its own
	exec "$lab" run "$@"
}

# In a lab: a command on the wire's end, and in guest $1.
wire() { ip netns exec "$VIF_LAB_NAME-wire" "$@"; }
guest() { ip netns exec "$VIF_LAB_NAME-g$1" "${@:2}"; }

# refused COMMAND...: it must fail ('! COMMAND' would pass set -e either way).
refused()
{
	if "$@"; then
		echo "did not fail: $*"
		return 1
	fi
}
export -f refused

# await SECONDS COMMAND...: until it succeeds, or fails when time is up.
await()
{
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < deadline)) || { echo "in vain: $*"; return 1; }
		sleep 0.05
	done
}

# ends STATUS PID: the background process does so within 20 s; "any" takes any status.
ends()
{
	local status=0
	if ! await 20 dead "$2"; then
		kill -9 "$2"
		return 1
	fi
	wait "$2" 2>/dev/null || status=$?
	[ "$1" = any ] || [ "$status" = "$1" ] || { echo "exit status $status, not $1"; return 1; }
}

dead()
{
	! kill -0 "$1" 2>/dev/null
}

# exits STATUS COMMAND...: it does so; its output goes to $work/said.
exits()
{
	local wanted=$1 status=0
	shift
	"$@" >"$work/said" 2>&1 || status=$?
	cat "$work/said"
	[ "$status" = "$wanted" ] || { echo "exit status $status, not $wanted: $*"; return 1; }
}

# says PATTERN: the last command of 'exits' did.
says()
{
	grep -qE -- "$1" "$work/said" || { echo "does not say: $1"; return 1; }
}

# The processes of a PID namespace.
processes_in() { find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/pid' -lname "$1" 2>/dev/null || true; }
empty() { [ -z "$(processes_in "$1")" ]; }

# Nothing of the lab named $1 is on this machine; $2 is its PID namespace, if known.
gone()
{
	local found
	found=$(ls -d /run/netns/"$1"-* "/run/vif-lab/$1" /tmp/vif-lab-"$1"-* 2>/dev/null || true
		grep -F "/run/netns/$1-" /proc/self/mountinfo || true
		ip -o link | grep -F "$1" || true
		pgrep -af -- "--name $1( |$)" || true)
	if [ -n "${2:-}" ]; then
		found+=$(processes_in "$2")
	fi
	[ -z "$found" ] || { echo "left behind: $found"; return 1; }
}

# The PID namespace of a running lab.
pid_namespace()
{
	readlink "/proc/$("$lab" list | awk -v n="$1" '$1 == n { print $3 }')/ns/pid"
}
