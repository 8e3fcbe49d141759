/* SPDX-License-Identifier: MIT */
/*
 * What a stepped system needs around it: netdevs that are only fds, the datapath's
 * process as control sees it, the toolstack's keys, and frames that carry a number.
 */
#ifndef VIF_SIM_HOST_H
#define VIF_SIM_HOST_H

#include "backend/control/netdev.h"
#include "backend/control/supervise.h"
#include "sim_datapath.h"

/* ctx: NULL. Where the netdev of vif<domid>.<devid> stands is *sim_netdev_link(); after a
 * change say so. NULL: there is none. */
extern const struct netdev_ops sim_netdev_ops;
struct netdev_link *sim_netdev_link(uint32_t domid, uint32_t devid);
void sim_links_changed(void);

/* How often the bridge was told that a station of this address, in this of its VLANs, is
 * behind the NIC, which it forgets after SIM_AGEING_NS. */
#define SIM_AGEING_NS (4 * NS_PER_S)
uint64_t sim_learned(const uint8_t mac[6], uint16_t vlan);

/* The bridge says that a station is behind a port of it, or (0) behind none; or that it could
 * not say all. */
void sim_bridge_knows(const uint8_t mac[6], int port);
void sim_bridge_knows_in(const uint8_t mac[6], uint16_t vlan, int port);
void sim_bridge_news_lost(void);

/* What the bridge makes of the wire's frames for vif<domid>.<devid>. */
struct sim_form {
	struct vlan_form form;
	const char *why_not; /* it would not say */
};
struct sim_form *sim_netdev_form(uint32_t domid, uint32_t devid);

extern const struct process_ops sim_process_ops; /* ctx: struct sim_datapath */

/* From now on the kernel takes no BPF program: netdevs have no gate. */
void sim_refuse_gates(bool refuse);
/* Whether the netdev of vif<domid>.* has a carrier. */
bool sim_carrier(uint32_t domid);

/* Keys of vif<domid>.<devid>, in the backend's directory or the frontend's. */
void sim_backend_put(uint32_t domid, uint32_t devid, const char *key, const char *fmt, ...)
	printf_like(4, 5);
void sim_frontend_put(uint32_t domid, uint32_t devid, const char *key, const char *fmt, ...)
	printf_like(4, 5);
/* NULL: there is none. */
const char *sim_backend_get(uint32_t domid, uint32_t devid, const char *key);

/* The toolstack: what xen-rig.md saw libxl write. */
void sim_toolstack_attach(uint32_t domid, uint32_t devid);
/* The hotplug script answers once the backend waits for it. Returns whether it did now. */
bool sim_toolstack_hotplug(uint32_t domid, uint32_t devid);
void sim_toolstack_detach(uint32_t domid, uint32_t devid);
void sim_toolstack_remove(uint32_t domid, uint32_t devid);

/* Frame 'number', of an experimental ethertype; its size follows from the number. Those of a flow
 * have the same addresses. */
#define SIM_FRAME_FLOW(number) ((number) >> 24)
size_t sim_frame_size(uint32_t number);
void sim_frame_make(uint8_t *frame, uint32_t number);
/* From now on none is more than the netdevs' MTU allows. */
void sim_frames_keep_mtu(bool yes);
/* Asserts (cmocka) that it is whole; its number. */
uint32_t sim_frame_check(const uint8_t *frame, size_t size);

#endif
