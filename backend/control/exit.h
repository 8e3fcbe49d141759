/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: vifd's exit codes, as vifd(8) promises them. The datapath uses them too:
 * control passes on the VIFD_EXIT_ENVIRONMENT of a datapath that never got ready.
 */
#ifndef VIF_CONTROL_EXIT_H
#define VIF_CONTROL_EXIT_H

enum vifd_exit {
	VIFD_EXIT_OK = 0,
	VIFD_EXIT_RUNTIME = 1,	   /* something broke while running */
	VIFD_EXIT_USAGE = 2,	   /* bad flags or configuration */
	VIFD_EXIT_ENVIRONMENT = 3, /* no root, xenstored, /dev/net/tun, gntdev, evtchn */
	VIFD_EXIT_NETBACK = 4,	   /* the kernel's netback holds the vifs */
};

#endif
