#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Offloads on and off on either side, pairwise: each two of the ten switches are seen in
# all four positions. Real TCP and UDP, IPv4 and IPv6, guest to wire and guest to guest.
set -euo pipefail
# shellcheck source=tests/matrix/matrix.bash
. "$(dirname "$0")/matrix.bash"
in_matrix "$0"

# Ten switches are the ten ways to choose three of five runs, the ones a switch is on in;
# with a run that has all of them off, any two switches meet in all four ways (Kleitman and
# Spencer, "Families of k-independent sets"). The last run has all of them on.
rows=("0 0" "31 31")
triples=()
for ((i = 1; i < 32; i++)); do
	(((i & 1) + (i >> 1 & 1) + (i >> 2 & 1) + (i >> 3 & 1) + (i >> 4) != 3)) || triples+=("$i")
done
for ((run = 0; run < 5; run++)); do
	offered=0 accepted=0
	for ((i = 0; i < 5; i++)); do
		offered=$((offered | (triples[i] >> run & 1) << i))
		accepted=$((accepted | (triples[i + 5] >> run & 1) << i))
	done
	rows+=("$offered $accepted")
done
for r in "${rows[@]}"; do
	# shellcheck disable=SC2086 # two numbers
	row $r
done

# All of them: also those of 65535 bytes.
offer 31
for guest in 1 2; do
	"$lab" guest tell "$guest" connect without= >/dev/null
	ip link set "vif$guest.0" mtu 65517
	guest "$guest" ip link set eth0 mtu 65517
done
ip link set "${VIF_LAB_NAME}w0" mtu 65517
wire ip link set eth0 mtu 65517
"$build/odd-frames" "MTU 65517" || n_odd=$((n_odd + 1))

ok "any two of ten switches in all four positions" test "$n_bad" = 0
ok "odd frames" test "$n_odd" = 0
exit $failed
