/* SPDX-License-Identifier: MIT */
/*
 * The packet pool. One mapping holds all buffers; a buffer is a page whose tail
 * holds the virtio_net_hdr, then the pages of the frame:
 *
 *	|<---- page ---->|<---- 17 pages ---->|
 *	|      ...  vnet | frame ...          |
 *
 * The descriptors live apart from the frames, so that walking a list touches no
 * frame's memory.
 */
#include "packet.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define VLAN_ID 0x0fff

#define HEADROOM    ((size_t)XEN_PAGE)
#define BUFFER_SIZE (HEADROOM + DIV_ROUND_UP((size_t)PACKET_FRAME_MAX, XEN_PAGE) * XEN_PAGE)

static_assert(PACKET_VNET_SIZE == 10, "what a TAP expects unless told otherwise");
static_assert(PACKET_VNET_SIZE <= HEADROOM, "the header has room before the frame");

int packet_pool_init(struct packet_pool *pool, uint32_t n_packets)
{
	*pool = (struct packet_pool){ .n_packets = n_packets };
	pool->all = calloc(n_packets, sizeof(*pool->all));
	if (!pool->all)
		return -ENOMEM;

	pool->memory = mmap(NULL, n_packets * BUFFER_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->memory == MAP_FAILED) {
		free(pool->all);
		*pool = (struct packet_pool){ 0 };
		return -ENOMEM;
	}

	for (uint32_t i = n_packets; i-- > 0;) {
		pool->all[i].frame = pool->memory + i * BUFFER_SIZE + HEADROOM;
		packet_put(pool, &pool->all[i]);
	}
	return 0;
}

void packet_pool_fini(struct packet_pool *pool)
{
	assert(pool->n_free == pool->n_packets);
	if (pool->memory)
		munmap(pool->memory, pool->n_packets * BUFFER_SIZE);
	free(pool->all);
	*pool = (struct packet_pool){ 0 };
}

struct packet *packet_get(struct packet_pool *pool)
{
	struct packet *p = pool->free;

	if (!p)
		return NULL;
	pool->free = p->next;
	pool->n_free--;
	p->next = NULL;
	p->size = 0;
	memset(packet_vnet(p), 0, PACKET_VNET_SIZE);
	return p;
}

void packet_put(struct packet_pool *pool, struct packet *p)
{
	if (!p)
		return;
	assert(packet_is_of(pool, p));
	p->next = pool->free;
	pool->free = p;
	pool->n_free++;
}

bool packet_has_tag(const struct packet *p, uint16_t vlan)
{
	uint16_t tag[2];

	if (p->size < ETH_HLEN + sizeof(tag))
		return false;
	memcpy(tag, p->frame + 2 * ETH_ALEN, sizeof(tag));
	return tag[0] == htons(ETH_P_8021Q) && (ntohs(tag[1]) & VLAN_ID) == vlan;
}

uint32_t packet_copy_tagged(uint8_t *to, const struct packet *p, uint16_t vlan)
{
	const uint16_t tag[2] = { htons(ETH_P_8021Q), htons(vlan) };
	const uint32_t addresses = 2 * ETH_ALEN;

	static_assert(sizeof(tag) == PACKET_TAG_SIZE, "ethertype and word");
	if (!vlan) {
		memcpy(to, p->frame, p->size);
		return p->size;
	}
	memcpy(to, p->frame, addresses);
	memcpy(to + addresses, tag, sizeof(tag));
	memcpy(to + addresses + sizeof(tag), p->frame + addresses, p->size - addresses);
	return p->size + PACKET_TAG_SIZE;
}

void packet_fifo_push(struct packet_fifo *fifo, struct packet *p)
{
	p->next = NULL;
	if (fifo->tail)
		fifo->tail->next = p;
	else
		fifo->head = p;
	fifo->tail = p;
	fifo->n_packets++;
	fifo->n_bytes += p->size;
}

struct packet *packet_fifo_pop(struct packet_fifo *fifo)
{
	struct packet *p = fifo->head;

	if (!p)
		return NULL;
	fifo->head = p->next;
	if (!fifo->head)
		fifo->tail = NULL;
	p->next = NULL;
	fifo->n_packets--;
	fifo->n_bytes -= p->size;
	return p;
}
