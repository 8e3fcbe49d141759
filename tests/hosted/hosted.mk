# SPDX-License-Identifier: MIT
TESTS += test-hosted-core
test-hosted-core-objs := tests/hosted/test_hosted_core.c $(HOSTED_OBJS)
test-hosted-core-libs := -lcmocka

PROGRAMS += vchan-pipe
vchan-pipe-objs := tests/hosted/vchan-pipe.c
vchan-pipe-libs := -lxenvchan

SCRIPT_TESTS += $(addprefix tests/hosted/,test_symbols.sh test_vchan.sh)
