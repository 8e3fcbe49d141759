# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Sourced by the scripts here: a host of one's own, gone when the script is.

build=$(realpath "${VIF_BUILD:-build}")
# shellcheck source=tests/until.bash
. "$(dirname "${BASH_SOURCE[0]}")/../until.bash"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/hosted-test.XXXXXX")
pids=()
# shellcheck disable=SC2034 # set by start_host and start_store, for the scripts
hypervisor_pid='' xenstored_pid=''

cleanup()
{
	local pid
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	wait 2>/dev/null || true
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' HUP INT PIPE TERM

failed=0

# case_ NAME COMMAND...: one line of the report. Every command that fails in it
# counts, wherever it stands ("if" would switch that off, hence the trap).
case_()
{
	local name=$1 bad=0
	shift
	set +e -E
	trap 'bad=1; echo "failed: $BASH_COMMAND"' ERR
	"$@" >"$tmp/case.log" 2>&1
	trap - ERR
	set -e +E
	if ((!bad)); then
		echo "ok - $name"
	else
		echo "not ok - $name"
		sed 's/^/# /' "$tmp/case.log"
		# shellcheck disable=SC2034 # for the scripts to exit with
		failed=1
	fi
}

# background VAR COMMAND...: starts a program, its pid in VAR.
background()
{
	local -n pid_var=$1
	shift
	"$@" &
	pid_var=$!
	pids+=("$pid_var")
}

# ready_background VAR COMMAND...: the same with --ready-fd, returns when ready.
ready_background()
{
	local var=$1 fifo fd
	shift
	fifo=$(mktemp -u "$tmp/ready.XXXXXX")
	mkfifo "$fifo"
	exec {fd}<>"$fifo"
	background "$var" "$@" --ready-fd "$fd"
	timeout 10 head -c 1 <&"$fd" >/dev/null
	exec {fd}>&-
	rm "$fifo"
}

hx()
{
	"$build/hosted-xen" "$@"
}

hosted()
{
	LD_LIBRARY_PATH=$build/hosted "$@"
}

# as DOMID COMMAND...: a program in that domain, through its store proxy.
as()
{
	local domid=$1
	shift
	XEN_HOSTED_DOMID=$domid XENSTORED_RUNDIR=$XEN_HOSTED_DIR/store-$domid \
		LD_LIBRARY_PATH=$build/hosted "$@"
}

# The same instead of this (sub)shell: as_exec ... & gives the program's own pid.
as_exec()
{
	export XEN_HOSTED_DOMID=$1 XENSTORED_RUNDIR=$XEN_HOSTED_DIR/store-$1
	export LD_LIBRARY_PATH=$build/hosted
	shift
	exec "$@"
}

start_host()
{
	export XEN_HOSTED_DIR=$1
	ready_background hypervisor_pid "$build/hosted-xen" run
}

start_store()
{
	background xenstored_pid "$build/hosted-xen" xenstored --rundir "$XEN_HOSTED_DIR/store-0"
	until_ 10 env XENSTORED_RUNDIR="$XEN_HOSTED_DIR/store-0" xenstore-exists /tool
}

# start_domain DOMID: made, known to xenstored, its proxy up.
start_domain()
{
	hx create "$1"
	hx introduce "$1" --store-rundir "$XEN_HOSTED_DIR/store-0"
	ready_background "proxy_pid_$1" "$build/hosted-xen" store-proxy --domid "$1" \
		--rundir "$XEN_HOSTED_DIR/store-$1"
}

# holds DOMID KEY: a number out of the dump.
holds()
{
	hx dump --json | sed -n "s/.*\"domid\": $1,.*\"$2\": \([0-9]*\).*/\1/p"
}

holds_is()
{
	[[ $(holds "$1" "$2") == "$3" ]]
}

need_root()
{
	if ((EUID)); then
		echo "skip - needs root for xenstored's mount namespace"
		exit 77
	fi
}
