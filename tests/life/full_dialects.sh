#!/bin/bash
# SPDX-License-Identifier: MIT
#
# All of test_life.sh with every frontend there is; test_dialects.sh is the short of it.
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/life.bash"

for VIF_FRONTEND in $(frontends); do
	export VIF_FRONTEND
	"$here/test_life.sh" | sed "s/ok - /&$VIF_FRONTEND: /" || failed=1
done
exit "$failed"
