# SPDX-License-Identifier: MIT
#
# vifbench: cycles per packet, beside native Linux.

PROGRAMS += vifbench
vifbench-objs := $(sort $(wildcard backend/vifbench/*.c))
vifbench-libs := -ljansson -lbpf
