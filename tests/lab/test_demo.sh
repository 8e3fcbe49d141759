#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The demo passes, and its table is there; with grant copies that fail it passes as well,
# and shows what was lost.
# shellcheck disable=SC2317 # cases are called through 'ok'
set -euo pipefail
# shellcheck source=tests/lab/helpers.bash
. "$(dirname "$0")/helpers.bash"
demo=$(dirname "$(realpath "$0")")/run-demo

passes()
{
	exits 0 env DEMO_SECONDS=1 DEMO_LAB="$(name a)" "$demo" "$build"
	says 'All counters agree'
	says '^TCP guest 1 -> guest 2 +[0-9]+ +[0-9]+ +[0-9.]+ +[0-9.]+ +[0-9.]+$'
	says 'SHA-256 equal'
}
ok "the demo passes" passes

failing_copies()
{
	exits 0 env XEN_HOSTED_FAULTS='copy:*5000' DEMO_SECONDS=1 DEMO_LAB="$(name b)" "$demo" "$build"
	says 'All counters agree'
	says 'dropped on the way +0 +0 +[1-9]'
}
ok "with grant copies that fail, each lost frame is a counted drop" failing_copies

exit $failed
