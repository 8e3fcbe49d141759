#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_transmit.sh, on the multi-queue NIC in software.
NIC=model exec "$(dirname "$0")/test_transmit.sh"
