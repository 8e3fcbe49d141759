#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_places.sh, where the device's own filters pick the queue.
STEERING=device exec "$(dirname "$0")/test_places.sh"
