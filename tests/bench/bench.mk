# SPDX-License-Identifier: MIT
#
# Tests of vifbench: that its figures are what they say. The figures themselves are
# 'make bench'.

TESTS += test_measure
test_measure-objs := tests/bench/test_measure.c backend/vifbench/measure.c backend/vifbench/floor.c
test_measure-libs := -lcmocka -lm
TESTS += test_merge
test_merge-objs := tests/bench/test_merge.c backend/vifbench/merge.c backend/vifbench/measure.c \
		   backend/vifbench/report.c backend/vifbench/plots.c backend/vifbench/table.c
test_merge-libs := -lcmocka -ljansson -lm
TESTS += test_host
test_host-objs := tests/bench/test_host.c backend/vifbench/host.c backend/vifbench/tally.c \
		  backend/client.c
test_host-libs := -lcmocka -ljansson -ldl
ALONE_TESTS  += tests/bench/test_vifbench.sh tests/bench/test_lacking.sh
