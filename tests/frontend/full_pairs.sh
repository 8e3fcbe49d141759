#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Guests of every frontend talk to those of every other.
PAIRS=all exec "$(dirname "$0")/test_pairs.sh"
