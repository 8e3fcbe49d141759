# SPDX-License-Identifier: MIT
#
# Unit tests: one cmocka program for each module of libvif (and the ipc messages).
# They need neither Xen nor root, but test_store.sh, which runs store-test against
# the real xenstored on the hosted Xen.

UNIT_TESTS := $(sort $(basename $(notdir $(wildcard tests/unit/test_*.c))))

TESTS += $(UNIT_TESTS)
$(foreach t,$(UNIT_TESTS),$(eval $(t)-objs := tests/unit/$(t).c)$(eval $(t)-libs := -lcmocka))

test_offload-objs    += tests/unit/frames.c
test_from_guest-objs += tests/unit/frames.c
test_to_guest-objs   += tests/unit/frames.c
test_rss-objs	     += tests/unit/frames.c
test_ipc-objs	     += backend/ipc.c
test_credit-objs     += backend/credit.c
test_stations-objs   += backend/stations.c

# Grants and events run on the hosted Xen, whole in the test's own process.
test_grant-objs += $(HOSTED_OBJS)
test_grant-libs += -Wl,--wrap=xengnttab_grant_copy
test_event-objs += $(HOSTED_OBJS)
test_ctrl-objs += $(HOSTED_OBJS)
test_static_grants-objs += $(HOSTED_OBJS)

PROGRAMS += store-test
store-test-objs := tests/unit/store-test.c
store-test-libs := -lcmocka -lxenstore
SCRIPT_TESTS += tests/unit/test_store.sh
