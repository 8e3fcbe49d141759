# SPDX-License-Identifier: MIT
#
# Unit tests: one cmocka program for each module of libvif (and the ipc messages).
# They need neither Xen nor root.

UNIT_TESTS := $(sort $(basename $(notdir $(wildcard tests/unit/test_*.c))))

TESTS += $(UNIT_TESTS)
$(foreach t,$(UNIT_TESTS),$(eval $(t)-objs := tests/unit/$(t).c)$(eval $(t)-libs := -lcmocka))

test_offload-objs    += tests/unit/frames.c
test_from_guest-objs += tests/unit/frames.c
test_to_guest-objs   += tests/unit/frames.c
test_ipc-objs	     += backend/ipc.c
