/* SPDX-License-Identifier: MIT */
/*
 * The buffers posted to one place of the NIC in memory, and the pages it may write to: what
 * an IOMMU is to a real one. A write goes through sim_buffers_write() or not at all.
 */
#ifndef VIF_SIM_BUFFERS_H
#define VIF_SIM_BUFFERS_H

#include "backend/nic/nic.h"

#define SIM_POSTS 100u /* descriptors it takes at a time: fewer than a ring has slots */

struct sim_buffers {
	struct {
		uint8_t *at; /* NULL: may not be written to */
		uint16_t generation;
	} page[NIC_PAGES];
	struct nic_buffer posted[SIM_POSTS];
	uint32_t first, n_posted;
	struct nic_completion done[512];
	uint32_t first_done, n_done;
	uint64_t n_faults;
};

/* Of the first n_max pages it has room for. */
int sim_buffers_authorise(struct sim_buffers *b, uint32_t n_max, void *page, nic_page *out);
void sim_buffers_revoke(struct sim_buffers *b, nic_page page);
/* Whether it may write somewhere in that page. */
bool sim_buffers_has(const struct sim_buffers *b, const void *page);
/* Whether it may write nowhere. */
bool sim_buffers_is_empty(const struct sim_buffers *b);

uint32_t sim_buffers_post(struct sim_buffers *b, const struct nic_buffer buffers[], uint32_t n);
uint32_t sim_buffers_reap(struct sim_buffers *b, struct nic_completion out[], uint32_t n);
void sim_buffers_recall(struct sim_buffers *b);

/* The device puts a frame into the next buffer. False: none is posted. */
bool sim_buffers_write(struct sim_buffers *b, const struct packet *p, bool injected);

#endif
