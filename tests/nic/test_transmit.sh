#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What guests send, by the NIC (transmit=yes, AF_XDP on the uplink): past the bridge, with the
# vif's own source address only, in order.
#
#	SWAPS=100 tests/nic/test_transmit.sh	more changes of the path under traffic
#	NIC=model tests/nic/test_transmit.sh	not AF_XDP on the uplink, but the NIC in software
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
# shellcheck source=tests/pings.bash
. "$(dirname "$0")/../pings.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "x$$" --guests 2 --model mq --nic "${NIC:-afxdp}" \
	--workers 1 -- "$0"

config=${n}w0
[ "$VIF_LAB_NIC" != model ] || config=${n}mq0,provider=model,wire=$config
placed() { model_is 1 mq && model_is 2 mq; }
from_guest() { vifctl stats "vif$1.0" --json | jq ".vifs[0]$2"; }
sent_by_nic() { from_guest 1 .from_guest.nic_frames; }
by_bridge() { from_guest 1 .netdev.from_guest.frames; }
pings() { each_answered "$n-g1" "$1" -i 0.02 -W 5 "$2"; }

# The wire's address is known once the wire has sent: to the first question it answers.
leaves_by_it()
{
	local nic bridge
	vif-lab vifd restart --workers 1 --nics "$config,transmit=yes"
	await 20 placed
	vifctl nic --json | jq -e '.nics[0].transmit'
	pings 5 10.77.0.1
	nic=$(sent_by_nic) bridge=$(by_bridge)
	pings 100 10.77.0.1
	echo "by the NIC $nic, then $(sent_by_nic); by the bridge $bridge, then $(by_bridge)"
	(($(sent_by_nic) - nic >= 100))
	(($(by_bridge) - bridge <= 10))
}

by_the_bridge()
{
	local nic
	nic=$(sent_by_nic)
	pings 50 10.77.0.12
	nic=$(($(sent_by_nic) - nic))
	echo "by the NIC $nic"
	[ $nic -le 10 ] # answers to the wire's questions
	pings 3 fd77::1
}

# An address the guest gave itself: the frame is the bridge's, which carries it.
foreign_source()
{
	local nic foreign
	guest 1 ip link set eth0 address 02:00:00:00:00:42
	guest 1 ip neigh flush all
	pings 5 10.77.0.1
	nic=$(sent_by_nic) foreign=$(from_guest 1 .from_guest.nic_foreign)
	pings 50 10.77.0.1
	nic=$(($(sent_by_nic) - nic)) foreign=$(($(from_guest 1 .from_guest.nic_foreign) - foreign))
	guest 1 ip link set eth0 address 00:16:3e:77:00:01
	echo "by the NIC $nic, foreign $foreign"
	[ "$nic" = 0 ]
	[ "$foreign" -ge 50 ]
	wire ip neigh flush all
	pings 5 10.77.0.1
}

# 8 flows each way while the vif's path changes there and back.
swapped()
{
	local i nic seconds=$((2 + ${SWAPS:-20} / 5)) out=$work/out
	nic=$(sent_by_nic)
	"$build/flows" udp "$n-g1" "$n-wire" 10.77.0.1 7002 8 1000 "$seconds" >"$out.out" &
	local there=$!
	"$build/flows" udp "$n-wire" "$n-g1" 10.77.0.11 7001 8 1000 "$seconds" >"$out.in" &
	local back=$!
	for ((i = 0; i < ${SWAPS:-20}; i++)); do
		set_model 1 bridge
		set_model 1 mq
	done
	wait "$there" || { cat "$out.out"; tell_losses; }
	wait "$back" || { cat "$out.in"; tell_losses; }
	cat "$out.out"
	echo "by the NIC $nic, then $(sent_by_nic)"
	(($(sent_by_nic) - nic > 500))
}

listens() { wire ss -tlnH | grep -q ':7003 '; }
# With --json iperf3 ends well even where nobody listened: its server would then wait for ever.
sends_tcp()
{
	guest 1 timeout 20 iperf3 -c 10.77.0.1 -p 7003 -t 2 -P 4 --json >"$work/tcp"
	jq -e '.error == null' "$work/tcp" || { jq .error "$work/tcp"; return 1; }
}

# The kernel's queues of received frames are a processor's each: a thread that goes from one to another
# in the midst of a flow reorders it at the far end of a veth, as no wire would.
keep_processors()
{
	local task cpu
	for task in "/proc/$(pgrep -f '^vifd-datapath')"/task/*; do
		cpu=0
		[[ $(<"$task/comm") != nic-hw* ]] || cpu=$(($(nproc) - 1))
		taskset -cp "$cpu" "${task##*/}" >/dev/null || true
	done
}
# The sum of counters of the namespace $1.
tcp_count() { ip netns exec "$n-$1" nstat -asz "${@:2}" | awk '$2 ~ /^[0-9]+$/ { sum += $2 } END { print sum }'; }

# One try: fails with 1 if a segment arrived before an earlier one, with 2 if any were lost on the way,
# as a busy machine may: of what comes after those the same is seen.
tcp_in_order()
{
	local before after lost
	before=$(tcp_count wire TcpExtTCPOFOQueue)
	lost=$(($(tcp_count g1 TcpRetransSegs) - $(tcp_count g1 TcpExtTCPDSACKRecv)))
	wire timeout 40 iperf3 -s -1 -p 7003 >/dev/null &
	local server=$!
	await 10 listens
	sends_tcp || return 1
	wait $server || true
	[ "$(jq .end.sum_received.bytes "$work/tcp")" -gt 1000000 ] || return 1
	after=$(tcp_count wire TcpExtTCPOFOQueue)
	lost=$(($(tcp_count g1 TcpRetransSegs) - $(tcp_count g1 TcpExtTCPDSACKRecv) - lost))
	echo "out of order $before, then $after; sent again $lost; by the NIC $(sent_by_nic)"
	[ "$before" != "$after" ] || return 0
	return $((1 + (lost > 0)))
}

# What is to be cut takes the bridge, what is not the NIC, and no segment arrives before an
# earlier one: the receiver has nothing to put aside.
tcp()
{
	local status
	keep_processors
	for _ in 1 2 3 4; do
		status=0
		tcp_in_order || status=$?
		[ "$status" = 2 ] || return $status
	done
	echo "every time some were lost"
	tell_losses
}

# Guest 1 floods its bridge with new source addresses, more than control would take as news in a second;
# guest 2 goes on sending by the NIC meanwhile.
strangers_flood()
{
	local nic
	"$build/strangers" "$n-g1" eth0 00:16:3e:77:00:01 40000 30 >"$work/strangers" &
	local flood=$!
	await 10 learned_many
	guest 2 ping -q -c 5 -i 0.02 10.77.0.1
	nic=$(from_guest 2 .from_guest.nic_frames)
	guest 2 ping -q -c 200 -i 0.01 10.77.0.1
	nic=$(($(from_guest 2 .from_guest.nic_frames) - nic))
	kill $flood
	wait $flood
	echo "strangers $(<"$work/strangers"), by the NIC $nic"
	[ "$(<"$work/strangers")" -ge 50000 ]
	[ "$nic" -ge 190 ]
}
learned_many() { (($(by_bridge) > 50000)); }

link_down()
{
	local nic
	wire ip link set eth0 down
	await 10 model_is 1 bridge
	wire ip link set eth0 up
	await 10 guest 1 ping -q -c 1 -W 1 10.77.0.1
	await 20 placed
	pings 5 10.77.0.1
	nic=$(sent_by_nic)
	pings 20 10.77.0.1
	(($(sent_by_nic) - nic >= 15))
}

not_by_itself()
{
	vif-lab vifd restart --workers 1 --nics "$config"
	await 20 placed
	pings 20 10.77.0.1
	[ "$(sent_by_nic)" = 0 ]
}

ok "what a guest sends to the wire leaves by the NIC" leaves_by_it
ok "to guests and groups it takes the bridge" by_the_bridge
ok "with a source address that is not the vif's, too" foreign_source
ok "there and back ${SWAPS:-20} times: nothing lost, doubled, reordered" swapped
ok "TCP arrives in order" tcp
ok "a guest that floods new addresses takes it from nobody" strangers_flood
ok "the cable is pulled and put back" link_down
ok "not by itself" not_by_itself
