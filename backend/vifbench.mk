# SPDX-License-Identifier: MIT
#
# vifbench: cycles per packet, beside native Linux.

PROGRAMS += vifbench
vifbench-objs := backend/client.c $(sort $(wildcard backend/vifbench/*.c))
vifbench-libs := -lm -ljansson -lbpf -ldl

# 'vifbench host' takes libxenctrl of the Xen it was built for when it is called: that
# library's soname carries Xen's version, and nothing else of vifd depends on it.
CPPFLAGS += -DXENCTRL_SONAME='"libxenctrl.so.$(shell pkg-config --modversion xencontrol | cut -d. -f1,2)"'
