# SPDX-License-Identifier: MIT
# Tests of frontend-compat: its pure parts, its data path on a machine in one
# process, and vif-guest against vifd.

TESTS      += test-frontend-slots test-frontend-io test-frontend-ctrl
UNIT_TESTS += test-frontend-slots test-frontend-io test-frontend-ctrl

SCRIPT_TESTS += tests/frontend/test_bus.sh tests/frontend/test_pairs.sh tests/frontend/test_traffic.sh \
		tests/frontend/test_traffic_others.sh
FULL_TESTS   += tests/frontend/full_pairs.sh

test-frontend-slots-objs := tests/frontend/test_slots.c frontend-compat/bus.c \
			    frontend-compat/dialect.c frontend-compat/front_ring.c \
			    frontend-compat/hash.c frontend-compat/multicast.c \
			    frontend-compat/slots.c
test-frontend-slots-libs := -lcmocka

test-frontend-ctrl-objs := tests/frontend/test_ctrl.c $(netfront-objs) $(HOSTED_OBJS)
test-frontend-ctrl-libs := -lcmocka -lxenstore

test-frontend-io-objs := tests/frontend/test_io.c $(netfront-objs) $(HOSTED_OBJS)
test-frontend-io-libs := -lcmocka -lxenstore
