# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086
#
# Sourced by the scripts here: a hosted Xen with a real xenstored, in network, mount
# and process namespaces of its own, which take everything with them when the script
# ends. Plays the toolstack with xenstore-write, as libxl is recorded to do it.

if [[ ${VIFD_TEST_INSIDE:-} != 1 ]]; then
	[[ $(id -u) == 0 ]] || { echo "skip - needs root"; exit 77; }
	[[ -c /dev/net/tun ]] || { echo "skip - needs /dev/net/tun"; exit 77; }
	VIFD_TEST_INSIDE=1 exec unshare --net --mount --pid --fork --kill-child --mount-proc "$0" "$@"
fi

build=$(realpath "${VIF_BUILD:-build}")
# shellcheck source=tests/until.bash
. "$(dirname "${BASH_SOURCE[0]}")/../until.bash"
# shellcheck source=tests/pings.bash
. "$(dirname "${BASH_SOURCE[0]}")/../pings.bash"
mount -t tmpfs tmpfs /run
tmp=/run/t
mkdir $tmp $tmp/store $tmp/xen
export LD_LIBRARY_PATH=$build/hosted XEN_HOSTED_DIR=$tmp/xen XENSTORED_RUNDIR=$tmp/store
failed=0
vifd_pid=
guest_pid_7=
guest_pid_8=
xenstored_pid=

# case_ NAME COMMAND...: one line of the report.
case_()
{
	local name=$1 status
	shift
	set +e # as the condition of an 'if' the subshell would ignore its own set -e
	(set -e; "$@") >$tmp/case.log 2>&1
	status=$?
	set -e
	if ((status == 0)); then
		echo "ok - $name"
	else
		echo "not ok - $name"
		sed 's/^/# /' $tmp/case.log
		sed 's/^/# vifd: /' $tmp/vifd.log 2>/dev/null || true
		failed=1
	fi
}

# here NAME FUNCTION...: as case_, not in a subshell: what it starts and sets stays. A
# failure ends the script, since later cases build on it.
here()
{
	here_name=$1 # the trap outlives this function
	shift
	exec 8>&1 # the trap runs with the function's own output
	trap 'echo "not ok - $here_name" >&8; sed "s/^/# /" $tmp/case.log $tmp/vifd.log >&8; exit 1' EXIT
	"$@" >$tmp/case.log 2>&1
	trap - EXIT
	echo "ok - $here_name"
}

start_xen()
{
	"$build"/hosted-xen run >$tmp/xen.log 2>&1 &
	until_ 10 "$build"/hosted-xen dump
	"$build"/hosted-xen xenstored --rundir $tmp/store >$tmp/xenstored.log 2>&1 &
	xenstored_pid=$!
	until_ 10 xenstore-exists /tool
}

ctl() { "$build"/vifctl "$@"; }
datapath_pid() { ctl list --json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'; }
is_up() { ctl list --json | grep >/dev/null '"ready": true'; }

start_vifd()
{
	"$build"/vifd "$@" >>$tmp/vifd.log 2>&1 &
	vifd_pid=$!
	until_ 10 is_up
}

# stop_vifd [SIGNAL]: returns its exit status.
stop_vifd()
{
	kill -"${1:-TERM}" "$vifd_pid"
	wait "$vifd_pid"
}

be() { echo /local/domain/0/backend/vif/"$1"/"${2:-0}"; }
fe() { echo /local/domain/"$1"/device/vif/"${2:-0}"; }
state() { xenstore-read "$(be "$1")/state"; }
state_is() { [[ $(state "$1") == "$2" ]]; }
netdev_is_there() { ip link show dev vif"$1".0 >/dev/null 2>&1; }
netdev_is_gone() { ! netdev_is_there "$1"; }
error_of() { xenstore-read error/backend/vif/"$1"/0/error; }

# attach DOMID [KEY VALUE]...: a vif as libxl makes it; keys of the backend's directory
# may be given other values, "-" leaves one out.
attach()
{
	local d=$1 key args=()
	local -A keys=([frontend]=$(fe "$d") [frontend-id]=$d [online]=1 [handle]=0
		[mac]=00:16:3e:00:00:$(printf %02x "$d") [bridge]=xenbr0 [hotplug-status]='' [state]=1)
	shift
	while (($#)); do
		keys[$1]=$2
		shift 2
	done
	for key in "${!keys[@]}"; do
		[[ ${keys[$key]} == - ]] || args+=("$(be "$d")/$key" "${keys[$key]}")
	done
	# One transaction, as libxl does it.
	xenstore-write "${args[@]}" "$(fe "$d")/backend" "$(be "$d")" "$(fe "$d")/backend-id" 0 \
		"$(fe "$d")/handle" 0 "$(fe "$d")/mac" "${keys[mac]}" "$(fe "$d")/state" 1
	# xenstored knows no domains but introduced ones: a guest that runs nowhere owns nothing.
	xenstore-chmod -r "$(fe "$d")" "n$d" r0 2>/dev/null || true
	xenstore-chmod -r "$(be "$d")" n0 "r$d" 2>/dev/null || true
}

# The frontend of a guest that runs nowhere: its keys and its state.
pretend_frontend()
{
	local d=$1
	shift
	xenstore-write "$(fe "$d")/request-rx-copy" 1 "$(fe "$d")/tx-ring-ref" 8 \
		"$(fe "$d")/rx-ring-ref" 9 "$(fe "$d")/event-channel" 5 "$@" "$(fe "$d")/state" 4
}

hotplug_done() { xenstore-write "$(be "$1")/hotplug-status" connected; }

# detach DOMID: as libxl does it, with its patience.
detach()
{
	xenstore-write "$(be "$1")/online" 0 "$(be "$1")/state" 5
	until_ 10 state_is "$1" 6
	remove "$1"
}

remove()
{
	xenstore-rm "$(be "$1")"
	xenstore-rm "$(fe "$1")"
}

# start_guest DOMID [FLAG]...: a domain with a frontend in a network namespace "gN".
start_guest()
{
	local d=$1
	"$build"/hosted-xen create "$d"
	"$build"/hosted-xen introduce "$d" --store-rundir $tmp/store
	mkdir -p $tmp/store-"$d"
	"$build"/hosted-xen store-proxy --domid "$d" --rundir $tmp/store-"$d" >$tmp/proxy-"$d".log 2>&1 &
	until_ 10 test -S $tmp/store-"$d"/socket
	ip netns add g"$d"
	start_frontend "$@"
}

# pings N: guest 7 asks us, and each time is answered.
pings() { each_answered g7 "$1" -i 0.05 -W 5 10.99.0.1; }

start_frontend()
{
	local d=$1
	shift
	XEN_HOSTED_DOMID=$d XENSTORED_RUNDIR=$tmp/store-$d "$build"/vif-guest --domid "$d" --netns g"$d" \
		--ip 10.99.0."$d"/24 "$@" >$tmp/guest-"$d".log 2>&1 &
	eval "guest_pid_$d=$!"
}
