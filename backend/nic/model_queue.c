/* SPDX-License-Identifier: MIT */
/*
 * The model NIC's queues, as the device has them: where a frame goes that is for one, and what
 * becomes of what waits.
 */
#include "backend/nic/model_hw.h"

#include <linux/if_ether.h>

#include "packet.h"

/* ---- sections ---- */

static void enter(struct model_queue *q)
{
	__atomic_store_n(&q->section, q->section + 1, __ATOMIC_SEQ_CST);
}

static void leave(struct model_queue *q)
{
	__atomic_store_n(&q->section, q->section + 1, __ATOMIC_RELEASE);
}

/* ---- the device's memory ---- */

void model_take_returned(struct model_hw *hw)
{
	struct model_chunks *r = &hw->returned;
	uint32_t n = model_ring_ready(&r->ring);

	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = r->chunk[(r->ring.tail + i) % r->size];

		p->next = hw->free;
		hw->free = p;
	}
	if (n)
		model_ring_pop(&r->ring, n);
}

static void put_chunk(struct model_hw *hw, struct packet *p)
{
	p->next = hw->free;
	hw->free = p;
}

void model_spend(struct model_hw *hw, struct packet *p)
{
	struct model_chunks *s = &hw->spent;

	s->chunk[s->ring.head % s->size] = p;
	model_ring_push(&s->ring, 1);
}

/* Copies a frame to the queue's part. False: there is no room. */
static bool keep(struct model_hw *hw, struct model_queue *q, const struct model_frame *f)
{
	uint64_t waiting = q->fifo_in - __atomic_load_n(&q->fifo_out, __ATOMIC_ACQUIRE);
	uint32_t room = model_ring_room(&q->fifo, MODEL_FIFO_FRAMES);
	struct packet *p = hw->free;

	/* After what room there is: a frame is never in neither. */
	if (!p || room <= __atomic_load_n(&q->n_older, __ATOMIC_ACQUIRE) ||
	    waiting + f->size > MODEL_FIFO_BYTES)
		return false;
	hw->free = p->next;
	memcpy(p->frame, f->data, f->size);
	p->size = f->size;
	q->fifo_in += f->size;
	q->fifo_frame[q->fifo.head % MODEL_FIFO_FRAMES] = p;
	model_ring_push(&q->fifo, 1);
	return true;
}

static void count_lost(struct model_hw *hw, const struct model_queue *q)
{
	model_count(&hw->regs->lost, 1);
	model_count(&hw->regs->queue[q->number].lost, 1);
}

static void count_fault(struct model_hw *hw, const struct model_queue *q)
{
	model_count(&hw->regs->faults, 1);
	model_count(&hw->regs->queue[q->number].faults, 1);
}

/* ---- into the buffers posted ---- */

static bool is_posting(const struct model_queue *q)
{
	return __atomic_load_n(&q->posting, __ATOMIC_SEQ_CST);
}

static bool is_stuck(const struct model_hw *hw, const struct model_queue *q)
{
	return __atomic_load_n(&hw->regs->stuck, __ATOMIC_RELAXED) & BIT(q->number);
}

bool model_queue_may_fill(const struct model_hw *hw, const struct model_queue *q)
{
	return is_posting(q) && model_ring_used(&q->posted) && !is_stuck(hw, q);
}

static void fill(struct model_hw *hw, struct model_queue *q, const struct model_frame *f,
		 const uint8_t source[ETH_ALEN])
{
	struct nic_buffer to = q->buffer[q->posted.tail % MODEL_DESCRIPTORS];
	/* There is room: no more are posted than there are completions for. */
	struct nic_completion *done = &q->completion[q->done.head % MODEL_DESCRIPTORS];
	int err;

	if (__atomic_load_n(&hw->regs->strays, __ATOMIC_RELAXED) != hw->n_strayed) {
		hw->n_strayed++;
		to.page ^= MODEL_PAGE_OTHER;
	}
	err = model_iommu_dma(&q->iommu, &to, f->data, f->size);
	*done = (struct nic_completion){ .status = err, .size = f->size };
	memcpy(done->source, source, ETH_ALEN);
	model_ring_pop(&q->posted, 1);
	model_ring_push(&q->done, 1);
	if (err == -EFAULT)
		count_fault(hw, q);
	else if (err)
		count_lost(hw, q);
	hw->touched |= BIT(q->number);
}

static void fill_from_fifo(struct model_hw *hw, struct model_queue *q)
{
	struct packet *p = q->fifo_frame[q->fifo.tail % MODEL_FIFO_FRAMES];

	fill(hw, q, &(struct model_frame){ p->frame, p->size }, p->frame + ETH_ALEN);
	__atomic_store_n(&q->fifo_out, q->fifo_out + p->size, __ATOMIC_RELEASE);
	model_ring_pop(&q->fifo, 1);
	put_chunk(hw, p);
}

static void fill_from_injected(struct model_hw *hw, struct model_queue *q)
{
	struct packet *p = q->injected_frame[q->injected.tail % MODEL_INJECTED];
	static const uint8_t nobody[ETH_ALEN];

	fill(hw, q, &(struct model_frame){ p->frame, p->size }, nobody);
	model_ring_pop(&q->injected, 1);
	model_spend(hw, p);
}

bool model_queue_fill(struct model_hw *hw, struct model_queue *q)
{
	bool filled = false;

	enter(q);
	if (model_queue_may_fill(hw, q)) {
		bool fifo = model_ring_ready(&q->fifo), injected = model_ring_ready(&q->injected);

		filled = fifo || injected;
		if (fifo && (!injected || q->posted.tail % 2))
			fill_from_fifo(hw, q);
		else if (injected)
			fill_from_injected(hw, q);
	}
	leave(q);
	return filled;
}

void model_queue_deliver(struct model_hw *hw, struct model_queue *q, const struct model_frame *f)
{
	bool taken = true;

	while (model_queue_may_fill(hw, q) && model_queue_waits(q) && model_queue_fill(hw, q))
		;
	enter(q);
	if (model_queue_may_fill(hw, q) && !model_ring_ready(&q->fifo))
		fill(hw, q, f, f->data + ETH_ALEN);
	else
		taken = (is_posting(q) || !is_stuck(hw, q)) && keep(hw, q, f);
	leave(q);
	hw->touched |= BIT(q->number);
	model_count(&hw->regs->to_places, 1);
	if (!taken)
		count_lost(hw, q);
}
