#!/bin/bash
# SPDX-License-Identifier: MIT
#
# libvif/store.c against the real xenstored, as domain 0 and as a guest.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/hosted/host.sh
need_root

start_host "$tmp/host"
start_store
start_domain 3
export CMOCKA_MESSAGE_OUTPUT=TAP
as 0 timeout 60 "$build/store-test" || failed=1
as 3 timeout 60 "$build/store-test" --guest || failed=1
exit $failed
