/* SPDX-License-Identifier: MIT */
/*
 * The guest's network interface: a TAP in a network namespace, as the stack a netfront
 * drives. Everything is set through rtnetlink and ioctls on handles opened once, so the
 * process itself stays in its own namespace.
 */
#ifndef FRONTEND_TAP_H
#define FRONTEND_TAP_H

#include <net/if.h>
#include <netinet/in.h>

#include "frontend-compat/netfront.h"

struct mnl_socket;

struct tap {
	char name[IFNAMSIZ];
	unsigned ifindex;
	uint32_t n_queues;
	int fd[NETFRONT_QUEUES_MAX]; /* nonblocking */
	bool detached[NETFRONT_QUEUES_MAX];
	struct mnl_socket *rtnl; /* of the guest's namespace */
	int multicast_fd;	 /* its /proc/net/dev_mcast */
};

/* Creates the interface, down and without carrier, in network namespace 'netns': a name
 * under /run/netns, a path, or NULL for ours. 0 or -errno, logged. */
int tap_open(struct tap *tap, const char *name, const char *netns, uint32_t n_queues) must_check;
void tap_close(struct tap *tap);

/* Tells the stack what it may leave to us: enum vif_feature bits. 0 or -errno. */
int tap_set_offloads(struct tap *tap, uint32_t features) must_check;

/* Spreads the stack's frames over the first n queues only. 0 or -errno. */
int tap_use_queues(struct tap *tap, uint32_t n) must_check;

int tap_set_carrier(struct tap *tap, bool on) must_check;

/* Sets MAC and MTU, and the largest frame netif can carry. 0 or -errno. */
int tap_configure(struct tap *tap, const uint8_t mac[6], uint32_t mtu) must_check;
int tap_up(struct tap *tap) must_check;

/* Lists the multicast addresses the interface listens to, at most n. Returns how many there
 * are, or -errno. */
int tap_multicast(struct tap *tap, struct multicast_address out[], uint32_t n) must_check;

struct tap_address {
	int family; /* AF_INET or AF_INET6 */
	uint8_t prefix;
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};

/* "10.77.0.11/24" or "fd77::11/64" of the given family. 0 or -EINVAL. */
int tap_address_parse(const char *text, int family, struct tap_address *out) must_check;
int tap_add_address(struct tap *tap, const struct tap_address *a) must_check;

/* For struct netfront_config; 'stack' is the struct tap. */
extern const struct guest_stack_ops tap_stack_ops;

#endif
