# SPDX-License-Identifier: MIT
#
# vifd, both of its processes, and the operator's vifctl.

PROGRAMS += vifd vifctl

vifd-objs := backend/vifd.c backend/ipc.c $(sort $(wildcard backend/control/*.c)) \
	     $(sort $(wildcard backend/datapath/*.c))
# liburing statically: Debian 12's shared one (2.3) does not export
# io_uring_register_restrictions and io_uring_enable_rings, which its header declares.
vifd-libs := -lxengnttab -lxenevtchn -lxenstore -l:liburing.a -lmnl -ljansson -linih -lcap-ng

vifctl-objs := backend/vifctl.c
vifctl-libs := -ljansson
