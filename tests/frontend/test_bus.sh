#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vif-guest's half of the xenbus handshake: this script plays toolstack and backend
# in a xenstore of its own, and looks at states, keys and the interface.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/hosted/host.sh
. "$here/../hosted/host.sh"
need_root

ns=vfbus$$
back=/local/domain/0/backend/vif/1/0
front=/local/domain/1/device/vif/0

dom0()
{
	XENSTORED_RUNDIR=$XEN_HOSTED_DIR/store-0 "$@"
}
get() { dom0 xenstore-read "$1"; }
is() { [[ $(get "$1" 2>/dev/null) == "$2" ]]; }
state_is() { is "$1/state" "$2"; }
backend_state() { dom0 xenstore-write $back/state "$1"; }
carrier_is_down() { [[ $(ip -n "$ns" -o link show eth0) == *NO-CARRIER* ]]; }
carrier_is_up() { [[ $(ip -n "$ns" -o link show eth0) == *LOWER_UP* ]]; }

# The directories as libxl makes them; KEY=VALUE... are the backend's offers.
make_device()
{
	dom0 xenstore-rm $front 2>/dev/null || true
	dom0 xenstore-rm $back 2>/dev/null || true
	dom0 xenstore-write $back/frontend $front $back/frontend-id 1 $back/state 1 $back/online 1
	for offer; do
		dom0 xenstore-write "$back/${offer%%=*}" "${offer#*=}"
	done
	dom0 xenstore-chmod -r $back n0 r1
	dom0 xenstore-write $front/backend-id 0 $front/handle 0 \
		$front/mac 00:16:3e:00:00:11 $front/mtu 1400 $front/state 1 $front/backend $back
	dom0 xenstore-chmod -r $front n1 r0
}
offers=(feature-sg=1 feature-gso-tcpv4=1 feature-gso-tcpv6=1 feature-ipv6-csum-offload=1
	feature-rx-copy=1 feature-xdp-headroom=1 feature-split-event-channels=1
	multi-queue-max-queues=2)

# guest OPTION...: starts vif-guest.
guest()
{
	XEN_HOSTED_DOMID=1 XENSTORED_RUNDIR=$XEN_HOSTED_DIR/store-1 LD_LIBRARY_PATH=$build/hosted \
		"$build/vif-guest" --netns "$ns" --stats-file "$tmp/stats" --log-level debug \
		"$@" 2>"$tmp/guest.log" &
	guest=$!
	pids+=("$guest")
}
guest_ends()
{
	local status=0
	wait "$guest" || status=$?
	[[ $status == "$1" ]] || { echo "exit status $status, not $1"; return 1; }
}
stop_guest()
{
	kill "$guest"
	until_ 5 state_is $front 5
	backend_state 5
	until_ 5 state_is $front 6
	backend_state 6
	guest_ends 0
}
connect()
{
	backend_state 2
	until_ 5 state_is $front 4
	backend_state 4
	until_ 5 carrier_is_up
}
counter() { sed -n "s/.*\"$1\":\([0-9a-z]*\).*/\1/p" "$tmp/stats"; }
counter_is() { [[ $(counter "$1") == "$2" ]]; }

keys_are()
{
	diff <(sort) <(dom0 xenstore-ls $front | sed -E 's/ = /=/; s/"//g;
		s/^((tx|rx|ctrl)-ring-ref|event-channel(-tx|-rx|-ctrl)?)=[0-9]+$/\1=N/' | grep -vE '^(backend|mac|mtu|handle|state)' | sort)
}

connects_as_linux()
{
	make_device "${offers[@]}"
	guest --ip 10.1.2.3/24 --ip6 fd01::3/64 --queues 1
	until_ 5 ip -n "$ns" link show eth0
	not carrier_is_up
	state_is $front 1
	backend_state 2
	until_ 5 state_is $front 4
	keys_are <<-KEYS
		event-channel-rx=N
		event-channel-tx=N
		feature-gso-tcpv4=1
		feature-gso-tcpv6=1
		feature-ipv6-csum-offload=1
		feature-rx-notify=1
		feature-sg=1
		multi-queue-num-queues=1
		request-rx-copy=1
		rx-ring-ref=N
		tx-ring-ref=N
		xdp-headroom=0
	KEYS
	backend_state 4
	until_ 5 carrier_is_up
}
interface_is_set_up()
{
	local link
	link=$(ip -n "$ns" -d -o link show eth0)
	[[ $link == *"link/ether 00:16:3e:00:00:11"* && $link == *"mtu 1400"* &&
		$link == *"gso_max_size 65535"* ]]
	link=$(ip -n "$ns" -o addr show eth0)
	[[ $link == *10.1.2.3/24* && $link == *fd01::3/64* ]]
}
grants_pages()
{
	holds_is 1 grants $((before_grants + 2 + 512)) || { hx dump; return 1; }
}
closes_with_the_backend()
{
	backend_state 5
	until_ 5 state_is $front 6
	until_ 5 carrier_is_down
	holds_is 1 grants $((before_grants + 2 + 512)) # the backend may still map them
	backend_state 6
	until_ 5 holds_is 1 grants "$before_grants"
	holds_is 1 ports "$before_ports"
}
connects_again()
{
	backend_state 2
	until_ 5 state_is $front 4
	backend_state 4
	until_ 5 carrier_is_up
	kill -USR1 "$guest"
	until_ 5 counter_is connects 2
}
restarts_on_hup()
{
	kill -HUP "$guest"
	until_ 5 state_is $front 5
	backend_state 5
	until_ 5 state_is $front 6
	backend_state 6
	until_ 5 state_is $front 1
	connect
}
survives_detach_and_attach()
{
	backend_state 5
	until_ 5 state_is $front 6
	backend_state 6
	dom0 xenstore-rm $front
	dom0 xenstore-rm $back
	until_ 5 holds_is 1 grants "$before_grants"
	make_device "${offers[@]}"
	connect
}
leaves()
{
	stop_guest
	holds_is 1 grants "$before_grants"
	holds_is 1 ports "$before_ports"
	not ip -n "$ns" link show eth0
	counter_is connected false
}
takes_over_a_dead_guest()
{
	make_device "${offers[@]}"
	guest
	connect
	kill -KILL "$guest"
	guest_ends 137
	guest
	until_ 5 state_is $front 5
	backend_state 5
	until_ 5 state_is $front 6
	backend_state 6
	until_ 5 state_is $front 1
	connect
	stop_guest
}
single_event_channel()
{
	make_device "${offers[@]}"
	guest --frontend linux
	connect
	stop_guest
	# another kernel in the same domain: what the first one wrote must not be believed
	dom0 xenstore-write $front/state 1
	guest --frontend linux-single-event
	connect
	keys_are <<-KEYS
		event-channel=N
		feature-gso-tcpv4=1
		feature-rx-notify=1
		feature-sg=1
		request-rx-copy=1
		rx-ring-ref=N
		tx-ring-ref=N
	KEYS
	stop_guest
}
no_scatter_gather()
{
	make_device "${offers[@]}"
	dom0 xenstore-write $front/mtu 9000
	guest --frontend linux-no-sg
	connect
	keys_are <<-KEYS
		event-channel=N
		feature-rx-notify=1
		request-rx-copy=1
		rx-ring-ref=N
		tx-ring-ref=N
	KEYS
	[[ $(ip -n "$ns" -o link show eth0) == *"mtu 1500"* ]]
	stop_guest
}
silent_rx()
{
	make_device "${offers[@]}"
	guest --frontend linux-no-rx-notify
	connect
	keys_are <<-KEYS
		event-channel=N
		feature-gso-tcpv4=1
		feature-sg=1
		request-rx-copy=1
		rx-ring-ref=N
		tx-ring-ref=N
	KEYS
	kill -USR1 "$guest"
	until_ 5 counter_is to_guest_notifies 0
	stop_guest
}
freebsd()
{
	make_device "${offers[@]}"
	dom0 xenstore-rm $front/mac
	dom0 xenstore-write $back/mac 00:16:3e:00:00:22
	guest --frontend freebsd
	connect
	keys_are <<-KEYS
		event-channel=N
		feature-gso-tcpv4=1
		feature-rx-notify=1
		feature-sg=1
		request-rx-copy=1
		rx-ring-ref=N
		tx-ring-ref=N
	KEYS
	[[ $(ip -n "$ns" -o link show eth0) == *"mtu 1500"*00:16:3e:00:00:22* ]]
	stop_guest
	dom0 xenstore-write $front/state 1
	guest --frontend freebsd --queues 2
	connect
	is $front/multi-queue-num-queues 2
	dom0 xenstore-exists $front/queue-1/event-channel
	not dom0 xenstore-exists $front/queue-1/event-channel-rx
	stop_guest
}
windows()
{
	make_device "${offers[@]}"
	guest --frontend windows --without gso-tcpv6
	connect
	keys_are <<-KEYS
		event-channel-rx=N
		event-channel-tx=N
		feature-gso-tcpv4=1
		feature-gso-tcpv6=0
		feature-ipv6-csum-offload=1
		feature-no-csum-offload=0
		feature-rx-notify=1
		feature-sg=1
		multi-queue-num-queues=1
		request-rx-copy=1
		rx-ring-ref=N
		tx-ring-ref=N
	KEYS
	stop_guest
}
mini_os()
{
	make_device "${offers[@]}"
	guest --frontend mini-os
	until_ 5 state_is $front 4 # the backend is Initialising
	keys_are <<-KEYS
		event-channel=N
		request-rx-copy=1
		rx-ring-ref=N
		tx-ring-ref=N
	KEYS
	backend_state 2
	backend_state 4
	until_ 5 carrier_is_up
	[[ $(ip -n "$ns" -o link show eth0) == *"mtu 1500"* ]]
	stop_guest
}
# Without an answer on the ring it never says the link is up.
control_ring()
{
	make_device "${offers[@]}"
	guest --frontend static-grants
	connect
	not dom0 xenstore-exists $front/ctrl-ring-ref
	stop_guest
	make_device "${offers[@]}" feature-ctrl-ring=1
	guest --frontend static-grants --queues 2
	backend_state 2
	until_ 5 state_is $front 4
	dom0 xenstore-exists $front/ctrl-ring-ref
	dom0 xenstore-exists $front/event-channel-ctrl
	backend_state 4
	holds_is 1 grants $((before_grants + 2 + 2 * (2 + 512)))
	holds_is 1 ports $((before_ports + 5))
	not carrier_is_up
	stop_guest
	holds_is 1 grants "$before_grants"
	holds_is 1 ports "$before_ports"
}
mtu_is() { [[ $(ip -n "$ns" -o link show eth0) == *"mtu $1 "* ]]; }
follows_carrier_and_mtu()
{
	make_device "${offers[@]}" carrier=0
	guest
	backend_state 2
	until_ 5 state_is $front 4
	backend_state 4
	until_ 5 counter_is connected true
	not carrier_is_up
	dom0 xenstore-write $back/carrier 1
	until_ 5 carrier_is_up
	mtu_is 1400
	dom0 xenstore-write $front/mtu 9000
	until_ 5 mtu_is 9000
	dom0 xenstore-write $front/mtu nonsense
	dom0 xenstore-write $back/carrier 0
	until_ 5 carrier_is_down
	mtu_is 9000
	dom0 xenstore-rm $back/carrier
	until_ 5 carrier_is_up
	stop_guest
}
asks_for_headroom()
{
	make_device "${offers[@]}"
	guest --frontend linux-xdp
	connect
	is $front/xdp-headroom 256
	stop_guest
}
asks_for_multicast()
{
	make_device "${offers[@]}" feature-multicast-control=1
	guest --frontend windows # only if it may change its mind
	connect
	not dom0 xenstore-exists $front/request-multicast-control
	stop_guest
	dom0 xenstore-write $front/state 1
	guest --frontend multicast
	connect
	is $front/request-multicast-control 1
	stop_guest
	dom0 xenstore-write $front/state 1
	guest --frontend multicast --without multicast-control
	connect
	not dom0 xenstore-exists $front/request-multicast-control
	stop_guest
}
two_queues()
{
	make_device "${offers[@]}"
	guest --queues 4
	connect
	is $front/multi-queue-num-queues 2
	dom0 xenstore-exists $front/queue-0/tx-ring-ref
	dom0 xenstore-exists $front/queue-1/event-channel-rx
	not dom0 xenstore-exists $front/tx-ring-ref
	not dom0 xenstore-exists $front/queue-2
	holds_is 1 grants $((before_grants + 2 * (2 + 512)))
	stop_guest
}
old_backend()
{
	make_device feature-rx-copy=1
	guest
	connect
	dom0 xenstore-exists $front/event-channel
	not dom0 xenstore-exists $front/multi-queue-num-queues
	stop_guest
}
refuses_no_rx_copy()
{
	make_device feature-sg=1
	guest
	backend_state 2
	until_ 5 state_is $front 6
	[[ $(get /local/domain/1/error/device/vif/0/error) == *"does not copy"* ]]
	grep -q 'cannot connect: the backend does not copy' "$tmp/guest.log"
	kill "$guest"
	guest_ends 0
}
refuses_bad_mac()
{
	make_device "${offers[@]}"
	dom0 xenstore-write $front/mac 00:16:3e:00:zz:11
	guest
	backend_state 2
	until_ 5 state_is $front 6
	grep -q 'cannot connect: reading mac and mtu' "$tmp/guest.log"
	kill "$guest"
	guest_ends 0
	holds_is 1 grants "$before_grants"
}
ends_though_the_backend_is_dead()
{
	make_device "${offers[@]}"
	guest
	connect
	kill "$guest"
	guest_ends 0
	grep -q 'did not follow us' "$tmp/guest.log"
	holds_is 1 grants "$before_grants"
}
ends_at_once_on_the_second_signal()
{
	make_device "${offers[@]}"
	guest
	connect
	kill "$guest"
	until_ 5 state_is $front 5
	kill "$guest"
	guest_ends 0
	not grep -q 'did not follow us' "$tmp/guest.log"
}
notices_a_lost_interface()
{
	make_device "${offers[@]}"
	guest
	connect
	ip -n "$ns" link del eth0
	until_ 5 state_is $front 5
	backend_state 5
	until_ 5 state_is $front 6
	backend_state 6
	guest_ends 1
	grep -q 'interface eth0 is gone' "$tmp/guest.log"
}
idle_uses_no_cpu()
{
	local before after=none
	make_device "${offers[@]}"
	guest
	connect
	ip netns exec "$ns" sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1
	until_ 5 counter_is connected true
	# once what its own start caused is over, nothing at all runs
	for ((i = 0; i < 20; i++)); do
		before=$after
		after=$(grep -h ctxt_switches /proc/"$guest"/task/*/status)
		[[ $before != "$after" ]] || break
		sleep 0.5
	done
	timeout -s INT 4 strace -qq -f -c -o "$tmp/strace" -p "$guest" || true
	# strace's own coming and going restarts the calls the threads sleep in
	awk '/^ *[0-9.]+ +[0-9.]+ +[0-9]+ +[0-9]+/ { calls += $4 } END { exit calls > 3 }' "$tmp/strace" ||
		{ cat "$tmp/strace"; return 1; }
	stop_guest
}
says_what_is_wrong()
{
	not_out as 1 "$build/vif-guest" --domid 1 --netns nowhere
	[[ $out == *"network namespace nowhere: No such file"* ]]
	echo mine >"$tmp/mine"
	not_out as 1 "$build/vif-guest" --domid 1 --ifname other0 --control "$tmp/mine"
	[[ $out == *"--control $tmp/mine: Address already in use"* && $(<"$tmp/mine") == mine ]]
	not_out env XENSTORED_RUNDIR=/nonexistent "$build/vif-guest"
	[[ $out == *"xenstore: "* ]]
	not_out "$build/vif-guest" --ip 10.0.0.1
	[[ $out == *"--ip 10.0.0.1: expected an IPv4 address and prefix"* ]]
	not_out "$build/vif-guest" --frontend minix
	[[ $out == *"expected one of: linux "* ]]
	[[ $("$build/vif-guest" --help) == *linux-no-sg* ]]
}

# not COMMAND...: as '!', which 'set -e' does not see.
not()
{
	if "$@"; then return 1; fi
}
# not_out COMMAND...: the same, what it says goes to $out.
not_out()
{
	if out=$("$@" 2>&1); then return 1; fi
}

# A case after a failed one would find its leftovers: the first failure ends it all.
current=setup
exec {report}>&1
finish()
{
	local status=$?
	exec >&"$report" 2>&1
	if [[ $current ]]; then
		echo "not ok - $current"
		sed 's/^/# /' "$tmp/case.log" "$tmp/guest.log" 2>/dev/null || true
	fi
	ip netns del "$ns" 2>/dev/null || true
	cleanup
	exit "$status"
}
trap finish EXIT
step()
{
	current=$1
	"$2" >"$tmp/case.log" 2>&1
	echo "ok - $1"
}

mkdir "$tmp/host"
start_host "$tmp/host"
start_store
start_domain 1
ip netns add "$ns"
before_grants=$(holds 1 grants) before_ports=$(holds 1 ports)

step "connects and writes the keys Linux writes" connects_as_linux
step "MAC, MTU, GSO limit and addresses of the interface" interface_is_set_up
step "two rings and 512 pages are granted" grants_pages
step "closes when the backend does, takes grants back when it has" closes_with_the_backend
step "connects again when the backend reopens" connects_again
step "SIGHUP reloads the driver" restarts_on_hup
step "detach, then attach" survives_detach_and_attach
step "SIGTERM leaves nothing behind" leaves
step "a killed guest's vif is taken over" takes_over_a_dead_guest
step "linux-single-event, after linux" single_event_channel
step "linux-no-sg, MTU clamped" no_scatter_gather
step "linux-no-rx-notify sends no event for buffers" silent_rx
step "freebsd: the backend's mac, no mtu, one event channel a queue" freebsd
step "windows: keys of what is off" windows
step "mini-os does not wait" mini_os
step "a control ring, if it is offered" control_ring
step "carrier and mtu keys, while connected" follows_carrier_and_mtu
step "linux-xdp asks for headroom" asks_for_headroom
step "multicast control, static and dynamic" asks_for_multicast
step "two queues of four wanted" two_queues
step "a backend that offers nothing" old_backend
step "a backend without rx-copy is refused" refuses_no_rx_copy
step "a bad MAC is refused" refuses_bad_mac
step "SIGTERM with a dead backend ends in time" ends_though_the_backend_is_dead
step "a second SIGTERM ends at once" ends_at_once_on_the_second_signal
step "its interface deleted: says so and closes" notices_a_lost_interface
if [ "${VIF_SAN:-}" = thread ]; then
	echo "skip - the thread sanitizer makes system calls of its own"
else
	step "connected and idle: no system call" idle_uses_no_cpu
fi
step "errors name what is wrong" says_what_is_wrong
current=
