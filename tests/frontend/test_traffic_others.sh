#!/bin/bash
# SPDX-License-Identifier: MIT
#
# As test_traffic.sh, with the frontends that are not Linux, and those that use more of
# the protocol than Linux does.
set -euo pipefail
# shellcheck source=tests/frontend/traffic.bash
. "$(dirname "$0")/traffic.bash"

ok "freebsd: every size, 50 MB compared, counters agree" dialect freebsd with_gso
ok "windows: the same" dialect windows with_gso
ok "mini-os: the same, no segmentation" dialect mini-os without_gso
ok "static-grants: the same without a grant operation" \
	dialect static-grants no_grant_operations --queues 2 --workers 2
ok "hashing: the same, frames on the queues of their hashes" \
	dialect hashing queues_by_hash --queues 4 --workers 4
ok "linux-xdp: the same, headroom before every frame" dialect linux-xdp headroom
ok "headroom asked for and given up under traffic" dialect linux headroom_changes
exit "$failed"
