#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Whatever guests, the operator and the device do, over and over: once all is settled vifd holds
# what it held before, of descriptors, memory, guests' pages and filters, and is the same process.
# Two guests under traffic on a NIC by which they send as well; what happens to them is drawn.
#
# By hand, as tests/control/soak_vifd.sh: beside much else it failed once in ten times, as a guest had
# not connected anew in 20 s, and nobody has said why.
#
#	SEED=7 BLOCKS=3 ROUNDS=10 tests/nic/soak_nic.sh	other things, and more of them
#	NIC=model | STEERING=program | FILTERS=1 tests/nic/soak_nic.sh	another NIC
#	LOGS=/tmp/logs tests/nic/soak_nic.sh	with the lab's logs kept there
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
default=$([ "${NIC:-afxdp}" = model ] && echo program || echo device)
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "k$$" --guests 2 --queues 2 --frontend static-grants --model mq \
	--nic "${NIC:-afxdp}" --steering "${STEERING:-$default}" --filters "${FILTERS:-2}" --workers 2 \
	${LOGS:+--logs "$LOGS"} -- "$0"

seed=${SEED:-1}
rounds=${ROUNDS:-1}
blocks=${BLOCKS:-1}
filters=${FILTERS:-2}
uplink=${n}w0
config=$uplink,steering=$VIF_LAB_STEERING
if [ "$VIF_LAB_NIC" = model ]; then
	uplink=${n}mq0
	config=$uplink,provider=model,wire=${n}w0
fi
control_pid() { pgrep -o -f "^[^ ]*vifd "; }
datapath_pid() { pgrep -f '^vifd-datapath'; }
guest_pid() { pgrep -f -- "^[^ ]*vif-guest --domid $1 "; }

# ---- what happens ----
# Drawn in this shell: one begun by $(...) would draw by a seed of its own.

reconnects() { vif-lab guest tell "$1" connect >/dev/null; }
changes() # to what another driver would be
{
	local kinds=("frontend=static-grants queues=2" "frontend=static-grants queues=1" "frontend=linux queues=2"
		"frontend=linux-no-rx-notify queues=1" "frontend=hashing queues=2" "frontend=linux-xdp queues=2"
		"frontend=multicast queues=1" "frontend=static-grants queues=2")
	# shellcheck disable=SC2086 # several words
	vif-lab guest tell "$1" connect ${kinds[RANDOM % ${#kinds[@]}]} >/dev/null
}
# Lent to, if it can be: what its buffers have no room for is left when that ends, after a second.
freezes()
{
	local pid
	vif-lab guest tell "$1" connect frontend=static-grants queues=2
	gets_to_lend "$1"
	pid=$(guest_pid "$1")
	kill -STOP "$pid"
	sleep 2.5
	kill -CONT "$pid"
}
dies() { vif-lab guest stop --destroy "$1" && vif-lab guest start "$1"; }
shuts_down() { vif-lab guest stop "$1" && vif-lab guest start "$1"; }
moves()
{
	vifctl model "vif$1.0" bridge
	sleep "0.$((RANDOM % 4))"
	vifctl model "vif$1.0" auto
}
has_longer_frames() # than fit a buffer, and than may be lent to
{
	ip link set "vif$1.0" mtu $((1500 + RANDOM % 3 * 1300))
	sleep "0.$((RANDOM % 4))"
	ip link set "vif$1.0" mtu 1500
}
nic_leaves_bridge()
{
	ip link set "$uplink" nomaster
	sleep "0.$((RANDOM % 4))"
	ip link set "$uplink" master "${n}br0"
}
nic_has_no_link()
{
	ip link set "$uplink" down
	sleep "0.$((RANDOM % 4))"
	ip link set "$uplink" up
}

is_lent() { [ "$(placement "$1" buffers)" = lent ]; }
gets_to_lend() { [ "$VIF_LAB_STEERING" != device ] || await 3 is_lent "$1" || true; }

# All of it, each to one of the guests, in any order.
round()
{
	local does=(gets_to_lend reconnects changes changes freezes freezes dies shuts_down moves has_longer_frames
		nic_leaves_bridge nic_has_no_link)
	local i k g what
	for ((i = ${#does[@]}; i > 0; i--)); do
		k=$((RANDOM % i)) what=${does[k]} g=$((1 + RANDOM % 2))
		does[k]=${does[i - 1]}
		echo "$what $g" >>"$work/done"
		"$what" "$g" >"$work/said" 2>&1 || sed "s/^/# $what $g: /" "$work/said"
	done
}

# ---- what vifd holds ----

# Without what the stand-ins for Xen's libraries keep of each domain they met: a pipe, and all its
# memory, a GiB.
fds() { find "/proc/$1/fd" -mindepth 1 -printf '%l\n' | grep -v pipe: | sed -E 's/[0-9]+//g' | sort | uniq -c; }
maps()
{
	awk '
		/^[0-9a-f]+-/ { what = $6; gsub(/[0-9]+/, "", what) }
		/^Size:/ && what ~ /hosted-xen/ && $2 < 1048576 { pages += $2 / 4 }
		/^Size:/ && what ~ /vifd-|io_uring|bpf-map|socket:/ { n[what]++ }
		END { print "granted pages", pages; for (what in n) print what, n[what] }' "/proc/$1/smaps" | sort
}
# KiB of its own, which its heap has to be allowed some of.
own() { awk '/^[0-9a-f]+-/ { what = $6 } /^Size:/ && (what == "" || what == "[heap]") { n += $2 } END { print n }' "/proc/$1/smaps"; }
own_of_both() { echo "$(own "$(control_pid)") $(own "$(datapath_pid)")"; }
rules() { LD_PRELOAD=$build/lab-nic.so ethtool -n "$uplink" | grep -c '^Filter'; }
held()
{
	local pid
	for pid in $(control_pid) $(datapath_pid); do
		echo "process $pid"
		fds "$pid"
		maps "$pid"
		echo "$(cat "/proc/$pid"/task/*/comm | grep -vc ^iou-) threads" # of its own, not io_uring's
	done
	hosted-xen dump
	echo "$(xenstore-ls -f | wc -l) nodes, $(ip -o link | wc -l) links"
	[ "$VIF_LAB_STEERING" != device ] || echo "$(rules) rules"
}

# Both as new ones, each with a place and nothing lent; all that is under way has come to its end.
settle()
{
	local g
	for g in 1 2; do
		dies "$g"
		await 20 pings "$g"
		vif-lab guest tell "$g" connect frontend=linux queues=2
	done
	await 20 n_placed_is "$filters"
	await 20 pings 1
	await 20 pings 2
}
is_steady() { held >"$work/before" && sleep 0.3 && is_as_before; }
is_as_before() { held >"$work/now" && diff "$work/before" "$work/now" >"$work/diff"; }

happens()
{
	local i
	for ((i = 0; i < rounds; i++)); do
		round
	done
}

# Less than any UMEM has, or than the buffers have that are posted for one guest: 1 MiB.
nothing_is_kept()
{
	local now control datapath
	settle
	await 20 is_as_before || { cat "$work/diff"; return 1; }
	now=$(own_of_both)
	read -r control datapath < <(echo "$own $now" | awk '{ print $3 - $1, $4 - $2 }')
	echo "own memory: $own KiB, now $now"
	((control < 1024 && datapath < 1024))
}

traffic()
{
	while :; do
		timeout 8 "$build/flows" udp "$n-wire" "$n-g$1" "10.77.0.1$1" 7001 4 800 5 || true
	done
}

# shellcheck disable=SC2086 # several words
vif-lab vifd restart --workers 2 --nics "$config,transmit=yes${FILTERS:+,filters=$FILTERS}"
await 20 pings 1 >"$work/out"
for g in 1 2; do
	traffic "$g" >"$work/flows.$g" 2>&1 &
done
trap 'kill $(jobs -p); cleanup' EXIT
RANDOM=$seed
echo "# seed $seed"
ok "all is settled" settle
await 20 is_steady
own=$(own_of_both)
for ((block = 1; block <= blocks; block++)); do
	happens
	ok "whatever happens, then vifd holds what it held ($block of $blocks)" nothing_is_kept
done
[ "$failed" = 0 ] || sed 's/^/# /' "$work/done" "$work/before"
exit "$failed"
