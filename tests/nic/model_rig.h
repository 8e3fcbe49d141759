/* SPDX-License-Identifier: MIT */
/*
 * The model NIC alone: its wire a veth, its host's side a TAP, in a network namespace of the
 * test's own. What the worker does with places the test does.
 */
#ifndef TESTS_NIC_MODEL_RIG_H
#define TESTS_NIC_MODEL_RIG_H

#include "tests/unit/unit.h"

#include "backend/nic/nic.h"

#define RIG_PATIENCE_MS 10000
#define RIG_FILTERS	3      /* of the device */
#define RIG_TYPE	0x88b5 /* IEEE 802: for local experiments */
#define RIG_SIZE	200u   /* of a frame, where nothing is said */

/* What the tests send. */
struct frame {
	uint8_t to[6], from[6];
	uint16_t type;
	uint32_t number;
	uint8_t rest[4096];
} __attribute__((packed));

extern const struct nic_device_ops *const dev;
extern const struct nic_port_ops *const ops;
extern struct nic_device *device;
extern struct nic_port *port;
extern int far_end, host; /* packet sockets: where the cable ends, what the bridge would see */

/* The group's setup: wire and TAP. A test's: the device, with a port. */
int rig_make_network(void **state);
int rig_start(void **state);
int rig_stop(void **state);
void rig_open_port(void);

void rig_run(const char *command);

/* The device's thread: 'S': it sleeps; how often it went to. Whether a netdev has a link. */
char rig_hw_state(void);
uint64_t rig_hw_switches(void);
bool rig_has_link(const char *name);

/* The wire is taken away, which the device notices, and another put in its place. */
void rig_exchange_wire(void);

uint64_t rig_now_ms(void);
void rig_nap(void);

#define AWAIT(condition)                                                                           \
	do {                                                                                       \
		uint64_t until_ = rig_now_ms() + RIG_PATIENCE_MS;                                  \
		while (!(condition)) {                                                             \
			if (rig_now_ms() > until_)                                                 \
				fail_msg("not within %d ms: %s", RIG_PATIENCE_MS, #condition);     \
			rig_nap();                                                                 \
		}                                                                                  \
	} while (0)

/* A frame to the guest of a place, as the wire's other end sends it. */
struct frame rig_frame_to(uint32_t place, uint32_t number);
void rig_send_to(uint32_t place, uint32_t number);
void rig_send_tagged(uint32_t place, uint16_t vlan, uint32_t number);
void rig_send_sized(int fd, uint32_t place, uint32_t number, size_t size);

/* The number of the next frame of ours that comes to a socket; that it is this one, at the
 * host. */
uint32_t rig_next_number(int fd);
void rig_at_host(uint32_t number);

struct nic_filter rig_filter_for(uint32_t place, uint16_t vlan);
int rig_add_filter(uint32_t place, uint16_t vlan);
void rig_del_filter(uint32_t place, uint16_t vlan);

/* A place; one with its filter. */
struct nic_place *rig_join_place(uint32_t number);
struct nic_place *rig_open_place(uint32_t number);
void rig_close_place(struct nic_place *place, uint32_t number);

struct nic_status rig_status(void);
uint64_t rig_lost(const struct nic_place *place);
uint64_t rig_faults(const struct nic_place *place);

/* Waits until it is readable, or fails. */
void rig_await_place(const struct nic_place *place);
bool rig_is_readable(const struct nic_place *place);

/* The next frame's number, waiting for it; it is given back. */
uint32_t rig_receive_one(struct nic_place *place);
bool rig_is_dry(struct nic_place *place);
/* Dry, and does not say otherwise: what the device was about to say of frames that were taken
 * already is for once, after another look it is quiet. */
bool rig_is_quiet(struct nic_place *place);
/* Takes what waits, which is this one, if anything does. */
bool rig_took(struct nic_place *place, uint32_t number);

#endif
