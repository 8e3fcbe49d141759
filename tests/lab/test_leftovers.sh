#!/bin/bash
# SPDX-License-Identifier: MIT
#
# However a lab ends, nothing of it stays: no process, namespace name, netdev, mount
# or file.
# shellcheck disable=SC2317,SC2016 # cases are called through 'ok'; sh -c expands itself
set -euo pipefail
# shellcheck source=tests/lab/helpers.bash
. "$(dirname "$0")/helpers.bash"

# Starts a lab in the background whose COMMAND says when it runs; sets pid and ns.
start()
{
	mkfifo "$work/up.$1"
	"$lab" run --name "$1" --guests 1 -- sh -c "echo up >$work/up.$1; exec sleep 1000" &
	pid=$!
	timeout 30 cat "$work/up.$1"
	ns=$(pid_namespace "$1")
	[ -n "$ns" ]
}

killed_running()
{
	start "$(name a)"
	ip netns exec "$(name a)-g1" ping -q -c 1 -W 5 10.77.0.1
	kill -9 "$pid"
	await 5 gone "$(name a)" "$ns"
}
ok "kill -9 of vif-lab while COMMAND runs leaves nothing" killed_running

# At ever later moments of the start: a different step is cut short each time. With job
# control, as a background process would else begin with SIGINT ignored.
killed_starting()
{
	local ms
	set -m
	for ms in 001 003 006 010 015 020 030 040 060 080 120 200 300 500; do
		"$lab" run --name "$(name b)" --guests 2 -- sleep 1000 &
		pid=$!
		sleep "0.$ms"
		kill "-$1" "$pid"
		ends any "$pid"
		await 5 gone "$(name b)"
	done
}
ok "kill -9 of vif-lab at any moment of the start leaves nothing" killed_starting KILL
ok "SIGINT to vif-lab at any moment of the start leaves nothing" killed_starting INT
ok "SIGTERM to vif-lab at any moment of the start leaves nothing" killed_starting TERM

# As a terminal does: the whole foreground group gets it. COMMAND is no shell, as dash loses a
# SIGINT that comes when it is about to start its last command.
ctrl_c()
{
	local up
	set -m
	mkfifo "$work/up.c"
	"$lab" run --name "$(name c)" --guests 1 -- cat "$work/up.c" &
	pid=$!
	exec {up}>"$work/up.c" # as soon as COMMAND reads
	kill -INT -- "-$pid"
	ends 130 "$pid"
	exec {up}>&-
	gone "$(name c)"
}
ok "Ctrl-C while COMMAND runs ends it and the lab with status 130" ctrl_c

terminated()
{
	start "$(name d)"
	kill -TERM "$pid"
	ends 143 "$pid"
	gone "$(name d)" "$ns"
}
ok "SIGTERM ends COMMAND and the lab with status 143" terminated

stopped()
{
	start "$(name e)"
	"$lab" stop --name "$(name e)"
	gone "$(name e)" "$ns"
	ends 125 "$pid"
}
ok "'vif-lab stop' ends a lab that runs" stopped

janitor_killed()
{
	local janitor
	start "$(name f)"
	janitor=$(pgrep -P "$pid" -x vif-lab-janitor)
	kill -9 "$janitor" "$pid"
	await 10 empty "$ns" # or it is swept by nobody: its init still holds it
	[ -e "/run/netns/$(name f)-g1" ] || echo "swept already, by a lab of another test's"
	"$lab" list # any start, stop or list sweeps what dead labs left
	await 5 gone "$(name f)" "$ns"
}
ok "what a lab without a janitor left is swept by the next vif-lab" janitor_killed

daemon_died()
{
	local victim
	for victim in vifd hosted-xen guest-1; do
		exits 125 "$lab" run --name "$(name g)" --guests 1 --logs "$work/logs.$victim" -- \
			sh -c "kill -9 \$(cat /run/vif-lab/pids/$victim); sleep 1000"
		says "$victim was killed by signal 9"
		says "logs are in $work/logs.$victim"
		refused says '^cp: ' # not a second time, when there are none any more
		[ -s "$work/logs.$victim/vifd.log" ]
		gone "$(name g)"
	done
}
ok "the death of a daemon fails the lab, and its logs are kept" daemon_died

other_namespaces()
{
	start "$(name h)"
	local first=$pid
	"$lab" run --name "$(name i)" --guests 0 --keep -- true
	kill -9 "$first"
	await 5 gone "$(name h)" "$ns"
	# the second lab must not keep the first one's network alive
	"$lab" exec --name "$(name i)" -- sh -c '! grep nsfs /proc/self/mounts | grep -v "/$VIF_LAB_NAME-"'
	"$lab" stop --name "$(name i)"
	gone "$(name i)"
}
ok "a lab holds nothing of another lab" other_namespaces

exit $failed
