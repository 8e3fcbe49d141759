#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Guests with a place on a NIC: frames come past the bridge, and no change of the path
# loses, doubles or reorders any.
#
#	SWAPS=100 tests/nic/test_places.sh	more of them
#	NIC=model tests/nic/test_places.sh	not AF_XDP on the uplink, but the NIC in software
#	STEERING=device tests/nic/test_places.sh	the uplink's own filters pick the queue
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "p$$" --guests 2 --frontend "${FRONTEND:-linux}" --model mq --nic "${NIC:-afxdp}" \
	--steering "${STEERING:-program}" --workers 2 -- "$0"

uplink=$([ "$VIF_LAB_NIC" = model ] && echo "${n}mq0" || echo "${n}w0")
to_guest() { vifctl stats "vif$1.0" --json | jq ".vifs[0]$2"; }
arps() { wire ip neigh flush all && pings "$1"; }
other() { echo $((3 - $1)); }
nowhere() { ip link show "$uplink" | grep NO-CARRIER; }

past_the_bridge()
{
	local before after
	arps "$g"
	before=$(to_guest "$g" .netdev.to_guest.frames)
	wire ping -q -c 50 -i 0.002 -w 5 "10.77.0.1$g"
	after=$(to_guest "$g" .netdev.to_guest.frames)
	echo "netdev: $before frames, then $after"
	((after - before <= 10)) # neighbours' questions may be among them
	[ "$(to_guest "$g" .to_guest.frames)" -ge 50 ]
}

# What is not the NIC's stays the bridge's: groups, other guests, the host.
by_the_bridge()
{
	local o
	o=$(other "$g")
	guest "$o" ip neigh flush all
	guest "$o" ping -q -c 5 -i 0.02 -w 5 "10.77.0.1$g"
	guest "$g" ping -q -c 5 -i 0.02 -w 5 "10.77.0.1$o"
	wire ping -q -c 5 -i 0.02 -w 5 "fd77::1$g"
}

# The other guest is paused, as by 'xl pause', and gets more than anybody has room for: no frame of
# this one's finds less room for it. It is one way only, so nothing else would have vifd look.
beside_a_paused_one()
{
	local o pid
	o=$(other "$g")
	pings "$o"
	pid=$(pgrep -f -- "^[^ ]*vif-guest --domid $o ")
	# shellcheck disable=SC2064
	trap "kill -CONT $pid" EXIT
	kill -STOP "$pid"
	timeout 3 "$build/flows" udp "$n-wire" "$n-g$o" "10.77.0.1$o" 7003 8 4000 1 >"$work/out.paused" || true
	"$build/flows" udp "$n-wire" "$n-g$g" "10.77.0.1$g" 7001 8 500 2 || tell_losses
}

# 8 flows each way while the vif goes there and back.
swapped()
{
	local i out=$work/out
	"$build/flows" udp "$n-wire" "$n-g$g" "10.77.0.1$g" 7001 8 1000 "$((2 + ${SWAPS:-20} / 5))" >"$out.in" &
	local in=$!
	"$build/flows" udp "$n-g$g" "$n-wire" 10.77.0.1 7002 8 1000 "$((2 + ${SWAPS:-20} / 5))" >"$out.out" &
	local back=$!
	for ((i = 0; i < ${SWAPS:-20}; i++)); do
		set_model "$g" bridge
		set_model "$g" mq
	done
	wait "$in" || { cat "$out.in"; tell_losses; }
	wait "$back" || { cat "$out.out"; tell_losses; }
	[ "$(placement "$g" moves)" -ge $((2 * ${SWAPS:-20})) ]
}

datapath_killed()
{
	local old
	old=$(pgrep -f '^vifd-datapath')
	kill -9 "$old"
	await 10 pings "$g"
	await 20 model_is "$g" mq
	pings "$g"
}

in_bridge() { vifctl nic | grep "in bridge ${n}br0"; }

out_of_the_bridge()
{
	ip link set "$uplink" nomaster
	await 10 model_is "$g" bridge
	placement "$g" why_not | grep 'no open NIC of vifd.conf is in its bridge: see vifctl nic'
	vifctl nic | grep 'in no bridge: it serves no guest'
	grep "warning: NIC $uplink: it is in no bridge" "$VIF_LAB_DIR/vifd.log"
	ip link set "$uplink" master "${n}br0"
	await 10 in_bridge
	await 10 model_is "$g" mq
	pings "$g"
}

plug_veth()
{
	ip link add "$uplink" type veth peer name eth0 address "$1" netns "$n-wire"
	wire ethtool -K eth0 tx off >/dev/null
	wire ip addr add 10.77.0.1/24 dev eth0
	wire ip addr add fd77::1/64 dev eth0 nodad
	wire ip link set eth0 up
}

# A NIC with filters comes without any, and its hardware is another's: tests/lab/nic_switch.h.
plug_steered()
{
	local switch=(ip netns exec "$n-switch") queues="numrxqueues 8 numtxqueues 8"
	for i in 0 1 2 3 4; do
		LD_PRELOAD=$build/lab-nic.so ethtool -N "$uplink" delete "$i" 2>/dev/null || true
	done
	# shellcheck disable=SC2086 # several words
	ip link add "$uplink" $queues type veth peer name nic0 $queues netns "$n-switch"
	"${switch[@]}" ethtool -K nic0 txvlan off
	"${switch[@]}" tc qdisc add dev nic0 clsact
	"${switch[@]}" tc filter add dev nic0 egress bpf da object-pinned /run/vif-lab/bpf/nic_switch
	"${switch[@]}" ip link set nic0 master br0 up
}

# Taken away and plugged in anew, with another network device of the same name. Frames are
# under way: the worker waits for more of them when the device goes.
plugged_anew()
{
	local i mac plug=plug_veth
	[ "$VIF_LAB_STEERING" != device ] || plug=plug_steered
	[ "$VIF_LAB_NIC" = model ] && return # there the cable ends
	mac=$(wire cat /sys/class/net/eth0/address)
	for ((i = 0; i < 4; i++)); do
		arps "$g"
		ip link del "$uplink"
		await 10 model_is "$g" bridge
		"$plug" "$mac"
		ip link set "$uplink" master "${n}br0" up
		await 10 model_is "$g" mq
		pings "$g"
		past_the_bridge
	done
}

# The NIC's link partner: the wire, or the switch on the way there.
link_end()
{
	if [ "$VIF_LAB_STEERING" = device ]; then
		ip -n "$n-switch" link set nic0 "$1"
		return
	fi
	wire ip link set eth0 "$1"
	[ "$1" = down ] || wire ip addr add fd77::1/64 dev eth0 nodad # the kernel forgets it
}

no_link()
{
	link_end down
	await 10 model_is "$g" bridge
	link_end up
	await 10 model_is "$g" mq
	pings "$g"
}

on() { [ "$(placement "$g" nic)" = "$1" ] && model_is "$g" mq; }
dropped() { to_guest "$g" '.to_guest.drops["detached"]'; }

# Of two NICs of its bridge one fails its guest, which takes no frames just then: it is not waited
# for, as it has one queue, and comes to the other with frames of the first that it has no buffers
# for. (It has 256; up to 32 frames are read without one.)
another_nic()
{
	local old pid second=${n}x0
	[ "$VIF_LAB_NIC" = model ] && return # whose frames wait on the device
	ip link add "$second" type veth peer name eth1 netns "$n-wire"
	ip link set "$second" master "${n}br0" up
	wire ip link set eth1 up
	vif-lab vifd restart --workers 1 --nics "$uplink,steering=$VIF_LAB_STEERING $second"
	await 20 on "$uplink"
	pings "$g"
	old=$(pgrep -f '^vifd-datapath')
	pid=$(pgrep -f -- "^[^ ]*vif-guest --domid $g ")
	# shellcheck disable=SC2064
	trap "kill -CONT $pid" EXIT
	kill -STOP "$pid"
	timeout 3 "$build/flows" udp "$n-wire" "$n-g$g" "10.77.0.1$g" 7003 8 270 1 >"$work/out.frozen" || true
	ip link set "$uplink" nomaster
	await 8 on "$second"
	echo "dropped: $(dropped)"
	(($(dropped) > 0))
	kill -CONT "$pid"
	ip link set "$uplink" master "${n}br0"
	await 20 on "$uplink"
	pings "$g"
	[ "$(pgrep -f '^vifd-datapath')" = "$old" ]
	ip link del "$second"
	vif-lab vifd restart
	await 20 n_placed_is 2
}

detached()
{
	vif-lab detach --domid "$g"
	n_placed_is 1
	vif-lab attach --domid "$g" --mac "00:16:3e:77:00:0$g"
	await 10 pings "$g"
}

stopped()
{
	vif-lab vifd restart
	await 10 nic_is open true
	[ "$VIF_LAB_NIC" = model ] || await 10 has_program
	vif-lab vifd restart --nics none # as the last flag, it counts
	await 10 no_program
	if [ "$VIF_LAB_NIC" = model ]; then # it is vifd's: the wire is cut
		await 10 nowhere
		vif-lab vifd restart
	fi
	await 10 pings 1
	await 10 pings 2
}

elsewhere() { placement "$1" why_not | grep -q "no queue of it is with the NIC's worker"; }
unwanted() { placement "$1" why_not | grep -q 'the operator wants it on the bridge'; }

# What the operator said stands for the next vifd as well.
wish_kept()
{
	set_model "$g" bridge
	vif-lab vifd restart
	await 10 nic_is open true
	await 10 unwanted "$g"
	[ "$(placement "$g" wish)" = bridge ]
	vifctl model "vif$g.0" auto
	await 10 elsewhere "$g"
	vif-lab vifd restart # which has it there
	await 10 model_is "$g" mq
	[ "$(placement "$g" wish)" = auto ]
	pings "$g"
}

g=1
# Of two workers the NIC's is the one that has their queues.
ok "both guests have a place" await 20 n_placed_is 2
ok "its frames come past the bridge" past_the_bridge
ok "groups, other guests and IPv6 reach it" by_the_bridge
ok "a paused guest beside it keeps no frame from it" beside_a_paused_one
ok "there and back ${SWAPS:-20} times: nothing lost, doubled, reordered" swapped
ok "the datapath killed: the bridge serves it, then the NIC again" datapath_killed
ok "the NIC leaves the bridge and comes back" out_of_the_bridge
ok "the NIC's link drops and comes back" no_link
ok "the NIC is taken away and plugged in anew" plugged_anew
ok "another NIC has it, with frames of the first that it has not taken" another_nic
ok "detached and attached" detached
ok "a vifd started later knows which model the operator wants" wish_kept
ok "vifd without NICs leaves nothing of it behind" stopped
exit $failed
