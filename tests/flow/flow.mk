# SPDX-License-Identifier: MIT
#
# How much, how fast and for how long: on the hostile guests' stepped system, by a clock
# of the test's own.
TESTS += test-rate
test-rate-objs = tests/flow/test_rate.c $(hostile-objs)
test-rate-libs = $(hostile-libs)

TESTS += test-wait
test-wait-objs = tests/flow/test_wait.c $(hostile-objs)
test-wait-libs = $(hostile-libs)

SCRIPT_TESTS += tests/flow/test_flow.sh
