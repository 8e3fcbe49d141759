/* SPDX-License-Identifier: MIT */
/*
 * What the NIC in memory (sim_nic.h) transmits: frames wait in it until they leave the host.
 */
#ifndef VIF_SIM_TRANSMIT_H
#define VIF_SIM_TRANSMIT_H

#include "backend/nic/nic.h"

#define SIM_TRANSMIT_SIZE 64u /* frames that wait */

/* Of nic_port_ops, whatever port: there is one. */
uint32_t sim_transmit(struct nic_port *port, struct packet *const p[], uint32_t n, uint16_t vlan);
bool sim_transmit_kick(struct nic_port *port);
void sim_transmit_sent(struct nic_port *port, struct nic_sent *out);

/* The port opens: nothing waits. */
void sim_transmit_open(void);

/* From now on frames that leave the host are told to 'leaves', which may be NULL. */
void sim_transmit_to(void (*leaves)(void *arg, const uint8_t *frame, size_t size), void *arg);

/* A busy device sends nothing by itself, but in sim_transmit_run(), and there up to n. */
void sim_transmit_be_busy(bool busy);
void sim_transmit_run(uint32_t n);

/* Frames that wait in it. */
uint32_t sim_transmit_waiting(void);

#endif
