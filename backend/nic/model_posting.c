/* SPDX-License-Identifier: MIT */
/*
 * The model NIC in the datapath: buffers of guests, posted to it.
 */
#include "backend/nic/model_port.h"

#include <time.h>

int model_authorise(struct nic_place *place, void *page, nic_page *out)
{
	return model_iommu_map(&place->queue.iommu, page, out);
}

void model_revoke(struct nic_place *place, nic_page page)
{
	int err = model_iommu_unmap(&place->queue.iommu, page);

	assert(!err);
	model_hw_quiesce(&place->queue);
}

void model_begin(struct nic_place *place)
{
	struct model_queue *q = &place->queue;

	const uint32_t n = model_ring_ready(&q->fifo);

	model_count_older(place, n); /* before there is room for others in the FIFO */
	for (uint32_t i = 0; i < n; i++)
		packet_fifo_push(&place->older, model_pop_fifo(q));
	__atomic_store_n(&q->posting, 1, __ATOMIC_SEQ_CST);
}

uint32_t model_post(struct nic_place *place, const struct nic_buffer buffers[], uint32_t n)
{
	struct model_queue *q = &place->queue;

	n = MIN(n, MODEL_DESCRIPTORS - place->n_posted);
	for (uint32_t i = 0; i < n; i++)
		q->buffer[(q->posted.head + i) % MODEL_DESCRIPTORS] = buffers[i];
	model_ring_push(&q->posted, n);
	place->n_posted += n;
	/* The device looks here once more after it let a frame wait, before it sleeps: one of us
	 * sees the other's. The thread sanitizer knows no fences. */
	(void)__atomic_fetch_or(&q->posted.head, 0, __ATOMIC_SEQ_CST);
	if (n && model_queue_waits(q))
		model_hw_ring(&place->port->hw);
	return n;
}

static void tell_fault(struct nic_place *place)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	log_limited(
	    &place->log_limit, (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec,
	    LOG_LVL_WARNING, LOG_NOBODY,
	    "NIC %s, place %u: kept from writing to a page it was not to: %llu so far",
	    place->port->hw.regs->name, place->queue.number,
	    (unsigned long long)__atomic_load_n(&model_regs_of(place)->faults, __ATOMIC_RELAXED));
}

static uint32_t take_done(struct nic_place *place, struct nic_completion out[], uint32_t n)
{
	struct model_queue *q = &place->queue;

	n = MIN(n, model_ring_ready(&q->done));
	for (uint32_t i = 0; i < n; i++) {
		out[i] = q->completion[(q->done.tail + i) % MODEL_DESCRIPTORS];
		if (out[i].status == -EFAULT)
			tell_fault(place);
	}
	model_ring_pop(&q->done, n);
	place->n_posted -= n;
	return n;
}

uint32_t model_reap(struct nic_place *place, struct nic_completion out[], uint32_t n)
{
	uint32_t got = take_done(place, out, n);

	if (got < n && model_is_posting(place) && !place->older.head &&
	    model_ask_for_interrupt(&place->queue))
		got += take_done(place, out + got, n - got);
	return got;
}

void model_recall(struct nic_place *place)
{
	struct model_queue *q = &place->queue;
	uint32_t n;

	if (!model_is_posting(place))
		return;
	__atomic_store_n(&q->posting, 0, __ATOMIC_SEQ_CST);
	model_hw_quiesce(q);
	n = model_ring_ready(&q->posted);
	model_ring_pop(&q->posted, n);
	place->n_posted -= n;
	model_take_back_injected(place);
	model_interrupt_ourselves(q);
}
