/* SPDX-License-Identifier: MIT */
/*
 * Rank 80: one NIC as the key 'nics' of vifd.conf(5) has it, and what settings share.
 */
#ifndef VIF_CONTROL_CONFIG_NIC_H
#define VIF_CONTROL_CONFIG_NIC_H

#include <stdio.h>

#include "backend/nic/nic.h"

#define CONFIG_NIC_SYNTAX                                                                          \
	"'device[,filters=1..16][,policy=all|named|busiest][,steering=program|device|auto]"        \
	"[,transmit=yes|no][,provider=afxdp|model,wire=device]'"

/* Reads it. 0 or -EINVAL: it is not CONFIG_NIC_SYNTAX, and why says what is wrong with it. */
int config_nic_parse(struct nic_config *n, const char *text, char *why, size_t why_size) must_check;

/* Writes it so that config_nic_parse() reads the same. */
void config_nic_print(const struct nic_config *n, FILE *out);

/* As the options name them. */
const char *config_nic_provider(const struct nic_config *n);
const char *config_nic_policy(const struct nic_config *n);

/* A number, digits only. 0, or -EINVAL: it is none, or not within min..max. */
int config_uint(const char *value, uint32_t min, uint32_t max, uint32_t *out) must_check;

#endif
