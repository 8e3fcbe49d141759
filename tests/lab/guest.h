/* SPDX-License-Identifier: MIT */
/*
 * A guest of the lab: a domain with a store connection, a vif and, as its kernel
 * and its programs' network, vif-guest in the namespace of its name. Guest N is
 * domain N. Runs as dom0 inside the lab; said why on failure.
 */
#ifndef VIF_LAB_GUEST_H
#define VIF_LAB_GUEST_H

#include "lab.h"

/* Sets the lab's frontend (NULL: the default one), or exits saying which there are. */
void guest_set_frontend(struct lab *lab, const char *name);

/* Sets the features the guests' frontends do without, or exits saying which there are. */
void guest_set_without(struct lab *lab, const char *list);

/* As 'xl create': returns when the guest's vif is connected. -EEXIST: runs already. */
int guest_start(const struct lab *lab, uint32_t n) must_check;

/* As 'xl shutdown', or with 'destroy' as 'xl destroy': nothing of the domain is left. */
int guest_stop(const struct lab *lab, uint32_t n, bool destroy) must_check;

/* Gives guest N's vif-guest a command and prints its answer. 0; -EREMOTEIO: it refuses; or
 * -errno. */
int guest_tell(uint32_t n, char *const words[]) must_check;

/* The MAC address of guest N's first vif. */
struct guest_mac {
	char s[18];
};
struct guest_mac guest_mac(uint32_t guest, uint32_t devid);

#endif
