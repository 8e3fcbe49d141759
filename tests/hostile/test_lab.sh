#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What only a whole host shows: a netdev deleted under a connected vif. (What a guest
# does wrong is stepped in one process, test_hostile.c.)
set -euo pipefail
# shellcheck source=tests/life/life.bash
. "$(dirname "$0")/../life/life.bash"
in_lab 2 "$0"

netdev_deleted()
{
	await 10 reaches_wire 1
	ip link delete vif1.0
	await 10 state_is "$(backend 1)" 6
	key "/local/domain/0/error/backend/vif/1/0/error" | grep -F "the netdev is gone"
	reaches_wire 2
}
ok "a deleted netdev closes its vif, with the reason" netdev_deleted

attached_anew()
{
	"$lab" detach --domid 1
	await 5 no_key "$(backend 1)"
	"$lab" attach --domid 1
	await 10 connected 1
	await 10 reaches_wire 1
}
ok "attached anew it serves again" attached_anew

exit "$failed"
