/* SPDX-License-Identifier: MIT */
/*
 * Frames of every shape that offloads have to do with, each with what its sender leaves to
 * be done.
 */
#ifndef TESTS_SAMPLES_H
#define TESTS_SAMPLES_H

#include "tests/unit/frames.h"

#define SAMPLES 36u

struct sample {
	struct frame frame;
	struct virtio_net_hdr vnet;
	bool tunnel; /* the blank checksum is one inside a tunnel: only a kernel can say so */
};

/* Makes the i-th, i < SAMPLES. */
void sample_make(struct sample *s, uint32_t i);

bool sample_is_gso(const struct sample *s);

/* Bytes of the largest frame there will be on a wire. */
uint32_t sample_wire_size(const struct sample *s);

#endif
