/* SPDX-License-Identifier: MIT */
/*
 * A guest's pages, posted to a place of the model NIC.
 */
#ifndef TESTS_NIC_MODEL_PAGES_H
#define TESTS_NIC_MODEL_PAGES_H

#include "tests/nic/model_rig.h"

#define N_PAGES 256u
#define OFFSET	100u
#define POISON	0xc3

/* What a guest's queue has: pages that the device may write to; a write to one that was dropped
 * would be the end of the test's process. */
extern uint8_t *page_of[N_PAGES];
extern nic_page name_of[N_PAGES];
uint8_t *new_page(void);
void make_pages(struct nic_place *place, uint32_t n);
void drop_pages(struct nic_place *place, uint32_t n);

/* Place 0 with its filter, posting, with so many pages, none posted yet. */
struct nic_place *open_posting(uint32_t n_pages);
void end_posting(struct nic_place *place, uint32_t n_pages);

struct nic_buffer buffer(uint32_t page);
void post_page(struct nic_place *place, uint32_t page);

/* What is done next, waiting for it; that it is a frame of that number in that page, and nothing
 * beside it. */
struct nic_completion reap_one(struct nic_place *place);
void reap_landed(struct nic_place *place, uint32_t page, uint32_t number);
void assert_landed(uint32_t page, uint32_t number);
bool none_done(struct nic_place *place);
bool is_poison(const uint8_t *at, size_t size);

#endif
