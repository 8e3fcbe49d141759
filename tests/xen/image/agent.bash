# SPDX-License-Identifier: MIT
#
# The asking side of image/agent: sourced on the machine that runs the rig, and in
# dom0 for the guests' consoles.
# shellcheck shell=bash

AGENT_LOST=125 # agent_call's status when no answer came

# agent_call IN OUT SECONDS ALIVE SCRIPT: runs SCRIPT on the agent that reads from
# descriptor IN and writes to OUT; prints its output, returns its status. Gives up when
# the command ALIVE fails, or well after the agent should have ended the script.
agent_call()
{
	local in=$1 out=$2 limit=$3 alive=$4 script=$5
	local id=$RANDOM$RANDOM$RANDOM deadline=$((SECONDS + 4 * limit + 20)) line previous begun=

	# The empty line ends whatever half a request was there.
	printf '\n%s %s %s\n' "$id" "$limit" "$(printf '%s' "$script" | base64 -w 0)" >&"$in"
	while agent_line "$out" "$deadline" "$alive"; do
		case $line in
		"@begin $id") begun=1 ;;
		"@end $id "*)
			printf '%s' "${previous:-}" # its last line had an end, if any
			return "${line##* }"
			;;
		*)
			[ -n "$begun" ] || continue
			[ -z "${previous+set}" ] || printf '%s\n' "$previous"
			previous=$line
			;;
		esac
	done
	[ -z "${previous+set}" ] || printf '%s\n' "$previous"
	echo "no answer to: $script" >&2
	return "$AGENT_LOST"
}

# agent_line OUT DEADLINE ALIVE: the next whole line, into the caller's 'line'.
agent_line()
{
	local part
	line=
	while :; do
		if IFS= read -r -t 1 -u "$1" part; then
			line+=${part%$'\r'}
			return 0
		fi
		line+=$part
		((SECONDS < $2)) && $3 || return 1
	done
}
