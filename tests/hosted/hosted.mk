# SPDX-License-Identifier: MIT
TESTS += test-hosted-core
test-hosted-core-objs := tests/hosted/test_hosted_core.c $(HOSTED_OBJS)
test-hosted-core-libs := -lcmocka
