# SPDX-License-Identifier: MIT
#
# The multi-queue NIC model: guests' places on NICs.
PROGRAMS += flows
flows-objs := tests/nic/flows.c
SCRIPT_TESTS += tests/nic/test_places.sh
