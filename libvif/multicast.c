/* SPDX-License-Identifier: MIT */
/*
 * An address is its six bytes in the lower 48 bits of a word; a group address is never 0,
 * so 0 is a free place. Words need no order among each other, hence relaxed accesses.
 */
#include "multicast.h"

static uint64_t word_of(const uint8_t address[6])
{
	uint64_t word = 0;

	for (int i = 0; i < 6; i++)
		word = word << 8 | address[i];
	return word;
}

static uint64_t load(const uint64_t *place)
{
	return __atomic_load_n(place, __ATOMIC_RELAXED);
}

int multicast_add(struct multicast_set *set, const uint8_t address[6])
{
	uint64_t word = word_of(address);

	if (!multicast_is_group(address))
		return -EINVAL;
	if (multicast_has(set, address))
		return 0;
	for (uint32_t i = 0; i < MULTICAST_MAX; i++) {
		uint64_t free_place = 0;

		if (__atomic_compare_exchange_n(&set->place[i], &free_place, word, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return 0;
	}
	return -ENOSPC;
}

/* All places that hold it: two threads adding it at once may have taken two. */
void multicast_remove(struct multicast_set *set, const uint8_t address[6])
{
	uint64_t word = word_of(address);

	for (uint32_t i = 0; word && i < MULTICAST_MAX; i++) {
		uint64_t found = word;

		__atomic_compare_exchange_n(&set->place[i], &found, 0, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
	}
}

bool multicast_has(const struct multicast_set *set, const uint8_t address[6])
{
	uint64_t word = word_of(address);

	for (uint32_t i = 0; word && i < MULTICAST_MAX; i++)
		if (load(&set->place[i]) == word)
			return true;
	return false;
}

bool multicast_at(const struct multicast_set *set, uint32_t place, uint8_t address[6])
{
	uint64_t word = load(&set->place[place]);

	for (int i = 6; i-- > 0; word >>= 8)
		address[i] = (uint8_t)word;
	return multicast_is_group(address);
}

uint32_t multicast_count(const struct multicast_set *set)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < MULTICAST_MAX; i++)
		n += load(&set->place[i]) != 0;
	return n;
}
