#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vif-guest as the Linux frontends against vifd: frames of all sizes, TCP with its bytes
# compared, counters of both ends compared, features off, and a datapath killed under
# traffic. The others: test_traffic_others.sh.
set -euo pipefail
# shellcheck source=tests/frontend/traffic.bash
. "$(dirname "$0")/traffic.bash"

ok "linux: every size, 50 MB compared, counters agree" dialect linux with_gso
ok "linux-single-event: the same" dialect linux-single-event with_gso
ok "linux-no-sg: the same, no segmentation" dialect linux-no-sg without_gso
ok "linux-no-rx-notify: the same" dialect linux-no-rx-notify with_gso
ok "windows: multicast filtered, joined, left, too much of it" dialect windows multicast_filtered
ok "each feature off in turn, the vif reconnected by command" dialect linux each_feature_off
ok "the datapath killed under traffic: bytes intact, guest undisturbed" dialect linux datapath_killed
exit "$failed"
