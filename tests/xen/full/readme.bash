# SPDX-License-Identifier: MIT
#
# README.md's commands, to be run as they stand there: for files of cases.
# shellcheck shell=bash
# shellcheck disable=SC2154 # xen_dir is image.bash's

# readme HEADING WORD: the block of commands under that heading that has the word, with
# stand-ins for what an image has not: sudo and systemd.
readme()
{
	local block
	block=$(awk -v heading="$1" -v word="$2" '
		function done() { if (inside && index(block, word)) printf "%s", block; block = "" }
		/^#+ / { done(); inside = $0 ~ "^#+ " heading "$" }
		/^    / { block = block substr($0, 5) "\n"; next }
		{ done() }' "$xen_dir/../../README.md")
	[ -n "$block" ] || { echo "README.md has no '$2' under '$1'"; return 1; }
	echo 'sudo() { "$@"; }
		systemctl()
		{
			case "$*" in
			"enable --now vifd") start-vifd ;;
			"disable --now vifd") stop-vifd ;;
			*) echo "systemctl $*?"; return 1 ;;
			esac
		}
		mkdir -p /etc/modprobe.d
		set -ex'
	echo "$block"
}
