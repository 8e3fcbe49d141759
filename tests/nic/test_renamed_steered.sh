#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_renamed.sh, where the device's own filters pick the queue.
STEERING=device exec "$(dirname "$0")/test_renamed.sh"
