/* SPDX-License-Identifier: MIT */
/*
 * Rank 8: telling the service manager (sd_notify(3)'s protocol: one datagram).
 */
#ifndef VIF_CONTROL_NOTIFY_H
#define VIF_CONTROL_NOTIFY_H

/* Sends 'text' ("READY=1\nSTATUS=...") to $NOTIFY_SOCKET; does nothing without one. A
 * manager that does not listen is no reason to fail. */
void notify_manager(const char *text);

#endif
