#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_renamed.sh, on the multi-queue NIC in software.
NIC=model exec "$(dirname "$0")/test_renamed.sh"
