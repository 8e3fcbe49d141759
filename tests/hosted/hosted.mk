# SPDX-License-Identifier: MIT
TESTS += test-hosted-core
test-hosted-core-objs := tests/hosted/test_hosted_core.c $(HOSTED_OBJS)
test-hosted-core-libs := -lcmocka

# Run by the scripts, each on a host of its own.
PROGRAMS += vchan-pipe hosted-process-test hosted-store-test
vchan-pipe-objs := tests/hosted/vchan-pipe.c
vchan-pipe-libs := -lxenvchan
hosted-store-test-objs := tests/hosted/hosted-store-test.c
hosted-store-test-libs := -lcmocka -lxenstore
hosted-process-test-objs := tests/hosted/hosted-process-test.c
hosted-process-test-deps := $(BUILD)/hosted/libvif-hosted.so.0
hosted-process-test-libs := -lcmocka -lxengnttab -lxenevtchn $(BUILD)/hosted/libvif-hosted.so.0

SCRIPT_TESTS += $(addprefix tests/hosted/,test_symbols.sh test_process.sh test_store.sh \
		  test_vchan.sh)
