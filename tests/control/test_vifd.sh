#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vifd itself, on the hosted Xen: bad input, a vif's life, restarts of either process.
# shellcheck disable=SC2317,SC2086
set -euo pipefail
# shellcheck source=tests/control/lib.sh
. "$(dirname "$0")/lib.sh"

# status N COMMAND...: the command exits with that status.
status()
{
	local want=$1 got=0
	shift
	"$@" || got=$?
	[[ $got == "$want" ]] || { echo "exit status $got, not $want"; return 1; }
}

says() { # TEXT STATUS COMMAND...
	local text=$1 want=$2
	shift 2
	status "$want" "$@" >$tmp/says.log 2>&1 || { cat $tmp/says.log; return 1; }
	grep -qF -- "$text" $tmp/says.log || { cat $tmp/says.log; return 1; }
}

# ---- without a xenstored ----

printf '[vifd]\nworkers = many\n' >$tmp/bad.conf
printf '[vifd]\nworkers = 3\n' >$tmp/good.conf
case_ "a wrong value: file, line, what is allowed" \
	says "$tmp/bad.conf:2: workers = 'many': must be a number, 1 to 16" 2 "$build"/vifd --config $tmp/bad.conf
case_ "a folder in place of the file" says "vifd: $tmp: Is a directory" 2 "$build"/vifd --config $tmp
case_ "--check-config finds it as well" status 2 "$build"/vifd --check-config --config $tmp/bad.conf
case_ "--check-config shows the settings" says "workers = 3" 0 "$build"/vifd --check-config --config $tmp/good.conf
case_ "a flag overrides the file" says "workers = 5" 0 "$build"/vifd --check-config --config $tmp/good.conf --workers 5
case_ "a NIC with an option" says "eth2,filters=3" 0 "$build"/vifd --check-config --nics "eth1  eth2,filters=3"
case_ "a NIC with a policy" says "eth2,filters=3,policy=named" 0 "$build"/vifd --check-config --nics "eth1,policy=busiest eth2,policy=named,filters=3 "
case_ "a NIC with a policy that is none" says "--nics = 'eth1,policy=best': policy = 'best': must be all, named or busiest" 2 "$build"/vifd --nics eth1,policy=best
case_ "a NIC that transmits" says "nics = eth1,transmit=yes" 0 "$build"/vifd --check-config --nics "eth1,transmit=yes eth2,transmit=no"
case_ "a NIC that transmits perhaps" says "nics = 'eth1,transmit=perhaps': transmit = 'perhaps': must be no or yes" 2 "$build"/vifd --nics eth1,transmit=perhaps
case_ "a NIC with all options" says "nics = mq0,filters=2,provider=model,wire=eth1,policy=busiest,transmit=yes" 0 "$build"/vifd --check-config --nics mq0,provider=model,wire=eth1,filters=2,transmit=yes,policy=busiest
case_ "a NIC twice" says "--nics = 'eth1 eth1': eth1 is there twice" 2 "$build"/vifd --nics "eth1 eth1"
case_ "a model NIC without a wire" says "--nics = 'mq0,provider=model': provider=model needs wire=" 2 "$build"/vifd --nics mq0,provider=model
case_ "a NIC with an option that is none" says "--nics = 'eth1,filter=3': 'filter=3': no such option; known are filters=" 2 "$build"/vifd --nics eth1,filter=3
case_ "a wrong flag's value" says "--workers = '0': must be" 2 "$build"/vifd --workers 0
case_ "an unknown flag" says "vifd --help" 2 "$build"/vifd --wrokers 1
case_ "a stray argument" says "'start' is not a flag" 2 "$build"/vifd start
case_ "a named file that is missing" says "No such file" 2 "$build"/vifd --config /nonexistent
case_ "an unknown user" says "there is no such user" 2 "$build"/vifd --user nosuchuserhere
case_ "--help and --version" says "Usage: vifd" 0 "$build"/vifd --help
case_ "no xenstored: where it looked" says "cannot reach xenstored" 3 "$build"/vifd
case_ "a socket's place that is taken" says "socket $tmp/good.conf: File exists, and is no socket" 1 "$build"/vifd --socket $tmp/good.conf
case_ "no root" says "must be started as root" 3 setpriv --reuid 65534 --clear-groups "$build"/vifd
case_ "no CAP_NET_ADMIN" says "CAP_NET_ADMIN is missing" 3 \
	setpriv --bounding-set -net_admin --inh-caps -net_admin "$build"/vifd
case_ "vifctl without vifd" says "does it run?" 3 "$build"/vifctl list
case_ "vifctl without a command" says "no command" 2 "$build"/vifctl
case_ "vifctl with a wrong command" says "no such command: lst" 2 "$build"/vifctl lst
case_ "vifctl show without a vif" says "wrong number of arguments" 2 "$build"/vifctl show

# ---- with one ----

start_xen

# SIGTERM, not SIGINT, which bash lets its background jobs ignore. No 'read' may come before:
# with it bash takes SIGTERM itself, and so does what it has just forked; one that comes
# before the exec is lost, and vifd waited for for ever.
interrupted()
{
	local i end pid
	for i in 0 1 2 3 5 8 13 21 34 55 89; do
		"$build"/vifd >>$tmp/vifd.log 2>&1 &
		pid=$!
		sleep "$(printf '0.%03d' "$i")"
		kill -TERM $pid
		end=0
		wait $pid || end=$?
		# 143: before it had begun
		[[ $end == 0 || $end == 143 ]] || { echo "after $i ms: $end"; return 1; }
	done
	until_ 5 no_vifd
}
no_vifd() { ! pgrep -x 'vifd|vifd-w.|exe'; }
case_ "stopped at any moment, it ends cleanly" interrupted

case_ "the datapath as root" says "user = 'root': who touches guests' memory must not be root" 2 "$build"/vifd --user root
case_ "too few files" says "only 20 files may be open: vifd needs 256" 3 prlimit --nofile=20 timeout -k 1 9 "$build"/vifd

start_vifd --hotplug-timeout-s 1 --max-queues 4

# Also on a socket of its own: there are no other guests for it.
second_vifd()
{
	says "another vifd serves this domain's guests (pid $vifd_pid)" 1 "$build"/vifd
	says "another vifd serves this domain's guests (pid $vifd_pid)" 1 "$build"/vifd --socket $tmp/other.sock
	[[ ! -e $tmp/other.sock ]]
}
case_ "a second vifd is refused" second_vifd

# As many as wait for an answer, and more, which cannot even ask.
hanging_vifd()
{
	local i callers=()
	kill -STOP "$vifd_pid"
	for i in {1..40}; do
		{ status 3 ctl list || echo wrong; } >$tmp/hang.$i 2>&1 &
		callers+=($!)
	done
	wait "${callers[@]}"
	kill -CONT "$vifd_pid"
	if grep wrong $tmp/hang.*; then return 1; fi
	grep "vifctl: vifd at /run/vifd/vifd.sock (pid $vifd_pid) gave no answer within 10 s: it is stopped" $tmp/hang.*
	grep 'takes no calls: it is stopped' $tmp/hang.*
	until_ 10 is_up
}
case_ "vifctl with a vifd that hangs" hanging_vifd

unwritten()
{
	ctl list >/dev/full 2>$tmp/unwritten && return 1
	grep 'vifctl: standard output: No space left' $tmp/unwritten
}
case_ "vifctl whose answer finds no room" unwritten
case_ "vifctl that may not" says "Permission denied: run it as root" 3 setpriv --reuid 65534 --clear-groups "$build"/vifctl list
case_ "vifctl nic without one" says "vifd has no NIC: nics in vifd.conf" 0 ctl nic

to_init_wait()
{
	attach 3
	until_ 5 state_is 3 2
	netdev_is_there 3
	[[ $(xenstore-read "$(be 3)/multi-queue-max-queues") == 4 ]]
	[[ $(xenstore-read "$(be 3)/feature-sg") == 1 ]]
	ip -d link show vif3.0 | grep >/dev/null 'vnet_hdr on multi_queue'
}
case_ "a vif gets its netdev, features and InitWait" to_init_wait
case_ "vifctl show" says "InitWait (frontend Initialising)" 0 ctl show vif3.0
case_ "vifctl of no such vif" says "there is no vif of that name" 1 ctl show vif9.0

late_hotplug() { until_ 5 says "timed-out" 0 ctl show vif3.0; }
case_ "a hotplug script that never answers is reported" late_hotplug

# A frontend or a toolstack that writes nonsense: vif 3 must not notice.
refused() # DOMID TEXT
{
	until_ 5 state_is "$1" 6
	[[ $(error_of "$1") == *"$2"* ]] || { error_of "$1"; return 1; }
	ctl show vif"$1".0 | grep >/dev/null -F -- "$2"
	state_is 3 2
	detach "$1"
	until_ 5 status 1 ctl show vif"$1".0
	until_ 5 netdev_is_gone "$1"
	status 1 xenstore-exists error/backend/vif/"$1"
}
bad_backend() # TEXT KEY VALUE...
{
	local text=$1
	shift
	attach 4 "$@"
	refused 4 "$text"
}
bad_frontend() # TEXT KEY VALUE...
{
	local text=$1 args=()
	shift
	while (($#)); do
		args+=("$(fe 4)/$1" "$2")
		shift 2
	done
	attach 4
	until_ 5 state_is 4 2
	pretend_frontend 4 "${args[@]}"
	refused 4 "$text"
}
case_ "no mac" bad_backend "reading mac: missing in the backend directory" mac -
case_ "nonsense mac" bad_backend "parsing mac" mac 00:16:3e:zz:00:01
case_ "multicast mac" bad_backend "parsing mac" mac 01:00:5e:00:00:01
case_ "no handle" bad_backend "reading handle" handle -
case_ "nonsense handle" bad_backend "parsing handle" handle 1x
case_ "no frontend" bad_backend "reading frontend" frontend -
case_ "another domain's frontend" bad_backend "not a directory of domain 4" frontend "$(fe 3)"
case_ "no frontend-id" bad_backend "reading frontend-id" frontend-id -
case_ "another frontend-id" bad_backend "frontend-id is 3" frontend-id 3
nonsense_state()
{
	attach 4
	until_ 5 state_is 4 2
	xenstore-write "$(fe 4)/state" x
	refused 4 "parsing state in the frontend directory"
}
case_ "nonsense state" nonsense_state
case_ "0 queues" bad_frontend "requested 0 queues" multi-queue-num-queues 0
case_ "too many queues" bad_frontend "requested 5 queues, offered are 1 to 4" multi-queue-num-queues 5
case_ "queues without keys" bad_frontend "reading tx-ring-ref" multi-queue-num-queues 2
case_ "no copying" bad_frontend "request-rx-copy is not 1" request-rx-copy 0
case_ "nonsense ring reference" bad_frontend "parsing tx-ring-ref" tx-ring-ref %n%s
case_ "ring reference out of range" bad_frontend "parsing rx-ring-ref" rx-ring-ref 4294967296
case_ "event channel out of range" bad_frontend "parsing event-channel" event-channel 1000000
case_ "nonsense feature" bad_frontend "parsing feature-sg" feature-sg yes
case_ "grants that do not exist" bad_frontend "queue 0:" feature-sg 1

same_twice()
{
	xenstore-write "$(be 3 1)/frontend" "$(fe 3)" "$(be 3 1)/frontend-id" 3 "$(be 3 1)/handle" 1 \
		"$(be 3 1)/mac" 00:16:3e:00:00:99 "$(be 3 1)/online" 1 "$(be 3 1)/state" 1
	until_ 5 xenstore-exists error/backend/vif/3/1/error
	xenstore-read error/backend/vif/3/1/error | grep -F "the same frontend as backend/vif/3/0"
	xenstore-rm "$(be 3 1)"
	until_ 5 status 1 ctl show vif3.1
	state_is 3 2
}
case_ "the same vif twice" same_twice

name_taken()
{
	ip tuntap add mode tap name vif5.0
	attach 5
	until_ 5 state_is 5 6
	error_of 5 | grep -F "taken by another's TAP"
	remove 5
	until_ 5 status 1 ctl show vif5.0
	ip link del vif5.0
}
case_ "a netdev's name that is taken is left alone" name_taken

failing_script()
{
	attach 5
	until_ 5 state_is 5 2
	xenstore-write "$(be 5)/hotplug-error" "no such bridge" "$(be 5)/hotplug-status" error
	until_ 5 says "failed" 0 ctl show vif5.0
	grep -q "vif=5.0: the hotplug script failed: no such bridge" $tmp/vifd.log
	until_ 5 state_is 5 6
	remove 5
}
case_ "a hotplug script that fails is reported" failing_script

vanishing()
{
	local n
	for n in 1 2 3 4 5; do
		attach 5
		((n % 2)) || until_ 5 state_is 5 2
		remove 5
	done
	until_ 5 status 1 ctl show vif5.0
	until_ 5 netdev_is_gone 5
	status 1 xenstore-exists "$(be 5)" # nothing of it came back
}
case_ "a vif that vanishes mid-handshake leaves nothing" vanishing

storm()
{
	local i
	attach 5
	until_ 5 state_is 5 2
	for i in $(seq 300); do echo "$(fe 5)/state" $((i % 4 + 1)); done | xargs -n 2 xenstore-write
	xenstore-rm "$(fe 5)"
	until_ 5 says "vif3.0" 0 ctl list
	xenstore-rm "$(be 5)"
	until_ 5 status 1 ctl show vif5.0
}
case_ "a storm of states keeps nobody else waiting" storm

# ---- with real guests ----

connected()
{
	start_guest 7
	attach 7
	until_ 10 state_is 7 2
	ip link set vif7.0 up
	ip addr add 10.99.0.1/24 dev vif7.0
	hotplug_done 7
	until_ 10 state_is 7 4
	until_ 10 ip netns exec g7 ping -q -c 1 -W 1 10.99.0.1
}
here "a guest connects and reaches us" connected

datapath_killed()
{
	local before
	before=$(datapath_pid)
	pings 40 &
	kill -9 "$before"
	until_ 10 is_up
	[[ $(datapath_pid) != "$before" ]]
	wait $!
	state_is 7 4
}
case_ "kill -9 of the datapath: no ping lost, no state changed" datapath_killed

restart() # SIGNAL: vifd ends and is started again
{
	local st=0
	stop_vifd "$1" || st=$?
	[[ $1 != TERM || $st == 0 ]]
	state_is 7 4
	netdev_is_there 7
	start_vifd --hotplug-timeout-s 1 --max-queues 4
	until_ 10 says "Connected (frontend Connected)" 0 ctl show vif7.0
	pings 3
}
here "stop and start: the guest keeps its connection" restart TERM
here "kill -9 of control: the next vifd takes the guest over" restart KILL

renamed()
{
	ip link set vif7.0 down
	ip link set vif7.0 name guest7
	ip link set guest7 up
	xenstore-write "$(be 7)/vifname" guest7
	stop_vifd
	start_vifd --hotplug-timeout-s 1 --max-queues 4
	until_ 10 says "guest7, index" 0 ctl show vif7.0
	ip addr show guest7 | grep >/dev/null 10.99.0.1 || ip addr add 10.99.0.1/24 dev guest7
	pings 3
}
here "a renamed netdev is found again" renamed

reload()
{
	kill -HUP "$guest_pid_7"
	until_ 10 grep -q "vif=7.0: closed" $tmp/vifd.log
	until_ 10 state_is 7 4
	pings 3
}
case_ "a guest that reloads its driver reconnects" reload

received() { ip netns exec g7 cat /sys/class/net/eth0/statistics/rx_packets; }

# A guest that died without a word, and frames for it: the one that comes after, with the
# same address, must not get them.
left_behind()
{
	kill -9 "$guest_pid_7"
	wait "$guest_pid_7" || true
	ip neigh replace 10.99.0.7 lladdr 00:16:3e:00:00:07 dev guest7 nud permanent
	flood 600 >/dev/udp/10.99.0.7/9
	start_frontend 7
	until_ 10 grep -q connected $tmp/guest-7.log
	ip neigh del 10.99.0.7 dev guest7
	until_ 10 ip netns exec g7 ping -q -c 1 -W 1 10.99.0.1
	(($(received) < 100)) || { echo "received $(received) frames"; return 1; }
}
flood() { local i; for ((i = 0; i < $1; i++)); do echo x; done; }
here "what waited for a guest that died is not the next one's" left_behind

detached()
{
	detach 7
	until_ 5 status 1 ctl show vif7.0
	status 1 ip link show guest7
	until_ 5 nothing_mapped
}
# Only xenstored's own page of the domain.
nothing_mapped() { [[ $("$build"/hosted-xen dump | awk '$1 == 0 { print $7 }') == 1 ]]; }
case_ "detach: Closed, the netdev gone" detached

four_queues()
{
	start_guest 8 --queues 4
	attach 8
	until_ 10 state_is 8 2
	ip link set vif8.0 up
	hotplug_done 8
	until_ 10 state_is 8 4
	ctl show vif8.0
	[[ $(ctl show vif8.0 | grep -c "^  queue [0-3] ") == 4 ]]
	ip -d link show vif8.0 | grep >/dev/null "numqueues 4"
	kill -9 "$(datapath_pid)"
	until_ 10 four_attached
	detach 8
	until_ 5 netdev_is_gone 8
}
four_attached() { is_up && [[ $(ctl show vif8.0 --json | grep -c '"attached": true') == 4 ]]; }
here "four queues, spread over workers, resumed and given back" four_queues

offered() { ctl show "$1" | sed -n 's/^  offered  *//p'; }

keeps_its_offer()
{
	local all="sg gso-tcpv4 gso-tcpv6 csum-v4 csum-v6 split-event-channels multicast-control ctrl-ring xdp-headroom"
	attach 8 # the guest of four_queues()
	until_ 10 state_is 8 2
	ip link set vif8.0 up
	hotplug_done 8
	until_ 10 state_is 8 4
	[[ $(offered vif8.0) == "$all" ]]
	stop_vifd
	start_vifd --hotplug-timeout-s 1 --max-queues 1 --withhold "sg csum-v4"
	until_ 10 says "Connected (frontend Connected)" 0 ctl show vif8.0
	until_ 10 four_attached
	[[ $(offered vif8.0) == "$all" ]]
	kill -HUP "$guest_pid_8"
	until_ 10 eval '[[ $(offered vif8.0) == "csum-v6 split-event-channels multicast-control ctrl-ring xdp-headroom" ]]'
	until_ 10 state_is 8 4
	[[ $(xenstore-read "$(be 8)/feature-sg" "$(be 8)/feature-gso-tcpv6" \
		"$(be 8)/feature-no-csum-offload") == $'0\n0\n1' ]]
	[[ $(ctl show vif8.0 --json | grep -c '"attached": true') == 1 ]]
	detach 8
	until_ 5 netdev_is_gone 8
}
here "a connected vif keeps what it was offered, a new connection does not" keeps_its_offer

# What the kernel's netback leaves of a vif when it is unbound from it: no netdev, no
# hotplug-status, and an offer of as many queues as that host has processors.
takes_over_from_the_kernel()
{
	stop_vifd
	start_vifd --hotplug-timeout-s 1 --max-queues 4
	attach 8
	until_ 10 state_is 8 2
	ip link set vif8.0 up
	hotplug_done 8
	until_ 10 state_is 8 4
	stop_vifd
	ip link del vif8.0
	xenstore-write "$(be 8)/multi-queue-max-queues" 64
	xenstore-rm "$(be 8)/hotplug-status"
	start_vifd --hotplug-timeout-s 1 --max-queues 4
	until_ 10 four_attached
	state_is 8 4
	netdev_is_there 8
	detach 8
	until_ 5 netdev_is_gone 8
}
here "a vif the kernel's netback has left is taken over, with its queues" takes_over_from_the_kernel

# With several queues, and none too many, where BPF is refused: said once.
without_bpf()
{
	stop_vifd
	setpriv --bounding-set -bpf,-sys_admin --inh-caps -bpf,-sys_admin "$build"/vifd --max-queues 4 \
		--hotplug-timeout-s 1 >>$tmp/vifd.log 2>&1 &
	vifd_pid=$!
	until_ 10 is_up
	attach 8
	until_ 10 state_is 8 2
	ip link set vif8.0 up
	hotplug_done 8
	until_ 10 state_is 8 4
	ctl show vif8.0 --json | grep >/dev/null '"steering": "kernel"'
	kill -HUP "$guest_pid_8"
	until_ 10 grep -q "vif=8.0: closed" $tmp/vifd.log
	until_ 10 eval 'state_is 8 4 && four_attached'
	[[ $(grep -c "takes no BPF program" $tmp/vifd.log) == 1 ]]
	[[ $(grep -c "bounded in frames only" $tmp/vifd.log) == 1 ]]
	ip link show vif8.0 | grep >/dev/null "qlen 256"
	detach 8
	until_ 5 netdev_is_gone 8
}
if [[ $(</proc/sys/kernel/unprivileged_bpf_disabled) != 0 ]]; then
	here "without BPF the kernel spreads frames" without_bpf
else
	echo "skip - without BPF the kernel spreads frames: everybody may load programs here"
fi

schema() { ctl stats --json | grep >/dev/null '"ok": true' && ctl list --json | grep >/dev/null '"version"'; }
case_ "vifctl --json" schema

case_ "vif 3 never noticed" state_is 3 2

quiet() { sleep 1.5; }

xenstored_gone()
{
	quiet # nothing of vifd's own must be what finds out
	kill -9 "$xenstored_pid"
	until_ 5 grep -q "lost the connection to xenstored" $tmp/vifd.log
	says "vif3.0" 0 ctl list
	local before after
	before=$(awk '{print $14 + $15}' /proc/"$vifd_pid"/stat)
	sleep 1
	after=$(awk '{print $14 + $15}' /proc/"$vifd_pid"/stat)
	((after - before < 10))
}
case_ "xenstored gone: said once, and no spinning" xenstored_gone

end=0
stop_vifd INT || end=$?
case_ "SIGINT ends it cleanly" test $end == 0
exit $failed
