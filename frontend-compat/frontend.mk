# SPDX-License-Identifier: MIT
# vif-guest, and the netfront it shares with the tests that step one.

netfront-objs := frontend-compat/bus.c frontend-compat/connect.c frontend-compat/ctrl.c \
		 frontend-compat/ctrl_ring.c frontend-compat/dialect.c \
		 frontend-compat/front_ring.c frontend-compat/hash.c frontend-compat/io.c \
		 frontend-compat/io_rx.c frontend-compat/io_tx.c frontend-compat/multicast.c \
		 frontend-compat/netfront.c frontend-compat/share.c frontend-compat/slots.c
netfront-libs := -lxengnttab -lxenevtchn -lxenstore

PROGRAMS += vif-guest
vif-guest-objs := $(netfront-objs) frontend-compat/commands.c frontend-compat/options.c \
		  frontend-compat/remote.c frontend-compat/stats.c frontend-compat/tap.c \
		  frontend-compat/vif_guest.c
vif-guest-libs := $(netfront-libs) $(call pkg-libs,libmnl)
