# SPDX-License-Identifier: MIT
#
# Sourced by tests: pings of which each must be answered.
# shellcheck shell=bash

# Echo replies the kernel of network namespace $1 has got, of both IP versions.
echo_replies()
{
	ip netns exec "$1" nstat -asz IcmpInEchoReps Icmp6InEchoReplies | awk '{ n += $2 } END { print n }'
}

# each_answered NETNS N [OPTION of ping]... ADDRESS: N echo requests, and as many answers within
# 10 s of the last. The kernel counts them, as ping cannot be told to wait for the last one:
# once any has come, its patience is two of their round trips, or its interval (iputils
# ping_common.c __schedule_exit(); -W is for when there is none), and with -w it asks again
# instead. No other pings may be sent from there meanwhile.
each_answered()
{
	local netns=$1 n=$2 before got end
	before=$(echo_replies "$netns")
	ip netns exec "$netns" ping -q -c "$n" "${@:3}" || return 1 # none at all
	end=$((SECONDS + 10))
	until got=$(($(echo_replies "$netns") - before)) && ((got >= n)); do
		((SECONDS < end)) || { echo "answered: $got of $n"; return 1; }
		sleep 0.05
	done
}
