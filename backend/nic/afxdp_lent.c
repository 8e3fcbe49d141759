/* SPDX-License-Identifier: MIT */
/*
 * A place of AF_XDP's that is lent to (nic.h): its UMEM is chunks of ours and, beside them in
 * one piece of addresses, the pages of the guest's.
 *
 *	join	some of our chunks are in the fill ring, never more than EARLY: what comes is
 *		received as in any place
 *	begin	what the fill ring still has of these, or the kernel is about to fill, comes
 *		first: each is for the next buffer posted, and copied there when it is filled
 *	post	further buffers are pages, which go into the fill ring: the kernel, or the
 *		device, writes to them itself
 *	reap	the receive ring says what is filled. That is in the order of the fill ring. A
 *		guest whose buffers run low is late: chunks of ours are put behind what it posted,
 *		for what it posts next, as those of begin are for what it posts first, and more at
 *		each reap(), until it has been in time for a while. So frames wait for a late guest
 *		as they would in an ordinary place, and are copied like there
 *	recall	the socket is to be closed, by a thread that can wait for it (afxdp_closer.h). What
 *		the receive ring has by then is kept; once the kernel has nothing any more it is
 *		reaped, and received
 *
 * The order is the kernel's where it copies: it takes a chunk for a frame that has come, and one
 * it could not use after all is the next it takes (net/xdp/xsk.c __xsk_rcv(), xsk_buff_pool.c
 * xp_free()). A driver that has zero-copy may recycle a chunk behind others, for a frame that
 * the XDP program let pass; so each descriptor is compared with what was posted, and the first
 * that is not the next one ends it all, as recall() does: then what was posted and not filled is
 * completed with -ECANCELED, and the queue is better off with an ordinary place.
 *
 * After close() of a bound socket nothing is written any more where the kernel copies:
 * xsk_unbind_dev() waits until nobody receives into it (synchronize_net()). In zero-copy mode
 * the driver is told later, by deferred work (xp_release_deferred()), which is over when another
 * socket can be bound to the queue: so one is. The rings have to be unmapped
 * first, as each mapping keeps the socket open; and so would a poll of it, see nic_place.poll_fd,
 * and control, which closes its copies once there is a filter, or is to be none.
 *
 * The pages are pinned, and with them their grants: who unmaps them before the kernel has let go
 * waits for that in gntdev.
 *
 * Trust: a descriptor is the kernel's. What is in a page is the guest's, whatever was written
 * there: of it a source address is read, once, for whoever wants it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/nic/afxdp_closer.h"
#include "backend/nic/afxdp_port.h"

#define CHUNK AFXDP_CHUNK

/* As many as a guest's ring has slots: from begin() on a place takes no more at once either. */
#define EARLY NIC_EARLY_FRAMES

/* With fewer of its buffers left than LOW a guest is late, until it was in time for so many frames:
 * CALM_MIN, and twice as many each time it is late again, since what comes until that is noticed
 * may find no room. */
#define LOW	 64u
#define CALM_MIN 256u
#define CALM_MAX 65536u

/* Of ours, for a late one, in the fill ring: what it posts meanwhile has room there as well. */
#define RESERVE (AFXDP_FILL_FRAMES - NIC_EARLY_FRAMES)

/* All that the fill ring holds has room when it comes, and as much waits as in other places. */
#define RX_FRAMES AFXDP_LENT_RX_FRAMES
static_assert(RX_FRAMES >= AFXDP_RX_FRAMES + AFXDP_FILL_FRAMES, "as in an ordinary place");

/* Of our chunks, where the limit of locked memory does not allow AFXDP_PLACE_CHUNKS: with fewer
 * frames would be lost while control takes its steps. */
#define CHUNKS_MIN 1024u

/* Of each place as it is, and as it was: the kernel lets go of that in its time. */
static_assert(2ul * NIC_PLACES_MAX * (AFXDP_PLACE_CHUNKS + NIC_PAGES) * CHUNK <= NIC_PINNED_MAX,
	      "nic.h: as much as is pinned here");
static_assert((size_t)AFXDP_PLACE_CHUNKS * CHUNK <= NIC_ROOM, "and as much room as is needed");

/* A buffer of the guest's that is posted. */
struct posted {
	nic_page page;
	bool ours; /* what is for it comes in a chunk of ours */
};

struct afxdp_lent {
	uint8_t *pages;
	uint32_t n_pages;
	uint32_t first_page; /* its chunk */
	bool begun, closed;  /* of 'closed' the kernel may have some until 'closing' is over */
	bool failed;	     /* closed, and the order is not known */
	uint32_t n_early;    /* begun: of the receive ring, what is receive()'s */
	uint32_t n_unpaired; /* begun: chunks of ours to be filled that no buffer is posted for */
	uint32_t n_posted, n_reaped; /* in all */
	uint32_t begin;		     /* the receive ring's producer, as it was */
	bool late;
	uint32_t n_in_time; /* frames reaped since it last was late, or CALM_MAX */
	uint32_t calm;	    /* late: until n_in_time is that; 0: it was not, since begin() */
	struct posted posted[AFXDP_FILL_FRAMES];
	uint64_t lost; /* closed: by the socket */
	struct afxdp_closing closing; /* .next: AFXDP_PLACE_LAST_SOCKET */

	/* closed: what the receive ring had */
	uint32_t n_left, next_left;
	struct xdp_desc left[RX_FRAMES];
};

/* ---- life ---- */

/* Ours, right below or above the guest's. */
static uint8_t *map_beside(const struct nic_memory *lent, size_t size)
{
	uint8_t *pages = lent->start;
	uint8_t *const at[] = { pages - size, pages + (size_t)lent->n_pages * CHUNK };

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		void *ours = mmap(at[i], size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (ours != MAP_FAILED)
			return ours;
	}
	errno = EADDRINUSE;
	return NULL;
}

/* With n chunks of ours. ENOBUFS: the limit of locked memory. */
static int register_both(struct nic_place *place, int fd, const struct nic_memory *lent, uint32_t n,
			 struct afxdp_umem *u)
{
	const size_t size = (size_t)n * CHUNK;
	uint8_t *pages = lent->start, *ours = map_beside(lent, size);
	struct xdp_umem_reg reg = { .len = size + (size_t)lent->n_pages * CHUNK,
				    .chunk_size = CHUNK };

	if (!ours)
		return -1;
	reg.addr = (uintptr_t)MIN(ours, pages);
	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg))) {
		int err = errno;

		munmap(ours, size);
		errno = err;
		return -1;
	}
	afxdp_umem_init(u, ours, size, afxdp_packets_of(place->port, u), n);
	u->first = ours < pages ? 0 : lent->n_pages;
	place->lent->first_page = ours < pages ? n : 0;
	return 0;
}

int afxdp_lent_open(struct nic_place *place, const int fds[AFXDP_PLACE_FDS],
		    const struct nic_memory *lent)
{
	struct afxdp_umem *u = afxdp_free_umem(place->port);
	uint32_t n = AFXDP_PLACE_CHUNKS;

	place->lent = calloc(1, sizeof(*place->lent));
	if (!u || !place->lent) {
		errno = ENOMEM;
		return -1;
	}
	place->lent->pages = lent->start;
	place->lent->n_pages = lent->n_pages;
	while (register_both(place, fds[AFXDP_PLACE_SOCKET], lent, n, u)) {
		if (errno != ENOBUFS || n == CHUNKS_MIN)
			return -1;
		n /= 2;
	}
	place->umem = u;
	place->lent->closing.next = fds[AFXDP_PLACE_LAST_SOCKET];
	return 0;
}

void afxdp_lent_start(struct nic_place *place)
{
	struct xdp_options options = { .flags = 0 };
	socklen_t size = sizeof(options);

	place->zero_copy =
	    getsockopt(place->rx[0].fd, SOL_XDP, XDP_OPTIONS, &options, &size) ||
	    options.flags & XDP_OPTIONS_ZEROCOPY;
	afxdp_fill(&place->own_fill, place->umem, EARLY);
}

static uint64_t count_lost(const struct nic_place *place)
{
	struct nic_place_stats stats;

	afxdp_stats(place, &stats);
	return stats.lost;
}

/* Both sockets; at once, if the kernel was never to write anywhere. */
static void close_sockets(const struct nic_place *place, struct afxdp_closing *c)
{
	c->socket = place->rx[0].fd;
	c->by_driver = place->zero_copy;
	c->where = afxdp_address(place->port, place->queue);
	c->where.sxdp_flags = AFXDP_BIND_FLAGS_COPY;
	if (place->bound) {
		afxdp_closer_take(c);
		return;
	}
	close(c->socket);
	close(c->next);
	c->over = true;
}

/* What the receive ring has for reap() is kept. */
static void begin_to_close(struct nic_place *place)
{
	struct afxdp_lent *l = place->lent;
	struct afxdp_rx *rx = &place->rx[0];
	uint32_t at, n;

	if (l->closed)
		return;
	l->lost = count_lost(place);
	n = xsk_ring_cons__peek(&rx->ring, RX_FRAMES, &at);
	for (uint32_t i = MIN(l->n_early, n); i < n; i++)
		l->left[l->n_left++] = *xsk_ring_cons__rx_desc(&rx->ring, at + i);
	afxdp_rx_close(rx);
	afxdp_fill_close(&place->own_fill);
	close_sockets(place, &l->closing);
	place->n_queues = 0;
	l->closed = true;
}

static bool is_over(const struct afxdp_lent *l)
{
	return l->closed && afxdp_closing_is_over(&l->closing);
}

enum nic_hold afxdp_hold(struct nic_place *place)
{
	const struct afxdp_lent *l = place->lent;

	return !l->closed ? NIC_HOLDS : is_over(l) ? NIC_LET_GO : NIC_LETS_GO;
}

void afxdp_lent_close(struct nic_place *place)
{
	begin_to_close(place);
	afxdp_closing_await(&place->lent->closing);
	free(place->lent);
	place->lent = NULL;
}

uint64_t afxdp_lent_lost(const struct nic_place *place)
{
	const struct afxdp_lent *l = place->lent;

	/* What is left is received, or nobody knows for which buffer it was. */
	return l->lost + (l->failed ? l->n_left - l->next_left : 0);
}

/* ---- before it begins, and after all ---- */

/* What waited for buffers: in chunks of ours, as every page that was posted is done with. */
static uint32_t receive_left(struct nic_place *place, struct packet *out[], uint32_t n)
{
	struct afxdp_lent *l = place->lent;
	uint32_t got = 0;

	while (got < n && !l->failed && l->n_reaped == l->n_posted && l->next_left < l->n_left) {
		struct packet *p = afxdp_umem_packet(place->umem, &l->left[l->next_left++]);

		if (p)
			out[got++] = p;
	}
	place->umem->n_out += got;
	return got;
}

uint32_t afxdp_lent_receive(struct nic_place *place, struct packet *out[], uint32_t n)
{
	struct afxdp_lent *l = place->lent;
	struct xsk_ring_cons *rx = &place->rx[0].ring;
	uint32_t before = rx->cached_cons, got;

	if (l->closed)
		return is_over(l) ? receive_left(place, out, n) : 0;
	got = afxdp_receive_queue(place, 0, out, l->begun ? MIN(n, l->n_early) : n);
	if (l->begun)
		l->n_early -= rx->cached_cons - before;
	else
		afxdp_fill(&place->own_fill, place->umem, EARLY);
	return got;
}

/* Both rings count from 0 on: what came out of the one had gone into the other. */
void afxdp_begin(struct nic_place *place)
{
	struct afxdp_lent *l = place->lent;
	const struct xsk_ring_cons *rx = &place->rx[0].ring;
	uint32_t n_filled = __atomic_load_n(rx->producer, __ATOMIC_ACQUIRE);

	assert(l && !l->begun);
	l->begin = n_filled;
	l->n_early = n_filled - rx->cached_cons;
	l->n_unpaired = place->own_fill.ring.cached_prod - n_filled;
	l->late = true; /* with the EARLY it has until it has posted some */
	l->begun = true;
}

/* ---- and after ---- */

uint32_t afxdp_post(struct nic_place *place, const struct nic_buffer buffers[], uint32_t n)
{
	struct afxdp_lent *l = place->lent;
	struct afxdp_fill *fill = &place->own_fill;
	uint32_t n_pages = 0, at, i;

	assert(l->begun);
	if (l->closed)
		return 0;
	for (i = 0; i < n && l->n_posted - l->n_reaped < ARRAY_SIZE(l->posted); i++) {
		const nic_page page = buffers[i].page;
		bool ours = l->n_unpaired > 0;

		assert(page < l->n_pages && !buffers[i].offset && buffers[i].size == CHUNK);
		if (ours) {
			l->n_unpaired--;
		} else {
			if (!xsk_ring_prod__reserve(&fill->ring, 1, &at))
				break;
			*xsk_ring_prod__fill_addr(&fill->ring, at) =
			    (uint64_t)(l->first_page + page) * CHUNK;
			n_pages++;
		}
		l->posted[l->n_posted++ % ARRAY_SIZE(l->posted)] = (struct posted){ page, ours };
	}
	if (n_pages)
		afxdp_fill_submit(fill, n_pages);
	return i;
}

uint32_t afxdp_lent_waiting(const struct nic_place *place)
{
	const struct xsk_ring_cons *rx = &place->rx[0].ring;

	if (place->lent->closed)
		return 0;
	return __atomic_load_n(rx->producer, __ATOMIC_ACQUIRE) - rx->cached_cons;
}

/* Of n reaped just now: whether the guest posts its buffers before they are needed. */
static void judge_guest(struct nic_place *place, uint32_t n)
{
	struct afxdp_lent *l = place->lent;
	const struct xsk_ring_cons *rx = &place->rx[0].ring;
	uint32_t n_filled = __atomic_load_n(rx->producer, __ATOMIC_ACQUIRE) - l->begin;

	if ((int32_t)(l->n_posted - n_filled) < (int32_t)LOW) {
		if (!l->late || (!l->calm && l->n_reaped >= EARLY))
			l->calm = MIN(MAX(2 * l->calm, CALM_MIN), CALM_MAX);
		l->late = true;
		l->n_in_time = 0;
		return;
	}
	l->n_in_time = MIN(l->n_in_time + n, CALM_MAX);
	l->late = l->late && l->n_in_time < l->calm;
	if (!l->late && l->n_in_time == CALM_MAX)
		l->calm = CALM_MIN / 2; /* as for the first time */
}

/* For a late guest. */
static void reserve(struct nic_place *place)
{
	struct afxdp_fill *fill = &place->own_fill;
	const uint32_t before = fill->ring.cached_prod, most = RX_FRAMES - NIC_EARLY_FRAMES;
	const uint32_t room = most - MIN(afxdp_lent_waiting(place), most);

	afxdp_fill(fill, place->umem, MIN(room, place->lent->calm ? RESERVE : EARLY));
	place->lent->n_unpaired += fill->ring.cached_prod - before;
}

/* The next of what is filled. */
static bool next_filled(struct nic_place *place, struct xdp_desc *out)
{
	struct afxdp_lent *l = place->lent;
	struct xsk_ring_cons *rx = &place->rx[0].ring;
	uint32_t at;

	if (l->closed) {
		if (l->next_left == l->n_left)
			return false;
		*out = l->left[l->next_left++];
		return true;
	}
	if (l->n_early || !xsk_ring_cons__peek(rx, 1, &at))
		return false;
	*out = *xsk_ring_cons__rx_desc(rx, at);
	xsk_ring_cons__release(rx, 1);
	return true;
}

/* What arrived for a buffer is in its page: false if it is not what was to come next. */
static bool complete(struct nic_place *place, const struct posted *b, const struct xdp_desc *d,
		     struct nic_completion *out)
{
	struct afxdp_lent *l = place->lent;
	const uint32_t offset = d->addr % CHUNK;
	const uint8_t *source = l->pages + (size_t)b->page * CHUNK + offset;

	if (d->len < 2 * sizeof(out->source) || d->len > CHUNK - offset)
		return false;
	if (b->ours) {
		struct packet *p = afxdp_umem_packet(place->umem, d);

		if (!p)
			return false;
		memcpy(l->pages + (size_t)b->page * CHUNK + offset, p->frame, d->len);
		afxdp_umem_put(place->umem, p);
		source = p->frame;
	} else if (d->addr / CHUNK != l->first_page + b->page) {
		return false;
	}
	*out = (struct nic_completion){ .size = d->len,
					.offset = (uint16_t)offset,
					.copied = b->ours };
	memcpy(out->source, source + sizeof(out->source), sizeof(out->source));
	return true;
}

uint32_t afxdp_reap(struct nic_place *place, struct nic_completion out[], uint32_t n)
{
	struct afxdp_lent *l = place->lent;
	uint32_t got = 0;

	while (got < n && l->n_reaped != l->n_posted && (!l->closed || is_over(l))) {
		const struct posted *b = &l->posted[l->n_reaped % ARRAY_SIZE(l->posted)];
		struct xdp_desc d;

		if (!l->failed) {
			if (!next_filled(place, &d))
				break;
			if (!complete(place, b, &d, &out[got])) {
				begin_to_close(place);
				l->failed = true;
				continue;
			}
		}
		if (l->failed)
			out[got] = (struct nic_completion){ .status = -ECANCELED };
		l->n_reaped++;
		got++;
	}
	if (!l->closed && l->begun) {
		judge_guest(place, got);
		if (l->late)
			reserve(place);
	}
	return got;
}

void afxdp_recall(struct nic_place *place)
{
	begin_to_close(place);
}
