# SPDX-License-Identifier: MIT
#
# The whole system stepped in one process: no -lxenstore, no Xen libraries.
# SIM_OBJS and SIM_LIBS are all of it but the test.
SIM_OBJS := $(addprefix tests/sim/,sim_store.c sim_datapath.c sim_host.c sim_nic.c sim_buffers.c sim_lent.c sim_way.c sim_transmit.c) $(HOSTED_OBJS) \
	    $(BACKEND_SHARED) $(DATAPATH_STEPPED) $(CONTROL_STEPPED) \
	    $(netfront-objs)
SIM_LIBS := -lcmocka -ljansson -linih

TESTS += test-sim
test-sim-objs := tests/sim/test_sim.c $(SIM_OBJS)
test-sim-libs := $(SIM_LIBS)

TESTS += test-sim-offload
test-sim-offload-objs := tests/sim/test_offload.c tests/unit/samples.c tests/unit/frames.c $(SIM_OBJS)
test-sim-offload-libs := $(SIM_LIBS)
