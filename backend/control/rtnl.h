/* SPDX-License-Identifier: MIT */
/*
 * Rank 79: requests to rtnetlink about a network device, and their answers. Each waits for
 * the kernel's answer, which comes at once. News of all devices: links.h.
 *
 * Owner: control.
 */
#ifndef VIF_CONTROL_RTNL_H
#define VIF_CONTROL_RTNL_H

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <net/if.h>

#include "base.h"

struct rtnl {
	struct mnl_socket *nl;
	uint32_t seq;
};

/* What RTM_GETLINK says about a device. */
struct rtnl_link {
	int ifindex;
	char name[IFNAMSIZ];
	char alias[32]; /* longer ones are cut */
	char kind[16];
	char qdisc[16];
	uint8_t tun_type;
	bool persist, vnet_hdr, multi_queue;
	bool up, carrier;
	struct rtnl_link_stats64 stats;
};

/* 0 or -errno. */
int rtnl_open(struct rtnl *r) must_check;
void rtnl_close(struct rtnl *r);

/* By name, or by index when name is NULL. -ENODEV: there is none. */
int rtnl_link_get(struct rtnl *r, int ifindex, const char *name, struct rtnl_link *out) must_check;

/* All 0 or -errno. The alias tells whose the device is. */
int rtnl_link_set_identity(struct rtnl *r, int ifindex, const char *alias, const uint8_t mac[6])
	must_check;
int rtnl_link_set_frames(struct rtnl *r, int ifindex, uint32_t frames) must_check;
int rtnl_link_set_mtu(struct rtnl *r, int ifindex, uint32_t mtu) must_check;
int rtnl_link_set_up(struct rtnl *r, int ifindex, bool up) must_check;

/* To the bridge 'ifindex' is a port of it is as if a frame from 'mac', of its VLAN 'vlan' (0:
 * it knows of none), had come by that port. 0 or -errno. */
int rtnl_learn(struct rtnl *r, int ifindex, const uint8_t mac[6], uint16_t vlan) must_check;

/* The port behind which 'bridge' knows 'mac' to be now, in its VLAN 'vlan' (0: it knows of none);
 * 0: behind none. Or -errno. */
int rtnl_behind(struct rtnl *r, int bridge, const uint8_t mac[6], uint16_t vlan) must_check;

#endif
