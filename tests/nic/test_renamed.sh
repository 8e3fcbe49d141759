#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A NIC with guests on it that is renamed, or moved to another network namespace: vifd.conf means
# whoever has the name, and what vifd put on a device is taken off it, whatever its name is by then.
#
#	NIC=model tests/nic/test_renamed.sh	not AF_XDP on the uplink, but the NIC in software
#	STEERING=device tests/nic/test_renamed.sh	the uplink's own filters pick the queue
set -euo pipefail
# shellcheck source=tests/nic/nic.bash
. "$(dirname "$0")/nic.bash"
# shellcheck source=tests/pings.bash
. "$(dirname "$0")/../pings.bash"
[ -n "${VIF_LAB_NAME:-}" ] || become_lab --name "r$$" --guests 2 --model mq --nic "${NIC:-afxdp}" \
	--steering "${STEERING:-program}" --filters 2 --workers 1 -- "$0"

uplink=$([ "$VIF_LAB_NIC" = model ] && echo "${n}mq0" || echo "${n}w0")
renamed=${n}r0
elsewhere=$n-elsewhere
# Of the NIC, which is named $2 now.
driver() { VIF_LAB_NIC_DEVICE=$2 LD_PRELOAD=$build/lab-nic.so ethtool "$@"; }
trap 'ip netns del "$elsewhere" 2>/dev/null || true; cleanup' EXIT
spread() { driver -x "$1" | awk '/^ *[0-9]+:/ { for (i = 2; i <= NF; i++) print $i }' | sort -nu | xargs; }
told() { nic error | grep "$1"; }
by_their_places()
{
	local g before
	for g in 1 2; do
		before=$(by_nic "$g")
		pings "$g"
		[ "$(by_nic "$g")" -ge $((before + 3)) ]
	done
}

# Nothing of vifd's is on device $1.
as_it_was()
{
	ip -d link show "$1" | grep prog/xdp && return 1
	[ "${STEERING:-program}" != device ] || device_as_it_was "$1"
}
device_as_it_was()
{
	driver -n "$1" | grep '^Total 0 rules' && [ "$(spread "$1")" = "0 1 2 3 4 5 6" ]
}

# The NIC in software is all that joins wire and bridge, so it goes on.
keeps_its_places()
{
	ip link set "$uplink" name "$renamed"
	await 10 grep "it was renamed to $renamed" "$VIF_LAB_DIR/vifd.log"
	by_their_places
	ip link add "$uplink" type veth peer name "${n}rp"
	by_their_places
	ip link del "$uplink"
	ip link set "$renamed" name "$uplink"
	by_their_places
	n_placed_is 2
}

# As udev does it, and with all others on it: the bridge goes on, as it does not go by names.
is_renamed()
{
	by_their_places
	ip link set "$uplink" down
	ip link set "$uplink" name "$renamed"
	ip link set "$renamed" up
	await 10 told "it was renamed to $renamed"
	await 10 as_it_was "$renamed"
	await 10 pings 1
	await 10 pings 2
	model_is 1 bridge
	[ "$(grep -c "it was renamed to $renamed" "$VIF_LAB_DIR/vifd.log")" = 1 ]
}

# Running, as Linux 6.2 lets devices be renamed. None is lost on the way.
has_its_name_again()
{
	local pid
	each_answered "$n-wire" 150 -i 0.02 10.77.0.11 &
	pid=$!
	ip link set "$renamed" name "$uplink"
	await 15 n_placed_is 2
	wait "$pid"
	by_their_places
}

# Another device has the name at once: no command is for that one.
another_has_its_name()
{
	ip link set "$uplink" name "$renamed"
	ip link add "$uplink" type veth peer name "${n}rp"
	await 10 told .
	await 10 as_it_was "$renamed"
	await 10 pings 1
	model_is 1 bridge
	ip link del "$uplink"
	ip link set "$renamed" name "$uplink"
	await 15 n_placed_is 2
	by_their_places
}

moves_away()
{
	ip netns add "$elsewhere"
	ip link set "$uplink" netns "$elsewhere"
	await 10 told 'moved to another network namespace'
	await 10 model_is 1 bridge
	await 10 model_is 2 bridge
	guest 1 ping -q -c 3 -i 0.02 -w 5 10.77.0.12
}
into_the_bridge()
{
	ip link set "$uplink" up
	ip link set "$uplink" master "${n}br0"
	await 15 n_placed_is 2
	await 10 by_their_places
}

comes_back()
{
	moves_away
	ip -n "$elsewhere" link set "$uplink" netns $$
	into_the_bridge
	ip netns del "$elsewhere"
}

comes_back_by_another_name()
{
	moves_away
	ip -n "$elsewhere" link set "$uplink" name "$renamed"
	ip -n "$elsewhere" link set "$renamed" netns $$
	await 10 as_it_was "$renamed"
	[ "$VIF_LAB_NIC" = model ] || await 10 grep "it is back, as $renamed: what vifd put on it is taken off" "$VIF_LAB_DIR/vifd.log"
	ip link set "$renamed" name "$uplink"
	into_the_bridge
	ip netns del "$elsewhere"
}

await 20 n_placed_is 2 || true
if [ "$VIF_LAB_NIC" = model ]; then
	ok "it is renamed, and another device has its name: it serves its guests" keeps_its_places
else
	ok "it is renamed: its guests have the bridge, and nothing of vifd's is on it" is_renamed
	ok "it has its name again: its guests their places, and none lost a frame" has_its_name_again
	ok "another device has its name: that one is left alone" another_has_its_name
fi
ok "it is moved to another namespace, and back" comes_back
ok "it comes back by another name: what vifd had put on it is taken off" comes_back_by_another_name
exit "$failed"
