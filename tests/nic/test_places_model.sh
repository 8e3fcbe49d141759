#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_places.sh, on the multi-queue NIC in software.
NIC=model exec "$(dirname "$0")/test_places.sh"
