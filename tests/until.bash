# SPDX-License-Identifier: MIT
#
# Sourced by tests: waiting for what will be, with a deadline.
# shellcheck shell=bash

# until_ SECONDS COMMAND...: waits until the command succeeds.
until_()
{
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS >= end)); then
			echo "not in time: $*" >&2
			return 1
		fi
		sleep 0.02
	done
}
