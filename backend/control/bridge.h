/* SPDX-License-Identifier: MIT */
/*
 * Rank 81: what a device's bridge does with it, read off the tables of links.h: whether
 * frames pass by a port, how long, and with which tag. What netdev.h promises of the
 * operations of the same names holds here. Nothing is asked of the kernel.
 *
 * Owner: control.
 */
#ifndef VIF_CONTROL_BRIDGE_H
#define VIF_CONTROL_BRIDGE_H

#include "backend/control/netdev.h"

bool bridge_link(const struct links *links, int ifindex, struct netdev_link *out);
uint32_t bridge_forwards(const struct links *links, int ifindex);
uint64_t bridge_remembers_ns(const struct links *links, int ifindex);
const char *bridge_wire_form(const struct links *links, int ifindex, int uplink,
			     struct vlan_form *out);

#endif
