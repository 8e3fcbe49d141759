#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Offloads on and off on either side, all 1024 combinations. Real TCP and UDP, IPv4 and
# IPv6, guest to wire and guest to guest. In two labs at once: vifd looks at a vif that
# reconnects all the time only 20 times a second (XSA-349), and waits are most of the time.
set -euo pipefail
# shellcheck source=tests/matrix/matrix.bash
. "$(dirname "$0")/matrix.bash"

both_halves()
{
	local bad=0 pids=() pid
	for half in 0 1; do
		half=$half "$0" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || bad=1
	done
	return $bad
}

if [ -z "${half:-}" ]; then
	both_halves || failed=1
	ok "all 1024 combinations of offloads, odd frames with each offer" test "$failed" = 0
	exit $failed
fi
in_matrix "$0"
for ((offered = half; offered < 32; offered += 2)); do
	row "$offered" {0..31}
done
[ "$n_bad$n_odd" = 00 ]
