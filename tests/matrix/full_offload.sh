#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Offloads on and off on either side, all 1024 combinations. Real TCP and UDP, IPv4 and
# IPv6, guest to wire and guest to guest.
set -euo pipefail
# shellcheck source=tests/matrix/matrix.bash
. "$(dirname "$0")/matrix.bash"
in_matrix "$0"

for offered in {0..31}; do
	row "$offered" {0..31}
done
ok "all 1024 combinations of offloads" test "$n_bad" = 0
ok "odd frames" test "$n_odd" = 0
exit $failed
