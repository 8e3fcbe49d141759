/* SPDX-License-Identifier: MIT */
/*
 * 'window' is a time in ns whose lowest bit says which:
 *
 *	clear	when the present window began; its credit has been added
 *	set	somebody waits for the window that begins then; its credit is to be added
 *
 * Whoever moves it to a begun window adds that window's credit; compare-and-swap lets only
 * one do so. Between its move and its addition another queue may see the new window and
 * the old credit: it waits one window more, no credit is lost or made.
 *
 * A change of the limit may be seen by halves for a moment: one window is then wrong.
 */
#include "credit.h"

#define AWAITED 1ull

/* Sleep no longer than this: a limit may have been raised. */
#define LOOK_AGAIN_NS (100 * NS_PER_MS)

static uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void store(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static bool swap(uint64_t *p, uint64_t from, uint64_t to)
{
	return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void add_window(struct credit *c)
{
	uint64_t bytes = load(&c->bytes), most = MAX(bytes, CREDIT_BURST_BYTES);
	uint64_t remaining;

	do {
		remaining = load(&c->remaining);
	} while (!swap(&c->remaining, remaining, MIN(remaining + bytes, most)));
}

void credit_set(struct credit *c, uint64_t bytes, uint32_t usec, uint64_t now_ns)
{
	bool was_unlimited = !load(&c->window_ns);
	uint64_t window_ns = usec * 1000ull, remaining, window;

	bytes = MIN(bytes, UINT64_MAX / 4);
	if (window_ns && window_ns < CREDIT_WINDOW_MIN_NS) {
		uint64_t n = DIV_ROUND_UP(CREDIT_WINDOW_MIN_NS, window_ns);

		window_ns *= n;
		bytes = MIN(bytes, UINT64_MAX / 4 / n) * n;
	}
	store(&c->bytes, bytes);
	if (was_unlimited) {
		store(&c->remaining, bytes);
		store(&c->window, now_ns & ~AWAITED);
	}
	store(&c->window_ns, window_ns);
	window = load(&c->window);
	if (window & AWAITED) {
		(void)swap(&c->window, window, now_ns | AWAITED);
		return;
	}
	do {
		remaining = load(&c->remaining);
	} while (remaining > bytes && !swap(&c->remaining, remaining, bytes));
}

static bool take(struct credit *c, uint32_t size)
{
	uint64_t remaining = load(&c->remaining);

	while (size <= remaining) {
		if (swap(&c->remaining, remaining, remaining - size))
			return true;
		remaining = load(&c->remaining);
	}
	return false;
}

bool credit_take(struct credit *c, uint32_t size, uint64_t now_ns, uint64_t *until_ns)
{
	uint64_t length = load(&c->window_ns);

	if (!length)
		return true;
	while (!take(c, size)) {
		uint64_t window = load(&c->window), start = window & ~AWAITED;

		if ((window & AWAITED) && now_ns < start) {
			*until_ns = MIN(start, now_ns + LOOK_AGAIN_NS);
			return false;
		}
		if (window & AWAITED) {
			if (swap(&c->window, window, start))
				add_window(c);
		} else if (now_ns >= start + length) {
			if (swap(&c->window, window, now_ns & ~AWAITED))
				add_window(c);
		} else {
			(void)swap(&c->window, window, (start + length) | AWAITED);
		}
	}
	return true;
}
