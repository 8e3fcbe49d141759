# SPDX-License-Identifier: MIT
#
# The whole system stepped in one process: no -lxenstore, no Xen libraries.
# SIM_OBJS and SIM_LIBS are all of it but the test.
SIM_OBJS := $(addprefix tests/sim/,sim_store.c sim_datapath.c sim_host.c) $(HOSTED_OBJS) \
	    backend/ipc.c $(addprefix backend/datapath/,queue.c queue_from_guest.c queue_to_guest.c worker.c) \
	    $(addprefix backend/control/,api.c config.c control.c keys.c supervise.c view.c vif.c vif_live.c vif_look.c vif_queues.c \
	      vif_write.c workers.c) \
	    $(filter-out frontend-compat/vif_guest.c frontend-compat/tap.c \
	      frontend-compat/options.c frontend-compat/stats.c,$(wildcard frontend-compat/*.c))
SIM_LIBS := -lcmocka -ljansson -linih

TESTS += test-sim
test-sim-objs := tests/sim/test_sim.c $(SIM_OBJS)
test-sim-libs := $(SIM_LIBS)
