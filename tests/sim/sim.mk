# SPDX-License-Identifier: MIT
#
# The whole system stepped in one process: no -lxenstore, no Xen libraries.
TESTS += test-sim
test-sim-objs := $(addprefix tests/sim/,test_sim.c sim_store.c sim_datapath.c) $(HOSTED_OBJS) \
		 backend/ipc.c $(addprefix backend/datapath/,queue.c worker.c) \
		 $(addprefix backend/control/,api.c config.c control.c keys.c supervise.c view.c vif.c \
		   workers.c) \
		 $(filter-out frontend-compat/vif_guest.c frontend-compat/tap.c \
		   frontend-compat/options.c frontend-compat/stats.c,$(wildcard frontend-compat/*.c))
test-sim-libs := -lcmocka -ljansson -linih
