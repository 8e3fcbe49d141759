# SPDX-License-Identifier: MIT
#
# vif-lab, a Xen host on a machine without Xen, and its tests.

PROGRAMS += vif-lab
vif-lab-objs := $(addprefix tests/lab/,vif-lab.c run.c janitor.c init.c bring-up.c guest.c \
		  toolstack.c netns.c process.c record.c lab.c) frontend-compat/dialect.c
vif-lab-libs := -lxenstore

SCRIPT_TESTS += tests/lab/test_lab.sh tests/lab/test_leftovers.sh \
		tests/lab/test_demo.sh
