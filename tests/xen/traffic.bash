# SPDX-License-Identifier: MIT
#
# Traffic between dom0 and guests, for tests on the rig: commands for 'check', sourced
# after cases.bash.
#
#	shows COMMAND PATTERN		in dom0: its output has a line like that
#	pings ADDRESS			dom0 a guest
#	guest_pings GUEST ADDRESS
#	send_to GUEST ADDRESS		TCP, checksummed: dom0 to a guest
#	fetch_from GUEST ADDRESS	a guest to dom0
#	between FROM TO ADDRESS		a guest to another
#	nothing_lost			by vifd's counters and those of its netdevs
# shellcheck shell=bash

TRANSFER=$((1 << 20)) # bytes
dom0_net=''	       # or how dom0's end runs in a namespace of its: 'ip netns exec NAME'

# The grep runs in dom0, on what it judges: a failure then shows all of it.
shows() { dom0 "$1 >/run/shown 2>&1; cat /run/shown; grep -qE '$2' /run/shown"; }

pings() { shows "$dom0_net ping -c 3 -i 0.2 -W 5 $1" ' 0% packet loss'; }
guest_pings() { shows "guest-run $1 'ping -c 3 -i 0.2 -W 5 $2'" ' 0% packet loss'; }

# server PORT COMMAND: a guest's commands that start one and return when it listens. It
# serves one connection, which the command has as its input and output.
server() { echo "nc -l -p $1 -e $2 >/dev/null 2>&1 & until netstat -ltn | grep -q :$1; do sleep 0.1; done"; }
random_data() { echo "head -c $TRANSFER /dev/urandom >/run/data; sha256sum </run/data"; }
same_sum() { echo "$1 / $2" && [ "${1%% *}" = "${2%% *}" ] && [[ $1 =~ ^[0-9a-f]{64} ]]; }

# What one side sends, the other has the sum of: dom0 to guest, guest to dom0, and
# between guests.
send_to()
{
	local sums
	guest "$1" "$(server 5001 sha256sum)"
	mapfile -t sums < <(dom0 "$(random_data); $dom0_net nc $2 5001 </run/data")
	same_sum "${sums[@]}"
}

fetch_from()
{
	local sum
	sum=$(guest "$1" "$(random_data); $(server 5002 'cat /run/data')")
	same_sum "$sum" "$(dom0 "$dom0_net nc $2 5002 </dev/null | sha256sum")"
}

between()
{
	local sums
	guest "$2" "$(server 5003 sha256sum)"
	mapfile -t sums < <(guest "$1" "$(random_data); nc $3 5003 </run/data")
	same_sum "${sums[@]}"
}

nothing_lost()
{
	dom0 'vifctl stats | tee /run/stats
		! grep -E "dropped:|netdev:" /run/stats | grep -vE "dropped: none|dropped 0 +errors 0"'
}
