# SPDX-License-Identifier: MIT
#
# For the offload matrix: sourced by scripts that run inside a lab's dom0.
# shellcheck shell=bash
# shellcheck source=tests/life/life.bash
. "$(dirname "${BASH_SOURCE[0]}")/../life/life.bash"

# in_matrix SCRIPT: as in_lab, with guests that may have two queues.
in_matrix()
{
	[ -n "${VIF_LAB_NAME:-}" ] && return
	become_lab --name "x$$" --guests 2 --queues 2 -- "$@"
}

names=(sg gso-tcpv4 gso-tcpv6 csum-v4 csum-v6) # by bit, as enum vif_feature

# offer SET: a vifd that offers this, in place of the one that runs.
offer()
{
	local i withheld=none
	for i in "${!names[@]}"; do
		(($1 >> i & 1)) || withheld="${withheld#none} ${names[i]}"
	done
	"$lab" vifd restart --withhold="$withheld"
	await 10 eval '[ "$(vifctl list 2>/dev/null | grep -c Connected)" = 2 ]'
}

# What vifd dropped, but for what was under way when a guest went.
dropped()
{
	vifctl stats --json | jq -r '.vifs[] | .vif as $v | (.from_guest, .to_guest) | .drops |
		to_entries[] | select(.value > 0 and .key != "detached") | "\($v) \(.key) \(.value)"'
}

n_bad=0 # rows that failed
n_odd=0 # rows where odd frames did
export n_bad n_odd

# row OFFERED ACCEPTED...: these combinations, odd frames with the last of them; prints the
# lines of matrix-run and odd-frames.
row()
{
	local lost
	offer "$1"
	"$build/matrix-run" "$@" || n_bad=$((n_bad + 1))
	"$build/odd-frames" "offered $1, accepted ${*: -1}" || n_odd=$((n_odd + 1))
	lost=$(dropped)
	[ -z "$lost" ] || { echo "not ok - offered $1: dropped $lost"; n_bad=$((n_bad + 1)); }
}
