# SPDX-License-Identifier: MIT
#
# For tests on the rig: sourced under 'set -euo pipefail'. Each case prints
# "ok - NAME", "skip - NAME: WHY" or "not ok - NAME" and, if it failed, what it said.
#
#	begin [IMAGE'S KERNELS...]	a machine with u1 and u2 up, the programs loaded
#	begin_cold [IMAGE'S KERNELS...]	one that has just booted: no guests
#	check NAME COMMAND...		one case
#	need NAME COMMAND...		one that all others stand on: its failure ends the test
#	skip NAME WHY
#	finish				logs if a case failed, and exit
# shellcheck shell=bash

# shellcheck source=tests/xen/machine.bash
. "$(dirname "${BASH_SOURCE[0]}")/machine.bash"

passed=0 failed=0 skipped=0 begun=$SECONDS want_logs=1

begin()
{
	prepare "$@"
	machine_restore "$packed"
	machine_load
}

# Time in there is that of a processor that executes one instruction a nanosecond, however
# slow or busy this machine is: nothing in there waits in vain because of that. A snapshot
# bears that badly, the time it was taken at was not counted so.
begin_cold()
{
	prepare "$@"
	machine_boot "$packed" -icount shift=0
	machine_load
}

prepare()
{
	packed=$(image "$@")
	machine_open "$build/xen/$(basename "$0" .sh)-$$"
	trap at_exit EXIT
	trap 'want_logs=; exit 130' INT
	trap 'exit 143' TERM HUP
}

at_exit()
{
	[ -z "$want_logs" ] || machine_logs
	machine_stop
}

# check NAME COMMAND...: in a subshell that ends at the first failing command.
check()
{
	local title=$1 status at=$SECONDS
	shift
	set +e # as a condition the subshell would ignore its own set -e
	(set -e; "$@") >"$machine/case" 2>&1
	status=$?
	set -e
	if [ "$status" = 0 ]; then
		echo "ok - $title"
		passed=$((passed + 1))
	else
		echo "not ok - $title (status $status, $((SECONDS - at)) s)"
		sed 's/^/#   /' "$machine/case"
		failed=$((failed + 1))
	fi
}

need()
{
	local before=$failed
	check "$@"
	((failed == before)) || finish
}

skip()
{
	echo "skip - $1: $2"
	skipped=$((skipped + 1))
}

finish()
{
	echo
	echo "$passed passed, $failed failed$( ((skipped == 0)) || echo ", $skipped skipped") ($((SECONDS - begun)) s)"
	((failed == 0)) || exit 1
	want_logs=
	machine_stop
	rm -rf "$machine"
	exit 0
}

# ---- guests ----

# Named with a digit at the end, each with one of its own.
mac_of() { echo "00:16:3e:00:00:1${1: -1}"; }
address_of() { echo "10.0.0.1${1: -1}"; }
address6_of() { echo "fd00::1${1: -1}"; }

# know_domids: before netdev_of GUEST [DEVID], and anew when a guest was started anew.
declare -A domid_of
know_domids()
{
	local name domid
	while read -r name domid _; do
		domid_of[$name]=$domid
	done < <(dom0 'xl list')
}
netdev_of() { echo "vif${domid_of[$1]}.${2:-0}"; }

# config GUEST: its configuration file in dom0, from standard input.
config() { dom0 "cat >/etc/xen/$1.cfg <<'END'"$'\n'"$(cat)"$'\nEND\n'; }

# create GUEST: from that file, until it answers.
create()
{
	dom0 -t 120 "xl create -q /etc/xen/$1.cfg"
	guest -t 120 "$1" :
}

# configuration_of GUEST: its commands for the addresses on eth0. Without duplicate
# detection there is nothing to wait for.
configuration_of()
{
	echo "ip link set eth0 up
		ip addr add $(address_of "$1")/24 dev eth0
		echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
		ip addr add $(address6_of "$1")/64 dev eth0"
}

# ---- afterwards ----

# gone DOMID [DEVID]: nothing is left of the domain, or of that vif of it; soon: libxl
# returns before. A domain whose pages are still held would stay in xl's list.
gone()
{
	local vif="vif$1\\.${2:+$2\$}" backend="vif/$1${2:+/$2}" other="$1${2:+/device/vif/$2}"
	dom0 "left()
		{
			grep -l '^vifd $vif' /sys/class/net/*/ifalias
			ls /sys/class/net | grep '^$vif'
			vifctl list | cut -d ' ' -f 1 | grep '^$vif'
			xenstore-ls -f | grep -E '^/(local/domain/0/(error/)?backend/$backend|(local/domain|libxl)/$other)[ /]'
			[ '${2:-}' ] || xl list | awk '\$2 == $1'
		}
		for i in \$(seq 20); do
			[ \"\$(left 2>/dev/null)\" ] || exit 0
			sleep 0.5
		done
		left
		exit 1"
}
