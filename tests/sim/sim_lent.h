/* SPDX-License-Identifier: MIT */
/*
 * A place lent to of the NIC in memory (nic.h): what the device does with the guest's memory it
 * was given, and an assertion for each clause of the contract its user has to keep.
 */
#ifndef VIF_SIM_LENT_H
#define VIF_SIM_LENT_H

#include "backend/nic/nic.h"

#define SIM_LENT_PAGES	512u
#define SIM_LENT_OWN	12u  /* frames after begin() that are put into memory of the port's, and
			      * later without a buffer that may wait there */
#define SIM_LENT_OFFSET 256u /* where in its page the device puts a frame */
#define SIM_LENT_MAX	(4096u - SIM_LENT_OFFSET)

struct sim_lent {
	uint8_t *start; /* NULL: the place is an ordinary one */
	uint32_t n_pages;
	bool begun, over, skipped;
	uint32_t n_looks; /* over: as often it will say that it has not let go */
	bool posted[SIM_LENT_PAGES];
	uint16_t page[SIM_LENT_PAGES]; /* of buffer i % SIM_LENT_PAGES, since begin() */
	uint32_t size[SIM_LENT_PAGES]; /* of the frame for it; 0: too large */
	bool ours[SIM_LENT_PAGES];     /* it is in own[], alike */
	uint8_t own[SIM_LENT_PAGES][SIM_LENT_MAX];
	uint32_t n_posted, n_filled, n_shown, n_reaped; /* since begin() */
};

void sim_lent_init(struct sim_lent *l, const struct nic_memory *memory);
/* The place is left. */
void sim_lent_fini(const struct sim_lent *l);
bool sim_lent_has(const struct sim_lent *l, const void *page);

void sim_lent_begin(struct sim_lent *l);
uint32_t sim_lent_post(struct sim_lent *l, const struct nic_buffer buffers[], uint32_t n);
uint32_t sim_lent_reap(struct sim_lent *l, struct nic_completion out[], uint32_t n);
void sim_lent_recall(struct sim_lent *l);
/* It writes where it still may. */
enum nic_hold sim_lent_hold(struct sim_lent *l);
/* Then: copies frame number i of those since begin(), which no buffer was posted for. Its size. */
uint32_t sim_lent_left(const struct sim_lent *l, uint32_t i, uint8_t *to);

/* The device takes a frame off the wire, since begin(). False: it finds no buffer, it is lost. */
bool sim_lent_fill(struct sim_lent *l, const uint8_t *frame, size_t size);
/* It says so, of n more frames. */
void sim_lent_show(struct sim_lent *l, uint32_t n);
/* Whether reap() has something. */
bool sim_lent_is_done(const struct sim_lent *l);

/* Places recalled from now on are let go of when it was asked so often in vain. */
#define SIM_LENT_LOOKS 3u /* unless told otherwise */
void sim_lent_take_looks(uint32_t n);
/* None is let go of for as long as this is on. */
void sim_lent_get_stuck(bool on);

/* The next completion is wrong. */
enum sim_lent_failure {
	SIM_LENT_WORKS,
	SIM_LENT_SKIPS, /* its buffer was passed over: the device is to have none any more */
	SIM_LENT_LIES,	/* the frame would be beyond its page */
};
void sim_lent_fail(enum sim_lent_failure how);

#endif
