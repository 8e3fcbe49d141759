# SPDX-License-Identifier: MIT
#
# Guests that break every rule, beside one that keeps them, on the stepped system.
hostile-objs = tests/hostile/rig.c tests/hostile/evil.c tests/unit/frames.c $(SIM_OBJS)
hostile-libs = $(SIM_LIBS) -Wl,--wrap=xengnttab_grant_copy,--wrap=xenevtchn_notify,--wrap=xengnttab_unmap,--wrap=write

TESTS += test-hostile test-hostile-posted test-hostile-lent test-hostile-fuzz test-storm test-wishes test-ctrl-ring
test-hostile-objs	= tests/hostile/test_hostile.c $(hostile-objs)
test-hostile-libs	= $(hostile-libs)
test-hostile-posted-objs = tests/hostile/test_posted.c $(hostile-objs)
test-hostile-posted-libs = $(hostile-libs)
test-hostile-lent-objs	= tests/hostile/test_lent.c $(hostile-objs)
test-hostile-lent-libs	= $(hostile-libs)
test-hostile-fuzz-objs	= tests/hostile/test_fuzz.c $(hostile-objs)
test-hostile-fuzz-libs	= $(hostile-libs)
test-wishes-objs	= tests/hostile/test_wishes.c $(hostile-objs)
test-wishes-libs	= $(hostile-libs)
test-ctrl-ring-objs	= tests/hostile/test_ctrl_ring.c $(hostile-objs)
test-ctrl-ring-libs	= $(hostile-libs)
test-storm-objs		= tests/hostile/test_storm.c $(hostile-objs)
test-storm-libs		= $(hostile-libs)

TESTS += test-worker
test-worker-objs := tests/hostile/test_worker.c $(BACKEND_SHARED) $(HOSTED_OBJS) \
			  $(DATAPATH_STEPPED) backend/datapath/uring.c backend/datapath/uring_tap.c $(NIC_PORT_OBJS)
test-worker-libs := -lcmocka -l:liburing.a -Wl,--wrap=worker_pass

SCRIPT_TESTS += tests/hostile/test_lab.sh
